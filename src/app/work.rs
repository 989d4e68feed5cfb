//! The work of a run on one database, and what of it must not be lost.

use crate::aws::pending::LongWork;
use crate::sync::engine::SyncOptions;
use crate::views::Occasion;

/// The work to do on a database.
pub(super) enum Work {
    Sync { options: SyncOptions, then_sweep: bool },
    Sweep { allow_removals: bool },
    Views(Occasion),
}

impl Work {
    /// Returns whether the work can take on what was turned away before.
    pub(super) fn takes_pending(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::Sweep { .. })
    }

    /// Returns the long work that must not be lost. A plain sync runs again anyway.
    pub(super) fn long(&self) -> Option<LongWork> {
        match self {
            Self::Sync { options, .. } if options.full_refresh => Some(LongWork::FullRefresh),
            Self::Sync { then_sweep, .. } => then_sweep.then_some(LongWork::Sweep),
            Self::Sweep { .. } => Some(LongWork::Sweep),
            Self::Views(_) => None,
        }
    }

    /// Adds the work that was turned away before. A full refresh covers a sweep.
    pub(super) fn with(self, pending: Option<LongWork>) -> Self {
        match (self, pending) {
            (Self::Sync { options, .. }, Some(LongWork::FullRefresh)) => {
                Self::Sync { options: SyncOptions { full_refresh: true, ..options }, then_sweep: false }
            }
            (Self::Sync { options, .. }, Some(LongWork::Sweep)) => {
                Self::Sync { options, then_sweep: !options.full_refresh }
            }
            (Self::Sweep { allow_removals }, Some(LongWork::FullRefresh)) => {
                let options = SyncOptions { full_refresh: true, restart: false, allow_removals };
                Self::Sync { options, then_sweep: false }
            }
            (work, _) => work,
        }
    }
}
