//! The watermark of each data source: the truth in Databricks, a cache of it in DynamoDB.
//!
//! The rule is decided in [`Watermarks::load`] and nowhere else. What the cache has is used without asking the warehouse.
//! When it lacks a data source, is down or unreadable, the truth is read; when both are available, the later
//! `synced_through` counts. The cache may be ahead, since a run that wrote nothing moves the cache alone. Neither ever moves
//! back. An item that can't be read, or that claims a time no clock can explain, is removed: the truth takes its place.
//!
//! A cache can also be behind without a sign of it: the run that moved the truth was killed before the cache, or had none.
//! So an item names the run that wrote the truth last, and a run that began from the cache writes the truth only over that
//! run's row. When the row is another run's, or is gone, the item is removed and the data source begins again from the truth.

mod cache;
mod peek;
mod position;
mod truth;

pub use cache::Cache;
pub use peek::PeekResult;
pub use position::{PendingSweep, Position, Scope, StoredPosition, Stretch, SweepProgress, WalkPosition};
pub use truth::{SentRows, Truth};

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::aws::state_table;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database, DatabaseId, DatabaseName, PageId};
use crate::run::Run;
use crate::run::clock::Minute;
use crate::warehouse::{ProofKey, WatermarkRow};

/// The fingerprint of what the last run wrote, for each row that the next run will surely read again.
pub type RecentRows = BTreeMap<PageId, String>;

/// The kind of the warnings given here.
const CACHE_WARNING: &str = "watermark cache";

/// The watermark of one data source, and what is left of an unfinished run.
#[derive(Debug, Clone)]
pub struct Watermark {
    pub database_id: DatabaseId,
    /// The data source.
    pub data_source_id: DataSourceId,
    /// The configured name of the database.
    pub database_name: DatabaseName,
    /// Every edit before this minute is in the table; `None` = it was never synced to its end.
    pub synced_through: Option<Minute>,
    /// The latest edit seen; for people.
    pub last_edited_time: Option<Timestamp>,
    /// The position of an unfinished run.
    pub position: StoredPosition,
    /// The end of the last full refresh.
    pub last_full_refresh_at: Option<Timestamp>,
    /// The end of the last sweep.
    pub last_sweep_at: Option<Timestamp>,
    /// The run that wrote the row of the truth last, as far as is known; `None` = there was no row.
    pub written_by: Option<String>,
    /// The rows that the cache remembers; the truth has none.
    pub recent: RecentRows,
    /// It was read from the cache alone, so the truth may say something else.
    pub is_cached: bool,
}

/// The watermarks of a database as loaded.
#[derive(Debug)]
pub struct LoadedWatermarks {
    /// One entry per data source asked for.
    pub watermarks: HashMap<DataSourceId, Watermark>,
    /// The cache answered, so a run without changes may move it alone.
    pub is_cache_usable: bool,
}

/// The outcome of storing in the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The truth now says what was stored.
    Advanced,
    /// The truth was already further; it was left alone.
    AlreadyFurther,
    /// The truth is not what the cache said; nothing was stored, and the cache's item is removed.
    CacheIsStale,
}

/// The part of the watermarks that the cache could provide.
struct CacheAnswer {
    found: HashMap<DataSourceId, Watermark>,
    /// Data sources of which the cache has no item, though it answered.
    missing: Vec<DataSourceId>,
    is_usable: bool,
}

/// Both stores. They are not two implementations of one thing: one may be wrong, the other may not.
#[derive(Debug, Clone)]
pub struct Watermarks {
    truth: Truth,
    cache: Option<Cache>,
}

impl Watermarks {
    /// Puts an optional cache in front of the truth.
    pub fn new(truth: Truth, cache: Option<Cache>) -> Self {
        Self { truth, cache }
    }

