//! The workspace's own clock: hidden milliseconds underneath, the minutes and texts Notion shows on top.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The time of the emulated workspace: the machine's time plus an offset, or standing still until it is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// The machine's clock, moved by so many milliseconds.
    System { offset_ms: i64 },
    /// Stands still at so many milliseconds since 1970.
    Manual { now_ms: i64 },
}

impl Clock {
    /// Milliseconds since 1970, now.
    pub(super) fn now_ms(self) -> i64 {
        match self {
            Self::System { offset_ms } => machine_now_ms().saturating_add(offset_ms),
            Self::Manual { now_ms } => now_ms,
        }
    }

    /// Returns the clock moved forward (or back) by so many milliseconds.
    pub(super) fn moved_by(self, by_ms: i64) -> Self {
        match self {
            Self::System { offset_ms } => Self::System { offset_ms: offset_ms.saturating_add(by_ms) },
            Self::Manual { now_ms } => Self::Manual { now_ms: now_ms.saturating_add(by_ms) },
        }
    }
}

fn machine_now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

const MINUTE_MS: i64 = 60_000;
pub(super) const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The whole minute a moment lies in, which is all that Notion shows of a row's times.
pub(super) fn minute_floor_ms(moment_ms: i64) -> i64 {
    moment_ms.div_euclid(MINUTE_MS) * MINUTE_MS
}

/// The day a moment lies in (UTC), as milliseconds since 1970 of its first instant.
pub(super) fn day_floor_ms(moment_ms: i64) -> i64 {
    moment_ms.div_euclid(DAY_MS) * DAY_MS
}

/// A time as rows and data sources show it: `2026-11-22T13:02:00.000Z`, rounded down to the minute.
pub(super) fn minute_text(moment_ms: i64) -> String {
    let shown = civil(minute_floor_ms(moment_ms));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:00.000Z",
        shown.year(),
        shown.month(),
        shown.day(),
        shown.hour(),
        shown.minute()
    )
}

/// A time as database containers show it: `2026-07-27T13:46:56.379+00:00`.
pub(super) fn container_text(moment_ms: i64) -> String {
    format!("{}+00:00", millisecond_text(moment_ms))
}

/// A time with its hidden milliseconds, `2026-07-27T13:46:56.379Z`; for logs, the control interface and `expiry_time`.
pub(super) fn full_text(moment_ms: i64) -> String {
    format!("{}Z", millisecond_text(moment_ms))
}

/// A time as signed URLs carry it: `20260727T134656Z`.
pub(super) fn signature_text(moment_ms: i64) -> String {
    let shown = civil(moment_ms);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        shown.year(),
        shown.month(),
        shown.day(),
        shown.hour(),
        shown.minute(),
        shown.second()
    )
}

fn millisecond_text(moment_ms: i64) -> String {
    let shown = civil(moment_ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
        shown.year(),
        shown.month(),
        shown.day(),
        shown.hour(),
        shown.minute(),
        shown.second(),
        shown.millisecond()
    )
}

/// The date and time of a moment in UTC; moments out of range show as the year 1970.
pub(super) fn civil(moment_ms: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_millisecond(moment_ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Reads `2026-11-22T13:02:00.000Z` and its relatives; without a zone it is UTC, without a time it is midnight.
pub(super) fn parse_ms(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let civil = text.parse::<DateTime>().ok()?;
    Offset::UTC.to_timestamp(civil).ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_minutes_and_containers_show_milliseconds() {
        let moment = parse_ms("2026-07-27T13:46:56.379Z").unwrap();
        assert_eq!(minute_text(moment), "2026-07-27T13:46:00.000Z");
        assert_eq!(container_text(moment), "2026-07-27T13:46:56.379+00:00");
        assert_eq!(signature_text(moment), "20260727T134656Z");
    }

    #[test]
    fn a_time_without_a_zone_is_utc_and_without_a_time_is_midnight() {
        assert_eq!(parse_ms("2026-07-27T13:46:56"), parse_ms("2026-07-27T13:46:56Z"));
        assert_eq!(parse_ms("2026-07-27"), parse_ms("2026-07-27T00:00:00Z"));
        assert_eq!(parse_ms("2026-07-27T15:46:56+02:00"), parse_ms("2026-07-27T13:46:56Z"));
        assert_eq!(parse_ms("yesterday"), None);
    }

    #[test]
    fn a_manual_clock_stands_still() {
        let clock = Clock::Manual { now_ms: 5 };
        assert_eq!(clock.now_ms(), 5);
        assert_eq!(clock.moved_by(90_000).now_ms(), 90_005);
    }
}
