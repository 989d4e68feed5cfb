//! Rows as the API writes them, in the key order of recorded answers.

mod containers;
mod values;

use uuid::Uuid;

use super::clock::minute_text;
use super::ids::undashed;
use super::json::{ObjectText, percent_decoded};
use super::raw;
use super::schema::{Property, Schema};
use super::value::Value;
use super::world::row::{Kind, Parent, ParentShown, Properties, Row, RowState};
use super::world::{SignedUrls, Workspace};
pub(super) use values::{empty_value, person_text, relation_text, shown_spans, span_text};

/// References a page shows of one relation, one people property, one text.
pub(super) const REFERENCES_SHOWN: usize = 25;

/// The API versions that matter; they differ in a row's booleans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ApiVersion {
    /// 2022-06-28 and older: databases are tables.
    Tables,
    /// 2025-09-03: data sources, rows still have `archived`.
    DataSources,
    /// 2026-03-11.
    Latest,
}

impl ApiVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "2021-05-11" | "2021-05-13" | "2021-08-16" | "2022-02-22" | "2022-06-28" => Some(Self::Tables),
            "2025-09-03" => Some(Self::DataSources),
            "2026-03-11" => Some(Self::Latest),
            _ => None,
        }
    }
}

/// Writes objects of one answer.
pub(super) struct Painter<'a> {
    pub(super) world: &'a Workspace,
    pub(super) version: ApiVersion,
    pub(super) now_ms: i64,
    pub(super) signed_urls: SignedUrls,
    /// The number that makes the signatures of this answer its own.
    pub(super) signature: u64,
    /// Names or ids (not percent-encoded) of the properties wanted; all when `None`.
    pub(super) selection: Option<&'a [String]>,
}

