//! notion-sync keeps Notion databases mirrored, row for row, in a Databricks bronze Delta table.
//!
//! Read it from the outside in: [`event`] and the command line make an [`action`]; [`app`] holds the ready clients and
//! runs the action; [`sync`] is the algorithm (walk, settle, merge, prove, advance, sweep); [`notion`] and [`databricks`]
//! are the two foreign protocols; [`warehouse`] is our tables in the second; [`watermark`] and [`lease`] say where a
//! database stands and who works on it. `docs/ARCHITECTURE.md` has the map, the invariants and two walkthroughs.

pub mod action;
pub mod app;
pub mod aws;
pub mod cli;
mod clients;
pub mod clock;
pub mod config;
pub mod databricks;
pub mod deadline;
pub mod dynamodb;
pub mod event;
pub mod failure;
pub mod health;
pub mod http;
pub mod ids;
pub mod init_tables;
pub mod lambda;
pub mod lease;
pub mod metrics;
pub mod notion;
pub mod placeholder;
pub mod progress;
pub mod rate_limit;
pub mod report;
pub mod retry;
pub mod run;
pub mod run_log;
pub mod secrets;
pub mod status;
pub mod sync;
pub mod telemetry;
pub mod warehouse;
pub mod watermark;

#[cfg(feature = "local-stack")]
pub mod local;
