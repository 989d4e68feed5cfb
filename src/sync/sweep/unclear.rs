//! The rows of which a sweep could not tell what became of them: named, counted, and left as they are.

use crate::failure::{Failure, FailureClass};
use crate::ids::{DatabaseName, PageId};

/// Rows that a failure names; further ones are only counted.
const MAX_NAMED: usize = 5;

/// The unclear rows of one sweep.
#[derive(Debug, Default)]
pub(super) struct UnclearRows {
    count: u64,
    named: Vec<(PageId, String)>,
}

impl UnclearRows {
    pub(super) fn add(&mut self, page_id: PageId, reason: String) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push((page_id, reason));
        }
    }

    /// Returns the failure that the sweep ends with; `None` = every row is clear.
    pub(super) fn into_failure(self, database: &DatabaseName) -> Option<Failure> {
        if self.count == 0 {
            return None;
        }
        let named: Vec<String> = self.named.iter().map(|(page, reason)| format!("{page} ({reason})")).collect();
        let message = format!(
            "database {database}: Notion's answers do not tell what became of {} rows, which were left as they are: {}",
            self.count,
            named.join("; ")
        );
        Some(Failure::new(FailureClass::RowUnclear, message))
    }
}
