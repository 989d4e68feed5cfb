//! Rows over the control interface.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::super::clock::full_text;
use super::super::patch;
use super::super::world::{Destination, NewRow, ParentShown, RowEdit, Workspace};
use super::{Answer, ControlError, done, read, unknown};

/// Most rows that one request adds.
const MAX_ALIKE_ROWS: u32 = 100_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RowBody {
    id: Option<String>,
    title: Option<String>,
    properties: Option<Box<RawValue>>,
    raw_properties: Option<String>,
    emoji: Option<String>,
    created_time: Option<Timestamp>,
    last_edited_time: Option<Timestamp>,
    archived: bool,
    trashed: bool,
    unnoticed: bool,
    count: Option<u32>,
}

/// The rows of a data source, shortly.
pub(super) fn list(world: &Workspace, data_source_id: &str) -> Answer {
    let ids = world.row_ids(data_source_id)?;
    Ok(Json::Array(ids.iter().filter_map(|id| described(world, id).ok()).collect()))
}

fn described(world: &Workspace, row_id: &str) -> Answer {
    let row = world.row(row_id)?;
    let state = row.current();
    Ok(json!({
        "id": row_id,
        "title": world.title_of(state),
        "created_time": full_text(state.created_ms),
        "last_edited_time": full_text(state.edited_ms),
        "is_archived": state.archived,
        "in_trash": state.trashed,
        "shared": row.shared,
        "partial": row.partial,
        "data_source_id": state.parent.data_source().map(|id| id.to_string()),
    }))
}

/// Adds rows.
pub(super) fn add(world: &mut Workspace, data_source_id: &str, body: &str) -> Answer {
    let wanted: RowBody = read(body)?;
    if wanted.unnoticed {
        return Err(ControlError::bad("`unnoticed` is for edits"));
    }
    let count = wanted.count.unwrap_or(1);
    if count > MAX_ALIKE_ROWS || (count > 1 && wanted.id.is_some()) {
        return Err(ControlError::bad(format!("`count` is at most {MAX_ALIKE_ROWS}, and 1 with `id`")));
    }
    let values = wanted.properties.as_ref().map(|json| patch::values(world, json.get(), None)).transpose()?;
    let mut ids = Vec::new();
    for number in 1..=count {
        let mut row = NewRow::default();
        if let Some(title) = &wanted.title {
            row = row.title(&if count == 1 { title.clone() } else { format!("{title} {number}") });
        }
        for (name, value) in values.iter().flatten() {
            row = row.set(name, value.clone());
        }
        row = wanted.raw_properties.iter().fold(row, |row, text| row.raw_properties(text));
        row = wanted.emoji.iter().fold(row, |row, emoji| row.emoji(emoji));
        row = wanted.id.iter().fold(row, |row, id| row.with_id(id));
        row = wanted.created_time.iter().fold(row, |row, time| row.created(*time));
        row = wanted.last_edited_time.iter().fold(row, |row, time| row.edited(*time));
        row = if wanted.archived { row.archived() } else { row };
        row = if wanted.trashed { row.trashed() } else { row };
        ids.push(world.add_row(data_source_id, row)?);
    }
    Ok(json!({ "ids": ids }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    data_source_id: Option<String>,
    #[serde(default)]
    page_id: Option<String>,
    #[serde(default)]
    agent_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parent {
    shown: ParentShown,
}

/// The change of one row.
pub(super) fn row(world: &mut Workspace, method: &str, id: &str, rest: &[&str], body: &str) -> Answer {
    match (method, rest) {
        ("GET", []) => return described(world, id),
        ("PATCH", []) => edit(world, id, body)?,
        ("DELETE", []) => world.delete_for_good(id)?,
        ("POST", ["archive"]) => world.archive(id)?,
        ("POST", ["unarchive"]) => world.unarchive(id)?,
        ("POST", ["trash"]) => world.trash(id)?,
        ("POST", ["restore"]) => world.restore(id)?,
        ("POST", ["lock"]) => world.lock(id, true)?,
        ("POST", ["unlock"]) => world.lock(id, false)?,
        ("POST", ["share"]) => world.share(id)?,
        ("POST", ["unshare"]) => world.unshare(id)?,
        ("POST", ["partial"]) => world.set_partial(id, true)?,
        ("POST", ["whole"]) => world.set_partial(id, false)?,
        ("POST", ["publish"]) => world.publish(id)?,
        ("POST", ["turn_into_database"]) => world.turn_into_database(id)?,
        ("POST", ["parent"]) => world.show_parent(id, read::<Parent>(body)?.shown)?,
        ("POST", ["move"]) => {
            let destination = match read(body)? {
                Move { data_source_id: Some(id), page_id: None, agent_id: None } => Destination::DataSource(id),
                Move { data_source_id: None, page_id: Some(id), agent_id: None } => Destination::Page(id),
                Move { data_source_id: None, page_id: None, agent_id: Some(id) } => Destination::Agent(id),
                _ => return Err(ControlError::bad("give one of `data_source_id`, `page_id`, `agent_id`")),
            };
            world.move_row(id, &destination)?;
        }
        _ => return Err(unknown(method, &format!("rows/{id}/{}", rest.join("/")))),
    }
    done()
}

fn edit(world: &mut Workspace, id: &str, body: &str) -> Result<(), ControlError> {
    let wanted: RowBody = read(body)?;
    if wanted.id.is_some() || wanted.count.is_some() || wanted.archived || wanted.trashed {
        return Err(ControlError::bad("`id`, `count`, `archived` and `trashed` are for new rows"));
    }
    let mut edit = wanted.title.iter().fold(RowEdit::new(), |edit, title| edit.title(title));
    if let Some(json) = &wanted.properties {
        for (name, value) in patch::values(world, json.get(), None)? {
            edit = edit.set(&name, value);
        }
    }
    edit = wanted.raw_properties.iter().fold(edit, |edit, text| edit.raw_properties(text));
    edit = wanted.emoji.iter().fold(edit, |edit, emoji| edit.emoji(emoji));
    edit = wanted.last_edited_time.iter().fold(edit, |edit, time| edit.edited(*time));
    world.edit_row(id, if wanted.unnoticed { edit.unnoticed() } else { edit })?;
    if let Some(created) = wanted.created_time {
        world.set_created(id, created)?;
    }
    Ok(())
}
