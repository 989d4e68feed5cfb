//! The command line's grammar, and what it asks the service to do.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::action::{Action, ActionKind, SweepRequest, SyncRequest, ViewsRequest};
use crate::event::find_database;
use crate::failure::Failure;
use crate::ids::{Database, DatabaseName};

const AFTER_HELP: &str = "\
Examples:
    notion-sync --env-file .env health           check that every credential and table works
    notion-sync --env-file .env sync             bring all databases up to date
    notion-sync --env-file .env sync -d projects --full-refresh
    notion-sync --env-file .env verify -d projects
    notion-sync --env-file .env status --runs
    notion-sync completions bash > ~/.local/share/bash-completion/completions/notion-sync

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
   10  partial: stopped before the deadline; run again to continue
  130  interrupted (Ctrl-C, SIGTERM); the position is stored; run again to continue
With several databases it is the code of the first that failed; else 10 when one is partial.";

/// Keeps Notion databases mirrored, row for row, in a Databricks bronze Delta table.
#[derive(Debug, Parser)]
#[command(name = "notion-sync", version, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Read variables from this file too; a variable of the environment wins over it
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,

    /// Format of reports on standard output: tables, or one JSON report a line
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) output: OutputFormat,

    /// More log output on standard error: -v each step, -vv each exchange, -vvv everything; never a secret
    #[arg(short, long = "verbose", global = true, action = clap::ArgAction::Count)]
    pub(super) verbosity: u8,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// The format of printed reports.
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
    /// Compare the table with Notion, row for row, and name each difference; change nothing
    Verify(DatabaseArguments),
    /// Make the typed views of databases, where their schema moved: all configured ones, or those named
    Views(ViewsArguments),
    /// Show watermark, lag, lease and last runs of each database
    Status(StatusArguments),
    /// Print a script that completes commands and options in a shell
    Completions {
        /// The shell that reads the script
        shell: CompletionShell,
    },
    /// Print the man page of the program, or of one of its commands
    #[command(hide = true)]
    Man {
        /// A command; its page is named notion-sync-COMMAND
        command: Option<String>,
    },
}

/// A shell that completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Show the last 50 runs of each database as well
    #[arg(long)]
    runs: bool,
}

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// Read every row again, then sweep
    #[arg(long)]
    full_refresh: bool,

    /// Start over instead of continuing from a stored position
    #[arg(long)]
    restart: bool,

    /// Read what the sync would read and count what it would write; write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    shared: SweepArguments,
}

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    /// Mark rows as removed even when they are a larger share than SWEEP_MAX_REMOVED_SHARE
    #[arg(long)]
    allow_removals: bool,

    #[command(flatten)]
    chosen: DatabaseArguments,
}

#[derive(Debug, Args)]
pub(super) struct DatabaseArguments {
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
    /// The action's kind, known before the configuration is; `None` for a command that asks the service for nothing.
    pub(super) fn kind(&self) -> Option<ActionKind> {
        Some(match self {
            Self::Health => ActionKind::Health,
            Self::ListDatabases => ActionKind::ListDatabases,
            Self::InitTables => ActionKind::InitTables,
            Self::Sync(_) => ActionKind::Sync,
            Self::Sweep(_) => ActionKind::Sweep,
            Self::Verify(_) => ActionKind::Verify,
            Self::Views(_) => ActionKind::Views,
            Self::Status(_) => ActionKind::Status,
            Self::Completions { .. } | Self::Man { .. } => return None,
        })
    }

