//! Minutes, milliseconds, the index's lag, and filters by time.

use serde_json::json;

use super::super::settings::{FilterTime, IndexLag, Settings};
use super::super::world::RowEdit;
use super::*;

fn edited_since(time: &str) -> Json {
    with(
        oldest_first(),
        "filter",
        json!({ "timestamp": "last_edited_time", "last_edited_time": { "on_or_after": time } }),
    )
}

#[test]
fn a_second_edit_in_the_same_minute_shows_the_same_time_and_other_bytes() {
    let mut notion = Notion::new();
    let id = notion.add(NewRow::titled("a"));
    notion.world.edit_row(&id, RowEdit::new().title("b")).unwrap();
    let first = notion.page(&id);
    notion.world.advance(30_000);
    notion.world.edit_row(&id, RowEdit::new().title("c")).unwrap();
    let second = notion.page(&id);
    assert_eq!(first.json["last_edited_time"], "2026-11-22T13:00:00.000Z");
    assert_eq!(first.json["last_edited_time"], second.json["last_edited_time"]);
    assert_ne!(first.json["properties"], second.json["properties"]);
}

#[test]
fn times_are_compared_by_whole_minutes_unless_told_otherwise() {
    let mut notion = Notion::new();
    notion.add(NewRow::titled("a").created(at("2026-11-22T12:58:50.001Z")));
    let after = json!({ "filter": { "timestamp": "last_edited_time", "last_edited_time": { "after": "2026-11-22T12:58:00.000Z" } } });
    assert!(notion.titles(&after).is_empty());
    assert_eq!(notion.titles(&edited_since("2026-11-22T12:58:00.000Z")), ["a"]);
    assert_eq!(
        notion.titles(&edited_since("2026-11-22T12:58:59.999Z")),
        ["a"],
        "seconds of the bound count for nothing"
    );
    assert!(notion.titles(&edited_since("2026-11-22T12:59:00.000Z")).is_empty());
    notion.world.settings_mut().filter_time = FilterTime::Hidden;
    assert_eq!(notion.titles(&after), ["a"]);
}

#[test]
fn a_query_lags_behind_get() {
    let settings = Settings { index_lag: IndexLag::Milliseconds(90_000), ..Settings::default() };
    let mut notion = Notion::with(settings);
    let id = notion.add(NewRow::titled("new"));
    assert_eq!(notion.page(&id).status, 200);
    assert!(notion.titles(&oldest_first()).is_empty());
    notion.world.advance(90_000);
    assert_eq!(notion.titles(&oldest_first()), ["new"]);
    notion.world.edit_row(&id, RowEdit::new().title("newer")).unwrap();
    assert_eq!(notion.titles(&oldest_first()), ["new"]);
    assert!(notion.page(&id).text.contains("newer"));
    assert!(notion.titles(&edited_since("2026-11-22T13:01:00.000Z")).is_empty());
    notion.world.advance(90_000);
    assert_eq!(notion.titles(&edited_since("2026-11-22T13:01:00.000Z")), ["newer"]);
}

#[test]
fn the_index_can_wait_until_it_is_told() {
    let mut notion = Notion::new();
    let id = notion.add(NewRow::titled("old"));
    notion.world.settings_mut().index_lag = IndexLag::UntilTold;
    notion.world.edit_row(&id, RowEdit::new().title("b")).unwrap();
    notion.world.edit_row(&id, RowEdit::new().title("c")).unwrap();
    let other = notion.add(NewRow::titled("d"));
    notion.world.advance(10_000_000);
    assert_eq!(notion.titles(&oldest_first()), ["old"]);
    notion.world.publish(&id).unwrap();
    assert_eq!(notion.titles(&oldest_first()), ["c"]);
    notion.world.trash(&id).unwrap();
    assert_eq!(notion.titles(&oldest_first()), ["c"]);
    notion.world.publish_all();
    assert_eq!(notion.titles(&oldest_first()), ["d"]);
    assert_eq!(notion.page(&other).status, 200);
}

#[test]
fn a_future_time_is_served_as_it_is() {
    let mut notion = Notion::new();
    let id = notion.add(NewRow::titled("a"));
    notion.world.set_last_edited(&id, at("2027-01-01T00:00:30Z")).unwrap();
    assert_eq!(notion.page(&id).json["last_edited_time"], "2027-01-01T00:00:00.000Z");
    assert_eq!(notion.titles(&edited_since("2026-12-31T00:00:00.000Z")), ["a"]);
}

#[test]
fn a_minute_can_be_split_by_the_other_time_inside_an_and() {
    let mut notion = Notion::new();
    for (title, edited) in [("a", "10:00"), ("b", "11:00"), ("c", "12:00")] {
        let row = NewRow::titled(title).created(at("2026-11-20T09:00:10Z"));
        notion.add(row.edited(at(&format!("2026-11-22T{edited}:30Z"))));
    }
    let filter = json!({ "and": [
        { "timestamp": "created_time", "created_time": { "on_or_after": "2026-11-20T09:00:00.000Z" } },
        { "timestamp": "created_time", "created_time": { "before": "2026-11-20T09:01:00.000Z" } },
        { "or": [
            { "timestamp": "last_edited_time", "last_edited_time": { "before": "2026-11-22T10:30:00.000Z" } },
            { "timestamp": "last_edited_time", "last_edited_time": { "on_or_after": "2026-11-22T11:30:00.000Z" } }
        ] }
    ] });
    assert_eq!(notion.titles(&with(oldest_first(), "filter", filter.clone())), ["a", "c"]);
    let too_deep = json!({ "and": [{ "or": [filter] }] });
    assert_eq!(notion.query(&json!({ "filter": too_deep })).code(), "validation_error");
}

#[test]
fn rows_of_one_minute_have_no_promised_order() {
    use super::super::settings::TieOrder;
    let mut notion = Notion::with(Settings { tie_order: TieOrder::Shuffled, ..Settings::default() });
    for number in 0..20 {
        notion.add(NewRow::titled(&format!("{number:02}")).created(at("2026-11-20T09:00:10Z")));
    }
    let shuffled = notion.titles(&oldest_first());
    let mut sorted = shuffled.clone();
    sorted.sort();
    assert_ne!(shuffled, sorted);
    assert_eq!(shuffled, notion.titles(&oldest_first()));
    notion.world.settings_mut().tie_order = TieOrder::Hidden;
    assert_eq!(notion.titles(&oldest_first()), sorted);
}
