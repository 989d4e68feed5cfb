//! The demo: a workspace is synced by the real Lambda handler, changed, synced again and swept; each step is shown and
//! checked, and at the end the Delta table is compared with the workspace, byte for byte.

mod run;
mod screen;
mod steps;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::lambda::{LambdaError, LocalLambda};
use super::notion::WorkspaceError;
use super::stack::{LocalStack, Ports, StackError, StackSettings};
use super::tools::{self, Tools, neutral_environment};
use super::verify::VerifyError;
use screen::Screen;

/// The pace of requests to the emulator; the real API gets the default of 340 ms.
const RATE_LIMIT_DELAY: &str = "5ms";
/// The schema of the typed views.
const VIEWS: &str = "notion";
/// One call of the command line.
const COMMAND_BOUND: Duration = Duration::from_secs(120);

/// The reason that the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A part of the stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Lambda(#[from] LambdaError),
    /// The Lambda's answer is no report of a sync.
    #[error("the Lambda's answer is no report of a run ({source}): {answer}")]
    Report { source: serde_json::Error, answer: Value },
    /// The command line.
    #[error("notion-sync {arguments} failed: {message}")]
    CommandLine { arguments: String, message: String },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The comparison at the end.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Files or the screen.
    #[error("the demo's files or its output: {0}")]
    Io(#[from] io::Error),
    /// Something is not as promised: the point of the demo.
    #[error("not as promised: {0}")]
    Promise(String),
}

/// The settings of the demo.
#[derive(Debug, Clone)]
pub struct DemoSettings {
    pub tools: Tools,
    /// The directory of tables, logs and the env file; emptied at the start.
    pub folder: PathBuf,
}

/// The demo under way.
struct Demo<'w> {
    tools: Tools,
    folder: PathBuf,
    stack: LocalStack,
    lambda: LocalLambda,
    screen: Screen<'w>,
}

/// Runs the demo from an empty folder to the final comparison; everything that was started has ended afterwards.
///
/// # Errors
/// When a part fails or something is not as promised.
pub async fn run(settings: &DemoSettings, now: Timestamp, out: &mut (dyn Write + Send)) -> Result<(), DemoError> {
    let started = Instant::now();
    let mut screen = Screen::new(out);
    screen.line("notion-sync on this machine: no cloud account, nothing leaves it.")?;
    let mut demo = Demo::start(settings, now, screen).await?;
    let outcome = demo.tell(started).await;
    let Demo { lambda, stack, .. } = demo;
    lambda.stop().await?;
    stack.stop().await?;
    outcome
}

impl<'w> Demo<'w> {
    /// Starts stack and handler.
    async fn start(settings: &DemoSettings, now: Timestamp, mut screen: Screen<'w>) -> Result<Self, DemoError> {
        let started = Instant::now();
        let stack_settings =
            StackSettings { tools: settings.tools.clone(), folder: settings.folder.clone(), ports: Ports::default() };
        screen.heading("The local stack")?;
        let mut stack = LocalStack::start(&stack_settings, now).await?;
        stack.environment_mut().set("RATE_LIMIT_DELAY", RATE_LIMIT_DELAY);
        stack.environment_mut().set("VIEWS_SCHEMA", VIEWS);
        let env_file = settings.folder.join("env");
        stack.environment().write_env_file(&env_file)?;
        let lambda = LocalLambda::start(&settings.tools, &env_file, &settings.folder.join("lambda.log")).await?;
        let (tools, folder) = (settings.tools.clone(), settings.folder.clone());
        let mut demo = Self { tools, folder, stack, lambda, screen };
        demo.show_stack(started)?;
        Ok(demo)
    }

    fn show_stack(&mut self, started: Instant) -> Result<(), DemoError> {
        let notion = self.stack.notion().base_url();
        let databricks = self.stack.databricks().base_url();
        let aws = self.stack.aws().endpoint_url().to_owned();
        for line in [
            format!("Notion      {notion}  an emulator of the API, with a seeded workspace"),
            format!(
                "Databricks  {databricks}  the Statement Execution API in front of Spark SQL (Sail), on Delta tables"
            ),
            format!("AWS         {aws}  ministack: DynamoDB and Secrets Manager"),
            format!("Files       {}", self.folder.strip_prefix(self.tools.root()).unwrap_or(&self.folder).display()),
            format!(
                "RATE_LIMIT_DELAY is {RATE_LIMIT_DELAY} here, 340 ms in front of the real Notion; SYNC_SETTLE is 120 s as always. \
                 Started in {:.1} s.",
                started.elapsed().as_secs_f64()
            ),
        ] {
            self.screen.line(&line)?;
        }
        Ok(())
    }

    /// Calls the command line with the demo's configuration and gives what it prints.
    async fn command_line(&self, arguments: &[&str]) -> Result<String, DemoError> {
        let failed = |message: String| DemoError::CommandLine { arguments: arguments.join(" "), message };
        let program = tools::sibling_program("notion-sync")?;
        let run = Command::new(&program)
            .arg("--env-file")
            .arg(self.folder.join("env"))
            .args(arguments)
            .env_clear()
            .envs(neutral_environment())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(COMMAND_BOUND, run)
            .await
            .map_err(|_| failed(format!("no end within {} s", COMMAND_BOUND.as_secs())))?
            .map_err(|error| failed(format!("{} could not be run: {error}", program.display())))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}{}", output.status, text.trim_end(), errors.trim_end())));
        }
        Ok(text)
    }
}

/// Ends the demo when something is not as promised.
fn promise(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), DemoError> {
    if holds { Ok(()) } else { Err(DemoError::Promise(otherwise())) }
}
