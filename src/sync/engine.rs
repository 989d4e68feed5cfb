//! The sync of one database: its data sources one after the other, then the sweep; it stops before the deadline.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::plan::WalkRequest;
use super::schemas::Schemas;
use super::seen_rows::{MAX_SEEN_ROWS, SeenRows};
use super::source::{SourceSync, SyncedSource};
use super::sweep;
use super::{Ended, OutOfTime, Stop, SyncConfig};
use crate::action::SyncRequest;
use crate::databricks;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database};
use crate::notion::{self, DataSourceRef, NotionError};
use crate::run::Run;
use crate::run::clock::Clock;
use crate::run::report::{Outcome, Report};
use crate::watermark::{PendingSweep, Position, Scope, Stretch, Watermark, Watermarks};

/// The error of this machine's clock, ahead of Notion's, from which on it is worth a warning.
const MIN_NOTABLE_CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(60);

/// The clients and settings that the sync of a database works with.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    /// The client of Notion.
    pub notion: &'a notion::Client,
    /// The client of the warehouse.
    pub databricks: &'a databricks::Client,
    /// The stored watermarks.
    pub watermarks: &'a Watermarks,
    pub config: &'a SyncConfig,
    /// The schemas that rows asked for.
    pub schemas: Schemas,
    pub database: &'a Database,
    /// This attempt.
    pub run: &'a Run,
}

/// The options of a sync, as the caller asked for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncOptions {
    /// Walk everything, then sweep.
    pub full_refresh: bool,
    /// Drop stored positions.
    pub restart: bool,
    /// Let the sweep mark any share of the rows as removed.
    pub allow_removals: bool,
}

impl SyncOptions {
    /// The options of a request.
    pub(crate) fn of(request: &SyncRequest) -> Self {
        let SyncRequest { full_refresh, restart, allow_removals, .. } = *request;
        Self { full_refresh, restart, allow_removals }
    }

    /// Returns the walk that is asked for.
    pub(super) fn walk_request(self) -> WalkRequest {
        match (self.full_refresh, self.restart) {
            (false, false) => WalkRequest::Incremental,
            (true, false) => WalkRequest::FullRefresh,
            (false, true) => WalkRequest::Restart,
            (true, true) => WalkRequest::RestartedFullRefresh,
        }
    }
}

/// The data sources of the database, and Notion's time when it listed them.
pub(super) struct Sources {
    pub(super) sources: Vec<DataSourceRef>,
    pub(super) notion_clock: NotionClock,
}

/// Notion's time at the start of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotionClock {
    answered_at: Option<Timestamp>,
    received_at: Instant,
}

impl NotionClock {
    /// Returns the time now by Notion's clock or by ours, whichever is earlier.
    pub(super) fn now(&self, clock: &Clock) -> Timestamp {
        let ours = clock.now();
        let theirs = self.answered_at.and_then(|at| at.checked_add(self.received_at.elapsed()).ok());
        theirs.map_or(ours, |theirs| theirs.min(ours))
    }
}

/// The context of the sync of one data source.
#[derive(Clone, Copy)]
pub(super) struct SourceContext {
    pub(super) options: SyncOptions,
    pub(super) notion_clock: NotionClock,
    pub(super) is_cache_usable: bool,
}

