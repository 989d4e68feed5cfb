use super::*;
use crate::failure::FailureClass;
use crate::ids::{DataSourceId, DatabaseId, DatabaseName};
use crate::run::items::{DatabaseState, DifferenceKind, Found as Known, LeaseItem, SourceDetail, SourceList};
use crate::run::report::ErrorReport;

const ID: &str = "be633bf1-dfa0-436d-b259-571129a590e5";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn shown(items: Vec<Item>, width: usize) -> String {
    tables(&items, Some(width)).join("\n")
}

fn run(action: &str, outcome: &str, age_seconds: i64, class: Option<FailureClass>) -> RunItem {
    RunItem {
        started_at: "2026-11-22T14:58:00.000Z".to_owned(),
        age_seconds: Some(age_seconds),
        action: Some(action.to_owned()),
        outcome: Some(outcome.to_owned()),
        run_id: Some("run-1".to_owned()),
        duration_ms: Some(2_345),
        pages_read: Some(1_200),
        error_class: class.map(|class| class.to_string()),
        error_message: None,
    }
}

fn source(resume: bool) -> SourceItem {
    SourceItem {
        data_source_id: DataSourceId::parse(ID).unwrap(),
        name: Some("2026".to_owned()),
        synced_through: Some(at("2026-11-22T14:58:00Z")),
        more: Some(SourceDetail {
            last_edited_time: None,
            last_full_refresh_at: Some(at("2026-11-20T02:00:00Z")),
            last_sweep_at: Some(at("2026-11-22T03:00:00Z")),
            resume: resume.then(|| serde_json::json!({"version": 1})),
        }),
    }
}

fn status_items() -> Vec<Item> {
    let item = |name: &str, standing, state| {
        let database = DatabaseName::parse(name).unwrap();
        Item::Status(Box::new(StatusItem { database, database_id: DatabaseId::parse(ID).unwrap(), standing, state }))
    };
    let known = |sources: Vec<SourceItem>| {
        let synced_through = sources.first().and_then(|source| source.synced_through);
        Known::Known(DatabaseState { synced_through, lag_seconds: synced_through.map(|_| 125), data_sources: sources })
    };
    let failed = run("sync", "failed", 7_260, Some(FailureClass::NotionForbidden));
    let state = StateItem {
        lease: Some(LeaseItem { run_id: "run-2".to_owned(), until: at("2026-11-22T15:01:00Z") }),
        last_run: Some(failed.clone()),
        last_complete_sync: Some(run("sync", "complete", 8_160, None)),
        last_failure: Some(FailedRun { run: failed, remedy: Some(FailureClass::NotionForbidden.remedy()) }),
        runs: Vec::new(),
    };
    let quiet =
        StateItem { lease: None, last_run: None, last_complete_sync: None, last_failure: None, runs: Vec::new() };
    let error = ErrorReport { class: FailureClass::TableMissing, message: "x".to_owned() };
    vec![
        item("projects", known(vec![source(true)]), Some(state)),
        item("risks", known(Vec::new()), Some(quiet)),
        item("actions", Known::Failed { error }, None),
    ]
}

