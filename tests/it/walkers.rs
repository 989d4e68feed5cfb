//! A full walk by several walkers side by side: ranges that are cut, that die or meet a cap, and what each leaves behind.

use std::time::Duration;

use jiff::SignedDuration;
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome};
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{NewRow, RowEdit, TieOrder};
use serde_json::Value;

use crate::resume::{Place, run_cut_at};
use crate::support::{World, WorldBuilder, at, run_test};
use crate::sync::add_rows;

fn four_walkers() -> WorldBuilder {
    World::builder().variable("WALKERS", "4").variable("BATCH_SIZE", "10").variable("MERGE_BATCH_BYTES", "64KiB")
}

/// Rows of which most were created on one day, the rest over two years.
fn add_uneven_rows(world: &World, count: i64) -> Vec<String> {
    world.edit(|workspace| {
        (0..count)
            .map(|index| {
                let created = match index % 10 {
                    0 => at("2024-11-22T00:00:00Z") + SignedDuration::from_hours(24 * 700 * index / count),
                    _ => at("2025-02-02T02:00:00Z") + SignedDuration::from_mins(index),
                };
                let row = NewRow::titled(&format!("Row {index}")).created(created).edited(created);
                workspace.add_row(&world.data_source_id, row).unwrap()
            })
            .collect()
    })
}

/// The queries since the log was cleared.
fn queries(world: &World) -> Vec<Value> {
    let requests = world.notion.requests().into_iter().filter(|request| request.path.ends_with("/query"));
    requests.map(|request| serde_json::from_str(&request.body).unwrap()).collect()
}

fn descending(queries: &[Value]) -> usize {
    queries.iter().filter(|query| query["sorts"][0]["direction"] == "descending").count()
}

