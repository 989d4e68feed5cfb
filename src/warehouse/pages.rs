//! The MERGEs into `notion_raw_pages`: upserts, and removals.

use jiff::Timestamp;

use super::{EncodedRow, Removal, Tables, json_array};
use crate::databricks::{KEY_COUNT_MARK, PROOF_MARK, Parameter, ROW_COUNT_MARK, Statement};
use crate::failure::Failure;
use crate::ids::{DatabaseId, PageId, RunId};
use crate::notion::API_VERSION;

/// The upsert of one batch. Guarded: never over a newer row, but for one whose time lies in the future (`future_from`),
/// which an edit of today would else never reach; no update where nothing differs, a removed row that comes back
/// is live again. Columns are compared null-safe, since an older version of the table may hold NULLs. The statement fails
/// when it parses another number of rows than was sent: unchanged rows appear in no count, so counts can't tell.
pub fn merge_pages(tables: &Tables, batch: &[EncodedRow], future_from: Timestamp, run_id: &RunId) -> Statement {
    let text = format!(
        "MERGE INTO {pages} AS t
USING (
  SELECT r.page_id, r.database_id, r.database_name, r.data_source_id, r.payload, r.payload_sha256, r.hydrated_properties,
         CAST(r.created_time AS TIMESTAMP) AS created_time, CAST(r.last_edited_time AS TIMESTAMP) AS last_edited_time,
         r.is_archived, r.in_trash
  FROM (SELECT explode(CASE WHEN size(p.a) = CAST(:row_count AS INT) THEN p.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,database_id:STRING,database_name:STRING,data_source_id:STRING,payload:STRING,payload_sha256:STRING,hydrated_properties:STRING,created_time:STRING,last_edited_time:STRING,is_archived:BOOLEAN,in_trash:BOOLEAN>>',
          map('mode','FAILFAST')) AS a) AS p)
) AS s
ON t.page_id = s.page_id AND t.database_id = s.database_id
WHEN MATCHED AND (t.last_edited_time IS NULL OR s.last_edited_time >= t.last_edited_time OR t.last_edited_time > :future_from)
             AND (NOT (s.payload_sha256 <=> t.payload_sha256) OR NOT (s.hydrated_properties <=> t.hydrated_properties)
                  OR NOT (s.data_source_id <=> t.data_source_id) OR NOT (s.database_name <=> t.database_name)
                  OR NOT (s.is_archived <=> t.is_archived) OR NOT (s.in_trash <=> t.in_trash)
                  OR NOT (s.created_time <=> t.created_time) OR NOT (s.last_edited_time <=> t.last_edited_time)
                  OR t.api_version IS NULL OR t.ingested_at IS NULL OR t.sync_run_id IS NULL
                  OR t.removed_at IS NOT NULL OR t.removal_reason IS NOT NULL) THEN UPDATE SET
  database_name = s.database_name, data_source_id = s.data_source_id, payload = s.payload, payload_sha256 = s.payload_sha256,
  hydrated_properties = s.hydrated_properties, created_time = s.created_time, last_edited_time = s.last_edited_time,
  is_archived = s.is_archived, in_trash = s.in_trash, removed_at = NULL, removal_reason = NULL,
  api_version = :api_version, ingested_at = current_timestamp(), sync_run_id = :run_id
WHEN NOT MATCHED THEN INSERT (page_id, database_id, database_name, data_source_id, payload, payload_sha256, hydrated_properties,
  created_time, last_edited_time, is_archived, in_trash, removed_at, removal_reason, api_version, ingested_at, sync_run_id)
  VALUES (s.page_id, s.database_id, s.database_name, s.data_source_id, s.payload, s.payload_sha256, s.hydrated_properties,
  s.created_time, s.last_edited_time, s.is_archived, s.in_trash, NULL, NULL, :api_version, current_timestamp(), :run_id)",
        pages = tables.pages
    );
    Statement {
        purpose: format!("merge of {} rows", batch.len()),
        text,
        parameters: vec![
            Parameter::string("rows", rows_parameter(batch)),
            Parameter::int("row_count", batch.len()),
            Parameter::timestamp("future_from", Some(future_from)),
            Parameter::string("api_version", API_VERSION),
            Parameter::string("run_id", run_id.as_str()),
        ],
    }
}

