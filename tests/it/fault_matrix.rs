//! Each exchange of a sync meets each fault: the run is complete, or fails with its class and the next one repairs it.
//!
//! The exchanges are enumerated by a clean run through the proxies, so a new exchange joins the matrix by itself. By default
//! one run takes a fault at all its exchanges, one after another, each once and then answered (a statement of Sail costs
//! 0.2 s, so a run per cell would take a quarter of an hour); `NOTION_SYNC_FAULT_MATRIX=whole` gives each cell its own run.
//! What stays broken is tried from each exchange on.

use std::time::Duration;

use notion_sync::failure::FailureClass;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::faults::{Answer, Fault, FaultProxy, NOTION_REQUEST_BLOCKED, Rule};
use notion_sync_local::notion::{NewRow, RowEdit, Value};

use crate::support::{World, at, run_test, run_test_within};

/// How long a server that hangs is waited for here; `the_client_gives_up_on_a_server_that_hangs` waits for the client.
const HANG: Duration = Duration::from_millis(100);

/// How often a lease is renewed (src/aws/lease.rs).
const RENEWAL_INTERVAL_MS: u64 = 5_000;

/// One fault, in each of the three servers' words.
struct Kind {
    name: &'static str,
    notion: Fault,
    databricks: Fault,
    aws: Fault,
}

impl Kind {
    fn answers(name: &'static str, notion: Answer, databricks: Answer, aws: Answer) -> Self {
        let [notion, databricks, aws] = [notion, databricks, aws].map(Fault::Answer);
        Self { name, notion, databricks, aws }
    }

    fn wire(name: &'static str, fault: &Fault) -> Self {
        Self { name, notion: fault.clone(), databricks: fault.clone(), aws: fault.clone() }
    }

    /// A rate limit for Notion's reason, with or without a wait.
    fn limited(name: &'static str, reason: &str, seconds: Option<u64>) -> Self {
        let databricks = Answer::databricks(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests").retry_after(seconds);
        Self::answers(name, Answer::notion_rate_limited(reason, seconds), databricks, throttled())
    }
}

fn throttled() -> Answer {
    Answer::dynamodb(400, "ProvisionedThroughputExceededException", "The level of configured throughput was exceeded")
}

fn dynamodb_error(status: u16) -> Answer {
    Answer::dynamodb(status, "InternalServerError", "Internal server error")
}

/// Every fault that passes.
fn kinds() -> Vec<Kind> {
    let unavailable = |status| Answer::databricks(status, "TEMPORARILY_UNAVAILABLE", "try again");
    let notion = |status, code| Answer::notion(status, code, "try again");
    let html = Answer::html_bad_gateway;
    vec![
        Kind::limited("429 of the connection, Retry-After 1", "public_api_request_rate_limit", Some(1)),
        Kind::limited("429 of the workspace, Retry-After 0", "public_api_space_request_rate_limit", Some(0)),
        Kind::limited("429 of the endpoint, Retry-After 0", "public_api_endpoint_rate_limit", Some(0)),
        Kind::limited("429 without Retry-After", "public_api_request_rate_limit", None),
        Kind::answers("529", Answer::notion_overloaded(None), unavailable(503), throttled()),
        Kind::answers(
            "529 or 503, Retry-After 0",
            Answer::notion_overloaded(Some(0)),
            unavailable(503).retry_after(Some(0)),
            dynamodb_error(503),
        ),
        Kind::answers("500", notion(500, "internal_server_error"), unavailable(500), dynamodb_error(500)),
        Kind::answers("502 of HTML", html(), html(), html()),
        Kind::answers("503", Answer::notion_query_unavailable(), unavailable(503), dynamodb_error(503)),
        Kind::answers("504", notion(504, "gateway_timeout"), unavailable(504), dynamodb_error(504)),
        Kind::wire("reset before", &Fault::ResetBefore),
        Kind::wire("reset after", &Fault::ResetAfter),
        Kind::wire("truncated body", &Fault::TruncateBody),
        Kind::wire("hang before", &Fault::HangBefore(Some(HANG))),
        Kind::wire("hang after", &Fault::HangAfter(Some(HANG))),
    ]
}

/// Which sync takes the faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Of a database never seen before; ends with a sweep.
    First,
    /// With an edited, an archived and a new row.
    Incremental,
    /// With a row that left and one that came back.
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Notion,
    Databricks,
    Aws,
}

