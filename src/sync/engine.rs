//! Carries one database's sync out: sources, walks, MERGEs, proof, watermark; stops before the deadline.

use jiff::Timestamp;
use tracing::info;

use super::batch::{Batcher, Position, STATEMENT_OVERHEAD_BYTES};
use super::hydrate::hydrate;
use super::merge::{Merger, too_large};
use super::plan::{Plan, plan};
use super::row::row;
use super::settle::Settled;
use super::sweep;
use super::walk::{WalkedPage, Walker};
use super::{Stop, SyncConfig};
use crate::databricks::{self, MAX_BODY_BYTES};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database};
use crate::notion::{self, DataSourceRef, Partition};
use crate::progress::ProgressEvent;
use crate::report::{DataSourceReport, Mode, Outcome, Report, Totals};
use crate::run::Run;
use crate::warehouse::{EncodedRow, WatermarkRow};
use crate::watermark::{RecentRows, Resume, Stored, Stretch, Watermark, Watermarks};

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

/// What one data source's walk came to.
struct Walked {
    sweep_wanted: bool,
}

impl Engine<'_> {
    /// Syncs the database; the report is filled as far as the work came.
    ///
    /// # Errors
    /// The first failure; other data sources of the database were still tried.
    pub async fn sync(&self, wanted: Wanted, report: &mut Report) -> Result<(), Failure> {
        match self.sync_sources(wanted, report).await {
            Ok(()) => Ok(()),
            Err(stop) => ended_early(stop, report),
        }
    }

    async fn sync_sources(&self, wanted: Wanted, report: &mut Report) -> Result<(), Stop> {
        let sources = self.sources().await?;
        let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
        let loaded = self.watermarks.load(self.database, &ids, self.run).await?;
        report.warnings.extend(loaded.warnings);
        let mut first_failure = None;
        let mut sweep_wanted = false;
        for source in &sources {
            let watermark =
                loaded.watermarks.get(&source.id).cloned().unwrap_or_else(|| Watermark::none(self.database, source.id));
            match self.sync_source(source, watermark, wanted, loaded.is_cache_usable, report).await {
                Ok(walked) => sweep_wanted |= walked.sweep_wanted,
                Err(Stop::DeadlineNear { retry_after }) => near_deadline(report, retry_after),
                Err(Stop::Failed(failure)) => {
                    first_failure.get_or_insert(failure);
                }
            }
        }
        if let Some(failure) = first_failure {
            return Err(failure.into());
        }
        if sweep_wanted && report.outcome == Outcome::Complete {
            self.sweep_after_walk(&sources, wanted.allow_removals, report).await?;
        }
        Ok(())
    }

    /// The database's data sources, asked for in every run: a user can add one at any time.
    pub(super) async fn sources(&self) -> Result<Vec<DataSourceRef>, Stop> {
        let database = self.database;
        match self.notion.database(database.id, self.run).await {
            Ok(info) if info.in_trash => {
                let message =
                    format!("database {} ({}) lies in Notion's trash; nothing was marked", database.name, database.id);
                Err(Failure::new(FailureClass::SourceAccessLost, message).into())
            }
            Ok(info) => Ok(info.data_sources),
            Err(error) if error.is_not_found() || error.is_forbidden() => {
                let message =
                    format!("database {} ({}) is not visible, nothing was marked: {error}", database.name, database.id);
                Err(Failure::new(FailureClass::SourceAccessLost, message).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One data source: the planned walk, and after one that went on from a stored position the edits made in between.
    async fn sync_source(
        &self,
        source: &DataSourceRef,
        mut watermark: Watermark,
        wanted: Wanted,
        is_cache_usable: bool,
        report: &mut Report,
    ) -> Result<Walked, Stop> {
        let mut walk = SourceWalk::begin(self, source, &watermark, is_cache_usable);
        let mut sweep_wanted = false;
        let mut full_refresh = wanted.full_refresh;
        let mut restart = wanted.restart;
        let result = loop {
            let now = self.run.clock.now();
            let planned = match plan(&watermark.row, full_refresh, restart, now, self.config.settle) {
                Ok(planned) => planned,
                Err(failure) => break Err(failure.into()),
            };
            walk.note_plan(&planned);
            info!(data_source = %source.id, mode = ?planned.mode, edited_since = ?planned.edited_since,
                  is_resumed = planned.is_resumed, "walking");
            let walked = walk.carry_out(&planned, &mut watermark).await;
            if walked.is_ok() {
                sweep_wanted |= planned.sweep;
                if planned.is_resumed {
                    (full_refresh, restart) = (false, false);
                    continue;
                }
            }
            break walked;
        };
        report.add_source(walk.into_report(&watermark));
        result.map(|()| Walked { sweep_wanted })
    }

    async fn sweep_after_walk(
        &self,
        sources: &[DataSourceRef],
        allow_removals: bool,
        report: &mut Report,
    ) -> Result<(), Stop> {
        match sweep::sweep(self, sources, allow_removals, report).await {
            Ok(()) => Ok(()),
            Err(failed @ Stop::Failed(_)) => Err(failed),
            Err(Stop::DeadlineNear { retry_after }) => {
                near_deadline(report, retry_after);
                self.remember_pending_sweep(sources, report).await
            }
        }
    }

    /// The walk is done and proven, the sweep is not: the next run of this database does it.
    async fn remember_pending_sweep(&self, sources: &[DataSourceRef], report: &mut Report) -> Result<(), Stop> {
        let run = self.run.with_deadline(self.run.deadline.for_storing());
        let ids: Vec<DataSourceId> = sources.iter().map(|source| source.id).collect();
        let loaded = self.watermarks.load(self.database, &ids, &run).await?;
        for mut watermark in loaded.watermarks.into_values() {
            let resume = Resume::new(None, self.run.clock.now(), Vec::new(), true);
            watermark.row.resume = Some(resume.to_text()?);
            self.watermarks.store(&watermark, &[], &run, &mut report.warnings).await?;
        }
        Ok(())
    }

    /// Finds and repairs what no query shows.
    ///
    /// # Errors
    /// As a sync; `RemovalShareExceeded` when the guard refuses.
    pub async fn sweep(&self, allow_removals: bool, report: &mut Report) -> Result<(), Failure> {
        let swept = match self.sources().await {
            Ok(sources) => sweep::sweep(self, &sources, allow_removals, report).await,
            Err(stop) => Err(stop),
        };
        match swept {
            Ok(()) => Ok(()),
            Err(stop) => ended_early(stop, report),
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

/// The walks of one data source within one run, and what they did.
struct SourceWalk<'a> {
    engine: &'a Engine<'a>,
    source: DataSourceRef,
    is_cache_usable: bool,
    totals_before: Totals,
    totals: Totals,
    mode: Mode,
    window: Option<crate::report::Window>,
    watermark_before: Option<Timestamp>,
    resume: Option<Resume>,
    warnings: Vec<String>,
}

/// How a walk over all stretches of a plan ended.
struct Progressed {
    position: Position,
    stopped: Option<Stop>,
    latest_edit: Option<Timestamp>,
}

impl<'a> SourceWalk<'a> {
    fn begin(engine: &'a Engine<'a>, source: &DataSourceRef, watermark: &Watermark, is_cache_usable: bool) -> Self {
        Self {
            engine,
            source: source.clone(),
            is_cache_usable,
            totals_before: engine.run.meter.totals(),
            totals: Totals::default(),
            mode: Mode::Incremental,
            window: None,
            watermark_before: watermark.row.synced_through,
            resume: None,
            warnings: Vec::new(),
        }
    }

    fn note_plan(&mut self, planned: &Plan) {
        if self.window.is_none() || planned.mode == Mode::FullRefresh {
            self.mode = planned.mode;
        }
        let window = planned.window();
        let edited_since = self.window.map_or(window.edited_since, |first| first.edited_since);
        self.window = Some(crate::report::Window { edited_since, ..window });
    }

    /// Walks a plan to its end and advances the watermark, or stores where the next run goes on.
    async fn carry_out(&mut self, planned: &Plan, watermark: &mut Watermark) -> Result<(), Stop> {
        let known = if planned.mode == Mode::Incremental { watermark.recent.clone() } else { RecentRows::new() };
        let mut settled = Settled::new(known, planned.target);
        let mut merger = Merger::new(self.engine.databricks.clone(), self.engine.run);
        let progressed = self.walk_stretches(planned, &mut settled, &mut merger).await?;
        self.take_written(&mut merger);
        watermark.row.last_edited_time = watermark.row.last_edited_time.max(progressed.latest_edit);
        match progressed.stopped {
            None => self.advance(planned, watermark, settled, &merger).await,
            Some(stop) => {
                self.store_position(planned, watermark, settled, &merger, progressed.position).await?;
                Err(stop)
            }
        }
    }

    async fn walk_stretches(
        &mut self,
        planned: &Plan,
        settled: &mut Settled,
        merger: &mut Merger,
    ) -> Result<Progressed, Stop> {
        let mut batcher = Batcher::new(self.engine.config.merge_batch_bytes.min(MAX_BODY_BYTES));
        let mut latest_edit = None;
        let mut stopped = None;
        for (index, stretch) in planned.stretches.iter().enumerate() {
            let walk =
                self.walk_stretch(index, stretch, planned, settled, merger, &mut batcher, &mut latest_edit).await;
            match walk {
                Ok(()) => batcher.reached(Position { stretch: index + 1, created_from: None }),
                Err(near @ Stop::DeadlineNear { .. }) => {
                    stopped = Some(near);
                    break;
                }
                Err(failed) => {
                    self.abandon(merger).await;
                    return Err(failed);
                }
            }
        }
        // What was read is written, also at the deadline: a run that only ever reads would never get on.
        let flushed = match batcher.finish() {
            Some(batch) => merger.send(batch).await,
            None => Ok(()),
        };
        let flushed = match flushed {
            Ok(()) => merger.settle().await,
            early => early,
        };
        match flushed {
            Ok(()) => Ok(Progressed { position: batcher.position(), stopped, latest_edit }),
            Err(near @ Stop::DeadlineNear { .. }) => {
                Ok(Progressed { position: merger.committed, stopped: Some(stopped.unwrap_or(near)), latest_edit })
            }
            Err(failed) => Err(failed),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one walk, owned by its caller")]
    async fn walk_stretch(
        &mut self,
        index: usize,
        stretch: &Stretch,
        planned: &Plan,
        settled: &mut Settled,
        merger: &mut Merger,
        batcher: &mut Batcher,
        latest_edit: &mut Option<Timestamp>,
    ) -> Result<(), Stop> {
        let engine = self.engine;
        let mut walker = Walker::new(engine.notion, self.source.id, stretch.clone(), planned.edited_since, false);
        loop {
            let page = walker.next_page(engine.run).await;
            self.warnings.extend(walker.take_warnings());
            let Some(page) = page? else { return Ok(()) };
            let position = Position { stretch: index, created_from: page.position };
            self.totals.pages_read += page.new_rows as u64;
            engine
                .run
                .progress
                .tell(&ProgressEvent::PagesRead { data_source_id: self.source.id, pages_read: self.totals.pages_read });
            self.take_rows(page, walker.partition(), settled, merger, batcher, latest_edit).await?;
            batcher.reached(position);
        }
    }

    async fn take_rows(
        &mut self,
        page: WalkedPage,
        partition: Partition,
        settled: &mut Settled,
        merger: &mut Merger,
        batcher: &mut Batcher,
        latest_edit: &mut Option<Timestamp>,
    ) -> Result<(), Stop> {
        let engine = self.engine;
        for page_row in page.rows {
            let hydration = hydrate(engine.notion, &page_row, engine.run).await?;
            self.warnings.extend(hydration.warnings);
            self.totals.pages_hydrated += u64::from(hydration.properties.is_some());
            *latest_edit = (*latest_edit).max(Some(page_row.last_edited_time));
            let is_archived = page_row.is_archived.unwrap_or(partition == Partition::Archived);
            let row = row(page_row, engine.database, self.source.id, is_archived, hydration.properties)?;
            if settled.is_known(&row) {
                self.totals.pages_unchanged += 1;
                continue;
            }
            let encoded = EncodedRow::encode(&row)?;
            let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
            if bytes > MAX_BODY_BYTES {
                return Err(too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into());
            }
            if let Some(batch) = batcher.push(encoded) {
                merger.send(batch).await?;
                self.tell_merged(merger);
                if let Some(limit) = merger.written.smaller_limit_bytes {
                    batcher.shrink(limit);
                }
            }
        }
        Ok(())
    }

    /// A failed run leaves no MERGE behind unattended; its own failure comes second to the one at hand.
    async fn abandon(&mut self, merger: &mut Merger) {
        if let Err(Stop::Failed(failure)) = merger.settle().await {
            self.warnings.push(format!("the MERGE under way failed as well: {}", failure.describe()));
        }
        self.take_written(merger);
    }

    fn tell_merged(&self, merger: &Merger) {
        self.engine
            .run
            .progress
            .tell(&ProgressEvent::BatchMerged { data_source_id: self.source.id, pages_merged: merger.rows_sent });
    }

    fn take_written(&mut self, merger: &mut Merger) {
        let written = std::mem::take(&mut merger.written);
        self.totals.pages_inserted += written.inserted;
        self.totals.pages_updated += written.updated;
        self.totals.pages_unchanged += written.unchanged;
        self.warnings.extend(written.warnings);
        self.tell_merged(merger);
    }

    /// Everything is walked and committed: prove it, then move the truth, then the cache. A run that wrote nothing moves
    /// the cache alone.
    async fn advance(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        settled: Settled,
        merger: &Merger,
    ) -> Result<(), Stop> {
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        let is_full = planned.mode == Mode::FullRefresh;
        let next = Watermark {
            row: WatermarkRow {
                synced_through: Some(planned.target),
                resume: None,
                last_full_refresh_at: if is_full { Some(run.clock.now()) } else { watermark.row.last_full_refresh_at },
                ..watermark.row.clone()
            },
            recent: settled.into_remembered(),
        };
        // A position that the truth may hold must be cleared there too.
        let wrote_nothing = merger.sent.is_empty() && !is_full && watermark.row.resume.is_none();
        if wrote_nothing && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(&next, &run, &mut self.warnings).await;
        } else {
            let stored = self.engine.watermarks.store(&next, &merger.sent.keys(), &run, &mut self.warnings).await;
            if stored? == Stored::AlreadyFurther {
                self.warnings
                    .push("another run was faster: the stored watermark is later and was left alone".to_owned());
            }
        }
        *watermark = next;
        self.resume = None;
        Ok(())
    }

    /// The deadline is near: what is committed is proven and the position after it stored; the watermark stays.
    async fn store_position(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        settled: Settled,
        merger: &Merger,
        position: Position,
    ) -> Result<(), Stop> {
        if position == Position::START && merger.sent.is_empty() {
            self.resume = watermark.row.resume.as_deref().map(Resume::parse).transpose()?;
            return Ok(());
        }
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        let rest = remaining(&planned.stretches, position);
        let resume = Resume::new(planned.edited_since, planned.started_at, rest, planned.sweep);
        watermark.row.resume = Some(resume.to_text()?);
        watermark.recent = settled.into_still_known();
        self.resume = Some(resume);
        if merger.sent.is_empty() && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(watermark, &run, &mut self.warnings).await;
            return Ok(());
        }
        let keys = merger.sent.keys();
        match self.engine.watermarks.store(watermark, &keys, &run, &mut self.warnings).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.class() == FailureClass::DeadlineExceeded => {
                self.resume = None;
                self.warnings
                    .push("there was no time left to store the position; the next run repeats this one".to_owned());
                Ok(())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn into_report(self, watermark: &Watermark) -> DataSourceReport {
        let spent = self.engine.run.meter.totals();
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
            window: self.window,
            watermark_before: self.watermark_before,
            watermark_after: watermark.row.synced_through,
            resume: self.resume.and_then(|resume| serde_json::to_value(resume).ok()),
            warnings: self.warnings,
        }
    }
}

/// The stretches that are left when the walk has come to `position`.
fn remaining(stretches: &[Stretch], position: Position) -> Vec<Stretch> {
    let mut rest: Vec<Stretch> = stretches.iter().skip(position.stretch).cloned().collect();
    if let (Some(first), Some(created_from)) = (rest.first_mut(), position.created_from) {
        first.created_from = Some(created_from);
    }
    rest
}
