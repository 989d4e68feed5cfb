//! The action `status`: the state of each database, from the cache where there is one, so that no warehouse starts;
//! `list-databases` with what Notion says as well. One that fails doesn't hide the others.

use crate::aws::lease;
use crate::aws::run_log;
use crate::aws::state_table;
use crate::clients::Clients;
use crate::config::Config;
use crate::failure::{Failure, FailureClass};
use crate::ids::Database;
use crate::run::Run;
use crate::run::clock::Minute;
use crate::run::items::{
    DatabaseItem, DatabaseState, FailedRun, Found, Item, LeaseItem, RunItem, SourceDetail, SourceItem, SourceList,
    StateItem, StatusItem,
};
use crate::run::report::Report;
use crate::watermark::{PeekResult, Watermark};

/// Runs read from the log of each database: two days of a schedule that runs every hour.
const RUNS_LOOKED_AT: u16 = 50;

/// Watermark, lag, lease and last runs of each database.
///
/// # Errors
/// The first database's failure, after all were tried; a state table that is down is a warning.
pub(crate) async fn status(
    config: &Config,
    clients: &Clients,
    with_runs: bool,
    run: &Run,
    report: &mut Report,
) -> Result<(), Failure> {
    let peeked = clients.watermarks.peek_all(&config.databases, run).await;
    let mut first_failure = None;
    let mut down = peeked.cache_is_down.clone();
    for database in &config.databases {
        let standing = match peeked.rows_of(database) {
            Ok(rows) => Found::Known(standing(rows, run)),
            Err(failure) => {
                let error = (&failure).into();
                first_failure.get_or_insert(failure.context(format!("database {}", database.name)));
                Found::Failed { error }
            }
        };
        let state = match down.clone() {
            Some(reason) => Err(reason),
            None => state(clients, database, with_runs, run).await.map_err(|failure| {
                if failure.class() == FailureClass::DynamoDbUnavailable {
                    down = Some(failure.describe());
                }
                failure.describe()
            }),
        };
        if let Err(reason) = &state {
            report.warnings.push(format!("lease and last run of {} are unknown: {reason}", database.name));
        }
        let state = state.ok().flatten();
        let item = StatusItem { database: database.name.clone(), database_id: database.id, standing, state };
        report.items.push(Item::Status(Box::new(item)));
    }
    first_failure.map_or(Ok(()), Err)
}

fn standing(rows: &[Watermark], run: &Run) -> DatabaseState {
    let oldest = rows.iter().map(|row| row.synced_through).min().flatten().map(Minute::start);
    DatabaseState {
        synced_through: oldest,
        lag_seconds: oldest.map(|at| run.clock.now().duration_since(at).as_secs()),
        data_sources: rows.iter().map(|row| source_item(row, None)).collect(),
    }
}

/// Lease and last runs; `None` without a state table.
///
/// # Errors
/// Why DynamoDB did not tell.
async fn state(
    clients: &Clients,
    database: &Database,
    with_runs: bool,
    run: &Run,
) -> Result<Option<StateItem>, Failure> {
    let Some(table) = &clients.state_table else { return Ok(None) };
    let asked = async {
        let held = lease::holder(table, database.id, &run.clock).await?;
        Ok::<_, Failure>((held, run_log::newest(table, database.id, RUNS_LOOKED_AT, run.clock.now()).await?))
    };
    let (held, runs) = state_table::read_within_budget(&run.deadline, asked).await?;
    Ok(Some(StateItem {
        lease: held.map(|(run_id, until)| LeaseItem { run_id, until }),
        last_run: runs.first().cloned(),
        last_complete_sync: runs.iter().find(|run| is(run, "sync", "complete")).cloned(),
        last_failure: last_failure(&runs),
        runs: if with_runs { runs } else { Vec::new() },
    }))
}

fn is(run: &RunItem, action: &str, outcome: &str) -> bool {
    run.action.as_deref() == Some(action) && run.outcome.as_deref() == Some(outcome)
}

/// The latest failure that no complete run of the same action has followed.
fn last_failure(runs: &[RunItem]) -> Option<FailedRun> {
    let at = runs.iter().position(|run| run.outcome.as_deref() == Some("failed"))?;
    let failed = &runs[at];
    let is_overcome =
        runs[..at].iter().any(|later| is(later, failed.action.as_deref().unwrap_or_default(), "complete"));
    let remedy = failed.error_class.as_deref().and_then(FailureClass::named).map(FailureClass::remedy);
    (!is_overcome).then(|| FailedRun { run: failed.clone(), remedy })
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
    let mut peeked = clients.watermarks.peek_all(&config.databases, run).await;
    if peeked.is_before_init_tables() {
        // Without tables no database was ever synced: that is an answer, and `init-tables` is the next step.
        peeked.truth = None;
        report.warnings.push("the tables are not there yet: run `notion-sync init-tables`".to_owned());
    }
    let mut first_failure = None;
    for database in &config.databases {
        let found = match described(database, clients, &peeked, run).await {
            Ok(data_sources) => Found::Known(SourceList { data_sources }),
            Err(failure) => {
                let error = (&failure).into();
                first_failure.get_or_insert(failure.context(format!("database {}", database.name)));
                Found::Failed { error }
            }
        };
        let item = DatabaseItem { database: database.name.clone(), database_id: database.id, found };
        report.items.push(Item::Database(item));
    }
    if let Some(reason) = peeked.cache_is_down {
        report.warnings.push(format!("the cache could not be used, the truth was read: {reason}"));
    }
    first_failure.map_or(Ok(()), Err)
}

async fn described(
    database: &Database,
    clients: &Clients,
    peeked: &PeekResult,
    run: &Run,
) -> Result<Vec<SourceItem>, Failure> {
    let info = clients.notion.database(database.id, run).await.map_err(Failure::from)?;
    let rows = peeked.rows_of(database)?;
    let sources =
        info.data_sources.into_iter().map(|source| match rows.iter().find(|row| row.data_source_id == source.id) {
            Some(row) => source_item(row, Some(source.name)),
            None => SourceItem { data_source_id: source.id, name: Some(source.name), synced_through: None, more: None },
        });
    Ok(sources.collect())
}

fn source_item(row: &Watermark, name: Option<String>) -> SourceItem {
    SourceItem {
        data_source_id: row.data_source_id,
        name,
        synced_through: row.synced_through.map(Minute::start),
        more: Some(SourceDetail {
            last_edited_time: row.last_edited_time,
            last_full_refresh_at: row.last_full_refresh_at,
            last_sweep_at: row.last_sweep_at,
            resume: row.position.to_value(),
        }),
    }
}
