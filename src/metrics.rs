//! One record a run in CloudWatch's embedded metric format; alarms and dashboard are built on these names.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::action::ActionKind;
use crate::run::report::{Outcome, Report};

/// The CloudWatch namespace.
pub const NAMESPACE: &str = "NotionSync";
/// Dimension: the Lambda function's name; in every dimension set.
pub const FUNCTION_NAME: &str = "FunctionName";
/// Dimension: the configured name of the database; absent in records of actions on none.
pub const DATABASE: &str = "database";
/// Dimension and property: the failure class; in records of failed runs only.
pub const FAILURE_CLASS: &str = "FailureClass";

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit in CloudWatch.
    pub unit: &'static str,
    /// The metric's meaning in one sentence.
    pub doc: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:literal, $doc:literal;)+) => {
        $(#[doc = $doc] pub const $constant: &str = $name;)+

        /// Every metric there is, in the order of the documentation.
        pub const METRICS: &[Metric] = &[$(Metric { name: $name, unit: $unit, doc: $doc },)+];
    };
}

metrics! {
    RUNS_COMPLETED = "RunsCompleted", "Count", "1 when a sync or sweep ended complete, else 0.";
    RUNS_PARTIAL = "RunsPartial", "Count", "1 when a sync or sweep stopped before its deadline and stored its position, else 0.";
    RUNS_SKIPPED = "RunsSkipped", "Count", "1 when another run held the database's lease, else 0.";
    RUNS_FAILED = "RunsFailed", "Count", "1 when any action failed, else 0; also by failure class.";
    RUNS_ADVANCED = "RunsAdvanced", "Count", "1 when a sync or sweep ended complete or partial, so that it got further, else 0; also by database.";
    RUNS_BLOCKED = "RunsBlocked", "Count", "1 when any action failed with a class that the next run does not cure, else 0.";
    LAG_SECONDS = "LagSeconds", "Seconds", "Age of the oldest watermark of the database's data sources at the end of the run; also by database.";
    DURATION_MS = "DurationMs", "Milliseconds", "How long the run took.";
    PAGES_READ = "PagesRead", "Count", "Rows that Notion served.";
    PAGES_WRITTEN = "PagesWritten", "Count", "Rows inserted or updated in the table.";
    PAGES_UNCHANGED = "PagesUnchanged", "Count", "Rows read and found as they were.";
    PAGES_REMOVED = "PagesRemoved", "Count", "Rows marked as removed.";
    PAGES_HYDRATED = "PagesHydrated", "Count", "Rows with truncated properties that were read in full.";
    SCHEMA_CHANGES = "SchemaChanges", "Count", "Changes of a database's schema that a sweep or full refresh found, where there are typed views.";
    REQUESTS = "Requests", "Count", "HTTP requests to Notion, tries included.";
    STATEMENTS = "Statements", "Count", "Statements sent to the warehouse; 0 = it was not woken.";
    BYTES_SENT = "BytesSent", "Bytes", "Bytes of the statements' request bodies.";
    RETRIES = "Retries", "Count", "Tries after the first, to either API.";
    RATE_LIMIT_WAITS = "RateLimitWaits", "Count", "Waits that a server asked for (Retry-After).";
}

/// The metrics that an alarm or a graph reads by database. CloudWatch bills each of them once per database; everything else of a
/// database's run is a field of its record.
pub const BY_DATABASE: &[&str] = &[RUNS_ADVANCED, LAG_SECONDS];

/// The record of one run: one line of JSON for standard output. Not a log line, so no log level applies to it.
pub fn record(report: &Report, function_name: &str, request_id: &str) -> String {
    let ended_at = ended_at(report);
    let values = values(report, ended_at);
    let described = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<Value> {
        METRICS
            .iter()
            .filter(|metric| values.contains_key(metric.name) && is_wanted(metric.name))
            .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
            .collect()
    };
    let mut directives = vec![directive(&[FUNCTION_NAME], described(&|_| true))];
    // Directives of their own: no other metric multiplies by the databases or the classes.
    if report.database.is_some() {
        directives.push(directive(&[FUNCTION_NAME, DATABASE], described(&|name| BY_DATABASE.contains(&name))));
    }
    if report.error.is_some() {
        directives.push(directive(&[FUNCTION_NAME, FAILURE_CLASS], described(&|name| name == RUNS_FAILED)));
    }
    let mut record = json!({
        "_aws": {"Timestamp": ended_at.as_millisecond(), "CloudWatchMetrics": directives},
        "timestamp": ended_at.to_string(),
        "level": "INFO",
        "message": "metrics",
        "action": report.action_name(),
        "outcome": report.outcome.name(),
        "run_id": report.run_id.as_str(),
        "request_id": request_id,
        FUNCTION_NAME: function_name,
    });
    if let Some(object) = record.as_object_mut() {
        object.extend(values);
        if let Some(database) = &report.database {
            object.insert(DATABASE.to_owned(), database.as_str().into());
        }
        if let Some(error) = &report.error {
            object.insert(FAILURE_CLASS.to_owned(), error.class.name().into());
        }
    }
    record.to_string()
}

