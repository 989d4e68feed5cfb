//! The comparison of a complete listing with the table, done in the warehouse.

use jiff::Timestamp;
use serde::Serialize;

use super::{Tables, json_array};
use crate::databricks::{Parameter, ROW_COUNT_MARK, Rows, Statement};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, PageId};

/// A row that Notion lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListedRow {
    pub page_id: PageId,
    pub data_source_id: DataSourceId,
    /// Which partition shows it.
    pub is_archived: bool,
    /// Its source version.
    pub last_edited_time: Timestamp,
}

/// A range of page ids, compared as text: from inclusive, to exclusive. Ids are lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRange {
    /// First id, `""` = from the start.
    pub from: String,
    /// First id beyond, `"g"` = to the end.
    pub to: String,
}

/// A window of creation times, whole minutes: from inclusive, to exclusive; `None` = unbounded. A page's creation time
/// never changes, so it lies in the same window on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreatedWindow {
    /// First minute.
    pub from: Option<Timestamp>,
    /// First minute beyond.
    pub to: Option<Timestamp>,
}

/// A difference between a row in Notion and in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Live in the table, not listed by Notion.
    MissingInNotion,
    /// Listed by Notion, not live in the table: restored, moved in, or never read.
    MissingInTable,
    /// On both sides, with another partition, data source or a newer edit in Notion.
    Stale,
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    pub page_id: PageId,
    /// Its place in the table; `None` when the table lacks it.
    pub data_source_id: Option<DataSourceId>,
    /// The kind of the difference.
    pub side: Side,
}

/// Compares the listed rows of a window and range with the live rows of the database in it, and counts the live rows of
/// the whole database. An empty or cut list can't make every row missing: the statement fails when it parses another number
/// of rows than was sent.
///
/// # Errors
/// `Internal` when the rows can't be written, which would be a defect.
pub fn compare_listing(
    tables: &Tables,
    database_id: DatabaseId,
    window: CreatedWindow,
    range: &IdRange,
    listed: &[ListedRow],
    future_from: Timestamp,
) -> Result<Statement, Failure> {
    // Without bounds no row may be left out, also none of an older version that has no creation time.
    let created_from = match window {
        CreatedWindow { from: None, .. } => "",
        CreatedWindow { to: Some(_), .. } => " AND created_time >= :created_from",
        CreatedWindow { to: None, .. } => " AND (created_time >= :created_from OR created_time IS NULL)",
    };
    let created_to = window.to.map_or("", |_| " AND created_time < :created_to");
    let created = format!("{created_from}{created_to}");
    // The keys are counted through an expression: Databricks may take `count(DISTINCT page_id)` for `count(page_id)`, because
    // the table's informational key says RELY, and then no duplicate would ever be found.
    let text = format!(
        "WITH seen AS (
  SELECT r.page_id, r.data_source_id, r.is_archived, CAST(r.last_edited_time AS TIMESTAMP) AS last_edited_time
  FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:row_count AS INT) THEN j.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,data_source_id:STRING,is_archived:BOOLEAN,last_edited_time:STRING>>',
          map('mode','FAILFAST')) AS a) AS j)),
live AS (
  SELECT page_id, data_source_id, is_archived, last_edited_time FROM {pages}
  WHERE database_id = :database_id AND removed_at IS NULL AND page_id >= :id_from AND page_id < :id_to{created})
SELECT coalesce(l.page_id, s.page_id) AS page_id, l.data_source_id AS data_source_id,
  CASE WHEN s.page_id IS NULL THEN 'missing_in_notion' WHEN l.page_id IS NULL THEN 'missing_in_table' ELSE 'stale' END AS side
FROM live AS l FULL OUTER JOIN seen AS s ON l.page_id = s.page_id
WHERE l.page_id IS NULL OR s.page_id IS NULL OR NOT (l.data_source_id <=> s.data_source_id)
   OR NOT (l.is_archived <=> s.is_archived) OR l.last_edited_time IS NULL OR l.last_edited_time < s.last_edited_time
   OR (l.last_edited_time > s.last_edited_time AND l.last_edited_time > :future_from)
