//! The real command line as a process: what a person, a script and a scheduler see of it.

use std::io::Write;

use notion_sync_local::databricks::{Behaviour, Script};
use notion_sync_local::faults::{Answer, Fault, NOTION_REQUEST_BLOCKED, Rule};
use notion_sync_local::notion::RowEdit;
use serde_json::{Value, json};

use crate::support::process::{Ended, Running, notion_sync};
use crate::support::{World, run_test};
use crate::sync::add_rows;

async fn world() -> World {
    let world = World::new().await;
    world.run_clock();
    world
}

fn said(ended: &Ended, code: i32, part: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.stdout.contains(part) || ended.stderr.contains(part), "lacks {part:?}: {ended:?}");
}

#[test]
fn a_morning_at_the_command_line() {
    run_test(async {
        let mut world = World::builder().build_without_tables().await;
        world.run_clock();
        let rows = add_rows(&world, 12);
        world.add_database("Risks");
        let run = async |line: &str| {
            let arguments: Vec<&str> = line.split(' ').collect();
            let ended = notion_sync(&world.variables, &arguments).await;
            assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
            assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{line}: {ended:?}");
            ended
        };
        world.clear_logs();
        let before = run("list-databases").await;
        assert_eq!(before.stdout.matches("never synced").count(), 2, "{}", before.stdout);
        assert_eq!(world.statements().len(), 1, "one statement for all databases: {:?}", world.statements());
        let tables = run("init-tables").await;
        assert!(tables.stdout.contains("notion_raw_pages"), "{}", tables.stdout);
        let health = run("health").await;
        for probe in ["notion", "databricks", "dynamodb"] {
            assert!(health.stdout.to_lowercase().contains(probe), "{}", health.stdout);
        }
        let databases = run("list-databases").await;
        assert!(databases.stdout.contains("projects") && databases.stdout.contains("risks"), "{}", databases.stdout);

        let first = run("sync").await;
        assert!(first.stdout.contains("projects") && first.stdout.contains("risks"), "{}", first.stdout);
        assert_eq!(first.stdout.matches("full refresh").count(), 2, "{}", first.stdout);
        world.assert_table_equals_notion().await;
        world.edit(|workspace| {
            workspace.edit_row(&rows[2], RowEdit::new().title("Edited")).unwrap();
            workspace.trash(&rows[3]).unwrap();
        });
        run("sync -d projects -d PROJECTS").await;
        run("sweep -d projects").await;
        world.assert_table_equals_notion().await;
        run("sync --full-refresh --database risks").await;
        let status = run("status --runs").await;
        assert!(status.stdout.contains("rows read") && status.stdout.matches("full refresh").count() > 0, "{status:?}");
        assert!(status.stdout.contains("projects") && status.stdout.contains("complete"), "{}", status.stdout);
        let verbose = run("-vv sync -d projects").await;
        assert!(verbose.stderr.contains("INFO") && verbose.stderr.contains("database=projects"), "{}", verbose.stderr);
        world.end().await;
    });
}

#[test]
fn json_is_one_report_a_line_and_one_failed_database_does_not_stop_the_others() {
    run_test(async {
        let mut world = world().await;
        add_rows(&world, 4);
        let (hidden, _) = world.add_database("Actions");
        let (risks, source) = world.add_database("Risks");
        world.edit(|workspace| {
            workspace.share_database(&hidden, false).unwrap();
            let row = notion_sync_local::notion::NewRow::titled("A risk");
            workspace.add_row(&source, row).unwrap();
        });
        let ended = notion_sync(&world.variables, &["sync", "--output", "json"]).await;
        assert_eq!(ended.code, Some(4), "access lost: {ended:?}");
        let reports = ended.reports();
        let told: Vec<(&Value, &Value)> =
            reports.iter().map(|report| (&report["database"], &report["outcome"])).collect();
        let expected = [("actions", "failed"), ("projects", "complete"), ("risks", "complete")];
        assert_eq!(told, expected.map(|(name, outcome)| (json!(name), json!(outcome))).each_ref().map(|(a, b)| (a, b)));
        assert_eq!(reports[0]["error"]["class"], "SourceAccessLost");
        let message = reports[0]["error"]["message"].as_str().unwrap();
        assert!(message.contains("actions") && message.contains("nothing was marked"), "{message}");
        assert!(reports[1..].iter().all(|report| report.get("error").is_none()));
        assert_eq!(reports[2]["database_id"].as_str().map(|id| id.replace('-', "")), Some(risks.replace('-', "")));
        world.assert_table_equals_notion().await;

        let text = notion_sync(&world.variables, &["sync"]).await;
        said(&text, 4, "error: actions: SourceAccessLost");
        world.end().await;
    });
}

