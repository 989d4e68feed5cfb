//! The wall clock and the time a run may take; nothing else in the product asks what time it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The longest time kept back before a deadline for finishing, proving and storing.
const LONGEST_RESERVE: Duration = Duration::from_secs(60);

/// The least time between two positions stored in mid-work.
const SHORTEST_CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// Where the wall-clock time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that a test moves by hand.
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// A clock that stands at `at` until [`Clock::set`] moves it.
    #[must_use]
    pub fn manual(at: Timestamp) -> Self {
        Self::Manual(Arc::new(Mutex::new(at)))
    }

    /// The time now, in UTC.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock; the system's clock stays as it is.
    pub fn set(&self, now: Timestamp) {
        if let Self::Manual(at) = self {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }
}

/// The start of the minute that `time` lies in. Notion shows times rounded down to the minute (facts/notion §3.1).
#[must_use]
pub fn floor_minute(time: Timestamp) -> Timestamp {
    let seconds = time.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(60)).unwrap_or(time)
}

/// Until when a run may work, and until when it must have ended. Monotonic, so a step of the wall clock moves nothing.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    ends: Option<Ends>,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    soft: Instant,
    hard: Instant,
    /// The time kept back, however much of it is being used.
    reserve: Duration,
}

impl Deadline {
    /// No deadline at all (the command line's default).
    #[must_use]
    pub fn none() -> Self {
        Self { ends: None }
    }

    /// A deadline `run_time` from now; the smaller of 60 s and a fifth of it is kept back for the end of the run.
    #[must_use]
    pub fn after(run_time: Duration) -> Self {
        let now = Instant::now();
        let Some(hard) = now.checked_add(run_time) else { return Self::none() };
        let reserve = LONGEST_RESERVE.min(run_time / 5);
        Self { ends: Some(Ends { soft: hard - reserve, hard, reserve }) }
    }

    /// Whether new work must no longer be begun.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends.soft)
    }

    /// Time left for new work; `None` = unlimited.
    #[must_use]
    pub fn left_for_work(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.soft.saturating_duration_since(Instant::now()))
    }

    /// Whether as much time has gone since `mark` as is left for work: time to store how far the run has come. Never true
    /// without a deadline, nor within half a second.
    #[must_use]
    pub fn is_half_gone_since(&self, mark: Instant) -> bool {
        let since = mark.elapsed();
        since >= SHORTEST_CHECKPOINT_INTERVAL && self.left_for_work().is_some_and(|left| since >= left)
    }

    /// Time left until the run must have ended; `None` = unlimited.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.hard.saturating_duration_since(Instant::now()))
    }

    /// The same end, but with work allowed until `before_end` ahead of it.
    fn closing(&self, before_end: Duration) -> Self {
        let ends = self.ends.map(|ends| Ends {
            soft: ends.hard.checked_sub(before_end).map_or(ends.soft, |at| at.max(ends.soft)),
            ..ends
        });
        Self { ends }
    }

    /// For MERGEs still under way when the time for new work is over: they have until half of the reserve is left.
    #[must_use]
    pub fn for_merging(&self) -> Self {
        self.closing(self.reserve() / 2)
    }

    /// For storing the position after the last MERGE: until an eighth of the reserve is left, for the answer.
    #[must_use]
    pub fn for_storing(&self) -> Self {
        self.closing(self.reserve() / 8)
    }

    fn reserve(&self) -> Duration {
        self.ends.map_or(Duration::ZERO, |ends| ends.reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_floored_also_before_1970() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(floor_minute(at("2026-11-22T13:02:59.999Z")), at("2026-11-22T13:02:00Z"));
        assert_eq!(floor_minute(at("1969-12-31T23:59:30Z")), at("1969-12-31T23:59:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_is_kept_back_and_never_more_than_a_minute() {
        let short = Deadline::after(Duration::from_secs(10));
        assert_eq!(short.left_for_work(), Some(Duration::from_secs(8)));
        let long = Deadline::after(Duration::from_secs(900));
        assert_eq!(long.left_for_work(), Some(Duration::from_secs(840)));
        assert_eq!(long.left(), Some(Duration::from_secs(900)));
        assert!(!Deadline::none().is_near());
        assert_eq!(long.for_merging().left_for_work(), Some(Duration::from_secs(870)));
        assert_eq!(long.for_storing().for_storing().left_for_work(), Some(Duration::from_millis(892_500)));
    }
}
