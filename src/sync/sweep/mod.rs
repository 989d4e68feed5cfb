//! The sweep: Notion never shows trashed, deleted, moved or unshared rows in a query, so all ids are listed, the warehouse
//! compares them with the table, and each difference is settled by asking for that page.
//!
//! Nothing is marked without a complete listing of every data source and a GET of that id (of its data source, when that
//! vanished as a whole); nothing at all when a source is unreachable.

mod classify;
mod listing;
mod mark;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;
use tracing::{info, warn};

use self::classify::{Classifier, Verdict};
use super::batch::{Batcher, STATEMENT_OVERHEAD_BYTES};
use super::merge::{Merger, too_large};
use super::{Engine, Stop};
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::{Failure, FailureClass};
use crate::ids::DataSourceId;
use crate::notion::DataSourceRef;
use crate::run::Run;
use crate::run::progress::ProgressEvent;
use crate::run::report::{DataSourceReport, Mode, Report, Totals};
use crate::warehouse::{
    Comparison, Difference, EncodedRow, ProofKey, Removal, RemovalReason, Row, Side, Tables, WatermarkRow,
    duplicate_keys,
};
use crate::watermark::{Loaded, Resume, Stored, Swept, Watermark};

/// Below this number of live rows a share says nothing: one row of five is 20 %.
const GUARD_FROM_ROWS: u64 = 20;

/// A sweep under way.
struct Sweep<'a> {
    engine: &'a Engine<'a>,
    sources: &'a [DataSourceRef],
    ids: Vec<DataSourceId>,
    allow_removals: bool,
    watermarks: HashMap<DataSourceId, Watermark>,
    merger: Merger,
    /// Where it has come from and to: rows created before are settled.
    begins: Option<Swept>,
    settled_before: Option<Timestamp>,
    removals: Vec<(Removal, Option<DataSourceId>)>,
    /// Rows more than keys in the table.
    duplicate_rows: u64,
    warnings: Vec<String>,
}

/// Sweeps all data sources of the database at once: a row may have moved from one to another. Goes on where a sweep that
/// ran out of time has stored its position.
pub(super) async fn sweep(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    allow_removals: bool,
    report: &mut Report,
) -> Result<(), Stop> {
    let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
    let Loaded { watermarks, .. } = engine.watermarks.load(engine.database, &ids, engine.run).await?;
    let is_synced = |id: &&DataSourceId| watermarks.get(id).is_some_and(|found| found.row.synced_through.is_some());
    if let Some(source) = ids.iter().find(|id| !is_synced(id)) {
        let warning = format!("data source {source} was never synced to its end; it is swept after that");
        warn!(warning, "sweep");
        report.warnings.push(warning);
        return Ok(());
    }
    let begins = position(&ids, &watermarks);
    let merger = Merger::new(engine.databricks.clone(), engine.run);
    let settled_before = begins.map(|swept| swept.created_before);
    let mut sweep = Sweep {
        engine,
        sources,
        ids,
        allow_removals,
        watermarks,
        merger,
        begins,
        settled_before,
        removals: Vec::new(),
        duplicate_rows: 0,
        warnings: Vec::new(),
    };
    let swept = sweep.windows(report).await;
    let merged = sweep.merger.settle().await;
    let written = std::mem::take(&mut sweep.merger.written);
    report.totals.pages_inserted += written.inserted;
    report.totals.pages_updated += written.updated;
    report.totals.pages_unchanged += written.unchanged;
    report.warnings.extend(written.warnings);
    report.warnings.append(&mut sweep.warnings);
    match swept {
        Err(Stop::Failed(failure)) => {
            if failure.class() == FailureClass::RemovalShareExceeded {
                sweep.drop_owed(report).await?;
            }
            Err(failure.into())
        }
        Ok(stopped) => {
            merged?;
            sweep.mark(report).await?;
            let duplicate_rows = sweep.duplicate_rows;
            sweep.finish(stopped.is_none(), report).await?;
            if duplicate_rows > 0 {
                let tables = Tables::of(engine.databricks.config());
                return Err(duplicate_keys(&tables, engine.database.id, duplicate_rows).into());
            }
            stopped.map_or(Ok(()), Err)
        }
        Err(near) => Err(near),
    }
}

