//! Writes batches, one after another, each while the next result pages are read: there are never more than two in memory.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, info};

use super::batch::Batch;
use super::{OutOfTime, Stop};
use crate::databricks::{self, DatabricksError, MAX_BODY_BYTES};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;
use crate::warehouse::{EncodedRow, ProofKey, Tables, merge_pages};
use crate::watermark::{SentRows, Stretch};

/// The counts of rows that MERGEs wrote.
#[derive(Debug, Default)]
pub(super) struct MergeStats {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    /// The limit that batches must stay below after the server refused a body.
    pub(super) smaller_limit_bytes: Option<usize>,
    /// The time it took.
    took: Duration,
}

/// A MERGE in flight: the rows that it will have written, and what is then left to walk.
#[derive(Debug)]
struct InFlight {
    merge: JoinHandle<Result<MergeStats, Stop>>,
    keys: Vec<ProofKey>,
    rest: Vec<Stretch>,
}

/// The one MERGE in flight, and the counts of the ones before.
#[derive(Debug)]
pub(super) struct Merger {
    databricks: databricks::Client,
    tables: Tables,
    run: Run,
    in_flight: Option<InFlight>,
    /// Set when a batch was given up at the deadline: nothing after it may be sent, or the position would pass its rows.
    given_up: Option<OutOfTime>,
    /// Every row of a committed MERGE, for the proof.
    pub(super) sent: SentRows,
    /// Rows of committed MERGEs, repeats included.
    pub(super) rows_committed: u64,
    /// The stretches that are left to walk after everything that is committed.
    pub(super) rest: Vec<Stretch>,
    pub(super) stats: MergeStats,
    /// The time that the slowest MERGE took: it shows whether another one fits into the time left.
    slowest: Duration,
}

impl Merger {
    pub(super) fn new(databricks: databricks::Client, run: &Run, stretches: Vec<Stretch>) -> Self {
        let tables = Tables::of(databricks.config());
        // A MERGE in flight when the time for new work ends may still be finished.
        let run = run.for_merging();
        Self {
            databricks,
            tables,
            run,
            in_flight: None,
            given_up: None,
            sent: SentRows::default(),
            rows_committed: 0,
            rest: stretches,
            stats: MergeStats::default(),
            slowest: Duration::ZERO,
        }
    }

    /// Returns true when a MERGE as slow as the slowest so far would end in time, and leave as much again for the position.
    pub(super) fn has_time_for_one_more(&self) -> bool {
        self.run.deadline.left().is_none_or(|left| left > self.slowest * 3)
    }

    /// Waits for the MERGE in flight and begins the next one.
    pub(super) async fn send(&mut self, batch: Batch) -> Result<(), Stop> {
        self.wait_in_flight().await?;
        let key = |row: &EncodedRow| ProofKey {
            page_id: row.page_id,
            last_edited_time: row.last_edited_time,
            payload_hash: row.payload_hash,
        };
        let keys = batch.rows.iter().map(key).collect();
        let (databricks, tables, run) = (self.databricks.clone(), self.tables.clone(), self.run.clone());
        // A task has no span unless it is given one: its log lines belong to the run, too.
        let merging = async move { merge_rows(&databricks, &tables, &run, batch.rows).await };
        let merge = tokio::spawn(merging.in_current_span());
        self.in_flight = Some(InFlight { merge, keys, rest: batch.rest });
        Ok(())
    }

    /// Waits until no MERGE is in flight, and adds up what it did.
    pub(super) async fn wait_in_flight(&mut self) -> Result<(), Stop> {
        if let Some(out_of_time) = self.given_up {
            return Err(out_of_time.into());
        }
        let Some(InFlight { merge, keys, rest }) = self.in_flight.take() else { return Ok(()) };
        let merged = merge
            .await
            .map_err(|error| Failure::new(FailureClass::Internal, "a MERGE's task ended early").caused_by(error))?;
        let stats = match merged {
            Ok(stats) => stats,
            Err(stop) => {
                self.given_up = stop.out_of_time();
                return Err(stop);
            }
        };
        self.stats.inserted += stats.inserted;
        self.stats.updated += stats.updated;
        self.stats.unchanged += stats.unchanged;
        if stats.smaller_limit_bytes.is_some() {
            self.stats.smaller_limit_bytes = stats.smaller_limit_bytes;
        }
        self.slowest = self.slowest.max(stats.took);
        self.rows_committed += keys.len() as u64;
        for key in keys {
            self.sent.add(key);
        }
        self.rest = rest;
        Ok(())
    }
}

