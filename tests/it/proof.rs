//! Success is not taken on trust: what the warehouse claims, forgets, refuses or does half-way, and what the run makes of it.

use std::time::Duration;

use jiff::SignedDuration;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::Outcome;
use notion_sync_local::databricks::{Behaviour, RowCounts, Script, StatementError};
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{NewRow, RowEdit, Span, Value};

use crate::support::{World, at, failed, run_test};
use crate::sync::add_rows;

/// Part of the MERGE into the pages, and of no other statement.
const PAGE_MERGE: &str = "notion_raw_pages` AS t";
/// Part of the statement that proves the run and moves the truth.
const WATERMARK_MERGE: &str = "notion_sync_watermarks` AS t";

/// Rows of some 4 KB each.
fn add_long_rows(world: &World, count: i64) {
    world.edit(|workspace| {
        for index in 0..count {
            let note = Value::RichText(Span::plain(&"text ".repeat(800)));
            let created = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(index);
            let row = NewRow::titled(&format!("Long {index}")).set("Note", note).created(created).edited(created);
            workspace.add_row(&world.data_source_id, row).unwrap();
        }
    });
}

#[test]
fn success_reported_for_a_merge_that_wrote_nothing_fails_the_proof_and_the_watermark_stays() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 12);
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        let message = world.sync_fails(FailureClass::ProofFailed).await;
        assert!(message.contains("0 of 12"), "{message}");
        assert_eq!(world.truth().await, None);
        world.sync().await;
        world.assert_table_equals_notion().await;

        let before = world.truth().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        world.sync_fails(FailureClass::ProofFailed).await;
        assert_eq!(world.truth().await, before, "a newer version is not there, though the row is");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_second_edit_within_one_minute_that_was_not_written_fails_the_proof() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.advance(3_600);
        let edit = |title: &str| {
            world.edit(|workspace| workspace.edit_row(&rows[1], RowEdit::new().title(title)).unwrap());
        };
        edit("First");
        world.sync().await;
        let before = world.truth().await;
        edit("Second");
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        let message = world.sync_fails(FailureClass::ProofFailed).await;
        assert!(message.contains("0 of 1"), "{message}");
        assert_eq!(world.truth().await, before);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_restored_row_that_was_not_brought_back_fails_the_proof() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[1]).unwrap());
        world.sweep().await;
        world.edit(|workspace| workspace.restore(&rows[1]).unwrap());
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        let message = failed(world.try_sweep(false).await, FailureClass::ProofFailed);
        assert!(message.contains("0 of 1"), "{message}");
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_removal_that_was_not_written_fails_the_proof() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[1]).unwrap());
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        let message = failed(world.try_sweep(false).await, FailureClass::ProofFailed);
        assert!(message.contains("0 of 1"), "{message}");
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn one_lying_batch_among_many_fails_the_proof() {
    run_test(async {
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        add_long_rows(&world, 25);
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied).after(2));
        world.sync_fails(FailureClass::ProofFailed).await;
        assert_eq!(world.truth().await, None);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn counts_beyond_the_rows_sent_fail_the_run() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        let counts = RowCounts { inserted: 4, updated: 2, deleted: 0 };
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Counts(counts)));
        world.sync_fails(FailureClass::RowCountMismatch).await;
        assert_eq!(world.truth().await, None);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn malformed_rows_never_merge_as_zero_rows_with_success() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        // The text of our own statement, its rows cut in the middle: the engine itself must refuse it.
        world.sync().await;
        let merge = world.statements().into_iter().find(|text| text.contains(PAGE_MERGE)).unwrap();
        for (rows, row_count) in [(r#"'[{"page_id":"x","data'"#, 1), ("'[]'", 1), ("'null'", 1), ("''", 0)] {
            let text = merge
                .replace(":rows", rows)
                .replace(":row_count", &row_count.to_string())
                .replace(":future_from", "current_timestamp()")
                .replace(":api_version", "'v'")
                .replace(":run_id", "'r'");
            let refused = world.databricks.query(&text).await.expect_err("malformed rows are refused");
            let is_told = ["rows parsed differ", "MALFORMED_RECORD"].iter().any(|part| refused.message.contains(part));
            assert!(is_told, "{rows}: {}", refused.message);
        }
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_closed_statement_was_applied_and_only_its_counts_are_lost() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Closed));
        world.databricks.script(Script::once(WATERMARK_MERGE, Behaviour::Closed));
        let report = world.sync().await;
        let warnings = &report.data_sources[0].warnings;
        assert!(warnings.iter().any(|warning| warning.contains("without counts")), "{warnings:?}");
        assert_eq!(world.truth().await, Some(at("2026-11-22T11:58:00Z")));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_statement_that_failed_for_a_passing_reason_is_answered_with_a_new_one() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        let codes = [
            "TEMPORARILY_UNAVAILABLE",
            "WORKSPACE_TEMPORARILY_UNAVAILABLE",
            "SERVICE_UNDER_MAINTENANCE",
            "RESOURCE_EXHAUSTED",
            "ABORTED",
            "DEADLINE_EXCEEDED",
            "INTERNAL_ERROR",
            "IO_ERROR",
            "UNKNOWN",
        ];
        for (index, code) in codes.into_iter().enumerate() {
            // Answers of today carry an SQLSTATE as well, older ones don't.
            for sql_state in [None, Some("XX000".to_owned())] {
                world.advance(900);
                world.edit(|workspace| {
                    workspace.edit_row(&rows[0], RowEdit::new().title(&format!("{code} {index}"))).unwrap()
                });
                let message = "The service is busy.".to_owned();
                let error = StatementError { error_code: code.to_owned(), message, sql_state: sql_state.clone() };
                world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Failed(error)));
                let report = world.sync().await;
                assert_eq!((report.totals.retries, report.totals.pages_updated), (1, 1), "{code} {sql_state:?}");
            }
        }
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_statement_that_failed_for_good_is_not_sent_again() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        let error = StatementError {
            error_code: "BAD_REQUEST".to_owned(),
            message: "[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012".to_owned(),
            sql_state: Some("22012".to_owned()),
        };
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Failed(error)));
        let message = world.sync_fails(FailureClass::StatementFailed).await;
        assert!(message.contains("DIVIDE_BY_ZERO"), "{message}");
        assert_eq!(world.page_merges(), 1);
        world.end().await;
    });
}

