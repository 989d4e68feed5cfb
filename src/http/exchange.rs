//! One exchange with a service: its credential, its tries, and once more after the credential was refused. Both protocol
//! clients use this loop, this sending and this error.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Url};
use secrecy::SecretString;
use tracing::debug;

use super::rate_limit::RateLimiter;
use super::retry::{self, RetryDecision, RetryError, RetryPolicy, Verdict};
use super::{BodyError, read_body, server, shown_request_id, unreached, without_credential};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;

/// A service: the names and classes in which one differs from another.
pub trait Service: fmt::Debug + Send + Sync + 'static {
    /// The exchanges with it.
    type Exchange: fmt::Display + fmt::Debug + Clone + Send + Sync;
    /// Its refusals.
    type Refusal: Refusal;
    /// Its name in messages.
    const NAME: &'static str;
    /// The variable that holds its address.
    const ADDRESS_VARIABLE: &'static str;
    /// The header with the id that its support asks for.
    const REQUEST_ID_HEADER: &'static str;
    /// The credentials, as the object of "reading".
    const CREDENTIALS: &'static str;
    /// The remedy for an answer that is too large; empty where there is none.
    const TOO_LARGE_REMEDY: &'static str;
    /// The class of no answer.
    const UNAVAILABLE: FailureClass;
    /// The class of an answer that can't be read.
    const UNREADABLE: FailureClass;

    /// Judges an answer whose status is not 2xx.
    fn refusal(exchange: &Self::Exchange, status: u16, headers: &HeaderMap, body: &[u8]) -> Self::Refusal;
}

/// An answer of a service that is not the one asked for.
pub trait Refusal: Error + Send + Sync + 'static {
    /// Returns what the retry loop has to do.
    fn verdict(&self) -> Verdict;
    /// Returns true when the credential or one of its rights was refused: the secret may have been rotated.
    fn is_of_credential(&self) -> bool;
    /// Returns the failure class that it ends a run with.
    fn class(&self) -> FailureClass;
    /// Returns what else a failure says after it; empty for nothing.
    fn remark(&self) -> String {
        String::new()
    }
}

/// An exchange without a usable answer.
#[derive(Debug)]
pub enum ExchangeError<S: Service> {
    /// The service refused.
    Refused(S::Refusal),
    /// There is no answer: the connection failed, timed out or broke.
    Transport {
        exchange: S::Exchange,
        /// The host, the variable that names it, and what was wrong.
        server: String,
        source: reqwest::Error,
    },
    /// The answer's status is 2xx, and its body can't be read.
    Unreadable {
        exchange: S::Exchange,
        /// The fault in it.
        reason: String,
        /// The id that support asks for.
        request_id: Option<String>,
    },
    /// All tries failed.
    GivenUp {
        /// The number of tries.
        tries: u32,
        /// The last error.
        source: Box<ExchangeError<S>>,
    },
    /// The credentials could not be read.
    Credentials(Failure),
    /// The run's time for work is over.
    DeadlineNear {
        /// The wait that a server asked for, if that was the reason.
        retry_after: Option<Duration>,
    },
}

// By hand: the derive of thiserror finds no end in bounds on a recursive generic type.
impl<S: Service> fmt::Display for ExchangeError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Transport { exchange, server, .. } => write!(f, "{exchange} got no answer from {server}"),
            Self::Unreadable { exchange, reason, request_id } => {
                write!(f, "{exchange} answered what can't be read{}: {reason}", shown_request_id(request_id))
            }
            Self::GivenUp { tries, source } => write!(f, "{source} (given up after {tries} tries)"),
            Self::Credentials(_) => write!(f, "reading {}", S::CREDENTIALS),
            Self::DeadlineNear { .. } => f.write_str("the run's deadline is near"),
        }
    }
}

