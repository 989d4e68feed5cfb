//! Property values, files and rich text as the API writes them, cut where Notion cuts them.

use super::super::clock::{full_text, minute_text, signature_text};
use super::super::ids::{id_of, number_of};
use super::super::json::{ObjectText, list, percent_encoded, quoted, quoted_or_null};
use super::super::schema::Property;
use super::super::settings::MentionCount;
use super::super::value::{DateRange, File, Person, Span, Value};
use super::super::world::SignedUrls;
use super::super::world::row::{Icon, RowState};
use super::{Painter, REFERENCES_SHOWN};

impl Painter<'_> {
    /// The JSON under the type's key, cut where Notion cuts it.
    pub(super) fn value(&self, state: &RowState, property: &Property, value: &Value) -> String {
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
    pub(in super::super) fn plain_value(&self, state: &RowState, property: &Property, value: &Value) -> String {
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

    pub(super) fn icon(&self, icon: &Icon) -> String {
        match icon {
            Icon::Emoji(emoji) => ObjectText::new().text("type", "emoji").text("emoji", emoji).finish(),
            Icon::File(file) => self.file(file, false),
        }
    }

    pub(super) fn file(&self, file: &File, with_name: bool) -> String {
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
        let url = format!("https://prod-files-secure.s3.us-west-2.amazonaws.com/{place}/{}", percent_encoded(name));
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
}

/// Returns the value of a property that nobody filled in.
pub(in super::super) fn empty_value(type_name: &str) -> String {
    match type_name {
        "title" | "rich_text" | "multi_select" | "people" | "files" | "relation" => "[]",
        "checkbox" => "false",
        "button" => "{}",
        _ => "null",
    }
    .to_owned()
}

/// The spans a page shows: beyond 25 mentions the further ones are left out, the text around them stays.
pub(in super::super) fn shown_spans(spans: &[Span], count: MentionCount) -> Vec<&Span> {
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
pub(in super::super) fn span_text(span: &Span) -> String {
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

/// A person as a people value shows one: the whole user.
pub(in super::super) fn person_text(person: &Person) -> String {
    ObjectText::new()
        .text("object", "user")
        .text("id", &person.id)
        .text("name", &person.name)
        .null("avatar_url")
        .text("type", "person")
        .raw("person", &ObjectText::new().text("email", &person.email).finish())
        .finish()
}

pub(in super::super) fn relation_text(id: &str) -> String {
    ObjectText::new().text("id", id).finish()
}

fn date_text(date: &DateRange) -> String {
    ObjectText::new().text("start", &date.start).text_or_null("end", date.end.as_deref()).null("time_zone").finish()
}
