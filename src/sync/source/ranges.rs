//! Pure: the ranges of creation time into which a full walk of one partition is divided, and what is left of each.

use crate::run::clock::Minute;
use crate::watermark::Stretch;

/// The largest number of ranges that are not done: it bounds the stored position.
const MAX_RANGES: usize = 64;

/// A range is divided only if at least so many result pages seem to be left of it.
const MIN_PAGES_TO_DIVIDE: u64 = 3;

/// The ranges of one partition; together they cover what is left to walk of it.
#[derive(Debug)]
pub(super) struct Ranges {
    ranges: Vec<Range>,
    page_size: u64,
}

#[derive(Debug)]
struct Range {
    /// The part of it that is left to walk.
    rest: Stretch,
    /// The creation time of the first row seen, and the number of rows seen: how dense the rows are.
    first_seen: Option<Minute>,
    rows: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Walking,
    Done,
}

impl Ranges {
    pub(super) fn new(stretches: &[Stretch], page_size: u32) -> Self {
        let ranges = stretches.iter().copied().map(Range::waiting).collect();
        Self { ranges, page_size: u64::from(page_size) }
    }

    /// Returns the stretches that are left to walk, in order of creation time.
    pub(super) fn rest(&self) -> Vec<Stretch> {
        let mut rest: Vec<Stretch> = self.open().map(|range| range.rest).collect();
        rest.sort_by_key(|stretch| stretch.created_from);
        rest
    }

    /// Takes the next range that waits for a walker.
    pub(super) fn take_waiting(&mut self) -> Option<(usize, Stretch)> {
        let index = self.ranges.iter().position(|range| range.state == State::Waiting)?;
        self.ranges[index].state = State::Walking;
        Some((index, self.ranges[index].rest))
    }

    /// Returns the end of a range.
    pub(super) fn end(&self, index: usize) -> Option<Minute> {
        self.ranges[index].rest.created_to
    }

    /// Notes that all rows of a range created before `position` were taken, and how many rows its walker has shown.
    pub(super) fn reached(&mut self, index: usize, position: Option<Minute>, rows: usize, first: Option<Minute>) {
        let range = &mut self.ranges[index];
        range.rest.created_from = range.rest.created_from.max(position);
        range.rows += rows as u64;
        range.first_seen = range.first_seen.or(first);
        if range.rest.created_to.is_some() && range.rest.created_from >= range.rest.created_to {
            range.state = State::Done;
        }
    }

    /// Notes that all rows of a range were taken.
    pub(super) fn finish(&mut self, index: usize) {
        self.ranges[index].state = State::Done;
    }

    /// Returns the range without an end, if it is being walked, and its position.
    pub(super) fn endless(&self) -> Option<Minute> {
        let endless = self.open().find(|range| range.state == State::Walking && range.rest.created_to.is_none())?;
        endless.rest.created_from
    }

    /// Ends the endless range at the first minute that was read otherwise, and divides it into `parts` of equal time.
    pub(super) fn end_at(&mut self, end: Minute, parts: usize) {
        let is_endless = |range: &Range| range.state != State::Done && range.rest.created_to.is_none();
        let Some(index) = self.ranges.iter().position(is_endless) else { return };
        self.ranges[index].rest.created_to = Some(end);
        if self.ranges[index].rest.created_from >= Some(end) {
            self.ranges[index].state = State::Done;
            return;
        }
        for part in (2..=parts).rev() {
            let Some(from) = self.ranges[index].rest.created_from else { return };
            let Some(to) = self.ranges[index].rest.created_to else { return };
            self.divide(index, from.part(to, part - 1, part));
        }
    }

    /// Divides a range for a walker that is idle, if it is the longest by what its rows so far let expect, and long enough.
    pub(super) fn divide_longest(&mut self, index: usize, position: Option<Minute>) {
        if self.ranges.iter().any(|range| range.state == State::Waiting) {
            return;
        }
        let lengths: Vec<u64> = self.ranges.iter().map(Range::expected_rows).collect();
        let is_longest = lengths.iter().all(|length| *length <= lengths[index]);
        let rest = self.ranges[index].rest;
        if !is_longest || lengths[index] < MIN_PAGES_TO_DIVIDE * self.page_size {
            return;
        }
        if let (Some(from), Some(to)) = (rest.created_from.max(position), rest.created_to) {
            self.divide(index, from.part(to, 1, 2));
        }
    }

    /// Divides a range at a minute within it.
    fn divide(&mut self, index: usize, middle: Minute) {
        let rest = self.ranges[index].rest;
        let is_within =
            rest.created_from.is_some_and(|from| from < middle) && rest.created_to.is_some_and(|to| middle < to);
        if is_within && self.open().count() < MAX_RANGES {
            self.ranges.push(Range::waiting(Stretch { created_from: Some(middle), ..rest }));
            self.ranges[index].rest.created_to = Some(middle);
        }
    }

    fn open(&self) -> impl Iterator<Item = &Range> {
        self.ranges.iter().filter(|range| range.state != State::Done)
    }
}

impl Range {
    fn waiting(rest: Stretch) -> Self {
        Self { rest, first_seen: None, rows: 0, state: State::Waiting }
    }

