//! Where each data source stands: truth in Databricks, cache in DynamoDB.
