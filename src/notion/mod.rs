//! The Notion API as we use it: exchanges, shapes as sent, errors by what to do about them.

use std::time::Duration;

use reqwest::Url;

/// How to reach Notion and how fast.
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
