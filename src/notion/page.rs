//! The envelope of a row: id, times, flags, parent. The row's text stays as received.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::raw::{Entries, span_in};
use super::wire::ParentInfo;
use crate::ids::PageId;

/// A row whose id and times were read; `text` is byte for byte what Notion sent.
#[derive(Debug, Clone)]
pub struct PageRow {
    pub id: PageId,
    /// When it was created, whole minutes.
    pub created_time: Timestamp,
    /// When it was last edited, whole minutes; may lie in the future (facts/notion §3.4).
    pub last_edited_time: Timestamp,
    /// True if it is in the trash.
    pub in_trash: bool,
    /// True if it is archived; `None` where the row does not say.
    pub is_archived: Option<bool>,
    pub parent: ParentInfo,
    pub text: Box<RawValue>,
}

/// The reason that a row can't be stored. Such a row is never skipped: the run fails and names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A wiki's data source among the rows; not a page at all.
    #[error("the result holds a {object:?} object ({id}) instead of a page")]
    NotAPage {
        /// The object type that it claims.
        object: String,
        id: String,
    },
    /// A field that every full page has is missing or unreadable.
    #[error(
        "page {id} came without a readable {field} (a partial object: the connection may lack the capability to read content)"
    )]
    Partial {
        /// The page's id, as far as known.
        id: String,
        field: &'static str,
    },
    /// No JSON object.
    #[error("a row is no JSON object: {0}")]
    NotAnObject(String),
}

impl PageRow {
    /// Reads a row's envelope.
    ///
    /// # Errors
    /// [`PageError`] when the row is no page or lacks id or times.
    pub fn read(text: Box<RawValue>) -> Result<Self, PageError> {
        let entries = Entries::of(text.get()).map_err(|error| PageError::NotAnObject(error.to_string()))?;
        let shown_id = entries.read::<String>("id").unwrap_or_else(|| "without id".to_owned());
        let object = entries.read::<String>("object").unwrap_or_default();
        if object != "page" {
            return Err(PageError::NotAPage { object, id: shown_id });
        }
        let partial = |field| PageError::Partial { id: shown_id.clone(), field };
        let id = PageId::parse(&shown_id).map_err(|_| partial("id"))?;
        let created_time = entries.read("created_time").ok_or_else(|| partial("created_time"))?;
        let last_edited_time = entries.read("last_edited_time").ok_or_else(|| partial("last_edited_time"))?;
        if entries.get("properties").is_none() {
            return Err(partial("properties"));
        }
        // Absent in some answers; something else than true or false must not be taken for "not in the trash".
        let in_trash = match entries.get("in_trash") {
            Some(_) => entries.read("in_trash").ok_or_else(|| partial("in_trash"))?,
            None => false,
        };
        let is_archived = entries.read("is_archived");
        let parent = entries.read("parent").unwrap_or_default();
        Ok(Self { id, created_time, last_edited_time, in_trash, is_archived, parent, text })
    }
}

/// The page object of `GET /v1/pages/{id}` without the `request_id` that only this call puts inside it (facts/notion §2.4),
/// so that the text is what a query gives.
///
/// # Errors
/// When the text is no JSON object.
pub fn without_request_id(text: &str) -> serde_json::Result<String> {
    let entries = Entries::of(text)?;
    let Some(value) = entries.get("request_id") else { return Ok(text.to_owned()) };
    let value_span = span_in(text, value.get());
    let before = text[..value_span.start].rfind("\"request_id\"").unwrap_or(value_span.start);
    let head = text[..before].trim_end();
    let tail = &text[value_span.end..];
    // The last entry takes the comma before it away, any other one the comma after it.
    Ok(match (head.strip_suffix(','), tail.trim_start().strip_prefix(',')) {
        (_, Some(rest)) => format!("{}{}", &text[..before], rest.trim_start()),
        (Some(kept), None) => format!("{kept}{tail}"),
        (None, None) => format!("{head}{tail}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"object":"page","id":"be633bf1-dfa0-436d-b259-571129a590e5","created_time":"2022-10-24T22:54:00.000Z","last_edited_time":"2026-11-22T13:02:00.000Z","parent":{"type":"data_source_id","data_source_id":"164b19c5-58e5-4a47-a3a9-c905d9519c65","database_id":"27a5d30a-1728-4a1e-a788-71341f22fb97"},"in_trash":false,"is_archived":true,"properties":{"n":{"number":1.10}},"url":"u"}"#;

    fn read(text: &str) -> Result<PageRow, PageError> {
        PageRow::read(RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_page_keeps_its_bytes() {
        let row = read(PAGE).unwrap();
        assert_eq!(row.text.get(), PAGE);
        assert_eq!(row.is_archived, Some(true));
        assert_eq!(row.parent.database_id.as_deref(), Some("27a5d30a-1728-4a1e-a788-71341f22fb97"));
    }

    #[test]
    fn a_partial_object_is_an_error_that_names_the_page() {
        let error = read(r#"{"object":"page","id":"be633bf1-dfa0-436d-b259-571129a590e5"}"#).unwrap_err();
        assert!(error.to_string().contains("be633bf1-dfa0-436d-b259-571129a590e5"), "{error}");
        assert!(matches!(read(r#"{"object":"data_source","id":"x"}"#), Err(PageError::NotAPage { .. })));
        assert!(read("[]").is_err());
    }

    #[test]
    fn a_retrieved_page_without_its_request_id_is_what_a_query_gives() {
        let retrieved = format!(r#"{},"request_id":"b1637152-5698-41ec-9d87-9de35dbbc3aa"}}"#, &PAGE[..PAGE.len() - 1]);
        assert_eq!(without_request_id(&retrieved).unwrap(), PAGE);
        assert_eq!(without_request_id(r#"{"request_id":"r","a":1}"#).unwrap(), r#"{"a":1}"#);
        assert_eq!(without_request_id(r#"{"a":1, "request_id" : "r" , "b":2}"#).unwrap(), r#"{"a":1, "b":2}"#);
        assert_eq!(without_request_id(PAGE).unwrap(), PAGE);
    }
}
