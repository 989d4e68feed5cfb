//! The wall clock, and the whole minute that Notion's times have. Nothing else in the product reads the time.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Seconds of a minute.
const SECONDS: i64 = 60;

/// The source of the wall-clock time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that a test moves by hand.
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// Returns a clock that shows `at` until [`Clock::set`] moves it.
    pub fn manual(at: Timestamp) -> Self {
        Self::Manual(Arc::new(Mutex::new(at)))
    }

    /// The time now, in UTC.
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

/// A whole minute, the resolution of Notion's times: it rounds them down (facts/notion §3.1).
///
/// Bounds of windows, positions and watermarks are minutes. A bound within a minute would cut rows that Notion shows with
/// one and the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Minute(Timestamp);

impl Minute {
    /// Returns the minute that `time` is in. The first minute of all time has no start that a `Timestamp` can hold; times
    /// in it count as the next one.
    pub fn floor(time: Timestamp) -> Self {
        let second = time.as_second() - time.as_second().rem_euclid(SECONDS);
        let start = Timestamp::from_second(second).or_else(|_| Timestamp::from_second(second + SECONDS));
        Self(start.unwrap_or(time))
    }

    /// Reads a time that must be a whole minute; `None` = it is not.
    pub fn exact(time: Timestamp) -> Option<Self> {
        Some(Self::floor(time)).filter(|minute| minute.0 == time)
    }

    /// Returns the minute after this one; the last minute of all time stays.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(SignedDuration::from_secs(SECONDS)).unwrap_or(self.0))
    }

    /// Returns the minute `span` before this one, floored; at the start of all time this minute itself.
    pub fn before(self, span: SignedDuration) -> Self {
        self.0.checked_sub(span).map_or(self, Self::floor)
    }

    /// Returns the middle between this minute and a later one, floored.
    pub fn middle(self, later: Self) -> Self {
        self.part(later, 1, 2)
    }

    /// Returns the minute after `part` of so many `parts` of the time up to a later minute, floored.
    pub fn part(self, later: Self, part: usize, parts: usize) -> Self {
        let (part, parts) = (i64::try_from(part).unwrap_or(0), i64::try_from(parts).unwrap_or(1).max(1));
        // Divided before it is multiplied: the seconds of all time times a part would not fit.
        let seconds = later.0.duration_since(self.0).as_secs() / parts * part;
        self.0.checked_add(SignedDuration::from_secs(seconds)).map_or(self, Self::floor)
    }

    /// Returns the minute before this one.
    pub fn prev(self) -> Self {
        self.before(SignedDuration::from_secs(SECONDS))
    }

    /// Returns the start of the minute.
    pub fn start(self) -> Timestamp {
        self.0
    }
}

impl std::fmt::Display for Minute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_is_floored_also_before_1970() {
        assert_eq!(Minute::floor(at("2026-11-22T13:02:59.999Z")).start(), at("2026-11-22T13:02:00Z"));
        assert_eq!(Minute::floor(at("1969-12-31T23:59:30Z")).start(), at("1969-12-31T23:59:00Z"));
        assert_eq!(Minute::exact(at("2026-11-22T13:02:01Z")), None);
        assert_eq!(Minute::floor(at("2026-11-22T13:02:59Z")).prev(), Minute::floor(at("2026-11-22T13:01:00Z")));
    }

    #[test]
    fn the_ends_of_time_are_minutes_too() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            let minute = Minute::floor(time);
            assert_eq!(Minute::exact(minute.start()), Some(minute));
            assert!(minute.next() >= minute && minute.prev() <= minute);
        }
    }
}
