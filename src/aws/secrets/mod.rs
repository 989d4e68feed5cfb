//! The credentials of both APIs: from the environment or Secrets Manager, kept with a time to live, reread after a refusal.
//!
//! The environment wins over the secret, name by name. Whatever is wrong with the secret (unreadable, not JSON, a key
//! missing, a placeholder) is a `SecretUnavailable`; what is missing in the environment alone is found by `config`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::aws;
use crate::failure::{Failure, FailureClass};
use crate::output::redaction::{self, Kind};
use crate::placeholder::is_placeholder;

/// The time for which a reading of the secret is trusted across warm invocations. Rotation within it is caught by the reread.
const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);
/// The time for which a kept secret is used before the next try, if it can't be read again after its time to live.
const STALE_GRACE: Duration = Duration::from_secs(60);

/// The form of every credential; goes after "is not".
pub(crate) const CREDENTIAL_FORM: &str = "printable ASCII without spaces";

/// Returns whether `text` can stand in an `Authorization` header (a pasted `Bearer …` or typographic quotes can't be meant).
pub(crate) fn can_be_credential(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// The places of the credentials.
#[derive(Debug, Clone, Default)]
pub struct SecretsConfig {
    /// `SECRETS_ID`: name or ARN of the JSON secret; `None` = environment only.
    pub secrets_id: Option<String>,
    /// `NOTION_API_KEY` from the environment.
    pub notion_api_key: Option<SecretString>,
    /// `DATABRICKS_TOKEN` from the environment.
    pub databricks_token: Option<SecretString>,
    /// `DATABRICKS_CLIENT_ID` from the environment.
    pub databricks_client_id: Option<String>,
    /// `DATABRICKS_CLIENT_SECRET` from the environment.
    pub databricks_client_secret: Option<SecretString>,
}

impl SecretsConfig {
    /// Returns whether a run needs the secret in Secrets Manager: it is configured and the environment lacks something.
    pub fn needs_secret(&self) -> bool {
        let service_principal = self.databricks_client_id.is_some() && self.databricks_client_secret.is_some();
        let complete = self.notion_api_key.is_some() && (self.databricks_token.is_some() || service_principal);
        self.secrets_id.is_some() && !complete
    }
}

/// The way to sign in to Databricks.
#[derive(Debug, Clone)]
pub enum DatabricksCredential {
    /// A personal access token.
    Token(SecretString),
    /// A service principal, for OAuth machine to machine.
    ServicePrincipal { client_id: String, client_secret: SecretString },
}

/// Both APIs' credentials as read at one time.
#[derive(Debug, Clone)]
pub struct CredentialSet {
    /// Counts the readings that brought something new; two equal numbers mean the same credentials.
    pub generation: u64,
    /// Notion's token.
    pub notion_api_key: SecretString,
    /// Databricks' credential.
    pub databricks: DatabricksCredential,
}

/// The one place that holds credentials; cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    config: SecretsConfig,
    client: Option<Client>,
    time_to_live: Duration,
    kept: Mutex<Option<CachedCredentials>>,
}

/// The last good reading.
struct CachedCredentials {
    credentials: CredentialSet,
    read_at: Instant,
    trusted_until: Instant,
}

impl Secrets {
    /// Credentials as `config` says; `client` is needed when [`SecretsConfig::needs_secret`]. No network call.
    pub fn new(config: SecretsConfig, client: Option<Client>) -> Self {
        Self::with_time_to_live(config, client, TIME_TO_LIVE)
    }

    fn with_time_to_live(config: SecretsConfig, client: Option<Client>, time_to_live: Duration) -> Self {
        Self { inner: Arc::new(Inner { config, client, time_to_live, kept: Mutex::new(None) }) }
    }

