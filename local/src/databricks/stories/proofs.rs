//! Statements that prove, compare and remove, in the forms the service uses.

use serde_json::json;

use super::*;

const PROVING_WATERMARK: &str = "MERGE INTO `cat`.`bronze`.`notion_sync_watermarks` AS t
USING (
  SELECT :database_id AS database_id, :data_source_id AS data_source_id, :database_name AS database_name,
         :synced_through AS synced_through, :last_edited_time AS last_edited_time, :resume AS resume,
         :last_full_refresh_at AS last_full_refresh_at, :last_sweep_at AS last_sweep_at
  FROM (
    SELECT count(DISTINCT k.page_id) AS wanted, count(DISTINCT h.page_id) AS found
    FROM (SELECT r.p AS page_id, CAST(r.t AS TIMESTAMP) AS last_edited_time, r.h AS payload_hash
        FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:key_count AS INT) THEN j.a
                                  ELSE raise_error('notion-sync: keys parsed differ from keys sent') END) AS r
              FROM (SELECT from_json(:keys, 'ARRAY<STRUCT<p:STRING,t:STRING,h:STRING>>', map('mode','FAILFAST')) AS a) AS j)) AS k
    LEFT JOIN (
      SELECT page_id, last_edited_time, substring(payload_sha256, 1, 16) AS payload_hash, removed_at
      FROM `cat`.`bronze`.`notion_raw_pages` WHERE database_id = :database_id) AS h
    ON h.page_id = k.page_id AND (h.last_edited_time > k.last_edited_time
      OR (h.last_edited_time = k.last_edited_time AND h.payload_hash = k.payload_hash AND h.removed_at IS NULL))
  ) AS proof
  WHERE CASE WHEN proof.wanted = CAST(:key_count AS INT) AND proof.found = CAST(:key_count AS INT) THEN true
             ELSE CAST(raise_error(concat('notion-sync: proof failed, the table holds ', CAST(proof.found AS STRING), ' of ', CAST(:key_count AS STRING), ' rows')) AS BOOLEAN) END
) AS s
ON t.database_id = s.database_id AND t.data_source_id = s.data_source_id
WHEN MATCHED AND (t.synced_through IS NULL OR s.synced_through >= t.synced_through) THEN UPDATE SET
  database_name = s.database_name, synced_through = s.synced_through,
  last_edited_time = greatest(s.last_edited_time, t.last_edited_time), resume = s.resume,
  last_full_refresh_at = coalesce(s.last_full_refresh_at, t.last_full_refresh_at),
  last_sweep_at = coalesce(s.last_sweep_at, t.last_sweep_at), updated_at = current_timestamp(), sync_run_id = :run_id
WHEN NOT MATCHED THEN INSERT (database_id, data_source_id, database_name, synced_through, last_edited_time, resume,
  last_full_refresh_at, last_sweep_at, updated_at, sync_run_id)
  VALUES (s.database_id, s.data_source_id, s.database_name, s.synced_through, s.last_edited_time, s.resume,
  s.last_full_refresh_at, s.last_sweep_at, current_timestamp(), :run_id)";

const PROOF: &str = "SELECT proof.found AS found FROM (
    SELECT count(DISTINCT k.page_id) AS wanted, count(DISTINCT h.page_id) AS found
    FROM (SELECT r.p AS page_id, CAST(r.t AS TIMESTAMP) AS last_edited_time, r.h AS payload_hash
        FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:key_count AS INT) THEN j.a
                                  ELSE raise_error('notion-sync: keys parsed differ from keys sent') END) AS r
              FROM (SELECT from_json(:keys, 'ARRAY<STRUCT<p:STRING,t:STRING,h:STRING>>', map('mode','FAILFAST')) AS a) AS j)) AS k
    LEFT JOIN (
      SELECT page_id, last_edited_time, substring(payload_sha256, 1, 16) AS payload_hash, removed_at
      FROM `cat`.`bronze`.`notion_raw_pages` WHERE database_id = :database_id) AS h
    ON h.page_id = k.page_id AND (h.last_edited_time > k.last_edited_time
      OR (h.last_edited_time = k.last_edited_time AND h.payload_hash = k.payload_hash AND h.removed_at IS NULL))
  ) AS proof
  WHERE CASE WHEN proof.wanted = CAST(:key_count AS INT) AND proof.found = CAST(:key_count AS INT) THEN true
             ELSE CAST(raise_error(concat('notion-sync: proof failed, the table holds ', CAST(proof.found AS STRING), ' of ', CAST(:key_count AS STRING), ' rows')) AS BOOLEAN) END";

