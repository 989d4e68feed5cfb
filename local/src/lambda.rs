//! The real Lambda handler on this machine: `cargo lambda watch` serves it, `cargo lambda invoke` calls it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::loopback;
use super::process::{ChildProcess, ProcessError, ProcessSpec};
use super::tools::{Tools, neutral_environment};

/// The function's name: the binary's.
pub const FUNCTION: &str = "notion-sync-lambda";
const START_BOUND: Duration = Duration::from_secs(60);
/// One invocation, with the start of the handler before the first; Lambda's own limit is 15 minutes.
const INVOKE_BOUND: Duration = Duration::from_secs(300);
/// A port is picked before cargo-lambda binds it, and may be gone by then.
const START_TRIES: u32 = 3;

/// A failure of the local Lambda.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// The server of the handler failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// No port could be had, or `cargo lambda invoke` could not be run.
    #[error("cargo lambda: {0}")]
    Io(#[from] std::io::Error),
    /// The handler answered an error.
    #[error("the Lambda failed on {event}: {message}; its log is {}", log_file.display())]
    Function {
        /// The event's file.
        event: String,
        /// The output of `cargo lambda invoke`.
        message: String,
        /// The path of the handler's log.
        log_file: PathBuf,
    },
    /// The answer is no JSON.
    #[error("the Lambda's answer to {event} is no JSON ({source}): {text}")]
    Unreadable {
        /// The event's file.
        event: String,
        source: serde_json::Error,
        text: String,
    },
    /// No answer in time.
    #[error("the Lambda did not answer {event} within {} s; its log is {}", INVOKE_BOUND.as_secs(), log_file.display())]
    Slow {
        /// The event's file.
        event: String,
        /// The path of the handler's log.
        log_file: PathBuf,
    },
}

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub struct LocalLambda {
    process: ChildProcess,
    cargo_lambda: PathBuf,
    root: PathBuf,
    port: u16,
}

impl LocalLambda {
    /// Serves the handler on a free loopback port; its configuration comes from `env_file` alone. It must have been built
    /// by itself (`cargo build --bin notion-sync-lambda`), else the first invocation waits for a build.
    ///
    /// # Errors
    /// When the server does not start; the error shows the end of its log.
    pub async fn start(tools: &Tools, env_file: &Path, log_file: &Path) -> Result<Self, LambdaError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_on(tools, loopback::free_port()?, env_file, log_file).await {
                Err(LambdaError::Process(ProcessError::Ended { .. })) if tries < START_TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn start_on(tools: &Tools, port: u16, env_file: &Path, log_file: &Path) -> Result<Self, LambdaError> {
        let address = loopback::address(port);
        let mut arguments: Vec<OsString> = vec!["lambda".into(), "watch".into(), "--ignore-changes".into()];
        // All interfaces without it.
        arguments.extend(["--invoke-address".into(), address.ip().to_string().into()]);
        arguments.extend(["--invoke-port".into(), port.to_string().into()]);
        arguments.extend(["--env-file".into(), env_file.into()]);
        arguments.push("--locked".into());
        let spec = ProcessSpec {
            name: "the local Lambda (cargo lambda watch)".to_owned(),
            program: tools.cargo_lambda(),
            arguments,
            environment: neutral_environment(),
            inherits_environment: false,
            working_directory: tools.root().to_owned(),
            log_file: log_file.to_owned(),
        };
        let mut process = ChildProcess::start(&spec)?;
        process.wait_until_healthy(START_BOUND, async || TcpStream::connect(address).await.is_ok()).await?;
        Ok(Self { process, cargo_lambda: tools.cargo_lambda(), root: tools.root().to_owned(), port })
    }

    /// Returns the path of the log of the handler and its server.
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Invokes the function with the event in a file and gives its answer.
    ///
    /// # Errors
    /// When the function answers an error, or does not answer.
    pub async fn invoke(&self, event_file: &Path) -> Result<Value, LambdaError> {
        let event = event_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run = Command::new(&self.cargo_lambda)
            .args(["lambda", "invoke", FUNCTION, "--invoke-address", "127.0.0.1", "--invoke-port"])
            .arg(self.port.to_string())
            .arg("--data-file")
            .arg(event_file)
            .env_clear()
            .envs(neutral_environment())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let log_file = || self.log_file().to_owned();
        let output = timeout(INVOKE_BOUND, run)
            .await
            .map_err(|_| LambdaError::Slow { event: event.clone(), log_file: log_file() })??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let message = error_text(&format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
            return Err(LambdaError::Function { event, message, log_file: log_file() });
        }
        serde_json::from_str(&text).map_err(|source| LambdaError::Unreadable { event, source, text })
    }

    /// Ends the server and the handler.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub async fn stop(self) -> Result<(), LambdaError> {
        Ok(self.process.stop().await?)
    }
}

/// Returns the function's error that `cargo lambda invoke` prints, without its invitation to report that as its own.
fn error_text(printed: &str) -> String {
    printed.split("Was this behavior unexpected?").next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_without_the_tools_own_words() {
        let printed =
            "Error: UnknownDatabase\n\n  × unknown database\n\n  Was this behavior unexpected?\n  Start a thread";
        assert_eq!(error_text(printed), "Error: UnknownDatabase\n\n  × unknown database");
    }
}
