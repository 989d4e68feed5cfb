//! A world of one test: its own Notion, fault proxies, endpoint, schema and state table; a clock moved by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use notion_sync::action::{Action, SweepRequest, SyncRequest};
use notion_sync::app::{App, RunContext};
use notion_sync::aws::{AwsConfig, AwsCredentials};
use notion_sync::config::{Config, Variables};
use notion_sync::failure::FailureClass;
use notion_sync::http::retry::RetryPolicy;
use notion_sync::run::clock::Clock;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::progress::Progress;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::aws::{AwsEmulator, sdk_environment};
use notion_sync_local::databricks::{DatabricksEndpoint, EndpointSettings, SessionZone};
use notion_sync_local::faults::{FaultProxy, Hold};
use notion_sync_local::loopback;
use notion_sync_local::notion::{DEFAULT_TOKEN, NotionEmulator, Settings, SignedUrls, Workspace};

use super::stack;
use super::table::{self, TableRow};

/// Reads a time; tests write them out.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What a test's world is made of.
pub(crate) struct WorldBuilder {
    variables: BTreeMap<String, String>,
    settings: Settings,
    has_cache: bool,
    timeout: Duration,
    now: Timestamp,
    zone: Option<SessionZone>,
}

/// A world of one test.
pub(crate) struct World {
    pub(crate) notion: NotionEmulator,
    pub(crate) notion_faults: FaultProxy,
    pub(crate) databricks: DatabricksEndpoint,
    pub(crate) databricks_faults: FaultProxy,
    pub(crate) aws_faults: FaultProxy,
    pub(crate) aws: &'static AwsEmulator,
    pub(crate) database_id: String,
    pub(crate) data_source_id: String,
    pub(crate) schema: String,
    pub(crate) state_table: String,
    pub(crate) variables: BTreeMap<String, String>,
    has_cache: bool,
    timeout: Duration,
    clock: Clock,
    app: App,
}

impl World {
    /// A world with one database `projects` of one empty data source, at 2026-11-22T12:00:30Z; tables and state table are
    /// there; nothing waits.
    pub(crate) async fn new() -> Self {
        Self::builder().build().await
    }

    pub(crate) fn builder() -> WorldBuilder {
        WorldBuilder {
            variables: BTreeMap::new(),
            settings: Settings { signed_urls_change: true, ..Settings::default() },
            has_cache: true,
            timeout: Duration::from_secs(60),
            now: at("2026-11-22T12:00:30Z"),
            zone: None,
        }
    }

    /// Moves the clock of Notion and of the service.
    pub(crate) fn set_now(&self, now: &str) {
        self.set_time(at(now));
    }

    pub(crate) fn set_time(&self, now: Timestamp) {
        self.clock.set(now);
        self.notion.workspace(|workspace| workspace.set_now(now));
    }

    /// Moves both clocks on.
    pub(crate) fn advance(&self, seconds: i64) {
        self.set_time(self.clock.now() + jiff::SignedDuration::from_secs(seconds));
    }

    /// Moves the service's clock alone: a clock that is wrong.
    pub(crate) fn set_service_clock(&self, now: Timestamp) {
        self.clock.set(now);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Works in Notion as people do.
    pub(crate) fn edit<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        self.notion.workspace(work)
    }

    /// Catalog and schema of the world's tables, quoted.
    pub(crate) fn qualified_schema(&self) -> String {
        format!("`{}`.`{}`", stack::catalog(), self.schema)
    }

    /// A fresh process of the service: no memory but what is stored.
    pub(crate) async fn restart(&mut self) {
        self.app = app(&self.variables, self.timeout, self.clock.clone()).await;
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) async fn run(&self, action: &Action, deadline: Deadline) -> Report {
        let context = RunContext { deadline, progress: Progress::default() };
        Box::pin(self.app.run(action, &context)).await
    }

    fn sync_action(&self, full_refresh: bool) -> Action {
        Action::Sync(SyncRequest {
            database: self.app.config().databases[0].name.clone(),
            full_refresh,
            restart: false,
            allow_removals: false,
        })
    }

    /// A sync, however it ends.
    pub(crate) async fn try_sync(&self) -> Report {
        self.run(&self.sync_action(false), Deadline::none()).await
    }

    /// A sync, however it ends, within so much time.
    pub(crate) async fn try_sync_within(&self, deadline: Deadline, full_refresh: bool) -> Report {
        self.run(&self.sync_action(full_refresh), deadline).await
    }

    /// A sync that must be complete.
    pub(crate) async fn sync(&self) -> Report {
        complete(self.try_sync().await)
    }

    /// A full refresh that must be complete.
    pub(crate) async fn full_refresh(&self) -> Report {
        complete(self.run(&self.sync_action(true), Deadline::none()).await)
    }

