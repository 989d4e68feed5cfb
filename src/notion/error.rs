//! What Notion's answers mean: status and code → class, and whether to ask again (facts/notion §4.3).
//!
//! | answer | consequence |
//! |---|---|
//! | 408, 409, 429, 500, 502, 503, 504, 529 with `Retry-After` | everyone waits as long as asked; no try is used up, but by 503 and 504 to a query that can ask for fewer rows |
//! | the same without, broken connection, unreadable 200 | again after the backoff |
//! | `public_api_request_blocked` | never again |
//! | 401, 403 | the secret is read again and the exchange tried once more (by the client), then final |
//! | 400 `The start_cursor provided is invalid` | final for the exchange; the walk restarts its stretch |
//! | any other 4xx | final |

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, FailureClass};
use crate::http::retry::{Judged, Verdict};
use crate::http::{BodyError, excerpt, one_line, retry_after, shown_request_id};

/// Why an exchange with Notion gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum NotionError {
    /// Notion answered an error.
    #[error("{exchange} answered {status} {code}: {message}{}", shown_request_id(.request_id))]
    Api {
        /// Method and path.
        exchange: String,
        /// HTTP status.
        status: u16,
        /// Notion's stable code; `-` when the body had none.
        code: String,
        /// Notion's message, or the start of a body that is none of Notion's.
        message: String,
        /// `additional_data.rate_limit_reason`.
        rate_limit_reason: Option<String>,
        /// The wait that the server asked for.
        retry_after: Option<Duration>,
        /// The id that Notion's support asks for.
        request_id: Option<String>,
    },
    /// No answer: the connection failed, timed out or broke.
    #[error("{exchange} got no answer")]
    Transport {
        /// Method and path.
        exchange: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A 200 whose body can't be read.
    #[error("{exchange} answered what can't be read{}: {reason}", shown_request_id(.request_id))]
    Unreadable {
        /// Method and path.
        exchange: String,
        /// What is wrong with it.
        reason: String,
        /// The id that Notion's support asks for.
        request_id: Option<String>,
    },
    /// All tries of an exchange failed.
    #[error("{source} (given up after {tries} tries)")]
    GivenUp {
        /// How often it was tried.
        tries: u32,
        /// The last error.
        source: Box<NotionError>,
    },
    /// The credentials could not be read.
    #[error("reading the Notion token")]
    Credentials(#[source] Failure),
    /// The run's time for work is over.
    #[error("the run's deadline is near")]
    DeadlineNear {
        /// The wait that a server asked for, if that was the reason.
        retry_after: Option<Duration>,
    },
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    additional_data: Value,
}

impl NotionError {
    /// Reads an answer whose status is not 2xx.
    pub(super) fn from_answer(exchange: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("x-notion-request-id").or_else(|| header("cf-ray"));
        let exchange = exchange.to_owned();
        let Ok(error) = serde_json::from_slice::<ErrorBody>(body) else {
            return Self::Api {
                exchange,
                status,
                code: "-".to_owned(),
                message: excerpt(body),
                rate_limit_reason: None,
                retry_after: retry_after(headers),
                request_id,
            };
        };
        let told = |key: &str| error.additional_data.get(key).and_then(Value::as_str);
        Self::Api {
            exchange,
            status,
            code: one_line(&error.code),
            rate_limit_reason: told("rate_limit_reason").map(str::to_owned),
            retry_after: retry_after(headers)
                .or_else(|| told("retry_after").and_then(|text| text.parse().ok()).map(Duration::from_secs)),
            request_id: error.request_id.or(request_id),
            message: one_line(&error.message),
        }
    }

    /// The body of an exchange could not be read to its end.
    pub(super) fn from_body(exchange: &str, error: BodyError) -> Self {
        match error {
            BodyError::Transport(source) => Self::Transport { exchange: exchange.to_owned(), source },
            BodyError::TooLarge => Self::Unreadable {
                exchange: exchange.to_owned(),
                reason: format!("{error}; set a smaller BATCH_SIZE"),
                request_id: None,
            },
        }
    }

    fn root(&self) -> &Self {
        match self {
            Self::GivenUp { source, .. } => source.root(),
            other => other,
        }
    }

    fn status(&self) -> Option<u16> {
        match self.root() {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The cursor was refused: nothing but starting the stretch again helps. There is no code of its own for it
    /// (facts/notion §2.6).
    #[must_use]
    pub fn is_rejected_cursor(&self) -> bool {
        matches!(self.root(), Self::Api { status: 400, message, .. } if message.starts_with("The start_cursor provided is invalid"))
    }

    /// Notion's query backend is overloaded: a smaller page may pass (facts/notion §2.7).
    #[must_use]
    pub fn is_overload(&self) -> bool {
        matches!(self.status(), Some(503 | 504))
    }

    /// The object does not exist or is not shared; the same by Notion's design.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Notion itself says so of the object: what a page behind a proxy that answers 404 does not, and rows may only be
    /// marked on Notion's word.
    #[must_use]
    pub fn is_object_not_found(&self) -> bool {
        matches!(self.root(), Self::Api { status: 404, code, .. } if code == "object_not_found")
    }

    /// The connection may not see the object.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// The token or one of its rights was refused: the secret may have been rotated.
    #[must_use]
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// The failure class this error ends a run with.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self.root() {
            Self::Api { status, rate_limit_reason, .. } => match status {
                401 => FailureClass::NotionUnauthorized,
                403 => FailureClass::NotionForbidden,
                404 => FailureClass::SourceAccessLost,
                429 if rate_limit_reason.as_deref() == Some(BLOCKED) => FailureClass::NotionBlocked,
                409 | 429 | 500..=599 => FailureClass::NotionUnavailable,
                _ => FailureClass::NotionRejected,
            },
            Self::Transport { .. } => FailureClass::NotionUnavailable,
            Self::Unreadable { .. } => FailureClass::NotionUnreadable,
            Self::Credentials(failure) => failure.class(),
            Self::DeadlineNear { .. } => FailureClass::DeadlineExceeded,
            Self::GivenUp { .. } => FailureClass::Internal,
        }
    }
}

const BLOCKED: &str = "public_api_request_blocked";

impl Judged for NotionError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Api { status: 429 | 529, rate_limit_reason, retry_after, .. } => {
                match (rate_limit_reason.as_deref(), retry_after) {
                    (Some(BLOCKED), _) => Verdict::Final,
                    (_, Some(wait)) => Verdict::Wait(*wait),
                    (_, None) => Verdict::Retry,
                }
            }
            Self::Api { status: 503 | 504, retry_after: Some(wait), .. } => Verdict::WaitOrLess(*wait),
            Self::Api { status: 409 | 408 | 500 | 502, retry_after: Some(wait), .. } => Verdict::Wait(*wait),
            Self::Api { status: 409 | 408 | 500 | 502 | 503 | 504, .. } => Verdict::Retry,
            Self::Transport { .. } | Self::Unreadable { .. } => Verdict::Retry,
            _ => Verdict::Final,
        }
    }
}

