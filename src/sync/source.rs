//! The walks of one data source within one run: pages in, MERGEs out, then the watermark, or where the next run goes on.

use jiff::Timestamp;
use tokio::time::Instant;

use super::batch::{Batcher, Position, STATEMENT_OVERHEAD_BYTES};
use super::hydrate::hydrate;
use super::merge::{Merger, too_large};
use super::plan::Plan;
use super::row::row;
use super::settle::{Noted, Settled};
use super::walk::{WalkedPage, Walker};
use super::{Engine, Stop};
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::FailureClass;
use crate::notion::{DataSourceRef, Partition};
use crate::run::progress::ProgressEvent;
use crate::run::report::{DataSourceReport, Mode, Totals, Window};
use crate::warehouse::{EncodedRow, WatermarkRow};
use crate::watermark::{RecentRows, Resume, Stored, Stretch, Watermark};

/// The walks of one data source within one run, and what they did.
pub(super) struct SourceWalk<'a> {
    engine: &'a Engine<'a>,
    source: DataSourceRef,
    is_cache_usable: bool,
    totals_before: Totals,
    totals: Totals,
    mode: Mode,
    window: Option<Window>,
    watermark_before: Option<Timestamp>,
    resume: Option<Resume>,
    warnings: Vec<String>,
    /// The cache's row, as long as the cache remembers rows that this run may be about to overwrite.
    remembering: Option<WatermarkRow>,
    /// The truth is not what the cache said.
    is_stale: bool,
}

/// What one walk over the stretches of a plan works with.
struct Walk {
    settled: Settled,
    merger: Merger,
    batcher: Batcher,
    latest_edit: Option<Timestamp>,
    checkpointed_at: Instant,
}

impl Walk {
    /// Writes what is collected and waits until it is committed.
    async fn flush(&mut self) -> Result<(), Stop> {
        if let Some(batch) = self.batcher.finish() {
            self.merger.send(batch).await?;
        }
        self.merger.settle().await?;
        self.merger.committed = self.batcher.position();
        Ok(())
    }
}

