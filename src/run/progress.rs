//! The progress of a run. The command line draws it, and the Lambda ignores it.

use std::sync::Arc;

use crate::ids::{DataSourceId, DatabaseName};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressEvent {
    /// A database's run began.
    DatabaseStarted { database: DatabaseName },
    /// A page of rows was read; `pages_read` counts the data source's rows so far.
    PagesRead { data_source_id: DataSourceId, pages_read: u64 },
    /// A batch was merged; `pages_merged` counts the data source's rows sent so far.
    BatchMerged { data_source_id: DataSourceId, pages_merged: u64 },
    /// The server asked to wait.
    Waiting { seconds: u64 },
    /// A sweep listed rows; `rows_listed` counts those of its window so far.
    Listed { rows_listed: u64 },
    /// A sweep checked missing rows one by one.
    Classified { checked: u64, of: u64 },
    /// A database's run ended with this outcome.
    DatabaseEnded { database: DatabaseName, outcome: &'static str },
}

type Listener = dyn Fn(&ProgressEvent) + Send + Sync;

/// The listener to progress. Any number of runs may share one.
#[derive(Clone, Default)]
pub struct Progress {
    listener: Option<Arc<Listener>>,
}

impl Progress {
    /// Sends every event to `listener`, which must be quick and must not block.
    pub fn to(listener: impl Fn(&ProgressEvent) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)) }
    }

    /// Tells one event.
    pub fn tell(&self, event: &ProgressEvent) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("listening", &self.listener.is_some()).finish()
    }
}
