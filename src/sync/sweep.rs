//! The sweep: Notion never shows trashed, deleted, moved or unshared rows in a query, so all ids are listed, the warehouse
//! compares them with the table, and each difference is settled by asking for that page.
//!
//! Nothing is marked without a complete listing of every data source and a GET of that id (of its data source, when that
//! vanished as a whole); nothing at all when a source is unreachable.

mod classify;
mod listing;

use std::collections::BTreeMap;

use tracing::{info, warn};

use self::classify::{Classifier, Verdict};
use super::batch::{Batcher, STATEMENT_OVERHEAD_BYTES};
use super::merge::Merger;
use super::{Engine, Stop};
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, PageId};
use crate::notion::DataSourceRef;
use crate::progress::ProgressEvent;
use crate::report::{DataSourceReport, Mode, Report, Totals};
use crate::warehouse::{Difference, EncodedRow, Removal, Side, Tables, merge_removals};
use crate::watermark::Loaded;

/// Below this number of live rows a share says nothing: one row of five is 20 % (DESIGN §4, small print).
const GUARD_FROM_ROWS: u64 = 20;

/// Removals in one statement; about 200 bytes each in the body.
const REMOVALS_PER_STATEMENT: usize = 40_000;

/// What a sweep has found and done so far.
#[derive(Default)]
struct Found {
    removals: Vec<(Removal, Option<DataSourceId>)>,
    removed: BTreeMap<Option<DataSourceId>, u64>,
}

