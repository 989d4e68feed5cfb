//! A cache that is behind the truth without a sign of it, or that speaks of other tables: nothing it does not know is lost.

use notion_sync::action::Action;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome, Report};
use notion_sync_local::notion::RowEdit;
use serde_json::{Value, json};

use crate::resume::{Place, run_cut_at};
use crate::support::{World, run_test};
use crate::sync::add_rows;

/// The cache's items of the world's database.
async fn items(world: &World) -> Vec<Value> {
    let items = world.aws.client().items(&world.state_table).await.unwrap();
    items.into_iter().filter(|item| item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("watermark#"))).collect()
}

/// What a run that was killed before it could tell the cache leaves behind: the items from before it.
async fn put_back(world: &World, items: &[Value]) {
    for item in items {
        let request = json!({"TableName": world.state_table, "Item": item});
        world.aws.client().dynamodb("PutItem", &request).await.unwrap();
    }
}

fn was_behind(report: &Report) -> bool {
    let of_sources = report.data_sources.iter().flat_map(|source| &source.warnings);
    of_sources.chain(&report.warnings).any(|warning| warning.contains("behind the truth"))
}

#[test]
fn an_unfinished_full_refresh_that_only_the_truth_knows_of_is_gone_on_with() {
    run_test(async {
        let mut world = World::builder().variable("BATCH_SIZE", "5").build().await;
        let rows = add_rows(&world, 40);
        world.sync().await;
        let before = items(&world).await;
        world.advance(3_600);
        // Changes that only a full refresh and a sweep can see.
        world.edit(|workspace| workspace.trash(&rows[39]).unwrap());
        let cut = run_cut_at(&mut world, Place::Notion, 5, true).await;
        assert!(cut.data_sources[0].resume.is_some(), "the truth has a position: {cut:?}");
        put_back(&world, &before).await;
        world.advance(900);
        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        let report = world.sync().await;
        assert!(was_behind(&report), "{report:?}");
        assert_eq!(report.data_sources[0].mode, Mode::FullRefresh);
        world.assert_table_equals_notion().await;
        assert!(world.sync().await.warnings.is_empty(), "once is enough");
        world.end().await;
    });
}

#[test]
fn a_sweep_that_only_the_truth_knows_to_be_owed_is_done() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        let before = items(&world).await;
        world.advance(3_600);
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        let query = format!(
            "UPDATE {}.notion_sync_watermarks SET sync_run_id = 'killed', resume = \
             '{{\"version\":1,\"edited_since\":null,\"started_at\":\"2026-11-22T12:30:00Z\",\"stretches\":[],\"sweep\":true}}'",
            world.qualified_schema()
        );
        world.databricks.query(&query).await.unwrap();
        put_back(&world, &before).await;
        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        let report = world.sync().await;
        assert!(was_behind(&report), "{report:?}");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn after_the_tables_were_emptied_or_dropped_the_next_change_reads_everything_again() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.advance(3_600);
        for table in ["notion_raw_pages", "notion_sync_watermarks"] {
            world.databricks.query(&format!("DELETE FROM {}.{table}", world.qualified_schema())).await.unwrap();
        }
        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        let report = world.sync().await;
        assert!(was_behind(&report), "{report:?}");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_cache_of_another_schema_is_no_cache() {
    run_test(async {
        let mut world = World::new().await;
        add_rows(&world, 10);
        world.sync().await;
        world.schema = format!("{}_moved", world.schema);
        world.variables.insert("BRONZE_SCHEMA".to_owned(), world.schema.clone());
        world.restart().await;
        let made = world.run(&Action::InitTables, Deadline::none()).await;
        assert_eq!(made.outcome, Outcome::Complete);
        let report = world.sync().await;
        assert_eq!(report.totals.pages_inserted, 10);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
