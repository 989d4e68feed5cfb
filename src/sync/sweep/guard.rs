//! The removal guard: a sweep that would mark too large a share of the rows is refused, because a listing that lacks them
//! is more likely than that somebody deleted them.

/// The removal guard applies from this many live rows; in a smaller table one row is already a large share.
const MIN_GUARDED_ROWS: u64 = 20;

/// The number of rows that one run may mark as removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RemovalGuard {
    /// `None` = any number.
    limit: Option<u64>,
}

impl RemovalGuard {
    /// Allows `max_removed_share` of the live rows. Rows that earlier runs of the same sweep marked count on both sides.
    pub(super) fn new(max_removed_share: f64, live_rows: u64, removed_before: u64, allow_removals: bool) -> Self {
        let live_rows = live_rows + removed_before;
        if allow_removals || live_rows < MIN_GUARDED_ROWS {
            return Self { limit: None };
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a row count: both are far below 2^52 and not negative"
        )]
        let limit = (live_rows as f64 * max_removed_share).floor() as u64;
        Self { limit: Some(limit.saturating_sub(removed_before)) }
    }

    /// Returns the limit, if `removals` are more.
    pub(super) fn exceeded_by(self, removals: usize) -> Option<u64> {
        self.limit.filter(|limit| removals as u64 > *limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_begins_at_twenty_rows() {
        let limit = |share, live_rows, allow| RemovalGuard::new(share, live_rows, 0, allow).limit;
        assert_eq!(limit(0.2, 19, false), None);
        assert_eq!(limit(0.2, 20, false), Some(4));
        assert_eq!(limit(0.2, 1_000, true), None);
        assert_eq!(limit(0.0, 1_000, false), Some(0));
    }

    #[test]
    fn rows_marked_by_earlier_runs_of_the_sweep_count() {
        let guard = RemovalGuard::new(0.2, 90, 10, false);
        assert_eq!((guard.exceeded_by(10), guard.exceeded_by(11)), (None, Some(10)));
        assert_eq!(RemovalGuard::new(0.2, 60, 40, false).exceeded_by(1), Some(0));
    }
}