impl From<NotionError> for Failure {
    fn from(error: NotionError) -> Self {
        if let NotionError::Credentials(failure) = error {
            return failure.context("reading the Notion token");
        }
        let class = error.class();
        let message = error.to_string();
        match error {
            NotionError::Transport { source, .. } => Self::new(class, message).caused_by(source),
            NotionError::GivenUp { source, .. } => match *source {
                NotionError::Transport { source, .. } => Self::new(class, message).caused_by(source),
                _ => Self::new(class, message),
            },
            _ => Self::new(class, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderValue, RETRY_AFTER};

    fn answer(status: u16, body: &str) -> NotionError {
        NotionError::from_answer("POST /v1/data_sources/1/query", status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn the_table_of_the_module_holds() {
        let limited = r#"{"object":"error","status":429,"code":"rate_limited","message":"m","additional_data":{"rate_limit_reason":"public_api_request_rate_limit","retry_after":"49"}}"#;
        assert_eq!(answer(429, limited).verdict(), Verdict::Wait(Duration::from_secs(49)));
        let blocked = limited.replace("public_api_request_rate_limit", BLOCKED);
        assert_eq!(answer(429, &blocked).verdict(), Verdict::Final);
        assert_eq!(answer(429, &blocked).class(), FailureClass::NotionBlocked);
        for status in [409, 429, 500, 502, 503, 504, 529] {
            assert_eq!(answer(status, "<html>bad gateway</html>").verdict(), Verdict::Retry, "{status}");
            assert_eq!(answer(status, "").class(), FailureClass::NotionUnavailable, "{status}");
        }
        for status in [400, 401, 403, 404] {
            assert_eq!(answer(status, "").verdict(), Verdict::Final, "{status}");
        }
    }

    #[test]
    fn the_header_wins_over_the_body() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let body = br#"{"code":"service_overload","message":"m","additional_data":{"retry_after":"49"}}"#;
        assert_eq!(
            NotionError::from_answer("GET /x", 529, &headers, body).verdict(),
            Verdict::Wait(Duration::from_secs(7))
        );
    }

    #[test]
    fn a_rejected_cursor_is_known_by_its_message() {
        let error = answer(
            400,
            r#"{"code":"validation_error","message":"The start_cursor provided is invalid: 4d49","request_id":"r-1"}"#,
        );
        assert!(error.is_rejected_cursor());
        assert!(Failure::from(error).describe().contains("request id r-1"));
        assert!(!answer(400, r#"{"code":"validation_error","message":"body failed"}"#).is_rejected_cursor());
    }
}
