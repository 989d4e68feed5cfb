//! Lambda's Runtime API around the real handler's process: events in, answers out, everything written kept (facts/aws §4.2).

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use notion_sync::run::clock::Clock;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::stack;

/// How late an answer may come: Lambda allows nothing, but here two processors carry Lambda, Notion and the warehouse.
const LATENESS: Duration = Duration::from_secs(2);
/// What a function gets when a test says nothing: long enough never to matter.
const PLENTY: Duration = Duration::from_secs(120);

/// A running `notion-sync-lambda` and the Runtime API it talks to: one execution environment of Lambda's.
pub(crate) struct LambdaProcess {
    process: Child,
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Event>,
    server: JoinHandle<()>,
}

/// One event as the Runtime API hands it out.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) body: Vec<u8>,
    pub(crate) request_id: String,
    /// Milliseconds since 1970.
    pub(crate) deadline_ms: i64,
}

/// How an invocation ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request_id: String,
    /// Whether it came as an error.
    pub(crate) is_error: bool,
    pub(crate) body: Value,
    /// What stood on standard output when the answer came.
    pub(crate) stdout_before: String,
}

struct Shared {
    events: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    in_flight: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Event {
    /// An event with plenty of time.
    pub(crate) fn new(body: &str) -> Self {
        Self::within(body, PLENTY)
    }

    /// An event whose invocation Lambda ends so long from now.
    pub(crate) fn within(body: &str, time: Duration) -> Self {
        let deadline = Clock::System.now() + jiff::SignedDuration::try_from(time).unwrap();
        Self {
            body: body.as_bytes().to_vec(),
            request_id: uuid::Uuid::new_v4().to_string(),
            deadline_ms: deadline.as_millisecond(),
        }
    }
}

impl Answer {
    /// The report of an invocation that ended well.
    pub(crate) fn report(self) -> Value {
        assert!(!self.is_error, "the invocation failed: {}", self.body);
        self.body
    }

    /// `errorType` and `errorMessage` of one that failed; nothing else is in it.
    pub(crate) fn error(self) -> (String, String) {
        assert!(self.is_error, "the invocation ended well: {}", self.body);
        let fields = self.body.as_object().unwrap();
        assert_eq!(fields.len(), 2, "{fields:?}");
        (fields["errorType"].as_str().unwrap().to_owned(), fields["errorMessage"].as_str().unwrap().to_owned())
    }
}

impl LambdaProcess {
    /// Starts the function's process with these variables and what Lambda sets, nothing else.
    pub(crate) async fn start(variables: &BTreeMap<String, String>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| stack::folder().join(format!("lambda-{number}.{name}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            events: AsyncMutex::new(receiver),
            in_flight: Mutex::default(),
            waiting: Mutex::default(),
            stdout,
            stderr,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let process = Command::new(env!("CARGO_BIN_EXE_notion-sync-lambda"))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "notion-sync-test"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
            ])
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(File::create(&shared.stdout).unwrap())
            .stderr(File::create(&shared.stderr).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, shared, events: sender, server }
    }

    /// One event, answered; Lambda's own limit holds: no answer at the deadline ends the process and the test.
    pub(crate) async fn invoke(&mut self, event: Event) -> Answer {
        let (request_id, deadline_ms) = (event.request_id.clone(), event.deadline_ms);
        let (sender, receiver) = oneshot::channel();
        self.shared.waiting.lock().unwrap().insert(request_id, sender);
        self.events.send(event).unwrap();
        let left_ms = deadline_ms - Clock::System.now().as_millisecond();
        let bound = match u64::try_from(left_ms) {
            Ok(left_ms) => Duration::from_millis(left_ms) + LATENESS,
            // In the past = no limit that the harness could hold.
            Err(_) => PLENTY,
        };
        tokio::select! {
            answer = timeout(bound, receiver) => match answer {
                Ok(answer) => answer.unwrap(),
                Err(_) => {
                    self.process.kill().await.unwrap();
                    panic!("no answer at the deadline; its log:\n{}", self.stdout());
                }
            },
            status = self.process.wait() => panic!("the process ended during an event: {status:?}\n{}", self.stderr()),
        }
    }

    /// One event with plenty of time, as text.
    pub(crate) async fn ask(&mut self, event: &str) -> Answer {
        self.invoke(Event::new(event)).await
    }

    /// A sync of `projects` with plenty of time that must be complete; its report.
    pub(crate) async fn sync(&mut self) -> Value {
        let report = self.ask(r#"{"action":"sync","database":"projects"}"#).await.report();
        assert_eq!(report["outcome"], "complete", "{report}");
        report
    }

    /// Everything on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.shared.stdout).unwrap()
    }

    /// Everything on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.shared.stderr).unwrap()
    }

    /// The log so far: each line must be what Lambda's JSON format wants, an object with `timestamp` and `level`.
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.stdout())
    }

    /// Freezes for good, as Lambda does with an environment it no longer needs. Nothing may be on standard error.
    pub(crate) async fn end(mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "the process ended by itself:\n{}", self.stderr());
        assert_eq!(self.stderr(), "", "nothing goes to standard error");
        self.lines();
        self.process.kill().await.unwrap();
        self.server.abort();
    }
}

/// Log lines, each checked for the form that Lambda's JSON format wants.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let read = |line: &str| -> Value {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let timestamp = value["timestamp"].as_str().unwrap_or_else(|| panic!("no timestamp: {line}"));
        timestamp.parse::<Timestamp>().unwrap_or_else(|error| panic!("{error}: {line}"));
        let level = value["level"].as_str().unwrap_or_else(|| panic!("no level: {line}"));
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line}");
        value
    };
    text.lines().map(read).collect()
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .with_state(shared)
}

/// Held open until there is an event: what an idle Lambda looks like.
async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let Some(event) = shared.events.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    if let Some(sender) = shared.waiting.lock().unwrap().remove(&event.request_id) {
        shared.in_flight.lock().unwrap().insert(event.request_id.clone(), sender);
    }
    let headers = [
        ("lambda-runtime-aws-request-id", event.request_id),
        ("lambda-runtime-deadline-ms", event.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:1:function:notion-sync-test".to_owned()),
    ];
    (headers, [(header::CONTENT_TYPE, "application/json")], event.body).into_response()
}

async fn response(state: State<Arc<Shared>>, id: Path<String>, body: Bytes) -> Response {
    answered(&state, id.0, false, &body)
}

async fn error(state: State<Arc<Shared>>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    assert!(headers.contains_key("lambda-runtime-function-error-type"), "{headers:?}");
    answered(&state, id.0, true, &body)
}

fn answered(shared: &Shared, request_id: String, is_error: bool, body: &[u8]) -> Response {
    let Some(sender) = shared.in_flight.lock().unwrap().remove(&request_id) else {
        let refusal = r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
        return (StatusCode::BAD_REQUEST, refusal).into_response();
    };
    let stdout_before = fs::read_to_string(&shared.stdout).unwrap();
    let body = serde_json::from_slice(body).expect("the answer is JSON");
    // A test that has given up waiting has failed already.
    let _ = sender.send(Answer { request_id, is_error, body, stdout_before });
    StatusCode::ACCEPTED.into_response()
}
