//! The tables of docs/VERDICTS.md, walked whole: every status with every body for every exchange, through the real clients.
//! The first row that fits says what must happen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::{Router, serve};
use notion_sync::aws::secrets::{Secrets, SecretsConfig};
use notion_sync::databricks::{self, DatabricksConfig, Statement};
use notion_sync::failure::Failure;
use notion_sync::http::retry::RetryPolicy;
use notion_sync::ids::{DataSourceId, DatabaseId, PageId};
use notion_sync::notion::{self, NotionConfig, Partition, Query, SortOrder, TruncatedProperty};
use notion_sync::run::Run;
use notion_sync::run::clock::Clock;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::progress::Progress;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::docs::{rows, section};

const VERDICTS: &str = "docs/VERDICTS.md";
const ASKED: &str = "be633bf1-dfa0-436d-b259-571129a590e5";
const OTHER: &str = "5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f";
const STATUSES: [u16; 26] = [
    200, 204, 302, 400, 401, 403, 404, 408, 409, 410, 413, 418, 422, 425, 429, 500, 501, 502, 503, 504, 505, 520, 522,
    524, 529, 530,
];

/// A body, by the names that the document has for it: its own, and that of its family.
#[derive(Debug, Clone)]
struct Sample {
    name: &'static str,
    family: &'static str,
    text: String,
}

impl Sample {
    fn new(name: &'static str, family: &'static str, text: impl Into<String>) -> Self {
        Self { name, family, text: text.into() }
    }
}

/// A row of a table, and whether any combination reached it.
struct Line {
    statuses: String,
    body: String,
    exchanges: String,
    cells: Vec<String>,
}

impl Line {
    fn fits(&self, status: u16, sample: &Sample, exchange: &str) -> bool {
        let is_status = |part: &str| match part.split_once('–') {
            Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&status),
            None => part == "any" || part.parse() == Ok(status),
        };
        self.statuses.split(", ").any(is_status)
            && ["any", sample.name, sample.family].contains(&self.body.as_str())
            && self.exchanges.split(", ").any(|part| part == "any" || part == exchange)
    }
}

fn table(heading: &str) -> Vec<Line> {
    let rows = rows(&section(VERDICTS, heading));
    let rows: Vec<_> = rows.into_iter().filter(|row| row.len() == 6 && !row[0].starts_with('-')).collect();
    assert!(rows.len() > 10, "{VERDICTS} has the table of {heading}");
    rows.into_iter()
        .map(|row| Line {
            statuses: row[0].clone(),
            body: row[1].clone(),
            exchanges: row[2].clone(),
            cells: row[3..].to_vec(),
        })
        .collect()
}

/// Status and body.
type Answer = (u16, String);

/// A server that gives one answer to the exchange under test, and the right one to all others.
#[derive(Clone)]
struct Server {
    address: String,
    /// The present answer, and the requests that came since it was set.
    state: Arc<Mutex<(Answer, Vec<String>)>>,
}

impl Server {
    /// `right` answers the requests that are not under test.
    async fn start(right: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let state = Arc::new(Mutex::new(((500, String::new()), Vec::new())));
        let (right, shared) = (Arc::new(right), state.clone());
        let handle = move |request: Request| {
            let line = format!("{} {}", request.method(), request.uri().path());
            let (status, body) = {
                let mut state = shared.lock().unwrap();
                let answer = right(&line).unwrap_or_else(|| state.0.clone());
                state.1.push(line);
                answer
            };
            async move {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { serve(listener, Router::new().fallback(handle)).await });
        Self { address, state }
    }

    fn answer(&self, answer: Answer) {
        *self.state.lock().unwrap() = (answer, Vec::new());
    }

    fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().1.clone()
    }
}

fn run() -> Run {
    Run::new(Deadline::none(), Clock::System, Progress::default())
}

/// One retry, soon.
const POLICY: RetryPolicy =
    RetryPolicy { max_retries: 1, first_delay: Duration::from_millis(1), gives_up_overload: false };

fn own(status: u16, code: &str, message: &str, detail: &str) -> String {
    format!(
        r#"{{"object":"error","status":{status},"code":"{code}","message":"{message}","additional_data":{{{detail}}}}}"#
    )
}

const NOTIONS: &str = "Notion's own";
const NOT_NOTIONS: &str = "not Notion's";
const REQUESTED: &str = "the object that was requested";
const ANYTHING: &str = "anything else";

