//! Values that pages cut, and the property endpoint that returns them whole.

use serde_json::json;

use super::super::json::percent_decoded;
use super::super::settings::MentionCount;
use super::super::value::{Person, Span, Value};
use super::super::world::Formula;
use super::*;

fn person(number: u32) -> Person {
    Person::named(&format!("Person {number}"))
}

fn id_of(number: u32) -> String {
    format!("38c9ce7b-60a4-8100-8000-{number:012}")
}

#[test]
fn a_relation_is_cut_at_25_with_a_flag_and_read_in_full_page_by_page() {
    let mut notion = Notion::new();
    let id = notion.add(NewRow::titled("a").set("Items", Value::relation((0..130).map(id_of))));
    notion.add(NewRow::titled("b").set("Items", Value::relation((0..25).map(id_of))));
    notion.world.set_property_id(&notion.source, "Items", "o%3BF%7B").unwrap();
    let page = notion.page(&id);
    assert_eq!(page.json["properties"]["Items"]["relation"].as_array().unwrap().len(), 25);
    assert_eq!(page.json["properties"]["Items"]["has_more"], true);
    let second = notion.query(&oldest_first()).json["results"][1].clone();
    assert_eq!(second["properties"]["Items"]["has_more"], false);

    let path = format!("/v1/pages/{id}/properties/o%3BF%7B");
    let first = notion.ask("GET", &format!("{path}?page_size=100"), "");
    assert_eq!(first.json["results"].as_array().unwrap().len(), 100);
    let cursor = first.cursor();
    assert!(first.text.contains(&format!(
        r#""next_cursor":"{cursor}","has_more":true,"type":"property_item","property_item":{{"id":"o%3BF%7B","next_url":"http://api.notion.com/v1/pages/{id}/properties/o%3BF%7B?start_cursor={cursor}&page_size=100","type":"relation","relation":{{}}}},"request_id":"#
    )));
    let rest = notion.ask("GET", &format!("{path}?page_size=100&start_cursor={cursor}"), "");
    assert_eq!(rest.json["results"].as_array().unwrap().len(), 30);
    assert_eq!(
        rest.json["property_item"],
        json!({ "id": "o%3BF%7B", "next_url": null, "type": "relation", "relation": {} })
    );
    assert!(rest.text.contains(&format!(
        r#"{{"object":"property_item","type":"relation","id":"o%3BF%7B","relation":{{"id":"{}"}}}}],"next_cursor":null"#,
        id_of(129)
    )));
    assert_eq!(notion.ask("GET", &format!("{path}?start_cursor=nonsense"), "").status, 400);
    assert_eq!(notion.ask("GET", &format!("{path}?page_size=101"), "").status, 400);
    assert_eq!(notion.ask("GET", &format!("/v1/pages/{id}/properties/o%253BF%257B"), "").status, 404);
    assert_eq!(notion.world.cut_properties(&id).unwrap()[0].items.len(), 130);
}

#[test]
fn people_and_mentions_are_cut_without_a_flag() {
    let mut notion = Notion::new();
    let mentions = |people: &mut dyn Iterator<Item = u32>| {
        Value::RichText(people.flat_map(|n| [Span::Person(person(n)), Span::Text(", ".to_owned())]).collect())
    };
    let id = notion.add(
        NewRow::titled("a")
            .set("Who", Value::People((0..30).map(person).collect()))
            .set("Text", mentions(&mut (0..30)))
            .set("Same", mentions(&mut std::iter::repeat_n(1, 30))),
    );
    let properties = notion.page(&id).json["properties"].clone();
    assert_eq!(properties["Who"]["people"].as_array().unwrap().len(), 25);
    assert!(properties["Who"].get("has_more").is_none());
    assert_eq!(properties["Text"]["rich_text"].as_array().unwrap().len(), 55);
    assert_eq!(properties["Same"]["rich_text"].as_array().unwrap().len(), 60);
    for (name, items) in [("Who", 30), ("Text", 60)] {
        let property = notion.world.property_id(&notion.source, name).unwrap();
        let answer = notion.ask("GET", &format!("/v1/pages/{id}/properties/{property}"), "");
        assert_eq!(answer.json["results"].as_array().unwrap().len(), items, "{name}");
    }
    let cut: Vec<String> = notion.world.cut_properties(&id).unwrap().into_iter().map(|cut| cut.name).collect();
    assert_eq!(cut, ["Who", "Text"]);
    notion.world.settings_mut().mention_count = MentionCount::Each;
    let same = notion.page(&id).json["properties"]["Same"]["rich_text"].as_array().unwrap().len();
    assert_eq!(same, 55);
}

