//! What Databricks' answers mean (facts/databricks §1.3, §1.5). A statement that FAILED is an HTTP 200.
//!
//! | answer | consequence |
//! |---|---|
//! | submit or poll: 408, 429, 500, 502, 503, 504 with `Retry-After` | everyone waits as long as asked; no try is used up |
//! | 429, 503 without | the same exchange again for up to 5 minutes |
//! | the others without, broken connection, unreadable 200 | the same exchange again after the backoff |
//! | 401, 403 | credentials are read again and the exchange tried once more (by the client), then final |
//! | `FAILED` by a conflict (SQLSTATE 2D521) or a passing state of the service | a new statement |
//! | `FAILED` otherwise | final; the class comes from SQLSTATE and message |
//! | poll of a known statement: 404 | outcome unknown: a new statement (ours are guarded, so twice is harmless) |
//! | 400 or 413 about the body's size | final for this body; the caller halves the batch |

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::Exchange;
use super::grants::missing_grant;
use super::judge::{STALE_CACHE_MARK, class_of_failed, is_conflict, one_line, sql_state_in};
use super::statement::Status;
use crate::failure::{Failure, FailureClass};
use crate::http::retry::{Judged, Verdict};
use crate::http::{self, BodyError, excerpt, retry_after, shown_request_id};

