//! The Delta table as a reader of bronze sees it.

use std::collections::BTreeMap;

use notion_sync_local::databricks::DatabricksEndpoint;

/// One row of `notion_raw_pages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableRow {
    pub(crate) data_source_id: String,
    pub(crate) payload: String,
    pub(crate) hydrated_properties: Option<String>,
    pub(crate) last_edited_time: String,
    pub(crate) is_archived: bool,
    pub(crate) in_trash: bool,
    pub(crate) removal_reason: Option<String>,
    pub(crate) is_removed: bool,
    pub(crate) sync_run_id: String,
}

/// All rows of a database by page id; a page that is there twice fails the test.
pub(crate) async fn read(
    databricks: &DatabricksEndpoint,
    schema: &str,
    database_id: &str,
) -> BTreeMap<String, TableRow> {
    let query = format!(
        "SELECT page_id, data_source_id, payload, hydrated_properties, unix_millis(last_edited_time), is_archived, \
         in_trash, removal_reason, removed_at IS NOT NULL, sync_run_id \
         FROM {schema}.notion_raw_pages WHERE database_id = '{database_id}'"
    );
    let mut rows = BTreeMap::new();
    for cells in databricks.query(&query).await.expect("the table is read") {
        let [page_id, source, payload, hydrated, edited, archived, trash, reason, removed, run]: [Option<String>; 10] =
            cells.try_into().unwrap();
        let is_true = |cell: Option<String>| cell.as_deref() == Some("true");
        let edited = edited.map_or(0, |millis| millis.parse().unwrap());
        let edited = jiff::Timestamp::from_millisecond(edited).unwrap();
        let row = TableRow {
            // Rows of an older version of the table have none.
            data_source_id: source.unwrap_or_default(),
            payload: payload.unwrap(),
            hydrated_properties: hydrated,
            last_edited_time: format!("{edited:.3}"),
            is_archived: is_true(archived),
            in_trash: is_true(trash),
            removal_reason: reason,
            is_removed: is_true(removed),
            sync_run_id: run.unwrap_or_default(),
        };
        let page_id = page_id.unwrap();
        assert!(rows.insert(page_id.clone(), row).is_none(), "page {page_id} stands in the table twice");
    }
    rows
}