    /// Returns the number of rows that are left, if they are as dense as those seen so far.
    fn expected_rows(&self) -> u64 {
        let minutes =
            |from: Minute, to: Minute| u64::try_from(to.start().duration_since(from.start()).as_mins()).unwrap_or(0);
        match (self.state, self.first_seen, self.rest.created_from, self.rest.created_to) {
            (State::Walking, Some(first), Some(from), Some(to)) => {
                self.rows.saturating_mul(minutes(from, to)) / minutes(first, from).max(1)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::notion::Partition;

    fn minute(number: i64) -> Minute {
        Minute::floor(Timestamp::from_second(number * 60).unwrap())
    }

    fn bounds(ranges: &Ranges) -> Vec<(Option<Minute>, Option<Minute>)> {
        ranges.rest().iter().map(|stretch| (stretch.created_from, stretch.created_to)).collect()
    }

    fn endless(from: i64) -> Ranges {
        let mut ranges = Ranges::new(&[Stretch::whole(Partition::Default)], 100);
        assert_eq!(ranges.take_waiting(), Some((0, Stretch::whole(Partition::Default))));
        ranges.reached(0, Some(minute(from)), 100, Some(minute(from - 10)));
        ranges
    }

    #[test]
    fn the_time_before_the_tail_is_divided_evenly() {
        let mut ranges = endless(100);
        assert_eq!(ranges.endless(), Some(minute(100)));
        ranges.end_at(minute(500), 4);
        let parts = [(100, 200), (200, 300), (300, 400), (400, 500)];
        assert_eq!(bounds(&ranges), parts.map(|(from, to)| (Some(minute(from)), Some(minute(to)))));
        assert_eq!((ranges.endless(), ranges.end(0)), (None, Some(minute(200))));
    }

    #[test]
    fn a_tail_that_reaches_back_to_the_position_ends_the_range() {
        let mut ranges = endless(100);
        ranges.end_at(minute(100), 4);
        assert_eq!(bounds(&ranges), []);
    }

    #[test]
    fn only_the_longest_range_is_divided_and_only_while_it_is_long() {
        let mut ranges = endless(100);
        ranges.end_at(minute(500), 2);
        let (second, _) = ranges.take_waiting().unwrap();
        // The second range has ten rows a minute as well, but less of it is left.
        ranges.reached(second, Some(minute(400)), 1_000, Some(minute(300)));
        ranges.divide_longest(second, Some(minute(400)));
        assert_eq!(ranges.rest().len(), 2);
        ranges.divide_longest(0, Some(minute(100)));
        assert_eq!(bounds(&ranges)[..2], [(100, 200), (200, 300)].map(|(a, b)| (Some(minute(a)), Some(minute(b)))));
        ranges.finish(0);
        ranges.divide_longest(0, Some(minute(200)));
        assert_eq!(ranges.rest().len(), 2, "a range that is done is not divided");
    }

    /// The next step of a walk.
    #[derive(Debug, Clone)]
    enum Step {
        Take,
        Reach(usize, i64),
        Divide(usize),
        EndAt(i64, usize),
        Finish(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Take),
            4 => (0usize..8, 0i64..1_000).prop_map(|(index, to)| Step::Reach(index, to)),
            4 => (0usize..8).prop_map(Step::Divide),
            1 => (0i64..1_000, 1usize..9).prop_map(|(at, parts)| Step::EndAt(at, parts)),
            1 => (0usize..8).prop_map(Step::Finish),
        ]
    }

    proptest! {
        #[test]
        fn a_minute_is_left_in_one_range_until_a_range_has_passed_it(steps in prop::collection::vec(step(), 0..60)) {
            let mut ranges = Ranges::new(&[Stretch::whole(Partition::Default)], 1);
            // Minutes of which somebody has said that their rows are taken.
            let mut taken = vec![false; 1_000];
            let mut take = |from: Option<Minute>, to: Option<Minute>| {
                for (number, taken) in taken.iter_mut().enumerate() {
                    let at = minute(i64::try_from(number).unwrap());
                    *taken |= from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to);
                }
                taken.clone()
            };
            let mut all_taken = vec![false; 1_000];
            for step in steps {
                let count = ranges.ranges.len();
                match step {
                    Step::Take => drop(ranges.take_waiting()),
                    Step::Reach(index, to) => {
                        let index = index % count;
                        let Stretch { created_from, created_to, .. } = ranges.ranges[index].rest;
                        if ranges.ranges[index].state == State::Walking {
                            let to = created_to.map_or(minute(to), |end| end.min(minute(to)));
                            all_taken = take(created_from, Some(to));
                            ranges.reached(index, Some(to), 50, Some(minute(0)));
                        }
                    }
                    Step::Divide(index) => ranges.divide_longest(index % count, None),
                    Step::EndAt(at, parts) => {
                        if ranges.endless().is_some() {
                            all_taken = take(Some(minute(at)), None);
                            ranges.end_at(minute(at), parts);
                        }
                    }
                    Step::Finish(index) => {
                        let index = index % count;
                        let Stretch { created_from, created_to, .. } = ranges.ranges[index].rest;
                        if ranges.ranges[index].state == State::Walking {
                            all_taken = take(created_from, created_to);
                            ranges.finish(index);
                        }
                    }
                }
                let rest = ranges.rest();
                prop_assert!(rest.len() <= MAX_RANGES);
                for (number, is_taken) in all_taken.iter().enumerate() {
                    let at = minute(i64::try_from(number).unwrap());
                    let holds = rest.iter().filter(|stretch| {
                        stretch.created_from.is_none_or(|from| from <= at) && stretch.created_to.is_none_or(|to| at < to)
                    });
                    let count = holds.count();
                    prop_assert!(count <= 1, "{} is left in {} ranges", number, count);
                    prop_assert!(count == 1 || *is_taken, "{} is left out", number);
                }
            }
        }
    }
}
