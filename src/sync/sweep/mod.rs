//! The sweep: Notion never shows trashed, deleted, moved or unshared rows in a query. So all ids are listed, the warehouse
//! compares them with the table, and each row that differs is classified by asking for its page.
//!
//! Nothing is marked without a complete listing of every data source and a GET of that id (of its data source, when that
//! vanished as a whole), and nothing at all when a data source can't be reached.

mod classify;
mod differences;
mod finish;
mod guard;
mod listing;
mod mark;
mod unclear;

use std::collections::HashMap;

use tracing::info;

use self::guard::RemovalGuard;
use self::unclear::UnclearRows;
use super::merge::Merger;
use super::seen_rows::SeenRows;
use super::{Ended, Engine, OutOfTime, Stop};
use crate::failure::{Failure, FailureClass};
use crate::ids::DataSourceId;
use crate::notion::DataSourceRef;
use crate::run::clock::Minute;
use crate::run::report::Report;
use crate::warehouse::{Comparison, Difference, Removal, Tables, duplicate_keys};
use crate::watermark::{SweepProgress, Watermark};

/// A sweep in progress.
struct Sweep<'a> {
    engine: &'a Engine<'a>,
    sources: &'a [DataSourceRef],
    /// The rows that full walks of this run have seen: they are not listed again.
    seen: HashMap<DataSourceId, SeenRows>,
    ids: Vec<DataSourceId>,
    allow_removals: bool,
    watermarks: HashMap<DataSourceId, Watermark>,
    merger: Merger,
    /// The progress of the unfinished sweep that this one continues.
    continues: Option<SweepProgress>,
    /// Rows created before this minute are compared and classified.
    compared_before: Option<Minute>,
    removals: Vec<(Removal, Option<DataSourceId>)>,
    /// The number of rows in the table beyond one for each key.
    duplicate_rows: u64,
    unclear: UnclearRows,
}

/// The end of the comparison and classification.
enum Classification {
    /// Every row is classified.
    All,
    /// The time was over first. The removals found so far may be marked: those left can't exceed the guard's limit.
    Part(OutOfTime),
    /// The time was over before it was certain that the removals are within the guard's limit, so none may be marked.
    Undecided(OutOfTime),
}

/// Sweeps all data sources of the database at once, since a row may have moved from one to another. Continues from the
/// stored position of a sweep that ran out of time. Rows that full walks of this run have `seen` are not listed again.
pub(super) async fn sweep(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    seen: HashMap<DataSourceId, SeenRows>,
    allow_removals: bool,
    report: &mut Report,
) -> Result<Ended, Failure> {
    Ended::of(sweep_sources(engine, sources, seen, allow_removals, report).await)
}

