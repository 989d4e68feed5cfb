//! The composition root: ready clients, and the one `match` on [`Action`].

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{Instrument, error, info, info_span, warn};

use crate::action::{Action, SweepRequest, SyncRequest, ViewsRequest};
use crate::actions::health;
use crate::actions::init_tables;
use crate::actions::status;
use crate::aws::lease::{Acquired, Lease};
use crate::aws::run_log;
use crate::aws::state_table;
use crate::clients::Clients;
use crate::config::Config;
use crate::failure::{Failure, FailureClass};
use crate::ids::{Database, DatabaseName, RunId};
use crate::run::clock::Clock;
use crate::run::deadline::Deadline;
use crate::run::progress::{Progress, ProgressEvent};
use crate::run::report::{Mode, Outcome, Report};
use crate::run::{Meter, Run};
use crate::sync::Engine;
use crate::sync::engine::Wanted;
use crate::views::{self, Occasion, Views};

/// Longest time for recording a run and giving its lease back.
const LONGEST_CLOSE: Duration = Duration::from_secs(30);
/// What it gets however near the end is: a lease left behind holds the next run up.
const SHORTEST_CLOSE: Duration = Duration::from_secs(2);

/// The service with its clients, built once per process and used for every run.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    /// A failure to set the clients up is answered by every run, with its class.
    clients: Result<Clients, Failure>,
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
    /// Builds the clients; no network call but what the AWS SDK needs to find credentials.
    pub async fn new(config: Config) -> Self {
        Self::with_clock(config, Clock::System).await
    }

    /// The same with another clock, for tests.
    pub async fn with_clock(config: Config, clock: Clock) -> Self {
        let clients = Clients::new(&config).await;
        Self { config, clock, clients }
    }

    /// The configuration the service runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs one action. A failure is in the report (`outcome` failed, `error`), and has been logged once.
    pub async fn run(&self, action: &Action, context: &RunContext) -> Report {
        let run = Run {
            id: RunId::random(),
            deadline: context.deadline.clone(),
            clock: self.clock.clone(),
            progress: context.progress.clone(),
            meter: std::sync::Arc::new(Meter::default()),
        };
        let span = info_span!("run", run_id = run.id.as_str(), database = action.database().map(DatabaseName::as_str));
        self.run_within(action, &run).instrument(span).await
    }

    async fn run_within(&self, action: &Action, run: &Run) -> Report {
        let began = Instant::now();
        let mut report = Report::begin(action.name(), run.id.clone(), self.clock.now());
        let ran = match &self.clients {
            Ok(clients) => Box::pin(self.carry_out(clients, action, run, &mut report)).await,
            Err(failure) => Err(Failure::new(failure.class(), failure.to_string())),
        };
        if let Err(failure) = ran {
            report.fail(&failure);
        }
        report.set_costs(run.meter.totals());
        report.explain_partial();
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &report.error {
            Some(failed) => error!(class = failed.class.name(), "the run failed: {}", failed.message),
            None => info!(outcome = report.outcome.name(), duration_ms = report.duration_ms, "the run ended"),
        }
        report
    }

    async fn carry_out(
        &self,
        clients: &Clients,
        action: &Action,
        run: &Run,
        report: &mut Report,
    ) -> Result<(), Failure> {
        match action {
            Action::Sync(SyncRequest { database, full_refresh, restart, allow_removals }) => {
                let wanted = Wanted { full_refresh: *full_refresh, restart: *restart, allow_removals: *allow_removals };
                self.on_database(clients, database, run, report, Work::Sync(wanted)).await
            }
            Action::Sweep(SweepRequest { database, allow_removals }) => {
                self.on_database(clients, database, run, report, Work::Sweep { allow_removals: *allow_removals }).await
            }
            Action::Views(ViewsRequest { database, print, force }) => {
                let occasion = if *print { Occasion::Print } else { Occasion::ByHand { force: *force } };
                self.on_database(clients, database, run, report, Work::Views(occasion)).await
            }
            Action::Health => in_its_time(run, Box::pin(health::check(&self.config, clients, run, report))).await,
            Action::ListDatabases => {
                in_its_time(run, Box::pin(status::list_databases(&self.config, clients, run, report))).await
            }
            Action::InitTables => {
                in_its_time(run, Box::pin(init_tables::init_tables(&self.config, clients, run, report))).await
            }
            Action::Status => in_its_time(run, Box::pin(status::status(&self.config, clients, run, report))).await,
        }
    }

    /// Work on one database, under its lease.
    async fn on_database(
        &self,
        clients: &Clients,
        name: &DatabaseName,
        run: &Run,
        report: &mut Report,
        work: Work,
    ) -> Result<(), Failure> {
        let database = self.database(name)?;
        report.database = Some(database.name.clone());
        report.database_id = Some(database.id);
        run.progress.tell(&ProgressEvent::DatabaseStarted { database: name.clone() });
        let lease = match self.lease(clients, database, run, report).await {
            Ok(lease) => lease,
            Err(Skipped) => return Ok(()),
        };
        let engine = Engine {
            notion: &clients.notion,
            databricks: &clients.databricks,
            watermarks: &clients.watermarks,
            config: &self.config.sync,
            database,
            run,
        };
        let worked = match work {
            Work::Sync(wanted) => Box::pin(engine.sync(wanted, report)).await,
            Work::Sweep { allow_removals } => Box::pin(engine.sweep(allow_removals, report)).await,
            Work::Views(occasion) => self.make_views(clients, database, occasion, run, report).await,
        };
        if worked.is_ok() {
            self.views_after_sync(clients, database, run, report).await;
        }
        let worked = worked.map_err(|failure| failure.context(format!("database {name}")));
        if let Err(failure) = &worked {
            report.fail(failure);
        }
        self.close(clients, database, lease, run, report).await;
        run.progress.tell(&ProgressEvent::DatabaseEnded { database: name.clone(), outcome: report.outcome.name() });
        worked
    }

    async fn make_views(
        &self,
        clients: &Clients,
        database: &Database,
        occasion: Occasion,
        run: &Run,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let schema = self.config.views_schema.as_deref().ok_or_else(views::not_configured)?;
        let views = Views {
            notion: &clients.notion,
            databricks: &clients.databricks,
            state_table: clients.state_table.as_ref(),
            schema,
            database,
            run,
        };
        in_its_time(run, Box::pin(views.refresh(occasion, report))).await
    }

    /// The views follow a sweep or a full refresh that is complete. The rows are what counts: a view that can't be made is
    /// a warning.
    async fn views_after_sync(&self, clients: &Clients, database: &Database, run: &Run, report: &mut Report) {
        let is_full = report.mode == Some(Mode::FullRefresh);
        let is_due = report.outcome == Outcome::Complete && (is_full || report.mode == Some(Mode::Sweep));
        if self.config.views_schema.is_none() || !is_due {
            return;
        }
        let occasion = Occasion::AfterSync { is_full };
        if let Err(failure) = self.make_views(clients, database, occasion, run, report).await {
            let warning =
                format!("the views were not brought up to date ({}): {}", failure.class(), failure.describe());
            warn!(warning, "views");
            report.warnings.push(warning);
        }
    }

    fn database(&self, name: &DatabaseName) -> Result<&Database, Failure> {
        self.config.databases.iter().find(|database| database.name == *name).ok_or_else(|| {
            let configured: Vec<&str> = self.config.databases.iter().map(|database| database.name.as_str()).collect();
            let message = format!("no database {name} is configured; configured are {}", configured.join(", "));
            Failure::new(FailureClass::UnknownDatabase, message)
        })
    }

    /// The database's lease; `None` = the run goes on without one.
    async fn lease(
        &self,
        clients: &Clients,
        database: &Database,
        run: &Run,
        report: &mut Report,
    ) -> Result<Option<Lease>, Skipped> {
        let Some(table) = &clients.state_table else { return Ok(None) };
        match state_table::asked(&run.deadline, Box::pin(Lease::acquire(table, database.id, &run.id, &self.clock)))
            .await
        {
            Ok(Acquired::Held(lease)) => Ok(Some(lease)),
            Ok(Acquired::TakenBy { run_id, until }) => {
                let warning =
                    format!("run {run_id} works on this database; its lease holds until {until} unless renewed");
                info!(warning, "skipped");
                report.outcome = Outcome::Skipped;
                report.warnings.push(warning);
                Err(Skipped)
            }
            Err(failure) => {
                let warning = format!("the run goes on without a lease: {}", failure.describe());
                warn!(warning, "lease");
                report.warnings.push(warning);
                Ok(None)
            }
        }
    }

    /// What must be done before the answer, since nothing runs after it on Lambda: the run's record, the lease. Bounded: an
    /// answer that comes too late is none.
    async fn close(
        &self,
        clients: &Clients,
        database: &Database,
        lease: Option<Lease>,
        run: &Run,
        report: &mut Report,
    ) {
        let Some(table) = &clients.state_table else { return };
        let took = self.clock.now().duration_since(report.started_at);
        report.duration_ms = u64::try_from(took.as_millis()).unwrap_or_default();
        // Without a lease the table is down, and a second wait for it helps nobody.
        let Some(lease) = lease else { return };
        let left = run.deadline.left().unwrap_or(LONGEST_CLOSE);
        let bound = (left / 2).clamp(SHORTEST_CLOSE, LONGEST_CLOSE);
        let closing = async {
            let recorded = run_log::store(table, database.id, report).await;
            let recorded =
                recorded.err().map(|failure| format!("the run was not recorded for status: {}", failure.describe()));
            let released = lease.release().await;
            let released = released.err().map(|failure| format!("the lease ends by itself: {}", failure.describe()));
            [recorded, released]
        };
        let warnings = timeout(bound, closing).await.unwrap_or_else(|_| {
            [Some(format!("DynamoDB did not answer within {bound:?}; the lease ends by itself")), None]
        });
        for warning in warnings.into_iter().flatten() {
            warn!(warning, "the end of the run");
            report.warnings.push(warning);
        }
    }
}

/// An action that stores no position: what is not done when its time for work is over has failed.
async fn in_its_time(run: &Run, action: Pin<Box<impl Future<Output = Result<(), Failure>>>>) -> Result<(), Failure> {
    run.deadline.while_there_is_time(action).await.unwrap_or_else(|| {
        let message = "the time was over before everything was asked; the report has what was answered until then";
        Err(Failure::new(FailureClass::DeadlineExceeded, message))
    })
}

/// Another run holds the lease.
struct Skipped;

/// What to do on a database.
enum Work {
    Sync(Wanted),
    Sweep { allow_removals: bool },
    Views(Occasion),
}