    /// Returns the actions in order, one per database where the command is about databases.
    ///
    /// # Errors
    /// `UnknownDatabase` for a name that is not configured; nothing is done then.
    pub(super) fn actions(&self, configured: &[Database]) -> Result<Vec<Action>, Failure> {
        let single = |action| Ok(vec![action]);
        match self {
            Self::Completions { .. } | Self::Man { .. } => Ok(Vec::new()),
            Self::Health => single(Action::Health),
            Self::ListDatabases => single(Action::ListDatabases),
            Self::InitTables => single(Action::InitTables),
            Self::Status(arguments) => single(Action::Status { runs: arguments.runs }),
            Self::Sync(arguments) => {
                let request = |database| {
                    let request = SyncRequest {
                        database,
                        full_refresh: arguments.full_refresh,
                        restart: arguments.restart,
                        allow_removals: arguments.shared.allow_removals,
                    };
                    if arguments.dry_run { Action::DryRun(request) } else { Action::Sync(request) }
                };
                Ok(chosen(&arguments.shared.chosen.databases, configured)?.into_iter().map(request).collect())
            }
            Self::Verify(DatabaseArguments { databases }) => {
                Ok(chosen(databases, configured)?.into_iter().map(Action::Verify).collect())
            }
            Self::Sweep(SweepArguments { allow_removals, chosen: DatabaseArguments { databases } }) => {
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

/// The script that completes commands and options in a shell.
pub(super) fn completions(shell: CompletionShell) -> String {
    let shell = match shell {
        CompletionShell::Bash => clap_complete::Shell::Bash,
        CompletionShell::Zsh => clap_complete::Shell::Zsh,
        CompletionShell::Fish => clap_complete::Shell::Fish,
    };
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The man page of the program or of one of its commands, in roff; `None` = there is no such command.
pub(super) fn man_page(name: Option<&str>) -> Option<String> {
    let mut program = Arguments::command();
    program.build();
    let command = match name {
        Some(name) => program.find_subcommand(name)?.clone(),
        None => program,
    };
    let mut page = Vec::new();
    // A write to memory can't fail; a page that did would be none.
    clap_mangen::Man::new(command).render(&mut page).ok()?;
    Some(String::from_utf8_lossy(&page).into_owned())
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
          verify          Compare the table with Notion, row for row, and name each difference; change nothing
          views           Make the typed views of databases, where their schema moved: all configured ones, or those named
          status          Show watermark, lag, lease and last runs of each database
          completions     Print a script that completes commands and options in a shell

        Options:
              --env-file <PATH>  Read variables from this file too; a variable of the environment wins over it
              --output <OUTPUT>  Format of reports on standard output: tables, or one JSON report a line [default: text] [possible values: text, json]
          -v, --verbose...       More log output on standard error: -v each step, -vv each exchange, -vvv everything; never a secret
          -h, --help             Print help
          -V, --version          Print version

        Examples:
            notion-sync --env-file .env health           check that every credential and table works
            notion-sync --env-file .env sync             bring all databases up to date
            notion-sync --env-file .env sync -d projects --full-refresh
            notion-sync --env-file .env verify -d projects
            notion-sync --env-file .env status --runs
            notion-sync completions bash > ~/.local/share/bash-completion/completions/notion-sync

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
           10  partial: stopped before the deadline; run again to continue
          130  interrupted (Ctrl-C, SIGTERM); the position is stored; run again to continue
        With several databases it is the code of the first that failed; else 10 when one is partial.
        ");
    }

    #[test]
    fn each_command_that_the_man_page_names_has_a_page() {
        let page = man_page(None).unwrap();
        assert!(page.contains(".TH notion-sync 1"), "{page}");
        let named: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("notion\\-sync\\-")?.strip_suffix("(1)")).collect();
        assert!(named.contains(&"sync") && !named.contains(&"man"), "{named:?}: {page}");
        for name in named {
            let name = name.replace("\\-", "-");
            let page = man_page(Some(&name)).unwrap();
            assert!(page.contains(&format!(".TH notion-sync-{name} 1")), "{page}");
        }
        assert_eq!(man_page(Some("synch")), None);
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        let codes = FailureClass::ALL.iter().map(|class| class.exit_code()).chain([ExitCode::Done, ExitCode::Partial]);
        for code in codes {
            let start = format!("\n{:>5}  ", code as u8);
            assert!(AFTER_HELP.contains(&start), "{code:?}");
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
