//! The local stack for people: watch the demo, keep a stack running, change what its workspace holds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use notion_sync::local::demo::{self, DemoSettings};
use notion_sync::local::stack::{LocalStack, Ports, StackSettings};
use notion_sync::local::tools::Tools;

/// The local stack of notion-sync: Notion emulator, Databricks endpoint on Spark SQL, AWS emulator.
#[derive(Debug, Parser)]
#[command(name = "notion-sync-local")]
struct CommandLine {
    /// Where env file, tables and logs go (default: `.local` in the repository).
    #[arg(long, global = true, value_name = "PATH")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack, print the variables that lead to it, and run until Ctrl-C.
    Up {
        /// Take any free ports instead of 4510, 4520 and 4566.
        #[arg(long)]
        free_ports: bool,
    },
    /// Sync, change, sync again, sweep and compare, on a stack of its own.
    Demo,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(CommandLine::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notion-sync-local: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command_line: CommandLine) -> Result<(), Box<dyn Error>> {
    let tools = Tools::of_this_repository();
    let folder = command_line.folder.unwrap_or_else(|| tools.root().join(".local"));
    match command_line.command {
        Command::Up { free_ports } => {
            let ports = if free_ports { Ports::default() } else { Ports::FIXED };
            up(&StackSettings { tools, folder: folder.join("stack"), ports }, &folder.join("env")).await
        }
        Command::Demo => {
            let settings = DemoSettings { tools, folder: folder.join("demo") };
            Ok(demo::run(&settings, now(), &mut std::io::stdout()).await?)
        }
    }
}

async fn up(settings: &StackSettings, env_file: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let stack = LocalStack::start(settings, now()).await?;
    stack.environment().write_env_file(env_file)?;
    print!("{}", stack.environment().exports());
    eprintln!(
        "\nThe stack runs. In another terminal:\n  \
         target/debug/notion-sync --env-file {env} init-tables\n  \
         target/debug/notion-sync --env-file {env} sync\n  \
         target/debug/notion-sync-local databases\n\
         Ctrl-C ends it; its tables and logs stay in {folder} until the next start.",
        env = env_file.display(),
        folder = settings.folder.display(),
    );
    tokio::signal::ctrl_c().await?;
    eprintln!("\nEnding …");
    std::fs::remove_file(env_file)?;
    stack.stop().await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the local stack imports nothing of the product, so not its clock either"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