#[test]
fn what_is_wrong_with_the_request_is_told_before_any_network_call() {
    run_test(async {
        let world = world().await;
        world.forget_exchanges();
        for (line, part) in [
            ("sync -d tasks", "unknown database \"tasks\"; configured are projects"),
            ("sync -d projects -d tasks", "configured are projects"),
            ("sweep -d tasks", "configured are projects"),
            ("synch", "unrecognized subcommand 'synch'"),
            ("sync --full", "--full-refresh"),
            ("sync projects", "unexpected argument 'projects'"),
            ("sync --output xml", "possible values: text, json"),
            ("health -d projects", "unexpected argument '-d'"),
            ("sync -d", "a value is required"),
        ] {
            let arguments: Vec<&str> = line.split(' ').collect();
            let ended = notion_sync(&world.variables, &arguments).await;
            said(&ended, 2, part);
            assert_eq!(ended.stdout, "", "{line}");
        }
        let json = notion_sync(&world.variables, &["sync", "-d", "tasks", "--output", "json"]).await;
        assert_eq!((json.code, json.stderr.as_str()), (Some(2), ""));
        assert_eq!(json.reports()[0]["error"]["class"], "UnknownDatabase");
        let none = notion_sync(&world.variables, &[]).await;
        said(&none, 2, "Usage: notion-sync");
        world.assert_nothing_was_asked();
        world.end().await;
    });
}

#[test]
fn a_broken_configuration_is_told_whole() {
    run_test(async {
        let world = world().await;
        world.forget_exchanges();
        let nothing = notion_sync(&Default::default(), &["sync"]).await;
        for name in ["NOTION_API_KEY", "NOTION_<NAME>_DB_ID", "DATABRICKS_HOST", "DATABRICKS_CATALOG"] {
            said(&nothing, 3, &format!("BLOCKED: missing env var {name}"));
        }
        let placeholder = world.variables_with(&[("DATABRICKS_TOKEN", Some("your-token"))]);
        said(
            &notion_sync(&placeholder, &["status"]).await,
            3,
            "BLOCKED: suspicious default value for DATABRICKS_TOKEN",
        );
        let plain = world.variables_with(&[("DATABRICKS_HOST", Some("http://example.azuredatabricks.net"))]);
        said(&notion_sync(&plain, &["health"]).await, 3, "DATABRICKS_HOST");
        world.assert_nothing_was_asked();
        world.end().await;
    });
}

