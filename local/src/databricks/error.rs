//! The error of a failed statement: code, message and SQLSTATE, mapped from the engine's texts.

/// The error of a statement that ended FAILED.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatementError {
    /// `BAD_REQUEST`, `INTERNAL_ERROR`, …
    pub error_code: String,
    /// With error class and `SQLSTATE: …` in it, as Databricks writes it.
    pub message: String,
    /// Five characters; newer answers carry it beside the message.
    pub sql_state: Option<String>,
}

/// SQLSTATE of a write conflict.
pub(super) const CONFLICT_STATE: &str = "2D521";

impl StatementError {
    /// A `BAD_REQUEST` with an error class and its SQLSTATE.
    pub(super) fn classed(class: &str, text: &str, sql_state: &str) -> Self {
        Self {
            error_code: "BAD_REQUEST".to_owned(),
            message: format!("[{class}] {text} SQLSTATE: {sql_state}"),
            sql_state: Some(sql_state.to_owned()),
        }
    }

    /// Unity Catalog's other refusal, which has neither class nor SQLSTATE.
    pub(super) fn denied(text: &str) -> Self {
        Self { error_code: "BAD_REQUEST".to_owned(), message: format!("PERMISSION_DENIED: {text}"), sql_state: None }
    }

    /// A syntax error repeats the statement, with a mark below the place.
    pub(super) fn quoting(mut self, statement: &str) -> Self {
        if self.message.starts_with("[PARSE_SYNTAX_ERROR]") && !self.message.contains("== SQL ==") {
            self.message = format!("\n{} (line 1, pos 0)\n\n== SQL ==\n{statement}\n^^^\n", self.message);
        }
        self
    }

    /// Another writer committed first.
    pub(super) fn conflict() -> Self {
        Self::classed(
            "DELTA_CONCURRENT_APPEND.WITHOUT_HINT",
            "Transaction conflict detected. A concurrent operation added files to the table. Please retry the operation.",
            CONFLICT_STATE,
        )
    }

    /// The engine itself is gone or can't be reached.
    pub(super) fn engine_gone(text: impl Into<String>) -> Self {
        Self { error_code: "TEMPORARILY_UNAVAILABLE".to_owned(), message: text.into(), sql_state: None }
    }

    /// It was cancelled.
    pub(super) fn canceled() -> Self {
        Self { error_code: "CANCELLED".to_owned(), message: "The statement was canceled.".to_owned(), sql_state: None }
    }

    /// The local endpoint has no bridge for this.
    pub(super) fn unsupported(text: &str) -> Self {
        Self::classed("UNSUPPORTED_FEATURE", &format!("The local endpoint does not know {text}."), "0A000")
    }

    /// Reads the engine's text; an own SQLSTATE wins. `raised` are the literals the statement itself may raise.
    pub(super) fn from_engine(message: &str, sql_state: Option<String>, raised: &[String]) -> Self {
        if message.contains("Failed to commit transaction") {
            return Self::conflict();
        }
        if let Some(state) = sql_state.or_else(|| stated(message)) {
            let message = if message.contains("SQLSTATE: ") {
                message.to_owned()
            } else {
                format!("{message} SQLSTATE: {state}")
            };
            return Self { error_code: "BAD_REQUEST".to_owned(), message, sql_state: Some(state) };
        }
        let text = bare(message);
        if raised.iter().any(|literal| text.contains(literal.as_str())) {
            return Self::classed("USER_RAISED_EXCEPTION", text, "P0001");
        }
        for (pattern, class, state) in KNOWN {
            if text.contains(pattern) {
                let text = text.replace(&format!("[{class}] "), "");
                return Self::classed(class, &text, state);
            }
        }
        Self { error_code: "BAD_REQUEST".to_owned(), message: text.to_owned(), sql_state: None }
    }
}

/// Texts of Sail 0.7, which sends no SQLSTATE, and what Databricks says instead.
const KNOWN: &[(&str, &str, &str)] = &[
    ("MERGE_CARDINALITY_VIOLATION", "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506"),
    ("TABLE_OR_VIEW_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("Table not found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("table not found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("Database not found", "SCHEMA_NOT_FOUND", "42704"),
    ("database not found", "SCHEMA_NOT_FOUND", "42704"),
    ("Catalog not found", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
    ("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502"),
    ("already exists", "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    ("invalid argument: found", "PARSE_SYNTAX_ERROR", "42601"),
    ("cannot resolve attribute", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    ("attribute not found", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    ("unknown function", "UNRESOLVED_ROUTINE", "42883"),
    ("Cannot cast", "CAST_INVALID_INPUT", "22018"),
];

/// The text without what the transport put in front of it.
fn bare(message: &str) -> &str {
    let mut text = message;
    if text.starts_with('[')
        && let Some((code, rest)) = text.split_once("] ")
        && !code.contains('_')
    {
        text = rest;
    }
    text
}

/// The state a message states itself.
fn stated(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("SQLSTATE: ")?;
    rest.get(..5).filter(|state| state.bytes().all(|byte| byte.is_ascii_alphanumeric())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_texts_become_databricks_errors() {
        let conflict = StatementError::from_engine("[Internal error] Failed to commit transaction: 0", None, &[]);
        assert_eq!(conflict.sql_state.as_deref(), Some("2D521"));
        let missing = StatementError::from_engine("[TABLE_OR_VIEW_NOT_FOUND] Table or view not found: t", None, &[]);
        assert_eq!(missing.message, "[TABLE_OR_VIEW_NOT_FOUND] Table or view not found: t SQLSTATE: 42P01");
        let spark = StatementError::from_engine("[USER_RAISED_EXCEPTION] no SQLSTATE: P0001", None, &[]);
        assert_eq!(
            (spark.sql_state.as_deref(), spark.message.as_str()),
            (Some("P0001"), "[USER_RAISED_EXCEPTION] no SQLSTATE: P0001")
        );
        let own = StatementError::from_engine("[Internal error] rows differ: 1", None, &["rows differ".to_owned()]);
        assert_eq!(own.message, "[USER_RAISED_EXCEPTION] rows differ: 1 SQLSTATE: P0001");
    }
}
