//! The result of a statement in parts: read until the server says that there is no more, and never believed to be whole when
//! it is less than the counts it came with (facts/databricks §1.2).

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number of parts that are read: an inline result has at most 25 MiB.
const MAX_CHUNKS: usize = 1_000;

/// The cells of rows, as texts.
pub(super) type Cells = Vec<Vec<Option<String>>>;

#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) schema: Option<Schema>,
    #[serde(default)]
    total_chunk_count: Option<usize>,
    #[serde(default)]
    total_row_count: Option<usize>,
    #[serde(default)]
    chunks: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    truncated: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    #[serde(default)]
    pub(super) columns: Option<Vec<Column>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(default)]
    pub(super) type_text: Option<String>,
}

/// One part of a result.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "rows_or_none")]
    data_array: Cells,
    #[serde(default)]
    row_count: Option<usize>,
    #[serde(default)]
    next_chunk_index: Option<usize>,
    #[serde(default)]
    next_chunk_internal_link: Option<String>,
}

/// The reading of a result, part by part.
#[derive(Debug)]
pub(super) struct Reading {
    total_chunks: Option<usize>,
    total_rows: Option<usize>,
    listed_chunks: usize,
    chunks: usize,
    cells: Cells,
    next: Option<usize>,
}

impl Reading {
    /// Begins with the part that came with the statement's answer.
    ///
    /// # Errors
    /// The reason why the result can't be whole.
    pub(super) fn begin(manifest: &Manifest, first: Chunk) -> Result<Self, String> {
        if manifest.truncated == Some(true) {
            return Err("it was cut (truncated: true)".to_owned());
        }
        let mut reading = Self {
            total_chunks: manifest.total_chunk_count,
            total_rows: manifest.total_row_count,
            listed_chunks: manifest.chunks.as_ref().map_or(0, Vec::len),
            chunks: 0,
            cells: Vec::new(),
            next: None,
        };
        reading.take(first)?;
        Ok(reading)
    }

    /// Returns the index of the part to read next; `None` = the server knows no more.
    pub(super) fn next(&self) -> Option<usize> {
        self.next
    }

    /// Takes a part, and finds the next one by the server's own link, else by the number of parts it announced.
    ///
    /// # Errors
    /// The reason why the result can't be whole.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<(), String> {
        if chunk.row_count.is_some_and(|count| count != chunk.data_array.len()) {
            let (index, has) = (self.chunks, chunk.data_array.len());
            return Err(format!("part {index} has {has} rows of {}", chunk.row_count.unwrap_or_default()));
        }
        self.cells.extend(chunk.data_array);
        self.chunks += 1;
        let linked = match (chunk.next_chunk_index, &chunk.next_chunk_internal_link) {
            (Some(index), _) => Some(index),
            (None, Some(link)) => Some(index_of(link).ok_or("the link to its next part can't be read")?),
            (None, None) => None,
        };
        let announced = self.total_chunks.is_some_and(|total| self.chunks < total).then_some(self.chunks);
        self.next = linked.or(announced);
        match self.next {
            Some(index) if index != self.chunks => Err(format!("part {index} follows on part {}", self.chunks - 1)),
            Some(_) if self.chunks >= MAX_CHUNKS => Err(format!("it has more than {MAX_CHUNKS} parts")),
            _ => Ok(()),
        }
    }

    /// Returns all rows.
    ///
    /// # Errors
    /// The reason why the result is not whole.
    pub(super) fn finish(self) -> Result<Cells, String> {
        let (rows, chunks) = (self.cells.len(), self.chunks);
        if let Some(total) = self.total_rows.filter(|total| *total != rows) {
            return Err(format!("it has {rows} rows of {total}"));
        }
        // A result without rows may be announced as none or as one part.
        if let Some(total) = self.total_chunks.filter(|total| (*total).max(1) != chunks) {
            return Err(format!("it has {chunks} parts of {total}"));
        }
        if self.listed_chunks > chunks {
            return Err(format!("it has {chunks} parts of {} that are listed", self.listed_chunks));
        }
        Ok(self.cells)
    }
}

