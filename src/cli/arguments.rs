//! The command line's grammar, and what it asks the service to do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::action::{Action, SweepRequest, SyncRequest, ViewsRequest};
use crate::event::find_database;
use crate::failure::Failure;
use crate::ids::{Database, DatabaseName};

const EXIT_CODES: &str = "\
Exit codes:
    0  done: every database complete, or skipped because another run holds its lease
    1  a defect of notion-sync, or its report could not be written
    2  the request is wrong: arguments, unknown database
    3  the configuration is wrong: variables missing, malformed or placeholders
    4  a credential was refused or lacks a right
    5  Notion did not answer usefully
    6  Databricks did not answer usefully
    7  completeness could not be proven, or a guard refused
    8  AWS did not answer usefully
   10  partial: stopped before the deadline; run again to go on
  130  interrupted (Ctrl-C, SIGTERM); how far it had come is stored, run again to go on
With several databases it is the code of the first that failed; else 10 when one is partial.";

/// Keeps Notion databases mirrored, row for row, in a Databricks bronze Delta table.
#[derive(Debug, Parser)]
#[command(name = "notion-sync", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Read variables from this file too; a variable of the environment wins over it
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,

    /// How reports are printed on standard output: tables, or one JSON report a line
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) output: OutputFormat,

    /// Tell more on standard error: -v what is done, -vv each exchange, -vvv everything (never a secret)
    #[arg(short, long = "verbose", global = true, action = clap::ArgAction::Count)]
    pub(super) verbosity: u8,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// How reports are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check Notion, Databricks, DynamoDB and Secrets Manager one by one
    Health,
    /// Show name, id, data sources and watermark of each configured database
    ListDatabases,
    /// Create the schema and the tables, or add columns that an older version lacks
    InitTables,
    /// Bring databases up to date: all configured ones, one after another, or those named
    Sync(SyncArguments),
    /// Find rows that were trashed, moved, deleted or restored; mark and repair them
    Sweep(SweepArguments),
    /// Make the typed views of databases, where their schema moved: all configured ones, or those named
    Views(ViewsArguments),
    /// Show watermark, lag, lease and last run of each database
    Status,
}

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// Read every row again, then sweep
    #[arg(long)]
    full_refresh: bool,

    /// Start over instead of going on from a stored position
    #[arg(long)]
    restart: bool,

    #[command(flatten)]
    shared: SweepArguments,
}

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    /// Mark rows as removed even when they are a larger share than SWEEP_MAX_REMOVED_SHARE
    #[arg(long)]
    allow_removals: bool,

    /// A configured database; may be given several times [default: all]
    #[arg(short, long = "database", value_name = "DATABASE")]
    databases: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ViewsArguments {
    /// Show the SQL of the views and write nothing
    #[arg(long, conflicts_with = "force")]
    print: bool,

    /// Make views again that a person has changed; the change is lost
    #[arg(long)]
    force: bool,

    /// A configured database; may be given several times [default: all]
    #[arg(short, long = "database", value_name = "DATABASE")]
    databases: Vec<String>,
}

impl Command {
    /// The action's name, known before the configuration is.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::ListDatabases => "list-databases",
            Self::InitTables => "init-tables",
            Self::Sync(_) => "sync",
            Self::Sweep(_) => "sweep",
            Self::Views(_) => "views",
            Self::Status => "status",
        }
    }

    /// What to do, in order; one action per database where the command is about databases.
    ///
    /// # Errors
    /// `UnknownDatabase` for a name that is not configured; nothing is done then.
    pub(super) fn actions(&self, configured: &[Database]) -> Result<Vec<Action>, Failure> {
        let single = |action| Ok(vec![action]);
        match self {
            Self::Health => single(Action::Health),
            Self::ListDatabases => single(Action::ListDatabases),
            Self::InitTables => single(Action::InitTables),
            Self::Status => single(Action::Status),
            Self::Sync(arguments) => {
                let request = |database| {
                    Action::Sync(SyncRequest {
                        database,
                        full_refresh: arguments.full_refresh,
                        restart: arguments.restart,
                        allow_removals: arguments.shared.allow_removals,
                    })
                };
                Ok(chosen(&arguments.shared.databases, configured)?.into_iter().map(request).collect())
            }
            Self::Sweep(SweepArguments { allow_removals, databases }) => {
                let request = |database| Action::Sweep(SweepRequest { database, allow_removals: *allow_removals });
                Ok(chosen(databases, configured)?.into_iter().map(request).collect())
            }
            Self::Views(ViewsArguments { print, force, databases }) => {
                let request = |database| Action::Views(ViewsRequest { database, print: *print, force: *force });
                Ok(chosen(databases, configured)?.into_iter().map(request).collect())
            }
        }
    }
}

