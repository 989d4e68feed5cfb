//! The last runs of a database: items `run#<time>` of the state table, kept for a month, for `status` and for people.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::state_table::{Item, StateTable, number, string, text};
use crate::failure::Failure;
use crate::ids::DatabaseId;
use crate::output;
use crate::run::report::Report;

const SORT_KEY_PREFIX: &str = "run#";
/// The longest message of a failure that is stored.
const MAX_ERROR_BYTES: usize = 4 * 1024;
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Stores what a run did.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub async fn store(table: &StateTable, database_id: DatabaseId, report: &Report) -> Result<(), Failure> {
    let expires_at = report.started_at.saturating_add(KEPT).unwrap_or(report.started_at);
    let mut item = Item::from([
        ("pk".to_owned(), string(database_id)),
        ("sk".to_owned(), string(format!("{SORT_KEY_PREFIX}{:.3}", report.started_at))),
        ("action".to_owned(), string(report.action)),
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

/// The latest run, as shown by `status`; `None` = none is known.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub async fn latest(table: &StateTable, database_id: DatabaseId, now: Timestamp) -> Result<Option<Value>, Failure> {
    let items = table.query(database_id, SORT_KEY_PREFIX, true).await?;
    Ok(items.first().map(|item| {
        let at = text(item, "sk").and_then(|key| key.strip_prefix(SORT_KEY_PREFIX)).unwrap_or_default();
        let age_seconds = at.parse::<Timestamp>().ok().map(|at| now.duration_since(at).as_secs());
        json!({
            "started_at": at,
            "age_seconds": age_seconds,
            "action": text(item, "action"),
            "outcome": text(item, "outcome"),
            "run_id": text(item, "sync_run_id"),
            "duration_ms": crate::aws::state_table::integer(item, "duration_ms"),
            "error_class": text(item, "error_class"),
            "error_message": text(item, "error_message"),
        })
    }))
}
