//! The only integration-test binary: features of the service, told as stories, on the real local stack.

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
