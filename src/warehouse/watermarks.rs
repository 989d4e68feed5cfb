//! Statements on `notion_sync_watermarks`: the truth of how far a data source is synced, and the proof that goes with it.

use jiff::Timestamp;
use serde::Serialize;

use super::row::{HASH_START_DIGITS, HashStart};
use super::{Tables, json_array};
use crate::databricks::{KEY_COUNT_MARK, PROOF_MARK, Parameter, Rows, STALE_CACHE_MARK, Statement};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, DatabaseName, PageId, RunId};

/// One row that the run sent and the table must hold: this very version, live, or a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProofKey {
    #[serde(rename = "p")]
    pub page_id: PageId,
    /// Its source version.
    #[serde(rename = "t")]
    pub last_edited_time: Timestamp,
    /// Its content: two edits within one minute have the same time.
    #[serde(rename = "h")]
    pub payload_hash: HashStart,
}

/// One row of the table; `None` = NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkRow {
    pub database_id: DatabaseId,
    pub data_source_id: DataSourceId,
    /// Configured name.
    pub database_name: DatabaseName,
    /// Every edit before this minute is in the table.
    pub synced_through: Option<Timestamp>,
    /// The latest edit seen; for people.
    pub last_edited_time: Option<Timestamp>,
    /// The position from which an unfinished run continues; versioned JSON.
    pub resume: Option<String>,
    /// When a full refresh last ended.
    pub last_full_refresh_at: Option<Timestamp>,
    /// When a sweep last ended.
    pub last_sweep_at: Option<Timestamp>,
    /// The run that wrote the row of the truth last, as far as is known; `None` = there was no row.
    pub written_by: Option<String>,
}

/// The table's rows for `keys`, joined and counted: one row `wanted`, `found`, also for no keys at all, and `written_by`: the
/// run that wrote the row of the truth, where `is_fenced`. One global aggregate, so that no engine can leave it out or
/// evaluate the checks ([`proven`], [`unchanged`]) before the join.
fn proof_source(tables: &Tables, is_fenced: bool) -> String {
    let writer = if is_fenced {
        format!(
            "
    UNION ALL SELECT CAST(NULL AS STRING) AS wanted_id, CAST(NULL AS STRING) AS found_id, sync_run_id AS run_id
    FROM {watermarks} WHERE database_id = :database_id AND data_source_id = :data_source_id",
            watermarks = tables.watermarks
        )
    } else {
        String::new()
    };
    format!(
        "(SELECT count(DISTINCT p.wanted_id) AS wanted, count(DISTINCT p.found_id) AS found, max(p.run_id) AS written_by
    FROM (SELECT k.page_id AS wanted_id, h.page_id AS found_id, CAST(NULL AS STRING) AS run_id
    FROM (SELECT r.p AS page_id, CAST(r.t AS TIMESTAMP) AS last_edited_time, r.h AS payload_hash
        FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:key_count AS INT) THEN j.a
                                  ELSE raise_error('{KEY_COUNT_MARK}') END) AS r
              FROM (SELECT from_json(:keys, 'ARRAY<STRUCT<p:STRING,t:STRING,h:STRING>>', map('mode','FAILFAST')) AS a) AS j)) AS k
    LEFT JOIN (
      SELECT page_id, last_edited_time, substring(payload_sha256, 1, {HASH_START_DIGITS}) AS payload_hash, removed_at FROM {pages}
      WHERE database_id = :database_id) AS h
    ON h.page_id = k.page_id AND (h.last_edited_time > k.last_edited_time
      OR (h.last_edited_time = k.last_edited_time AND h.payload_hash = k.payload_hash AND h.removed_at IS NULL)){writer}) AS p
  ) AS proof",
        pages = tables.pages
    )
}

/// Raises an error unless everything wanted was found.
fn proven() -> String {
    format!(
        "CASE WHEN proof.wanted = CAST(:key_count AS INT) AND proof.found = CAST(:key_count AS INT) THEN true
             ELSE CAST(raise_error(concat('{PROOF_MARK}, the table holds ', CAST(proof.found AS STRING), ' of ', CAST(:key_count AS STRING), ' rows')) AS BOOLEAN) END"
    )
}

/// The fence: raises an error when another run has written the row since, so that its position is not written over by one
/// who has not seen it. The run's own id is no other: a submit is sent again when its answer is lost.
fn unchanged() -> String {
    format!(
        "CASE WHEN proof.written_by <=> :written_by OR proof.written_by <=> :run_id THEN true
             ELSE CAST(raise_error(concat('{STALE_CACHE_MARK}', coalesce(concat(', written by run ', proof.written_by), ''))) AS BOOLEAN) END"
    )
}