#[test]
fn ranges_hold_every_row_once_and_cost_few_requests_more() {
    run_test(async {
        for is_uneven in [false, true] {
            let world = four_walkers().build().await;
            if is_uneven {
                add_uneven_rows(&world, 400);
            } else {
                add_rows(&world, 400);
            }
            world.edit(|workspace| {
                let archived = NewRow::titled("Old").created(at("2025-05-05T05:05:05Z")).archived();
                workspace.add_row(&world.data_source_id, archived).unwrap();
            });
            let report = world.sync().await;
            assert_eq!((report.totals.pages_read, report.totals.pages_inserted), (401, 401), "each once");
            let queries = queries(&world);
            assert_eq!(descending(&queries), 1, "one query shows where the rows end");
            let of_ranges: std::collections::BTreeSet<String> =
                queries.iter().map(|query| query["filter"].to_string()).collect();
            assert!(of_ranges.len() >= 5, "{of_ranges:?}");
            let most = if is_uneven { 60 } else { 50 };
            assert!(report.totals.requests <= most, "{} for 41 result pages", report.totals.requests);
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn one_result_page_is_walked_by_one_walker_at_no_further_request() {
    run_test(async {
        let world = four_walkers().build().await;
        let rows = add_rows(&world, 10);
        assert_eq!(world.sync().await.totals.requests, 3, "the database, the rows, the archived ones");
        world.advance(3_600);
        world.edit(|workspace| workspace.edit_row(&rows[3], RowEdit::new().title("Edited")).unwrap());
        world.clear_logs();
        assert_eq!(world.sync().await.totals.requests, 3);
        assert_eq!(descending(&queries(&world)), 0);
        world.end().await;
    });
}

#[test]
fn a_walk_cut_at_any_exchange_amid_several_ranges_is_ended_by_the_next_run() {
    run_test(async {
        let mut stretches = 0;
        for index in [0, 1, 2, 3, 4, 6, 8, 11, 14] {
            let mut world = four_walkers().build().await;
            let rows = add_uneven_rows(&world, 120);
            let report = run_cut_at(&mut world, Place::Notion, index, false).await;
            assert_eq!(report.outcome, Outcome::Partial, "{index}");
            let resume = report.data_sources.first().and_then(|source| source.resume.clone());
            let left = resume.map_or(0, |resume| resume["stretches"].as_array().unwrap().len());
            stretches = stretches.max(left);
            world.advance(900);
            world.edit(|workspace| {
                for (number, row) in rows.iter().step_by(9).enumerate() {
                    match number % 3 {
                        0 => workspace.edit_row(row, RowEdit::new().title("Edited in between")).unwrap(),
                        1 => workspace.trash(row).unwrap(),
                        _ => workspace.archive(row).unwrap(),
                    }
                }
                workspace.add_row(&world.data_source_id, NewRow::titled("Added in between")).unwrap();
            });
            let next = world.sync().await;
            assert_eq!(next.mode, Some(Mode::FullRefresh));
            world.assert_table_equals_notion().await;
            assert_eq!(world.truth().await, Some(at("2026-11-22T12:13:00Z")), "cut at exchange {index}");
            world.end().await;
        }
        assert!(stretches > 3, "a position has several ranges: {stretches}");
    });
}

#[test]
fn many_short_runs_end_a_walk_of_several_ranges() {
    run_test(async {
        let mut world = four_walkers().build().await;
        add_uneven_rows(&world, 300);
        let mut read = 0;
        for run in 0..30 {
            let limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(3_600));
            world.notion_faults.add(Rule::new(Fault::Answer(limited)).path("/query").skip(8));
            let report = world.try_sync_within(Deadline::after(Duration::from_secs(40)), false).await;
            world.notion_faults.clear_rules();
            world.restart().await;
            assert!(report.error.is_none(), "{:?}", report.error);
            read += report.totals.pages_read;
            if report.outcome == Outcome::Complete {
                assert!(run >= 3, "it was cut");
                break;
            }
        }
        assert!((300..500).contains(&read), "{read} rows read for 300");
        world.sync().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_walker_that_dies_amid_the_others_fails_the_run_and_advances_nothing() {
    run_test(async {
        for skipped in [0, 1, 2, 3, 5, 9] {
            let world = four_walkers().build().await;
            add_uneven_rows(&world, 150);
            let broken = Answer::notion(400, "validation_error", "The filter is not what it should be.");
            world.notion_faults.add(Rule::new(Fault::Answer(broken)).path("/query").skip(skipped));
            let report = world.try_sync().await;
            assert_eq!(report.outcome, Outcome::Failed, "{skipped}");
            assert_eq!((world.truth().await, world.cached().await), (None, None), "{skipped}");
            world.notion_faults.clear_rules();
            let next = world.sync().await;
            assert_eq!(next.totals.pages_read, 150);
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn cursors_rejected_amid_several_ranges_restart_their_own_range() {
    run_test(async {
        let world = four_walkers().build().await;
        add_uneven_rows(&world, 200);
        world.edit(|workspace| workspace.settings_mut().reject_next_cursors = 5);
        assert_eq!(world.sync().await.totals.pages_read, 200, "a row that is read again is none");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn ranges_beyond_the_cap_and_a_minute_over_it_are_read_whole() {
    run_test(async {
        for ties in [TieOrder::Hidden, TieOrder::ShuffledByQuery] {
            let world = four_walkers()
                .notion(|settings| {
                    settings.result_cap = 30;
                    settings.tie_order = ties;
                })
                .build()
                .await;
            add_uneven_rows(&world, 300);
            world.edit(|workspace| {
                for index in 0..70 {
                    let created = at("2025-06-06T06:06:00Z") + SignedDuration::from_millis(index * 100);
                    let edited = created + SignedDuration::from_mins(index);
                    let row = NewRow::titled(&format!("Imported {index}")).created(created).edited(edited);
                    workspace.add_row(&world.data_source_id, row).unwrap();
                }
            });
            world.sync().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn a_minute_over_the_cap_in_one_range_fails_the_run() {
    run_test(async {
        let world = four_walkers().notion(|settings| settings.result_cap = 30).build().await;
        add_uneven_rows(&world, 100);
        world.edit(|workspace| {
            for index in 0..70 {
                let time = at("2025-06-06T06:06:00Z") + SignedDuration::from_millis(index * 100);
                let row = NewRow::titled(&format!("Imported {index}")).created(time).edited(time);
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
        });
        world.sync_fails(FailureClass::MinuteOverCap).await;
        assert_eq!(world.truth().await, None);
        world.end().await;
    });
}

#[test]
fn rows_that_change_while_the_walkers_read_are_whole_after_the_next_run() {
    run_test(async {
        let world = four_walkers().notion(|settings| settings.disorder_younger_than_seconds = Some(120)).build().await;
        let rows = add_uneven_rows(&world, 200);
        world.edit(|workspace| {
            for created in ["2026-11-22T11:59:02Z", "2026-11-22T11:59:31Z", "2026-11-22T12:00:01Z"] {
                let row = NewRow::titled(created).created(at(created)).edited(at(created));
                workspace.add_row(&world.data_source_id, row).unwrap();
            }
            let source = world.data_source_id.clone();
            workspace.after_requests(6, move |workspace| {
                for (number, row) in rows.iter().step_by(5).enumerate() {
                    match number % 3 {
                        0 => workspace.edit_row(row, RowEdit::new().title("Edited meanwhile")).unwrap(),
                        1 => workspace.trash(row).unwrap(),
                        _ => workspace.archive(row).unwrap(),
                    }
                }
                workspace.add_row(&source, NewRow::titled("Added meanwhile")).unwrap();
            });
        });
        world.sync().await;
        world.advance(900);
        world.sync().await;
        world.sweep().await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}
