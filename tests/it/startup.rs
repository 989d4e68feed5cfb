//! The connection to Databricks is verified once per process, beside the work and without starting the warehouse.

use notion_sync::failure::FailureClass;
use notion_sync::run::report::Outcome;
use notion_sync_local::faults::{Answer, Fault, Rule};

use crate::support::process::notion_sync;

use crate::support::{World, failed, run_test};
use crate::sync::add_rows;

const WAREHOUSE: &str = "/api/2.0/sql/warehouses/";

/// How often Databricks was asked for the warehouse since it was last forgotten.
fn times_asked(world: &World) -> usize {
    world.databricks_faults.exchanges().iter().filter(|exchange| exchange.path.starts_with(WAREHOUSE)).count()
}

/// A world whose rows are synced, with a fresh process that has asked for nothing yet.
async fn idle_world() -> World {
    let mut world = World::new().await;
    add_rows(&world, 5);
    world.sync().await;
    world.advance(900);
    world.restart().await;
    world.forget_exchanges();
    world
}

#[test]
fn a_cold_start_with_nothing_to_write_asks_for_the_warehouse_and_a_warm_one_for_nothing() {
    run_test(async {
        let world = idle_world().await;
        world.sync().await;
        assert_eq!((times_asked(&world), world.databricks_faults.exchanges().len()), (1, 1));
        assert!(world.statements().is_empty(), "no warehouse was started");
        world.forget_exchanges();
        world.advance(900);
        world.sync().await;
        assert!(world.databricks_faults.exchanges().is_empty(), "a warm run repeats nothing");
        world.end().await;
    });
}

#[test]
fn a_refusal_fails_a_run_that_had_nothing_to_write_until_it_is_mended() {
    run_test(async {
        let mut world = idle_world().await;
        let (token, warehouse) =
            (world.variables["DATABRICKS_TOKEN"].clone(), world.variables["DATABRICKS_WAREHOUSE_ID"].clone());
        world.variables.insert("DATABRICKS_TOKEN".to_owned(), "dapi-revoked-7".to_owned());
        world.restart().await;
        for _ in 0..2 {
            let message = world.sync_fails(FailureClass::DatabricksUnauthorized).await;
            assert!(message.contains("verification of the Databricks connection"), "{message}");
        }
        world.variables.insert("DATABRICKS_TOKEN".to_owned(), token);
        world.variables.insert("DATABRICKS_WAREHOUSE_ID".to_owned(), "7be0a1c94d2f6e83".to_owned());
        world.restart().await;
        let message = world.sync_fails(FailureClass::DatabricksRejected).await;
        for part in ["7be0a1c94d2f6e83", "DATABRICKS_HTTP_PATH", "DATABRICKS_WAREHOUSE_ID"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let ended = notion_sync(&world.variables, &["sync"]).await;
        assert_eq!(ended.code, Some(6), "{ended:?}");
        world.variables.insert("DATABRICKS_WAREHOUSE_ID".to_owned(), warehouse);
        world.restart().await;
        world.clear_logs();
        world.sync().await;
        assert!(world.statements().is_empty());
        world.end().await;
    });
}

#[test]
fn passing_trouble_is_a_warning_and_the_next_run_verifies_again() {
    run_test(async {
        let world = idle_world().await;
        world.databricks_faults.add(Rule::new(Fault::Answer(Answer::html_bad_gateway())).path(WAREHOUSE).times(4));
        let report = world.sync().await;
        let told: Vec<&String> =
            report.warnings.iter().filter(|warning| warning.contains("could not be verified")).collect();
        assert_eq!(told.len(), 1, "{:?}", report.warnings);
        world.forget_exchanges();
        world.advance(900);
        let report = world.sync().await;
        assert_eq!((report.warnings.len(), times_asked(&world)), (0, 1), "{:?}", report.warnings);
        world.end().await;
    });
}

#[test]
fn the_works_own_failure_comes_first() {
    run_test(async {
        let mut world = idle_world().await;
        world.variables.insert("DATABRICKS_TOKEN".to_owned(), "dapi-revoked-7".to_owned());
        world.variables.insert("NOTION_API_KEY".to_owned(), "ntn_revoked_7Gq2".to_owned());
        world.restart().await;
        let report = world.try_sync().await;
        assert_eq!(report.outcome, Outcome::Failed);
        failed(report, FailureClass::NotionUnauthorized);
        world.end().await;
    });
}