    /// A sweep, however it ends.
    pub(crate) async fn try_sweep(&self, allow_removals: bool) -> Report {
        let database = self.app.config().databases[0].name.clone();
        self.run(&Action::Sweep(SweepRequest { database, allow_removals }), Deadline::none()).await
    }

    /// A sweep that must be complete.
    pub(crate) async fn sweep(&self) -> Report {
        complete(self.try_sweep(false).await)
    }

    /// A sync that must fail with this class; gives its message.
    pub(crate) async fn sync_fails(&self, class: FailureClass) -> String {
        failed(self.try_sync().await, class)
    }

    /// The table's rows of the world's database.
    pub(crate) async fn table(&self) -> BTreeMap<String, TableRow> {
        table::read(&self.databricks, &self.qualified_schema(), &self.database_id).await
    }

    /// Statements sent since the log was cleared, by kind of SQL (first word).
    pub(crate) fn statements(&self) -> Vec<String> {
        self.databricks.statements().into_iter().map(|statement| statement.text).collect()
    }

    /// MERGEs into the pages table since the log was cleared.
    pub(crate) fn page_merges(&self) -> usize {
        let pages = format!("MERGE INTO {}.`notion_raw_pages`", self.qualified_schema());
        self.statements().iter().filter(|text| text.starts_with(&pages)).count()
    }

    pub(crate) fn clear_logs(&self) {
        self.databricks.clear_log();
        self.notion.clear_requests();
    }

    /// Runs an action in a process of its own, which is killed as soon as an exchange is held; `None` = it was.
    pub(crate) async fn run_until_killed(&mut self, action: &Action, hold: &Hold) -> Option<Report> {
        let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (variables, timeout, clock) = (self.variables.clone(), self.timeout, self.clock.clone());
        let action = action.clone();
        let running = process.spawn(async move {
            let context = RunContext { deadline: Deadline::none(), progress: Progress::default() };
            Box::pin(app(&variables, timeout, clock).await.run(&action, &context)).await
        });
        let report = tokio::select! {
            report = running => Some(report.expect("the run ends")),
            () = hold.reached() => None,
        };
        // Every task of it ends where it stands.
        process.shutdown_background();
        hold.release();
        report
    }

    /// `synced_through` of the world's data source in the cache.
    pub(crate) async fn cached(&self) -> Option<Timestamp> {
        let key = format!("watermark#{}", self.data_source_id);
        let items = self.aws.client().items(&self.state_table).await.unwrap();
        let item = items.into_iter().find(|item| item["sk"]["S"] == *key)?;
        item["synced_through"]["S"].as_str().map(at)
    }

    /// `synced_through` of the world's data source in the truth.
    pub(crate) async fn truth(&self) -> Option<Timestamp> {
        let query = format!(
            "SELECT unix_millis(synced_through) FROM {}.notion_sync_watermarks WHERE data_source_id = '{}'",
            self.qualified_schema(),
            self.data_source_id
        );
        let rows = self.databricks.query(&query).await.expect("the watermarks are read");
        let cell = rows.into_iter().next()?.into_iter().next()??;
        Some(Timestamp::from_millisecond(cell.parse().unwrap()).unwrap())
    }

    /// The live rows of the table are what a complete reader of Notion holds: same pages, same bytes (but for signatures),
    /// same flags; and no other.
    pub(crate) async fn assert_table_equals_notion(&self) {
        let expected = self.edit(|workspace| workspace.expected(&self.database_id, SignedUrls::LeftOut).unwrap());
        let mut live = self.table().await;
        live.retain(|_, row| !row.is_removed);
        for row in &expected {
            let Some(found) = live.remove(&row.page_id) else { panic!("the table lacks page {}", row.page_id) };
            assert_eq!(without_signatures(&found.payload), row.payload, "payload of page {}", row.page_id);
            assert_eq!(found.data_source_id, row.data_source_id, "data source of page {}", row.page_id);
            assert_eq!(found.last_edited_time, row.last_edited_time, "edit time of page {}", row.page_id);
            assert_eq!(
                (found.is_archived, found.in_trash),
                (row.is_archived, row.in_trash),
                "flags of {}",
                row.page_id
            );
        }
        assert!(live.is_empty(), "the table holds live pages that Notion does not: {:?}", live.keys());
    }

    /// The end of every test: nothing is left running, held or unused.
    pub(crate) async fn end(self) {
        assert_eq!(self.databricks.open_statements(), 0, "no statement is left running");
        assert!(self.databricks.scripts_left().is_empty(), "scripted behaviours were not used up");
        if self.has_cache {
            let items = self.aws.client().items(&self.state_table).await.unwrap();
            let leases = items.iter().filter(|item| item["sk"]["S"] == "lease").count();
            assert_eq!(leases, 0, "no lease is left");
        }
        self.notion.stop().await;
        self.databricks.stop().await;
    }
}