/// Why a statement gave no result.
#[derive(Debug, thiserror::Error)]
pub enum DatabricksError {
    /// Databricks answered an HTTP error.
    #[error("{exchange} answered {status} {code}: {message}{}{}", shown_credential(.credential), shown_request_id(.request_id))]
    Api {
        /// The exchange.
        exchange: Exchange,
        /// HTTP status.
        status: u16,
        /// `error_code` as text; `-` when there was none.
        code: String,
        /// The message, or the start of a body that is no API answer.
        message: String,
        /// The wait that the server asked for.
        retry_after: Option<Duration>,
        /// The variables of the credential that was refused.
        credential: Option<&'static str>,
        /// `x-request-id`.
        request_id: Option<String>,
    },
    /// No answer: the connection failed, timed out or broke.
    #[error("{exchange} got no answer from {server}")]
    Transport {
        /// The exchange.
        exchange: Exchange,
        /// The host, the variable that names it, and what was wrong.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A 2xx whose body can't be read.
    #[error("{exchange} answered what can't be read{}: {reason}", shown_request_id(.request_id))]
    Unreadable {
        /// The exchange.
        exchange: Exchange,
        /// What is wrong with it.
        reason: String,
        /// `x-request-id`.
        request_id: Option<String>,
    },
    /// A statement ended FAILED.
    #[error("{purpose}: statement {statement_id} failed with {code}{}: {message}", shown_sql_state(.sql_state))]
    Failed {
        /// What the statement was for.
        purpose: String,
        /// The statement's id.
        statement_id: String,
        /// `error_code`.
        code: String,
        /// SQLSTATE, from the status or the message.
        sql_state: Option<String>,
        /// The message, one line.
        message: String,
    },
    /// A statement ended CANCELED, or was cancelled at our deadline.
    #[error("{purpose}: statement {statement_id} was cancelled{reason}")]
    Cancelled {
        /// What Databricks says of it, after a colon; empty when it says nothing.
        reason: String,
        /// What the statement was for.
        purpose: String,
        /// The statement's id.
        statement_id: String,
    },
    /// A statement did not end within the longest time we wait without a deadline.
    #[error("{purpose}: statement {statement_id} did not end within {waited_seconds} s and was cancelled")]
    TimedOut {
        /// What the statement was for.
        purpose: String,
        /// The statement's id.
        statement_id: String,
        /// How long it was waited for.
        waited_seconds: u64,
    },
    /// All tries of an exchange or a statement failed.
    #[error("{source} (given up after {tries} tries)")]
    GivenUp {
        /// How often it was tried.
        tries: u32,
        /// The last error.
        source: Box<DatabricksError>,
    },
    /// The credentials could not be read.
    #[error("reading the Databricks credentials")]
    Credentials(#[source] Failure),
    /// The run's time for work is over; a statement under way was cancelled.
    #[error("the run's deadline is near")]
    DeadlineNear {
        /// The wait that a server asked for, if that was the reason.
        retry_after: Option<Duration>,
    },
}

fn shown_credential(credential: &Option<&'static str>) -> String {
    credential.map(|names| format!(" (the credential is {names})")).unwrap_or_default()
}

fn shown_sql_state(sql_state: &Option<String>) -> String {
    sql_state.as_ref().map(|state| format!(" (SQLSTATE {state})")).unwrap_or_default()
}

/// `error_code` is a text or a number; bodies come in several shapes (facts/databricks §1.3).
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error_code: Value,
    #[serde(default, alias = "detail", alias = "error_description")]
    message: Option<String>,
    #[serde(default)]
    error: Value,
}

/// A code or message as text; anything but a text or a number is none.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(one_line(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl DatabricksError {
    /// Reads an answer whose status is not 2xx.
    pub(super) fn from_answer(exchange: &Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let (code, message) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => {
                let code = shown(&error.error_code).or_else(|| shown(&error.error));
                let message = error.message.as_deref().map(one_line).or_else(|| shown(&error.error));
                (code, message.unwrap_or_else(|| excerpt(body)))
            }
            Err(_) => (None, format!("this is not Databricks' answer: {}", http::appearance(status, headers, body))),
        };
        Self::Api {
            exchange: exchange.clone(),
            status,
            code: code.unwrap_or_else(|| "-".to_owned()),
            message,
            retry_after: retry_after(headers),
            credential: None,
            request_id,
        }
    }

    pub(super) fn from_body(exchange: &Exchange, server: String, error: BodyError) -> Self {
        let exchange = exchange.clone();
        match error {
            BodyError::Transport(source) => Self::Transport { exchange, server, source },
            BodyError::TooLarge => Self::Unreadable { exchange, reason: error.to_string(), request_id: None },
        }
    }

    /// Names the credential that was refused, by the variables of its own kind.
    pub(super) fn of_credential(mut self, names: &'static str) -> Self {
        let mut error = &mut self;
        while let Self::GivenUp { source, .. } = error {
            error = source;
        }
        if let Self::Api { status: 401 | 403, credential, .. } = error {
            *credential = Some(names);
        }
        self
    }

    /// A statement that ended FAILED.
    pub(super) fn from_failed(purpose: &str, statement_id: &str, status: Status) -> Self {
        let error = status.error;
        let message = error.as_ref().and_then(|error| error.message.as_deref());
        let message = message.map_or_else(|| "no message".to_owned(), one_line);
        let sql_state = status.sql_state.or_else(|| sql_state_in(&message));
        Self::Failed {
            purpose: purpose.to_owned(),
            statement_id: statement_id.to_owned(),
            code: error.and_then(|error| shown(&error.error_code)).unwrap_or_else(|| "UNKNOWN".to_owned()),
            sql_state,
            message,
        }
    }

    /// A statement that ended CANCELED, not by us.
    pub(super) fn from_cancelled(purpose: &str, statement_id: &str, status: &Status) -> Self {
        let message = status.error.as_ref().and_then(|error| error.message.as_deref());
        Self::Cancelled {
            reason: message.map(|message| format!(": {}", one_line(message))).unwrap_or_default(),
            purpose: purpose.to_owned(),
            statement_id: statement_id.to_owned(),
        }
    }

    fn root(&self) -> &Self {
        match self {
            Self::GivenUp { source, .. } => source.root(),
            other => other,
        }
    }

    /// A token was refused, or a right is missing: the secret may have been rotated, or the token has expired. A bad token
    /// is a 403, not always a 401 (facts/databricks §1.3).
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.root(), Self::Api { status: 401 | 403, .. })
    }

    /// The statement's outcome is unknown: Databricks does not know it any more.
    pub(super) fn is_forgotten_statement(&self) -> bool {
        matches!(self.root(), Self::Api { status: 404, exchange: Exchange::Poll(_), .. })
    }

    /// The body was too large: the caller may send less.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self.root() {
            Self::Api { status: 413, .. } => true,
            Self::Failed { message, .. } => message.contains("Inline byte limit exceeded"),
            Self::Api { status: 400, message, .. } => {
                // The text is not documented. A limit that speaks of nothing that is sent (a warehouse's, a quota's) is another.
                let message = message.to_lowercase();
                let says = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
                let is_of_what_is_sent =
                    || says(&["request", "body", "payload", "query text", "statement", "byte", "mib"]);
                says(&["too large", "too long"]) || says(&["size", "exceed"]) && is_of_what_is_sent()
            }
            _ => false,
        }
    }

    /// The fence refused: another run has written the watermark since the cache last saw it.
    #[must_use]
    pub fn is_stale_cache(&self) -> bool {
        matches!(self.root(), Self::Failed { message, .. } if message.contains(STALE_CACHE_MARK))
    }

    /// A FAILED statement that a new statement may cure: a conflict with another writer, or a passing state.
    pub(super) fn is_worth_a_new_statement(&self) -> bool {
        let Self::Failed { code, sql_state, message, .. } = self.root() else { return self.is_forgotten_statement() };
        is_conflict(sql_state.as_deref(), message)
            || class_of_failed(code, sql_state.as_deref(), message) == FailureClass::DatabricksUnavailable
    }

    /// The statement uses syntax or a feature that this engine or channel does not know.
    #[must_use]
    pub fn is_unknown_syntax(&self) -> bool {
        matches!(self.root(), Self::Failed { sql_state: Some(state), .. } if state == "42601" || state.starts_with("0A"))
    }

    /// The failure class this error ends a run with.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self.root() {
            Self::Api { status, message, .. } => match status {
                401 => FailureClass::DatabricksUnauthorized,
                403 if message.to_lowercase().contains("token") => FailureClass::DatabricksUnauthorized,
                403 => FailureClass::DatabricksForbidden,
                408 | 429 | 500..=599 => FailureClass::DatabricksUnavailable,
                _ => FailureClass::DatabricksRejected,
            },
            Self::Transport { .. } => FailureClass::DatabricksUnavailable,
            Self::Unreadable { .. } => FailureClass::DatabricksUnreadable,
            Self::Failed { code, sql_state, message, .. } => class_of_failed(code, sql_state.as_deref(), message),
            Self::Cancelled { .. } => FailureClass::StatementFailed,
            Self::TimedOut { .. } => FailureClass::StatementTimeout,
            Self::Credentials(failure) => failure.class(),
            Self::DeadlineNear { .. } => FailureClass::DeadlineExceeded,
            Self::GivenUp { .. } => FailureClass::Internal,
        }
    }
}

