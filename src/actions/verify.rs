//! `verify`: proves the mirror. Walks every row that Notion shows, lets the warehouse compare content with the table, and
//! names each difference. It only reads, so it takes no lease and may run beside a sync.
//!
//! What no sync can have read yet is no difference: a row edited at or after the watermark of its data source. (The
//! watermark lies before the start of the verification, so edits that land while it walks are among those.)

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::clients::Clients;
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database, PageId};
use crate::notion::{DataSourceRef, Meaning, PageRow, Partition};
use crate::run::Run;
use crate::run::clock::Minute;
use crate::run::items::{DifferenceItem, DifferenceKind, Item, Verification};
use crate::run::progress::ProgressEvent;
use crate::run::report::Report;
use crate::sync::batch::STATEMENT_OVERHEAD_BYTES;
use crate::sync::walk::Walker;
use crate::sync::{OutOfTime, Stop, SyncConfig, row};
use crate::warehouse::{
    ContentComparison, ContentDifference, CreatedWindow, HashStart, PageRange, Tables, WalkedRow, compare_content,
    read_content_comparison,
};
use crate::watermark::Stretch;

/// Bytes of one walked row in the body: seven names, two ids, a hash, three flags, a time, quotes escaped.
const WALKED_ROW_BYTES: usize = 240;

/// Rows read in one walk before the window ends: bounds the memory whatever the database's size.
const MAX_ROWS_PER_WALK: usize = 250_000;

/// Differences named in the report, which must stay under 256 KB; all are counted.
const MAX_NAMED_DIFFERENCES: usize = 1_000;

/// Pages that Notion is asked for one by one, because no walk showed them.
const MAX_PAGES_ASKED_FOR: usize = 1_000;

/// One verification under way.
struct Verifier<'a> {
    clients: &'a Clients,
    config: &'a SyncConfig,
    database: &'a Database,
    run: &'a Run,
    /// The minute in which the verification began, by this machine's clock.
    started_at: Minute,
    /// Up to where each data source is synced.
    synced_through: HashMap<DataSourceId, Minute>,
    found: Verification,
    named: Vec<DifferenceItem>,
    pages_asked_for: usize,
}

/// The rows that Notion shows within a window of creation times, by page id.
struct Window {
    created: CreatedWindow,
    rows: Vec<WalkedRow>,
}

/// Verifies one database.
///
/// # Errors
/// `MirrorDiffers` when there is a difference; else what the walk or a statement failed with.
pub(crate) async fn verify(
    clients: &Clients,
    config: &SyncConfig,
    database: &Database,
    run: &Run,
    report: &mut Report,
) -> Result<(), Failure> {
    let started_at = Minute::floor(run.clock.now());
    let info = clients.notion.database(database.id, run).await.map_err(Failure::from)?;
    if info.in_trash || info.data_sources.is_empty() {
        let message = format!("database {} ({}) is in the trash or lists no data source", database.name, database.id);
        return Err(Failure::new(FailureClass::SourceAccessLost, message));
    }
    let synced_through = watermarks(clients, database, &info.data_sources, run).await?;
    let (found, named, pages_asked_for) = (Verification::default(), Vec::new(), 0);
    let mut verifier =
        Verifier { clients, config, database, run, started_at, synced_through, found, named, pages_asked_for };
    let compared = verifier.windows(&info.data_sources).await;
    let Verifier { found, named, .. } = verifier;
    report.totals.pages_read = found.rows_in_notion;
    report.verification = Some(found);
    let unnamed = found.differences().saturating_sub(named.len() as u64);
    report.items.extend(named.into_iter().map(Item::Difference));
    compared.map_err(failure_of)?;
    if unnamed > 0 {
        run.warn("verify", format!("{unnamed} more differences are counted and not named"));
    }
    if found.differences() > 0 { Err(differs(&found, &report.items)) } else { Ok(()) }
}