#[test]
fn other_properties_are_one_item_and_rollups_are_incomplete_while_paging() {
    let mut notion = Notion::new();
    let array: Vec<Json> = (0..3).map(|number| json!({ "type": "number", "number": number })).collect();
    let rollup = json!({ "type": "array", "array": array, "function": "show_original" }).to_string();
    let planted = r#"{"id":"XpXf","type":"number","number":1234.50}"#;
    let id =
        notion.add(NewRow::titled("a").set("Sum", Value::rollup(&rollup)).set("Price", Value::Raw(planted.to_owned())));
    let single = notion.ask("GET", &format!("/v1/pages/{id}/properties/XpXf"), "");
    assert!(single.text.starts_with(r#"{"object":"property_item","id":"XpXf","type":"number","number":1234.50,"#));
    let property = notion.world.property_id(&notion.source, "Sum").unwrap();
    let path = format!("/v1/pages/{id}/properties/{property}?page_size=2");
    let first = notion.ask("GET", &path, "");
    assert_eq!(
        first.json["property_item"]["rollup"],
        json!({ "function": "show_original", "type": "incomplete", "incomplete": {} })
    );
    let last = notion.ask("GET", &format!("{path}&start_cursor={}", first.cursor()), "");
    assert_eq!(last.json["property_item"]["rollup"]["type"], "array");
    assert_eq!(last.json["results"][0]["number"], 2);
    let title = notion.ask("GET", &format!("/v1/pages/{id}/properties/title"), "");
    assert_eq!(title.json["results"][0]["title"]["plain_text"], "a");
    assert_eq!(notion.ask("GET", &format!("/v1/pages/{id}/properties/nope"), "").status, 404);
}

#[test]
fn a_page_counts_25_references_and_the_property_endpoint_all_of_them() {
    let mut notion = Notion::new();
    let (_, parts) = notion.world.add_table("Parts");
    let part = |number: u32| NewRow::titled(&format!("part {number}")).set("Hours", Value::number(number));
    let ids: Vec<String> = (1..=130).map(|number| notion.world.add_row(&parts, part(number)).unwrap()).collect();
    notion.world.relate(&notion.source, "Parts", &parts).unwrap();
    for function in ["sum", "show_original", "median"] {
        notion.world.add_rollup(&notion.source, function, ("Parts", "Hours"), function).unwrap();
    }
    notion.world.add_formula(&notion.source, "How many", Formula::Length("Parts")).unwrap();
    notion.world.add_formula(&notion.source, "Total", Formula::Number("sum")).unwrap();
    let id = notion.add(NewRow::titled("a").set("Parts", Value::relation(&ids)));
    let page = notion.page(&id).json["properties"].clone();
    assert_eq!(page["sum"]["rollup"], json!({ "type": "number", "number": 325, "function": "sum" }));
    assert_eq!(page["median"]["rollup"]["number"], 13);
    assert_eq!(page["show_original"]["rollup"]["array"][24], json!({ "type": "number", "number": 25 }));
    assert_eq!(page["show_original"]["rollup"]["array"].as_array().unwrap().len(), 25);
    assert_eq!(page["How many"]["formula"], json!({ "type": "number", "number": 25 }));
    assert_eq!(page["Total"]["formula"]["number"], 325);
    let mut ask = |name: &str, cursor: Option<String>| {
        let property = notion.world.property_id(&notion.source, name).unwrap();
        let cursor = cursor.map(|cursor| format!("?start_cursor={cursor}")).unwrap_or_default();
        notion.ask("GET", &format!("/v1/pages/{id}/properties/{property}{cursor}"), "")
    };
    let first = ask("sum", None);
    assert_eq!(first.json["results"][99]["type"], "relation");
    assert_eq!(
        first.json["property_item"]["rollup"],
        json!({ "type": "incomplete", "incomplete": {}, "function": "sum" })
    );
    assert!(first.json["property_item"]["next_url"].as_str().unwrap().contains(&first.cursor()));
    let last = ask("sum", Some(first.cursor()));
    assert_eq!(last.json["has_more"], false);
    assert_eq!(last.json["property_item"]["rollup"], json!({ "type": "number", "number": 8515, "function": "sum" }));
    let shown = ask("show_original", None);
    assert_eq!(shown.json["results"][99]["number"], 100);
    assert_eq!(shown.json["property_item"]["rollup"]["array"], json!([]));
    let median = ask("median", None);
    assert_eq!(median.json["property_item"]["rollup"]["type"], "unsupported");
    assert_eq!(ask("How many", None).json["formula"]["number"], 130);
    assert_eq!(ask("Total", None).json["formula"]["number"], 8515);
    let source = notion.ask("GET", &format!("/v1/data_sources/{}", notion.source), "").json["properties"].clone();
    let decoded = |name: &str| percent_decoded(source[name]["id"].as_str().unwrap(), false);
    assert_eq!(source["sum"]["rollup"]["relation_property_id"], decoded("Parts").as_str());
    assert_eq!(source["sum"]["rollup"]["rollup_property_name"], "Hours");
    assert_eq!(source["How many"]["formula"]["expression"], "prop(\"Parts\").length()");
}