fn rows_parameter(batch: &[EncodedRow]) -> String {
    let mut rows = String::with_capacity(batch.iter().map(|row| row.json.len() + 1).sum::<usize>() + 2);
    rows.push('[');
    for (position, row) in batch.iter().enumerate() {
        if position > 0 {
            rows.push(',');
        }
        rows.push_str(&row.json);
    }
    rows.push(']');
    rows
}

/// Marks rows as removed; the last payload stays for audit. A row already marked with the same reason is left as it is.
///
/// # Errors
/// `Internal` when the rows can't be written, which would be a defect.
pub fn merge_removals(tables: &Tables, removals: &[Removal], run_id: &RunId) -> Result<Statement, Failure> {
    let text = format!(
        "MERGE INTO {pages} AS t
USING (
  SELECT r.page_id, r.database_id, r.removal_reason, r.in_trash
  FROM (SELECT explode(CASE WHEN size(p.a) = CAST(:row_count AS INT) THEN p.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,database_id:STRING,removal_reason:STRING,in_trash:BOOLEAN>>',
          map('mode','FAILFAST')) AS a) AS p)
) AS s
ON t.page_id = s.page_id AND t.database_id = s.database_id
WHEN MATCHED AND (t.removed_at IS NULL OR NOT (t.removal_reason <=> s.removal_reason)) THEN UPDATE SET
  removed_at = coalesce(t.removed_at, current_timestamp()), removal_reason = s.removal_reason, in_trash = s.in_trash,
  ingested_at = current_timestamp(), sync_run_id = :run_id",
        pages = tables.pages
    );
    Ok(Statement {
        purpose: format!("removal of {} rows", removals.len()),
        text,
        parameters: vec![
            Parameter::string("rows", json_array(removals)?),
            Parameter::int("row_count", removals.len()),
            Parameter::string("run_id", run_id.as_str()),
        ],
    })
}

/// Raises an error unless each of the rows is marked as removed.
///
/// # Errors
/// `Internal` when the ids can't be written, which would be a defect.
pub fn check_removals(tables: &Tables, database_id: DatabaseId, removals: &[Removal]) -> Result<Statement, Failure> {
    let text = format!(
        "SELECT proof.found AS found FROM (
  SELECT count(DISTINCT h.page_id) AS found
  FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:key_count AS INT) THEN j.a
                            ELSE raise_error('{KEY_COUNT_MARK}') END) AS page_id
        FROM (SELECT from_json(:keys, 'ARRAY<STRING>', map('mode','FAILFAST')) AS a) AS j) AS k
  LEFT JOIN (SELECT page_id FROM {pages} WHERE database_id = :database_id AND removed_at IS NOT NULL) AS h
  ON h.page_id = k.page_id) AS proof
WHERE CASE WHEN proof.found = CAST(:key_count AS INT) THEN true
           ELSE CAST(raise_error(concat('{PROOF_MARK}, the table has marked ', CAST(proof.found AS STRING), ' of ', CAST(:key_count AS STRING), ' removed rows')) AS BOOLEAN) END",
        pages = tables.pages
    );
    let keys: Vec<PageId> = removals.iter().map(|removal| removal.page_id).collect();
    Ok(Statement {
        purpose: format!("proof of {} removals", removals.len()),
        text,
        parameters: vec![
            Parameter::string("keys", json_array(&keys)?),
            Parameter::int("key_count", removals.len()),
            Parameter::string("database_id", database_id.to_string()),
        ],
    })
}
