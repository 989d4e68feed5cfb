//! What can go wrong between two pages of a walk: rejected cursors, pages that shrink, odd rows, a wrong order.

use jiff::SignedDuration;
use notion_sync::failure::FailureClass;
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{NewRow, RowEdit, Workspace};
use serde_json::json;

use crate::support::{World, at, run_test};
use crate::sync::add_rows;

#[test]
fn a_rejected_cursor_restarts_its_stretch_from_the_last_known_creation_time() {
    run_test(async {
        let world = World::builder().variable("BATCH_SIZE", "10").build().await;
        add_rows(&world, 95);
        world.edit(|workspace| workspace.settings_mut().reject_next_cursors = 4);
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (95, 95), "each row once");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_stretch_restarts_at_most_five_times_and_then_fails_and_advances_nothing() {
    run_test(async {
        let world = World::builder().variable("BATCH_SIZE", "10").build().await;
        add_rows(&world, 95);
        world.edit(|workspace| workspace.settings_mut().reject_next_cursors = 5);
        world.sync().await;
        world.assert_table_equals_notion().await;
        let before = world.truth().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.settings_mut().reject_next_cursors = 6);
        let report = world.try_sync_within(notion_sync::run::deadline::Deadline::none(), true).await;
        let message = crate::support::failed(report, FailureClass::CursorRejected);
        assert!(message.contains(&world.data_source_id), "{message}");
        assert_eq!(world.truth().await, before);
        world.end().await;
    });
}

#[test]
fn a_row_deleted_under_its_cursor_costs_no_other_row() {
    run_test(async {
        let world = World::builder().variable("BATCH_SIZE", "10").build().await;
        let rows = add_rows(&world, 60);
        // The cursor of the second page names the row that the third one begins with.
        let (named, beyond) = (rows[20].clone(), rows[21].clone());
        world.edit(|workspace| {
            let change = move |workspace: &mut Workspace| {
                workspace.delete_for_good(&named).unwrap();
                workspace.edit_row(&beyond, RowEdit::new().title("Edited meanwhile")).unwrap();
            };
            workspace.after_query_page(None, 2, change).unwrap();
        });
        world.sync().await;
        assert!(!world.edit(|workspace| workspace.has_waiting_hooks()));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_504_or_503_that_lasts_halves_the_page_and_each_level_has_its_own_three_retries() {
    run_test(async {
        for answer in [Answer::notion_query_unavailable(), Answer::notion(504, "gateway_timeout", "Timed out.")] {
            let world = World::new().await;
            add_rows(&world, 120);
            // Four tries at 100, four at 50, three at 25; the twelfth passes.
            world.notion_faults.add(Rule::new(Fault::Answer(answer)).path("/query").times(11));
            let report = world.sync().await;
            assert_eq!(report.totals.retries, 9);
            let sizes: Vec<u64> = world
                .edit(|workspace| workspace.requests())
                .iter()
                .filter(|request| request.path.ends_with("/query"))
                .map(|request| {
                    serde_json::from_str::<serde_json::Value>(&request.body).unwrap()["page_size"].as_u64().unwrap()
                })
                .collect();
            assert!(sizes.starts_with(&[25, 25, 25]), "{sizes:?}");
            assert!(report.data_sources[0].warnings.iter().any(|warning| warning.contains("25 rows a page")));
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_5xx_that_says_how_long_to_wait_uses_up_no_tries_but_still_shrinks_the_page() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 120);
        let busy = |status| Answer::notion(status, "service_unavailable", "Busy.").retry_after(Some(0));
        world.notion_faults.add(Rule::new(Fault::Answer(busy(503))).path("/databases/").times(6));
        world.notion_faults.add(Rule::new(Fault::Answer(busy(500))).path("/query").times(5));
        // Four tries at 100, two at 50.
        world.notion_faults.add(Rule::new(Fault::Answer(busy(504))).path("/query").times(6));
        let report = world.sync().await;
        assert_eq!((report.totals.rate_limit_waits, report.totals.retries), (16, 16));
        assert!(report.data_sources[0].warnings.iter().any(|warning| warning.contains("50 rows a page")));
        world.assert_table_equals_notion().await;
        world.databricks_faults.add(
            Rule::new(Fault::Answer(Answer::databricks(502, "BAD_GATEWAY", "Busy.").retry_after(Some(0))))
                .method("POST")
                .times(5),
        );
        world.full_refresh().await;
        world.end().await;
    });
}

#[test]
fn below_ten_rows_a_page_it_does_not_shrink_and_the_run_fails() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 30);
        world.notion_faults.add(Rule::new(Fault::Answer(Answer::notion_query_unavailable())).path("/query").always());
        let message = world.sync_fails(FailureClass::NotionUnavailable).await;
        assert!(message.contains("PgPool") || message.contains("503"), "{message}");
        let tries = world.notion_faults.exchanges().iter().filter(|exchange| exchange.path.contains("/query")).count();
        assert_eq!(tries, 5 * 4, "100, 50, 25, 12 and 10 rows, four tries each");
        assert_eq!(world.truth().await, None);
        world.end().await;
    });
}

