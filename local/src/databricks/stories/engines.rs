//! The engine itself: restarts, two at a time, an engine that dies.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_session_has_its_time_zone_and_ansi_mode() {
    let data = tempfile::tempdir().unwrap();
    let settings =
        SailSettings { time_zone: SessionZone::LOS_ANGELES, ..SailSettings::new(&sail_program(), data.path()) };
    let engine = Engine::start_sail_with(settings).await.unwrap();
    let rows =
        engine.query("SELECT TIMESTAMP '2021-01-01T18:00:00Z', TIMESTAMP '2021-06-15 12:34:56.789'").await.unwrap();
    let cells: Vec<&str> = rows[0].iter().map(|cell| cell.as_deref().unwrap()).collect();
    assert_eq!(cells, ["2021-01-01T10:00:00.000-08:00", "2021-06-15T12:34:56.789-07:00"]);
    for sql in ["SELECT CAST('x' AS INT)", "SELECT CAST(300 AS TINYINT)"] {
        assert!(engine.query(sql).await.is_err(), "{sql} has no result");
    }
    engine.stop().await;
}

#[tokio::test]
async fn tables_are_there_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let first = Engine::start_sail(&sail_program(), data.path()).await.unwrap();
    first.query("CREATE SCHEMA IF NOT EXISTS main.bronze").await.unwrap();
    first.query("CREATE TABLE main.bronze.t (id INT NOT NULL, v STRING) CLUSTER BY (id)").await.unwrap();
    first.query("INSERT INTO main.bronze.t VALUES (1, 'a')").await.unwrap();
    first.stop().await;
    let second = Engine::start_sail(&sail_program(), data.path()).await.unwrap();
    assert_eq!(
        second.query("SELECT * FROM main.bronze.t").await.unwrap(),
        [[Some("1".to_owned()), Some("a".to_owned())]]
    );
    second.query("CREATE TABLE IF NOT EXISTS main.bronze.t (id INT NOT NULL, v STRING)").await.unwrap();
    let error = second.query("INSERT INTO main.bronze.t VALUES (NULL, 'b')").await.unwrap_err();
    assert_eq!(error.sql_state.as_deref(), Some("23502"), "{error:?}");
    second.stop().await;
}

#[tokio::test]
async fn endpoints_of_one_engine_share_its_tables() {
    let one = Workspace::start().await;
    let other = Workspace::start().await;
    one.run("CREATE TABLE `cat`.`bronze`.t (id INT)", json!([])).await;
    let rows = other.endpoint.query(&one.sql("SELECT count(*) FROM `cat`.`bronze`.t")).await.unwrap();
    assert_eq!(rows, [[Some("0".to_owned())]]);
    assert!(other.endpoint.statements().is_empty(), "the log has only what came over HTTP");
}

#[test]
fn a_statement_fails_at_once_when_the_engine_dies() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(killed_in_mid_statement());
    // The client says farewell to its dead server for ever, in a thread that a runtime's end would wait for.
    runtime.shutdown_background();
}

async fn killed_in_mid_statement() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start_sail(&sail_program(), data.path()).await.unwrap();
    let process_id = engine.process_id().unwrap().to_string();
    let sql = "SELECT count(*) FROM range(0, 30000) AS a CROSS JOIN range(0, 3000000) AS b WHERE a.id * b.id % 7 = 3";
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.query(sql).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(std::process::Command::new("kill").args(["-KILL", &process_id]).status().unwrap().success());
    let error = timeout(Duration::from_secs(30), running).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.error_code, "TEMPORARILY_UNAVAILABLE", "{error:?}");
    assert!(engine.query("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_program_that_is_none_is_named() {
    let data = tempfile::tempdir().unwrap();
    let error = Engine::start_sail(Path::new("/nonexistent/sail"), data.path()).await.unwrap_err();
    assert!(matches!(&error, EngineError::Ended { log } if log.ends_with("sail.log")), "{error}");
}
