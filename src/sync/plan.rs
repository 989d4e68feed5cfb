//! Pure: what is stored, what is asked and what time it is → what to walk, and the watermark it would justify.

use std::time::Duration;

use jiff::Timestamp;

use crate::failure::Failure;
use crate::notion::Partition;
use crate::run::clock::floor_minute;
use crate::run::report::{Mode, Window};
use crate::warehouse::WatermarkRow;
use crate::watermark::{Resume, Stretch, Swept};

/// What to do with one data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How the walk is called.
    pub mode: Mode,
    /// Rows edited at or after; `None` = all.
    pub edited_since: Option<Timestamp>,
    /// When the walk began, in this run or in the one it goes on from.
    pub started_at: Timestamp,
    /// What to walk, in order.
    pub stretches: Vec<Stretch>,
    /// `synced_through` once all of it is walked, merged and proven.
    pub target: Timestamp,
    /// A sweep follows.
    pub sweep: bool,
    /// How far that sweep has come already.
    pub swept: Option<Swept>,
    /// That sweep is the end of a full refresh.
    pub ends_full_refresh: bool,
    /// Goes on from a stored position.
    pub is_resumed: bool,
}

impl Plan {
    /// The window for the report.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { edited_since: self.edited_since, synced_through: self.target }
    }
}

/// Makes the plan. A stored position is gone on from whatever was asked, with two exceptions: `restart` drops it, and an
/// unfinished full refresh starts over as one; a full refresh replaces the position of an incremental walk, all of whose rows it reads as well.
///
/// # Errors
/// `StoredStateUnreadable` when the stored position is not of this version.
pub fn plan(
    stored: &WatermarkRow,
    full_refresh: bool,
    restart: bool,
    now: Timestamp,
    settle: Duration,
) -> Result<Plan, Failure> {
    let wants_everything = full_refresh || stored.synced_through.is_none();
    if restart {
        // What was under way starts over; what it was can't be told of a position that can't be read.
        let was_full = |text: &String| Resume::parse(text).map_or(true, |resume| resume.is_of_full_refresh());
        return Ok(fresh(stored, wants_everything || stored.resume.as_ref().is_some_and(was_full), now, settle));
    }
    if let Some(resume) = stored.resume.as_deref().map(Resume::parse).transpose()? {
        let is_walk_pending = !resume.stretches.is_empty();
        let is_full = resume.edited_since.is_none();
        if is_walk_pending && (is_full || !wants_everything) {
            return Ok(Plan {
                mode: if is_full { Mode::FullRefresh } else { Mode::Incremental },
                edited_since: resume.edited_since,
                started_at: resume.started_at,
                stretches: resume.stretches,
                target: target(resume.started_at, settle, stored.synced_through),
                sweep: is_full || resume.sweep,
                swept: resume.swept,
                ends_full_refresh: is_full || resume.ends_full_refresh,
                is_resumed: true,
            });
        }
        // A full refresh of which the sweep alone is left goes on with that, and reads what was edited since.
        let is_rest_of_full_refresh = resume.ends_full_refresh && stored.synced_through.is_some();
        if resume.sweep && (!wants_everything || is_rest_of_full_refresh) {
            let rest = fresh(stored, false, now, settle);
            return Ok(Plan { sweep: true, swept: resume.swept, ends_full_refresh: resume.ends_full_refresh, ..rest });
        }
    }
    Ok(fresh(stored, wants_everything, now, settle))
}

fn fresh(stored: &WatermarkRow, is_full: bool, now: Timestamp, settle: Duration) -> Plan {
    Plan {
        mode: if is_full { Mode::FullRefresh } else { Mode::Incremental },
        edited_since: stored.synced_through.filter(|_| !is_full),
        started_at: now,
        stretches: vec![Stretch::whole(Partition::Default), Stretch::whole(Partition::Archived)],
        target: target(now, settle, stored.synced_through),
        sweep: is_full,
        swept: None,
        ends_full_refresh: is_full,
        is_resumed: false,
    }
}

