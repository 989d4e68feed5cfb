//! Compares the Delta table with the emulated workspace, row for row and byte for byte.

use std::collections::{BTreeMap, HashSet};

use super::databricks::{DatabricksEndpoint, StatementError};
use super::notion::{ExpectedRow, NotionEmulator, SignedUrls, WorkspaceError};
use super::stack::{CATALOG, SCHEMA};

/// The comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The table could not be read.
    #[error("the table could not be read: {}", .0.message)]
    Table(StatementError),
    /// The workspace could not be read.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The table's answer has another shape.
    #[error("a row of the table has {0} columns")]
    Shape(usize),
}

/// One database, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows that Notion shows, archived ones too.
    pub rows_in_notion: usize,
    /// Rows of the table that are not marked as removed.
    pub live_rows: usize,
    /// The number of archived rows among the live ones.
    pub archived_rows: usize,
    /// Rows that the table has marked as removed, by reason.
    pub removed_rows: BTreeMap<String, usize>,
    /// The differences, one sentence each; empty = the table is right.
    pub differences: Vec<String>,
}

/// One row of `notion_raw_pages`.
#[derive(Debug)]
struct TableRow {
    data_source_id: String,
    payload: String,
    is_archived: bool,
    in_trash: bool,
    /// The removal reason, if it is marked.
    removal_reason: Option<String>,
}

/// Compares one database's rows; the table is read past the endpoint's log.
///
/// # Errors
/// When the table or the workspace can't be read. A difference is no error: it is in the [`Comparison`].
pub async fn compare(
    notion: &NotionEmulator,
    databricks: &DatabricksEndpoint,
    database_id: &str,
) -> Result<Comparison, VerifyError> {
    let expected = notion.workspace(|workspace| workspace.expected(database_id, SignedUrls::LeftOut))?;
    let table = read_table(databricks, database_id).await?;
    Ok(comparison(&expected, &table))
}

async fn read_table(
    databricks: &DatabricksEndpoint,
    database_id: &str,
) -> Result<BTreeMap<String, Vec<TableRow>>, VerifyError> {
    // The id comes from the emulator: hexadecimal digits and dashes.
    let query = format!(
        "SELECT page_id, data_source_id, payload, is_archived, in_trash, \
         CASE WHEN removed_at IS NOT NULL THEN coalesce(removal_reason, 'no reason') END \
         FROM `{CATALOG}`.`{SCHEMA}`.notion_raw_pages WHERE database_id = '{database_id}'"
    );
    let mut table: BTreeMap<String, Vec<TableRow>> = BTreeMap::new();
    for row in databricks.query(&query).await.map_err(VerifyError::Table)? {
        let [page_id, data_source_id, payload, is_archived, in_trash, removal_reason] =
            <[Option<String>; 6]>::try_from(row).map_err(|row| VerifyError::Shape(row.len()))?;
        let is_true = |cell: Option<String>| cell.as_deref() == Some("true");
        let row = TableRow {
            data_source_id: data_source_id.unwrap_or_default(),
            payload: payload.unwrap_or_default(),
            is_archived: is_true(is_archived),
            in_trash: is_true(in_trash),
            removal_reason,
        };
        table.entry(page_id.unwrap_or_default()).or_default().push(row);
    }
    Ok(table)
}

fn comparison(expected: &[ExpectedRow], table: &BTreeMap<String, Vec<TableRow>>) -> Comparison {
    let mut found = Comparison { rows_in_notion: expected.len(), ..Comparison::default() };
    for (page_id, rows) in table {
        if rows.len() > 1 {
            found.differences.push(format!("page {page_id} is in the table {} times", rows.len()));
        }
        for row in rows {
            match &row.removal_reason {
                None => {
                    found.live_rows += 1;
                    found.archived_rows += usize::from(row.is_archived);
                }
                Some(reason) => *found.removed_rows.entry(reason.clone()).or_default() += 1,
            }
        }
    }
    for row in expected {
        match table.get(&row.page_id).and_then(|rows| rows.first()) {
            None => found.differences.push(format!("page {} is missing in the table", row.page_id)),
            Some(in_table) => found.differences.extend(differences(row, in_table)),
        }
    }
    let shown: HashSet<&str> = expected.iter().map(|row| row.page_id.as_str()).collect();
    let left_over = table.iter().filter(|(page_id, rows)| {
        !shown.contains(page_id.as_str()) && rows.iter().any(|row| row.removal_reason.is_none())
    });
    found
        .differences
        .extend(left_over.map(|(page_id, _)| format!("page {page_id} is live in the table, not in Notion")));
    found
}