impl Painter<'_> {
    /// A row (or a wiki's data source) as a query shows it.
    pub(super) fn row(&self, row: &Row, state: &RowState) -> String {
        if let Kind::DataSource(id) = row.kind {
            return self.world.sources.get(&id).map_or_else(String::new, |source| self.data_source(source));
        }
        let object = ObjectText::with_capacity(1024).text("object", "page").text("id", &row.id.to_string());
        if row.partial {
            return object.finish();
        }
        let properties = self.properties(state);
        let object = object
            .text("created_time", &minute_text(state.created_ms))
            .text("last_edited_time", &minute_text(state.edited_ms))
            .raw("created_by", &user_reference(state.created_by))
            .raw("last_edited_by", &user_reference(state.edited_by))
            .raw("cover", &state.cover.as_ref().map_or("null".to_owned(), |file| self.file(file, false)))
            .raw("icon", &state.icon.as_ref().map_or("null".to_owned(), |icon| self.icon(icon)));
        let object = match row.parent_shown {
            ParentShown::AsItIs => object.raw("parent", &self.parent(state.parent)),
            ParentShown::Null => object.null("parent"),
            ParentShown::WithoutId => object.raw("parent", r#"{"type":"data_source_id"}"#),
            ParentShown::Missing => object,
        };
        let trashed = self.world.is_trashed(state);
        let object = object
            .flag("in_trash", trashed)
            .flag("is_archived", state.archived)
            .flag("is_locked", state.locked)
            .raw("properties", &properties)
            .text("url", &page_url(row.id, &self.world.title_of(state)))
            .null("public_url");
        self.with_archived(object, trashed).finish()
    }

    /// Adds `archived`, which versions before 2026-03-11 have beside `in_trash`, as the last key.
    fn with_archived(&self, object: ObjectText, trashed: bool) -> ObjectText {
        if self.version < ApiVersion::Latest { object.flag("archived", trashed) } else { object }
    }

    fn parent(&self, parent: Parent) -> String {
        match parent {
            Parent::Page(id) => ObjectText::new().text("type", "page_id").text("page_id", &id.to_string()).finish(),
            Parent::Agent(id) => ObjectText::new().text("type", "agent_id").text("agent_id", &id.to_string()).finish(),
            Parent::DataSource(id) => {
                let database = self.world.sources.get(&id).map_or(Uuid::nil(), |source| source.database);
                if self.version == ApiVersion::Tables {
                    let object = ObjectText::new().text("type", "database_id");
                    return object.text("database_id", &database.to_string()).finish();
                }
                ObjectText::new()
                    .text("type", "data_source_id")
                    .text("data_source_id", &id.to_string())
                    .text("database_id", &database.to_string())
                    .finish()
            }
        }
    }

    fn properties(&self, state: &RowState) -> String {
        let values = match &state.properties {
            Properties::Raw(text) => return self.raw_properties(text),
            Properties::Values(values) => values,
        };
        let Some(schema) = self.world.schema_of(state) else { return self.title_alone(state) };
        let mut object = ObjectText::with_capacity(512);
        for (key, property) in schema.shown() {
            if self.selection.is_some_and(|wanted| !is_wanted(wanted, &property.name, &property.id)) {
                continue;
            }
            let value = values.iter().find(|(held, _)| *held == key).map(|(_, value)| value);
            object = object.raw(&property.name, &self.property(state, property, value));
        }
        object.finish()
    }

    /// One property of a row as a page shows it; `None` when the schema has no such key.
    pub(super) fn property_json(&self, schema: &Schema, key: usize, state: &RowState) -> Option<String> {
        let property = schema.get(key)?;
        match &state.properties {
            Properties::Values(values) => {
                let value = values.iter().find(|(held, _)| *held == key).map(|(_, value)| value);
                Some(self.property(state, property, value))
            }
            Properties::Raw(text) => {
                let is_it = |json: &str| {
                    let id = raw::entry_text(json, "id").unwrap_or_default();
                    percent_decoded(&id, false) == property.id
                };
                let mut entries = raw::properties(text).into_iter();
                entries.find(|(name, json)| name == &property.name || is_it(json)).map(|(_, json)| json)
            }
        }
    }

    /// A page outside of any table has a title and nothing else.
    fn title_alone(&self, state: &RowState) -> String {
        let schema = Schema::new();
        let title = match &state.properties {
            Properties::Values(values) => values.iter().find(|(key, _)| *key == Schema::title_key()),
            Properties::Raw(_) => None,
        };
        let text = schema.shown().map(|(_, property)| self.property(state, property, title.map(|(_, value)| value)));
        text.fold(ObjectText::new(), |object, json| object.raw("title", &json)).finish()
    }

    fn raw_properties(&self, text: &str) -> String {
        let Some(wanted) = self.selection else { return text.to_owned() };
        let kept = raw::properties(text).into_iter().filter(|(name, json)| {
            let id = raw::entry_text(json, "id").unwrap_or_default();
            is_wanted(wanted, name, &percent_decoded(&id, false))
        });
        kept.fold(ObjectText::new(), |object, (name, json)| object.raw(&name, &json)).finish()
    }

    fn property(&self, state: &RowState, property: &Property, value: Option<&Value>) -> String {
        if let Some(Value::Raw(text)) = value {
            return text.clone();
        }
        let type_name = value.map_or_else(|| property.type_name.clone(), Value::type_name);
        let computed = property.computed.as_ref().zip(self.world.schema_of(state));
        let json = match (computed, value) {
            (Some((computed, schema)), _) => self.computed(schema, state, computed, REFERENCES_SHOWN),
            (None, Some(value)) => self.value(state, property, value),
            (None, None) => empty_value(&type_name),
        };
        let object = ObjectText::new().text("id", &property.encoded_id()).text("type", &type_name);
        let object = object.raw(&type_name, &json);
        match value {
            Some(Value::Relation(ids)) => object.flag("has_more", ids.len() > REFERENCES_SHOWN).finish(),
            None if type_name == "relation" => object.flag("has_more", false).finish(),
            _ => object.finish(),
        }
    }
}

fn is_wanted(wanted: &[String], name: &str, id: &str) -> bool {
    wanted.iter().any(|text| text == name || text == id)
}

/// A user as rows name it: `{object,id}` alone.
fn user_reference(id: Uuid) -> String {
    ObjectText::new().text("object", "user").text("id", &id.to_string()).finish()
}

fn plain_url(id: Uuid) -> String {
    format!("https://app.notion.com/p/{}", undashed(id))
}

fn page_url(id: Uuid, title: &str) -> String {
    let words: Vec<&str> =
        title.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return plain_url(id);
    }
    format!("https://app.notion.com/p/{}-{}", words.join("-"), undashed(id))
}
