//! Filters and sorts by property, and what is refused.

use serde_json::json;

use super::super::value::Value;
use super::*;

fn risks() -> Notion {
    let mut notion = Notion::new();
    for (title, score, status, tags, due, open) in [
        ("Fire", "3", "Open", vec!["a", "b"], "2026-12-01", true),
        ("Flood", "1.50", "Done", vec!["b"], "2026-11-20", false),
        ("Frost", "1e1", "Open", vec![], "2026-11-25", true),
    ] {
        let row = NewRow::titled(title)
            .set("Score", Value::number(score))
            .set("Status", Value::status(status))
            .set("Tags", Value::multi_select(&tags))
            .set("Due", Value::date(due))
            .set("Label", Value::formula_text(&title.to_lowercase()));
        notion.add(row.set("Active", Value::Checkbox(open)));
    }
    notion.add(NewRow::titled(""));
    notion
}

#[test]
fn property_filters_find_what_they_say() {
    let mut notion = risks();
    for (filter, found) in [
        (json!({ "property": "Name", "title": { "starts_with": "Fl" } }), vec!["Flood"]),
        (json!({ "property": "title", "rich_text": { "is_empty": true } }), vec![""]),
        (json!({ "property": "Score", "number": { "greater_than": 2 } }), vec!["Fire", "Frost"]),
        (json!({ "property": "Score", "number": { "is_empty": true } }), vec![""]),
        (json!({ "property": "Status", "status": { "equals": "Done" } }), vec!["Flood"]),
        (json!({ "property": "Tags", "multi_select": { "contains": "b" } }), vec!["Fire", "Flood"]),
        (json!({ "property": "Due", "date": { "before": "2026-11-25" } }), vec!["Flood"]),
        (json!({ "property": "Active", "checkbox": { "does_not_equal": true } }), vec!["Flood", ""]),
        (json!({ "property": "Label", "formula": { "string": { "equals": "fire" } } }), vec!["Fire"]),
        (
            json!({ "or": [
                { "property": "Status", "status": { "equals": "Done" } },
                { "and": [
                    { "property": "Score", "number": { "greater_than": 5 } },
                    { "timestamp": "created_time", "created_time": { "equals": "today" } }
                ] }
            ] }),
            vec!["Flood", "Frost"],
        ),
    ] {
        assert_eq!(notion.titles(&with(oldest_first(), "filter", filter.clone())), found, "{filter}");
    }
}

#[test]
fn sorts_by_property_put_empty_values_last_either_way() {
    let mut notion = risks();
    for (property, direction, order) in [
        ("Score", "ascending", ["Flood", "Fire", "Frost", ""]),
        ("Score", "descending", ["Frost", "Fire", "Flood", ""]),
        ("Due", "ascending", ["Flood", "Frost", "Fire", ""]),
        ("Status", "ascending", ["Flood", "Fire", "Frost", ""]),
        ("Label", "descending", ["Frost", "Flood", "Fire", ""]),
    ] {
        let sorts = json!({ "sorts": [{ "property": property, "direction": direction }] });
        assert_eq!(notion.titles(&sorts), order, "{property} {direction}");
    }
    assert_eq!(notion.titles(&json!({})), ["", "Frost", "Flood", "Fire"], "newest first without sorts");
}

#[test]
fn filters_and_sorts_that_make_no_sense_are_refused() {
    let mut notion = risks();
    for (key, nonsense) in [
        ("filter", json!({ "property": "Nope", "number": { "equals": 1 } })),
        ("filter", json!({ "property": "Score", "number": { "equals": "1" } })),
        ("filter", json!({ "property": "Score", "number": { "contains": 1 } })),
        ("filter", json!({ "property": "Score", "rollup": { "any": {} } })),
        ("filter", json!({ "timestamp": "deleted_time", "deleted_time": { "after": "today" } })),
        ("filter", json!({ "and": vec![json!({ "property": "Score", "number": { "equals": 1 } }); 101] })),
        ("filter", json!({ "and": [], "or": [] })),
        ("filter", json!("everything")),
        ("sorts", json!([{ "timestamp": "created_time" }])),
        ("sorts", json!([{ "property": "Nope", "direction": "ascending" }])),
        ("sorts", json!([{ "timestamp": "created_time", "direction": "ascending", "nulls": "last" }])),
        ("result_type", json!("row")),
        ("is_archived", json!("yes")),
    ] {
        let answer = notion.query(&json!({ key: nonsense }));
        assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{key} {nonsense}: {}", answer.text);
    }
    notion.world.settings_mut().archived_partition = false;
    assert_eq!(
        notion.query(&json!({ "is_archived": true })).message(),
        "body failed validation: body.is_archived should be not present, instead was `true`."
    );
}
