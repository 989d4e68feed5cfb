//! The state of several databases, for people: from the cache first, and with one statement for all that it does not know.

use std::collections::HashMap;

use tracing::warn;

use super::{Watermark, Watermarks};
use crate::aws::state_table;
use crate::failure::{Failure, FailureClass};
use crate::ids::{Database, DatabaseId};
use crate::run::Run;

/// The stores' answers about several databases.
#[derive(Debug, Default)]
pub struct PeekResult {
    /// The watermarks of each database that is known; a database without rows was never synced.
    pub rows: HashMap<DatabaseId, Vec<Watermark>>,
    /// The reason that the others are unknown: the truth could not be read.
    pub truth: Option<Failure>,
    /// The reason that the cache was not used. It is not asked again.
    pub cache_is_down: Option<String>,
}

impl PeekResult {
    /// The rows of one database.
    ///
    /// # Errors
    /// Why they are unknown.
    pub fn rows_of(&self, database: &Database) -> Result<&[Watermark], Failure> {
        match (self.rows.get(&database.id), &self.truth) {
            (Some(rows), _) => Ok(rows),
            (None, Some(failure)) => Err(Failure::new(failure.class(), failure.message())),
            (None, None) => Ok(&[]),
        }
    }

    /// True if the tables don't exist yet, so that no database can have been synced.
    pub fn is_before_init_tables(&self) -> bool {
        self.truth.as_ref().is_some_and(|failure| failure.class() == FailureClass::TableMissing)
    }
}

impl Watermarks {
    /// Reads where each of `databases` stands: the cache where it knows them, so that no warehouse starts, and one
    /// statement for the rest.
    pub async fn peek_all(&self, databases: &[Database], run: &Run) -> PeekResult {
        let mut peeked = PeekResult::default();
        let mut unknown = Vec::new();
        for database in databases {
            match self.cached_rows(database, &mut peeked.cache_is_down, run).await {
                Some(rows) => drop(peeked.rows.insert(database.id, rows)),
                None => unknown.push(database.clone()),
            }
        }
        if !unknown.is_empty() {
            match self.truth.load_several(&unknown, run).await {
                Ok(rows) => peeked.rows.extend(rows),
                Err(failure) => peeked.truth = Some(failure),
            }
        }
        peeked
    }

    /// The cache's rows of one database; `None` = it has none, or can't be asked.
    async fn cached_rows(&self, database: &Database, down: &mut Option<String>, run: &Run) -> Option<Vec<Watermark>> {
        let cache = self.cache.as_ref().filter(|_| down.is_none())?;
        match state_table::read_within_budget(&run.deadline, cache.load_all(database)).await {
            Ok(rows) => Some(rows).filter(|rows| !rows.is_empty()),
            Err(failure) => {
                let reason = failure.describe();
                warn!(reason, "the cache could not be read");
                if failure.class() == FailureClass::DynamoDbUnavailable {
                    *down = Some(reason);
                }
                None
            }
        }
    }
}
