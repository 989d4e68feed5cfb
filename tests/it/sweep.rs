//! The sweep: what no query shows is found, asked for one by one, and marked with its reason; nothing is marked on a guess.

use jiff::SignedDuration;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome, Report};
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{Destination, NewRow, RowEdit};

use crate::support::{World, at, failed, run_test};
use crate::sync::add_rows;

/// Rows of the second data source that [`two_sources`] makes.
const SECOND_ROWS: usize = 6;

/// A database of two data sources, synced: 24 rows in the first, six in the second.
async fn two_sources(world: &World) -> (Vec<String>, String, Vec<String>) {
    let first = add_rows(world, 24);
    let (second, rows) = world.edit(|workspace| {
        let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
        let rows = (0..SECOND_ROWS).map(|index| add(workspace, &second, &format!("Second {index}"))).collect();
        (second, rows)
    });
    world.sync().await;
    world.advance(3_600);
    world.clear_logs();
    (first, second, rows)
}

fn add(workspace: &mut notion_sync_local::notion::Workspace, source: &str, title: &str) -> String {
    let created = at("2026-02-01T00:00:10Z");
    workspace.add_row(source, NewRow::titled(title).created(created).edited(created)).unwrap()
}

fn removed(report: &Report) -> u64 {
    report.totals.pages_removed
}

/// The reason a row is marked with; `None` = it is live.
async fn reason(world: &World, page_id: &str) -> Option<String> {
    let row = world.table().await.remove(page_id).expect("the row stays in the table");
    assert_eq!(row.is_removed, row.removal_reason.is_some());
    row.removal_reason
}

#[test]
fn trashed_moved_and_gone_rows_are_marked_with_their_reason_and_keep_their_payload() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 25);
        world.sync().await;
        let before = world.table().await;
        world.advance(3_600);
        world.edit(|workspace| {
            workspace.trash(&rows[0]).unwrap();
            let page = Destination::Page("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f".to_owned());
            workspace.move_row(&rows[1], &page).unwrap();
            let (_, other) = workspace.add_table("Other");
            workspace.move_row(&rows[2], &Destination::DataSource(other)).unwrap();
            workspace.delete_for_good(&rows[3]).unwrap();
            workspace.unshare(&rows[4]).unwrap();
        });
        assert_eq!(removed(&world.sync().await), 0, "an incremental run can't see any of it");
        let report = world.sweep().await;
        assert_eq!((report.mode, removed(&report)), (Some(Mode::Sweep), 5));
        for (row, expected) in rows.iter().zip(["trashed", "moved", "moved", "gone", "gone"]) {
            assert_eq!(reason(&world, row).await.as_deref(), Some(expected), "{row}");
        }
        let after = world.table().await;
        assert!(after[&rows[0]].in_trash && !after[&rows[3]].in_trash);
        for row in &rows[..5] {
            assert_eq!(after[row].payload, before[row].payload, "the last payload stays for audit");
        }
        world.assert_table_equals_notion().await;
        world.clear_logs();
        let again = world.sweep().await;
        assert_eq!(removed(&again), 0);
        assert_eq!(world.page_merges(), 0, "what is marked is not marked again");
        world.end().await;
    });
}

