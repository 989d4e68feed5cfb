//! What a run did: one JSON object per run, the answer of the Lambda and the line of `--output json`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, DatabaseName, RunId};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything asked for is done and proven.
    Complete,
    /// Stopped before the deadline; the next run goes on from the stored position.
    Partial,
    /// Another run holds the database's lease; nothing was done.
    Skipped,
    /// Failed; `error` says how. Only on the command line: the Lambda answers an error instead.
    Failed,
}

impl Outcome {
    /// The outcome as it stands in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Which walk a data source got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rows edited since the watermark.
    Incremental,
    /// Every row, then a sweep.
    FullRefresh,
    /// A sweep alone.
    Sweep,
}

impl Mode {
    /// As reports and logs call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::FullRefresh => "full_refresh",
            Self::Sweep => "sweep",
        }
    }
}

/// One run's report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The action's name.
    pub action: &'static str,
    /// The database, for actions on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Its id in Notion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_id: Option<DatabaseId>,
    /// The widest mode among the data sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How the run ended.
    pub outcome: Outcome,
    /// This attempt's id, as in `sync_run_id` of the rows it wrote.
    pub run_id: RunId,
    /// When the run began.
    pub started_at: Timestamp,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// What the run cost, over all data sources and what belongs to none.
    #[serde(flatten)]
    pub totals: Totals,
    /// One entry per data source; none in an action that is on no database.
    pub data_sources: Vec<DataSourceReport>,
    /// What other actions found: health checks, databases, tables, status rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Value>,
    /// Changes of the databases' schemas that were found; only where there are typed views.
    #[serde(skip_serializing_if = "is_zero")]
    pub schema_changes: u64,
    /// What an operator should know though the run went on.
    pub warnings: Vec<String>,
    /// Whole seconds that a server asked to wait; a caller that goes on after `partial` honours it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Why the run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
}

/// Costs of a run; counts unless named otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// HTTP requests sent to Notion, tries included.
    pub requests: u64,
    /// Tries after the first, to either API.
    pub retries: u64,
    /// Waits that a server asked for (`Retry-After`).
    pub rate_limit_waits: u64,
    /// Statements sent to the warehouse.
    pub statements: u64,
    /// Bytes of the statements' request bodies.
    pub bytes: u64,
    /// Rows that Notion served, each row once per walk.
    pub pages_read: u64,
    /// Rows new in the table.
    pub pages_inserted: u64,
    /// Rows changed in the table.
    pub pages_updated: u64,
    /// Rows read and found as they were.
    pub pages_unchanged: u64,
    /// Rows marked as removed.
    pub pages_removed: u64,
    /// Rows with truncated properties that were read in full.
    pub pages_hydrated: u64,
}

/// What one data source's walks did.
#[derive(Debug, Clone, Serialize)]
pub struct DataSourceReport {
    /// The data source's id.
    pub data_source_id: DataSourceId,
    /// Its name in Notion.
    pub name: String,
    /// Which walk it got.
    pub mode: Mode,
    /// Its share of the costs.
    #[serde(flatten)]
    pub totals: Totals,
    /// The window read, absent in a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// `synced_through` before the run.
    pub watermark_before: Option<Timestamp>,
    /// `synced_through` after it.
    pub watermark_after: Option<Timestamp>,
    /// Where the next run goes on (after `partial`); else null.
    pub resume: Option<Value>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// The window of edits that a walk read; no upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Edits at or after this minute were read; absent = all.
    pub edited_since: Option<Timestamp>,
    /// What the walk makes `synced_through`.
    pub synced_through: Timestamp,
}

/// A failure as it stands in a report.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    /// The stable class.
    pub class: FailureClass,
    /// What failed, where, why, what to do; never a secret.
    pub message: String,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self { class: failure.class(), message: failure.describe() }
    }
}

impl Totals {
    /// Adds another share.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.rate_limit_waits += other.rate_limit_waits;
        self.statements += other.statements;
        self.bytes += other.bytes;
        self.pages_read += other.pages_read;
        self.pages_inserted += other.pages_inserted;
        self.pages_updated += other.pages_updated;
        self.pages_unchanged += other.pages_unchanged;
        self.pages_removed += other.pages_removed;
        self.pages_hydrated += other.pages_hydrated;
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// An empty, complete report to fill.
    #[must_use]
    pub fn begin(action: &'static str, run_id: RunId, started_at: Timestamp) -> Self {
        Self {
            action,
            database: None,
            database_id: None,
            mode: None,
            outcome: Outcome::Complete,
            run_id,
            started_at,
            duration_ms: 0,
            totals: Totals::default(),
            data_sources: Vec::new(),
            items: Vec::new(),
            schema_changes: 0,
            warnings: Vec::new(),
            retry_after_seconds: None,
            error: None,
        }
    }

    /// Adds a data source's share: its page counts go into the totals, the rest of which the run's meter knows.
    pub fn add_source(&mut self, source: DataSourceReport) {
        let pages = Totals { requests: 0, retries: 0, rate_limit_waits: 0, statements: 0, bytes: 0, ..source.totals };
        self.totals.add(&pages);
        if self.mode != Some(Mode::FullRefresh) {
            self.mode = Some(source.mode);
        }
        self.data_sources.push(source);
    }

    /// Sets the costs that the run's meter counted; page counts stay.
    pub fn set_costs(&mut self, metered: Totals) {
        let pages = Totals { requests: 0, retries: 0, rate_limit_waits: 0, statements: 0, bytes: 0, ..self.totals };
        self.totals = metered;
        self.totals.add(&pages);
        if let [only] = self.data_sources.as_mut_slice() {
            // All that the run did, it did for this one: also what the sweep did for the database as a whole.
            only.totals = self.totals;
        }
    }

    /// A run that stopped without a position to go on from says so: the next one does the same again.
    pub fn explain_partial(&mut self) {
        let has_position = self.data_sources.iter().any(|source| source.resume.is_some());
        let is_told = self.retry_after_seconds.is_some() || !self.warnings.is_empty();
        if self.outcome == Outcome::Partial && !has_position && !is_told {
            let warning = "the time was over before there was a position to store; the next run does this again";
            self.warnings.push(warning.to_owned());
        }
    }

    /// Turns the report into one of a failed run; what was counted so far stays.
    pub fn fail(&mut self, failure: &Failure) {
        self.outcome = Outcome::Failed;
        self.error = Some(failure.into());
    }
}
