//! `PATCH /v1/pages/{id}`: its body, and property values in the form Notion takes them.

use serde_json::Value as Json;

use super::error::ApiError;
use super::json::RawEntries;
use super::raw;
use super::render::ApiVersion;
use super::schema::Schema;
use super::value::{DateRange, File, Person, Span, Value};
use super::world::Workspace;
use super::world::content::Changes;
use super::world::row::Icon;

/// Reads a body of `PATCH /v1/pages/{id}`. Keys that Notion doesn't know are refused.
pub(super) fn changes(
    world: &Workspace,
    body: &str,
    schema: Option<&Schema>,
    version: ApiVersion,
) -> Result<Changes, ApiError> {
    if serde_json::from_str::<serde::de::IgnoredAny>(body).is_err() {
        return Err(ApiError::invalid_json());
    }
    let RawEntries(entries) =
        serde_json::from_str(body).map_err(|_| ApiError::body_should_be("body", "an object", body.trim()))?;
    let mut changes = Changes::default();
    for (key, json) in &entries {
        let (place, json) = (format!("body.{key}"), json.get());
        match key.as_str() {
            "properties" => changes.values = values(world, json, schema)?,
            "in_trash" => changes.trashed = Some(flag(&place, json)?),
            "archived" if version < ApiVersion::Latest => changes.trashed = Some(flag(&place, json)?),
            "is_archived" => changes.archived = Some(flag(&place, json)?),
            "is_locked" => changes.locked = Some(flag(&place, json)?),
            "erase_content" => drop(flag(&place, json)?),
            "icon" => changes.icon = Some(icon(&place, json)?),
            "cover" => changes.cover = Some(external(&place, json)?),
            _ => return Err(ApiError::unknown_key(&place, json)),
        }
    }
    Ok(changes)
}

fn flag(place: &str, json: &str) -> Result<bool, ApiError> {
    serde_json::from_str(json).map_err(|_| ApiError::body_should_be(place, "a boolean or `undefined`", json))
}

fn icon(place: &str, json: &str) -> Result<Option<Icon>, ApiError> {
    match raw::entry_text(json, "emoji") {
        Some(emoji) => Ok(Some(Icon::Emoji(emoji))),
        None => external(place, json).map(|file| file.map(Icon::File)),
    }
}

fn external(place: &str, json: &str) -> Result<Option<File>, ApiError> {
    if json == "null" {
        return Ok(None);
    }
    let url = raw::entry_json(json, "external").and_then(|inner| raw::entry_text(&inner, "url"));
    let url = url.ok_or_else(|| ApiError::body_should_be(place, "an external file, an emoji, or `null`", json))?;
    Ok(Some(File::External { name: String::new(), url }))
}

/// Property values as Notion takes them: `{"Status":{"status":{"name":"Done"}}}`. With a schema the names (or ids) must
/// be in it and of that type; without one (control interface) anything goes, and a type nobody knows is kept as it is.
pub(super) fn values(world: &Workspace, json: &str, schema: Option<&Schema>) -> Result<Vec<(String, Value)>, ApiError> {
    let RawEntries(entries) =
        serde_json::from_str(json).map_err(|_| ApiError::body_should_be("body.properties", "an object", json))?;
    entries.iter().map(|(name, json)| value(world, name, json.get(), schema)).collect()
}

fn value(world: &Workspace, name: &str, json: &str, schema: Option<&Schema>) -> Result<(String, Value), ApiError> {
    let place = format!("body.properties.{name}");
    let RawEntries(entries) =
        serde_json::from_str(json).map_err(|_| ApiError::body_should_be(&place, "an object", json))?;
    let known = match schema {
        None => None,
        Some(schema) => {
            let missing = || ApiError::validation(format!("{name} is not a property that exists."));
            let decoded = super::json::percent_decoded(name, false);
            let key = schema.key_of(name).or_else(|| schema.key_of_id(&decoded)).ok_or_else(missing)?;
            schema.get(key)
        }
    };
    let ignored = ["id", "type", "has_more"];
    let entry = entries.iter().find(|(key, _)| !ignored.contains(&key.as_str()));
    let Some((type_name, inner)) = entry else {
        return Err(ApiError::body_should_be(&place, "an object with a value", json));
    };
    if let Some(property) = known.filter(|property| &property.type_name != type_name) {
        return Err(ApiError::validation(format!("{name} is expected to be {}.", property.type_name)));
    }
    let wrong = || ApiError::body_should_be(&format!("{place}.{type_name}"), "a valid value", inner.get());
    let value = typed(world, type_name, inner.get()).ok_or_else(wrong)?;
    Ok((known.map_or_else(|| name.to_owned(), |property| property.name.clone()), value))
}

