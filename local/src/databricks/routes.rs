//! The HTTP face: submit, poll, cancel, chunks, tokens, the warehouse itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::Shared;
use super::access::{check_bearer, token_response};
use super::bind::Parameter;
use super::control;
use super::error::StatementError;
use super::governance;
use super::rewrite::Namespace;
use super::rights::Asker;
use super::settings::EndpointSettings;
use super::statements::{Statement, Submission};
use super::wire::{SubmitRequest, chunk, error_response, json_response, statement_body, text_response};

/// More than this is not even read.
const MAX_BODY_READ_BYTES: usize = 64 * 1024 * 1024;
const MAX_PARAMETERS: usize = 256;
/// Answers nobody waited for come at once.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// A refusal, ready to be sent.
type Refusal = Box<Response>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let statements = "/api/2.0/sql/statements";
    Router::new()
        .route(statements, post(submit))
        .route(&format!("{statements}/"), post(submit))
        .route(&format!("{statements}/{{id}}"), get(poll))
        .route(&format!("{statements}/{{id}}/"), get(poll))
        .route(&format!("{statements}/{{id}}/cancel"), post(cancel))
        .route(&format!("{statements}/{{id}}/cancel/"), post(cancel))
        .route(&format!("{statements}/{{id}}/result/chunks/{{index}}"), get(result_chunk))
        .route("/api/2.0/sql/warehouses/{id}", get(warehouse))
        .route("/oidc/v1/token", post(token))
        .route("/oidc/.well-known/oauth-authorization-server", get(discovery))
        .route("/.well-known/databricks-config", get(host_metadata))
        .merge(control::router())
        .fallback(bad_target)
        .with_state(shared)
}

