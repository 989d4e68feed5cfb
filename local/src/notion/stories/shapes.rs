//! Shapes, key orders and errors, against samples of our own modelled on recorded traffic.

use serde_json::json;

use super::super::value::{DateRange, File, Person, Value};
use super::super::world::{Icon, RowEdit, SignedUrls};
use super::*;

/// Replaces ids that differ from run to run.
fn without(text: &str, names: &[(&str, &str)]) -> String {
    names.iter().fold(text.to_owned(), |text, (id, name)| {
        text.replace(id, name).replace(&id.replace('-', ""), &format!("{name}-undashed"))
    })
}

fn request_id(answer: &Answered) -> String {
    answer.json["request_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_query_answer_has_the_recorded_keys_in_the_recorded_order() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let bot = notion.world.bot_id().to_string();
    let answer = notion.query(&json!({ "page_size": 100 }));
    let text = without(
        &answer.text,
        &[
            (&id, "PAGE"),
            (&notion.source, "SOURCE"),
            (&notion.database, "DATABASE"),
            (&bot, "BOT"),
            (&request_id(&answer), "REQUEST"),
        ],
    );
    assert_eq!(
        text,
        concat!(
            r#"{"object":"list","results":[{"object":"page","id":"PAGE","created_time":"2026-11-01T09:00:00.000Z","#,
            r#""last_edited_time":"2026-11-01T09:00:00.000Z","created_by":{"object":"user","id":"BOT"},"#,
            r#""last_edited_by":{"object":"user","id":"BOT"},"cover":null,"icon":null,"#,
            r#""parent":{"type":"data_source_id","data_source_id":"SOURCE","database_id":"DATABASE"},"#,
            r#""in_trash":false,"is_archived":false,"is_locked":false,"properties":{"Name":{"id":"title","#,
            r#""type":"title","title":[{"type":"text","text":{"content":"Row 1","link":null},"#,
            r#""annotations":{"bold":false,"italic":false,"strikethrough":false,"underline":false,"code":false,"#,
            r#""color":"default"},"plain_text":"Row 1","href":null}]}},"#,
            r#""url":"https://app.notion.com/p/Row-1-PAGE-undashed","public_url":null}],"#,
            r#""next_cursor":null,"has_more":false,"type":"page_or_data_source","page_or_data_source":{},"#,
            r#""request_id":"REQUEST"}"#
        )
    );
}

#[test]
fn get_adds_the_request_id_to_the_page_itself() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let expected = notion.world.expected(&notion.database, SignedUrls::AsServed).unwrap().remove(0).payload;
    assert!(notion.query(&json!({})).text.contains(&expected));
    let got = notion.page(&id);
    assert_eq!(
        got.text,
        format!(
            "{},\"request_id\":\"{}\"}}",
            expected.trim_end_matches('}').to_owned() + closing(&expected),
            request_id(&got)
        )
    );
}

/// The closing braces of a text but the last one.
fn closing(text: &str) -> &str {
    let braces = text.len() - text.trim_end_matches('}').len();
    &"}}}}}}}}"[..braces - 1]
}