/// A value of this type; `None` when the JSON doesn't fit the type.
fn typed(world: &Workspace, type_name: &str, text: &str) -> Option<Value> {
    let json: Json = serde_json::from_str(text).unwrap_or_default();
    let name = || json.get("name").and_then(Json::as_str).map(str::to_owned);
    let option = |name: Option<String>| if json.is_null() { Some(None) } else { name.map(Some) };
    let string = || if json.is_null() { Some(None) } else { json.as_str().map(|text| Some(text.to_owned())) };
    let items = || json.as_array().map(Vec::as_slice);
    Some(match type_name {
        "title" => Value::Title(spans(world, items()?)?),
        "rich_text" => Value::RichText(spans(world, items()?)?),
        "number" if json.is_null() => Value::Number(None),
        "number" if json.is_number() => Value::Number(Some(text.to_owned())),
        "number" => return None,
        "select" => Value::Select(option(name())?),
        "status" => Value::Status(option(name())?),
        "multi_select" => {
            let names = items()?.iter().map(|item| item.get("name").and_then(Json::as_str).map(str::to_owned));
            Value::MultiSelect(names.collect::<Option<Vec<String>>>()?)
        }
        "date" if json.is_null() => Value::Date(None),
        "date" => Value::Date(Some(DateRange {
            start: json.get("start")?.as_str()?.to_owned(),
            end: json.get("end").and_then(Json::as_str).map(str::to_owned),
        })),
        "checkbox" => Value::Checkbox(json.as_bool()?),
        "url" => Value::Url(string()?),
        "email" => Value::Email(string()?),
        "phone_number" => Value::PhoneNumber(string()?),
        "people" => {
            let people = items()?.iter().map(|item| Some(world.person(item.get("id")?.as_str()?)));
            Value::People(people.collect::<Option<Vec<Person>>>()?)
        }
        "relation" => {
            let ids = items()?.iter().map(|item| Some(item.get("id")?.as_str()?.to_owned()));
            Value::Relation(ids.collect::<Option<Vec<String>>>()?)
        }
        "files" => Value::Files(items()?.iter().map(file).collect::<Option<Vec<File>>>()?),
        "created_time" => Value::CreatedTime,
        "last_edited_time" => Value::LastEditedTime,
        "created_by" => Value::CreatedBy,
        "last_edited_by" => Value::LastEditedBy,
        _ => Value::Json { type_name: type_name.to_owned(), json: text.to_owned() },
    })
}

fn file(item: &Json) -> Option<File> {
    let name = item.get("name")?.as_str()?.to_owned();
    let url = item.get("external").and_then(|external| external.get("url")).and_then(Json::as_str);
    Some(match url {
        Some(url) => File::External { name, url: url.to_owned() },
        None => File::Uploaded { name },
    })
}

fn spans(world: &Workspace, items: &[Json]) -> Option<Vec<Span>> {
    let span = |item: &Json| {
        if let Some(text) = item.get("text") {
            return Some(Span::Text(text.get("content")?.as_str()?.to_owned()));
        }
        let mention = item.get("mention")?;
        if let Some(user) = mention.get("user") {
            return Some(Span::Person(world.person(user.get("id")?.as_str()?)));
        }
        let id = mention.get("page")?.get("id")?.as_str()?;
        Some(Span::Page { id: id.to_owned(), title: world.title_of_page(id) })
    };
    items.iter().map(span).collect()
}
