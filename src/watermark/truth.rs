//! The truth: one row per data source in `notion_sync_watermarks`, moved only by a statement that proves the run.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{StoreOutcome, Watermark};
use crate::databricks;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database, DatabaseId};
use crate::run::Run;
use crate::warehouse::{
    ProofKey, Tables, WatermarkRow, check_proof, delete_watermark, merge_watermark, read_watermarks, watermarks_of,
    watermarks_of_several,
};

/// The number of keys in one statement; longer lists are checked by several statements before the last.
const KEYS_PER_STATEMENT: usize = 100_000;

/// The watermarks table.
#[derive(Debug, Clone)]
pub struct Truth {
    databricks: databricks::Client,
    tables: Tables,
}

impl Truth {
    /// Works on the table that the client's configuration names.
    pub fn new(databricks: databricks::Client) -> Self {
        let tables = Tables::of(databricks.config());
        Self { databricks, tables }
    }

    /// Reads the watermarks of a database.
    ///
    /// # Errors
    /// `TableMissing` before `init-tables`; else the failure of the statement.
    pub async fn load(&self, database: &Database, run: &Run) -> Result<Vec<Watermark>, Failure> {
        let rows =
            self.databricks.execute(&watermarks_of(&self.tables, database.id), run).await.map_err(Failure::from)?;
        let rows = read_watermarks(&rows, database.id, &database.name)?;
        Ok(rows.into_iter().map(Watermark::from).collect())
    }

    /// Reads the rows of several databases, with one statement.
    ///
    /// # Errors
    /// As [`Truth::load`].
    pub async fn load_several(
        &self,
        databases: &[Database],
        run: &Run,
    ) -> Result<HashMap<DatabaseId, Vec<Watermark>>, Failure> {
        let ids: Vec<DatabaseId> = databases.iter().map(|database| database.id).collect();
        let statement = watermarks_of_several(&self.tables, &ids)?;
        let rows = self.databricks.execute(&statement, run).await.map_err(Failure::from)?;
        let of_database = |database: &Database| {
            let own = rows.where_column("database_id", &database.id.to_string());
            let rows = read_watermarks(&own, database.id, &database.name)?;
            Ok((database.id, rows.into_iter().map(Watermark::from).collect()))
        };
        databases.iter().map(of_database).collect()
    }

    /// Proves `keys` and stores the row; the truth never moves back. `is_fenced`: only over the row that `written_by` names.
    ///
    /// # Errors
    /// `ProofFailed` when the table lacks a row of the run; else the failure of the statement.
    pub async fn store(
        &self,
        row: &WatermarkRow,
        keys: &[ProofKey],
        is_fenced: bool,
        run: &Run,
    ) -> Result<StoreOutcome, Failure> {
        let last_from = keys.len().saturating_sub(1) / KEYS_PER_STATEMENT * KEYS_PER_STATEMENT;
        let (checked_before, with_the_watermark) = keys.split_at(last_from);
        self.check(row.database_id, checked_before.chunks(KEYS_PER_STATEMENT), run).await?;
        let statement = merge_watermark(&self.tables, row, with_the_watermark, is_fenced, &run.id)?;
        let rows = match self.databricks.execute(&statement, run).await {
            Err(error) if error.is_too_large() && !with_the_watermark.is_empty() => {
                let half = with_the_watermark.len().div_ceil(2);
                self.check(row.database_id, with_the_watermark.chunks(half), run).await?;
                self.databricks.execute(&merge_watermark(&self.tables, row, &[], is_fenced, &run.id)?, run).await
            }
            answer => answer,
        };
        let rows = match rows {
            Err(error) if error.is_stale_cache() => return Ok(StoreOutcome::CacheIsStale),
            answer => answer.map_err(Failure::from)?,
        };
        match rows.merge_counts() {
            Some(counts) if counts.inserted + counts.updated > 0 => Ok(StoreOutcome::Advanced),
            // No row was written, or the counts are missing: read the watermark back.
            _ => self.confirm(row, rows.statement_id(), run).await,
        }
    }