const COMPARE: &str = "WITH seen AS (
  SELECT r.page_id, r.data_source_id, r.is_archived, CAST(r.last_edited_time AS TIMESTAMP) AS last_edited_time
  FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:row_count AS INT) THEN j.a
                            ELSE raise_error('notion-sync: rows parsed differ from rows sent') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,data_source_id:STRING,is_archived:BOOLEAN,last_edited_time:STRING>>',
          map('mode','FAILFAST')) AS a) AS j)),
live AS (
  SELECT page_id, data_source_id, is_archived, last_edited_time FROM `cat`.`bronze`.`notion_raw_pages`
  WHERE database_id = :database_id AND removed_at IS NULL AND page_id >= :id_from AND page_id < :id_to)
SELECT coalesce(l.page_id, s.page_id) AS page_id, l.data_source_id AS data_source_id,
  CASE WHEN s.page_id IS NULL THEN 'missing_in_notion' WHEN l.page_id IS NULL THEN 'missing_in_table' ELSE 'stale' END AS side
FROM live AS l FULL OUTER JOIN seen AS s ON l.page_id = s.page_id
WHERE l.page_id IS NULL OR s.page_id IS NULL OR l.data_source_id <> s.data_source_id
   OR l.is_archived <> s.is_archived OR l.last_edited_time < s.last_edited_time
UNION ALL
SELECT CAST(count(*) AS STRING) AS page_id, CAST(NULL AS STRING) AS data_source_id, 'live_rows' AS side FROM live
ORDER BY side, page_id";

const REMOVAL: &str = "MERGE INTO `cat`.`bronze`.`notion_raw_pages` AS t
USING (
  SELECT r.page_id, r.database_id, r.removal_reason, r.in_trash
  FROM (SELECT explode(CASE WHEN size(j.a) = CAST(:row_count AS INT) THEN j.a
                            ELSE raise_error('notion-sync: rows parsed differ from rows sent') END) AS r
        FROM (SELECT from_json(:rows,
          'ARRAY<STRUCT<page_id:STRING,database_id:STRING,removal_reason:STRING,in_trash:BOOLEAN>>',
          map('mode','FAILFAST')) AS a) AS j)
) AS s
ON t.page_id = s.page_id AND t.database_id = s.database_id
WHEN MATCHED AND (t.removed_at IS NULL OR NOT (t.removal_reason <=> s.removal_reason)) THEN UPDATE SET
  removed_at = coalesce(t.removed_at, current_timestamp()), removal_reason = s.removal_reason, in_trash = s.in_trash,
  ingested_at = current_timestamp(), sync_run_id = :run_id";

fn keys(pages: &[(&str, &str)]) -> String {
    json!(pages.iter().map(|(id, edited)| json!({"p": id, "t": edited, "h": "hash of 1"})).collect::<Vec<_>>())
        .to_string()
}