#[test]
fn a_page_that_shrinks_in_the_middle_of_a_walk_costs_no_row() {
    run_test(async {
        let world = World::builder().variable("BATCH_SIZE", "40").build().await;
        add_rows(&world, 150);
        world.notion_faults.add(
            Rule::new(Fault::Answer(Answer::notion_query_unavailable()))
                .path("/query")
                .body("start_cursor")
                .skip(1)
                .times(4),
        );
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (150, 150));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

/// A query's answer that says there is more behind `cursor` and shows nothing.
fn nothing_and_more(cursor: &str) -> Fault {
    Fault::Answer(Answer::json(200, &json!({"object": "list", "results": [], "next_cursor": cursor, "has_more": true})))
}

#[test]
fn a_result_that_never_ends_fails_the_run_instead_of_being_read_for_ever() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        // One empty page is none, and neither are a few.
        for page in 0..5 {
            world.notion_faults.add(Rule::new(nothing_and_more(&format!("c{page}"))).path("/query"));
        }
        world.notion_faults.add(
            Rule::new(Fault::Answer(Answer::notion(
                400,
                "validation_error",
                "The start_cursor provided is invalid: c4",
            )))
            .path("/query"),
        );
        world.sync().await;
        world.assert_table_equals_notion().await;
        let truth = world.truth().await;
        world.advance(900);
        world.notion_faults.add(Rule::new(nothing_and_more("round")).path("/query").times(2));
        let message = world.sync_fails(FailureClass::WalkIncomplete).await;
        assert!(message.contains("go round in a circle"), "{message}");
        for page in 0..30 {
            world.notion_faults.add(Rule::new(nothing_and_more(&format!("d{page}"))).path("/query"));
        }
        let message = world.sync_fails(FailureClass::WalkIncomplete).await;
        assert!(message.contains("21 result pages without a row"), "{message}");
        world.notion_faults.clear_rules();
        assert_eq!(world.truth().await, truth);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn short_pages_are_not_the_end() {
    run_test(async {
        let world = World::builder().notion(|settings| settings.page_rows_at_most = Some(7)).build().await;
        add_rows(&world, 40);
        assert_eq!(world.sync().await.totals.pages_read, 40);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_wikis_data_sources_are_no_rows() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 12);
        world.edit(|workspace| {
            let (_, item) = workspace.add_table("Wiki item");
            workspace.add_wiki_data_source(&world.data_source_id, &item).unwrap();
        });
        assert_eq!(world.sync().await.totals.pages_read, 12);
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_wikis_data_source_that_stands_among_the_rows_all_the_same_is_told_and_left_out() {
    run_test(async {
        let world = World::new().await;
        let item = r#"{"object":"data_source","id":"164b19c5-58e5-4a47-a3a9-c905d9519c65","created_time":"2026-01-01T00:00:00.000Z"}"#;
        let body = format!(r#"{{"object":"list","results":[{item}],"next_cursor":null,"has_more":false}}"#);
        let answer = Answer::new(200, "application/json", body);
        world.notion_faults.add(Rule::new(Fault::Answer(answer)).path("/query"));
        let report = world.sync().await;
        assert_eq!(report.totals.pages_read, 0);
        let warnings = &report.data_sources[0].warnings;
        assert!(warnings.iter().any(|warning| warning.contains("164b19c5")), "{warnings:?}");
        world.end().await;
    });
}

#[test]
fn a_partial_object_in_a_sweeps_listing_fails_the_sweep_and_marks_nothing() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 6);
        world.sync().await;
        world.edit(|workspace| {
            workspace.trash(&rows[1]).unwrap();
            workspace.set_partial(&rows[3], true).unwrap();
        });
        let message = crate::support::failed(world.try_sweep(false).await, FailureClass::PageUnreadable);
        assert!(message.contains(&rows[3]), "{message}");
        assert!(world.table().await.values().all(|row| !row.is_removed));
        world.end().await;
    });
}

#[test]
fn rows_in_a_wrong_order_are_all_read_whatever_cuts_the_walk() {
    run_test(async {
        let world = World::builder()
            .variable("BATCH_SIZE", "5")
            .notion(|settings| settings.disorder_younger_than_seconds = Some(90))
            .build()
            .await;
        add_rows(&world, 17);
        world.edit(|workspace| {
            for seconds in 0..12 {
                let created = at("2026-11-22T11:59:20Z") + SignedDuration::from_secs(seconds * 5);
                let row = NewRow::titled(&format!("Young {seconds}")).created(created).edited(created);
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
            workspace.settings_mut().reject_next_cursors = 3;
        });
        // Every restart begins at a position that the disorder seen so far allows.
        let report = world.sync().await;
        assert_eq!(report.totals.pages_read, 29);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_cursor_that_dies_within_a_property_is_read_again() {
    run_test(async {
        let world = World::new().await;
        let related: Vec<String> =
            (0..130).map(|number| format!("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d{number:04x}")).collect();
        world.edit(|workspace| {
            let row = NewRow::titled("Epic")
                .set("Tasks", notion_sync_local::notion::Value::relation(&related))
                .created(at("2026-01-01T00:00:00Z"));
            workspace.add_row(&world.data_source_id, row.edited(at("2026-01-01T00:00:00Z"))).unwrap();
        });
        let message = "The start_cursor provided is invalid: 1QaTunT5";
        let rejected = Fault::Answer(Answer::notion(400, "validation_error", message));
        world.notion_faults.add(Rule::new(rejected).path("start_cursor="));
        let report = world.sync().await;
        assert_eq!(report.totals.pages_hydrated, 1);
        let table = world.table().await;
        let hydrated = table.values().next().unwrap().hydrated_properties.clone().unwrap();
        assert!(related.iter().all(|id| hydrated.contains(id)), "{hydrated:.300}");
        world.end().await;
    });
}
