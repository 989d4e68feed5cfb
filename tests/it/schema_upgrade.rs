//! Tables of an older version of this service are upgraded in place: columns are added, rows are kept, a sync works on them.

use notion_sync::action::Action;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::Outcome;

use crate::support::{World, at, run_test};
use crate::sync::add_rows;

/// Tables as a first version may have had them, with a row of a page that Notion still has and one that it has not.
async fn old_tables(world: &World, page_id: &str) {
    let schema = world.qualified_schema();
    let statements = [
        format!("CREATE SCHEMA IF NOT EXISTS {schema}"),
        format!(
            "CREATE TABLE {schema}.notion_raw_pages (page_id STRING NOT NULL, database_id STRING NOT NULL, \
             database_name STRING, payload STRING, last_edited_time TIMESTAMP, ingested_at TIMESTAMP)"
        ),
        format!(
            "CREATE TABLE {schema}.notion_sync_watermarks (database_id STRING NOT NULL, database_name STRING, \
             last_edited_time TIMESTAMP, updated_at TIMESTAMP)"
        ),
        format!(
            "INSERT INTO {schema}.notion_raw_pages VALUES \
             ('{page_id}', '{database}', 'projects', '{{\"old\":1}}', TIMESTAMP '2025-12-31 00:00:00', TIMESTAMP '2025-12-31 00:00:00'), \
             ('5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f', '{database}', 'projects', '{{\"old\":2}}', NULL, NULL), \
             ('{page_id}', '00000000-0000-4000-8000-000000000001', 'other', '{{\"old\":3}}', NULL, NULL)",
            database = world.database_id
        ),
        format!(
            "INSERT INTO {schema}.notion_sync_watermarks VALUES \
             ('{}', 'projects', TIMESTAMP '2025-12-31 00:00:00', TIMESTAMP '2025-12-31 00:00:00')",
            world.database_id
        ),
    ];
    for statement in statements {
        world.databricks.query(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

#[test]
fn columns_that_were_added_are_filled_in_rows_that_did_not_change() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        world.sync().await;
        let table = format!("{}.notion_raw_pages", world.qualified_schema());
        let columns = ["last_edited_time", "created_time", "api_version", "ingested_at", "sync_run_id"];
        // As an upgrade leaves them: the same rows, in a table that takes NULLs.
        for statement in [
            format!("CREATE TABLE {table}_copy AS SELECT * FROM {table}"),
            format!("DROP TABLE {table}"),
            format!("CREATE TABLE {table} AS SELECT * FROM {table}_copy"),
        ] {
            world.databricks.query(&statement).await.unwrap();
        }
        for column in columns {
            world.databricks.query(&format!("UPDATE {table} SET {column} = NULL WHERE true")).await.unwrap();
            let report = world.full_refresh().await;
            assert_eq!(report.totals.pages_updated, 5, "{column}");
            let count = format!("SELECT count(*) FROM {table} WHERE {column} IS NULL");
            assert_eq!(world.databricks.query(&count).await.unwrap()[0][0].as_deref(), Some("0"), "{column}");
            world.assert_table_equals_notion().await;
        }
        world.end().await;
    });
}

#[test]
fn a_table_that_lacks_columns_is_not_healthy() {
    run_test(async {
        let world = World::builder().build_without_tables().await;
        old_tables(&world, "5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e60").await;
        let report = world.run(&Action::Health, Deadline::none()).await;
        let error = report.error.expect("the tables are of an older version");
        assert_eq!(error.class, FailureClass::TableMissing);
        assert!(error.message.contains("payload_sha256") && error.message.contains("init-tables"), "{}", error.message);
        assert_eq!(world.run(&Action::InitTables, Deadline::none()).await.outcome, Outcome::Complete);
        assert_eq!(world.run(&Action::Health, Deadline::none()).await.outcome, Outcome::Complete);
        world.end().await;
    });
}

#[test]
fn tables_of_an_older_version_get_their_columns_keep_their_rows_and_are_synced() {
    run_test(async {
        let world = World::builder().build_without_tables().await;
        let rows = add_rows(&world, 8);
        old_tables(&world, &rows[2]).await;
        let message = world.sync_fails(FailureClass::TableMissing).await;
        assert!(message.contains("init-tables"), "{message}");
        for _ in 0..2 {
            let report = world.run(&Action::InitTables, Deadline::none()).await;
            assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        }
        let count = format!("SELECT count(*) FROM {}.notion_raw_pages", world.qualified_schema());
        assert_eq!(world.databricks.query(&count).await.unwrap()[0][0].as_deref(), Some("3"), "no row was dropped");

        let report = world.sync().await;
        assert_eq!((report.totals.pages_inserted, report.totals.pages_updated), (7, 1));
        assert_eq!(report.totals.pages_removed, 1, "the row that Notion does not have is marked, not dropped");
        world.assert_table_equals_notion().await;
        assert_eq!(world.databricks.query(&count).await.unwrap()[0][0].as_deref(), Some("10"));
        assert_eq!(world.truth().await, Some(at("2026-11-22T11:58:00Z")));
        world.advance(900);
        world.clear_logs();
        world.sync().await;
        assert!(world.statements().is_empty(), "an upgraded table costs an idle run nothing either");
        world.end().await;
    });
}
