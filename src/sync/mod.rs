//! The sync of one database.

use std::time::Duration;

/// What an operator can tune about a sync.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// How far behind the start of a run the watermark stays (`SYNC_SETTLE`).
    pub settle: Duration,
    /// Largest request body of a MERGE, bytes (`MERGE_BATCH_BYTES`).
    pub merge_batch_bytes: usize,
    /// Largest share of the live rows that a sweep may mark as removed, 0–1.
    pub max_removed_share: f64,
}
