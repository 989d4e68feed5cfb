//! The listing of all rows that Notion shows, and its comparison with the table.
//!
//! A listed row is its id, data source, flag and times: 64 bytes.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::databricks::MAX_BODY_BYTES;
use crate::ids::{DataSourceId, PageId};
use crate::notion::{DataSourceRef, Partition};
use crate::run::clock::Minute;
use crate::run::progress::ProgressEvent;
use crate::sync::batch::STATEMENT_OVERHEAD_BYTES;
use crate::sync::seen_rows::SeenRows;
use crate::sync::walk::Walker;
use crate::sync::{Engine, Stop};
use crate::warehouse::{Comparison, CreatedWindow, IdRange, ListedRow, Tables, compare_listing, read_comparison};
use crate::watermark::Stretch;

/// The size of one listed row in the body: four names, two ids, a flag, a time, quotes escaped.
const LISTED_ROW_BYTES: usize = 220;

/// The number of rows listed in one walk before the window ends: it bounds the memory whatever the database's size.
const MAX_ROWS_PER_WALK: usize = 250_000;

/// The rows that Notion lists within a window of creation times.
pub(super) struct Listing {
    pub(super) window: CreatedWindow,
    pub(super) rows: Vec<ListedRow>,
}

/// The listing of a window while it grows.
struct Window {
    from: Option<Minute>,
    to: Option<Minute>,
    began: Instant,
    /// The rows with their creation times; of a row listed twice the later read counts.
    listed: BTreeMap<PageId, (Timestamp, ListedRow)>,
}

/// Lists every row of every data source created from `from` on, both partitions. Rows that a walk of this run has seen are
/// taken from there, and only the stretches that it did not walk are listed.
///
/// The window ends early when half of the time left for work is gone or very many rows are listed: the rows in it can then
/// be classified, and the sweep continues from its end.
pub(super) async fn list(
    engine: &Engine<'_>,
    sources: &[DataSourceRef],
    seen: &HashMap<DataSourceId, SeenRows>,
    from: Option<Minute>,
) -> Result<Listing, Stop> {
    let mut window = Window { from, to: None, began: Instant::now(), listed: BTreeMap::new() };
    for source in sources {
        let seen = seen.get(&source.id);
        if let Some(seen) = seen {
            let rows = seen.listed(source.id, from).map(|(created, row)| (row.page_id, (created, row)));
            window.listed.extend(rows);
        }
        for stretch in seen.map_or_else(Stretch::both_partitions, SeenRows::unwalked) {
            window.list_stretch(engine, source.id, stretch).await?;
        }
    }
    let Window { to, listed, .. } = window;
    let is_within = |created: Timestamp| to.is_none_or(|to| created < to.start());
    let rows = listed.into_values().filter(|(created, _)| is_within(*created)).map(|(_, row)| row).collect();
    let window = CreatedWindow { from: from.map(Minute::start), to: to.map(Minute::start) };
    Ok(Listing { window, rows })
}

impl Window {
    /// Lists the part of a stretch that is within the window.
    async fn list_stretch(
        &mut self,
        engine: &Engine<'_>,
        data_source_id: DataSourceId,
        stretch: Stretch,
    ) -> Result<(), Stop> {
        let created_from = stretch.created_from.max(self.from);
        let created_to = [stretch.created_to, self.to].into_iter().flatten().min();
        if created_to.is_some() && created_from >= created_to {
            return Ok(());
        }
        let stretch = Stretch { created_from, created_to, ..stretch };
        let mut walker = Walker::new(engine.notion, data_source_id, stretch, None, true);
        let mut rows_of_walk = 0;
        while let Some(page) = walker.next_result_page(engine.run).await? {
            rows_of_walk += page.rows.len();
            for row in page.rows.into_iter().map(|row| row.page) {
                let is_archived = row.is_archived.unwrap_or(stretch.partition == Partition::Archived);
                let listed_row =
                    ListedRow { page_id: row.id, data_source_id, is_archived, last_edited_time: row.last_edited_time };
                self.listed.insert(row.id, (row.created_time, listed_row));
            }
            let rows_listed = u64::try_from(self.listed.len()).unwrap_or(u64::MAX);
            engine.run.progress.tell(&ProgressEvent::Listed { rows_listed });
            let is_enough = rows_of_walk >= MAX_ROWS_PER_WALK || engine.run.deadline.is_half_gone_since(self.began);
            if is_enough && page.position > self.from {
                self.to = page.position;
                self.began = Instant::now();
                break;
            }
        }
        Ok(())
    }
}

