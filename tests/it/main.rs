//! The only integration-test binary: features of the service, told as stories, on the real local stack.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what surprises a test fails it")]
#![expect(clippy::large_futures, reason = "a test's world is large, and there is one of it")]

mod support;

mod cap;
mod cli_process;
mod crash;
mod cursor;
mod docs;
mod fault_matrix;
mod fuzz;
mod lambda_process;
mod proof;
mod rotation;
mod secrets;
mod sweep;
mod sync;
mod tidy;