/// The databases named, each once, in the order named; all when none is named.
fn chosen(named: &[String], configured: &[Database]) -> Result<Vec<DatabaseName>, Failure> {
    if named.is_empty() {
        return Ok(configured.iter().map(|database| database.name.clone()).collect());
    }
    let mut databases: Vec<DatabaseName> = Vec::new();
    for name in named {
        let database = find_database(name, configured)?;
        if !databases.contains(&database) {
            databases.push(database);
        }
    }
    Ok(databases)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::failure::{ExitCode, FailureClass};

    #[test]
    fn the_help_says_what_there_is() {
        insta::assert_snapshot!(Arguments::command().render_help(), @r"
        Keeps Notion databases mirrored, row for row, in a Databricks bronze Delta table; every run proves that it is complete.

        Usage: notion-sync [OPTIONS] <COMMAND>

        Commands:
          health          Check Notion, Databricks, DynamoDB and Secrets Manager one by one
          list-databases  Show name, id, data sources and watermark of each configured database
          init-tables     Create the schema and the tables, or add columns that an older version lacks
          sync            Bring databases up to date: all configured ones, one after another, or those named
          sweep           Find rows that were trashed, moved, deleted or restored; mark and repair them
          views           Make the typed views of databases, where their schema moved: all configured ones, or those named
          status          Show watermark, lag, lease and last run of each database

        Options:
              --env-file <PATH>  Read variables from this file too; a variable of the environment wins over it
              --output <OUTPUT>  How reports are printed on standard output: tables, or one JSON report a line [default: text] [possible values: text, json]
          -v, --verbose...       Tell more on standard error: -v what is done, -vv each exchange, -vvv everything (never a secret)
          -h, --help             Print help
          -V, --version          Print version

        Exit codes:
            0  done: every database complete, or skipped because another run holds its lease
            1  a defect of notion-sync, or its report could not be written
            2  the request is wrong: arguments, unknown database
            3  the configuration is wrong: variables missing, malformed or placeholders
            4  a credential was refused or lacks a right
            5  Notion did not answer usefully
            6  Databricks did not answer usefully
            7  completeness could not be proven, or a guard refused
            8  AWS did not answer usefully
           10  partial: stopped before the deadline; run again to go on
          130  interrupted (Ctrl-C, SIGTERM); how far it had come is stored, run again to go on
        With several databases it is the code of the first that failed; else 10 when one is partial.
        ");
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        let codes = FailureClass::ALL.iter().map(|class| class.exit_code()).chain([ExitCode::Done, ExitCode::Partial]);
        for code in codes {
            let start = format!("\n{:>5}  ", code as u8);
            assert!(EXIT_CODES.contains(&start), "{code:?}");
        }
    }

    #[test]
    fn global_options_may_stand_before_and_after_the_command() {
        let parsed = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap();
        let before = parsed("notion-sync --output json -vv --env-file .env sync -d projects");
        let after = parsed("notion-sync sync -d projects --output json -vv --env-file .env");
        for arguments in [before, after] {
            assert_eq!((arguments.output, arguments.verbosity), (OutputFormat::Json, 2));
            assert_eq!(arguments.env_file, Some(PathBuf::from(".env")));
        }
    }
}
