//! `POST /v1/data_sources/{id}/query`: both partitions, sorts and filters, pages, cursors, the cap.

mod body;
mod conditions;
mod filter;
mod property;
mod result;
mod sort;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::error::ApiError;
use super::json::{ObjectText, list, quoted};
use super::render::{ApiVersion, Painter};
use super::settings::GoneRowCursor;
use super::world::row::RowState;
use super::world::{SignedUrls, Workspace};
use body::QueryBody;
use result::{Found, ResultList};

/// Results that are kept, so that a walk over a large table sorts it once. The oldest goes first.
const KEPT_RESULTS: usize = 16;
/// Cursors that are remembered; the oldest go first.
const KEPT_CURSORS: usize = 100_000;

/// The state that is kept between the pages of walks.
#[derive(Debug, Default)]
pub(super) struct Walks {
    results: VecDeque<Arc<ResultList>>,
    cursors: HashMap<String, Cursor>,
    cursor_order: VecDeque<String>,
}

/// A cursor that was handed out.
#[derive(Debug, Clone)]
struct Cursor {
    walk: Uuid,
    data_source: Uuid,
    fingerprint: String,
    page_size: usize,
    /// Number of the page that handed it out; the first page is 1.
    after_page: u32,
    issued_ms: i64,
    /// The row it names, which is the first one of the next page.
    row: Found,
    position: usize,
}

impl Walks {
    fn remember(&mut self, text: &str, cursor: Cursor) {
        if self.cursors.insert(text.to_owned(), cursor).is_none() {
            self.cursor_order.push_back(text.to_owned());
        }
        if self.cursor_order.len() > KEPT_CURSORS
            && let Some(oldest) = self.cursor_order.pop_front()
        {
            self.cursors.remove(&oldest);
        }
    }
}

/// A page of results, and where it stands in its walk.
#[derive(Debug)]
pub(super) struct ServedPage {
    /// The body without its request id.
    pub(super) text: String,
    /// Number of the page in its walk; the first page is 1.
    pub(super) page: u32,
}

/// Answers a query. `selection` holds the decoded `filter_properties[]`.
pub(super) fn query(
    world: &mut Workspace,
    data_source: Uuid,
    json: &serde_json::Value,
    selection: Option<&[String]>,
    version: ApiVersion,
) -> Result<ServedPage, ApiError> {
    let now_ms = world.now_ms();
    let query = body::parse(world, data_source, json, version)?;
    let cursor =
        query.start_cursor.as_deref().map(|text| known_cursor(world, text, data_source, &query)).transpose()?;
    let found = result::find(world, data_source, &query, now_ms);
    let start = match &cursor {
        None => 0,
        Some(cursor) => start_position(world, cursor, &found, &query)?,
    };
    let capped = found.rows.len().min(world.settings().result_cap);
    let page_rows = query.page_size.min(world.settings().page_rows_at_most.unwrap_or(query.page_size)).max(1);
    let page = cursor.as_ref().map_or(1, |cursor| cursor.after_page + 1);
    let is_empty = start < capped && world.settings().empty_page == Some(page);
    let end = if is_empty { start } else { start.saturating_add(page_rows).min(capped).max(start) };
    let has_more = end < capped;
    let next_cursor = has_more.then(|| {
        // An empty page and the one before it stop at the same row, but no two pages hand out one cursor.
        let walk = cursor.as_ref().filter(|_| !is_empty).map_or_else(|| world.ids.next_id(), |cursor| cursor.walk);
        let (row, fingerprint) = (found.rows[end].clone(), query.fingerprint.clone());
        let text = format!("s:{walk}:{}", row.id);
        let page_size = query.page_size;
        let next = Cursor {
            walk,
            data_source,
            fingerprint,
            page_size,
            after_page: page,
            issued_ms: now_ms,
            row,
            position: end,
        };
        world.walks.remember(&text, next);
        text
    });
    let next_cursor =
        next_cursor.or_else(|| query.start_cursor.clone().filter(|_| world.settings().cursor_beside_the_end));
    let results = paint(world, &found.rows[start.min(end)..end], selection, version, now_ms);
    let type_name = if version == ApiVersion::Tables { "page_or_database" } else { "page_or_data_source" };
    let bytes: usize = results.iter().map(String::len).sum();
    let mut object = ObjectText::with_capacity(bytes + results.len() + 512)
        .text("object", "list")
        .raw("results", &list(&results))
        .text_or_null("next_cursor", next_cursor.as_deref())
        .flag("has_more", has_more)
        .text("type", type_name)
        .raw(type_name, "{}");
    let cap = world.settings().result_cap;
    if found.rows.len() > cap || (found.rows.len() == cap && world.settings().incomplete_at_exactly_the_cap) {
        object =
            object.raw("request_status", r#"{"type":"incomplete","incomplete_reason":"query_result_limit_reached"}"#);
    }
    Ok(ServedPage { text: object.finish(), page })
}

/// The cursor this text stands for, unless it is refused.
fn known_cursor(world: &mut Workspace, text: &str, data_source: Uuid, query: &QueryBody) -> Result<Cursor, ApiError> {
    let refused = || ApiError::cursor_rejected(text);
    let settings = world.settings();
    let cursor = world.walks.cursors.get(text).cloned().ok_or_else(refused)?;
    let age_ms = world.now_ms().saturating_sub(cursor.issued_ms);
    let expired = settings
        .cursor_lifetime_seconds
        .is_some_and(|seconds| age_ms > i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX));
    let too_far = settings.reject_cursors_after_page.is_some_and(|page| cursor.after_page >= page);
    let same_size = cursor.page_size == query.page_size || !settings.cursor_bound_to_page_size;
    let same_query = cursor.data_source == data_source && cursor.fingerprint == query.fingerprint;
    if settings.reject_next_cursors > 0 {
        world.count_rejected_cursor();
        return Err(refused());
    }
    if expired || too_far || !same_size || !same_query { Err(refused()) } else { Ok(cursor) }
}

