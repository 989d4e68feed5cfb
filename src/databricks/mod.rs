//! The Databricks SQL Statement Execution API: submit, poll, cancel; credentials; errors by what to do about them.

use std::time::Duration;

use reqwest::Url;

/// How to reach the warehouse.
#[derive(Debug, Clone)]
pub struct DatabricksConfig {
    /// The workspace, scheme and host only.
    pub host: Url,
    /// The SQL warehouse's id.
    pub warehouse_id: String,
    /// Catalog of our tables.
    pub catalog: String,
    /// Schema of our tables (`BRONZE_SCHEMA`).
    pub schema: String,
    /// Longest time for one exchange; a submit waits up to 50 s on the server (facts/databricks §1.5).
    pub timeout: Duration,
}
