//! The DynamoDB table of watermarks, leases and last runs: keys `pk` (database id) and `sk`, TTL attribute `expires_at`.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::aws::brief;
use crate::failure::{Failure, FailureClass};
use crate::ids::DatabaseId;
use crate::run::deadline::Deadline;

/// An item's attributes.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The state table; cheap to clone.
#[derive(Debug, Clone)]
pub struct StateTable {
    /// The SDK's client.
    pub client: Client,
    pub name: String,
}

impl StateTable {
    /// A client with the SDK's configuration and a budget of retries of its own: by default the SDK shares one among all
    /// clients of a process, so that the trouble of one would cost another its retries.
    pub fn new(sdk_config: &aws_config::SdkConfig, name: String) -> Self {
        let retries = RetryPartition::custom(name.clone()).build();
        let client = Client::from_conf(Builder::from(sdk_config).retry_partition(retries).build());
        Self { client, name }
    }

    /// Reads one item, consistently.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn get(&self, database_id: DatabaseId, sort_key: &str) -> Result<Option<Item>, Failure> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("pk", string(database_id))
            .key("sk", string(sort_key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failure("GetItem", &error))?;
        Ok(answer.item)
    }

    /// Reads the items of a database whose sort key begins with `prefix`, in order of the key.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn query(&self, database_id: DatabaseId, prefix: &str) -> Result<Vec<Item>, Failure> {
        self.query_limited(database_id, prefix, None).await
    }

    /// Reads the last `count` items of a database whose sort key begins with `prefix`, the last one first.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn newest(&self, database_id: DatabaseId, prefix: &str, count: u16) -> Result<Vec<Item>, Failure> {
        self.query_limited(database_id, prefix, Some(count)).await
    }

    async fn query_limited(
        &self,
        database_id: DatabaseId,
        prefix: &str,
        newest: Option<u16>,
    ) -> Result<Vec<Item>, Failure> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", string(database_id))
            .expression_attribute_values(":prefix", string(prefix))
            .scan_index_forward(newest.is_none())
            .set_limit(newest.map(i32::from))
            .send()
            .await
            .map_err(|error| self.failure("Query", &error))?;
        Ok(answer.items.unwrap_or_default())
    }

    /// Writes one item over whatever is there.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn put(&self, item: Item) -> Result<(), Failure> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        put.send().await.map(drop).map_err(|error| self.failure("PutItem", &error))
    }

    /// A failed call, in brief.
    pub fn failure<E: ProvideErrorMetadata>(&self, operation: &str, error: &SdkError<E>) -> Failure {
        let message = format!("DynamoDB {operation} on table {}: {}", self.name, brief(error));
        Failure::new(FailureClass::DynamoDbUnavailable, message)
    }
}

/// Bounds a DynamoDB read to a quarter of the time left for work, so that a slow table delays the run but cannot end it.
///
/// # Errors
/// The call's own, or `DynamoDbUnavailable` when it took too long.
pub(crate) async fn read_within_budget<T>(
    deadline: &Deadline,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    deadline.bound_share(4, call).await.unwrap_or_else(|| Err(too_slow()))
}

/// Bounds a DynamoDB write to the time that a run has left.
///
/// # Errors
/// The call's own, or `DynamoDbUnavailable` when it took too long.
pub(crate) async fn write_within_budget<T>(
    deadline: &Deadline,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    deadline.bound(call).await.unwrap_or_else(|| Err(too_slow()))
}

fn too_slow() -> Failure {
    Failure::new(FailureClass::DynamoDbUnavailable, "DynamoDB did not answer in the time that the run had for it")
}

/// A text attribute.
pub(crate) fn string(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number attribute.
pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Reads a text attribute.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// Reads a number attribute.
pub(crate) fn integer(item: &Item, name: &str) -> Option<i64> {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok())
}
