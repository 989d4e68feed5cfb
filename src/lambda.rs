//! One invocation of the Lambda: event text in; report, or failure with its class, out.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use tracing::Instrument;

use crate::action::ActionKind;
use crate::app::{App, RunContext};
use crate::config::{Config, Variables};
use crate::event::{self, Request};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DatabaseName, RunId};
use crate::metrics;
use crate::output::{self, Outlet};
use crate::run::clock::Clock;
use crate::run::deadline::Deadline;
use crate::run::progress::Progress;
use crate::run::report::{ErrorReport, Outcome, Report};

/// Kept from the time that Lambda gives, so that the answer is on its way before it is over.
const ANSWER_MARGIN: Duration = Duration::from_millis(200);

/// The service that a cold start prepares, or the reason why there is none. A broken configuration is answered per invocation,
/// because a process that exits before the first event answers nothing that has a class (facts/aws §3.1).
#[derive(Debug)]
pub struct Handler {
    app: Result<App, Failure>,
    function_name: String,
    clock: Clock,
}

/// An invocation as the runtime gives it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The event as it came, JSON or not.
    pub event: String,
    /// Lambda's request id.
    pub request_id: String,
    /// The end of the invocation, milliseconds since 1970; in the past = unknown (`cargo lambda watch`).
    pub deadline_ms: u64,
}

/// A failed invocation: the runtime sends `errorType` = the class and `errorMessage` = the message.
pub struct InvocationError(ErrorReport);

impl Handler {
    /// Reads the configuration and builds the clients; no network call.
    pub async fn new(variables: &Variables) -> Self {
        let app = match Config::from_variables(variables) {
            Ok(config) => App::new(config).await,
            Err(failure) => Err(failure),
        };
        let function_name = variables.get("AWS_LAMBDA_FUNCTION_NAME").unwrap_or("unknown").to_owned();
        Self { app, function_name, clock: Clock::System }
    }

    /// Runs one invocation. `outlet` gets the metrics record, before the answer.
    ///
    /// # Errors
    /// Whatever failed, with its class; logged already.
    pub async fn handle(&self, invocation: Invocation, outlet: &Outlet) -> Result<Box<RawValue>, InvocationError> {
        let span = tracing::info_span!("invocation", request_id = invocation.request_id);
        let mut report = self.report(&invocation).instrument(span).await;
        // A record that can't be written has nowhere to be reported.
        drop(outlet.json(&metrics::record(&report, &self.function_name, &invocation.request_id)));
        report.bound();
        match report.error {
            Some(error) => Err(InvocationError(error)),
            None => answer(&report).map_err(|failure| InvocationError((&failure).into())),
        }
    }

    /// The report of an invocation, whatever happens.
    async fn report(&self, invocation: &Invocation) -> Report {
        let (app, request) = match self.accept(&invocation.event) {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(class = error.class.name(), "the invocation was refused: {}", error.message);
                return self.failed(None, error);
            }
        };
        let Request { action, trigger } = request;
        let trigger = trigger.map(|trigger| trigger.to_string());
        let database = action.database().map(DatabaseName::as_str);
        tracing::info!(action = action.name(), database, trigger, "event accepted");
        let context =
            RunContext { deadline: self.deadline(app, invocation.deadline_ms), progress: Progress::default() };
        match unless_it_panics(Box::pin(app.run(&action, &context))).await {
            Ok(report) => report,
            Err(failure) => {
                let mut report = self.failed(Some(action.kind()), (&failure).into());
                report.database = action.database().cloned();
                report
            }
        }
    }

    /// The service and what the event asks of it, before any network call.
    fn accept(&self, event: &str) -> Result<(&App, Request), ErrorReport> {
        let app = self.app.as_ref().map_err(ErrorReport::from)?;
        let request = event::parse(event, &app.config().databases);
        request.map(|request| (app, request)).map_err(|failure| (&failure).into())
    }

    /// The report of a run that never was, or of which nothing is left.
    fn failed(&self, action: Option<ActionKind>, error: ErrorReport) -> Report {
        let mut report = Report::begin(action, RunId::random(), self.clock.now());
        report.outcome = Outcome::Failed;
        report.error = Some(error);
        report
    }

    /// The time left, or the configured budget where Lambda's deadline can't be meant.
    fn deadline(&self, app: &App, deadline_ms: u64) -> Deadline {
        let now_ms = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        match deadline_ms.checked_sub(now_ms) {
            Some(left_ms @ 1..) => Deadline::after(Duration::from_millis(left_ms).saturating_sub(ANSWER_MARGIN)),
            _ => app.config().run_budget.map_or_else(Deadline::none, Deadline::after),
        }
    }
}

/// The report as the runtime sends it.
fn answer(report: &Report) -> Result<Box<RawValue>, Failure> {
    let unwritable = |error| Failure::new(FailureClass::Internal, "the report is no JSON").caused_by(error);
    let json = serde_json::to_string(report).map_err(unwritable)?;
    RawValue::from_string(output::json(&json)).map_err(unwritable)
}

