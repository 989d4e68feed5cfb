//! Columns with an identity: a property's id and type are one column for ever, whatever the property is called.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::names::{all_free, free_base};
use super::parts::parts_of;
use super::schema::{Property, SourceSchema};
use crate::ids::DataSourceId;
use crate::warehouse::ColumnRow;

/// Columns that every view has of the page itself; no property's column takes their names.
pub(super) const OWN_COLUMNS: &[&str] = &[
    "page_id",
    "page_url",
    "page_created_time",
    "page_last_edited_time",
    "page_is_archived",
    "page_in_trash",
    "page_removed_at",
    "page_removal_reason",
    "page_unread_columns",
];

/// Types that Notion leaves out of a schema when what they look at is not shared: gone is no proof that they are deleted.
const TYPES_THAT_HIDE: [&str; 3] = ["relation", "rollup", "formula"];

/// The columns of one data source, brought up to date with its schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ColumnPlan {
    /// Those of the view, in order.
    pub(super) columns: Vec<ColumnRow>,
    /// Those that are new or differ from what is stored.
    pub(super) changed: Vec<ColumnRow>,
    /// Names of properties that the schema no longer shows and that may only be hidden.
    pub(super) hidden: Vec<String>,
}

/// Gives every part of every property its column: the stored one, or a new one of a name that was never used before.
pub(super) fn assign(source: DataSourceId, stored: &[ColumnRow], schema: &SourceSchema, now: Timestamp) -> ColumnPlan {
    let mut taken: BTreeSet<String> = OWN_COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    taken.extend(stored.iter().map(|column| column.column_name.clone()));
    let mut position = stored.iter().map(|column| column.position + 1).max().unwrap_or(0);
    let mut assigned = ColumnPlan::default();
    let add = |column: ColumnRow, is_changed: bool, assigned: &mut ColumnPlan| {
        if is_changed {
            assigned.changed.push(column.clone());
        }
        assigned.columns.push(column);
    };
    for column in stored {
        let current = schema.property(&column.property_id).filter(|property| has_part(property, column));
        match current {
            Some(property) => {
                let kept = ColumnRow {
                    property_type: property.kind.clone(),
                    property_name: property.name.clone(),
                    seen_to: None,
                    ..column.clone()
                };
                let is_changed = kept != *column;
                add(kept, is_changed, &mut assigned);
            }
            None if column.seen_to.is_some() => {}
            None if may_be_hidden(column, schema) => {
                assigned.hidden.push(column.property_name.clone());
                add(column.clone(), false, &mut assigned);
            }
            None => assigned.changed.push(ColumnRow { seen_to: Some(now), ..column.clone() }),
        }
    }
    for property in &schema.properties {
        for column in new_columns(source, property, stored, &mut taken, now) {
            add(ColumnRow { position, ..column }, true, &mut assigned);
            position += 1;
        }
    }
    assigned.columns.sort_by_key(|column| column.position);
    assigned
}

fn has_part(property: &Property, column: &ColumnRow) -> bool {
    parts_of(property).iter().any(|part| part.name == column.part && part.sql_type == column.sql_type)
}

fn may_be_hidden(column: &ColumnRow, schema: &SourceSchema) -> bool {
    TYPES_THAT_HIDE.contains(&column.property_type.as_str()) && schema.property(&column.property_id).is_none()
}

/// The columns that a property has not got yet, under one name.
fn new_columns(
    source: DataSourceId,
    property: &Property,
    stored: &[ColumnRow],
    taken: &mut BTreeSet<String>,
    now: Timestamp,
) -> Vec<ColumnRow> {
    let is_stored = |part: &&super::parts::Part| {
        stored.iter().any(|column| {
            column.property_id == property.id && column.part == part.name && column.sql_type == part.sql_type
        })
    };
    let missing: Vec<_> = parts_of(property).iter().filter(|part| !is_stored(part)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let types: Vec<&str> = missing.iter().map(|part| part.sql_type).collect();
    let identity = format!("{}\n{}", property.id, types.join("\n"));
    let base = free_base(&property.name, "property", &identity, |base| {
        all_free(taken, missing.iter().map(|part| format!("{base}{}", part.suffix)))
    });
    let columns = missing.into_iter().map(|part| ColumnRow {
        data_source_id: source,
        property_id: property.id.clone(),
        part: part.name.to_owned(),
        sql_type: part.sql_type.to_owned(),
        column_name: format!("{base}{}", part.suffix),
        property_type: property.kind.clone(),
        property_name: property.name.clone(),
        position: 0,
        seen_from: now,
        seen_to: None,
    });
    let columns: Vec<ColumnRow> = columns.collect();
    taken.extend(columns.iter().map(|column| column.column_name.clone()));
    columns
}
