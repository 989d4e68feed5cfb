//! The command line's process; everything else is in `notion_sync::cli`.

use std::process::ExitCode;

use notion_sync::cli::{Outputs, run};
use notion_sync::config::Variables;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), Variables::from_environment(), &Outputs::of_process()).await)
}
