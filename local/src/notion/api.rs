//! Everything under `/v1`: the order of Notion's checks, and which endpoint answers.

use std::time::Instant;

use serde_json::Value as Json;
use uuid::Uuid;

use super::answers::{multiple_data_sources, rate_limited};
use super::clock::full_text;
use super::error::ApiError;
use super::ids::parse_id;
use super::json::{ObjectText, percent_decoded, quoted, with_last_key};
use super::log::LoggedRequest;
use super::render::{ApiVersion, Painter};

use super::pages::{item, page, patch_page, selection};
use super::query;
use super::world::row::Kind;
use super::world::{DataSource, Database, SignedUrls, Workspace};

/// A request, free of HTTP's types.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) token: Option<String>,
    pub(super) notion_version: Option<String>,
    pub(super) body: Vec<u8>,
}

/// An answer, free of HTTP's types.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) request_id: Uuid,
    /// The edge in front answered: Notion's own request id is missing.
    pub(super) is_of_the_edge: bool,
}

impl Outgoing {
    fn json(body: String, request_id: Uuid) -> Self {
        Self {
            status: 200,
            content_type: JSON.to_owned(),
            headers: Vec::new(),
            body,
            request_id,
            is_of_the_edge: false,
        }
    }

    pub(super) fn error(error: &ApiError, request_id: Uuid) -> Self {
        let retry_after = error.retry_after_seconds.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
        Self {
            status: error.status,
            content_type: JSON.to_owned(),
            headers: retry_after.into_iter().collect(),
            body: error.body(request_id),
            request_id,
            is_of_the_edge: false,
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// Answers a request under `/v1` and logs it; scripted changes that wait for it happen afterwards.
pub(super) fn answer(world: &mut Workspace, request: &Incoming) -> Outgoing {
    let request_id = Uuid::new_v4();
    let (outgoing, served) = match world.scripted_answer(request, request_id) {
        Some(outgoing) => (outgoing, None),
        None => match true_answer(world, request) {
            Ok(Truth { text, served }) => {
                let body = with_last_key(text, "request_id", &quoted(&request_id.to_string()));
                (Outgoing::json(body, request_id), served)
            }
            Err(error) => (Outgoing::error(&error, request_id), None),
        },
    };
    world.log.push(LoggedRequest {
        time: full_text(world.now_ms()),
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        body: String::from_utf8_lossy(&request.body).into_owned(),
        notion_version: request.notion_version.clone(),
        status: outgoing.status,
        request_id: request_id.to_string(),
    });
    if let Some((source, page)) = served {
        world.page_was_served(source, page);
    }
    world.request_was_answered();
    outgoing
}

/// A body without its request id; for a query also its data source and the number of the page in its walk.
struct Truth {
    text: String,
    served: Option<(Uuid, u32)>,
}

impl From<String> for Truth {
    fn from(text: String) -> Self {
        Self { text, served: None }
    }
}

/// The endpoints.
enum Endpoint<'a> {
    Me,
    User(&'a str),
    Database(&'a str),
    DatabaseQuery(&'a str),
    DataSource(&'a str),
    Query(&'a str),
    Page(&'a str),
    Patch(&'a str),
    Item(&'a str, &'a str),
}

fn endpoint<'a>(method: &str, path: &'a str) -> Option<Endpoint<'a>> {
    let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["users", "me"]) => Some(Endpoint::Me),
        ("GET", ["users", id]) => Some(Endpoint::User(id)),
        ("GET", ["databases", id]) => Some(Endpoint::Database(id)),
        ("POST", ["databases", id, "query"]) => Some(Endpoint::DatabaseQuery(id)),
        ("GET", ["data_sources", id]) => Some(Endpoint::DataSource(id)),
        ("POST", ["data_sources", id, "query"]) => Some(Endpoint::Query(id)),
        ("GET", ["pages", id]) => Some(Endpoint::Page(id)),
        ("PATCH", ["pages", id]) => Some(Endpoint::Patch(id)),
        ("GET", ["pages", id, "properties", property]) => Some(Endpoint::Item(id, property)),
        _ => None,
    }
}

fn true_answer(world: &mut Workspace, request: &Incoming) -> Result<Truth, ApiError> {
    let endpoint = endpoint(&request.method, &request.path).ok_or_else(ApiError::invalid_url)?;
    let token = request.token.as_deref().unwrap_or_default();
    if !world.settings().tokens.iter().any(|accepted| accepted == token) {
        return Err(ApiError::unauthorized());
    }
    if let Some(limit) = world.settings().request_limit
        && let Some(seconds) = world.limiter.count(token, limit, Instant::now())
    {
        return Err(rate_limited("public_api_request_rate_limit", Some(seconds)));
    }
    let version = request.notion_version.as_deref().ok_or_else(ApiError::missing_version)?;
    let version = ApiVersion::parse(version).ok_or_else(|| ApiError::unknown_version(version))?;
    match endpoint {
        Endpoint::DataSource(_) | Endpoint::Query(_) if version == ApiVersion::Tables => Err(ApiError::invalid_url()),
        Endpoint::DatabaseQuery(_) if version != ApiVersion::Tables => Err(ApiError::invalid_url()),
        Endpoint::Me => Ok(me(world).into()),
        Endpoint::User(id) => user(world, path_id("user_id", id)?).map(Truth::from),
        Endpoint::Database(id) => database(world, id, version).map(Truth::from),
        Endpoint::DatabaseQuery(id) => {
            let source = only_source(world, seen_database(world, path_id("database_id", id)?)?)?.id;
            run_query(world, source, request, version)
        }
        Endpoint::DataSource(id) => {
            let source = seen_source(world, path_id("data_source_id", id)?)?;
            Ok(painter(world, version, 0, None).data_source(source).into())
        }
        Endpoint::Query(id) => run_query(world, path_id("data_source_id", id)?, request, version),
        Endpoint::Page(id) => {
            let selection = selection(&request.query)?;
            page(world, path_id("page_id", id)?, selection.as_deref(), version).map(Truth::from)
        }
        Endpoint::Patch(id) => patch_page(world, path_id("page_id", id)?, &request.body, version).map(Truth::from),
        Endpoint::Item(id, property) => {
            item(world, path_id("page_id", id)?, property, &request.query, version).map(Truth::from)
        }
    }
}

fn path_id(parameter: &str, text: &str) -> Result<Uuid, ApiError> {
    let text = percent_decoded(text, false);
    parse_id(&text).ok_or_else(|| ApiError::not_an_id(parameter, &text))
}

pub(super) fn painter<'a>(
    world: &'a Workspace,
    version: ApiVersion,
    signature: u64,
    selection: Option<&'a [String]>,
) -> Painter<'a> {
    Painter { world, version, now_ms: world.now_ms(), signed_urls: SignedUrls::AsServed, signature, selection }
}

pub(super) fn not_found(world: &Workspace, kind: &str, id: Uuid) -> ApiError {
    ApiError::not_found(kind, id, &world.settings().integration_name, world.bot_id())
}

fn me(world: &Workspace) -> String {
    let bot = ObjectText::new()
        .raw("owner", r#"{"type":"workspace","workspace":true}"#)
        .text("workspace_name", &world.settings().workspace_name)
        .text("workspace_id", &world.root_page_id().to_string())
        .raw("workspace_limits", r#"{"max_file_upload_size_in_bytes":5242880}"#)
        .finish();
    ObjectText::new()
        .text("object", "user")
        .text("id", &world.bot_id().to_string())
        .text("name", &world.settings().integration_name)
        .null("avatar_url")
        .text("type", "bot")
        .raw("bot", &bot)
        .finish()
}

fn user(world: &Workspace, id: Uuid) -> Result<String, ApiError> {
    world.known_user_text(id).ok_or_else(|| ApiError::no_user(id, world.bot_id()))
}

fn seen_database(world: &Workspace, id: Uuid) -> Result<&Database, ApiError> {
    if world.row_by_id(id).is_some_and(|row| row.kind == Kind::Page && !row.is_database && world.sees_row(row)) {
        return Err(ApiError::page_not_database(id));
    }
    let found = world.databases.get(&id).filter(|database| database.shared);
    found.ok_or_else(|| not_found(world, "database", id))
}

fn seen_source(world: &Workspace, id: Uuid) -> Result<&DataSource, ApiError> {
    let found = world.sources.get(&id).filter(|source| world.sees_source(source));
    found.ok_or_else(|| not_found(world, "data_source", id))
}

/// The table that an old version takes the database for.
fn only_source<'a>(world: &'a Workspace, database: &Database) -> Result<&'a DataSource, ApiError> {
    match world.live_sources(database.id).as_slice() {
        [] => Err(not_found(world, "database", database.id)),
        [source] => Ok(source),
        several => {
            let children: Vec<Uuid> = several.iter().map(|source| source.id).collect();
            Err(multiple_data_sources(database.id, &children))
        }
    }
}

fn database(world: &Workspace, id: &str, version: ApiVersion) -> Result<String, ApiError> {
    let database = seen_database(world, path_id("database_id", id)?)?;
    let painter = painter(world, version, 0, None);
    if version == ApiVersion::Tables {
        return Ok(painter.database_as_table(database, only_source(world, database)?));
    }
    Ok(painter.database(database))
}

fn run_query(world: &mut Workspace, id: Uuid, request: &Incoming, version: ApiVersion) -> Result<Truth, ApiError> {
    let body = if request.body.iter().all(u8::is_ascii_whitespace) { b"{}".as_slice() } else { &request.body };
    let json: Json = serde_json::from_slice(body).map_err(|_| ApiError::invalid_json())?;
    let selection = selection(&request.query)?;
    let source = seen_source(world, id)?;
    let container_trashed = world.databases.get(&source.database).is_some_and(|database| database.trashed);
    if source.trashed || container_trashed {
        return Err(not_found(world, "data_source", id));
    }
    if let Some(strange) = selection.iter().flatten().find(|name| source.schema.key_of(name).is_none()) {
        return Err(ApiError::validation(format!("Could not find property with name or id: {strange}")));
    }
    let served = query::query(world, id, &json, selection.as_deref(), version)?;
    Ok(Truth { text: served.text, served: Some((id, served.page)) })
}
