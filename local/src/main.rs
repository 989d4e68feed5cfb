//! The local stack for people: watch the demo, keep a stack running, change what its workspace holds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use notion_sync_local::control::{ControlClient, RowAction, find_database};
use notion_sync_local::demo::{self, DemoSettings};
use notion_sync_local::environment::Environment;
use notion_sync_local::stack::{LocalStack, Ports, StackSettings};
use notion_sync_local::tools::Tools;

/// The local stack of notion-sync: Notion emulator, Databricks endpoint on Spark SQL, AWS emulator.
#[derive(Debug, Parser)]
#[command(name = "notion-sync-local")]
struct CommandLine {
    /// Directory of env file, tables and logs (default: `.local` in the repository).
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
    #[command(flatten)]
    Workspace(WorkspaceCommand),
}

/// Commands on the workspace of a stack that `up` has started.
#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// List the databases and their data sources.
    Databases,
    /// List the rows of a database, archived ones and those in the trash too.
    Rows {
        /// Its configured name (budget_lines), its name in Notion, or its id.
        database: String,
        /// Number of rows to show.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Edit a page now; without options only its edit time moves.
    Edit {
        /// The page's id.
        page: String,
        /// A new title.
        #[arg(long)]
        title: Option<String>,
        /// New values in Notion's form, such as '{"Status":{"status":{"name":"Done"}}}'.
        #[arg(long, value_name = "JSON")]
        properties: Option<String>,
    },
    /// Archive pages.
    Archive(Pages),
    /// Take pages out of the archive.
    Unarchive(Pages),
    /// Put pages into the trash.
    Trash(Pages),
    /// Take pages out of the trash, with their old times.
    Restore(Pages),
    /// Move a page to another database.
    Move {
        /// The page's id.
        page: String,
        /// The target: a database by name or id.
        database: String,
    },
}

#[derive(Debug, Args)]
struct Pages {
    /// The pages' ids.
    #[arg(required = true)]
    pages: Vec<String>,
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
    let env_file = folder.join("env");
    match command_line.command {
        Command::Up { free_ports } => {
            let ports = if free_ports { Ports::default() } else { Ports::FIXED };
            up(&StackSettings { tools, folder: folder.join("stack"), ports }, &env_file).await
        }
        Command::Demo => {
            let settings = DemoSettings { tools, folder: folder.join("demo") };
            Ok(demo::run(&settings, now(), &mut std::io::stdout()).await?)
        }
        Command::Workspace(command) => {
            let environment = Environment::read_env_file(&env_file)
                .map_err(|error| format!("{}: {error}; is `notion-sync-local up` running?", env_file.display()))?;
            on_workspace(command, &environment).await
        }
    }
}

async fn up(settings: &StackSettings, env_file: &Path) -> Result<(), Box<dyn Error>> {
    let stack = LocalStack::start(settings, now()).await?;
    stack.environment().write_env_file(env_file)?;
    print!("{}", stack.environment().exports());
    eprintln!(
        "\nThe stack runs. In another terminal:\n  \
         target/debug/notion-sync --env-file {env} init-tables\n  \
         target/debug/notion-sync --env-file {env} sync\n  \
         target/debug/notion-sync-local rows projects\n\
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

async fn on_workspace(command: WorkspaceCommand, environment: &Environment) -> Result<(), Box<dyn Error>> {
    let client = ControlClient::new(environment.get("NOTION_BASE_URL").unwrap_or_default())?;
    match command {
        WorkspaceCommand::Databases => list_databases(&client).await?,
        WorkspaceCommand::Rows { database, limit } => {
            let databases = client.databases().await?;
            let rows = client.rows(find_database(&databases, environment, &database)?).await?;
            let shown = rows.iter().take(limit).map(|(source, row)| {
                let state = match (row.is_archived, row.in_trash) {
                    (_, true) => "in the trash",
                    (true, false) => "archived",
                    (false, false) => "",
                };
                vec![row.id.clone(), row.title.clone(), source.clone(), row.last_edited_time.clone(), state.to_owned()]
            });
            print_table(["page", "title", "data source", "last edited", "state"], shown);
            if rows.len() > limit {
                println!("{} more; --limit shows them", rows.len() - limit);
            }
        }
        WorkspaceCommand::Edit { page, title, properties } => {
            client.edit(&page, title.as_deref(), properties.as_deref()).await?;
        }
        WorkspaceCommand::Archive(pages) => act(&client, &pages, RowAction::Archive).await?,
        WorkspaceCommand::Unarchive(pages) => act(&client, &pages, RowAction::Unarchive).await?,
        WorkspaceCommand::Trash(pages) => act(&client, &pages, RowAction::Trash).await?,
        WorkspaceCommand::Restore(pages) => act(&client, &pages, RowAction::Restore).await?,
        WorkspaceCommand::Move { page, database } => {
            let databases = client.databases().await?;
            client.move_row(&page, find_database(&databases, environment, &database)?).await?;
        }
    }
    Ok(())
}

async fn list_databases(client: &ControlClient) -> Result<(), Box<dyn Error>> {
    let databases = client.databases().await?;
    let rows = databases.iter().flat_map(|database| {
        database.data_sources.iter().map(|source| {
            let texts = [&database.name, &database.id, &source.name, &source.id];
            texts.into_iter().cloned().chain([source.rows.to_string()]).collect()
        })
    });
    print_table(["database", "id", "data source", "its id", "rows"], rows);
    Ok(())
}

async fn act(client: &ControlClient, pages: &Pages, action: RowAction) -> Result<(), Box<dyn Error>> {
    for page in &pages.pages {
        client.act(page, action).await?;
    }
    Ok(())
}

fn print_table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header).add_rows(rows);
    println!("{table}");
}

fn now() -> Timestamp {
    Timestamp::now()
}