impl Judged for DatabricksError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Api { status: 408 | 429 | 500 | 502 | 503 | 504, retry_after: Some(wait), .. } => {
                Verdict::Wait(*wait)
            }
            Self::Api { status: 429 | 503, .. } => Verdict::Busy,
            Self::Api { status: 408 | 500 | 502 | 504, .. } => Verdict::Retry,
            Self::Transport { .. } | Self::Unreadable { .. } => Verdict::Retry,
            _ => Verdict::Final,
        }
    }
}

impl From<DatabricksError> for Failure {
    fn from(error: DatabricksError) -> Self {
        if let DatabricksError::Credentials(failure) = error {
            return failure.context("reading the Databricks credentials");
        }
        let class = error.class();
        let mut message = error.to_string();
        if class == FailureClass::DatabricksForbidden
            && let Some(grant) = missing_grant(&message)
        {
            message = format!("{message}; missing: {grant}");
        }
        match error {
            DatabricksError::DeadlineNear { retry_after } => Self::new(class, message).waiting(retry_after),
            DatabricksError::Transport { source, .. } => Self::new(class, message).caused_by(source),
            DatabricksError::GivenUp { source, .. } => match *source {
                DatabricksError::Transport { source, .. } => Self::new(class, message).caused_by(source),
                _ => Self::new(class, message),
            },
            _ => Self::new(class, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databricks::PROOF_MARK;

    fn failed(json: &str) -> DatabricksError {
        DatabricksError::from_failed("merge of 2 rows", "01ef9de4", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_failed_statement_is_classified_by_sql_state_also_out_of_the_message() {
        let missing = failed(
            r#"{"state":"FAILED","error":{"error_code":"BAD_REQUEST","message":"[TABLE_OR_VIEW_NOT_FOUND] `main`.`bronze`.`x` cannot be found. SQLSTATE: 42P01 (line 1)"}}"#,
        );
        assert_eq!(missing.class(), FailureClass::TableMissing);
        assert!(!missing.is_worth_a_new_statement());
        let conflict = failed(
            r#"{"state":"FAILED","sql_state":"2D521","error":{"error_code":"BAD_REQUEST","message":"[DELTA_CONCURRENT_APPEND] x"}}"#,
        );
        assert!(conflict.is_worth_a_new_statement());
        assert_eq!(conflict.class(), FailureClass::StatementConflict);
        let forbidden = failed(
            r#"{"state":"FAILED","error":{"error_code":"BAD_REQUEST","message":"com.databricks.sql.managedcatalog.acl.UnauthorizedAccessException: PERMISSION_DENIED: User does not have MODIFY on Table 'main.bronze.x'."}}"#,
        );
        assert_eq!(forbidden.class(), FailureClass::DatabricksForbidden);
        let odd = failed(r#"{"state":"FAILED","sql_state":"42P01","error":{"error_code":404,"message":null}}"#);
        assert_eq!(odd.class(), FailureClass::TableMissing);
        let proof = failed(&format!(
            r#"{{"state":"FAILED","error":{{"error_code":"UNKNOWN","message":"[USER_RAISED_EXCEPTION] {PROOF_MARK}"}}}}"#
        ));
        assert_eq!(proof.class(), FailureClass::ProofFailed);
        assert!(!proof.is_worth_a_new_statement());
    }

    #[test]
    fn the_statement_text_is_not_shown() {
        let error = failed(
            r#"{"state":"FAILED","error":{"error_code":"BAD_REQUEST","message":"\n[PARSE_SYNTAX_ERROR] near 'X'. SQLSTATE: 42601\n\n== SQL ==\nsecret rows\n"}}"#,
        );
        let text = Failure::from(error).describe();
        assert!(text.contains("01ef9de4") && text.contains("42601") && !text.contains("secret rows"), "{text}");
    }

    #[test]
    fn error_bodies_of_every_shape_are_read() {
        let read = |status, body: &str| {
            let exchange = Exchange::Submit("merge".to_owned());
            DatabricksError::from_answer(&exchange, status, &HeaderMap::new(), body.as_bytes())
        };
        assert_eq!(
            read(403, r#"{"error_code":403,"message":"Invalid access token."}"#).class(),
            FailureClass::DatabricksUnauthorized
        );
        assert_eq!(
            read(403, r#"{"error_code":"PERMISSION_DENIED","message":"no CAN USE"}"#).class(),
            FailureClass::DatabricksForbidden
        );
        assert!(read(404, r#"{"error":"Bad Target: /x"}"#).to_string().contains("Bad Target"));
        assert_eq!(read(502, "<html>").verdict(), Verdict::Retry);
        assert!(
            read(400, r#"{"error_code":"BAD_REQUEST","message":"The query text size exceeds 16 MiB"}"#).is_too_large()
        );
        assert!(
            !read(400, r#"{"error_code":"BAD_REQUEST","message":"Warehouse size limit exceeded by quota."}"#)
                .is_too_large()
        );
        let long = format!(r#"{{"error_code":"BAD_REQUEST","message":"a\u001b[31m {}"}}"#, "x".repeat(1_000_000));
        let shown = read(400, &long).to_string();
        assert!(shown.len() < 1_000 && !shown.contains('\u{1b}'), "{shown:.80?}");
        assert!(
            !read(400, r#"{"error_code":"BAD_REQUEST","message":"too many parameters: the limit is 256."}"#)
                .is_too_large()
        );
    }
}
