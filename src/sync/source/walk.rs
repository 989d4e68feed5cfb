//! The walk of a plan: result pages in, MERGEs out.

use jiff::Timestamp;
use tokio::time::Instant;

use super::SourceSync;
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::Failure;
use crate::notion::Partition;
use crate::run::Run;
use crate::run::progress::ProgressEvent;
use crate::sync::batch::{Batcher, STATEMENT_OVERHEAD_BYTES};
use crate::sync::hydrate::hydrate;
use crate::sync::known_rows::{KnownRows, RowStatus};
use crate::sync::merge::{Merger, too_large};
use crate::sync::plan::Plan;
use crate::sync::row::row;
use crate::sync::walk::{WalkedRow, Walker};
use crate::sync::{Ended, Engine, Stop};
use crate::warehouse::EncodedRow;
use crate::watermark::{RecentRows, Scope, Stretch, Watermark};

/// One walk over the stretches of a plan.
pub(super) struct Walk {
    pub(super) known_rows: KnownRows,
    pub(super) merger: Merger,
    pub(super) latest_edit: Option<Timestamp>,
    batcher: Batcher,
    pub(super) checkpointed_at: Instant,
}

impl Walk {
    pub(super) fn begin(engine: &Engine<'_>, run: &Run, planned: &Plan, known: RecentRows) -> Self {
        let limit_bytes = engine.config.merge_batch_bytes.min(MAX_BODY_BYTES);
        Self {
            known_rows: KnownRows::new(known, planned.target),
            merger: Merger::new(engine.databricks.clone(), run, planned.stretches.clone()),
            batcher: Batcher::new(limit_bytes, planned.stretches.clone()),
            latest_edit: None,
            checkpointed_at: Instant::now(),
        }
    }

    /// Notes that all rows outside `rest` were taken.
    pub(super) fn reached(&mut self, rest: Vec<Stretch>) {
        self.batcher.reached(rest);
    }

    /// Writes the rows collected and waits until they are committed.
    async fn flush(&mut self) -> Result<(), Stop> {
        if let Some(batch) = self.batcher.finish() {
            self.merger.send(batch).await?;
        }
        self.merger.wait_in_flight().await?;
        self.merger.rest = self.batcher.rest().to_vec();
        Ok(())
    }
}