impl<'a> SourceWalk<'a> {
    pub(super) fn begin(
        engine: &'a Engine<'a>,
        source: &DataSourceRef,
        watermark: &Watermark,
        is_cache_usable: bool,
    ) -> Self {
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
            remembering: None,
            is_stale: false,
        }
    }

    /// Whether the truth was found to be other than the cache said, so that the walk counts for nothing but its rows.
    pub(super) fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.is_stale)
    }

    pub(super) fn note_plan(&mut self, planned: &Plan) {
        if self.window.is_none() || planned.mode == Mode::FullRefresh {
            self.mode = planned.mode;
        }
        let window = planned.window();
        let edited_since = self.window.map_or(window.edited_since, |first| first.edited_since);
        self.window = Some(Window { edited_since, ..window });
    }

    /// Walks a plan to its end and advances the watermark, or stores where the next run goes on.
    pub(super) async fn carry_out(&mut self, planned: &Plan, watermark: &mut Watermark) -> Result<(), Stop> {
        let known = if planned.mode == Mode::Incremental { watermark.recent.clone() } else { RecentRows::new() };
        self.remembering = (!watermark.recent.is_empty()).then(|| watermark.row.clone());
        if planned.mode == Mode::FullRefresh {
            self.forget_recent_rows().await;
        }
        let mut walk = Walk {
            settled: Settled::new(known, planned.target),
            merger: Merger::new(self.engine.databricks.clone(), self.engine.run),
            batcher: Batcher::new(self.engine.config.merge_batch_bytes.min(MAX_BODY_BYTES)),
            latest_edit: None,
            checkpointed_at: Instant::now(),
        };
        let stopped = self.walk_stretches(planned, watermark, &mut walk).await;
        self.take_written(&mut walk.merger);
        watermark.row.last_edited_time = watermark.row.last_edited_time.max(walk.latest_edit);
        match stopped? {
            None => self.advance(planned, watermark, walk).await,
            Some(stop) => {
                watermark.recent = walk.settled.still_known();
                let position = walk.merger.committed;
                self.store_position(planned, watermark, &walk.merger, position).await?;
                Err(stop)
            }
        }
    }

    /// Walks all stretches; `Some` = the deadline came first. What is then committed is in the merger.
    async fn walk_stretches(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<Option<Stop>, Stop> {
        let mut stopped = None;
        for (index, stretch) in planned.stretches.iter().enumerate() {
            match self.walk_stretch(index, stretch, planned, watermark, walk).await {
                Ok(()) => walk.batcher.reached(Position { stretch: index + 1, created_from: None }),
                Err(near @ Stop::DeadlineNear { .. }) => {
                    stopped = Some(near);
                    break;
                }
                Err(failed) => {
                    self.abandon(&mut walk.merger).await;
                    return Err(failed);
                }
            }
        }
        // What was read is written, also at the deadline, unless that would leave no time to store what is committed.
        let is_too_late =
            stopped.is_some() && walk.merger.committed > Position::START && !walk.merger.has_time_for_one_more();
        let flushed = if is_too_late { walk.merger.settle().await } else { walk.flush().await };
        match flushed {
            Ok(()) => Ok(stopped),
            Err(near @ Stop::DeadlineNear { .. }) => Ok(Some(stopped.unwrap_or(near))),
            Err(failed) => Err(failed),
        }
    }

    async fn walk_stretch(
        &mut self,
        index: usize,
        stretch: &Stretch,
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
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
            self.take_rows(page, walker.partition(), walk).await?;
            walk.batcher.reached(position);
            // A run that is then killed, or whose end takes longer than the time kept back, has still got on.
            if engine.run.deadline.is_half_gone_since(walk.checkpointed_at) {
                walk.flush().await?;
                watermark.row.last_edited_time = watermark.row.last_edited_time.max(walk.latest_edit);
                watermark.recent = walk.settled.still_known();
                self.store_position(planned, watermark, &walk.merger, position).await?;
                // The cache remembers again, so it must be made to forget again.
                self.remembering = (!watermark.recent.is_empty()).then(|| watermark.row.clone());
                walk.checkpointed_at = Instant::now();
            }
        }
    }

    async fn take_rows(&mut self, page: WalkedPage, partition: Partition, walk: &mut Walk) -> Result<(), Stop> {
        let engine = self.engine;
        for page_row in page.rows {
            let hydration = hydrate(engine.notion, &page_row, engine.run).await?;
            self.warnings.extend(hydration.warnings);
            self.totals.pages_hydrated += u64::from(hydration.properties.is_some());
            walk.latest_edit = walk.latest_edit.max(Some(page_row.last_edited_time));
            let is_archived = page_row.is_archived.unwrap_or(partition == Partition::Archived);
            let row = row(page_row, engine.database, self.source.id, is_archived, hydration.properties)?;
            match walk.settled.note(&row) {
                Noted::Known => {
                    self.totals.pages_unchanged += 1;
                    continue;
                }
                Noted::Overwrites => self.forget_recent_rows().await,
                Noted::New => {}
            }
            let encoded = EncodedRow::encode(&row)?;
            let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
            if bytes > MAX_BODY_BYTES {
                return Err(too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into());
            }
            if let Some(batch) = walk.batcher.push(encoded) {
                walk.merger.send(batch).await?;
                self.tell_merged(&walk.merger);
                if let Some(limit) = walk.merger.written.smaller_limit_bytes {
                    walk.batcher.shrink(limit);
                }
            }
        }
        Ok(())
    }

    /// The table is about to hold another version of a row than the cache remembers. Should this run end before it can say
    /// so, the next one must not take the old version for known, if that is what Notion shows then: so the cache forgets
    /// first.
    async fn forget_recent_rows(&mut self) {
        if let Some(row) = self.remembering.take() {
            let forgetful = Watermark { row, recent: RecentRows::new(), is_cached: true };
            self.engine.watermarks.store_in_cache(&forgetful, self.engine.run, &mut self.warnings).await;
        }
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
            .tell(&ProgressEvent::BatchMerged { data_source_id: self.source.id, pages_merged: merger.rows_committed });
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
    async fn advance(&mut self, planned: &Plan, watermark: &mut Watermark, walk: Walk) -> Result<(), Stop> {
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        let merger = &walk.merger;
        let is_full = planned.mode == Mode::FullRefresh;
        let owed_sweep =
            planned.sweep.then(|| Resume::of_sweep(planned.started_at, planned.swept, planned.ends_full_refresh));
        let mut next = Watermark {
            row: WatermarkRow {
                synced_through: Some(planned.target),
                // Cleared by the sweep itself: whatever ends this run before that, the next one does it.
                resume: owed_sweep.map(|resume| resume.to_text()).transpose()?,
                last_full_refresh_at: if is_full { Some(run.clock.now()) } else { watermark.row.last_full_refresh_at },
                ..watermark.row.clone()
            },
            recent: walk.settled.into_remembered(),
            is_cached: watermark.is_cached,
        };
        // A position that the truth may hold must be cleared there too.
        let wrote_nothing = merger.sent.is_empty() && !is_full && watermark.row.resume.is_none();
        if wrote_nothing && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(&next, &run, &mut self.warnings).await;
        } else {
            match self.engine.watermarks.store(&mut next, &merger.sent.keys(), &run, &mut self.warnings).await? {
                Stored::Advanced => {}
                Stored::AlreadyFurther => self
                    .warnings
                    .push("another run was faster: the stored watermark is later and was left alone".to_owned()),
                Stored::CacheIsStale => {
                    self.is_stale = true;
                    return Ok(());
                }
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
        merger: &Merger,
        position: Position,
    ) -> Result<(), Stop> {
        let nothing_gained = position == Position::START && merger.sent.is_empty();
        // Without a stored position the next run plans the very same, unless a full refresh or a sweep was asked for.
        let is_planned_again = planned.is_resumed || !planned.sweep || watermark.row.synced_through.is_none();
        if nothing_gained && is_planned_again {
            self.resume = watermark.row.resume.as_deref().map(Resume::parse).transpose()?;
            return Ok(());
        }
        let run = self.engine.run.with_deadline(self.engine.run.deadline.for_storing());
        let rest = remaining(&planned.stretches, position);
        let mut resume = Resume::new(planned.edited_since, planned.started_at, rest, planned.sweep);
        resume.swept = planned.swept;
        resume.ends_full_refresh = planned.ends_full_refresh;
        if self.resume.as_ref() == Some(&resume) {
            // Stored in mid-walk already.
            return Ok(());
        }
        let text_before = watermark.row.resume.replace(resume.to_text()?);
        let resume_before = self.resume.replace(resume);
        if merger.sent.is_empty() && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(watermark, &run, &mut self.warnings).await;
            return Ok(());
        }
        let keys = merger.sent.keys();
        match self.engine.watermarks.store(watermark, &keys, &run, &mut self.warnings).await {
            Ok(Stored::Advanced) => Ok(()),
            Ok(Stored::AlreadyFurther) => {
                let warning = "the position was not stored: the stored watermark is later, from another run";
                self.warnings.push(warning.to_owned());
                Ok(())
            }
            Ok(Stored::CacheIsStale) => {
                (self.resume, watermark.row.resume) = (resume_before, text_before);
                self.is_stale = true;
                Ok(())
            }
            Err(failure) if failure.class() == FailureClass::DeadlineExceeded => {
                (self.resume, watermark.row.resume) = (resume_before, text_before);
                let warning =
                    "there was no time left to store the last position; the next run repeats what came after it";
                if !self.warnings.iter().any(|told| told == warning) {
                    self.warnings.push(warning.to_owned());
                }
                Ok(())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    pub(super) fn into_report(self, watermark: &Watermark) -> DataSourceReport {
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
