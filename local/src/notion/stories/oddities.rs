//! Behaviour of Notion that no documentation promises: recorded answers first, reported ones after.

use super::super::settings::ItemLists;
use super::super::value::{Person, Value};
use super::super::world::{Destination, ParentShown};
use super::super::{CannedAnswer, ScriptedAnswer};
use super::*;

/// The people of one recorded text table, and a row of nobody.
fn people() -> Notion {
    let mut notion = Notion::new();
    notion.add(NewRow::titled(""));
    for (first, link) in [("John", "https://john.doe.com"), ("Jane", "https://jane.doe.de")] {
        let mail = format!("{}.doe@example.com", first.to_lowercase());
        let row = NewRow::titled(first).set("Name of all", Value::text(&format!("{first} Doe")));
        let row = row.set("URL", Value::Url(Some(link.to_owned()))).set("Email", Value::Email(Some(mail)));
        notion.add(row.set("Phone", Value::PhoneNumber(Some("123-456-7890".to_owned()))).set("Age", Value::number(42)));
    }
    notion
}

#[test]
fn text_conditions_ignore_case_work_on_every_text_and_keep_empty_values() {
    let mut notion = people();
    for (property, condition, found) in [
        ("URL", json!({ "rich_text": { "contains": "Doe" } }), vec!["Jane", "John"]),
        ("Email", json!({ "rich_text": { "starts_with": "John" } }), vec!["John"]),
        ("Email", json!({ "email": { "does_not_contain": "Doe" } }), vec![""]),
        ("Phone", json!({ "rich_text": { "is_empty": true } }), vec![""]),
        ("title", json!({ "rich_text": { "equals": "jane" } }), vec!["Jane"]),
        ("Name of all", json!({ "rich_text": { "ends_with": "doe" } }), vec!["Jane", "John"]),
        ("Name of all", json!({ "rich_text": { "does_not_equal": "John Doe" } }), vec!["Jane", ""]),
        ("Age", json!({ "number": { "does_not_equal": 42 } }), vec![""]),
        ("Age", json!({ "number": { "less_than": 43 } }), vec!["Jane", "John"]),
    ] {
        let filter = with(condition, "property", json!(property));
        assert_eq!(notion.titles(&json!({ "filter": filter.clone() })), found, "newest first: {filter}");
    }
}

#[test]
fn an_id_of_the_other_kind_is_refused_in_words() {
    let mut notion = Notion::new().with_rows(1);
    let row = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let asked = notion.ask("GET", &format!("/v1/databases/{row}"), "");
    let words = format!("Provided ID {row} is a page, not a database. Use the retrieve page API instead.");
    assert_eq!((asked.status, asked.code(), asked.message()), (400, "validation_error", words.as_str()));
    let path = format!("/v1/pages/{}", notion.database);
    assert!(notion.ask("GET", &path, "").message().contains("is a database, not a page"));
    notion.world.turn_into_database(&row).unwrap();
    let turned = notion.page(&row);
    assert_eq!((turned.status, turned.code()), (400, "validation_error"));
    assert!(turned.message().contains("is a database, not a page. Use the retrieve database API instead."));
    assert!(notion.titles(&json!({})).is_empty());
}

