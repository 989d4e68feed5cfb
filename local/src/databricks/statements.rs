//! Statements and their states: submitted, held, run, cancelled, remembered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::bind::Parameter;
use super::cells::ResultSet;
use super::counts::RowCounts;
use super::engine::{Engine, Work};
use super::error::StatementError;
use super::log::{LoggedParameter, LoggedStatement};
use super::rewrite::Namespace;
use super::settings::Behaviour;
use super::shape::StatementKind;
use super::tokens::tokens;

/// The state of a statement, as the API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatementState {
    /// Waiting for the warehouse.
    Pending,
    /// Running.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended by a cancel.
    Canceled,
    /// Ended well, the result is gone.
    Closed,
}

impl StatementState {
    /// Returns whether it stays so.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

/// The request of a submission.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) text: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) namespace: Namespace,
    pub(super) row_limit: Option<usize>,
    pub(super) one_writer: bool,
    pub(super) behaviours: Vec<Behaviour>,
    /// The collation of the table whose whole rows are selected.
    pub(super) collation: Option<String>,
}

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) behaviours: Vec<Behaviour>,
    text: String,
    kind: StatementKind,
    parameters: Vec<LoggedParameter>,
    submitted_at: SystemTime,
    progress: Mutex<Progress>,
    canceled: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct Progress {
    state: StatementState,
    result: Option<Arc<ResultSet>>,
    truncated: bool,
    error: Option<StatementError>,
    polls_left: u32,
    /// The operations that are still to run.
    waiting: Option<Submission>,
}

/// The facts that an answer about a statement needs.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) state: StatementState,
    pub(super) result: Option<Arc<ResultSet>>,
    pub(super) truncated: bool,
    pub(super) error: Option<StatementError>,
}

