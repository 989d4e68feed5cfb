//! One minute of creation that holds more rows than a query shows, read in parts of `last_edited_time`.
//!
//! Parts are read in ascending order, the last without an upper bound: an edit only raises `last_edited_time`, so a row that
//! leaves a part while it is read shows up in a later one.

use jiff::{SignedDuration, Timestamp};

use super::next_minute;
use crate::notion::PageRow;
use crate::run::clock::floor_minute;

/// The parts of a minute that are still to read; the last of the stack comes next.
#[derive(Debug)]
pub(super) struct MinuteSplit {
    minute: Timestamp,
    parts: Vec<Part>,
    /// Edit times that the present part has shown: where to cut it.
    shown: Vec<Timestamp>,
}

/// Edit times from inclusive, to exclusive; whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// The part is a single minute already.
#[derive(Debug)]
pub(super) struct Unsplittable;

impl MinuteSplit {
    pub(super) fn new(minute: Timestamp) -> Self {
        Self { minute, parts: vec![Part { from: None, to: None }], shown: Vec::new() }
    }

    pub(super) fn minute(&self) -> Timestamp {
        self.minute
    }

    /// The first minute beyond.
    pub(super) fn end(&self) -> Timestamp {
        next_minute(self.minute)
    }

    /// The present part's bounds, within the walk's own.
    pub(super) fn edited_bounds(&self, edited_since: Option<Timestamp>) -> (Option<Timestamp>, Option<Timestamp>) {
        let part = self.parts.last().copied().unwrap_or(Part { from: None, to: None });
        (part.from.max(edited_since), part.to)
    }

    /// The present part has shown a row, whether or not an earlier query had shown it too.
    pub(super) fn see(&mut self, row: &PageRow) {
        self.shown.push(floor_minute(row.last_edited_time));
    }

    /// The present part was complete: on to the next; `false` = that was the last.
    pub(super) fn next_part(&mut self) -> bool {
        self.parts.pop();
        self.shown.clear();
        !self.parts.is_empty()
    }

    /// The present part was cut by the cap: two parts take its place.
    pub(super) fn cut(&mut self, now: Timestamp) -> Result<(), Unsplittable> {
        let Some(part) = self.parts.pop() else { return Err(Unsplittable) };
        self.shown.sort_unstable();
        let lowest = self.shown.first().copied().unwrap_or(self.minute);
        let highest = self.shown.last().copied().unwrap_or(self.minute);
        let from = part.from.unwrap_or(lowest.min(self.minute));
        let to = part.to.unwrap_or_else(|| next_minute(highest.max(now)));
        let median = self.shown.get(self.shown.len() / 2).copied().unwrap_or(from);
        let middle = from
            .saturating_add(SignedDuration::from_secs(to.duration_since(from).as_secs() / 2))
            .map_or(from, floor_minute);
        let within = [median, middle].into_iter().find(|cut| *cut > from && *cut < to);
        // The last part has no end: Notion has rows whose edit time lies in the future, beyond all that it showed.
        let beyond = (part.to.is_none() && to > from).then_some(to);
        let cut = within.or(beyond).ok_or(Unsplittable)?;
        self.parts.push(Part { from: Some(cut), to: part.to });
        self.parts.push(Part { from: part.from, to: Some(cut) });
        self.shown.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn parts_ascend_and_cover_everything_without_an_upper_end() {
        let mut split = MinuteSplit::new(at("2026-11-22T13:00:00Z"));
        split.shown = vec![at("2026-11-22T13:00:00Z"), at("2026-11-22T13:10:00Z"), at("2026-11-22T13:20:00Z")];
        split.cut(at("2026-11-22T14:00:00Z")).unwrap();
        assert_eq!(split.edited_bounds(None), (None, Some(at("2026-11-22T13:10:00Z"))));
        assert!(split.next_part());
        assert_eq!(split.edited_bounds(None), (Some(at("2026-11-22T13:10:00Z")), None));
        assert!(!split.next_part());
    }

    #[test]
    fn edit_times_of_the_future_are_told_from_those_of_now() {
        let (now, later) = (at("2026-11-22T13:00:00Z"), at("2027-11-22T13:00:00Z"));
        let mut split = MinuteSplit::new(now);
        split.see_at(now);
        split.cut(now).unwrap();
        assert_eq!(split.edited_bounds(None), (None, Some(at("2026-11-22T13:01:00Z"))));
        assert!(split.next_part());
        split.see_at(later);
        split.cut(now).unwrap();
        assert_eq!(split.edited_bounds(None).0, Some(at("2026-11-22T13:01:00Z")));
        assert_eq!(split.edited_bounds(None).1, Some(later));
    }

    #[test]
    fn rows_all_edited_in_one_minute_end_in_an_error_after_few_cuts() {
        let mut split = MinuteSplit::new(at("2026-11-22T13:00:00Z"));
        let now = at("2027-11-22T13:00:00Z");
        let mut cuts = 0;
        loop {
            split.see_at(at("2026-11-22T13:00:00Z"));
            if split.cut(now).is_err() {
                break;
            }
            cuts += 1;
            assert!(cuts < 30, "half a million minutes are halved 19 times");
        }
        assert!(cuts >= 15);
    }

    impl MinuteSplit {
        fn see_at(&mut self, edited: Timestamp) {
            self.shown = vec![edited; 3];
        }
    }
}
