//! The outer edge: what the process shows, how much of it, which way its requests take, and which configuration it refuses.

use std::collections::BTreeMap;

use notion_sync_local::faults::{Answer, Fault, FaultProxy, Rule};
use notion_sync_local::notion::DEFAULT_TOKEN;
use serde_json::{Value, json};

use crate::support::process::{Ended, notion_sync};
use crate::support::runtime_api::LambdaProcess;
use crate::support::{World, run_test};
use crate::sync::add_rows;

/// A name that clears the screen, sets the title, returns the carriage, turns the line around and adds a line of its own.
const FOREIGN: &str = "Plan\u{1b}[2J\u{1b}]0;owned\u{7}\rnot it\u{202e}gnihton\u{9b}31m\nerror: all rows are gone";

async fn world() -> World {
    let world = World::new().await;
    world.run_clock();
    world
}

/// Characters that would act on a terminal.
fn acting(text: &str) -> Option<char> {
    text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c))
}

fn assert_tame(ended: &Ended, command: &str) {
    for text in [&ended.stdout, &ended.stderr] {
        assert_eq!(acting(text), None, "{command}: {text:?}");
        assert!(!text.contains("\nerror: all rows are gone"), "{command}: a line of its own: {text}");
    }
}

#[test]
fn foreign_text_reaches_the_terminal_as_text_and_json_keeps_its_value() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 3);
        world.edit(|workspace| {
            workspace.rename_data_source(&world.data_source_id, FOREIGN).unwrap();
            workspace.add_data_source(&world.database_id, "Second").unwrap();
        });
        for command in ["list-databases", "sync", "-vvv sync", "sweep", "status", "health"] {
            let arguments: Vec<&str> = command.split(' ').collect();
            assert_tame(&notion_sync(&world.variables, &arguments).await, command);
        }
        let refusal = Answer::notion(400, "validation_error", FOREIGN);
        world.notion_faults.add(Rule::new(Fault::Answer(refusal)).path("/query").always());
        assert_tame(&notion_sync(&world.variables, &["-vvv", "sync"]).await, "a refusal");
        world.notion_faults.clear_rules();
        let listed = notion_sync(&world.variables, &["list-databases", "--output", "json"]).await;
        assert_eq!(acting(&listed.stdout), None, "{listed:?}");
        let names = listed.reports()[0]["items"][0]["data_sources"].clone();
        assert!(names.as_array().unwrap().iter().any(|source| source["name"] == FOREIGN), "{names}");
        world.end().await;
    });
}

const NOTION_KEY: &str = "ntn_planted4Zr8Q2notionKeyMm31";
const DATABRICKS_TOKEN: &str = "dapiplanted7Gq2databricksToken55";

/// What a server may make of a credential that it was never sent by us.
fn told_again() -> Vec<String> {
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    // The two as they stand in the middle of a basic header, by coreutils' base64.
    let basic =
        ["YXBwLTE6ZGFwaXBsYW50ZWQ3R3EyZGF0YWJyaWNrc1Rva2VuNTU=", "YXBwLTE6bnRuX3BsYW50ZWQ0WnI4UTJub3Rpb25LZXlNbTMx"];
    [NOTION_KEY, DATABRICKS_TOKEN]
        .into_iter()
        .flat_map(|key| [key.to_owned(), percent(key)])
        .chain(basic.map(str::to_owned))
        .collect()
}

fn assert_untold(written: &str, planted: &str) {
    assert!(written.len() > 100, "something was written");
    let plain = percent_decoded(written);
    for part in
        [&NOTION_KEY[4..20], &NOTION_KEY[12..], &DATABRICKS_TOKEN[..16], &DATABRICKS_TOKEN[16..], &planted[..16]]
    {
        assert!(!plain.contains(part) && !written.contains(part), "{part} was written: {written}");
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => (bytes.push(byte), rest = &after[2..]).0,
            _ => (bytes.push(*first), rest = after).0,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_server_that_repeats_the_other_services_credential_is_not_quoted_whatever_the_encoding() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 2);
        world.edit(|workspace| workspace.rotate_token(NOTION_KEY));
        world.databricks.configure(|settings| settings.tokens = vec![DATABRICKS_TOKEN.to_owned()]);
        let variables =
            world.variables_with(&[("NOTION_API_KEY", Some(NOTION_KEY)), ("DATABRICKS_TOKEN", Some(DATABRICKS_TOKEN))]);
        let mut lambda = LambdaProcess::start(&variables).await;
        for planted in told_again() {
            let message = format!("the gateway got {planted}");
            let from_notion =
                [Answer::notion(400, "validation_error", &message), Answer::new(403, "text/html", message.clone())];
            for answer in from_notion {
                world.notion_faults.add(Rule::new(Fault::Answer(answer)).always());
                assert_untold(&everything_written(&variables, &mut lambda, "health").await, &planted);
                world.notion_faults.clear_rules();
            }
            let from_databricks = Answer::databricks(403, "PERMISSION_DENIED", &message);
            world.databricks_faults.add(Rule::new(Fault::Answer(from_databricks)).always());
            assert_untold(&everything_written(&variables, &mut lambda, "sync").await, &planted);
            world.databricks_faults.clear_rules();
        }
        let stored = world.aws.client().items(&world.state_table).await.unwrap();
        let stored = Value::from(stored).to_string();
        assert!(stored.contains("error_message"), "{stored}");
        assert_untold(&stored, NOTION_KEY);
        lambda.end().await;
        world.end().await;
    });
}

