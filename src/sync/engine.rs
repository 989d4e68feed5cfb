//! Carries one database's sync out: sources, walks, MERGEs, proof, watermark; stops before the deadline.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::info;

use super::plan::plan;
use super::source::SourceWalk;
use super::sweep;
use super::{Stop, SyncConfig};
use crate::databricks;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database};
use crate::notion::{self, DataSourceRef, Partition};
use crate::run::Run;
use crate::run::clock::Clock;
use crate::run::report::{Outcome, Report};
use crate::watermark::{Resume, Stretch, Watermark, Watermarks};

/// How far this machine's clock may be ahead of Notion's before it is told.
const NOTABLE_CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(60);

/// What the sync of a database works with.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Notion.
    pub notion: &'a notion::Client,
    /// The warehouse.
    pub databricks: &'a databricks::Client,
    /// Where data sources stand.
    pub watermarks: &'a Watermarks,
    /// How to behave.
    pub config: &'a SyncConfig,
    /// The database.
    pub database: &'a Database,
    /// This attempt.
    pub run: &'a Run,
}

/// What was asked of a sync.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Walk everything, then sweep.
    pub full_refresh: bool,
    /// Drop stored positions.
    pub restart: bool,
    /// Let the sweep mark any share of the rows as removed.
    pub allow_removals: bool,
}

/// The database's data sources, and what Notion's clock said with them.
struct Sources {
    sources: Vec<DataSourceRef>,
    notion_clock: NotionClock,
}

/// Notion's time at the start of the run.
#[derive(Debug, Clone, Copy)]
struct NotionClock {
    answered_at: Option<Timestamp>,
    received_at: Instant,
}

impl NotionClock {
    /// The time now by Notion's clock or by ours, whichever is earlier.
    fn now(&self, clock: &Clock) -> Timestamp {
        let ours = clock.now();
        let theirs = self.answered_at.and_then(|at| at.checked_add(self.received_at.elapsed()).ok());
        theirs.map_or(ours, |theirs| theirs.min(ours))
    }
}

/// What the sync of one data source is given.
#[derive(Clone, Copy)]
struct Given {
    wanted: Wanted,
    notion_clock: NotionClock,
    is_cache_usable: bool,
}

