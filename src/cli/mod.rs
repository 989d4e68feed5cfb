//! The command line: arguments in; reports on standard output, progress and log on standard error, an exit code out.

mod arguments;
mod items;
mod progress;
mod remarks;
mod render;
mod table;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Parser;

use self::arguments::{Arguments, Command, OutputFormat};
use self::progress::ProgressView;
use crate::app::{App, RunContext};
use crate::config::{Config, Variables};
use crate::failure::{ExitCode, Failure};
use crate::ids::RunId;
use crate::output::Outlet;
use crate::run::clock::Clock;
use crate::run::deadline::{Deadline, Interruption};
use crate::run::report::{Outcome, Report};
use crate::telemetry;

/// Exit code after Ctrl-C (or SIGTERM): 128 + SIGINT, as shells count. Merged rows stay; the next run continues.
pub const INTERRUPTED: u8 = 130;

/// Time after an interruption to finish or cancel what is under way, to store the position, and to give back the lease.
const INTERRUPTION_GRACE: Duration = Duration::from_secs(24);

/// The outputs of the command line.
pub struct Outputs {
    /// Reports.
    pub standard_output: Outlet,
    /// Progress, log and messages, line by line.
    pub standard_error: Outlet,
    /// True if a person watches standard error.
    pub is_terminal: bool,
    /// Columns of the terminal that standard output is; `None` = it is none.
    pub width: Option<usize>,
    /// True if reports may be coloured.
    pub has_color: bool,
}

impl Outputs {
    /// The process's own.
    #[expect(clippy::disallowed_methods, reason = "asks for the kind of the stream and writes nothing")]
    pub fn of_process() -> Self {
        let terminal = console::Term::stdout();
        Self {
            standard_output: Outlet::standard_output(),
            standard_error: Outlet::standard_error(),
            is_terminal: std::io::stderr().is_terminal(),
            width: terminal.size_checked().map(|(_, columns)| usize::from(columns)),
            has_color: terminal.is_term() && console::colors_enabled(),
        }
    }

    /// Writes text to standard output; `false` = it could not be written.
    fn print(&self, text: &str) -> bool {
        let output = &self.standard_output;
        self.is_written(if self.has_color { output.painted(text, remarks::painted) } else { output.text(text) })
    }

    /// Writes a line of JSON to standard output; `false` = it could not be written.
    fn print_json(&self, line: &str) -> bool {
        self.is_written(self.standard_output.json(line))
    }

    /// Reports on standard error what could not be written to standard output. A reader that has gone away (`| head`) has
    /// read what it wanted.
    fn is_written(&self, written: std::io::Result<()>) -> bool {
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.say(&format!("error: the report could not be written to standard output: {error}"));
                false
            }
            _ => true,
        }
    }

    fn print_man_page(&self, command: Option<&str>) -> ExitCode {
        let Some(page) = arguments::man_page(command) else {
            self.say("error: there is no such command; `notion-sync --help` lists them");
            return ExitCode::Request;
        };
        if self.print(&page) { ExitCode::Done } else { ExitCode::Internal }
    }

    /// Writes to standard error. What can't be written there has nowhere to be reported.
    fn say(&self, text: &str) {
        drop(self.standard_error.text(text));
    }
}

