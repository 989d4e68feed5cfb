//! Cursors: what they are bound to, and when they are refused.

use serde_json::json;

use super::super::settings::{GoneRowCursor, Settings};
use super::*;

#[test]
fn a_cursor_names_the_next_row_and_can_be_used_again() {
    let mut notion = Notion::new().with_rows(5);
    let ids = notion.world.row_ids(&notion.source).unwrap();
    let body = with(oldest_first(), "page_size", json!(2));
    let first = notion.query(&body);
    assert!(first.cursor().starts_with("s:") && first.cursor().ends_with(&ids[2]), "{}", first.cursor());
    let next = with(body, "start_cursor", json!(first.cursor()));
    assert_eq!(notion.query(&next).titles(), ["Row 3", "Row 4"]);
    assert_eq!(notion.query(&next).titles(), ["Row 3", "Row 4"]);
}

#[test]
fn a_cursor_is_bound_to_its_query() {
    let mut notion = Notion::new().with_rows(5);
    let body = with(oldest_first(), "page_size", json!(2));
    let cursor = notion.query(&body).cursor();
    let descending = json!({ "sorts": [{ "timestamp": "created_time", "direction": "descending" }], "page_size": 2 });
    let refused = notion.query(&with(descending, "start_cursor", json!(cursor)));
    assert_eq!((refused.status, refused.code()), (400, "validation_error"));
    assert_eq!(refused.message(), format!("The start_cursor provided is invalid: {cursor}"));
    let resized = with(with(body, "page_size", json!(3)), "start_cursor", json!(cursor));
    assert_eq!(notion.query(&resized).status, 400);
    notion.world.settings_mut().cursor_bound_to_page_size = false;
    assert_eq!(notion.query(&resized).titles(), ["Row 3", "Row 4", "Row 5"]);
    assert_eq!(notion.query(&json!({ "start_cursor": "s:nothing:nowhere" })).status, 400);
}

#[test]
fn a_cursor_dies_with_its_row_or_goes_on_as_told() {
    let mut notion = Notion::new().with_rows(5);
    let ids = notion.world.row_ids(&notion.source).unwrap();
    let body = with(oldest_first(), "page_size", json!(2));
    let next = with(body.clone(), "start_cursor", json!(notion.query(&body).cursor()));
    notion.world.trash(&ids[2]).unwrap();
    assert_eq!(notion.query(&next).status, 400);
    notion.world.settings_mut().cursor_of_a_gone_row = GoneRowCursor::GoesOn;
    assert_eq!(notion.query(&next).titles(), ["Row 4", "Row 5"]);
}

#[test]
fn cursors_are_refused_on_demand() {
    let mut notion = Notion::with(Settings { reject_next_cursors: 1, ..Settings::default() }).with_rows(9);
    let body = with(oldest_first(), "page_size", json!(2));
    let next = with(body.clone(), "start_cursor", json!(notion.query(&body).cursor()));
    assert_eq!(notion.query(&next).status, 400);
    let second = notion.query(&next);
    assert_eq!(second.status, 200);
    notion.world.settings_mut().reject_cursors_after_page = Some(2);
    let third = with(body, "start_cursor", json!(second.cursor()));
    assert_eq!(notion.query(&third).status, 400);
    assert_eq!(notion.query(&next).status, 200);
    notion.world.settings_mut().cursor_lifetime_seconds = Some(60);
    notion.world.advance(61_000);
    assert_eq!(notion.query(&next).status, 400);
}

#[test]
fn a_row_edited_and_a_row_added_while_a_walk_runs() {
    let mut notion = Notion::new().with_rows(4);
    let (source, ids) = (notion.source.clone(), notion.world.row_ids(&notion.source).unwrap());
    let added_to = source.clone();
    notion
        .world
        .after_query_page(Some(&source), 1, move |world| {
            world.rename_data_source(&added_to, "Renamed").unwrap();
            world.add_row(&added_to, NewRow::titled("Late").created(at("2026-11-20T00:00:00Z"))).unwrap();
            world.trash(&ids[3]).unwrap();
        })
        .unwrap();
    assert_eq!(notion.titles(&with(oldest_first(), "page_size", json!(2))), ["Row 1", "Row 2", "Row 3", "Late"]);
    assert!(!notion.world.has_waiting_hooks());
}

#[test]
fn young_rows_come_out_of_order_as_recorded_once() {
    let settings = Settings { disorder_younger_than_seconds: Some(300), ..Settings::default() };
    let mut notion = Notion::with(settings);
    for (title, created) in [("old", "12:00:00"), ("a", "12:58:10"), ("b", "12:58:20"), ("c", "12:59:05")] {
        notion.add(NewRow::titled(title).created(at(&format!("2026-11-22T{created}Z"))));
    }
    assert_eq!(notion.titles(&oldest_first()), ["old", "c", "a", "b"]);
    notion.world.advance(600_000);
    assert_eq!(notion.titles(&oldest_first()), ["old", "a", "b", "c"]);
}