fn notion_samples(status: u16, exchange: &str) -> Vec<Sample> {
    let object = |kind: &str, id: &str| format!(r#"{{"object":"{kind}","id":"{id}","data_sources":[]}}"#);
    if status < 300 {
        let kind = exchange.replace(' ', "_");
        let right = match exchange {
            "me" => object("user", ASKED),
            "query" => r#"{"object":"list","results":[],"next_cursor":null,"has_more":false}"#.to_owned(),
            "property" => r#"{"object":"list","results":[],"next_cursor":null,"has_more":false,"type":"property_item","property_item":{"id":"vY%3BV","type":"relation","relation":{}}}"#.to_owned(),
            "page" => format!(r#"{{"object":"page","id":"{ASKED}","properties":{{}}}}"#),
            _ => object(&kind, ASKED),
        };
        let mut samples = vec![
            Sample::new("a page of a proxy", ANYTHING, "<html><title>Sign in</title></html>"),
            Sample::new("nothing", ANYTHING, ""),
            Sample::new("a cut answer", ANYTHING, &right[..right.len() - 9]),
            Sample::new("an error", ANYTHING, own(404, "object_not_found", "No.", "")),
            Sample::new("a list without an end", ANYTHING, r#"{"object":"list","results":[],"has_more":true}"#),
            Sample::new("another kind", ANYTHING, object("comment", ASKED)),
        ];
        if !["me", "query", "property"].contains(&exchange) {
            samples.push(Sample::new("another object", ANYTHING, object(&kind, OTHER)));
        }
        if status == 200 {
            samples.push(Sample::new(REQUESTED, ANYTHING, right));
        }
        return samples;
    }
    let found = "Notion's own, `object_not_found` for this object";
    let wrong_id = "Notion's own, wrong database id";
    let missing = |id: &str| own(status, "object_not_found", &format!("Could not find object with ID: {id}."), "");
    let invalid = |message: &str| own(status, "validation_error", message, "");
    vec![
        Sample::new("any other code", NOTIONS, own(status, "any_code", "No.", "")),
        Sample::new(found, NOTIONS, missing(ASKED)),
        Sample::new(found, NOTIONS, own(status, "object_not_found", "Could not find it.", "")),
        Sample::new("`object_not_found` for another object", NOTIONS, missing(OTHER)),
        Sample::new("not found under another code", NOTIONS, own(status, "invalid_request_url", "No such URL.", "")),
        Sample::new(
            "Notion's own, this page is a database",
            NOTIONS,
            invalid(&format!("Provided ID {ASKED} is a database, not a page.")),
        ),
        Sample::new(
            "another page is a database",
            NOTIONS,
            invalid(&format!("Provided ID {OTHER} is a database, not a page.")),
        ),
        Sample::new(
            "Notion's own, invalid `start_cursor`",
            NOTIONS,
            invalid("The start_cursor provided is invalid: 4d49987c-a64c-4ab8-916e-d9aeaffa265b"),
        ),
        Sample::new(wrong_id, NOTIONS, invalid("path failed validation: path.database_id should be a valid uuid")),
        Sample::new(wrong_id, NOTIONS, invalid(&format!("Provided ID {ASKED} is a page, not a database."))),
        Sample::new(wrong_id, NOTIONS, invalid(&format!("Database with ID {ASKED} is a linked database."))),
        Sample::new(wrong_id, NOTIONS, invalid("It does not contain any data sources accessible by this API bot.")),
        Sample::new(
            "Notion's own, `public_api_request_blocked`",
            NOTIONS,
            own(status, "rate_limited", "Blocked.", r#""rate_limit_reason":"public_api_request_blocked""#),
        ),
        Sample::new("a page of the edge", NOT_NOTIONS, "<html><title>Attention Required! | Cloudflare</title></html>"),
        Sample::new("a gateway's JSON", NOT_NOTIONS, r#"{"message":"no Route matched with those values"}"#),
        Sample::new("nothing", NOT_NOTIONS, ""),
        Sample::new("a cut answer", NOT_NOTIONS, &missing(ASKED)[..40]),
        Sample::new("another status", NOT_NOTIONS, own(status + 1, "object_not_found", "Could not find it.", "")),
        Sample::new("no code", NOT_NOTIONS, own(status, "", "Could not find it.", "")),
    ]
}

fn secrets(is_principal: bool) -> Secrets {
    let text = |text: &str| Some(text.into());
    let mut config = SecretsConfig { notion_api_key: text("ntn-5b2a77"), ..SecretsConfig::default() };
    if is_principal {
        config.databricks_client_id = Some("principal".to_owned());
        config.databricks_client_secret = text("dose-77aa01");
    } else {
        config.databricks_token = text("dapi-8d1f03");
    }
    Secrets::new(config, None)
}

/// The client of Notion under test.
struct Notion {
    server: Server,
    client: notion::Client,
}

impl Notion {
    async fn start() -> Self {
        let server = Server::start(|_| None).await;
        let config = NotionConfig {
            base_url: server.address.parse().unwrap(),
            rate_limit_delay: Duration::ZERO,
            page_size: 100,
            timeout: Duration::from_secs(20),
        };
        Self { server, client: notion::Client::new(config, secrets(false), POLICY).unwrap() }
    }

    /// Makes one exchange and returns its meaning and class as the document calls them, and the number of requests.
    async fn ask(&self, exchange: &str, answer: Answer) -> (String, String, usize) {
        self.server.answer(answer);
        let query = Query {
            partition: Partition::Default,
            order: SortOrder::Ascending,
            edited_since: None,
            edited_before: None,
            created_from: None,
            created_before: None,
            page_size: 100,
            can_shrink: false,
            title_only: false,
        };
        let (id, name, kind) = ("vY%3BV".to_owned(), "Epic".to_owned(), "relation".to_owned());
        let property = TruncatedProperty { id, name, kind, shown: 0 };
        let (source, page) = (DataSourceId::parse(ASKED).unwrap(), PageId::parse(ASKED).unwrap());
        let (client, run) = (&self.client, run());
        let outcome = match exchange {
            "me" => client.me(&run).await,
            "database" => client.database(DatabaseId::parse(ASKED).unwrap(), &run).await.map(drop),
            "data source" => client.data_source(source, &run).await.map(drop),
            "query" => client.query(source, &query, None, &run).await.map(drop),
            "page" => client.page(page, &run).await.map(drop),
            _ => client.property_items(page, &property, None, &run).await.map(drop),
        };
        let count = self.server.requests().len();
        match outcome {
            Ok(()) => ("the answer".to_owned(), "–".to_owned(), count),
            Err(error) => {
                let meaning = error.meaning().map_or("unreadable".to_owned(), |meaning| format!("`{meaning:?}`"));
                (meaning, format!("`{:?}`", Failure::from(error).class()), count)
            }
        }
    }
}

/// The rows of a table that combinations have reached, and the number of combinations.
#[derive(Default)]
struct Walked {
    reached: BTreeSet<usize>,
    tried: usize,
}

impl Walked {
    fn end(self, lines: &[Line], service: &str) {
        let unreached: Vec<_> = (0..lines.len()).filter(|at| !self.reached.contains(at)).map(|at| at + 1).collect();
        assert!(unreached.is_empty(), "no answer reaches these rows of the table of {service}: {unreached:?}");
        println!("{} answers of {service}", self.tried);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_notion_means_what_the_document_says() {
    let lines = Arc::new(table("## Notion"));
    let mut walks = JoinSet::new();
    for exchange in ["me", "database", "data source", "query", "page", "property"] {
        let lines = lines.clone();
        walks.spawn(async move {
            let notion = Notion::start().await;
            let mut walked = Walked::default();
            for status in STATUSES {
                for sample in notion_samples(status, exchange) {
                    let combination = format!("{exchange} answered {status} with {sample:?}");
                    let at = lines.iter().position(|line| line.fits(status, &sample, exchange)).expect(&combination);
                    let (meaning, class, count) = notion.ask(exchange, (status, sample.text)).await;
                    let [said, again, said_class] = &lines[at].cells[..] else { panic!("{combination}") };
                    assert_eq!(said.split(':').next().unwrap(), meaning, "{combination}");
                    assert_eq!(*said_class, class, "{combination}");
                    assert_eq!(if again == "yes" { 2 } else { 1 }, count, "{combination}");
                    walked.tried += 1;
                    walked.reached.insert(at);
                }
            }
            walked
        });
    }
    let mut all = Walked::default();
    while let Some(walked) = walks.join_next().await {
        let walked = walked.unwrap();
        all.tried += walked.tried;
        all.reached.extend(walked.reached);
    }
    all.end(&lines, "Notion");
}

const DATABRICKS_OWN: &str = "Databricks' own";

fn databricks_samples(status: u16, exchange: &str) -> Vec<Sample> {
    if status < 300 {
        let right = match exchange {
            "token" => r#"{"access_token":"t","expires_in":3600}"#,
            "warehouse" => r#"{"id":"wh","state":"STOPPED"}"#,
            "result" => r#"{"chunk_index":1,"row_offset":1,"row_count":1,"data_array":[["2"]]}"#,
            _ => SUCCEEDED,
        };
        let mut samples = vec![
            Sample::new("a login page", ANYTHING, "<html><title>Sign in</title></html>"),
            Sample::new("nothing", ANYTHING, ""),
            Sample::new("a cut answer", ANYTHING, &right[..right.len() - 9]),
        ];
        if exchange == "result" {
            let name = "readable, but without the rows that the result still lacks";
            samples.push(Sample::new(name, ANYTHING, r#"{"object":"list"}"#));
            samples.push(Sample::new(name, ANYTHING, right.replace(":1", ":0")));
        } else {
            samples.push(Sample::new("another object", ANYTHING, r#"{"object":"list"}"#));
        }
        if status == 200 {
            samples.push(Sample::new(REQUESTED, ANYTHING, right));
        }
        return samples;
    }
    let own = |code: &str, message: &str| format!(r#"{{"error_code":"{code}","message":"{message}"}}"#);
    vec![
        Sample::new("any other code", DATABRICKS_OWN, own("ANY_CODE", "No.")),
        Sample::new("Databricks' own, about the token", DATABRICKS_OWN, own("403", "Invalid access token.")),
        Sample::new("Databricks' own, too large", DATABRICKS_OWN, own("BAD_REQUEST", "The request body is too large.")),
        Sample::new(
            "Databricks' own, `invalid_client`",
            DATABRICKS_OWN,
            r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#,
        ),
        Sample::new("a gateway's JSON", "not Databricks'", r#"{"message":"no Route matched with those values"}"#),
        Sample::new("a page of a proxy", "not Databricks'", "<html><title>Blocked</title></html>"),
        Sample::new("nothing", "not Databricks'", ""),
    ]
}

const SUCCEEDED: &str = r#"{"statement_id":"s","status":{"state":"SUCCEEDED"},"manifest":{"format":"JSON_ARRAY","schema":{"column_count":1,"columns":[{"name":"n","position":0}]},"total_chunk_count":1,"total_row_count":1,"truncated":false},"result":{"chunk_index":0,"row_count":1,"data_array":[["1"]]}}"#;
const PENDING: &str = r#"{"statement_id":"s","status":{"state":"PENDING"}}"#;
const IN_TWO_PARTS: &str = r#"{"statement_id":"s","status":{"state":"SUCCEEDED"},"manifest":{"format":"JSON_ARRAY","schema":{"column_count":1,"columns":[{"name":"n","position":0}]},"total_chunk_count":2,"total_row_count":2,"truncated":false},"result":{"chunk_index":0,"row_count":1,"next_chunk_index":1,"next_chunk_internal_link":"/api/2.0/sql/statements/s/result/chunks/1","data_array":[["1"]]}}"#;

/// The exchange that a request belongs to.
fn exchange_of(line: &str) -> &'static str {
    match line {
        _ if line.ends_with("/token") => "token",
        _ if line.contains("/warehouses/") => "warehouse",
        _ if line.contains("/chunks/") => "result",
        _ if line.starts_with("GET") => "poll",
        _ => "submit",
    }
}

/// The client of Databricks under test: `exchange` gets the answer that is set, the others the right one.
struct Databricks {
    exchange: &'static str,
    server: Server,
    client: databricks::Client,
}

impl Databricks {
    async fn start(exchange: &'static str) -> Self {
        let right = move |line: &str| match exchange_of(line) {
            at if at == exchange => None,
            "submit" if exchange == "poll" => Some((200, PENDING.to_owned())),
            "submit" if exchange == "result" => Some((200, IN_TWO_PARTS.to_owned())),
            _ => Some((200, SUCCEEDED.to_owned())),
        };
        let server = Server::start(right).await;
        let config = DatabricksConfig {
            host: server.address.parse().unwrap(),
            warehouse_id: "wh".to_owned(),
            catalog: "main".to_owned(),
            schema: "bronze".to_owned(),
            views_schema: None,
            timeout: Duration::from_secs(20),
        };
        let client = databricks::Client::new(config, secrets(exchange == "token"), POLICY).unwrap();
        Self { exchange, server, client }
    }

    /// Makes a statement, or asks for the warehouse. Returns the verdict and class as the document calls them, and how often
    /// the exchange under test was made.
    async fn ask(&self, answer: Answer) -> (&'static str, String, usize) {
        self.server.answer(answer);
        let run = run();
        let outcome = if self.exchange == "warehouse" {
            self.client.verify_warehouse(&run).await.map_err(|failure| (false, failure))
        } else {
            let (purpose, text) = ("reading".to_owned(), "SELECT 1".to_owned());
            let outcome = self.client.execute(&Statement { purpose, text, parameters: Vec::new() }, &run).await;
            outcome.map(drop).map_err(|error| (error.is_too_large(), Failure::from(error)))
        };
        let requests = self.server.requests();
        let count = |exchange: &str| requests.iter().filter(|line| exchange_of(line) == exchange).count();
        let is_new_statement = self.exchange == "poll" && count("submit") > 1;
        let verdict = match &outcome {
            Ok(()) => "the answer",
            Err((true, _)) => "a smaller body is wanted",
            Err(_) if is_new_statement => "the statement is forgotten",
            Err(_) => "refused",
        };
        let class = outcome.err().map_or("–".to_owned(), |(_, failure)| format!("`{:?}`", failure.class()));
        (verdict, class, if is_new_statement { 1 } else { count(self.exchange) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_databricks_means_what_the_document_says() {
    let lines = Arc::new(table("## Databricks"));
    let mut walks = JoinSet::new();
    for exchange in ["submit", "poll", "result", "token", "warehouse"] {
        // A poll waits before it asks, so these walks go side by side.
        for statuses in STATUSES.chunks(5) {
            let lines = lines.clone();
            walks.spawn(async move {
                let mut walked = Walked::default();
                let mut databricks = Databricks::start(exchange).await;
                for status in statuses {
                    for sample in databricks_samples(*status, exchange) {
                        // A token that was got is kept, so each answer about tokens needs a client of its own.
                        if exchange == "token" {
                            databricks = Databricks::start(exchange).await;
                        }
                        check_databricks(&databricks, *status, sample, &lines, &mut walked).await;
                    }
                }
                walked
            });
        }
    }
    let mut all = Walked::default();
    while let Some(walked) = walks.join_next().await {
        let walked = walked.unwrap();
        all.tried += walked.tried;
        all.reached.extend(walked.reached);
    }
    all.end(&lines, "Databricks");
}

async fn check_databricks(databricks: &Databricks, status: u16, sample: Sample, lines: &[Line], walked: &mut Walked) {
    let exchange = databricks.exchange;
    let combination = format!("{exchange} answered {status} with {sample:?}");
    let at = lines.iter().position(|line| line.fits(status, &sample, exchange)).expect(&combination);
    let (verdict, class, count) = databricks.ask((status, sample.text)).await;
    let [said, again, said_class] = &lines[at].cells[..] else { panic!("{combination}") };
    // The other verdicts differ in what happens, which the last two columns say.
    let said = said.split(':').next().unwrap();
    let is_seen = ["the answer", "a smaller body is wanted", "the statement is forgotten"].contains(&said);
    assert_eq!(if is_seen { said } else { "refused" }, verdict, "{combination}");
    assert_eq!(*said_class, class, "{combination}");
    assert_eq!(again == "yes", count > 1, "{combination}: {count} requests");
    walked.tried += 1;
    walked.reached.insert(at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failed_statement_has_the_class_that_the_document_says() {
    let rows = rows(&section(VERDICTS, "## Databricks"));
    let rows: Vec<_> = rows.into_iter().filter(|row| row.len() == 3 && row[2].starts_with('`')).collect();
    assert!(rows.len() > 10, "{VERDICTS} has the table of failed statements");
    let databricks = Databricks::start("submit").await;
    for row in rows {
        let (state, code, message) = match row[0].as_str() {
            "our own check: the table lacks a row" => ("", "UNKNOWN", "notion-sync: proof failed"),
            "our own check: rows parsed are not the rows sent" => {
                ("", "UNKNOWN", "notion-sync: rows parsed differ from rows sent")
            }
            "SQLSTATE 22012 with code INTERNAL_ERROR" => ("22012", "INTERNAL_ERROR", "[DIVIDE_BY_ZERO] no"),
            "anything else" => ("", "BAD_REQUEST", "no"),
            other => match other.split_once(' ') {
                Some(("SQLSTATE", state)) => (state, "BAD_REQUEST", "no"),
                Some(("code", code)) => ("", code, "no"),
                _ => panic!("{VERDICTS}: {other}"),
            },
        };
        let state = if state.is_empty() { String::new() } else { format!(r#""sql_state":"{state}","#) };
        let failed = format!(
            r#"{{"statement_id":"s","status":{{"state":"FAILED",{state}"error":{{"error_code":"{code}","message":"{message}"}}}}}}"#
        );
        let (verdict, class, count) = databricks.ask((200, failed)).await;
        assert_eq!((verdict, &class), ("refused", &row[2]), "{row:?}");
        assert_eq!(row[1] == "yes", count > 1, "{row:?}: {count} submits");
    }
}
