//! A row of `notion_raw_pages` as a statement carries it.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, DatabaseName, PageId};

/// A row of the table: one Notion page in one database. `payload` is the page's JSON byte for byte.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub page_id: PageId,
    pub database_id: DatabaseId,
    /// Configured name of the database.
    pub database_name: DatabaseName,
    /// The page's present place.
    pub data_source_id: DataSourceId,
    /// The page's JSON as received.
    pub payload: String,
    /// SHA-256 of the payload without its volatile parts, hexadecimal.
    pub payload_sha256: String,
    /// Full values of the properties that Notion cut; JSON text.
    pub hydrated_properties: Option<String>,
    /// When the page was created.
    pub created_time: Timestamp,
    /// When it was last edited: the guard of the MERGE.
    pub last_edited_time: Timestamp,
    /// True if it is archived.
    pub is_archived: bool,
    /// True if it is in the trash.
    pub in_trash: bool,
}

/// The number of hash digits that the proof compares: enough to tell the versions of one page apart.
pub(super) const HASH_START_DIGITS: usize = 16;

/// The first digits of a `payload_sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashStart(u64);

impl HashStart {
    /// Of a hexadecimal hash; `None` when it is none.
    pub fn of(payload_sha256: &str) -> Option<Self> {
        u64::from_str_radix(payload_sha256.get(..HASH_START_DIGITS)?, 16).ok().map(Self)
    }
}

impl Serialize for HashStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:0width$x}", self.0, width = HASH_START_DIGITS))
    }
}

/// A row ready to travel: its JSON text, and what the text will weigh in the request body.
#[derive(Debug, Clone)]
pub struct EncodedRow {
    /// Merge key within a database.
    pub page_id: PageId,
    /// The source version that the proof will look for.
    pub last_edited_time: Timestamp,
    /// The content that the proof will look for.
    pub payload_hash: HashStart,
    /// The row as a JSON object.
    pub json: String,
    /// Bytes of the text inside the body, where it is escaped once more as part of a JSON string.
    pub body_bytes: usize,
}

impl EncodedRow {
    /// Writes a row.
    ///
    /// # Errors
    /// `Internal` when the row can't be written as JSON, which would be a defect.
    pub fn encode(row: &Row) -> Result<Self, Failure> {
        let internal = || Failure::new(FailureClass::Internal, format!("writing page {}", row.page_id));
        let json = serde_json::to_string(row).map_err(|error| internal().caused_by(error))?;
        let payload_hash = HashStart::of(&row.payload_sha256).ok_or_else(internal)?;
        let body_bytes = escaped_bytes(&json);
        Ok(Self { page_id: row.page_id, last_edited_time: row.last_edited_time, payload_hash, json, body_bytes })
    }
}

/// Returns the length of `text` inside a JSON string.
fn escaped_bytes(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0x00..=0x1f => 6,
            _ => 1,
        })
        .sum()
}

/// The reason for marking a row as removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovalReason {
    /// In Notion's trash.
    Trashed,
    /// Now outside the database.
    Moved,
    /// Deleted for good, or not shared any more: Notion can't tell.
    Gone,
    /// Its whole data source was removed from the database.
    DataSourceRemoved,
    /// The page is a database now.
    BecameDatabase,
}

impl RemovalReason {
    /// The text in `removal_reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trashed => "trashed",
            Self::Moved => "moved",
            Self::Gone => "gone",
            Self::DataSourceRemoved => "data_source_removed",
            Self::BecameDatabase => "became_database",
        }
    }
}

impl Serialize for RemovalReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One row to mark as removed; its last payload stays.
#[derive(Debug, Clone, Serialize)]
pub struct Removal {
    pub page_id: PageId,
    pub database_id: DatabaseId,
    pub removal_reason: RemovalReason,
    /// True if the page is in the trash.
    pub in_trash: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_hash_is_its_first_digits() {
        let hash = "00ab5f0c3a527d0e".to_owned() + &"f".repeat(48);
        assert_eq!(serde_json::to_value(HashStart::of(&hash)).unwrap(), "00ab5f0c3a527d0e");
        assert_eq!(HashStart::of("short"), None);
        assert_eq!(HashStart::of(&"x".repeat(64)), None);
    }

    proptest::proptest! {
        #[test]
        fn the_weight_of_a_row_is_what_it_weighs_in_the_body(text in ".*") {
            let in_body = serde_json::to_string(&text).unwrap();
            proptest::prop_assert_eq!(escaped_bytes(&text), in_body.len() - 2);
        }
    }
}
