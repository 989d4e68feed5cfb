//! The plan of a database's views, computed from the stored schemas and Notion's; no network, no clock.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::changes::{Change, changes};
use super::columns::assign;
use super::names::free_base;
use super::schema::SourceSchema;
use super::shared::SHARED;
use super::text::{View, source_view};
use crate::databricks::QualifiedName;
use crate::ids::{DataSourceId, Database};
use crate::warehouse::{ColumnRow, SchemaRow, Tables};

/// A data source as Notion shows it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: DataSourceId,
    pub(super) name: String,
    /// The answer as received.
    pub(super) payload: String,
    pub(super) schema: SourceSchema,
}

/// The plan for one data source.
#[derive(Debug)]
pub(super) struct PlannedSource {
    pub(super) name: String,
    pub(super) view: View,
    pub(super) changes: Vec<Change>,
    /// Properties that are gone and may only be hidden.
    pub(super) hidden: Vec<String>,
}

/// The schemas to store and the views to make.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) sources: Vec<PlannedSource>,
    /// Versions of schemas to store: new ones, and the ones they follow.
    pub(super) versions: Vec<SchemaRow>,
    pub(super) changed_columns: Vec<ColumnRow>,
}

/// Plans the views of a database; `stored` holds the newest versions of all data sources of all databases.
pub(super) fn plan(
    tables: &Tables,
    database: &Database,
    sources: Vec<Source>,
    stored: &[SchemaRow],
    columns: &[ColumnRow],
    now: Timestamp,
    full_name: impl Fn(&str) -> QualifiedName,
) -> Plan {
    let mut plan = Plan::default();
    let mut taken: BTreeSet<String> = SHARED.iter().map(|name| (*name).to_owned()).collect();
    taken.extend(stored.iter().map(|row| row.view_name.clone()));
    let mut has_main_view = stored.iter().any(|row| row.database_id == database.id);
    for source in sources {
        let before = stored.iter().find(|row| row.data_source_id == source.id);
        let view_name = match before {
            Some(row) => row.view_name.clone(),
            None => new_view_name(database, &source, has_main_view, &taken),
        };
        has_main_view = true;
        taken.insert(view_name.clone());
        let own: Vec<ColumnRow> = columns.iter().filter(|column| column.data_source_id == source.id).cloned().collect();
        let assigned = assign(source.id, &own, &source.schema, now);
        let view = source_view(full_name(&view_name), &view_name, tables, source.id, &source.schema, &assigned.columns);
        plan.changed_columns.extend(assigned.changed);
        // A version that can't be read any more counts as one that said nothing.
        let earlier = before.and_then(|row| SourceSchema::read(&row.payload).ok());
        let changes = earlier.map(|earlier| changes(&earlier, &source.schema)).unwrap_or_default();
        plan.sources.push(PlannedSource { name: source.name.clone(), view, changes, hidden: assigned.hidden });
        plan.versions.extend(new_versions(database, source, view_name, before, now));
    }
    plan
}

/// The new version of a schema and the one it follows; none where nothing differs.
fn new_versions(
    database: &Database,
    source: Source,
    view_name: String,
    before: Option<&SchemaRow>,
    now: Timestamp,
) -> Vec<SchemaRow> {
    let is_same = before.is_some_and(|row| {
        row.schema_sha256 == source.schema.sha256
            && row.database_id == database.id
            && row.database_name == database.name.as_str()
    });
    if is_same {
        return Vec::new();
    }
    // Versions differ in their time, which is stored in whole milliseconds.
    let after = |row: &SchemaRow| row.first_seen_at.checked_add(SignedDuration::from_millis(1)).unwrap_or(now);
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let now = before.map_or(now, |row| now.max(after(row)));
    let followed = before.map(|row| SchemaRow { last_seen_at: now, ..row.clone() });
    let version = SchemaRow {
        data_source_id: source.id,
        first_seen_at: now,
        database_id: database.id,
        database_name: database.name.to_string(),
        data_source_name: source.name,
        view_name,
        schema_sha256: source.schema.sha256.clone(),
        labels: source.schema.labels(),
        payload: source.payload,
        last_seen_at: now,
    };
    followed.into_iter().chain([version]).collect()
}

/// The database's name for its first data source, `<database>__<data source>` for any further one.
fn new_view_name(database: &Database, source: &Source, has_main_view: bool, taken: &BTreeSet<String>) -> String {
    let database = database.name.as_str();
    if !has_main_view && !taken.contains(database) {
        return database.to_owned();
    }
    let name = |base: &str| format!("{database}__{base}");
    name(&free_base(&source.name, "source", &source.id.to_string(), |base| !taken.contains(&name(base))))
}