/// How far an unfinished sweep has come: as far as all data sources say.
fn position(ids: &[DataSourceId], watermarks: &HashMap<DataSourceId, Watermark>) -> Option<Swept> {
    let swept =
        |id| watermarks.get(id).and_then(|watermark| owed_sweep(&watermark.row)).and_then(|resume| resume.swept);
    let positions: Option<Vec<Swept>> = ids.iter().map(swept).collect();
    positions?.into_iter().min_by_key(|swept| swept.created_before)
}

/// The stored position, if nothing but a sweep is left of an unfinished run.
fn owed_sweep(row: &WatermarkRow) -> Option<Resume> {
    row.resume.as_deref().and_then(|text| Resume::parse(text).ok()).filter(Resume::is_sweep_alone)
}

impl Sweep<'_> {
    /// Lists, compares and settles window after window; `Some` = the deadline came first, and what was found so far may be
    /// marked.
    async fn windows(&mut self, report: &mut Report) -> Result<Option<Stop>, Stop> {
        loop {
            let listing = match listing::list(self.engine, self.sources, self.settled_before, report).await {
                Ok(listing) => listing,
                Err(near @ Stop::DeadlineNear { .. }) => return Ok(Some(near)),
                Err(failed) => return Err(failed),
            };
            let Comparison { differences, live_rows, duplicate_rows } =
                match listing::compare(self.engine, &listing).await {
                    Ok(compared) => compared,
                    Err(near @ Stop::DeadlineNear { .. }) => return Ok(Some(near)),
                    Err(failed) => return Err(failed),
                };
            self.duplicate_rows = duplicate_rows;
            info!(differences = differences.len(), live_rows, duplicate_rows, window = ?listing.window, "the listing was compared");
            self.forget(&differences, report).await;
            if let Some(stopped) = self.settle(&differences, self.limit(live_rows)).await? {
                return Ok(Some(stopped));
            }
            self.settled_before = listing.window.to;
            if listing.window.to.is_none() {
                return Ok(None);
            }
        }
    }

    /// How many rows this run may mark; `None` = any number. Rows that earlier runs of the same sweep marked count too.
    fn limit(&self, live_rows: u64) -> Option<u64> {
        let removed = self.begins.map_or(0, |swept| swept.removed);
        let limit = removal_limit(self.engine.config.max_removed_share, live_rows + removed, self.allow_removals);
        limit.map(|limit| limit.saturating_sub(removed))
    }

    /// The rows that the sweep is about to change are no longer known to the cache: should one come back as it was, it must
    /// be written again. The cache forgets first, whatever ends the sweep before its end.
    async fn forget(&mut self, differences: &[Difference], report: &mut Report) {
        for watermark in self.watermarks.values_mut() {
            let remembered = watermark.recent.len();
            for difference in differences {
                watermark.recent.remove(&difference.page_id);
            }
            if watermark.recent.len() < remembered {
                self.engine.watermarks.store_in_cache(watermark, self.engine.run, &mut report.warnings).await;
            }
        }
    }

    /// Asks for each differing page. A removal is collected, a live row is written. At the deadline what was found so far
    /// is kept, if the guard can't be exceeded any more by what is left.
    async fn settle(&mut self, differences: &[Difference], limit: Option<u64>) -> Result<Option<Stop>, Stop> {
        let engine = self.engine;
        let mut classifier = Classifier::new(engine, self.ids.clone());
        let mut batcher = Batcher::new(engine.config.merge_batch_bytes.min(MAX_BODY_BYTES));
        let mut stopped = None;
        for (index, difference) in differences.iter().enumerate() {
            let verdict = classifier.classify(difference).await;
            self.warnings.append(&mut classifier.warnings);
            let verdict = match verdict {
                Ok(verdict) => verdict,
                Err(near @ Stop::DeadlineNear { .. }) => {
                    let (mut missing, mut stale) = (0, 0);
                    for left in &differences[index..] {
                        missing += usize::from(left.side == Side::MissingInNotion);
                        stale += usize::from(left.side == Side::Stale);
                    }
                    if let Some(limit) = limit.filter(|limit| (self.removals.len() + missing) as u64 > *limit) {
                        return Err(refused(engine, limit, differences).into());
                    }
                    if limit.is_some_and(|limit| (self.removals.len() + missing + stale) as u64 > limit) {
                        return Err(near);
                    }
                    stopped = Some(near);
                    break;
                }
                Err(failed) => return Err(failed),
            };
            match verdict {
                Verdict::Removed(removal_reason, in_trash) => {
                    let (page_id, database_id) = (difference.page_id, engine.database.id);
                    let removal = Removal { page_id, database_id, removal_reason, in_trash };
                    self.removals.push((removal, difference.data_source_id));
                    if let Some(limit) = limit.filter(|limit| self.removals.len() as u64 > *limit) {
                        return Err(refused(engine, limit, differences).into());
                    }
                }
                Verdict::Live(row) => self.write(&row, &mut batcher).await?,
                Verdict::Nothing => {}
            }
            let (checked, of) = (index as u64 + 1, differences.len() as u64);
            engine.run.progress.tell(&ProgressEvent::Classified { checked, of });
        }
        if let Some(batch) = batcher.finish() {
            self.merger.send(batch).await?;
        }
        Ok(stopped)
    }

    async fn write(&mut self, row: &Row, batcher: &mut Batcher) -> Result<(), Stop> {
        let encoded = EncodedRow::encode(row)?;
        let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
        if bytes > MAX_BODY_BYTES {
            return Err(too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into());
        }
        if let Some(batch) = batcher.push(encoded) {
            self.merger.send(batch).await?;
        }
        Ok(())
    }

    /// Marks what was found as removed.
    async fn mark(&self, report: &mut Report) -> Result<(), Stop> {
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_merging());
        let vanished: HashSet<DataSourceId> = self
            .removals
            .iter()
            .filter(|(removal, _)| removal.removal_reason == RemovalReason::DataSourceRemoved)
            .filter_map(|(_, source)| *source)
            .collect();
        for source in vanished {
            // Forgotten before its rows are marked: should it come back, they are all read again.
            let database_id = self.engine.database.id;
            self.engine.watermarks.drop_source(database_id, source, &run, &mut report.warnings).await?;
        }
        let removals: Vec<Removal> = self.removals.iter().map(|(removal, _)| removal.clone()).collect();
        report.totals.pages_removed += mark::mark(self.engine, &removals, &run).await?;
        Ok(())
    }

    /// Proves the rows the sweep wrote and stores when it ended, or where the next run goes on with it.
    async fn finish(mut self, is_complete: bool, report: &mut Report) -> Result<(), Stop> {
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        let removed = self.begins.map_or(0, |swept| swept.removed) + self.removals.len() as u64;
        let swept = self.settled_before.map(|created_before| Swept { created_before, removed });
        // The proof goes with the first statement; it covers the rows of all data sources.
        let mut keys = self.merger.sent.keys();
        for source in self.sources {
            let Some(mut watermark) = self.watermarks.remove(&source.id) else { continue };
            let owed = owed_sweep(&watermark.row);
            let mut resume = None;
            if is_complete {
                watermark.row.last_sweep_at = Some(run.clock.now());
                if owed.is_some() {
                    watermark.row.resume = None;
                }
            } else if owed.is_some() || watermark.row.resume.is_none() {
                let ends_full_refresh = owed.is_some_and(|owed| owed.ends_full_refresh);
                let position = Resume::of_sweep(run.clock.now(), swept, ends_full_refresh);
                watermark.row.resume = Some(position.to_text()?);
                resume = serde_json::to_value(position).ok();
            }
            self.store(watermark.clone(), &std::mem::take(&mut keys), &run, report).await?;
            let removed = self.removals.iter().filter(|(_, from)| *from == Some(source.id)).count() as u64;
            note_source(report, source, removed, watermark.row.synced_through, resume);
        }
        Ok(())
    }

    /// Stores what the sweep has to say of a data source; where the cache was behind, it is said of the truth's row.
    async fn store(
        &self,
        mut watermark: Watermark,
        keys: &[ProofKey],
        run: &Run,
        report: &mut Report,
    ) -> Result<(), Stop> {
        let watermarks = &self.engine.watermarks;
        if watermarks.store(&mut watermark, keys, run, &mut report.warnings).await? != Stored::CacheIsStale {
            return Ok(());
        }
        let mut stored = watermarks.from_truth(self.engine.database, watermark.row.data_source_id, run).await?;
        stored.row.last_sweep_at = watermark.row.last_sweep_at;
        if owed_sweep(&stored.row).is_some() {
            stored.row.resume = watermark.row.resume;
        }
        watermarks.store(&mut stored, keys, run, &mut report.warnings).await?;
        Ok(())
    }

    /// The guard refused: a person decides. Until then incremental runs go on without asking again.
    async fn drop_owed(&mut self, report: &mut Report) -> Result<(), Stop> {
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        for watermark in self.watermarks.values_mut().filter(|watermark| owed_sweep(&watermark.row).is_some()) {
            watermark.row.resume = None;
            self.engine.watermarks.store(watermark, &[], &run, &mut report.warnings).await?;
        }
        Ok(())
    }
}

