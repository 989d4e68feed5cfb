//! The judge of Notion's answers: one place decides what an answer that is not the one asked for means. Callers ask the
//! error for its meaning and never look at a status.
//!
//! An answer is Notion's own if it is JSON with `"object":"error"`, a `status` equal to the HTTP status, and a `code`.
//! Anything else comes from what stands between (an edge, a proxy, a gateway) and says nothing about a page, a data source
//! or a database. docs/VERDICTS.md has the table, and a test walks it through the real client.

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::ids::{DataSourceId, DatabaseId, PageId};

/// One exchange with Notion: what is asked, and of which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The user behind the token.
    Me,
    /// A database and the list of its data sources.
    Database(DatabaseId),
    /// A data source.
    DataSource(DataSourceId),
    /// A query of a data source.
    Query(DataSourceId),
    Page(PageId),
    /// The items of a page's property, whose id is percent-encoded.
    PropertyItems(PageId, String),
}

impl Exchange {
    /// Returns the HTTP method.
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Query(_) => Method::POST,
            _ => Method::GET,
        }
    }

    /// Returns the path below `/v1/`, percent-encoded.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Me => "users/me".to_owned(),
            Self::Database(id) => format!("databases/{id}"),
            Self::DataSource(id) => format!("data_sources/{id}"),
            Self::Query(id) => format!("data_sources/{id}/query"),
            Self::Page(id) => format!("pages/{id}"),
            Self::PropertyItems(page, property) => format!("pages/{page}/properties/{property}"),
        }
    }

    /// Returns the id of the object asked for, as Notion writes it; `None` where no object is asked for.
    fn asked_id(&self) -> Option<String> {
        match self {
            Self::Me => None,
            Self::Database(id) => Some(id.to_string()),
            Self::DataSource(id) | Self::Query(id) => Some(id.to_string()),
            Self::Page(id) | Self::PropertyItems(id, _) => Some(id.to_string()),
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /v1/{}", self.method(), self.path())
    }
}

/// The meaning of an answer that is not the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Notion does not accept the token.
    Unauthorized,
    /// Notion says that the connection may not do this.
    Forbidden,
    /// Notion does not find the object that was asked for: deleted, or not shared.
    NotFound,
    /// Notion says that the id asked for is not that of a database that can be read.
    WrongDatabaseId,
    /// Notion says that the page asked for is a database now.
    BecameDatabase,
    /// Notion does not accept the cursor.
    CursorRejected,
    /// Notion blocks the token.
    TokenBlocked,
    /// Notion refuses the request for another reason.
    Rejected,
    /// The query takes too long: smaller result pages may pass.
    Overload,
    /// The state passes automatically.
    Passing,
    /// Something in front of Notion lets no request through.
    RequestBlocked,
    /// The answer is not Notion's, and it is not known to pass.
    Foreign,
}

/// An error in Notion's own words.
#[derive(Debug, Deserialize)]
pub(super) struct OwnError {
    object: String,
    status: u16,
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) request_id: Option<String>,
    #[serde(default)]
    pub(super) additional_data: Value,
}

impl OwnError {
    /// Reads the body of an answer; `None` = the answer is not Notion's own.
    pub(super) fn read(status: u16, body: &[u8]) -> Option<Self> {
        let error: Self = serde_json::from_slice(body).ok()?;
        (error.object == "error" && error.status == status && !error.code.is_empty()).then_some(error)
    }

    /// Returns a text of `additional_data`.
    pub(super) fn detail(&self, key: &str) -> Option<&str> {
        self.additional_data.get(key).and_then(Value::as_str)
    }
}

/// The reason of a 429 that no wait cures.
pub(super) const BLOCKED: &str = "public_api_request_blocked";

/// Judges an answer whose status is not 2xx.
pub(super) fn judge(exchange: &Exchange, status: u16, own: Option<&OwnError>) -> Meaning {
    match own {
        Some(error) => judge_own(exchange, status, error),
        None => judge_foreign(status),
    }
}

