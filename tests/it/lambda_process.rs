//! The real Lambda handler as a process behind a Runtime API: what Lambda, its log and its alarms see.

use std::collections::BTreeMap;
use std::time::Duration;

use notion_sync_local::databricks::{Behaviour, Script};
use notion_sync_local::faults::{Fault, Hold, Rule};
use notion_sync_local::notion::RowEdit;
use serde_json::{Value, json};

use crate::support::runtime_api::{Event, LambdaProcess, lines};
use crate::support::{World, run_test};
use crate::sync::add_rows;

const SYNC: &str = r#"{"action":"sync","database":"projects"}"#;

async fn world() -> World {
    let world = World::new().await;
    world.run_clock();
    world
}

#[test]
fn a_warm_process_answers_each_event_with_a_report() {
    run_test(async {
        let world = world().await;
        let rows = add_rows(&world, 30);
        let mut lambda = LambdaProcess::start(&world.variables).await;
        let first = lambda.sync().await;
        assert_eq!((&first["action"], &first["database"]), (&json!("sync"), &json!("projects")));
        assert_eq!((&first["mode"], &first["pages_inserted"]), (&json!("full_refresh"), &json!(30)));
        assert_eq!(first["data_sources"][0]["watermark_before"], Value::Null);
        world.assert_table_equals_notion().await;

        world.clear_logs();
        let idle = lambda.sync().await;
        assert_eq!((&idle["mode"], &idle["statements"]), (&json!("incremental"), &json!(0)));
        assert_ne!(idle["run_id"], first["run_id"]);
        assert!(world.statements().is_empty(), "an idle run wakes no warehouse");

        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        assert_eq!(lambda.sync().await["pages_updated"], 1);
        world.assert_table_equals_notion().await;
        let swept = lambda.ask(r#"{"action":"sweep","database":"projects"}"#).await.report();
        assert_eq!((&swept["mode"], &swept["outcome"]), (&json!("sweep"), &json!("complete")));
        for action in ["health", "list-databases", "init-tables", "status"] {
            let report = lambda.ask(&json!({"action": action}).to_string()).await.report();
            assert_eq!((&report["action"], &report["outcome"]), (&json!(action), &json!("complete")), "{report}");
            assert!(!report["items"].as_array().unwrap().is_empty(), "{report}");
        }
        lambda.end().await;
        world.end().await;
    });
}

#[test]
fn each_line_says_which_request_run_and_database_it_belongs_to_and_metrics_come_before_the_answer() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 3);
        // Metrics are no log lines: the level doesn't apply to them.
        for level in ["INFO", "ERROR"] {
            let variables = world.variables_with(&[("AWS_LAMBDA_LOG_LEVEL", Some(level))]);
            let mut lambda = LambdaProcess::start(&variables).await;
            let answer = lambda.ask(SYNC).await;
            let metrics: Vec<Value> =
                lines(&answer.stdout_before).into_iter().filter(|line| line.get("_aws").is_some()).collect();
            assert_eq!(metrics.len(), 1, "one record, before the answer: {}", answer.stdout_before);
            assert_eq!((&metrics[0]["RunsCompleted"], &metrics[0]["database"]), (&json!(1), &json!("projects")));
            assert_eq!(metrics[0]["FunctionName"], "notion-sync-test");
            let request_id = answer.request_id.clone();
            let report = answer.report();
            assert_eq!(metrics[0]["run_id"], report["run_id"]);

            let log: Vec<Value> = lambda.lines().into_iter().filter(|line| line.get("_aws").is_none()).collect();
            assert_eq!(log.is_empty(), level == "ERROR", "{log:?}");
            let of_request: Vec<&Value> = log.iter().filter(|line| line["request_id"] == *request_id).collect();
            assert_eq!(of_request.len(), log.len(), "a line of nobody's: {log:?}");
            for line in of_request.iter().filter(|line| line["message"] != "event accepted") {
                assert_eq!((&line["run_id"], &line["database"]), (&report["run_id"], &json!("projects")), "{line}");
            }
            let failed = lambda.ask(r#"{"database":"tasks"}"#).await;
            let (request_id, before) = (failed.request_id.clone(), lines(&failed.stdout_before));
            failed.error();
            let told = |line: &&Value| line["level"] == "ERROR" && line["request_id"] == *request_id;
            assert_eq!(before.iter().filter(told).count(), 1, "a failure is logged once: {before:?}");
            let record = before.iter().rfind(|line| line.get("_aws").is_some()).unwrap();
            assert_eq!((&record["RunsFailed"], &record["FailureClass"]), (&json!(1), &json!("UnknownDatabase")));
            lambda.end().await;
        }
        world.end().await;
    });
}