/// One directive: these metrics with this set of dimensions.
fn directive(dimensions: &[&str], metrics: Vec<Value>) -> Value {
    json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics})
}

/// The metrics that the report has something to say about.
fn values(report: &Report, ended_at: Timestamp) -> Map<String, Value> {
    // An operator's `status` is no sign that data flows, so it counts in no outcome but the failed one.
    let moves_data = report.action.is_some_and(ActionKind::moves_data);
    let ended = |outcome: Outcome| u64::from(report.outcome == outcome && (moves_data || outcome == Outcome::Failed));
    let is_blocked = report.error.as_ref().is_some_and(|error| !error.class.is_transient());
    let totals = &report.totals;
    let numbers = [
        (RUNS_COMPLETED, ended(Outcome::Complete)),
        (RUNS_PARTIAL, ended(Outcome::Partial)),
        (RUNS_SKIPPED, ended(Outcome::Skipped)),
        (RUNS_FAILED, ended(Outcome::Failed)),
        (RUNS_ADVANCED, ended(Outcome::Complete) + ended(Outcome::Partial)),
        (RUNS_BLOCKED, u64::from(is_blocked)),
        (DURATION_MS, report.duration_ms),
        (PAGES_READ, totals.pages_read),
        (PAGES_WRITTEN, totals.pages_inserted + totals.pages_updated),
        (PAGES_UNCHANGED, totals.pages_unchanged),
        (PAGES_REMOVED, totals.pages_removed),
        (PAGES_HYDRATED, totals.pages_hydrated),
        (SCHEMA_CHANGES, report.schema_changes),
        (REQUESTS, totals.requests),
        (STATEMENTS, totals.statements),
        (BYTES_SENT, totals.bytes),
        (RETRIES, totals.retries),
        (RATE_LIMIT_WAITS, totals.rate_limit_waits),
    ];
    let mut values: Map<String, Value> =
        numbers.map(|(name, number)| (name.to_owned(), number.into())).into_iter().collect();
    if let Some(lag) = lag(report, ended_at) {
        values.insert(LAG_SECONDS.to_owned(), lag.into());
    }
    values
}

/// Seconds since the oldest watermark; unknown while a data source has none.
fn lag(report: &Report, ended_at: Timestamp) -> Option<i64> {
    let watermarks: Option<Vec<Timestamp>> = report.data_sources.iter().map(|source| source.watermark_after).collect();
    let oldest = watermarks?.into_iter().min()?;
    Some(ended_at.duration_since(oldest).as_secs().max(0))
}

fn ended_at(report: &Report) -> Timestamp {
    let duration = SignedDuration::from_millis(i64::try_from(report.duration_ms).unwrap_or(0));
    report.started_at.checked_add(duration).unwrap_or(report.started_at)
}

