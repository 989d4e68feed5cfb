//! The main job: rows of a Notion database stand in the table, the watermark has moved, an idle run costs nothing.

use notion_sync::failure::FailureClass;
use notion_sync::run::report::{Mode, Outcome};
use notion_sync_local::notion::{File, NewRow, RowEdit, Value};

use crate::support::{World, at, run_test};

/// Adds so many rows, one created each minute from 2026-01-01 on.
pub(crate) fn add_rows(world: &World, count: u32) -> Vec<String> {
    world.edit(|workspace| {
        (0..count)
            .map(|index| {
                let created = at("2026-01-01T00:00:10Z") + jiff::SignedDuration::from_mins(i64::from(index));
                let row = NewRow::titled(&format!("Project {index}")).created(created).edited(created);
                workspace.add_row(&world.data_source_id, row).unwrap()
            })
            .collect()
    })
}

#[test]
fn the_first_sync_brings_every_row_and_an_idle_run_sends_no_statement() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 250);
        world.edit(|workspace| {
            let archived = NewRow::titled("Old").created(at("2025-05-05T05:05:05Z")).archived();
            workspace.add_row(&world.data_source_id, archived).unwrap();
            let trashed = NewRow::titled("Trash").created(at("2025-05-05T05:05:05Z")).trashed();
            workspace.add_row(&world.data_source_id, trashed).unwrap();
        });
        let report = world.sync().await;
        assert_eq!(report.mode, Some(Mode::FullRefresh));
        assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (251, 251));
        assert_eq!(world.page_merges(), 1, "one MERGE for a batch far below 8 MiB");
        world.assert_table_equals_notion().await;
        assert_eq!(world.truth().await, Some(at("2026-11-22T11:58:00Z")), "minute floor of start - 120 s");

        world.advance(900);
        world.clear_logs();
        let idle = world.sync().await;
        assert_eq!((idle.mode, idle.totals.pages_read), (Some(Mode::Incremental), 0));
        assert_eq!(idle.totals.statements, 0);
        assert!(world.statements().is_empty());
        let source = &idle.data_sources[0];
        assert_eq!(source.watermark_before, Some(at("2026-11-22T11:58:00Z")));
        assert_eq!(source.watermark_after, Some(at("2026-11-22T12:13:00Z")), "the cache moves alone");
        assert_eq!(world.truth().await, Some(at("2026-11-22T11:58:00Z")), "the truth sleeps on");
        world.end().await;
    });
}

#[test]
fn an_idle_run_asks_for_no_token() {
    run_test(async {
        let mut world = World::new().await;
        add_rows(&world, 3);
        world.databricks.configure(|settings| {
            settings.tokens.clear();
            settings.principals.push(notion_sync_local::databricks::ServicePrincipal {
                client_id: "principal".to_owned(),
                client_secret: "dose-secret".to_owned(),
                expires_in_seconds: 3_600,
            });
        });
        world.variables.remove("DATABRICKS_TOKEN");
        world.variables.insert("DATABRICKS_CLIENT_ID".to_owned(), "principal".to_owned());
        world.variables.insert("DATABRICKS_CLIENT_SECRET".to_owned(), "dose-secret".to_owned());
        world.restart().await;
        world.sync().await;
        assert_eq!(world.databricks.token_requests(), 1, "one token serves all statements of a run");
        world.restart().await;
        world.clear_logs();
        world.advance(900);
        world.sync().await;
        assert_eq!(world.databricks.token_requests(), 1, "a cold start verifies its connection");
        world.clear_logs();
        world.advance(900);
        world.sync().await;
        assert_eq!(world.databricks.token_requests(), 0);
        world.end().await;
    });
}

