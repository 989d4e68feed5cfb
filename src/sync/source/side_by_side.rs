//! The full walk of one partition by several walkers, each on its own range of creation times.
//!
//! Result pages of one query come one after the other, so the time that Notion takes for each adds up. Walkers on disjoint
//! ranges wait at the same time, under the one rate limit. Completeness, order, cap and cursors are each walker's own, as in
//! a walk of one piece; what is left of the partition is the sum of what is left of the ranges.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::{Instrument, debug};

use super::SourceSync;
use super::ranges::Ranges;
use super::walk::Walk;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, PageId};
use crate::notion::{Client, Partition};
use crate::run::Run;
use crate::run::clock::Minute;
use crate::sync::Stop;
use crate::sync::plan::Plan;
use crate::sync::walk::{ResultPage, Tail, WalkedRow, Walker, read_tail};
use crate::watermark::{Stretch, Watermark};

/// The answer of one request.
enum Answer {
    /// A result page of a range, with its walker.
    Page { index: usize, walker: Box<Walker>, page: Result<Option<ResultPage>, Stop> },
    /// The youngest rows.
    Tail(Result<Option<Tail>, Stop>),
}

/// The walkers of one partition.
struct Walkers {
    notion: Client,
    data_source_id: DataSourceId,
    partition: Partition,
    run: Run,
    ranges: Ranges,
    /// One request of each walker at work. Dropped with this, whatever ends the walk.
    requests: JoinSet<Answer>,
    max_walkers: usize,
    tail: TailState,
}

/// The tail is asked for once, as soon as the partition is known to have a second result page.
enum TailState {
    Unasked,
    /// The rows taken since from the part that the tail may show as well, with their edit times.
    Asked {
        from: Minute,
        taken: HashMap<PageId, Timestamp>,
    },
    Known,
}

impl Walkers {
    /// Gives each idle walker a range that waits for one.
    fn start_waiting(&mut self) {
        while self.idle() > 0 {
            let Some((index, stretch)) = self.ranges.take_waiting() else { return };
            debug!(created_from = ?stretch.created_from, created_to = ?stretch.created_to, "a walker begins a range");
            let walker = Walker::new(&self.notion, self.data_source_id, stretch, None, false);
            self.ask_page(index, Box::new(walker));
        }
    }

    fn idle(&self) -> usize {
        self.max_walkers.saturating_sub(self.requests.len())
    }

    fn ask_page(&mut self, index: usize, mut walker: Box<Walker>) {
        let run = self.run.clone();
        let asking = async move {
            let page = walker.next_result_page(&run).await;
            Answer::Page { index, walker, page }
        };
        self.requests.spawn(asking.in_current_span());
    }

    /// Reads the youngest rows when walkers are idle because it is unknown where the rows end.
    fn ask_tail(&mut self) {
        if !matches!(self.tail, TailState::Unasked) || self.idle() == 0 {
            return;
        }
        let Some(from) = self.ranges.endless() else { return };
        let (notion, source, partition, run) =
            (self.notion.clone(), self.data_source_id, self.partition, self.run.clone());
        let asking = async move { Answer::Tail(read_tail(&notion, source, partition, from, &run).await) };
        self.requests.spawn(asking.in_current_span());
        self.tail = TailState::Asked { from, taken: HashMap::new() };
    }

    /// Returns the rows of the tail that no result page has shown, and divides the time before it among the walkers.
    fn take_tail(&mut self, tail: Option<Tail>) -> Vec<WalkedRow> {
        let TailState::Asked { taken, .. } = std::mem::replace(&mut self.tail, TailState::Known) else {
            return Vec::new();
        };
        let Some(Tail { rows, begins }) = tail else { return Vec::new() };
        self.ranges.end_at(begins, self.max_walkers);
        rows.into_iter()
            .filter(|page| taken.get(&page.id) != Some(&page.last_edited_time))
            .map(|page| WalkedRow { is_new: !taken.contains_key(&page.id), page })
            .collect()
    }

