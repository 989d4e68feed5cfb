//! The judge of statements that FAILED: their class, by SQLSTATE where the answer has one, else by the names that Databricks
//! puts into its messages; and the part of a message that may be shown.

use crate::failure::FailureClass;
use crate::http;

/// Marks our own `raise_error` when the rows parsed are not those sent.
pub(crate) const ROW_COUNT_MARK: &str = "notion-sync: rows parsed differ from rows sent";
/// Marks our own `raise_error` when the keys of a proof parsed are not those sent.
pub(crate) const KEY_COUNT_MARK: &str = "notion-sync: keys parsed differ from keys sent";
/// Marks our own `raise_error` when another run has written the watermark since the cache last saw it.
pub(crate) const STALE_CACHE_MARK: &str = "notion-sync: the cache is behind the truth";
/// Marks our own `raise_error` when the table lacks a row of the run.
pub(crate) const PROOF_MARK: &str = "notion-sync: proof failed";

/// `error_code`s that describe the service's state, not the statement (facts/databricks §1.5).
const PASSING_CODES: [&str; 9] = [
    "TEMPORARILY_UNAVAILABLE",
    "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    "SERVICE_UNDER_MAINTENANCE",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "IO_ERROR",
    "UNKNOWN",
];

/// SQLSTATE classes of errors that lie in the statement or its data: no new statement cures them, whatever the code says.
fn is_of_the_statement(sql_state: &str) -> bool {
    ["0A", "21", "22", "23", "42", "P0"].iter().any(|class| sql_state.starts_with(class))
}

/// The names of Delta's conflicts, of present and of older runtimes.
const CONFLICTS: [&str; 9] = [
    "[DELTA_CONCURRENT_",
    "[DELTA_METADATA_CHANGED",
    "[DELTA_PROTOCOL_CHANGED",
    "ConcurrentAppendException",
    "ConcurrentDeleteReadException",
    "ConcurrentDeleteDeleteException",
    "ConcurrentTransactionException",
    "MetadataChangedException",
    "ProtocolChangedException",
];

pub(super) fn is_conflict(sql_state: Option<&str>, message: &str) -> bool {
    sql_state == Some("2D521") || CONFLICTS.iter().any(|name| message.contains(name))
}

pub(super) fn class_of_failed(code: &str, sql_state: Option<&str>, message: &str) -> FailureClass {
    if message.contains(PROOF_MARK) {
        return FailureClass::ProofFailed;
    }
    if [ROW_COUNT_MARK, KEY_COUNT_MARK, "[MALFORMED_RECORD_IN_PARSING"].iter().any(|mark| message.contains(mark)) {
        return FailureClass::RowCountMismatch;
    }
    if is_conflict(sql_state, message) {
        return FailureClass::StatementConflict;
    }
    let missing = [
        "[TABLE_OR_VIEW_NOT_FOUND",
        "[SCHEMA_NOT_FOUND",
        "[UNRESOLVED_COLUMN",
        "[DELTA_MERGE_UNRESOLVED_EXPRESSION",
        "[NO_SUCH_CATALOG_EXCEPTION",
    ];
    match sql_state {
        Some("42P01" | "42703" | "42704") => FailureClass::TableMissing,
        Some("42501") => FailureClass::DatabricksForbidden,
        Some("42P22") => FailureClass::TableUnsuitable,
        _ if missing.iter().any(|class| message.contains(class)) => FailureClass::TableMissing,
        _ if code == "PERMISSION_DENIED" => FailureClass::DatabricksForbidden,
        _ if ["[INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED"].iter().any(|sign| message.contains(sign)) => {
            FailureClass::DatabricksForbidden
        }
        _ if code == "UNAUTHENTICATED" => FailureClass::DatabricksUnauthorized,
        state if PASSING_CODES.contains(&code) && !state.is_some_and(is_of_the_statement) => {
            FailureClass::DatabricksUnavailable
        }
        _ => FailureClass::StatementFailed,
    }
}

pub(super) fn one_line(message: &str) -> String {
    // What follows is the statement's own text, or a record that can't be parsed: rows of the customer's data.
    let safe = ["== SQL", "record parsing:"].iter().filter_map(|mark| message.find(mark)).min();
    http::one_line(&message[..safe.unwrap_or(message.len())])
}

pub(super) fn sql_state_in(message: &str) -> Option<String> {
    let state: String = message.split("SQLSTATE: ").nth(1)?.chars().take(5).collect();
    (state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(state)
}
