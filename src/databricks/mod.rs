//! The Databricks SQL Statement Execution API: submit, poll, cancel; credentials; errors by what to do about them.

mod auth;
mod client;
mod error;
mod exchange;
mod grants;
mod judge;
mod result;
mod sql;
mod statement;
mod warehouse;

pub use client::Client;
pub use error::{DatabricksError, DatabricksRefusal};
pub use exchange::Exchange;
pub(crate) use judge::{KEY_COUNT_MARK, PROOF_MARK, ROW_COUNT_MARK, STALE_CACHE_MARK};
pub use sql::{QualifiedName, quote_identifier};
pub use statement::{Counts, Parameter, Rows, Statement};

use std::time::Duration;

use reqwest::Url;

/// The largest request body we send, whatever is configured: the API's limit is 16 MiB of text (facts/databricks §1.4).
pub const MAX_BODY_BYTES: usize = 15 * 1024 * 1024;

/// The settings for reaching the warehouse.
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
    /// Schema of the typed views (`VIEWS_SCHEMA`); `None` = no views.
    pub views_schema: Option<String>,
    /// Longest time for one exchange; a submit waits up to 10 s on the server (facts/databricks §1.5).
    pub timeout: Duration,
}