    /// Notes what of a result page is taken, asks for the next one, and returns the rows to take.
    ///
    /// A range may have been given a nearer end while the request was under way. Rows beyond that end are left to the walker
    /// that reads them. The range is done as soon as its position has reached the end: as after a cut by the cap, the order
    /// of the rows says that all before it were shown.
    fn take_page(&mut self, index: usize, mut walker: Box<Walker>, page: ResultPage) -> (Vec<WalkedRow>, PageProgress) {
        if self.idle() > 0 {
            self.ranges.divide_longest(index, page.position);
        }
        let end = self.ranges.end(index);
        let ResultPage { mut rows, position } = page;
        rows.retain(|row| end.is_none_or(|end| row.page.created_time < end.start()));
        if let TailState::Asked { from, taken } = &mut self.tail {
            let shown = rows.iter().filter(|row| row.page.created_time >= from.start());
            taken.extend(shown.map(|row| (row.page.id, row.page.last_edited_time)));
        }
        let is_complete = walker.is_done() || end.is_some() && position >= end;
        let first = rows.first().map(|row| Minute::floor(row.page.created_time));
        let reached = PageProgress { index, position, rows: rows.len(), first, is_complete };
        if !is_complete {
            if let Some(end) = end {
                walker.narrow(end);
            }
            self.ask_page(index, walker);
        }
        (rows, reached)
    }

    /// Notes that the rows of a result page were taken.
    fn reached(&mut self, reached: &PageProgress) {
        let PageProgress { index, position, rows, first, is_complete } = *reached;
        self.ranges.reached(index, position, rows, first);
        if is_complete {
            self.ranges.finish(index);
        }
    }
}

/// The progress that a result page brings once its rows are taken.
struct PageProgress {
    index: usize,
    position: Option<Minute>,
    rows: usize,
    first: Option<Minute>,
    is_complete: bool,
}

impl SourceSync<'_> {
    /// Walks the stretches of one partition, divided among the walkers; `later` are those of the next.
    pub(super) async fn walk_side_by_side(
        &mut self,
        stretches: &[Stretch],
        later: &[Stretch],
        planned: &Plan,
        watermark: &mut Watermark,
        walk: &mut Walk,
    ) -> Result<(), Stop> {
        let Some(first) = stretches.first() else { return Ok(()) };
        let partition = first.partition;
        let mut walkers = Walkers {
            notion: self.engine.notion.clone(),
            data_source_id: self.source.id,
            partition,
            run: self.run.clone(),
            ranges: Ranges::new(stretches, self.engine.notion.page_size()),
            requests: JoinSet::new(),
            max_walkers: self.engine.config.walkers,
            tail: TailState::Unasked,
        };
        walkers.start_waiting();
        while let Some(answer) = walkers.requests.join_next().await {
            let answer = answer
                .map_err(|error| Failure::new(FailureClass::Internal, "a walker ended early").caused_by(error))?;
            match answer {
                Answer::Tail(tail) => {
                    let rows = walkers.take_tail(tail?);
                    walkers.start_waiting();
                    self.take_rows(rows, partition, walk).await?;
                }
                Answer::Page { index, walker, page } => match page? {
                    Some(page) => {
                        let (rows, reached) = walkers.take_page(index, walker, page);
                        walkers.start_waiting();
                        self.take_rows(rows, partition, walk).await?;
                        walkers.reached(&reached);
                    }
                    None => walkers.ranges.finish(index),
                },
            }
            walkers.ask_tail();
            walkers.start_waiting();
            let rest = walkers.ranges.rest().into_iter().chain(later.iter().copied()).collect();
            walk.reached(rest);
            if self.run.deadline.is_half_gone_since(walk.checkpointed_at) {
                self.checkpoint(planned, watermark, walk).await?;
            }
        }
        Ok(())
    }
}