#[test]
fn what_is_no_event_is_refused_with_its_class_before_any_network_call() {
    run_test(async {
        let mut world = world().await;
        world.add_database("Risks");
        let mut lambda = LambdaProcess::start(&world.variables).await;
        world.forget_exchanges();
        let refused = [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("null", "must be an object"),
            ("7", "must be an object"),
            (r#""sync""#, "must be an object"),
            (r#"[{"action":"status"}]"#, "must be an object"),
            (r#"{"action":"status"} and more"#, "trailing characters"),
            (r#"{"action":"synch","database":"projects"}"#, "unknown action \"synch\"; known are sync, sweep"),
            (r#"{"action":7}"#, "action must be text, not a number"),
            (r#"{"action":null}"#, "action must be text, not null"),
            (r#"{"action":"sync"}"#, "configured are projects, risks"),
            ("{}", "configured are projects, risks"),
            (r#"{"database":["projects"]}"#, "database must be text, not a list"),
            (r#"{"databse":"projects"}"#, "unknown field \"databse\""),
            (r#"{"database":"projects","full_refresh":"true"}"#, "full_refresh must be true or false, not text"),
            (r#"{"database":"projects","full_refresh":1}"#, "full_refresh must be true or false, not a number"),
            (r#"{"database":"projects","database":"risks"}"#, "the field \"database\" twice"),
            (r#"{"action":"status","database":"projects"}"#, "the action status takes no database"),
            (r#"{"action":"sweep","database":"projects","restart":true}"#, "the action sweep takes no restart"),
            (r#"{"source":"aws.scheduler","detail-type":"Scheduled Event","detail":"{}"}"#, "needs a database"),
            (r#"{"source":"x","detail-type":"y","detail":[1]}"#, "detail must be an object"),
        ];
        for (event, expected) in refused {
            let (class, message) = lambda.ask(event).await.error();
            assert_eq!(class, "InvalidRequest", "{event}: {message}");
            assert!(message.contains(expected), "{event}: {message}");
        }
        let no_text = Event { body: b"{\"database\":\"\xff\xfe\"}".to_vec(), ..Event::new("") };
        assert_eq!(lambda.invoke(no_text).await.error().0, "UnknownDatabase");
        for event in [r#"{"database":"tasks"}"#, r#"{"action":"sweep","database":""}"#] {
            let (class, message) = lambda.ask(event).await.error();
            assert_eq!(class, "UnknownDatabase", "{event}");
            assert!(message.contains("configured are projects, risks"), "{message}");
        }
        world.assert_nothing_was_asked();
        lambda.sync().await;
        lambda.end().await;
        world.end().await;
    });
}

#[test]
fn events_of_schedules_are_unwrapped() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 2);
        let mut lambda = LambdaProcess::start(&world.variables).await;
        let detail = json!({"action": "sync", "database": "projects", "trigger": {"attempt": "1"}});
        for detail in [detail.clone(), detail.to_string().into()] {
            let envelope = json!({"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event",
                                  "resources": ["schedule/x"], "detail": detail});
            assert_eq!(lambda.ask(&envelope.to_string()).await.report()["outcome"], "complete");
        }
        let triggers: Vec<Value> = lambda.lines().into_iter().filter_map(|line| line.get("trigger").cloned()).collect();
        assert_eq!(triggers, [json!(r#"{"attempt":"1"}"#), json!(r#"{"attempt":"1"}"#)]);
        lambda.end().await;
        world.end().await;
    });
}

/// What a process with this configuration answers; the same at each invocation.
async fn refused(variables: &BTreeMap<String, String>) -> String {
    let mut lambda = LambdaProcess::start(variables).await;
    let (class, message) = lambda.ask(SYNC).await.error();
    assert_eq!(class, "Configuration", "{message}");
    assert_eq!(lambda.ask(r#"{"action":"health"}"#).await.error(), (class, message.clone()), "at each invocation");
    lambda.end().await;
    message
}

#[test]
fn a_broken_configuration_is_told_whole_at_each_invocation() {
    run_test(async {
        let world = world().await;
        world.forget_exchanges();
        let nothing = refused(&BTreeMap::new()).await;
        for name in [
            "NOTION_API_KEY",
            "NOTION_<NAME>_DB_ID",
            "DATABRICKS_HOST",
            "DATABRICKS_HTTP_PATH",
            "DATABRICKS_TOKEN",
            "DATABRICKS_CATALOG",
        ] {
            assert!(nothing.contains(&format!("BLOCKED: missing env var {name}")), "{name}: {nothing}");
        }
        let placeholders = [
            ("NOTION_API_KEY", "ntn_your_key_here"),
            ("DATABRICKS_TOKEN", "changeme"),
            ("DATABRICKS_HOST", "https://<workspace>.azuredatabricks.net"),
            ("DATABRICKS_CATALOG", "xxx"),
            ("NOTION_PROJECTS_DB_ID", "00000000000000000000000000000000"),
        ];
        let message = refused(&world.variables_with(&placeholders.map(|(name, value)| (name, Some(value))))).await;
        for (name, _) in placeholders {
            assert!(message.contains(&format!("BLOCKED: suspicious default value for {name}")), "{name}: {message}");
        }
        let plain = "http://adb-984752964297.11.azuredatabricks.net";
        let message = refused(&world.variables_with(&[("DATABRICKS_HOST", Some(plain))])).await;
        assert!(message.contains("DATABRICKS_HOST") && message.contains("https://"), "{message}");
        let message = refused(&world.variables_with(&[("NOTION_BASE_URL", Some("http://api.notion.com"))])).await;
        assert!(message.contains("NOTION_BASE_URL") && message.contains("https://"), "{message}");
        let cluster = "/sql/protocolv1/o/984752964297/0101-010101-abc";
        let changes = [("DATABRICKS_WAREHOUSE_ID", None), ("DATABRICKS_HTTP_PATH", Some(cluster))];
        let message = refused(&world.variables_with(&changes)).await;
        assert!(message.contains("DATABRICKS_HTTP_PATH") && message.contains("cluster"), "{message}");
        world.assert_nothing_was_asked();
        world.end().await;
    });
}

/// How far each of several runs came, a line each.
fn summary(reports: &[Value]) -> String {
    let line = |report: &Value| {
        let source = &report["data_sources"][0];
        format!(
            "\n{} ms: read {}, inserted {}, unchanged {}, statements {}, resume {}, {}",
            report["duration_ms"],
            source["pages_read"],
            source["pages_inserted"],
            source["pages_unchanged"],
            report["statements"],
            source["resume"]["stretches"],
            source["warnings"],
        )
    };
    reports.iter().map(line).collect()
}

#[test]
fn a_run_that_nears_its_deadline_is_partial_and_later_ones_end_it_with_the_edits_in_between() {
    run_test(async {
        let world = World::builder()
            .variable("BATCH_SIZE", "10")
            .variable("RATE_LIMIT_DELAY", "400ms")
            .variable("MERGE_BATCH_BYTES", "64KiB")
            .build()
            .await;
        world.run_clock();
        let rows = add_rows(&world, 300);
        let mut lambda = LambdaProcess::start(&world.variables).await;
        let first = lambda.invoke(Event::within(SYNC, Duration::from_secs(8))).await.report();
        assert_eq!(first["outcome"], "partial", "{first}");
        let read = first["pages_read"].as_u64().unwrap();
        assert!(0 < read && read < 300, "{read} pages");
        world.edit(|workspace| {
            workspace.edit_row(&rows[0], RowEdit::new().title("Edited after it was read")).unwrap();
            workspace.edit_row(&rows[299], RowEdit::new().title("Edited before it was read")).unwrap();
            workspace.archive(&rows[1]).unwrap();
        });
        let mut partial = vec![first];
        loop {
            assert!(partial.len() < 8, "no end: {}", summary(&partial));
            // The second run can't read all either (31 requests, 400 ms apart); those after it could.
            let time = Duration::from_secs(if partial.len() == 1 { 12 } else { 30 });
            let report = lambda.invoke(Event::within(SYNC, time)).await.report();
            match report["outcome"].as_str() {
                Some("partial") => partial.push(report),
                Some("complete") => break,
                other => panic!("{other:?}: {report}"),
            }
        }
        let is_stored = |report: &Value| report["data_sources"][0]["resume"].is_object();
        assert!(partial.iter().any(is_stored), "no run went on from a stored position: {}", summary(&partial));
        world.assert_table_equals_notion().await;
        lambda.end().await;
        world.end().await;
    });
}

#[test]
fn a_statement_that_outlasts_the_deadline_is_cancelled_and_no_later_row_is_taken_for_written() {
    run_test(async {
        for merges_before in [0, 1] {
            let world =
                World::builder().variable("BATCH_SIZE", "10").variable("MERGE_BATCH_BYTES", "32KiB").build().await;
            world.run_clock();
            add_rows(&world, 90);
            let mut lambda = LambdaProcess::start(&world.variables).await;
            let merge = format!("MERGE INTO {}.`notion_raw_pages`", world.qualified_schema());
            let slow = Behaviour::Slow { milliseconds: 60_000 };
            world.databricks.script(Script::once(&merge, slow).after(merges_before));
            let report = lambda.invoke(Event::within(SYNC, Duration::from_secs(12))).await.report();
            assert_eq!(report["outcome"], "partial", "{report}");
            world.no_statement_is_left_open().await;
            assert_eq!(world.page_merges() as u32, merges_before + 1, "nothing is sent behind a gap");
            lambda.sync().await;
            world.assert_table_equals_notion().await;
            lambda.end().await;
            world.end().await;
        }
    });
}

#[test]
fn a_deadline_in_1970_is_unknown() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 20);
        let mut lambda = LambdaProcess::start(&world.variables).await;
        let event = Event { deadline_ms: 600_000, ..Event::new(SYNC) };
        assert_eq!(lambda.invoke(event).await.report()["outcome"], "complete");
        world.assert_table_equals_notion().await;
        lambda.end().await;
        world.end().await;
    });
}

#[test]
fn of_the_same_event_twice_at_once_one_is_skipped() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 20);
        let mut first = LambdaProcess::start(&world.variables).await;
        let mut second = LambdaProcess::start(&world.variables).await;
        let hold = Hold::new();
        world.notion_faults.add(Rule::new(Fault::HoldAnswer(hold.clone())).path("/query"));
        let event = Event::new(SYNC);
        let again = Event { body: event.body.clone(), request_id: event.request_id.clone(), ..event };
        let (first_answer, second_answer) = tokio::join!(first.invoke(event), async {
            hold.reached().await;
            let answer = second.invoke(again).await;
            hold.release();
            answer
        });
        let second_report = second_answer.report();
        assert_eq!((&second_report["outcome"], &second_report["requests"]), (&json!("skipped"), &json!(0)));
        assert_eq!(first_answer.report()["outcome"], "complete");
        world.assert_table_equals_notion().await;
        assert_eq!(second.sync().await["outcome"], "complete", "the lease was given back");
        first.end().await;
        second.end().await;
        world.end().await;
    });
}
