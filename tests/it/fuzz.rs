//! Nothing that comes from outside makes a reader panic: arbitrary bytes, arbitrary JSON, and real-looking samples with bits
//! flipped, parts cut out, doubled and taken from elsewhere. What is private is reached through the real clients, which talk
//! to a server that answers just that.
//!
//! A bounded number of cases by default; `FUZZ_CASES=100000 cargo test --test it fuzz` for longer. A failing case is kept
//! in `tests/proptest-regressions` and tried first from then on.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use notion_sync::aws::secrets::{Secrets, SecretsConfig};
use notion_sync::config::{Config, Variables, vars};
use notion_sync::databricks::{self, DatabricksConfig, Statement};
use notion_sync::event;
use notion_sync::failure::Failure;
use notion_sync::http::retry::RetryPolicy;
use notion_sync::ids::{DataSourceId, Database, DatabaseId, DatabaseName, PageId};
use notion_sync::notion::{
    self, NotionConfig, PageRow, Partition, Query, SortOrder, TruncatedProperty, truncated_properties, volatile_spans,
    without_request_id,
};
use notion_sync::run::Run;
use notion_sync::run::clock::Clock;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::progress::Progress;
use notion_sync::sync::plan::{WalkRequest, plan};
use notion_sync::sync::row::{fingerprint, row};
use notion_sync::warehouse::{EncodedRow, read_comparison, read_watermarks};
use notion_sync::watermark::{Position, StoredPosition, Watermark};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config as Cases, FileFailurePersistence, TestRunner};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::tidy::{project_files, read};

const PAGE: &str = r#"{"object":"page","id":"be633bf1-dfa0-436d-b259-571129a590e5","created_time":"2022-10-24T22:54:00.000Z","last_edited_time":"2026-11-22T13:02:00.000Z","parent":{"type":"data_source_id","data_source_id":"164b19c5-58e5-4a47-a3a9-c905d9519c65","database_id":"27a5d30a-1728-4a1e-a788-71341f22fb97"},"in_trash":false,"is_archived":true,"icon":{"type":"file","file":{"url":"https://f.example/a.png?X-Amz-Signature=aa&b=1","expiry_time":"2026-11-22T14:00:00.000Z"}},"properties":{"Näme":{"id":"title","type":"title","title":[{"type":"mention","plain_text":"\ud83d\ude00 \u0000 \\ \""}]},"n":{"id":"a%3Ab","type":"number","number":-1.10e+2},"Epic":{"id":"vY%3BV","type":"relation","relation":[{"id":"x"}],"has_more":true},"Team":{"id":"p","type":"people","people":[{"object":"user"}]},"Spec":{"id":"f","type":"files","files":[{"name":"b","type":"file","file":{"url":"https://f.example/b.pdf?s=1","expiry_time":"2026-11-22T14:00:00.000Z"}}]}},"url":"u","request_id":"b1637152-5698-41ec-9d87-9de35dbbc3aa"}"#;

/// How many cases a test tries.
fn cases(by_default: u32) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "whoever fuzzes says how long")]
    let wanted = std::env::var("FUZZ_CASES").ok();
    wanted.map_or(by_default, |text| text.parse().expect("FUZZ_CASES is a number"))
}

