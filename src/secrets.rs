//! The credentials of both APIs: from the environment or Secrets Manager, kept with a time to live, reread after a refusal.

use std::sync::Arc;

use secrecy::SecretString;

use crate::failure::{Failure, FailureClass};

/// Where the credentials are.
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

/// How to sign in to Databricks.
#[derive(Debug, Clone)]
pub enum DatabricksCredential {
    /// A personal access token.
    Token(SecretString),
    /// A service principal, for OAuth machine to machine.
    ServicePrincipal {
        /// Its application id.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
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
#[derive(Debug, Clone)]
pub struct Secrets {
    config: Arc<SecretsConfig>,
}

impl Secrets {
    /// The credentials in force; reads the secret when none are kept or they are too old.
    ///
    /// # Errors
    /// `SecretUnavailable` when Secrets Manager does not give them; `Configuration` when a value is missing.
    pub async fn current(&self) -> Result<CredentialSet, Failure> {
        let _ = &self.config;
        tokio::task::yield_now().await;
        Err(Failure::new(FailureClass::Internal, "not written yet"))
    }

    /// Called after a 401 or 403 with credentials of `refused_generation`: reads the secret again, once for all callers
    /// that were refused with the same generation. `None` = the source holds nothing newer, so the refusal is final.
    ///
    /// # Errors
    /// As [`Secrets::current`].
    pub async fn reread(&self, refused_generation: u64) -> Result<Option<CredentialSet>, Failure> {
        let current = self.current().await?;
        Ok((current.generation > refused_generation).then_some(current))
    }
}