#[test]
fn users_are_read_by_id() {
    let mut notion = Notion::new();
    let ada = Person::named("Ada Lovelace");
    notion.add(NewRow::titled("a").set("Owner", Value::People(vec![ada.clone()])));
    let answer = notion.ask("GET", &format!("/v1/users/{}", ada.id), "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let keys = super::super::json::keys(&answer.text);
    assert_eq!(keys, ["object", "id", "name", "avatar_url", "type", "person", "request_id"]);
    let path = "/v1/users/745e79dd-3e43-40de-9d51-39357c1c428f";
    let nobody = notion.ask("GET", path, "");
    assert_eq!((nobody.status, nobody.code()), (404, "object_not_found"));
    assert!(nobody.message().ends_with("only members and guests in the integration's workspace are visible."));
}

#[test]
fn before_2026_03_11_archived_stands_last() {
    let mut notion = Notion::new().with_rows(1);
    let row = notion.world.row_ids(&notion.source).unwrap().remove(0);
    for path in [
        format!("/v1/pages/{row}"),
        format!("/v1/data_sources/{}", notion.source),
        format!("/v1/databases/{}", notion.database),
    ] {
        let old = notion.ask_version("GET", &path, "", "2025-09-03");
        let end = r#""archived":false,"request_id":"#;
        assert!(old.text.contains(end), "{path}: {}", old.text);
        assert!(notion.ask("GET", &path, "").json.get("archived").is_none());
    }
}

#[test]
fn a_walk_may_hold_an_empty_page_and_name_a_cursor_beside_its_end() {
    let mut notion = Notion::new().with_rows(5);
    notion.world.settings_mut().empty_page = Some(2);
    notion.world.settings_mut().cursor_beside_the_end = true;
    let mut body = with(oldest_first(), "page_size", json!(2));
    let (mut pages, mut cursors) = (Vec::new(), Vec::new());
    loop {
        let page = notion.query(&body);
        pages.push(page.titles().len());
        cursors.push(page.cursor());
        if page.json["has_more"] == false {
            break;
        }
        body["start_cursor"] = page.json["next_cursor"].clone();
    }
    assert_eq!(pages, [2, 0, 2, 1]);
    assert!(!cursors[3].is_empty() && cursors[0] != cursors[1], "{cursors:?}");
}

#[test]
fn a_list_of_items_may_be_empty_or_of_another_property() {
    let mut notion = Notion::new();
    let ids = (0..30).map(|number| uuid::Uuid::from_u128(number).to_string());
    let row = notion.add(NewRow::titled("a").set("Parts", Value::relation(ids)));
    let id = notion.world.property_id(&notion.source, "Parts").unwrap();
    let path = format!("/v1/pages/{row}/properties/{id}");
    notion.world.settings_mut().item_lists = ItemLists::Empty;
    let empty = notion.ask("GET", &path, "");
    assert_eq!((&empty.json["results"], &empty.json["has_more"]), (&json!([]), &json!(false)));
    notion.world.settings_mut().item_lists = ItemLists::OfAnotherProperty;
    let other = notion.ask("GET", &path, "");
    assert_eq!(other.json["results"].as_array().unwrap().len(), 30);
    assert_ne!(other.json["results"][0]["id"], json!(id));
}

#[test]
fn parents_come_in_odd_shapes_and_data_sources_move_house() {
    let mut notion = Notion::new().with_rows(1);
    let row = notion.world.row_ids(&notion.source).unwrap().remove(0);
    for (shown, parent) in [
        (ParentShown::Missing, None),
        (ParentShown::Null, Some(Json::Null)),
        (ParentShown::WithoutId, Some(json!({ "type": "data_source_id" }))),
    ] {
        notion.world.show_parent(&row, shown).unwrap();
        assert_eq!(notion.page(&row).json.get("parent"), parent.as_ref(), "{shown:?}");
    }
    notion.world.show_parent(&row, ParentShown::AsItIs).unwrap();
    let other = notion.world.add_database("Other");
    notion.world.move_data_source(&notion.source, &other).unwrap();
    assert_eq!(notion.page(&row).json["parent"]["database_id"], json!(other));
    let left = notion.ask("GET", &format!("/v1/databases/{}", notion.database), "");
    assert_eq!(left.json["data_sources"], json!([]));
    notion.world.list_data_sources(&other, false).unwrap();
    assert_eq!(notion.ask("GET", &format!("/v1/databases/{other}"), "").json["data_sources"], json!([]));
    let agent = "5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f";
    notion.world.move_row(&row, &Destination::Agent(agent.to_owned())).unwrap();
    assert_eq!(notion.page(&row).json["parent"], json!({ "type": "agent_id", "agent_id": agent }));
}

#[test]
fn the_edge_answers_in_html_without_a_code() {
    let mut notion = Notion::new();
    for status in [403, 404, 429, 520, 524, 530] {
        notion.world.script_answer(ScriptedAnswer::next(CannedAnswer::Edge { status }));
        let answer = notion.query(&json!({}));
        assert_eq!((answer.status, &answer.json), (status, &Json::Null));
        assert!(answer.text.starts_with("<!DOCTYPE html>"));
    }
}
