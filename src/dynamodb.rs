//! The DynamoDB table of watermarks, leases and last runs: keys `pk` (database id) and `sk`, TTL attribute `expires_at`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::failure::{Failure, FailureClass};
use crate::ids::DatabaseId;

/// An item's attributes.
pub type Item = HashMap<String, AttributeValue>;

/// The state table; cheap to clone.
#[derive(Debug, Clone)]
pub struct StateTable {
    /// The SDK's client.
    pub client: Client,
    /// The table's name.
    pub name: String,
}

impl StateTable {
    /// A client with times short enough that a table that is down does not eat the run.
    #[must_use]
    pub fn new(sdk_config: &aws_config::SdkConfig, name: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(12))
            .build();
        let config = aws_sdk_dynamodb::config::Builder::from(sdk_config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), name }
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

    /// Reads the items of a database whose sort key begins with `prefix`, in order of the key; `newest_only` = the last one.
    ///
    /// # Errors
    /// `DynamoDbUnavailable`.
    pub async fn query(&self, database_id: DatabaseId, prefix: &str, newest_only: bool) -> Result<Vec<Item>, Failure> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", string(database_id))
            .expression_attribute_values(":prefix", string(prefix))
            .scan_index_forward(!newest_only)
            .set_limit(newest_only.then_some(1))
            .send()
            .await
            .map_err(|error| self.failure("Query", &error))?;
        Ok(answer.items.unwrap_or_default())
    }

    /// A failed call, told briefly: the SDK's own text holds the whole raw answer.
    pub fn failure<E, R>(&self, operation: &str, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata,
        SdkError<E, R>: RequestId,
    {
        let what = match error {
            SdkError::ServiceError(_) => {
                format!("{}: {}", error.code().unwrap_or("unknown error"), error.message().unwrap_or("no message"))
            }
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time".to_owned(),
            SdkError::DispatchFailure(_) => "no connection, or no credentials".to_owned(),
            SdkError::ResponseError(_) => "an unreadable answer".to_owned(),
            _ => "the call could not be built".to_owned(),
        };
        let request_id = error.request_id().map(|id| format!(" (request id {id})")).unwrap_or_default();
        let message = format!("DynamoDB {operation} on table {}: {what}{request_id}", self.name);
        Failure::new(FailureClass::DynamoDbUnavailable, message)
    }
}

/// A text attribute.
pub fn string(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number attribute.
pub fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Reads a text attribute.
#[must_use]
pub fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// Reads a number attribute.
#[must_use]
pub fn integer(item: &Item, name: &str) -> Option<i64> {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok())
}
