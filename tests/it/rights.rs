//! Rights in Unity Catalog: the grants file gives what is needed, and each right that is missing is named.

use notion_sync::action::Action;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::Outcome;
use notion_sync_local::databricks::{Behaviour, Script, SessionZone, StatementError};
use notion_sync_local::notion::RowEdit;

use crate::support::{World, at, catalog, run_test};
use crate::sync::add_rows;
use crate::tidy::read;

const PRINCIPAL: &str = "00000000-0000-0000-0000-000000000000";
const ENGINEER: &str = "ann@example.com";
const GROUP: &str = "data-engineers";
const ENGINEERS_TOKEN: &str = "dapi-of-an-engineer";
const PRINCIPALS_TOKEN: &str = "dapi-of-the-principal";

/// A world in which an engineer of the group and the service's principal have no right but the use of the warehouse.
fn govern(world: &World) {
    world.databricks.configure(|settings| {
        settings.checked_principals = [PRINCIPAL, ENGINEER].map(str::to_owned).into();
        settings.groups = [(GROUP.to_owned(), vec![ENGINEER.to_owned()])].into();
        settings.principal_tokens = [(PRINCIPALS_TOKEN, PRINCIPAL), (ENGINEERS_TOKEN, ENGINEER)]
            .map(|(token, name)| (token.to_owned(), name.to_owned()))
            .into();
    });
    for principal in [PRINCIPAL, GROUP] {
        world.databricks.grant(principal, "CAN USE", "warehouse");
    }
}

async fn act_as(world: &mut World, token: &str) {
    world.variables.insert("DATABRICKS_TOKEN".to_owned(), token.to_owned());
    world.restart().await;
}

/// The statements of the grants file with the world's names, before and after the line that asks for `init-tables`.
fn grants_file(world: &World) -> [Vec<String>; 2] {
    let text = read("infra/databricks-grants.sql");
    let text = text.replace("`main`", &format!("`{}`", catalog())).replace("`bronze`", &format!("`{}`", world.schema));
    let (before, after) = text.split_once("\n-- Now run init-tables").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    [before, after].map(|part| {
        let lines: Vec<&str> = part.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        let statements = lines.join("\n");
        statements.split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    })
}

/// Sends statements as an admin does, through the API.
async fn send(world: &World, statements: &[String]) {
    for statement in statements {
        let body =
            serde_json::json!({ "warehouse_id": "local0warehouse", "statement": statement, "wait_timeout": "50s" });
        let url = format!("{}/api/2.0/sql/statements", world.databricks.base_url());
        let request = reqwest::Client::default().post(url).bearer_auth("local-token").body(body.to_string());
        let answer: serde_json::Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(answer["status"]["state"], "SUCCEEDED", "{statement}: {answer}");
    }
}

/// A world whose rights are those of the grants file, with tables made by an engineer of the group.
async fn governed() -> World {
    let mut world = World::builder().build_without_tables().await;
    govern(&world);
    let [before, after] = grants_file(&world);
    send(&world, &before).await;
    act_as(&mut world, ENGINEERS_TOKEN).await;
    let made = world.run(&Action::InitTables, Deadline::none()).await;
    assert_eq!(made.outcome, Outcome::Complete, "{:?}", made.error);
    send(&world, &after).await;
    act_as(&mut world, PRINCIPALS_TOKEN).await;
    world
}

#[test]
fn the_grants_file_gives_what_everything_from_init_tables_to_sweep_needs() {
    run_test(async {
        let mut world = governed().await;
        assert_eq!(world.run(&Action::Health, Deadline::none()).await.outcome, Outcome::Complete);
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        world.sweep().await;
        world.assert_table_equals_notion().await;

        // Once more on the existing schema, as after an update.
        act_as(&mut world, ENGINEERS_TOKEN).await;
        for statements in grants_file(&world) {
            send(&world, &statements).await;
            let made = world.run(&Action::InitTables, Deadline::none()).await;
            assert_eq!(made.outcome, Outcome::Complete, "{:?}", made.error);
        }
        world.end().await;
    });
}