/// Tries cases; a panic is made smaller and shown.
fn fuzz<S: Strategy>(by_default: u32, strategy: &S, test: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let kept = FileFailurePersistence::SourceParallel("proptest-regressions");
    let config = Cases {
        cases: cases(by_default),
        failure_persistence: Some(Box::new(kept)),
        source_file: Some(file!()),
        max_shrink_iters: 2_000,
        ..Cases::default()
    };
    let result = TestRunner::new(config).run(strategy, |case| {
        test(case);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// One change to a sample.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, usize),
    Double(Index, usize),
    /// A part of another sample, or something that readers trip over.
    Splice(Index, Index, usize),
    Insert(Index, &'static str),
}

const TROUBLE: [&str; 14] = [
    "null",
    "-1",
    "1e999",
    "99999999999999999999999",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":",
    "\u{202e}é",
    "]",
    ",",
    "\"",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-01T00:00:00Z",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, mask)| Mutation::Flip(at, mask)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 1usize..40).prop_map(|(at, length)| Mutation::Cut(at, length)),
        (at(), 1usize..80).prop_map(|(at, length)| Mutation::Double(at, length)),
        (at(), at(), 1usize..80).prop_map(|(at, from, length)| Mutation::Splice(at, from, length)),
        (at(), select(&TROUBLE[..])).prop_map(|(at, text)| Mutation::Insert(at, text)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation, donor: &[u8]) {
    let part = |bytes: &[u8], at: &Index, length: usize| {
        let start = at.index(bytes.len());
        start..bytes.len().min(start + length)
    };
    if bytes.is_empty() || donor.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, mask) => {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        Mutation::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Cut(at, length) => drop(bytes.drain(part(bytes, at, *length))),
        Mutation::Double(at, length) => {
            let range = part(bytes, at, *length);
            let doubled = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, doubled);
        }
        Mutation::Splice(at, from, length) => {
            let taken = donor[part(donor, from, *length)].to_vec();
            bytes.splice(part(bytes, at, *length), taken);
        }
        Mutation::Insert(at, text) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
    }
}

/// A few changes to one of the samples; none leaves it as it is.
fn mutated(samples: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    (select(samples.clone()), select(samples), vec(mutation(), 0..6)).prop_map(|(sample, donor, mutations)| {
        let mut bytes = sample.into_bytes();
        mutations.iter().for_each(|mutation| apply(&mut bytes, mutation, donor.as_bytes()));
        bytes
    })
}

/// Any JSON, with keys that the readers look for among its own.
fn json(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        any::<i128>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        select(keys).prop_map(|text| serde_json::to_string(text).unwrap()),
        Just("\"2026-11-22T13:02:00.000Z\"".to_owned()),
        Just("\"be633bf1-dfa0-436d-b259-571129a590e5\"".to_owned()),
    ];
    let value = leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec((select(keys), inner), 0..6).prop_map(|entries| {
                let entries = entries.iter().map(|(key, value)| format!("{key:?}:{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    value.prop_map(String::into_bytes)
}

/// All three kinds of input.
fn input(samples: Vec<String>, keys: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        2 => json(keys),
        5 => mutated(samples),
    ]
}

fn database() -> Database {
    Database {
        name: DatabaseName::parse("projects").unwrap(),
        id: DatabaseId::parse("27a5d30a-1728-4a1e-a788-71341f22fb97").unwrap(),
    }
}

fn source() -> DataSourceId {
    DataSourceId::parse("164b19c5-58e5-4a47-a3a9-c905d9519c65").unwrap()
}

#[test]
fn events() {
    let files = project_files();
    let samples = files.iter().filter(|file| file.starts_with("events/")).map(|file| read(file)).collect();
    let keys =
        &["action", "database", "full_refresh", "detail", "detail-type", "source", "trigger", "sync", "projects"];
    fuzz(2_000, &input(samples, keys), |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        match event::parse(&text, &[database()]) {
            Ok(request) => assert!(request.action.database().is_none_or(|name| name.as_str() == "projects")),
            Err(failure) => assert!(failure.describe().chars().count() < 1_000, "{failure:?}"),
        }
    });
}

#[test]
fn configurations() {
    let values: Vec<String> = [
        "https://adb-984752964297111.11.azuredatabricks.net",
        "http://127.0.0.1:8080",
        "/sql/1.0/warehouses/1a2b3c",
        "340ms",
        "1h 30m",
        "8MiB",
        "0.2",
        "100",
        "be633bf1-dfa0-436d-b259-571129a590e5",
        "arn:aws:dynamodb:eu-central-1:1:table/notion-sync",
        "main",
    ]
    .map(str::to_owned)
    .into();
    let names: Vec<String> = vars::VARIABLES
        .iter()
        .map(|variable| variable.name.replace("<NAME>", "PROJECTS"))
        .chain(
            ["NOTION__DB_ID", "NOTION_DB_ID", "NOTION_Ä_DB_ID", "AWS_REGION", "AWS_LAMBDA_RUNTIME_API"]
                .map(str::to_owned),
        )
        .collect();
    let pairs = vec((select(names), prop_oneof![mutated(values).boxed(), vec(any::<u8>(), 0..40).boxed()]), 0..25);
    fuzz(1_000, &pairs, |pairs| {
        let is_secret = |name: &str| vars::find(name).is_some_and(|variable| variable.secret);
        let value = |name: &str, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            if is_secret(name) { format!("planted-{text}") } else { text.into_owned() }
        };
        let variables: Variables = pairs.iter().map(|(name, bytes)| (name.clone(), value(name, bytes))).collect();
        if let Err(failure) = Config::from_variables(&variables) {
            let message = failure.describe();
            assert!(message.contains("BLOCKED: "), "{message}");
            assert!(!message.contains("planted-"), "a secret's value is shown: {message}");
        }
    });
}

#[test]
fn env_files() {
    let sample = read(".env.example");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env");
    fuzz(400, &input(vec![sample, "A='b $x'\nexport C=\"c\"\n".to_owned()], &["A", "B"]), |bytes| {
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(variables) = Variables::default().with_file(&path) {
            drop(Config::from_variables(&variables));
        }
    });
}

#[test]
fn pages() {
    let keys = &[
        "object",
        "page",
        "id",
        "created_time",
        "last_edited_time",
        "properties",
        "type",
        "file",
        "url",
        "expiry_time",
        "relation",
        "has_more",
        "people",
        "title",
        "mention",
        "request_id",
        "parent",
        "is_archived",
    ];
    fuzz(3_000, &input(vec![PAGE.to_owned()], keys), |bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        drop(without_request_id(&text));
        if let Ok(spans) = volatile_spans(&text) {
            let ends: Vec<usize> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
            assert!(ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end)), "{spans:?}");
        }
        let Ok(raw) = RawValue::from_string(text.clone()) else { return };
        drop(truncated_properties(&raw));
        let Ok(page) = PageRow::read(raw) else { return };
        assert_eq!(page.text.get(), text.trim_matches([' ', '\n', '\r', '\t']), "byte for byte");
        let Ok(row) = row(page, &database(), source(), false, None) else { return };
        assert_eq!(fingerprint(&row).len(), 32);
        let encoded = EncodedRow::encode(&row).unwrap();
        assert_eq!(serde_json::to_string(&encoded.json).unwrap().len() - 2, encoded.body_bytes);
    });
}

