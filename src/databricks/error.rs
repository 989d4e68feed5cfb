//! The refusals of Databricks, and what they ask for (facts/databricks §1.3, §1.5). A statement that FAILED is an HTTP 200.
//!
//! | answer | consequence |
//! |---|---|
//! | submit or poll: 408, 429, 500, 502, 503, 504 with `Retry-After` | everyone waits as long as asked; no try is used up |
//! | 429, 503 without | the same exchange again for up to 5 minutes |
//! | the others without, broken connection, unreadable 200 | the same exchange again after the backoff |
//! | 401, 403 | credentials are read again and the exchange tried once more (by the client), then final |
//! | `FAILED` by a conflict (SQLSTATE 2D521) or a passing state of the service | a new statement |
//! | `FAILED` otherwise | final; the class comes from SQLSTATE and message |
//! | 404, 520–530 that are not Databricks' own | the same exchange again after the backoff |
//! | poll of a known statement: Databricks' own 404 | outcome unknown: a new statement (ours are guarded, so twice is harmless) |
//! | 400 or 413 about the body's size | final for this body; the caller halves the batch |

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::Exchange;
use super::grants::missing_grant;
use super::judge::{STALE_CACHE_MARK, class_of_failed, is_conflict, one_line, sql_state_in};
use super::statement::Status;
use crate::failure::FailureClass;
use crate::http::exchange::{ExchangeError, Refusal, Service};
use crate::http::retry::Verdict;
use crate::http::{self, excerpt, retry_after, shown_request_id};

/// Databricks, as a service that exchanges are made with.
#[derive(Debug)]
pub enum Databricks {}

impl Service for Databricks {
    type Exchange = Exchange;
    type Refusal = DatabricksRefusal;
    const NAME: &'static str = "Databricks";
    const ADDRESS_VARIABLE: &'static str = "DATABRICKS_HOST";
    const REQUEST_ID_HEADER: &'static str = "x-request-id";
    const CREDENTIALS: &'static str = "the Databricks credentials";
    const TOO_LARGE_REMEDY: &'static str = "";
    const UNAVAILABLE: FailureClass = FailureClass::DatabricksUnavailable;
    const UNREADABLE: FailureClass = FailureClass::DatabricksUnreadable;