const SERVERS: [Server; 3] = [Server::Notion, Server::Databricks, Server::Aws];

/// A world that does one kind of sync again and again: the end of one is the start of the next.
struct Lane {
    world: World,
    sync: Sync,
    rows: Vec<String>,
    turn: u32,
    /// Exchanges of a clean run, by server.
    exchanges: [u64; 3],
}

impl Lane {
    async fn begin(sync: Sync) -> Self {
        let world = World::builder().variable("BATCH_SIZE", "2").timeout(Duration::from_secs(20)).build().await;
        let mut lane = Self { world, sync, rows: Vec::new(), turn: 0, exchanges: [0; 3] };
        lane.fill();
        if sync != Sync::First {
            lane.world.sync().await;
            // The first turn of the others trashes and restores rows: now all exchanges there can be are there.
            lane.prepare().await;
            complete(lane.run().await);
        }
        lane.prepare().await;
        lane.world.forget_exchanges();
        let clean = lane.run().await;
        // On a busy machine even a clean run may be so long that its lease is renewed, which later runs needn't do.
        let renewals = clean.duration_ms / RENEWAL_INTERVAL_MS;
        complete(clean);
        lane.exchanges = SERVERS.map(|server| {
            let exchanges = lane.proxy(server).exchanges().len() as u64;
            if server == Server::Aws { exchanges - renewals } else { exchanges }
        });
        lane.world.assert_table_equals_notion().await;
        lane
    }

    /// Six rows on three pages, one of them archived, one with a relation that is cut.
    fn fill(&mut self) {
        let created = at("2026-01-01T00:00:10Z");
        let source = self.world.data_source_id.clone();
        self.rows = self.world.edit(|workspace| {
            workspace.add_property(&source, "Tasks", "relation").unwrap();
            let tasks = (0..26).map(|number| format!("00000000-0000-4000-8000-{number:012}"));
            let rows = (0..6_i64).map(|index| {
                let time = created + jiff::SignedDuration::from_mins(index);
                let row = NewRow::titled(&format!("Row {index}")).created(time).edited(time);
                match index {
                    0 => row.set("Tasks", Value::relation(tasks.clone())),
                    5 => row.archived(),
                    _ => row,
                }
            });
            rows.map(|row| workspace.add_row(&source, row).unwrap()).collect()
        });
    }

    fn proxy(&self, server: Server) -> &FaultProxy {
        match server {
            Server::Notion => &self.world.notion_faults,
            Server::Databricks => &self.world.databricks_faults,
            Server::Aws => &self.world.aws_faults,
        }
    }

    /// Work for the next run.
    async fn prepare(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        self.world.advance(600);
        match self.sync {
            Sync::First => {
                let (database_id, data_source_id) = self.world.edit(|workspace| workspace.add_table("Projects"));
                self.world.variables.insert("NOTION_PROJECTS_DB_ID".to_owned(), database_id.clone());
                (self.world.database_id, self.world.data_source_id) = (database_id, data_source_id);
                self.fill();
            }
            Sync::Incremental => self.world.edit(|workspace| {
                for index in [0, 5] {
                    let edit = RowEdit::new().title(&format!("Turn {turn}"));
                    workspace.edit_row(&self.rows[index], edit).unwrap();
                }
            }),
            Sync::Sweep => self.world.edit(|workspace| {
                let (leaving, coming) = if turn.is_multiple_of(2) { (1, 2) } else { (2, 1) };
                workspace.trash(&self.rows[leaving]).unwrap();
                if turn > 1 {
                    workspace.restore(&self.rows[coming]).unwrap();
                }
            }),
        }
        // Each turn is a process of its own: a new one has all its budget of retries for DynamoDB.
        self.world.restart().await;
    }

    async fn run(&self) -> Report {
        match self.sync {
            Sync::First | Sync::Incremental => self.world.try_sync().await,
            Sync::Sweep => self.world.try_sweep(false).await,
        }
    }

    fn clear(&self) {
        SERVERS.iter().for_each(|server| self.proxy(*server).clear_rules());
    }

