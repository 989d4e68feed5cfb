//! The two tables: names, columns, creation and upgrade in place. DDL runs in `init-tables` only.

use crate::databricks::{DatabricksConfig, QualifiedName, Rows, Statement, quote_identifier};
use crate::failure::{Failure, FailureClass};

/// The full names of our tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// `notion_raw_pages`.
    pub pages: QualifiedName,
    /// `notion_sync_watermarks`.
    pub watermarks: QualifiedName,
    /// `notion_schemas`.
    pub schemas: QualifiedName,
    /// `notion_columns`.
    pub columns: QualifiedName,
}

impl Tables {
    /// The tables in the configured catalog and schema.
    pub fn of(config: &DatabricksConfig) -> Self {
        let name = |table| QualifiedName::new(&config.catalog, &config.schema, table);
        Self {
            pages: name(PAGES.name),
            watermarks: name(WATERMARKS.name),
            schemas: name(SCHEMAS.name),
            columns: name(COLUMNS.name),
        }
    }

    /// Each table with its definition.
    pub fn definitions(&self) -> [(&QualifiedName, &'static TableDefinition); 2] {
        [(&self.pages, &PAGES), (&self.watermarks, &WATERMARKS)]
    }

    /// The tables that only the typed views need, each with its definition.
    pub fn views_definitions(&self) -> [(&QualifiedName, &'static TableDefinition); 2] {
        [(&self.schemas, &SCHEMAS), (&self.columns, &COLUMNS)]
    }
}

/// A table as `init-tables` makes it.
#[derive(Debug)]
pub struct TableDefinition {
    /// Name without catalog and schema.
    pub name: &'static str,
    columns: &'static [Column],
    key: &'static [&'static str],
    cluster_by: &'static str,
    comment: &'static str,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    kind: &'static str,
    is_required: bool,
    comment: &'static str,
}

const fn required(name: &'static str, kind: &'static str, comment: &'static str) -> Column {
    Column { name, kind, is_required: true, comment }
}

const fn optional(name: &'static str, kind: &'static str, comment: &'static str) -> Column {
    Column { name, kind, is_required: false, comment }
}

const PAGES: TableDefinition = TableDefinition {
    name: "notion_raw_pages",
    columns: &[
        required("page_id", "STRING", "Notion page id (merge key)"),
        required("database_id", "STRING", "Notion database id (merge key)"),
        required("database_name", "STRING", "configured name of the database"),
        required("data_source_id", "STRING", "Notion data source that the page belongs to"),
        required("payload", "STRING", "page JSON byte for byte as received"),
        required("payload_sha256", "STRING", "SHA-256 of the payload without its volatile parts"),
        optional("hydrated_properties", "STRING", "full values of truncated properties, else null"),
        required("created_time", "TIMESTAMP", "creation, whole minutes"),
        required("last_edited_time", "TIMESTAMP", "source version, guard of the MERGE"),
        required("is_archived", "BOOLEAN", "archived in Notion"),
        required("in_trash", "BOOLEAN", "in the trash of Notion"),
        optional("removed_at", "TIMESTAMP", "when a sweep found the page removed; null = live"),
        optional("removal_reason", "STRING", "trashed | moved | gone | became_database | data_source_removed"),
        required("api_version", "STRING", "Notion-Version the payload was read with"),
        required("ingested_at", "TIMESTAMP", "when this version was written"),
        required("sync_run_id", "STRING", "run that wrote this version"),
    ],
    key: &["page_id", "database_id"],
    cluster_by: "database_id, page_id",
    comment: "Bronze: one row per Notion page and database, latest version",
};

const WATERMARKS: TableDefinition = TableDefinition {
    name: "notion_sync_watermarks",
    columns: &[
        required("database_id", "STRING", "Notion database id (key)"),
        required("data_source_id", "STRING", "Notion data source id (key)"),
        required("database_name", "STRING", "configured name of the database"),
        optional("synced_through", "TIMESTAMP", "every edit before this minute is in the pages table"),
        optional("last_edited_time", "TIMESTAMP", "latest edit seen, for people"),
        optional("resume", "STRING", "the position from which an unfinished run continues, versioned JSON"),
        optional("last_full_refresh_at", "TIMESTAMP", "when a full refresh last ended"),
        optional("last_sweep_at", "TIMESTAMP", "when a sweep last ended"),
        required("updated_at", "TIMESTAMP", "when this row was written"),
        required("sync_run_id", "STRING", "run that wrote this row"),
    ],
    key: &["database_id", "data_source_id"],
    cluster_by: "database_id, data_source_id",
    comment: "Truth of the Notion sync: one row per data source",
};

/// Compares texts byte for byte, as our keys are compared.
const PLAIN_COLLATION: &str = "UTF8_BINARY";
const SCHEMAS: TableDefinition = TableDefinition {
    name: "notion_schemas",
    columns: &[
        required("data_source_id", "STRING", "Notion data source id (key)"),
        required("first_seen_at", "TIMESTAMP", "when this version of the schema was first seen (key)"),
        required("database_id", "STRING", "Notion database id"),
        required("database_name", "STRING", "configured name of the database"),
        required("data_source_name", "STRING", "name of the data source in Notion"),
        required("view_name", "STRING", "name of its typed view, frozen when first seen"),
        required("schema_sha256", "STRING", "SHA-256 of the schema without its volatile parts"),
        required("payload", "STRING", "data source JSON byte for byte as received"),
        required("labels", "STRING", "present names of options and status groups by id, JSON"),
        required("last_seen_at", "TIMESTAMP", "when this version was last known to hold"),
        required("api_version", "STRING", "Notion-Version the payload was read with"),
        required("sync_run_id", "STRING", "run that wrote this row"),
    ],
    key: &["data_source_id", "first_seen_at"],
    cluster_by: "data_source_id, first_seen_at",
    comment: "History of the schemas of Notion data sources: one row per version",
};

const COLUMNS: TableDefinition = TableDefinition {
    name: "notion_columns",
    columns: &[
        required("data_source_id", "STRING", "Notion data source id (key)"),
        required("property_id", "STRING", "Notion property id as received (key)"),
        required("part", "STRING", "which part of the value the column shows (key)"),
        required("sql_type", "STRING", "SQL type of the column (key)"),
        required("column_name", "STRING", "name of the column, frozen when first seen"),
        required("property_type", "STRING", "present type of the property"),
        required("property_name", "STRING", "present name of the property"),
        required("position", "INT", "place of the column in its view"),
        required("seen_from", "TIMESTAMP", "when the property was first seen with this type"),
        optional("seen_to", "TIMESTAMP", "when it was found gone or of another type; null = present"),
        required("sync_run_id", "STRING", "run that wrote this row"),
    ],
    key: &["data_source_id", "property_id", "part", "sql_type"],
    cluster_by: "data_source_id, property_id",
    comment: "Columns of the typed views: a property id and a type are one column for ever",
};

const PROPERTIES: &str = "'delta.enableChangeDataFeed'='true','delta.enableDeletionVectors'='true'";

/// `CREATE SCHEMA IF NOT EXISTS`.
pub fn create_schema(catalog: &str, schema: &str) -> Statement {
    let [catalog, schema] = [catalog, schema].map(quote_identifier);
    plain("creation of the schema", format!("CREATE SCHEMA IF NOT EXISTS {catalog}.{schema}"))
}

/// `CREATE TABLE IF NOT EXISTS`: managed Delta, unpartitioned, clustered. The key is information for readers and is not
/// enforced; the collation keeps that of a schema or catalog out, which would break every comparison with a sent key.
pub fn create_table(name: &QualifiedName, definition: &TableDefinition) -> Statement {
    let key = definition.key.join(", ");
    let constraint = format!(",\n  CONSTRAINT {}_key PRIMARY KEY ({key}) RELY", definition.name);
    creation(name, definition, &constraint, "\nDEFAULT COLLATION UTF8_BINARY")
}

/// Returns the statements for a channel that knows neither collations nor keys.
pub fn create_plain_table(name: &QualifiedName, definition: &TableDefinition) -> Statement {
    creation(name, definition, "", "")
}

fn creation(name: &QualifiedName, definition: &TableDefinition, constraint: &str, collation: &str) -> Statement {
    let columns: Vec<String> = definition
        .columns
        .iter()
        .map(|column| {
            let null = if column.is_required { " NOT NULL" } else { "" };
            format!("  {} {}{null} COMMENT '{}'", column.name, column.kind, column.comment)
        })
        .collect();
    let text = format!(
        "CREATE TABLE IF NOT EXISTS {name} (\n{}{constraint}\n)\nCLUSTER BY ({})\nCOMMENT '{}'{collation}\nTBLPROPERTIES ({PROPERTIES})",
        columns.join(",\n"),
        definition.cluster_by,
        definition.comment
    );
    plain(&format!("creation of {}", definition.name), text)
}

/// Reads the columns a table has: from the manifest of an empty result, which is right on every engine.
pub fn read_columns(name: &QualifiedName) -> Statement {
    plain("reading of the columns", format!("SELECT * FROM {name} LIMIT 0"))
}

/// The columns of the definition that an existing table lacks, by name.
///
/// # Errors
/// `DatabricksUnreadable` when the answer to [`read_columns`] lists no column at all; `TableUnsuitable` when columns
/// have other types or another collation.
pub fn missing_columns(
    name: &QualifiedName,
    definition: &TableDefinition,
    existing: &Rows,
) -> Result<Vec<&'static str>, Failure> {
    if existing.columns().is_empty() {
        let message = format!("the reading of the columns brought no columns (statement {})", existing.statement_id());
        return Err(Failure::new(FailureClass::DatabricksUnreadable, message));
    }
    let mut problems = Vec::new();
    for column in definition.columns {
        let Some(found) = existing.type_of(column.name) else { continue };
        let (kind, collation) = found.split_once(" COLLATE ").unwrap_or((found, PLAIN_COLLATION));
        if !kind.eq_ignore_ascii_case(column.kind) {
            problems.push(format!("{} is {found} and must be {}", column.name, column.kind));
        } else if collation != PLAIN_COLLATION {
            problems.push(format!(
                "{0} has the collation {collation} (ALTER TABLE {name} ALTER COLUMN {0} TYPE STRING COLLATE {PLAIN_COLLATION})",
                column.name
            ));
        }
    }
    if !problems.is_empty() {
        let message = format!("the columns of {name} do not fit: {}", problems.join("; "));
        return Err(Failure::new(FailureClass::TableUnsuitable, message));
    }
    let is_there = |name: &str| existing.columns().iter().any(|column| column.eq_ignore_ascii_case(name));
    Ok(definition.columns.iter().map(|column| column.name).filter(|name| !is_there(name)).collect())
}

