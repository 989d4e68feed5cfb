//! The end of work before it was done: the deadline, which is no failure, or a failure.

use std::time::Duration;

use crate::failure::{Failure, FailureClass};
use crate::http::exchange::{ExchangeError, Service};

/// The time for work is over: the position is stored, and the run answers `partial`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfTime {
    /// The wait that a server asked for, if that was the reason.
    pub retry_after: Option<Duration>,
}

/// The end of work that can be continued by another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of it is done.
    Complete,
    /// The time was over first.
    OutOfTime(OutOfTime),
}

/// The reason why a step of the work could not be done. It travels by `?` up to where the work is ended in order, and is
/// turned there into an [`Ended`] or a failure.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The time for work is over.
    OutOfTime(OutOfTime),
    /// The run fails.
    Failed(Failure),
}

impl Stop {
    /// Puts `context` in front of a failure's message.
    pub(crate) fn context(self, context: impl std::fmt::Display) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(failure.context(context)),
            Self::OutOfTime(out_of_time) => Self::OutOfTime(out_of_time),
        }
    }

    /// Returns the end of the time for work, if that is the reason.
    pub(crate) fn out_of_time(&self) -> Option<OutOfTime> {
        match self {
            Self::OutOfTime(out_of_time) => Some(*out_of_time),
            Self::Failed(_) => None,
        }
    }
}

impl Ended {
    /// Tells the end of time from a failure.
    ///
    /// # Errors
    /// The failure.
    pub(crate) fn of(result: Result<(), Stop>) -> Result<Self, Failure> {
        match result {
            Ok(()) => Ok(Self::Complete),
            Err(Stop::OutOfTime(out_of_time)) => Ok(Self::OutOfTime(out_of_time)),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }
}

impl From<OutOfTime> for Stop {
    fn from(out_of_time: OutOfTime) -> Self {
        Self::OutOfTime(out_of_time)
    }
}

impl<S: Service> From<ExchangeError<S>> for Stop {
    fn from(error: ExchangeError<S>) -> Self {
        match error {
            ExchangeError::DeadlineNear { retry_after } => OutOfTime { retry_after }.into(),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        // A statement that the deadline cut short is no failure of the run.
        if failure.class() == FailureClass::DeadlineExceeded {
            return OutOfTime { retry_after: failure.retry_after() }.into();
        }
        Self::Failed(failure)
    }
}
