//! The time zone of an engine's session: it decides how TIMESTAMP cells are written and how times without a zone are read.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// A warehouse raises an error where a cast, a sum or a division has no result.
pub(super) const ANSI: (&str, &str) = ("spark.sql.ansi.enabled", "true");

/// A session's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionZone {
    /// The name that the engine knows.
    pub(super) name: &'static str,
    /// The zone as a POSIX rule, so that cells are written without a database of zones; empty = UTC.
    rule: &'static str,
}

impl SessionZone {
    /// A warehouse's zone unless an administrator sets another.
    pub const UTC: Self = Self { name: "UTC", rule: "" };
    /// The zone of the recorded answers, with summer time.
    pub const LOS_ANGELES: Self = Self { name: "America/Los_Angeles", rule: "PST8PDT,M3.2.0,M11.1.0" };
    /// A zone whose offset is no whole hour.
    pub const KOLKATA: Self = Self { name: "Asia/Kolkata", rule: "IST-5:30" };

    /// The moment as a cell: milliseconds, and the offset in force then.
    pub(super) fn cell(self, moment: Timestamp) -> String {
        let zone = if self.rule.is_empty() { None } else { TimeZone::posix(self.rule).ok() };
        let offset = zone.map_or(Offset::UTC, |zone| zone.to_offset(moment));
        if offset == Offset::UTC {
            return moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        }
        moment.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_carry_the_offset_in_force() {
        let cell = |zone: SessionZone, time: &str| zone.cell(time.parse().unwrap());
        assert_eq!(cell(SessionZone::UTC, "2021-01-01T18:00:00Z"), "2021-01-01T18:00:00.000Z");
        assert_eq!(cell(SessionZone::LOS_ANGELES, "2021-01-01T18:00:00Z"), "2021-01-01T10:00:00.000-08:00");
        assert_eq!(cell(SessionZone::LOS_ANGELES, "2021-06-15T19:34:56.789Z"), "2021-06-15T12:34:56.789-07:00");
        assert_eq!(cell(SessionZone::KOLKATA, "2021-01-01T00:00:00Z"), "2021-01-01T05:30:00.000+05:30");
    }
}
