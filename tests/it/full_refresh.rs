//! What a full refresh costs: its walk is the listing that its sweep compares.

use std::time::Duration;

use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome};
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{LoggedRequest, NewRow};
use serde_json::Value;

use crate::support::{World, WorldBuilder, at, run_test};
use crate::sync::add_rows;

fn small_pages() -> WorldBuilder {
    World::builder().variable("BATCH_SIZE", "10").variable("MERGE_BATCH_BYTES", "64KiB")
}

/// The requests of one kind since the log was cleared.
fn requests(world: &World, is_of_kind: impl Fn(&LoggedRequest) -> bool) -> Vec<LoggedRequest> {
    world.notion.requests().into_iter().filter(|request| is_of_kind(request)).collect()
}

/// Queries that ask for the title alone: the listing of a sweep.
fn listings(world: &World) -> Vec<Value> {
    let listings = requests(world, |request| request.path.ends_with("/query") && request.query.contains("title"));
    listings.iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect()
}

#[test]
fn a_full_refresh_lists_nothing_twice_and_still_asks_for_each_missing_row() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 250);
        world.edit(|workspace| {
            let archived = NewRow::titled("Old").created(at("2025-05-05T05:05:05Z")).archived();
            workspace.add_row(&world.data_source_id, archived).unwrap();
        });
        let first = world.sync().await;
        assert_eq!(first.totals.requests, 1 + 3 + 1, "the database, three result pages and the archived rows");
        world.advance(3_600);
        world.edit(|workspace| {
            workspace.trash(&rows[7]).unwrap();
            workspace.trash(&rows[77]).unwrap();
        });
        world.clear_logs();
        let refreshed = world.full_refresh().await;
        assert_eq!((refreshed.totals.pages_removed, refreshed.totals.requests), (2, 1 + 3 + 1 + 2));
        assert_eq!(listings(&world).len(), 0);
        world.assert_table_equals_notion().await;
        // A sweep alone has seen nothing, so it lists.
        world.sweep().await;
        assert_eq!(listings(&world).len(), 4);
        world.end().await;
    });
}

#[test]
fn a_resumed_full_refresh_lists_what_the_earlier_run_walked_and_no_more() {
    run_test(async {
        let mut world = small_pages().build().await;
        let rows = add_rows(&world, 60);
        world.sync().await;
        world.advance(3_600);
        let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(3_600));
        world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/query").skip(4));
        let cut = world.try_sync_within(Deadline::after(Duration::from_secs(40)), true).await;
        assert_eq!(cut.outcome, Outcome::Partial, "{:?}", cut.error);
        world.notion_faults.clear_rules();
        world.restart().await;
        // One in the part that the first run walked, one in the part that is left.
        world.edit(|workspace| {
            workspace.trash(&rows[1]).unwrap();
            workspace.trash(&rows[55]).unwrap();
        });
        world.clear_logs();
        let report = world.sync().await;
        assert_eq!((report.mode, report.totals.pages_removed), (Some(Mode::FullRefresh), 2));
        let listings = listings(&world);
        assert!((1..=4).contains(&listings.len()), "{listings:?}");
        for listing in &listings {
            assert_eq!(listing["filter"]["timestamp"], "created_time", "{listing}");
            assert!(listing["filter"]["created_time"]["before"].is_string(), "only the part before: {listing}");
        }
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn two_data_sources_of_which_one_is_new_list_only_the_other() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 5);
        world.sync().await;
        world.advance(3_600);
        let second = world.edit(|workspace| {
            workspace.trash(&rows[2]).unwrap();
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            workspace.add_row(&second, NewRow::titled("New")).unwrap();
            second
        });
        world.clear_logs();
        let report = world.sync().await;
        assert_eq!(report.totals.pages_removed, 1, "the first sync of the second sweeps the database");
        let of_first = requests(&world, |request| request.query.contains("title"));
        assert_eq!(of_first.len(), 2, "both partitions of the first");
        assert!(of_first.iter().all(|request| !request.path.contains(&second)), "{of_first:?}");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