impl SourceSync<'_> {
    /// Walks all stretches. At the deadline, what is committed by then is in the merger.
    pub(super) async fn walk_stretches(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<Ended, Failure> {
        let mut ended = Ended::Complete;
        let mut walked = 0;
        // The partitions one after the other: a row that is archived meanwhile is then shown by one of them.
        for stretches in planned.stretches.chunk_by(|one, next| one.partition == next.partition) {
            walked += stretches.len();
            let later = &planned.stretches[walked..];
            match Ended::of(self.walk_partition(stretches, later, planned, watermark, walk).await) {
                Ok(Ended::Complete) => walk.reached(later.to_vec()),
                Ok(out_of_time) => {
                    ended = out_of_time;
                    break;
                }
                Err(failure) => {
                    self.abandon(&mut walk.merger).await;
                    return Err(failure);
                }
            }
        }
        // Rows that were read are written, also at the deadline, unless no time would be left to store what is committed.
        let is_something_committed = walk.merger.rest != planned.stretches;
        let is_too_late = ended != Ended::Complete && is_something_committed && !walk.merger.has_time_for_one_more();
        let flushed = if is_too_late { walk.merger.wait_in_flight().await } else { walk.flush().await };
        match Ended::of(flushed)? {
            out_of_time @ Ended::OutOfTime(_) if ended == Ended::Complete => Ok(out_of_time),
            _ => Ok(ended),
        }
    }

    /// Walks the stretches of one partition: a full walk by several walkers side by side, an incremental one, which is short
    /// as a rule, in one piece.
    async fn walk_partition(
        &mut self,
        stretches: &[Stretch],
        later: &[Stretch],
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<(), Stop> {
        if planned.scope == Scope::Everything && self.engine.config.walkers > 1 {
            return Box::pin(self.walk_side_by_side(stretches, later, planned, watermark, walk)).await;
        }
        for (index, stretch) in stretches.iter().enumerate() {
            let later: Vec<Stretch> = stretches[index + 1..].iter().chain(later).copied().collect();
            self.walk_stretch(stretch, &later, planned, watermark, walk).await?;
            walk.reached(later);
        }
        Ok(())
    }

    async fn walk_stretch(
        &mut self,
        stretch: &Stretch,
        later: &[Stretch],
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<(), Stop> {
        let edited_since = planned.scope.edited_since();
        let mut walker = Walker::new(self.engine.notion, self.source.id, *stretch, edited_since, false);
        while let Some(page) = walker.next_result_page(&self.run).await? {
            let present = Stretch { created_from: page.position.or(stretch.created_from), ..*stretch };
            self.take_rows(page.rows, stretch.partition, walk).await?;
            walk.reached(std::iter::once(present).chain(later.iter().copied()).collect());
            // A run that is killed later, or whose end takes longer than the time kept back, still has made progress.
            if self.run.deadline.is_half_gone_since(walk.checkpointed_at) {
                self.checkpoint(planned, watermark, walk).await?;
            }
        }
        Ok(())
    }

    /// Commits the rows collected and stores the position in the middle of the walk. A cache found to be stale is left to
    /// the end of the walk, which finds the same.
    pub(super) async fn checkpoint(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<(), Stop> {
        walk.flush().await?;
        watermark.last_edited_time = watermark.last_edited_time.max(walk.latest_edit);
        watermark.recent = walk.known_rows.still_known();
        self.store_position(planned, watermark, &walk.merger, walk.merger.rest.clone()).await?;
        // The cache remembers again, so it must be made to forget again.
        self.remembering = (!watermark.recent.is_empty()).then(|| watermark.clone());
        walk.checkpointed_at = Instant::now();
        Ok(())
    }

    /// Turns the rows of one result page into rows of the table, and sends each batch that is full.
    pub(super) async fn take_rows(
        &mut self,
        rows: Vec<WalkedRow>,
        partition: Partition,
        walk: &mut Walk,
    ) -> Result<(), Stop> {
        let engine = self.engine;
        self.totals.pages_read += rows.iter().filter(|row| row.is_new).count() as u64;
        let pages_read = self.totals.pages_read;
        self.run.progress.tell(&ProgressEvent::PagesRead { data_source_id: self.source.id, pages_read });
        for WalkedRow { page: page_row, .. } in rows {
            let hydration = hydrate(engine, self.source.id, &page_row, &self.run).await?;
            for warning in hydration.warnings {
                self.run.warn("properties not read in full", warning);
            }
            self.totals.pages_hydrated += u64::from(hydration.properties.is_some());
            walk.latest_edit = walk.latest_edit.max(Some(page_row.last_edited_time));
            let is_archived = page_row.is_archived.unwrap_or(partition == Partition::Archived);
            match &mut self.seen {
                Some(seen) if hydration.is_gone => seen.forget(page_row.id),
                Some(seen) => seen.see(&page_row, is_archived),
                None => {}
            }
            let row = row(page_row, engine.database, self.source.id, is_archived, hydration.properties)?;
            match walk.known_rows.note(&row) {
                RowStatus::Known => {
                    self.totals.pages_unchanged += 1;
                    continue;
                }
                RowStatus::Overwrites => self.forget_recent_rows().await,
                RowStatus::New => {}
            }
            let encoded = EncodedRow::encode(&row)?;
            let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
            if bytes > MAX_BODY_BYTES {
                return Err(too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into());
            }
            if let Some(batch) = walk.batcher.push(encoded) {
                walk.merger.send(batch).await?;
                self.report_merged(&walk.merger);
                if let Some(limit) = walk.merger.stats.smaller_limit_bytes {
                    walk.batcher.shrink(limit);
                }
            }
        }
        Ok(())
    }

    /// Waits for the MERGE in flight, since a failed run leaves none behind unattended. The failure that the run has
    /// already stays the first.
    async fn abandon(&mut self, merger: &mut Merger) {
        if let Err(Stop::Failed(failure)) = merger.wait_in_flight().await {
            let warning = format!("the MERGE in flight failed as well: {}", failure.describe());
            self.run.warn("second failure", warning);
        }
        self.take_stats(merger);
    }
}
