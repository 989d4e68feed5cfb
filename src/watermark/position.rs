//! The position of an unfinished run: versioned JSON in both stores. Never a cursor: cursors die (facts/notion §2.6).
//!
//! A position is read once, where it enters the program (truth, cache), and is one of the things that it can be. The flags
//! of the stored form, some of whose combinations mean nothing, exist in this file alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Failure, FailureClass};
use crate::notion::Partition;
use crate::run::clock::Minute;

/// The version that this program writes; it reads no other.
const VERSION: u32 = 1;

/// The work that an unfinished run has left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// A walk, and the sweep that may follow it.
    Walk(WalkPosition),
    /// A sweep alone.
    Sweep(SweepPosition),
}

/// The rest of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkPosition {
    /// The rows that it reads, and what follows.
    pub scope: Scope,
    /// The start of the walk: its end justifies a watermark derived from this time, not from a later one.
    pub started_at: Timestamp,
    /// The stretches left to walk, in order; never none.
    pub stretches: Vec<Stretch>,
}

/// The rows that a walk reads, and the sweep that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every row: a full refresh, which ends with a sweep from the start.
    Everything,
    /// Rows edited since a minute, the watermark of that time. An unfinished sweep may follow.
    EditedSince(Minute, Option<PendingSweep>),
}

/// The rest of a sweep, when nothing else is left of an unfinished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPosition {
    /// The time at which the position was stored.
    pub started_at: Timestamp,
    pub sweep: PendingSweep,
}

/// A sweep that is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSweep {
    /// Its progress; `None` = it begins at the start.
    pub progress: Option<SweepProgress>,
    /// It is the end of a full refresh whose walk is done.
    pub ends_full_refresh: bool,
}

/// The progress of an unfinished sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepProgress {
    /// Rows created before this minute are compared and classified.
    pub created_before: Minute,
    /// The number of rows that it has marked as removed so far, for the removal guard.
    pub removed: u64,
}

/// A part of one partition, by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub partition: Partition,
    /// Rows created at or after; `None` = from the first.
    pub created_from: Option<Minute>,
    /// Rows created before; `None` = to the last.
    pub created_to: Option<Minute>,
}

impl Stretch {
    /// A whole partition.
    pub fn whole(partition: Partition) -> Self {
        Self { partition, created_from: None, created_to: None }
    }

    /// Both partitions of a data source, in the order in which they are walked.
    pub fn both_partitions() -> Vec<Self> {
        [Partition::Default, Partition::Archived].map(Self::whole).to_vec()
    }
}

impl Scope {
    /// The first minute of the edits that are read; `None` = all.
    pub fn edited_since(self) -> Option<Minute> {
        match self {
            Self::Everything => None,
            Self::EditedSince(minute, _) => Some(minute),
        }
    }

    /// The sweep that follows the walk.
    pub fn sweep(self) -> Option<PendingSweep> {
        match self {
            Self::Everything => Some(PendingSweep { progress: None, ends_full_refresh: true }),
            Self::EditedSince(_, sweep) => sweep,
        }
    }
}

impl Position {
    /// The position of a walk; when nothing of it is left, of the sweep that follows, if one does.
    pub fn of_walk(scope: Scope, started_at: Timestamp, stretches: Vec<Stretch>) -> Option<Self> {
        if !stretches.is_empty() {
            return Some(Self::Walk(WalkPosition { scope, started_at, stretches }));
        }
        scope.sweep().map(|sweep| Self::of_sweep(started_at, sweep))
    }

    /// The position of a sweep alone.
    pub fn of_sweep(started_at: Timestamp, sweep: PendingSweep) -> Self {
        Self::Sweep(SweepPosition { started_at, sweep })
    }

    /// Returns true when it belongs to a full refresh, whose walk or sweep is left.
    pub fn is_of_full_refresh(&self) -> bool {
        self.sweep().is_some_and(|sweep| sweep.ends_full_refresh)
    }

    /// Returns the sweep that is still to be done, now or after the walk.
    pub fn sweep(&self) -> Option<PendingSweep> {
        match self {
            Self::Walk(walk) => walk.scope.sweep(),
            Self::Sweep(position) => Some(position.sweep),
        }
    }

