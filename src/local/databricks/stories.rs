//! Stories over HTTP against a real Sail: what the endpoint promises, statement by statement.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::*;

const TOKEN: &str = "local-token";

/// One engine for all tests of the binary; it ends when the binary does.
async fn engine() -> Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    static DATA: OnceLock<tempfile::TempDir> = OnceLock::new();
    let start = || async {
        let data = DATA.get_or_init(|| tempfile::tempdir().unwrap());
        Engine::start_sail(&sail_program(), data.path()).await.unwrap()
    };
    ENGINE.get_or_init(start).await.clone()
}

fn sail_program() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/sail")
}

#[expect(clippy::disallowed_methods, reason = "the local stack shares no code with the product's client builder")]
fn http_client() -> reqwest::Client {
    reqwest::Client::new()
}

/// An endpoint with a schema of its own.
struct Workspace {
    endpoint: DatabricksEndpoint,
    client: reqwest::Client,
    schema: String,
}

impl Workspace {
    async fn start() -> Self {
        Self::with(EndpointSettings::default()).await
    }

    async fn with(settings: EndpointSettings) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let endpoint = DatabricksEndpoint::start(address, engine().await, settings).await.unwrap();
        let schema = format!("main.s{}", uuid::Uuid::new_v4().simple());
        endpoint.query(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await.unwrap();
        Self { endpoint, client: http_client(), schema }
    }

    /// A workspace with the tables of the service, as `init-tables` makes them.
    async fn with_tables() -> Self {
        let workspace = Self::start().await;
        for sql in [PAGES, WATERMARKS] {
            let done = workspace.run(sql, json!([])).await;
            assert_eq!(done["status"]["state"], "SUCCEEDED", "{done}");
        }
        workspace
    }

    fn sql(&self, text: &str) -> String {
        text.replace("`cat`.`bronze`", &self.schema)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.endpoint.base_url());
        let response = self.client.post(url).bearer_auth(TOKEN).body(body.to_string()).send().await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.endpoint.base_url());
        let response = self.client.get(url).bearer_auth(TOKEN).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    fn body(&self, sql: &str, parameters: Value, wait: &str) -> Value {
        json!({"warehouse_id": "local0warehouse", "statement": self.sql(sql), "parameters": parameters,
               "wait_timeout": wait, "on_wait_timeout": "CONTINUE", "disposition": "INLINE", "format": "JSON_ARRAY"})
    }

    async fn run(&self, sql: &str, parameters: Value) -> Value {
        let (status, body) = self.post("/api/2.0/sql/statements", &self.body(sql, parameters, "50s")).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Polls until the statement ends.
    async fn end_of(&self, id: &str) -> Value {
        for _ in 0..500 {
            let (status, body) = self.get(&format!("/api/2.0/sql/statements/{id}")).await;
            assert_eq!(status, 200, "{body}");
            if !["PENDING", "RUNNING"].contains(&body["status"]["state"].as_str().unwrap()) {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("statement {id} does not end");
    }

    async fn upsert(&self, rows: &[Value]) -> Value {
        self.upsert_text(&json!(rows).to_string(), rows.len()).await
    }

    async fn upsert_text(&self, rows: &str, row_count: usize) -> Value {
        let parameters = json!([
            {"name": "rows", "type": "STRING", "value": rows},
            {"name": "row_count", "type": "INT", "value": row_count.to_string()},
            {"name": "api_version", "value": "2026-03-11"},
            {"name": "run_id", "type": "STRING", "value": "run"},
        ]);
        self.run(UPSERT, parameters).await
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.endpoint.query(&self.sql(sql)).await.unwrap()
    }
}

/// affected, updated, deleted, inserted
fn counts(body: &Value) -> [&str; 4] {
    let row = &body["result"]["data_array"][0];
    [0, 1, 2, 3].map(|at| row[at].as_str().unwrap_or_else(|| panic!("no counts in {body}")))
}

fn page(id: &str, edited: &str, payload: &str) -> Value {
    json!({"page_id": id, "database_id": "db", "database_name": "projects", "data_source_id": "ds", "payload": payload,
           "payload_sha256": format!("hash of {payload}"), "hydrated_properties": null, "is_archived": false, "in_trash": false,
           "created_time": "2026-01-01T00:00:00.000Z", "last_edited_time": edited})
}

const EARLY: &str = "2026-11-22T13:01:00.000Z";
const NOW: &str = "2026-11-22T13:02:00.000Z";
const LATE: &str = "2026-11-22T13:03:00.000Z";

const PAGES: &str = "CREATE TABLE IF NOT EXISTS `cat`.`bronze`.`notion_raw_pages` (
  page_id STRING NOT NULL COMMENT 'Notion page id (merge key)', database_id STRING NOT NULL, database_name STRING NOT NULL,
  data_source_id STRING NOT NULL, payload STRING NOT NULL, payload_sha256 STRING NOT NULL, hydrated_properties STRING,
  created_time TIMESTAMP NOT NULL, last_edited_time TIMESTAMP NOT NULL, is_archived BOOLEAN NOT NULL, in_trash BOOLEAN NOT NULL,
  removed_at TIMESTAMP, removal_reason STRING, api_version STRING NOT NULL, ingested_at TIMESTAMP NOT NULL, sync_run_id STRING NOT NULL)
CLUSTER BY (page_id, database_id)
COMMENT 'Bronze: one row per Notion page and database, latest version'
TBLPROPERTIES ('delta.enableChangeDataFeed'='true','delta.enableDeletionVectors'='true')";

const WATERMARKS: &str = "CREATE TABLE IF NOT EXISTS `cat`.`bronze`.`notion_sync_watermarks` (
  database_id STRING NOT NULL, data_source_id STRING NOT NULL, database_name STRING NOT NULL, synced_through TIMESTAMP,
  last_edited_time TIMESTAMP, resume STRING, last_full_refresh_at TIMESTAMP, last_sweep_at TIMESTAMP,
  updated_at TIMESTAMP NOT NULL, sync_run_id STRING NOT NULL)