/// Up to where each data source is synced: the claim that is verified.
async fn watermarks(
    clients: &Clients,
    database: &Database,
    sources: &[DataSourceRef],
    run: &Run,
) -> Result<HashMap<DataSourceId, Minute>, Failure> {
    let peeked = clients.watermarks.peek_all(std::slice::from_ref(database), run).await;
    let rows = peeked.rows_of(database)?;
    let synced_through: HashMap<DataSourceId, Minute> =
        rows.iter().filter_map(|row| Some((row.data_source_id, row.synced_through?))).collect();
    match sources.iter().find(|source| !synced_through.contains_key(&source.id)) {
        None => Ok(synced_through),
        Some(source) => {
            let message = format!(
                "data source {:?} ({}) was never synced to its end, so there is nothing to verify yet; sync it first",
                source.name, source.id
            );
            Err(Failure::new(FailureClass::MirrorDiffers, message))
        }
    }
}

fn failure_of(stop: Stop) -> Failure {
    match stop {
        Stop::Failed(failure) => failure,
        Stop::OutOfTime(OutOfTime { retry_after }) => {
            let message = "the time was over before every row was compared; what was found until then is in the report";
            Failure::new(FailureClass::DeadlineExceeded, message).waiting(retry_after)
        }
    }
}

/// The failure that counts the differences and names the first ones.
fn differs(found: &Verification, items: &[Item]) -> Failure {
    let counts = [
        (found.missing_in_table, DifferenceKind::MissingInTable),
        (found.missing_in_notion, DifferenceKind::MissingInNotion),
        (found.differing, DifferenceKind::Differs),
        (found.duplicate_keys, DifferenceKind::DuplicateKey),
    ];
    let counted: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {}", kind.described()))
        .collect();
    let first = items.iter().find_map(|item| match item {
        Item::Difference(difference) => Some(format!("; the first is page {}", difference.page_id)),
        _ => None,
    });
    let message = format!(
        "the table differs from Notion in {} of {} rows: {}{}",
        found.differences(),
        found.rows_in_notion.max(found.rows_in_table),
        counted.join(", "),
        first.unwrap_or_default()
    );
    Failure::new(FailureClass::MirrorDiffers, message)
}

