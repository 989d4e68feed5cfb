//! The only integration-test binary: features of the service, told as stories, on the real local stack.

mod support;

mod cli_process;
mod lambda_process;
mod rotation;
mod sync;
