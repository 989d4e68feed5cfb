//! Long work that was turned away, because another run held the lease: one DynamoDB item per database. The next run that has
//! the lease does it, so that no scheduled sweep is lost without a sound.

use crate::aws::state_table::{Item, StateTable, string, text};
use crate::failure::Failure;
use crate::ids::{DatabaseId, RunId};

const SORT_KEY: &str = "pending";

/// A kind of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LongWork {
    Sweep,
    /// A full refresh, which ends with a sweep.
    FullRefresh,
}

impl LongWork {
    /// The name in the item and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::FullRefresh => "full refresh",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Sweep, Self::FullRefresh].into_iter().find(|work| work.name() == name)
    }
}

/// Work that was turned away, and the run that asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingWork {
    pub work: LongWork,
    requested_by: String,
}

/// Records work for the next run. A full refresh covers a sweep that is recorded already, never the other way round.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn record(
    table: &StateTable,
    database_id: DatabaseId,
    work: LongWork,
    requested_by: &RunId,
) -> Result<(), Failure> {
    let put = table
        .client
        .put_item()
        .table_name(&table.name)
        .item("pk", string(database_id))
        .item("sk", string(SORT_KEY))
        .item("work", string(work.name()))
        .item("requested_by", string(requested_by))
        .condition_expression("attribute_not_exists(pk) OR #work <> :full OR :mine = :full")
        .expression_attribute_names("#work", "work")
        .expression_attribute_values(":full", string(LongWork::FullRefresh.name()))
        .expression_attribute_values(":mine", string(work.name()));
    match put.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => {
            Ok(())
        }
        Err(error) => Err(table.failure("PutItem", &error)),
    }
}

/// Reads the work that the next run has to do; `None` = nothing was turned away.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn load(table: &StateTable, database_id: DatabaseId) -> Result<Option<PendingWork>, Failure> {
    let item: Option<Item> = table.get(database_id, SORT_KEY).await?;
    Ok(item.and_then(|item| {
        // A name that this version does not know is taken for the larger work.
        let work = LongWork::named(text(&item, "work")?).unwrap_or(LongWork::FullRefresh);
        Some(PendingWork { work, requested_by: text(&item, "requested_by")?.to_owned() })
    }))
}

/// Forgets work that is done. Work that was turned away in the meantime stays.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn forget(table: &StateTable, database_id: DatabaseId, done: &PendingWork) -> Result<(), Failure> {
    let delete = table
        .client
        .delete_item()
        .table_name(&table.name)
        .key("pk", string(database_id))
        .key("sk", string(SORT_KEY))
        .condition_expression("requested_by = :requested_by")
        .expression_attribute_values(":requested_by", string(&done.requested_by));
    match delete.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => {
            Ok(())
        }
        Err(error) => Err(table.failure("DeleteItem", &error)),
    }
}