/// How many rows may be marked; `None` = any number.
fn removal_limit(max_removed_share: f64, live_rows: u64, allow_removals: bool) -> Option<u64> {
    if allow_removals || live_rows < GUARD_FROM_ROWS {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a row count: both are far below 2^52 and not negative"
    )]
    let limit = (live_rows as f64 * max_removed_share).floor() as u64;
    Some(limit)
}

fn refused(engine: &Engine<'_>, limit: u64, differences: &[Difference]) -> Failure {
    let missing = differences.iter().filter(|difference| difference.side == Side::MissingInNotion).count();
    let message = format!(
        "database {}: Notion does not list {missing} rows that are live in the table, more than the {limit} that may be \
         marked (SWEEP_MAX_REMOVED_SHARE {}); nothing was marked",
        engine.database.name, engine.config.max_removed_share
    );
    Failure::new(FailureClass::RemovalShareExceeded, message)
}

/// Adds the sweep's share to the data source's entry, or makes one when the sweep runs alone.
fn note_source(
    report: &mut Report,
    source: &DataSourceRef,
    removed: u64,
    synced_through: Option<Timestamp>,
    resume: Option<Value>,
) {
    if let Some(entry) = report.data_sources.iter_mut().find(|entry| entry.data_source_id == source.id) {
        entry.totals.pages_removed += removed;
        entry.resume = resume;
        return;
    }
    report.mode = Some(Mode::Sweep);
    report.data_sources.push(DataSourceReport {
        data_source_id: source.id,
        name: source.name.clone(),
        mode: Mode::Sweep,
        totals: Totals { pages_removed: removed, ..Totals::default() },
        window: None,
        watermark_before: synced_through,
        watermark_after: synced_through,
        resume,
        warnings: Vec::new(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_begins_at_twenty_rows() {
        assert_eq!(removal_limit(0.2, 19, false), None);
        assert_eq!(removal_limit(0.2, 20, false), Some(4));
        assert_eq!(removal_limit(0.2, 1_000, true), None);
        assert_eq!(removal_limit(0.0, 1_000, false), Some(0));
    }
}
