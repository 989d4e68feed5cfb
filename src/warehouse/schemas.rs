//! Statements on `notion_schemas`: each version of a data source's schema, and the name of the view that shows it.

use jiff::Timestamp;
use serde::Serialize;

use super::{Tables, cells, json_array, unreadable};
use crate::databricks::{Parameter, ROW_COUNT_MARK, Rows, Statement};
use crate::failure::Failure;
use crate::ids::{DataSourceId, DatabaseId, RunId};
use crate::notion::API_VERSION;

/// One version of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaRow {
    pub data_source_id: DataSourceId,
    pub first_seen_at: Timestamp,
    /// The database that holds the data source.
    pub database_id: DatabaseId,
    pub database_name: String,
    /// The data source's name in Notion.
    pub data_source_name: String,
    /// The name of its view, the same in all versions.
    pub view_name: String,
    /// Hash of what counts of the schema.
    pub schema_sha256: String,
    /// The data source's JSON as received; empty in a row read for another database.
    pub payload: String,
    /// Names of options and status groups by id; JSON.
    pub labels: String,
    /// When the version was last known to hold.
    pub last_seen_at: Timestamp,
}

/// Reads the newest version of each data source; payloads and labels of one database only.
pub fn newest_schemas(tables: &Tables, database_id: DatabaseId) -> Statement {
    let newest = |column: &str| format!("max_by({column}, first_seen_at) AS {column}");
    let of_database = |column: &str| {
        format!("max_by(CASE WHEN database_id = :database_id THEN {column} END, first_seen_at) AS {column}")
    };
    Statement {
        purpose: "reading of the newest schemas".to_owned(),
        text: format!(
            "SELECT data_source_id, unix_millis(max(first_seen_at)) AS first_seen_at, \
             unix_millis(max_by(last_seen_at, first_seen_at)) AS last_seen_at, {}, {}, {} FROM {} GROUP BY data_source_id",
            ["database_id", "database_name", "data_source_name", "view_name", "schema_sha256"].map(newest).join(", "),
            of_database("payload"),
            of_database("labels"),
            tables.schemas
        ),
        parameters: vec![Parameter::string("database_id", database_id.to_string())],
    }
}

/// The answer of [`newest_schemas`].
///
/// # Errors
/// `StoredStateUnreadable` when a column is missing or a cell is not what it must be.
pub fn read_schemas(rows: &Rows) -> Result<Vec<SchemaRow>, Failure> {
    const TABLE: &str = "notion_schemas";
    let column = |name: &str| cells(rows, TABLE, name);
    let broken = |what: &str| unreadable(rows, TABLE, what);
    let time = |cell: Option<&str>, name: &str| {
        let millis = cell.and_then(|text| text.parse().ok());
        millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()).ok_or_else(|| broken(name))
    };
    let (ids, databases) = (column("data_source_id")?, column("database_id")?);
    let (names, sources, views) = (column("database_name")?, column("data_source_name")?, column("view_name")?);
    let (hashes, payloads, labels) = (column("schema_sha256")?, column("payload")?, column("labels")?);
    let (first, last) = (column("first_seen_at")?, column("last_seen_at")?);
    let text = |cell: Option<&str>| cell.unwrap_or_default().to_owned();
    (0..rows.len())
        .map(|row| {
            let id = ids[row].and_then(|id| DataSourceId::parse(id).ok());
            let database = databases[row].and_then(|id| DatabaseId::parse(id).ok());
            Ok(SchemaRow {
                data_source_id: id.ok_or_else(|| broken("data_source_id"))?,
                first_seen_at: time(first[row], "first_seen_at")?,
                database_id: database.ok_or_else(|| broken("database_id"))?,
                database_name: text(names[row]),
                data_source_name: text(sources[row]),
                view_name: text(views[row]),
                schema_sha256: text(hashes[row]),
                payload: text(payloads[row]),
                labels: text(labels[row]),
                last_seen_at: time(last[row], "last_seen_at")?,
            })
        })
        .collect()
}

/// Adds versions; of a version that is there, moves only the time it was last known to hold.
///
/// # Errors
/// `Internal` when the rows can't be written, which would be a defect.
pub fn merge_schemas(tables: &Tables, versions: &[SchemaRow], run_id: &RunId) -> Result<Statement, Failure> {
    let text = format!(
        "MERGE INTO {schemas} AS t
USING (
  SELECT r.data_source_id, CAST(r.first_seen_at AS TIMESTAMP) AS first_seen_at, r.database_id, r.database_name,
         r.data_source_name, r.view_name, r.schema_sha256, r.payload, r.labels, CAST(r.last_seen_at AS TIMESTAMP) AS last_seen_at
  FROM (SELECT explode(CASE WHEN size(p.a) = CAST(:row_count AS INT) THEN p.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<data_source_id:STRING,first_seen_at:STRING,database_id:STRING,database_name:STRING,data_source_name:STRING,view_name:STRING,schema_sha256:STRING,payload:STRING,labels:STRING,last_seen_at:STRING>>',
          map('mode','FAILFAST')) AS a) AS p)
) AS s
ON t.data_source_id = s.data_source_id AND t.first_seen_at = s.first_seen_at
WHEN MATCHED AND s.last_seen_at > t.last_seen_at THEN UPDATE SET last_seen_at = s.last_seen_at
WHEN NOT MATCHED THEN INSERT (data_source_id, first_seen_at, database_id, database_name, data_source_name, view_name,
  schema_sha256, payload, labels, last_seen_at, api_version, sync_run_id)
  VALUES (s.data_source_id, s.first_seen_at, s.database_id, s.database_name, s.data_source_name, s.view_name,
  s.schema_sha256, s.payload, s.labels, s.last_seen_at, :api_version, :run_id)",
        schemas = tables.schemas
    );
    Ok(Statement {
        purpose: format!("merge of {} versions of schemas", versions.len()),
        text,
        parameters: vec![
            Parameter::string("rows", json_array(versions)?),
            Parameter::int("row_count", versions.len()),
            Parameter::string("api_version", API_VERSION),
            Parameter::string("run_id", run_id.as_str()),
        ],
    })
}
