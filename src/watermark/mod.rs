//! Where each data source stands: the truth in Databricks, a cache of it in DynamoDB.
//!
//! The rule, decided in [`Watermarks::load`] and nowhere else: what the cache has is used without asking the warehouse; when
//! it lacks a data source, is down or unreadable, the truth is read; with both at hand the later `synced_through` counts.
//! The cache may be ahead, since a run that wrote nothing moves the cache alone. Neither ever moves back. An item that can't
//! be read, or that claims a time no clock can explain, is removed: the truth takes its place.
//!
//! A cache can also be behind without a sign of it: the run that moved the truth was killed before the cache, or had none.
//! So an item names the run that wrote the truth last, and a run that began from the cache writes the truth only over that
//! run's row. When the row is another's, or is gone, the item is removed and the data source begins again from the truth.

mod cache;
mod peek;
mod resume;
mod truth;

pub use cache::Cache;
pub use peek::Peeked;
pub use resume::{Resume, Stretch, Swept};
pub use truth::{SentRows, Truth};

use std::collections::{BTreeMap, HashMap};

use tracing::warn;

use crate::aws::state_table;
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database, DatabaseId, PageId};
use crate::run::Run;
use crate::warehouse::{ProofKey, WatermarkRow};

/// Page → fingerprint of what the last run wrote, for every row that the next run will surely read again.
pub type RecentRows = BTreeMap<PageId, String>;

/// Where one data source stands.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// What both stores hold.
    pub row: WatermarkRow,
    /// What only the cache holds.
    pub recent: RecentRows,
    /// Whether it was read from the cache alone, so that the truth may say something else.
    pub is_cached: bool,
}

/// The watermarks of a database as loaded, and what to tell about the loading.
#[derive(Debug)]
pub struct Loaded {
    /// One entry per data source asked for.
    pub watermarks: HashMap<DataSourceId, Watermark>,
    /// Whether the cache answered, so that a run without changes may move it alone.
    pub is_cache_usable: bool,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// What storing in the truth did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The truth now says what was stored.
    Advanced,
    /// The truth was already further; it was left alone.
    AlreadyFurther,
    /// The truth is not what the cache said; nothing was stored, and the cache's item is removed.
    CacheIsStale,
}

/// Both stores. They are no interchangeable implementations of one thing: one may lie, the other may not.
#[derive(Debug, Clone)]
pub struct Watermarks {
    truth: Truth,
    cache: Option<Cache>,
}

impl Watermarks {
    /// The truth with an optional cache in front.
    #[must_use]
    pub fn new(truth: Truth, cache: Option<Cache>) -> Self {
        Self { truth, cache }
    }

    /// Loads the watermarks of a database's data sources; see the module for the rule.
    ///
    /// # Errors
    /// When the truth is needed and can't be read; a cache that is down is a warning.
    pub async fn load(&self, database: &Database, sources: &[DataSourceId], run: &Run) -> Result<Loaded, Failure> {
        let mut warnings = Vec::new();
        let mut cached = HashMap::new();
        let mut missing = Vec::new();
        let mut is_cache_usable = self.cache.is_some();
        match &self.cache {
            None => warnings.push("no cache is configured (WATERMARK_TABLE): each run starts the warehouse".to_owned()),
            Some(cache) => {
                for source in sources {
                    match state_table::asked(&run.deadline, Box::pin(cache.load(database, *source, run.clock.now())))
                        .await
                    {
                        Ok(Some(watermark)) => {
                            cached.insert(*source, watermark);
                        }
                        Ok(None) => missing.push(*source),
                        Err(failure) => {
                            // What can't be read is no watermark: it goes, so that the next one can be put in its place.
                            is_cache_usable = failure.class() == FailureClass::StoredStateUnreadable
                                && cache.remove(database.id, *source).await.is_ok();
                            // Its advice is for a truth that can't be read; here nobody has to do anything.
                            let reason = if is_cache_usable { failure.to_string() } else { failure.describe() };
                            let warning = format!("the cache could not be used, the truth was read: {reason}");
                            warn!(warning, "watermark cache");
                            warnings.push(warning);
                            if !is_cache_usable {
                                break;
                            }
                        }
                    }
                }
            }
        }
        let truth = if sources.iter().all(|source| cached.contains_key(source)) {
            Vec::new()
        } else {
            self.truth.load(database, run).await?
        };
        // Neither store knows a data source before its first sync: nothing is amiss.
        missing.retain(|source| truth.iter().any(|row| row.data_source_id == *source));
        warnings.extend(
            missing
                .iter()
                .map(|source| format!("the cache has no watermark of data source {source}; the truth was read")),
        );
        let watermarks = sources
            .iter()
            .map(|source| {
                let stored = truth.iter().find(|row| row.data_source_id == *source).cloned();
                (*source, later(cached.remove(source), stored).unwrap_or_else(|| Watermark::none(database, *source)))
            })
            .collect();
        Ok(Loaded { watermarks, is_cache_usable, warnings })
    }

