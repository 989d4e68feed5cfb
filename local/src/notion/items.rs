//! `GET /v1/pages/{id}/properties/{property_id}`: one property in full, paged where it can be long.

use uuid::Uuid;

use super::computed::{Computed, RollupItems};
use super::error::ApiError;
use super::ids::{number_of, short_text};
use super::json::{ObjectText, list, percent_encoded};
use super::raw;
use super::render::{Painter, empty_value, person_text, relation_text, span_text};
use super::schema::Schema;
use super::settings::ItemLists;
use super::value::Value;
use super::world::row::{Properties, Row, RowState};

const MAX_PAGE_SIZE: usize = 100;
/// The value of an item that belongs to a property nobody asked for.
const OTHER_ITEM: &str = r#"{"type":"text","text":{"content":"other","link":null},"annotations":{"bold":false,"italic":false,"strikethrough":false,"underline":false,"code":false,"color":"default"},"plain_text":"other","href":null}"#;

/// The parsed query string.
#[derive(Debug, Default)]
pub(super) struct ItemPage {
    pub(super) page_size: Option<String>,
    pub(super) start_cursor: Option<String>,
}

/// One property, found in a row: its id as sent (not percent-encoded) and what it holds.
struct Held {
    type_name: String,
    encoded_id: String,
    items: Items,
}

enum Items {
    /// JSON of the value.
    Single(String),
    /// Type and JSON of each item, and what a rollup came to.
    Many { items: Vec<(String, String)>, rollup: Option<RollupTexts> },
}

/// What stands under `rollup`: before the last page, and on it.
struct RollupTexts {
    so_far: String,
    last: String,
}

/// The answer without its request id.
pub(super) fn property_item(painter: &Painter<'_>, row: &Row, id: &str, page: &ItemPage) -> Result<String, ApiError> {
    let size = page_size(page)?;
    let missing = || ApiError::new(404, "object_not_found", format!("Could not find property with ID: {id}."));
    let held = held(painter, row.current(), id).ok_or_else(missing)?;
    let (items, rollup) = match &held.items {
        Items::Single(json) => {
            return Ok(ObjectText::new()
                .text("object", "property_item")
                .text("id", &held.encoded_id)
                .text("type", &held.type_name)
                .raw(&held.type_name, json)
                .finish());
        }
        Items::Many { items, rollup } => (items, rollup),
    };
    let cursor_at = |offset: usize| short_text(number_of(&format!("item {} {id} {offset}", row.id)));
    let start = match &page.start_cursor {
        None => 0,
        Some(cursor) => (1..items.len())
            .find(|offset| cursor_at(*offset) == *cursor)
            .ok_or_else(|| ApiError::cursor_rejected(cursor))?,
    };
    let lists = painter.world.settings().item_lists;
    let end = if lists == ItemLists::Empty { items.len() } else { start.saturating_add(size).min(items.len()) };
    let next_cursor = (end < items.len()).then(|| cursor_at(end));
    let results = items[start..end].iter().filter(|_| lists != ItemLists::Empty).map(|(type_name, json)| {
        let (type_name, id, json) = match lists {
            ItemLists::OfAnotherProperty => ("rich_text", "%3FzZ%3D", OTHER_ITEM),
            _ => (type_name.as_str(), held.encoded_id.as_str(), json.as_str()),
        };
        ObjectText::new()
            .text("object", "property_item")
            .text("type", type_name)
            .text("id", id)
            .raw(type_name, json)
            .finish()
    });
    let under_type = match rollup {
        Some(rollup) if next_cursor.is_some() => &rollup.so_far,
        Some(rollup) => &rollup.last,
        None => "{}",
    };
    let property_item = ObjectText::new()
        .text("id", &held.encoded_id)
        .text_or_null("next_url", next_cursor.as_ref().map(|cursor| next_url(row.id, &held, cursor, size)).as_deref())
        .text("type", &held.type_name)
        .raw(&held.type_name, under_type)
        .finish();
    Ok(ObjectText::new()
        .text("object", "list")
        .raw("results", &list(results))
        .text_or_null("next_cursor", next_cursor.as_deref())
        .flag("has_more", next_cursor.is_some())
        .text("type", "property_item")
        .raw("property_item", &property_item)
        .finish())
}

/// Notion's own form: `http://`, whatever the request came by.
fn next_url(row: Uuid, held: &Held, cursor: &str, size: usize) -> String {
    format!(
        "http://api.notion.com/v1/pages/{row}/properties/{}?start_cursor={cursor}&page_size={size}",
        held.encoded_id
    )
}

