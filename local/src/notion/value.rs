//! Property values: what a row holds, apart from how Notion writes it.

use super::json::quoted;

/// The value of one property of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The row's title.
    Title(Vec<Span>),
    /// Text.
    RichText(Vec<Span>),
    /// A number's JSON text (`1.10` and `1e3` come out as they are), or nothing.
    Number(Option<String>),
    /// One option, by name.
    Select(Option<String>),
    /// One status, by name.
    Status(Option<String>),
    /// Options, by name.
    MultiSelect(Vec<String>),
    /// A date or a range of dates.
    Date(Option<DateRange>),
    Checkbox(bool),
    Url(Option<String>),
    /// An e-mail address.
    Email(Option<String>),
    /// A telephone number.
    PhoneNumber(Option<String>),
    /// People; a page shows 25 of them.
    People(Vec<Person>),
    /// Files, uploaded ones with signed URLs.
    Files(Vec<File>),
    /// Ids of related rows; a page shows 25 of them.
    Relation(Vec<String>),
    /// The row's `created_time`.
    CreatedTime,
    /// The row's `last_edited_time`.
    LastEditedTime,
    /// Who made the row.
    CreatedBy,
    /// Who edited the row last.
    LastEditedBy,
    /// Any other type: `json` is the text under the key named `type_name`, served as it is.
    Json {
        /// The property's type, such as `formula`, `rollup`, `place`, or one nobody knows.
        type_name: String,
        /// JSON text.
        json: String,
    },
    /// The text of the whole property object (`{"id":…,"type":…,…}`), served byte for byte.
    Raw(String),
}

impl Value {
    /// A plain title.
    pub fn title(text: &str) -> Self {
        Self::Title(Span::plain(text))
    }

    /// Plain text.
    pub fn text(text: &str) -> Self {
        Self::RichText(Span::plain(text))
    }

    /// A number, as its JSON text is to be served.
    pub fn number(json: impl ToString) -> Self {
        Self::Number(Some(json.to_string()))
    }

    /// One option.
    pub fn select(name: &str) -> Self {
        Self::Select(Some(name.to_owned()))
    }

    /// One status.
    pub fn status(name: &str) -> Self {
        Self::Status(Some(name.to_owned()))
    }

    /// Options.
    pub fn multi_select(names: &[&str]) -> Self {
        Self::MultiSelect(names.iter().map(|&name| name.to_owned()).collect())
    }

    /// A day (`2026-11-22`) or a time.
    pub fn date(start: &str) -> Self {
        Self::Date(Some(DateRange { start: start.to_owned(), end: None }))
    }

    /// Related rows.
    pub fn relation<T: ToString>(ids: impl IntoIterator<Item = T>) -> Self {
        Self::Relation(ids.into_iter().map(|id| id.to_string()).collect())
    }

    /// A formula that gives text.
    pub fn formula_text(text: &str) -> Self {
        Self::formula(&format!("{{\"type\":\"string\",\"string\":{}}}", quoted(text)))
    }

    /// A formula; `json` is the text under `formula`.
    pub fn formula(json: &str) -> Self {
        Self::Json { type_name: "formula".to_owned(), json: json.to_owned() }
    }

    /// A formula that Notion can't show.
    pub fn unsupported_formula() -> Self {
        Self::formula("{\"type\":\"unsupported\",\"unsupported\":{}}")
    }

    /// A rollup; `json` is the text under `rollup`.
    pub fn rollup(json: &str) -> Self {
        Self::Json { type_name: "rollup".to_owned(), json: json.to_owned() }
    }

    /// A number of a numbered table, such as `RISK-7`.
    pub fn unique_id(prefix: Option<&str>, number: u64) -> Self {
        let prefix = super::json::quoted_or_null(prefix);
        Self::Json { type_name: "unique_id".to_owned(), json: format!("{{\"prefix\":{prefix},\"number\":{number}}}") }
    }

    /// The property type's name in the API; for [`Value::Raw`] the one in its text, if that can be read.
    pub(super) fn type_name(&self) -> String {
        let name = match self {
            Self::Title(_) => "title",
            Self::RichText(_) => "rich_text",
            Self::Number(_) => "number",
            Self::Select(_) => "select",
            Self::Status(_) => "status",
            Self::MultiSelect(_) => "multi_select",
            Self::Date(_) => "date",
            Self::Checkbox(_) => "checkbox",
            Self::Url(_) => "url",
            Self::Email(_) => "email",
            Self::PhoneNumber(_) => "phone_number",
            Self::People(_) => "people",
            Self::Files(_) => "files",
            Self::Relation(_) => "relation",
            Self::CreatedTime => "created_time",
            Self::LastEditedTime => "last_edited_time",
            Self::CreatedBy => "created_by",
            Self::LastEditedBy => "last_edited_by",
            Self::Json { type_name, .. } => type_name,
            Self::Raw(text) => return super::raw::entry_text(text, "type").unwrap_or_else(|| "rich_text".to_owned()),
        };
        name.to_owned()
    }

    /// The people it names.
    pub(super) fn people(&self) -> Vec<&Person> {
        match self {
            Self::People(people) => people.iter().collect(),
            Self::Title(spans) | Self::RichText(spans) => spans
                .iter()
                .filter_map(|span| match span {
                    Span::Person(person) => Some(person),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Returns whether each read may show other bytes.
    pub(super) fn has_signed_url(&self) -> bool {
        matches!(self, Self::Files(files) if files.iter().any(|file| matches!(file, File::Uploaded { .. })))
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Plain text.
    Text(String),
    /// A mention of a person.
    Person(Person),
    /// A mention of a page.
    Page { id: String, title: String },
}

impl Span {
    /// One piece of plain text, or none for the empty text.
    pub fn plain(text: &str) -> Vec<Self> {
        if text.is_empty() { Vec::new() } else { vec![Self::Text(text.to_owned())] }
    }

    /// The text a reader sees.
    pub fn plain_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Person(person) => format!("@{}", person.name),
            Self::Page { title, .. } => title.clone(),
        }
    }

    pub(super) fn mentioned_id(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Person(person) => Some(&person.id),
            Self::Page { id, .. } => Some(id),
        }
    }
}

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    /// The name shown.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl Person {
    /// A person whose id depends on the name alone.
    pub fn named(name: &str) -> Self {
        let local_part = name.to_lowercase().replace(' ', ".");
        Self {
            id: super::ids::id_of(&format!("person {name}")).to_string(),
            name: name.to_owned(),
            email: format!("{local_part}@example.com"),
        }
    }
}

/// A date, a time, or a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateRange {
    /// A day (`2026-11-22`) or a time (`2026-11-22T13:00:00.000+00:00`).
    pub start: String,
    /// The range's end, in the same form.
    pub end: Option<String>,
}

/// A file of a files property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// Kept by Notion: served with a signed URL that lives an hour.
    Uploaded { name: String },
    /// A link to elsewhere.
    External { name: String, url: String },
}