    /// The credentials in force; reads the secret when none are kept or they are too old. Kept ones that can't be read
    /// again stay in force for a while, with a warning.
    ///
    /// # Errors
    /// `SecretUnavailable` when Secrets Manager does not give them or the secret does not hold what it must;
    /// `Configuration` when there is no secret and the environment lacks a value.
    pub async fn current(&self) -> Result<CredentialSet, Failure> {
        let mut kept = self.inner.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.trusted_until) {
            return Ok(kept.credentials.clone());
        }
        let failure = match self.inner.read_into(&mut kept).await {
            Ok(credentials) => return Ok(credentials),
            Err(failure) => failure,
        };
        let Some(kept) = kept.as_mut() else { return Err(failure) };
        tracing::warn!(cause = %failure, "the secret can't be read again; the credentials read before stay in force");
        kept.trusted_until = Instant::now() + STALE_GRACE;
        Ok(kept.credentials.clone())
    }

    /// Returns whether a refused credential may be read again from Secrets Manager.
    pub fn come_from_a_secret(&self) -> bool {
        self.inner.config.needs_secret()
    }

    /// Called after a 401 or 403 with credentials of `refused_generation`: reads the secret again, once for all callers
    /// that were refused with the same generation. `None` = the source holds nothing newer.
    ///
    /// # Errors
    /// As [`Secrets::current`], but a secret that can't be read is always a failure.
    pub async fn reread(&self, refused_generation: u64) -> Result<Option<CredentialSet>, Failure> {
        let asked_at = Instant::now();
        let mut kept = self.inner.kept.lock().await;
        if let Some(kept) = kept.as_ref() {
            if kept.credentials.generation > refused_generation {
                return Ok(Some(kept.credentials.clone()));
            }
            if kept.read_at > asked_at || !self.inner.config.needs_secret() {
                return Ok(None);
            }
        }
        let credentials = self.inner.read_into(&mut kept).await?;
        Ok((credentials.generation > refused_generation).then_some(credentials))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("secrets_id", &self.inner.config.secrets_id).finish_non_exhaustive()
    }
}

impl Inner {
    /// Reads everything again and keeps it; the generation goes up only when something differs.
    async fn read_into(&self, kept: &mut Option<CachedCredentials>) -> Result<CredentialSet, Failure> {
        let secret = match &self.config.secrets_id {
            Some(secrets_id) if self.config.needs_secret() => Some(self.read_secret(secrets_id).await?),
            _ => None,
        };
        if let Some(secret) = &secret {
            secret.register();
        }
        let mut credentials = combine(&self.config, secret.as_ref())?;
        if let Some(kept) = kept.as_ref() {
            let same = same(&kept.credentials, &credentials);
            credentials.generation = kept.credentials.generation + u64::from(!same);
        }
        let now = Instant::now();
        *kept = Some(CachedCredentials {
            credentials: credentials.clone(),
            read_at: now,
            trusted_until: now + self.time_to_live,
        });
        Ok(credentials)
    }

    async fn read_secret(&self, secrets_id: &str) -> Result<Secret, Failure> {
        let Some(client) = &self.client else {
            return Err(Failure::new(FailureClass::Internal, "no Secrets Manager client though SECRETS_ID is set"));
        };
        // Always the current version by name: an emulator was seen to give the old one otherwise (facts/aws §3.2).
        let answer = client.get_secret_value().secret_id(secrets_id).version_stage("AWSCURRENT").send().await;
        let output = answer.map_err(|error| {
            let hint = match error.as_service_error() {
                Some(service) if service.is_resource_not_found_exception() => {
                    " (no such secret, or it has no value yet)"
                }
                _ => "",
            };
            unavailable(secrets_id, &format!("can't be read: {}{hint}", aws::brief(&error)))
        })?;
        match (output.secret_string(), output.secret_binary()) {
            (Some(text), _) => Secret::parse(secrets_id, text),
            (None, Some(_)) => Err(unavailable(secrets_id, "holds binary data; set it to a JSON object as text")),
            (None, None) => Err(unavailable(secrets_id, "has no text value yet; set it to a JSON object")),
        }
    }
}

/// The secret's object, and its name for messages.
struct Secret {
    secrets_id: String,
    values: Map<String, Value>,
}

impl Secret {
    /// Reads the secret's text. A message never repeats any of it.
    fn parse(secrets_id: &str, text: &str) -> Result<Self, Failure> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Err(unavailable(secrets_id, "is empty; set it to a JSON object"));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => Ok(Self { secrets_id: secrets_id.to_owned(), values }),
            Ok(_) => {
                Err(unavailable(secrets_id, "is JSON but no object with the keys NOTION_API_KEY, DATABRICKS_TOKEN, …"))
            }
            Err(error) => Err(unavailable(
                secrets_id,
                &format!("is not a JSON object (it breaks off at line {}, column {})", error.line(), error.column()),
            )),
        }
    }

    /// Makes the credentials known to the redaction, also malformed ones. Other keys of the secret are nobody's here.
    fn register(&self) {
        let kinds = [
            ("NOTION_API_KEY", Kind::NotionApiKey),
            ("DATABRICKS_TOKEN", Kind::DatabricksToken),
            ("DATABRICKS_CLIENT_SECRET", Kind::DatabricksClientSecret),
        ];
        for (name, kind) in kinds {
            if let Some(Value::String(text)) = self.values.get(name) {
                redaction::register(kind, &SecretString::from(text.trim()));
            }
        }
    }

    /// The value of `name`; unset, null and blank are none.
    fn get(&self, name: &str) -> Result<Option<SecretString>, Failure> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) if is_placeholder(text) => Err(unavailable(
                &self.secrets_id,
                &format!("is not filled in: BLOCKED: suspicious default value for {name}"),
            )),
            Some(Value::String(text)) if !can_be_credential(text.trim()) => {
                Err(unavailable(&self.secrets_id, &format!("holds something else than {CREDENTIAL_FORM} under {name}")))
            }
            Some(Value::String(text)) => Ok(Some(SecretString::from(text.trim()))),
            Some(_) => Err(unavailable(&self.secrets_id, &format!("holds something else than text under {name}"))),
        }
    }
}

