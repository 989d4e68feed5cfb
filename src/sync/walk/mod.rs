//! The walker: reads every row of one stretch of a data source, result page by result page, with the position that is safe
//! to continue from.
//!
//! Rows are sorted by `created_time`, which never changes, so they don't shift under the cursor. A stretch is complete only
//! when the last result page says `has_more: false` and none said `incomplete`. Past the cap the walk continues by
//! `created_time`, and a minute that has more rows than the cap is split by `last_edited_time`. Cursors live as long as one
//! query and are never stored; one that leads nowhere ends the walk with a failure. The server's order is checked, not
//! trusted.

mod minute;
mod order;
mod tail;

pub(crate) use tail::{Tail, read_tail};

use std::collections::HashSet;

use serde_json::value::RawValue;
use tracing::{debug, info};

use self::minute::MinuteSplit;
use self::order::Order;
use super::Stop;
use crate::failure::{Failure, FailureClass};
use crate::ids::DataSourceId;
use crate::notion::{
    Client, Meaning, NotionError, PageError, PageRow, Partition, Query, QueryPage, SortOrder, shown_request_id,
};
use crate::run::Run;
use crate::run::clock::Minute;
use crate::watermark::Stretch;

/// The number of times that one stretch starts again because its cursor was rejected.
const MAX_CURSOR_RESTARTS: u32 = 5;

/// The smallest page size asked for when Notion's query backend is overloaded (facts/notion §2.7).
const MIN_PAGE_SIZE: u32 = 10;

/// The number of result pages without any row, one after the other, before the walk gives up: a short one is no end
/// (facts/notion §2.4).
const MAX_EMPTY_PAGES: u32 = 20;

/// One result page of a stretch.
#[derive(Debug)]
pub(crate) struct ResultPage {
    /// The rows; a row read before with the very same text is left out.
    pub rows: Vec<WalkedRow>,
    /// All rows created before this minute have been yielded; `None` = none for sure.
    pub position: Option<Minute>,
}

/// One row of a result page.
#[derive(Debug)]
pub(crate) struct WalkedRow {
    pub page: PageRow,
    /// The row was not seen before in this stretch; else it was, with another text.
    pub is_new: bool,
}

/// The walker of one stretch.
#[derive(Debug)]
pub(crate) struct Walker {
    notion: Client,
    data_source_id: DataSourceId,
    stretch: Stretch,
    edited_since: Option<Minute>,
    title_only: bool,
    page_size: u32,
    /// The minute at which the present query begins.
    created_from: Option<Minute>,
    /// The minute at which the present query ends. A stretch that is narrowed does not change a query under its cursor.
    query_end: Option<Minute>,
    /// The cursor of the present query's next result page.
    cursor: Option<String>,
    /// Every cursor that the present query gave: one that is repeated leads round in a circle.
    cursors: HashSet<String>,
    empty_pages: u32,
    /// A result page of the present query said that the result is cut.
    is_capped: bool,
    /// The status it gave, when that is not the cap.
    odd_status: Option<String>,
    /// The parts of the minute that is being read in parts.
    split: Option<MinuteSplit>,
    order: Order,
    cursor_restarts: u32,
    is_done: bool,
}

impl Walker {
    /// Begins at the start of `stretch`.
    pub(crate) fn new(
        notion: &Client,
        data_source_id: DataSourceId,
        stretch: Stretch,
        edited_since: Option<Minute>,
        title_only: bool,
    ) -> Self {
        Self {
            notion: notion.clone(),
            data_source_id,
            query_end: stretch.created_to,
            created_from: stretch.created_from,
            order: Order::new(stretch.created_from),
            stretch,
            edited_since,
            title_only,
            page_size: notion.page_size(),
            cursor: None,
            cursors: HashSet::new(),
            empty_pages: 0,
            is_capped: false,
            odd_status: None,
            split: None,
            cursor_restarts: 0,
            is_done: false,
        }
    }

    /// Reads the next result page; `None` = the stretch is complete.
    ///
    /// # Errors
    /// The deadline, or a failure: a row that can't be read, a cursor rejected too often, a minute over the cap, or the
    /// failure of Notion.
    pub(crate) async fn next_result_page(&mut self, run: &Run) -> Result<Option<ResultPage>, Stop> {
        while !self.is_done {
            let query = self.query();
            let page = match self.notion.query(self.data_source_id, &query, self.cursor.as_deref(), run).await {
                Ok(page) => page,
                Err(error) if error.meaning() == Some(Meaning::CursorRejected) && self.cursor.is_some() => {
                    self.restart_after_rejected_cursor(&error)?;
                    continue;
                }
                Err(error) if error.meaning() == Some(Meaning::Overload) && self.can_shrink() => {
                    self.shrink_page(&error, run);
                    continue;
                }
                Err(error) => return Err(self.failed(error)),
            };
            return self.take_page(page, run).map(Some);
        }
        Ok(None)
    }