    /// A run in which `kind` strikes by these rules must be complete and right.
    async fn withstands(&mut self, what: &str, rules: &[(Server, Rule)]) -> [u64; 3] {
        self.prepare().await;
        self.world.forget_exchanges();
        rules.iter().for_each(|(server, rule)| self.proxy(*server).add(rule.clone()));
        let report = self.run().await;
        self.clear();
        assert_eq!(report.outcome, Outcome::Complete, "{:?}: {what}: {:?}", self.sync, report.error);
        self.world.assert_table_equals_notion().await;
        SERVERS.map(|server| {
            let exchanges = self.proxy(server).exchanges();
            exchanges.iter().filter(|exchange| exchange.fault.is_some()).count() as u64
        })
    }

    async fn end(self) {
        // A lease that a fault left behind ends by itself; the quiet run that follows takes it over and gives it back.
        self.clear();
        self.world.advance(60);
        complete(self.run().await);
        self.world.end().await;
    }
}

fn complete(report: Report) {
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
}

fn fault_of(kind: &Kind, server: Server) -> Fault {
    match server {
        Server::Notion => kind.notion.clone(),
        Server::Databricks => kind.databricks.clone(),
        Server::Aws => kind.aws.clone(),
    }
}

#[expect(clippy::disallowed_methods, reason = "tests choose the size of the matrix by the environment")]
fn is_whole() -> bool {
    std::env::var("NOTION_SYNC_FAULT_MATRIX").is_ok_and(|size| size == "whole")
}

/// Longest time for one kind of sync.
fn bound() -> Duration {
    Duration::from_secs(if is_whole() { 3_600 } else { 900 })
}

/// Every exchange meets every fault that passes.
async fn passing_faults(sync: Sync) {
    let mut lane = Lane::begin(sync).await;
    let (mut cells, mut runs) = (0, 0);
    for kind in kinds() {
        if is_whole() {
            for (index, server) in SERVERS.into_iter().enumerate() {
                for exchange in 0..lane.exchanges[index] {
                    let rule = Rule::new(fault_of(&kind, server)).exchange(exchange);
                    let what = format!("{} at exchange {exchange} of {server:?}", kind.name);
                    let struck = lane.withstands(&what, &[(server, rule)]).await;
                    assert_eq!(struck[index], 1, "{what}");
                    (cells, runs) = (cells + 1, runs + 1);
                }
            }
            continue;
        }
        // Each second exchange: the one in between is the answered retry.
        let rules = SERVERS.into_iter().zip(lane.exchanges).flat_map(|(server, exchanges)| {
            let fault = fault_of(&kind, server);
            (0..exchanges + 4).map(move |number| (server, Rule::new(fault.clone()).exchange(2 * number)))
        });
        let rules: Vec<(Server, Rule)> = rules.collect();
        let struck = lane.withstands(kind.name, &rules).await;
        for (index, server) in SERVERS.into_iter().enumerate() {
            let (struck, exchanges) = (struck[index], lane.exchanges[index]);
            assert!(struck >= exchanges, "{sync:?}: {}: {struck} of {exchanges} of {server:?} struck", kind.name);
            cells += exchanges;
        }
        runs += 1;
    }
    let [notion, databricks, aws] = lane.exchanges;
    println!(
        "fault matrix, {sync:?}: {} faults × ({notion} exchanges of Notion + {databricks} of Databricks + {aws} of DynamoDB): \
         {cells} cells met in {runs} runs",
        kinds().len()
    );
    lane.end().await;
}

#[test]
fn each_exchange_of_a_first_sync_withstands_each_fault_that_passes() {
    run_test_within(bound(), passing_faults(Sync::First));
}

#[test]
fn each_exchange_of_an_incremental_sync_withstands_each_fault_that_passes() {
    run_test_within(bound(), passing_faults(Sync::Incremental));
}

#[test]
fn each_exchange_of_a_sweep_withstands_each_fault_that_passes() {
    run_test_within(bound(), passing_faults(Sync::Sweep));
}

