//! Writes batches, one after another, each while the next page is read: two batches in memory are the most there ever are.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, info, warn};

use super::Stop;
use super::batch::{Batch, Position};
use crate::databricks::{self, DatabricksError, MAX_BODY_BYTES};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;
use crate::warehouse::{EncodedRow, ProofKey, Tables, merge_pages};
use crate::watermark::SentRows;

/// What the MERGEs of a run did.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) warnings: Vec<String>,
    /// The server refused a body: batches must stay below this.
    pub(super) smaller_limit_bytes: Option<usize>,
    /// How long it took.
    took: Duration,
}

/// A MERGE under way: the rows it will have written, and the position it justifies.
#[derive(Debug)]
struct InFlight {
    merge: JoinHandle<Result<Written, Stop>>,
    keys: Vec<ProofKey>,
    position: Position,
}

/// The one MERGE under way, and what the ones before did.
#[derive(Debug)]
pub(super) struct Merger {
    databricks: databricks::Client,
    tables: Tables,
    run: Run,
    in_flight: Option<InFlight>,
    /// A batch was given up at the deadline: nothing after it may be sent, or the position would pass its rows.
    given_up: Option<Option<Duration>>,
    /// Every row of a committed MERGE, for the proof.
    pub(super) sent: SentRows,
    /// Rows of committed MERGEs, repeats included.
    pub(super) rows_committed: u64,
    /// Everything up to here is committed.
    pub(super) committed: Position,
    pub(super) written: Written,
    /// How long the slowest MERGE took: whether another one fits into the time left.
    slowest: Duration,
}

impl Merger {
    pub(super) fn new(databricks: databricks::Client, run: &Run) -> Self {
        let tables = Tables::of(databricks.config());
        // What is under way when the time for new work ends may still be finished.
        let run = run.with_deadline(run.deadline.for_merging());
        Self {
            databricks,
            tables,
            run,
            in_flight: None,
            given_up: None,
            sent: SentRows::default(),
            rows_committed: 0,
            committed: Position::START,
            written: Written::default(),
            slowest: Duration::ZERO,
        }
    }

    /// Whether a MERGE as slow as the slowest so far would end in time, and leave as much again for the position.
    pub(super) fn has_time_for_one_more(&self) -> bool {
        self.run.deadline.left().is_none_or(|left| left > self.slowest * 3)
    }

    /// Waits for the MERGE under way and begins the next one.
    pub(super) async fn send(&mut self, batch: Batch) -> Result<(), Stop> {
        self.settle().await?;
        let key = |row: &EncodedRow| ProofKey {
            page_id: row.page_id,
            last_edited_time: row.last_edited_time,
            payload_hash: row.payload_hash,
        };
        let keys = batch.rows.iter().map(key).collect();
        let (databricks, tables, run) = (self.databricks.clone(), self.tables.clone(), self.run.clone());
        // A task of its own has no span unless it is given one: its lines belong to the run, too.
        let merging = async move { merge_rows(&databricks, &tables, &run, batch.rows).await };
        let merge = tokio::spawn(merging.in_current_span());
        self.in_flight = Some(InFlight { merge, keys, position: batch.position });
        Ok(())
    }

    /// Waits until nothing is under way.
    pub(super) async fn settle(&mut self) -> Result<(), Stop> {
        if let Some(retry_after) = self.given_up {
            return Err(Stop::DeadlineNear { retry_after });
        }
        let Some(InFlight { merge, keys, position }) = self.in_flight.take() else { return Ok(()) };
        let merged = merge
            .await
            .map_err(|error| Failure::new(FailureClass::Internal, "a MERGE's task ended early").caused_by(error))?;
        let written = match merged {
            Ok(written) => written,
            Err(Stop::DeadlineNear { retry_after }) => {
                self.given_up = Some(retry_after);
                return Err(Stop::DeadlineNear { retry_after });
            }
            Err(failed) => return Err(failed),
        };
        self.written.inserted += written.inserted;
        self.written.updated += written.updated;
        self.written.unchanged += written.unchanged;
        self.written.warnings.extend(written.warnings);
        if written.smaller_limit_bytes.is_some() {
            self.written.smaller_limit_bytes = written.smaller_limit_bytes;
        }
        self.slowest = self.slowest.max(written.took);
        self.rows_committed += keys.len() as u64;
        for key in keys {
            self.sent.add(key);
        }
        self.committed = position;
        Ok(())
    }
}

/// Merges rows, in halves when the server finds the body too large.
async fn merge_rows(
    databricks: &databricks::Client,
    tables: &Tables,
    run: &Run,
    rows: Vec<EncodedRow>,
) -> Result<Written, Stop> {
    let began = Instant::now();
    let mut written = Written::default();
    let mut pending = vec![rows];
    while let Some(mut rows) = pending.pop() {
        let limit_bytes = written.smaller_limit_bytes.unwrap_or(usize::MAX);
        if rows.len() > 1 && body_bytes(&rows) > limit_bytes {
            let second = rows.split_off(rows.len() / 2);
            pending.extend([second, rows]);
            continue;
        }
        let error = match databricks.execute(&merge_pages(tables, &rows, run.future_from(), &run.id), run).await {
            Ok(answer) => {
                count(&mut written, &rows, &answer)?;
                continue;
            }
            Err(error) => error,
        };
        if !error.is_too_large() {
            return Err(error.into());
        }
        pending.extend(halves(rows, &error, &mut written)?);
    }
    written.took = began.elapsed();
    Ok(written)
}

fn count(written: &mut Written, rows: &[EncodedRow], answer: &databricks::Rows) -> Result<(), Failure> {
    let sent = rows.len() as u64;
    let Some(counts) = answer.merge_counts() else {
        let statement_id = answer.statement_id();
        written
            .warnings
            .push(format!("statement {statement_id} succeeded without counts; {sent} rows count as unchanged"));
        written.unchanged += sent;
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
    written.inserted += counts.inserted;
    written.updated += counts.updated;
    written.unchanged += unchanged;
    Ok(())
}

fn body_bytes(rows: &[EncodedRow]) -> usize {
    rows.iter().map(|row| row.body_bytes).sum()
}

/// Two halves of rows whose body was refused; the first half is sent first.
fn halves(
    mut rows: Vec<EncodedRow>,
    error: &DatabricksError,
    written: &mut Written,
) -> Result<[Vec<EncodedRow>; 2], Failure> {
    let bytes = body_bytes(&rows);
    if rows.len() < 2 {
        return Err(too_large(&rows, bytes, &error.to_string()));
    }
    let warning = format!("a body of {bytes} bytes was refused ({error}); batches are halved from here on");
    warn!(warning, "merge");
    written.warnings.push(warning);
    written.smaller_limit_bytes = Some(bytes / 2);
    let second = rows.split_off(rows.len() / 2);
    Ok([second, rows])
}

/// The failure of a row that no statement can carry.
pub(super) fn too_large(rows: &[EncodedRow], bytes: usize, reason: &str) -> Failure {
    let page = rows.first().map_or_else(String::new, |row| row.page_id.to_string());
    let message = if bytes > MAX_BODY_BYTES {
        format!("page {page} needs a statement of {bytes} bytes, at most {MAX_BODY_BYTES} can be sent: {reason}")
    } else {
        format!("page {page} needs a statement of {bytes} bytes, which the server refuses: {reason}")
    };
    Failure::new(FailureClass::RowTooLarge, message)
}
