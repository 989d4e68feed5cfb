//! Runs that end before their work does: a stored position, and a next run, whoever asks for it, that ends the job.

use std::time::Duration;

use jiff::SignedDuration;
use notion_sync::action::{Action, SweepRequest, SyncRequest};
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome, Report};
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{NewRow, RowEdit};
use serde_json::json;

use crate::support::{World, WorldBuilder, at, run_test};
use crate::sync::add_rows;

fn small_pages() -> WorldBuilder {
    World::builder().variable("BATCH_SIZE", "10").variable("MERGE_BATCH_BYTES", "64KiB")
}

/// What people do while no run is at work: an edit, a new row, one archived, each time another.
fn meddle(world: &World, rows: &[String], round: usize) {
    world.edit(|workspace| {
        let row = &rows[round * 7 % rows.len()];
        workspace.edit_row(row, RowEdit::new().title(&format!("Edited in round {round}"))).unwrap();
        let added = NewRow::titled(&format!("Added in round {round}"));
        workspace.add_row(&world.data_source_id, added).unwrap();
        let archived = &rows[(round * 11 + 3) % rows.len()];
        workspace.edit_row(archived, RowEdit::new().title(&format!("Archived in round {round}"))).unwrap();
        workspace.archive(archived).unwrap();
    });
}

/// Time of a run that is cut: more than it needs, since the cut comes by a wait that outlasts it.
const CUT_RUN: Duration = Duration::from_secs(40);

/// The exchange with this index is told to wait longer than the run may take: so its time for work ends there. Then a
/// fresh process, which knows of no wait.
pub(crate) async fn run_cut_at(world: &mut World, place: Place, index: u64, full_refresh: bool) -> Report {
    let (proxy, answer) = match place {
        Place::Notion => {
            (&world.notion_faults, Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(3_600)))
        }
        Place::Warehouse => {
            let busy = Answer::databricks(429, "RESOURCE_EXHAUSTED", "Too many requests.");
            (&world.databricks_faults, busy.retry_after(Some(3_600)))
        }
    };
    proxy.forget_exchanges();
    proxy.add(Rule::new(Fault::Answer(answer)).exchange(index));
    let report = world.try_sync_within(Deadline::after(CUT_RUN), full_refresh).await;
    proxy.clear_rules();
    assert!(report.error.is_none(), "cut at exchange {index}: {:?}", report.error);
    if report.outcome == Outcome::Partial {
        assert_eq!(report.retry_after_seconds, Some(3_600));
    }
    world.restart().await;
    report
}

/// Where a run is cut.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Notion,
    Warehouse,
}

#[test]
fn a_first_sync_cut_at_any_exchange_with_notion_is_ended_by_the_next_run() {
    run_test(async {
        let mut cuts = 0;
        for index in 0..7 {
            let mut world = small_pages().build().await;
            let rows = add_rows(&world, 25);
            let report = run_cut_at(&mut world, Place::Notion, index, false).await;
            cuts += u32::from(report.outcome == Outcome::Partial);
            world.advance(900);
            meddle(&world, &rows, 1);
            world.sync().await;
            world.assert_table_equals_notion().await;
            assert_eq!(world.truth().await, Some(at("2026-11-22T12:13:00Z")), "cut at exchange {index}");
            world.end().await;
        }
        assert_eq!(cuts, 5, "the database, three result pages and the archived rows");
    });
}

