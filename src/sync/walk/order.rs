//! The order of the rows seen: the minute up to which it is complete, and the rows that repeat.
//!
//! One real recording came back slightly out of order (facts/notion §2.6), so the safe position is the highest creation
//! time seen minus the largest step back seen, and one minute more.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use crate::ids::PageId;
use crate::notion::PageRow;
use crate::run::clock::Minute;

/// A row, compared with the rows seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not seen before.
    New,
    /// Seen with another text: the later read wins.
    Changed,
    /// Seen with the very same text.
    Same,
}

#[derive(Debug)]
pub(super) struct Order {
    begins: Option<Minute>,
    highest: Option<Timestamp>,
    highest_in_query: Option<Timestamp>,
    largest_step_back: SignedDuration,
    /// Rows at or after the safe position: only these can repeat.
    near: HashMap<PageId, (Timestamp, u64)>,
}

impl Order {
    pub(super) fn new(begins: Option<Minute>) -> Self {
        Self {
            begins,
            highest: None,
            highest_in_query: None,
            largest_step_back: SignedDuration::ZERO,
            near: HashMap::new(),
        }
    }

    /// Begins a query, which starts lower than the last one ended: that is no disorder.
    pub(super) fn begin_query(&mut self) {
        self.highest_in_query = None;
    }

    pub(super) fn see(&mut self, row: &PageRow) -> Seen {
        let created = row.created_time;
        if let Some(highest) = self.highest_in_query {
            self.largest_step_back = self.largest_step_back.max(highest.duration_since(created));
        }
        self.highest_in_query = self.highest_in_query.max(Some(created));
        self.highest = self.highest.max(Some(created));
        let mut hasher = DefaultHasher::new();
        row.text.get().hash(&mut hasher);
        let text = hasher.finish();
        match self.near.entry(row.id) {
            Entry::Vacant(entry) => {
                entry.insert((created, text));
                Seen::New
            }
            Entry::Occupied(mut entry) if entry.get().1 != text => {
                entry.insert((created, text));
                Seen::Changed
            }
            Entry::Occupied(_) => Seen::Same,
        }
    }

    /// Returns the minute before which all rows have been seen, as far as the order of the server can be believed.
    pub(super) fn safe_position(&self) -> Option<Minute> {
        // One minute is subtracted also where no step back was seen: the next row may be the first one that steps back.
        let safe = Minute::floor(self.highest?).before(self.largest_step_back).prev();
        Some(self.begins.map_or(safe, |begins| safe.max(begins)))
    }

    pub(super) fn forget_before(&mut self, position: Option<Minute>) {
        if let Some(position) = position {
            self.near.retain(|_, (created, _)| *created >= position.start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn row(id: u8, created: &str, title: &str) -> PageRow {
        let text = format!(
            r#"{{"object":"page","id":"be633bf1-dfa0-436d-b259-5711290000{id:02x}","created_time":"{created}","last_edited_time":"{created}","properties":{{"t":"{title}"}}}}"#
        );
        PageRow::read(RawValue::from_string(text).unwrap()).unwrap()
    }

    fn at(text: &str) -> Option<Minute> {
        Minute::exact(text.parse().unwrap())
    }

    #[test]
    fn in_order_the_minute_before_the_last_is_safe() {
        let mut order = Order::new(None);
        assert_eq!(order.safe_position(), None);
        order.see(&row(1, "2026-11-22T13:00:00Z", "a"));
        order.see(&row(2, "2026-11-22T13:05:00Z", "b"));
        assert_eq!(order.safe_position(), at("2026-11-22T13:04:00Z"));
    }

    #[test]
    fn a_step_back_moves_the_safe_position_back_by_itself_and_a_minute() {
        let mut order = Order::new(None);
        order.see(&row(1, "2026-11-22T13:47:00Z", "a"));
        order.see(&row(2, "2026-11-22T13:46:00Z", "b"));
        assert_eq!(order.safe_position(), at("2026-11-22T13:45:00Z"));
        // A query that starts again from below is no disorder.
        order.begin_query();
        order.see(&row(3, "2026-11-22T13:40:00Z", "c"));
        assert_eq!(order.safe_position(), at("2026-11-22T13:45:00Z"));
    }

    #[test]
    fn a_row_that_comes_again_is_known_and_an_edited_one_is_yielded() {
        let mut order = Order::new(None);
        assert_eq!(order.see(&row(1, "2026-11-22T13:00:00Z", "a")), Seen::New);
        assert_eq!(order.see(&row(1, "2026-11-22T13:00:00Z", "a")), Seen::Same);
        assert_eq!(order.see(&row(1, "2026-11-22T13:00:00Z", "edited")), Seen::Changed);
        order.forget_before(at("2026-11-22T13:01:00Z"));
        assert!(order.near.is_empty());
    }
}
