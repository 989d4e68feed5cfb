//! The control interface: what Notion's API can't do, over HTTP, as JSON and without a token.
//!
//! | Method and path | Body (all keys optional unless said) | Does |
//! |---|---|---|
//! | `GET /control/databases` | | lists databases, their data sources and numbers of rows |
//! | `POST /control/databases` | `name` (needed), `id`, `data_source` (a name: adds one) | adds a database |
//! | `POST /control/databases/{id}/data_sources` | `name` (needed) | adds a data source |
//! | `GET /control/databases/{id}/expected` | query: `signed_urls=left_out` | what a complete reader must hold |
//! | `POST /control/databases/{id}/rename` | `name` (needed) | renames |
//! | `POST /control/databases/{id}/{share,unshare,trash,restore}` | | the whole database |
//! | `POST /control/databases/{id}/{hide,list}_data_sources` | | whether `GET` of the database lists its data sources |
//! | `GET /control/data_sources/{id}/rows` | | lists rows in the order of adding, in whatever state |
//! | `POST /control/data_sources/{id}/rows` | a row (below), `count` | adds one row, or `count` alike (titles numbered) |
//! | `POST /control/data_sources/{id}/rename` | `name` (needed) | renames |
//! | `POST /control/data_sources/{id}/{share,unshare,trash,restore,remove}` | | `remove`: for good, with its rows |
//! | `POST /control/data_sources/{id}/move` | `database_id` (needed) | moves it with its rows to another database |
//! | `POST /control/data_sources/{id}/wiki_item` | `data_source_id` (needed) | makes another data source an item of this one |
//! | `POST /control/data_sources/{id}/rename_property` | `name`, `new_name` (both needed) | no row's time moves |
//! | `POST /control/data_sources/{id}/rename_option` | `property`, `name`, `new_name` (all needed) | likewise |
//! | `GET /control/rows/{id}` | | a row's state, hidden milliseconds included |
//! | `PATCH /control/rows/{id}` | a row (below), `unnoticed` | edits; `unnoticed` leaves `last_edited_time` |
//! | `DELETE /control/rows/{id}` | | deletes for good |
//! | `POST /control/rows/{id}/{archive,unarchive,trash,restore,lock,unlock,share,unshare,partial,whole,publish}` | | as named; `partial`: only `{object,id}` is shown; `publish`: queries see it now |
//! | `POST /control/rows/{id}/move` | `data_source_id`, `page_id` or `agent_id` | moves |
//! | `POST /control/rows/{id}/turn_into_database` | | `GET` of the page answers 400 from now on |
//! | `POST /control/rows/{id}/parent` | `shown` (needed): `as_it_is`, `null`, `without_id`, `missing` | what a page says of its parent |
//! | `GET /control/settings`, `PATCH /control/settings` | keys of [`Settings`] | shows or changes switches |
//! | `POST /control/token` | `token` (needed) | accepts this token only |
//! | `GET /control/clock`, `POST /control/clock` | one of `now` (time: stops it), `advance_ms`, `run_ahead_ms` | the clock |
//! | `POST /control/publish` | | queries see all rows as they are |
//! | `GET`, `POST`, `DELETE /control/answers` | a [`ScriptedAnswer`] | scripted answers: list, add, forget |
//! | `POST /control/hooks`, `DELETE /control/hooks` | `after_page` (with `data_source_id`) or `after_requests`; `steps` (needed) | changes while a reader works: each step is `{"method","path","body"}` of this table |
//! | `GET /control/requests`, `DELETE /control/requests` | | the log of requests under `/v1` |
//!
//! A row: `id` (new rows), `title`, `properties` (Notion's form: `{"Status":{"status":{"name":"Done"}}}`; any name and
//! type; numbers keep their text), `raw_properties` (a string: the text of the whole `properties` object, served byte
//! for byte), `emoji`, `created_time`, `last_edited_time`, `archived`, `trashed`.
//!
//! A failure answers 400 (404 for an unknown path) with `{"error":"…"}`.

