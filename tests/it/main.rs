//! The only integration-test binary: features of the service, told as stories, on the real local stack.

mod support;

mod cli_process;
mod crash;
mod fault_matrix;
mod lambda_process;
mod rotation;
mod secrets;
mod sync;
