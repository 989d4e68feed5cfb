//! Metrics in CloudWatch embedded metric format: one record a run.