/// Adds columns that an older version lacks, nullable since its rows have no value for them.
pub fn add_columns(name: &QualifiedName, definition: &TableDefinition, missing: &[&'static str]) -> Statement {
    let columns: Vec<String> = definition
        .columns
        .iter()
        .filter(|column| missing.contains(&column.name))
        .map(|column| format!("{} {} COMMENT '{}'", column.name, column.kind, column.comment))
        .collect();
    plain(
        &format!("upgrade of {}", definition.name),
        format!("ALTER TABLE {name} ADD COLUMNS ({})", columns.join(", ")),
    )
}

/// Gives an upgraded table the properties of a new one.
pub fn set_properties(name: &QualifiedName, definition: &TableDefinition) -> Statement {
    plain(&format!("properties of {}", definition.name), format!("ALTER TABLE {name} SET TBLPROPERTIES ({PROPERTIES})"))
}

/// Clusters an upgraded table as a new one; later writes and OPTIMIZE follow.
pub fn set_clustering(name: &QualifiedName, definition: &TableDefinition) -> Statement {
    let text = format!("ALTER TABLE {name} CLUSTER BY ({})", definition.cluster_by);
    plain(&format!("clustering of {}", definition.name), text)
}

/// A MERGE without rows: it writes nothing, and fails as a sync would where a right, a column, a type or the collation of
/// the key is wrong.
pub fn try_merge(name: &QualifiedName, definition: &TableDefinition) -> Statement {
    let names = || definition.columns.iter().map(|column| column.name);
    let list = |part: &dyn Fn(&str) -> String| names().map(part).collect::<Vec<_>>().join(", ");
    let fields = list(&|name| format!("{name}:STRING"));
    let values: Vec<String> = definition
        .columns
        .iter()
        .map(|column| format!("CAST(r.{0} AS {1}) AS {0}", column.name, column.kind))
        .collect();
    let on = definition.key.iter().map(|name| format!("t.{name} = s.{name}")).collect::<Vec<_>>().join(" AND ");
    let text = format!(
        "MERGE INTO {name} AS t
USING (SELECT {} FROM (SELECT explode(from_json('[]', 'ARRAY<STRUCT<{fields}>>')) AS r)) AS s
ON {on}
WHEN MATCHED THEN UPDATE SET {}
WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
        values.join(", "),
        list(&|name| format!("{name} = s.{name}")),
        list(&str::to_owned),
        list(&|name| format!("s.{name}")),
    );
    plain(&format!("trial of {}", definition.name), text)
}

fn plain(purpose: &str, text: String) -> Statement {
    Statement { purpose: purpose.to_owned(), text, parameters: Vec::new() }
}
