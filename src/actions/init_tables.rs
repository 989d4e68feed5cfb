//! `init-tables`: creates schema and tables, and adds the columns that an older version lacks. The only DDL there is.

use serde_json::json;
use tracing::warn;

use crate::clients::Clients;
use crate::config::Config;
use crate::failure::Failure;
use crate::run::Run;
use crate::run::report::Report;
use crate::warehouse::{
    Tables, add_columns, create_schema, create_table, missing_columns, read_columns, set_properties,
};

/// Creates or upgrades; one item per table says what was done.
///
/// # Errors
/// What a statement failed with.
pub(crate) async fn init_tables(
    config: &Config,
    clients: &Clients,
    run: &Run,
    report: &mut Report,
) -> Result<(), Failure> {
    let databricks = &clients.databricks;
    let tables = Tables::of(databricks.config());
    for schema in [Some(&databricks.config().schema), config.views_schema.as_ref()].into_iter().flatten() {
        let statement = create_schema(&databricks.config().catalog, schema);
        databricks.execute(&statement, run).await.map_err(Failure::from)?;
    }
    for (name, definition) in tables.definitions().into_iter().chain(tables.views_definitions()) {
        databricks.execute(&create_table(name, definition), run).await.map_err(Failure::from)?;
        let existing = databricks.execute(&read_columns(name), run).await.map_err(Failure::from)?;
        let missing = missing_columns(definition, &existing)?;
        if missing.contains(&"database_id") {
            let warning = format!(
                "{name} had no database_id: its rows belong to no database and are never updated or marked. \
                 Delete them (database_id IS NULL) after the first sync has brought every row anew"
            );
            warn!(warning, "init-tables");
            report.warnings.push(warning);
        }
        if !missing.is_empty() {
            databricks.execute(&add_columns(name, definition, &missing), run).await.map_err(Failure::from)?;
            if let Err(error) = databricks.execute(&set_properties(name, definition), run).await {
                let warning = format!("{name} keeps its old table properties: {error}");
                warn!(warning, "init-tables");
                report.warnings.push(warning);
            }
        }
        report.items.push(json!({ "table": name.to_string(), "columns_added": missing }));
    }
    Ok(())
}
