//! Long work that was turned away or that failed for a reason that passes: recorded, read by the next run, forgotten once done.

use tracing::info;

use super::App;
use crate::aws::pending::{self, LongWork, PendingWork};
use crate::aws::state_table;
use crate::ids::Database;
use crate::run::Run;

impl App {
    /// Records a sweep or a full refresh that was turned away, or that failed for a reason that passes, so that the next run
    /// does it.
    pub(super) async fn record_pending(&self, database: &Database, work: Option<LongWork>, run: &Run) {
        let (Some(table), Some(work)) = (&self.clients.state_table, work) else { return };
        let recorded = pending::record(table, database.id, work, &run.id);
        match state_table::write_within_budget(&run.deadline, recorded).await {
            Ok(()) => run.warn("pending", format!("the {} is recorded; the next run does it", work.name())),
            Err(failure) => {
                let reason = failure.describe();
                run.warn("pending", format!("the {} was not recorded, request it again: {reason}", work.name()));
            }
        }
    }

    /// Reads the long work that was turned away before this run.
    pub(super) async fn pending(&self, database: &Database, run: &Run) -> Option<PendingWork> {
        let table = self.clients.state_table.as_ref()?;
        let pending = match state_table::read_within_budget(&run.deadline, pending::load(table, database.id)).await {
            Ok(pending) => pending?,
            Err(failure) => {
                run.warn("pending", format!("work that was turned away is unknown: {}", failure.describe()));
                return None;
            }
        };
        info!(work = pending.work.name(), "this run does what was turned away before");
        Some(pending)
    }

    pub(super) async fn forget_pending(&self, database: &Database, done: &PendingWork, run: &Run) {
        let Some(table) = &self.clients.state_table else { return };
        let forgotten = pending::forget(table, database.id, done);
        if let Err(failure) = state_table::write_within_budget(&run.deadline, forgotten).await {
            let reason = failure.describe();
            run.warn("pending", format!("the next run repeats the {}: {reason}", done.work.name()));
        }
    }
}
