//! The actions of a run. Events and the command line both end here.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::ids::DatabaseName;

/// The kind of an action, without what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Bring one database's rows up to date.
    Sync,
    /// Find rows that were trashed, moved, deleted, restored; mark and repair them.
    Sweep,
    /// Compare the table with Notion, row for row; change nothing.
    Verify,
    /// Make the typed views of one database.
    Views,
    /// Probe Notion, Databricks, DynamoDB and Secrets Manager one by one.
    Health,
    /// Name, id, data sources and watermark of each configured database.
    ListDatabases,
    /// Create or upgrade schema and tables.
    InitTables,
    /// Watermark, lag, lease and last run of each database.
    Status,
}

impl ActionKind {
    /// Every kind there is, in the order that messages list them.
    pub const ALL: &'static [Self] = &[
        Self::Sync,
        Self::Sweep,
        Self::Verify,
        Self::Views,
        Self::Health,
        Self::ListDatabases,
        Self::InitTables,
        Self::Status,
    ];

    /// The name in events, reports, metrics and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Sweep => "sweep",
            Self::Verify => "verify",
            Self::Views => "views",
            Self::Health => "health",
            Self::ListDatabases => "list-databases",
            Self::InitTables => "init-tables",
            Self::Status => "status",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Returns whether the action moves data. An operator's `status` or `verify` does not.
    pub const fn moves_data(self) -> bool {
        matches!(self, Self::Sync | Self::Sweep)
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ActionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One request to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Bring one database's rows up to date.
    Sync(SyncRequest),
    /// Read what such a sync would read, and count what it would write.
    DryRun(SyncRequest),
    /// Find rows that were trashed, moved, deleted, restored; mark and repair them.
    Sweep(SweepRequest),
    /// Compare one database's rows in the table with Notion; change nothing.
    Verify(DatabaseName),
    /// Make the typed views of one database.
    Views(ViewsRequest),
    /// Probe Notion, Databricks, DynamoDB and Secrets Manager one by one.
    Health,
    /// Name, id, data sources and watermark of each configured database.
    ListDatabases,
    /// Create or upgrade schema and tables.
    InitTables,
    /// Watermark, lag, lease and last run of each database.
    Status {
        /// Also the last runs of each.
        runs: bool,
    },
}

/// The options of `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// The database to sync.
    pub database: DatabaseName,
    /// Walk everything again, then sweep.
    pub full_refresh: bool,
    /// Drop a stored position; an unfinished full refresh starts over as one.
    pub restart: bool,
    /// Let the sweep that ends a full walk mark any share of the rows as removed.
    pub allow_removals: bool,
}

/// The options of `sweep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRequest {
    /// The database to sweep.
    pub database: DatabaseName,
    /// Mark any share of the rows as removed.
    pub allow_removals: bool,
}

/// The options of `views`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewsRequest {
    /// The database whose views to make.
    pub database: DatabaseName,
    /// Show the SQL and write nothing.
    pub print: bool,
    /// Overwrite views that a person changed.
    pub force: bool,
}

impl Action {
    /// The action's kind.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Sync(_) | Self::DryRun(_) => ActionKind::Sync,
            Self::Sweep(_) => ActionKind::Sweep,
            Self::Verify(_) => ActionKind::Verify,
            Self::Views(_) => ActionKind::Views,
            Self::Health => ActionKind::Health,
            Self::ListDatabases => ActionKind::ListDatabases,
            Self::InitTables => ActionKind::InitTables,
            Self::Status { .. } => ActionKind::Status,
        }
    }

    /// The action's name in events, reports and metrics.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The database the action is about, if it is about one.
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Sync(request) | Self::DryRun(request) => Some(&request.database),
            Self::Sweep(request) => Some(&request.database),
            Self::Verify(database) => Some(database),
            Self::Views(request) => Some(&request.database),
            Self::Health | Self::ListDatabases | Self::InitTables | Self::Status { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name() {
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::named(kind.name()), Some(*kind));
        }
        assert_eq!(ActionKind::named("Sync"), None);
    }
}
