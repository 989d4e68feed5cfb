//! Everything that talks to the outside, built once per process and handed to whatever works.

use crate::aws;
use crate::aws::secrets::Secrets;
use crate::aws::state_table::StateTable;
use crate::config::Config;
use crate::databricks;
use crate::failure::Failure;
use crate::notion;
use crate::watermark::{Cache, Truth, Watermarks};

/// The clients of one process.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) notion: notion::Client,
    pub(crate) databricks: databricks::Client,
    pub(crate) secrets: Secrets,
    pub(crate) state_table: Option<StateTable>,
    pub(crate) watermarks: Watermarks,
}

impl Clients {
    /// Builds the clients that `config` asks for; no network call but what the AWS SDK needs to find credentials.
    ///
    /// # Errors
    /// `Internal` when an HTTP client can't be set up.
    pub(crate) async fn new(config: &Config) -> Result<Self, Failure> {
        let needs_aws = config.watermark_table.is_some() || config.secrets.needs_secret();
        let sdk_config =
            if needs_aws { Some(aws::sdk_config(&config.aws, config.retry.first_delay).await) } else { None };
        let secrets_client =
            sdk_config.as_ref().filter(|_| config.secrets.needs_secret()).map(aws_sdk_secretsmanager::Client::new);
        let secrets = Secrets::new(config.secrets.clone(), secrets_client);
        let notion = notion::Client::new(config.notion.clone(), secrets.clone(), config.retry)?;
        let databricks = databricks::Client::new(config.databricks.clone(), secrets.clone(), config.retry)?;
        let state_table = sdk_config
            .as_ref()
            .zip(config.watermark_table.clone())
            .map(|(sdk_config, name)| StateTable::new(sdk_config, name));
        let schema = format!("{}.{}", config.databricks.catalog, config.databricks.schema);
        let cache = state_table.clone().map(|table| Cache::new(table, schema));
        let watermarks = Watermarks::new(Truth::new(databricks.clone()), cache);
        Ok(Self { notion, databricks, secrets, state_table, watermarks })
    }
}