    /// Loads the watermarks of a database's data sources; see the module for the rule.
    ///
    /// # Errors
    /// When the truth is needed and can't be read; a cache that is down is a warning.
    pub async fn load(
        &self,
        database: &Database,
        sources: &[DataSourceId],
        run: &Run,
    ) -> Result<LoadedWatermarks, Failure> {
        let CacheAnswer { mut found, missing, is_usable } = self.load_cached(database, sources, run).await;
        // The truth costs a start of the warehouse, so it is read only when the cache leaves a gap. When it is read, it is
        // read for all data sources: what the cache said of the others is then compared with it, and the later one counts.
        let truth = if sources.iter().all(|source| found.contains_key(source)) {
            Vec::new()
        } else {
            self.truth.load(database, run).await?
        };
        let stored = |source: DataSourceId| truth.iter().find(|stored| stored.data_source_id == source);
        // A data source that neither store knows was never synced: nothing is wrong with the cache.
        for source in missing.into_iter().filter(|source| stored(*source).is_some()) {
            run.warn(CACHE_WARNING, format!("the cache has no watermark of data source {source}; the truth was read"));
        }
        let watermarks = sources
            .iter()
            .map(|source| {
                // Neither store is ever ahead of the pages table, so the later of the two is safe.
                let later = later(found.remove(source), stored(*source).cloned());
                (*source, later.unwrap_or_else(|| Watermark::none(database, *source)))
            })
            .collect();
        Ok(LoadedWatermarks { watermarks, is_cache_usable: is_usable })
    }

    /// Asks the cache for each data source. The first call that fails ends it: a table that is down is not asked again.
    async fn load_cached(&self, database: &Database, sources: &[DataSourceId], run: &Run) -> CacheAnswer {
        let mut cached = CacheAnswer { found: HashMap::new(), missing: Vec::new(), is_usable: self.cache.is_some() };
        let Some(cache) = &self.cache else {
            run.warn(CACHE_WARNING, "no cache is configured (WATERMARK_TABLE): each run starts the warehouse");
            return cached;
        };
        for source in sources {
            let call = cache.load(database, *source, run.clock.now());
            let failure = match state_table::read_within_budget(&run.deadline, call).await {
                Ok(Some(watermark)) => {
                    cached.found.insert(*source, watermark);
                    continue;
                }
                Ok(None) => {
                    cached.missing.push(*source);
                    continue;
                }
                Err(failure) => failure,
            };
            // An unreadable item is no watermark. It is removed, because the condition under which an item is replaced
            // compares times that it may not have, or has wrong.
            cached.is_usable = failure.class() == FailureClass::StoredStateUnreadable
                && cache.remove(database.id, *source).await.is_ok();
            // The remedy of that class is for a truth that can't be read; here there is nothing to do.
            let reason = if cached.is_usable { failure.to_string() } else { failure.describe() };
            run.warn(CACHE_WARNING, format!("the cache could not be used, the truth was read: {reason}"));
            if !cached.is_usable {
                break;
            }
        }
        cached
    }

    /// Proves that the table holds `keys` and stores the watermark in the truth; the cache follows, best effort.
    ///
    /// # Errors
    /// When the proof fails or the truth can't be written.
    pub async fn store(
        &self,
        watermark: &mut Watermark,
        keys: &[ProofKey],
        run: &Run,
    ) -> Result<StoreOutcome, Failure> {
        let stored = self.truth.store(&watermark.to_row()?, keys, watermark.is_cached, run).await?;
        match stored {
            StoreOutcome::Advanced => {
                watermark.written_by = Some(run.id.as_str().to_owned());
                self.store_in_cache(watermark, run).await;
            }
            StoreOutcome::AlreadyFurther => {}
            StoreOutcome::CacheIsStale => {
                let source = watermark.data_source_id;
                let warning =
                    format!("the cache was behind the truth of data source {source}, which begins again from it");
                run.warn(CACHE_WARNING, warning);
                self.forget(watermark.database_id, source, run).await;
            }
        }
        Ok(stored)
    }

    /// Reads one data source from the truth, whatever the cache says.
    ///
    /// # Errors
    /// When the truth can't be read.
    pub async fn from_truth(&self, database: &Database, source: DataSourceId, run: &Run) -> Result<Watermark, Failure> {
        let stored = self.truth.load(database, run).await?;
        let stored = stored.into_iter().find(|stored| stored.data_source_id == source);
        Ok(stored.unwrap_or_else(|| Watermark::none(database, source)))
    }

    /// Removes a data source's item from the cache. A failure is a warning.
    async fn forget(&self, database_id: DatabaseId, source: DataSourceId, run: &Run) {
        let Some(cache) = &self.cache else { return };
        if let Err(failure) = cache.remove(database_id, source).await {
            run.warn(CACHE_WARNING, format!("the cache's item was not removed: {}", failure.describe()));
        }
    }

    /// Forgets a data source that was removed from its database: should it come back, it is read from the start.
    ///
    /// # Errors
    /// When the truth can't be written.
    pub async fn drop_source(&self, database_id: DatabaseId, source: DataSourceId, run: &Run) -> Result<(), Failure> {
        self.forget(database_id, source, run).await;
        self.truth.remove(database_id, source, run).await
    }

