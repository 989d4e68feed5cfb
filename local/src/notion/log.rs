//! The request log: what was asked under `/v1`, when, and with what status it was answered. No tokens.

use std::collections::VecDeque;

use serde::Serialize;

use super::world::Workspace;

/// Requests that are kept; the oldest go first.
const KEPT_REQUESTS: usize = 100_000;

/// One request under `/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// The workspace's time when it was answered, to the millisecond.
    pub time: String,
    /// Such as `POST`.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query string, as sent, without the question mark.
    pub query: String,
    /// The body, as sent.
    pub body: String,
    /// The header `Notion-Version`.
    pub notion_version: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// The answer's request id.
    pub request_id: String,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    requests: VecDeque<LoggedRequest>,
}

impl RequestLog {
    pub(super) fn push(&mut self, request: LoggedRequest) {
        if self.requests.len() == KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}

impl Workspace {
    /// The requests under `/v1` so far, oldest first (the last 100,000).
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.log.requests.iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&mut self) {
        self.log.requests.clear();
    }
}