/// The run's report, or a failure when it panicked; the panic hook has logged where.
async fn unless_it_panics(run: impl Future<Output = Report>) -> Result<Report, Failure> {
    AssertUnwindSafe(run).catch_unwind().await.map_err(|_| {
        Failure::new(FailureClass::Internal, "the run panicked; the log line \"panicked\" of this request says where")
    })
}

impl From<InvocationError> for Diagnostic {
    fn from(InvocationError(error): InvocationError) -> Self {
        Self { error_type: error.class.name().to_owned(), error_message: error.message }
    }
}

/// The runtime logs a failed invocation's error in this form.
impl fmt::Debug for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.class, self.0.message)
    }
}

/// The event's bytes as the JSON text of a string: whatever they are, they reach the handler, which can say what is wrong
/// with them. (The runtime would answer with a class of its own, and would ignore what follows the first value.)
pub fn event_as_text(event: &[u8]) -> String {
    serde_json::Value::from(String::from_utf8_lossy(event)).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::output::tests::capture;

    fn variables() -> Variables {
        [
            ("NOTION_API_KEY", "ntn_1"),
            ("NOTION_PROJECTS_DB_ID", "be633bf1dfa0436db259571129a590e5"),
            ("DATABRICKS_HOST", "http://127.0.0.1:1"),
            ("DATABRICKS_HTTP_PATH", "/sql/1.0/warehouses/1a2b3c"),
            ("DATABRICKS_TOKEN", "dapi-1"),
            ("DATABRICKS_CATALOG", "main"),
            ("RUN_BUDGET", "20s"),
            ("AWS_LAMBDA_FUNCTION_NAME", "notion-sync-test"),
        ]
        .into_iter()
        .collect()
    }

    /// The answer (or `errorType` and `errorMessage`) and the metrics record.
    async fn invoke(variables: &Variables, event: &str) -> (Result<Value, Diagnostic>, Value) {
        let (lines, outlet) = capture();
        let invocation =
            Invocation { event: event.to_owned(), request_id: "request-1".to_owned(), deadline_ms: 600_000 };
        let answer = Handler::new(variables).await.handle(invocation, &outlet).await;
        let answer = answer.map(|report| serde_json::to_value(&report).unwrap()).map_err(Diagnostic::from);
        let lines = lines.lock().unwrap().clone();
        assert_eq!(lines.len(), 1, "one record a run");
        (answer, serde_json::from_str(&lines[0]).unwrap())
    }

    #[tokio::test]
    async fn what_is_no_event_gets_a_class_of_ours() {
        for event in ["", "{", "{\"action\":\"status\"} x", "\u{fffd}", "[1]"] {
            let (answer, metrics) = invoke(&variables(), event).await;
            assert_eq!(answer.unwrap_err().error_type, "InvalidRequest", "{event}");
            assert_eq!((&metrics["RunsFailed"], &metrics["FailureClass"]), (&json!(1), &json!("InvalidRequest")));
        }
        let (answer, _) = invoke(&variables(), r#"{"database":"tasks"}"#).await;
        let diagnostic = answer.unwrap_err();
        assert_eq!(diagnostic.error_type, "UnknownDatabase");
        assert!(diagnostic.error_message.contains("configured are projects"), "{diagnostic:?}");
    }

    #[tokio::test]
    async fn a_broken_configuration_is_answered_at_each_invocation() {
        let (answer, metrics) = invoke(&Variables::default(), r#"{"action":"health"}"#).await;
        let diagnostic = answer.unwrap_err();
        assert_eq!(diagnostic.error_type, "Configuration");
        assert!(diagnostic.error_message.contains("BLOCKED: missing env var DATABRICKS_HOST\n"), "{diagnostic:?}");
        assert_eq!(metrics["FailureClass"], "Configuration");
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_is_unknown_and_the_budget_stands_in() {
        let handler = Handler::new(&variables()).await;
        let app = handler.app.as_ref().unwrap();
        let left = |deadline_ms| handler.deadline(app, deadline_ms).left().unwrap();
        assert!(left(600_000) > Duration::from_secs(19) && left(600_000) <= Duration::from_secs(20));
        let now_ms = u64::try_from(handler.clock.now().as_millisecond()).unwrap();
        assert!(left(now_ms + 60_000) > Duration::from_secs(58));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_ours() {
        let failure = unless_it_panics(async { panic!("planted") }).await.unwrap_err();
        assert_eq!(failure.class(), FailureClass::Internal);
        assert!(!failure.describe().contains("planted"));
    }

    #[test]
    fn any_bytes_are_handed_on_as_text() {
        assert_eq!(event_as_text(b"{\"a\":1} \xff"), "\"{\\\"a\\\":1} \u{fffd}\"");
    }
}