    /// Returns true when the stretch is complete.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Ends the stretch earlier, because another walker reads the rest. The present query may still show rows beyond.
    pub(crate) fn narrow(&mut self, end: Minute) {
        self.stretch.created_to = Some(self.stretch.created_to.map_or(end, |to| to.min(end)));
    }

    fn query(&self) -> Query {
        let (edited_since, edited_before) = match &self.split {
            Some(split) => split.edited_bounds(self.edited_since),
            None => (self.edited_since, None),
        };
        let minute_end = self.split.as_ref().map(MinuteSplit::end);
        let created_before = match (minute_end, self.query_end) {
            (Some(end), Some(to)) => Some(end.min(to)),
            (end, to) => end.or(to),
        };
        Query {
            partition: self.stretch.partition,
            order: SortOrder::Ascending,
            edited_since: edited_since.map(Minute::start),
            edited_before: edited_before.map(Minute::start),
            created_from: self.created_from.map(Minute::start),
            created_before: created_before.map(Minute::start),
            page_size: self.page_size,
            can_shrink: self.can_shrink(),
            title_only: self.title_only,
        }
    }

    fn take_page(&mut self, page: QueryPage, run: &Run) -> Result<ResultPage, Stop> {
        self.check_progress(&page)?;
        self.is_capped |= page.is_incomplete;
        self.odd_status = page.odd_status.or_else(|| self.odd_status.take());
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in read_rows(page.rows, &page.request_id, run).map_err(|failure| failure.context(self.described()))? {
            if let Some(split) = &mut self.split {
                split.see(&row);
            }
            let seen = self.order.see(&row);
            if seen != order::Seen::Same {
                rows.push(WalkedRow { page: row, is_new: seen == order::Seen::New });
            }
        }
        self.cursor = page.next_cursor;
        if self.cursor.is_none() {
            self.end_query(run)?;
        } else if self.is_capped && self.split.is_some() {
            // A part that is cut is split again at once; the rows that it showed so far have been yielded.
            self.end_query(run)?;
        }
        self.order.forget_before(self.position());
        Ok(ResultPage { rows, position: self.position() })
    }

    /// Checks that the result page leads on: `has_more` without end would be read without end.
    fn check_progress(&mut self, page: &QueryPage) -> Result<(), Failure> {
        let Some(cursor) = &page.next_cursor else { return Ok(()) };
        self.empty_pages = if page.rows.is_empty() { self.empty_pages + 1 } else { 0 };
        let what = if !self.cursors.insert(cursor.clone()) {
            "Notion repeated a cursor that it had given before, so its result pages go round in a circle".to_owned()
        } else if self.empty_pages > MAX_EMPTY_PAGES {
            format!("Notion gave {} result pages without a row, and each says that there are more", self.empty_pages)
        } else {
            return Ok(());
        };
        let request_id = shown_request_id(&page.request_id);
        Err(Failure::new(FailureClass::WalkIncomplete, format!("{}: {what}{request_id}", self.described())))
    }

    /// Decides what follows a query that has shown all that it will show.
    ///
    /// Notion shows at most 10,000 rows a query and says so with the last result page. A query that was not cut has shown
    /// its whole range, so the stretch (or the part of a minute) is complete. After a cut the next query begins at the safe
    /// position: it is derived from the rows seen, so it reads at least the minute before the last row again, which the
    /// order drops as known rows. That makes progress only if the safe position is past the begin of this query. When it is
    /// not, one minute alone fills the whole result, and no bound on `created_time` can divide it: the minute is then read
    /// in parts of `last_edited_time`. A part that is cut is divided further; when the last part of the minute is complete,
    /// the walk continues behind the minute, as a query that is not cut would have.
    fn end_query(&mut self, run: &Run) -> Result<(), Failure> {
        let was_capped = std::mem::take(&mut self.is_capped);
        self.begin_query();
        // The order of the query that just ended says how far it can be trusted, so it is read before the next one begins.
        let safe = self.order.safe_position();
        self.order.begin_query();
        if let Some(split) = &mut self.split {
            let minute = split.minute();
            // A part that the cap cut is no part read: it is replaced by two smaller ones.
            if was_capped {
                return split.cut(run.clock.now()).map_err(|_| self.minute_over_cap(minute));
            }
            if split.next_part() {
                return Ok(());
            }
            // Every part of the minute was read to its end, so the walk continues with the minute after it.
            let next = split.end();
            self.split = None;
            self.created_from = Some(next);
            self.is_done = self.stretch.created_to.is_some_and(|to| next >= to);
            return Ok(());
        }
        // Notion said that there is no more and cut nothing: only this ends a stretch.
        if !was_capped {
            self.is_done = true;
            return Ok(());
        }
        let Some(safe) = safe else {
            let message = format!("{} was cut by Notion although it showed no row", self.described());
            return Err(Failure::new(FailureClass::WalkIncomplete, message));
        };
        // A cut result is sorted by creation time, so its end is where the next query begins. When the whole result lies in
        // the minute where this query began, the same query would be cut at the same row for ever.
        if self.created_from.is_none_or(|from| safe > from) {
            info!(data_source = %self.data_source_id, created_from = %safe, "the result was cut; continuing by created_time");
            self.created_from = Some(safe);
            self.cursor_restarts = 0;
        } else {
            let minute = self.created_from.unwrap_or(safe);
            info!(data_source = %self.data_source_id, %minute, "one minute fills the whole result; reading it in parts");
            self.split = Some(MinuteSplit::new(minute));
        }
        Ok(())
    }

