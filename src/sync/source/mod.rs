//! The sync of one data source within one run: its walks, and the outcome of each.

mod ranges;
mod side_by_side;
mod store;
mod walk;

use jiff::Timestamp;
use tracing::info;

use self::walk::Walk;
use super::engine::SourceContext;
use super::merge::Merger;
use super::plan::{Plan, WalkRequest, plan};
use super::seen_rows::SeenRows;
use super::{Ended, Engine, OutOfTime, Stop};
use crate::failure::Failure;
use crate::notion::DataSourceRef;
use crate::run::Run;
use crate::run::progress::ProgressEvent;
use crate::run::report::{DataSourceReport, Mode, Totals, Window};
use crate::watermark::{Position, RecentRows, Watermark};

/// The sync of one data source within one run, and its share of the report.
pub(super) struct SourceSync<'a> {
    engine: &'a Engine<'a>,
    run: Run,
    source: DataSourceRef,
    is_cache_usable: bool,
    totals_before: Totals,
    totals: Totals,
    mode: Mode,
    window: Option<Window>,
    watermark_before: Option<Timestamp>,
    /// The position stored in this run, for the report.
    position: Option<Position>,
    /// The watermark as the cache has it, as long as it remembers rows that this run may be about to overwrite.
    remembering: Option<Watermark>,
    /// The rows seen since a full walk began, for the sweep.
    seen: Option<SeenRows>,
    max_seen_rows: usize,
}

/// The outcome of one walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceOutcome {
    /// Everything is walked and proven, and the watermark has advanced.
    Advanced,
    /// The truth is not what the cache said: the rows are written, but the walk must be done again from the truth.
    CacheWasStale,
    /// The time was over first.
    OutOfTime(OutOfTime),
}

/// The outcome of the sync of one data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncedSource {
    /// The watermark has advanced.
    Advanced {
        /// A sweep is to be done.
        is_sweep_pending: bool,
    },
    /// The time was over first.
    OutOfTime(OutOfTime),
}

impl<'a> SourceSync<'a> {
    pub(super) fn begin(
        engine: &'a Engine<'a>,
        source: &DataSourceRef,
        watermark: &Watermark,
        is_cache_usable: bool,
        max_seen_rows: usize,
    ) -> Self {
        Self {
            engine,
            run: engine.run.for_source(source.id),
            source: source.clone(),
            is_cache_usable,
            totals_before: engine.run.meter.totals(),
            totals: Totals::default(),
            mode: Mode::Incremental,
            window: None,
            watermark_before: watermark.synced_through.map(|at| at.start()),
            position: None,
            remembering: None,
            seen: None,
            max_seen_rows,
        }
    }

