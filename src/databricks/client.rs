//! Statements: submit, poll and cancel are three exchanges. With a `statement_id` in hand only that id is polled; nothing
//! is submitted again until it has ended.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use reqwest::{Method, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::auth::{Token, Tokens};
use super::result::{Chunk, Reading};
use super::statement::{QueryTag, State, StatementAnswer, SubmitBody};
use super::{DatabricksConfig, DatabricksError, DatabricksRefusal, Exchange, Rows, Statement};
use crate::aws::secrets::Secrets;
use crate::failure::Failure;
use crate::http::exchange::{Answer, Connection, with_credential};
use crate::http::retry::RetryPolicy;
use crate::run::Run;
use crate::run::deadline::Deadline;

const STATEMENTS_PATH: &str = "/api/2.0/sql/statements";

/// The longest time a submit waits on the server, and the shortest it accepts (facts/databricks §1.1). It would wait five times as
/// long; but a statement can only be cancelled once its id is known, and an interrupted run wants to do that soon.
const MAX_SERVER_WAIT_SECONDS: u64 = 10;
const MIN_SERVER_WAIT_SECONDS: u64 = 5;

/// Kept from that wait before a deadline: without the answer the statement's id is unknown, and nobody can cancel it.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Longest time a statement is waited for where no deadline ends the run before; a stopped warehouse needs minutes.
const MAX_STATEMENT_WAIT: Duration = Duration::from_secs(3600);

/// Time between two polls: from the first to the longest; nearer to the deadline half of what is left.
const FIRST_POLL_DELAY: Duration = Duration::from_millis(200);
/// With as much jitter at most: 5 s.
const MAX_POLL_DELAY: Duration = Duration::from_millis(2_500);
const MIN_POLL_DELAY: Duration = Duration::from_millis(20);

/// The time that a cancelled statement is watched, so that a MERGE that won the race counts as done.
const CANCEL_WATCH: Duration = Duration::from_secs(5);

/// The Statement Execution API of one warehouse; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<DatabricksConfig>,
    connection: Arc<Connection>,
    tokens: Arc<Tokens>,
}

impl Client {
    /// A client for the configured warehouse; no network call, no token request.
    ///
    /// # Errors
    /// `Internal` when the HTTP client can't be set up.
    pub fn new(config: DatabricksConfig, secrets: Secrets, retry: RetryPolicy) -> Result<Self, Failure> {
        let connection = Connection::new(config.host.clone(), config.timeout, Duration::ZERO, retry)?;
        let connection = Arc::new(connection);
        let tokens = Arc::new(Tokens::new(secrets, Arc::clone(&connection)));
        Ok(Self { config: Arc::new(config), connection, tokens })
    }

