//! The comparison of content: every row that Notion shows against every row that the table has of the database.

use jiff::Timestamp;
use serde::Serialize;

use super::row::{HASH_START_DIGITS, HashStart};
use super::{CreatedWindow, Tables, json_array};
use crate::databricks::{Parameter, ROW_COUNT_MARK, Rows, Statement};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, PageId};
use crate::run::items::DifferenceKind;

/// One row that Notion shows, as small as it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WalkedRow {
    #[serde(rename = "p")]
    pub page_id: PageId,
    #[serde(rename = "s")]
    pub data_source_id: DataSourceId,
    /// Its source version.
    #[serde(rename = "t")]
    pub last_edited_time: Timestamp,
    /// The start of the hash of its content.
    #[serde(rename = "h")]
    pub payload_hash: HashStart,
    /// Which partition shows it.
    #[serde(rename = "a")]
    pub is_archived: bool,
    /// True if it is in the trash.
    #[serde(rename = "x")]
    pub in_trash: bool,
    /// True if the table must hold this version; false for an edit that no sync can have read yet.
    #[serde(rename = "d")]
    pub is_due: bool,
}

/// The rows that one statement compares: page ids from inclusive, to exclusive; `None` = unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// First id.
    pub from: Option<PageId>,
    /// First id beyond.
    pub to: Option<PageId>,
}

/// Compares the rows shown by Notion within a window of creation times and a range of ids with the table's. At most `limit`
/// differences of each kind come back, with the number of all. A list that is cut can't make rows missing: the statement
/// fails when it parses another number of rows than was sent. A row of the table that is newer than what was read, and was
/// edited since `started_at`, was written by a sync meanwhile and is no difference.
///
/// # Errors
/// `Internal` when the rows can't be written, which would be a defect.
pub fn compare_content(
    tables: &Tables,
    database_id: DatabaseId,
    window: CreatedWindow,
    range: PageRange,
    walked: &[WalkedRow],
    started_at: Timestamp,
    limit: usize,
) -> Result<Statement, Failure> {
    let text = format!(
        "WITH seen AS (
  SELECT r.p AS page_id, r.s AS data_source_id, CAST(r.t AS TIMESTAMP) AS last_edited_time, r.h AS payload_hash,
         r.a AS is_archived, r.x AS in_trash, r.d AS is_due
  FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:row_count AS INT) THEN j.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<p:STRING,s:STRING,t:STRING,h:STRING,a:BOOLEAN,x:BOOLEAN,d:BOOLEAN>>',
          map('mode','FAILFAST')) AS a) AS j)),
held AS (
  SELECT page_id, count(*) AS copies, sum(CASE WHEN removed_at IS NULL THEN 1 ELSE 0 END) AS live_copies,
    max(CASE WHEN removed_at IS NULL THEN data_source_id END) AS data_source_id,
    max(CASE WHEN removed_at IS NULL THEN last_edited_time END) AS last_edited_time,
    max(CASE WHEN removed_at IS NULL THEN substring(payload_sha256, 1, {HASH_START_DIGITS}) END) AS payload_hash,
    max(CASE WHEN removed_at IS NULL THEN CAST(is_archived AS INT) END) AS is_archived,
    max(CASE WHEN removed_at IS NULL THEN CAST(in_trash AS INT) END) AS in_trash
  FROM {pages} WHERE database_id = :database_id{bounds} GROUP BY page_id),
compared AS (
  SELECT coalesce(h.page_id, s.page_id) AS page_id, coalesce(s.data_source_id, h.data_source_id) AS data_source_id,
    CASE WHEN h.copies > 1 THEN 'duplicate_key'
         WHEN s.page_id IS NULL THEN CASE WHEN h.live_copies > 0 THEN 'missing_in_notion' END
         WHEN coalesce(h.live_copies, 0) = 0 THEN CASE WHEN s.is_due THEN 'missing_in_table' ELSE 'not_yet_synced' END
         WHEN h.payload_hash <=> s.payload_hash AND h.last_edited_time <=> s.last_edited_time
          AND h.data_source_id <=> s.data_source_id AND h.is_archived <=> CAST(s.is_archived AS INT)
          AND h.in_trash <=> CAST(s.in_trash AS INT) THEN NULL
         WHEN NOT s.is_due OR (h.last_edited_time > s.last_edited_time AND h.last_edited_time >= :started_at)
           THEN 'not_yet_synced'
         ELSE 'differs' END AS difference,
    concat_ws(', ', CASE WHEN NOT (h.payload_hash <=> s.payload_hash) THEN 'payload_sha256' END,
      CASE WHEN NOT (h.last_edited_time <=> s.last_edited_time) THEN 'last_edited_time' END,
      CASE WHEN NOT (h.data_source_id <=> s.data_source_id) THEN 'data_source_id' END,
      CASE WHEN NOT (h.is_archived <=> CAST(s.is_archived AS INT)) THEN 'is_archived' END,
      CASE WHEN NOT (h.in_trash <=> CAST(s.in_trash AS INT)) THEN 'in_trash' END) AS columns
  FROM held AS h FULL OUTER JOIN seen AS s ON h.page_id = s.page_id),
