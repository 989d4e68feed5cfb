//! The only integration-test binary: features of the service, told as stories, on the real local stack.

mod support;

mod cap;
mod cursor;
mod proof;
mod sweep;
mod cli_process;
mod lambda_process;
mod rotation;
mod docs;
mod fuzz;
mod proof;
mod sweep;
mod sync;
mod tidy;
