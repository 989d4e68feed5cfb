//! The log: what was submitted, kept for tests, the demo and later polls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::bind::Parameter;
use super::error::StatementError;
use super::shape::StatementKind;
use super::statements::{Statement, StatementState, Submission};

/// The number of statements that the log keeps.
const REMEMBERED_STATEMENTS: usize = 10_000;
/// The number of the newest statements that keep their result. The API keeps it for an hour.
const REMEMBERED_RESULTS: usize = 500;
/// Parameter values up to this length are shown in the log.
const SHOWN_VALUE_BYTES: usize = 256;

/// A statement as the log shows it.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedStatement {
    /// Statement id.
    pub id: String,
    /// Text as submitted.
    pub text: String,
    /// Kind of statement.
    pub kind: StatementKind,
    /// Parameters without long values.
    pub parameters: Vec<LoggedParameter>,
    /// State now.
    pub state: StatementState,
    /// The error of a failed one.
    pub error: Option<StatementError>,
    /// When it was submitted.
    #[serde(serialize_with = "as_unix_milliseconds")]
    pub submitted_at: SystemTime,
}

/// A parameter as the log shows it.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedParameter {
    pub name: String,
    /// SQL type.
    pub type_text: String,
    /// Length of the value; none is NULL.
    pub value_bytes: Option<usize>,
    /// The value, when it is short.
    pub value: Option<String>,
}

impl LoggedParameter {
    pub(super) fn of(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            type_text: parameter.type_text.clone(),
            value_bytes: parameter.value.as_ref().map(String::len),
            value: parameter.value.clone().filter(|value| value.len() <= SHOWN_VALUE_BYTES),
        }
    }
}

fn as_unix_milliseconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u128(since.as_millis())
}

/// The statements of one endpoint, oldest first.
#[derive(Debug, Default)]
pub(super) struct Statements {
    entries: Mutex<VecDeque<Arc<Statement>>>,
}

impl Statements {
    fn entries(&self) -> MutexGuard<'_, VecDeque<Arc<Statement>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a new statement.
    pub(super) fn add(&self, submission: Submission) -> Arc<Statement> {
        let statement = Arc::new(Statement::new(submission));
        let mut entries = self.entries();
        entries.push_back(Arc::clone(&statement));
        if entries.len() > REMEMBERED_STATEMENTS {
            entries.pop_front();
        }
        if let Some(old) = entries.len().checked_sub(REMEMBERED_RESULTS).and_then(|at| entries.get(at)) {
            old.forget_result();
        }
        statement
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Statement>> {
        self.entries().iter().rev().find(|statement| statement.id == id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Statement>> {
        self.entries().iter().cloned().collect()
    }

    /// Forgets the statements that have ended.
    pub(super) fn clear(&self) {
        self.entries().retain(|statement| !statement.has_ended());
    }
}
