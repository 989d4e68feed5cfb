//! The statements the service sends besides MERGE, and the errors of wrong ones.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_empty_select_still_names_every_column() {
    let workspace = Workspace::with_tables().await;
    let body = workspace.run("SELECT * FROM `cat`.`bronze`.`notion_raw_pages` LIMIT 0", json!([])).await;
    assert_eq!((&body["result"], &body["manifest"]["total_row_count"]), (&json!({}), &json!(0)));
    let columns = body["manifest"]["schema"]["columns"].as_array().unwrap();
    let shown: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", column["name"].as_str().unwrap(), column["type_text"].as_str().unwrap()))
        .collect();
    assert_eq!(
        (shown.len(), &*shown[0], &*shown[8], &*shown[9]),
        (16, "page_id STRING", "last_edited_time TIMESTAMP", "is_archived BOOLEAN")
    );
}

#[tokio::test]
async fn columns_that_an_older_table_lacks_are_added_in_place() {
    let workspace = Workspace::start().await;
    workspace.run("CREATE TABLE `cat`.`bronze`.old (page_id STRING NOT NULL, at TIMESTAMP)", json!([])).await;
    workspace.run("INSERT INTO `cat`.`bronze`.old VALUES ('a', TIMESTAMP'2026-01-01 00:00:00')", json!([])).await;
    let sql = "ALTER TABLE `cat`.`bronze`.`old` ADD COLUMNS (removed_at TIMESTAMP, removal_reason STRING COMMENT 'trashed | moved')";
    assert_eq!(state(&workspace.run(sql, json!([])).await), "SUCCEEDED");
    let rows = workspace.query("SELECT * FROM `cat`.`bronze`.old").await;
    assert_eq!(rows, [[Some("a".to_owned()), Some("2026-01-01T00:00:00.000Z".to_owned()), None, None]]);
    let updated = workspace.run("UPDATE `cat`.`bronze`.old SET removal_reason = 'moved'", json!([])).await;
    assert_eq!(updated["result"]["data_array"], json!([["1"]]));
    assert_eq!(workspace.failure(sql, json!([])).await.0, "42710");
    for sql in [
        "ALTER TABLE `cat`.`bronze`.old SET TBLPROPERTIES ('delta.enableDeletionVectors'='true')",
        "ALTER TABLE `cat`.`bronze`.old CLUSTER BY (page_id)",
    ] {
        assert_eq!(state(&workspace.run(sql, json!([])).await), "SUCCEEDED", "{sql}");
    }
}