fn differences(expected: &ExpectedRow, row: &TableRow) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |differs: bool, what: &str| {
        if differs {
            found.push(format!("page {}: {what}", expected.page_id));
        }
    };
    note(row.removal_reason.is_some(), "is marked as removed, but Notion shows it");
    note(row.in_trash, "is marked as trashed, but Notion shows it");
    note(row.is_archived != expected.is_archived, "is_archived differs");
    note(row.data_source_id != expected.data_source_id, "data_source_id differs");
    let payload = without_signatures(&row.payload);
    if payload != expected.payload {
        let (in_table, in_notion) = first_difference(&payload, &expected.payload);
        found.push(format!(
            "page {}: payload differs: {in_table:?} in the table, {in_notion:?} in Notion",
            expected.page_id
        ));
    }
    found
}

/// The texts around the first place where the two differ.
fn first_difference<'t>(one: &'t str, other: &'t str) -> (&'t str, &'t str) {
    const BEFORE: usize = 30;
    const AFTER: usize = 40;
    let at = one.bytes().zip(other.bytes()).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
    let around = |text: &'t str| {
        let start = text.floor_char_boundary(at.saturating_sub(BEFORE));
        let end = text.ceil_char_boundary((at + AFTER).min(text.len()));
        &text[start..end]
    };
    (around(one), around(other))
}

/// Cuts what differs on each read: the query strings of signed file URLs, and when they expire.
pub fn without_signatures(payload: &str) -> String {
    const SIGNATURE: &str = "?X-Amz-";
    const EXPIRY: &str = ",\"expiry_time\":\"";
    let mut kept = String::with_capacity(payload.len());
    let mut rest = payload;
    while let Some(start) = rest.find(SIGNATURE) {
        kept.push_str(&rest[..start]);
        let after = &rest[start..];
        let end = after.find('"').unwrap_or(after.len());
        rest = &after[end..];
        // `"url":"…","expiry_time":"…"`: the quote stays, the second entry goes.
        if let Some(expiry) = rest.strip_prefix('"').and_then(|rest| rest.strip_prefix(EXPIRY)) {
            kept.push('"');
            rest = expiry.split_once('"').map_or("", |(_, rest)| rest);
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(page_id: &str, payload: &str) -> ExpectedRow {
        ExpectedRow {
            page_id: page_id.to_owned(),
            data_source_id: "source".to_owned(),
            payload: payload.to_owned(),
            created_time: String::new(),
            last_edited_time: String::new(),
            is_archived: false,
            in_trash: false,
            partial: false,
        }
    }

    fn row(payload: &str, removal_reason: Option<&str>) -> TableRow {
        TableRow {
            data_source_id: "source".to_owned(),
            payload: payload.to_owned(),
            is_archived: false,
            in_trash: false,
            removal_reason: removal_reason.map(str::to_owned),
        }
    }

    fn table<const COUNT: usize>(rows: [(&str, TableRow); COUNT]) -> BTreeMap<String, Vec<TableRow>> {
        let mut table: BTreeMap<String, Vec<TableRow>> = BTreeMap::new();
        for (page_id, row) in rows {
            table.entry(page_id.to_owned()).or_default().push(row);
        }
        table
    }

    #[test]
    fn a_right_table_has_no_differences() {
        let found =
            comparison(&[expected("1", "{}")], &table([("1", row("{}", None)), ("2", row("{}", Some("gone")))]));
        assert_eq!(found.differences, Vec::<String>::new());
        assert_eq!((found.rows_in_notion, found.live_rows), (1, 1));
        assert_eq!(found.removed_rows, BTreeMap::from([("gone".to_owned(), 1)]));
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let expected = [expected("1", "{}"), expected("2", "{}"), expected("3", "{}")];
        let rows = table([
            ("1", row("{ }", None)),
            ("1", row("{}", None)),
            ("2", row("{}", Some("gone"))),
            ("4", row("", None)),
        ]);
        let found = comparison(&expected, &rows).differences;
        assert_eq!(
            found,
            [
                "page 1 is in the table 2 times",
                r#"page 1: payload differs: "{ }" in the table, "{}" in Notion"#,
                "page 2: is marked as removed, but Notion shows it",
                "page 3 is missing in the table",
                "page 4 is live in the table, not in Notion",
            ]
        );
    }

    #[test]
    fn signatures_are_cut_and_nothing_else() {
        let signed =
            r#"{"url":"https://a/b.pdf?X-Amz-Date=1&X-Amz-Signature=2","expiry_time":"2026-11-22T00:00:00.000Z"},"?X"#;
        assert_eq!(without_signatures(signed), r#"{"url":"https://a/b.pdf"},"?X"#);
    }
}
