//! Pure: the rows that the last run already wrote, and the rows that the next run must remember.

use crate::run::clock::Minute;
use crate::warehouse::Row;
use crate::watermark::RecentRows;

use super::row::fingerprint;

/// A row read, compared with the rows known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowStatus {
    /// The last run wrote exactly this, so it need not be sent to the warehouse.
    Known,
    /// The last run wrote another version, which the memory still holds.
    Overwrites,
    /// The memory does not have it.
    New,
}

/// The memory between two runs: the fingerprints of the rows that the next run will surely read again, because their edit
/// time is not before the new watermark (facts/notion §3.4: that includes times in the future).
#[derive(Debug)]
pub(crate) struct KnownRows {
    known: RecentRows,
    remembered: RecentRows,
    remember_from: Minute,
}

impl KnownRows {
    /// Begins with what the last run remembered; rows edited at or after `remember_from` are remembered by this one.
    pub(crate) fn new(known: RecentRows, remember_from: Minute) -> Self {
        Self { known, remembered: RecentRows::new(), remember_from }
    }

    /// Compares a row read with what is known, and notes it.
    pub(crate) fn note(&mut self, row: &Row) -> RowStatus {
        let fingerprint = fingerprint(row);
        let status = match self.known.get(&row.page_id) {
            Some(known) if *known == fingerprint => RowStatus::Known,
            // This run writes another version, so the one remembered is not what the table holds any more.
            Some(_) => {
                self.known.remove(&row.page_id);
                RowStatus::Overwrites
            }
            None => RowStatus::New,
        };
        if row.last_edited_time >= self.remember_from.start() {
            self.remembered.insert(row.page_id, fingerprint);
        } else {
            self.remembered.remove(&row.page_id);
        }
        status
    }

    /// Returns the rows that the next run may take as known, once everything that this run read is written.
    pub(crate) fn into_remembered(self) -> RecentRows {
        self.remembered
    }

    /// Returns the rows that the next run may take as known when this one stops half-way.
    pub(crate) fn still_known(&self) -> RecentRows {
        self.known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DataSourceId, DatabaseId, DatabaseName, PageId};

    fn row(title: &str, edited: &str) -> Row {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        Row {
            page_id: PageId::parse(id).unwrap(),
            database_id: DatabaseId::parse(id).unwrap(),
            database_name: DatabaseName::parse("projects").unwrap(),
            data_source_id: DataSourceId::parse(id).unwrap(),
            payload: title.to_owned(),
            payload_sha256: title.to_owned(),
            hydrated_properties: None,
            created_time: edited.parse().unwrap(),
            last_edited_time: edited.parse().unwrap(),
            is_archived: false,
            in_trash: false,
        }
    }

    fn at(text: &str) -> Minute {
        Minute::exact(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_row_read_again_unchanged_is_known_and_a_second_edit_in_the_same_minute_is_not() {
        let mut first = KnownRows::new(RecentRows::new(), at("2026-11-22T13:00:00Z"));
        assert_eq!(first.note(&row("a", "2026-11-22T13:02:00Z")), RowStatus::New);
        let mut second = KnownRows::new(first.into_remembered(), at("2026-11-22T13:00:00Z"));
        assert_eq!(second.note(&row("a", "2026-11-22T13:02:00Z")), RowStatus::Known);
        assert_eq!(second.note(&row("b", "2026-11-22T13:02:00Z")), RowStatus::Overwrites);
        // Whatever the index shows next: the table now holds b.
        assert_eq!(second.note(&row("a", "2026-11-22T13:02:00Z")), RowStatus::New);
    }

    #[test]
    fn a_row_in_the_future_stays_known_and_one_before_the_watermark_is_forgotten() {
        let mut known = KnownRows::new(RecentRows::new(), at("2026-11-22T13:00:00Z"));
        known.note(&row("a", "2027-01-01T00:00:00Z"));
        assert_eq!(known.into_remembered().len(), 1);
        let mut known = KnownRows::new(RecentRows::new(), at("2026-11-22T13:00:00Z"));
        known.note(&row("a", "2026-11-22T12:59:00Z"));
        assert!(known.into_remembered().is_empty());
    }
}
