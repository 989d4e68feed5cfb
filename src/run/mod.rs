//! What one run carries through all rooms: its id, its deadline, its counters, its progress.

pub mod clock;
pub mod deadline;
pub mod items;
pub mod progress;
pub mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::ids::RunId;
use crate::run::clock::Clock;
use crate::run::deadline::Deadline;
use crate::run::progress::Progress;
use crate::run::report::Totals;

/// How far our clock and Notion's may lie apart.
const LARGEST_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_hours(1);

/// One attempt of one run; cheap to clone, all clones count together.
#[derive(Debug, Clone)]
pub struct Run {
    /// This attempt's id.
    pub id: RunId,
    /// Until when it may work.
    pub deadline: Deadline,
    /// The wall clock.
    pub clock: Clock,
    /// Where it tells its progress.
    pub progress: Progress,
    /// What it has cost so far.
    pub meter: Arc<Meter>,
}

impl Run {
    /// The same run with another deadline, for what is done in the time kept back.
    #[must_use]
    pub fn with_deadline(&self, deadline: Deadline) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// From here on an edit time can't be the edit's own: Notion has rows whose time lies in the future.
    #[must_use]
    pub fn future_from(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(LARGEST_CLOCK_DIFFERENCE).unwrap_or(now)
    }
}

/// Counters that the clients keep while a run works.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
    rate_limit_waits: AtomicU64,
    statements: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// One request to Notion was sent.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange is tried again.
    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A server asked to wait.
    pub(crate) fn rate_limit_wait(&self) {
        self.rate_limit_waits.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement with a body of `bytes` was sent to the warehouse.
    pub(crate) fn statement(&self, bytes: usize) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The costs so far; the page counts are not the meter's and stay zero.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            rate_limit_waits: self.rate_limit_waits.load(Ordering::Relaxed),
            statements: self.statements.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            ..Totals::default()
        }
    }
}
