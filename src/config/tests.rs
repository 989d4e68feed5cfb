use std::io::Write;

use secrecy::ExposeSecret;

use super::vars::{Fallback, VARIABLES};
use super::*;
use crate::failure::FailureClass;

/// A configuration that works, changed by `changes`; an empty value unsets.
fn variables(changes: &[(&str, &str)]) -> Variables {
    let working = [
        ("NOTION_API_KEY", "ntn_planted-notion-secret"),
        ("NOTION_PROJECTS_DB_ID", "be633bf1dfa0436db259571129a590e5"),
        ("NOTION_BUDGET_LINES_DB_ID", "5c5b18f4-57b1-4b8f-a6b1-2b8f5a1d8c11"),
        ("DATABRICKS_HOST", "adb-984752964297111.11.azuredatabricks.net"),
        ("DATABRICKS_HTTP_PATH", "/sql/1.0/warehouses/1a2b3c4d5e6f7081"),
        ("DATABRICKS_TOKEN", "dapi-planted-databricks-secret"),
        ("DATABRICKS_CATALOG", "main"),
    ];
    working.iter().chain(changes).copied().collect()
}

fn config(changes: &[(&str, &str)]) -> Config {
    Config::from_variables(&variables(changes)).unwrap()
}

/// The problems, one a line, without what to do.
fn problems(changes: &[(&str, &str)]) -> Vec<String> {
    let failure = Config::from_variables(&variables(changes)).unwrap_err();
    assert_eq!(failure.class(), FailureClass::Configuration);
    for secret in ["planted-notion-secret", "planted-databricks-secret", "planted-client-secret"] {
        assert!(!failure.describe().contains(secret), "{failure:?}");
    }
    failure.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_least_configuration_gets_the_documented_defaults() {
    let config = config(&[]);
    let names: Vec<&str> = config.databases.iter().map(|database| database.name.as_str()).collect();
    assert_eq!(names, ["budget_lines", "projects"]);
    assert_eq!(config.notion.base_url.as_str(), "https://api.notion.com/");
    assert_eq!(config.notion.rate_limit_delay, Duration::from_millis(340));
    assert_eq!(config.notion.page_size, 100);
    assert_eq!(config.databricks.host.as_str(), "https://adb-984752964297111.11.azuredatabricks.net/");
    assert_eq!(config.databricks.warehouse_id, "1a2b3c4d5e6f7081");
    assert_eq!(config.databricks.schema, "bronze");
    assert_eq!(config.sync.settle, Duration::from_secs(120));
    assert_eq!(config.sync.merge_batch_bytes, 8 << 20);
    assert!((config.sync.max_removed_share - 0.2).abs() < f64::EPSILON);
    assert_eq!(config.watermark_table, None);
    assert_eq!(config.run_budget, None, "the command line has no budget");
}

#[test]
fn lambda_has_fourteen_minutes_unless_told_otherwise() {
    let on_lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
    assert_eq!(config(&[on_lambda]).run_budget, Some(Duration::from_secs(840)));
    assert_eq!(config(&[on_lambda, ("RUN_BUDGET", "20s")]).run_budget, Some(Duration::from_secs(20)));
}

#[test]
fn nothing_set_is_one_failure_that_names_everything() {
    let failure = Config::from_variables(&Variables::default()).unwrap_err();
    insta::assert_snapshot!(failure.describe(), @r"
    BLOCKED: missing env var NOTION_API_KEY
    BLOCKED: missing env var DATABRICKS_TOKEN (or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET)
    BLOCKED: missing env var NOTION_<NAME>_DB_ID (one per database, such as NOTION_PROJECTS_DB_ID)
    BLOCKED: missing env var DATABRICKS_HOST
    BLOCKED: missing env var DATABRICKS_HTTP_PATH (or DATABRICKS_WAREHOUSE_ID)
    BLOCKED: missing env var DATABRICKS_CATALOG. Set the variables named in the message.
    ");
}

#[test]
fn every_malformed_value_is_named_with_the_form_expected() {
    let changes = [
        ("NOTION_PROJECTS_DB_ID", "projects"),
        ("NOTION_BASE_URL", "http://api.notion.com"),
        ("RATE_LIMIT_DELAY", "soon"),
        ("BATCH_SIZE", "101"),
        ("DATABRICKS_HOST", "http://adb-1.azuredatabricks.net"),
        ("DATABRICKS_HTTP_PATH", "/sql/protocolv1/o/984752964297111/0101-010101-abc"),
        ("DATABRICKS_CATALOG", "main/sub"),
        ("BRONZE_SCHEMA", "main.bronze"),
        ("SYNC_SETTLE", "-2m"),
        ("MERGE_BATCH_BYTES", "16MiB"),
        ("SWEEP_MAX_REMOVED_SHARE", "20%"),
        ("WATERMARK_TABLE", "a b"),
        ("RUN_BUDGET", "0"),
        ("AWS_ENDPOINT_URL", "localhost"),
    ];
    insta::assert_snapshot!(problems(&changes).join("\n"), @r#"
    BLOCKED: invalid value for NOTION_PROJECTS_DB_ID: "projects" is not a Notion database id (the 32 hexadecimal digits in the database's address, with or without dashes; the whole address will do)
    BLOCKED: invalid value for NOTION_BASE_URL: "http://api.notion.com" is not an https:// address (http:// is only for localhost, 127.0.0.0/8 and [::1])
    BLOCKED: invalid value for RATE_LIMIT_DELAY: "soon" is not a duration from 0s to 1m (`340ms`, `2m`, or a number of seconds)
    BLOCKED: invalid value for BATCH_SIZE: "101" is not a whole number from 1 to 100
    BLOCKED: invalid value for DATABRICKS_HOST: "http://adb-1.azuredatabricks.net" is not an https:// address (http:// is only for localhost, 127.0.0.0/8 and [::1])
    BLOCKED: invalid value for DATABRICKS_HTTP_PATH: "/sql/protocolv1/o/984752964297111/0101-010101-abc" is not the path of a SQL warehouse but of a cluster, and statements run on warehouses only; use /sql/1.0/warehouses/ID
    BLOCKED: invalid value for DATABRICKS_CATALOG: "main/sub" is not a single name of at most 255 characters without `.`, `/`, spaces and control characters
    BLOCKED: invalid value for BRONZE_SCHEMA: "main.bronze" is not a single name of at most 255 characters without `.`, `/`, spaces and control characters
    BLOCKED: invalid value for SYNC_SETTLE: "-2m" is not a duration from 0s to 24h (`340ms`, `2m`, or a number of seconds)
    BLOCKED: invalid value for MERGE_BATCH_BYTES: "16MiB" is not a size from 1024 bytes to 15 MiB (`8MiB`, `512KiB`, or a number of bytes)
    BLOCKED: invalid value for SWEEP_MAX_REMOVED_SHARE: "20%" is not a share from 0 to 1, such as 0.2
    BLOCKED: invalid value for WATERMARK_TABLE: "a b" is not the name (3 to 255 of a-z, A-Z, 0-9, _, -, .) or the ARN of a DynamoDB table
    BLOCKED: invalid value for RUN_BUDGET: "0" is not a duration from 1s to 168h (`340ms`, `2m`, or a number of seconds)
    BLOCKED: invalid value for AWS_ENDPOINT_URL: "localhost" is not an address such as http://127.0.0.1:4566
    "#);
}

#[test]
fn a_forgotten_placeholder_is_suspicious_wherever_it_stands() {
    let changes = [
        ("NOTION_API_KEY", "ntn_your_token"),
        ("DATABRICKS_TOKEN", "dapixxxxxxxxxxxxxxxx"),
        ("DATABRICKS_HOST", "https://your-workspace.cloud.databricks.com"),
        ("DATABRICKS_HTTP_PATH", "/sql/1.0/warehouses/1234567890abcdef"),
        ("DATABRICKS_CATALOG", "<catalog>"),
        ("NOTION_PROJECTS_DB_ID", "00000000000000000000000000000000"),
        ("NOTION_RISKS_DB_ID", "12345678-1234-1234-1234-123456789012"),
        ("SECRETS_ID", "changeme"),
        ("WATERMARK_TABLE", "todo"),
    ];
    let mut found = problems(&changes);
    found.sort();
    let mut names = changes.map(|(name, _)| format!("BLOCKED: suspicious default value for {name}"));
    names.sort();
    assert_eq!(found, names);
}

#[test]
fn a_variable_set_to_nothing_is_missing() {
    assert_eq!(problems(&[("DATABRICKS_CATALOG", "  ")]), ["BLOCKED: missing env var DATABRICKS_CATALOG"]);
    assert_eq!(config(&[("BRONZE_SCHEMA", "")]).databricks.schema, "bronze");
}

#[test]
fn a_database_set_to_nothing_is_missing_and_one_without_a_name_is_refused() {
    for value in ["", " ", "\u{feff}", "''"] {
        let found = problems(&[("NOTION_PROJECTS_DB_ID", value)]);
        assert_eq!(found, ["BLOCKED: missing env var NOTION_PROJECTS_DB_ID"], "{value:?}");
    }
    let id = "a1b2c3d4-57b1-4b8f-a6b1-2b8f5a1d8c12";
    for name in ["NOTION_DB_ID", "NOTION__DB_ID", "NOTION___DB_ID"] {
        let found = problems(&[(name, id)]);
        assert_eq!(found, [format!("BLOCKED: {name} names no database; it must be NOTION_<NAME>_DB_ID")]);
    }
    let pasted = format!("\"https://www.notion.so/acme/Risks-{}?v=1a2b&pvs=4\"", id.replace('-', ""));
    assert_eq!(config(&[("NOTION_RISKS_DB_ID", &pasted)]).databases[2].id.to_string(), id);
}

#[test]
fn what_is_off_unless_set_is_validated() {
    let plain = config(&[]);
    assert_eq!((plain.databricks.views_schema, plain.sync.walkers), (None, 4));
    let set = config(&[("VIEWS_SCHEMA", "silver"), ("WALKERS", "16")]);
    assert_eq!((set.databricks.views_schema.as_deref(), set.sync.walkers), (Some("silver"), 16));
    assert_eq!(problems(&[("VIEWS_SCHEMA", "a.b"), ("WALKERS", "17"), ("BATCH_SIZE", "0")]).len(), 3);
    assert_eq!(problems(&[("WALKERS", "0")]).len(), 1);
}

#[test]
fn every_credential_of_the_environment_is_redacted_from_then_on() {
    let changes = [
        ("AWS_SECRET_ACCESS_KEY", "W4Zr8Q2Vb7Lk3config"),
        ("AWS_SESSION_TOKEN", "T9Kx4Hf6Mm31config"),
        ("https_proxy", "http://me:P5Wd8Nn2Rr77config@proxy:3128"),
        ("BATCH_SIZE", "many"),
    ];
    // Registered although the configuration is refused.
    assert_eq!(problems(&changes).len(), 1);
    for secret in ["W4Zr8Q2Vb7Lk3config", "T9Kx4Hf6Mm31config", "P5Wd8Nn2Rr77config"] {
        let text = format!("a server said {secret} to us");
        assert_eq!(crate::output::redacted(&text), "a server said [redacted] to us");
    }
}

#[test]
fn each_database_has_one_name_and_each_name_one_database() {
    let same_id = problems(&[("NOTION_RISKS_DB_ID", "BE633BF1-DFA0-436D-B259-571129A590E5")]);
    assert_eq!(
        same_id,
        ["BLOCKED: NOTION_PROJECTS_DB_ID and NOTION_RISKS_DB_ID name the same database \
          be633bf1-dfa0-436d-b259-571129a590e5"]
    );
    let same_name = problems(&[("NOTION_Projects_DB_ID", "a1b2c3d4-57b1-4b8f-a6b1-2b8f5a1d8c12")]);
    assert_eq!(same_name, ["BLOCKED: NOTION_PROJECTS_DB_ID and NOTION_Projects_DB_ID both name the database projects"]);
    let odd = problems(&[("NOTION_A-B_DB_ID", "a1b2c3d4-57b1-4b8f-a6b1-2b8f5a1d8c12")]);
    assert_eq!(
        odd,
        ["BLOCKED: NOTION_A-B_DB_ID is not of the form NOTION_<NAME>_DB_ID (at most 100 letters, digits, _)"]
    );
}

#[test]
fn there_is_one_way_to_sign_in_to_databricks() {
    let id = ("DATABRICKS_CLIENT_ID", "5a1d8c11-57b1-4b8f-a6b1-2b8f5a1d8c12");
    let secret = ("DATABRICKS_CLIENT_SECRET", "dose-planted-client-secret");
    let no_token = ("DATABRICKS_TOKEN", "");
    assert!(config(&[id, secret, no_token]).secrets.databricks_client_secret.is_some());
    assert_eq!(problems(&[id, no_token]), ["BLOCKED: missing env var DATABRICKS_CLIENT_SECRET"]);
    assert_eq!(problems(&[secret, no_token]), ["BLOCKED: missing env var DATABRICKS_CLIENT_ID"]);
    assert!(problems(&[id, secret])[0].contains("both set"));
}

#[test]
fn with_a_secret_the_credentials_may_be_absent() {
    let none = [("SECRETS_ID", "notion-sync/dev"), ("NOTION_API_KEY", ""), ("DATABRICKS_TOKEN", "")];
    let config = config(&none);
    assert_eq!(config.secrets.secrets_id.as_deref(), Some("notion-sync/dev"));
    assert!(config.secrets.notion_api_key.is_none());
}

#[test]
fn the_warehouse_is_named_by_path_or_id() {
    let no_path = ("DATABRICKS_HTTP_PATH", "");
    let id = |id| ("DATABRICKS_WAREHOUSE_ID", id);
    assert_eq!(config(&[no_path, id("abc123")]).databricks.warehouse_id, "abc123");
    assert_eq!(config(&[id("1a2b3c4d5e6f7081")]).databricks.warehouse_id, "1a2b3c4d5e6f7081");
    assert!(problems(&[id("abc123")])[0].contains("keep one"));
}

#[test]
fn what_can_not_stand_in_a_header_is_no_credential_and_is_not_repeated() {
    assert_eq!(
        problems(&[("NOTION_API_KEY", "Bearer ntn_planted-notion-secret")]),
        ["BLOCKED: invalid value for NOTION_API_KEY: its value is not printable ASCII without spaces"]
    );
}

#[test]
fn an_address_with_a_password_is_not_repeated() {
    let found = problems(&[("DATABRICKS_HOST", "https://me:planted-client-secret@host")]);
    assert_eq!(
        found,
        ["BLOCKED: invalid value for DATABRICKS_HOST: its value is not an address without user and password"]
    );
}

#[test]
fn aws_variables_of_the_file_reach_the_sdk_and_the_environment_wins() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "AWS_ENDPOINT_URL=http://127.0.0.1:4566\nAWS_REGION=us-east-1").unwrap();
    writeln!(file, "AWS_ACCESS_KEY_ID=test\nAWS_SECRET_ACCESS_KEY=planted").unwrap();
    let aws = Config::from_variables(&variables(&[]).with_file(file.path()).unwrap()).unwrap().aws;
    assert_eq!(aws.endpoint_url.as_deref(), Some("http://127.0.0.1:4566"));
    assert_eq!(aws.region.as_deref(), Some("us-east-1"));
    assert_eq!(aws.credentials.unwrap().secret_access_key.expose_secret(), "planted");

    let real = [("AWS_DEFAULT_REGION", "eu-central-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    let aws = Config::from_variables(&variables(&real).with_file(file.path()).unwrap()).unwrap().aws;
    assert_eq!((aws.region, aws.endpoint_url), (None, None), "the SDK finds them in the environment itself");
}

#[test]
fn no_secret_shows_in_debug() {
    let text = format!("{:?}", config(&[]));
    assert!(!text.contains("planted"), "{text}");
}

#[test]
fn every_default_of_the_registry_is_a_value_that_is_taken() {
    for variable in VARIABLES {
        if let Fallback::Text(default) = variable.default {
            config(&[(variable.name, default)]);
        }
    }
}

#[test]
fn every_variable_that_is_read_is_in_the_registry() {
    // The source is the only list of names read; a name in quotes that looks like a variable must be registered.
    let exempt = ["AWS_LAMBDA_RUNTIME_API", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let regions = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"];
    let names = concat!(include_str!("mod.rs"), include_str!("credentials.rs")).split('"').filter(|text| {
        text.len() > 7 && text.contains('_') && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    });
    for name in names.filter(|name| ![&exempt[..], &regions, &proxies].concat().contains(name)) {
        assert!(vars::find(name).is_some(), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn no_environment_makes_it_panic(pairs in proptest::collection::vec((0..VARIABLES.len(), ".{0,40}"), 0..30)) {
        let pairs = pairs.into_iter().map(|(index, value)| (VARIABLES[index].name.replace("<NAME>", "RISKS"), value));
        let _ = Config::from_variables(&pairs.collect());
    }
}

#[test]
fn the_example_names_real_variables_and_is_refused_until_it_is_filled_in() {
    let text = std::fs::read_to_string(".env.example").unwrap();
    let is_database = |name: &str| name.starts_with("NOTION_") && name.ends_with("_DB_ID");
    let sdk = ["AWS_REGION", "AWS_PROFILE"];
    for line in text.lines().filter(|line| line.contains('=')) {
        let name = line.trim_start_matches('#').split('=').next().unwrap();
        assert!(is_database(name) || sdk.contains(&name) || vars::find(name).is_some(), "{name}");
    }
    let copied = Variables::default().with_file(std::path::Path::new(".env.example")).unwrap();
    let failure = Config::from_variables(&copied).unwrap_err().to_string();
    assert_eq!(failure.lines().count(), 10, "{failure}");
    assert!(failure.lines().all(|line| line.starts_with("BLOCKED: suspicious default value for ")), "{failure}");
}