/// Runs the command line; `arguments` begin with the program's name. On Ctrl-C it stores how
/// far it has come and ends; on a second one it ends at once.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, environment: Variables, outputs: &Outputs) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render().to_string();
            let text = text.trim_end();
            if error.use_stderr() {
                outputs.say(text);
                return ExitCode::Request as u8;
            }
            return if outputs.print(text) { ExitCode::Done } else { ExitCode::Internal } as u8;
        }
    };
    if let Command::Completions { shell } = arguments.command {
        let is_written = outputs.print(&arguments::completions(shell));
        return if is_written { ExitCode::Done } else { ExitCode::Internal } as u8;
    }
    if let Command::Man { command } = &arguments.command {
        return outputs.print_man_page(command.as_deref()) as u8;
    }
    let view = ProgressView::new(outputs.is_terminal, outputs.standard_error.clone());
    telemetry::install(telemetry::Style::Text, telemetry::command_line_level(arguments.verbosity), view.log_outlet());
    let interruption = Interruption::default();
    let work = Box::pin(perform(&arguments, environment, &view, outputs, &interruption));
    let asked_to_end = async {
        let Ok(mut signals) = Signals::listen() else { return std::future::pending().await };
        signals.next().await;
        interruption.interrupt(INTERRUPTION_GRACE);
        outputs
            .say("interrupted; storing how far the run has come, 24 seconds at most. Interrupt again to end at once");
        signals.next().await;
    };
    tokio::select! {
        code = work => code,
        () = asked_to_end => {
            outputs.say(
                "ended at once; merged rows stay. Wait 20 seconds for the lease to expire, then run the same command again to continue",
            );
            INTERRUPTED
        }
    }
}

/// The signals that ask the process to end: Ctrl-C and SIGTERM. One listener runs all the time, so that no signal is missed.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The signal that asks the process to end: Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Does what the arguments ask for and prints the reports.
async fn perform(
    arguments: &Arguments,
    environment: Variables,
    view: &ProgressView,
    outputs: &Outputs,
    interruption: &Interruption,
) -> u8 {
    let prepared = prepare(arguments, environment);
    let (config, actions) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return refuse(arguments, &failure, outputs),
    };
    let run_budget = config.run_budget;
    let app = match App::new(config).await {
        Ok(app) => app,
        Err(failure) => return refuse(arguments, &failure, outputs),
    };
    let mut reports = Vec::with_capacity(actions.len());
    let mut is_written = true;
    for action in &actions {
        // Each run has the whole budget: a database late in the row gets as much as the first.
        let deadline = run_budget.map_or_else(Deadline::none, Deadline::after).or(interruption);
        let mut report = app.run(action, &RunContext { deadline, progress: view.listener() }).await;
        report.bound();
        if arguments.output == OutputFormat::Json {
            is_written &= outputs.print_json(&render::json_line(&report));
        }
        reports.push(report);
        if interruption.is_asked_for() {
            break;
        }
    }
    if arguments.output == OutputFormat::Text {
        is_written &= outputs.print(&render::text(&reports, outputs.width));
    }
    let is_all_done = reports.len() == actions.len()
        && reports.iter().all(|report| matches!(report.outcome, Outcome::Complete | Outcome::Skipped));
    match exit_code(&reports) {
        _ if interruption.is_asked_for() && !is_all_done => INTERRUPTED,
        code if code == ExitCode::Done as u8 && !is_written => ExitCode::Internal as u8,
        code => code,
    }
}

/// Configuration and actions, before any network call.
fn prepare(arguments: &Arguments, environment: Variables) -> Result<(Config, Vec<crate::action::Action>), Failure> {
    let variables = match &arguments.env_file {
        Some(path) => environment.with_file(path)?,
        None => environment,
    };
    let config = Config::from_variables(&variables)?;
    let actions = arguments.command.actions(&config.databases)?;
    Ok((config, actions))
}

/// Tells why nothing was done.
fn refuse(arguments: &Arguments, failure: &Failure, outputs: &Outputs) -> u8 {
    match arguments.output {
        OutputFormat::Text => outputs.say(&format!("error: {}: {}", failure.class(), failure.describe())),
        OutputFormat::Json => {
            let mut report = Report::begin(arguments.command.kind(), RunId::random(), Clock::System.now());
            report.fail(failure);
            outputs.print_json(&render::json_line(&report));
        }
    }
    failure.class().exit_code() as u8
}

/// The code of the first failure; without one, whether something is still to be done.
fn exit_code(reports: &[Report]) -> u8 {
    let failed = reports.iter().find_map(|report| report.error.as_ref()).map(|error| error.class.exit_code());
    let partial = reports.iter().any(|report| report.outcome == Outcome::Partial).then_some(ExitCode::Partial);
    failed.or(partial).unwrap_or(ExitCode::Done) as u8
}

#[cfg(test)]
mod tests;