#[test]
fn an_edit_and_an_archived_page_take_one_merge() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 30);
        world.sync().await;
        world.advance(3_600);
        world.clear_logs();
        world.edit(|workspace| {
            workspace.edit_row(&rows[4], RowEdit::new().title("Edited")).unwrap();
            workspace.edit_row(&rows[9], RowEdit::new().title("Edited, then archived")).unwrap();
            workspace.archive(&rows[9]).unwrap();
        });
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_updated), (2, 2));
        assert_eq!(world.page_merges(), 1);
        assert_eq!(world.statements().len(), 2, "the MERGE, and the watermark that proves it");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_page_edited_twice_in_one_minute_is_not_lost() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.set_now("2026-11-22T13:02:20Z");
        world.edit(|workspace| workspace.edit_row(&rows[1], RowEdit::new().title("First edit")).unwrap());
        world.sync().await;
        // Still 13:02:00 in Notion, after it was read.
        world.set_now("2026-11-22T13:02:50Z");
        world.edit(|workspace| workspace.edit_row(&rows[1], RowEdit::new().title("Second edit")).unwrap());
        world.set_now("2026-11-22T13:17:50Z");
        let report = world.sync().await;
        assert_eq!(report.totals.pages_updated, 1);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_page_that_the_index_shows_a_minute_late_is_not_lost() {
    run_test(async {
        let world = World::builder()
            .notion(|settings| settings.index_lag = notion_sync_local::notion::IndexLag::Milliseconds(70_000))
            .build()
            .await;
        let rows = add_rows(&world, 3);
        world.advance(600);
        world.sync().await;
        world.advance(600);
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Indexed late")).unwrap());
        world.advance(20);
        assert_eq!(world.sync().await.totals.pages_read, 0, "the index does not show it yet");
        world.advance(60);
        assert_eq!(world.sync().await.totals.pages_updated, 1);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn payloads_are_stored_byte_for_byte_and_a_second_run_changes_nothing() {
    run_test(async {
        let world = World::new().await;
        let large = format!(
            r#"{{"Name":{{"id":"title","type":"title","title":[]}},"Blob":{{"id":"b","type":"x","x":"{}"}}}}"#,
            "é\\\\\\\"".repeat(500_000)
        );
        let odd = [
            r#"{"a":"quotes \" and back\\slashes \\\\ and \/ and ' and `"}"#,
            r#"{"nul":"\u0000","escape":"\u001b","line":"a\nb\tc","pair":"\ud83d\ude00","lone":"\ud800"}"#,
            r#"{"emoji":"🐞🏳️‍🌈","rtl":"\u202ex","text":":rows ${x} ? -- /* */"}"#,
            r#"{"n":1.10,"e":1e3,"big":12345678901234567890,"deep":-0.0}"#,
            r#"{"twice":1,"twice":2,  "spaces" :  [ 1 , 2 ]}"#,
            &large,
        ];
        world.edit(|workspace| {
            for (index, properties) in odd.iter().enumerate() {
                let created = at("2026-01-01T00:00:00Z") + jiff::SignedDuration::from_mins(index as i64);
                let row = NewRow::default().created(created).edited(created).raw_properties(*properties);
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
        });
        world.sync().await;
        world.assert_table_equals_notion().await;
        for row in world.table().await.values() {
            let properties = odd.iter().filter(|properties| row.payload.contains(**properties)).count();
            assert_eq!(properties, 1, "the properties stand in the payload as they were served: {:.700}", row.payload);
        }
        let again = world.full_refresh().await;
        assert_eq!((again.totals.pages_read, again.totals.pages_unchanged), (6, 6));
        assert_eq!((again.totals.pages_inserted, again.totals.pages_updated), (0, 0));
        world.end().await;
    });
}

#[test]
fn signed_urls_that_differ_on_each_read_change_no_row() {
    run_test(async {
        let world = World::new().await;
        world.edit(|workspace| {
            let file = Value::Files(vec![File::Uploaded { name: "plan.pdf".to_owned() }]);
            let row = NewRow::titled("With a file").set("Plan", file).created(at("2026-01-01T00:00:00Z"));
            workspace.add_row(&world.data_source_id, row.edited(at("2026-01-01T00:00:00Z"))).unwrap();
        });
        world.sync().await;
        world.advance(7_200);
        let again = world.full_refresh().await;
        assert_eq!((again.totals.pages_read, again.totals.pages_unchanged), (1, 1));
        world.end().await;
    });
}

#[test]
fn the_answer_of_a_merge_lost_after_it_was_applied_leaves_each_row_once() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 40);
        world.databricks_faults.add(
            notion_sync_local::faults::Rule::new(notion_sync_local::faults::Fault::ResetAfter)
                .method("POST")
                .body("notion_raw_pages` AS t"),
        );
        let report = world.sync().await;
        assert_eq!(report.totals.retries, 1);
        assert_eq!(world.page_merges(), 2, "sent again, since no statement id came");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_partial_object_fails_the_run_names_the_page_and_advances_nothing() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 5);
        world.edit(|workspace| workspace.set_partial(&rows[3], true).unwrap());
        let message = world.sync_fails(FailureClass::PageUnreadable).await;
        assert!(message.contains(&rows[3]), "{message}");
        assert_eq!(world.truth().await, None);
        world.edit(|workspace| workspace.set_partial(&rows[3], false).unwrap());
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn before_init_tables_the_error_says_what_to_run() {
    run_test(async {
        let world = World::builder().build_without_tables().await;
        add_rows(&world, 1);
        let message = world.sync_fails(FailureClass::TableMissing).await;
        assert!(message.contains("init-tables"), "{message}");
        world.end().await;
    });
}

#[test]
fn a_second_data_source_gets_its_own_first_walk() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 10);
        world.sync().await;
        world.advance(3_600);
        world.edit(|workspace| {
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            for index in 0..7 {
                let created = at("2025-03-01T00:00:00Z");
                let row = NewRow::titled(&format!("Second {index}")).created(created).edited(created);
                workspace.add_row(&second, row).unwrap();
            }
        });
        let report = world.sync().await;
        let modes: Vec<Mode> = report.data_sources.iter().map(|source| source.mode).collect();
        assert_eq!(modes, [Mode::Incremental, Mode::FullRefresh]);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn batches_follow_the_bytes_of_the_body() {
    run_test(async {
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        world.edit(|workspace| {
            for index in 0..60 {
                let note = Value::RichText(notion_sync_local::notion::Span::plain(&"text ".repeat(800)));
                let created = at("2026-01-01T00:00:00Z") + jiff::SignedDuration::from_mins(index);
                let row = NewRow::titled("Long").set("Note", note).created(created).edited(created);
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
        });
        world.sync().await;
        assert!(world.page_merges() > 4, "{}", world.page_merges());
        for exchange in world.databricks.statements() {
            let rows: usize = exchange.parameters.iter().filter_map(|parameter| parameter.value_bytes).sum();
            assert!(rows < 64 * 1024, "a parameter of {rows} bytes");
        }
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn without_a_cache_every_run_reads_the_truth_and_moves_it() {
    run_test(async {
        let world = World::builder().without_cache().build().await;
        add_rows(&world, 5);
        world.sync().await;
        world.advance(900);
        let idle = world.sync().await;
        assert_eq!(idle.mode, Some(Mode::Incremental));
        assert!(idle.warnings.iter().any(|warning| warning.contains("WATERMARK_TABLE")), "{:?}", idle.warnings);
        assert_eq!(world.truth().await, Some(at("2026-11-22T12:13:00Z")));
        world.end().await;
    });
}

#[test]
fn a_run_whose_lease_is_held_by_another_is_skipped() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        let hold = notion_sync_local::faults::Hold::new();
        world.databricks_faults.add(
            notion_sync_local::faults::Rule::new(notion_sync_local::faults::Fault::HoldAnswer(hold.clone()))
                .method("POST"),
        );
        let (first, second) = tokio::join!(world.try_sync(), async {
            hold.reached().await;
            let second = world.try_sync().await;
            hold.release();
            second
        });
        assert_eq!(first.outcome, Outcome::Complete, "{:?}", first.error);
        assert_eq!(second.outcome, Outcome::Skipped);
        assert_eq!(second.totals.requests, 0, "the loser asks Notion for nothing");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_date_in_the_future_is_known_and_wakes_nobody() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.edit(|workspace| {
            workspace.set_last_edited(&rows[0], at("2027-06-01T00:00:00Z")).unwrap();
        });
        world.sync().await;
        for _ in 0..3 {
            world.advance(900);
            world.clear_logs();
            let idle = world.sync().await;
            assert_eq!((idle.totals.pages_read, idle.totals.pages_unchanged), (1, 1));
            assert!(world.statements().is_empty());
        }
        world.end().await;
    });
}

#[test]
fn an_edit_of_today_reaches_a_row_whose_time_lay_in_the_future() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.edit(|workspace| workspace.set_last_edited(&rows[0], at("2027-06-01T00:00:00Z")).unwrap());
        world.sync().await;
        world.advance(900);
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Edited today")).unwrap());
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_run_with_too_little_time_stores_its_position_in_mid_walk_and_the_next_ones_end_the_job() {
    run_test(async {
        let world =
            World::builder().variable("BATCH_SIZE", "5").notion(|settings| settings.latency_ms = 500).build().await;
        let rows = add_rows(&world, 80);
        let deadline = || notion_sync::run::deadline::Deadline::after(std::time::Duration::from_secs(12));
        let mut positions = Vec::new();
        loop {
            assert!(positions.len() < 25, "each run gets on: {positions:?}");
            let report = world.try_sync_within(deadline(), false).await;
            assert!(report.error.is_none(), "{:?}", report.error);
            if report.outcome == Outcome::Complete {
                break;
            }
            positions.push(report.data_sources[0].resume.clone());
            // Behind the position: the run that ends the job has it too.
            world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Edited in between")).unwrap());
        }
        assert!(positions.iter().flatten().count() > 0, "a position was stored: {positions:?}");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