#[test]
fn stored_positions() {
    let samples = vec![
        r#"{"version":1,"edited_since":null,"started_at":"2026-11-22T13:00:20Z","stretches":[{"partition":"default","created_from":"2026-03-02T10:17:00Z"},{"partition":"archived"}],"sweep":true}"#.to_owned(),
        r#"{"version":1,"edited_since":"2026-11-22T13:00:00Z","started_at":"-009999-01-02T01:59:59Z","stretches":[],"sweep":true,"swept":{"created_before":"2026-03-02T10:17:00Z","removed":18446744073709551615}}"#.to_owned(),
    ];
    let keys = &[
        "version",
        "edited_since",
        "started_at",
        "stretches",
        "partition",
        "created_from",
        "created_to",
        "sweep",
        "swept",
    ];
    fuzz(2_000, &input(samples, keys), |bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(position) = Position::parse(&text) {
            let written = position.as_ref().map(|position| position.to_text().unwrap());
            assert_eq!(written.map(|text| Position::parse(&text).unwrap()).unwrap_or_default(), position);
        }
        let mut stored = Watermark::none(&database(), source());
        stored.position = StoredPosition::read(Some(&text));
        for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            drop(plan(&stored, WalkRequest::Incremental, now, Duration::from_secs(120)));
        }
    });
}

/// What the server answers: status, headers, body; the last one again and again.
type Answers = Arc<Mutex<Vec<(u16, String, Vec<u8>)>>>;

/// A server that answers what it is told, whatever it is asked.
struct Server {
    address: String,
    answers: Answers,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers::default();
        let told = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, told.clone()));
            }
        });
        Self { address, answers }
    }

    fn answer(&self, answers: Vec<(u16, String, Vec<u8>)>) {
        *self.answers.lock().unwrap() = answers;
    }
}