impl Workspace {
    async fn watermark(&self, keys: &str, key_count: usize, synced_through: &str) -> Value {
        let parameters = json!([
            {"name": "keys", "value": keys}, {"name": "key_count", "type": "INT", "value": key_count.to_string()},
            {"name": "database_id", "value": "db"}, {"name": "data_source_id", "value": "ds"},
            {"name": "database_name", "value": "projects"}, {"name": "run_id", "value": "run"},
            {"name": "synced_through", "type": "TIMESTAMP", "value": synced_through},
            {"name": "last_edited_time", "type": "TIMESTAMP"}, {"name": "resume", "type": "STRING"},
            {"name": "last_full_refresh_at", "type": "TIMESTAMP"}, {"name": "last_sweep_at", "type": "TIMESTAMP", "value": null},
        ]);
        self.run(PROVING_WATERMARK, parameters).await
    }

    async fn synced_through(&self) -> Option<String> {
        let rows = self.query("SELECT synced_through FROM `cat`.`bronze`.notion_sync_watermarks").await;
        rows.into_iter().next()?.into_iter().next()?
    }
}

#[tokio::test]
async fn the_watermark_passes_only_when_the_table_holds_every_key() {
    let workspace = Workspace::with_tables().await;
    let empty = workspace.watermark("[]", 0, EARLY).await;
    assert_eq!(counts(&empty), ["1", "0", "0", "1"], "no key is proven by an empty table");
    workspace.upsert(&[page("a", NOW, "1"), page("b", LATE, "1")]).await;
    let good = keys(&[("a", NOW), ("b", NOW)]);
    for (name, bad, count, text) in [
        ("missing", keys(&[("a", NOW), ("c", NOW)]), 2, "proof failed, the table holds 1 of 2 rows"),
        ("older", keys(&[("a", LATE), ("b", NOW)]), 2, "proof failed, the table holds 1 of 2 rows"),
        (
            "of another content",
            good.replacen("hash of 1", "hash of 2", 1),
            2,
            "proof failed, the table holds 1 of 2 rows",
        ),
        ("cut", good[..good.len() - 2].to_owned(), 2, "[MALFORMED_RECORD_IN_PARSING"),
        ("wrong count", good.clone(), 3, "keys parsed differ from keys sent"),
        ("nothing", String::new(), 0, "keys parsed differ from keys sent"),
    ] {
        let body = workspace.watermark(&bad, count, LATE).await;
        let message = body["status"]["error"]["message"].as_str().unwrap_or_default();
        assert!(state(&body) == "FAILED" && message.contains(text), "{name}: {body}");
        assert_eq!(workspace.synced_through().await.as_deref(), Some(EARLY), "{name}");
    }
    assert_eq!(counts(&workspace.watermark(&good, 2, NOW).await), ["1", "1", "0", "0"]);
    assert_eq!(counts(&workspace.watermark(&good, 2, EARLY).await), ["0", "0", "0", "0"], "never backwards");
    assert_eq!(workspace.synced_through().await.as_deref(), Some(NOW));
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_proven_in_one_statement() {
    const KEYS: usize = 100_000;
    let workspace = Workspace::with_tables().await;
    let fill = format!(
        "INSERT INTO `cat`.`bronze`.notion_raw_pages SELECT concat('p', CAST(id AS STRING)), 'db', 'projects', 'ds', '{{}}', 'hash of 1',
         NULL, TIMESTAMP'2026-01-01 00:00:00', TIMESTAMP'2026-11-22 13:02:00', false AS a, false AS b, NULL AS c, NULL AS d, 'v',
         current_timestamp(), 'run' FROM range(0, {KEYS})"
    );
    workspace.query(&fill).await;
    let names: Vec<String> = (0..=KEYS).map(|number| format!("p{number}")).collect();
    let sent: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), NOW)).collect();
    let parameters = |pages: &[(&str, &str)]| {
        json!([{"name": "keys", "value": keys(pages)}, {"name": "key_count", "type": "INT", "value": pages.len().to_string()},
               {"name": "database_id", "value": "db"}])
    };
    let proven = workspace.run(PROOF, parameters(&sent[..KEYS])).await;
    assert_eq!(proven["result"]["data_array"], json!([[KEYS.to_string()]]), "{}", proven["status"]);
    let (sql_state, message) = workspace.failure(PROOF, parameters(&sent)).await;
    assert!(sql_state == "P0001" && message.contains("the table holds 100000 of 100001 rows"), "{message}");
    assert_eq!(counts(&workspace.watermark(&keys(&sent[..KEYS]), KEYS, NOW).await), ["1", "0", "0", "1"]);
}