    /// Reads a stored position; `None` = it says that nothing is left.
    ///
    /// # Errors
    /// `StoredStateUnreadable` when it has another version or is no position at all: a guess could lose rows.
    pub fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let unreadable = |what: String| Failure::new(FailureClass::StoredStateUnreadable, what);
        let version = serde_json::from_str::<Version>(text)
            .map_err(|error| unreadable(format!("the stored resume position has no version: {error}")))?
            .version;
        if version != VERSION {
            return Err(unreadable(format!(
                "the stored resume position has version {version}, but this program reads version {VERSION}"
            )));
        }
        let stored: StoredForm = serde_json::from_str(text)
            .map_err(|error| unreadable(format!("the stored resume position can't be read: {error}")))?;
        stored.into_position()
    }

    /// Returns the position as it is stored.
    ///
    /// # Errors
    /// `Internal` when it can't be written, which would be a defect.
    pub fn to_text(&self) -> Result<String, Failure> {
        serde_json::to_string(&StoredForm::from(self))
            .map_err(|error| Failure::new(FailureClass::Internal, "writing the resume position").caused_by(error))
    }

    /// Returns the position as reports show it.
    pub fn to_value(&self) -> Option<Value> {
        serde_json::to_value(StoredForm::from(self)).ok()
    }
}

/// The position that a store has for a data source, read once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoredPosition {
    /// Nothing is left to do.
    #[default]
    Nothing,
    /// An unfinished run.
    Unfinished(Position),
    /// A text that this version of the program can't read. It is kept, and refused by the walk that needs it.
    Unreadable { text: String, reason: String },
}

impl From<Option<Position>> for StoredPosition {
    fn from(position: Option<Position>) -> Self {
        position.map_or(Self::Nothing, Self::Unfinished)
    }
}

impl StoredPosition {
    /// Reads the text of a store.
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::Nothing };
        match Position::parse(text) {
            Ok(position) => position.into(),
            Err(failure) => Self::Unreadable { text: text.to_owned(), reason: failure.to_string() },
        }
    }

    /// Returns the text to store.
    ///
    /// # Errors
    /// As [`Position::to_text`].
    pub fn to_text(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Nothing => Ok(None),
            Self::Unfinished(position) => position.to_text().map(Some),
            Self::Unreadable { text, .. } => Ok(Some(text.clone())),
        }
    }

    /// Returns the position as reports show it, also one of another version.
    pub fn to_value(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Unfinished(position) => position.to_value(),
            Self::Unreadable { text, .. } => serde_json::from_str(text).ok(),
        }
    }

    /// Returns true when the store has no position at all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }

    /// Returns the sweep, if nothing else is left of an unfinished run.
    pub fn sweep(&self) -> Option<PendingSweep> {
        match self {
            Self::Unfinished(Position::Sweep(position)) => Some(position.sweep),
            _ => None,
        }
    }

    /// Returns the unfinished run.
    ///
    /// # Errors
    /// `StoredStateUnreadable` for a text that this version of the program can't read.
    pub fn unfinished(&self) -> Result<Option<&Position>, Failure> {
        match self {
            Self::Nothing => Ok(None),
            Self::Unfinished(position) => Ok(Some(position)),
            Self::Unreadable { reason, .. } => Err(Failure::new(FailureClass::StoredStateUnreadable, reason.clone())),
        }
    }
}