#[test]
fn a_row_restored_with_its_old_time_and_one_moved_in_are_fetched() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        let (_, other) = world.edit(|workspace| workspace.add_table("Other"));
        let stranger = world.edit(|workspace| add(workspace, &other, "Stranger"));
        world.sync().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.trash(&rows[2]).unwrap());
        world.sweep().await;
        assert_eq!(reason(&world, &rows[2]).await.as_deref(), Some("trashed"));
        world.edit(|workspace| {
            workspace.restore(&rows[2]).unwrap();
            workspace.move_row(&stranger, &Destination::DataSource(world.data_source_id.clone())).unwrap();
        });
        assert_eq!(world.sync().await.totals.pages_read, 0, "both carry old times");
        let report = world.sweep().await;
        assert_eq!((report.totals.pages_inserted, report.totals.pages_updated), (1, 1));
        assert_eq!(reason(&world, &rows[2]).await, None);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_archived_without_an_edit_is_read_again() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.archive(&rows[5]).unwrap());
        assert_eq!(world.sync().await.totals.pages_read, 0);
        let report = world.sweep().await;
        assert_eq!((report.totals.pages_updated, removed(&report)), (1, 0));
        assert!(world.table().await[&rows[5]].is_archived);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_archived_and_taken_out_again_without_an_edit_is_never_taken_for_known() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.set_now("2026-11-22T13:02:10Z");
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Fresh")).unwrap());
        world.sync().await;
        world.edit(|workspace| workspace.archive(&rows[0]).unwrap());
        world.sweep().await;
        assert!(world.table().await[&rows[0]].is_archived);
        // Now it is, byte for byte, what the run before the sweep remembered; the table holds something else.
        world.edit(|workspace| workspace.unarchive(&rows[0]).unwrap());
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_removed_row_that_comes_back_unchanged_is_live_again_although_the_cache_knew_its_hash() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.set_now("2026-11-22T13:02:10Z");
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Fresh")).unwrap());
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        world.sweep().await;
        assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("trashed"));
        world.edit(|workspace| workspace.restore(&rows[0]).unwrap());
        let report = world.sync().await;
        assert_eq!(report.totals.pages_updated, 1, "the hash is the same, but an upsert clears the removal");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn an_edit_brings_a_removed_row_back_through_an_incremental_run() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        world.sweep().await;
        world.advance(3_600);
        world.edit(|workspace| {
            workspace.restore(&rows[0]).unwrap();
            workspace.edit_row(&rows[0], RowEdit::new().title("Back")).unwrap();
        });
        world.sync().await;
        let row = world.table().await.remove(&rows[0]).unwrap();
        assert_eq!((row.is_removed, row.removal_reason, row.in_trash), (false, None, false));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_moved_to_another_data_source_of_the_database_is_an_upsert() {
    run_test(async {
        let world = World::new().await;
        let (first, second, _) = two_sources(&world).await;
        world.edit(|workspace| {
            workspace.move_row(&first[3], &Destination::DataSource(second.clone())).unwrap();
        });
        let report = world.sweep().await;
        assert_eq!((removed(&report), report.totals.pages_updated), (0, 1));
        assert_eq!(world.table().await[&first[3]].data_source_id, second);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_data_source_removed_from_its_database_takes_its_rows_along() {
    run_test(async {
        for is_trashed in [false, true] {
            let world = World::new().await;
            let (_, second, rows) = two_sources(&world).await;
            world.edit(|workspace| {
                if is_trashed {
                    workspace.trash_data_source(&second, true).unwrap();
                } else {
                    workspace.remove_data_source(&second).unwrap();
                }
            });
            let report = world.sweep().await;
            assert_eq!(removed(&report), SECOND_ROWS as u64);
            assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("data_source_removed"));
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_data_source_that_comes_back_is_read_again_from_its_start() {
    run_test(async {
        let world = World::new().await;
        let (_, second, rows) = two_sources(&world).await;
        world.edit(|workspace| workspace.trash_data_source(&second, true).unwrap());
        world.sweep().await;
        assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("data_source_removed"));
        world.edit(|workspace| workspace.trash_data_source(&second, false).unwrap());
        world.sync().await;
        assert_eq!(reason(&world, &rows[0]).await, None);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_database_that_lists_no_data_source_fails_the_sync() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        world.sync().await;
        world.edit(|workspace| workspace.trash_data_source(&world.data_source_id, true).unwrap());
        let message = world.sync_fails(FailureClass::SourceAccessLost).await;
        assert!(message.contains("lists no data source"), "{message}");
        world.end().await;
    });
}

#[test]
fn a_404_that_is_not_notions_own_marks_nothing() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 5);
        world.sync().await;
        world.edit(|workspace| workspace.delete_for_good(&rows[0]).unwrap());
        let before = world.table().await;
        let html = Answer::new(404, "text/html", "<html><h1>404 Not Found</h1></html>");
        let path = Answer::notion(404, "invalid_request_url", "Invalid request URL.");
        for (answer, class) in [(html, FailureClass::NotionUnavailable), (path, FailureClass::RowUnclear)] {
            world.notion_faults.add(Rule::new(Fault::Answer(answer)).path("/pages/").always());
            failed(world.try_sweep(false).await, class);
            assert_eq!(world.table().await, before);
            world.notion_faults.clear_rules();
        }
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_sweep_that_runs_out_of_time_among_more_removals_than_may_be_marked_says_so() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 40);
        world.sync().await;
        world.edit(|workspace| rows[..30].iter().for_each(|row| workspace.trash(row).unwrap()));
        // The tenth of the rows that may be gone is asked for when the time is over.
        let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(3_600));
        world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/pages/").skip(9));
        let database = world.app().config().databases[0].name.clone();
        let request = notion_sync::action::SweepRequest { database, allow_removals: false };
        let action = notion_sync::action::Action::Sweep(request);
        let report = world.run(&action, Deadline::after(std::time::Duration::from_secs(40))).await;
        failed(report, FailureClass::RemovalShareExceeded);
        world.end().await;
    });
}