impl<S: Service> Error for ExchangeError<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(_) | Self::Unreadable { .. } | Self::DeadlineNear { .. } => None,
            Self::Transport { source, .. } => Some(source),
            Self::GivenUp { source, .. } => Some(source),
            Self::Credentials(failure) => Some(failure),
        }
    }
}

impl<S: Service> ExchangeError<S> {
    /// Returns the error of the last try.
    pub(crate) fn root(&self) -> &Self {
        match self {
            Self::GivenUp { source, .. } => source.root(),
            other => other,
        }
    }

    /// Returns the service's refusal, if that is what the last try ended with.
    pub(crate) fn refusal(&self) -> Option<&S::Refusal> {
        match self.root() {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Returns the failure class that this error ends a run with.
    pub fn class(&self) -> FailureClass {
        match self.root() {
            Self::Refused(refusal) => refusal.class(),
            Self::Transport { .. } => S::UNAVAILABLE,
            Self::Unreadable { .. } => S::UNREADABLE,
            Self::Credentials(failure) => failure.class(),
            Self::DeadlineNear { .. } => FailureClass::DeadlineExceeded,
            Self::GivenUp { .. } => FailureClass::Internal,
        }
    }
}

impl<S: Service> RetryDecision for ExchangeError<S> {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Refused(refusal) => refusal.verdict(),
            Self::Transport { .. } | Self::Unreadable { .. } => Verdict::Retry,
            Self::GivenUp { .. } | Self::Credentials(_) | Self::DeadlineNear { .. } => Verdict::Final,
        }
    }
}

impl<S: Service> From<RetryError<Self>> for ExchangeError<S> {
    fn from(stopped: RetryError<Self>) -> Self {
        match stopped {
            RetryError::DeadlineNear { retry_after } => Self::DeadlineNear { retry_after },
            RetryError::Failed { error, tries: 1 } => error,
            RetryError::Failed { error, tries } => Self::GivenUp { tries, source: Box::new(error) },
        }
    }
}

impl<S: Service> From<ExchangeError<S>> for Failure {
    fn from(error: ExchangeError<S>) -> Self {
        let class = error.class();
        let remark = error.refusal().map(Refusal::remark).unwrap_or_default();
        let message = format!("{error}{remark}");
        match error {
            ExchangeError::Credentials(failure) => failure.context(message),
            ExchangeError::DeadlineNear { retry_after } => Self::new(class, message).waiting(retry_after),
            error => match error.into_root() {
                ExchangeError::Transport { source, .. } => Self::new(class, message).caused_by(source),
                _ => Self::new(class, message),
            },
        }
    }
}

impl<S: Service> ExchangeError<S> {
    fn into_root(self) -> Self {
        match self {
            Self::GivenUp { source, .. } => source.into_root(),
            other => other,
        }
    }
}

/// A source of credentials for one service.
pub(crate) trait CredentialSource<S: Service> {
    /// One credential.
    type Credential;

    /// Gives the credential in force.
    fn current(&self, run: &Run) -> impl Future<Output = Result<Self::Credential, ExchangeError<S>>> + Send;

    /// Gives the credential to try after `refused` was refused; `None` = another try can't help.
    fn after_refusal(
        &self,
        refused: &Self::Credential,
        run: &Run,
    ) -> impl Future<Output = Result<Option<Self::Credential>, ExchangeError<S>>> + Send;
}

/// Makes an exchange with the credential in force; after a refusal once more with the next one. `tries` makes all tries with
/// one credential.
pub(crate) async fn with_credential<S, C, T, A>(
    source: &C,
    run: &Run,
    tries: impl Fn(&C::Credential) -> A,
) -> Result<T, ExchangeError<S>>
where
    S: Service,
    C: CredentialSource<S>,
    A: Future<Output = Result<T, ExchangeError<S>>>,
{
    // Boxed, so that the futures of those who wait for an exchange stay small.
    let credential = Box::pin(source.current(run)).await?;
    let refused = match Box::pin(tries(&credential)).await {
        Err(error) if error.refusal().is_some_and(Refusal::is_of_credential) => error,
        outcome => return outcome,
    };
    match Box::pin(source.after_refusal(&credential, run)).await? {
        Some(next) => Box::pin(tries(&next)).await,
        None => Err(refused),
    }
}

