//! The items of a report of actions other than sync and sweep, one struct per action.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::report::ErrorReport;
use crate::failure::FailureClass;
use crate::ids::{DataSourceId, DatabaseId, DatabaseName, PageId};

/// One item of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// One probe of `health`.
    Health(HealthItem),
    /// One database of `list-databases`.
    Database(DatabaseItem),
    /// One database of `status`.
    Status(Box<StatusItem>),
    /// One table of `init-tables`.
    Table(TableItem),
    /// One difference that `verify` found.
    Difference(DifferenceItem),
    /// One view that `views` made, or left as it is.
    View(ViewItem),
    /// The SQL of one view.
    ViewText(ViewText),
}

impl Item {
    /// The texts that come from outside, or hold some.
    pub(super) fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Health(item) => vec![&mut item.dependency, &mut item.detail],
            Self::Database(item) => match &mut item.found {
                Found::Known(list) => list.data_sources.iter_mut().filter_map(|source| source.name.as_mut()).collect(),
                Found::Failed { error } => vec![&mut error.message],
            },
            Self::Status(item) => {
                let message = match &mut item.standing {
                    Found::Known(_) => None,
                    Found::Failed { error } => Some(&mut error.message),
                };
                let runs = item.state.iter_mut().flat_map(StateItem::runs_mut);
                message.into_iter().chain(runs.filter_map(|run| run.error_message.as_mut())).collect()
            }
            Self::Table(_) => Vec::new(),
            Self::Difference(item) => item.detail.iter_mut().collect(),
            Self::View(item) => {
                item.schema_changes.iter_mut().flat_map(SchemaChange::texts_mut).chain([&mut item.view]).collect()
            }
            // The SQL is there to be copied, so it is whole or left out.
            Self::ViewText(item) => vec![&mut item.view],
        }
    }

    /// The stored positions, which hold what an earlier run wrote.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Value> {
        let sources = match self {
            Self::Database(DatabaseItem { found: Found::Known(list), .. }) => &mut list.data_sources,
            Self::Status(item) => match &mut item.standing {
                Found::Known(standing) => &mut standing.data_sources,
                Found::Failed { .. } => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        sources.iter_mut().filter_map(|source| source.more.as_mut()?.resume.as_mut()).collect()
    }
}

impl StateItem {
    fn runs_mut(&mut self) -> impl Iterator<Item = &mut RunItem> {
        let failed = self.last_failure.iter_mut().map(|failed| &mut failed.run);
        self.last_run.iter_mut().chain(&mut self.last_complete_sync).chain(failed).chain(&mut self.runs)
    }
}

/// One probe of `health`.
#[derive(Debug, Clone, Serialize)]
pub struct HealthItem {
    /// The thing that was probed.
    pub dependency: String,
    /// True if everything is right.
    pub ok: bool,
    /// The failure's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    pub detail: String,
}

/// One table of `init-tables`.
#[derive(Debug, Clone, Serialize)]
pub struct TableItem {
    /// The full name, quoted.
    pub table: String,
    /// The columns that an older version lacked.
    pub columns_added: Vec<&'static str>,
}

/// One database of `list-databases`.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseItem {
    pub database: DatabaseName,
    /// Its id in Notion.
    pub database_id: DatabaseId,
    /// Its data sources, or why they are unknown.
    #[serde(flatten)]
    pub found: Found<SourceList>,
}

/// The result about one database, or the reason that there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Found<T> {
    /// The known facts.
    Known(T),
    /// The reason that nothing is known.
    Failed { error: ErrorReport },
}

impl<T> Found<T> {
    /// Returns the known facts, if there are any.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Failed { .. } => None,
        }
    }

    /// The reason that nothing is known.
    pub fn error(&self) -> Option<&ErrorReport> {
        match self {
            Self::Known(_) => None,
            Self::Failed { error } => Some(error),
        }
    }
}

/// The data sources of a database.
#[derive(Debug, Clone, Serialize)]
pub struct SourceList {
    /// One entry per data source.
    pub data_sources: Vec<SourceItem>,
}

/// The state of one data source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceItem {
    pub data_source_id: DataSourceId,
    /// Its name, where Notion was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Every edit before this minute is in the table; null = never synced to its end.
    pub synced_through: Option<Timestamp>,
    /// The other fields of its watermark. They are absent when it was never synced.
    #[serde(flatten)]
    pub more: Option<SourceDetail>,
}

/// The fields of a watermark besides its time.
#[derive(Debug, Clone, Serialize)]
pub struct SourceDetail {
    /// The latest edit seen.
    pub last_edited_time: Option<Timestamp>,
    /// When a full refresh last ended.
    pub last_full_refresh_at: Option<Timestamp>,
    /// When a sweep last ended.
    pub last_sweep_at: Option<Timestamp>,
    /// The position from which the next run continues; null = nothing is unfinished.
    pub resume: Option<Value>,
}

/// One database of `status`.
#[derive(Debug, Clone, Serialize)]
pub struct StatusItem {
    pub database: DatabaseName,
    /// Its id in Notion.
    pub database_id: DatabaseId,
    /// Its state, or the reason that the state is unknown.
    #[serde(flatten)]
    pub standing: Found<DatabaseState>,
    /// The state table's facts. They are absent where there is no state table, or where it is down.
    #[serde(flatten)]
    pub state: Option<StateItem>,
}

