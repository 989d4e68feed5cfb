//! `verify`: the mirror is proven row by row, each difference is named, nothing is changed.

use notion_sync::action::Action;
use notion_sync::failure::FailureClass;
use notion_sync::ids::DatabaseName;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::faults::{Fault, Hold, Rule};
use notion_sync_local::notion::{NewRow, RowEdit};
use serde_json::{Value, json};

use crate::support::process::notion_sync;
use crate::support::{World, run_test};
use crate::sync::add_rows;

async fn verify(world: &World) -> Report {
    world.run(&Action::Verify(DatabaseName::parse("projects").unwrap()), Deadline::none()).await
}

/// Page, kind and detail of each difference.
fn differences(report: &Report) -> Vec<(String, String, Value)> {
    let report = serde_json::to_value(report).unwrap();
    let items = report["items"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items.iter().map(|item| (text(&item["page_id"]), text(&item["difference"]), item["detail"].clone())).collect()
}

fn assert_equal(report: &Report, rows: u64) {
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
    let found = report.verification.unwrap();
    assert_eq!((found.rows_in_notion, found.rows_in_table, found.differences()), (rows, rows, 0));
}

async fn change_table(world: &World, statement: &str) {
    let table = format!("`main`.`{}`.notion_raw_pages", world.schema);
    world.databricks.query(&statement.replace("{table}", &table)).await.unwrap();
}

#[test]
fn a_mirror_that_is_whole_is_proven_without_a_change_and_without_a_lease() {
    run_test(async {
        // Bodies so small that the comparison needs several statements.
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        add_rows(&world, 700);
        world.edit(|workspace| {
            let archived = workspace.add_row(&world.data_source_id, NewRow::titled("Archived")).unwrap();
            workspace.archive(&archived).unwrap();
        });
        world.advance(600);
        world.sync().await;
        let before = world.table().await;
        world.clear_logs();
        let report = verify(&world).await;
        assert_equal(&report, 701);
        let statements = world.statements();
        assert!(statements.len() > 1, "split by ranges of ids: {}", statements.len());
        assert!(statements.iter().all(|text| text.starts_with("WITH seen AS")), "it only reads: {statements:?}");
        assert_eq!(world.table().await, before);
        world.end().await;
    });
}

#[test]
fn each_kind_of_difference_is_named_and_counted() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 30);
        world.advance(600);
        world.sync().await;
        assert_equal(&verify(&world).await, 30);
        let (missing, edited, twice, extra) = (&rows[1], &rows[2], &rows[3], &rows[4]);
        change_table(&world, &format!("DELETE FROM {{table}} WHERE page_id = '{missing}'")).await;
        change_table(
            &world,
            &format!(
                "UPDATE {{table}} SET payload_sha256 = repeat('0', 64), is_archived = true WHERE page_id = '{edited}'"
            ),
        )
        .await;
        change_table(&world, &format!("INSERT INTO {{table}} SELECT * FROM {{table}} WHERE page_id = '{twice}'")).await;
        world.edit(|workspace| workspace.trash(extra).unwrap());
        world.advance(600);
        world.clear_logs();
        let report = verify(&world).await;
        let error = report.error.as_ref().unwrap();
        assert_eq!(error.class, FailureClass::MirrorDiffers);
        let counts = "1 missing in the table, 1 missing in Notion, 1 different, 1 more than once in the table";
        assert!(error.message.contains(counts), "{}", error.message);
        let mut found = differences(&report);
        found.sort_by(|a, b| a.1.cmp(&b.1));
        let expected = [
            (twice, "differs", json!(null)),
            (edited, "differs", json!("payload_sha256, is_archived")),
            (extra, "missing_in_notion", json!("in the trash")),
            (missing, "missing_in_table", json!(null)),
        ];
        let mut expected: Vec<(String, String, Value)> =
            expected.map(|(page, kind, detail)| (page.clone(), kind.to_owned(), detail)).into();
        expected[0].1 = "duplicate_key".to_owned();
        expected.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(found, expected);
        assert!(world.statements().iter().all(|text| text.starts_with("WITH seen AS")), "nothing was changed");

        // What the remedy says mends all but the key that stands there twice.
        change_table(&world, &format!("DELETE FROM {{table}} WHERE page_id = '{twice}'")).await;
        world.full_refresh().await;
        let mended = verify(&world).await;
        assert_equal(&mended, 29);
        world.end().await;
    });
}

#[test]
fn edits_that_no_sync_has_read_yet_are_no_differences_also_those_that_land_while_it_walks() {
    run_test(async {
        let world = World::builder().variable("BATCH_SIZE", "10").build().await;
        let rows = add_rows(&world, 30);
        world.advance(600);
        world.sync().await;
        world.advance(600);
        world.edit(|workspace| {
            workspace.edit_row(&rows[2], RowEdit::new().title("Edited since the sync")).unwrap();
            workspace.add_row(&world.data_source_id, NewRow::titled("New since the sync")).unwrap();
        });
        // The walk has read its first page when a row is edited and one is trashed.
        let hold = Hold::new();
        world.notion_faults.add(Rule::new(Fault::HoldRequest(hold.clone())).path("/query").skip(1));
        let edited_meanwhile = async {
            hold.reached().await;
            world.advance(120);
            world.edit(|workspace| {
                workspace.edit_row(&rows[25], RowEdit::new().title("Edited meanwhile")).unwrap();
                workspace.edit_row(&rows[26], RowEdit::new().title("Edited, then trashed")).unwrap();
                workspace.trash(&rows[26]).unwrap();
            });
            hold.release();
        };
        let (report, ()) = tokio::join!(verify(&world), edited_meanwhile);
        assert_eq!(report.outcome, Outcome::Complete, "{:?} {:?}", report.error, differences(&report));
        assert_eq!(report.verification.unwrap().not_yet_synced, 4);

        // An older version in the table is a difference as soon as the watermark says that it was read.
        change_table(
            &world,
            &format!(
                "UPDATE {{table}} SET last_edited_time = TIMESTAMP '2025-01-01 00:00:00' WHERE page_id = '{}'",
                rows[9]
            ),
        )
        .await;
        let report = verify(&world).await;
        assert_eq!(differences(&report), [(rows[9].clone(), "differs".to_owned(), json!("last_edited_time"))]);
        world.end().await;
    });
}

#[test]
fn the_command_line_says_what_it_compared_and_the_exit_code_tells() {
    run_test(async {
        let world = World::new().await;
        world.run_clock();
        let rows = add_rows(&world, 12);
        let early = notion_sync(&world.variables, &["verify"]).await;
        assert_eq!(early.code, Some(7), "{early:?}");
        assert!(early.stdout.contains("was never synced to its end"), "{early:?}");
        assert_eq!(notion_sync(&world.variables, &["sync"]).await.code, Some(0));
        let whole = notion_sync(&world.variables, &["verify", "-d", "projects"]).await;
        assert_eq!(whole.code, Some(0), "{whole:?}");
        assert!(whole.stdout.contains("rows in Notion"), "{}", whole.stdout);
        change_table(&world, &format!("DELETE FROM {{table}} WHERE page_id = '{}'", rows[0])).await;
        let differs = notion_sync(&world.variables, &["verify"]).await;
        assert_eq!(differs.code, Some(7), "{differs:?}");
        for part in ["error: projects: MirrorDiffers", "missing in the table", &rows[0]] {
            assert!(differs.stdout.contains(part), "{part}: {}", differs.stdout);
        }
        world.end().await;
    });
}