/// Sweeps all data sources of the database at once: a row may have moved from one to another.
pub(super) async fn sweep(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    allow_removals: bool,
    report: &mut Report,
) -> Result<(), Stop> {
    let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
    let loaded = engine.watermarks.load(engine.database, &ids, engine.run).await?;
    if let Some(source) =
        ids.iter().find(|id| loaded.watermarks.get(id).is_none_or(|found| found.row.synced_through.is_none()))
    {
        let warning = format!("data source {source} was never synced to its end; it is swept after that");
        warn!(warning, "sweep");
        report.warnings.push(warning);
        return Ok(());
    }
    let listed = listing::list(engine, sources, report).await?;
    let (differences, live_rows) = listing::compare(engine, listed).await?;
    info!(differences = differences.len(), live_rows, "the listing was compared with the table");
    let limit = removal_limit(engine.config.max_removed_share, live_rows, allow_removals);
    let mut merger = Merger::new(engine.databricks.clone(), engine.run);
    let settled = settle(engine, &ids, &differences, limit, &mut merger).await;
    merger.settle().await?;
    let written = std::mem::take(&mut merger.written);
    report.totals.pages_inserted += written.inserted;
    report.totals.pages_updated += written.updated;
    report.totals.pages_unchanged += written.unchanged;
    report.warnings.extend(written.warnings);
    let (mut found, stopped) = settled?;
    mark(engine, &mut found, report).await?;
    finish(engine, sources, loaded, &merger, found, stopped.is_none(), report).await?;
    stopped.map_or(Ok(()), Err)
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

/// Asks for each differing page. A removal is collected, a live row is written. At the deadline what was found so far is
/// kept, if the guard can't be exceeded any more by what is left.
async fn settle(
    engine: &Engine<'_>,
    sources: &[DataSourceId],
    differences: &[Difference],
    limit: Option<u64>,
    merger: &mut Merger,
) -> Result<(Found, Option<Stop>), Stop> {
    let mut classifier = Classifier::new(engine, sources);
    let mut batcher = Batcher::new(engine.config.merge_batch_bytes.min(MAX_BODY_BYTES));
    let mut found = Found::default();
    let mut stopped = None;
    for (index, difference) in differences.iter().enumerate() {
        let verdict = match classifier.classify(difference).await {
            Ok(verdict) => verdict,
            Err(near @ Stop::DeadlineNear { .. }) => {
                let still_possible =
                    differences[index..].iter().filter(|left| left.side != Side::MissingInTable).count();
                if limit.is_some_and(|limit| (found.removals.len() + still_possible) as u64 > limit) {
                    return Err(near);
                }
                stopped = Some(near);
                break;
            }
            Err(failed) => return Err(failed),
        };
        match verdict {
            Verdict::Removed(reason, in_trash) => {
                let removal = Removal {
                    page_id: difference.page_id,
                    database_id: engine.database.id,
                    removal_reason: reason,
                    in_trash,
                };
                found.removals.push((removal, difference.data_source_id));
                if limit.is_some_and(|limit| found.removals.len() as u64 > limit) {
                    return Err(refused(engine, limit.unwrap_or_default(), differences).into());
                }
            }
            Verdict::Live(row) => {
                let encoded = EncodedRow::encode(&row)?;
                let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
                if bytes > MAX_BODY_BYTES {
                    return Err(
                        super::merge::too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into()
                    );
                }
                if let Some(batch) = batcher.push(encoded) {
                    merger.send(batch).await?;
                }
            }
            Verdict::Nothing => {}
        }
        engine
            .run
            .progress
            .tell(&ProgressEvent::Classified { checked: index as u64 + 1, of: differences.len() as u64 });
    }
    if let Some(batch) = batcher.finish() {
        merger.send(batch).await?;
    }
    Ok((found, stopped))
}

fn refused(engine: &Engine<'_>, limit: u64, differences: &[Difference]) -> Failure {
    let missing = differences.iter().filter(|difference| difference.side == Side::MissingInNotion).count();
    let message = format!(
        "database {}: Notion does not list {missing} rows that are live in the table, and more than the {limit} allowed \
         (SWEEP_MAX_REMOVED_SHARE {}) are removed; nothing was marked",
        engine.database.name, engine.config.max_removed_share
    );
    Failure::new(FailureClass::RemovalShareExceeded, message)
}

/// Marks what was found as removed.
async fn mark(engine: &Engine<'_>, found: &mut Found, report: &mut Report) -> Result<(), Stop> {
    let tables = Tables::of(engine.databricks.config());
    let run = engine.run.with_deadline(engine.run.deadline.for_merging());
    for chunk in found.removals.chunks(REMOVALS_PER_STATEMENT) {
        let removals: Vec<Removal> = chunk.iter().map(|(removal, _)| removal.clone()).collect();
        let statement = merge_removals(&tables, &removals, &run.id)?;
        let answer = engine.databricks.execute(&statement, &run).await?;
        let marked = answer.merge_counts().map_or(removals.len() as u64, |counts| counts.updated);
        report.totals.pages_removed += marked;
        for (_, source) in chunk {
            *found.removed.entry(*source).or_default() += 1;
        }
    }
    Ok(())
}

/// Stores when the sweep ended, and proves the rows it wrote. A removed page is no longer known to the cache: should it
/// come back unchanged, it must be written again.
async fn finish(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    loaded: Loaded,
    merger: &Merger,
    found: Found,
    is_complete: bool,
    report: &mut Report,
) -> Result<(), Stop> {
    let run = engine.run.with_deadline(engine.run.deadline.for_storing());
    let removed: Vec<PageId> = found.removals.iter().map(|(removal, _)| removal.page_id).collect();
    let mut keys = merger.sent.keys();
    let mut watermarks = loaded.watermarks;
    for source in sources {
        let Some(mut watermark) = watermarks.remove(&source.id) else { continue };
        let before = watermark.row.synced_through;
        for page_id in &removed {
            watermark.recent.remove(page_id);
        }
        if is_complete {
            watermark.row.last_sweep_at = Some(run.clock.now());
            if has_only_sweep_pending(&watermark.row) {
                watermark.row.resume = None;
            }
        }
        // The proof goes with the first statement; it covers the rows of all data sources.
        let proof = std::mem::take(&mut keys);
        engine.watermarks.store(&watermark, &proof, &run, &mut report.warnings).await?;
        note_source(report, source, found.removed.get(&Some(source.id)).copied().unwrap_or_default(), before);
    }
    Ok(())
}

fn has_only_sweep_pending(row: &crate::warehouse::WatermarkRow) -> bool {
    let resume = row.resume.as_deref().and_then(|text| crate::watermark::Resume::parse(text).ok());
    resume.is_some_and(|resume| resume.stretches.is_empty())
}

/// Adds the sweep's share to the data source's entry, or makes one when the sweep runs alone.
fn note_source(report: &mut Report, source: &DataSourceRef, removed: u64, synced_through: Option<jiff::Timestamp>) {
    if let Some(entry) = report.data_sources.iter_mut().find(|entry| entry.data_source_id == source.id) {
        entry.totals.pages_removed += removed;
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
        resume: None,
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
