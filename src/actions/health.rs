//! The probes of `health`: each dependency by itself, so that the answer says what is wrong with which.

use crate::clients::Clients;
use crate::config::Config;
use crate::databricks::{QualifiedName, Statement};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;
use crate::run::items::{HealthItem, Item};
use crate::run::report::Report;
use crate::warehouse::{TableDefinition, Tables, missing_columns, read_columns, try_merge};

/// The result of one probe.
struct Probe<'a> {
    run: &'a Run,
    report: &'a mut Report,
    first_failure: Option<Failure>,
    /// The other failures, each with its dependency and class.
    further: Vec<String>,
}

impl Probe<'_> {
    fn note(&mut self, dependency: &str, found: Result<String, Failure>) {
        let (class, detail) = match &found {
            Ok(detail) => (None, detail.clone()),
            Err(failure) => (Some(failure.class()), failure.describe()),
        };
        let item = HealthItem { dependency: dependency.to_owned(), ok: class.is_none(), class, detail };
        self.report.items.push(Item::Health(item));
        if let Err(failure) = found {
            if self.first_failure.is_some() {
                self.further.push(format!("{dependency} ({})", failure.class()));
            }
            self.first_failure.get_or_insert(failure.context(dependency));
        }
    }
}

/// Checks everything, whatever fails before; starts the warehouse.
///
/// # Errors
/// The first probe's failure, and the names and classes of the others; the report's items tell all of them in full.
pub(crate) async fn check(config: &Config, clients: &Clients, run: &Run, report: &mut Report) -> Result<(), Failure> {
    let mut probe = Probe { run, report, first_failure: None, further: Vec::new() };
    probe.note("secrets_manager", secrets(config, clients).await);
    probe.note("dynamodb", dynamodb(config, clients).await);
    notion(config, clients, &mut probe).await;
    databricks(config, clients, &mut probe).await;
    let Probe { first_failure, further, .. } = probe;
    match first_failure {
        None => Ok(()),
        Some(failure) if further.is_empty() => Err(failure),
        Some(failure) => Err(failure.context(format!("also wrong: {}; first", further.join(", ")))),
    }
}

async fn secrets(config: &Config, clients: &Clients) -> Result<String, Failure> {
    clients.secrets.current().await?;
    Ok(match &config.secrets.secrets_id {
        Some(id) if config.secrets.needs_secret() => {
            format!("secret {id} holds all credentials that are not in the environment")
        }
        Some(id) => format!("the environment holds all credentials; secret {id} is not read"),
        None => "not configured (SECRETS_ID); the environment holds all credentials".to_owned(),
    })
}

async fn dynamodb(config: &Config, clients: &Clients) -> Result<String, Failure> {
    let (Some(table), Some(database)) = (&clients.state_table, config.databases.first()) else {
        return Ok("not configured (WATERMARK_TABLE); runs have no cache and no lease".to_owned());
    };
    // GetItem, not DescribeTable: the function may read items and nothing else.
    table.get(database.id, "lease").await?;
    Ok(format!("table {} answers", table.name))
}

async fn notion(config: &Config, clients: &Clients, probe: &mut Probe<'_>) {
    let token = clients.notion.me(probe.run).await;
    let is_accepted = token.is_ok();
    probe.note("notion", token.map(|()| "the token is accepted".to_owned()).map_err(Failure::from));
    if !is_accepted {
        return;
    }
    for database in &config.databases {
        let found = clients.notion.database(database.id, probe.run).await.map_err(|error| error.of_database(database));
        let found = found.and_then(|info| {
            if info.in_trash {
                let message = format!("database {} is in the trash", database.id);
                return Err(Failure::new(FailureClass::SourceAccessLost, message));
            }
            if info.data_sources.is_empty() {
                let message = format!("database {} lists no data source (a linked view?)", database.id);
                return Err(Failure::new(FailureClass::SourceAccessLost, message));
            }
            Ok(format!("{} data sources", info.data_sources.len()))
        });
        probe.note(&format!("notion database {}", database.name), found);
    }
}

async fn databricks(config: &Config, clients: &Clients, probe: &mut Probe<'_>) {
    let question =
        Statement { purpose: "probe".to_owned(), text: "SELECT 1 AS one".to_owned(), parameters: Vec::new() };
    let answered = clients.databricks.execute(&question, probe.run).await;
    let is_there = answered.is_ok();
    let warehouse = &clients.databricks.config().warehouse_id;
    probe.note("databricks", answered.map(|_| format!("warehouse {warehouse} answers")).map_err(Failure::from));
    if !is_there {
        return;
    }
    let tables = Tables::of(clients.databricks.config());
    let of_views = tables.views_definitions().into_iter().filter(|_| config.databricks.views_schema.is_some());
    for (name, definition) in tables.definitions().into_iter().chain(of_views) {
        let found = table(clients, probe.run, name, definition).await;
        probe.note(&format!("table {name}"), found);
    }
}

/// Columns, types and collation of a table, and the rights that a run needs on it; nothing is written.
async fn table(
    clients: &Clients,
    run: &Run,
    name: &QualifiedName,
    definition: &TableDefinition,
) -> Result<String, Failure> {
    let columns = clients.databricks.execute(&read_columns(name), run).await?;
    let missing = missing_columns(name, definition, &columns)?;
    if !missing.is_empty() {
        let message = format!("it has no {}: it is of an older version, or another table", missing.join(", "));
        return Err(Failure::new(FailureClass::TableMissing, message));
    }
    clients.databricks.execute(&try_merge(name, definition), run).await?;
    Ok("is there, can be read and written".to_owned())
}
