//! Where an unfinished run goes on: versioned JSON in both stores. Never a cursor: cursors die (facts/notion §2.6).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureClass};
use crate::notion::Partition;

/// The version this program writes; it reads no other.
const VERSION: u32 = 1;

/// What an unfinished run has left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    version: u32,
    /// The window of the unfinished walk; `None` = it reads everything.
    pub edited_since: Option<Timestamp>,
    /// When the unfinished walk began: its end justifies a watermark derived from this time, not from a later one.
    pub started_at: Timestamp,
    /// What is still to walk, in order.
    pub stretches: Vec<Stretch>,
    /// A sweep is still to do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sweep: bool,
    /// How far that sweep has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept: Option<Swept>,
    /// That sweep is the end of a full refresh whose walk is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_full_refresh: bool,
}

/// How far an unfinished sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swept {
    /// Rows created before this minute are compared and settled.
    pub created_before: Timestamp,
    /// How many rows it has marked as removed so far, for the share guard.
    pub removed: u64,
}

/// A part of one partition, by creation time; whole minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The partition.
    pub partition: Partition,
    /// Rows created at or after; `None` = from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_from: Option<Timestamp>,
    /// Rows created before; `None` = to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_to: Option<Timestamp>,
}

impl Stretch {
    /// A whole partition.
    #[must_use]
    pub fn whole(partition: Partition) -> Self {
        Self { partition, created_from: None, created_to: None }
    }
}

impl Resume {
    /// A position of this version.
    #[must_use]
    pub fn new(edited_since: Option<Timestamp>, started_at: Timestamp, stretches: Vec<Stretch>, sweep: bool) -> Self {
        Self { version: VERSION, edited_since, started_at, stretches, sweep, swept: None, ends_full_refresh: false }
    }

    /// A sweep alone, which has come as far as `swept` says.
    #[must_use]
    pub fn of_sweep(started_at: Timestamp, swept: Option<Swept>, ends_full_refresh: bool) -> Self {
        Self { swept, ends_full_refresh, ..Self::new(None, started_at, Vec::new(), true) }
    }

    /// Whether nothing but a sweep is left to do.
    #[must_use]
    pub fn is_sweep_alone(&self) -> bool {
        self.sweep && self.stretches.is_empty()
    }

    /// Whether it belongs to a full refresh, whose walk or sweep is left.
    #[must_use]
    pub fn is_of_full_refresh(&self) -> bool {
        self.ends_full_refresh || !self.stretches.is_empty() && self.edited_since.is_none()
    }

    /// Reads a stored position.
    ///
    /// # Errors
    /// `StoredStateUnreadable` when it is of another version or no position at all; going on from a guess could lose rows.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |what: String| Failure::new(FailureClass::StoredStateUnreadable, what);
        let version = serde_json::from_str::<Version>(text)
            .map_err(|error| unreadable("the stored resume position has no version".to_owned()).caused_by(error))?
            .version;
        if version != VERSION {
            return Err(unreadable(format!(
                "the stored resume position has version {version}, this program reads version {VERSION}"
            )));
        }
        serde_json::from_str(text).map_err(|error| unreadable("the stored resume position".to_owned()).caused_by(error))
    }

    /// The position as stored.
    ///
    /// # Errors
    /// `Internal` when it can't be written, which would be a defect.
    pub fn to_text(&self) -> Result<String, Failure> {
        serde_json::to_string(self)
            .map_err(|error| Failure::new(FailureClass::Internal, "writing the resume position").caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let stretch = Stretch { created_from: Some(at("2026-03-02T10:17:00Z")), ..Stretch::whole(Partition::Default) };
        let resume =
            Resume::new(None, at("2026-11-22T13:00:20Z"), vec![stretch, Stretch::whole(Partition::Archived)], false);
        let text = resume.to_text().unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"edited_since":null,"started_at":"2026-11-22T13:00:20Z","stretches":[{"partition":"default","created_from":"2026-03-02T10:17:00Z"},{"partition":"archived"}]}"#
        );
        assert_eq!(Resume::parse(&text).unwrap(), resume);
    }

    #[test]
    fn an_unknown_version_is_refused_with_instructions() {
        let refused = Resume::parse(r#"{"version":2,"anything":"else"}"#).unwrap_err();
        assert!(refused.describe().contains("--full-refresh --restart"), "{}", refused.describe());
        assert!(Resume::parse("null").is_err());
    }
}