fn complete(report: Report) -> Report {
    assert_eq!(report.outcome, Outcome::Complete, "{:?} {:?}", report.error, report.warnings);
    report
}

/// The message of a report that must have failed with this class.
pub(crate) fn failed(report: Report, class: FailureClass) -> String {
    let error = report.error.expect("the run fails");
    assert_eq!(error.class, class, "{}", error.message);
    error.message
}

/// A payload without what signed file URLs add: the query string and `expiry_time`.
fn without_signatures(payload: &str) -> String {
    notion_sync_local::verify::without_signatures(payload)
}

impl WorldBuilder {
    /// Sets a variable of the service.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Changes how Notion behaves.
    pub(crate) fn notion(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Without DynamoDB.
    pub(crate) fn without_cache(mut self) -> Self {
        self.has_cache = false;
        self
    }

    /// A warehouse whose sessions have this time zone, on Sail.
    pub(crate) fn zone(mut self, zone: SessionZone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Longest time for one exchange: short where exchanges are made to hang.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn build(self) -> World {
        let world = self.build_without_tables().await;
        let report = world.run(&Action::InitTables, Deadline::none()).await;
        complete(report);
        world.clear_logs();
        world
    }

    pub(crate) async fn build_without_tables(self) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // An engine that outlives this process still has the schemas of the one before.
        let (schema, state_table) = (format!("bronze_{}_{number}", std::process::id()), format!("state-{number}"));
        let engine = match self.zone {
            Some(zone) => stack::engine_in(zone, number).await,
            None => stack::engine().await,
        };
        let aws = stack::aws().await;
        let notion = NotionEmulator::start(loopback::address(0), self.settings).await.unwrap();
        let (database_id, data_source_id) = notion.workspace(|workspace| {
            workspace.set_now(self.now);
            workspace.add_table("Projects")
        });
        let endpoint = EndpointSettings { catalog: stack::catalog(), ..EndpointSettings::default() };
        let (token, warehouse) = (endpoint.tokens[0].clone(), endpoint.warehouse_id.clone());
        let databricks = DatabricksEndpoint::start(loopback::address(0), engine, endpoint).await.unwrap();
        let notion_faults = FaultProxy::start(&notion.base_url()).await.unwrap();
        let databricks_faults = FaultProxy::start(&databricks.base_url()).await.unwrap();
        let aws_faults = FaultProxy::start(aws.endpoint_url()).await.unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("NOTION_API_KEY", DEFAULT_TOKEN.to_owned()),
            ("NOTION_BASE_URL", notion_faults.base_url()),
            ("NOTION_PROJECTS_DB_ID", database_id.clone()),
            ("DATABRICKS_HOST", databricks_faults.base_url()),
            ("DATABRICKS_TOKEN", token),
            ("DATABRICKS_WAREHOUSE_ID", warehouse),
            ("DATABRICKS_CATALOG", stack::catalog()),
            ("BRONZE_SCHEMA", schema.clone()),
            ("RATE_LIMIT_DELAY", "0".to_owned()),
            // One walker reads in an order that a story can rely on; stories of several say so.
            ("WALKERS", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        variables
            .extend(sdk_environment(&aws_faults.base_url()).into_iter().map(|(name, value)| (name.to_owned(), value)));
        if self.has_cache {
            aws.client().create_state_table(&state_table).await.unwrap();
            variables.insert("WATERMARK_TABLE".to_owned(), state_table.clone());
        }
        variables.extend(self.variables);
        let clock = Clock::manual(self.now);
        let app = app(&variables, self.timeout, clock.clone()).await;
        World {
            notion,
            notion_faults,
            databricks,
            databricks_faults,
            aws_faults,
            aws,
            database_id,
            data_source_id,
            schema,
            state_table,
            variables,
            has_cache: self.has_cache,
            timeout: self.timeout,
            clock,
            app,
        }
    }
}

/// The service as its binaries build it, with waits short enough for a test.
async fn app(variables: &BTreeMap<String, String>, timeout: Duration, clock: Clock) -> App {
    let variables: Variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut config = Config::from_variables(&variables).expect("the world's variables are right");
    config.retry = RetryPolicy { first_delay: Duration::from_millis(2), ..RetryPolicy::default() };
    config.notion.timeout = timeout;
    // What the SDK would read from the process's environment, which tests share.
    let variable = |name: &str| variables.get(name).unwrap_or_default().to_owned();
    config.aws = AwsConfig {
        endpoint_is_loopback: true,
        endpoint_url: Some(variable("AWS_ENDPOINT_URL")),
        region: Some(variable("AWS_REGION")),
        profile: None,
        credentials: Some(AwsCredentials {
            access_key_id: variable("AWS_ACCESS_KEY_ID"),
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY").into(),
            session_token: None,
        }),
    };
    config.databricks.timeout = timeout;
    App::with_clock(config, clock).await.unwrap()
}