#[test]
fn each_right_that_is_taken_away_is_named_by_health_and_by_the_run() {
    run_test(async {
        let world = governed().await;
        add_rows(&world, 1);
        let (catalog, schema) = (catalog(), &world.schema);
        let table = |name: &str| format!("{catalog}.{schema}.{name}");
        let quoted = |name: &str| name.split('.').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(".");
        let rights = [
            ("USE CATALOG", catalog.clone(), "CATALOG"),
            ("USE SCHEMA", format!("{catalog}.{schema}"), "SCHEMA"),
            ("SELECT", table("notion_raw_pages"), "TABLE"),
            ("MODIFY", table("notion_raw_pages"), "TABLE"),
            ("SELECT", table("notion_sync_watermarks"), "TABLE"),
            ("MODIFY", table("notion_sync_watermarks"), "TABLE"),
        ];
        for (privilege, on, kind) in rights {
            world.databricks.revoke(PRINCIPAL, privilege, &on);
            let grant = format!("GRANT {privilege} ON {kind} {} TO `<principal>`", quoted(&on));
            let health = world.run(&Action::Health, Deadline::none()).await.error.expect("a right is missing");
            assert_eq!(health.class, FailureClass::DatabricksForbidden, "{}", health.message);
            assert!(health.message.contains(&grant), "{privilege} on {on}: {}", health.message);
            let run = world.sync_fails(FailureClass::DatabricksForbidden).await;
            assert!(run.contains(&grant), "{privilege} on {on}: {run}");
            world.databricks.grant(PRINCIPAL, privilege, &on);
        }
        world.databricks.revoke(PRINCIPAL, "CAN USE", "warehouse");
        let health = world.run(&Action::Health, Deadline::none()).await.error.expect("the warehouse can't be used");
        assert!(health.message.contains("missing: Can use on the warehouse"), "{}", health.message);
        world.databricks.grant(PRINCIPAL, "CAN USE", "warehouse");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn init_tables_says_what_is_missing_when_nothing_is_there_and_nothing_may_be_made() {
    run_test(async {
        let mut world = World::builder().build_without_tables().await;
        govern(&world);
        act_as(&mut world, ENGINEERS_TOKEN).await;
        world.databricks.grant(GROUP, "USE CATALOG", &catalog());
        let refused = world.run(&Action::InitTables, Deadline::none()).await.error.expect("nothing may be made");
        assert_eq!(refused.class, FailureClass::DatabricksForbidden, "{}", refused.message);
        for right in ["GRANT CREATE SCHEMA ON CATALOG", "GRANT USE SCHEMA ON SCHEMA"] {
            assert!(refused.message.contains(right), "{}", refused.message);
        }
        world.end().await;
    });
}

#[test]
fn a_collation_that_tables_would_inherit_is_kept_out_or_named() {
    run_test(async {
        let world = World::builder().build_without_tables().await;
        let schema = format!("`{}`.`{}`", catalog(), world.schema);
        send(&world, &[format!("CREATE SCHEMA {schema} DEFAULT COLLATION UNICODE_CI")]).await;
        world.run(&Action::InitTables, Deadline::none()).await;
        let rows = add_rows(&world, 1);
        world.sync().await;
        // As an older version or a hand made it: the columns inherit the schema's collation.
        let pages = format!("{schema}.notion_raw_pages");
        let columns = "page_id STRING, database_id STRING, database_name STRING, data_source_id STRING, payload STRING, \
                       payload_sha256 STRING, hydrated_properties STRING, created_time TIMESTAMP, last_edited_time TIMESTAMP, \
                       is_archived BOOLEAN, in_trash BOOLEAN, removed_at TIMESTAMP, removal_reason STRING, api_version STRING, \
                       ingested_at TIMESTAMP, sync_run_id STRING";
        send(&world, &[format!("DROP TABLE {pages}"), format!("CREATE TABLE {pages} ({columns})")]).await;
        for action in [Action::InitTables, Action::Health] {
            let error = world.run(&action, Deadline::none()).await.error.expect("the collation is named");
            assert_eq!(error.class, FailureClass::TableUnsuitable, "{}", error.message);
            assert!(
                error.message.contains("ALTER COLUMN page_id TYPE STRING COLLATE UTF8_BINARY"),
                "{}",
                error.message
            );
        }
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("edited")).unwrap());
        world.sync_fails(FailureClass::TableUnsuitable).await;
        world.end().await;
    });
}

#[test]
fn columns_of_another_type_are_named_and_a_plain_channel_gets_plain_tables() {
    run_test(async {
        let world = World::builder().build_without_tables().await;
        let unknown = StatementError {
            error_code: "BAD_REQUEST".to_owned(),
            message: "[PARSE_SYNTAX_ERROR] Syntax error at or near 'COLLATION'. SQLSTATE: 42601".to_owned(),
            sql_state: None,
        };
        world.databricks.script(Script::once("DEFAULT COLLATION", Behaviour::Failed(unknown)).times(2));
        let made = world.run(&Action::InitTables, Deadline::none()).await;
        assert_eq!((made.outcome, made.warnings.len()), (Outcome::Complete, 2), "{:?}", made.error);
        let pages = format!("`{}`.`{}`.notion_raw_pages", catalog(), world.schema);
        let columns = "page_id STRING, database_id STRING, created_time STRING";
        send(&world, &[format!("DROP TABLE {pages}"), format!("CREATE TABLE {pages} ({columns})")]).await;
        let error = world.run(&Action::InitTables, Deadline::none()).await.error.expect("the type is named");
        assert!(error.message.contains("created_time is STRING and must be TIMESTAMP"), "{}", error.message);
        world.end().await;
    });
}

#[test]
fn a_sweep_names_keys_that_stand_twice_and_its_sql_mends_them() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 4);
        world.sync().await;
        let pages = format!("`{}`.`{}`.notion_raw_pages", catalog(), world.schema);
        let twice =
            format!("INSERT INTO {pages} SELECT * FROM {pages} WHERE page_id = (SELECT min(page_id) FROM {pages})");
        world.databricks.query(&twice).await.unwrap();
        let error = world.try_sweep(false).await.error.expect("a key stands twice");
        assert_eq!(error.class, FailureClass::DuplicateKeys, "{}", error.message);
        assert!(error.message.contains("1 rows more than keys"), "{}", error.message);
        let start = error.message.find("MERGE INTO").unwrap();
        let end = error.message.find("THEN DELETE").unwrap() + "THEN DELETE".len();
        world.databricks.query(&error.message[start..end]).await.unwrap();
        world.sweep().await;
        world.assert_table_equals_notion().await;
        assert_eq!(world.table().await.len(), 4);
        world.end().await;
    });
}

#[test]
fn a_session_in_another_time_zone_changes_nothing() {
    run_test(async {
        let world = World::builder().zone(SessionZone::KOLKATA).build().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.assert_table_equals_notion().await;
        assert_eq!(world.truth().await, Some(at("2026-11-22T11:58:00Z")));
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        world.advance(900);
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