/// Lets the warehouse compare, in ranges of ids when the listing is too long for one body. Returns the differences within
/// the window, and the numbers of live and of duplicate rows of the whole database.
pub(super) async fn compare(engine: &Engine<'_>, listing: &Listing) -> Result<Comparison, Stop> {
    let tables = Tables::of(engine.databricks.config());
    let body_bytes = engine.config.merge_batch_bytes.min(MAX_BODY_BYTES);
    let rows_per_range = (body_bytes.saturating_sub(STATEMENT_OVERHEAD_BYTES) / LISTED_ROW_BYTES).max(1);
    let mut whole = Comparison::default();
    let mut pending = ranges(&listing.rows, rows_per_range);
    pending.reverse();
    while let Some((range, rows)) = pending.pop() {
        let statement =
            compare_listing(&tables, engine.database.id, listing.window, &range, rows, engine.run.future_from())?;
        match engine.databricks.execute(&statement, engine.run).await {
            Ok(answer) => {
                let part = read_comparison(&answer)?;
                whole.differences.extend(part.differences);
                whole.live_rows = part.live_rows;
                whole.duplicate_rows = part.duplicate_rows;
            }
            Err(error) if error.is_too_large() && rows.len() > 1 => pending.extend(halves(range, rows)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(whole)
}

/// Halves a range whose rows were too many for one body; the first half is taken first.
fn halves(range: IdRange, rows: &[ListedRow]) -> Vec<(IdRange, &[ListedRow])> {
    let (first, second) = rows.split_at(rows.len() / 2);
    let middle = second.first().map_or_else(|| range.to.clone(), |row| row.page_id.to_string());
    vec![(IdRange { from: middle.clone(), to: range.to }, second), (IdRange { from: range.from, to: middle }, first)]
}

/// Splits rows sorted by id into ranges that together cover every id there can be, listed or not.
fn ranges(rows: &[ListedRow], rows_per_range: usize) -> Vec<(IdRange, &[ListedRow])> {
    let mut chunks: Vec<&[ListedRow]> = rows.chunks(rows_per_range).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let firsts: Vec<String> =
        chunks.iter().skip(1).filter_map(|chunk| chunk.first()).map(|row| row.page_id.to_string()).collect();
    let from = std::iter::once(String::new()).chain(firsts.iter().cloned());
    let to = firsts.iter().cloned().chain(std::iter::once("g".to_owned()));
    from.zip(to).map(|(from, to)| IdRange { from, to }).zip(chunks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u128) -> ListedRow {
        let text = uuid::Uuid::from_u128(id).to_string();
        ListedRow {
            page_id: PageId::parse(&text).unwrap(),
            data_source_id: DataSourceId::parse(&text).unwrap(),
            is_archived: false,
            last_edited_time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn ranges_cover_every_id_without_a_gap() {
        let rows: Vec<ListedRow> = [1u128, 2, 1 << 100, 1 << 120].map(row).to_vec();
        for size in 1..6 {
            let ranges = ranges(&rows, size);
            assert_eq!(ranges.first().unwrap().0.from, "");
            assert_eq!(ranges.last().unwrap().0.to, "g");
            for pair in ranges.windows(2) {
                assert_eq!(pair[0].0.to, pair[1].0.from);
            }
            for (range, rows) in &ranges {
                for row in *rows {
                    let id = row.page_id.to_string();
                    assert!(range.from <= id && id < range.to);
                }
            }
        }
        assert_eq!(ranges(&[], 3).len(), 1, "an empty listing still asks the table");
    }

    #[test]
    fn a_listed_row_is_not_heavier_than_reckoned() {
        let json = serde_json::to_string(&row(u128::MAX)).unwrap();
        let escaped = serde_json::to_string(&json).unwrap();
        assert!(escaped.len() < LISTED_ROW_BYTES, "{}", escaped.len());
    }
}