/// The documentation's table of metrics (Markdown).
pub fn markdown_table() -> String {
    let row = |metric: &Metric| format!("| `{}` | {} | {} |\n", metric.name, metric.unit, metric.doc);
    let rows: String = METRICS.iter().map(row).collect();
    format!("| Metric | Unit | Meaning |\n|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, FailureClass};
    use crate::ids::{DataSourceId, DatabaseName, RunId};
    use crate::run::report::{DataSourceReport, Mode, Totals};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn sync_report() -> Report {
        let mut report = Report::begin(Some(ActionKind::Sync), RunId::random(), at("2026-11-22T15:00:00Z"));
        report.database = Some(DatabaseName::parse("projects").unwrap());
        report.duration_ms = 2500;
        report.totals =
            Totals { pages_read: 12, pages_inserted: 3, pages_updated: 4, bytes: 1000, ..Totals::default() };
        report
    }

    fn data_source(watermark_after: Option<Timestamp>) -> DataSourceReport {
        DataSourceReport {
            data_source_id: DataSourceId::parse("be633bf1dfa0436db259571129a590e5").unwrap(),
            name: "Projects".to_owned(),
            mode: Mode::Incremental,
            totals: Totals::default(),
            preview: None,
            window: None,
            watermark_before: None,
            watermark_after,
            resume: None,
            warnings: Vec::new(),
        }
    }

    fn read(report: &Report) -> Value {
        let line = record(report, "notion-sync-dev", "request-1");
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_complete_run_is_counted_for_the_function_and_its_database() {
        let mut report = sync_report();
        report.data_sources =
            vec![data_source(Some(at("2026-11-22T14:58:00Z"))), data_source(Some(at("2026-11-22T14:50:00Z")))];
        let record = read(&report);
        assert_eq!(record["_aws"]["Timestamp"], 1_795_359_602_500_i64);
        let directives = &record["_aws"]["CloudWatchMetrics"];
        assert_eq!(directives[0]["Dimensions"], json!([["FunctionName"]]));
        assert_eq!(directives[0]["Metrics"].as_array().unwrap().len(), METRICS.len());
        assert_eq!(directives[1]["Dimensions"], json!([["FunctionName", "database"]]));
        let by_database = json!([{"Name": "LagSeconds", "Unit": "Seconds"}, {"Name": "RunsAdvanced", "Unit": "Count"}]);
        let mut found = directives[1]["Metrics"].as_array().unwrap().clone();
        found.sort_by_key(|metric| metric["Name"].to_string());
        assert_eq!(json!(found), by_database, "each costs its price once per database");
        assert_eq!((&record["RunsAdvanced"], &record["RunsBlocked"]), (&json!(1), &json!(0)));
        assert_eq!((&record["FunctionName"], &record["database"]), (&json!("notion-sync-dev"), &json!("projects")));
        assert_eq!((&record["RunsCompleted"], &record["RunsFailed"]), (&json!(1), &json!(0)));
        assert_eq!((&record["PagesWritten"], &record["BytesSent"]), (&json!(7), &json!(1000)));
        assert_eq!(record["LagSeconds"], 602, "the older of the two, at the end of the run");
        assert_eq!((&record["level"], &record["timestamp"]), (&json!("INFO"), &json!("2026-11-22T15:00:02.5Z")));
    }

    #[test]
    fn a_failed_run_is_counted_by_its_class_too() {
        let mut report = sync_report();
        report.data_sources = vec![data_source(None)];
        report.fail(&Failure::new(FailureClass::NotionUnauthorized, "refused"));
        let record = read(&report);
        assert_eq!((&record["RunsFailed"], &record["RunsCompleted"]), (&json!(1), &json!(0)));
        assert_eq!(record["FailureClass"], "NotionUnauthorized");
        assert_eq!((&record["RunsAdvanced"], &record["RunsBlocked"]), (&json!(0), &json!(1)));
        let directives = record["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let by_database: Vec<&Value> =
            directives[1]["Metrics"].as_array().unwrap().iter().map(|metric| &metric["Name"]).collect();
        assert_eq!(by_database, ["RunsAdvanced"], "a lag that is unknown is not described");
        let directive = &directives[2];
        assert_eq!(directive["Dimensions"], json!([["FunctionName", "FailureClass"]]));
        assert_eq!(directive["Metrics"], json!([{"Name": "RunsFailed", "Unit": "Count"}]));
        assert_eq!(record.get("LagSeconds"), None, "unknown before the first complete walk");
    }

    #[test]
    fn a_failure_that_the_next_run_cures_blocks_nothing_and_a_partial_run_gets_further() {
        let mut report = sync_report();
        report.outcome = Outcome::Partial;
        let record = read(&report);
        assert_eq!((&record["RunsAdvanced"], &record["RunsPartial"]), (&json!(1), &json!(1)));
        report.fail(&Failure::new(FailureClass::NotionUnavailable, "down"));
        let record = read(&report);
        assert_eq!((&record["RunsFailed"], &record["RunsBlocked"]), (&json!(1), &json!(0)));
        report.outcome = Outcome::Skipped;
        report.error = None;
        assert_eq!(read(&report)["RunsAdvanced"], 0);
    }

    #[test]
    fn an_operators_question_is_no_sign_that_data_flows() {
        let mut report = Report::begin(Some(ActionKind::Status), RunId::random(), at("2026-11-22T15:00:00Z"));
        let record = read(&report);
        assert_eq!((&record["RunsCompleted"], record.get("database")), (&json!(0), None));
        assert_eq!(record["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["FunctionName"]]));
        report.fail(&Failure::new(FailureClass::Configuration, "broken"));
        assert_eq!(read(&report)["RunsFailed"], 1);
    }

    #[test]
    fn every_value_of_a_record_is_a_documented_metric() {
        let mut report = sync_report();
        report.data_sources = vec![data_source(Some(at("2026-11-22T14:58:00Z")))];
        let values = values(&report, report.started_at);
        let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(values.len(), names.len());
        assert!(values.keys().all(|name| names.contains(&name.as_str())));
        assert!(markdown_table().contains("| `LagSeconds` | Seconds | Age of"));
    }
}
