//! Pure: turns the stored watermark, the request and the time into the stretches to walk and the watermark they justify.

use std::time::Duration;

use jiff::Timestamp;

use crate::failure::Failure;
use crate::run::clock::Minute;
use crate::run::report::{Mode, Window};
use crate::watermark::{PendingSweep, Position, Scope, Stretch, WalkPosition, Watermark};

/// The walk that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkRequest {
    /// Read the edits since the watermark, or continue what is unfinished.
    Incremental,
    /// Read everything.
    FullRefresh,
    /// Drop what is unfinished and start over as what it was.
    Restart,
    /// Drop what is unfinished and read everything.
    RestartedFullRefresh,
}

impl WalkRequest {
    /// Returns true when everything is to be read.
    pub fn is_full_refresh(self) -> bool {
        matches!(self, Self::FullRefresh | Self::RestartedFullRefresh)
    }

    fn is_restart(self) -> bool {
        matches!(self, Self::Restart | Self::RestartedFullRefresh)
    }
}

/// The walk of one data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The rows that it reads, and the sweep that follows.
    pub scope: Scope,
    /// The start of the walk, in this run or in the one that it continues.
    pub started_at: Timestamp,
    /// The stretches to walk, in order.
    pub stretches: Vec<Stretch>,
    /// The `synced_through` that it justifies once all of it is walked, merged and proven.
    pub target: Minute,
    /// It continues from a stored position.
    pub is_resumed: bool,
}

impl Plan {
    /// Returns the mode, as reports name it.
    pub fn mode(&self) -> Mode {
        match self.scope {
            Scope::Everything => Mode::FullRefresh,
            Scope::EditedSince(..) => Mode::Incremental,
        }
    }

    /// Returns the sweep that follows.
    pub fn sweep(&self) -> Option<PendingSweep> {
        self.scope.sweep()
    }

    /// Returns the window for the report.
    pub fn window(&self) -> Window {
        Window { edited_since: self.scope.edited_since().map(Minute::start), synced_through: self.target.start() }
    }

    /// Returns the position from which another run continues when `rest` is left to walk.
    pub fn position(&self, rest: Vec<Stretch>) -> Option<Position> {
        Position::of_walk(self.scope, self.started_at, rest)
    }
}

/// Makes the plan. A stored position is continued whatever was asked for, with two exceptions: a restart drops it, and an
/// unfinished full refresh then starts over as one; a full refresh replaces the position of an incremental walk, all of
/// whose rows it reads as well.
///
/// # Errors
/// `StoredStateUnreadable` when the stored position has another version.
pub fn plan(stored: &Watermark, request: WalkRequest, now: Timestamp, margin: Duration) -> Result<Plan, Failure> {
    let everything = fresh(Scope::Everything, stored, now, margin);
    let Some(watermark) = stored.synced_through else {
        // Nothing but a full refresh can be unfinished before the first one has ended.
        return match stored.position.unfinished() {
            Ok(Some(Position::Walk(walk))) if !request.is_restart() && walk.scope == Scope::Everything => {
                Ok(resumed(stored, walk, margin))
            }
            Err(failure) if !request.is_restart() => Err(failure),
            _ => Ok(everything),
        };
    };
    let incremental = |sweep| fresh(Scope::EditedSince(watermark, sweep), stored, now, margin);
    if request.is_restart() {
        // A position that can't be read may have been one of a full refresh, which reads all that another walk would.
        let was_full = stored
            .position
            .unfinished()
            .map_or(true, |unfinished| unfinished.is_some_and(Position::is_of_full_refresh));
        return Ok(if was_full || request.is_full_refresh() { everything } else { incremental(None) });
    }
    Ok(match stored.position.unfinished()? {
        Some(Position::Walk(walk)) if walk.scope == Scope::Everything || !request.is_full_refresh() => {
            resumed(stored, walk, margin)
        }
        // The rest of a full refresh is its sweep: it is continued, after a walk of the edits since.
        Some(unfinished) if unfinished.is_of_full_refresh() || !request.is_full_refresh() => {
            incremental(unfinished.sweep())
        }
        _ if request.is_full_refresh() => everything,
        _ => incremental(None),
    })
}

