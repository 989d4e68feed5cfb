//! What a page costs between Notion's answer and the statement's body, step by step, on synthetic pages. No I/O.
//!
//! `cargo bench --bench pipeline`; medians count, and their ratios: which step the time goes to.

use std::hint::black_box;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, Divan};
use notion_sync::ids::{DataSourceId, Database, DatabaseId, DatabaseName, IdError, RunId};
use notion_sync::notion::{PageError, PageRow, truncated_properties};
use notion_sync::sync::batch::Batcher;
use notion_sync::sync::row::{fingerprint, row};
use notion_sync::warehouse::{EncodedRow, Row, Tables, merge_pages};
use serde_json::value::RawValue;

/// Pages in one measurement: ten result pages of Notion.
const PAGES: usize = 1_000;

/// Why synthetic pages could not be made; a defect of this file.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Failure(#[from] notion_sync::failure::Failure),
}

fn main() {
    Divan::from_args().sample_count(20).main();
}

/// A page as a project tracker has it: about 3 KB, with a signed file every tenth.
fn page(number: usize) -> Result<Box<RawValue>, BenchError> {
    let id = uuid::Uuid::from_u128(number as u128);
    let minute = number % 60;
    let files = if number.is_multiple_of(10) {
        r#"{"name":"plan.pdf","type":"file","file":{"url":"https://files.example/plan.pdf?X-Amz-Signature=0123","expiry_time":"2026-11-22T14:00:00.000Z"}}"#
    } else {
        ""
    };
    let note = "Quotes \\\" and back\\\\slashes, ümläuts, a line\\nbreak. ".repeat(20);
    let relation = [r#"{"id":"94a978c5-9ff5-8827-97b4-31d9b9bcfaad"}"#; 12].join(",");
    Ok(RawValue::from_string(format!(
        r#"{{"object":"page","id":"{id}","created_time":"2026-01-01T00:{minute:02}:00.000Z","last_edited_time":"2026-11-01T00:{minute:02}:00.000Z","created_by":{{"object":"user","id":"94a978c5-9ff5-8827-97b4-31d9b9bcfaad"}},"cover":null,"icon":{{"type":"emoji","emoji":"🚋"}},"parent":{{"type":"data_source_id","data_source_id":"164b19c5-58e5-4a47-a3a9-c905d9519c65","database_id":"27a5d30a-1728-4a1e-a788-71341f22fb97"}},"in_trash":false,"is_archived":false,"properties":{{"Name":{{"id":"title","type":"title","title":[{{"type":"text","text":{{"content":"Project {number}","link":null}},"plain_text":"Project {number}","href":null}}]}},"Budget":{{"id":"b","type":"number","number":{number}.10}},"Note":{{"id":"n","type":"rich_text","rich_text":[{{"type":"text","text":{{"content":"{note}","link":null}},"plain_text":"{note}"}}]}},"Program":{{"id":"r","type":"relation","relation":[{relation}],"has_more":false}},"Spec":{{"id":"f","type":"files","files":[{files}]}}}},"url":"https://www.notion.so/{number}"}}"#
    ))?)
}

fn pages() -> Result<Vec<Box<RawValue>>, BenchError> {
    (0..PAGES).map(page).collect()
}

fn envelopes() -> Result<Vec<PageRow>, BenchError> {
    pages()?.into_iter().map(|text| Ok(PageRow::read(text)?)).collect()
}

fn table_row(page: PageRow) -> Result<Row, BenchError> {
    let database = Database {
        name: DatabaseName::parse("projects")?,
        id: DatabaseId::parse("27a5d30a-1728-4a1e-a788-71341f22fb97")?,
    };
    let source = DataSourceId::parse("164b19c5-58e5-4a47-a3a9-c905d9519c65")?;
    Ok(row(page, &database, source, false, None)?)
}

fn table_rows() -> Result<Vec<Row>, BenchError> {
    envelopes()?.into_iter().map(table_row).collect()
}

fn encoded_rows() -> Result<Vec<EncodedRow>, BenchError> {
    table_rows()?.iter().map(|row| Ok(EncodedRow::encode(row)?)).collect()
}

fn payload_bytes() -> usize {
    pages().map_or(0, |pages| pages.iter().map(|page| page.get().len()).sum())
}

/// Measures `step` on fresh input; the first error of either is shown instead of a number.
fn measure<I, O>(
    bencher: Bencher,
    input: fn() -> Result<I, BenchError>,
    step: impl Fn(I) -> Result<O, BenchError> + Sync,
) {
    bencher
        .counter(ItemsCount::new(PAGES))
        .counter(BytesCount::new(payload_bytes()))
        .with_inputs(input)
        .bench_values(|input| black_box(input.and_then(&step)));
}

#[divan::bench(name = "1 read the envelope")]
fn read_the_envelope(bencher: Bencher) {
    measure(bencher, pages, |pages| {
        pages.into_iter().map(|text| Ok(PageRow::read(text)?)).collect::<Result<Vec<_>, BenchError>>()
    });
}

#[divan::bench(name = "2 look for cut properties")]
fn look_for_cut_properties(bencher: Bencher) {
    measure(bencher, pages, |pages| {
        pages.iter().map(|text| Ok(truncated_properties(text)?)).collect::<Result<Vec<_>, BenchError>>()
    });
}

#[divan::bench(name = "3 make the row, hash its content")]
fn make_the_row(bencher: Bencher) {
    measure(bencher, envelopes, |pages| pages.into_iter().map(table_row).collect::<Result<Vec<_>, _>>());
}

#[divan::bench(name = "4 fingerprint")]
fn take_the_fingerprint(bencher: Bencher) {
    measure(bencher, table_rows, |rows| Ok(rows.iter().map(fingerprint).collect::<Vec<_>>()));
}

#[divan::bench(name = "5 encode")]
fn encode(bencher: Bencher) {
    measure(bencher, table_rows, |rows| {
        rows.iter().map(|row| Ok(EncodedRow::encode(row)?)).collect::<Result<Vec<_>, BenchError>>()
    });
}

#[divan::bench(name = "6 batch")]
fn batch(bencher: Bencher) {
    measure(bencher, encoded_rows, |rows| Ok(batches(rows)));
}

fn batches(rows: Vec<EncodedRow>) -> Vec<Vec<EncodedRow>> {
    let mut batcher = Batcher::new(8 << 20, Vec::new());
    let mut full: Vec<Vec<EncodedRow>> =
        rows.into_iter().filter_map(|row| batcher.push(row)).map(|batch| batch.rows).collect();
    full.extend(batcher.finish().map(|batch| batch.rows));
    full
}

/// The statement and the parameters as they stand in the body.
fn bodies(batches: &[Vec<EncodedRow>]) -> Result<Vec<Vec<u8>>, BenchError> {
    let config = notion_sync::databricks::DatabricksConfig {
        views_schema: None,
        host: notion_base()?,
        warehouse_id: "w".to_owned(),
        catalog: "main".to_owned(),
        schema: "bronze".to_owned(),
        timeout: std::time::Duration::from_secs(1),
    };
    let tables = Tables::of(&config);
    let run_id = RunId::random();
    let body = |batch: &Vec<EncodedRow>| {
        let statement = merge_pages(&tables, batch, jiff::Timestamp::UNIX_EPOCH, &run_id);
        Ok(serde_json::to_vec(&(statement.text, statement.parameters))?)
    };
    batches.iter().map(body).collect()
}

fn notion_base() -> Result<reqwest::Url, BenchError> {
    let unreadable = |_| BenchError::Json(serde::de::Error::custom("the address of this file"));
    reqwest::Url::parse("https://workspace.example").map_err(unreadable)
}

#[divan::bench(name = "7 statement and body")]
fn statement_and_body(bencher: Bencher) {
    measure(bencher, || Ok(batches(encoded_rows()?)), |batches| bodies(&batches));
}

#[divan::bench(name = "all of it")]
fn all_of_it(bencher: Bencher) {
    measure(bencher, pages, |pages| {
        let mut rows = Vec::with_capacity(pages.len());
        for text in pages {
            black_box(truncated_properties(&text)?);
            let row = table_row(PageRow::read(text)?)?;
            black_box(fingerprint(&row));
            rows.push(EncodedRow::encode(&row)?);
        }
        bodies(&batches(rows))
    });
}
