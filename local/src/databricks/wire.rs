//! The JSON of the Statement Execution API, shaped as recorded from the real one.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bind::Parameter;
use super::cells::ResultSet;
use super::statements::{Snapshot, StatementState};

/// The body of a submission.
#[derive(Debug, Deserialize)]
pub(super) struct SubmitRequest {
    pub(super) statement: String,
    pub(super) warehouse_id: String,
    pub(super) catalog: Option<String>,
    pub(super) schema: Option<String>,
    #[serde(default)]
    pub(super) parameters: Vec<SentParameter>,
    pub(super) wait_timeout: Option<String>,
    pub(super) on_wait_timeout: Option<String>,
    pub(super) disposition: Option<String>,
    pub(super) format: Option<String>,
    pub(super) row_limit: Option<usize>,
}

/// A parameter as sent; a value that is no string is refused.
#[derive(Debug, Deserialize)]
pub(super) struct SentParameter {
    name: String,
    value: Option<String>,
    #[serde(rename = "type")]
    type_text: Option<String>,
}

impl From<SentParameter> for Parameter {
    fn from(sent: SentParameter) -> Self {
        let type_text = sent.type_text.unwrap_or_else(|| "STRING".to_owned());
        Self { name: sent.name, value: sent.value, type_text }
    }
}

/// A JSON answer with a request id.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    text_response(status, "application/json", body.to_string())
}

/// An answer with a request id.
pub(super) fn text_response(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// An error of the API itself.
pub(super) fn error_response(status: StatusCode, error_code: &str, message: &str) -> Response {
    json_response(status, &json!({"error_code": error_code, "message": message}))
}

/// The API's answer about a statement.
pub(super) fn statement_body(snapshot: &Snapshot, sql_state_beside_error: bool) -> Value {
    let mut status = json!({"state": snapshot.state});
    if let Some(error) = &snapshot.error {
        status["error"] = json!({"error_code": error.error_code, "message": error.message});
        if let Some(state) = error.sql_state.as_ref().filter(|_| sql_state_beside_error) {
            status["sql_state"] = json!(state);
        }
    }
    let mut body = json!({"statement_id": snapshot.id, "status": status});
    if let (StatementState::Succeeded, Some(result)) = (snapshot.state, &snapshot.result) {
        body["manifest"] = manifest(result, snapshot.truncated);
        body["result"] = chunk(result);
    }
    body
}

fn manifest(result: &ResultSet, truncated: bool) -> Value {
    let columns: Vec<Value> = result
        .columns
        .iter()
        .enumerate()
        .map(|(position, column)| {
            let mut shown = json!({"name": column.name, "type_text": column.type_text, "type_name": column.type_name, "position": position});
            if let Some((precision, scale)) = decimal_size(&column.type_text) {
                shown["type_precision"] = json!(precision);
                shown["type_scale"] = json!(scale);
            }
            shown
        })
        .collect();
    let mut schema = json!({"column_count": columns.len()});
    if !columns.is_empty() {
        schema["columns"] = Value::Array(columns);
    }
    let rows = result.rows.len();
    let mut manifest = json!({
        "format": "JSON_ARRAY", "schema": schema, "total_chunk_count": usize::from(rows > 0),
        "total_row_count": rows, "truncated": truncated,
    });
    if rows > 0 {
        manifest["chunks"] = json!([{"chunk_index": 0, "row_offset": 0, "row_count": rows}]);
    }
    manifest
}

fn decimal_size(type_text: &str) -> Option<(u8, i8)> {
    let (precision, scale) = type_text.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
    Some((precision.parse().ok()?, scale.parse().ok()?))
}

/// The only chunk of a result; without rows it is empty.
pub(super) fn chunk(result: &ResultSet) -> Value {
    if result.rows.is_empty() {
        return json!({});
    }
    json!({"chunk_index": 0, "row_offset": 0, "row_count": result.rows.len(), "data_array": result.rows})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::databricks::{RowCounts, StatementError, StatementKind};

    fn snapshot(state: StatementState, result: Option<ResultSet>, error: Option<StatementError>) -> Snapshot {
        Snapshot { id: "01f0".to_owned(), state, result: result.map(Arc::new), truncated: false, error }
    }

    #[test]
    fn a_success_is_shaped_as_recorded() {
        let result = RowCounts { inserted: 1, ..RowCounts::default() }.result_set(StatementKind::Insert);
        let recorded = json!({"statement_id":"01f0","status":{"state":"SUCCEEDED"},
            "manifest":{"format":"JSON_ARRAY","schema":{"column_count":2,"columns":[
              {"name":"num_affected_rows","type_text":"BIGINT","type_name":"LONG","position":0},
              {"name":"num_inserted_rows","type_text":"BIGINT","type_name":"LONG","position":1}]},
              "total_chunk_count":1,"chunks":[{"chunk_index":0,"row_offset":0,"row_count":1}],"total_row_count":1,"truncated":false},
            "result":{"chunk_index":0,"row_offset":0,"row_count":1,"data_array":[["1","1"]]}});
        assert_eq!(statement_body(&snapshot(StatementState::Succeeded, Some(result), None), true), recorded);
    }

    #[test]
    fn pending_failed_and_empty_answers_are_shaped_as_recorded() {
        let pending = statement_body(&snapshot(StatementState::Pending, None, None), true);
        assert_eq!(pending, json!({"statement_id":"01f0","status":{"state":"PENDING"}}));
        let error = StatementError::classed("PARSE_SYNTAX_ERROR", "x.", "42601");
        let failed = statement_body(&snapshot(StatementState::Failed, None, Some(error)), true);
        let status = json!({"state":"FAILED","sql_state":"42601",
            "error":{"error_code":"BAD_REQUEST","message":"[PARSE_SYNTAX_ERROR] x. SQLSTATE: 42601"}});
        assert_eq!(failed, json!({"statement_id":"01f0","status":status}));
        let error = StatementError::classed("PARSE_SYNTAX_ERROR", "x.", "42601");
        let older = statement_body(&snapshot(StatementState::Failed, None, Some(error)), false);
        assert!(older["status"].get("sql_state").is_none());
        let empty = statement_body(&snapshot(StatementState::Succeeded, Some(ResultSet::default()), None), true);
        assert_eq!((&empty["result"], &empty["manifest"]["total_chunk_count"]), (&json!({}), &json!(0)));
    }
}
