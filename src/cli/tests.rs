use serde_json::Value;

use super::*;
use crate::action::ActionKind;
use crate::failure::FailureClass;
use crate::output::tests::capture;

fn variables() -> Variables {
    [
        ("NOTION_API_KEY", "ntn_1"),
        ("NOTION_PROJECTS_DB_ID", "be633bf1dfa0436db259571129a590e5"),
        ("NOTION_RISKS_DB_ID", "5c5b18f4-57b1-4b8f-a6b1-2b8f5a1d8c11"),
        ("DATABRICKS_HOST", "http://127.0.0.1:1"),
        ("DATABRICKS_HTTP_PATH", "/sql/1.0/warehouses/1a2b3c"),
        ("DATABRICKS_TOKEN", "dapi-1"),
        ("DATABRICKS_CATALOG", "main"),
        ("NOTION_BASE_URL", "http://127.0.0.1:1"),
    ]
    .into_iter()
    .collect()
}

/// Exit code, standard output, standard error.
async fn command(variables: Variables, line: &str) -> (u8, String, String) {
    let (written, standard_output) = capture();
    let (lines, standard_error) = capture();
    let outputs = Outputs { standard_output, standard_error, is_terminal: false, width: None, has_color: false };
    let code = run(line.split(' ').map(OsString::from), variables, &outputs).await;
    let output = written.lock().unwrap().join("\n");
    let errors = lines.lock().unwrap().join("\n");
    (code, output, errors)
}

#[tokio::test]
async fn an_unknown_database_is_refused_with_the_configured_ones() {
    let (code, output, errors) = command(variables(), "notion-sync sync -d projects -d tasks").await;
    assert_eq!((code, output.as_str()), (2, ""));
    assert!(errors.contains("error: UnknownDatabase: unknown database \"tasks\"; configured are projects, risks."));
}

#[tokio::test]
async fn a_broken_configuration_is_one_line_of_json_when_json_is_wanted() {
    let (code, output, _) = command(Variables::default(), "notion-sync status --output json").await;
    assert_eq!((code, output.lines().count()), (3, 1));
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&report["action"], &report["outcome"]), (&"status".into(), &"failed".into()));
    assert_eq!(report["error"]["class"], "Configuration");
    assert!(report["error"]["message"].as_str().unwrap().contains("BLOCKED: missing env var DATABRICKS_HOST\n"));

    let (code, output, errors) = command(Variables::default(), "notion-sync status").await;
    assert_eq!((code, output.as_str()), (3, ""));
    assert!(errors.contains("BLOCKED: missing env var NOTION_API_KEY"), "{errors}");
}

#[tokio::test]
async fn an_env_file_that_is_not_there_is_a_configuration_failure() {
    let (code, _, errors) = command(variables(), "notion-sync health --env-file nowhere.env").await;
    assert_eq!(code, 3);
    assert!(errors.contains("--env-file nowhere.env can't be read"), "{errors}");
}

#[tokio::test]
async fn wrong_arguments_are_a_wrong_request_and_help_is_none() {
    for line in ["notion-sync", "notion-sync synch", "notion-sync sync --databases x", "notion-sync status -d x"] {
        let (code, output, errors) = command(variables(), line).await;
        assert_eq!((code, output.as_str()), (2, ""), "{line}");
        assert!(errors.contains("Usage: "), "{errors}");
    }
    let (code, output, errors) = command(variables(), "notion-sync --help").await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.contains("Exit codes:"), "{output}");
}

#[test]
fn the_first_failure_decides_and_partial_only_without_one() {
    let report = |outcome: Outcome, class: Option<FailureClass>| {
        let mut report = Report::begin(Some(ActionKind::Sync), RunId::random(), Clock::System.now());
        report.outcome = outcome;
        if let Some(class) = class {
            report.fail(&Failure::new(class, "failed"));
        }
        report
    };
    let complete = report(Outcome::Complete, None);
    let partial = report(Outcome::Partial, None);
    let skipped = report(Outcome::Skipped, None);
    let notion = report(Outcome::Complete, Some(FailureClass::NotionUnavailable));
    let access = report(Outcome::Complete, Some(FailureClass::DatabricksForbidden));
    assert_eq!(exit_code(&[complete.clone(), skipped]), 0);
    assert_eq!(exit_code(&[complete.clone(), partial.clone()]), 10);
    assert_eq!(exit_code(&[partial, notion, access, complete]), 5);
}