async fn everything_written(variables: &BTreeMap<String, String>, lambda: &mut LambdaProcess, command: &str) -> String {
    let mut written = String::new();
    for output in ["text", "json"] {
        let ended = notion_sync(variables, &["-vvv", "--output", output, command]).await;
        written.push_str(&ended.stdout);
        written.push_str(&ended.stderr);
    }
    let event = if command == "sync" { json!({"database": "projects"}) } else { json!({"action": command}) };
    written.push_str(&lambda.ask(&event.to_string()).await.body.to_string());
    written.push_str(&lambda.stdout());
    written.push_str(&lambda.stderr());
    written
}

#[test]
fn a_proxys_password_is_never_shown() {
    run_test(async {
        let world = world().await;
        // Not loopback, so the proxy is asked; it repeats what it was given.
        let proxy = FaultProxy::start(&world.notion.base_url()).await.unwrap();
        let message = "Proxy-Authorization: Basic bWU6cGxhbnRlZFByb3h5UGFzc3dvcmQ3 (me:plantedProxyPassword7)";
        proxy.add(Rule::new(Fault::Answer(Answer::new(407, "text/html", message))).always());
        let address = proxy.base_url().replace("http://", "http://me:plantedProxyPassword7@");
        let variables = world.variables_with(&[
            ("HTTP_PROXY", Some(&address)),
            ("HTTPS_PROXY", Some(&address)),
            ("NOTION_BASE_URL", Some("https://notion.invalid")),
        ]);
        for output in ["text", "json"] {
            let ended = notion_sync(&variables, &["-vvv", "--output", output, "health"]).await;
            let written = format!("{}{}", ended.stdout, ended.stderr);
            assert!(written.len() > 100, "{written}");
            for part in ["plantedProxyPass", "bWU6cGxhbnRlZFBy"] {
                assert!(!written.contains(part), "{written}");
            }
        }
        world.end().await;
    });
}

#[test]
fn loopback_never_goes_through_a_proxy_and_other_hosts_do_unless_no_proxy_names_them() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 2);
        let proxy = FaultProxy::start(&world.notion.base_url()).await.unwrap();
        let address = proxy.base_url();
        let proxied =
            [("HTTP_PROXY", Some(&*address)), ("http_proxy", Some(&*address)), ("ALL_PROXY", Some(&*address))];
        let ended = notion_sync(&world.variables_with(&proxied), &["sync"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(proxy.exchanges().is_empty(), "{:?}", proxy.exchanges());
        world.assert_table_equals_notion().await;

        let elsewhere = [("NOTION_BASE_URL", Some("https://notion.invalid")), ("HTTPS_PROXY", Some(&*address))];
        let ask = async |more: &[(&str, Option<&str>)]| {
            proxy.forget_exchanges();
            let variables = world.variables_with(&[&elsewhere[..], more].concat());
            assert_eq!(notion_sync(&variables, &["health"]).await.code, Some(5));
            proxy.exchanges().len()
        };
        assert!(ask(&[]).await > 0, "a host elsewhere is reached by the proxy");
        assert_eq!(ask(&[("NO_PROXY", Some("example.org,.invalid"))]).await, 0, "unless NO_PROXY names it");
        world.end().await;
    });
}

#[test]
fn a_database_does_not_drop_out_without_a_word() {
    run_test(async {
        let world = world().await;
        world.forget_exchanges();
        for value in ["", "  ", "\"\"", "' '"] {
            let variables = world.variables_with(&[("NOTION_RISKS_DB_ID", Some(value))]);
            let ended = notion_sync(&variables, &["sync"]).await;
            assert_eq!(ended.code, Some(3), "{value:?}: {ended:?}");
            assert!(ended.stderr.contains("BLOCKED: missing env var NOTION_RISKS_DB_ID"), "{ended:?}");
        }
        for name in ["NOTION_DB_ID", "NOTION__DB_ID", "NOTION____DB_ID"] {
            let variables = world.variables_with(&[(name, Some("5c5b18f4-57b1-4b8f-a6b1-2b8f5a1d8c11"))]);
            let ended = notion_sync(&variables, &["sync"]).await;
            assert_eq!(ended.code, Some(3), "{name}: {ended:?}");
            assert!(ended.stderr.contains(&format!("BLOCKED: {name} names no database")), "{ended:?}");
        }
        world.assert_nothing_was_asked();
        world.end().await;
    });
}

#[test]
fn a_name_of_one_megabyte_makes_no_report_and_no_line_too_large() {
    run_test(async {
        let world = world().await;
        add_rows(&world, 3);
        let name = "ä\u{1b}".repeat(1 << 19);
        world.edit(|workspace| {
            workspace.rename_data_source(&world.data_source_id, &name).unwrap();
            workspace.add_data_source(&world.database_id, "Second").unwrap();
        });
        let mut lambda = LambdaProcess::start(&world.variables_with(&[("AWS_LAMBDA_LOG_LEVEL", Some("TRACE"))])).await;
        for event in [json!({"database": "projects"}), json!({"action": "list-databases"}), json!({"action": "health"})]
        {
            let report = lambda.ask(&event.to_string()).await.report();
            assert!(report.to_string().len() < 256_000, "{event}: {}", report.to_string().len());
        }
        for line in lambda.stdout().lines() {
            assert!(line.len() < 256_000, "{}", line.len());
        }
        lambda.end().await;
        let ended = notion_sync(&world.variables, &["sync"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.len() < 256_000 && ended.stderr.len() < 256_000);
        assert_eq!(DEFAULT_TOKEN, world.variables["NOTION_API_KEY"]);
        world.end().await;
    });
}
