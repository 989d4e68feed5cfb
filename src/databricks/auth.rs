//! The bearer token of a Databricks exchange: a personal access token, or one got by OAuth machine to machine and kept
//! until shortly before it expires (facts/databricks §4).

use std::pin::Pin;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{DatabricksConfig, DatabricksError, Exchange, HOST_VARIABLE};
use crate::aws::secrets::{CredentialSet, DatabricksCredential, Secrets};
use crate::failure::Failure;
use crate::http;
use crate::http::rate_limit::RateLimiter;
use crate::http::retry::{self, RetryPolicy, Stopped};
use crate::output::redaction::{self, Kind};
use crate::run::Run;

/// How long before its end a token counts as expired.
const EXPIRY_MARGIN: Duration = Duration::from_secs(40);

/// The variables of a service principal.
const PRINCIPAL_NAMES: &str = "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET";

/// Gives tokens; asks for one only when a statement needs it.
#[derive(Debug)]
pub(super) struct Tokens {
    secrets: Secrets,
    oauth: Mutex<Option<OAuthToken>>,
}

#[derive(Debug, Clone)]
struct OAuthToken {
    token: SecretString,
    expires_at: Instant,
    generation: u64,
}

/// A token and the generation of the credentials behind it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) bearer: SecretString,
    pub(super) generation: u64,
    /// What it was got with, for a service principal.
    client_secret: Option<SecretString>,
}

impl Token {
    /// The variables that the credential comes from; keys of the same names in the secret count as well.
    pub(super) fn names(&self) -> &'static str {
        if self.client_secret.is_some() { PRINCIPAL_NAMES } else { "DATABRICKS_TOKEN" }
    }

    /// What must not be shown, should a server repeat it.
    pub(super) fn known_credentials(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.bearer).chain(&self.client_secret)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    #[serde(default = "one_hour_seconds")]
    expires_in: u64,
}

fn one_hour_seconds() -> u64 {
    3600
}

/// What an exchange for a token needs.
pub(super) struct TokenEndpoint<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) config: &'a DatabricksConfig,
    pub(super) retry: &'a RetryPolicy,
    pub(super) limiter: &'a RateLimiter,
}

impl Tokens {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, oauth: Mutex::new(None) }
    }

    /// The token in force.
    pub(super) async fn current(&self, endpoint: &TokenEndpoint<'_>, run: &Run) -> Result<Token, DatabricksError> {
        let credentials = in_time(run, Box::pin(self.secrets.current())).await?;
        let generation = credentials.generation;
        let refused = match self.for_credentials(credentials, endpoint, run).await {
            Err(error) if error.is_refusal() => error,
            settled => return settled,
        };
        // The client secret itself was refused: it may have been rotated.
        match in_time(run, Box::pin(self.secrets.reread(generation))).await? {
            Some(newer) => self.for_credentials(newer, endpoint, run).await,
            None => Err(refused),
        }
    }

    /// After `refused` was refused: another token, or `None` when there is nothing new to try.
    pub(super) async fn after_refusal(
        &self,
        refused: &Token,
        endpoint: &TokenEndpoint<'_>,
        run: &Run,
    ) -> Result<Option<Token>, DatabricksError> {
        let newer = in_time(run, Box::pin(self.secrets.reread(refused.generation))).await?;
        let credentials = match newer {
            Some(newer) => newer,
            None => in_time(run, Box::pin(self.secrets.current())).await?,
        };
        if let DatabricksCredential::Token(token) = &credentials.databricks
            && token.expose_secret() == refused.bearer.expose_secret()
            && !self.secrets.come_from_a_secret()
        {
            return Ok(None);
        }
        {
            let mut kept = self.oauth.lock().await;
            if kept.as_ref().is_some_and(|kept| kept.token.expose_secret() == refused.bearer.expose_secret()) {
                *kept = None;
            }
        }
        self.for_credentials(credentials, endpoint, run).await.map(Some)
    }

    async fn for_credentials(
        &self,
        credentials: CredentialSet,
        endpoint: &TokenEndpoint<'_>,
        run: &Run,
    ) -> Result<Token, DatabricksError> {
        let generation = credentials.generation;
        let (client_id, client_secret) = match credentials.databricks {
            DatabricksCredential::Token(bearer) => return Ok(Token { bearer, generation, client_secret: None }),
            DatabricksCredential::ServicePrincipal { client_id, client_secret } => (client_id, client_secret),
        };
        let mut kept = self.oauth.lock().await;
        if let Some(token) = kept.as_ref()
            && token.generation == generation
            && token.expires_at > Instant::now()
        {
            return Ok(Token { bearer: token.token.clone(), generation, client_secret: Some(client_secret) });
        }
        let got = request_token(&client_id, &client_secret, endpoint, run).await?;
        redaction::register(Kind::DatabricksBearer, &got.access_token);
        let lifetime = Duration::from_secs(got.expires_in).saturating_sub(EXPIRY_MARGIN);
        let token = OAuthToken { token: got.access_token, expires_at: Instant::now() + lifetime, generation };
        *kept = Some(token.clone());
        Ok(Token { bearer: token.token, generation, client_secret: Some(client_secret) })
    }
}