fn fresh(scope: Scope, stored: &Watermark, now: Timestamp, margin: Duration) -> Plan {
    Plan {
        scope,
        started_at: now,
        stretches: Stretch::both_partitions(),
        target: target(now, margin, stored.synced_through),
        is_resumed: false,
    }
}

fn resumed(stored: &Watermark, walk: &WalkPosition, margin: Duration) -> Plan {
    Plan {
        scope: walk.scope,
        started_at: walk.started_at,
        stretches: walk.stretches.clone(),
        target: target(walk.started_at, margin, stored.synced_through),
        is_resumed: true,
    }
}

/// Returns the minute of `started_at − margin`: Notion rounds times down and its index lags (facts/notion §3.1, §3.3). It is
/// never before the stored one, whatever the clock does.
fn target(started_at: Timestamp, margin: Duration, stored: Option<Minute>) -> Minute {
    let settled = Minute::floor(started_at.saturating_sub(margin).unwrap_or(started_at));
    stored.map_or(settled, |stored| settled.max(stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DataSourceId, Database, DatabaseId, DatabaseName};
    use crate::notion::Partition;
    use crate::watermark::{StoredPosition, SweepProgress};

    const MARGIN: Duration = Duration::from_secs(120);
    const NOW: &str = "2026-11-22T13:02:50Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn minute(text: &str) -> Minute {
        Minute::exact(at(text)).unwrap()
    }

    fn stored(synced_through: Option<&str>, position: Option<Position>) -> Watermark {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        let database = Database { id: DatabaseId::parse(id).unwrap(), name: DatabaseName::parse("projects").unwrap() };
        Watermark {
            synced_through: synced_through.map(minute),
            position: position.into(),
            ..Watermark::none(&database, DataSourceId::parse(id).unwrap())
        }
    }

    fn sweep(ends_full_refresh: bool) -> PendingSweep {
        let progress = SweepProgress { created_before: minute("2026-01-01T00:00:00Z"), removed: 3 };
        PendingSweep { progress: Some(progress), ends_full_refresh }
    }

    #[test]
    fn the_first_sync_reads_everything_and_sweeps() {
        let plan = plan(&stored(None, None), WalkRequest::Incremental, at(NOW), MARGIN).unwrap();
        assert_eq!((plan.mode(), plan.scope), (Mode::FullRefresh, Scope::Everything));
        assert!(plan.sweep().is_some());
        assert_eq!(plan.target, minute("2026-11-22T13:00:00Z"));
        assert_eq!(plan.stretches.len(), 2, "both partitions");
    }

    #[test]
    fn an_incremental_run_begins_at_the_watermark() {
        let stored = stored(Some("2026-11-22T12:45:00Z"), None);
        let plan = plan(&stored, WalkRequest::Incremental, at(NOW), MARGIN).unwrap();
        assert_eq!(plan.scope, Scope::EditedSince(minute("2026-11-22T12:45:00Z"), None));
    }

    #[test]
    fn a_clock_that_stepped_back_never_moves_the_watermark_back() {
        let stored = stored(Some("2026-11-22T12:45:00Z"), None);
        let plan = plan(&stored, WalkRequest::Incremental, at("2026-11-22T09:00:00Z"), MARGIN).unwrap();
        assert_eq!(plan.target, minute("2026-11-22T12:45:00Z"));
    }

    #[test]
    fn an_unfinished_full_refresh_goes_on_with_its_own_start_whoever_asks() {
        let rest =
            vec![Stretch { created_from: Some(minute("2024-01-01T00:00:00Z")), ..Stretch::whole(Partition::Default) }];
        let position = Position::of_walk(Scope::Everything, at("2026-11-22T12:00:30Z"), rest.clone());
        for synced_through in [None, Some("2026-11-20T00:00:00Z")] {
            let stored = stored(synced_through, position.clone());
            for request in [WalkRequest::Incremental, WalkRequest::FullRefresh] {
                let plan = plan(&stored, request, at(NOW), MARGIN).unwrap();
                assert_eq!(plan.stretches, rest);
                assert_eq!(plan.target, minute("2026-11-22T11:58:00Z"));
                assert!(plan.is_resumed && plan.sweep().is_some());
            }
            let restarted = plan(&stored, WalkRequest::RestartedFullRefresh, at(NOW), MARGIN).unwrap();
            assert!(!restarted.is_resumed);
            assert_eq!(restarted.stretches.len(), 2);
        }
    }

    #[test]
    fn the_sweep_of_a_full_refresh_continues_and_a_plain_sweep_gives_way_to_one() {
        for (ends_full_refresh, mode) in [(true, Mode::Incremental), (false, Mode::FullRefresh)] {
            let alone = Position::of_sweep(at("2026-11-22T12:00:30Z"), sweep(ends_full_refresh));
            let scope = Scope::EditedSince(minute("2026-11-22T11:58:00Z"), Some(sweep(ends_full_refresh)));
            let after_a_walk = Position::of_walk(scope, at("2026-11-22T12:00:30Z"), Stretch::both_partitions());
            for position in [Some(alone), after_a_walk] {
                let stored = stored(Some("2026-11-22T11:58:00Z"), position);
                let plan = plan(&stored, WalkRequest::FullRefresh, at(NOW), MARGIN).unwrap();
                assert_eq!((plan.mode(), plan.is_resumed), (mode, false));
                assert_eq!(plan.sweep().unwrap().progress.is_some(), ends_full_refresh);
            }
        }
    }

    #[test]
    fn an_unfinished_run_that_is_restarted_starts_over_as_what_it_was() {
        let since = minute("2026-11-22T11:00:00Z");
        let stretches = vec![Stretch::whole(Partition::Archived)];
        let unfinished =
            |scope| stored(Some("2026-11-22T11:58:00Z"), Position::of_walk(scope, at(NOW), stretches.clone()));
        for (scope, mode) in [
            (Scope::Everything, Mode::FullRefresh),
            (Scope::EditedSince(since, Some(sweep(true))), Mode::FullRefresh),
            (Scope::EditedSince(since, Some(sweep(false))), Mode::Incremental),
            (Scope::EditedSince(since, None), Mode::Incremental),
        ] {
            let plan = plan(&unfinished(scope), WalkRequest::Restart, at(NOW), MARGIN).unwrap();
            assert_eq!((plan.mode(), plan.is_resumed, plan.stretches.len()), (mode, false, 2));
        }
        let unreadable =
            Watermark { position: StoredPosition::read(Some("x")), ..stored(Some("2026-11-22T11:58:00Z"), None) };
        assert_eq!(plan(&unreadable, WalkRequest::Restart, at(NOW), MARGIN).unwrap().mode(), Mode::FullRefresh);
        assert!(plan(&unreadable, WalkRequest::FullRefresh, at(NOW), MARGIN).is_err());
    }

    #[test]
    fn a_pending_sweep_does_not_hold_back_fresh_edits() {
        let position = Position::of_sweep(at("2026-11-22T12:00:30Z"), sweep(false));
        let stored = stored(Some("2026-11-22T11:58:00Z"), Some(position));
        let plan = plan(&stored, WalkRequest::Incremental, at(NOW), MARGIN).unwrap();
        assert_eq!(plan.scope, Scope::EditedSince(minute("2026-11-22T11:58:00Z"), Some(sweep(false))));
    }

    proptest::proptest! {
        #[test]
        fn a_target_is_a_whole_minute_never_past_the_settled_start(now in 0i64..4_000_000_000, margin in 0u64..100_000) {
            let now = Timestamp::from_second(now).unwrap();
            let plan = plan(&stored(None, None), WalkRequest::Incremental, now, Duration::from_secs(margin)).unwrap();
            proptest::prop_assert!(plan.target.start() <= now - Duration::from_secs(margin));
        }
    }
}