CLUSTER BY (database_id, data_source_id)";

const UPSERT: &str = "MERGE INTO `cat`.`bronze`.`notion_raw_pages` AS t
USING (
  SELECT r.page_id, r.database_id, r.database_name, r.data_source_id, r.payload, r.payload_sha256, r.hydrated_properties,
         CAST(r.created_time AS TIMESTAMP) AS created_time, CAST(r.last_edited_time AS TIMESTAMP) AS last_edited_time,
         r.is_archived, r.in_trash
  FROM (SELECT explode(CASE WHEN size(p.a) = CAST(:row_count AS INT) THEN p.a
                            ELSE raise_error('notion-sync: rows parsed differ from rows sent') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,database_id:STRING,database_name:STRING,data_source_id:STRING,payload:STRING,payload_sha256:STRING,hydrated_properties:STRING,created_time:STRING,last_edited_time:STRING,is_archived:BOOLEAN,in_trash:BOOLEAN>>',
          map('mode','FAILFAST')) AS a) AS p)
) AS s
ON t.page_id = s.page_id AND t.database_id = s.database_id
WHEN MATCHED AND s.last_edited_time >= t.last_edited_time
             AND (s.payload_sha256 <> t.payload_sha256 OR NOT (s.hydrated_properties <=> t.hydrated_properties)
                  OR s.data_source_id <> t.data_source_id OR s.database_name <> t.database_name
                  OR s.is_archived <> t.is_archived OR s.in_trash <> t.in_trash OR t.removed_at IS NOT NULL) THEN UPDATE SET
  database_name = s.database_name, data_source_id = s.data_source_id, payload = s.payload, payload_sha256 = s.payload_sha256,
  hydrated_properties = s.hydrated_properties, created_time = s.created_time, last_edited_time = s.last_edited_time,
  is_archived = s.is_archived, in_trash = s.in_trash, removed_at = NULL, removal_reason = NULL,
  api_version = :api_version, ingested_at = current_timestamp(), sync_run_id = :run_id
