//! The `num_*` columns: read from the Delta log's `operationMetrics`, since Sail returns only one count.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::cells::{ResultColumn, ResultSet};
use super::shape::StatementKind;

/// Rows a statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowCounts {
    /// Rows inserted.
    #[serde(default)]
    pub inserted: u64,
    /// Rows updated.
    #[serde(default)]
    pub updated: u64,
    /// Rows deleted.
    #[serde(default)]
    pub deleted: u64,
}

impl RowCounts {
    /// The result Databricks returns for a statement of this kind.
    pub(super) fn result_set(self, kind: StatementKind) -> ResultSet {
        let all = self.inserted + self.updated + self.deleted;
        let named: &[(&str, u64)] = match kind {
            StatementKind::Merge => &[
                ("num_affected_rows", all),
                ("num_updated_rows", self.updated),
                ("num_deleted_rows", self.deleted),
                ("num_inserted_rows", self.inserted),
            ],
            StatementKind::Insert => &[("num_affected_rows", all), ("num_inserted_rows", self.inserted)],
            _ => &[("num_affected_rows", all)],
        };
        ResultSet {
            columns: named.iter().map(|(name, _)| ResultColumn::bigint(name)).collect(),
            rows: vec![named.iter().map(|(_, count)| Some(count.to_string())).collect()],
        }
    }
}

/// The newest version in a table's log.
pub(super) fn newest_version(table: &Path) -> Option<u64> {
    let entries = fs::read_dir(table.join("_delta_log")).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).max()
}

/// Returns the rows that the statement which began at version `before` changed. It makes one commit at most, and the first one: with
/// another's commit before it, it would have failed as a conflict. No commit means no row.
pub(super) fn counts_since(table: &Path, before: Option<u64>) -> RowCounts {
    let version = before.map_or(0, |version| version + 1);
    let commit = fs::read_to_string(table.join("_delta_log").join(format!("{version:020}.json"))).unwrap_or_default();
    commit.lines().find_map(commit_metrics).unwrap_or_default()
}

/// The counts of a log line, when it is the commit's information.
fn commit_metrics(line: &str) -> Option<RowCounts> {
    let action: Value = serde_json::from_str(line).ok()?;
    let commit = action.get("commitInfo")?;
    let metrics = commit.get("operationMetrics").unwrap_or(&Value::Null);
    // Metrics are strings in the protocol, numbers in some writers.
    let count = |name: &str| match metrics.get(name) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        _ => 0_u64,
    };
    Some(match commit.get("operation").and_then(Value::as_str) {
        Some("MERGE") => RowCounts {
            inserted: count("numTargetRowsInserted"),
            updated: count("numTargetRowsUpdated"),
            deleted: count("numTargetRowsDeleted"),
        },
        Some("UPDATE") => RowCounts { updated: count("numUpdatedRows"), ..RowCounts::default() },
        Some("DELETE") => RowCounts { deleted: count("numDeletedRows"), ..RowCounts::default() },
        _ => RowCounts { inserted: count("numOutputRows"), ..RowCounts::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_from_the_commit_after_a_version() {
        let table = tempfile::tempdir().unwrap();
        let log = table.path().join("_delta_log");
        fs::create_dir(&log).unwrap();
        assert_eq!(newest_version(table.path()), None);
        let write = |version: u64, text: &str| fs::write(log.join(format!("{version:020}.json")), text).unwrap();
        write(0, r#"{"commitInfo":{"operation":"WRITE","operationMetrics":{"numOutputRows":"7"}}}"#);
        write(
            1,
            "{\"add\":{}}\n{\"commitInfo\":{\"operation\":\"MERGE\",\"operationMetrics\":{\"numTargetRowsInserted\":\"1\",\
             \"numTargetRowsUpdated\":2,\"numTargetRowsDeleted\":\"0\"}}}",
        );
        assert_eq!(newest_version(table.path()), Some(1));
        assert_eq!(counts_since(table.path(), Some(0)), RowCounts { inserted: 1, updated: 2, deleted: 0 });
        assert_eq!(counts_since(table.path(), Some(1)), RowCounts::default());
    }

    #[test]
    fn a_merge_returns_four_counts_in_databricks_order() {
        let result = RowCounts { inserted: 1, updated: 2, deleted: 3 }.result_set(StatementKind::Merge);
        assert_eq!(result.rows, [["6", "2", "3", "1"].map(|count| Some(count.to_owned()))]);
        assert_eq!(result.columns[3].name, "num_inserted_rows");
    }
}