UNION ALL
SELECT CAST(count(*) AS STRING) AS page_id, CAST(NULL AS STRING) AS data_source_id, 'live_rows' AS side FROM {pages}
WHERE database_id = :database_id AND removed_at IS NULL
UNION ALL
SELECT CAST(count(*) - count(DISTINCT concat('', page_id)) AS STRING) AS page_id, CAST(NULL AS STRING) AS data_source_id,
  'duplicate_rows' AS side FROM {pages} WHERE database_id = :database_id
ORDER BY side, page_id",
        pages = tables.pages
    );
    let mut parameters = vec![
        Parameter::string("rows", json_array(listed)?),
        Parameter::int("row_count", listed.len()),
        Parameter::string("database_id", database_id.to_string()),
        Parameter::string("id_from", range.from.as_str()),
        Parameter::string("id_to", range.to.as_str()),
        Parameter::timestamp("future_from", Some(future_from)),
    ];
    parameters.extend(window.from.map(|from| Parameter::timestamp("created_from", Some(from))));
    parameters.extend(window.to.map(|to| Parameter::timestamp("created_to", Some(to))));
    Ok(Statement { purpose: format!("comparison of {} listed rows", listed.len()), text, parameters })
}

/// The failure that names duplicate rows, and the statement that mends them: the next sweep writes each row once.
pub fn duplicate_keys(tables: &Tables, database_id: DatabaseId, duplicate_rows: u64) -> Failure {
    let pages = &tables.pages;
    let of_database = format!("database_id = '{database_id}'");
    let message = format!(
        "{pages} has {duplicate_rows} rows more than keys of database {database_id}; MERGE INTO {pages} AS t USING (SELECT page_id \
         FROM {pages} WHERE {of_database} GROUP BY page_id HAVING count(*) > 1) AS d ON t.page_id = d.page_id AND \
         t.{of_database} WHEN MATCHED THEN DELETE"
    );
    Failure::new(FailureClass::DuplicateKeys, message)
}

/// The answer of [`compare_listing`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The differences within the window and range.
    pub differences: Vec<Difference>,
    /// The number of live rows in the whole database.
    pub live_rows: u64,
    /// The number of rows beyond one per key in the whole database, removed ones included. Only notion-sync keeps keys unique.
    pub duplicate_rows: u64,
}

/// Reads the answer of [`compare_listing`].
///
/// # Errors
/// `DatabricksUnreadable` when the answer is not of that shape.
pub fn read_comparison(rows: &Rows) -> Result<Comparison, Failure> {
    let unreadable = |what: &str| {
        let message = format!("the comparison answered an unreadable {what} (statement {})", rows.statement_id());
        Failure::new(FailureClass::DatabricksUnreadable, message)
    };
    let cells = |name: &str| -> Result<Vec<Option<&str>>, Failure> {
        rows.column(name).map(Iterator::collect).ok_or_else(|| unreadable(name))
    };
    let (ids, sources, sides) = (cells("page_id")?, cells("data_source_id")?, cells("side")?);
    let (mut live_rows, mut duplicate_rows) = (None, None);
    let mut differences = Vec::new();
    for ((id, source), side) in ids.into_iter().zip(sources).zip(sides) {
        let id = id.ok_or_else(|| unreadable("page_id"))?;
        let side = match side {
            Some("live_rows") => {
                live_rows = Some(id.parse().map_err(|_| unreadable("live_rows"))?);
                continue;
            }
            Some("duplicate_rows") => {
                duplicate_rows = Some(id.parse().map_err(|_| unreadable("duplicate_rows"))?);
                continue;
            }
            Some("missing_in_notion") => Side::MissingInNotion,
            Some("missing_in_table") => Side::MissingInTable,
            Some("stale") => Side::Stale,
            _ => return Err(unreadable("side")),
        };
        differences.push(Difference {
            page_id: PageId::parse(id).map_err(|_| unreadable("page_id"))?,
            data_source_id: source.map(DataSourceId::parse).transpose().map_err(|_| unreadable("data_source_id"))?,
            side,
        });
    }
    // Without these rows the answer is not whole, whatever else it holds.
    let live_rows = live_rows.ok_or_else(|| unreadable("live_rows"))?;
    let duplicate_rows = duplicate_rows.ok_or_else(|| unreadable("duplicate_rows"))?;
    Ok(Comparison { differences, live_rows, duplicate_rows })
}
