//! One door for every test: a world with an emulated Notion, the real SQL engine and DynamoDB, and the service in front.

pub(crate) mod process;
pub(crate) mod runtime_api;
mod stack;
mod table;
mod world;

pub(crate) use stack::{catalog, run_test, run_test_within};
pub(crate) use table::TableRow;
pub(crate) use world::{World, WorldBuilder, at, failed};