/// The minute floor of `started_at − settle`: Notion rounds times down and its index lags (facts/notion §3.1, §3.3). Never
/// before what is stored, whatever the clock does.
fn target(started_at: Timestamp, settle: Duration, stored: Option<Timestamp>) -> Timestamp {
    let settled = floor_minute(started_at.saturating_sub(settle).unwrap_or(started_at));
    stored.map_or(settled, |stored| settled.max(stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DataSourceId, DatabaseId, DatabaseName};

    const SETTLE: Duration = Duration::from_secs(120);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn stored(synced_through: Option<&str>, resume: Option<Resume>) -> WatermarkRow {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        WatermarkRow {
            synced_through: synced_through.map(at),
            resume: resume.map(|resume| resume.to_text().unwrap()),
            ..WatermarkRow::empty(
                DatabaseId::parse(id).unwrap(),
                &DatabaseName::parse("projects").unwrap(),
                DataSourceId::parse(id).unwrap(),
            )
        }
    }

    #[test]
    fn the_first_sync_reads_everything_and_sweeps() {
        let plan = plan(&stored(None, None), false, false, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
        assert_eq!((plan.mode, plan.edited_since, plan.sweep), (Mode::FullRefresh, None, true));
        assert_eq!(plan.target, at("2026-11-22T13:00:00Z"));
        assert_eq!(plan.stretches.len(), 2, "both partitions");
    }

    #[test]
    fn an_incremental_run_begins_at_the_watermark() {
        let row = stored(Some("2026-11-22T12:45:00Z"), None);
        let plan = plan(&row, false, false, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
        assert_eq!(plan.edited_since, Some(at("2026-11-22T12:45:00Z")));
        assert!(!plan.sweep);
    }

    #[test]
    fn a_clock_that_stepped_back_never_moves_the_watermark_back() {
        let row = stored(Some("2026-11-22T12:45:00Z"), None);
        let plan = plan(&row, false, false, at("2026-11-22T09:00:00Z"), SETTLE).unwrap();
        assert_eq!(plan.target, at("2026-11-22T12:45:00Z"));
    }

    #[test]
    fn an_unfinished_full_refresh_goes_on_with_its_own_start_whoever_asks() {
        let rest =
            vec![Stretch { created_from: Some(at("2024-01-01T00:00:00Z")), ..Stretch::whole(Partition::Default) }];
        let resume = Resume::new(None, at("2026-11-22T12:00:30Z"), rest.clone(), true);
        let row = stored(Some("2026-11-20T00:00:00Z"), Some(resume));
        for full_refresh in [false, true] {
            let plan = plan(&row, full_refresh, false, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
            assert_eq!(plan.stretches, rest);
            assert_eq!(plan.target, at("2026-11-22T11:58:00Z"));
            assert!(plan.is_resumed && plan.sweep);
        }
        let restarted = plan(&row, true, true, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
        assert!(!restarted.is_resumed);
        assert_eq!(restarted.stretches.len(), 2);
    }

    #[test]
    fn a_full_refresh_of_which_the_sweep_is_left_goes_on_with_it_and_a_plain_sweep_is_none() {
        let swept = Some(Swept { created_before: at("2026-01-01T00:00:00Z"), removed: 3 });
        for (ends_full_refresh, mode) in [(true, Mode::Incremental), (false, Mode::FullRefresh)] {
            let resume = Resume::of_sweep(at("2026-11-22T12:00:30Z"), swept, ends_full_refresh);
            let row = stored(Some("2026-11-22T11:58:00Z"), Some(resume));
            let plan = plan(&row, true, false, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
            assert_eq!((plan.mode, plan.sweep), (mode, true));
            assert_eq!(plan.swept.is_some(), ends_full_refresh);
        }
    }

    #[test]
    fn what_is_restarted_starts_over_as_what_it_was() {
        let now = at("2026-11-22T13:02:50Z");
        let stretches = vec![Stretch::whole(Partition::Archived)];
        let full = Resume::new(None, now, stretches.clone(), true);
        let incremental = Resume::new(Some(at("2026-11-22T11:00:00Z")), now, stretches, false);
        for (resume, mode) in [(full, Mode::FullRefresh), (incremental, Mode::Incremental)] {
            let row = stored(Some("2026-11-22T11:58:00Z"), Some(resume));
            let plan = plan(&row, false, true, now, SETTLE).unwrap();
            assert_eq!((plan.mode, plan.is_resumed, plan.stretches.len()), (mode, false, 2));
        }
        let unreadable = WatermarkRow { resume: Some("x".to_owned()), ..stored(Some("2026-11-22T11:58:00Z"), None) };
        assert_eq!(plan(&unreadable, false, true, now, SETTLE).unwrap().mode, Mode::FullRefresh);
    }

    #[test]
    fn a_pending_sweep_does_not_hold_back_fresh_edits() {
        let resume = Resume::new(None, at("2026-11-22T12:00:30Z"), Vec::new(), true);
        let row = stored(Some("2026-11-22T11:58:00Z"), Some(resume));
        let plan = plan(&row, false, false, at("2026-11-22T13:02:50Z"), SETTLE).unwrap();
        assert_eq!((plan.mode, plan.sweep), (Mode::Incremental, true));
        assert_eq!(plan.edited_since, Some(at("2026-11-22T11:58:00Z")));
    }

    proptest::proptest! {
        #[test]
        fn a_target_is_a_whole_minute_never_past_the_settled_start(now in 0i64..4_000_000_000, settle in 0u64..100_000) {
            let now = Timestamp::from_second(now).unwrap();
            let plan = plan(&stored(None, None), false, false, now, Duration::from_secs(settle)).unwrap();
            proptest::prop_assert_eq!(plan.target.as_second().rem_euclid(60), 0);
            proptest::prop_assert!(plan.target <= now - Duration::from_secs(settle));
        }
    }
}