numbered AS (
  SELECT page_id, data_source_id, difference, columns, count(*) OVER (PARTITION BY difference) AS total,
    row_number() OVER (PARTITION BY difference ORDER BY page_id) AS place
  FROM compared WHERE difference IS NOT NULL)
SELECT difference, page_id, data_source_id, columns, CAST(total AS STRING) AS total FROM numbered
WHERE place <= CAST(:limit AS INT)
UNION ALL
SELECT 'rows_in_table' AS difference, CAST(NULL AS STRING) AS page_id, CAST(NULL AS STRING) AS data_source_id,
  CAST(NULL AS STRING) AS columns, CAST(coalesce(sum(live_copies), 0) AS STRING) AS total FROM held
ORDER BY difference, page_id",
        pages = tables.pages,
        bounds = bounds(window, range),
    );
    let id = |name, id: Option<PageId>| id.map(|id| Parameter::string(name, id.to_string()));
    let time = |name, at: Option<Timestamp>| at.map(|at| Parameter::timestamp(name, Some(at)));
    let mut parameters = vec![
        Parameter::string("rows", json_array(walked)?),
        Parameter::int("row_count", walked.len()),
        Parameter::string("database_id", database_id.to_string()),
        Parameter::timestamp("started_at", Some(started_at)),
        Parameter::int("limit", limit),
    ];
    parameters.extend([id("id_from", range.from), id("id_to", range.to)].into_iter().flatten());
    parameters.extend([time("created_from", window.from), time("created_to", window.to)].into_iter().flatten());
    Ok(Statement { purpose: format!("comparison of {} rows", walked.len()), text, parameters })
}

/// The condition that keeps the table's rows to the window and range. Without bounds no row is left out, also none of an
/// older version that has no creation time.
fn bounds(window: CreatedWindow, range: PageRange) -> String {
    let mut bounds = String::new();
    bounds.push_str(range.from.map_or("", |_| " AND page_id >= :id_from"));
    bounds.push_str(range.to.map_or("", |_| " AND page_id < :id_to"));
    bounds.push_str(match window {
        CreatedWindow { from: None, .. } => "",
        CreatedWindow { to: Some(_), .. } => " AND created_time >= :created_from",
        CreatedWindow { to: None, .. } => " AND (created_time >= :created_from OR created_time IS NULL)",
    });
    bounds.push_str(window.to.map_or("", |_| " AND created_time < :created_to"));
    bounds
}

/// The answer of [`compare_content`].
#[derive(Debug, Default)]
pub struct ContentComparison {
    /// The differences named.
    pub named: Vec<ContentDifference>,
    /// The number of each kind, named or not.
    pub totals: Vec<(DifferenceKind, u64)>,
    /// Rows that differ because of edits that no sync has read yet.
    pub not_yet_synced: u64,
    /// Live rows of the table within window and range.
    pub rows_in_table: u64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDifference {
    pub page_id: PageId,
    pub data_source_id: Option<DataSourceId>,
    pub kind: DifferenceKind,
    /// The names of the columns that differ.
    pub columns: Option<String>,
}

/// Reads the answer of [`compare_content`].
///
/// # Errors
/// `DatabricksUnreadable` when the answer is not of that shape.
pub fn read_content_comparison(rows: &Rows) -> Result<ContentComparison, Failure> {
    let unreadable = |what: &str| {
        let message = format!("the comparison answered an unreadable {what} (statement {})", rows.statement_id());
        Failure::new(FailureClass::DatabricksUnreadable, message)
    };
    let cells = |name: &str| -> Result<Vec<Option<&str>>, Failure> {
        rows.column(name).map(Iterator::collect).ok_or_else(|| unreadable(name))
    };
    let (kinds, ids, sources) = (cells("difference")?, cells("page_id")?, cells("data_source_id")?);
    let (columns, totals) = (cells("columns")?, cells("total")?);
    let mut comparison = ContentComparison::default();
    let mut rows_in_table = None;
    for row in 0..rows.len() {
        let total: u64 = totals[row].and_then(|total| total.parse().ok()).ok_or_else(|| unreadable("total"))?;
        let kind = match kinds[row] {
            Some("rows_in_table") => {
                rows_in_table = Some(total);
                continue;
            }
            Some("not_yet_synced") => {
                comparison.not_yet_synced = total;
                continue;
            }
            Some("missing_in_table") => DifferenceKind::MissingInTable,
            Some("missing_in_notion") => DifferenceKind::MissingInNotion,
            Some("differs") => DifferenceKind::Differs,
            Some("duplicate_key") => DifferenceKind::DuplicateKey,
            _ => return Err(unreadable("difference")),
        };
        if !comparison.totals.iter().any(|(told, _)| *told == kind) {
            comparison.totals.push((kind, total));
        }
        let id = ids[row].ok_or_else(|| unreadable("page_id"))?;
        comparison.named.push(ContentDifference {
            page_id: PageId::parse(id).map_err(|_| unreadable("page_id"))?,
            data_source_id: sources[row].and_then(|id| DataSourceId::parse(id).ok()),
            kind,
            columns: columns[row].filter(|_| kind == DifferenceKind::Differs).map(str::to_owned),
        });
    }
    // Without this row the answer is not whole, whatever else it holds.
    comparison.rows_in_table = rows_in_table.ok_or_else(|| unreadable("rows_in_table"))?;
    Ok(comparison)
}