#[tokio::test]
async fn a_comparison_shows_what_is_missing_on_either_side_and_what_is_stale() {
    let workspace = Workspace::with_tables().await;
    let pages: Vec<Value> = ["a1", "a2", "a3", "a4", "a5", "b1"].iter().map(|id| page(id, NOW, "1")).collect();
    workspace.upsert(&pages).await;
    let seen = |id: &str, source: &str, archived: bool, edited: &str| json!({"page_id": id, "data_source_id": source, "is_archived": archived, "last_edited_time": edited});
    let compare = |rows: Vec<Value>, count: usize| {
        let parameters = json!([{"name": "rows", "value": json!(rows).to_string()}, {"name": "database_id", "value": "db"},
            {"name": "row_count", "type": "INT", "value": count.to_string()}, {"name": "id_from", "value": ""},
            {"name": "id_to", "value": "b"}]);
        workspace.run(COMPARE, parameters)
    };
    let rows = vec![
        seen("a1", "ds", false, NOW),
        seen("a2", "other", false, NOW),
        seen("a3", "ds", true, NOW),
        seen("a4", "ds", false, LATE),
        seen("a9", "ds", false, NOW),
    ];
    let expected = json!([
        ["5", null, "live_rows"],
        ["a5", "ds", "missing_in_notion"],
        ["a9", null, "missing_in_table"],
        ["a2", "ds", "stale"],
        ["a3", "ds", "stale"],
        ["a4", "ds", "stale"]
    ]);
    assert_eq!(compare(rows.clone(), 5).await["result"]["data_array"], expected);
    assert_eq!(compare(rows, 4).await["status"]["sql_state"], "P0001");
}

#[tokio::test]
async fn a_removal_marks_rows_once_and_an_upsert_brings_them_back() {
    let workspace = Workspace::with_tables().await;
    workspace.upsert(&[page("a", NOW, "1"), page("b", NOW, "1")]).await;
    let removal = |reason: &str, count: usize| {
        let rows = json!([{"page_id": "a", "database_id": "db", "removal_reason": reason, "in_trash": reason == "trashed"},
                          {"page_id": "unknown", "database_id": "db", "removal_reason": "gone", "in_trash": false}]);
        let parameters = json!([{"name": "rows", "value": rows.to_string()}, {"name": "run_id", "value": "run 2"},
            {"name": "row_count", "type": "INT", "value": count.to_string()}]);
        workspace.run(REMOVAL, parameters)
    };
    assert_eq!(removal("gone", 3).await["status"]["sql_state"], "P0001");
    assert_eq!(counts(&removal("gone", 2).await), ["1", "1", "0", "0"]);
    assert_eq!(counts(&removal("gone", 2).await), ["0", "0", "0", "0"]);
    assert_eq!(counts(&removal("trashed", 2).await), ["1", "1", "0", "0"]);
    let sql =
        "SELECT page_id, removal_reason, removed_at IS NULL FROM `cat`.`bronze`.notion_raw_pages ORDER BY page_id";
    let text = |cells: [Option<&str>; 3]| cells.map(|cell| cell.map(str::to_owned)).to_vec();
    let expected = [text([Some("a"), Some("trashed"), Some("false")]), text([Some("b"), None, Some("true")])];
    assert_eq!(workspace.query(sql).await, expected);
    assert_eq!(counts(&workspace.upsert(&[page("a", NOW, "1")]).await), ["1", "1", "0", "0"]);
    assert_eq!(workspace.query(sql).await[0], text([Some("a"), None, Some("true")]));
}
