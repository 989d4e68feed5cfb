//! One run at a time per database: a lease in DynamoDB.