async fn sweep_sources(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    seen: HashMap<DataSourceId, SeenRows>,
    allow_removals: bool,
    report: &mut Report,
) -> Result<(), Stop> {
    let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
    let watermarks = engine.watermarks.load(engine.database, &ids, engine.run).await?.watermarks;
    let is_synced = |id: &&DataSourceId| watermarks.get(id).is_some_and(|found| found.synced_through.is_some());
    if let Some(source) = ids.iter().find(|id| !is_synced(id)) {
        let warning = format!("data source {source} was never synced to its end; it is swept after that");
        engine.run.warn("sweep", warning);
        return Ok(());
    }
    let continues = progress(&ids, &watermarks);
    let mut sweep = Sweep {
        engine,
        sources,
        seen,
        ids,
        allow_removals,
        watermarks,
        merger: Merger::new(engine.databricks.clone(), engine.run, Vec::new()),
        continues,
        compared_before: continues.map(|progress| progress.created_before),
        removals: Vec::new(),
        duplicate_rows: 0,
        unclear: UnclearRows::default(),
    };
    let classified = sweep.classify_windows().await;
    let merged = sweep.merger.wait_in_flight().await;
    let stats = std::mem::take(&mut sweep.merger.stats);
    report.totals.pages_inserted += stats.inserted;
    report.totals.pages_updated += stats.updated;
    report.totals.pages_unchanged += stats.unchanged;
    let out_of_time = match classified {
        Ok(Classification::All) => None,
        Ok(Classification::Part(out_of_time)) => Some(out_of_time),
        Ok(Classification::Undecided(out_of_time)) => return Err(out_of_time.into()),
        Err(failure) => {
            if failure.class() == FailureClass::RemovalShareExceeded {
                sweep.drop_pending().await?;
            }
            return Err(failure.into());
        }
    };
    merged?;
    sweep.mark(report).await?;
    let duplicate_rows = sweep.duplicate_rows;
    let unclear = std::mem::take(&mut sweep.unclear);
    sweep.finish(out_of_time.is_none(), report).await?;
    if duplicate_rows > 0 {
        let tables = Tables::of(engine.databricks.config());
        return Err(duplicate_keys(&tables, engine.database.id, duplicate_rows).into());
    }
    // What is clear is marked and stored; the run fails all the same, so that somebody looks.
    if let Some(failure) = unclear.into_failure(&engine.database.name) {
        return Err(failure.into());
    }
    out_of_time.map_or(Ok(()), |out_of_time| Err(out_of_time.into()))
}

/// Returns the progress of an unfinished sweep: the least that any data source has stored.
fn progress(ids: &[DataSourceId], watermarks: &HashMap<DataSourceId, Watermark>) -> Option<SweepProgress> {
    let progress = |id| watermarks.get(id).and_then(|watermark| watermark.position.sweep()?.progress);
    let stored: Option<Vec<SweepProgress>> = ids.iter().map(progress).collect();
    stored?.into_iter().min_by_key(|progress| progress.created_before)
}

impl Sweep<'_> {
    /// Lists, compares and classifies window after window.
    async fn classify_windows(&mut self) -> Result<Classification, Failure> {
        loop {
            let listed = async {
                let listing = listing::list(self.engine, self.sources, &self.seen, self.compared_before).await?;
                let compared = listing::compare(self.engine, &listing).await?;
                Ok::<_, Stop>((listing.window, compared))
            };
            let (window, Comparison { differences, live_rows, duplicate_rows }) = match Box::pin(listed).await {
                Ok(listed) => listed,
                Err(Stop::OutOfTime(out_of_time)) => return Ok(Classification::Part(out_of_time)),
                Err(Stop::Failed(failure)) => return Err(failure),
            };
            self.duplicate_rows = duplicate_rows;
            info!(differences = differences.len(), live_rows, duplicate_rows, ?window, "the listing was compared");
            self.forget(&differences).await;
            match self.classify_all(&differences, self.guard(live_rows)).await? {
                Classification::All => {}
                cut_short => return Ok(cut_short),
            }
            self.compared_before = window.to.map(Minute::floor);
            if window.to.is_none() {
                return Ok(Classification::All);
            }
        }
    }

    fn removed_before(&self) -> u64 {
        self.continues.map_or(0, |progress| progress.removed)
    }

    fn guard(&self, live_rows: u64) -> RemovalGuard {
        let share = self.engine.config.max_removed_share;
        RemovalGuard::new(share, live_rows, self.removed_before(), self.allow_removals)
    }

    /// Makes the cache forget the rows that the sweep is about to change: should one come back as it was, it must be
    /// written again. The cache forgets before the change, so that it is right whatever ends the sweep early.
    async fn forget(&mut self, differences: &[Difference]) {
        for watermark in self.watermarks.values_mut() {
            let remembered = watermark.recent.len();
            for difference in differences {
                watermark.recent.remove(&difference.page_id);
            }
            if watermark.recent.len() < remembered {
                self.engine.watermarks.store_in_cache(watermark, self.engine.run).await;
            }
        }
    }
}
