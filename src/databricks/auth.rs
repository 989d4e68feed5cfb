//! The bearer token of a Databricks exchange: a personal access token, or one got by OAuth machine to machine and kept
//! until shortly before it expires (facts/databricks §4).

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::Databricks;
use super::{DatabricksError, DatabricksRefusal, Exchange};
use crate::aws::secrets::{CredentialSet, DatabricksCredential, Secrets};
use crate::http::exchange::{Connection, CredentialSource, read_in_time, with_credential};
use crate::output::redaction::{self, Kind};
use crate::run::Run;

/// The time before its end from which a token counts as expired.
const EXPIRY_MARGIN: Duration = Duration::from_secs(40);

/// The variables of a service principal.
const PRINCIPAL_NAMES: &str = "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET";

/// Gives tokens; asks for one only when a statement needs it.
#[derive(Debug)]
pub(super) struct Tokens {
    secrets: Secrets,
    connection: Arc<Connection>,
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
    /// The secret that it was got with, for a service principal.
    client_secret: Option<SecretString>,
}

impl Token {
    /// The variables that the credential comes from; keys of the same names in the secret count as well.
    pub(super) fn names(&self) -> &'static str {
        if self.client_secret.is_some() { PRINCIPAL_NAMES } else { "DATABRICKS_TOKEN" }
    }

    /// The secrets that must not be shown, should a server repeat them.
    pub(super) fn known_credentials(&self) -> Vec<&SecretString> {
        std::iter::once(&self.bearer).chain(&self.client_secret).collect()
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

/// The source of the credentials that a token is got with.
#[derive(Debug)]
struct Principal<'a>(&'a Secrets);

impl CredentialSource<Databricks> for Principal<'_> {
    type Credential = CredentialSet;

    async fn current(&self, run: &Run) -> Result<CredentialSet, DatabricksError> {
        read_in_time(run, self.0.current()).await
    }

    async fn after_refusal(
        &self,
        refused: &CredentialSet,
        run: &Run,
    ) -> Result<Option<CredentialSet>, DatabricksError> {
        read_in_time(run, self.0.reread(refused.generation)).await
    }
}

impl CredentialSource<Databricks> for Tokens {
    type Credential = Token;

    async fn current(&self, run: &Run) -> Result<Token, DatabricksError> {
        // The client secret itself may be refused: it may have been rotated.
        with_credential(&Principal(&self.secrets), run, |credentials| self.token_for(credentials.clone(), run)).await
    }

    async fn after_refusal(&self, refused: &Token, run: &Run) -> Result<Option<Token>, DatabricksError> {
        let credentials = match read_in_time(run, self.secrets.reread(refused.generation)).await? {
            Some(newer) => newer,
            None => read_in_time(run, self.secrets.current()).await?,
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
        self.token_for(credentials, run).await.map(Some)
    }
}

impl Tokens {
    pub(super) fn new(secrets: Secrets, connection: Arc<Connection>) -> Self {
        Self { secrets, connection, oauth: Mutex::new(None) }
    }

    /// Gives the token of these credentials: the one kept, if it is still good.
    async fn token_for(&self, credentials: CredentialSet, run: &Run) -> Result<Token, DatabricksError> {
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
        let attempt = || request_token(&self.connection, &client_id, &client_secret);
        let got = self.connection.tries(&self.connection.retry, run, attempt).await?;
        redaction::register(Kind::DatabricksBearer, &got.access_token);
        let lifetime = Duration::from_secs(got.expires_in).saturating_sub(EXPIRY_MARGIN);
        let token = OAuthToken { token: got.access_token, expires_at: Instant::now() + lifetime, generation };
        *kept = Some(token.clone());
        Ok(Token { bearer: token.token, generation, client_secret: Some(client_secret) })
    }
}

/// `POST /oidc/v1/token`, once.
async fn request_token(
    connection: &Connection,
    client_id: &str,
    client_secret: &SecretString,
) -> Result<TokenAnswer, DatabricksError> {
    let request = connection
        .request(Method::POST, "/oidc/v1/token")
        .basic_auth(client_id, Some(client_secret.expose_secret()))
        .form(&[("grant_type", "client_credentials"), ("scope", "all-apis")]);
    let sent = connection.send(&Exchange::Token, request, &[client_secret]).await;
    let answer = sent.map_err(|error| refused_token_request(error).of_credential(PRINCIPAL_NAMES))?;
    serde_json::from_slice(&answer.body).map_err(|error| DatabricksError::Unreadable {
        exchange: Exchange::Token,
        // Position only: the body holds a token.
        reason: format!("not a token answer (line {}, column {})", error.line(), error.column()),
        request_id: None,
    })
}

/// OAuth answers a wrong client secret with 400 or 401 (`invalid_client`): to us both are a refused credential.
fn refused_token_request(error: DatabricksError) -> DatabricksError {
    match error {
        DatabricksError::Refused(DatabricksRefusal::Api {
            exchange,
            status: 400,
            code,
            message,
            is_own,
            retry_after,
            credential,
            request_id,
        }) if code.contains("invalid_client") || message.contains("invalid_client") => {
            DatabricksError::Refused(DatabricksRefusal::Api {
                exchange,
                status: 401,
                code,
                message,
                is_own,
                retry_after,
                credential,
                request_id,
            })
        }
        other => other,
    }
}