/// Credentials, or the end of the run's time.
async fn in_time<T>(
    run: &Run,
    reading: Pin<Box<impl Future<Output = Result<T, Failure>>>>,
) -> Result<T, DatabricksError> {
    match run.deadline.bound(reading).await {
        Some(read) => read.map_err(DatabricksError::Credentials),
        None => Err(DatabricksError::DeadlineNear { retry_after: None }),
    }
}

async fn request_token(
    client_id: &str,
    client_secret: &SecretString,
    endpoint: &TokenEndpoint<'_>,
    run: &Run,
) -> Result<TokenAnswer, DatabricksError> {
    let url = format!("{}/oidc/v1/token", endpoint.config.host.as_str().trim_end_matches('/'));
    let tried = retry::exchange(endpoint.retry, endpoint.limiter, run, || async {
        let transport = |source: reqwest::Error| DatabricksError::Transport {
            exchange: Exchange::Token,
            server: http::unreached(&endpoint.config.host, HOST_VARIABLE, &source),
            source: source.without_url(),
        };
        let response = endpoint
            .http
            .post(&url)
            .basic_auth(client_id, Some(client_secret.expose_secret()))
            .form(&[("grant_type", "client_credentials"), ("scope", "all-apis")])
            .send()
            .await
            .map_err(transport)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = http::read_body(response).await.map_err(|error| {
            DatabricksError::from_body(&Exchange::Token, http::server(&endpoint.config.host, HOST_VARIABLE), error)
        })?;
        if !status.is_success() {
            let body = http::without_credential(&body, client_secret);
            return Err(refused_token_request(DatabricksError::from_answer(
                &Exchange::Token,
                status.as_u16(),
                &headers,
                &body,
            )));
        }
        serde_json::from_slice(&body).map_err(|error| DatabricksError::Unreadable {
            exchange: Exchange::Token,
            // Position only: the body holds a token.
            reason: format!("not a token answer (line {}, column {})", error.line(), error.column()),
            request_id: None,
        })
    })
    .await;
    tried.map_err(|stopped| match stopped {
        Stopped::DeadlineNear { retry_after } => DatabricksError::DeadlineNear { retry_after },
        Stopped::Failed { error, tries: 1 } => error.of_credential(PRINCIPAL_NAMES),
        Stopped::Failed { error, tries } => {
            DatabricksError::GivenUp { tries, source: Box::new(error.of_credential(PRINCIPAL_NAMES)) }
        }
    })
}

/// OAuth answers a wrong client secret with 400 or 401 (`invalid_client`): to us both are a refused credential.
fn refused_token_request(error: DatabricksError) -> DatabricksError {
    match error {
        DatabricksError::Api { exchange, status: 400, code, message, retry_after, credential, request_id }
            if code.contains("invalid_client") || message.contains("invalid_client") =>
        {
            DatabricksError::Api { exchange, status: 401, code, message, retry_after, credential, request_id }
        }
        other => other,
    }
}
