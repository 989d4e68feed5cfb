//! Values, rows, data sources and databases as the API writes them (facts: key order of recorded answers).

use uuid::Uuid;

use super::clock::{container_text, full_text, minute_text, signature_text};
use super::ids::{id_of, number_of, undashed};
use super::json::{ObjectText, list, quoted, quoted_or_null};
use super::raw;
use super::schema::{Property, Schema};
use super::settings::MentionCount;
use super::value::{DateRange, File, Person, Span, Value};
use super::world::row::{Icon, Kind, Parent, Properties, Row, RowState};
use super::world::{DataSource, Database, SignedUrls, Workspace};

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
    /// What makes the signatures of this answer its own.
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
            .raw("icon", &state.icon.as_ref().map_or("null".to_owned(), |icon| self.icon(icon)))
            .raw("parent", &self.parent(state.parent));
        let trashed = self.world.is_trashed(state);
        let object = if self.version < ApiVersion::Latest { object.flag("archived", trashed) } else { object };
        object
            .flag("in_trash", trashed)
            .flag("is_archived", state.archived)
            .flag("is_locked", state.locked)
            .raw("properties", &properties)
            .text("url", &page_url(row.id, &self.world.title_of(state)))
            .null("public_url")
            .finish()
    }

    fn parent(&self, parent: Parent) -> String {
        match parent {
            Parent::Page(id) => ObjectText::new().text("type", "page_id").text("page_id", &id.to_string()).finish(),
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
                    super::json::percent_decoded(&id, false) == property.id
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
            is_wanted(wanted, name, &super::json::percent_decoded(&id, false))
        });
        kept.fold(ObjectText::new(), |object, (name, json)| object.raw(&name, &json)).finish()
    }

    fn property(&self, state: &RowState, property: &Property, value: Option<&Value>) -> String {
        if let Some(Value::Raw(text)) = value {
            return text.clone();
        }
        let type_name = value.map_or_else(|| property.type_name.clone(), Value::type_name);
        let json = value.map_or_else(|| empty_value(&type_name), |value| self.value(state, property, value));
        let object = ObjectText::new().text("id", &property.encoded_id()).text("type", &type_name);
        let object = object.raw(&type_name, &json);
        match value {
            Some(Value::Relation(ids)) => object.flag("has_more", ids.len() > REFERENCES_SHOWN).finish(),
            None if type_name == "relation" => object.flag("has_more", false).finish(),
            _ => object.finish(),
        }
    }

    /// The JSON under the type's key, cut where Notion cuts it.
    fn value(&self, state: &RowState, property: &Property, value: &Value) -> String {
        match value {
            Value::Title(spans) | Value::RichText(spans) => {
                list(shown_spans(spans, self.world.settings().mention_count).into_iter().map(span_text))
            }
            Value::People(people) => list(people.iter().take(REFERENCES_SHOWN).map(person_text)),
            Value::Relation(ids) => list(ids.iter().take(REFERENCES_SHOWN).map(|id| relation_text(id))),
            Value::Files(files) => list(files.iter().map(|file| self.file(file, true))),
            other => self.plain_value(state, property, other),
        }
    }

    /// The JSON of a value that is never cut.
    pub(super) fn plain_value(&self, state: &RowState, property: &Property, value: &Value) -> String {
        match value {
            Value::Number(number) => number.clone().unwrap_or_else(|| "null".to_owned()),
            Value::Select(name) | Value::Status(name) => {
                name.as_ref().map_or_else(|| "null".to_owned(), |name| property.choice_text(name))
            }
            Value::MultiSelect(names) => list(names.iter().map(|name| property.choice_text(name))),
            Value::Date(date) => date.as_ref().map_or_else(|| "null".to_owned(), date_text),
            Value::Checkbox(checked) => checked.to_string(),
            Value::Url(text) | Value::Email(text) | Value::PhoneNumber(text) => quoted_or_null(text.as_deref()),
            Value::CreatedTime => quoted(&minute_text(state.created_ms)),
            Value::LastEditedTime => quoted(&minute_text(state.edited_ms)),
            Value::CreatedBy => self.world.user_text(state.created_by),
            Value::LastEditedBy => self.world.user_text(state.edited_by),
            Value::Json { json, .. } => json.clone(),
            Value::Files(files) => list(files.iter().map(|file| self.file(file, true))),
            Value::Title(spans) | Value::RichText(spans) => list(spans.iter().map(span_text)),
            Value::People(people) => list(people.iter().map(person_text)),
            Value::Relation(ids) => list(ids.iter().map(|id| relation_text(id))),
            Value::Raw(text) => text.clone(),
        }
    }

    fn icon(&self, icon: &Icon) -> String {
        match icon {
            Icon::Emoji(emoji) => ObjectText::new().text("type", "emoji").text("emoji", emoji).finish(),
            Icon::File(file) => self.file(file, false),
        }
    }

    fn file(&self, file: &File, with_name: bool) -> String {
        let (name, type_name, inner) = match file {
            File::External { name, url } => (name, "external", ObjectText::new().text("url", url).finish()),
            File::Uploaded { name } => (name, "file", self.signed(name)),
        };
        let object = ObjectText::new();
        let object = if with_name { object.text("name", name) } else { object };
        object.text("type", type_name).raw(type_name, &inner).finish()
    }

    /// `{"url":…,"expiry_time":…}`; the signature, its date and the expiry are new with each read.
    fn signed(&self, name: &str) -> String {
        const HOUR_MS: i64 = 3_600_000;
        let place = id_of(&format!("file {name}"));
        let url = format!("https://prod-files-secure.s3.us-west-2.amazonaws.com/{place}/{}", url_text(name));
        if self.signed_urls == SignedUrls::LeftOut {
            return ObjectText::new().text("url", &url).finish();
        }
        let (signed_ms, signature) = if self.world.settings().signed_urls_change {
            (self.now_ms, number_of(&format!("{name} {}", self.signature)))
        } else {
            (0, number_of(name))
        };
        let date = signature_text(signed_ms);
        let url = format!(
            "{url}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Date={date}\
             &X-Amz-Expires=3600&X-Amz-Signature={signature:016x}{:016x}&X-Amz-SignedHeaders=host&x-id=GetObject",
            signature.rotate_left(17)
        );
        ObjectText::new().text("url", &url).text("expiry_time", &full_text(signed_ms + HOUR_MS)).finish()
    }

    /// A data source as `GET /v1/data_sources/{id}` shows it, without its request id.
    pub(super) fn data_source(&self, source: &DataSource) -> String {
        let user = user_reference(self.world.bot_id());
        ObjectText::with_capacity(1024)
            .text("object", "data_source")
            .text("id", &source.id.to_string())
            .null("cover")
            .null("icon")
            .text("created_time", &minute_text(source.created_ms))
            .raw("created_by", &user)
            .raw("last_edited_by", &user)
            .text("last_edited_time", &minute_text(source.edited_ms))
            .raw("title", &plain_text_list(&source.name))
            .raw("description", "[]")
            .flag("is_inline", false)
            .raw("properties", &source.schema.text())
            .raw(
                "parent",
                &ObjectText::new()
                    .text("type", "database_id")
                    .text("database_id", &source.database.to_string())
                    .finish(),
            )
            .raw("database_parent", &page_parent(self.world.root_page_id()))
            .text("url", &plain_url(source.database))
            .null("public_url")
            .flag("in_trash", source.trashed)
            .finish()
    }

    /// A database of one data source as versions before 2025-09-03 show it.
    pub(super) fn database_as_table(&self, database: &Database, source: &DataSource) -> String {
        ObjectText::with_capacity(1024)
            .text("object", "database")
            .text("id", &database.id.to_string())
            .null("cover")
            .null("icon")
            .text("created_time", &minute_text(database.created_ms))
            .text("last_edited_time", &minute_text(database.edited_ms))
            .raw("title", &plain_text_list(&database.name))
            .raw("description", "[]")
            .flag("is_inline", false)
            .raw("properties", &source.schema.text())
            .raw("parent", &page_parent(self.world.root_page_id()))
            .text("url", &plain_url(database.id))
            .null("public_url")
            .flag("archived", database.trashed)
            .flag("in_trash", database.trashed)
            .finish()
    }

    /// A database container as `GET /v1/databases/{id}` shows it, without its request id.
    pub(super) fn database(&self, database: &Database) -> String {
        let sources = self
            .world
            .live_sources(database.id)
            .into_iter()
            .map(|source| ObjectText::new().text("id", &source.id.to_string()).text("name", &source.name).finish());
        ObjectText::with_capacity(1024)
            .text("object", "database")
            .text("id", &database.id.to_string())
            .raw("title", &plain_text_list(&database.name))
            .raw("description", "[]")
            .raw("parent", &page_parent(self.world.root_page_id()))
            .flag("is_inline", false)
            .flag("in_trash", database.trashed)
            .flag("is_locked", false)
            .text("created_time", &container_text(database.created_ms))
            .text("last_edited_time", &container_text(database.edited_ms))
            .raw("data_sources", &list(sources))
            .null("icon")
            .null("cover")
            .text("url", &plain_url(database.id))
            .null("public_url")
            .finish()
    }
}