mod rows;
mod steps;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::answers::ScriptedAnswer;
use super::api::Incoming;
use super::error::ApiError;
use super::settings::Settings;
use super::world::{SignedUrls, Workspace, WorkspaceError};

/// The reason that a control request failed.
#[derive(Debug)]
pub(super) struct ControlError {
    status: u16,
    message: String,
}

impl ControlError {
    fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }
}

impl From<WorkspaceError> for ControlError {
    fn from(error: WorkspaceError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<ApiError> for ControlError {
    fn from(error: ApiError) -> Self {
        Self::bad(error.message)
    }
}

type Answer = Result<Json, ControlError>;

/// Answers a request under `/control`: status and JSON.
pub(super) fn answer(world: &mut Workspace, request: &Incoming) -> (u16, String) {
    let body = String::from_utf8_lossy(&request.body);
    match perform(world, &request.method, &request.path, &request.query, &body) {
        Ok(json) => (200, json.to_string()),
        Err(error) => (error.status, json!({ "error": error.message }).to_string()),
    }
}

/// Does what a control request says.
pub(super) fn perform(world: &mut Workspace, method: &str, path: &str, query: &str, body: &str) -> Answer {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["databases", rest @ ..] => databases(world, method, rest, query, body),
        ["data_sources", id, rest @ ..] => data_source(world, method, id, rest, body),
        ["rows", id, rest @ ..] => rows::row(world, method, id, rest, body),
        ["hooks"] => steps::hooks(world, method, body),
        [single] => whole_workspace(world, method, single, body),
        _ => Err(unknown(method, path)),
    }
}

fn unknown(method: &str, path: &str) -> ControlError {
    ControlError { status: 404, message: format!("the control interface has no {method} {path}") }
}

/// Reads a body; an empty one counts as `{}`.
fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, ControlError> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(|error| ControlError::bad(format!("the body could not be read: {error}")))
}