/// Faults that stay, with the classes they may end a run with, Notion's and Databricks'.
fn lasting(server: Server) -> Vec<(Fault, &'static [FailureClass])> {
    use FailureClass::{DatabricksUnavailable, NotionBlocked, NotionUnavailable};
    let html = Fault::Answer(Answer::html_bad_gateway());
    let wire = [html, Fault::ResetBefore, Fault::ResetAfter, Fault::TruncateBody, Fault::HangAfter(Some(HANG))];
    match server {
        Server::Notion => {
            let blocked = Fault::Answer(Answer::notion_rate_limited(NOTION_REQUEST_BLOCKED, None));
            let failing = [500, 503, 504].map(|status| Fault::Answer(Answer::notion(status, "unavailable", "no")));
            let limited = Answer::notion_rate_limited("public_api_request_rate_limit", None);
            let rest = wire
                .into_iter()
                .chain(failing)
                .chain([Fault::Answer(Answer::notion_overloaded(None)), Fault::Answer(limited)]);
            let mut faults: Vec<(Fault, &'static [FailureClass])> =
                rest.map(|fault| (fault, [NotionUnavailable].as_slice())).collect();
            faults.push((blocked, &[NotionBlocked]));
            faults
        }
        Server::Databricks => {
            let answers = [429, 500, 503, 504, 529];
            let failing = answers.map(|status| Fault::Answer(Answer::databricks(status, "UNAVAILABLE", "no")));
            wire.into_iter().chain(failing).map(|fault| (fault, [DatabricksUnavailable].as_slice())).collect()
        }
        // The cache and the lease are never needed: no fault of theirs fails a run.
        Server::Aws => {
            let answers = [dynamodb_error(500), dynamodb_error(503), throttled()];
            wire.into_iter().chain(answers.map(Fault::Answer)).map(|fault| (fault, [].as_slice())).collect()
        }
    }
}

/// A server that stays broken from one exchange on: the class says whose fault it is, and the next run repairs.
async fn lasting_faults(sync: Sync) {
    let mut lane = Lane::begin(sync).await;
    let (mut cells, mut failed) = (0_usize, 0);
    for (index, server) in SERVERS.into_iter().enumerate() {
        let faults = lasting(server);
        for exchange in 0..lane.exchanges[index] {
            // Every fault in turn; all of them at each exchange in the whole matrix.
            let count = if is_whole() { faults.len() } else { 1 };
            for offset in 0..count {
                let (fault, classes) = &faults[(cells + offset) % faults.len()];
                lane.prepare().await;
                lane.world.forget_exchanges();
                lane.proxy(server).add(Rule::new(fault.clone()).skip(exchange).always());
                let report = lane.run().await;
                lane.clear();
                let what = format!("{sync:?}: {} from exchange {exchange} of {server:?} on", fault.name());
                match &report.error {
                    Some(error) => {
                        assert!(classes.contains(&error.class), "{what}: {}: {}", error.class, error.message);
                        failed += 1;
                    }
                    None => {
                        assert_eq!(report.outcome, Outcome::Complete, "{what}");
                        lane.world.assert_table_equals_notion().await;
                    }
                }
                if report.error.is_some() || server == Server::Aws {
                    // A lease that could not be given back ends by itself, and the next run takes it over.
                    lane.world.advance(60);
                    complete(lane.run().await);
                }
                lane.world.assert_table_equals_notion().await;
            }
            cells += count;
        }
    }
    println!("fault matrix, {sync:?}: {cells} cells of faults that stay, {failed} of them failed and were repaired");
    assert!(failed > 0, "faults that stay fail runs");
    lane.end().await;
}

#[test]
fn a_first_sync_that_a_lasting_fault_ends_is_repaired_by_the_next() {
    run_test_within(bound(), lasting_faults(Sync::First));
}

#[test]
fn an_incremental_sync_that_a_lasting_fault_ends_is_repaired_by_the_next() {
    run_test_within(bound(), lasting_faults(Sync::Incremental));
}

#[test]
fn a_sweep_that_a_lasting_fault_ends_is_repaired_by_the_next() {
    run_test_within(bound(), lasting_faults(Sync::Sweep));
}

#[test]
fn the_client_gives_up_on_a_server_that_hangs() {
    run_test(async {
        let world = World::builder().timeout(Duration::from_secs(5)).build().await;
        crate::sync::add_rows(&world, 3);
        let hangs = || Rule::new(Fault::HangAfter(None));
        world.notion_faults.add(hangs().path("/query"));
        world.databricks_faults.add(hangs().body("MERGE INTO"));
        world.aws_faults.add(hangs());
        let report = world.sync().await;
        assert!(report.totals.retries >= 2, "{}", report.totals.retries);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
