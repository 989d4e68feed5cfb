//! The refusals of Notion, and what they ask for (facts/notion §4.3). The judge decides what an answer means.
//!
//! | answer | consequence |
//! |---|---|
//! | passes automatically, with `Retry-After` | everyone waits as long as asked; no try is used up, except where a query can ask for fewer rows |
//! | passes automatically, without it; a broken connection; an unreadable 200 | again after the backoff |
//! | Notion blocks the token; something in front of Notion blocks the request | never again |
//! | Notion does not accept the token or lacks a right | the secret is read again and the exchange tried once more (by the client), then final |
//! | Notion rejects the cursor | final for the exchange; the walk restarts its stretch |
//! | any other refusal | final |

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::judge::{Exchange, Meaning, OwnError, judge};
use crate::failure::{Failure, FailureClass};
use crate::http::exchange::{ExchangeError, Refusal, Service};
use crate::http::retry::Verdict;
use crate::http::{self, one_line, retry_after, shown_request_id};
use crate::ids::Database;

/// Notion, as a service that exchanges are made with.
#[derive(Debug)]
pub enum Notion {}

impl Service for Notion {
    type Exchange = Exchange;
    type Refusal = NotionRefusal;
    const NAME: &'static str = "Notion";
    const ADDRESS_VARIABLE: &'static str = "NOTION_BASE_URL";
    const REQUEST_ID_HEADER: &'static str = "x-notion-request-id";
    const CREDENTIALS: &'static str = "the Notion token";
    const TOO_LARGE_REMEDY: &'static str = "; set a smaller BATCH_SIZE";
    const UNAVAILABLE: FailureClass = FailureClass::NotionUnavailable;
    const UNREADABLE: FailureClass = FailureClass::NotionUnreadable;

    fn refusal(exchange: &Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> NotionRefusal {
        NotionRefusal::read(exchange, status, headers, body)
    }
}

/// An exchange with Notion without a usable answer.
pub type NotionError = ExchangeError<Notion>;

/// An answer of Notion, or of something in front of it, whose status is not 2xx.
#[derive(Debug, thiserror::Error)]
#[error("{exchange} answered {status} {code}: {message}{}", shown_request_id(.request_id))]
pub struct NotionRefusal {
    exchange: Exchange,
    status: u16,
    meaning: Meaning,
    /// Notion's stable code; `-` when the answer is not Notion's own.
    code: String,
    /// Notion's message, or what another answer looks like.
    message: String,
    /// The wait that the server asked for.
    retry_after: Option<Duration>,
    /// The id that Notion's support asks for.
    request_id: Option<String>,
}

impl NotionRefusal {
    fn read(exchange: &Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let own = OwnError::read(status, body);
        let meaning = judge(exchange, status, own.as_ref());
        let exchange = exchange.clone();
        let Some(error) = own else {
            return Self {
                exchange,
                status,
                meaning,
                code: "-".to_owned(),
                message: format!("this is not Notion's answer: {}", http::appearance(status, headers, body)),
                retry_after: retry_after(headers),
                request_id: header("cf-ray"),
            };
        };
        Self {
            exchange,
            status,
            meaning,
            code: one_line(&error.code),
            retry_after: retry_after(headers)
                .or_else(|| error.detail("retry_after").and_then(|text| text.parse().ok()).map(Duration::from_secs)),
            message: one_line(&error.message),
            request_id: error.request_id.or_else(|| header("x-notion-request-id")).or_else(|| header("cf-ray")),
        }
    }
}

impl Refusal for NotionRefusal {
    fn verdict(&self) -> Verdict {
        match (self.meaning, self.retry_after) {
            (Meaning::Overload, Some(wait)) => Verdict::WaitOrLess(wait),
            (Meaning::Passing, Some(wait)) => Verdict::Wait(wait),
            (Meaning::Overload | Meaning::Passing, None) => Verdict::Retry,
            _ => Verdict::Final,
        }
    }

    fn is_of_credential(&self) -> bool {
        matches!(self.meaning, Meaning::Unauthorized | Meaning::Forbidden)
    }

