//! Truth and cache apart, and the lease: whatever DynamoDB holds, loses or refuses, no row is lost and nothing goes back.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use notion_sync::action::Action;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome};
use notion_sync_local::faults::{Answer, Fault, Hold, Rule};
use notion_sync_local::notion::{NewRow, RowEdit};
use serde_json::{Value, json};

use crate::support::{World, at, run_test};
use crate::sync::add_rows;

/// Part of the MERGE into the pages, and of no other statement.
const PAGE_MERGE: &str = "notion_raw_pages` AS t";
/// Part of the statement that proves the run and moves the truth.
const WATERMARK_MERGE: &str = "notion_sync_watermarks` AS t";

/// The cache's item of the world's data source.
async fn item(world: &World) -> Option<Value> {
    let key = format!("watermark#{}", world.data_source_id);
    let items = world.aws.client().items(&world.state_table).await.unwrap();
    items.into_iter().find(|item| item["sk"]["S"] == *key)
}

pub(crate) async fn put(world: &World, item: &Value) {
    let request = json!({"TableName": world.state_table, "Item": item});
    world.aws.client().dynamodb("PutItem", &request).await.unwrap();
}

async fn forget(world: &World) {
    let key = json!({"pk": {"S": world.database_id}, "sk": {"S": format!("watermark#{}", world.data_source_id)}});
    let request = json!({"TableName": world.state_table, "Key": key});
    world.aws.client().dynamodb("DeleteItem", &request).await.unwrap();
}

fn title(world: &World, row: &str, title: &str) {
    world.edit(|workspace| workspace.edit_row(row, RowEdit::new().title(title)).unwrap());
}

/// A world with three synced rows, an hour later.
async fn synced() -> (World, Vec<String>) {
    let world = World::new().await;
    let rows = add_rows(&world, 3);
    world.sync().await;
    world.advance(3_600);
    (world, rows)
}

#[test]
fn an_empty_cache_falls_back_to_the_truth_with_a_warning_and_is_filled_again() {
    run_test(async {
        let (world, rows) = synced().await;
        forget(&world).await;
        title(&world, &rows[0], "Edited");
        let report = world.sync().await;
        assert_eq!(report.mode, Some(Mode::Incremental), "the truth says where to go on");
        assert!(report.warnings.iter().any(|warning| warning.contains("the truth was read")), "{:?}", report.warnings);
        world.assert_table_equals_notion().await;
        assert_eq!(world.cached().await, world.truth().await);
        assert!(world.sync().await.warnings.is_empty());
        world.end().await;
    });
}

#[test]
fn a_stale_cache_costs_work_and_loses_nothing() {
    run_test(async {
        let (world, rows) = synced().await;
        let stale = item(&world).await.unwrap();
        title(&world, &rows[0], "Edited");
        world.sync().await;
        let truth = world.truth().await;
        put(&world, &stale).await;
        world.advance(900);
        title(&world, &rows[1], "Edited later");
        world.sync().await;
        world.assert_table_equals_notion().await;
        assert!(world.truth().await > truth);
        world.end().await;
    });
}