/// Access to the database, or to one of its data sources, is lost: the run says so and touches nothing.
async fn access_lost(world: &World) {
    let before = world.table().await;
    let truth = world.truth().await;
    world.clear_logs();
    failed(world.try_sync().await, FailureClass::SourceAccessLost);
    failed(world.try_sweep(true).await, FailureClass::SourceAccessLost);
    let refreshed = world.try_sync_within(Deadline::none(), true).await;
    failed(refreshed, FailureClass::SourceAccessLost);
    assert_eq!(world.table().await, before, "nothing was marked");
    assert_eq!(world.truth().await, truth);
}

#[test]
fn a_data_source_that_is_not_visible_any_more_marks_nothing() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        world.sync().await;
        world.edit(|workspace| workspace.share_data_source(&world.data_source_id, false).unwrap());
        access_lost(&world).await;
        world.edit(|workspace| workspace.share_data_source(&world.data_source_id, true).unwrap());
        world.sync().await;
        world.end().await;
    });
}

#[test]
fn a_database_that_is_not_visible_any_more_marks_nothing() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        world.sync().await;
        world.edit(|workspace| workspace.share_database(&world.database_id, false).unwrap());
        access_lost(&world).await;
        world.edit(|workspace| workspace.share_database(&world.database_id, true).unwrap());
        world.edit(|workspace| workspace.trash_database(&world.database_id, true).unwrap());
        access_lost(&world).await;
        world.end().await;
    });
}

#[test]
fn a_source_that_answers_403_marks_nothing() {
    run_test(async {
        for path in ["/v1/databases/", "/query"] {
            let world = World::new().await;
            add_rows(&world, 5);
            world.sync().await;
            let forbidden = Answer::notion(403, "restricted_resource", "Insufficient permissions for this endpoint.");
            world.notion_faults.add(Rule::new(Fault::Answer(forbidden)).path(path).always());
            access_lost(&world).await;
            world.end().await;
        }
    });
}

#[test]
fn a_page_that_answers_403_or_5xx_is_unknown_and_nothing_is_marked() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.edit(|workspace| {
            workspace.trash(&rows[0]).unwrap();
            workspace.trash(&rows[1]).unwrap();
        });
        for (status, class) in [(403, FailureClass::NotionForbidden), (502, FailureClass::NotionUnavailable)] {
            // The first page is classified, the second is not.
            let answer = Fault::Answer(Answer::notion(status, "any", "No."));
            world.notion_faults.add(Rule::new(answer).path("/v1/pages/").skip(1).always());
            failed(world.try_sweep(false).await, class);
            world.notion_faults.clear_rules();
            assert!(world.table().await.values().all(|row| !row.is_removed), "nothing was marked after a {status}");
        }
        assert_eq!(removed(&world.sweep().await), 2);
        world.end().await;
    });
}

#[test]
fn from_twenty_live_rows_on_the_share_guard_refuses_and_the_finished_walks_watermark_stands() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 20);
        world.sync().await;
        world.advance(3_600);
        let trash = |count: usize| {
            world.edit(|workspace| rows[..count].iter().for_each(|row| workspace.trash(row).unwrap()));
        };
        trash(5);
        world.edit(|workspace| workspace.edit_row(&rows[9], RowEdit::new().title("Edited")).unwrap());
        let report = world.try_sync_within(Deadline::none(), true).await;
        let message = failed(report, FailureClass::RemovalShareExceeded);
        assert!(message.contains("--allow-removals"), "{message}");
        assert!(world.table().await.values().all(|row| !row.is_removed), "nothing was marked");
        assert_eq!(world.truth().await, Some(at("2026-11-22T12:58:00Z")), "the walk itself was complete");
        failed(world.try_sweep(false).await, FailureClass::RemovalShareExceeded);
        assert_eq!(world.sync().await.outcome, Outcome::Complete, "incremental runs go on");
        let allowed = world.try_sweep(true).await;
        assert_eq!((allowed.outcome, removed(&allowed)), (Outcome::Complete, 5));
        world.assert_table_equals_notion().await;

        // Fifteen live rows are too few for a share to say something.
        trash(20);
        assert_eq!(removed(&world.sweep().await), 15);
        world.end().await;
    });
}

