//! Statements and their results as they travel (facts/databricks §1.1–§1.3).

use serde::{Deserialize, Serialize};

use super::result::{Chunk, Manifest};

/// A statement with its named parameters.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The purpose, for errors and logs (`merge of 412 rows`).
    pub purpose: String,
    /// The SQL text with `:name` markers.
    pub text: String,
    /// The markers' values.
    pub parameters: Vec<Parameter>,
}

/// One named parameter; every value travels as text (facts/databricks §1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Parameter {
    /// A text.
    pub fn string(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: Some(value.into()), kind: "STRING" }
    }

    /// A text or NULL.
    pub fn optional_string(name: &'static str, value: Option<String>) -> Self {
        Self { name, value, kind: "STRING" }
    }

    /// A count.
    pub fn int(name: &'static str, value: usize) -> Self {
        Self { name, value: Some(value.to_string()), kind: "INT" }
    }

    /// A time or NULL.
    pub fn timestamp(name: &'static str, value: Option<jiff::Timestamp>) -> Self {
        Self { name, value: value.map(|at| at.to_string()), kind: "TIMESTAMP" }
    }

    /// Its name, without the colon.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its value as it travels.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

#[derive(Serialize)]
pub(super) struct SubmitBody<'a> {
    pub(super) warehouse_id: &'a str,
    pub(super) catalog: &'a str,
    pub(super) statement: &'a str,
    pub(super) parameters: &'a [Parameter],
    pub(super) wait_timeout: &'a str,
    pub(super) on_wait_timeout: &'static str,
    pub(super) disposition: &'static str,
    pub(super) format: &'static str,
    pub(super) query_tags: [QueryTag; 1],
}

#[derive(Serialize)]
pub(super) struct QueryTag {
    pub(super) key: &'static str,
    pub(super) value: &'static str,
}

/// The answer to submit and poll. Everything but the status is optional.
#[derive(Debug, Deserialize)]
pub(super) struct StatementAnswer {
    pub(super) statement_id: String,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) manifest: Option<Manifest>,
    #[serde(default)]
    pub(super) result: Option<Chunk>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) state: State,
    #[serde(default)]
    pub(super) error: Option<StatementError>,
    #[serde(default)]
    pub(super) sql_state: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum State {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    /// Executed with success; the result, and with it a MERGE's counts, is gone.
    Closed,
    /// A state that is not documented: the statement is known, so it is polled again and never submitted again.
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StatementError {
    #[serde(default)]
    pub(super) error_code: serde_json::Value,
    #[serde(default)]
    pub(super) message: Option<String>,
}

/// A statement's result: cells as text, looked up by column name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub(super) statement_id: String,
    pub(super) columns: Vec<String>,
    /// The columns' types in SQL; empty where the answer names none.
    pub(super) types: Vec<String>,
    pub(super) cells: Vec<Vec<Option<String>>>,
    pub(super) is_lost: bool,
}

impl Rows {
    /// The id that Databricks' support and query history know.
    pub fn statement_id(&self) -> &str {
        &self.statement_id
    }

    /// The column names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The type of a column in SQL, such as `STRING COLLATE UNICODE_CI`; `None` when the answer names none.
    pub fn type_of(&self, name: &str) -> Option<&str> {
        let position = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        self.types.get(position).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The cells of one column, from top to bottom; `None` when there is no such column.
    pub fn column<'a>(&'a self, name: &str) -> Option<impl Iterator<Item = Option<&'a str>>> {
        let position = self.columns.iter().position(|column| column == name)?;
        Some(self.cells.iter().map(move |row| row.get(position).and_then(Option::as_deref)))
    }

    /// The rows whose cell in the column `name` is `value`; none when there is no such column.
    pub fn where_column(&self, name: &str, value: &str) -> Self {
        let position = self.columns.iter().position(|column| column == name);
        let is_wanted = |row: &&Vec<Option<String>>| {
            position.and_then(|position| row.get(position)).is_some_and(|cell| cell.as_deref() == Some(value))
        };
        Self { cells: self.cells.iter().filter(is_wanted).cloned().collect(), ..self.without_cells() }
    }

    fn without_cells(&self) -> Self {
        let (statement_id, columns) = (self.statement_id.clone(), self.columns.clone());
        Self { statement_id, columns, types: self.types.clone(), cells: Vec::new(), is_lost: self.is_lost }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The counts of a MERGE; `None` when the statement was CLOSED and its result is gone.
    pub fn merge_counts(&self) -> Option<Counts> {
        let count = |name: &str| self.column(name)?.next()??.parse().ok();
        if self.is_lost {
            return None;
        }
        Some(Counts { updated: count("num_updated_rows")?, inserted: count("num_inserted_rows")? })
    }
}

/// The counts that a MERGE reports. They prove nothing (facts/databricks §3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows changed.
    pub updated: u64,
    /// Rows added.
    pub inserted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_parameter_travels_without_a_value() {
        let null = serde_json::to_value(Parameter::timestamp("synced_through", None)).unwrap();
        assert_eq!(null, serde_json::json!({"name": "synced_through", "type": "TIMESTAMP"}));
    }

    #[test]
    fn counts_are_looked_up_by_name() {
        let rows = Rows {
            columns: ["num_affected_rows", "num_updated_rows", "num_deleted_rows", "num_inserted_rows"]
                .map(String::from)
                .to_vec(),
            cells: vec![["3", "1", "0", "2"].map(|cell| Some(cell.to_owned())).to_vec()],
            ..Rows::default()
        };
        assert_eq!(rows.merge_counts(), Some(Counts { updated: 1, inserted: 2 }));
        assert_eq!(Rows { is_lost: true, ..rows }.merge_counts(), None);
    }

    #[test]
    fn an_answer_without_manifest_and_result_is_read() {
        let answer: StatementAnswer =
            serde_json::from_str(r#"{"statement_id":"01ef","status":{"state":"PENDING"}}"#).unwrap();
        assert_eq!(answer.status.state, State::Pending);
    }
}
