//! Stories over HTTP against a real Sail: what the endpoint promises, statement by statement.

use std::path::Path;
use std::sync::Weak;

use serde_json::{Value, json};

use super::*;

mod access;
mod behaviours;
mod engines;
mod merges;
mod proofs;
mod statements;

const TOKEN: &str = "local-token";

/// The engine that tests share while any of them runs; it goes with its data when the last one is done.
#[derive(Debug)]
struct SharedEngine {
    engine: Engine,
    _data: tempfile::TempDir,
}

async fn shared_engine() -> Arc<SharedEngine> {
    static SHARED: tokio::sync::Mutex<Weak<SharedEngine>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start_sail(&sail_program(), data.path()).await.unwrap();
    let started = Arc::new(SharedEngine { engine, _data: data });
    *shared = Arc::downgrade(&started);
    started
}

fn sail_program() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/sail")
}

fn http_client() -> reqwest::Client {
    reqwest::Client::new()
}

/// An endpoint with a schema of its own.
struct Workspace {
    endpoint: DatabricksEndpoint,
    client: reqwest::Client,
    schema: String,
    _engine: Arc<SharedEngine>,
}

impl Workspace {
    async fn start() -> Self {
        Self::with(EndpointSettings::default()).await
    }

    async fn with(settings: EndpointSettings) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let shared = shared_engine().await;
        let endpoint = DatabricksEndpoint::start(address, shared.engine.clone(), settings).await.unwrap();
        let schema = format!("main.s{}", uuid::Uuid::new_v4().simple());
        endpoint.query(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await.unwrap();
        Self { endpoint, client: http_client(), schema, _engine: shared }
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

    /// Runs it and expects FAILED; returns SQLSTATE and message.
    async fn failure(&self, sql: &str, parameters: Value) -> (String, String) {
        let body = self.run(sql, parameters).await;
        let status = &body["status"];
        assert_eq!(status["state"], "FAILED", "{body}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&status["sql_state"]), text(&status["error"]["message"]))
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

fn state(body: &Value) -> &str {
    body["status"]["state"].as_str().unwrap_or_else(|| panic!("no state in {body}"))
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