async fn serve(mut stream: TcpStream, answers: Answers) {
    while read_request(&mut stream).await.is_some() {
        let (status, headers, body) = {
            let mut answers = answers.lock().unwrap();
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&buffer[..count]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if request.len() >= end + 4 + length.unwrap_or(0) {
            return Some(());
        }
    }
}

/// A status and headers as they come with errors, and without.
fn envelope() -> impl Strategy<Value = (u16, String)> {
    let status = prop_oneof![
        3 => Just(200u16),
        2 => select(&[400u16, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 529][..]),
    ];
    let retry_after = prop_oneof![
        6 => Just(String::new()),
        1 => select(&["0", "7", "18446744073709551615", "-1", "Sun, 22 Nov 2026 13:00:30 GMT", "soon"][..])
            .prop_map(|text| format!("retry-after: {text}\r\ndate: Sun, 22 Nov 2026 13:00:00 GMT\r\n")),
    ];
    (status, retry_after)
}

fn run() -> Run {
    Run::new(Deadline::after(Duration::from_millis(400)), Clock::System, Progress::default())
}

fn secrets() -> Secrets {
    let config = SecretsConfig {
        notion_api_key: Some("key".into()),
        databricks_token: Some("token".into()),
        ..SecretsConfig::default()
    };
    Secrets::new(config, None)
}

const NO_RETRIES: RetryPolicy =
    RetryPolicy { max_retries: 0, first_delay: Duration::from_millis(1), gives_up_overload: false };

fn asks_for_a_pause(headers: &str, body: &[u8]) -> bool {
    headers.contains("retry-after") || body.windows(11).any(|part| part == b"retry_after")
}

fn shown(failure: impl Into<Failure>) {
    let text = failure.into().describe();
    assert!(!text.is_empty() && text.chars().count() < 20_000, "{text}");
}

#[test]
fn answers_of_notion() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    let samples = vec![
        format!(r#"{{"object":"list","results":[{PAGE},{PAGE}],"next_cursor":"s:1","has_more":true,"type":"page_or_data_source","request_status":{{"type":"incomplete"}},"request_id":"r"}}"#),
        format!(r#"{{"object":"list","results":[{PAGE}],"next_cursor":null,"has_more":false}}"#),
        PAGE.to_owned(),
        r#"{"object":"database","id":"27a5d30a-1728-4a1e-a788-71341f22fb97","data_sources":[{"id":"164b19c5-58e5-4a47-a3a9-c905d9519c65","name":"Projects"}],"in_trash":false}"#.to_owned(),
        r#"{"object":"data_source","in_trash":true,"parent":{"type":"database_id","database_id":"x"}}"#.to_owned(),
        r#"{"object":"list","results":[{"object":"property_item","type":"relation","relation":{"id":"x"}}],"next_cursor":"c","has_more":true,"property_item":{"type":"relation"}}"#.to_owned(),
        r#"{"object":"property_item","type":"number","id":"a","number":1.10,"request_id":"r"}"#.to_owned(),
        r#"{"object":"error","status":429,"code":"rate_limited","message":"m","additional_data":{"rate_limit_reason":"public_api_request_rate_limit","retry_after":"49"},"request_id":"r"}"#.to_owned(),
        r#"{"object":"error","status":400,"code":"validation_error","message":"The start_cursor provided is invalid: 4d49"}"#.to_owned(),
        "<html><h1>502 Bad Gateway</h1></html>".to_owned(),
    ];
    let keys = &[
        "object",
        "list",
        "results",
        "next_cursor",
        "has_more",
        "request_status",
        "type",
        "request_id",
        "id",
        "data_sources",
        "in_trash",
        "code",
        "message",
        "additional_data",
        "retry_after",
    ];
    let config = NotionConfig {
        base_url: server.address.parse().unwrap(),
        rate_limit_delay: Duration::ZERO,
        page_size: 100,
        timeout: Duration::from_secs(5),
    };
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
    let page_id = PageId::parse("be633bf1-dfa0-436d-b259-571129a590e5").unwrap();
    let client = || notion::Client::new(config.clone(), secrets(), NO_RETRIES).unwrap();
    let shared = client();
    fuzz(300, &(envelope(), input(samples, keys)), |((status, headers), body)| {
        // A pause that one answer asks for must not hold up the next case.
        let own = asks_for_a_pause(&headers, &body).then(client);
        let client = own.as_ref().unwrap_or(&shared);
        server.answer(vec![(status, headers, body)]);
        runtime.block_on(async {
            match client.query(source(), &query, Some("s:1"), &run()).await {
                Ok(page) => page.rows.into_iter().for_each(|row| drop(PageRow::read(row))),
                Err(error) => shown(error),
            }
            let (id, name, kind) = ("vY%3BV".to_owned(), "Epic".to_owned(), "relation".to_owned());
            let property = TruncatedProperty { id, name, kind, shown: 1 };
            client.property_items(page_id, &property, None, &run()).await.map_or_else(shown, drop);
            client.page(page_id, &run()).await.map_or_else(shown, drop);
            client.database(database().id, &run()).await.map_or_else(shown, drop);
            client.data_source(source(), &run()).await.map_or_else(shown, drop);
        });
    });
}

#[test]
fn answers_of_databricks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    let samples: Vec<String> = [
        r#"{"statement_id":"01ef9de4","status":{"state":"SUCCEEDED"},"manifest":{"format":"JSON_ARRAY","schema":{"column_count":4,"columns":[{"name":"num_affected_rows"},{"name":"num_updated_rows"},{"name":"num_deleted_rows"},{"name":"num_inserted_rows"}]},"total_chunk_count":2,"truncated":false},"result":{"chunk_index":0,"data_array":[["3","1","0","2"]]}}"#,
        r#"{"statement_id":"01ef9de4","status":{"state":"SUCCEEDED"},"manifest":{"schema":{"columns":[{"name":"page_id"},{"name":"data_source_id"},{"name":"side"}]},"total_chunk_count":1},"result":{"data_array":[["be633bf1-dfa0-436d-b259-571129a590e5",null,"missing_in_notion"],["12",null,"live_rows"]]}}"#,
        r#"{"statement_id":"01ef9de4","status":{"state":"SUCCEEDED"},"manifest":{"schema":{"columns":[{"name":"data_source_id"},{"name":"synced_through"},{"name":"last_edited_time"},{"name":"resume"},{"name":"last_full_refresh_at"},{"name":"last_sweep_at"}]},"total_chunk_count":1},"result":{"data_array":[["164b19c5-58e5-4a47-a3a9-c905d9519c65","1795359480000",null,"{}","-377705023201000","253402207200999"]]}}"#,
        r#"{"statement_id":"01ef9de4","status":{"state":"CLOSED"}}"#,
        r#"{"statement_id":"01ef9de4","status":{"state":"FAILED","sql_state":"2D521","error":{"error_code":"BAD_REQUEST","message":"[DELTA_CONCURRENT_APPEND] x SQLSTATE: 2D521\n== SQL ==\nrows"}}}"#,
        r#"{"statement_id":"01ef9de4","status":{"state":"FAILED","error":{"error_code":"UNKNOWN","message":"[USER_RAISED_EXCEPTION] notion-sync: proof failed"}}}"#,
        r#"{"error_code":403,"message":"Invalid access token."}"#,
        r#"{"error_code":"BAD_REQUEST","message":"The query text size exceeds 16 MiB"}"#,
        r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#,
        "<html>",
        "",
    ]
    .map(str::to_owned)
    .into();
    let keys = &[
        "statement_id",
        "status",
        "state",
        "SUCCEEDED",
        "FAILED",
        "CLOSED",
        "error",
        "error_code",
        "message",
        "manifest",
        "schema",
        "columns",
        "name",
        "total_chunk_count",
        "truncated",
        "result",
        "data_array",
        "sql_state",
    ];
    let config = DatabricksConfig {
        views_schema: None,
        host: server.address.parse().unwrap(),
        warehouse_id: "w".to_owned(),
        catalog: "main".to_owned(),
        schema: "bronze".to_owned(),
        timeout: Duration::from_secs(5),
    };
    let statement = Statement { purpose: "fuzz".to_owned(), text: "SELECT 1".to_owned(), parameters: Vec::new() };
    let answers = vec((envelope(), input(samples, keys)), 1..3);
    let client = || databricks::Client::new(config.clone(), secrets(), NO_RETRIES).unwrap();
    let shared = client();
    fuzz(300, &answers, |answers| {
        let pauses = answers.iter().any(|((_, headers), body)| asks_for_a_pause(headers, body));
        let own = pauses.then(client);
        let client = own.as_ref().unwrap_or(&shared);
        server.answer(answers.into_iter().map(|((status, headers), body)| (status, headers, body)).collect());
        runtime.block_on(async {
            match client.execute(&statement, &run()).await {
                Ok(rows) => {
                    let _ = rows.merge_counts();
                    read_comparison(&rows).map_or_else(shown, drop);
                    read_watermarks(&rows, database().id, &database().name).map_or_else(shown, drop);
                }
                Err(error) => shown(error),
            }
        });
    });
}