    /// Returns the minute before which all rows have been yielded.
    fn position(&self) -> Option<Minute> {
        if self.split.is_some() {
            return self.created_from;
        }
        match (self.order.safe_position(), self.created_from) {
            (Some(safe), Some(from)) => Some(safe.max(from)),
            (safe, from) => safe.or(from),
        }
    }

    fn restart_after_rejected_cursor(&mut self, error: &NotionError) -> Result<(), Failure> {
        self.cursor_restarts += 1;
        if self.cursor_restarts > MAX_CURSOR_RESTARTS {
            let message =
                format!("{}: its cursor was rejected {} times, last: {error}", self.described(), self.cursor_restarts);
            return Err(Failure::new(FailureClass::CursorRejected, message));
        }
        debug!(data_source = %self.data_source_id, restarts = self.cursor_restarts, "cursor rejected; restarting the stretch");
        self.restart();
        Ok(())
    }

    fn can_shrink(&self) -> bool {
        self.page_size > MIN_PAGE_SIZE
    }

    /// Makes the result pages smaller. The size must not change under a cursor, so the query starts again.
    fn shrink_page(&mut self, error: &NotionError, run: &Run) {
        self.page_size = (self.page_size / 2).max(MIN_PAGE_SIZE);
        let warning = format!("{}: asking for {} rows a page after: {error}", self.described(), self.page_size);
        run.warn("smaller result pages", warning);
        self.restart();
    }

    fn restart(&mut self) {
        if self.split.is_none() {
            self.created_from = self.position();
        }
        self.is_capped = false;
        self.begin_query();
        self.order.begin_query();
    }

    /// Makes the next result page the first of a query.
    fn begin_query(&mut self) {
        self.cursor = None;
        self.cursors.clear();
        self.empty_pages = 0;
        self.query_end = self.stretch.created_to;
    }

    fn described(&self) -> String {
        described(self.stretch.partition, self.data_source_id)
    }

    fn failed(&self, error: NotionError) -> Stop {
        failed(error, self.stretch.partition, self.data_source_id)
    }

    fn minute_over_cap(&self, minute: Minute) -> Failure {
        if let Some(status) = &self.odd_status {
            let message = format!(
                "{}: Notion says that its answers are cut ({status}), even for the minute {minute} alone",
                self.described()
            );
            return Failure::new(FailureClass::WalkIncomplete, message);
        }
        let message = format!(
            "{}: more rows than Notion shows were created in the minute {minute} and last edited in one minute",
            self.described()
        );
        Failure::new(FailureClass::MinuteOverCap, message)
    }
}

/// Reads the rows of a result page. A wiki has data sources among them, which are left out with a warning.
fn read_rows(texts: Vec<Box<RawValue>>, request_id: &Option<String>, run: &Run) -> Result<Vec<PageRow>, Failure> {
    let mut rows = Vec::with_capacity(texts.len());
    for text in texts {
        match PageRow::read(text) {
            Ok(row) => rows.push(row),
            Err(PageError::NotAPage { object, id }) if object == "data_source" => {
                let warning = format!("a wiki's data source ({id}) is among the rows; it is no page and was left out");
                run.warn("data source among the rows", warning);
            }
            Err(error) => {
                let message = format!("{error}{}", shown_request_id(request_id));
                return Err(Failure::new(FailureClass::PageUnreadable, message));
            }
        }
    }
    Ok(rows)
}

fn described(partition: Partition, data_source_id: DataSourceId) -> String {
    let walk = match partition {
        Partition::Default => "the walk",
        Partition::Archived => "the walk of the archived rows",
    };
    format!("{walk} of data source {data_source_id}")
}

fn failed(error: NotionError, partition: Partition, data_source_id: DataSourceId) -> Stop {
    if matches!(error.meaning(), Some(Meaning::NotFound | Meaning::Forbidden)) {
        let message = format!("data source {data_source_id} is no longer visible, nothing was marked: {error}");
        return Failure::new(FailureClass::SourceAccessLost, message).into();
    }
    Stop::from(error).context(described(partition, data_source_id))
}
