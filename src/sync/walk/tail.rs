//! The youngest rows of a partition, read in one query in descending order.
//!
//! They show where the rows end, so that the time before them can be divided among walkers, and they need not be read again.

use jiff::{SignedDuration, Timestamp};

use super::{described, failed, read_rows};
use crate::ids::DataSourceId;
use crate::notion::{Client, Meaning, PageRow, Partition, Query, SortOrder};
use crate::run::Run;
use crate::run::clock::Minute;
use crate::sync::Stop;

/// The youngest rows.
#[derive(Debug)]
pub(crate) struct Tail {
    /// All rows created at or after this minute.
    pub rows: Vec<PageRow>,
    /// The first minute that is complete; the rows before are left to the walkers.
    pub begins: Minute,
}

/// Reads the youngest rows of a partition, created at or after `from`; `None` = Notion is too busy for it, or showed none.
///
/// # Errors
/// The deadline, or the failure of Notion; a row that can't be read.
pub(crate) async fn read_tail(
    notion: &Client,
    data_source_id: DataSourceId,
    partition: Partition,
    from: Minute,
    run: &Run,
) -> Result<Option<Tail>, Stop> {
    let query = Query {
        partition,
        order: SortOrder::Descending,
        edited_since: None,
        edited_before: None,
        created_from: Some(from.start()),
        created_before: None,
        page_size: notion.page_size(),
        can_shrink: true,
        title_only: false,
    };
    let page = match notion.query(data_source_id, &query, None, run).await {
        Ok(page) => page,
        // The walkers ask for smaller result pages; the tail is not worth it.
        Err(error) if error.meaning() == Some(Meaning::Overload) => return Ok(None),
        Err(error) => return Err(failed(error, partition, data_source_id)),
    };
    let is_all = page.next_cursor.is_none() && !page.is_incomplete;
    let mut rows = read_rows(page.rows, &page.request_id, run)
        .map_err(|failure| failure.context(described(partition, data_source_id)))?;
    let begins = if is_all { Some(from) } else { complete_from(rows.iter().map(|row| row.created_time)) };
    let Some(begins) = begins else { return Ok(None) };
    rows.retain(|row| row.created_time >= begins.start());
    Ok(Some(Tail { rows, begins }))
}

/// Returns the minute from which on all rows have been seen, of rows that should descend: the lowest creation time plus the
/// largest step up, and one whole minute more, as the walker's order does in the other direction.
fn complete_from(created: impl Iterator<Item = Timestamp>) -> Option<Minute> {
    let mut lowest: Option<Timestamp> = None;
    let mut largest_step_up = SignedDuration::ZERO;
    for created in created {
        if let Some(lowest) = lowest {
            largest_step_up = largest_step_up.max(created.duration_since(lowest));
        }
        lowest = Some(lowest.map_or(created, |lowest| lowest.min(created)));
    }
    let lowest = Minute::floor(lowest?);
    Some(Minute::floor(lowest.start().checked_add(largest_step_up).ok()?).next().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_minute_and_the_next_are_left_to_the_walkers() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let minute = |text: &str| Minute::exact(at(text));
        let in_order = [at("2026-11-22T13:05:00Z"), at("2026-11-22T13:01:00Z")];
        assert_eq!(complete_from(in_order.into_iter()), minute("2026-11-22T13:03:00Z"));
        let with_step = [at("2026-11-22T13:05:00Z"), at("2026-11-22T13:01:00Z"), at("2026-11-22T13:03:30Z")];
        assert_eq!(complete_from(with_step.into_iter()), minute("2026-11-22T13:05:00Z"));
        assert_eq!(complete_from([].into_iter()), None);
    }
}
