//! Over real HTTP: headers, gzip, the limiter, the control interface, and the end of the server.

use std::time::Duration;

use serde_json::json;

use super::super::settings::RequestLimit;
use super::super::{CannedAnswer, NotionEmulator, ScriptedAnswer};
use super::*;

fn client() -> reqwest::Client {
    reqwest::Client::new()
}

async fn started() -> NotionEmulator {
    NotionEmulator::start("127.0.0.1:0".parse().unwrap(), Settings::default()).await.unwrap()
}

async fn me(client: &reqwest::Client, emulator: &NotionEmulator) -> reqwest::Response {
    let request = client.get(format!("{}/v1/users/me", emulator.base_url()));
    request.bearer_auth(DEFAULT_TOKEN).header("Notion-Version", "2026-03-11").send().await.unwrap()
}

async fn control(emulator: &NotionEmulator, method: reqwest::Method, path: &str, body: Json) -> Json {
    let url = format!("{}/control/{path}", emulator.base_url());
    let answer = client().request(method, url).body(body.to_string()).send().await.unwrap();
    let (status, json) = (answer.status(), answer.json::<Json>().await.unwrap());
    assert!(status.is_success(), "{path}: {json}");
    json
}

#[tokio::test]
async fn answers_carry_notions_headers_and_no_length() {
    let emulator = started().await;
    for gzip in [false, true] {
        emulator.workspace(|world| world.settings_mut().gzip = gzip);
        let answer = me(&client(), &emulator).await;
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("application/json; charset=utf-8"));
        assert_eq!(header("server").as_deref(), Some("cloudflare"));
        assert_eq!(header("content-length"), None);
        assert!(header("cf-ray").is_some());
        let id = header("x-notion-request-id").unwrap();
        assert_eq!(answer.json::<Json>().await.unwrap()["request_id"], id);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn the_limiter_names_the_seconds_in_header_and_body() {
    let emulator = started().await;
    emulator.workspace(|world| {
        world.settings_mut().request_limit = Some(RequestLimit { requests: 2, ..RequestLimit::DOCUMENTED });
    });
    let client = client();
    assert_eq!(me(&client, &emulator).await.status(), 200);
    assert_eq!(me(&client, &emulator).await.status(), 200);
    let limited = me(&client, &emulator).await;
    assert_eq!(limited.status(), 429);
    let seconds = limited.headers()["retry-after"].to_str().unwrap().to_owned();
    assert!((1..=60).contains(&seconds.parse::<u32>().unwrap()));
    let body = limited.json::<Json>().await.unwrap();
    assert_eq!(
        body["additional_data"],
        json!({ "rate_limit_reason": "public_api_request_rate_limit", "retry_after": seconds })
    );
}

#[tokio::test]
async fn scripted_answers_come_instead_of_the_truth_and_are_logged() {
    let emulator = started().await;
    emulator.workspace(|world| {
        world.script_answer(ScriptedAnswer::next(CannedAnswer::BadGatewayHtml));
        world.script_answer(ScriptedAnswer::next(CannedAnswer::Overloaded { retry_after_seconds: Some(2) }));
    });
    let client = client();
    let html = me(&client, &emulator).await;
    assert_eq!(html.headers()["content-type"], "text/html; charset=UTF-8");
    assert!(html.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let overloaded = me(&client, &emulator).await;
    assert_eq!((overloaded.status().as_u16(), overloaded.headers()["retry-after"].to_str().unwrap()), (529, "2"));
    assert_eq!(me(&client, &emulator).await.status(), 200);
    let statuses: Vec<u16> = emulator.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [502, 529, 200]);
    emulator.clear_requests();
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_whole_life_over_the_control_interface() {
    use reqwest::Method;
    let emulator = started().await;
    let table = json!({ "name": "Risks", "data_source": "Risks" });
    let made = control(&emulator, Method::POST, "databases", table).await;
    let (database, source) = (made["database_id"].as_str().unwrap(), made["data_source_id"].as_str().unwrap());
    let row = json!({ "title": "Fire", "properties": { "Odds": { "number": 0.5 }, "Strange": { "quantum": [1] } },
        "created_time": "2026-01-02T03:04:05.678Z" });
    let added = control(&emulator, Method::POST, &format!("data_sources/{source}/rows"), row).await;
    let id = added["ids"][0].as_str().unwrap();
    let many = json!({ "title": "More", "count": 3 });
    control(&emulator, Method::POST, &format!("data_sources/{source}/rows"), many).await;
    let listed = control(&emulator, Method::GET, &format!("data_sources/{source}/rows"), json!({})).await;
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert_eq!(listed[0]["created_time"], "2026-01-02T03:04:05.678Z");
    control(&emulator, Method::PATCH, &format!("rows/{id}"), json!({ "title": "Flood" })).await;
    for action in ["archive", "unarchive", "trash", "restore", "unshare", "share", "partial", "whole", "archive"] {
        control(&emulator, Method::POST, &format!("rows/{id}/{action}"), json!({})).await;
    }
    let expected = control(&emulator, Method::GET, &format!("databases/{database}/expected"), json!({})).await;
    assert_eq!(expected[0]["is_archived"], true);
    let payload = expected[0]["payload"].as_str().unwrap();
    assert!(payload.contains("Flood") && payload.contains(r#""type":"quantum","quantum":[1]}"#), "{payload}");
    let second =
        control(&emulator, Method::POST, &format!("databases/{database}/data_sources"), json!({ "name": "Old" })).await;
    control(&emulator, Method::POST, &format!("rows/{id}/move"), json!({ "data_source_id": second["data_source_id"] }))
        .await;
    let hook = json!({ "after_requests": 1, "steps": [
        { "method": "DELETE", "path": format!("/control/rows/{id}") },
        { "method": "POST", "path": "/control/token", "body": { "token": "ntn_new" } }
    ] });
    control(&emulator, Method::POST, "hooks", hook).await;
    let client = client();
    assert_eq!(me(&client, &emulator).await.status(), 200);
    assert_eq!(me(&client, &emulator).await.status(), 401);
    let databases = control(&emulator, Method::GET, "databases", json!({})).await;
    assert_eq!(databases[0]["data_sources"][1]["rows"], 0);
    let settings = control(&emulator, Method::PATCH, "settings", json!({ "result_cap": 25 })).await;
    assert_eq!((&settings["result_cap"], settings.get("tokens")), (&json!(25), None));
    assert_eq!(emulator.workspace(|world| world.settings().tokens.clone()), ["ntn_new"]);
    control(&emulator, Method::POST, "answers", json!({ "answer": { "rate_limited": { "reason": "x" } } })).await;
    assert_eq!(me(&client, &emulator).await.status(), 429);
    let clock = control(&emulator, Method::POST, "clock", json!({ "now": "2026-11-22T13:00:00Z" })).await;
    assert_eq!(clock["now"], "2026-11-22T13:00:00Z");
    assert_eq!(control(&emulator, Method::GET, "requests", json!({})).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_control_interface_says_what_is_wrong() {
    let emulator = started().await;
    let url = format!("{}/control", emulator.base_url());
    for (path, body, status) in [
        ("nothing", "{}", 404),
        ("databases", r#"{"nam":"x"}"#, 400),
        ("data_sources/38c9ce7b-60a4-8100-8000-000000000000/rows", "{}", 400),
        ("clock", "{}", 400),
    ] {
        let answer = client().post(format!("{url}/{path}")).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(!answer.json::<Json>().await.unwrap()["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_emulator_that_ends_listens_no_more() {
    for stopped in [true, false] {
        let emulator = started().await;
        let url = format!("{}/control/clock", emulator.base_url());
        assert!(client().get(&url).send().await.is_ok());
        if stopped {
            emulator.stop().await;
        } else {
            drop(emulator);
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while client().get(&url).send().await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "still listening");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
