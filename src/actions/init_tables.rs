//! `init-tables`: creates schema and tables, and adds the columns that an older version lacks. The only DDL there is.

use tracing::warn;

use crate::clients::Clients;
use crate::databricks::{DatabricksError, QualifiedName, Rows};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;
use crate::run::items::{Item, TableItem};
use crate::run::report::Report;
use crate::warehouse::{
    TableDefinition, Tables, add_columns, create_plain_table, create_schema, create_table, missing_columns,
    read_columns, set_clustering, set_properties,
};

/// Creates or upgrades; one item per table says what was done.
///
/// # Errors
/// What a statement failed with.
pub(crate) async fn init_tables(clients: &Clients, run: &Run, report: &mut Report) -> Result<(), Failure> {
    let databricks = &clients.databricks;
    let tables = Tables::of(databricks.config());
    // Unity Catalog asks for CREATE SCHEMA on the catalog even when the schema exists; the tables tell whether it does.
    let config = databricks.config();
    let mut schema_refusal = None;
    for schema in [Some(&config.schema), config.views_schema.as_ref()].into_iter().flatten() {
        match databricks.execute(&create_schema(&config.catalog, schema), run).await {
            Err(error) if error.class() == FailureClass::DatabricksForbidden => {
                schema_refusal.get_or_insert(Failure::from(error));
            }
            created => drop(created.map_err(Failure::from)?),
        }
    }
    for (name, definition) in tables.definitions().into_iter().chain(tables.views_definitions()) {
        let existing = match create(clients, run, name, definition, report).await {
            Ok(existing) => existing,
            Err(failure) => {
                return Err(match &schema_refusal {
                    Some(refusal) => failure.context(format!("{}; then", refusal.describe())),
                    None => failure,
                });
            }
        };
        let missing = missing_columns(name, definition, &existing)?;
        if missing.contains(&"database_id") {
            let warning = format!(
                "{name} had no database_id: its rows belong to no database and are never updated or marked. \
                 Delete them (database_id IS NULL) after the first sync has written every row again"
            );
            note(report, warning);
        }
        if !missing.is_empty() {
            upgrade(clients, run, name, definition, &missing, report).await?;
        }
        report.items.push(Item::Table(TableItem { table: name.to_string(), columns_added: missing }));
    }
    Ok(())
}

/// Makes a table that is not there; gives the columns that it has.
async fn create(
    clients: &Clients,
    run: &Run,
    name: &QualifiedName,
    definition: &TableDefinition,
    report: &mut Report,
) -> Result<Rows, Failure> {
    let databricks = &clients.databricks;
    let mut created = databricks.execute(&create_table(name, definition), run).await;
    if created.as_ref().is_err_and(DatabricksError::is_unknown_syntax) {
        created = databricks.execute(&create_plain_table(name, definition), run).await;
        if created.is_ok() {
            note(
                report,
                format!(
                    "{name} was made without a primary key and without a collation of its own: this warehouse knows neither"
                ),
            );
        }
    }
    let existing = databricks.execute(&read_columns(name), run).await;
    match (created, existing) {
        (Ok(_), existing) => existing.map_err(Failure::from),
        // A table that is there may be upgraded by one who may not create any.
        (Err(error), Ok(existing)) if error.class() == FailureClass::DatabricksForbidden => Ok(existing),
        (Err(error), _) => Err(error.into()),
    }
}

/// Adds columns, and gives the table the properties and the clustering of a new one.
async fn upgrade(
    clients: &Clients,
    run: &Run,
    name: &QualifiedName,
    definition: &TableDefinition,
    missing: &[&'static str],
    report: &mut Report,
) -> Result<(), Failure> {
    let databricks = &clients.databricks;
    databricks.execute(&add_columns(name, definition, missing), run).await.map_err(Failure::from)?;
    for (what, statement) in
        [("properties", set_properties(name, definition)), ("clustering", set_clustering(name, definition))]
    {
        if let Err(error) = databricks.execute(&statement, run).await {
            note(report, format!("{name} keeps its old {what}: {}", Failure::from(error).describe()));
        }
    }
    Ok(())
}

fn note(report: &mut Report, warning: String) {
    warn!(warning, "init-tables");
    report.warnings.push(warning);
}
