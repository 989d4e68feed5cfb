//! States over time and scripted behaviours.

use serde_json::json;
use tokio::time::Instant;

use super::*;

const SLOW_QUERY: &str =
    "SELECT count(*) FROM range(0, 30000) AS a CROSS JOIN range(0, 3000000) AS b WHERE a.id * b.id % 7 = 3";

#[tokio::test]
async fn without_waiting_a_statement_is_pending_and_then_polled() {
    let workspace = Workspace::start().await;
    let body = workspace.body("SELECT 'x' AS a", json!([]), "0s");
    let (_, first) = workspace.post("/api/2.0/sql/statements", &body).await;
    let id = first["statement_id"].as_str().unwrap();
    assert_eq!(first, json!({"statement_id": id, "status": {"state": "PENDING"}}));
    let end = workspace.end_of(id).await;
    assert_eq!((state(&end), &end["result"]["data_array"]), ("SUCCEEDED", &json!([["x"]])));
    let (_, chunk) = workspace.get(&format!("/api/2.0/sql/statements/{id}/result/chunks/0")).await;
    assert_eq!(chunk["data_array"], json!([["x"]]));
}

#[tokio::test]
async fn a_starting_warehouse_is_pending_for_as_many_polls_as_scripted() {
    let workspace = Workspace::start().await;
    workspace.endpoint.script(Script::once("SELECT 1", Behaviour::Pending { polls: 2 }));
    let first = workspace.run("SELECT 1", json!([])).await;
    assert_eq!((state(&first), workspace.endpoint.open_statements()), ("PENDING", 1));
    let path = format!("/api/2.0/sql/statements/{}", first["statement_id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(state(&workspace.get(&path).await.1), "PENDING");
    }
    assert_eq!(state(&workspace.end_of(first["statement_id"].as_str().unwrap()).await), "SUCCEEDED");
    assert!(workspace.endpoint.scripts_left().is_empty());
}

#[tokio::test]
async fn a_merge_can_lie_lose_its_result_or_fail_as_scripted() {
    let workspace = Workspace::with_tables().await;
    let count = || workspace.query("SELECT count(*) FROM `cat`.`bronze`.notion_raw_pages");
    let rows = |number: usize| vec![vec![Some(number.to_string())]];
    workspace.endpoint.script(Script::once("MERGE", Behaviour::NotApplied));
    assert_eq!(counts(&workspace.upsert(&[page("a", NOW, "1")]).await), ["1", "0", "0", "1"]);
    assert_eq!(count().await, rows(0), "it lied");

    workspace.endpoint.script(Script::once("MERGE", Behaviour::Closed));
    let closed = workspace.upsert(&[page("a", NOW, "1")]).await;
    assert_eq!((state(&closed), closed.get("manifest"), closed.get("result")), ("CLOSED", None, None));
    assert_eq!(count().await, rows(1), "CLOSED is applied");

    workspace
        .endpoint
        .script(Script::once("MERGE", Behaviour::Counts(RowCounts { updated: 7, ..RowCounts::default() })));
    assert_eq!(counts(&workspace.upsert(&[page("b", NOW, "1")]).await), ["7", "7", "0", "0"]);
    assert_eq!(count().await, rows(2));

    let error = StatementError {
        error_code: "TEMPORARILY_UNAVAILABLE".to_owned(),
        message: "later".to_owned(),
        sql_state: None,
    };
    workspace.endpoint.script(Script::once("MERGE", Behaviour::Failed(error)));
    workspace.endpoint.script(Script::once("MERGE", Behaviour::Conflict).after(1));
    let failed = workspace.upsert(&[page("c", NOW, "1")]).await;
    let expected = json!({"state": "FAILED", "error": {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}});
    assert_eq!(failed["status"], expected);
    assert_eq!(workspace.upsert(&[page("c", NOW, "1")]).await["status"]["sql_state"], "2D521");
    assert_eq!(count().await, rows(2));
    assert_eq!(counts(&workspace.upsert(&[page("c", NOW, "1")]).await), ["1", "0", "0", "1"]);
}

#[tokio::test]
async fn a_forgotten_statement_is_pending_once_and_then_unknown() {
    let workspace = Workspace::with_tables().await;
    for (applied, expected) in [(false, "0"), (true, "1")] {
        workspace.endpoint.script(Script::once("MERGE", Behaviour::Forgotten { applied }));
        let first = workspace.upsert(&[page("a", NOW, "1")]).await;
        assert_eq!(state(&first), "PENDING");
        let path = format!("/api/2.0/sql/statements/{}", first["statement_id"].as_str().unwrap());
        assert_eq!(workspace.get(&path).await.0, 404);
        while workspace.endpoint.open_statements() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rows = workspace.query("SELECT count(*) FROM `cat`.`bronze`.notion_raw_pages").await;
        assert_eq!(rows, [[Some(expected.to_owned())]]);
    }
}

#[tokio::test]
async fn cancelling_interrupts_what_runs_and_what_waits() {
    let workspace = Workspace::start().await;
    let (_, running) = workspace.post("/api/2.0/sql/statements", &workspace.body(SLOW_QUERY, json!([]), "0s")).await;
    let id = running["statement_id"].as_str().unwrap();
    let path = format!("/api/2.0/sql/statements/{id}");
    while state(&workspace.get(&path).await.1) == "PENDING" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let started = Instant::now();
    assert_eq!(workspace.post(&format!("{path}/cancel"), &json!({})).await, (200, json!({})));
    assert_eq!(state(&workspace.end_of(id).await), "CANCELED");
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());

    workspace.run("CREATE TABLE `cat`.`bronze`.t (id BIGINT)", json!([])).await;
    let sql = format!("INSERT INTO `cat`.`bronze`.t {SLOW_QUERY}");
    let (_, running) = workspace.post("/api/2.0/sql/statements", &workspace.body(&sql, json!([]), "0s")).await;
    let id = running["statement_id"].as_str().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, waiting) = workspace
        .post("/api/2.0/sql/statements", &workspace.body("DELETE FROM `cat`.`bronze`.t", json!([]), "0s"))
        .await;
    for id in [waiting["statement_id"].as_str().unwrap(), id] {
        workspace.post(&format!("/api/2.0/sql/statements/{id}/cancel"), &json!({})).await;
        assert_eq!(state(&workspace.end_of(id).await), "CANCELED");
    }
    assert_eq!(workspace.query("SELECT * FROM `cat`.`bronze`.t").await.len(), 0);

    workspace.endpoint.script(Script::once("", Behaviour::Pending { polls: 1000 }));
    let held = workspace.run("SELECT 1", json!([])).await;
    let path = format!("/api/2.0/sql/statements/{}", held["statement_id"].as_str().unwrap());
    workspace.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(state(&workspace.get(&path).await.1), "CANCELED");
}