impl Engine<'_> {
    /// Syncs the database; the report is filled as far as the work came.
    ///
    /// # Errors
    /// The first failure; other data sources of the database were still tried.
    pub async fn sync(&self, wanted: Wanted, report: &mut Report) -> Result<(), Failure> {
        match self.sync_sources(wanted, report).await {
            Ok(()) => Ok(()),
            Err(stop) => {
                if wanted.full_refresh && report.data_sources.is_empty() {
                    let stretches = [Partition::Default, Partition::Archived].map(Stretch::whole).to_vec();
                    self.owe(&stop, &Resume::new(None, self.run.clock.now(), stretches, true), report).await;
                }
                ended_early(stop, report)
            }
        }
    }

    /// What was asked for and could not begin before the deadline is left for the next run.
    async fn owe(&self, stop: &Stop, resume: &Resume, report: &mut Report) {
        if matches!(stop, Stop::DeadlineNear { .. }) {
            let run = self.run.with_deadline(self.run.deadline.for_storing());
            self.watermarks.owe(self.database, resume, &run, &mut report.warnings).await;
        }
    }

    async fn sync_sources(&self, wanted: Wanted, report: &mut Report) -> Result<(), Stop> {
        let Sources { sources, notion_clock } = self.sources().await?;
        if sources.is_empty() {
            let message = format!(
                "database {} ({}) lists no data source, nothing was read or marked: all of them are in the trash or not \
                 shared, or it is a linked view (sync the original); `sweep` marks the rows of removed ones",
                self.database.name, self.database.id
            );
            return Err(Failure::new(FailureClass::SourceAccessLost, message).into());
        }
        let ahead = self.run.clock.now().duration_since(notion_clock.now(&self.run.clock));
        if ahead > NOTABLE_CLOCK_ERROR {
            let warning = format!("this machine's clock is {} s ahead of Notion's; Notion's counts", ahead.as_secs());
            report.warnings.push(warning);
        }
        let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
        let loaded = self.watermarks.load(self.database, &ids, self.run).await?;
        report.warnings.extend(loaded.warnings);
        let mut first_failure = None;
        let mut is_sweep_owed = false;
        for source in &sources {
            let watermark =
                loaded.watermarks.get(&source.id).cloned().unwrap_or_else(|| Watermark::none(self.database, source.id));
            let given = Given { wanted, notion_clock, is_cache_usable: loaded.is_cache_usable };
            match self.sync_source(source, watermark, given, report).await {
                Ok(is_owed) => is_sweep_owed |= is_owed,
                Err(Stop::DeadlineNear { retry_after }) => near_deadline(report, retry_after),
                Err(Stop::Failed(failure)) => {
                    first_failure.get_or_insert(failure);
                }
            }
        }
        if let Some(failure) = first_failure {
            return Err(failure.into());
        }
        if is_sweep_owed && report.outcome == Outcome::Complete {
            sweep::sweep(self, &sources, wanted.allow_removals, report).await?;
        }
        Ok(())
    }

    /// The database's data sources, asked for in every run: a user can add one at any time.
    async fn sources(&self) -> Result<Sources, Stop> {
        let database = self.database;
        match self.notion.database(database.id, self.run).await {
            Ok(info) if info.in_trash => {
                let message =
                    format!("database {} ({}) lies in Notion's trash; nothing was marked", database.name, database.id);
                Err(Failure::new(FailureClass::SourceAccessLost, message).into())
            }
            Ok(info) => {
                let notion_clock = NotionClock { answered_at: info.answered_at, received_at: Instant::now() };
                Ok(Sources { sources: info.data_sources, notion_clock })
            }
            Err(error) if error.is_not_found() || error.is_forbidden() => {
                let message =
                    format!("database {} ({}) is not visible, nothing was marked: {error}", database.name, database.id);
                Err(Failure::new(FailureClass::SourceAccessLost, message).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One data source: the planned walk, and after one that went on from a stored position the edits made in between.
    /// `true` = a sweep is owed.
    async fn sync_source(
        &self,
        source: &DataSourceRef,
        mut watermark: Watermark,
        Given { wanted, notion_clock, is_cache_usable }: Given,
        report: &mut Report,
    ) -> Result<bool, Stop> {
        let mut walk = SourceWalk::begin(self, source, &watermark, is_cache_usable);
        let (mut full_refresh, mut restart) = (wanted.full_refresh, wanted.restart);
        let result = loop {
            // A clock that runs ahead would carry the watermark past edits that are still to come.
            let now = notion_clock.now(&self.run.clock);
            let planned = match plan(&watermark.row, full_refresh, restart, now, self.config.settle) {
                Ok(planned) => planned,
                Err(failure) => break Err(failure.into()),
            };
            walk.note_plan(&planned);
            info!(data_source = %source.id, mode = planned.mode.name(), edited_since = planned.edited_since.map(tracing::field::display),
                  is_resumed = planned.is_resumed, "walking");
            match walk.carry_out(&planned, &mut watermark).await {
                // The rows are written; where the data source stands is asked of the truth, and the walk done again from there.
                Ok(()) if walk.take_stale() => {
                    match self.watermarks.from_truth(self.database, source.id, self.run).await {
                        Ok(stored) => watermark = stored,
                        Err(failure) => break Err(failure.into()),
                    }
                }
                // What it owes, a sweep, stands in the watermark: the plan of the catch-up takes it over.
                Ok(()) if planned.is_resumed => (full_refresh, restart) = (false, false),
                walked => break walked.map(|()| planned.sweep),
            }
        };
        report.add_source(walk.into_report(&watermark));
        result
    }

    /// Finds and repairs what no query shows.
    ///
    /// # Errors
    /// As a sync; `RemovalShareExceeded` when the guard refuses.
    pub async fn sweep(&self, allow_removals: bool, report: &mut Report) -> Result<(), Failure> {
        let swept = match self.sources().await {
            Ok(found) => sweep::sweep(self, &found.sources, allow_removals, report).await,
            Err(stop) => Err(stop),
        };
        match swept {
            Ok(()) => Ok(()),
            Err(stop) => {
                self.owe(&stop, &Resume::of_sweep(self.run.clock.now(), None, false), report).await;
                ended_early(stop, report)
            }
        }
    }
}

fn ended_early(stop: Stop, report: &mut Report) -> Result<(), Failure> {
    match stop {
        Stop::Failed(failure) => Err(failure),
        Stop::DeadlineNear { retry_after } => {
            near_deadline(report, retry_after);
            Ok(())
        }
    }
}

pub(super) fn near_deadline(report: &mut Report, retry_after: Option<std::time::Duration>) {
    report.outcome = Outcome::Partial;
    if let Some(wait) = retry_after {
        report.retry_after_seconds = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    }
}
