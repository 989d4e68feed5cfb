//! Any schema and any rows: a typed view shows what a plain reading of the same JSON finds.

use std::collections::BTreeSet;

use notion_sync_local::notion::NewRow;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::run_test;
use crate::views::{add, ask, new_world};

const KINDS: [&str; 9] =
    ["number", "checkbox", "url", "select", "multi_select", "date", "rich_text", "relation", "unique_id"];
/// Schemas tried, and rows of each.
const SCHEMAS: usize = 3;
const ROWS: usize = 40;

/// A value as Notion writes it under its type.
fn right_value(kind: &str) -> BoxedStrategy<Value> {
    let text = "[a-zA-Z0-9 '\"\\\\é🚀\n]{0,12}";
    let option = (0..4_u8).prop_map(|number| json!({"id": format!("o{number}"), "name": format!("row {number}")}));
    match kind {
        "number" => prop_oneof![
            (-1_000_000..1_000_000_i64).prop_map(|n| json!(n)),
            (-1_000_000..1_000_000_i32).prop_map(|n| json!(f64::from(n) / 1024.0))
        ]
        .boxed(),
        "checkbox" => any::<bool>().prop_map(|flag| json!(flag)).boxed(),
        "url" => text.prop_map(|text| json!(text)).boxed(),
        "select" => option.boxed(),
        "multi_select" => prop::collection::vec(option, 0..4).prop_map(|options| json!(options)).boxed(),
        "date" => (1970..2100, 1..13, 1..29, any::<bool>())
            .prop_map(|(year, month, day, has_time)| {
                let time = if has_time { "T10:30:00.000+02:00" } else { "" };
                json!({"start": format!("{year}-{month:02}-{day:02}{time}"), "end": null, "time_zone": null})
            })
            .boxed(),
        "rich_text" => prop::collection::vec(text.prop_map(|text| json!({"type": "text", "plain_text": text})), 0..3)
            .prop_map(|items| json!(items))
            .boxed(),
        "relation" => prop::collection::vec((0..9_u8).prop_map(|n| json!({"id": format!("page {n}")})), 0..5)
            .prop_map(|ids| json!(ids))
            .boxed(),
        _ => (0..1000_u32).prop_map(|number| json!({"prefix": "OLD", "number": number})).boxed(),
    }
}

/// What a row holds under a property of this type: mostly a right value; else nothing, null, another type, or nonsense.
fn entry(id: String, kind: &'static str) -> BoxedStrategy<Option<Value>> {
    let typed = |id: String, kind: &'static str, value: Value| json!({"id": id, "type": kind, kind: value});
    let (right, null, wrong, absurd) = (id.clone(), id.clone(), id.clone(), id);
    // A text is a text whatever it holds, so only other types get nonsense.
    let nonsense =
        if kind == "url" { vec![Value::Null] } else { vec![json!([]), json!({}), json!("x y"), json!([[]])] };
    prop_oneof![
        6 => right_value(kind).prop_map(move |value| Some(typed(right.clone(), kind, value))),
        1 => Just(None),
        1 => Just(Some(typed(null, kind, Value::Null))),
        1 => prop::sample::select(KINDS.to_vec()).prop_flat_map(|other| right_value(other).prop_map(move |value| (other, value)))
            .prop_map(move |(other, value)| Some(typed(wrong.clone(), other, value))),
        1 => prop::sample::select(nonsense).prop_map(move |value| Some(typed(absurd.clone(), kind, value))),
    ]
    .boxed()
}