WHEN NOT MATCHED THEN INSERT (page_id, database_id, database_name, data_source_id, payload, payload_sha256, hydrated_properties,
  created_time, last_edited_time, is_archived, in_trash, removed_at, removal_reason, api_version, ingested_at, sync_run_id)
  VALUES (s.page_id, s.database_id, s.database_name, s.data_source_id, s.payload, s.payload_sha256, s.hydrated_properties,
  s.created_time, s.last_edited_time, s.is_archived, s.in_trash, NULL, NULL, :api_version, current_timestamp(), :run_id)";

#[tokio::test]
async fn rows_are_inserted_once_updated_when_newer_and_never_overwritten_by_older_ones() {
    let workspace = Workspace::with_tables().await;
    let first = workspace.upsert(&[page("a", NOW, "1"), page("b", NOW, "1")]).await;
    assert_eq!(counts(&first), ["2", "0", "0", "2"]);
    let columns: Vec<&str> = first["manifest"]["schema"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["num_affected_rows", "num_updated_rows", "num_deleted_rows", "num_inserted_rows"]);
    assert_eq!(counts(&workspace.upsert(&[page("a", NOW, "1"), page("b", NOW, "1")]).await), ["0", "0", "0", "0"]);
    let mixed = [page("a", LATE, "2"), page("b", EARLY, "stale"), page("c", NOW, "1")];
    assert_eq!(counts(&workspace.upsert(&mixed).await), ["2", "1", "0", "1"]);
    let rows = workspace.query("SELECT page_id, payload FROM `cat`.`bronze`.notion_raw_pages ORDER BY page_id").await;
    let shown: Vec<String> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(shown, ["a2", "b1", "c1"]);
    workspace.endpoint.stop().await;
}

#[tokio::test]
async fn cut_json_and_a_wrong_count_fail_and_write_nothing() {
    let workspace = Workspace::with_tables().await;
    let rows = json!([page("a", NOW, "1"), page("b", NOW, "1")]).to_string();
    let cut = workspace.upsert_text(&rows[..rows.len() - 5], 2).await;
    assert_eq!((&cut["status"]["state"], &cut["status"]["sql_state"]), (&json!("FAILED"), &json!("22023")));
    let wrong = workspace.upsert_text(&rows, 3).await;
    assert_eq!((&wrong["status"]["state"], &wrong["status"]["sql_state"]), (&json!("FAILED"), &json!("P0001")));
    let message = wrong["status"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("[USER_RAISED_EXCEPTION] notion-sync: rows parsed differ from rows sent"), "{message}");
    assert_eq!(workspace.query("SELECT count(*) FROM `cat`.`bronze`.notion_raw_pages").await, [[Some("0".to_owned())]]);
}

#[tokio::test]
async fn a_payload_comes_back_byte_for_byte_also_through_a_view() {
    let workspace = Workspace::with_tables().await;
    let odd = "{\"a\": \"it's \\\\ \\\" \\n \\u0000 \\u00e9 é 😀 :rows ${x} `b` -- /* 1.10 1e3\",\t\"b\":[ ]}\n";
    let long = format!("{odd}{}", "x'\\\"é".repeat(20_000));
    let body = workspace.upsert(&[page("short", NOW, odd)]).await;
    assert_eq!(counts(&body), ["1", "0", "0", "1"]);
    let body = workspace.upsert(&[page("long", NOW, &long)]).await;
    assert_eq!(counts(&body), ["1", "0", "0", "1"]);
    let rows = workspace.query("SELECT payload FROM `cat`.`bronze`.notion_raw_pages ORDER BY page_id DESC").await;
    assert_eq!(rows, [[Some(odd.to_owned())], [Some(long)]]);
}
