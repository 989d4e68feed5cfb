//! Pure: collects rows into batches by bytes of the request body, each key once, each batch with what is left to walk after it.

use std::collections::HashMap;

use crate::ids::PageId;
use crate::warehouse::EncodedRow;
use crate::watermark::Stretch;

/// The size of a MERGE's body without its rows: the statement's text and the small parameters.
pub const STATEMENT_OVERHEAD_BYTES: usize = 8 * 1024;

/// The rows of one MERGE.
#[derive(Debug)]
pub struct Batch {
    /// The rows, each page once.
    pub rows: Vec<EncodedRow>,
    /// The stretches that are left to walk once this batch and all before it are committed.
    pub rest: Vec<Stretch>,
}

/// The batch that is being filled.
#[derive(Debug)]
pub struct Batcher {
    limit_bytes: usize,
    rows: Vec<EncodedRow>,
    places: HashMap<PageId, usize>,
    bytes: usize,
    rest: Vec<Stretch>,
}

impl Batcher {
    /// Makes batches of at most `limit_bytes` of body; a single larger row travels alone. `stretches` are all that there is
    /// to walk.
    pub fn new(limit_bytes: usize, stretches: Vec<Stretch>) -> Self {
        Self { limit_bytes, rows: Vec::new(), places: HashMap::new(), bytes: STATEMENT_OVERHEAD_BYTES, rest: stretches }
    }

    /// Adds a row, and returns the batch that must be sent first if the row no longer fits. Of two reads of one page the
    /// newer version counts, and at equal times the later read.
    pub fn push(&mut self, row: EncodedRow) -> Option<Batch> {
        if let Some(place) = self.places.get(&row.page_id).copied() {
            let present = &mut self.rows[place];
            if row.last_edited_time < present.last_edited_time {
                return None;
            }
            if self.bytes - present.body_bytes + row.body_bytes <= self.limit_bytes {
                self.bytes = self.bytes - present.body_bytes + row.body_bytes;
                *present = row;
                return None;
            }
        }
        let is_full = !self.rows.is_empty() && self.bytes + row.body_bytes + 1 > self.limit_bytes;
        let full = is_full.then(|| self.cut());
        self.bytes += row.body_bytes + 1;
        self.places.insert(row.page_id, self.rows.len());
        self.rows.push(row);
        full
    }

    /// Notes that all rows outside `rest` have been pushed.
    pub fn reached(&mut self, rest: Vec<Stretch>) {
        self.rest = rest;
    }

    /// Returns the last batch; `None` when there is no row left.
    pub fn finish(&mut self) -> Option<Batch> {
        (!self.rows.is_empty()).then(|| self.cut())
    }

    /// Returns the stretches that are left to walk once everything pushed so far is committed.
    pub fn rest(&self) -> &[Stretch] {
        &self.rest
    }

    /// Makes smaller batches from here on: the server refused one as too large.
    pub fn shrink(&mut self, limit_bytes: usize) {
        self.limit_bytes = self.limit_bytes.min(limit_bytes);
    }

    fn cut(&mut self) -> Batch {
        self.places.clear();
        self.bytes = STATEMENT_OVERHEAD_BYTES;
        Batch { rows: std::mem::take(&mut self.rows), rest: self.rest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notion::Partition;
    use crate::run::clock::Minute;
    use crate::warehouse::HashStart;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn rest(minute: i64) -> Vec<Stretch> {
        let from = Minute::exact(Timestamp::from_second(minute * 60).unwrap());
        vec![Stretch { created_from: from, ..Stretch::whole(Partition::Default) }]
    }

    fn row(id: u128, minute: i64, bytes: usize) -> EncodedRow {
        EncodedRow {
            page_id: PageId::parse(&uuid::Uuid::from_u128(id).to_string()).unwrap(),
            last_edited_time: Timestamp::from_second(minute * 60).unwrap(),
            payload_hash: HashStart::of(&"0".repeat(64)).unwrap(),
            json: format!("{id}@{minute}"),
            body_bytes: bytes,
        }
    }

    #[test]
    fn of_two_reads_of_a_page_the_later_one_travels() {
        let mut batcher = Batcher::new(1_000_000, Vec::new());
        assert!(batcher.push(row(1, 5, 100)).is_none());
        let again = EncodedRow { json: "later".to_owned(), ..row(1, 5, 100) };
        assert!(batcher.push(again).is_none());
        assert!(batcher.push(row(1, 4, 100)).is_none(), "an older version does not replace a newer one");
        let batch = batcher.finish().unwrap();
        assert_eq!(batch.rows.iter().map(|row| row.json.as_str()).collect::<Vec<_>>(), ["later"]);
    }

    #[test]
    fn a_batch_cut_within_a_page_justifies_only_the_page_before() {
        let mut batcher = Batcher::new(STATEMENT_OVERHEAD_BYTES + 250, rest(0));
        assert!(batcher.push(row(1, 1, 100)).is_none());
        batcher.reached(rest(1));
        assert!(batcher.push(row(2, 2, 100)).is_none());
        let cut = batcher.push(row(3, 2, 100)).unwrap();
        assert_eq!((cut.rows.len(), cut.rest), (2, rest(1)));
        batcher.reached(rest(2));
        assert_eq!(batcher.finish().unwrap().rest, rest(2));
    }

    proptest! {
        #[test]
        fn every_row_travels_in_a_body_within_the_limit_and_positions_never_go_back(
            pushed in prop::collection::vec((0u128..40, 0i64..50, 1usize..400), 0..200), limit in 100usize..900
        ) {
            let limit = STATEMENT_OVERHEAD_BYTES + limit;
            let mut batcher = Batcher::new(limit, rest(0));
            let mut batches = Vec::new();
            let mut latest: HashMap<PageId, Timestamp> = HashMap::new();
            for (index, (id, minute, bytes)) in pushed.into_iter().enumerate() {
                let row = row(id, minute, bytes);
                let newest = latest.entry(row.page_id).or_insert(row.last_edited_time);
                *newest = row.last_edited_time.max(*newest);
                batches.extend(batcher.push(row));
                batcher.reached(rest(index as i64));
            }
            batches.extend(batcher.finish());
            let mut sent: HashMap<PageId, Timestamp> = HashMap::new();
            let mut reached = rest(0)[0].created_from;
            for batch in &batches {
                let bytes: usize = batch.rows.iter().map(|row| row.body_bytes + 1).sum();
                prop_assert!(batch.rows.len() == 1 || STATEMENT_OVERHEAD_BYTES + bytes <= limit);
                prop_assert!(batch.rest[0].created_from >= reached);
                reached = batch.rest[0].created_from;
                for row in &batch.rows {
                    let newest = sent.entry(row.page_id).or_insert(row.last_edited_time);
                    *newest = row.last_edited_time.max(*newest);
                }
            }
            prop_assert_eq!(sent, latest);
        }
    }
}