impl Verifier<'_> {
    /// Walks and compares window after window.
    async fn windows(&mut self, sources: &[DataSourceRef]) -> Result<(), Stop> {
        let mut from = None;
        loop {
            let (window, to) = self.walk(sources, from).await?;
            self.found.rows_in_notion += window.rows.len() as u64;
            self.compare(&window).await?;
            info!(rows = window.rows.len(), window = ?window.created, found = ?self.found, "rows were compared");
            from = to;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads every row created from `from` on, both partitions of every data source; of a row seen twice the later read
    /// counts. The window ends earlier where very many rows were read.
    async fn walk(&self, sources: &[DataSourceRef], from: Option<Minute>) -> Result<(Window, Option<Minute>), Stop> {
        let mut rows: BTreeMap<PageId, (Timestamp, WalkedRow)> = BTreeMap::new();
        let mut to = None;
        for source in sources {
            for partition in [Partition::Default, Partition::Archived] {
                let stretch = Stretch { created_from: from, created_to: to, ..Stretch::whole(partition) };
                let mut walker = Walker::new(&self.clients.notion, source.id, stretch, None, false);
                let mut rows_of_walk = 0;
                loop {
                    let Some(page) = walker.next_result_page(self.run).await? else { break };
                    rows_of_walk += page.rows.len();
                    for row in page.rows {
                        let page = row.page;
                        rows.insert(page.id, (page.created_time, self.walked(page, source.id, partition)?));
                    }
                    let pages_read = self.found.rows_in_notion + rows.len() as u64;
                    self.run.progress.tell(&ProgressEvent::PagesRead { data_source_id: source.id, pages_read });
                    if rows_of_walk >= MAX_ROWS_PER_WALK && page.position > from {
                        to = page.position;
                        break;
                    }
                }
            }
        }
        let is_in_window = |created: &Timestamp| to.is_none_or(|to| *created < to.start());
        let rows = rows.into_values().filter(|(created, _)| is_in_window(created)).map(|(_, row)| row).collect();
        let created = CreatedWindow { from: from.map(Minute::start), to: to.map(Minute::start) };
        Ok((Window { created, rows }, to))
    }

    fn walked(&self, page: PageRow, source: DataSourceId, partition: Partition) -> Result<WalkedRow, Failure> {
        let is_archived = page.is_archived.unwrap_or(partition == Partition::Archived);
        let row = row::row(page, self.database, source, is_archived, None)?;
        let payload_hash = HashStart::of(&row.payload_sha256)
            .ok_or_else(|| Failure::new(FailureClass::Internal, format!("the hash of page {} is none", row.page_id)))?;
        // A time that lies in the future is no edit that is still to be read.
        let is_due = self.synced_through.get(&source).is_some_and(|synced| row.last_edited_time < synced.start())
            || row.last_edited_time >= self.run.future_from();
        Ok(WalkedRow {
            page_id: row.page_id,
            data_source_id: source,
            last_edited_time: row.last_edited_time,
            payload_hash,
            is_archived,
            in_trash: row.in_trash,
            is_due,
        })
    }

    /// Lets the warehouse compare, in ranges of ids where the rows are too many for one body.
    async fn compare(&mut self, window: &Window) -> Result<(), Stop> {
        let databricks = &self.clients.databricks;
        let tables = Tables::of(databricks.config());
        let body_bytes = self.config.merge_batch_bytes.min(MAX_BODY_BYTES);
        let rows_per_range = (body_bytes.saturating_sub(STATEMENT_OVERHEAD_BYTES) / WALKED_ROW_BYTES).max(1);
        let mut pending = ranges(&window.rows, rows_per_range);
        pending.reverse();
        while let Some((range, rows)) = pending.pop() {
            let statement = compare_content(
                &tables,
                self.database.id,
                window.created,
                range,
                rows,
                self.started_at.start(),
                MAX_NAMED_DIFFERENCES,
            )?;
            match databricks.execute(&statement, self.run).await {
                Ok(answer) => self.take(read_content_comparison(&answer)?).await?,
                Err(error) if error.is_too_large() && rows.len() > 1 => pending.extend(halves(range, rows)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Counts what one statement found, and names as much of it as the report may hold.
    async fn take(&mut self, comparison: ContentComparison) -> Result<(), Stop> {
        self.found.rows_in_table += comparison.rows_in_table;
        self.found.not_yet_synced += comparison.not_yet_synced;
        for (kind, total) in comparison.totals {
            *self.count(kind) += total;
        }
        for difference in comparison.named {
            let detail = match difference.kind {
                DifferenceKind::MissingInNotion => match self.asked(&difference).await? {
                    PageAnswer::Difference(says) => Some(says),
                    PageAnswer::ChangedMeanwhile => {
                        self.found.missing_in_notion = self.found.missing_in_notion.saturating_sub(1);
                        self.found.not_yet_synced += 1;
                        continue;
                    }
                },
                _ => difference.columns,
            };
            let ContentDifference { page_id, data_source_id, kind, .. } = difference;
            warn!(%page_id, difference = kind.described(), detail, "the table differs from Notion");
            if self.named.len() < MAX_NAMED_DIFFERENCES {
                self.named.push(DifferenceItem { page_id, data_source_id, difference: kind, detail });
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: DifferenceKind) -> &mut u64 {
        match kind {
            DifferenceKind::MissingInTable => &mut self.found.missing_in_table,
            DifferenceKind::MissingInNotion => &mut self.found.missing_in_notion,
            DifferenceKind::Differs => &mut self.found.differing,
            DifferenceKind::DuplicateKey => &mut self.found.duplicate_keys,
        }
    }

    /// Asks Notion for a page that the table has live and no walk showed.
    async fn asked(&mut self, difference: &ContentDifference) -> Result<PageAnswer, Stop> {
        if self.pages_asked_for == MAX_PAGES_ASKED_FOR {
            return Ok(PageAnswer::Difference("Notion was not asked for this page".to_owned()));
        }
        self.pages_asked_for += 1;
        let text = match self.clients.notion.page(difference.page_id, self.run).await {
            Ok(text) => text,
            Err(error) if error.meaning() == Some(Meaning::NotFound) => {
                return Ok(PageAnswer::Difference("deleted, or not shared any more".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let Ok(page) = PageRow::read(text) else {
            return Ok(PageAnswer::Difference("Notion's answer for this page is no page".to_owned()));
        };
        let is_edited_meanwhile = page.last_edited_time >= self.started_at.start();
        Ok(match (page.in_trash, is_edited_meanwhile) {
            (_, true) => PageAnswer::ChangedMeanwhile,
            (true, false) => PageAnswer::Difference("in the trash".to_owned()),
            (false, false) => PageAnswer::Difference("live, but in no data source of this database".to_owned()),
        })
    }
}

/// Notion's answer about a page that no walk showed.
enum PageAnswer {
    /// It is rightly missing there, so the table is wrong.
    Difference(String),
    /// It was changed while the verification walked.
    ChangedMeanwhile,
}

/// Ranges of ids, without a gap, of at most `size` rows each; `rows` are in the order of their ids.
fn ranges(rows: &[WalkedRow], size: usize) -> Vec<(PageRange, &[WalkedRow])> {
    let mut ranges: Vec<(PageRange, &[WalkedRow])> = Vec::new();
    for part in rows.chunks(size) {
        let from = part.first().map(|row| row.page_id);
        if let Some((before, _)) = ranges.last_mut() {
            before.to = from;
        }
        let from = from.filter(|_| !ranges.is_empty());
        ranges.push((PageRange { from, to: None }, part));
    }
    if ranges.is_empty() {
        ranges.push((PageRange { from: None, to: None }, rows));
    }
    ranges
}

/// The two halves of a range whose rows were too much for one body; the first half is taken first.
fn halves(range: PageRange, rows: &[WalkedRow]) -> [(PageRange, &[WalkedRow]); 2] {
    let (first, second) = rows.split_at(rows.len() / 2);
    let middle = second.first().map(|row| row.page_id);
    [(PageRange { from: middle, ..range }, second), (PageRange { to: middle, ..range }, first)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> WalkedRow {
        let text = format!("{number:032x}");
        WalkedRow {
            page_id: PageId::parse(&text).unwrap(),
            data_source_id: DataSourceId::parse(&text).unwrap(),
            last_edited_time: Timestamp::UNIX_EPOCH,
            payload_hash: HashStart::of(&"f".repeat(64)).unwrap(),
            is_archived: false,
            in_trash: false,
            is_due: false,
        }
    }

    #[test]
    fn ranges_and_halves_cover_every_id_without_a_gap() {
        let rows: Vec<WalkedRow> = [1u128, 2, 1 << 100, 1 << 120, 1 << 121].map(row).to_vec();
        for size in 1..7 {
            let whole = ranges(&rows, size);
            let halved: Vec<_> = whole.iter().rev().flat_map(|(range, rows)| halves(*range, rows)).rev().collect();
            let halved: Vec<_> = if size > 1 && whole.iter().all(|(_, rows)| rows.len() > 1) { halved } else { whole };
            assert_eq!(halved.first().unwrap().0.from, None);
            assert_eq!(halved.last().unwrap().0.to, None);
            for pair in halved.windows(2) {
                assert_eq!(pair[0].0.to, pair[1].0.from);
            }
            for (range, rows) in &halved {
                for row in *rows {
                    assert!(range.from.is_none_or(|from| from <= row.page_id));
                    assert!(range.to.is_none_or(|to| row.page_id < to));
                }
            }
        }
        assert_eq!(ranges(&[], 3).len(), 1, "an empty walk still asks the table");
    }

    #[test]
    fn a_walked_row_is_not_heavier_than_reckoned() {
        let json = serde_json::to_string(&row(u128::MAX)).unwrap();
        let escaped = serde_json::to_string(&json).unwrap();
        assert!(escaped.len() < WALKED_ROW_BYTES, "{}", escaped.len());
    }
}