/// Raises an error unless the table holds each of `keys`; for long lists, before [`merge_watermark`].
///
/// # Errors
/// `Internal` when the keys can't be written, which would be a defect.
pub fn check_proof(tables: &Tables, database_id: DatabaseId, keys: &[ProofKey]) -> Result<Statement, Failure> {
    Ok(Statement {
        purpose: format!("proof of {} rows", keys.len()),
        text: format!("SELECT proof.found AS found FROM {} WHERE {}", proof_source(tables, false), proven()),
        parameters: vec![
            Parameter::string("keys", json_array(keys)?),
            Parameter::int("key_count", keys.len()),
            Parameter::string("database_id", database_id.to_string()),
        ],
    })
}

/// The statement that advances the truth and proves the run: fails unless the table holds each of `keys`; never moves
/// `synced_through` back. `is_fenced`: it also fails when the row is not the one that `written_by` names.
///
/// # Errors
/// `Internal` when the keys can't be written, which would be a defect.
pub fn merge_watermark(
    tables: &Tables,
    watermark: &WatermarkRow,
    keys: &[ProofKey],
    is_fenced: bool,
    run_id: &RunId,
) -> Result<Statement, Failure> {
    let unchanged = if is_fenced { format!("\n    AND {}", unchanged()) } else { String::new() };
    let text = format!(
        "MERGE INTO {watermarks} AS t
USING (
  SELECT :database_id AS database_id, :data_source_id AS data_source_id, :database_name AS database_name,
         :synced_through AS synced_through, :last_edited_time AS last_edited_time, :resume AS resume,
         :last_full_refresh_at AS last_full_refresh_at, :last_sweep_at AS last_sweep_at
  FROM {proof}
  WHERE {proven}{unchanged}
) AS s
ON t.database_id = s.database_id AND t.data_source_id = s.data_source_id
WHEN MATCHED AND (t.synced_through IS NULL OR s.synced_through >= t.synced_through) THEN UPDATE SET
  database_name = s.database_name, synced_through = s.synced_through,
  last_edited_time = greatest(s.last_edited_time, t.last_edited_time), resume = s.resume,
  last_full_refresh_at = coalesce(s.last_full_refresh_at, t.last_full_refresh_at),
  last_sweep_at = coalesce(s.last_sweep_at, t.last_sweep_at), updated_at = current_timestamp(), sync_run_id = :run_id
WHEN NOT MATCHED THEN INSERT (database_id, data_source_id, database_name, synced_through, last_edited_time, resume,
  last_full_refresh_at, last_sweep_at, updated_at, sync_run_id)
  VALUES (s.database_id, s.data_source_id, s.database_name, s.synced_through, s.last_edited_time, s.resume,
  s.last_full_refresh_at, s.last_sweep_at, current_timestamp(), :run_id)",
        watermarks = tables.watermarks,
        proof = proof_source(tables, is_fenced),
        proven = proven()
    );
    let written_by = is_fenced.then(|| Parameter::optional_string("written_by", watermark.written_by.clone()));
    Ok(Statement {
        purpose: format!("watermark with proof of {} rows", keys.len()),
        text,
        parameters: vec![
            Parameter::string("keys", json_array(keys)?),
            Parameter::int("key_count", keys.len()),
            Parameter::string("database_id", watermark.database_id.to_string()),
            Parameter::string("data_source_id", watermark.data_source_id.to_string()),
            Parameter::string("database_name", watermark.database_name.as_str()),
            Parameter::timestamp("synced_through", watermark.synced_through),
            Parameter::timestamp("last_edited_time", watermark.last_edited_time),
            Parameter::optional_string("resume", watermark.resume.clone()),
            Parameter::timestamp("last_full_refresh_at", watermark.last_full_refresh_at),
            Parameter::timestamp("last_sweep_at", watermark.last_sweep_at),
            Parameter::string("run_id", run_id.as_str()),
        ]
        .into_iter()
        .chain(written_by)
        .collect(),
    })
}

/// Removes the row of a data source that its database lists no more.
pub fn delete_watermark(tables: &Tables, database_id: DatabaseId, source: DataSourceId) -> Statement {
    Statement {
        purpose: format!("removal of the watermark of data source {source}"),
        text: format!(
            "DELETE FROM {} WHERE database_id = :database_id AND data_source_id = :data_source_id",
            tables.watermarks
        ),
        parameters: vec![
            Parameter::string("database_id", database_id.to_string()),
            Parameter::string("data_source_id", source.to_string()),
        ],
    }
}