/// Merges rows, in halves when the server refuses a body as too large.
async fn merge_rows(
    databricks: &databricks::Client,
    tables: &Tables,
    run: &Run,
    rows: Vec<EncodedRow>,
) -> Result<MergeStats, Stop> {
    let began = Instant::now();
    let mut stats = MergeStats::default();
    let mut pending = vec![rows];
    while let Some(mut rows) = pending.pop() {
        let limit_bytes = stats.smaller_limit_bytes.unwrap_or(usize::MAX);
        if rows.len() > 1 && body_bytes(&rows) > limit_bytes {
            let second = rows.split_off(rows.len() / 2);
            pending.extend([second, rows]);
            continue;
        }
        let error = match databricks.execute(&merge_pages(tables, &rows, run.future_from(), &run.id), run).await {
            Ok(answer) => {
                count(&mut stats, &rows, &answer, run)?;
                continue;
            }
            Err(error) => error,
        };
        if !error.is_too_large() {
            return Err(error.into());
        }
        pending.extend(halves(rows, &error, &mut stats, run)?);
    }
    stats.took = began.elapsed();
    Ok(stats)
}

/// Adds the counts that the statement reported.
fn count(stats: &mut MergeStats, rows: &[EncodedRow], answer: &databricks::Rows, run: &Run) -> Result<(), Failure> {
    let sent = rows.len() as u64;
    let Some(counts) = answer.merge_counts() else {
        let statement_id = answer.statement_id();
        let warning = format!("statement {statement_id} succeeded without counts; {sent} rows count as unchanged");
        run.warn("MERGE without counts", warning);
        stats.unchanged += sent;
        return Ok(());
    };
    let Some(unchanged) = sent.checked_sub(counts.inserted + counts.updated) else {
        let message = format!(
            "statement {} says it inserted {} and updated {} rows of {sent}",
            answer.statement_id(),
            counts.inserted,
            counts.updated
        );
        return Err(Failure::new(FailureClass::RowCountMismatch, message));
    };
    info!(
        inserted = counts.inserted,
        updated = counts.updated,
        unchanged,
        statement_id = answer.statement_id(),
        "merged"
    );
    stats.inserted += counts.inserted;
    stats.updated += counts.updated;
    stats.unchanged += unchanged;
    Ok(())
}

fn body_bytes(rows: &[EncodedRow]) -> usize {
    rows.iter().map(|row| row.body_bytes).sum()
}

/// Halves rows whose body was refused; the first half comes first.
fn halves(
    mut rows: Vec<EncodedRow>,
    error: &DatabricksError,
    stats: &mut MergeStats,
    run: &Run,
) -> Result<[Vec<EncodedRow>; 2], Failure> {
    let bytes = body_bytes(&rows);
    if rows.len() < 2 {
        return Err(too_large(&rows, bytes, &error.to_string()));
    }
    let warning = format!("a body of {bytes} bytes was refused ({error}); batches are halved from here on");
    run.warn("MERGE refused", warning);
    stats.smaller_limit_bytes = Some(bytes / 2);
    let second = rows.split_off(rows.len() / 2);
    Ok([second, rows])
}

/// Makes the failure of a row that no statement can carry.
pub(super) fn too_large(rows: &[EncodedRow], bytes: usize, reason: &str) -> Failure {
    let page = rows.first().map_or_else(String::new, |row| row.page_id.to_string());
    let message = if bytes > MAX_BODY_BYTES {
        format!("page {page} needs a statement of {bytes} bytes, at most {MAX_BODY_BYTES} can be sent: {reason}")
    } else {
        format!("page {page} needs a statement of {bytes} bytes, which the server refuses: {reason}")
    };
    Failure::new(FailureClass::RowTooLarge, message)
}