    fn refusal(exchange: &Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> DatabricksRefusal {
        DatabricksRefusal::read(exchange, status, headers, body)
    }
}

/// A statement, or another exchange with Databricks, without a result.
pub type DatabricksError = ExchangeError<Databricks>;

/// An answer of Databricks that is not the one asked for, or the end of a statement that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum DatabricksRefusal {
    /// Databricks answered an HTTP error.
    #[error("{exchange} answered {status} {code}: {message}{}{}", shown_credential(.credential), shown_request_id(.request_id))]
    Api {
        exchange: Exchange,
        /// HTTP status.
        status: u16,
        /// `error_code` as text; `-` when there was none.
        code: String,
        /// The message, or the start of a body that is no API answer.
        message: String,
        /// True if the body is Databricks' own: JSON with an error's code or message.
        is_own: bool,
        /// The wait that the server asked for.
        retry_after: Option<Duration>,
        /// The variables of the credential that was refused.
        credential: Option<&'static str>,
        /// `x-request-id`.
        request_id: Option<String>,
    },
    /// A statement ended FAILED.
    #[error("{purpose}: statement {statement_id} failed with {code}{}: {message}", shown_sql_state(.sql_state))]
    Failed {
        purpose: String,
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
        /// The reason that Databricks gives, after a colon; empty when it gives none.
        reason: String,
        purpose: String,
        statement_id: String,
    },
    /// A statement did not end within the longest time we wait without a deadline.
    #[error("{purpose}: statement {statement_id} did not end within {waited_seconds} s and was cancelled")]
    TimedOut {
        purpose: String,
        statement_id: String,
        /// The time that we waited for it.
        waited_seconds: u64,
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

impl DatabricksRefusal {
    /// Reads an answer whose status is not 2xx.
    fn read(exchange: &Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let (is_own, code, message) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => {
                let code = shown(&error.error_code).or_else(|| shown(&error.error));
                let message = error.message.as_deref().map(one_line).or_else(|| shown(&error.error));
                (code.is_some(), code, message.unwrap_or_else(|| excerpt(body)))
            }
            Err(_) => {
                let appearance = http::appearance(status, headers, body);
                (false, None, format!("this is not Databricks' answer: {appearance}"))
            }
        };
        Self::Api {
            exchange: exchange.clone(),
            status,
            code: code.unwrap_or_else(|| "-".to_owned()),
            message,
            is_own,
            retry_after: retry_after(headers),
            credential: None,
            request_id,
        }
    }

    /// Reads the end of a statement that FAILED.
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

    /// Reads the end of a statement that was CANCELED, not by us.
    pub(super) fn from_cancelled(purpose: &str, statement_id: &str, status: &Status) -> Self {
        let message = status.error.as_ref().and_then(|error| error.message.as_deref());
        Self::Cancelled {
            reason: message.map(|message| format!(": {}", one_line(message))).unwrap_or_default(),
            purpose: purpose.to_owned(),
            statement_id: statement_id.to_owned(),
        }
    }

    /// Returns the refusal with the credential that was refused, by the variables of its own kind.
    pub(super) fn of_credential(mut self, names: &'static str) -> Self {
        if let Self::Api { status: 401 | 403, credential, .. } = &mut self {
            *credential = Some(names);
        }
        self
    }

    /// Returns true when the body of a statement, or its result, was too large. No other exchange has a body to shrink.
    fn is_too_large(&self) -> bool {
        match self {
            Self::Api { status: 413, exchange: Exchange::Submit(_), .. } => true,
            Self::Failed { message, .. } => message.contains("Inline byte limit exceeded"),
            Self::Api { status: 400, exchange: Exchange::Submit(_), message, .. } => {
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

    /// Returns true when Databricks itself does not know a statement any more, so that its outcome is unknown.
    fn is_of_forgotten_statement(&self) -> bool {
        matches!(self, Self::Api { status: 404, is_own: true, exchange: Exchange::Poll(_), .. })
    }

    fn is_worth_a_new_statement(&self) -> bool {
        let Self::Failed { code, sql_state, message, .. } = self else { return self.is_of_forgotten_statement() };
        is_conflict(sql_state.as_deref(), message)
            || class_of_failed(code, sql_state.as_deref(), message) == FailureClass::DatabricksUnavailable
    }
}

impl Refusal for DatabricksRefusal {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Api { status: 408 | 429 | 500 | 502 | 503 | 504, retry_after: Some(wait), .. } => {
                Verdict::Wait(*wait)
            }
            Self::Api { status: 429 | 503, .. } => Verdict::Busy,
            Self::Api { status: 408 | 500 | 502 | 504, .. } => Verdict::Retry,
            // A gateway that does not find its way today may find it in a second.
            Self::Api { status: 404 | 520..=530, is_own: false, .. } => Verdict::Retry,
            _ => Verdict::Final,
        }
    }

    /// A bad token is a 403, not always a 401 (facts/databricks §1.3).
    fn is_of_credential(&self) -> bool {
        matches!(self, Self::Api { status: 401 | 403, .. })
    }

    fn class(&self) -> FailureClass {
        match self {
            Self::Api { status, message, .. } => match status {
                401 => FailureClass::DatabricksUnauthorized,
                403 if message.to_lowercase().contains("token") => FailureClass::DatabricksUnauthorized,
                403 => FailureClass::DatabricksForbidden,
                408 | 429 | 500..=599 => FailureClass::DatabricksUnavailable,
                _ => FailureClass::DatabricksRejected,
            },
            Self::Failed { code, sql_state, message, .. } => class_of_failed(code, sql_state.as_deref(), message),
            Self::Cancelled { .. } => FailureClass::StatementFailed,
            Self::TimedOut { .. } => FailureClass::StatementTimeout,
        }
    }

    /// The GRANT that is missing, if the message names it.
    fn remark(&self) -> String {
        let grant =
            (self.class() == FailureClass::DatabricksForbidden).then(|| missing_grant(&self.to_string())).flatten();
        grant.map(|grant| format!("; missing: {grant}")).unwrap_or_default()
    }
}

impl DatabricksError {
    /// Returns the error with the credential that was refused, if one was.
    pub(super) fn of_credential(self, names: &'static str) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.of_credential(names)),
            other => other,
        }
    }

    /// Returns true when the body was too large: the caller may send less.
    pub fn is_too_large(&self) -> bool {
        self.refusal().is_some_and(DatabricksRefusal::is_too_large)
    }

    /// Returns true when the fence refused: another run has written the watermark since the cache last saw it.
    pub fn is_stale_cache(&self) -> bool {
        matches!(self.refusal(), Some(DatabricksRefusal::Failed { message, .. }) if message.contains(STALE_CACHE_MARK))
    }

    /// Returns true when a new statement may succeed: after a conflict with another writer, or in a passing state.
    pub(super) fn is_worth_a_new_statement(&self) -> bool {
        self.refusal().is_some_and(DatabricksRefusal::is_worth_a_new_statement)
    }

    /// Returns true when the statement uses syntax or a feature that this engine or channel does not know.
    pub fn is_unknown_syntax(&self) -> bool {
        let Some(DatabricksRefusal::Failed { sql_state: Some(state), .. }) = self.refusal() else { return false };
        state == "42601" || state.starts_with("0A")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databricks::PROOF_MARK;
    use crate::failure::Failure;
    use crate::http::retry::RetryDecision;

    fn failed(json: &str) -> DatabricksError {
        let status = serde_json::from_str(json).unwrap();
        DatabricksError::Refused(DatabricksRefusal::from_failed("merge of 2 rows", "01ef9de4", status))
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
            DatabricksError::Refused(DatabricksRefusal::read(&exchange, status, &HeaderMap::new(), body.as_bytes()))
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
