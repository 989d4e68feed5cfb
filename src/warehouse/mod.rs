//! Our tables in the warehouse: columns, statements. The texts are tried on Sail and read by Spark (facts/databricks §3).

mod columns;
mod pages;
mod row;
mod schemas;
mod sweep;
mod tables;
mod verify;
mod watermarks;

pub use columns::{ColumnRow, columns_of, merge_columns, read_column_rows};
pub use pages::{check_removals, merge_pages, merge_removals};
pub use row::{EncodedRow, HashStart, Removal, RemovalReason, Row};
pub use schemas::{SchemaRow, merge_schemas, newest_schemas, read_schemas};
pub use sweep::{
    Comparison, CreatedWindow, Difference, IdRange, ListedRow, Side, compare_listing, duplicate_keys, read_comparison,
};
pub use tables::{
    TableDefinition, Tables, add_columns, create_plain_table, create_schema, create_table, missing_columns,
    read_columns, set_clustering, set_properties, try_merge,
};
pub use verify::{
    ContentComparison, ContentDifference, PageRange, WalkedRow, compare_content, read_content_comparison,
};
pub use watermarks::{
    ProofKey, WatermarkRow, check_proof, delete_watermark, merge_watermark, read_watermarks, watermarks_of,
    watermarks_of_several,
};

use serde::Serialize;

use crate::databricks::Rows;
use crate::failure::{Failure, FailureClass};

/// The cells of one column of an answer, from top to bottom.
///
/// # Errors
/// `StoredStateUnreadable` when the answer has no such column.
fn cells<'a>(rows: &'a Rows, table: &str, name: &str) -> Result<Vec<Option<&'a str>>, Failure> {
    rows.column(name).map(Iterator::collect).ok_or_else(|| unreadable(rows, table, name))
}

/// A table's answer can't be read.
fn unreadable(rows: &Rows, table: &str, what: &str) -> Failure {
    let message = format!("the table {table} answered an unreadable {what} (statement {})", rows.statement_id());
    Failure::new(FailureClass::StoredStateUnreadable, message)
}

/// A JSON array of `items`: the one STRING parameter that carries a statement's rows.
fn json_array<T: Serialize>(items: &[T]) -> Result<String, Failure> {
    serde_json::to_string(items)
        .map_err(|error| Failure::new(FailureClass::Internal, "writing the rows of a statement").caused_by(error))
}
