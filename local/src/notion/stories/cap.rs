//! Pages, the cap, and a large table.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::settings::Settings;
use super::*;

#[test]
fn a_capped_result_says_so_on_every_page_and_a_plain_one_says_nothing() {
    let mut notion = Notion::with(Settings { result_cap: 25, ..Settings::default() }).with_rows(30);
    let pages = notion.walk(&with(oldest_first(), "page_size", json!(10)));
    assert_eq!(pages.len(), 3);
    for page in &pages {
        assert_eq!(
            page.json["request_status"],
            json!({ "type": "incomplete", "incomplete_reason": "query_result_limit_reached" })
        );
    }
    assert_eq!(pages[2].json["has_more"], false);
    assert_eq!(pages[2].json["results"].as_array().unwrap().len(), 5);
    notion.world.settings_mut().result_cap = 30;
    assert!(notion.query(&oldest_first()).json.get("request_status").is_none());
    notion.world.settings_mut().incomplete_at_exactly_the_cap = true;
    assert!(notion.query(&oldest_first()).json.get("request_status").is_some());
}

#[test]
fn the_official_way_past_the_cap_finds_every_row() {
    let mut notion = Notion::with(Settings { result_cap: 25, ..Settings::default() }).with_rows(60);
    let mut seen: Vec<String> = Vec::new();
    let mut body = oldest_first();
    loop {
        let page = notion.query(&body);
        let last = page.json["results"].as_array().unwrap().last().unwrap()["created_time"].clone();
        for title in page.titles() {
            if !seen.contains(&title) {
                seen.push(title);
            }
        }
        if page.json.get("request_status").is_none() {
            break;
        }
        body["filter"] = json!({ "timestamp": "created_time", "created_time": { "on_or_after": last } });
    }
    assert_eq!(seen.len(), 60);
}

#[test]
fn pages_may_be_shorter_than_asked_with_more_to_come() {
    let settings = Settings { page_rows_at_most: Some(3), ..Settings::default() };
    let mut notion = Notion::with(settings).with_rows(7);
    let pages = notion.walk(&with(oldest_first(), "page_size", json!(100)));
    let sizes: Vec<usize> = pages.iter().map(|page| page.json["results"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(pages[0].json["has_more"], true);
}

#[test]
fn a_walk_over_25_000_rows_takes_seconds_even_in_a_debug_build() {
    let mut notion = Notion::with(Settings { result_cap: 100_000, ..Settings::default() });
    for number in 0..25_000 {
        notion.add(NewRow::titled(&format!("Row {number}")));
    }
    let start = Instant::now();
    let mut rows = 0;
    for page in notion.walk(&oldest_first()) {
        rows += page.json["results"].as_array().unwrap().len();
    }
    assert_eq!(rows, 25_000);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