#[test]
fn a_first_sync_cut_at_any_exchange_with_the_warehouse_is_ended_by_the_next_run() {
    run_test(async {
        for index in 0..6 {
            let mut world = small_pages().build().await;
            let rows = add_rows(&world, 35);
            run_cut_at(&mut world, Place::Warehouse, index, false).await;
            world.advance(900);
            meddle(&world, &rows, 1);
            world.sync().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn incremental_runs_and_full_refreshes_cut_at_any_exchange_lose_no_edit_made_in_between() {
    run_test(async {
        for full_refresh in [false, true] {
            let mut world = small_pages().build().await;
            let rows = add_rows(&world, 30);
            world.sync().await;
            let mut truth = world.truth().await;
            for round in 0..9 {
                world.advance(900);
                meddle(&world, &rows, round);
                let place = if round % 3 == 2 { Place::Warehouse } else { Place::Notion };
                let index = if round % 3 == 2 { round / 3 } else { round / 3 * 2 + round % 3 };
                run_cut_at(&mut world, place, u64::try_from(index).unwrap(), full_refresh).await;
                world.advance(60);
                meddle(&world, &rows, round + 100);
                world.sync().await;
                world.assert_table_equals_notion().await;
                let now = world.truth().await;
                assert!(now >= truth, "the truth went back from {truth:?} to {now:?}");
                truth = now;
            }
            world.end().await;
        }
    });
}

#[test]
fn many_short_runs_end_a_first_sync_and_each_gets_on() {
    run_test(async {
        let mut world = small_pages().build().await;
        let rows = add_rows(&world, 120);
        let mut positions = Vec::new();
        loop {
            let report = run_cut_at(&mut world, Place::Notion, 4, false).await;
            if report.data_sources[0].watermark_after.is_some() {
                break;
            }
            positions.extend(report.data_sources.into_iter().filter_map(|source| source.resume));
            assert!(positions.len() < 20, "{positions:#?}");
            meddle(&world, &rows, positions.len());
            world.advance(60);
        }
        assert!(positions.len() >= 3 && positions.windows(2).all(|pair| pair[0] != pair[1]), "{positions:#?}");
        assert!(positions.iter().all(|position| !position.to_string().contains("cursor")));
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

/// A world of 60 rows whose full refresh was cut after some pages.
async fn cut_full_refresh() -> (World, Vec<String>) {
    let mut world = small_pages().build().await;
    let rows = add_rows(&world, 60);
    world.sync().await;
    world.advance(900);
    let report = run_cut_at(&mut world, Place::Notion, 4, true).await;
    assert_eq!((report.mode, report.outcome), (Some(Mode::FullRefresh), Outcome::Partial));
    let resume = report.data_sources[0].resume.clone().expect("a partial run says where the next one goes on");
    assert_eq!(resume["stretches"].as_array().unwrap().len(), 2, "{resume}");
    (world, rows)
}

#[test]
fn a_scheduled_run_goes_on_with_a_full_refresh_and_then_reads_what_was_edited_in_between() {
    run_test(async {
        let (world, rows) = cut_full_refresh().await;
        world.advance(900);
        // Behind the position: the rest of the full refresh never shows it.
        world.edit(|workspace| {
            workspace.edit_row(&rows[0], RowEdit::new().title("Edited behind the position")).unwrap();
            workspace.trash(&rows[1]).unwrap();
        });
        let report = world.sync().await;
        assert_eq!(report.mode, Some(Mode::FullRefresh));
        assert!(report.totals.pages_read < 60, "it went on: {}", report.totals.pages_read);
        assert_eq!(report.totals.pages_removed, 1, "and ended with the sweep");
        assert_eq!(report.data_sources[0].watermark_after, Some(at("2026-11-22T12:28:00Z")));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn restart_drops_the_stored_position() {
    run_test(async {
        let (world, _) = cut_full_refresh().await;
        let request = SyncRequest {
            database: world.app().config().databases[0].name.clone(),
            full_refresh: true,
            restart: true,
            allow_removals: false,
        };
        let report = world.run(&Action::Sync(request), Deadline::none()).await;
        assert_eq!((report.outcome, report.totals.pages_read), (Outcome::Complete, 60));
        assert_eq!(world.sync().await.mode, Some(Mode::Incremental));
        world.end().await;
    });
}

#[test]
fn a_stored_position_of_another_version_is_refused_with_what_to_do() {
    run_test(async {
        let (world, _) = cut_full_refresh().await;
        let table = format!("{}.notion_sync_watermarks", world.qualified_schema());
        let update = format!("UPDATE {table} SET resume = '{{\"version\":99,\"stretches\":[]}}' WHERE true");
        world.databricks.query(&update).await.unwrap();
        forget_cache(&world).await;
        let message = world.sync_fails(FailureClass::StoredStateUnreadable).await;
        assert!(message.contains("version 99") && message.contains("--full-refresh --restart"), "{message}");
        let request = SyncRequest {
            database: world.app().config().databases[0].name.clone(),
            full_refresh: true,
            restart: true,
            allow_removals: false,
        };
        let report = world.run(&Action::Sync(request), Deadline::none()).await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

async fn forget_cache(world: &World) {
    let key = json!({"pk": {"S": world.database_id}, "sk": {"S": format!("watermark#{}", world.data_source_id)}});
    let request = json!({"TableName": world.state_table, "Key": key});
    world.aws.client().dynamodb("DeleteItem", &request).await.unwrap();
}

#[test]
fn a_stored_position_survives_the_loss_of_the_cache() {
    run_test(async {
        let (world, _) = cut_full_refresh().await;
        forget_cache(&world).await;
        let report = world.sync().await;
        assert_eq!(report.mode, Some(Mode::FullRefresh));
        assert!(report.totals.pages_read < 60, "{}", report.totals.pages_read);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_wait_that_outlasts_the_deadline_ends_the_run_as_partial_and_says_how_long() {
    run_test(async {
        let mut world = small_pages().build().await;
        add_rows(&world, 35);
        let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(300));
        world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/query").skip(2));
        let report = world.try_sync_within(Deadline::after(Duration::from_secs(40)), false).await;
        assert_eq!((report.outcome, report.retry_after_seconds), (Outcome::Partial, Some(300)), "{:?}", report.error);
        assert!(report.data_sources[0].resume.is_some());
        assert!(report.duration_ms < 30_000, "it doesn't wait for nothing");
        world.restart().await;
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_wait_of_more_than_an_hour_ends_a_run_with_a_deadline_as_partial() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(4_000));
        world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/query"));
        let report = world.try_sync_within(Deadline::after(Duration::from_secs(60)), false).await;
        assert_eq!((report.outcome, report.retry_after_seconds), (Outcome::Partial, Some(4_000)), "{:?}", report.error);
        world.end().await;
    });
}

#[test]
fn a_full_refresh_or_sweep_that_could_not_begin_is_done_by_the_next_run() {
    run_test(async {
        for full_refresh in [true, false] {
            let mut world = World::new().await;
            let rows = add_rows(&world, 5);
            world.sync().await;
            world.advance(3_600);
            world.edit(|workspace| workspace.trash(&rows[1]).unwrap());
            let limited = Answer::notion_rate_limited("public_api_request_rate_limit", Some(300));
            world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/databases/"));
            let deadline = Deadline::after(Duration::from_secs(40));
            let report = if full_refresh {
                world.try_sync_within(deadline, true).await
            } else {
                let database = world.app().config().databases[0].name.clone();
                let request = SweepRequest { database, allow_removals: false };
                world.run(&Action::Sweep(request), deadline).await
            };
            assert_eq!((report.outcome, report.retry_after_seconds), (Outcome::Partial, Some(300)));
            world.restart().await;
            let next = world.sync().await;
            assert_eq!(next.totals.pages_removed, 1, "what was asked for is done: {next:?}");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn waits_that_notion_asks_for_use_up_no_tries() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        for reason in notion_sync_local::faults::NOTION_RATE_LIMIT_REASONS {
            let limited = Answer::notion_rate_limited(reason, Some(0));
            world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/query").times(3));
        }
        world.notion_faults.add(Rule::new(Fault::Answer(Answer::notion_overloaded(Some(0)))).path("/query").times(3));
        let report = world.sync().await;
        assert_eq!((report.totals.rate_limit_waits, report.totals.retries), (12, 12));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_blocked_connection_is_never_asked_again() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        let blocked = Answer::notion_rate_limited(notion_sync_local::faults::NOTION_REQUEST_BLOCKED, Some(1));
        world.notion_faults.add(Rule::new(Fault::Answer(blocked)).path("/query").always());
        world.sync_fails(FailureClass::NotionBlocked).await;
        let tries = world.notion_faults.exchanges().iter().filter(|exchange| exchange.path.contains("/query")).count();
        assert_eq!(tries, 1);
        world.end().await;
    });
}

#[test]
fn a_first_sync_of_two_data_sources_cut_in_the_second_keeps_the_first() {
    run_test(async {
        let mut world = small_pages().build().await;
        add_rows(&world, 20);
        world.edit(|workspace| {
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            for index in 0..30 {
                let created = at("2025-03-01T00:00:00Z") + SignedDuration::from_mins(index);
                let row = NewRow::titled(&format!("Second {index}")).created(created).edited(created);
                workspace.add_row(&second, row).unwrap();
            }
        });
        // database, two pages and the archive of the first, two pages of the second
        let report = run_cut_at(&mut world, Place::Notion, 6, false).await;
        let after: Vec<bool> = report.data_sources.iter().map(|source| source.watermark_after.is_some()).collect();
        assert_eq!((report.outcome, after), (Outcome::Partial, vec![true, false]));
        let next = world.sync().await;
        let modes: Vec<Mode> = next.data_sources.iter().map(|source| source.mode).collect();
        assert_eq!(modes, [Mode::Incremental, Mode::FullRefresh]);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
