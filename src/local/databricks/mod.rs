//! The Statement Execution endpoint in front of Spark SQL.
