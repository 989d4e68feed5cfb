//! The cache: one DynamoDB item per data source. It may be lost, down or behind without harm, and never moves back.

use jiff::{SignedDuration, Timestamp};

use super::{Position, RecentRows, StoredPosition, Watermark};
use crate::aws::state_table::{Item, StateTable, integer, number, string, text};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database, DatabaseId};
use crate::run::Run;
use crate::run::clock::Minute;

/// The largest size of the recent rows: DynamoDB's limit is 400 KB an item. Larger ones are left out, and the next run
/// merges some rows for nothing.
const MAX_RECENT_ROWS_BYTES: usize = 350_000;

/// The largest error of a clock that is merely wrong: a watermark further ahead is none.
const MAX_CLOCK_ERROR: SignedDuration = SignedDuration::from_hours(24);

const SORT_KEY_PREFIX: &str = "watermark#";

/// The watermark items of the state table.
#[derive(Debug, Clone)]
pub struct Cache {
    table: StateTable,
    /// The catalog and schema of the tables that the items are about.
    schema: String,
}

impl Cache {
    /// Works on the items in `table` that are about the tables in `schema` (catalog included).
    pub fn new(table: StateTable, schema: String) -> Self {
        Self { table, schema }
    }

    /// Reads one data source's watermark; `None` = there is none, or it is about other tables.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`, or `StoredStateUnreadable` when the item can't be read, or is in the future.
    pub async fn load(
        &self,
        database: &Database,
        source: DataSourceId,
        now: Timestamp,
    ) -> Result<Option<Watermark>, Failure> {
        let Some(item) = self.table.get(database.id, &sort_key(source)).await? else { return Ok(None) };
        if text(&item, "schema").is_some_and(|schema| schema != self.schema) {
            self.remove(database.id, source).await?;
            return Ok(None);
        }
        let watermark = read(&item, database, source)?;
        let latest = now.saturating_add(MAX_CLOCK_ERROR).unwrap_or(now);
        if let Some(at) = watermark.synced_through.filter(|at| at.start() > latest) {
            return Err(unreadable(&format!("its synced_through {at} is in the future")));
        }
        Ok(Some(watermark))
    }

    /// Removes an item.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn remove(&self, database_id: DatabaseId, source: DataSourceId) -> Result<(), Failure> {
        let delete = self.table.client.delete_item().table_name(&self.table.name);
        let delete = delete.key("pk", string(database_id)).key("sk", string(sort_key(source)));
        delete.send().await.map(drop).map_err(|error| self.table.failure("DeleteItem", &error))
    }

    /// Reads all watermarks of a database.
    ///
    /// # Errors
    /// As [`Cache::load`].
    pub async fn load_all(&self, database: &Database) -> Result<Vec<Watermark>, Failure> {
        let items = self.table.query(database.id, SORT_KEY_PREFIX).await?;
        items
            .iter()
            .filter(|item| text(item, "schema").is_none_or(|schema| schema == self.schema))
            .map(|item| {
                let id = text(item, "sk").and_then(|key| key.strip_prefix(SORT_KEY_PREFIX)).unwrap_or_default();
                let source = DataSourceId::parse(id).map_err(|error| unreadable("its sort key").caused_by(error))?;
                read(item, database, source)
            })
            .collect()
    }

    /// Stores a watermark unless the cache is already further.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn store(&self, watermark: &Watermark, run: &Run) -> Result<(), Failure> {
        let item = write(watermark, &self.schema, run)?;
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let put = match watermark.synced_through {
            None => put.condition_expression("attribute_not_exists(synced_through_ms)"),
            Some(at) => put
                .condition_expression(
                    "attribute_not_exists(synced_through_ms) OR synced_through_ms <= :synced_through_ms",
                )
                .expression_attribute_values(":synced_through_ms", number(at.start().as_millisecond())),
        };
        match put.send().await {
            Ok(_) => Ok(()),
            // Another run already stored a later watermark, and the later one counts.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(self.table.failure("PutItem", &error)),
        }
    }
}

fn sort_key(source: DataSourceId) -> String {
    format!("{SORT_KEY_PREFIX}{source}")
}

fn unreadable(what: &str) -> Failure {
    Failure::new(FailureClass::StoredStateUnreadable, format!("a watermark item of the cache can't be read: {what}"))
}

fn write(watermark: &Watermark, schema: &str, run: &Run) -> Result<Item, Failure> {
    let mut item = Item::from([
        ("pk".to_owned(), string(watermark.database_id)),
        ("sk".to_owned(), string(sort_key(watermark.data_source_id))),
        ("database_name".to_owned(), string(&watermark.database_name)),
        ("updated_at".to_owned(), string(run.clock.now())),
        ("sync_run_id".to_owned(), string(&run.id)),
        ("schema".to_owned(), string(schema)),
    ]);
    let times = [
        ("synced_through", watermark.synced_through.map(Minute::start)),
        ("last_edited_time", watermark.last_edited_time),
        ("last_full_refresh_at", watermark.last_full_refresh_at),
        ("last_sweep_at", watermark.last_sweep_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            item.insert(name.to_owned(), string(at));
        }
    }
    if let Some(at) = watermark.synced_through {
        item.insert("synced_through_ms".to_owned(), number(at.start().as_millisecond()));
    }
    if let Some(written_by) = &watermark.written_by {
        item.insert("truth_run_id".to_owned(), string(written_by));
    }
    if let Some(resume) = watermark.position.to_text()? {
        item.insert("resume".to_owned(), string(resume));
    }
    if let Ok(recent) = serde_json::to_string(&watermark.recent)
        && recent.len() <= MAX_RECENT_ROWS_BYTES
    {
        item.insert("recent_rows".to_owned(), string(recent));
    }
    Ok(item)
}

fn read(item: &Item, database: &Database, source: DataSourceId) -> Result<Watermark, Failure> {
    let time = |name: &str| -> Result<Option<Timestamp>, Failure> {
        match item.get(name) {
            None => Ok(None),
            Some(_) => text(item, name).and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| unreadable(name)),
        }
    };
    let synced_through = time("synced_through")?;
    if synced_through.map(Timestamp::as_millisecond) != integer(item, "synced_through_ms") {
        return Err(unreadable("synced_through and synced_through_ms differ"));
    }
    let position = match item.get("resume") {
        None if synced_through.is_none() => return Err(unreadable("it has neither synced_through nor resume")),
        None => StoredPosition::Nothing,
        Some(_) => {
            let stored = text(item, "resume").ok_or_else(|| unreadable("resume"))?;
            Position::parse(stored).map_err(|failure| unreadable(&failure.to_string()))?.into()
        }
    };
    let recent: RecentRows = match text(item, "recent_rows") {
        None => RecentRows::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| unreadable("recent_rows").caused_by(error))?,
    };
    Ok(Watermark {
        database_id: database.id,
        data_source_id: source,
        database_name: database.name.clone(),
        synced_through: synced_through.map(Minute::floor),
        last_edited_time: time("last_edited_time")?,
        position,
        last_full_refresh_at: time("last_full_refresh_at")?,
        last_sweep_at: time("last_sweep_at")?,
        written_by: text(item, "truth_run_id").map(str::to_owned),
        recent,
        is_cached: true,
    })
}
