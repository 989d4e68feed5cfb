//! The composition root: ready clients, and the one `match` on [`Action`].

mod pending;
mod work;

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{Instrument, error, info, info_span};

use self::work::Work;
use crate::action::{Action, SweepRequest, SyncRequest, ViewsRequest};
use crate::actions::health;
use crate::actions::init_tables;
use crate::actions::startup::Startup;
use crate::actions::status;
use crate::actions::verify;
use crate::aws::lease::{Lease, LeaseOutcome};
use crate::aws::run_log;
use crate::aws::state_table;
use crate::clients::Clients;
use crate::config::Config;
use crate::failure::{Failure, FailureClass};
use crate::ids::{Database, DatabaseName};
use crate::run::Run;
use crate::run::clock::Clock;
use crate::run::deadline::Deadline;
use crate::run::progress::{Progress, ProgressEvent};
use crate::run::report::{Mode, Outcome, Report};
use crate::sync::Engine;
use crate::sync::engine::SyncOptions;
use crate::sync::schemas::Schemas;
use crate::views::{self, Occasion, Views};

/// The longest time for recording a run and releasing its lease.
const MAX_CLOSE: Duration = Duration::from_secs(30);
/// The shortest time for that, even past the deadline: an unreleased lease blocks the next run.
const MIN_CLOSE: Duration = Duration::from_secs(2);

/// The service with its clients, built once per process and used for every run.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    clients: Clients,
    startup: Startup,
}

/// The context of a run, from whoever asks for it.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The time until which the run may work.
    pub deadline: Deadline,
    /// The listener that shows its progress.
    pub progress: Progress,
}

impl App {
    /// Builds the clients; no network call but those by which the AWS SDK finds credentials.
    ///
    /// # Errors
    /// `Internal` when a client can't be set up.
    pub async fn new(config: Config) -> Result<Self, Failure> {
        Self::with_clock(config, Clock::System).await
    }

    /// Builds the clients, with another clock for tests.
    ///
    /// # Errors
    /// As [`App::new`].
    pub async fn with_clock(config: Config, clock: Clock) -> Result<Self, Failure> {
        let clients = Clients::new(&config).await?;
        Ok(Self { config, clock, clients, startup: Startup::default() })
    }

    /// Returns the configuration that the service runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs one action. A failure is in the report (`outcome` failed, `error`), and has been logged once.
    pub async fn run(&self, action: &Action, context: &RunContext) -> Report {
        let run = Run::new(context.deadline.clone(), self.clock.clone(), context.progress.clone());
        let span = info_span!("run", run_id = run.id.as_str(), database = action.database().map(DatabaseName::as_str));
        self.run_within(action, &run).instrument(span).await
    }

    async fn run_within(&self, action: &Action, run: &Run) -> Report {
        let began = Instant::now();
        let mut report = Report::begin(Some(action.kind()), run.id.clone(), self.clock.now());
        if let Err(failure) = Box::pin(self.carry_out(action, run, &mut report)).await {
            report.fail(&failure);
        }
        run.warnings.move_into(&mut report);
        report.set_costs(run.meter.totals());
        report.explain_partial();
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &report.error {
            Some(failed) => error!(class = failed.class.name(), "the run failed: {}", failed.message),
            None => info!(outcome = report.outcome.name(), duration_ms = report.duration_ms, "the run ended"),
        }
        report
    }

    async fn carry_out(&self, action: &Action, run: &Run, report: &mut Report) -> Result<(), Failure> {
        let (config, clients) = (&self.config, &self.clients);
        match action {
            Action::Sync(request) => {
                let work = Work::Sync { options: SyncOptions::of(request), then_sweep: false };
                self.on_database(&request.database, run, report, work).await
            }
            Action::DryRun(request) => self.preview(request, run, report).await,
            Action::Sweep(SweepRequest { database, allow_removals }) => {
                self.on_database(database, run, report, Work::Sweep { allow_removals: *allow_removals }).await
            }
            Action::Views(ViewsRequest { database, print, force }) => {
                let occasion = if *print { Occasion::Print } else { Occasion::ByHand { force: *force } };
                self.on_database(database, run, report, Work::Views(occasion)).await
            }
            Action::Health => within_budget(run, health::check(config, clients, run, report)).await,
            Action::ListDatabases => within_budget(run, status::list_databases(config, clients, run, report)).await,
            Action::InitTables => {
                within_budget(run, init_tables::init_tables(clients, run, report)).await?;
                self.startup.note_proven();
                Ok(())
            }
            Action::Status { runs } => within_budget(run, status::status(config, clients, *runs, run, report)).await,
            Action::Verify(name) => self.verify(name, run, report).await,
        }
    }