#[test]
fn a_database_and_a_data_source_look_as_recorded() {
    let mut notion = Notion::new();
    let root = notion.world.root_page_id().to_string();
    let database = notion.ask("GET", &format!("/v1/databases/{}", notion.database), "");
    let names = |answer: &Answered| {
        without(
            &answer.text,
            &[
                (&notion.source, "SOURCE"),
                (&notion.database, "DATABASE"),
                (&root, "ROOT"),
                (&request_id(answer), "REQUEST"),
            ],
        )
    };
    let title = concat!(
        r#""title":[{"type":"text","text":{"content":"Projects","link":null},"annotations":{"bold":false,"#,
        r#""italic":false,"strikethrough":false,"underline":false,"code":false,"color":"default"},"#,
        r#""plain_text":"Projects","href":null}],"description":[],"#
    );
    assert_eq!(
        names(&database),
        [
            r#"{"object":"database","id":"DATABASE","#,
            title,
            r#""parent":{"type":"page_id","page_id":"ROOT"},"is_inline":false,"in_trash":false,"is_locked":false,"#,
            r#""created_time":"2026-11-22T13:00:20.500+00:00","last_edited_time":"2026-11-22T13:00:20.500+00:00","#,
            r#""data_sources":[{"id":"SOURCE","name":"Projects"}],"icon":null,"cover":null,"#,
            r#""url":"https://app.notion.com/p/DATABASE-undashed","public_url":null,"request_id":"REQUEST"}"#,
        ]
        .concat()
    );
    let path = format!("/v1/data_sources/{}", notion.source);
    let source = notion.ask("GET", &path, "");
    let keys: Vec<String> = super::super::json::keys(&source.text);
    assert_eq!(
        keys,
        [
            "object",
            "id",
            "cover",
            "icon",
            "created_time",
            "created_by",
            "last_edited_by",
            "last_edited_time",
            "title",
            "description",
            "is_inline",
            "properties",
            "parent",
            "database_parent",
            "url",
            "public_url",
            "in_trash",
            "request_id"
        ]
    );
    assert_eq!(source.json["created_time"], "2026-11-22T13:00:00.000Z");
    assert_eq!(source.json["parent"], json!({ "type": "database_id", "database_id": notion.database }));
}

#[test]
fn me_is_a_bot() {
    let mut notion = Notion::new();
    let me = notion.ask("GET", "/v1/users/me", "");
    assert_eq!(super::super::json::keys(&me.text), ["object", "id", "name", "avatar_url", "type", "bot", "request_id"]);
    assert_eq!(me.json["bot"]["owner"], json!({ "type": "workspace", "workspace": true }));
}

