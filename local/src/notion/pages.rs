//! `GET` and `PATCH /v1/pages/{id}`, its property items, and what query strings say.

use uuid::Uuid;

use super::api::{not_found, painter};
use super::error::ApiError;
use super::items::{self, ItemPage};
use super::json::percent_decoded;
use super::patch;
use super::render::ApiVersion;
use super::schema::Schema;
use super::world::Workspace;
use super::world::row::{Row, RowState};

/// The row under this id, unless it can't be seen or is no page.
fn seen_row(world: &Workspace, id: Uuid) -> Result<&Row, ApiError> {
    if world.databases.get(&id).is_some_and(|database| database.shared) {
        return Err(ApiError::database_not_page(id));
    }
    let row = world.row_by_id(id).filter(|row| world.sees_row(row)).ok_or_else(|| not_found(world, "page", id))?;
    if row.is_database { Err(ApiError::database_not_page(id)) } else { Ok(row) }
}

pub(super) fn page(
    world: &mut Workspace,
    id: Uuid,
    selection: Option<&[String]>,
    version: ApiVersion,
) -> Result<String, ApiError> {
    let signature = world.ids.next_number();
    let row = seen_row(world, id)?;
    let state = row.current().clone();
    let text = painter(world, version, signature, selection).row(row, &state);
    if selection.is_none()
        && version == ApiVersion::Latest
        && state.has_signed_url()
        && let Some(row) = world.row_mut_by_id(id)
    {
        row.remember_served(state, &text);
    }
    Ok(text)
}

pub(super) fn patch_page(
    world: &mut Workspace,
    id: Uuid,
    body: &[u8],
    version: ApiVersion,
) -> Result<String, ApiError> {
    let body = std::str::from_utf8(body).map_err(|_| ApiError::invalid_json())?;
    let body = if body.trim().is_empty() { "{}" } else { body };
    let row = seen_row(world, id)?;
    let mut state = RowState::clone(row.current());
    let outside = Schema::new();
    let schema = world.schema_of(&state).unwrap_or(&outside);
    let changes = patch::changes(world, body, Some(schema), version)?;
    if state.trashed && changes.trashed != Some(false) {
        return Err(ApiError::validation(
            "Can't edit block that is archived. You must unarchive the block before editing.",
        ));
    }
    let is_edit = !changes.values.is_empty() || changes.icon.is_some() || changes.cover.is_some();
    if is_edit || world.settings().housekeeping_moves_edited_time {
        state.edited_ms = world.now_ms();
        state.edited_by = world.bot_id();
    }
    world.apply(&mut state, changes);
    world.replace(&id.to_string(), state).map_err(|_| not_found(world, "page", id))?;
    page(world, id, None, version)
}

pub(super) fn item(
    world: &mut Workspace,
    id: Uuid,
    property: &str,
    query: &str,
    version: ApiVersion,
) -> Result<String, ApiError> {
    let mut wanted = ItemPage::default();
    for (key, value) in pairs(query) {
        match key.as_str() {
            "page_size" => wanted.page_size = Some(value),
            "start_cursor" => wanted.start_cursor = Some(value),
            _ => {}
        }
    }
    let signature = world.ids.next_number();
    let row = seen_row(world, id)?;
    items::property_item(&painter(world, version, signature, None), row, &percent_decoded(property, false), &wanted)
}

/// `filter_properties[]` (or `filter_properties`), decoded; `None` when there is none. Ids may come with their
/// percent-encoding encoded once more.
pub(super) fn selection(query: &str) -> Result<Option<Vec<String>>, ApiError> {
    const MOST: usize = 100;
    let wanted: Vec<String> = pairs(query)
        .filter(|(key, _)| key == "filter_properties[]" || key == "filter_properties")
        .map(|(_, value)| percent_decoded(&value, false))
        .collect();
    if wanted.len() > MOST {
        return Err(ApiError::validation(format!(
            "query failed validation: query.filter_properties.length should be ≤ `{MOST}`, instead was `{}`.",
            wanted.len()
        )));
    }
    Ok(Some(wanted).filter(|wanted| !wanted.is_empty()))
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(key, true), percent_decoded(value, true))
    })
}