impl Engine<'_> {
    /// Syncs the database, and fills the report as far as the work came.
    ///
    /// # Errors
    /// The first failure; other data sources of the database were still tried.
    pub(crate) async fn sync(&self, options: SyncOptions, report: &mut Report) -> Result<(), Failure> {
        let ended = Ended::of(self.sync_sources(options, report).await)?;
        if let Ended::OutOfTime(_) = ended
            && options.full_refresh
            && report.data_sources.is_empty()
        {
            let stretches = Stretch::both_partitions();
            let position = Position::of_walk(Scope::Everything, self.run.clock.now(), stretches);
            self.record_pending(position).await;
        }
        end_run(ended, report);
        Ok(())
    }

    /// Finds and repairs what no query shows.
    ///
    /// # Errors
    /// As a sync; `RemovalShareExceeded` when the guard refuses.
    pub(crate) async fn sweep(&self, allow_removals: bool, report: &mut Report) -> Result<(), Failure> {
        let swept = match self.sources().await {
            Ok(found) if found.sources.is_empty() && !allow_removals => Ended::of(Err(self.no_data_source()))?,
            Ok(found) => sweep::sweep(self, &found.sources, HashMap::new(), allow_removals, report).await?,
            Err(stop) => Ended::of(Err(stop))?,
        };
        if let Ended::OutOfTime(_) = swept {
            let sweep = PendingSweep { progress: None, ends_full_refresh: false };
            self.record_pending(Some(Position::of_sweep(self.run.clock.now(), sweep))).await;
        }
        end_run(swept, report);
        Ok(())
    }

    /// Leaves work that was asked for and could not begin before the deadline to the next run.
    async fn record_pending(&self, position: Option<Position>) {
        if let Some(position) = position {
            self.watermarks.record_pending(self.database, &position, &self.run.for_storing()).await;
        }
    }

    async fn sync_sources(&self, options: SyncOptions, report: &mut Report) -> Result<(), Stop> {
        let Sources { sources, notion_clock } = self.sources().await?;
        if sources.is_empty() {
            return Err(self.no_data_source());
        }
        self.check_clock(notion_clock);
        let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
        let mut loaded = self.watermarks.load(self.database, &ids, self.run).await?;
        let context = SourceContext { options, notion_clock, is_cache_usable: loaded.is_cache_usable };
        let mut first_failure = None;
        let mut is_sweep_pending = false;
        let mut seen: HashMap<DataSourceId, SeenRows> = HashMap::new();
        for source in &sources {
            let mut watermark =
                loaded.watermarks.remove(&source.id).unwrap_or_else(|| Watermark::none(self.database, source.id));
            let room = MAX_SEEN_ROWS - seen.values().map(SeenRows::len).sum::<usize>();
            let mut source_sync = SourceSync::begin(self, source, &watermark, context.is_cache_usable, room);
            let synced = source_sync.sync(&mut watermark, context).await;
            seen.extend(source_sync.take_seen().map(|rows| (source.id, rows)));
            report.add_source(source_sync.into_report(&watermark));
            match synced {
                Ok(SyncedSource::Advanced { is_sweep_pending: is_pending }) => is_sweep_pending |= is_pending,
                Ok(SyncedSource::OutOfTime(out_of_time)) => end_run(Ended::OutOfTime(out_of_time), report),
                Err(failure) => {
                    first_failure.get_or_insert(failure);
                }
            }
        }
        if let Some(failure) = first_failure {
            return Err(failure.into());
        }
        if is_sweep_pending && report.outcome == Outcome::Complete {
            let swept = sweep::sweep(self, &sources, seen, options.allow_removals, report).await?;
            end_run(swept, report);
        }
        Ok(())
    }

    /// Warns when this machine's clock is ahead of Notion's.
    fn check_clock(&self, notion_clock: NotionClock) {
        let ahead = self.run.clock.now().duration_since(notion_clock.now(&self.run.clock));
        if ahead > MIN_NOTABLE_CLOCK_ERROR {
            let warning = format!("this machine's clock is {} s ahead of Notion's; Notion's counts", ahead.as_secs());
            self.run.warn("clock", warning);
        }
    }

    /// A database that lists no data source: access was lost, or somebody removed all of them. Nobody can tell, however few
    /// rows there are.
    pub(super) fn no_data_source(&self) -> Stop {
        let message = format!(
            "database {} ({}) lists no data source, so nothing was read or marked: all of them are in the trash or not \
             shared, or it is a linked view (sync the original); `sweep --allow-removals` marks the rows of removed ones",
            self.database.name, self.database.id
        );
        Failure::new(FailureClass::SourceAccessLost, message).into()
    }

    /// Lists the data sources of the database, in every run: a user can add one at any time.
    pub(super) async fn sources(&self) -> Result<Sources, Stop> {
        let database = self.database;
        match self.notion.database(database.id, self.run).await {
            Ok(info) if info.in_trash => {
                let message =
                    format!("database {} ({}) is in Notion's trash; nothing was marked", database.name, database.id);
                Err(Failure::new(FailureClass::SourceAccessLost, message).into())
            }
            Ok(info) => {
                let notion_clock = NotionClock { answered_at: info.answered_at, received_at: Instant::now() };
                Ok(Sources { sources: info.data_sources, notion_clock })
            }
            Err(NotionError::DeadlineNear { retry_after }) => Err(OutOfTime { retry_after }.into()),
            Err(error) => Err(error.of_database(database).into()),
        }
    }
}

/// Notes in the report how the work ended.
fn end_run(ended: Ended, report: &mut Report) {
    let Ended::OutOfTime(OutOfTime { retry_after }) = ended else { return };
    report.outcome = Outcome::Partial;
    if let Some(wait) = retry_after {
        report.retry_after_seconds = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    }
}