#[test]
fn a_cache_ahead_of_the_truth_counts_and_its_loss_only_repeats_work() {
    run_test(async {
        let (world, rows) = synced().await;
        for _ in 0..3 {
            world.advance(900);
            world.sync().await;
        }
        assert!(world.cached().await > world.truth().await, "idle runs moved the cache alone");
        title(&world, &rows[0], "Edited");
        world.sync().await;
        assert_eq!(world.cached().await, world.truth().await);
        world.advance(900);
        world.sync().await;
        forget(&world).await;
        world.advance(900);
        title(&world, &rows[1], "Edited later");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_corrupt_cache_is_a_warning_once_and_then_healed() {
    run_test(async {
        let (world, rows) = synced().await;
        let good = item(&world).await.unwrap();
        let with = |name: &str, value: Value| {
            let mut item = good.clone();
            item[name] = value;
            item
        };
        let without = |name: &str| {
            let mut item = good.clone();
            item.as_object_mut().unwrap().remove(name);
            item
        };
        let junk = [
            with("synced_through", json!({"S": "yesterday"})),
            with("synced_through_ms", json!({"S": "later"})),
            with("synced_through_ms", json!({"N": "99999999999999"})),
            without("synced_through"),
            with("recent_rows", json!({"S": "{\"no\":"})),
            json!({"pk": good["pk"], "sk": good["sk"], "what": {"S": "is this"}, "synced_through": {"M": {}}}),
        ];
        for (index, item) in junk.iter().enumerate() {
            put(&world, item).await;
            world.advance(900);
            title(&world, &rows[index % 3], &format!("Edited {index}"));
            let report = world.sync().await;
            let is_told = report.warnings.iter().any(|warning| warning.contains("cache"));
            assert!(is_told, "{item}: {:?}", report.warnings);
            world.assert_table_equals_notion().await;
            let next = world.sync().await;
            assert!(next.warnings.is_empty(), "{item} was not healed: {:?}", next.warnings);
        }
        world.end().await;
    });
}

#[test]
fn a_cache_in_the_future_is_not_believed() {
    run_test(async {
        let (world, rows) = synced().await;
        let mut item = item(&world).await.unwrap();
        let future = at("2031-01-01T00:00:00Z");
        item["synced_through"] = json!({"S": future.to_string()});
        item["synced_through_ms"] = json!({"N": future.as_millisecond().to_string()});
        put(&world, &item).await;
        title(&world, &rows[0], "Edited");
        let report = world.sync().await;
        assert!(report.warnings.iter().any(|warning| warning.contains("future")), "{:?}", report.warnings);
        world.assert_table_equals_notion().await;
        world.advance(900);
        title(&world, &rows[1], "Edited later");
        let next = world.sync().await;
        assert!(next.warnings.is_empty(), "{:?}", next.warnings);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_throttled_or_broken_dynamodb_costs_warnings_and_no_row() {
    run_test(async {
        let throttled = Answer::dynamodb(
            400,
            "ProvisionedThroughputExceededException",
            "The level of provisioned throughput was exceeded.",
        );
        let denied = Answer::dynamodb(400, "AccessDeniedException", "User is not authorized to perform this.");
        for fault in [Fault::Answer(throttled), Fault::Answer(denied), Fault::ResetBefore] {
            let (world, rows) = synced().await;
            world.aws_faults.add(Rule::new(fault.clone()).always());
            title(&world, &rows[0], "Edited");
            let report = world.sync().await;
            let is_told = |part: &str| report.warnings.iter().any(|warning| warning.contains(part));
            assert!(is_told("without a lease") && is_told("the truth was read"), "{:?}", report.warnings);
            world.assert_table_equals_notion().await;
            assert_eq!(world.truth().await, Some(at("2026-11-22T12:58:00Z")));
            world.advance(900);
            world.aws_faults.clear_rules();
            title(&world, &rows[1], "Edited when it was back");
            world.sync().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_slow_dynamodb_is_waited_for_within_bounds() {
    run_test(async {
        let (world, rows) = synced().await;
        world.aws_faults.add(Rule::new(Fault::SlowRequest(Duration::from_millis(700))).times(5));
        title(&world, &rows[0], "Edited");
        let report = world.sync().await;
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_truth_reset_by_hand_together_with_the_cache_starts_over() {
    run_test(async {
        let (world, _) = synced().await;
        let table = format!("{}.notion_sync_watermarks", world.qualified_schema());
        world.databricks.query(&format!("DELETE FROM {table} WHERE true")).await.unwrap();
        // The cache alone goes on: it was never behind.
        assert_eq!(world.sync().await.mode, Some(Mode::Incremental));
        forget(&world).await;
        let report = world.sync().await;
        assert_eq!((report.mode, report.totals.pages_unchanged), (Some(Mode::FullRefresh), 3));
        let earlier = format!("UPDATE {table} SET synced_through = TIMESTAMP '2026-01-01 00:00:00' WHERE true");
        world.databricks.query(&earlier).await.unwrap();
        forget(&world).await;
        world.advance(900);
        let report = world.sync().await;
        assert_eq!(report.data_sources[0].watermark_before, Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(report.totals.pages_read, 3, "it reads from where the truth was set to");
        world.end().await;
    });
}

#[test]
fn recent_rows_that_do_not_fit_are_left_out_and_the_next_run_merges_them_for_nothing() {
    run_test(async {
        let world = World::new().await;
        world.edit(|workspace| {
            for index in 0..5_500 {
                let created = at("2026-11-22T08:00:00Z") + SignedDuration::from_secs(index);
                let row = NewRow::titled(&format!("Row {index}")).created(created).edited(at("2026-11-22T12:00:00Z"));
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
        });
        world.sync().await;
        let item = item(&world).await.unwrap();
        let remembered = item["recent_rows"]["S"].as_str().unwrap_or("{}");
        assert_eq!(remembered, "{}");
        assert!(item.to_string().len() < 400_000);
        let again = world.sync().await;
        assert_eq!((again.totals.pages_read, again.totals.pages_unchanged), (5_500, 5_500));
        assert_eq!((again.totals.pages_inserted, again.totals.pages_updated), (0, 0));
        world.end().await;
    });
}

#[test]
fn a_put_never_moves_the_cache_back() {
    run_test(async {
        let (world, rows) = synced().await;
        title(&world, &rows[0], "Edited");
        let hold = Hold::new();
        world.databricks_faults.add(Rule::new(Fault::HoldRequest(hold.clone())).method("POST").body(WATERMARK_MERGE));
        let later = at("2026-11-22T13:30:00Z");
        let (report, ()) = tokio::join!(world.try_sync(), async {
            hold.reached().await;
            // Another run, on a machine whose lease was lost, was faster.
            let mut item = item(&world).await.unwrap();
            item["synced_through"] = json!({"S": later.to_string()});
            item["synced_through_ms"] = json!({"N": later.as_millisecond().to_string()});
            put(&world, &item).await;
            hold.release();
        });
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        assert_eq!(world.cached().await, Some(later));
        world.set_time(later + SignedDuration::from_mins(10));
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_clock_that_stepped_back_moves_neither_truth_nor_cache_back() {
    run_test(async {
        let (world, rows) = synced().await;
        title(&world, &rows[0], "Edited");
        world.sync().await;
        let (truth, cache) = (world.truth().await, world.cached().await);
        let now = world.now();
        world.set_service_clock(now - SignedDuration::from_hours(5));
        title(&world, &rows[1], "Edited under a wrong clock");
        world.sync().await;
        world.assert_table_equals_notion().await;
        assert!(world.truth().await >= truth && world.cached().await >= cache);
        world.set_time(now + SignedDuration::from_mins(5));
        title(&world, &rows[2], "Edited under a right clock");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_clock_that_runs_ahead_does_not_carry_the_watermark_past_edits_to_come() {
    run_test(async {
        let (world, rows) = synced().await;
        let now = world.now();
        world.set_service_clock(now + SignedDuration::from_hours(5));
        title(&world, &rows[0], "Edited under a wrong clock");
        let report = world.sync().await;
        assert!(report.warnings.iter().any(|warning| warning.contains("ahead of Notion's")), "{:?}", report.warnings);
        assert_eq!(world.truth().await, Some(at("2026-11-22T12:58:00Z")));
        world.set_time(now + SignedDuration::from_mins(10));
        title(&world, &rows[1], "Edited under a right clock");
        assert!(world.sync().await.warnings.is_empty());
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_that_turns_back_within_its_minute_is_written_again_though_a_failed_run_came_in_between() {
    run_test(async {
        let (world, rows) = synced().await;
        world.set_now("2026-11-22T13:02:10Z");
        title(&world, &rows[0], "A");
        world.sync().await;
        world.set_now("2026-11-22T13:02:30Z");
        title(&world, &rows[0], "B");
        // B is written, the watermark is not.
        let refused = Answer::databricks(400, "BAD_REQUEST", "No.");
        world.databricks_faults.add(Rule::new(Fault::Answer(refused)).method("POST").body(WATERMARK_MERGE));
        world.sync_fails(FailureClass::DatabricksRejected).await;
        world.set_now("2026-11-22T13:02:50Z");
        title(&world, &rows[0], "A");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_that_turns_back_within_its_minute_is_written_again_though_the_cache_missed_the_run_in_between() {
    run_test(async {
        for full_refresh in [false, true] {
            let (world, rows) = synced().await;
            world.set_now("2026-11-22T13:02:10Z");
            title(&world, &rows[0], "A");
            world.sync().await;
            world.set_now("2026-11-22T13:02:30Z");
            title(&world, &rows[0], "B");
            let throttled = Answer::dynamodb(400, "ProvisionedThroughputExceededException", "Slow down.");
            let hold = Hold::new();
            world
                .databricks_faults
                .add(Rule::new(Fault::HoldRequest(hold.clone())).method("POST").body(WATERMARK_MERGE));
            let (report, ()) = tokio::join!(world.try_sync_within(Deadline::none(), full_refresh), async {
                hold.reached().await;
                world.aws_faults.add(Rule::new(Fault::Answer(throttled)).body("recent_rows").always());
                hold.release();
            });
            assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
            world.aws_faults.clear_rules();
            world.set_now("2026-11-22T13:02:50Z");
            title(&world, &rows[0], "A");
            world.sync().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

fn lease(world: &World, owner: &str, until: Timestamp) -> Value {
    json!({
        "pk": {"S": world.database_id}, "sk": {"S": "lease"}, "lease_owner": {"S": owner},
        "lease_until_ms": {"N": until.as_millisecond().to_string()},
    })
}

async fn lease_owner(world: &World) -> Option<String> {
    let items = world.aws.client().items(&world.state_table).await.unwrap();
    let lease = items.into_iter().find(|item| item["sk"]["S"] == "lease")?;
    lease["lease_owner"]["S"].as_str().map(str::to_owned)
}

#[test]
fn a_killed_runs_lease_holds_until_it_expires_and_is_then_taken_over_and_released() {
    run_test(async {
        let (world, rows) = synced().await;
        title(&world, &rows[0], "Edited");
        put(&world, &lease(&world, "killed", world.now() + SignedDuration::from_secs(15))).await;
        let skipped = world.try_sync().await;
        assert_eq!((skipped.outcome, skipped.totals.requests), (Outcome::Skipped, 0));
        assert!(skipped.warnings[0].contains("killed"), "{:?}", skipped.warnings);
        assert_eq!(world.try_sweep(false).await.outcome, Outcome::Skipped, "a sweep needs it as well");
        world.advance(16);
        world.sync().await;
        assert_eq!(lease_owner(&world).await, None, "released at the end");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_damaged_lease_holds_nobody_back() {
    run_test(async {
        let (world, _) = synced().await;
        let good = lease(&world, "somebody", world.now() + SignedDuration::from_secs(15));
        let damages = [
            ("lease_until_ms", json!({"S": "zz"})),
            ("lease_until_ms", Value::Null),
            ("lease_until_ms", json!({"N": "99999999999999"})),
            ("lease_owner", Value::Null),
        ];
        for (attribute, value) in damages {
            let mut damaged = good.clone();
            match value {
                Value::Null => drop(damaged.as_object_mut().unwrap().remove(attribute)),
                value => damaged[attribute] = value,
            }
            put(&world, &damaged).await;
            world.sync().await;
            assert_eq!(lease_owner(&world).await, None, "{attribute}");
        }
        world.end().await;
    });
}

#[test]
fn a_lease_is_believed_no_further_than_its_length_and_five_minutes_of_clock_skew() {
    run_test(async {
        let (world, rows) = synced().await;
        title(&world, &rows[0], "Edited");
        // A run that was killed while its clock was 50 minutes fast.
        put(&world, &lease(&world, "fast", world.now() + SignedDuration::from_mins(50))).await;
        let status = world.run(&Action::Status { runs: false }, Deadline::none()).await;
        assert_eq!(
            serde_json::to_value(&status.items[0]).unwrap()["lease"],
            Value::Null,
            "status does not believe it either"
        );
        world.sync().await;
        assert_eq!(lease_owner(&world).await, None, "taken over and released");
        world.assert_table_equals_notion().await;

        // Within the skew it may be a living run's, and it blocks for no longer than that.
        put(&world, &lease(&world, "a little fast", world.now() + SignedDuration::from_secs(20 + 299))).await;
        assert_eq!(world.try_sync().await.outcome, Outcome::Skipped);
        put(&world, &lease(&world, "too fast", world.now() + SignedDuration::from_secs(20 + 301))).await;
        world.sync().await;
        world.end().await;
    });
}

#[test]
fn a_position_in_the_cache_that_cannot_be_read_is_no_cache() {
    run_test(async {
        for resume in [json!({"S": "xx"}), json!({"S": "{\"version\":99,\"stretches\":[]}"}), json!({"N": "5"})] {
            let (world, rows) = synced().await;
            let mut damaged = item(&world).await.unwrap();
            damaged["resume"] = resume;
            put(&world, &damaged).await;
            title(&world, &rows[0], "Edited");
            let report = world.sync().await;
            assert_eq!(report.mode, Some(Mode::Incremental));
            assert!(report.warnings.iter().any(|warning| warning.contains("the truth was read")), "{report:?}");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_run_that_lost_its_lease_goes_on_and_leaves_the_others_alone() {
    run_test(async {
        let (world, rows) = synced().await;
        title(&world, &rows[0], "Edited");
        let hold = Hold::new();
        world.databricks_faults.add(Rule::new(Fault::HoldRequest(hold.clone())).method("POST").body(PAGE_MERGE));
        let (report, ()) = tokio::join!(world.try_sync(), async {
            hold.reached().await;
            put(&world, &lease(&world, "another", world.now() + SignedDuration::from_secs(15))).await;
            hold.release();
        });
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        assert_eq!(lease_owner(&world).await.as_deref(), Some("another"));
        world.advance(16);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_failed_run_releases_its_lease() {
    run_test(async {
        let (world, rows) = synced().await;
        world.edit(|workspace| workspace.set_partial(&rows[0], true).unwrap());
        title(&world, &rows[0], "Edited");
        world.sync_fails(FailureClass::PageUnreadable).await;
        assert_eq!(lease_owner(&world).await, None);
        world.end().await;
    });
}

#[test]
fn without_dynamodb_two_overlapping_runs_leave_a_right_table() {
    run_test(async {
        let world = World::builder().without_cache().build().await;
        let rows = add_rows(&world, 30);
        let hold = Hold::new();
        world.databricks_faults.add(Rule::new(Fault::HoldRequest(hold.clone())).method("POST").body(PAGE_MERGE));
        let (first, second) = tokio::join!(world.try_sync(), async {
            hold.reached().await;
            // The first run holds old versions in its hands while the second one reads and writes newer ones.
            world.advance(300);
            rows.iter().step_by(3).for_each(|row| title(&world, row, "Edited in between"));
            let second = world.try_sync().await;
            hold.release();
            second
        });
        assert_eq!(
            (first.outcome, second.outcome),
            (Outcome::Complete, Outcome::Complete),
            "{:?} {:?}",
            first.error,
            second.error
        );
        world.assert_table_equals_notion().await;
        assert_eq!(world.truth().await, Some(at("2026-11-22T12:03:00Z")), "the slower run did not move it back");
        world.end().await;
    });
}