#[test]
fn values_look_as_recorded() {
    let mut notion = Notion::new();
    let id = notion.add(
        NewRow::titled("All")
            .set("Number", Value::Number(None))
            .set("Price", Value::number("1.10"))
            .set("Done", Value::Checkbox(true))
            .set("Tags", Value::multi_select(&["a"]))
            .set("Due", Value::Date(Some(DateRange { start: "2026-07-25T16:57:00.000+00:00".to_owned(), end: None })))
            .set("Who", Value::People(vec![Person::named("Ada Lovelace")]))
            .set("Files", Value::Files(vec![File::External { name: "f".to_owned(), url: "https://e.x/f".to_owned() }]))
            .set("Maker", Value::CreatedBy)
            .set("Made", Value::CreatedTime)
            .set("Sum", Value::rollup(r#"{"type":"number","number":42,"function":"sum"}"#))
            .set("Calc", Value::unsupported_formula())
            .set("No", Value::unique_id(Some("RISK"), 7))
            .set("Link", Value::Url(None))
            .emoji("🐞"),
    );
    notion.world.set_property_id(&notion.source, "Price", "%3AJ%7B%3A").unwrap();
    let page = notion.page(&id);
    assert_eq!(page.json["icon"], json!({ "type": "emoji", "emoji": "🐞" }));
    for part in [
        r#""Price":{"id":"%3AJ%7B%3A","type":"number","number":1.10}"#,
        r#""type":"number","number":null}"#,
        r#""type":"checkbox","checkbox":true}"#,
        r#""date":{"start":"2026-07-25T16:57:00.000+00:00","end":null,"time_zone":null}}"#,
        r#""name":"Ada Lovelace","avatar_url":null,"type":"person","person":{"email":"ada.lovelace@example.com"}}]}"#,
        r#""files":[{"name":"f","type":"external","external":{"url":"https://e.x/f"}}]}"#,
        r#""created_time":"2026-11-22T13:00:00.000Z"}"#,
        r#""type":"rollup","rollup":{"type":"number","number":42,"function":"sum"}}"#,
        r#""type":"formula","formula":{"type":"unsupported","unsupported":{}}}"#,
        r#""unique_id":{"prefix":"RISK","number":7}}"#,
        r#""type":"url","url":null}"#,
    ] {
        assert!(page.text.contains(part), "{part} is not in {}", page.text);
    }
    let names = super::super::raw::properties(&page.json["properties"].to_string());
    assert_eq!(names.len(), 14);
    assert!(
        page.text.contains(r#""Name":{"id":"title","type":"title","title":[{"type":"text","text":{"content":"All""#)
    );
}

#[test]
fn planted_texts_are_served_byte_for_byte() {
    let mut notion = Notion::new();
    let planted = "{ \"Name\" : {\"id\":\"title\",\"type\":\"title\",\"title\":[]},\n\t\"N\":{\"id\":\"abcd\",\"type\":\"number\",\"number\":1.10},\"N\":{\"number\":1e3},\"Big\":12345678901234567890,\"Z\":\"\\u0000\\ud800\"}";
    let whole = notion.add(NewRow::default().raw_properties(planted));
    let single = r#"{"id":"xy%7Bz","type":"number", "number":-0.10e+05}"#;
    let part = notion.add(NewRow::titled("t").set("Odd", Value::Raw(single.to_owned())));
    let huge = format!("{{\"T\":\"{}\"}}", "ü\\\\\"".repeat(3));
    notion.add(NewRow::default().raw_properties(format!("{{\"X\":{huge},\"Y\":\"{}\"}}", "x".repeat(3_000_000))));
    let answer = notion.query(&oldest_first());
    assert!(answer.text.contains(&format!("\"properties\":{planted},\"url\"")));
    assert!(answer.text.contains(&format!("\"Odd\":{single}")));
    assert!(answer.text.len() > 3_000_000);
    assert!(notion.page(&whole).text.contains(planted));
    assert_eq!(notion.world.property_id(&notion.source, "Odd").unwrap(), "xy%7Bz");
    for row in notion.world.expected(&notion.database, SignedUrls::AsServed).unwrap() {
        assert!(answer.text.contains(&row.payload));
    }
    notion.world.edit_row(&part, RowEdit::new().raw_properties("not even JSON")).unwrap();
    assert!(notion.page(&part).text.contains("\"properties\":not even JSON,\"url\""));
}

#[test]
fn only_the_properties_asked_for_come_and_all_top_level_keys_stay() {
    let mut notion = Notion::new();
    notion.add(NewRow::titled("a").set("Price", Value::number(1)));
    let planted =
        r#"{"Price":{"id":"abcd","type":"number","number":1.10},"Name":{"id":"title","type":"title","title":[ ]}}"#;
    notion.add(NewRow::default().raw_properties(planted));
    let path = format!("/v1/data_sources/{}/query?filter_properties%5B%5D=title", notion.source);
    let answer = notion.ask("POST", &path, "{}");
    for row in answer.json["results"].as_array().unwrap() {
        assert_eq!(row["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["Name"]);
        assert!(row["public_url"].is_null() && row["url"].is_string());
    }
    assert!(answer.text.contains(r#""title":[ ]"#));
    let path = format!("/v1/data_sources/{}/query?filter_properties[]=nope", notion.source);
    assert_eq!(notion.ask("POST", &path, "{}").message(), "Could not find property with name or id: nope");
}

#[test]
fn signed_urls_differ_on_each_read_and_the_expectation_knows_the_last_one() {
    let mut notion = Notion::new();
    let file = || File::Uploaded { name: "plan 1.pdf".to_owned() };
    notion.add(NewRow::titled("a").set("Files", Value::Files(vec![file()])).icon(Icon::File(file())).cover(file()));
    let (first, second) = (notion.query(&json!({})), notion.query(&json!({})));
    assert_ne!(first.json["results"], second.json["results"]);
    let url = second.json["results"][0]["properties"]["Files"]["files"][0]["file"]["url"].as_str().unwrap().to_owned();
    assert!(url.contains("/plan%201.pdf?X-Amz-Algorithm="), "{url}");
    let expected = notion.world.expected(&notion.database, SignedUrls::AsServed).unwrap().remove(0);
    assert!(second.text.contains(&expected.payload));
    let bare = notion.world.expected(&notion.database, SignedUrls::LeftOut).unwrap().remove(0);
    assert!(!bare.payload.contains('?') && !bare.payload.contains("expiry_time"));
    notion.world.settings_mut().signed_urls_change = false;
    assert_eq!(notion.query(&json!({})).json["results"], notion.query(&json!({})).json["results"]);
}

#[test]
fn requests_are_refused_as_notion_refuses_them() {
    let mut notion = Notion::new();
    let query = format!("/v1/data_sources/{}/query", notion.source);
    for (method, path, body, status, message) in [
        (
            "GET",
            "/v1/pages/not-an-id",
            "",
            400,
            "path failed validation: path.page_id should be a valid uuid, instead was `\"not-an-id\"`.",
        ),
        (
            "GET",
            "/v1/pages/12345678-1234-1234-1234-123456789abc",
            "",
            400,
            "path failed validation: path.page_id should be a valid uuid, instead was `\"12345678-1234-1234-1234-123456789abc\"`.",
        ),
        ("GET", "/v1/nothing", "", 400, "Invalid request URL."),
        ("PUT", query.as_str(), "{}", 400, "Invalid request URL."),
        ("POST", query.as_str(), "{", 400, "Error parsing JSON body."),
        (
            "POST",
            query.as_str(),
            r#"{"colour":"red"}"#,
            400,
            "body failed validation: body.colour should be not present, instead was `\"red\"`.",
        ),
        (
            "POST",
            query.as_str(),
            r#"{"in_trash":true}"#,
            400,
            "body failed validation: body.in_trash should be not present, instead was `true`.",
        ),
        (
            "POST",
            query.as_str(),
            r#"{"page_size":101}"#,
            400,
            "body failed validation: body.page_size should be ≤ `100` or `undefined`, instead was `101`.",
        ),
        (
            "POST",
            query.as_str(),
            r#"{"page_size":0}"#,
            400,
            "body failed validation: body.page_size should be ≥ `1` or `undefined`, instead was `0`.",
        ),
        (
            "POST",
            query.as_str(),
            r#"{"start_cursor":null}"#,
            400,
            "body failed validation: body.start_cursor should be a string or `undefined`, instead was `null`.",
        ),
        (
            "POST",
            query.as_str(),
            r#"{"filter":{"timestamp":"created_time","property":"x","created_time":{"is_empty":true}}}"#,
            400,
            "body failed validation: body.filter.property should be not present, instead was `\"x\"`.",
        ),
    ] {
        let answer = notion.ask(method, path, body);
        assert_eq!((answer.status, answer.message()), (status, message), "{method} {path} {body}");
    }
    assert_eq!(notion.page("00000000-0000-0000-0000-000000000000").status, 404);
}

#[test]
fn a_token_and_a_version_are_needed() {
    let mut notion = Notion::new();
    let unversioned = Incoming {
        method: "GET".to_owned(),
        path: "/v1/users/me".to_owned(),
        token: Some(DEFAULT_TOKEN.to_owned()),
        ..Incoming::default()
    };
    assert!(api::answer(&mut notion.world, &unversioned).body.contains(r#""code":"missing_version""#));
    let stranger = Incoming { token: Some("ntn_other".to_owned()), ..unversioned };
    let refused = api::answer(&mut notion.world, &stranger);
    assert_eq!(refused.status, 401);
    notion.world.rotate_token("ntn_other");
    assert_eq!(api::answer(&mut notion.world, &stranger).status, 400);
    assert_eq!(notion.ask("GET", "/v1/users/me", "").status, 401);
}

#[test]
fn older_versions_have_archived_and_no_data_sources() {
    let mut notion = Notion::new().with_rows(1);
    let id = notion.world.row_ids(&notion.source).unwrap().remove(0);
    let page = notion.ask_version("GET", &format!("/v1/pages/{id}"), "", "2025-09-03");
    assert_eq!(page.json["archived"], false);
    assert!(notion.page(&id).json.get("archived").is_none());
    let path = format!("/v1/data_sources/{}/query", notion.source);
    assert_eq!(notion.ask_version("POST", &path, "{}", "2022-06-28").code(), "invalid_request_url");
    let path = format!("/v1/databases/{}/query", notion.database);
    let old = notion.ask_version("POST", &path, "{}", "2022-06-28");
    assert_eq!(old.json["results"][0]["parent"], json!({ "type": "database_id", "database_id": notion.database }));
    assert!(notion.ask_version("GET", "/v1/users/me", "", "2024-01-01").message().contains("2026-03-11"));
}
