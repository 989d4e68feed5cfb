//! The settings of an endpoint, and behaviours that tests script.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::RowCounts;
use super::error::StatementError;

/// The documented limit of a statement's text, taken for the whole body.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// The settings of an endpoint; most can be switched while it runs.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// Accepted bearer tokens.
    pub tokens: Vec<String>,
    /// Who may get tokens from `/oidc/v1/token`.
    pub principals: Vec<ServicePrincipal>,
    /// The only warehouse there is.
    pub warehouse_id: String,
    /// Default catalog of statements that name none.
    pub catalog: String,
    /// Larger bodies are refused.
    pub body_limit_bytes: usize,
    /// HTTP status of that refusal: 413, or 400.
    pub body_limit_status: u16,
    /// Statements that write one table wait for each other, so that writers of different rows don't conflict, as
    /// with row-level concurrency; otherwise the engine's conflicts come through.
    pub one_writer_per_table: bool,
    /// Names whose rights are checked, as service principals' application ids or as in `principal_tokens`.
    pub checked_principals: BTreeSet<String>,
    /// Further accepted bearer tokens, and whose they are.
    pub principal_tokens: BTreeMap<String, String>,
    /// Groups and their members.
    pub groups: BTreeMap<String, Vec<String>>,
    /// True if FAILED answers carry `sql_state` beside the error. Recordings of 2024 have it in the message alone.
    pub sql_state_beside_error: bool,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            tokens: vec!["local-token".to_owned()],
            principals: Vec::new(),
            warehouse_id: "local0warehouse".to_owned(),
            catalog: "main".to_owned(),
            body_limit_bytes: BODY_LIMIT_BYTES,
            body_limit_status: 413,
            one_writer_per_table: true,
            checked_principals: BTreeSet::new(),
            principal_tokens: BTreeMap::new(),
            groups: BTreeMap::new(),
            sql_state_beside_error: true,
        }
    }
}

/// A service principal.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServicePrincipal {
    /// Application id.
    pub client_id: String,
    /// OAuth secret.
    pub client_secret: String,
    /// Life of its tokens.
    pub expires_in_seconds: u64,
}

impl std::fmt::Debug for ServicePrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServicePrincipal").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A behaviour for the next statements whose text contains something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script {
    /// Part of the statement's text; empty matches every statement.
    pub contains: String,
    /// The number of matching statements that pass before the first.
    #[serde(default)]
    pub skip: u32,
    /// The number of statements that behave so.
    #[serde(default = "once")]
    pub times: u32,
    pub behaviour: Behaviour,
}

fn once() -> u32 {
    1
}

impl Script {
    /// The next statement that contains `contains` behaves so.
    pub fn once(contains: &str, behaviour: Behaviour) -> Self {
        Self { contains: contains.to_owned(), skip: 0, times: 1, behaviour }
    }

    /// The next `times` of them do.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// The first `skip` of them don't.
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Returns whether it applies to this statement, and counts the matches.
    pub(super) fn takes(&mut self, statement: &str) -> bool {
        if self.times == 0 || !statement.contains(&self.contains) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// The behaviour of a scripted statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Behaviour {
    /// PENDING for this many polls, then it runs: a warehouse that starts.
    Pending {
        /// Polls.
        polls: u32,
    },
    /// RUNNING for at least so long.
    Slow {
        /// Milliseconds.
        milliseconds: u64,
    },
    /// CLOSED in place of SUCCEEDED: it was applied, the result is lost.
    Closed,
    /// FAILED without having run.
    Failed(StatementError),
    /// SUCCEEDED without rows: the endpoint itself has done what the statement asks for.
    #[serde(skip)]
    Done,
    /// FAILED with a write conflict (SQLSTATE 2D521) without having run.
    Conflict,
    /// SUCCEEDED although nothing ran; counts claim the parameter `row_count` as inserted.
    NotApplied,
    /// It runs, and these counts are reported.
    Counts(RowCounts),
    /// The answer to the submission is PENDING, every later request for the statement is a 404.
    Forgotten {
        /// True if it runs nevertheless.
        applied: bool,
    },
    /// Cancelling is acknowledged and has no effect.
    CancelIgnored,
}

impl Behaviour {
    pub(super) fn slow(&self) -> Option<Duration> {
        match self {
            Self::Slow { milliseconds } => Some(Duration::from_millis(*milliseconds)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_skips_counts_and_ends() {
        let mut script = Script::once("MERGE", Behaviour::Closed).times(2).after(1);
        let taken: Vec<bool> =
            ["MERGE 1", "SELECT", "MERGE 2", "MERGE 3", "MERGE 4"].map(|sql| script.takes(sql)).to_vec();
        assert_eq!(taken, [false, false, true, true, false]);
    }

    #[test]
    fn scripts_are_read_from_json() {
        let text = r#"{"contains":"MERGE","behaviour":{"kind":"failed","error_code":"INTERNAL_ERROR","message":"x","sql_state":null}}"#;
        let script: Script = serde_json::from_str(text).unwrap();
        assert!(
            matches!(script.behaviour, Behaviour::Failed(error) if error.error_code == "INTERNAL_ERROR")
                && script.times == 1
        );
        let script: Script =
            serde_json::from_str(r#"{"contains":"","times":3,"behaviour":{"kind":"pending","polls":2}}"#).unwrap();
        assert_eq!((script.times, script.behaviour), (3, Behaviour::Pending { polls: 2 }));
    }
}
