//! The run: its id, deadline, clock, counters, progress and warnings, which travel together through all rooms.

pub mod bounds;
pub mod clock;
pub mod deadline;
pub mod items;
pub mod progress;
pub mod report;
mod warnings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};

use tracing::warn;

pub(crate) use self::warnings::Warnings;
use crate::ids::{DataSourceId, RunId};
use crate::run::clock::Clock;
use crate::run::deadline::Deadline;
use crate::run::progress::Progress;
use crate::run::report::Totals;

/// The largest difference expected between this machine's clock and Notion's.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_hours(1);

/// One attempt of one run; cheap to clone, all clones count and warn together.
#[derive(Debug, Clone)]
pub struct Run {
    /// The id of this attempt.
    pub id: RunId,
    /// The time until which it may work.
    pub deadline: Deadline,
    /// The wall clock.
    pub clock: Clock,
    /// The listener that shows its progress.
    pub progress: Progress,
    /// The costs so far.
    pub meter: Arc<Meter>,
    /// The warnings so far.
    pub warnings: Arc<Warnings>,
    /// The data source that is being worked on, whose entry in the report gets the warnings.
    source: Option<DataSourceId>,
}

impl Run {
    /// A new attempt with an id of its own.
    pub fn new(deadline: Deadline, clock: Clock, progress: Progress) -> Self {
        Self {
            id: RunId::random(),
            deadline,
            clock,
            progress,
            meter: Arc::default(),
            warnings: Arc::default(),
            source: None,
        }
    }

    /// The run while it works on one data source.
    pub fn for_source(&self, source: DataSourceId) -> Self {
        Self { source: Some(source), ..self.clone() }
    }

    /// The run with another deadline.
    pub fn with_deadline(&self, deadline: Deadline) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The run with a deadline for MERGEs that are in flight when the time for new work is over.
    pub fn for_merging(&self) -> Self {
        self.with_deadline(self.deadline.for_merging())
    }

    /// The run with a deadline for storing its position after the last MERGE.
    pub fn for_storing(&self) -> Self {
        self.with_deadline(self.deadline.for_storing())
    }

    /// Gives a warning, once: it is logged, and collected for the report. Warnings of one kind are counted together.
    pub fn warn(&self, kind: &'static str, warning: impl Into<String>) {
        let warning = warning.into();
        warn!(warning, data_source = self.source.map(tracing::field::display), "{kind}");
        self.warnings.add(self.source, kind, warning);
    }

    /// Returns the time from which on an edit time can't be the edit's own: Notion has rows whose time is in the future.
    pub fn future_from(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(MAX_CLOCK_DIFFERENCE).unwrap_or(now)
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
    /// Counts a request sent to Notion.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a further try of an exchange.
    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a wait that a server asked for.
    pub(crate) fn rate_limit_wait(&self) {
        self.rate_limit_waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a statement with a body of `bytes` sent to the warehouse.
    pub(crate) fn statement(&self, bytes: usize) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the costs so far. The meter does not count pages, so these counts are zero.
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
