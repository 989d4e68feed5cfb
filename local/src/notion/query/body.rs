//! The body of a query: its keys, checked as Notion checks them.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::error::ApiError;
use super::super::render::ApiVersion;
use super::super::world::Workspace;
use super::filter::{self, Filter};
use super::shown;
use super::sort::{self, Sort};

const MAX_PAGE_SIZE: usize = 100;

/// A query, understood.
#[derive(Debug)]
pub(super) struct QueryBody {
    pub(super) filter: Option<Filter>,
    pub(super) sorts: Vec<Sort>,
    pub(super) start_cursor: Option<String>,
    pub(super) page_size: usize,
    pub(super) wanted: Wanted,
    pub(super) archived: bool,
    /// The part of a request that a cursor is bound to: everything but the cursor and the page size.
    pub(super) fingerprint: String,
}

/// `result_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Everything,
    Pages,
    DataSources,
}

/// Reads a query's body. Keys that Notion doesn't know, or no longer knows, are refused.
pub(super) fn parse(
    world: &Workspace,
    data_source: Uuid,
    json: &Value,
    version: ApiVersion,
) -> Result<QueryBody, ApiError> {
    let Value::Object(body) = json else { return Err(ApiError::body_should_be("body", "an object", &shown(json))) };
    for (key, value) in body {
        let known = match key.as_str() {
            "filter" | "sorts" | "start_cursor" | "page_size" => true,
            "result_type" => version > ApiVersion::Tables,
            "is_archived" => version > ApiVersion::Tables && world.settings().archived_partition,
            "archived" | "in_trash" => version < ApiVersion::Latest,
            _ => false,
        };
        if !known {
            return Err(ApiError::unknown_key(&format!("body.{key}"), &shown(value)));
        }
    }
    let schema = world.sources.get(&data_source).map(|source| &source.schema);
    let filter = body.get("filter").map(|json| filter::parse(json, schema, world.now_ms())).transpose()?;
    let sorts = body.get("sorts").map_or_else(|| Ok(vec![sort::WITHOUT_SORTS]), |json| sort::parse(json, schema))?;
    let mut bound = body.clone();
    bound.remove("start_cursor");
    bound.remove("page_size");
    Ok(QueryBody {
        filter,
        sorts,
        start_cursor: text(body, "start_cursor")?.map(str::to_owned),
        page_size: page_size(body)?,
        wanted: wanted(body)?,
        archived: flag(body, "is_archived")?,
        fingerprint: Value::Object(bound).to_string(),
    })
}

fn text<'a>(body: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, ApiError> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ApiError::body_should_be(&format!("body.{key}"), "a string or `undefined`", &shown(other))),
    }
}

fn flag(body: &Map<String, Value>, key: &str) -> Result<bool, ApiError> {
    match body.get(key) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(ApiError::body_should_be(&format!("body.{key}"), "a boolean or `undefined`", &shown(other))),
    }
}

fn page_size(body: &Map<String, Value>) -> Result<usize, ApiError> {
    let Some(json) = body.get("page_size") else { return Ok(MAX_PAGE_SIZE) };
    let should_be = |expected: &str| ApiError::body_should_be("body.page_size", expected, &shown(json));
    let number = json.as_f64().ok_or_else(|| should_be("a number or `undefined`"))?;
    if number > 100.0 {
        return Err(should_be("≤ `100` or `undefined`"));
    }
    if number < 1.0 {
        return Err(should_be("≥ `1` or `undefined`"));
    }
    let size = json.as_u64().ok_or_else(|| should_be("an integer or `undefined`"))?;
    Ok(usize::try_from(size).unwrap_or(MAX_PAGE_SIZE))
}

fn wanted(body: &Map<String, Value>) -> Result<Wanted, ApiError> {
    match body.get("result_type") {
        None => Ok(Wanted::Everything),
        Some(Value::String(text)) if text == "page" => Ok(Wanted::Pages),
        Some(Value::String(text)) if text == "data_source" => Ok(Wanted::DataSources),
        Some(other) => Err(ApiError::body_should_be(
            "body.result_type",
            "`\"page\"`, `\"data_source\"`, or `undefined`",
            &shown(other),
        )),
    }
}
