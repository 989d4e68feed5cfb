//! The report of a run: one JSON object, the answer of the Lambda and the line of `--output json`.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::items::{Item, Verification};
use crate::action::ActionKind;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, DatabaseName, RunId};
use crate::output;
use crate::run::bounds::{LeftOut, MAX_ERROR_BYTES};

/// The name in a report of an action that could not be understood.
const UNKNOWN_ACTION: &str = "unknown";

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything asked for is done and proven.
    Complete,
    /// The run stopped before its deadline; the next one continues from the stored position.
    Partial,
    /// Another run holds the database's lease; nothing was done.
    Skipped,
    /// Failed; `error` says how. Only on the command line: the Lambda answers an error instead.
    Failed,
}

impl Outcome {
    /// Returns the outcome's name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// The walk that a data source got.
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
    /// The mode's name in reports and logs.
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
    /// The action; `None` = an event that could not be understood, `unknown` in JSON.
    #[serde(serialize_with = "action_name")]
    pub action: Option<ActionKind>,
    /// The database, for actions on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// The database's id in Notion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_id: Option<DatabaseId>,
    /// The widest mode among the data sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The end of the run.
    pub outcome: Outcome,
    /// This attempt's id, as in `sync_run_id` of the rows it wrote.
    pub run_id: RunId,
    /// The time at which the run began.
    pub started_at: Timestamp,
    /// The run's length in milliseconds.
    pub duration_ms: u64,
    /// The run's costs, over all data sources and what belongs to none.
    #[serde(flatten)]
    pub totals: Totals,
    /// One entry per data source; none in an action that is on no database.
    pub data_sources: Vec<DataSourceReport>,
    /// What a sync would do; only in a dry run, which writes nothing.
    #[serde(rename = "dry_run", skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// The counts of a verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Findings of other actions: health checks, databases, tables, status rows, differences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// The number of changes found in the databases' schemas; only where there are typed views.
    #[serde(skip_serializing_if = "is_zero")]
    pub schema_changes: u64,
    /// Facts that an operator should know although the run continued.
    pub warnings: Vec<String>,
    /// Counts of what is not shown here because the report would be too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Whole seconds that a server asked to wait; a caller that continues after `partial` waits as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The failure, if the run failed.
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

/// The results of one data source's walks.
#[derive(Debug, Clone, Serialize)]
pub struct DataSourceReport {
    /// The data source's id.
    pub data_source_id: DataSourceId,
    /// Its name in Notion.
    pub name: String,
    /// The walk it got.
    pub mode: Mode,
    /// Its share of the costs.
    #[serde(flatten)]
    pub totals: Totals,
    /// What a sync would do; only in a dry run.
    #[serde(rename = "dry_run", skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// The window read, absent in a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// `synced_through` before the run.
    pub watermark_before: Option<Timestamp>,
    /// `synced_through` after it.
    pub watermark_after: Option<Timestamp>,
    /// The position from which the next run continues (after `partial`); else null.
    pub resume: Option<Value>,
    /// Facts that an operator should know.
    pub warnings: Vec<String>,
}

/// What a sync would do after it has read its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Rows that it would send to the table, at most: the table itself drops those that it has already.
    pub rows_to_write: u64,
    /// Rows of which Notion cut a property, so that the sync would read it in full; they count as rows to write.
    pub rows_to_read_in_full: u64,
    /// A sweep would follow.
    pub sweep_follows: bool,
}

impl Preview {
    /// Adds another data source's share.
    pub(crate) fn add(&mut self, other: Self) {
        self.rows_to_write += other.rows_to_write;
        self.rows_to_read_in_full += other.rows_to_read_in_full;
        self.sweep_follows |= other.sweep_follows;
    }
}

/// The window of edits that a walk read; no upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Edits at or after this minute were read; absent = all.
    pub edited_since: Option<Timestamp>,
    /// The value that the walk gives `synced_through`.
    pub synced_through: Timestamp,
}

/// A failure in a report.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    /// The stable class.
    pub class: FailureClass,
    /// The thing that failed, where, why, and what to do; never a secret.
    pub message: String,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self { class: failure.class(), message: output::bounded(&failure.describe(), MAX_ERROR_BYTES) }
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

fn action_name<S: Serializer>(action: &Option<ActionKind>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(action.map_or(UNKNOWN_ACTION, ActionKind::name))
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// The action's name; `unknown` where the event could not be understood.
    pub fn action_name(&self) -> &'static str {
        self.action.map_or(UNKNOWN_ACTION, ActionKind::name)
    }

    /// An empty, complete report to fill.
    pub fn begin(action: Option<ActionKind>, run_id: RunId, started_at: Timestamp) -> Self {
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
            preview: None,
            verification: None,
            items: Vec::new(),
            schema_changes: 0,
            warnings: Vec::new(),
            left_out: None,
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

    /// Warns of a run that stopped without a position to continue from: the next one does the same work again.
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