/// The part of the stored form that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Version 1 of the stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredForm {
    version: u32,
    /// `None` = the walk reads everything.
    edited_since: Option<Timestamp>,
    started_at: Timestamp,
    stretches: Vec<StoredStretch>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sweep: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swept: Option<StoredProgress>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ends_full_refresh: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredProgress {
    created_before: Timestamp,
    removed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStretch {
    partition: Partition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_to: Option<Timestamp>,
}

impl StoredForm {
    /// Lower bounds that are no whole minutes are floored, which reads some rows twice; an upper bound must be exact.
    fn into_position(self) -> Result<Option<Position>, Failure> {
        let stretches = self.stretches.into_iter().map(StoredStretch::into_stretch).collect::<Result<_, _>>()?;
        let sweep = self.sweep.then(|| PendingSweep {
            progress: self.swept.map(|swept| SweepProgress {
                created_before: Minute::floor(swept.created_before),
                removed: swept.removed,
            }),
            ends_full_refresh: self.ends_full_refresh,
        });
        Ok(match (self.edited_since, stretches) {
            (_, none) if Vec::is_empty(&none) => sweep.map(|sweep| Position::of_sweep(self.started_at, sweep)),
            (None, stretches) => Position::of_walk(Scope::Everything, self.started_at, stretches),
            (Some(at), stretches) => {
                Position::of_walk(Scope::EditedSince(Minute::floor(at), sweep), self.started_at, stretches)
            }
        })
    }
}

impl StoredStretch {
    fn into_stretch(self) -> Result<Stretch, Failure> {
        let exact = |at: Timestamp| {
            Minute::exact(at).ok_or_else(|| {
                let message = format!("the stored resume position has a stretch that ends within a minute ({at})");
                Failure::new(FailureClass::StoredStateUnreadable, message)
            })
        };
        Ok(Stretch {
            partition: self.partition,
            created_from: self.created_from.map(Minute::floor),
            created_to: self.created_to.map(exact).transpose()?,
        })
    }
}

impl From<&Position> for StoredForm {
    fn from(position: &Position) -> Self {
        let (edited_since, started_at, stretches, sweep) = match position {
            Position::Walk(walk) => {
                (walk.scope.edited_since(), walk.started_at, walk.stretches.as_slice(), walk.scope.sweep())
            }
            Position::Sweep(position) => (None, position.started_at, [].as_slice(), Some(position.sweep)),
        };
        let stored_stretch = |stretch: &Stretch| StoredStretch {
            partition: stretch.partition,
            created_from: stretch.created_from.map(Minute::start),
            created_to: stretch.created_to.map(Minute::start),
        };
        let progress = sweep.and_then(|sweep| sweep.progress);
        Self {
            version: VERSION,
            edited_since: edited_since.map(Minute::start),
            started_at,
            stretches: stretches.iter().map(stored_stretch).collect(),
            sweep: sweep.is_some(),
            swept: progress.map(|progress| StoredProgress {
                created_before: progress.created_before.start(),
                removed: progress.removed,
            }),
            ends_full_refresh: sweep.is_some_and(|sweep| sweep.ends_full_refresh),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON that the first release stored, byte for byte.
    const STORED: [&str; 5] = [
        r#"{"version":1,"edited_since":null,"started_at":"2026-11-22T13:00:20Z","stretches":[{"partition":"default","created_from":"2026-03-02T10:17:00Z"},{"partition":"archived"}],"sweep":true,"ends_full_refresh":true}"#,
        r#"{"version":1,"edited_since":"2026-11-22T12:45:00Z","started_at":"2026-11-22T13:00:20Z","stretches":[{"partition":"archived","created_from":"2026-03-02T10:17:00Z","created_to":"2026-03-03T00:00:00Z"}]}"#,
        r#"{"version":1,"edited_since":"2026-11-22T12:45:00Z","started_at":"2026-11-22T13:00:20Z","stretches":[{"partition":"archived"}],"sweep":true,"swept":{"created_before":"2026-01-01T00:00:00Z","removed":3},"ends_full_refresh":true}"#,
        r#"{"version":1,"edited_since":null,"started_at":"2026-11-22T13:00:20Z","stretches":[],"sweep":true}"#,
        r#"{"version":1,"edited_since":null,"started_at":"2026-11-22T13:00:20Z","stretches":[],"sweep":true,"swept":{"created_before":"2026-01-01T00:00:00Z","removed":3},"ends_full_refresh":true}"#,
    ];

    #[test]
    fn a_position_is_read_back() {
        for text in STORED {
            let position = Position::parse(text).unwrap().unwrap();
            assert_eq!(position.to_text().unwrap(), text);
            assert_eq!(StoredPosition::read(Some(text)).to_text().unwrap().as_deref(), Some(text));
        }
        let is_walk = |text: &str| matches!(Position::parse(text), Ok(Some(Position::Walk(_))));
        assert_eq!(STORED.map(is_walk), [true, true, true, false, false]);
    }

    #[test]
    fn a_position_that_leaves_nothing_is_none() {
        let text =
            r#"{"version":1,"edited_since":"2026-11-22T12:45:00Z","started_at":"2026-11-22T13:00:20Z","stretches":[]}"#;
        assert_eq!(Position::parse(text).unwrap(), None);
        assert!(StoredPosition::read(Some(text)).is_nothing());
    }

    #[test]
    fn an_unknown_version_is_refused_with_instructions() {
        let text = r#"{"version":2,"anything":"else"}"#;
        let refused = Position::parse(text).unwrap_err();
        assert!(refused.describe().contains("--full-refresh --restart"), "{}", refused.describe());
        assert!(Position::parse("null").is_err());
        let stored = StoredPosition::read(Some(text));
        assert_eq!(stored.to_text().unwrap().as_deref(), Some(text));
        assert!(stored.unfinished().is_err());
    }
}
