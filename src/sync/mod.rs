//! The sync of one database: walk, settle, merge, prove, advance, sweep.
//!
//! Each data source has its own watermark. [`plan`] turns it and the request into stretches to walk; [`walk`] reads them
//! page by page and knows the position that is safe to go on from; [`row`] makes table rows of pages, `hydrate` fills
//! what Notion cut, [`settle`] drops what the last run already wrote; [`batch`] collects; `merge` writes one batch while
//! the next page is read; [`engine`] and `source` carry it out and advance the watermark only when both partitions were
//! walked to their end, every MERGE is committed and the table was proven to hold every row sent. `sweep` finds what no
//! query shows.

pub mod batch;
pub mod engine;
mod hydrate;
mod merge;
pub mod plan;
pub mod row;
pub mod settle;
mod source;
mod stop;
mod sweep;
pub mod walk;

pub use engine::Engine;
pub use stop::Stop;

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
    /// Walkers of a full walk, 1–16 (`WALKERS`).
    pub walkers: usize,
}
