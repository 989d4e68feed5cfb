//! The only integration-test binary: features of the service, told as stories, on the real local stack.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what surprises a test fails it")]
#![expect(clippy::large_futures, reason = "a test's world is large, and there is one of it")]

mod support;

mod cap;
mod cli_process;
mod cursor;
mod docs;
mod fuzz;
mod crash;
mod fault_matrix;
mod lambda_process;
mod proof;
mod rotation;
mod sweep;
mod secrets;
mod sync;
mod tidy;