    /// Compares one database with the table. It only reads, so it takes no lease and may run beside a sync.
    async fn verify(&self, name: &DatabaseName, run: &Run, report: &mut Report) -> Result<(), Failure> {
        let database = self.begin(name, run, report)?;
        let verified = verify::verify(&self.clients, &self.config.sync, database, run, report).await;
        end(database, run, verified)
    }

    /// Says what a sync would do. It only reads, so it takes no lease and may run beside a sync.
    async fn preview(&self, request: &SyncRequest, run: &Run, report: &mut Report) -> Result<(), Failure> {
        let database = self.begin(&request.database, run, report)?;
        let engine = self.engine(database, run);
        let working = engine.preview(SyncOptions::of(request), report);
        let previewed = self.startup.beside(&self.clients.databricks, run, working).await;
        end(database, run, previewed)
    }

    /// Notes that work on a database begins.
    fn begin(&self, name: &DatabaseName, run: &Run, report: &mut Report) -> Result<&Database, Failure> {
        let database = self.database(name)?;
        report.database = Some(database.name.clone());
        report.database_id = Some(database.id);
        run.progress.tell(&ProgressEvent::DatabaseStarted { database: name.clone() });
        Ok(database)
    }

    fn engine<'a>(&'a self, database: &'a Database, run: &'a Run) -> Engine<'a> {
        Engine {
            notion: &self.clients.notion,
            databricks: &self.clients.databricks,
            watermarks: &self.clients.watermarks,
            config: &self.config.sync,
            schemas: Schemas::default(),
            database,
            run,
        }
    }

    /// Works on one database, under its lease.
    async fn on_database(
        &self,
        name: &DatabaseName,
        run: &Run,
        report: &mut Report,
        work: Work,
    ) -> Result<(), Failure> {
        let database = self.begin(name, run, report)?;
        let lease = match self.lease(database, run, report).await {
            Ok(lease) => lease,
            Err(LeaseTaken) => {
                self.record_pending(database, work.long(), run).await;
                return Ok(());
            }
        };
        let pending = match &lease {
            Some(_) if work.takes_pending() => self.pending(database, run).await,
            _ => None,
        };
        let work = work.with(pending.as_ref().map(|pending| pending.work));
        let long = work.long();
        let engine = self.engine(database, run);
        let working = async {
            let has_swept = match work {
                Work::Sync { options, then_sweep } => {
                    engine.sync(options, report).await?;
                    if then_sweep && report.outcome == Outcome::Complete {
                        engine.sweep(options.allow_removals, report).await?;
                    }
                    then_sweep
                }
                Work::Sweep { allow_removals } => {
                    engine.sweep(allow_removals, report).await?;
                    true
                }
                Work::Views(occasion) => return self.make_views(database, occasion, run, report).await,
            };
            self.views_after_sync(database, has_swept, run, report).await;
            Ok(())
        };
        let worked = Box::pin(self.startup.beside(&self.clients.databricks, run, working)).await;
        let worked = worked.map_err(|failure| failure.context(format!("database {name}")));
        if let Err(failure) = &worked {
            report.fail(failure);
            if failure.class().is_transient() {
                self.record_pending(database, long, run).await;
            }
        }
        if let Some(done) = pending.filter(|_| report.outcome == Outcome::Complete) {
            self.forget_pending(database, &done, run).await;
        }
        self.close(database, lease, run, report).await;
        run.progress.tell(&ProgressEvent::DatabaseEnded { database: name.clone(), outcome: report.outcome.name() });
        worked
    }

    async fn make_views(
        &self,
        database: &Database,
        occasion: Occasion,
        run: &Run,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let clients = &self.clients;
        let schema = self.config.databricks.views_schema.as_deref().ok_or_else(views::not_configured)?;
        let views = Views {
            notion: &clients.notion,
            databricks: &clients.databricks,
            state_table: clients.state_table.as_ref(),
            schema,
            database,
            run,
        };
        within_budget(run, views.refresh(occasion, report)).await
    }

    /// Makes the views after a sweep or a full refresh that is complete. The rows are what counts: a view that can't be
    /// made is a warning.
    async fn views_after_sync(&self, database: &Database, has_swept: bool, run: &Run, report: &mut Report) {
        let is_full = report.mode == Some(Mode::FullRefresh);
        let is_due = report.outcome == Outcome::Complete && (is_full || has_swept);
        if self.config.databricks.views_schema.is_none() || !is_due {
            return;
        }
        let occasion = Occasion::AfterSync { is_full };
        if let Err(failure) = self.make_views(database, occasion, run, report).await {
            let warning =
                format!("the views were not brought up to date ({}): {}", failure.class(), failure.describe());
            run.warn("views", warning);
        }
    }

    fn database(&self, name: &DatabaseName) -> Result<&Database, Failure> {
        self.config.databases.iter().find(|database| database.name == *name).ok_or_else(|| {
            let configured: Vec<&str> = self.config.databases.iter().map(|database| database.name.as_str()).collect();
            let message = format!("no database {name} is configured; configured are {}", configured.join(", "));
            Failure::new(FailureClass::UnknownDatabase, message)
        })
    }

    /// Takes the database's lease; `None` = the run continues without one.
    async fn lease(&self, database: &Database, run: &Run, report: &mut Report) -> Result<Option<Lease>, LeaseTaken> {
        let Some(table) = &self.clients.state_table else { return Ok(None) };
        let call = Lease::acquire(table, database.id, &run.id, &self.clock);
        match state_table::read_within_budget(&run.deadline, call).await {
            Ok(LeaseOutcome::Held(lease)) => Ok(Some(lease)),
            Ok(LeaseOutcome::TakenBy { run_id, until }) => {
                let warning =
                    format!("run {run_id} works on this database; its lease holds until {until} unless renewed");
                run.warn("skipped", warning);
                report.outcome = Outcome::Skipped;
                Err(LeaseTaken)
            }
            Err(failure) => {
                run.warn("lease", format!("the run continues without a lease: {}", failure.describe()));
                Ok(None)
            }
        }
    }

    /// Records the run and releases its lease, before the answer, since nothing runs after it on Lambda. The time for it is
    /// bounded: an answer that comes too late is none.
    async fn close(&self, database: &Database, lease: Option<Lease>, run: &Run, report: &mut Report) {
        let Some(table) = &self.clients.state_table else { return };
        let took = self.clock.now().duration_since(report.started_at);
        report.duration_ms = u64::try_from(took.as_millis()).unwrap_or_default();
        // Without a lease the table is down, and a second wait for it is useless.
        let Some(lease) = lease else { return };
        let left = run.deadline.left().unwrap_or(MAX_CLOSE);
        let bound = (left / 2).clamp(MIN_CLOSE, MAX_CLOSE);
        let closing = async {
            let recorded = run_log::store(table, database.id, report).await;
            let recorded =
                recorded.err().map(|failure| format!("the run was not recorded for status: {}", failure.describe()));
            let released = lease.release().await;
            let released =
                released.err().map(|failure| format!("the lease expires automatically: {}", failure.describe()));
            [recorded, released]
        };
        let warnings = timeout(bound, closing).await.unwrap_or_else(|_| {
            [Some(format!("DynamoDB did not answer within {bound:?}; the lease expires automatically")), None]
        });
        for warning in warnings.into_iter().flatten() {
            run.warn("the end of the run", warning);
        }
    }
}

/// Bounds an action that stores no position: when its time is over before it is done, it has failed.
async fn within_budget(run: &Run, action: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run.deadline.bound(action).await.unwrap_or_else(|| {
        let message = "the time was over before everything was asked; the report has the answers that came until then";
        Err(Failure::new(FailureClass::DeadlineExceeded, message))
    })
}

/// Notes that work on a database that takes no lease has ended.
fn end(database: &Database, run: &Run, worked: Result<(), Failure>) -> Result<(), Failure> {
    let outcome = if worked.is_ok() { Outcome::Complete } else { Outcome::Failed };
    let database = &database.name;
    run.progress.tell(&ProgressEvent::DatabaseEnded { database: database.clone(), outcome: outcome.name() });
    worked.map_err(|failure| failure.context(format!("database {database}")))
}

/// Says that another run holds the lease.
struct LeaseTaken;
