//! DynamoDB and Secrets Manager: ministack as a child process.