/// Reads the rows of one database. A row of an older version of the table, which knew no data sources, says nothing of any.
pub fn watermarks_of(tables: &Tables, database_id: DatabaseId) -> Statement {
    Statement {
        purpose: "reading of the watermarks".to_owned(),
        text: read_where(tables, "database_id = :database_id"),
        parameters: vec![Parameter::string("database_id", database_id.to_string())],
    }
}

/// Reads the rows of several databases.
///
/// # Errors
/// `Internal` when the ids can't be written, which would be a defect.
pub fn watermarks_of_several(tables: &Tables, database_ids: &[DatabaseId]) -> Result<Statement, Failure> {
    let is_one_of = "array_contains(from_json(:database_ids, 'ARRAY<STRING>', map('mode','FAILFAST')), database_id)";
    Ok(Statement {
        purpose: format!("reading of the watermarks of {} databases", database_ids.len()),
        text: read_where(tables, is_one_of),
        parameters: vec![Parameter::string("database_ids", json_array(database_ids)?)],
    })
}

fn read_where(tables: &Tables, condition: &str) -> String {
    format!(
        "SELECT data_source_id, database_id, unix_millis(synced_through) AS synced_through, \
         unix_millis(last_edited_time) AS last_edited_time, resume, \
         unix_millis(last_full_refresh_at) AS last_full_refresh_at, unix_millis(last_sweep_at) AS last_sweep_at, \
         sync_run_id \
         FROM {} WHERE {condition} AND data_source_id IS NOT NULL",
        tables.watermarks
    )
}

/// The answer of [`watermarks_of`].
///
/// # Errors
/// `StoredStateUnreadable` when a column is missing or a cell is not what it must be.
pub fn read_watermarks(
    rows: &Rows,
    database_id: DatabaseId,
    database_name: &DatabaseName,
) -> Result<Vec<WatermarkRow>, Failure> {
    let unreadable = |what: &str| {
        let statement_id = rows.statement_id();
        let message = format!("the watermarks table answered an unreadable {what} (statement {statement_id})");
        Failure::new(FailureClass::StoredStateUnreadable, message)
    };
    if rows.columns().is_empty() {
        let message = format!("the reading of the watermarks brought no result (statement {})", rows.statement_id());
        return Err(Failure::new(FailureClass::DatabricksUnreadable, message));
    }
    let cells = |name: &str| -> Result<Vec<Option<&str>>, Failure> {
        rows.column(name).map(Iterator::collect).ok_or_else(|| unreadable(name))
    };
    let times = |name: &str| -> Result<Vec<Option<Timestamp>>, Failure> {
        cells(name)?
            .into_iter()
            .map(|cell| {
                let Some(text) = cell else { return Ok(None) };
                let millis: i64 = text.parse().map_err(|_| unreadable(name))?;
                Timestamp::from_millisecond(millis).map(Some).map_err(|_| unreadable(name))
            })
            .collect()
    };
    let (ids, resumes, writers) = (cells("data_source_id")?, cells("resume")?, cells("sync_run_id")?);
    let (synced, edited) = (times("synced_through")?, times("last_edited_time")?);
    let (refreshed, swept) = (times("last_full_refresh_at")?, times("last_sweep_at")?);
    (0..rows.len())
        .map(|row| {
            let id = ids[row].ok_or_else(|| unreadable("data_source_id"))?;
            Ok(WatermarkRow {
                database_id,
                data_source_id: DataSourceId::parse(id).map_err(|_| unreadable("data_source_id"))?,
                database_name: database_name.clone(),
                synced_through: synced[row],
                last_edited_time: edited[row],
                resume: resumes[row].map(str::to_owned),
                last_full_refresh_at: refreshed[row],
                last_sweep_at: swept[row],
                written_by: writers[row].map(str::to_owned),
            })
        })
        .collect()
}

impl WatermarkRow {
    /// The row of a data source that was never synced.
    pub fn empty(database_id: DatabaseId, database_name: &DatabaseName, data_source_id: DataSourceId) -> Self {
        Self {
            database_id,
            data_source_id,
            database_name: database_name.clone(),
            synced_through: None,
            last_edited_time: None,
            resume: None,
            last_full_refresh_at: None,
            last_sweep_at: None,
            written_by: None,
        }
    }
}
