//! MERGE, its counts, and what arrives in the table.

use serde_json::json;

use super::*;

#[tokio::test]
async fn rows_are_inserted_once_updated_when_newer_and_never_overwritten_by_older_ones() {
    let workspace = Workspace::with_tables().await;
    let first = workspace.upsert(&[page("a", NOW, "1"), page("b", NOW, "1")]).await;
    assert_eq!(counts(&first), ["2", "0", "0", "2"]);
    let columns: Vec<&str> = first["manifest"]["schema"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["num_affected_rows", "num_updated_rows", "num_deleted_rows", "num_inserted_rows"]);
    assert_eq!(counts(&workspace.upsert(&[page("a", NOW, "1"), page("b", NOW, "1")]).await), ["0", "0", "0", "0"]);
    let mixed = [page("a", LATE, "2"), page("b", EARLY, "stale"), page("c", NOW, "1")];
    assert_eq!(counts(&workspace.upsert(&mixed).await), ["2", "1", "0", "1"]);
    let rows = workspace.query("SELECT page_id, payload FROM `cat`.`bronze`.notion_raw_pages ORDER BY page_id").await;
    let shown: Vec<String> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(shown, ["a2", "b1", "c1"]);
    workspace.endpoint.stop().await;
}

#[tokio::test]
async fn cut_json_and_a_wrong_count_fail_and_write_nothing() {
    let workspace = Workspace::with_tables().await;
    let rows = json!([page("a", NOW, "1"), page("b", NOW, "1")]).to_string();
    let cut = workspace.upsert_text(&rows[..rows.len() - 5], 2).await;
    assert_eq!((&cut["status"]["state"], &cut["status"]["sql_state"]), (&json!("FAILED"), &json!("22023")));
    let wrong = workspace.upsert_text(&rows, 3).await;
    assert_eq!((&wrong["status"]["state"], &wrong["status"]["sql_state"]), (&json!("FAILED"), &json!("P0001")));
    let message = wrong["status"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("[USER_RAISED_EXCEPTION] notion-sync: rows parsed differ from rows sent"), "{message}");
    assert_eq!(workspace.query("SELECT count(*) FROM `cat`.`bronze`.notion_raw_pages").await, [[Some("0".to_owned())]]);
}

#[tokio::test]
async fn a_payload_comes_back_byte_for_byte_also_through_a_view() {
    let workspace = Workspace::with_tables().await;
    let odd = "{\"a\": \"it's \\\\ \\\" \\n \\u0000 \\u00e9 é 😀 :rows ${x} `b` -- /* 1.10 1e3\",\t\"b\":[ ]}\n";
    let long = format!("{odd}{}", "x'\\\"é".repeat(20_000));
    let body = workspace.upsert(&[page("short", NOW, odd)]).await;
    assert_eq!(counts(&body), ["1", "0", "0", "1"]);
    let body = workspace.upsert(&[page("long", NOW, &long)]).await;
    assert_eq!(counts(&body), ["1", "0", "0", "1"]);
    let rows = workspace.query("SELECT payload FROM `cat`.`bronze`.notion_raw_pages ORDER BY page_id DESC").await;
    assert_eq!(rows, [[Some(odd.to_owned())], [Some(long)]]);
}

#[tokio::test]
async fn insert_update_and_delete_return_their_counts() {
    let workspace = Workspace::start().await;
    workspace.run("CREATE TABLE `cat`.`bronze`.t (id INT, v STRING) TBLPROPERTIES ('a'='b')", json!([])).await;
    let shown = |body: Value| {
        let names = body["manifest"]["schema"]["columns"].as_array().unwrap().clone();
        let names: Vec<String> = names.iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), body["result"]["data_array"][0].to_string())
    };
    let inserted = workspace
        .run("INSERT INTO `cat`.`bronze`.t VALUES (1, 'a'), (2, 'b'), (3, :v)", json!([{"name": "v", "value": "c"}]))
        .await;
    assert_eq!(shown(inserted), ("num_affected_rows num_inserted_rows".to_owned(), r#"["3","3"]"#.to_owned()));
    let updated = workspace.run("UPDATE `cat`.`bronze`.t SET v = 'x' WHERE id > 1", json!([])).await;
    assert_eq!(shown(updated), ("num_affected_rows".to_owned(), r#"["2"]"#.to_owned()));
    let deleted = workspace.run("DELETE FROM `cat`.`bronze`.t WHERE v = 'x'", json!([])).await;
    assert_eq!(shown(deleted), ("num_affected_rows".to_owned(), r#"["2"]"#.to_owned()));
    assert_eq!(
        workspace.query("SELECT id, v FROM `cat`.`bronze`.t").await,
        [[Some("1".to_owned()), Some("a".to_owned())]]
    );
}

#[tokio::test]
async fn a_key_sent_twice_fails_when_matched() {
    let workspace = Workspace::with_tables().await;
    workspace.upsert(&[page("a", NOW, "1")]).await;
    let body = workspace.upsert(&[page("a", LATE, "2"), page("a", LATE, "3")]).await;
    assert_eq!((state(&body), body["status"]["sql_state"].as_str()), ("FAILED", Some("21506")), "{body}");
    assert_eq!(workspace.query("SELECT payload FROM `cat`.`bronze`.notion_raw_pages").await, [[Some("1".to_owned())]]);
}

#[tokio::test]
async fn writers_of_one_table_wait_for_each_other_unless_told_not_to() {
    let workspace = Workspace::with_tables().await;
    let batches: Vec<[Value; 1]> = (0..6).map(|number| [page(&format!("p{number}"), NOW, "1")]).collect();
    let all = futures_util::future::join_all(batches.iter().map(|batch| workspace.upsert(batch))).await;
    for body in all {
        assert_eq!(counts(&body), ["1", "0", "0", "1"]);
    }
    workspace.endpoint.configure(|settings| settings.one_writer_per_table = false);
    let batches: Vec<[Value; 1]> = (0..6).map(|number| [page(&format!("q{number}"), NOW, "1")]).collect();
    let all = futures_util::future::join_all(batches.iter().map(|batch| workspace.upsert(batch))).await;
    let conflicts: Vec<&Value> = all.iter().filter(|body| state(body) == "FAILED").collect();
    assert!(!conflicts.is_empty(), "six writers at once and no conflict");
    for body in &conflicts {
        assert_eq!(body["status"]["sql_state"], "2D521", "{body}");
        assert!(body["status"]["error"]["message"].as_str().unwrap().contains("[DELTA_CONCURRENT_APPEND"));
    }
    let rows = workspace.query("SELECT count(*) FROM `cat`.`bronze`.notion_raw_pages").await;
    assert_eq!(rows, [[Some((12 - conflicts.len()).to_string())]]);
}

#[tokio::test]
async fn a_batch_of_a_megabyte_arrives_whole() {
    let workspace = Workspace::with_tables().await;
    let payload = "0123456789 'x' \"é\" ".repeat(500);
    let batch: Vec<Value> = (0..100).map(|number| page(&format!("p{number:03}"), NOW, &payload)).collect();
    assert_eq!(counts(&workspace.upsert(&batch).await), ["100", "0", "0", "100"]);
    let rows = workspace
        .query("SELECT count(*), min(length(payload)), max(length(payload)) FROM `cat`.`bronze`.notion_raw_pages")
        .await;
    let length = payload.chars().count().to_string();
    assert_eq!(rows, [[Some("100".to_owned()), Some(length.clone()), Some(length)]]);
}