fn done() -> Answer {
    Ok(json!({ "done": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDatabase {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    data_source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

fn databases(world: &mut Workspace, method: &str, rest: &[&str], query: &str, body: &str) -> Answer {
    match (method, rest) {
        ("GET", []) => {
            let databases = world.database_ids().into_iter().map(|id| {
                let sources = world.data_source_ids(&id).unwrap_or_default().into_iter().map(|source| {
                    let rows = world.row_ids(&source).map_or(0, |rows| rows.len());
                    json!({ "id": source, "name": world.data_source_name(&source), "rows": rows })
                });
                json!({ "id": id, "name": world.database_name(&id), "data_sources": sources.collect::<Vec<Json>>() })
            });
            Ok(Json::Array(databases.collect()))
        }
        ("POST", []) => {
            let wanted: NewDatabase = read(body)?;
            let database_id = match &wanted.id {
                Some(id) => world.add_database_with_id(id, &wanted.name)?,
                None => world.add_database(&wanted.name),
            };
            let source = wanted.data_source.map(|name| world.add_data_source(&database_id, &name)).transpose()?;
            Ok(json!({ "database_id": database_id, "data_source_id": source }))
        }
        ("POST", [id, "data_sources"]) => {
            let wanted: Named = read(body)?;
            Ok(json!({ "data_source_id": world.add_data_source(id, &wanted.name)? }))
        }
        ("GET", [id, "expected"]) => {
            let left_out = query.split('&').any(|pair| pair == "signed_urls=left_out");
            let signed_urls = if left_out { SignedUrls::LeftOut } else { SignedUrls::AsServed };
            Ok(json!(world.expected(id, signed_urls)?))
        }
        ("POST", [id, "rename"]) => {
            world.rename_database(id, &read::<Named>(body)?.name).map_err(Into::into).and_then(|()| done())
        }
        ("POST", [id, action]) => {
            match *action {
                "share" => world.share_database(id, true)?,
                "unshare" => world.share_database(id, false)?,
                "trash" => world.trash_database(id, true)?,
                "restore" => world.trash_database(id, false)?,
                "hide_data_sources" => world.list_data_sources(id, false)?,
                "list_data_sources" => world.list_data_sources(id, true)?,
                _ => return Err(unknown(method, action)),
            }
            done()
        }
        _ => Err(unknown(method, "databases/…")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renaming {
    #[serde(default)]
    property: Option<String>,
    name: String,
    new_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewHome {
    database_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WikiItem {
    data_source_id: String,
}

fn data_source(world: &mut Workspace, method: &str, id: &str, rest: &[&str], body: &str) -> Answer {
    match (method, rest) {
        ("GET", ["rows"]) => rows::list(world, id),
        ("POST", ["rows"]) => rows::add(world, id, body),
        ("POST", [action]) => {
            match *action {
                "rename" => world.rename_data_source(id, &read::<Named>(body)?.name)?,
                "share" => world.share_data_source(id, true)?,
                "unshare" => world.share_data_source(id, false)?,
                "trash" => world.trash_data_source(id, true)?,
                "restore" => world.trash_data_source(id, false)?,
                "remove" => world.remove_data_source(id)?,
                "move" => world.move_data_source(id, &read::<NewHome>(body)?.database_id)?,
                "wiki_item" => world.add_wiki_data_source(id, &read::<WikiItem>(body)?.data_source_id)?,
                "rename_property" => {
                    let wanted: Renaming = read(body)?;
                    world.rename_property(id, &wanted.name, &wanted.new_name)?;
                }
                "rename_option" => {
                    let wanted: Renaming = read(body)?;
                    let property = wanted.property.ok_or_else(|| ControlError::bad("`property` is missing"))?;
                    world.rename_option(id, &property, &wanted.name, &wanted.new_name)?;
                }
                _ => return Err(unknown(method, action)),
            }
            done()
        }
        _ => Err(unknown(method, "data_sources/…")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    now: Option<Timestamp>,
    #[serde(default)]
    advance_ms: Option<i64>,
    #[serde(default)]
    run_ahead_ms: Option<i64>,
}

fn whole_workspace(world: &mut Workspace, method: &str, what: &str, body: &str) -> Answer {
    match (method, what) {
        ("GET", "settings") => Ok(json!(world.settings())),
        ("PATCH", "settings") => change_settings(world, body),
        ("POST", "token") => {
            world.rotate_token(&read::<NewToken>(body)?.token);
            done()
        }
        ("GET", "clock") => Ok(json!({ "now": world.now().to_string() })),
        ("POST", "clock") => {
            match read(body)? {
                ClockChange { now: Some(now), advance_ms: None, run_ahead_ms: None } => world.set_now(now),
                ClockChange { now: None, advance_ms: Some(by_ms), run_ahead_ms: None } => world.advance(by_ms),
                ClockChange { now: None, advance_ms: None, run_ahead_ms: Some(by_ms) } => world.run_clock(by_ms),
                _ => return Err(ControlError::bad("give one of `now`, `advance_ms`, `run_ahead_ms`")),
            }
            Ok(json!({ "now": world.now().to_string() }))
        }
        ("POST", "publish") => {
            world.publish_all();
            done()
        }
        ("GET", "answers") => Ok(json!(world.waiting_answers())),
        ("POST", "answers") => {
            world.script_answer(read::<ScriptedAnswer>(body)?);
            done()
        }
        ("DELETE", "answers") => {
            world.clear_answers();
            done()
        }
        ("GET", "requests") => Ok(json!(world.requests())),
        ("DELETE", "requests") => {
            world.clear_requests();
            done()
        }
        _ => Err(unknown(method, what)),
    }
}

/// Changes the switches that the body names. Tokens stay unless they are named.
fn change_settings(world: &mut Workspace, body: &str) -> Answer {
    let changes: serde_json::Map<String, Json> = read(body)?;
    let names_tokens = changes.contains_key("tokens");
    let mut merged = json!(world.settings());
    if let Json::Object(merged) = &mut merged {
        merged.extend(changes);
    }
    let mut settings: Settings =
        serde_json::from_value(merged).map_err(|error| ControlError::bad(format!("no such settings: {error}")))?;
    if !names_tokens {
        settings.tokens.clone_from(&world.settings().tokens);
    }
    *world.settings_mut() = settings;
    Ok(json!(world.settings()))
}