#[test]
fn a_fifth_of_the_rows_is_still_allowed() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 20);
        world.sync().await;
        world.edit(|workspace| rows[..4].iter().for_each(|row| workspace.trash(row).unwrap()));
        assert_eq!(removed(&world.sweep().await), 4);
        world.end().await;
    });
}

#[test]
fn a_listing_beyond_one_body_is_compared_in_ranges_of_ids() {
    run_test(async {
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        let rows = add_rows(&world, 700);
        world.sync().await;
        world.edit(|workspace| {
            rows.iter().step_by(50).for_each(|row| workspace.trash(row).unwrap());
            rows.iter().skip(7).step_by(100).for_each(|row| workspace.archive(row).unwrap());
        });
        world.clear_logs();
        let report = world.sweep().await;
        let comparisons = world.statements().iter().filter(|text| text.starts_with("WITH seen")).count();
        assert!(comparisons >= 3, "{comparisons}");
        assert_eq!((removed(&report), report.totals.pages_updated), (14, 7));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_full_refresh_ends_with_a_sweep() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        let report = world.full_refresh().await;
        assert_eq!(removed(&report), 1);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_sweep_that_a_full_refresh_owes_is_done_by_the_next_run_when_the_first_one_failed() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 10);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[0]).unwrap());
        let unavailable = Fault::Answer(Answer::notion(500, "internal_server_error", "Unexpected error occurred."));
        world.notion_faults.add(Rule::new(unavailable).path("/v1/pages/").always());
        failed(world.try_sync_within(Deadline::none(), true).await, FailureClass::NotionUnavailable);
        world.notion_faults.clear_rules();
        let next = world.sync().await;
        assert_eq!((next.mode, removed(&next)), (Some(Mode::Incremental), 1));
        world.clear_logs();
        world.advance(900);
        world.sync().await;
        assert!(world.statements().is_empty(), "it is owed once");
        world.end().await;
    });
}

#[test]
fn a_sweep_before_the_first_sync_marks_and_reads_nothing() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        let report = world.sweep().await;
        assert!(report.warnings.iter().any(|warning| warning.contains("never synced")), "{:?}", report.warnings);
        assert!(world.table().await.is_empty());
        world.end().await;
    });
}

#[test]
fn rows_created_while_the_sweep_lists_are_not_lost_and_not_marked() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 30);
        world.sync().await;
        world.advance(3_600);
        let (source, moved) = (world.data_source_id.clone(), rows[3].clone());
        world.edit(|workspace| {
            let change = move |workspace: &mut notion_sync_local::notion::Workspace| {
                add(workspace, &source, "Came late");
                // From the default partition into the archived one, between the two listings.
                workspace.archive(&moved).unwrap();
            };
            workspace.after_query_page(None, 1, change).unwrap();
        });
        world.sweep().await;
        world.sweep().await;
        world.assert_table_equals_notion().await;
        assert!(world.table().await.values().all(|row| !row.is_removed));
        world.end().await;
    });
}

#[test]
fn a_sweep_cut_short_by_its_deadline_is_partial_and_the_next_one_ends_it() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 40);
        world.sync().await;
        world.edit(|workspace| {
            rows[..6].iter().for_each(|row| workspace.trash(row).unwrap());
            workspace.settings_mut().latency_ms = 60;
        });
        let database = world.app().config().databases[0].name.clone();
        let request = notion_sync::action::SweepRequest { database, allow_removals: false };
        let action = notion_sync::action::Action::Sweep(request);
        let mut partial = 0;
        for milliseconds in (150..1_200).step_by(150) {
            let report = world.run(&action, Deadline::after(std::time::Duration::from_millis(milliseconds))).await;
            assert!(report.error.is_none(), "{:?}", report.error);
            partial += u32::from(report.outcome == Outcome::Partial);
        }
        assert!(partial > 0);
        world.edit(|workspace| workspace.settings_mut().latency_ms = 0);
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.advance(SignedDuration::from_mins(1).as_secs());
        world.end().await;
    });
}
