//! One minute of creation that has more rows than a query shows, read in parts of `last_edited_time`.
//!
//! Parts are read in ascending order, the last without an upper bound: an edit only raises `last_edited_time`, so a row that
//! leaves a part while it is read shows up in a later one.

use jiff::Timestamp;

use crate::notion::PageRow;
use crate::run::clock::Minute;

/// The parts of a minute that are still to read; the last of the stack comes next.
#[derive(Debug)]
pub(super) struct MinuteSplit {
    minute: Minute,
    parts: Vec<Part>,
    /// The edit times that the present part has shown: they say where to cut it.
    shown: Vec<Minute>,
}

/// A range of edit times: from inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    from: Option<Minute>,
    to: Option<Minute>,
}

/// The part is a single minute already.
#[derive(Debug)]
pub(super) struct Unsplittable;

impl MinuteSplit {
    pub(super) fn new(minute: Minute) -> Self {
        Self { minute, parts: vec![Part { from: None, to: None }], shown: Vec::new() }
    }

    pub(super) fn minute(&self) -> Minute {
        self.minute
    }

    /// Returns the first minute beyond.
    pub(super) fn end(&self) -> Minute {
        self.minute.next()
    }

    /// Returns the bounds of the present part, within those of the walk.
    pub(super) fn edited_bounds(&self, edited_since: Option<Minute>) -> (Option<Minute>, Option<Minute>) {
        let part = self.parts.last().copied().unwrap_or(Part { from: None, to: None });
        (part.from.max(edited_since), part.to)
    }

    /// Notes a row that the present part has shown, also when an earlier query had shown it.
    pub(super) fn see(&mut self, row: &PageRow) {
        self.shown.push(Minute::floor(row.last_edited_time));
    }

    /// Moves to the next part after a complete one; `false` = that was the last.
    pub(super) fn next_part(&mut self) -> bool {
        self.parts.pop();
        self.shown.clear();
        !self.parts.is_empty()
    }

    /// Replaces the present part, which the cap cut, by two.
    ///
    /// Notion does not say how many rows a part has, only that it does not show them all. So the cut is made at the median
    /// of the edit times that it did show: most imports were edited in a few minutes, and halving the time between the
    /// earliest and the latest edit would need a query for every empty half. The rows shown are the first ones by creation
    /// time, though, and may all have the same edit time while the rest has others. Then the time is halved instead.
    ///
    /// The last part has no end. When all that it shows is in one minute and nothing can be cut within, it is cut at the
    /// present: beyond it are only the rows whose edit time is in the future, which Notion does have. A part that is one
    /// minute already can't be cut, and the walk fails: to read on would leave rows out without a sign of it.
    pub(super) fn cut(&mut self, now: Timestamp) -> Result<(), Unsplittable> {
        let Some(part) = self.parts.pop() else { return Err(Unsplittable) };
        self.shown.sort_unstable();
        let lowest = self.shown.first().copied().unwrap_or(self.minute);
        let highest = self.shown.last().copied().unwrap_or(self.minute);
        let from = part.from.unwrap_or(lowest.min(self.minute));
        let to = part.to.unwrap_or_else(|| highest.max(Minute::floor(now)).next());
        let median = self.shown.get(self.shown.len() / 2).copied().unwrap_or(from);
        let within = [median, from.middle(to)].into_iter().find(|cut| *cut > from && *cut < to);
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

    fn at(text: &str) -> Minute {
        Minute::exact(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn parts_ascend_and_cover_everything_without_an_upper_end() {
        let mut split = MinuteSplit::new(at("2026-11-22T13:00:00Z"));
        split.shown = vec![at("2026-11-22T13:00:00Z"), at("2026-11-22T13:10:00Z"), at("2026-11-22T13:20:00Z")];
        split.cut(at("2026-11-22T14:00:00Z").start()).unwrap();
        assert_eq!(split.edited_bounds(None), (None, Some(at("2026-11-22T13:10:00Z"))));
        assert!(split.next_part());
        assert_eq!(split.edited_bounds(None), (Some(at("2026-11-22T13:10:00Z")), None));
        assert!(!split.next_part());
    }

    #[test]
    fn edit_times_of_the_future_get_a_part_of_their_own() {
        let (now, later) = (at("2026-11-22T13:00:00Z"), at("2027-11-22T13:00:00Z"));
        let mut split = MinuteSplit::new(now);
        split.see_at(now);
        split.cut(now.start()).unwrap();
        assert_eq!(split.edited_bounds(None), (None, Some(at("2026-11-22T13:01:00Z"))));
        assert!(split.next_part());
        split.see_at(later);
        split.cut(now.start()).unwrap();
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
            if split.cut(now.start()).is_err() {
                break;
            }
            cuts += 1;
            assert!(cuts < 30, "half a million minutes are halved 19 times");
        }
        assert!(cuts >= 15);
    }

    impl MinuteSplit {
        fn see_at(&mut self, edited: Minute) {
            self.shown = vec![edited; 3];
        }
    }
}