    fn class(&self) -> FailureClass {
        match self.meaning {
            Meaning::Unauthorized => FailureClass::NotionUnauthorized,
            Meaning::Forbidden => FailureClass::NotionForbidden,
            Meaning::NotFound => FailureClass::SourceAccessLost,
            Meaning::WrongDatabaseId => FailureClass::WrongDatabaseId,
            Meaning::TokenBlocked => FailureClass::NotionBlocked,
            Meaning::RequestBlocked => FailureClass::RequestBlocked,
            Meaning::Overload | Meaning::Passing | Meaning::Foreign => FailureClass::NotionUnavailable,
            Meaning::BecameDatabase | Meaning::CursorRejected | Meaning::Rejected => FailureClass::NotionRejected,
        }
    }
}

impl NotionError {
    /// Returns what the answer means; `None` = there was none, or none that can be read.
    pub fn meaning(&self) -> Option<Meaning> {
        self.refusal().map(|refusal| refusal.meaning)
    }

    /// Turns the error of reading a configured database into a failure that names its variable.
    pub fn of_database(self, database: &Database) -> Failure {
        let variable = format!("NOTION_{}_DB_ID", database.name.as_str().to_uppercase());
        match self.meaning() {
            Some(Meaning::NotFound | Meaning::Forbidden) => Failure::new(
                FailureClass::SourceAccessLost,
                format!(
                    "database {} ({variable}, {}) is not visible, nothing was marked: {self}",
                    database.name, database.id
                ),
            ),
            Some(Meaning::WrongDatabaseId) => Failure::new(
                FailureClass::WrongDatabaseId,
                format!(
                    "{variable} ({}) does not name a database that can be read: {self}. Open the original database as a full \
                     page (not a linked view, not a page inside it), copy its link, and paste the 32 hexadecimal digits \
                     before the question mark",
                    database.id
                ),
            ),
            _ => Failure::from(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::BLOCKED;
    use super::*;
    use crate::http::retry::RetryDecision;
    use crate::ids::DataSourceId;
    use reqwest::header::{HeaderValue, RETRY_AFTER};

    fn query() -> Exchange {
        Exchange::Query(DataSourceId::parse("164b19c5-58e5-4a47-a3a9-c905d9519c65").unwrap())
    }

    fn answer(status: u16, body: &str) -> NotionError {
        NotionError::Refused(NotionRefusal::read(&query(), status, &HeaderMap::new(), body.as_bytes()))
    }

    #[test]
    fn the_table_of_the_module_holds() {
        let limited = r#"{"object":"error","status":429,"code":"rate_limited","message":"m","additional_data":{"rate_limit_reason":"public_api_request_rate_limit","retry_after":"49"}}"#;
        assert_eq!(answer(429, limited).verdict(), Verdict::Wait(Duration::from_secs(49)));
        let blocked = limited.replace("public_api_request_rate_limit", BLOCKED);
        assert_eq!(answer(429, &blocked).verdict(), Verdict::Final);
        assert_eq!(answer(429, &blocked).class(), FailureClass::NotionBlocked);
        for status in [404, 409, 429, 500, 502, 503, 504, 520, 524, 529, 530] {
            assert_eq!(answer(status, "<html>bad gateway</html>").verdict(), Verdict::Retry, "{status}");
            assert_eq!(answer(status, "").class(), FailureClass::NotionUnavailable, "{status}");
        }
        for status in [303, 400, 401, 403] {
            assert_eq!(answer(status, "").verdict(), Verdict::Final, "{status}");
        }
        assert_eq!(answer(403, "<html>").class(), FailureClass::RequestBlocked);
    }

    #[test]
    fn the_header_wins_over_the_body() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let body = br#"{"object":"error","status":529,"code":"service_overload","message":"m","additional_data":{"retry_after":"49"}}"#;
        assert_eq!(NotionRefusal::read(&query(), 529, &headers, body).verdict(), Verdict::Wait(Duration::from_secs(7)));
    }

    #[test]
    fn a_rejected_cursor_is_known_by_its_message() {
        let error = answer(
            400,
            r#"{"object":"error","status":400,"code":"validation_error","message":"The start_cursor provided is invalid: 4d49","request_id":"r-1"}"#,
        );
        assert_eq!(error.meaning(), Some(Meaning::CursorRejected));
        assert!(Failure::from(error).describe().contains("request id r-1"));
        let other = r#"{"object":"error","status":400,"code":"validation_error","message":"body failed"}"#;
        assert_eq!(answer(400, other).meaning(), Some(Meaning::Rejected));
    }
}
