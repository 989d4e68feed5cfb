//! The sync of one database: walk, merge, prove, advance, sweep.
//!
//! Each data source has its own watermark. [`plan`] turns it and the request into stretches to walk. [`walk`] reads them
//! result page by result page, and knows the position that is safe to continue from. [`row`] makes table rows of pages,
//! `hydrate` adds the values that Notion cut, and [`known_rows`] drops what the last run already wrote. [`batch`] collects
//! rows; `merge` writes one batch while the next result pages are read. [`engine`] and `source` carry it out, and advance
//! the watermark only when both partitions were walked to their end, every MERGE is committed and the table was proven to
//! hold every row sent. `sweep` finds what no query shows.

pub mod batch;
pub(crate) mod engine;
mod hydrate;
pub(crate) mod known_rows;
mod merge;
pub mod plan;
mod preview;
pub mod row;
pub mod schemas;
mod seen_rows;
mod source;
mod stop;
mod sweep;
pub(crate) mod walk;

pub(crate) use engine::Engine;
pub(crate) use stop::{Ended, OutOfTime, Stop};

use std::time::Duration;

/// The settings of a sync.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// The time that the watermark stays behind the start of a run (`SYNC_SETTLE`).
    pub settle: Duration,
    /// The largest request body of a MERGE, bytes (`MERGE_BATCH_BYTES`).
    pub merge_batch_bytes: usize,
    /// The largest share of the live rows that a sweep may mark as removed, 0–1.
    pub max_removed_share: f64,
    /// Walkers of a full walk, 1–16 (`WALKERS`).
    pub walkers: usize,
}