/// The state of a database.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseState {
    /// The oldest watermark of its data sources.
    pub synced_through: Option<Timestamp>,
    /// Seconds since then.
    pub lag_seconds: Option<i64>,
    /// One entry per data source that was ever synced.
    pub data_sources: Vec<SourceItem>,
}

/// The state table's facts about a database.
#[derive(Debug, Clone, Serialize)]
pub struct StateItem {
    /// The run that works on it now; null = none.
    pub lease: Option<LeaseItem>,
    /// The latest run.
    pub last_run: Option<RunItem>,
    /// The latest sync that was complete, among the runs looked at.
    pub last_complete_sync: Option<RunItem>,
    /// The latest run that failed, if no run of the same action was complete since.
    pub last_failure: Option<FailedRun>,
    /// The last runs, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunItem>,
}

/// A run that failed, with what to do about it.
#[derive(Debug, Clone, Serialize)]
pub struct FailedRun {
    #[serde(flatten)]
    pub run: RunItem,
    /// The remedy; null for a class that this version does not know.
    pub remedy: Option<&'static str>,
}

/// A lease that is held.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseItem {
    /// The run that holds it.
    pub run_id: String,
    /// Until when, unless renewed.
    pub until: Timestamp,
}

/// A run as the log of runs knows it.
#[derive(Debug, Clone, Serialize)]
pub struct RunItem {
    /// When it began.
    pub started_at: String,
    /// Seconds since then.
    pub age_seconds: Option<i64>,
    pub action: Option<String>,
    /// The exit status.
    pub outcome: Option<String>,
    pub run_id: Option<String>,
    pub duration_ms: Option<i64>,
    /// Rows that it read.
    pub pages_read: Option<i64>,
    /// The failure's class.
    pub error_class: Option<String>,
    /// The failure's message.
    pub error_message: Option<String>,
}

/// One view that `views` made, or left as it is.
#[derive(Debug, Clone, Serialize)]
pub struct ViewItem {
    pub view: String,
    /// The result: `made`, `unchanged` and the like.
    pub state: &'static str,
    /// The changes of the data source's schema since the version before.
    pub schema_changes: Vec<SchemaChange>,
}

/// A change of a data source's schema.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum SchemaChange {
    /// One change.
    One {
        /// The kind: `property_added`, `property_renamed` and the like.
        change: &'static str,
        /// The property's present name, or its last one.
        property: String,
        /// The value before.
        from: Option<String>,
        /// The value now.
        to: Option<String>,
    },
    /// The count of those that are not shown.
    More {
        /// Always `more`.
        change: &'static str,
        count: usize,
    },
}

impl SchemaChange {
    fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::One { property, from, to, .. } => [property].into_iter().chain(from).chain(to).collect(),
            Self::More { .. } => Vec::new(),
        }
    }

    /// Describes the change for people.
    pub fn described(&self) -> String {
        match self {
            Self::One { change, property, from, to } => {
                let part =
                    |part: &Option<String>| part.as_ref().map_or_else(|| "-".to_owned(), |text| format!("{text:?}"));
                format!("{} {property:?}: {} → {}", change.replace('_', " "), part(from), part(to))
            }
            Self::More { count, .. } => format!("{count} more"),
        }
    }
}

/// The SQL of one view.
#[derive(Debug, Clone, Serialize)]
pub struct ViewText {
    pub view: String,
    /// The statement that makes it.
    pub sql: String,
}

/// The kind of a difference between the table and Notion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Notion shows the row, the table has no live one.
    MissingInTable,
    /// The table has a live row that Notion does not show.
    MissingInNotion,
    /// Both have the row, and its content or its place differs.
    Differs,
    /// The table has the key more than once.
    DuplicateKey,
}

impl DifferenceKind {
    /// The kind in the plural, for people.
    pub fn described(self) -> &'static str {
        match self {
            Self::MissingInTable => "missing in the table",
            Self::MissingInNotion => "missing in Notion",
            Self::Differs => "different",
            Self::DuplicateKey => "more than once in the table",
        }
    }
}

/// One difference between the table and Notion.
#[derive(Debug, Clone, Serialize)]
pub struct DifferenceItem {
    pub page_id: PageId,
    /// The page's place, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_source_id: Option<DataSourceId>,
    pub difference: DifferenceKind,
    /// The columns that differ, or what Notion says of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The counts of a verification: what it compared and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Rows that Notion showed.
    pub rows_in_notion: u64,
    /// Live rows of the database in the table.
    pub rows_in_table: u64,
    /// Rows that Notion shows and the table has no live row of.
    pub missing_in_table: u64,
    /// Live rows that Notion does not show.
    pub missing_in_notion: u64,
    /// Rows whose content or place differs.
    pub differing: u64,
    /// Keys that the table has more than once.
    pub duplicate_keys: u64,
    /// Rows that differ because of edits that no sync has read yet; they are no differences.
    pub not_yet_synced: u64,
}

impl Verification {
    /// Returns the number of differences.
    pub fn differences(&self) -> u64 {
        self.missing_in_table + self.missing_in_notion + self.differing + self.duplicate_keys
    }
}