#[test]
fn health_says_what_is_wrong_with_which() {
    let item = |dependency: &str, class: Option<FailureClass>, detail: &str| {
        let (dependency, detail) = (dependency.to_owned(), detail.to_owned());
        Item::Health(HealthItem { dependency, ok: class.is_none(), class, detail })
    };
    let items = vec![
        item("notion", None, "the token is accepted"),
        item("databricks", Some(FailureClass::DatabricksForbidden), &"a long reason ".repeat(8)),
    ];
    insta::assert_snapshot!(shown(items, 80), @r"
     dependency  ok   class                detail
    ────────────────────────────────────────────────────────────────────────────────
     notion      yes  -                    the token is accepted
     databricks  NO   DatabricksForbidden  a long reason a long reason a long
                                           reason a long reason a long reason a
                                           long reason a long reason a long reason
    ");
}

#[test]
fn status_is_a_row_a_database_at_every_width() {
    insta::assert_snapshot!(shown(status_items(), 200), @r"
     database  synced through     lag    unfinished  running    last run                                 last complete sync  last full refresh  last sweep         to do
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     projects  2026-11-22 14:58Z  2m 5s  yes         run run-2  sync failed 2h 1m ago (NotionForbidden)  2h 16m ago          2026-11-20 02:00Z  2026-11-22 03:00Z  Give the Notion connection the
                                                                                                                                                                   capability to read content.
                                                                                                                                                                   (NotionForbidden)
     risks     -                      -  -           no         -                                        -                   -                  -                  -
     actions   TableMissing           -  -           -          -                                        -                   -                  -                  -
    ");
    insta::assert_snapshot!(shown(status_items(), 120), @r"
     database  synced through     lag    running    last run                                 to do
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     projects  2026-11-22 14:58Z  2m 5s  run run-2  sync failed 2h 1m ago (NotionForbidden)  Give the Notion connection the
                                                                                             capability to read content.
                                                                                             (NotionForbidden)
     risks     -                      -  no         -                                        -
     actions   TableMissing           -  -          -                                        -
     (not shown at this width: unfinished, last complete sync, last full refresh, last sweep)
    ");
    insta::assert_snapshot!(shown(status_items(), 80), @r"
     database  synced through     lag    last run
    ─────────────────────────────────────────────────────────────────────────────
     projects  2026-11-22 14:58Z  2m 5s  sync failed 2h 1m ago (NotionForbidden)
     risks     -                      -  -
     actions   TableMissing           -  -
     (not shown at this width: unfinished, running, last complete sync, last full refresh, last sweep, to do)
    ");
    insta::assert_snapshot!(shown(status_items(), 60), @r"
    database            projects
    synced through      2026-11-22 14:58Z
    lag                 2m 5s
    unfinished          yes
    running             run run-2
    last run            sync failed 2h 1m ago (NotionForbidden)
    last complete sync  2h 16m ago
    last full refresh   2026-11-20 02:00Z
    last sweep          2026-11-22 03:00Z
    to do               Give the Notion connection the capability to read content. (NotionForbidden)

    database            risks
    running             no

    database            actions
    synced through      TableMissing
    ");
}

#[test]
fn runs_are_the_latest_first() {
    let runs = vec![run("sync", "failed", 60, Some(FailureClass::NotionForbidden)), run("sweep", "complete", 90, None)];
    let state = StateItem { lease: None, last_run: None, last_complete_sync: None, last_failure: None, runs };
    let known = DatabaseState { synced_through: None, lag_seconds: None, data_sources: Vec::new() };
    let item = StatusItem {
        database: DatabaseName::parse("projects").unwrap(),
        database_id: DatabaseId::parse(ID).unwrap(),
        standing: Known::Known(known),
        state: Some(state),
    };
    let text = shown(vec![Item::Status(Box::new(item))], 120);
    insta::assert_snapshot!(text.lines().skip(3).collect::<Vec<_>>().join("\n"), @r"
     database  began              action  outcome   took   rows read  failure          run
    ─────────────────────────────────────────────────────────────────────────────────────────
     projects  2026-11-22 14:58Z  sync    failed    2.3 s      1,200  NotionForbidden  run-1
     projects  2026-11-22 14:58Z  sweep   complete  2.3 s      1,200  -                run-1
    ");
}

#[test]
fn databases_are_a_row_a_data_source() {
    let item = |name: &str, found| {
        let database = DatabaseName::parse(name).unwrap();
        Item::Database(DatabaseItem { database, database_id: DatabaseId::parse(ID).unwrap(), found })
    };
    let never = SourceItem { synced_through: None, more: None, ..source(false) };
    let error = ErrorReport { class: FailureClass::SourceAccessLost, message: "x".to_owned() };
    let items = || {
        let found = Known::Known(SourceList { data_sources: vec![source(false), never.clone()] });
        vec![item("projects", found), item("risks", Known::Failed { error: error.clone() })]
    };
    insta::assert_snapshot!(shown(items(), 120), @r"
     database  database id                           data source       synced through
    ─────────────────────────────────────────────────────────────────────────────────────
     projects  be633bf1-dfa0-436d-b259-571129a590e5  2026              2026-11-22 14:58Z
                                                     2026              never synced
     risks     be633bf1-dfa0-436d-b259-571129a590e5  SourceAccessLost
     (not shown at this width: data source id)
    ");
    insta::assert_snapshot!(shown(items(), 80), @r"
     database  data source       synced through
    ───────────────────────────────────────────────
     projects  2026              2026-11-22 14:58Z
               2026              never synced
     risks     SourceAccessLost
     (not shown at this width: database id, data source id)
    ");
}

#[test]
fn tables_are_named_without_quotes_and_say_what_was_added() {
    let table = |name: &str, columns_added: Vec<&'static str>| {
        Item::Table(TableItem { table: format!("`main`.`bronze`.`{name}`"), columns_added })
    };
    let items =
        vec![table("notion_raw_pages", vec!["in_trash", "removed_at"]), table("notion_sync_watermarks", vec![])];
    insta::assert_snapshot!(shown(items, 80), @r"
     table                               state
    ────────────────────────────────────────────────────────────────────────────────
     main.bronze.notion_raw_pages        ready; columns added: in_trash, removed_at
     main.bronze.notion_sync_watermarks  ready
    ");
}

#[test]
fn differences_are_named() {
    let item = |difference, detail: Option<&str>| {
        Item::Difference(DifferenceItem {
            page_id: crate::ids::PageId::parse(ID).unwrap(),
            data_source_id: Some(DataSourceId::parse(ID).unwrap()),
            difference,
            detail: detail.map(str::to_owned),
        })
    };
    let items = vec![
        item(DifferenceKind::MissingInTable, None),
        item(DifferenceKind::Differs, Some("payload_sha256")),
        item(DifferenceKind::MissingInNotion, Some("in the trash")),
    ];
    insta::assert_snapshot!(shown(items, 80), @r"
     page                                  difference            detail
    ────────────────────────────────────────────────────────────────────────────
     be633bf1-dfa0-436d-b259-571129a590e5  missing in the table  -
     be633bf1-dfa0-436d-b259-571129a590e5  different             payload_sha256
     be633bf1-dfa0-436d-b259-571129a590e5  missing in Notion     in the trash
     (not shown at this width: data source id)
    ");
}