    /// Proves that the table holds `keys` and stores the row in the truth; the cache follows, best effort.
    ///
    /// # Errors
    /// When the proof fails or the truth can't be written.
    pub async fn store(
        &self,
        watermark: &mut Watermark,
        keys: &[ProofKey],
        run: &Run,
        warnings: &mut Vec<String>,
    ) -> Result<Stored, Failure> {
        let row = &mut watermark.row;
        let stored = self.truth.store(row, keys, watermark.is_cached, run).await?;
        match stored {
            Stored::Advanced => {
                row.written_by = Some(run.id.as_str().to_owned());
                self.store_in_cache(watermark, run, warnings).await;
            }
            Stored::AlreadyFurther => {}
            Stored::CacheIsStale => {
                let source = row.data_source_id;
                let warning =
                    format!("the cache was behind the truth of data source {source}, which begins again from it");
                warn!(warning, "watermark cache");
                warnings.push(warning);
                self.forget(row.database_id, source, warnings).await;
            }
        }
        Ok(stored)
    }

    /// Reads one data source from the truth, whatever the cache says.
    ///
    /// # Errors
    /// When the truth can't be read.
    pub async fn from_truth(&self, database: &Database, source: DataSourceId, run: &Run) -> Result<Watermark, Failure> {
        let rows = self.truth.load(database, run).await?;
        let row = rows.into_iter().find(|row| row.data_source_id == source);
        Ok(row.map_or_else(|| Watermark::none(database, source), Watermark::from))
    }

    /// Removes a data source's item from the cache. A failure is a warning.
    async fn forget(&self, database_id: DatabaseId, source: DataSourceId, warnings: &mut Vec<String>) {
        let Some(cache) = &self.cache else { return };
        if let Err(failure) = cache.remove(database_id, source).await {
            let warning = format!("the cache's item was not removed: {}", failure.describe());
            warn!(warning, "watermark cache");
            warnings.push(warning);
        }
    }

    /// Forgets a data source that was removed from its database: should it come back, it is read from the start.
    ///
    /// # Errors
    /// When the truth can't be written.
    pub async fn drop_source(
        &self,
        database_id: DatabaseId,
        source: DataSourceId,
        run: &Run,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        self.forget(database_id, source, warnings).await;
        self.truth.remove(database_id, source, run).await
    }

    /// Leaves word that a full refresh or a sweep is still to be done, where a run's time was over before it knew its data
    /// sources. In the cache alone: to start a warehouse there is no time. A position that stands there already stays.
    pub async fn owe(&self, database: &Database, resume: &Resume, run: &Run, warnings: &mut Vec<String>) {
        let owed = async {
            let Some(cache) = &self.cache else {
                return Err(Failure::new(FailureClass::Configuration, "there is no cache (WATERMARK_TABLE)"));
            };
            let text = resume.to_text()?;
            for row in cache.load_all(database).await? {
                if row.resume.is_none() {
                    let row = WatermarkRow { resume: Some(text.clone()), ..row };
                    cache.store(&Watermark { row, recent: RecentRows::new(), is_cached: true }, run).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = state_table::told(&run.deadline, Box::pin(owed)).await {
            let warning =
                format!("what was asked for was not begun and is forgotten, ask again: {}", failure.describe());
            warn!(warning, "watermark cache");
            warnings.push(warning);
        }
    }

    /// Moves the cache alone: a run that wrote nothing starts no warehouse. A failure is a warning.
    pub async fn store_in_cache(&self, watermark: &Watermark, run: &Run, warnings: &mut Vec<String>) {
        let Some(cache) = &self.cache else { return };
        if let Err(failure) = state_table::told(&run.deadline, Box::pin(cache.store(watermark, run))).await {
            let warning =
                format!("the cache was not updated, the next run reads more than it must: {}", failure.describe());
            warn!(warning, "watermark cache");
            warnings.push(warning);
        }
    }
}

/// The later of what cache and truth say. At equal times the cache's, which holds the recent rows as well, unless another
/// run has written the truth since.
fn later(cached: Option<Watermark>, stored: Option<WatermarkRow>) -> Option<Watermark> {
    match (cached, stored) {
        (Some(cached), Some(stored))
            if stored.synced_through > cached.row.synced_through
                || stored.synced_through == cached.row.synced_through && stored.written_by != cached.row.written_by =>
        {
            Some(Watermark::from(stored))
        }
        (Some(cached), _) => Some(cached),
        (None, stored) => stored.map(Watermark::from),
    }
}

impl Watermark {
    /// The watermark of a data source that was never synced.
    #[must_use]
    pub fn none(database: &Database, data_source_id: DataSourceId) -> Self {
        Self::from(WatermarkRow::empty(database.id, &database.name, data_source_id))
    }
}

impl From<WatermarkRow> for Watermark {
    fn from(row: WatermarkRow) -> Self {
        Self { row, recent: RecentRows::new(), is_cached: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DatabaseId, DatabaseName};

    fn row(synced_through: Option<&str>) -> WatermarkRow {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        let source = DataSourceId::parse(id).unwrap();
        let mut row =
            WatermarkRow::empty(DatabaseId::parse(id).unwrap(), &DatabaseName::parse("projects").unwrap(), source);
        row.synced_through = synced_through.map(|at| at.parse().unwrap());
        row
    }

    #[test]
    fn with_both_at_hand_the_later_one_counts() {
        let (early, late) = (row(Some("2026-11-22T13:00:00Z")), row(Some("2026-11-22T13:15:00Z")));
        let pick = |cached: &WatermarkRow, stored: &WatermarkRow| {
            later(Some(cached.clone().into()), Some(stored.clone())).unwrap().row.synced_through
        };
        assert_eq!(pick(&early, &late), late.synced_through);
        assert_eq!(pick(&late, &early), late.synced_through);
        assert_eq!(pick(&row(None), &early), early.synced_through);
        assert_eq!(pick(&early, &row(None)), early.synced_through);
        assert!(later(None, None).is_none());
    }
}
