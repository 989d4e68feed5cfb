//! The composition root: ready clients, and the one `match` on [`Action`].

use crate::action::Action;
use crate::clock::{Clock, Deadline};
use crate::config::Config;
use crate::ids::RunId;
use crate::progress::Progress;
use crate::report::Report;

/// The service with its clients, built once per process and used for every run.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
}

/// What a run is given by whoever asks for it.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Until when the run may work.
    pub deadline: Deadline,
    /// Where it tells its progress.
    pub progress: Progress,
}

impl App {
    /// Builds the clients; no network call.
    pub async fn new(config: Config) -> Self {
        tokio::task::yield_now().await;
        Self { config, clock: Clock::System }
    }

    /// The configuration the service runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs one action. A failure is in the report (`outcome` failed, `error`), and has been logged once.
    pub async fn run(&self, action: &Action, context: &RunContext) -> Report {
        let _ = context;
        tokio::task::yield_now().await;
        Report::begin(action.name(), RunId::random(), self.clock.now())
    }
}
