//! Why work ended before its end: the deadline, which is no failure, or a failure.

use std::time::Duration;

use crate::databricks::DatabricksError;
use crate::failure::{Failure, FailureClass};
use crate::notion::NotionError;

/// Why work ended early.
#[derive(Debug)]
pub enum Stop {
    /// The time for work is over: store the position and answer `partial`.
    DeadlineNear {
        /// The wait that a server asked for, if that was the reason.
        retry_after: Option<Duration>,
    },
    /// The run fails.
    Failed(Failure),
}

impl Stop {
    /// The same with `context` in front of a failure's message.
    #[must_use]
    pub fn context(self, context: impl std::fmt::Display) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(failure.context(context)),
            near @ Self::DeadlineNear { .. } => near,
        }
    }
}

impl From<NotionError> for Stop {
    fn from(error: NotionError) -> Self {
        match error {
            NotionError::DeadlineNear { retry_after } => Self::DeadlineNear { retry_after },
            error => Self::Failed(error.into()),
        }
    }
}

impl From<DatabricksError> for Stop {
    fn from(error: DatabricksError) -> Self {
        match error {
            DatabricksError::DeadlineNear { retry_after } => Self::DeadlineNear { retry_after },
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        // A statement that the deadline cut short is no failure of the run.
        if failure.class() == FailureClass::DeadlineExceeded {
            return Self::DeadlineNear { retry_after: None };
        }
        Self::Failed(failure)
    }
}
