//! The rows that the walks of one data source have seen in this run, so that the sweep after a full refresh need not list
//! them again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::{DataSourceId, PageId};
use crate::notion::{PageRow, Partition};
use crate::run::clock::Minute;
use crate::warehouse::ListedRow;
use crate::watermark::Stretch;

/// The number of rows kept for the sweep, over all data sources: it bounds the memory. A data source that has more is
/// listed by the sweep, which does so in windows.
pub(super) const MAX_SEEN_ROWS: usize = 500_000;

/// The rows seen of one data source, each once as it was last read. About 64 bytes a row.
#[derive(Debug)]
pub(super) struct SeenRows {
    rows: BTreeMap<PageId, SeenRow>,
    /// The stretches that were walked to their end; nothing is known of the others.
    walked: Vec<Stretch>,
    max_rows: usize,
}

#[derive(Debug, Clone, Copy)]
struct SeenRow {
    created_time: Timestamp,
    last_edited_time: Timestamp,
    is_archived: bool,
}

impl SeenRows {
    /// Begins with none, and keeps at most `max_rows`.
    pub(super) fn new(max_rows: usize) -> Self {
        Self { rows: BTreeMap::new(), walked: Vec::new(), max_rows }
    }

    /// Notes a row; of two reads the later one counts. With one row too many, all are dropped: a part of a walk would not
    /// tell which rows are missing.
    pub(super) fn see(&mut self, page: &PageRow, is_archived: bool) {
        if self.max_rows == 0 {
            return;
        }
        let (created_time, last_edited_time) = (page.created_time, page.last_edited_time);
        self.rows.insert(page.id, SeenRow { created_time, last_edited_time, is_archived });
        if self.rows.len() > self.max_rows {
            *self = Self::new(0);
        }
    }

    /// Forgets a row that was found to be gone since, so that the sweep asks for it.
    pub(super) fn forget(&mut self, page_id: PageId) {
        self.rows.remove(&page_id);
    }

    /// Notes that these stretches were walked to their end, every row of them seen.
    pub(super) fn walked(&mut self, stretches: &[Stretch]) {
        if self.max_rows > 0 {
            self.walked.extend_from_slice(stretches);
        }
    }

    /// Returns the number of rows kept.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the stretches that were not walked in this run: those that an earlier run walked, or all.
    pub(super) fn unwalked(&self) -> Vec<Stretch> {
        [Partition::Default, Partition::Archived].into_iter().flat_map(|partition| self.gaps(partition)).collect()
    }

    /// Returns the parts of a partition that lie between the walked stretches.
    fn gaps(&self, partition: Partition) -> Vec<Stretch> {
        let mut walked: Vec<Stretch> =
            self.walked.iter().copied().filter(|stretch| stretch.partition == partition).collect();
        walked.sort_by_key(|stretch| stretch.created_from);
        let mut gaps = Vec::new();
        // The end of what is covered so far; the outer `None` = up to the last row.
        let mut covered: Option<Option<Minute>> = Some(None);
        for stretch in walked {
            let Some(end) = covered else { break };
            if stretch.created_from > end {
                gaps.push(Stretch { partition, created_from: end, created_to: stretch.created_from });
            }
            covered = stretch.created_to.map(|to| end.max(Some(to)));
        }
        gaps.extend(covered.map(|end| Stretch { partition, created_from: end, created_to: None }));
        gaps
    }

    /// Returns the rows created at or after `from`, with their creation times.
    pub(super) fn listed(
        &self,
        data_source_id: DataSourceId,
        from: Option<Minute>,
    ) -> impl Iterator<Item = (Timestamp, ListedRow)> {
        let is_within = move |row: &SeenRow| from.is_none_or(|from| row.created_time >= from.start());
        self.rows.iter().filter(move |(_, row)| is_within(row)).map(move |(page_id, row)| {
            let SeenRow { created_time, last_edited_time, is_archived } = *row;
            (created_time, ListedRow { page_id: *page_id, data_source_id, is_archived, last_edited_time })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn minute(number: i64) -> Minute {
        Minute::floor(Timestamp::from_second(number * 60).unwrap())
    }

    fn stretch(from: Option<i64>, to: Option<i64>) -> Stretch {
        Stretch { partition: Partition::Default, created_from: from.map(minute), created_to: to.map(minute) }
    }

    fn page(number: u128) -> PageRow {
        let id = uuid::Uuid::from_u128(number);
        let text = format!(
            r#"{{"object":"page","id":"{id}","created_time":"2026-11-22T13:00:00Z","last_edited_time":"2026-11-22T13:00:00Z","properties":{{}}}}"#
        );
        PageRow::read(RawValue::from_string(text).unwrap()).unwrap()
    }

    #[test]
    fn a_resumed_walk_leaves_the_part_of_the_earlier_run() {
        let mut seen = SeenRows::new(10);
        assert_eq!(seen.unwalked(), Stretch::both_partitions());
        seen.walked(&[stretch(Some(5), Some(7)), stretch(Some(9), None), Stretch::whole(Partition::Archived)]);
        assert_eq!(seen.unwalked(), [stretch(None, Some(5)), stretch(Some(7), Some(9))]);
        seen.walked(&[stretch(None, Some(9))]);
        assert_eq!(seen.unwalked(), []);
    }

    #[test]
    fn one_row_too_many_makes_the_sweep_list_all() {
        let mut seen = SeenRows::new(3);
        for number in 0..9 {
            seen.see(&page(number % 3), false);
        }
        seen.walked(&Stretch::both_partitions());
        assert_eq!((seen.len(), seen.unwalked().len()), (3, 0));
        seen.see(&page(3), false);
        seen.walked(&Stretch::both_partitions());
        assert_eq!((seen.len(), seen.unwalked()), (0, Stretch::both_partitions()));
    }

    proptest! {
        #[test]
        fn every_minute_is_walked_or_in_exactly_one_gap(
            walked in prop::collection::vec((prop::option::of(0i64..20), prop::option::of(0i64..20)), 0..6)
        ) {
            let mut seen = SeenRows::new(1);
            let walked: Vec<Stretch> = walked
                .into_iter()
                .filter(|(from, to)| from.is_none() || to.is_none() || from < to)
                .map(|(from, to)| stretch(from, to))
                .collect();
            seen.walked(&walked);
            for number in -1..21 {
                let at = minute(number);
                let holds = |stretch: &&Stretch| {
                    stretch.partition == Partition::Default
                        && stretch.created_from.is_none_or(|from| from <= at)
                        && stretch.created_to.is_none_or(|to| at < to)
                };
                let gaps = seen.unwalked();
                let in_gaps = gaps.iter().filter(holds).count();
                prop_assert_eq!(in_gaps, usize::from(walked.iter().find(holds).is_none()), "{}", number);
            }
        }
    }
}
