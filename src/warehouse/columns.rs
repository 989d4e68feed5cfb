//! Statements on `notion_columns`: the property and type behind each column of a typed view.

use jiff::Timestamp;
use serde::Serialize;

use super::{Tables, cells, json_array, unreadable};
use crate::databricks::{Parameter, ROW_COUNT_MARK, Rows, Statement};
use crate::failure::Failure;
use crate::ids::{DataSourceId, RunId};

/// One column of a typed view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnRow {
    pub data_source_id: DataSourceId,
    /// Key: the property's id as received.
    pub property_id: String,
    /// Key: which part of the value it shows.
    pub part: String,
    /// Key: its SQL type.
    pub sql_type: String,
    /// Its name, frozen.
    pub column_name: String,
    /// The property's type as last seen.
    pub property_type: String,
    /// The property's name as last seen.
    pub property_name: String,
    /// Its place in the view.
    pub position: u32,
    /// When the property was first seen with this type.
    pub seen_from: Timestamp,
    /// When it was found gone, or of another type.
    pub seen_to: Option<Timestamp>,
}

/// Reads the columns of these data sources, present and past.
///
/// # Errors
/// `Internal` when the ids can't be written, which would be a defect.
pub fn columns_of(tables: &Tables, sources: &[DataSourceId]) -> Result<Statement, Failure> {
    Ok(Statement {
        purpose: "reading of the columns of the views".to_owned(),
        text: format!(
            "SELECT c.data_source_id, c.property_id, c.part, c.sql_type, c.column_name, c.property_type, c.property_name, \
             c.position, unix_millis(c.seen_from) AS seen_from, unix_millis(c.seen_to) AS seen_to FROM {} AS c \
             JOIN (SELECT explode(from_json(:sources, 'ARRAY<STRING>')) AS data_source_id) AS s \
             ON c.data_source_id = s.data_source_id ORDER BY c.data_source_id, c.position, c.column_name",
            tables.columns
        ),
        parameters: vec![Parameter::string("sources", json_array(sources)?)],
    })
}

/// The answer of [`columns_of`].
///
/// # Errors
/// `StoredStateUnreadable` when a column is missing or a cell is not what it must be.
pub fn read_column_rows(rows: &Rows) -> Result<Vec<ColumnRow>, Failure> {
    const TABLE: &str = "notion_columns";
    let column = |name: &str| cells(rows, TABLE, name);
    let broken = |what: &str| unreadable(rows, TABLE, what);
    let time = |cell: &str, name: &str| {
        let millis = cell.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        millis.ok_or_else(|| broken(name))
    };
    let (ids, properties, parts) = (column("data_source_id")?, column("property_id")?, column("part")?);
    let (types, names, kinds) = (column("sql_type")?, column("column_name")?, column("property_type")?);
    let (shown, positions) = (column("property_name")?, column("position")?);
    let (from, to) = (column("seen_from")?, column("seen_to")?);
    let text = |cell: Option<&str>, name: &str| cell.map(str::to_owned).ok_or_else(|| broken(name));
    (0..rows.len())
        .map(|row| {
            let id = ids[row].and_then(|id| DataSourceId::parse(id).ok());
            let position = positions[row].and_then(|text| text.parse().ok());
            Ok(ColumnRow {
                data_source_id: id.ok_or_else(|| broken("data_source_id"))?,
                property_id: text(properties[row], "property_id")?,
                part: text(parts[row], "part")?,
                sql_type: text(types[row], "sql_type")?,
                column_name: text(names[row], "column_name")?,
                property_type: text(kinds[row], "property_type")?,
                property_name: text(shown[row], "property_name")?,
                position: position.ok_or_else(|| broken("position"))?,
                seen_from: time(from[row].unwrap_or_default(), "seen_from")?,
                seen_to: to[row].map(|cell| time(cell, "seen_to")).transpose()?,
            })
        })
        .collect()
}

/// Adds columns and moves what may move of those that are there: their property's name and type, and `seen_to`. A
/// column's name and place never change.
///
/// # Errors
/// `Internal` when the rows can't be written, which would be a defect.
pub fn merge_columns(tables: &Tables, changed: &[ColumnRow], run_id: &RunId) -> Result<Statement, Failure> {
    let text = format!(
        "MERGE INTO {columns} AS t
USING (
  SELECT r.data_source_id, r.property_id, r.part, r.sql_type, r.column_name, r.property_type, r.property_name, r.position,
         CAST(r.seen_from AS TIMESTAMP) AS seen_from, CAST(r.seen_to AS TIMESTAMP) AS seen_to
  FROM (SELECT explode(CASE WHEN size(p.a) = CAST(:row_count AS INT) THEN p.a
                            ELSE raise_error('{ROW_COUNT_MARK}') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<data_source_id:STRING,property_id:STRING,part:STRING,sql_type:STRING,column_name:STRING,property_type:STRING,property_name:STRING,position:INT,seen_from:STRING,seen_to:STRING>>',
          map('mode','FAILFAST')) AS a) AS p)
) AS s
ON t.data_source_id = s.data_source_id AND t.property_id = s.property_id AND t.part = s.part AND t.sql_type = s.sql_type
WHEN MATCHED THEN UPDATE SET property_type = s.property_type, property_name = s.property_name, seen_to = s.seen_to,
  sync_run_id = :run_id
WHEN NOT MATCHED THEN INSERT (data_source_id, property_id, part, sql_type, column_name, property_type, property_name,
  position, seen_from, seen_to, sync_run_id)
  VALUES (s.data_source_id, s.property_id, s.part, s.sql_type, s.column_name, s.property_type, s.property_name,
  s.position, s.seen_from, s.seen_to, :run_id)",
        columns = tables.columns
    );
    Ok(Statement {
        purpose: format!("merge of {} columns of the views", changed.len()),
        text,
        parameters: vec![
            Parameter::string("rows", json_array(changed)?),
            Parameter::int("row_count", changed.len()),
            Parameter::string("run_id", run_id.as_str()),
        ],
    })
}