impl Statement {
    pub(super) fn new(submission: Submission) -> Self {
        let polls = submission.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::Pending { polls } => Some(*polls),
            _ => None,
        });
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            behaviours: submission.behaviours.clone(),
            text: submission.text.clone(),
            kind: StatementKind::of(&tokens(&submission.text)),
            parameters: submission.parameters.iter().map(LoggedParameter::of).collect(),
            submitted_at: now(),
            progress: Mutex::new(Progress {
                state: StatementState::Pending,
                result: None,
                truncated: false,
                error: None,
                polls_left: polls.unwrap_or(0),
                waiting: Some(submission),
            }),
            canceled: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let progress = self.progress();
        Snapshot {
            id: self.id.clone(),
            state: progress.state,
            result: progress.result.clone(),
            truncated: progress.truncated,
            error: progress.error.clone(),
        }
    }

    pub(super) fn logged(&self) -> LoggedStatement {
        let progress = self.progress();
        LoggedStatement {
            id: self.id.clone(),
            text: self.text.clone(),
            kind: self.kind,
            parameters: self.parameters.clone(),
            state: progress.state,
            error: progress.error.clone(),
            submitted_at: self.submitted_at,
        }
    }

    /// Returns whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.progress().state.is_terminal()
    }

    /// Gives up its result.
    pub(super) fn forget_result(&self) {
        self.progress().result = None;
    }

    /// Returns whether a script holds it back, so that its submission is answered at once.
    pub(super) fn is_held(&self) -> bool {
        self.progress().polls_left > 0
    }

    /// Returns whether a script lets the service forget it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.behaviours.iter().any(|behaviour| matches!(behaviour, Behaviour::Forgotten { .. }))
    }

    /// Counts a poll; the last one a script asked for starts the statement.
    pub(super) fn poll(self: &Arc<Self>, engine: &Engine) {
        let starts = {
            let mut progress = self.progress();
            let held = progress.polls_left > 0;
            progress.polls_left = progress.polls_left.saturating_sub(1);
            held && progress.polls_left == 0
        };
        if starts {
            self.start(engine);
        }
    }

    /// Runs it in the background; a second call does nothing.
    pub(super) fn start(self: &Arc<Self>, engine: &Engine) {
        let Some(submission) = self.progress().waiting.take() else { return };
        let (statement, engine) = (Arc::clone(self), engine.clone());
        tokio::spawn(async move {
            let canceled = statement.canceled.subscribe();
            statement.progress().state = StatementState::Running;
            let outcome = statement.outcome(&engine, &submission, canceled).await;
            statement.end(outcome, submission.row_limit);
        });
    }

    /// Waits for its end, at most so long; tells whether it came.
    pub(super) async fn wait(&self, longest: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        timeout(longest, ended.wait_for(|ended| *ended)).await.is_ok()
    }

    /// Asks it to end; the state tells whether it did.
    pub(super) fn cancel(&self) {
        if self.behaviours.contains(&Behaviour::CancelIgnored) {
            return;
        }
        self.canceled.send_replace(true);
        let mut progress = self.progress();
        if progress.waiting.take().is_some() {
            progress.polls_left = 0;
            progress.state = StatementState::Canceled;
            drop(progress);
            self.ended.send_replace(true);
        }
    }

    async fn outcome(
        &self,
        engine: &Engine,
        submission: &Submission,
        mut canceled: watch::Receiver<bool>,
    ) -> Result<ResultSet, StatementError> {
        if let Some(least) = self.behaviours.iter().find_map(Behaviour::slow) {
            tokio::select! {
                () = sleep(least) => {}
                Ok(_) = canceled.wait_for(|canceled| *canceled) => return Err(StatementError::canceled()),
            }
        }
        for behaviour in &self.behaviours {
            match behaviour {
                Behaviour::Failed(error) => return Err(error.clone()),
                Behaviour::Conflict => return Err(StatementError::conflict()),
                Behaviour::Done => return Ok(ResultSet::default()),
                Behaviour::NotApplied => return Ok(claimed_counts(submission).result_set(self.kind)),
                Behaviour::Forgotten { applied: false } => return Ok(ResultSet::default()),
                _ => {}
            }
        }
        let mut result = engine
            .run(Work {
                sql: &submission.text,
                parameters: &submission.parameters,
                namespace: &submission.namespace,
                tag: &self.id,
                one_writer: submission.one_writer,
                canceled,
            })
            .await?;
        if let Some(collation) = &submission.collation {
            result.collate(collation);
        }
        let counts = self.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::Counts(counts) => Some(*counts),
            _ => None,
        });
        Ok(counts.map_or(result, |counts| counts.result_set(self.kind)))
    }

    fn end(&self, outcome: Result<ResultSet, StatementError>, row_limit: Option<usize>) {
        let mut progress = self.progress();
        match outcome.and_then(within_inline_limit) {
            Ok(_) if self.behaviours.contains(&Behaviour::Closed) => progress.state = StatementState::Closed,
            Ok(mut result) => {
                progress.truncated = row_limit.is_some_and(|limit| result.rows.len() > limit);
                result.rows.truncate(row_limit.unwrap_or(usize::MAX));
                progress.result = Some(Arc::new(result));
                progress.state = StatementState::Succeeded;
            }
            Err(_) if *self.canceled.borrow() => progress.state = StatementState::Canceled,
            Err(error) => {
                progress.error = Some(error.quoting(&self.text));
                progress.state = StatementState::Failed;
            }
        }
        drop(progress);
        self.ended.send_replace(true);
    }
}

/// Returns the counts that a lying MERGE claims.
fn claimed_counts(submission: &Submission) -> RowCounts {
    let claimed = submission.parameters.iter().find(|parameter| parameter.name == "row_count");
    let inserted = claimed.and_then(|parameter| parameter.value.as_ref()?.parse().ok()).unwrap_or(0);
    RowCounts { inserted, ..RowCounts::default() }
}

/// INLINE results end at 25 MiB.
fn within_inline_limit(result: ResultSet) -> Result<ResultSet, StatementError> {
    const INLINE_LIMIT_BYTES: usize = 25 * 1024 * 1024;
    let bytes: usize = result.rows.iter().flatten().flatten().map(String::len).sum();
    if bytes <= INLINE_LIMIT_BYTES {
        return Ok(result);
    }
    Err(StatementError {
        error_code: "BAD_REQUEST".to_owned(),
        message: format!(
            "Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most \
             {INLINE_LIMIT_BYTES} bytes. Please execute the statement with disposition=EXTERNAL_LINKS if you want to \
             download the full result."
        ),
        sql_state: None,
    })
}