fn unavailable(secrets_id: &str, what: &str) -> Failure {
    Failure::new(FailureClass::SecretUnavailable, format!("secret {secrets_id} {what}"))
}

/// The environment's values, completed by the secret's; problems of both are reported together.
fn combine(config: &SecretsConfig, secret: Option<&Secret>) -> Result<CredentialSet, Failure> {
    match (notion_api_key(config, secret), databricks_credential(config, secret)) {
        (Ok(notion_api_key), Ok(databricks)) => Ok(CredentialSet { generation: 1, notion_api_key, databricks }),
        (Err(first), Err(second)) => Err(Failure::new(first.class(), format!("{first}; {second}"))),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

fn from_secret(secret: Option<&Secret>, name: &str) -> Result<Option<SecretString>, Failure> {
    secret.map_or(Ok(None), |secret| secret.get(name))
}

fn missing(secret: Option<&Secret>, name: &str) -> Failure {
    match secret {
        Some(secret) => unavailable(&secret.secrets_id, &format!("has no {name}, and the environment neither")),
        None => Failure::new(FailureClass::Configuration, format!("BLOCKED: missing env var {name}")),
    }
}

fn notion_api_key(config: &SecretsConfig, secret: Option<&Secret>) -> Result<SecretString, Failure> {
    match &config.notion_api_key {
        Some(own) => Ok(own.clone()),
        None => from_secret(secret, "NOTION_API_KEY")?.ok_or_else(|| missing(secret, "NOTION_API_KEY")),
    }
}

/// A token or service principal in the environment wins as a whole over the other kind in the secret; half a service
/// principal is completed from the secret.
fn databricks_credential(config: &SecretsConfig, secret: Option<&Secret>) -> Result<DatabricksCredential, Failure> {
    let principal_in_environment = config.databricks_client_id.is_some() || config.databricks_client_secret.is_some();
    let token = match &config.databricks_token {
        Some(token) => Some(token.clone()),
        None if principal_in_environment => None,
        None => from_secret(secret, "DATABRICKS_TOKEN")?,
    };
    let client_id = match &config.databricks_client_id {
        Some(client_id) => Some(client_id.clone()),
        None => from_secret(secret, "DATABRICKS_CLIENT_ID")?.map(|id| id.expose_secret().to_owned()),
    };
    let client_secret = match &config.databricks_client_secret {
        Some(own) => Some(own.clone()),
        None => from_secret(secret, "DATABRICKS_CLIENT_SECRET")?,
    };
    match (token, client_id, client_secret) {
        (Some(_), Some(_), Some(_)) if config.databricks_token.is_none() => {
            let both =
                "holds DATABRICKS_TOKEN and DATABRICKS_CLIENT_ID / DATABRICKS_CLIENT_SECRET; keep one way to sign in";
            Err(unavailable(secret.map_or("", |secret| &secret.secrets_id), both))
        }
        (Some(token), _, _) => Ok(DatabricksCredential::Token(token)),
        (None, Some(client_id), Some(client_secret)) => {
            Ok(DatabricksCredential::ServicePrincipal { client_id, client_secret })
        }
        (None, Some(_), None) => Err(missing(secret, "DATABRICKS_CLIENT_SECRET")),
        (None, None, Some(_)) => Err(missing(secret, "DATABRICKS_CLIENT_ID")),
        (None, None, None) => {
            Err(missing(secret, "DATABRICKS_TOKEN (or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET)"))
        }
    }
}

/// Returns whether two sets hold the same credentials.
fn same(one: &CredentialSet, other: &CredentialSet) -> bool {
    let equal = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
    equal(&one.notion_api_key, &other.notion_api_key)
        && match (&one.databricks, &other.databricks) {
            (DatabricksCredential::Token(a), DatabricksCredential::Token(b)) => equal(a, b),
            (
                DatabricksCredential::ServicePrincipal { client_id: id_a, client_secret: a },
                DatabricksCredential::ServicePrincipal { client_id: id_b, client_secret: b },
            ) => id_a == id_b && equal(a, b),
            _ => false,
        }
}

#[cfg(test)]
mod tests;