#[test]
fn exit_codes_tell_the_family_of_the_failure() {
    run_test(async {
        let world = world().await;
        let rows = add_rows(&world, 25);
        let sync = ["sync", "-d", "projects"];
        let wrong_key = world.variables_with(&[("NOTION_API_KEY", Some("ntn_revoked_7Gq2"))]);
        said(&notion_sync(&wrong_key, &sync).await, 4, "NotionUnauthorized");
        let wrong_token = world.variables_with(&[("DATABRICKS_TOKEN", Some("dapi-revoked-7"))]);
        said(&notion_sync(&wrong_token, &sync).await, 4, "DatabricksUnauthorized");

        let blocked = Answer::notion_rate_limited(NOTION_REQUEST_BLOCKED, None);
        world.notion_faults.add(Rule::new(Fault::Answer(blocked)));
        said(&notion_sync(&world.variables, &sync).await, 5, "NotionBlocked");
        let failed = serde_json::from_value(json!({"kind": "failed", "error_code": "BAD_REQUEST",
            "message": "[PARSE_SYNTAX_ERROR] planted", "sql_state": "42601"}));
        world.databricks.script(Script::once("MERGE", failed.unwrap()));
        said(&notion_sync(&world.variables, &sync).await, 6, "planted");
        // A warehouse that says it merged and has not: the proof finds out.
        world.databricks.script(Script::once("notion_raw_pages", Behaviour::NotApplied).after(0));
        let lying = notion_sync(&world.variables, &sync).await;
        said(&lying, 7, "ProofFailed");

        said(&notion_sync(&world.variables, &sync).await, 0, "complete");
        world.assert_table_equals_notion().await;
        world.edit(|workspace| rows.iter().take(20).for_each(|row| workspace.trash(row).unwrap()));
        said(&notion_sync(&world.variables, &["sweep"]).await, 7, "RemovalShareExceeded");
        said(&notion_sync(&world.variables, &["sweep", "--allow-removals"]).await, 0, "complete");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_run_budget_that_is_too_short_ends_partial_with_its_own_code() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 200);
        let slow = world.variables_with(&[
            ("RUN_BUDGET", Some("3s")),
            ("RATE_LIMIT_DELAY", Some("300ms")),
            ("BATCH_SIZE", Some("10")),
        ]);
        let partial = notion_sync(&slow, &["sync", "--output", "json"]).await;
        assert_eq!(partial.code, Some(10), "{partial:?}");
        assert_eq!(partial.reports()[0]["outcome"], "partial");
        said(&notion_sync(&world.variables, &["sync"]).await, 0, "complete");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_run_that_is_interrupted_stores_how_far_it_has_come_and_the_next_one_goes_on() {
    run_test(async {
        for signal in ["INT", "TERM"] {
            let world =
                World::builder().variable("BATCH_SIZE", "10").variable("MERGE_BATCH_BYTES", "64KiB").build().await;
            world.run_clock();
            let rows = add_rows(&world, 120);
            // It is told to wait for longer than anybody's patience, and not so long that it fails at once.
            let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(600));
            world.notion_faults.add(Rule::new(Fault::Answer(limited)).exchange(8));
            let running = Running::start(&world.variables, &["sync", "--output", "json"]);
            running.until(|| world.notion_faults.exchanges().iter().any(|exchange| exchange.fault.is_some())).await;
            running.signal(signal);
            let ended = running.end().await;
            said(&ended, 130, "interrupted");
            let report = &ended.reports()[0];
            assert_eq!(report["outcome"], "partial", "{report}");
            assert!(report["data_sources"][0]["resume"].is_object(), "{report}");
            world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Edited in between")).unwrap());
            // At once: the lease was given back.
            let next = notion_sync(&world.variables, &["sync", "--output", "json"]).await;
            assert_eq!(next.code, Some(0), "{next:?}");
            let read = next.reports()[0]["pages_read"].as_u64().unwrap();
            assert!(read < 120, "it went on from the position: {read}");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_statement_under_way_is_cancelled_on_an_interruption_and_a_second_one_ends_the_process_at_once() {
    run_test(async {
        for (signals, milliseconds) in [(1, 120_000), (2, 8_000)] {
            let world = world().await;
            add_rows(&world, 20);
            let merge = format!("MERGE INTO {}.`notion_raw_pages`", world.qualified_schema());
            world.databricks.script(Script::once(&merge, Behaviour::Slow { milliseconds }));
            let mut running = Running::start(&world.variables, &["sync"]);
            running.until(|| world.page_merges() == 1).await;
            running.signal("INT");
            if signals == 2 {
                running.until_it_says("Interrupt again").await;
                running.signal("INT");
            }
            let ended = running.end().await;
            said(&ended, 130, if signals == 1 { "partial" } else { "ended at once" });
            assert_eq!(world.truth().await, None);
            if signals == 2 {
                // What a run ended at once can't give back ends by itself; nobody waits for that here.
                let key = json!({"pk": {"S": world.database_id}, "sk": {"S": "lease"}});
                let request = json!({"TableName": world.state_table, "Key": key});
                world.aws.client().dynamodb("DeleteItem", &request).await.unwrap();
            }
            said(&notion_sync(&world.variables, &["sync"]).await, 0, "complete");
            world.no_statement_is_left_open().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn variables_may_come_from_a_file_and_the_environment_wins_over_it() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 2);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (name, value) in &world.variables {
            let value = if name == "DATABRICKS_CATALOG" { "elsewhere" } else { value };
            writeln!(file, "{name}=\"{value}\"").unwrap();
        }
        let path = file.path().to_str().unwrap();
        let environment = [("DATABRICKS_CATALOG".to_owned(), crate::support::catalog())].into();
        said(&notion_sync(&environment, &["sync", "--env-file", path]).await, 0, "complete");
        world.assert_table_equals_notion().await;
        said(&notion_sync(&environment, &["sync", "--env-file", "/no/such/file"]).await, 3, "/no/such/file");
        world.end().await;
    });
}

#[test]
fn completions_name_every_command_and_need_no_configuration() {
    run_test(async {
        for shell in ["bash", "zsh", "fish"] {
            let script = notion_sync(&Default::default(), &["completions", shell]).await;
            assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{shell}");
            for part in ["list-databases", "verify", "full-refresh", "env-file"] {
                assert!(script.stdout.contains(part), "{shell}: {part}");
            }
        }
        said(&notion_sync(&Default::default(), &["completions", "csh"]).await, 2, "bash, zsh, fish");
    });
}

#[test]
fn help_and_version_need_no_configuration() {
    run_test(async {
        let help = notion_sync(&Default::default(), &["--help"]).await;
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        let names = ["health", "list-databases", "init-tables", "sync", "sweep", "verify", "status"];
        for part in names.into_iter().chain(["--env-file", "--output", "--verbose", "Exit codes:"]) {
            assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
        }
        for (command, option) in [("sync", "--full-refresh"), ("sync", "--restart"), ("sweep", "--allow-removals")] {
            let help = notion_sync(&Default::default(), &[command, "--help"]).await;
            said(&help, 0, option);
        }
        said(
            &notion_sync(&Default::default(), &["--version"]).await,
            0,
            concat!("notion-sync ", env!("CARGO_PKG_VERSION")),
        );
    });
}
