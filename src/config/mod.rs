//! Configuration: environment variables read once, all problems reported together.

use std::time::Duration;

use crate::databricks::DatabricksConfig;
use crate::ids::Database;
use crate::notion::NotionConfig;
use crate::retry::RetryPolicy;
use crate::secrets::SecretsConfig;
use crate::sync::SyncConfig;

/// Everything the service is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach Notion.
    pub notion: NotionConfig,
    /// How to reach Databricks.
    pub databricks: DatabricksConfig,
    /// The configured databases, sorted by name; never empty.
    pub databases: Vec<Database>,
    /// How a sync behaves.
    pub sync: SyncConfig,
    /// Where the credentials are.
    pub secrets: SecretsConfig,
    /// DynamoDB table of watermarks and leases; `None` = no cache.
    pub watermark_table: Option<String>,
    /// Time a run may take where no deadline is known; `None` = unlimited.
    pub run_budget: Option<Duration>,
    /// Retries of both APIs.
    pub retry: RetryPolicy,
}
