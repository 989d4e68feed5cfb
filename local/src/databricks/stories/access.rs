//! Tokens, refused requests, and the shapes of API errors.

use serde_json::json;

use super::*;

#[tokio::test]
async fn missing_wrong_and_rotated_tokens_get_the_recorded_answers() {
    let workspace = Workspace::start().await;
    let url = format!("{}/api/2.0/sql/statements", workspace.endpoint.base_url());
    let body = workspace.body("SELECT 1", json!([]), "50s").to_string();
    let missing = workspace.client.post(&url).body(body.clone()).send().await.unwrap();
    assert_eq!(missing.status(), 401);
    assert_eq!(missing.headers()["www-authenticate"], "Bearer realm=\"DatabricksRealm\"");
    let text = r#"{"error_code":401,"message":"Credential was not sent or was of an unsupported type for this API."}"#;
    assert_eq!(missing.text().await.unwrap(), text);
    workspace.endpoint.set_tokens(&["rotated"]);
    let old = workspace.client.post(&url).bearer_auth(TOKEN).body(body.clone()).send().await.unwrap();
    assert_eq!(old.status(), 403);
    assert_eq!(old.text().await.unwrap(), r#"{"error_code":403,"message":"Invalid access token."}"#);
    let new = workspace.client.post(&url).bearer_auth("rotated").body(body).send().await.unwrap();
    assert_eq!(new.status(), 200);
    assert_eq!(workspace.endpoint.statements().len(), 1, "refused requests are no statements");
}

#[tokio::test]
async fn a_service_principal_gets_tokens_that_can_be_revoked() {
    let principal =
        ServicePrincipal { client_id: "app".to_owned(), client_secret: "s3cret".to_owned(), expires_in_seconds: 3600 };
    let workspace =
        Workspace::with(EndpointSettings { principals: vec![principal], ..EndpointSettings::default() }).await;
    let url = format!("{}/oidc/v1/token", workspace.endpoint.base_url());
    let ask = |secret: &'static str| {
        let request = workspace.client.post(&url).basic_auth("app", Some(secret));
        request.form(&[("grant_type", "client_credentials"), ("scope", "all-apis")]).send()
    };
    let found = workspace.get("/oidc/.well-known/oauth-authorization-server").await.1;
    assert_eq!(found["token_endpoint"], json!(url));
    let wrong = ask("nope").await.unwrap();
    assert_eq!(
        (wrong.status().as_u16(), wrong.json::<Value>().await.unwrap()["error"].clone()),
        (401, json!("invalid_client"))
    );
    let issued: Value = ask("s3cret").await.unwrap().json().await.unwrap();
    assert_eq!(
        (&issued["token_type"], &issued["expires_in"], &issued["scope"]),
        (&json!("Bearer"), &json!(3600), &json!("all-apis"))
    );
    let token = issued["access_token"].as_str().unwrap();
    let statement = || {
        let url = format!("{}/api/2.0/sql/statements/", workspace.endpoint.base_url());
        workspace
            .client
            .post(url)
            .bearer_auth(token)
            .body(workspace.body("SELECT 1", json!([]), "50s").to_string())
            .send()
    };
    assert_eq!(statement().await.unwrap().status(), 200);
    workspace.endpoint.revoke_issued_tokens();
    assert_eq!(statement().await.unwrap().status(), 403);
    assert_eq!(workspace.endpoint.token_requests(), 2);
}

#[tokio::test]
async fn requests_the_api_does_not_take_are_refused() {
    let workspace = Workspace::start().await;
    let good = workspace.body("SELECT 1", json!([]), "50s");
    let many: Vec<Value> = (0..257).map(|number| json!({"name": format!("p{number}"), "value": "x"})).collect();
    for (field, value, status, code) in [
        ("wait_timeout", json!("4s"), 400, "INVALID_PARAMETER_VALUE"),
        ("wait_timeout", json!("51s"), 400, "INVALID_PARAMETER_VALUE"),
        ("on_wait_timeout", json!("WAIT"), 400, "INVALID_PARAMETER_VALUE"),
        ("disposition", json!("EXTERNAL_LINKS"), 400, "INVALID_PARAMETER_VALUE"),
        ("format", json!("CSV"), 400, "INVALID_PARAMETER_VALUE"),
        ("parameters", json!([{"name": "n", "type": "INT", "value": 4}]), 400, "MALFORMED_REQUEST"),
        ("parameters", json!(many), 400, "BAD_REQUEST"),
        ("warehouse_id", json!("other"), 404, "RESOURCE_DOES_NOT_EXIST"),
        ("statement", json!(" "), 400, "INVALID_PARAMETER_VALUE"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let (got, answer) = workspace.post("/api/2.0/sql/statements", &body).await;
        assert_eq!((got, answer["error_code"].as_str()), (status, Some(code)), "{field}: {answer}");
    }
    assert_eq!(workspace.get("/api/2.0/sql/statements/01f0-unknown").await.0, 404);
    let (status, answer) = workspace.get("/api/2.2/sql/endpoints").await;
    assert_eq!((status, answer), (404, json!({"error": "Bad Target: /api/2.2/sql/endpoints"})));
    assert!(workspace.endpoint.statements().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_as_configured() {
    let workspace = Workspace::with(EndpointSettings { body_limit_bytes: 2000, ..EndpointSettings::default() }).await;
    let large = workspace.body("SELECT :v", json!([{"name": "v", "value": "x".repeat(3000)}]), "50s");
    assert_eq!(workspace.post("/api/2.0/sql/statements", &large).await.0, 413);
    workspace.endpoint.configure(|settings| settings.body_limit_status = 400);
    let (status, answer) = workspace.post("/api/2.0/sql/statements", &large).await;
    assert_eq!((status, answer["error_code"].as_str()), (400, Some("BAD_REQUEST")));
    workspace.endpoint.configure(|settings| settings.body_limit_bytes = 4000);
    assert_eq!(workspace.post("/api/2.0/sql/statements", &large).await.0, 200);
}

#[tokio::test]
async fn the_control_interface_shows_the_log_and_switches() {
    let workspace = Workspace::start().await;
    let script = json!({"contains": "SELECT", "behaviour": {"kind": "closed"}});
    assert_eq!(workspace.post("/control/scripts", &script).await.0, 200);
    assert_eq!(state(&workspace.run("SELECT :v", json!([{"name": "v", "value": "shown"}])).await), "CLOSED");
    let (_, log) = workspace.get("/control/statements").await;
    let entry = &log["statements"][0];
    assert_eq!(
        (&entry["kind"], &entry["state"], &log["open_statements"]),
        (&json!("select"), &json!("CLOSED"), &json!(0))
    );
    assert_eq!(
        (&entry["parameters"][0]["value_bytes"], &entry["parameters"][0]["value"]),
        (&json!(5), &json!("shown"))
    );
    let rows = workspace.post("/control/query", &json!({"sql": "SELECT 1 AS a, CAST(NULL AS STRING) AS b"})).await;
    assert_eq!(rows, (200, json!({"rows": [["1", null]]})));
    assert_eq!(workspace.post("/control/switches", &json!({"tokens": ["rotated"]})).await.0, 200);
    assert_eq!(workspace.get("/api/2.0/sql/statements/x").await.0, 403);
    assert_eq!(workspace.post("/control/switches", &json!({"no_such_switch": 1})).await.0, 400);
    workspace.endpoint.clear_log();
    assert!(workspace.endpoint.statements().is_empty());
}