fn judge_own(exchange: &Exchange, status: u16, error: &OwnError) -> Meaning {
    match status {
        401 => Meaning::Unauthorized,
        403 => Meaning::Forbidden,
        429 if error.detail("rate_limit_reason") == Some(BLOCKED) => Meaning::TokenBlocked,
        503 | 504 => Meaning::Overload,
        408 | 409 | 429 | 500 | 502 | 529 => Meaning::Passing,
        400 | 404 => judge_words(exchange, status, error),
        _ => Meaning::Rejected,
    }
}

/// Judges refusals that have no code of their own, so that only their words tell them apart (facts/notion §2.6).
fn judge_words(exchange: &Exchange, status: u16, error: &OwnError) -> Meaning {
    let says = |words: &str| error.message.contains(words);
    let is_of_database = matches!(exchange, Exchange::Database(_));
    if is_of_database
        && (says("should be a valid uuid")
            || says("is a page, not a database")
            || says("is a linked database")
            || says("does not contain any data sources"))
    {
        return Meaning::WrongDatabaseId;
    }
    if status == 404 {
        let is_found_missing = error.code == "object_not_found" && speaks_of(exchange, &error.message);
        return if is_found_missing { Meaning::NotFound } else { Meaning::Rejected };
    }
    match exchange {
        Exchange::Page(_) if says("is a database, not a page") && speaks_of(exchange, &error.message) => {
            Meaning::BecameDatabase
        }
        Exchange::Query(_) | Exchange::PropertyItems(..)
            if error.message.starts_with("The start_cursor provided is invalid") =>
        {
            Meaning::CursorRejected
        }
        _ => Meaning::Rejected,
    }
}

/// Returns true when a message speaks of the object that was asked for: it names that id, or none at all. A message that
/// names another object proves nothing about this one.
fn speaks_of(exchange: &Exchange, message: &str) -> bool {
    let Some(asked) = exchange.asked_id() else { return false };
    let mut ids =
        message.split(|c: char| !c.is_ascii_hexdigit() && c != '-').filter_map(|word| PageId::parse(word).ok());
    let Some(first) = ids.next() else { return true };
    let is_asked = |id: PageId| id.to_string() == asked;
    is_asked(first) || ids.any(is_asked)
}

fn judge_foreign(status: u16) -> Meaning {
    match status {
        403 => Meaning::RequestBlocked,
        503 | 504 | 524 => Meaning::Overload,
        // A gateway that does not find its way today may find it in a second.
        404 | 408 | 409 | 425 | 429 | 500 | 502 | 520..=530 => Meaning::Passing,
        _ => Meaning::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "be633bf1-dfa0-436d-b259-571129a590e5";

    fn page() -> Exchange {
        Exchange::Page(PageId::parse(ASKED).unwrap())
    }

    #[test]
    fn a_message_that_names_another_object_proves_nothing() {
        assert!(speaks_of(&page(), &format!("Could not find page with ID: {ASKED}. Make sure …")));
        assert!(speaks_of(&page(), "Could not find the page."));
        assert!(!speaks_of(&page(), "Could not find page with ID: 5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f."));
        assert!(!speaks_of(&Exchange::Me, "Could not find user."));
    }

    #[test]
    fn an_answer_is_notions_own_by_its_frame() {
        let own = |body: &str| OwnError::read(404, body.as_bytes()).is_some();
        assert!(own(r#"{"object":"error","status":404,"code":"object_not_found","message":"m"}"#));
        assert!(!own(r#"{"object":"error","status":400,"code":"object_not_found","message":"m"}"#));
        assert!(!own(r#"{"status":404,"code":"object_not_found","message":"m"}"#));
        assert!(!own(r#"{"object":"error","status":404,"code":"","message":"m"}"#));
        assert!(!own("<html>404</html>") && !own(""));
    }
}
