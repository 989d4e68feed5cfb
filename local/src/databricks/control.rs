//! `/control/…`: log and switches for the demo and for people, beside the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Shared;
use super::rights::Grant;
use super::settings::{Script, ServicePrincipal};
use super::wire::{error_response, json_response};

const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Switches; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    tokens: Option<Vec<String>>,
    principals: Option<Vec<ServicePrincipal>>,
    body_limit_bytes: Option<usize>,
    body_limit_status: Option<u16>,
    one_writer_per_table: Option<bool>,
    checked_principals: Option<BTreeSet<String>>,
    principal_tokens: Option<BTreeMap<String, String>>,
    groups: Option<BTreeMap<String, Vec<String>>>,
    sql_state_beside_error: Option<bool>,
    #[serde(default)]
    revoke_issued_tokens: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    sql: String,
}

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/control/statements", get(log).delete(clear_log))
        .route("/control/scripts", post(add_script).delete(clear_scripts))
        .route("/control/grants", get(grants).post(give).delete(take))
        .route("/control/switches", post(switch))
        .route("/control/query", post(query))
}

async fn log(State(shared): State<Arc<Shared>>) -> Response {
    let statements: Vec<_> = shared.statements.all().iter().map(|statement| statement.logged()).collect();
    let open = statements.iter().filter(|statement| !statement.state.is_terminal()).count();
    let body = json!({"statements": statements, "open_statements": open, "token_requests": shared.issued.requests()});
    json_response(StatusCode::OK, &body)
}

async fn clear_log(State(shared): State<Arc<Shared>>) -> Response {
    shared.clear_log();
    done()
}

async fn add_script(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match read::<Script>(request).await {
        Ok(script) => {
            shared.scripts().push(script);
            done()
        }
        Err(refusal) => *refusal,
    }
}

async fn clear_scripts(State(shared): State<Arc<Shared>>) -> Response {
    shared.scripts().clear();
    done()
}

async fn switch(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let switches: Switches = match read(request).await {
        Ok(switches) => switches,
        Err(refusal) => return *refusal,
    };
    let mut settings = shared.settings();
    if let Some(tokens) = switches.tokens {
        settings.tokens = tokens;
    }
    if let Some(principals) = switches.principals {
        settings.principals = principals;
    }
    if let Some(bytes) = switches.body_limit_bytes {
        settings.body_limit_bytes = bytes;
    }
    if let Some(status) = switches.body_limit_status {
        settings.body_limit_status = status;
    }
    if let Some(one_writer) = switches.one_writer_per_table {
        settings.one_writer_per_table = one_writer;
    }
    settings.checked_principals = switches.checked_principals.unwrap_or_else(|| settings.checked_principals.clone());
    settings.principal_tokens = switches.principal_tokens.unwrap_or_else(|| settings.principal_tokens.clone());
    settings.groups = switches.groups.unwrap_or_else(|| settings.groups.clone());
    settings.sql_state_beside_error = switches.sql_state_beside_error.unwrap_or(settings.sql_state_beside_error);
    if switches.revoke_issued_tokens {
        shared.issued.revoke_all();
    }
    done()
}

async fn grants(State(shared): State<Arc<Shared>>) -> Response {
    let grants = shared.rights().grants();
    json_response(StatusCode::OK, &json!({"grants": grants}))
}

async fn give(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match read::<Grant>(request).await {
        Ok(grant) => {
            shared.rights().give(grant);
            done()
        }
        Err(refusal) => *refusal,
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match read::<Grant>(request).await {
        Ok(grant) => {
            shared.rights().take(&grant);
            done()
        }
        Err(refusal) => *refusal,
    }
}

async fn query(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let query: Query = match read(request).await {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    match shared.query(&query.sql).await {
        Ok(rows) => json_response(StatusCode::OK, &json!({"rows": rows})),
        Err(error) => json_response(StatusCode::BAD_REQUEST, &json!(error)),
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Box<Response>> {
    let bad = |message: String| Box::new(error_response(StatusCode::BAD_REQUEST, "BAD_REQUEST", &message));
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|error| bad(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

fn done() -> Response {
    json_response(StatusCode::OK, &json!({}))
}