fn is_wanted(wanted: &[String], name: &str, id: &str) -> bool {
    wanted.iter().any(|text| text == name || text == id)
}

/// What a property holds that nobody filled in.
pub(super) fn empty_value(type_name: &str) -> String {
    match type_name {
        "title" | "rich_text" | "multi_select" | "people" | "files" | "relation" => "[]",
        "checkbox" => "false",
        "button" => "{}",
        _ => "null",
    }
    .to_owned()
}

/// The spans a page shows: beyond 25 mentions the further ones are left out, the text around them stays.
pub(super) fn shown_spans(spans: &[Span], count: MentionCount) -> Vec<&Span> {
    let mut mentioned: Vec<&str> = Vec::new();
    let mut shown = Vec::with_capacity(spans.len());
    for span in spans {
        if let Some(id) = span.mentioned_id() {
            let known = count == MentionCount::Distinct && mentioned.contains(&id);
            if !known {
                if mentioned.len() == REFERENCES_SHOWN {
                    continue;
                }
                mentioned.push(id);
            }
        }
        shown.push(span);
    }
    shown
}

/// One piece of rich text.
pub(super) fn span_text(span: &Span) -> String {
    const PLAIN: &str =
        r#"{"bold":false,"italic":false,"strikethrough":false,"underline":false,"code":false,"color":"default"}"#;
    let plain_text = span.plain_text();
    let (object, link) = match span {
        Span::Text(text) => {
            let content = ObjectText::new().text("content", text).null("link").finish();
            (ObjectText::new().text("type", "text").raw("text", &content), None)
        }
        Span::Person(person) => {
            let mention = ObjectText::new().text("type", "user").raw("user", &person_text(person)).finish();
            (ObjectText::new().text("type", "mention").raw("mention", &mention), None)
        }
        Span::Page { id, .. } => {
            let page = ObjectText::new().text("id", id).finish();
            let mention = ObjectText::new().text("type", "page").raw("page", &page).finish();
            let link = format!("https://app.notion.com/p/{}", id.replace('-', ""));
            (ObjectText::new().text("type", "mention").raw("mention", &mention), Some(link))
        }
    };
    object.raw("annotations", PLAIN).text("plain_text", &plain_text).text_or_null("href", link.as_deref()).finish()
}

fn plain_text_list(text: &str) -> String {
    list(Span::plain(text).iter().map(span_text))
}

/// A person as a people value shows one: the whole user.
pub(super) fn person_text(person: &Person) -> String {
    ObjectText::new()
        .text("object", "user")
        .text("id", &person.id)
        .text("name", &person.name)
        .null("avatar_url")
        .text("type", "person")
        .raw("person", &ObjectText::new().text("email", &person.email).finish())
        .finish()
}

pub(super) fn relation_text(id: &str) -> String {
    ObjectText::new().text("id", id).finish()
}

fn date_text(date: &DateRange) -> String {
    ObjectText::new().text("start", &date.start).text_or_null("end", date.end.as_deref()).null("time_zone").finish()
}

/// A user as rows name it: `{object,id}` alone.
fn user_reference(id: Uuid) -> String {
    ObjectText::new().text("object", "user").text("id", &id.to_string()).finish()
}

fn page_parent(id: Uuid) -> String {
    ObjectText::new().text("type", "page_id").text("page_id", &id.to_string()).finish()
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

fn url_text(name: &str) -> String {
    super::json::percent_encoded(name)
}
