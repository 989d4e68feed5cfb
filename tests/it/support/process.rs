//! The service's own binaries as processes: an environment made from nothing, everything they write kept.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::World;

/// Longest time for one command; a hang is a failure, not a wait.
const COMMAND_BOUND: Duration = Duration::from_secs(300);
/// Longest time for a cancelled statement to end; those that are made slow would go on for much longer.
const CANCEL_BOUND: Duration = Duration::from_secs(30);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8 on standard output and error");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output as one report a line (`--output json`).
    pub(crate) fn reports(&self) -> Vec<Value> {
        let parsed = self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is a report"));
        parsed.collect()
    }
}

/// The command line, ready to start: nothing of this process's environment but what is given here.
pub(crate) fn command_line(variables: &BTreeMap<String, String>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notion-sync"));
    command.args(arguments).env_clear().envs(variables).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the command line to its end.
pub(crate) async fn notion_sync(variables: &BTreeMap<String, String>, arguments: &[&str]) -> Ended {
    let mut command = command_line(variables, arguments);
    Ended::of(timeout(COMMAND_BOUND, command.output()).await.expect("the command ends").unwrap())
}

/// A command line under way.
pub(crate) struct Running {
    process: Child,
}

impl Running {
    pub(crate) fn start(variables: &BTreeMap<String, String>, arguments: &[&str]) -> Self {
        let mut command = command_line(variables, arguments);
        Self { process: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// Sends it a signal (`INT`, `TERM`).
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().expect("it is running").to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Returns once `is_so`.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(COMMAND_BOUND, waiting).await.expect("the command gets there");
    }

    /// Returns once it has said so on standard error, which is read up to there.
    pub(crate) async fn until_it_says(&mut self, part: &str) {
        let stderr = self.process.stderr.as_mut().expect("standard error is a pipe");
        let reading = async {
            let mut said = Vec::new();
            while !String::from_utf8_lossy(&said).contains(part) {
                said.push(stderr.read_u8().await.expect("it says more"));
            }
        };
        timeout(COMMAND_BOUND, reading).await.expect("the command says so");
    }

    pub(crate) async fn end(self) -> Ended {
        Ended::of(timeout(COMMAND_BOUND, self.process.wait_with_output()).await.expect("the command ends").unwrap())
    }
}

impl World {
    /// Lets Notion's clock run with the machine's, which the binaries read.
    pub(crate) fn run_clock(&self) {
        self.edit(|workspace| workspace.run_clock(0));
    }

    /// The world's variables with changes: a value sets, none takes away.
    pub(crate) fn variables_with(&self, changes: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        for (name, value) in changes {
            match value {
                Some(value) => variables.insert((*name).to_owned(), (*value).to_owned()),
                None => variables.remove(*name),
            };
        }
        variables
    }

    /// Adds another database of one data source, `name` in capitals in its variable: its id and its data source's.
    pub(crate) fn add_database(&mut self, name: &str) -> (String, String) {
        let (database_id, data_source_id) = self.edit(|workspace| workspace.add_table(name));
        self.variables.insert(format!("NOTION_{}_DB_ID", name.to_ascii_uppercase()), database_id.clone());
        (database_id, data_source_id)
    }

    /// Every statement has ended or ends soon: a cancel was sent, which the engine takes its time to obey.
    pub(crate) async fn no_statement_is_left_open(&self) {
        let ended = async {
            while self.databricks.open_statements() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(CANCEL_BOUND, ended).await.expect("every statement was cancelled");
    }

    /// Neither Notion nor the warehouse nor AWS has been asked for anything since the logs were cleared.
    pub(crate) fn assert_nothing_was_asked(&self) {
        for (name, proxy) in
            [("Notion", &self.notion_faults), ("Databricks", &self.databricks_faults), ("AWS", &self.aws_faults)]
        {
            let exchanges = proxy.exchanges();
            assert!(exchanges.is_empty(), "{name} was asked: {exchanges:?}");
        }
    }

    /// Forgets what was asked of Notion, the warehouse and AWS.
    pub(crate) fn forget_exchanges(&self) {
        for proxy in [&self.notion_faults, &self.databricks_faults, &self.aws_faults] {
            proxy.forget_exchanges();
        }
        self.clear_logs();
    }
}