/// Returns the position of the cursor's row in the result as it is now.
fn start_position(
    world: &Workspace,
    cursor: &Cursor,
    found: &ResultList,
    query: &QueryBody,
) -> Result<usize, ApiError> {
    let is_there = |row: &Found| row.id == cursor.row.id;
    if found.rows.get(cursor.position).is_some_and(is_there) {
        return Ok(cursor.position);
    }
    if let Some(position) = found.rows.iter().position(is_there) {
        return Ok(position);
    }
    match world.settings().cursor_of_a_gone_row {
        GoneRowCursor::Rejected => Err(ApiError::cursor_rejected(query.start_cursor.as_deref().unwrap_or_default())),
        GoneRowCursor::GoesOn => Ok(found
            .rows
            .iter()
            .position(|row| sort::compare(&query.sorts, row, &cursor.row).is_ge())
            .unwrap_or(found.rows.len())),
    }
}

/// The rows' texts; those whose bytes differ on each read are kept as last served, if served in full.
fn paint(
    world: &mut Workspace,
    rows: &[Found],
    selection: Option<&[String]>,
    version: ApiVersion,
    now_ms: i64,
) -> Vec<String> {
    let signature = world.ids.next_number();
    let mut texts = Vec::with_capacity(rows.len());
    let mut kept: Vec<(u64, Arc<RowState>, usize)> = Vec::new();
    let painter = Painter { world, version, now_ms, signed_urls: SignedUrls::AsServed, signature, selection };
    for found in rows {
        let Some(row) = painter.world.rows.get(&found.number) else { continue };
        let Some(state) = row.indexed(now_ms) else { continue };
        if selection.is_none() && version == ApiVersion::Latest && state.has_signed_url() {
            kept.push((found.number, Arc::clone(state), texts.len()));
        }
        texts.push(painter.row(row, state));
    }
    for (number, state, at) in kept {
        if let Some(row) = world.rows.get_mut(&number) {
            row.remember_served(state, &texts[at]);
        }
    }
    texts
}

/// JSON of a value, as validation messages show it.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}