async fn submit(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match submitted(&shared, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn submitted(shared: &Arc<Shared>, request: Request) -> Result<Response, Refusal> {
    let settings = shared.settings().clone();
    let principal = check_bearer(request.headers(), &settings, &shared.issued)?;
    let body = read_body(request, &settings).await?;
    let sent: SubmitRequest = serde_json::from_slice(&body).map_err(|error| {
        refusal(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", &format!("Could not parse request object: {error}"))
    })?;
    drop(body);
    let wait = checked(&sent, &settings)?;
    let cancels = sent.on_wait_timeout.as_deref() == Some("CANCEL") && !wait.is_zero();
    let catalog = sent.catalog.unwrap_or_else(|| settings.catalog.clone());
    let unknown_catalog = (!shared.engine.has_catalog(&catalog)).then(|| {
        let text = format!("Catalog '{catalog}' was not found.");
        super::Behaviour::Failed(StatementError::classed("NO_SUCH_CATALOG_EXCEPTION", &text, "42704"))
    });
    let asker = Asker::of(&principal, &settings);
    if !shared.rights().may_use_warehouse(&asker) {
        let message = format!("You do not have permission to use the SQL warehouse {}.", settings.warehouse_id);
        return Err(refusal(StatusCode::FORBIDDEN, "PERMISSION_DENIED", &message));
    }
    let namespace = Namespace::of(&catalog, sent.schema.as_deref());
    let mut behaviours = shared.take_behaviours(&sent.statement);
    behaviours.extend(unknown_catalog);
    let collation = governance::apply(shared, &asker, &sent.statement, &namespace, &mut behaviours).await;
    let statement = shared.statements.add(Submission {
        text: sent.statement,
        parameters: sent.parameters.into_iter().map(Parameter::from).collect(),
        namespace,
        collation,
        row_limit: sent.row_limit,
        one_writer: settings.one_writer_per_table,
        behaviours,
    });
    Ok(first_answer(shared, &statement, wait, cancels).await)
}

/// Starts the statement, waits as long as asked, and answers with what is known then.
async fn first_answer(shared: &Shared, statement: &Arc<Statement>, wait: Duration, cancels: bool) -> Response {
    let held = statement.is_held();
    let pending = statement.snapshot();
    if !held {
        statement.start(&shared.engine);
    }
    if statement.is_forgotten() || (held && !cancels) || wait.is_zero() {
        return json_response(StatusCode::OK, &statement_body(&pending, shared.settings().sql_state_beside_error));
    }
    if !statement.wait(if held { Duration::ZERO } else { wait }).await && cancels {
        statement.cancel();
        statement.wait(CANCEL_PATIENCE).await;
    }
    json_response(StatusCode::OK, &statement_body(&statement.snapshot(), shared.settings().sql_state_beside_error))
}

/// Reads the whole body, also one that is too large, so that the client gets to read the answer.
async fn read_body(request: Request, settings: &EndpointSettings) -> Result<axum::body::Bytes, Refusal> {
    let body = to_bytes(request.into_body(), MAX_BODY_READ_BYTES).await.ok();
    match body {
        Some(body) if body.len() <= settings.body_limit_bytes => Ok(body),
        _ if settings.body_limit_status == 400 => {
            let message = format!("The request exceeds the limit of {} bytes.", settings.body_limit_bytes);
            Err(refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", &message))
        }
        _ => {
            let page = "<html><head><title>413 Request Entity Too Large</title></head></html>".to_owned();
            Err(Box::new(text_response(StatusCode::PAYLOAD_TOO_LARGE, "text/html", page)))
        }
    }
}

/// Checks what the API refuses before there is a statement; returns how long to wait.
fn checked(sent: &SubmitRequest, settings: &EndpointSettings) -> Result<Duration, Refusal> {
    let bad = |code: &str, message: &str| refusal(StatusCode::BAD_REQUEST, code, message);
    if sent.warehouse_id != settings.warehouse_id {
        return Err(unknown_warehouse(&sent.warehouse_id));
    }
    if sent.statement.trim().is_empty() {
        return Err(bad("INVALID_PARAMETER_VALUE", "The field 'statement' is required."));
    }
    let count = sent.parameters.len();
    if count > MAX_PARAMETERS {
        let message = format!(
            "Parameterized query has too many parameters: {count} parameters were given but the limit is {MAX_PARAMETERS}."
        );
        return Err(bad("BAD_REQUEST", &message));
    }
    if sent.disposition.as_deref().is_some_and(|disposition| disposition != "INLINE") {
        return Err(bad("INVALID_PARAMETER_VALUE", "The local endpoint knows only disposition INLINE."));
    }
    if sent.format.as_deref().is_some_and(|format| format != "JSON_ARRAY") {
        return Err(bad("INVALID_PARAMETER_VALUE", "The INLINE disposition supports only the format JSON_ARRAY."));
    }
    if sent.on_wait_timeout.as_deref().is_some_and(|action| !["CONTINUE", "CANCEL"].contains(&action)) {
        return Err(bad("INVALID_PARAMETER_VALUE", "on_wait_timeout must be CONTINUE or CANCEL."));
    }
    wait_time(sent.wait_timeout.as_deref().unwrap_or("10s"))
        .ok_or_else(|| bad("INVALID_PARAMETER_VALUE", "wait_timeout must be 0s, or between 5s and 50s."))
}

fn wait_time(text: &str) -> Option<Duration> {
    let seconds: u64 = text.strip_suffix('s')?.parse().ok()?;
    (seconds == 0 || (5..=50).contains(&seconds)).then(|| Duration::from_secs(seconds))
}

async fn poll(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    known_statement(&shared, &id, &headers).map_or_else(
        |refusal| *refusal,
        |statement| {
            let before = statement.snapshot();
            statement.poll(&shared.engine);
            json_response(StatusCode::OK, &statement_body(&before, shared.settings().sql_state_beside_error))
        },
    )
}

async fn cancel(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    known_statement(&shared, &id, &headers).map_or_else(
        |refusal| *refusal,
        |statement| {
            statement.cancel();
            json_response(StatusCode::OK, &json!({}))
        },
    )
}

async fn result_chunk(
    State(shared): State<Arc<Shared>>,
    Path((id, index)): Path<(String, usize)>,
    headers: HeaderMap,
) -> Response {
    let statement = match known_statement(&shared, &id, &headers) {
        Ok(statement) => statement,
        Err(refusal) => return *refusal,
    };
    match statement.snapshot().result {
        Some(result) if index == 0 && !result.rows.is_empty() => json_response(StatusCode::OK, &chunk(&result)),
        _ => error_response(StatusCode::NOT_FOUND, "NOT_FOUND", &format!("The statement {id} has no chunk {index}.")),
    }
}

fn known_statement(shared: &Shared, id: &str, headers: &HeaderMap) -> Result<Arc<Statement>, Refusal> {
    check_bearer(headers, &shared.settings(), &shared.issued)?;
    shared
        .statements
        .get(id)
        .filter(|statement| !statement.is_forgotten())
        .ok_or_else(|| refusal(StatusCode::NOT_FOUND, "NOT_FOUND", &format!("The statement {id} was not found.")))
}

/// The warehouse as its API knows it: asking for it starts nothing.
async fn warehouse(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let settings = shared.settings().clone();
    if let Err(refusal) = check_bearer(&headers, &settings, &shared.issued) {
        return *refusal;
    }
    if id != settings.warehouse_id {
        return *unknown_warehouse(&id);
    }
    let body = json!({"id": id, "name": "local", "cluster_size": "2X-Small", "min_num_clusters": 1,
        "max_num_clusters": 1, "auto_stop_mins": 10, "state": "STOPPED", "num_clusters": 0,
        "enable_serverless_compute": true, "warehouse_type": "PRO"});
    json_response(StatusCode::OK, &body)
}

fn unknown_warehouse(id: &str) -> Refusal {
    refusal(StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", &format!("SQL warehouse {id} does not exist."))
}

async fn token(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let settings = shared.settings().clone();
    let headers = request.headers().clone();
    match read_body(request, &settings).await {
        Ok(body) => token_response(&headers, &String::from_utf8_lossy(&body), &settings, &shared.issued),
        Err(refusal) => *refusal,
    }
}

async fn discovery(headers: HeaderMap) -> Response {
    let oidc = oidc_address(&headers);
    let body = json!({"issuer": oidc, "authorization_endpoint": format!("{oidc}/v1/authorize"),
                      "token_endpoint": format!("{oidc}/v1/token")});
    json_response(StatusCode::OK, &body)
}

/// Serves the address where newer SDKs look first.
async fn host_metadata(headers: HeaderMap) -> Response {
    json_response(StatusCode::OK, &json!({"oidc_endpoint": oidc_address(&headers)}))
}

fn oidc_address(headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}/oidc")
}

async fn bad_target(request: Request) -> Response {
    json_response(StatusCode::NOT_FOUND, &json!({"error": format!("Bad Target: {}", request.uri().path())}))
}

fn refusal(status: StatusCode, error_code: &str, message: &str) -> Refusal {
    Box::new(error_response(status, error_code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_zero_or_five_to_fifty_seconds() {
        let seconds = |text| wait_time(text).map(|wait| wait.as_secs());
        assert_eq!([seconds("0s"), seconds("5s"), seconds("50s")], [Some(0), Some(5), Some(50)]);
        assert_eq!([seconds("4s"), seconds("51s"), seconds("10"), seconds("1m")], [None; 4]);
    }
}
