//! The Notion API as we use it: exchanges, shapes as sent, errors by what to do about them.

mod client;
mod dependency;
mod error;
mod judge;
mod page;
mod property;
mod raw;
mod truncation;
mod wire;

pub(crate) use crate::http::shown_request_id;
pub use client::Client;
pub use dependency::Dependencies;
pub use error::NotionError;
pub use judge::{Exchange, Meaning};
pub use page::{PageError, PageRow, without_request_id};
pub use property::{PropertyItems, RollupState};
pub use raw::volatile_spans;
pub use truncation::{TruncatedProperty, computed_properties, truncated_properties};
pub use wire::{DataSourceInfo, DataSourceRef, DatabaseInfo, ParentInfo, Query, QueryPage, SortOrder};

use std::time::Duration;

use reqwest::Url;

/// The version sent with every request (facts/notion §1.1), and stored as `api_version` with every row.
pub const API_VERSION: &str = "2026-03-11";

/// The settings for reaching Notion, and the request rate.
#[derive(Debug, Clone)]
pub struct NotionConfig {
    /// Base address without `/v1` (`https://api.notion.com`).
    pub base_url: Url,
    /// Time between the starts of two requests; zero = no limit.
    pub rate_limit_delay: Duration,
    /// Rows asked for per query page, 1–100.
    pub page_size: u32,
    /// Longest time for one exchange, body included; Notion's own limit is 60 s (facts/notion §2.7).
    pub timeout: Duration,
}

/// The two parts of a data source that no single query shows together (facts/notion §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Rows that are not archived.
    Default,
    /// Archived rows (`is_archived: true`); trash is in neither.
    Archived,
}
