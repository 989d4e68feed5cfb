//! Archive, trash, delete, unshare, move; databases that gain and lose data sources; wikis and partial rows.

use serde_json::json;

use super::super::world::{Destination, RowEdit, SignedUrls};
use super::*;

#[test]
fn an_archived_row_is_in_the_other_partition_and_a_trashed_one_in_none() {
    let mut notion = Notion::new().with_rows(3);
    let ids = notion.world.row_ids(&notion.source).unwrap();
    notion.world.archive(&ids[0]).unwrap();
    notion.world.trash(&ids[1]).unwrap();
    let archived = with(oldest_first(), "is_archived", json!(true));
    assert_eq!(notion.titles(&oldest_first()), ["Row 3"]);
    assert_eq!(notion.titles(&archived), ["Row 1"]);
    let trashed = notion.page(&ids[1]);
    assert_eq!((trashed.status, &trashed.json["in_trash"]), (200, &json!(true)));
    assert_eq!(notion.page(&ids[0]).json["is_archived"], true);
    notion.world.unarchive(&ids[0]).unwrap();
    notion.world.restore(&ids[1]).unwrap();
    assert_eq!(notion.titles(&oldest_first()).len(), 3);
    assert!(notion.titles(&archived).is_empty());
}

#[test]
fn deleted_and_unshared_rows_look_the_same() {
    let mut notion = Notion::new().with_rows(3);
    let ids = notion.world.row_ids(&notion.source).unwrap();
    notion.world.delete_for_good(&ids[0]).unwrap();
    notion.world.unshare(&ids[1]).unwrap();
    for id in &ids[..2] {
        let answer = notion.page(id);
        assert_eq!((answer.status, answer.code()), (404, "object_not_found"));
        assert!(answer.message().starts_with(&format!("Could not find page with ID: {id}.")));
    }
    assert_eq!(notion.titles(&oldest_first()), ["Row 3"]);
    notion.world.share(&ids[1]).unwrap();
    assert_eq!(notion.titles(&oldest_first()), ["Row 2", "Row 3"]);
}

#[test]
fn a_moved_row_keeps_its_time_and_changes_its_parent() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let other = notion.world.add_data_source(&notion.database, "Second").unwrap();
    notion.world.move_row(&id, &Destination::DataSource(other.clone())).unwrap();
    let moved = notion.page(&id);
    assert_eq!(moved.json["parent"]["data_source_id"], other);
    assert_eq!(moved.json["last_edited_time"], "2026-11-01T09:00:00.000Z");
    assert!(notion.titles(&oldest_first()).is_empty());
    let page = "00000000-0000-4000-8000-000000000001";
    notion.world.move_row(&id, &Destination::Page(page.to_owned())).unwrap();
    let outside = notion.page(&id);
    assert_eq!(outside.json["parent"], json!({ "type": "page_id", "page_id": page }));
    assert_eq!(outside.json["properties"]["title"]["title"][0]["plain_text"], "Row 1");
    notion.world.move_row(&id, &Destination::DataSource(notion.source.clone())).unwrap();
    assert_eq!(notion.titles(&oldest_first()), ["Row 1"]);
}

#[test]
fn a_database_gains_and_loses_data_sources_while_it_runs() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let path = format!("/v1/databases/{}", notion.database);
    let second = notion.world.add_data_source(&notion.database, "Second").unwrap();
    let sources = notion.ask("GET", &path, "").json["data_sources"].clone();
    assert_eq!(sources, json!([{ "id": notion.source, "name": "Projects" }, { "id": second, "name": "Second" }]));
    let old = notion.ask_version("GET", &path, "", "2022-06-28");
    assert_eq!(old.message(), "Databases with multiple data sources are not supported in this API version.");
    assert_eq!(old.json["additional_data"]["child_data_source_ids"], json!([notion.source, second]));
    notion.world.trash_data_source(&notion.source, true).unwrap();
    assert_eq!(notion.page(&id).json["in_trash"], true);
    assert_eq!(notion.query(&json!({})).status, 404);
    notion.world.remove_data_source(&notion.source).unwrap();
    assert_eq!(notion.page(&id).status, 404);
    assert_eq!(notion.ask("GET", &path, "").json["data_sources"].as_array().unwrap().len(), 1);
    assert_eq!(notion.ask("GET", &format!("/v1/data_sources/{}", notion.source), "").status, 404);
}

#[test]
fn an_unshared_database_takes_everything_with_it() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    notion.world.share_database(&notion.database, false).unwrap();
    let database = notion.ask("GET", &format!("/v1/databases/{}", notion.database), "");
    assert!(database.message().starts_with("Could not find database with ID"));
    assert!(notion.query(&json!({})).message().starts_with("Could not find data_source with ID"));
    assert_eq!(notion.page(&id).status, 404);
    assert!(notion.world.expected(&notion.database, SignedUrls::AsServed).unwrap().is_empty());
}

#[test]
fn a_wiki_shows_data_sources_beside_pages_unless_asked_for_pages() {
    let mut notion = Notion::new().with_rows(1);
    let (_, child) = notion.world.add_table("Child");
    notion.world.add_wiki_data_source(&notion.source, &child).unwrap();
    let all = notion.query(&json!({}));
    let kinds: Vec<&str> =
        all.json["results"].as_array().unwrap().iter().map(|row| row["object"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["data_source", "page"]);
    assert_eq!(notion.titles(&oldest_first()), ["Row 1"]);
    assert_eq!(notion.page(&child).status, 404);
}

#[test]
fn a_partial_row_has_nothing_but_its_id() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    notion.world.set_partial(&id, true).unwrap();
    assert_eq!(notion.query(&json!({})).json["results"], json!([{ "object": "page", "id": id }]));
    assert!(notion.world.expected(&notion.database, SignedUrls::AsServed).unwrap()[0].partial);
}

#[test]
fn patches_edit_archive_and_trash_but_not_what_is_in_the_trash() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    notion.world.edit_row(&id, RowEdit::new().set("Status", super::super::Value::status("Open"))).unwrap();
    let path = format!("/v1/pages/{id}");
    let body = r#"{"properties":{"Status":{"status":{"name":"Done"}},"title":{"title":[{"text":{"content":"New"}}]}}}"#;
    let edited = notion.ask("PATCH", &path, body);
    assert_eq!(edited.status, 200, "{}", edited.text);
    assert_eq!(edited.json["properties"]["Status"]["status"]["name"], "Done");
    assert_eq!(edited.json["properties"]["Name"]["title"][0]["plain_text"], "New");
    assert_eq!(edited.json["last_edited_time"], "2026-11-22T13:00:00.000Z");
    assert_eq!(notion.ask("PATCH", &path, r#"{"is_archived":true}"#).json["is_archived"], true);
    assert_eq!(notion.ask("PATCH", &path, r#"{"in_trash":true}"#).json["in_trash"], true);
    assert_eq!(notion.ask("PATCH", &path, body).code(), "validation_error");
    assert_eq!(notion.ask("PATCH", &path, r#"{"in_trash":false}"#).json["in_trash"], false);
    for (refused, message) in [
        (r#"{"archived":true}"#, "body failed validation: body.archived should be not present, instead was `true`."),
        (r#"{"properties":{"Nope":{"number":1}}}"#, "Nope is not a property that exists."),
        (r#"{"properties":{"Status":{"select":{"name":"x"}}}}"#, "Status is expected to be status."),
    ] {
        assert_eq!(notion.ask("PATCH", &path, refused).message(), message);
    }
}
