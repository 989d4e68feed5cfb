//! The warehouse itself, as the SQL warehouses API knows it; asking for it does not start it.

use reqwest::Method;
use serde::Deserialize;
use tracing::debug;

use super::{Client, DatabricksError, DatabricksRefusal, Exchange};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;

const WAREHOUSES_PATH: &str = "/api/2.0/sql/warehouses";

/// The API's answer about a warehouse. Everything but the id may be absent.
#[derive(Debug, Deserialize)]
struct WarehouseAnswer {
    id: String,
    #[serde(default)]
    state: Option<String>,
}

impl Client {
    /// `GET /api/2.0/sql/warehouses/{id}`: verifies host, credential and warehouse without starting it.
    ///
    /// # Errors
    /// The failure of the exchange; a warehouse that does not exist is named with the variables that name it.
    pub async fn verify_warehouse(&self, run: &Run) -> Result<(), Failure> {
        let id = &self.config().warehouse_id;
        let path = format!("{WAREHOUSES_PATH}/{id}");
        let exchange = Exchange::Warehouse(id.clone());
        let answer: Result<WarehouseAnswer, DatabricksError> =
            self.exchange(&exchange, Method::GET, &path, None, run).await;
        match answer {
            Ok(answer) if answer.id == *id => {
                debug!(warehouse = answer.id, state = answer.state, "the warehouse is there");
                Ok(())
            }
            Ok(answer) => {
                let message = format!("{exchange} answered with another warehouse ({})", answer.id);
                Err(Failure::new(FailureClass::DatabricksUnreadable, message))
            }
            Err(error @ DatabricksError::Refused(DatabricksRefusal::Api { status: 400 | 404, is_own: true, .. })) => {
                let message = format!(
                    "the SQL warehouse {id} was not found; its id is taken from DATABRICKS_HTTP_PATH or \
                     DATABRICKS_WAREHOUSE_ID: {error}"
                );
                Err(Failure::new(error.class(), message))
            }
            Err(error) => Err(error.into()),
        }
    }
}
