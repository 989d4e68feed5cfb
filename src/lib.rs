//! notion-sync keeps Notion databases mirrored, row for row, in a Databricks bronze Delta table.
//!
//! Read it from the outside in. [`event`] and the command line make an [`action`]. [`app`] holds the ready clients and runs
//! the action. [`sync`] is the algorithm: walk, merge, prove, advance, sweep. [`notion`] and [`databricks`] are the two
//! foreign protocols, and [`warehouse`] is our tables in the second. [`watermark`] and [`aws::lease`] say up to which point a
//! database is synced and which run works on it. `docs/ARCHITECTURE.md` has the map, the invariants and the walkthroughs.

pub mod action;
mod actions;
pub mod app;
pub mod aws;
pub mod cli;
mod clients;
pub mod config;
pub mod databricks;
pub mod event;
pub mod failure;
pub mod http;
pub mod ids;
pub mod lambda;
pub mod metrics;
pub mod notion;
pub mod output;
mod placeholder;
pub mod run;
pub mod sync;
pub mod telemetry;
mod views;
pub mod warehouse;
pub mod watermark;
