//! What is known of each database: `status` from the cache where there is one, so that no warehouse starts;
//! `list-databases` with what Notion says as well. One that fails doesn't hide the others.

use serde_json::{Value, json};

use crate::aws::lease;
use crate::aws::run_log;
use crate::aws::state_table;
use crate::clients::Clients;
use crate::config::Config;
use crate::failure::{Failure, FailureClass};
use crate::ids::Database;
use crate::run::Run;
use crate::run::report::{ErrorReport, Report};
use crate::watermark::Watermark;

/// Watermark, lag, lease and last run of each database.
///
/// # Errors
/// The first database's failure, after all were tried; a state table that is down is a warning.
pub(crate) async fn status(config: &Config, clients: &Clients, run: &Run, report: &mut Report) -> Result<(), Failure> {
    let mut first_failure = None;
    let mut down = None;
    for database in &config.databases {
        let mut item = json!({"database": database.name, "database_id": database.id});
        match clients.watermarks.peek(database, &mut down, run).await {
            Ok(rows) => {
                let lag = rows.iter().map(|row| row.synced_through).min().flatten();
                item["synced_through"] = json!(lag);
                item["lag_seconds"] = json!(lag.map(|at| run.clock.now().duration_since(at.start()).as_secs()));
                item["data_sources"] = rows.iter().map(shown).collect();
            }
            Err(failure) => {
                item["error"] = json!(ErrorReport::from(&failure));
                first_failure.get_or_insert(failure.context(format!("database {}", database.name)));
            }
        }
        let unknown = match down.clone() {
            Some(reason) => Some(reason),
            None => add_state(clients, database, run, &mut item).await.err().map(|failure| {
                if failure.class() == FailureClass::DynamoDbUnavailable {
                    down = Some(failure.describe());
                }
                failure.describe()
            }),
        };
        if let Some(reason) = unknown {
            report.warnings.push(format!("lease and last run of {} are unknown: {reason}", database.name));
        }
        report.items.push(item);
    }
    first_failure.map_or(Ok(()), Err)
}

/// Adds lease and last run.
///
/// # Errors
/// Why DynamoDB did not tell.
async fn add_state(clients: &Clients, database: &Database, run: &Run, item: &mut Value) -> Result<(), Failure> {
    let Some(table) = &clients.state_table else { return Ok(()) };
    let state = async {
        let held = lease::holder(table, database.id, &run.clock).await?;
        Ok::<_, Failure>((held, run_log::latest(table, database.id, run.clock.now()).await?))
    };
    let (held, latest) = state_table::read_within_budget(&run.deadline, state).await?;
    item["lease"] = json!(held.map(|(run_id, until)| json!({"run_id": run_id, "until": until})));
    item["last_run"] = json!(latest);
    Ok(())
}

/// Name, id, data sources and watermark of each configured database.
///
/// # Errors
/// The first database's failure, after all were tried.
pub(crate) async fn list_databases(
    config: &Config,
    clients: &Clients,
    run: &Run,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut first_failure = None;
    let mut down = None;
    for database in &config.databases {
        let mut item = json!({"database": database.name, "database_id": database.id});
        match described(database, clients, &mut down, run).await {
            Ok(sources) => item["data_sources"] = sources,
            Err(failure) => {
                item["error"] = json!(ErrorReport::from(&failure));
                first_failure.get_or_insert(failure.context(format!("database {}", database.name)));
            }
        }
        report.items.push(item);
    }
    if let Some(reason) = down {
        report.warnings.push(format!("the cache could not be used, the truth was read: {reason}"));
    }
    first_failure.map_or(Ok(()), Err)
}

async fn described(
    database: &Database,
    clients: &Clients,
    down: &mut Option<String>,
    run: &Run,
) -> Result<Value, Failure> {
    let info = clients.notion.database(database.id, run).await.map_err(Failure::from)?;
    let rows = clients.watermarks.peek(database, down, run).await?;
    let sources = info.data_sources.iter().map(|source| {
        let mut item = json!({"data_source_id": source.id, "name": source.name, "synced_through": null});
        if let Some(row) = rows.iter().find(|row| row.data_source_id == source.id) {
            item = shown(row);
            item["name"] = json!(source.name);
        }
        item
    });
    Ok(sources.collect())
}

fn shown(row: &Watermark) -> Value {
    json!({
        "data_source_id": row.data_source_id,
        "synced_through": row.synced_through,
        "last_edited_time": row.last_edited_time,
        "last_full_refresh_at": row.last_full_refresh_at,
        "last_sweep_at": row.last_sweep_at,
        "resume": row.position.to_value(),
    })
}