fn page_size(page: &ItemPage) -> Result<usize, ApiError> {
    let Some(text) = &page.page_size else { return Ok(MAX_PAGE_SIZE) };
    let refused = |expected: &str| {
        ApiError::validation(format!(
            "query failed validation: query.page_size should be {expected} or `undefined`, instead was `{text}`."
        ))
    };
    match text.parse::<usize>() {
        Ok(0) => Err(refused("≥ `1`")),
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        Ok(_) => Err(refused("≤ `100`")),
        Err(_) => Err(refused("a number")),
    }
}

fn held(painter: &Painter<'_>, state: &RowState, id: &str) -> Option<Held> {
    let outside = Schema::new();
    let schema = painter.world.schema_of(state).unwrap_or(&outside);
    let key = schema.key_of_id(id);
    let values = match &state.properties {
        Properties::Values(values) => values,
        Properties::Raw(_) => {
            let json = painter.property_json(schema, key?, state)?;
            return Some(planted(&json, id));
        }
    };
    let key = key?;
    let property = schema.get(key)?;
    let value = values.iter().find(|(held, _)| *held == key).map(|(_, value)| value);
    if let Some(computed) = &property.computed {
        let items = match computed {
            Computed::Rollup(rollup) => {
                let RollupItems { items, last, so_far } = painter.rollup_items(state, rollup);
                Items::Many { items, rollup: Some(RollupTexts { so_far, last }) }
            }
            formula => Items::Single(painter.computed(schema, state, formula, usize::MAX)),
        };
        return Some(Held { type_name: property.type_name.clone(), encoded_id: property.encoded_id(), items });
    }
    let type_name = value.map_or_else(|| property.type_name.clone(), Value::type_name);
    let many = |items: Vec<String>| Items::Many {
        items: items.into_iter().map(|json| (type_name.clone(), json)).collect(),
        rollup: None,
    };
    let items = match value {
        Some(Value::Title(spans) | Value::RichText(spans)) => many(spans.iter().map(span_text).collect()),
        Some(Value::People(people)) => many(people.iter().map(person_text).collect()),
        Some(Value::Relation(ids)) => many(ids.iter().map(|id| relation_text(id)).collect()),
        Some(value @ (Value::Raw(_) | Value::Json { .. })) => {
            let json = match value {
                Value::Raw(text) => text.clone(),
                _ => painter.property_json(schema, key, state)?,
            };
            return Some(planted(&json, id));
        }
        None if ["title", "rich_text", "people", "relation"].contains(&type_name.as_str()) => many(Vec::new()),
        None => Items::Single(empty_value(&type_name)),
        Some(value) => Items::Single(painter.plain_value(state, property, value)),
    };
    Some(Held { type_name: type_name.clone(), encoded_id: property.encoded_id(), items })
}

/// A property from its own text: arrays of the paged types item by item, all else in one piece.
fn planted(json: &str, id: &str) -> Held {
    let type_name = raw::entry_text(json, "type").unwrap_or_else(|| "rich_text".to_owned());
    let encoded_id = raw::entry_text(json, "id").unwrap_or_else(|| percent_encoded(id));
    let inner = raw::entry_json(json, &type_name).unwrap_or_else(|| "null".to_owned());
    let paged = ["title", "rich_text", "people", "relation"].contains(&type_name.as_str());
    let items = if type_name == "rollup" {
        let items = raw::entry_json(&inner, "array").and_then(|array| raw::items(&array)).unwrap_or_default();
        let items = items.iter().filter_map(|item| {
            let type_name = raw::entry_text(item, "type")?;
            let json = raw::entry_json(item, &type_name)?;
            Some((type_name, json))
        });
        Items::Many { items: items.collect(), rollup: Some(rollup_texts(&inner)) }
    } else if let Some(items) = raw::items(&inner).filter(|_| paged) {
        Items::Many { items: items.into_iter().map(|json| (type_name.clone(), json)).collect(), rollup: None }
    } else {
        Items::Single(inner)
    };
    Held { type_name, encoded_id, items }
}

/// While pages are left, a calculated value is not known yet; a list is empty here, since its items are the results.
fn rollup_texts(rollup: &str) -> RollupTexts {
    let function = raw::entry_json(rollup, "function").unwrap_or_else(|| "\"show_original\"".to_owned());
    let object = |kind: &str, json: &str| {
        ObjectText::new().raw("function", &function).text("type", kind).raw(kind, json).finish()
    };
    let type_name = raw::entry_text(rollup, "type").unwrap_or_else(|| "array".to_owned());
    let json = raw::entry_json(rollup, &type_name).filter(|_| type_name != "array").unwrap_or_else(|| "[]".to_owned());
    RollupTexts { so_far: object("incomplete", "{}"), last: object(&type_name, &json) }
}