#[test]
fn a_conflict_is_run_again_and_one_that_lasts_has_its_own_class() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Conflict).times(3));
        world.databricks.script(Script::once(WATERMARK_MERGE, Behaviour::Conflict).times(3));
        let report = world.sync().await;
        assert_eq!(report.totals.retries, 6);
        world.assert_table_equals_notion().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Edited")).unwrap());
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Conflict).times(4));
        world.sync_fails(FailureClass::StatementConflict).await;
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_warehouse_that_takes_long_to_start_is_polled_and_nothing_is_submitted_again() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        world.databricks.script(Script::once("notion_sync_watermarks", Behaviour::Pending { polls: 6 }));
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Pending { polls: 4 }));
        // A lost poll is another poll, never another statement.
        world.databricks_faults.add(Rule::new(Fault::ResetAfter).method("GET").skip(1));
        world.databricks_faults.add(Rule::new(Fault::Answer(Answer::html_bad_gateway())).method("GET").skip(2));
        world.sync().await;
        let sent = ["SELECT data_source_id", PAGE_MERGE, WATERMARK_MERGE, "WITH seen", WATERMARK_MERGE];
        let statements = world.statements();
        assert_eq!(statements.len(), sent.len(), "{statements:#?}");
        assert!(statements.iter().zip(sent).all(|(text, part)| text.contains(part)), "{statements:#?}");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_statement_that_the_service_forgot_is_sent_anew_whether_it_was_applied_or_not() {
    run_test(async {
        for applied in [true, false] {
            let world = World::new().await;
            add_rows(&world, 3);
            world.databricks.script(Script::once(PAGE_MERGE, Behaviour::Forgotten { applied }));
            world.sync().await;
            assert_eq!(world.page_merges(), 2);
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_body_over_the_limit_is_halved_and_the_limit_remembered() {
    run_test(async {
        for status in [413, 400] {
            let world = World::new().await;
            add_long_rows(&world, 24);
            world.databricks.configure(|settings| {
                settings.body_limit_bytes = 60_000;
                settings.body_limit_status = status;
            });
            let report = world.sync().await;
            let warnings = &report.data_sources[0].warnings;
            let refused = warnings.iter().filter(|warning| warning.contains("refused")).count();
            assert!((1..=5).contains(&refused), "remembered after the first batch: {warnings:#?}");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn proofs_comparisons_and_removals_over_the_limit_are_halved_as_well() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 300);
        world.databricks.configure(|settings| settings.body_limit_bytes = 12_000);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.edit(|workspace| rows.iter().take(60).for_each(|row| workspace.trash(row).unwrap()));
        let report = world.sweep().await;
        assert_eq!(report.totals.pages_removed, 60);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_that_no_statement_can_carry_fails_the_run_and_names_the_page() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        let properties = format!(
            r#"{{"Name":{{"id":"title","type":"title","title":[]}},"Blob":{{"id":"b","type":"x","x":"{}"}}}}"#,
            "\\\"".repeat(2_100_000)
        );
        let huge = world.edit(|workspace| {
            let row = NewRow::default().created(at("2026-05-05T05:05:05Z")).raw_properties(properties);
            workspace.add_row(&world.data_source_id, row).unwrap()
        });
        let message = world.sync_fails(FailureClass::RowTooLarge).await;
        assert!(message.contains(&huge), "{message:.300}");
        assert_eq!(world.truth().await, None);
        world.edit(|workspace| workspace.delete_for_good(&huge).unwrap());
        world.sync().await;
        world.end().await;
    });
}

#[test]
fn a_page_of_three_megabytes_travels_alone_under_a_small_batch_limit() {
    run_test(async {
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        add_rows(&world, 5);
        let properties = format!(
            r#"{{"Name":{{"id":"title","type":"title","title":[]}},"Blob":{{"id":"b","type":"x","x":"{}"}}}}"#,
            "x".repeat(3_000_000)
        );
        world.edit(|workspace| {
            let created = at("2026-01-01T00:02:30Z");
            let row = NewRow::default().created(created).edited(created).raw_properties(properties);
            workspace.add_row(&world.data_source_id, row).unwrap();
        });
        world.sync().await;
        assert_eq!(world.page_merges(), 3, "before it, it, after it");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn two_runs_at_once_without_a_lease_and_with_conflicts_leave_a_right_table() {
    run_test(async {
        let world = World::builder().without_cache().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        add_long_rows(&world, 25);
        world.databricks.configure(|settings| settings.one_writer_per_table = false);
        let (first, second) = tokio::join!(world.try_sync(), world.try_sync());
        for report in [first, second] {
            if let Some(error) = report.error {
                assert_eq!(error.class, FailureClass::StatementConflict, "{}", error.message);
            }
        }
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_merge_given_up_at_the_deadline_is_no_failure_and_its_rows_are_sent_again() {
    run_test(async {
        let world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").variable("BATCH_SIZE", "10").build().await;
        add_long_rows(&world, 25);
        for skip in 0..3 {
            let slow = Behaviour::Slow { milliseconds: 60_000 };
            world.databricks.script(Script::once(PAGE_MERGE, slow).after(skip));
            let report = world.try_sync_within(Deadline::after(Duration::from_secs(3)), true).await;
            assert_eq!(report.outcome, Outcome::Partial, "{:?}", report.error);
        }
        world.databricks.clear_scripts();
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_batch_that_is_told_to_wait_beyond_the_deadline_is_not_passed_by_a_later_one() {
    run_test(async {
        let mut world = World::builder().variable("MERGE_BATCH_BYTES", "64KiB").build().await;
        add_long_rows(&world, 25);
        let busy = Answer::databricks(429, "RESOURCE_EXHAUSTED", "Too many requests.").retry_after(Some(100));
        world.databricks_faults.add(Rule::new(Fault::Answer(busy)).method("POST").body(PAGE_MERGE).skip(1));
        let report = world.try_sync_within(Deadline::after(Duration::from_secs(20)), false).await;
        assert_eq!(report.outcome, Outcome::Partial, "{:?}", report.error);
        let wait = report.retry_after_seconds.unwrap();
        assert!((90..=100).contains(&wait), "{wait}");
        world.restart().await;
        world.sync().await;
        world.assert_table_equals_notion().await;
        let failed_runs = world.databricks.statements().iter().filter(|statement| statement.error.is_some()).count();
        assert_eq!(failed_runs, 0);
        world.end().await;
    });
}

#[test]
fn success_reported_for_a_watermark_that_was_not_stored_fails_the_run_also_when_the_rows_were_not() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.advance(900);
        world.edit(|workspace| workspace.edit_row(&rows[0], RowEdit::new().title("Edited")).unwrap());
        let truth = world.truth().await;
        world.databricks.script(Script::once(PAGE_MERGE, Behaviour::NotApplied));
        world.databricks.script(Script::once(WATERMARK_MERGE, Behaviour::NotApplied));
        let message = world.sync_fails(FailureClass::ProofFailed).await;
        assert!(message.contains("was not stored"), "{message}");
        assert_eq!(world.truth().await, truth);
        world.sync().await;
        world.assert_table_equals_notion().await;
        // Its result is lost, but it was applied: that is read back, and all is well.
        world.advance(900);
        world.edit(|workspace| workspace.edit_row(&rows[1], RowEdit::new().title("Edited, too")).unwrap());
        world.databricks.script(Script::once(WATERMARK_MERGE, Behaviour::Closed));
        let report = world.sync().await;
        assert_eq!(world.truth().await, report.data_sources[0].watermark_after);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_deleted_from_the_table_by_another_hand_is_found_by_the_proof_of_the_run_that_sent_it() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        let hold = notion_sync_local::faults::Hold::new();
        let held = Fault::HoldRequest(hold.clone());
        world.databricks_faults.add(Rule::new(held).method("POST").body(WATERMARK_MERGE));
        let (report, ()) = tokio::join!(world.try_sync(), async {
            hold.reached().await;
            let delete =
                format!("DELETE FROM {}.notion_raw_pages WHERE payload LIKE '%Project 1%'", world.qualified_schema());
            world.databricks.query(&delete).await.unwrap();
            hold.release();
        });
        failed(report, FailureClass::ProofFailed);
        assert_eq!(world.truth().await, None);
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