    /// Reads the row back after a statement that reported no row written.
    async fn confirm(&self, row: &WatermarkRow, statement_id: &str, run: &Run) -> Result<StoreOutcome, Failure> {
        let statement = watermarks_of(&self.tables, row.database_id);
        let rows = self.databricks.execute(&statement, run).await.map_err(Failure::from)?;
        let rows = read_watermarks(&rows, row.database_id, &row.database_name)?;
        let stored = rows.into_iter().find(|stored| stored.data_source_id == row.data_source_id);
        match stored {
            Some(stored) if stored.written_by.as_deref() == Some(run.id.as_str()) && says_the_same(&stored, row) => {
                Ok(StoreOutcome::Advanced)
            }
            Some(stored)
                if stored.written_by.as_deref() != Some(run.id.as_str())
                    && stored.synced_through >= row.synced_through =>
            {
                Ok(StoreOutcome::AlreadyFurther)
            }
            stored => {
                let at = stored.and_then(|stored| stored.synced_through);
                let message = format!(
                    "statement {statement_id} succeeded, but the watermark of data source {} was not stored: the table has {}",
                    row.data_source_id,
                    at.map_or_else(|| "none".to_owned(), |at| at.to_string())
                );
                Err(Failure::new(FailureClass::ProofFailed, message))
            }
        }
    }

    /// Removes the row of a data source.
    ///
    /// # Errors
    /// The failure of the statement.
    pub async fn remove(&self, database_id: DatabaseId, source: DataSourceId, run: &Run) -> Result<(), Failure> {
        let statement = delete_watermark(&self.tables, database_id, source);
        self.databricks.execute(&statement, run).await.map(drop).map_err(Failure::from)
    }

    /// Proves keys in statements of their own, in halves when the server refuses a body as too large.
    async fn check(
        &self,
        database_id: DatabaseId,
        lists: impl DoubleEndedIterator<Item = &[ProofKey]>,
        run: &Run,
    ) -> Result<(), Failure> {
        let mut pending: Vec<&[ProofKey]> = lists.rev().collect();
        while let Some(keys) = pending.pop() {
            match self.databricks.execute(&check_proof(&self.tables, database_id, keys)?, run).await {
                Ok(_) => {}
                Err(error) if error.is_too_large() && keys.len() > 1 => {
                    let (first, second) = keys.split_at(keys.len() / 2);
                    pending.extend([second, first]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Returns true when the row read back is the one that was to be stored. Times travel as milliseconds, and one that the run
/// does not know leaves the stored one as it is.
fn says_the_same(stored: &WatermarkRow, wanted: &WatermarkRow) -> bool {
    let is_same = |stored: Option<Timestamp>, wanted: Option<Timestamp>| {
        wanted.is_none() || stored.map(Timestamp::as_millisecond) == wanted.map(Timestamp::as_millisecond)
    };
    is_same(stored.synced_through, wanted.synced_through)
        && is_same(stored.last_full_refresh_at, wanted.last_full_refresh_at)
        && is_same(stored.last_sweep_at, wanted.last_sweep_at)
        && stored.resume == wanted.resume
}

/// The rows that a run has sent, each once with its latest version: the proof must find them.
#[derive(Debug, Default)]
pub struct SentRows {
    versions: HashMap<crate::ids::PageId, ProofKey>,
}

impl SentRows {
    /// Adds a row that was sent to the table. Of two versions it keeps the one that the MERGE keeps: the later one, and at
    /// equal times the one that was sent last.
    pub fn add(&mut self, key: ProofKey) {
        let version = self.versions.entry(key.page_id).or_insert(key);
        if key.last_edited_time >= version.last_edited_time {
            *version = key;
        }
    }

    /// Returns the keys to prove, in no order.
    pub fn keys(&self) -> Vec<ProofKey> {
        self.versions.values().copied().collect()
    }

    /// Returns true when nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }
}
