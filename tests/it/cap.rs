//! Beyond the most rows that one query shows (10,000 in Notion, 50 here): the cap is seen, the walk goes on, nothing is lost.

use jiff::SignedDuration;
use notion_sync::failure::FailureClass;
use notion_sync_local::notion::{NewRow, RowEdit, TieOrder, Workspace};

use crate::support::{World, WorldBuilder, at, run_test};
use crate::sync::add_rows;

/// Most rows that one query shows in these stories.
const CAP: usize = 50;

fn capped() -> WorldBuilder {
    World::builder().variable("BATCH_SIZE", "20").notion(|settings| settings.result_cap = CAP)
}

/// Adds a row created and last edited at these times.
fn add(workspace: &mut Workspace, source: &str, title: &str, created: &str, edited: &str) -> String {
    workspace.add_row(source, NewRow::titled(title).created(at(created)).edited(at(edited))).unwrap()
}

/// Rows all created in one minute, one edited each `seconds_apart` after it.
fn import(world: &World, count: i64, seconds_apart: i64) -> Vec<String> {
    world.edit(|workspace| {
        (0..count)
            .map(|index| {
                let created = at("2026-03-03T03:03:00Z") + SignedDuration::from_millis(index * 100);
                let edited = created + SignedDuration::from_secs(index * seconds_apart);
                let row = NewRow::titled(&format!("Imported {index}")).created(created).edited(edited);
                workspace.add_row(&world.data_source_id, row).unwrap()
            })
            .collect()
    })
}

#[test]
fn a_result_cut_at_the_cap_is_not_read_as_the_end() {
    run_test(async {
        let world = capped().build().await;
        let rows = add_rows(&world, 230);
        world.edit(|workspace| rows.iter().step_by(2).for_each(|row| workspace.archive(row).unwrap()));
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (230, 230), "each row once");
        assert_eq!(report.totals.pages_updated, 0, "rows of the boundary minute are not sent twice");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn several_rows_a_minute_and_any_order_among_them_cost_no_row_at_the_boundary() {
    run_test(async {
        for order in [TieOrder::Id, TieOrder::ShuffledByQuery] {
            let world = capped().notion(|settings| settings.tie_order = order).build().await;
            world.edit(|workspace| {
                for index in 0..300 {
                    let created = at("2026-01-01T00:00:00Z") + SignedDuration::from_secs(index * 7);
                    let row = NewRow::titled(&format!("Row {index}")).created(created).edited(created);
                    workspace.add_row(&world.data_source_id, row).unwrap();
                }
            });
            assert_eq!(world.sync().await.totals.pages_read, 300);
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_result_of_exactly_the_cap_is_complete_whether_notion_flags_it_or_not() {
    run_test(async {
        for is_flagged in [false, true] {
            let world = capped().notion(|settings| settings.incomplete_at_exactly_the_cap = is_flagged).build().await;
            add_rows(&world, u32::try_from(CAP).unwrap());
            assert_eq!(world.sync().await.totals.pages_read, CAP as u64, "flagged: {is_flagged}");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_minute_with_more_rows_than_the_cap_is_read_in_parts_by_edit_time() {
    run_test(async {
        let world = capped().build().await;
        add_rows(&world, 30);
        import(&world, 170, 37);
        world.edit(|workspace| {
            for index in 0..30 {
                add(
                    workspace,
                    &world.data_source_id,
                    &format!("After {index}"),
                    "2026-04-04T04:04:04Z",
                    "2026-04-04T04:04:04Z",
                );
            }
        });
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (230, 230));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_data_source_that_is_one_single_crowded_minute_is_read_too() {
    run_test(async {
        let world = capped().build().await;
        import(&world, 120, 61);
        assert_eq!(world.sync().await.totals.pages_read, 120);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_row_edited_while_its_crowded_minute_is_read_in_parts_shows_up_in_a_later_part() {
    run_test(async {
        let world = capped().build().await;
        let rows = import(&world, 120, 61);
        let edited = rows[100].clone();
        world.edit(|workspace| {
            let change = move |workspace: &mut Workspace| {
                workspace.edit_row(&edited, RowEdit::new().title("Edited in between")).unwrap();
            };
            workspace.after_requests(9, change);
        });
        world.sync().await;
        assert!(!world.edit(|workspace| workspace.has_waiting_hooks()));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_minute_that_cannot_be_split_fails_with_its_own_class_and_advances_nothing() {
    run_test(async {
        let world = capped().build().await;
        add_rows(&world, 10);
        let rows = import(&world, 60, 0);
        let message = world.sync_fails(FailureClass::MinuteOverCap).await;
        assert!(message.contains("2026-03-03T03:03:00Z"), "{message}");
        assert_eq!(world.truth().await, None);
        // The remedy that the message names: edits that tell the rows apart.
        world.edit(|workspace| {
            for (index, row) in rows.iter().enumerate().take(20) {
                let edited = at("2026-11-22T11:00:00Z") + SignedDuration::from_mins(i64::try_from(index).unwrap());
                workspace.edit_row(row, RowEdit::new().title("Touched").edited(edited)).unwrap();
            }
        });
        assert_eq!(world.sync().await.totals.pages_read, 70);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_minute_whose_rows_are_dated_into_the_future_is_told_apart_as_well() {
    run_test(async {
        let world = capped().build().await;
        let rows = import(&world, 120, 0);
        world.edit(|workspace| {
            for (index, row) in rows.iter().enumerate() {
                let days = [0, 1, 20][index % 3];
                let edited = at("2026-11-22T12:00:00Z") + SignedDuration::from_hours(24 * days);
                workspace.set_last_edited(row, edited).unwrap();
            }
        });
        assert_eq!(world.sync().await.totals.pages_read, 120);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn the_cap_counts_within_an_incremental_window_as_well() {
    run_test(async {
        let world = capped().build().await;
        let rows = add_rows(&world, 200);
        world.sync().await;
        world.advance(3_600);
        world.edit(|workspace| {
            for (index, row) in rows.iter().enumerate().filter(|(index, _)| index % 10 != 0) {
                workspace.edit_row(row, RowEdit::new().title(&format!("Edited {index}"))).unwrap();
            }
        });
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_updated), (180, 180));
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_cap_that_falls_among_young_rows_out_of_order_costs_none_of_them() {
    run_test(async {
        // Young rows come as one recording has them: the last one first. The cap falls at any place among them.
        for old in CAP - 4..=CAP {
            let world = capped().notion(|settings| settings.disorder_younger_than_seconds = Some(120)).build().await;
            add_rows(&world, u32::try_from(old).unwrap());
            world.edit(|workspace| {
                for created in ["2026-11-22T11:59:02Z", "2026-11-22T11:59:31Z", "2026-11-22T12:00:01Z"] {
                    add(workspace, &world.data_source_id, created, created, created);
                }
            });
            assert_eq!(world.sync().await.totals.pages_read, old as u64 + 3, "{old} old rows");
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_sweep_lists_beyond_the_cap_before_it_calls_anything_missing() {
    run_test(async {
        let world = capped().build().await;
        let rows = add_rows(&world, 180);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[170]).unwrap());
        assert_eq!(world.sweep().await.totals.pages_removed, 1);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