/// The index in a link such as `/api/2.0/sql/statements/…/result/chunks/1?row_offset=188`.
fn index_of(link: &str) -> Option<usize> {
    let (_, rest) = link.split_once("/result/chunks/")?;
    rest.split(['?', '/']).next()?.parse().ok()
}

/// Reads the rows of a part. No rows come as an empty list, as `null`, as `{}` or not at all.
fn rows_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cells, D::Error> {
    struct Rows;
    impl<'de> Visitor<'de> for Rows {
        type Value = Cells;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("rows, null or an empty object")
        }

        fn visit_unit<E>(self) -> Result<Cells, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cells, A::Error> {
            let mut rows = Vec::new();
            while let Some(row) = list.next_element()? {
                rows.push(row);
            }
            Ok(rows)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Cells, A::Error> {
            match object.next_key::<String>()? {
                None => Ok(Vec::new()),
                Some(key) => Err(serde::de::Error::custom(format!("rows are an object with the key {key:?}"))),
            }
        }
    }
    deserializer.deserialize_any(Rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(manifest: &str, chunks: &[&str]) -> Result<usize, String> {
        let manifest: Manifest = serde_json::from_str(manifest).unwrap();
        let chunk = |text: &str| serde_json::from_str::<Chunk>(text).unwrap();
        let mut reading = Reading::begin(&manifest, chunk(chunks[0]))?;
        let mut later = chunks[1..].iter();
        while reading.next().is_some() {
            reading.take(chunk(later.next().ok_or("no further part is there")?))?;
        }
        reading.finish().map(|cells| cells.len())
    }

    #[test]
    fn parts_are_followed_with_and_without_counts() {
        let first = r#"{"data_array":[["1"],["2"]],"next_chunk_internal_link":"/api/2.0/sql/statements/01ef/result/chunks/1?row_offset=2"}"#;
        let second = r#"{"data_array":[["3"]],"chunk_index":1,"row_count":1}"#;
        assert_eq!(read("{}", &[first, second]), Ok(3));
        assert_eq!(read(r#"{"total_chunk_count":2,"total_row_count":3}"#, &[first, second]), Ok(3));
        assert_eq!(read(r#"{"total_chunk_count":2}"#, &[r#"{"data_array":[["1"]]}"#, second]), Ok(2));
        assert!(read(r#"{"total_row_count":4}"#, &[first, second]).is_err());
        assert!(read(r#"{"total_chunk_count":3}"#, &[first, second]).is_err());
        assert!(read("{}", &[r#"{"data_array":[["1"]],"next_chunk_index":2}"#, second]).is_err());
        assert!(read("{}", &[r#"{"data_array":[["1"]],"next_chunk_index":0}"#, second]).is_err(), "no circle");
    }

    #[test]
    fn a_result_that_says_more_than_it_shows_is_not_whole() {
        let one = r#"{"data_array":[["1"]]}"#;
        assert!(read(r#"{"truncated":true}"#, &[one]).is_err());
        assert!(read(r#"{"chunks":[{},{}]}"#, &[one]).is_err());
        assert!(read("{}", &[r#"{"data_array":[["1"]],"row_count":2}"#]).is_err());
    }

    #[test]
    fn every_form_of_no_rows_is_no_rows() {
        for none in [r#"{"data_array":null}"#, r#"{"data_array":{}}"#, r#"{"data_array":[]}"#, "{}"] {
            assert_eq!(read(r#"{"total_row_count":0,"total_chunk_count":0}"#, &[none]), Ok(0), "{none}");
            assert_eq!(read("{}", &[none]), Ok(0), "{none}");
            assert!(read(r#"{"total_row_count":2}"#, &[none]).is_err(), "{none}");
        }
    }
}
