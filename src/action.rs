//! What a run is asked to do; event and command line both end here.

use crate::ids::DatabaseName;

/// One request to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Bring one database's rows up to date.
    Sync(SyncRequest),
    /// Find rows that were trashed, moved, deleted, restored; mark and repair them.
    Sweep(SweepRequest),
    /// Make the typed views of one database.
    Views(ViewsRequest),
    /// Probe Notion, Databricks, DynamoDB and Secrets Manager one by one.
    Health,
    /// Name, id, data sources and watermark of each configured database.
    ListDatabases,
    /// Create or upgrade schema and tables.
    InitTables,
    /// Watermark, lag, lease and last run of each database.
    Status,
}

/// What `sync` was asked to do.
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

/// What `sweep` was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRequest {
    /// The database to sweep.
    pub database: DatabaseName,
    /// Mark any share of the rows as removed.
    pub allow_removals: bool,
}

/// What `views` was asked to do.
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
    /// The action's name in events, reports and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sync(_) => "sync",
            Self::Sweep(_) => "sweep",
            Self::Views(_) => "views",
            Self::Health => "health",
            Self::ListDatabases => "list-databases",
            Self::InitTables => "init-tables",
            Self::Status => "status",
        }
    }

    /// The database the action is about, if it is about one.
    #[must_use]
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Sync(request) => Some(&request.database),
            Self::Sweep(request) => Some(&request.database),
            Self::Views(request) => Some(&request.database),
            _ => None,
        }
    }
}
