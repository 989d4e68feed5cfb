//! The local stack: real engines where there are any, faithful emulators where there are none. Imports nothing of the product.

pub mod aws;
pub mod control;
pub mod databricks;
pub mod demo;
pub mod environment;
pub mod faults;
pub mod lambda;
pub mod loopback;
pub mod notion;
pub mod process;
pub mod seed;
pub mod stack;
pub mod tools;
pub mod verify;