/// Reads credentials within the run's time for work.
pub(crate) async fn read_in_time<S: Service, T>(
    run: &Run,
    reading: impl Future<Output = Result<T, Failure>>,
) -> Result<T, ExchangeError<S>> {
    match run.deadline.bound(reading).await {
        Some(read) => read.map_err(ExchangeError::Credentials),
        None => Err(ExchangeError::DeadlineNear { retry_after: None }),
    }
}

/// A 2xx answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// The id that support asks for.
    pub(crate) request_id: Option<String>,
    /// The server's time.
    pub(crate) date: Option<jiff::Timestamp>,
}

/// The way to one service: its address, the connections to it, and the limits that all exchanges share.
#[derive(Debug)]
pub(crate) struct Connection {
    http: Client,
    address: Url,
    limiter: RateLimiter,
    pub(crate) retry: RetryPolicy,
}

impl Connection {
    /// Builds the way to `address`; no network call. Every exchange ends within `timeout`, and `spacing` lies between the
    /// starts of two.
    ///
    /// # Errors
    /// `Internal` when the HTTP client can't be set up.
    pub(crate) fn new(address: Url, timeout: Duration, spacing: Duration, retry: RetryPolicy) -> Result<Self, Failure> {
        let http = super::client(&address, timeout)?;
        Ok(Self { http, address, limiter: RateLimiter::new(spacing), retry })
    }

    /// Begins a request for a path, which starts with a slash and is percent-encoded.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.address.as_str().trim_end_matches('/')))
    }

    /// Tries one exchange until it succeeds, is final, runs out of tries or out of time.
    pub(crate) async fn tries<S, T, A>(
        &self,
        policy: &RetryPolicy,
        run: &Run,
        attempt: impl Fn() -> A,
    ) -> Result<T, ExchangeError<S>>
    where
        S: Service,
        A: Future<Output = Result<T, ExchangeError<S>>>,
    {
        Ok(retry::exchange(policy, &self.limiter, run, attempt).await?)
    }

    /// Sends a request once. `known` are the credentials in it, which are cut out of the body of a refusal.
    pub(crate) async fn send<S: Service>(
        &self,
        exchange: &S::Exchange,
        request: RequestBuilder,
        known: &[&SecretString],
    ) -> Result<Answer, ExchangeError<S>> {
        let response = request.send().await.map_err(|error| ExchangeError::Transport {
            exchange: exchange.clone(),
            server: unreached(&self.address, S::ADDRESS_VARIABLE, &error),
            source: error.without_url(),
        })?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = read_body(response).await.map_err(|error| self.unread(exchange, error))?;
        debug!(%exchange, status = status.as_u16(), body_bytes = body.len(), "{} answered", S::NAME);
        if !status.is_success() {
            let body = known.iter().fold(body, |body, known| without_credential(&body, known));
            return Err(ExchangeError::Refused(S::refusal(exchange, status.as_u16(), &headers, &body)));
        }
        let request_id = headers.get(S::REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Answer { body, request_id, date: super::date(&headers) })
    }

    fn unread<S: Service>(&self, exchange: &S::Exchange, error: BodyError) -> ExchangeError<S> {
        let exchange = exchange.clone();
        match error {
            BodyError::Transport(source) => {
                ExchangeError::Transport { exchange, server: server(&self.address, S::ADDRESS_VARIABLE), source }
            }
            BodyError::TooLarge => ExchangeError::Unreadable {
                exchange,
                reason: format!("{error}{}", S::TOO_LARGE_REMEDY),
                request_id: None,
            },
        }
    }
}