    /// Runs a statement to its end. A conflict, a passing state of the service or a forgotten statement is answered with a
    /// new statement: all of ours are guarded, so that twice is harmless. At the deadline it is cancelled.
    ///
    /// # Errors
    /// [`DatabricksError`]; `DeadlineNear` when the run's time for work ended first.
    pub async fn execute(&self, statement: &Statement, run: &Run) -> Result<Rows, DatabricksError> {
        let mut delays = self.connection.retry.delays();
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.execute_once(statement, run).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            if !error.is_worth_a_new_statement() {
                return Err(error);
            }
            let Some(delay) = delays.next() else {
                return Err(DatabricksError::GivenUp { tries, source: Box::new(error) });
            };
            if run.deadline.left_for_work().is_some_and(|left| left < delay) {
                return Err(DatabricksError::DeadlineNear { retry_after: None });
            }
            warn!(purpose = statement.purpose, reason = %error, "sending a new statement");
            run.meter.retry();
            if run.deadline.bound(sleep(delay)).await.is_none() {
                return Err(DatabricksError::DeadlineNear { retry_after: None });
            }
        }
    }

    async fn execute_once(&self, statement: &Statement, run: &Run) -> Result<Rows, DatabricksError> {
        let mut answer = self.submit(statement, run).await?;
        let submitted = Instant::now();
        let mut delays = poll_delays();
        loop {
            match answer.status.state {
                State::Succeeded | State::Closed => return self.rows(answer, run).await,
                State::Failed => {
                    let StatementAnswer { statement_id, status, .. } = answer;
                    let refusal = DatabricksRefusal::from_failed(&statement.purpose, &statement_id, status);
                    return Err(DatabricksError::Refused(refusal));
                }
                State::Canceled => {
                    let StatementAnswer { statement_id, status, .. } = answer;
                    let refusal = DatabricksRefusal::from_cancelled(&statement.purpose, &statement_id, &status);
                    return Err(DatabricksError::Refused(refusal));
                }
                State::Pending | State::Running | State::Other => {}
            }
            if submitted.elapsed() > MAX_STATEMENT_WAIT {
                self.cancel_and_watch(&answer.statement_id, run).await;
                return Err(DatabricksError::Refused(DatabricksRefusal::TimedOut {
                    purpose: statement.purpose.clone(),
                    statement_id: answer.statement_id,
                    waited_seconds: submitted.elapsed().as_secs(),
                }));
            }
            let left = run.deadline.left_for_work().unwrap_or(Duration::MAX);
            let delay = delays.next().unwrap_or(MAX_POLL_DELAY).min(left / 2);
            let polled = if left < MIN_POLL_DELAY {
                Err(DatabricksError::DeadlineNear { retry_after: None })
            } else if run.deadline.bound(sleep(delay)).await.is_some() {
                self.poll(&answer.statement_id, run).await
            } else {
                Err(DatabricksError::DeadlineNear { retry_after: None })
            };
            answer = match polled {
                Ok(answer) => answer,
                Err(error @ DatabricksError::DeadlineNear { .. }) => {
                    match self.cancel_and_watch(&answer.statement_id, run).await {
                        // It ended before the cancel came: what it did counts.
                        Some(ended) if ended.status.state != State::Canceled => ended,
                        _ => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// First exchange: submit. Answers with a `statement_id`, or no statement of ours is known to run.
    async fn submit(&self, statement: &Statement, run: &Run) -> Result<StatementAnswer, DatabricksError> {
        let wait_timeout = match run.deadline.left_for_work().map(|left| left.saturating_sub(ANSWER_TIME)) {
            None => format!("{MAX_SERVER_WAIT_SECONDS}s"),
            Some(left) if left.as_secs() >= MIN_SERVER_WAIT_SECONDS => {
                format!("{}s", left.as_secs().min(MAX_SERVER_WAIT_SECONDS))
            }
            Some(_) => "0s".to_owned(),
        };
        let body = serde_json::to_vec(&SubmitBody {
            warehouse_id: &self.config.warehouse_id,
            catalog: &self.config.catalog,
            statement: &statement.text,
            parameters: &statement.parameters,
            wait_timeout: &wait_timeout,
            on_wait_timeout: "CONTINUE",
            disposition: "INLINE",
            format: "JSON_ARRAY",
            query_tags: [QueryTag { key: "app", value: "notion-sync" }],
        })
        .map_err(|error| DatabricksError::Unreadable {
            exchange: Exchange::Submit(statement.purpose.clone()),
            reason: error.to_string(),
            request_id: None,
        })?;
        let exchange = Exchange::Submit(statement.purpose.clone());
        self.exchange(&exchange, Method::POST, STATEMENTS_PATH, Some(Bytes::from(body)), run).await
    }

    /// Second exchange: poll.
    async fn poll(&self, statement_id: &str, run: &Run) -> Result<StatementAnswer, DatabricksError> {
        let exchange = Exchange::Poll(statement_id.to_owned());
        self.exchange(&exchange, Method::GET, &format!("{STATEMENTS_PATH}/{statement_id}"), None, run).await
    }

    /// Third exchange: cancel, and then watch for the end, since a cancel may silently fail (facts/databricks §1.1).
    /// `None` when no end was seen in time.
    async fn cancel_and_watch(&self, statement_id: &str, run: &Run) -> Option<StatementAnswer> {
        let left = run.deadline.left().map_or(CANCEL_WATCH, |left| (left / 2).min(CANCEL_WATCH));
        let run = run.with_deadline(Deadline::none());
        let watch = async {
            let exchange = Exchange::Cancel(statement_id.to_owned());
            let path = format!("{STATEMENTS_PATH}/{statement_id}/cancel");
            let cancelled: Result<serde_json::Value, _> =
                self.exchange(&exchange, Method::POST, &path, None, &run).await;
            if let Err(error) = cancelled {
                debug!(%error, "the cancel was not confirmed");
            }
            let mut delays = poll_delays();
            loop {
                sleep(delays.next().unwrap_or(Duration::from_secs(1))).await;
                match self.poll(statement_id, &run).await {
                    Ok(answer) if !matches!(answer.status.state, State::Pending | State::Running | State::Other) => {
                        return Some(answer);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        warn!(statement_id, %error, "the end of a cancelled statement is unknown");
                        return None;
                    }
                }
            }
        };
        timeout(left, watch).await.unwrap_or(None)
    }

    /// The result of an ended statement, all its chunks.
    async fn rows(&self, answer: StatementAnswer, run: &Run) -> Result<Rows, DatabricksError> {
        let statement_id = answer.statement_id;
        let is_lost = answer.status.state == State::Closed;
        let Some(manifest) = answer.manifest else {
            return Ok(Rows { statement_id, is_lost, ..Rows::default() });
        };
        let unreadable = |reason: String| DatabricksError::Unreadable {
            exchange: Exchange::Chunk(statement_id.clone()),
            reason,
            request_id: None,
        };
        let exchange = Exchange::Chunk(statement_id.clone());
        let mut reading = Reading::begin(&manifest, answer.result.unwrap_or_default()).map_err(&unreadable)?;
        while let Some(index) = reading.next().filter(|_| !is_lost) {
            let path = format!("{STATEMENTS_PATH}/{statement_id}/result/chunks/{index}");
            let chunk: Chunk = self.exchange(&exchange, Method::GET, &path, None, run).await?;
            reading.take(chunk).map_err(&unreadable)?;
        }
        // The result of a statement that is CLOSED is gone, whatever its manifest says.
        let cells = if is_lost { Vec::new() } else { reading.finish().map_err(&unreadable)? };
        let columns = manifest.schema.and_then(|schema| schema.columns).unwrap_or_default();
        let types = columns.iter().map(|column| column.type_text.clone().unwrap_or_default()).collect();
        let columns = columns.into_iter().map(|column| column.name).collect();
        Ok(Rows { statement_id, columns, types, cells, is_lost })
    }

    /// One exchange with its retries; after a refusal once more with another token.
    pub(super) async fn exchange<T: for<'de> Deserialize<'de>>(
        &self,
        exchange: &Exchange,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        run: &Run,
    ) -> Result<T, DatabricksError> {
        let tries = |token: &Token| {
            let (token, method, body) = (token.clone(), method.clone(), body.clone());
            async move {
                let attempt = || async {
                    if let (Exchange::Submit(_), Some(body)) = (exchange, &body) {
                        run.meter.statement(body.len());
                    }
                    let answer = self.once(exchange, &method, path, body.clone(), &token).await?;
                    // A cancel is answered with nothing at all.
                    let body: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
                    serde_json::from_slice(body).map_err(|error| DatabricksError::Unreadable {
                        exchange: exchange.clone(),
                        reason: error.to_string(),
                        request_id: answer.request_id.clone(),
                    })
                };
                self.connection.tries(&self.connection.retry, run, attempt).await
            }
        };
        with_credential(&*self.tokens, run, tries).await
    }

    async fn once(
        &self,
        exchange: &Exchange,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        token: &Token,
    ) -> Result<Answer, DatabricksError> {
        let mut request = self.connection.request(method.clone(), path).bearer_auth(token.bearer.expose_secret());
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let sent = self.connection.send(exchange, request, &token.known_credentials()).await;
        sent.map_err(|error| error.of_credential(token.names()))
    }

    /// The catalog and schema that statements name.
    pub fn config(&self) -> &DatabricksConfig {
        &self.config
    }
}

/// 0.2 → 0.4 → … → 5 s, with jitter (facts/databricks §1.5); endless, since the statement's own bound ends the polling.
fn poll_delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_POLL_DELAY)
        .with_factor(2.0)
        .with_max_delay(MAX_POLL_DELAY)
        .without_max_times()
        .with_jitter()
        .build()
}