#[tokio::test]
async fn names_times_and_parameters_read_as_on_databricks() {
    let workspace = Workspace::with_tables().await;
    workspace.upsert(&[page("a", NOW, "1")]).await;
    let table = workspace.sql("`cat`.`bronze`.notion_raw_pages");
    let sql = "SELECT unix_millis(last_edited_time) AS at, last_edited_time, is_archived, removed_at, :n + 1 AS n, :nothing AS x
               FROM IDENTIFIER(:table) WHERE page_id = :id -- :comment";
    let parameters = json!([{"name": "table", "value": table}, {"name": "id", "type": "STRING", "value": "a"},
        {"name": "n", "type": "INT", "value": "41"}, {"name": "nothing", "type": "TIMESTAMP"}]);
    let body = workspace.run(sql, parameters).await;
    assert_eq!(
        body["result"]["data_array"],
        json!([["1795352520000", "2026-11-22T13:02:00.000Z", "false", null, "42", null]]),
        "{body}"
    );
    let types: Vec<&str> = body["manifest"]["schema"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["type_name"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["LONG", "TIMESTAMP", "BOOLEAN", "TIMESTAMP", "INT", "TIMESTAMP"]);
    let shown = workspace.run(&format!("SHOW TABLES IN {}", workspace.schema), json!([])).await;
    assert!(shown["result"]["data_array"].to_string().contains("notion_sync_watermarks"), "{shown}");
}

#[tokio::test]
async fn names_not_given_in_full_belong_to_the_requests_namespace() {
    let workspace = Workspace::with_tables().await;
    let mut body = workspace.body("SELECT count(*) FROM notion_raw_pages", json!([]), "50s");
    body["schema"] = json!(workspace.schema.split_once('.').unwrap().1);
    let (_, answer) = workspace.post("/api/2.0/sql/statements", &body).await;
    assert_eq!(answer["result"]["data_array"], json!([["0"]]), "{answer}");
}

#[tokio::test]
async fn wrong_statements_fail_with_the_sqlstate_of_databricks() {
    let workspace = Workspace::with_tables().await;
    let class = |failure: &(String, String)| {
        failure.1.trim_start().split(']').next().unwrap_or_default().trim_start_matches('[').to_owned()
    };
    for (sql, expected_state, expected_class) in [
        ("INSER INTO x", "42601", "PARSE_SYNTAX_ERROR"),
        ("SELECT * FROM `cat`.`bronze`.nope", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
        ("SELECT nope FROM `cat`.`bronze`.notion_raw_pages", "42703", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION"),
        ("SELECT * FROM `cat`.`bronze`.notion_raw_pages WHERE page_id = :nope", "42P02", "UNBOUND_SQL_PARAMETER"),
        ("SELECT raise_error('my text')", "P0001", "USER_RAISED_EXCEPTION"),
        (
            "INSERT INTO `cat`.`bronze`.notion_sync_watermarks VALUES ('d', NULL, 'n', NULL, NULL, NULL, NULL, NULL, current_timestamp(), 'r')",
            "23502",
            "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        ),
        (
            "MERGE INTO `cat`.`bronze`.notion_raw_pages AS t USING (SELECT 'p' AS page_id, 'd' AS database_id) AS s \
             ON t.page_id = s.page_id WHEN NOT MATCHED THEN INSERT (page_id, database_id) VALUES (s.page_id, s.database_id)",
            "23502",
            "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        ),
    ] {
        let failure = workspace.failure(sql, json!([])).await;
        assert_eq!(
            (failure.0.as_str(), class(&failure).as_str()),
            (expected_state, expected_class),
            "{sql}: {}",
            failure.1
        );
    }
    let mut body = workspace.body("SELECT 1", json!([]), "50s");
    body["catalog"] = json!("nope");
    assert_eq!(workspace.post("/api/2.0/sql/statements", &body).await.1["status"]["sql_state"], "42704");
}

#[tokio::test]
async fn rows_beyond_the_limit_are_cut_off() {
    let workspace = Workspace::start().await;
    let mut body = workspace.body("SELECT id FROM range(0, 5) ORDER BY id", json!([]), "50s");
    body["row_limit"] = json!(2);
    let (_, answer) = workspace.post("/api/2.0/sql/statements", &body).await;
    assert_eq!(
        (&answer["result"]["data_array"], &answer["manifest"]["truncated"]),
        (&json!([["0"], ["1"]]), &json!(true))
    );
    let large = workspace.run("SELECT repeat('x', 1000000) FROM range(0, 27)", json!([])).await;
    assert!(
        large["status"]["error"]["message"].as_str().unwrap_or_default().starts_with("Inline byte limit"),
        "{}",
        large["status"]
    );
}

#[tokio::test]
async fn a_dropped_table_takes_its_files_along() {
    let workspace = Workspace::start().await;
    for _ in 0..2 {
        workspace.run("CREATE TABLE `cat`.`bronze`.t (id INT)", json!([])).await;
        assert_eq!(workspace.query("SELECT * FROM `cat`.`bronze`.t").await.len(), 0);
        workspace.run("INSERT INTO `cat`.`bronze`.t VALUES (1)", json!([])).await;
        assert_eq!(state(&workspace.run("DROP TABLE IF EXISTS `cat`.`bronze`.t", json!([])).await), "SUCCEEDED");
    }
    assert_eq!(workspace.failure("SELECT * FROM `cat`.`bronze`.t", json!([])).await.0, "42P01");
}