/// A plain reading of a property's entry.
fn read(kind: &str, entry: Option<&Value>) -> Option<String> {
    let value = &entry?[kind];
    let list = |of: &dyn Fn(&Value) -> Option<String>| {
        value.as_array().map(|items| json!(items.iter().map(of).collect::<Vec<_>>()).to_string())
    };
    match kind {
        "number" => value.as_f64().map(|number| format!("{number:?}")),
        "checkbox" => value.as_bool().map(|flag| flag.to_string()),
        "url" => value.as_str().map(str::to_owned),
        "select" => label(value),
        "multi_select" => list(&label),
        "date" => value["start"].as_str().map(|start| start[..10].to_owned()),
        "rich_text" => {
            let text: String = value.as_array()?.iter().filter_map(|item| item["plain_text"].as_str()).collect();
            Some(text).filter(|text| !text.is_empty())
        }
        "relation" => list(&|item| item["id"].as_str().map(str::to_owned)),
        _ => value["number"].as_u64().map(|number| format!("NEW-{number}")),
    }
}

/// The schema knows two of the options, by other names than the rows.
fn label(option: &Value) -> Option<String> {
    match option["id"].as_str() {
        Some("o0") => Some("present 0".to_owned()),
        Some("o1") => Some("present 1".to_owned()),
        _ => option["name"].as_str().map(str::to_owned),
    }
}

fn settings(kind: &str) -> Value {
    match kind {
        "select" | "multi_select" => {
            json!({"options": [{"id": "o0", "name": "present 0"}, {"id": "o1", "name": "present 1"}]})
        }
        "unique_id" => json!({"prefix": "NEW"}),
        _ => json!({}),
    }
}

#[test]
fn a_view_shows_what_a_plain_reading_finds() {
    run_test(async {
        let mut runner = TestRunner::deterministic();
        for _ in 0..SCHEMAS {
            let (world, views) = new_world().await;
            let names = prop::collection::vec((".{0,30}", prop::sample::select(KINDS.to_vec())), 12..18);
            let names = names.new_tree(&mut runner).unwrap().current();
            let mut seen = BTreeSet::new();
            let properties: Vec<(String, String, &'static str)> = names
                .into_iter()
                .filter(|(name, _)| seen.insert(name.clone()))
                .enumerate()
                .map(|(number, (name, kind))| (name, format!("id%3{number}'{number}"), kind))
                .collect();
            let schema: serde_json::Map<String, Value> = properties
                .iter()
                .map(|(name, id, kind)| {
                    (name.clone(), json!({"id": id, "name": name, "type": kind, *kind: settings(kind)}))
                })
                .collect();
            let text = json!(schema).to_string();
            world.edit(|workspace| workspace.plant_schema(&world.data_source_id, Some(&text)).unwrap());
            let mut pages = Vec::new();
            for _ in 0..ROWS {
                let mut row = serde_json::Map::new();
                for (name, id, kind) in &properties {
                    let entry = entry(id.clone(), kind).new_tree(&mut runner).unwrap().current();
                    // The row was read when the property had another name.
                    row.extend(entry.map(|entry| (format!("once {name}"), entry)));
                }
                let text = json!(row).to_string();
                pages.push((add(&world, NewRow::default().raw_properties(text)), row));
            }
            world.full_refresh().await;
            let columns = format!(
                "SELECT property_id, column_name FROM main.{}.notion_columns WHERE part = 'value'",
                world.schema
            );
            let columns = ask(&world, &columns).await;
            let column = |id: &String| {
                let row = columns.iter().find(|row| row[0].as_ref() == Some(id)).expect("every property has a column");
                row[1].clone().unwrap()
            };
            let list: Vec<String> = properties.iter().map(|(_, id, _)| format!("`{}`", column(id))).collect();
            let rows = ask(&world, &format!("SELECT page_id, {} FROM {views}.projects", list.join(", "))).await;
            assert_eq!(rows.len(), ROWS);
            for (page, row) in pages {
                let cells = rows.iter().find(|cells| cells[0].as_ref() == Some(&page)).unwrap();
                for ((name, _, kind), cell) in properties.iter().zip(&cells[1..]) {
                    let entry = row.get(&format!("once {name}"));
                    assert_eq!(*cell, read(kind, entry), "{kind} {name:?}: {entry:?}");
                }
            }
            world.end().await;
        }
    });
}
