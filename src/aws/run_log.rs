//! The last runs of a database: items `run#<time>` of the state table, kept for a month, for `status` and for people.

use std::time::Duration;

use jiff::Timestamp;

use crate::aws::state_table::{Item, StateTable, integer, number, string, text};
use crate::failure::Failure;
use crate::ids::DatabaseId;
use crate::output;
use crate::run::items::RunItem;
use crate::run::report::Report;

const SORT_KEY_PREFIX: &str = "run#";
/// The longest message of a failure that is stored.
const MAX_ERROR_BYTES: usize = 4 * 1024;
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Stores what a run did.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn store(table: &StateTable, database_id: DatabaseId, report: &Report) -> Result<(), Failure> {
    let expires_at = report.started_at.saturating_add(KEPT).unwrap_or(report.started_at);
    let mut item = Item::from([
        ("pk".to_owned(), string(database_id)),
        ("sk".to_owned(), string(format!("{SORT_KEY_PREFIX}{:.3}", report.started_at))),
        ("action".to_owned(), string(report.action_name())),
        ("outcome".to_owned(), string(report.outcome.name())),
        ("sync_run_id".to_owned(), string(&report.run_id)),
        ("duration_ms".to_owned(), number(i64::try_from(report.duration_ms).unwrap_or(i64::MAX))),
        ("pages_read".to_owned(), number(i64::try_from(report.totals.pages_read).unwrap_or(i64::MAX))),
        ("expires_at".to_owned(), number(expires_at.as_second())),
    ]);
    if let Some(error) = &report.error {
        item.insert("error_class".to_owned(), string(error.class));
        item.insert("error_message".to_owned(), string(output::bounded(&error.message, MAX_ERROR_BYTES)));
    }
    let put = table.client.put_item().table_name(&table.name).set_item(Some(item));
    put.send().await.map(drop).map_err(|error| table.failure("PutItem", &error))
}

/// The last `count` runs, the latest first.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn newest(
    table: &StateTable,
    database_id: DatabaseId,
    count: u16,
    now: Timestamp,
) -> Result<Vec<RunItem>, Failure> {
    let items = table.newest(database_id, SORT_KEY_PREFIX, count).await?;
    Ok(items.iter().map(|item| read(item, now)).collect())
}

fn read(item: &Item, now: Timestamp) -> RunItem {
    let at = text(item, "sk").and_then(|key| key.strip_prefix(SORT_KEY_PREFIX)).unwrap_or_default();
    let owned = |name: &str| text(item, name).map(str::to_owned);
    RunItem {
        started_at: at.to_owned(),
        age_seconds: at.parse::<Timestamp>().ok().map(|at| now.duration_since(at).as_secs()),
        action: owned("action"),
        outcome: owned("outcome"),
        run_id: owned("sync_run_id"),
        duration_ms: integer(item, "duration_ms"),
        pages_read: integer(item, "pages_read"),
        error_class: owned("error_class"),
        error_message: owned("error_message"),
    }
}
