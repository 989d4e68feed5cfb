//! One run at a time per database: a DynamoDB item with an expiry, renewed while the run works.
//!
//! The lease saves work, it does not protect the data: two overlapping runs are harmless, because every MERGE is guarded.
//! So a table that is down costs a warning and not the run.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, warn};

use crate::aws::state_table::{StateTable, integer, number, string, text};
use crate::failure::Failure;
use crate::ids::{DatabaseId, RunId};
use crate::run::clock::Clock;

/// The length of a lease without renewal: a killed run blocks others for as long.
const LEASE_TIME: Duration = Duration::from_secs(20);
/// The time between renewals; three may fail before the lease is lost.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);
/// The most by which the clocks of two machines may differ. A lease that claims to hold for longer than its length and this comes
/// from a clock that is wrong, or is damaged, and blocks no run.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// The condition under which a run may have the lease: it is free, it has expired, it is the run's own, or its end is unreadable.
const FREE: &str = "attribute_not_exists(lease_owner) OR attribute_not_exists(lease_until_ms) \
    OR NOT attribute_type(lease_until_ms, :number) OR lease_until_ms < :now OR lease_until_ms > :latest \
    OR lease_owner = :owner";
const SORT_KEY: &str = "lease";

/// The result of asking for a lease.
#[derive(Debug)]
pub(crate) enum LeaseOutcome {
    /// The database is this run's.
    Held(Lease),
    /// Another run works on it.
    TakenBy {
        /// The id of that run.
        run_id: String,
        /// The end of its lease, unless renewed.
        until: Timestamp,
    },
}

/// A lease that is held; it is renewed until it is released or dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    table: StateTable,
    database_id: DatabaseId,
    owner: RunId,
    renewal: JoinHandle<()>,
}

impl Lease {
    /// Takes the database's lease if it is free, expired or this run's own.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`: continue without.
    pub(crate) async fn acquire(
        table: &StateTable,
        database_id: DatabaseId,
        owner: &RunId,
        clock: &Clock,
    ) -> Result<LeaseOutcome, Failure> {
        if let Some((run_id, until)) = take(table, database_id, owner, clock).await? {
            return Ok(LeaseOutcome::TakenBy { run_id, until });
        }
        let renewal = tokio::spawn(renew(table.clone(), database_id, owner.clone(), clock.clone()).in_current_span());
        Ok(LeaseOutcome::Held(Self { table: table.clone(), database_id, owner: owner.clone(), renewal }))
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`; the lease then ends on its own.
    pub(crate) async fn release(self) -> Result<(), Failure> {
        self.renewal.abort();
        let delete = self
            .table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .key("pk", string(self.database_id))
            .key("sk", string(SORT_KEY))
            .condition_expression("lease_owner = :owner")
            .expression_attribute_values(":owner", string(&self.owner));
        match delete.send().await {
            Ok(_) => Ok(()),
            // Someone took the lease over after it had expired: it is theirs.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(self.table.failure("DeleteItem", &error)),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Returns the run that holds a database's lease, and when the lease ends, for people; `None` = the lease is free.
///
/// # Errors
/// `DynamoDbUnavailable`.
pub(crate) async fn holder(
    table: &StateTable,
    database_id: DatabaseId,
    clock: &Clock,
) -> Result<Option<(String, Timestamp)>, Failure> {
    let Some(item) = table.get(database_id, SORT_KEY).await? else { return Ok(None) };
    let until = integer(&item, "lease_until_ms").and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let owner = text(&item, "lease_owner").unwrap_or("unknown").to_owned();
    let now = clock.now();
    Ok(until.filter(|until| *until > now && *until <= latest_believed(now)).map(|until| (owner, until)))
}

/// The latest end of a lease that is believed at `now`.
fn latest_believed(now: Timestamp) -> Timestamp {
    now.saturating_add(LEASE_TIME + MAX_CLOCK_SKEW).unwrap_or(now)
}

/// Takes or renews the lease; `Some` = it is another run's.
async fn take(
    table: &StateTable,
    database_id: DatabaseId,
    owner: &RunId,
    clock: &Clock,
) -> Result<Option<(String, Timestamp)>, Failure> {
    let now = clock.now();
    let until = now.saturating_add(LEASE_TIME).unwrap_or(now);
    let update = table
        .client
        .update_item()
        .table_name(&table.name)
        .key("pk", string(database_id))
        .key("sk", string(SORT_KEY))
        .update_expression("SET lease_owner = :owner, lease_until_ms = :until, expires_at = :expires_at")
        .condition_expression(FREE)
        .expression_attribute_values(":owner", string(owner))
        .expression_attribute_values(":until", number(until.as_millisecond()))
        .expression_attribute_values(":now", number(now.as_millisecond()))
        .expression_attribute_values(":latest", number(latest_believed(now).as_millisecond()))
        .expression_attribute_values(":number", string("N"))
        // For DynamoDB's own clean-up, days later; what counts is lease_until_ms.
        .expression_attribute_values(":expires_at", AttributeValue::N((until.as_second() + 86_400).to_string()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let Err(error) = update.send().await else { return Ok(None) };
    let Some(refused) = error.as_service_error().and_then(|error| match error {
        aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) => {
            Some(refused)
        }
        _ => None,
    }) else {
        return Err(table.failure("UpdateItem", &error));
    };
    let old = refused.item.as_ref();
    let run_id = old.and_then(|item| text(item, "lease_owner")).unwrap_or("unknown").to_owned();
    let held_until = old.and_then(|item| integer(item, "lease_until_ms"));
    Ok(Some((run_id, held_until.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(until))))
}

async fn renew(table: StateTable, database_id: DatabaseId, owner: RunId, clock: Clock) {
    let mut ticks = interval_at(Instant::now() + RENEWAL_INTERVAL, RENEWAL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match take(&table, database_id, &owner, &clock).await {
            Ok(None) => {}
            Ok(Some((run_id, _))) => {
                warn!(taken_by = run_id, "the lease was lost; the run continues, since its MERGEs are guarded");
                return;
            }
            Err(failure) => warn!(reason = failure.describe(), "the lease was not renewed"),
        }
    }
}