#[tokio::test]
async fn a_wait_that_ends_cancels_when_asked_to() {
    let workspace = Workspace::start().await;
    workspace.endpoint.script(Script::once("", Behaviour::Slow { milliseconds: 60_000 }));
    let mut body = workspace.body("SELECT 1", json!([]), "5s");
    body["on_wait_timeout"] = json!("CANCEL");
    let (status, answer) = workspace.post("/api/2.0/sql/statements", &body).await;
    assert_eq!((status, state(&answer)), (200, "CANCELED"));
    assert_eq!(workspace.endpoint.open_statements(), 0);
}

#[tokio::test]
async fn a_cancel_can_be_ignored_and_stopping_ends_what_is_open() {
    let workspace = Workspace::start().await;
    workspace.endpoint.script(Script::once("", Behaviour::CancelIgnored));
    workspace.endpoint.script(Script::once("", Behaviour::Slow { milliseconds: 200 }));
    let (_, first) = workspace.post("/api/2.0/sql/statements", &workspace.body("SELECT 1", json!([]), "0s")).await;
    let id = first["statement_id"].as_str().unwrap();
    workspace.post(&format!("/api/2.0/sql/statements/{id}/cancel"), &json!({})).await;
    assert_eq!(state(&workspace.end_of(id).await), "SUCCEEDED");
    workspace.post("/api/2.0/sql/statements", &workspace.body(SLOW_QUERY, json!([]), "0s")).await;
    let started = Instant::now();
    workspace.endpoint.stop().await;
    assert!(started.elapsed() < Duration::from_secs(4), "it took {:?}", started.elapsed());
}