    /// Carries out the planned walk, and after one that continued from a stored position a second one for the edits made
    /// in between.
    pub(super) async fn sync(
        &mut self,
        watermark: &mut Watermark,
        context: SourceContext,
    ) -> Result<SyncedSource, Failure> {
        match self.walk_plans(watermark, context).await {
            Ok(synced) => Ok(synced),
            Err(Stop::OutOfTime(out_of_time)) => Ok(SyncedSource::OutOfTime(out_of_time)),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    async fn walk_plans(&mut self, watermark: &mut Watermark, context: SourceContext) -> Result<SyncedSource, Stop> {
        let mut request = context.options.walk_request();
        loop {
            // A clock that is ahead would carry the watermark past edits that are still to come.
            let now = context.notion_clock.now(&self.run.clock);
            let planned = plan(watermark, request, now, self.engine.config.settle)?;
            self.note_plan(&planned);
            info!(
                data_source = %self.source.id,
                mode = planned.mode().name(),
                edited_since = planned.scope.edited_since().map(tracing::field::display),
                is_resumed = planned.is_resumed,
                "walking"
            );
            match self.carry_out(&planned, watermark).await? {
                SourceOutcome::CacheWasStale => {
                    let (database, source) = (self.engine.database, self.source.id);
                    *watermark = self.engine.watermarks.from_truth(database, source, &self.run).await?;
                }
                // The pending sweep is stored in the watermark, so the plan of the second walk takes it over.
                SourceOutcome::Advanced if planned.is_resumed => request = WalkRequest::Incremental,
                SourceOutcome::Advanced => {
                    return Ok(SyncedSource::Advanced { is_sweep_pending: planned.sweep().is_some() });
                }
                SourceOutcome::OutOfTime(out_of_time) => return Ok(SyncedSource::OutOfTime(out_of_time)),
            }
        }
    }

    /// Takes the rows that a full walk has seen; `None` = there was none.
    pub(super) fn take_seen(&mut self) -> Option<SeenRows> {
        self.seen.take()
    }

    fn note_plan(&mut self, planned: &Plan) {
        if self.window.is_none() || planned.mode() == Mode::FullRefresh {
            self.mode = planned.mode();
        }
        let window = planned.window();
        let edited_since = self.window.map_or(window.edited_since, |first| first.edited_since);
        self.window = Some(Window { edited_since, ..window });
    }

    /// Walks a plan to its end and advances the watermark, or stores the position from which the next run continues.
    ///
    /// The order of the steps is what keeps every crash harmless. First the cache forgets rows whose versions in the table
    /// are about to be replaced: otherwise a run that dies after the MERGE would leave a cache that takes the old version
    /// for known. Then rows are merged, batch by batch. Only then the watermark or the position moves, by a statement that
    /// proves in the table itself that the rows up to there have arrived: so neither can ever be ahead of the rows. The
    /// cache comes last. When the time is over, the rows read so far are worth keeping: they are proven like others, and
    /// the position tells the next run what is left. A failure stores nothing; the next run repeats the walk, and its
    /// MERGEs find the rows as they are.
    async fn carry_out(&mut self, planned: &Plan, watermark: &mut Watermark) -> Result<SourceOutcome, Failure> {
        // A full refresh checks what is known as well, so it knows nothing.
        let is_full = planned.mode() == Mode::FullRefresh;
        let known = if is_full { RecentRows::new() } else { watermark.recent.clone() };
        // The first MERGE makes these fingerprints wrong, and then the cache must not offer them to a later run.
        self.remembering = (!watermark.recent.is_empty()).then(|| watermark.clone());
        if is_full {
            self.forget_recent_rows().await;
            self.seen.get_or_insert_with(|| SeenRows::new(self.max_seen_rows));
        }
        let mut walk = Walk::begin(self.engine, &self.run, planned, known);
        let ended = self.walk_stretches(planned, watermark, &mut walk).await;
        // Rows merged before a failure are in the table, so they count in the report of a failed run too.
        self.take_stats(&mut walk.merger);
        watermark.last_edited_time = watermark.last_edited_time.max(walk.latest_edit);
        match ended? {
            Ended::Complete => SourceOutcome::of(self.advance(planned, watermark, walk).await),
            Ended::OutOfTime(out_of_time) => {
                // The watermark stays where it was. Only the position moves, past rows that are merged and proven.
                watermark.recent = walk.known_rows.still_known();
                let rest = walk.merger.rest.clone();
                self.store_position(planned, watermark, &walk.merger, rest).await?;
                Ok(SourceOutcome::OutOfTime(out_of_time))
            }
        }
    }

    /// Makes the cache forget its rows, before the table gets another version of one of them. Otherwise, should this run
    /// end before it can update the cache, the next run would take the old version for known if Notion shows that again.
    async fn forget_recent_rows(&mut self) {
        if let Some(watermark) = self.remembering.take() {
            let forgetful = Watermark { recent: RecentRows::new(), is_cached: true, ..watermark };
            self.engine.watermarks.store_in_cache(&forgetful, &self.run).await;
        }
    }

    fn report_merged(&self, merger: &Merger) {
        let pages_merged = merger.rows_committed;
        self.run.progress.tell(&ProgressEvent::BatchMerged { data_source_id: self.source.id, pages_merged });
    }

    fn take_stats(&mut self, merger: &mut Merger) {
        let stats = std::mem::take(&mut merger.stats);
        self.totals.pages_inserted += stats.inserted;
        self.totals.pages_updated += stats.updated;
        self.totals.pages_unchanged += stats.unchanged;
        self.report_merged(merger);
    }

    pub(super) fn into_report(self, watermark: &Watermark) -> DataSourceReport {
        let spent = self.run.meter.totals();
        let before = self.totals_before;
        DataSourceReport {
            data_source_id: self.source.id,
            name: self.source.name,
            mode: self.mode,
            totals: Totals {
                requests: spent.requests - before.requests,
                retries: spent.retries - before.retries,
                rate_limit_waits: spent.rate_limit_waits - before.rate_limit_waits,
                statements: spent.statements - before.statements,
                bytes: spent.bytes - before.bytes,
                ..self.totals
            },
            preview: None,
            window: self.window,
            watermark_before: self.watermark_before,
            watermark_after: watermark.synced_through.map(|at| at.start()),
            resume: self.position.as_ref().and_then(Position::to_value),
            warnings: Vec::new(),
        }
    }
}

impl SourceOutcome {
    /// Tells the end of time from a failure.
    fn of(result: Result<Self, Failure>) -> Result<Self, Failure> {
        match result.map_err(Stop::from) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::OutOfTime(out_of_time)) => Ok(Self::OutOfTime(out_of_time)),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }
}
