//! Long work that could not be done when it was asked for, because another run held the lease or a service was down, is done
//! by the next run.

use jiff::SignedDuration;
use notion_sync::action::{Action, ViewsRequest};
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::faults::{Answer, Fault, Rule};
use serde_json::{Value, json};

use crate::support::{World, failed, run_test};
use crate::sync::add_rows;
use crate::watermark::put;

/// Another run holds the lease for the next 15 seconds.
async fn block(world: &World) {
    let until = (world.now() + SignedDuration::from_secs(15)).as_millisecond();
    let lease = json!({
        "pk": {"S": world.database_id}, "sk": {"S": "lease"}, "lease_owner": {"S": "another run"},
        "lease_until_ms": {"N": until.to_string()},
    });
    put(world, &lease).await;
}

/// The work that is recorded for the next run.
async fn recorded(world: &World) -> Option<String> {
    let items = world.aws.client().items(&world.state_table).await.unwrap();
    let item = items.into_iter().find(|item| item["sk"] == json!({"S": "pending"}))?;
    item["work"]["S"].as_str().map(str::to_owned)
}

fn is_said(report: &Report, words: &str) -> bool {
    report.warnings.iter().any(|warning| warning.contains(words))
}

/// Three rows, of which the first went into the trash after they were synced.
async fn with_a_trashed_row(world: &World) -> String {
    let rows = add_rows(world, 3);
    world.sync().await;
    world.advance(900);
    world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
    rows[0].clone()
}

async fn is_removed(world: &World, page_id: &str) -> bool {
    world.table().await[page_id].is_removed
}

#[test]
fn a_sweep_that_another_run_turned_away_is_done_by_the_next_sync() {
    run_test(async {
        let world = World::new().await;
        let trashed = with_a_trashed_row(&world).await;
        block(&world).await;
        let skipped = world.try_sweep(false).await;
        assert_eq!(skipped.outcome, Outcome::Skipped);
        assert!(is_said(&skipped, "the sweep is recorded"), "{:?}", skipped.warnings);
        // A plain sync that is turned away as well changes nothing about it.
        assert_eq!(world.try_sync().await.outcome, Outcome::Skipped);
        assert_eq!(recorded(&world).await.as_deref(), Some("sweep"));

        world.advance(16);
        let next = world.sync().await;
        assert_eq!(next.totals.pages_removed, 1);
        assert!(is_removed(&world, &trashed).await);
        assert_eq!(recorded(&world).await, None, "it is done once");
        world.advance(900);
        world.clear_logs();
        world.sync().await;
        assert_eq!(world.statements(), Vec::<String>::new(), "the run after that is an ordinary one");
        world.end().await;
    });
}

#[test]
fn a_full_refresh_that_was_turned_away_is_not_replaced_by_a_sweep() {
    run_test(async {
        let world = World::new().await;
        let trashed = with_a_trashed_row(&world).await;
        block(&world).await;
        let skipped = world.try_sync_within(Deadline::none(), true).await;
        assert!(is_said(&skipped, "the full refresh is recorded"), "{:?}", skipped.warnings);
        assert_eq!(world.try_sweep(false).await.outcome, Outcome::Skipped);
        assert_eq!(recorded(&world).await.as_deref(), Some("full refresh"));

        world.advance(16);
        let next = world.sweep().await;
        assert_eq!(next.totals.pages_read, 2, "every row is read again");
        assert!(is_removed(&world, &trashed).await);
        assert_eq!(recorded(&world).await, None);
        world.end().await;
    });
}

#[test]
fn a_sweep_that_failed_because_notion_was_down_is_done_by_the_next_sync() {
    run_test(async {
        let world = World::new().await;
        let trashed = with_a_trashed_row(&world).await;
        let down = Answer::notion(500, "internal_server_error", "Unexpected error occurred.");
        world.notion_faults.add(Rule::new(Fault::Answer(down)).path("/query").always());
        let down = world.try_sweep(false).await;
        assert!(is_said(&down, "the sweep is recorded"), "{:?}", down.warnings);
        failed(down, FailureClass::NotionUnavailable);
        world.notion_faults.clear_rules();

        let next = world.sync().await;
        assert_eq!(next.totals.pages_removed, 1);
        assert!(is_removed(&world, &trashed).await);
        assert_eq!(recorded(&world).await, None);
        world.end().await;
    });
}

#[test]
fn a_sweep_that_fails_for_good_is_not_repeated_by_every_sync() {
    run_test(async {
        let world = World::new().await;
        with_a_trashed_row(&world).await;
        let refused = Answer::notion(403, "restricted_resource", "No.");
        world.notion_faults.add(Rule::new(Fault::Answer(refused)).path("/pages/").always());
        failed(world.try_sweep(false).await, FailureClass::NotionForbidden);
        world.notion_faults.clear_rules();
        assert_eq!(recorded(&world).await, None);
        world.end().await;
    });
}

#[test]
fn making_views_leaves_recorded_work_to_the_next_sync() {
    run_test(async {
        let world = World::builder().variable("VIEWS_SCHEMA", "bronze").build().await;
        with_a_trashed_row(&world).await;
        block(&world).await;
        world.try_sweep(false).await;
        world.advance(16);
        let database = world.app().config().databases[0].name.clone();
        let views = Action::Views(ViewsRequest { database, print: true, force: false });
        let report = world.run(&views, Deadline::none()).await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        assert_eq!(recorded(&world).await.as_deref(), Some("sweep"));
        world.edit(|workspace| workspace.rename_property(&world.data_source_id, "Name", "Title").unwrap());
        world.clear_logs();
        let next = world.sync().await;
        assert_eq!(next.totals.pages_removed, 1);
        let looked = world.statements().iter().any(|text| text.contains("notion_schemas"));
        assert!(looked, "the views are looked at after the sweep, as after any other");
        world.end().await;
    });
}

#[test]
fn work_that_this_version_does_not_know_is_taken_for_the_larger_one() {
    run_test(async {
        let world = World::new().await;
        with_a_trashed_row(&world).await;
        let item: Value = json!({
            "pk": {"S": world.database_id}, "sk": {"S": "pending"}, "work": {"S": "something newer"},
            "requested_by": {"S": "another run"},
        });
        put(&world, &item).await;
        let next = world.sync().await;
        assert_eq!((next.totals.pages_read, next.totals.pages_removed), (2, 1));
        assert_eq!(recorded(&world).await, None);
        world.end().await;
    });
}