    /// Records a full refresh or sweep that the deadline prevented from starting, before the run knew the data sources. It
    /// is stored in the cache alone: there is no time to start a warehouse. A position that the cache has already stays.
    pub async fn record_pending(&self, database: &Database, position: &Position, run: &Run) {
        let recorded = async {
            let Some(cache) = &self.cache else {
                return Err(Failure::new(FailureClass::Configuration, "there is no cache (WATERMARK_TABLE)"));
            };
            for watermark in cache.load_all(database).await? {
                if watermark.position.is_nothing() {
                    let position = StoredPosition::Unfinished(position.clone());
                    cache.store(&Watermark { position, recent: RecentRows::new(), ..watermark }, run).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = state_table::write_within_budget(&run.deadline, recorded).await {
            let warning = format!(
                "the requested full refresh or sweep could not start and was not recorded, request it again: {}",
                failure.describe()
            );
            run.warn(CACHE_WARNING, warning);
        }
    }

    /// Moves the cache alone: a run that wrote nothing starts no warehouse. A failure is a warning.
    pub async fn store_in_cache(&self, watermark: &Watermark, run: &Run) {
        let Some(cache) = &self.cache else { return };
        if let Err(failure) = state_table::write_within_budget(&run.deadline, cache.store(watermark, run)).await {
            let warning =
                format!("the cache was not updated, so the next run reads more than it must: {}", failure.describe());
            run.warn(CACHE_WARNING, warning);
        }
    }
}

/// Returns the later of what cache and truth say. At equal times it is the cache's, which has the recent rows as well,
/// unless another run has written the truth since.
fn later(cached: Option<Watermark>, stored: Option<Watermark>) -> Option<Watermark> {
    match (cached, stored) {
        (Some(cached), Some(stored))
            if stored.synced_through > cached.synced_through
                || stored.synced_through == cached.synced_through && stored.written_by != cached.written_by =>
        {
            Some(stored)
        }
        (Some(cached), _) => Some(cached),
        (None, stored) => stored,
    }
}

impl Watermark {
    /// The watermark of a data source that was never synced.
    pub fn none(database: &Database, data_source_id: DataSourceId) -> Self {
        Self::from(WatermarkRow::empty(database.id, &database.name, data_source_id))
    }

    /// Returns the row that the truth holds of it.
    fn to_row(&self) -> Result<WatermarkRow, Failure> {
        Ok(WatermarkRow {
            database_id: self.database_id,
            data_source_id: self.data_source_id,
            database_name: self.database_name.clone(),
            synced_through: self.synced_through.map(Minute::start),
            last_edited_time: self.last_edited_time,
            resume: self.position.to_text()?,
            last_full_refresh_at: self.last_full_refresh_at,
            last_sweep_at: self.last_sweep_at,
            written_by: self.written_by.clone(),
        })
    }
}

/// The door of the truth: the position is read here and nowhere later.
impl From<WatermarkRow> for Watermark {
    fn from(row: WatermarkRow) -> Self {
        Self {
            database_id: row.database_id,
            data_source_id: row.data_source_id,
            database_name: row.database_name,
            synced_through: row.synced_through.map(Minute::floor),
            last_edited_time: row.last_edited_time,
            position: StoredPosition::read(row.resume.as_deref()),
            last_full_refresh_at: row.last_full_refresh_at,
            last_sweep_at: row.last_sweep_at,
            written_by: row.written_by,
            recent: RecentRows::new(),
            is_cached: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermark(synced_through: Option<&str>) -> Watermark {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        let database = Database { id: DatabaseId::parse(id).unwrap(), name: DatabaseName::parse("projects").unwrap() };
        Watermark {
            synced_through: synced_through.map(|at| Minute::floor(at.parse().unwrap())),
            ..Watermark::none(&database, DataSourceId::parse(id).unwrap())
        }
    }

    #[test]
    fn with_both_at_hand_the_later_one_counts() {
        let (early, late) = (watermark(Some("2026-11-22T13:00:00Z")), watermark(Some("2026-11-22T13:15:00Z")));
        let pick = |cached: &Watermark, stored: &Watermark| {
            later(Some(cached.clone()), Some(stored.clone())).unwrap().synced_through
        };
        assert_eq!(pick(&early, &late), late.synced_through);
        assert_eq!(pick(&late, &early), late.synced_through);
        assert_eq!(pick(&watermark(None), &early), early.synced_through);
        assert_eq!(pick(&early, &watermark(None)), early.synced_through);
        assert!(later(None, None).is_none());
    }
}
