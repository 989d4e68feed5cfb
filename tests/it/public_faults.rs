//! Answers that nobody expects, reported by users of other software: a foreign answer proves nothing, a short one is not
//! whole, and a removal needs Notion's own words.

use notion_sync::failure::FailureClass;
use notion_sync::run::report::Outcome;
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{ItemLists, NewRow, ParentShown, Value};
use serde_json::json;

use crate::support::{World, at, failed, run_test};
use crate::sync::add_rows;

const EDGE: &str = "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>";

fn edge(status: u16) -> Answer {
    Answer::new(status, "text/html; charset=UTF-8", EDGE).header("cf-ray", "8f1e2d3c4b5a6978-FRA")
}

/// Adds a row with 40 related pages, of which its page shows 25.
fn add_cut_row(world: &World) -> String {
    let created = at("2026-01-01T00:00:00Z");
    let ids = (0..40).map(|number| format!("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d{number:04x}")).collect::<Vec<_>>();
    let row = NewRow::titled("Cut").set("Tasks", Value::relation(ids)).created(created).edited(created);
    world.edit(|workspace| workspace.add_row(&world.data_source_id, row).unwrap())
}

async fn reason(world: &World, page_id: &str) -> Option<String> {
    world.table().await.remove(page_id).expect("the row stays in the table").removal_reason
}

#[test]
fn statuses_of_the_edge_pass_and_a_lasting_one_is_named() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        for status in [520, 521, 522, 523, 524, 525, 526, 530] {
            world.notion_faults.add(Rule::new(Fault::Answer(edge(status))).path("/query"));
        }
        // Each passes once; 524 asks for smaller result pages, so the walk begins again.
        let mut report = world.try_sync().await;
        for _ in 0..3 {
            if report.outcome == Outcome::Complete {
                break;
            }
            assert_eq!(report.error.as_ref().unwrap().class, FailureClass::NotionUnavailable);
            report = world.try_sync().await;
        }
        assert_eq!(report.outcome, Outcome::Complete);
        world.notion_faults.add(Rule::new(Fault::Answer(edge(522))).path("/databases/").always());
        let message = world.sync_fails(FailureClass::NotionUnavailable).await;
        assert!(message.contains("522") && message.contains("8f1e2d3c4b5a6978-FRA"), "{message}");
        world.notion_faults.clear_rules();
        world.end().await;
    });
}

#[test]
fn a_403_of_the_edge_is_no_lost_right() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 25);
        world.sync().await;
        let before = world.table().await;
        for path in ["/databases/", "/query"] {
            world.notion_faults.add(Rule::new(Fault::Answer(edge(403))).path(path).always());
            let message = world.sync_fails(FailureClass::RequestBlocked).await;
            assert!(message.contains("Attention Required!"), "{message}");
            world.notion_faults.clear_rules();
        }
        assert_eq!(world.table().await, before);
        world.end().await;
    });
}

#[test]
fn a_foreign_404_of_a_property_is_asked_for_again_and_never_read_as_empty() {
    run_test(async {
        let world = World::new().await;
        let row = add_cut_row(&world);
        let html = Answer::new(404, "text/html", "<html>Not Found</html>");
        world.notion_faults.add(Rule::new(Fault::Answer(html.clone())).path("/properties/").always());
        world.sync_fails(FailureClass::NotionUnavailable).await;
        assert!(world.table().await.is_empty());
        world.notion_faults.clear_rules();
        world.notion_faults.add(Rule::new(Fault::Answer(html)).path("/properties/"));
        world.sync().await;
        let stored = world.table().await.remove(&row).unwrap().hydrated_properties.unwrap();
        assert!(stored.contains(r#""complete":true"#) && stored.contains("0a1b2c3d0027"), "{stored}");
        world.end().await;
    });
}

#[test]
fn a_property_list_shorter_than_its_page_or_of_another_property_is_not_whole() {
    run_test(async {
        for lists in [ItemLists::Empty, ItemLists::OfAnotherProperty] {
            let world = World::builder().notion(|settings| settings.item_lists = lists).build().await;
            let row = add_cut_row(&world);
            let report = world.try_sync().await;
            if report.outcome == Outcome::Complete {
                let stored = world.table().await.remove(&row).unwrap().hydrated_properties.unwrap();
                assert!(stored.contains(r#""complete":false"#), "{stored}");
                let warnings: Vec<&String> = report.data_sources.iter().flat_map(|source| &source.warnings).collect();
                assert!(!warnings.is_empty() || !report.warnings.is_empty(), "the report says so");
            } else {
                failed(report, FailureClass::NotionUnreadable);
                assert!(world.table().await.is_empty());
            }
            world.end().await;
        }
    });
}

#[test]
fn a_small_database_that_lists_no_data_source_is_lost_access() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 12);
        world.sync().await;
        world.edit(|workspace| {
            workspace.list_data_sources(&world.database_id, false).unwrap();
            workspace.share_data_source(&world.data_source_id, false).unwrap();
        });
        failed(world.try_sweep(false).await, FailureClass::SourceAccessLost);
        for row in &rows {
            assert_eq!(reason(&world, row).await, None);
        }
        world.end().await;
    });
}

#[test]
fn a_page_without_a_readable_parent_is_unclear_and_holds_up_no_other() {
    run_test(async {
        for shown in [ParentShown::Null, ParentShown::WithoutId, ParentShown::Missing] {
            let world = World::new().await;
            let rows = add_rows(&world, 25);
            let other = world.edit(|workspace| workspace.add_table("Elsewhere")).1;
            world.sync().await;
            world.edit(|workspace| {
                let elsewhere = notion_sync_local::notion::Destination::DataSource(other.clone());
                workspace.move_row(&rows[0], &elsewhere).unwrap();
                workspace.show_parent(&rows[0], shown).unwrap();
                workspace.trash(&rows[1]).unwrap();
            });
            let message = failed(world.try_sweep(false).await, FailureClass::RowUnclear);
            assert!(message.contains(&rows[0]), "{message}");
            assert_eq!(reason(&world, &rows[0]).await, None, "it is left as it is");
            assert_eq!(reason(&world, &rows[1]).await.as_deref(), Some("trashed"), "the clear one is marked");
            world.edit(|workspace| workspace.show_parent(&rows[0], ParentShown::AsItIs).unwrap());
            world.sweep().await;
            assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("moved"));
            world.end().await;
        }
    });
}

#[test]
fn a_row_that_became_a_database_has_left_and_holds_up_no_other() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 25);
        world.sync().await;
        world.edit(|workspace| {
            workspace.turn_into_database(&rows[0]).unwrap();
            workspace.trash(&rows[1]).unwrap();
        });
        world.sweep().await;
        assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("became_database"));
        assert_eq!(reason(&world, &rows[1]).await.as_deref(), Some("trashed"));
        world.end().await;
    });
}

#[test]
fn a_data_source_that_moved_costs_one_request_and_comes_back_whole() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        let (second, rows) = world.edit(|workspace| {
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            let created = at("2026-02-01T00:00:10Z");
            let row = |index| NewRow::titled(&format!("Row {index}")).created(created).edited(created);
            let rows: Vec<String> = (0..30).map(|index| workspace.add_row(&second, row(index)).unwrap()).collect();
            (second, rows)
        });
        world.sync().await;
        let other = world.edit(|workspace| workspace.add_database("Other"));
        world.edit(|workspace| workspace.move_data_source(&second, &other).unwrap());
        world.clear_logs();
        let report = world.try_sweep(true).await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        assert_eq!(report.totals.pages_removed, 30);
        let pages = world.notion.requests().iter().filter(|request| request.path.contains("/pages/")).count();
        assert_eq!(pages, 0, "one answer decides for all rows");
        assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("moved"));
        let home = world.database_id.clone();
        world.edit(|workspace| workspace.move_data_source(&second, &home).unwrap());
        world.advance(3_600);
        world.sync().await;
        assert_eq!(reason(&world, &rows[0]).await, None, "all of it is read again");
        world.end().await;
    });
}

#[test]
fn an_id_that_is_no_databases_names_its_variable() {
    run_test(async {
        let world = World::new().await;
        for (status, code, message) in [
            (400, "validation_error", "Provided ID be633bf1-dfa0-436d-b259-571129a590e5 is a page, not a database."),
            (
                400,
                "validation_error",
                "path failed validation: path.database_id should be a valid uuid, instead was `\"x\"`.",
            ),
            (
                404,
                "object_not_found",
                "The database is a linked database. Database retrievals do not support linked databases.",
            ),
            (400, "validation_error", "The database does not contain any data sources accessible by this API bot."),
        ] {
            let answer = Answer::notion(status, code, message);
            world.notion_faults.add(Rule::new(Fault::Answer(answer)).path("/databases/"));
            let told = world.sync_fails(FailureClass::WrongDatabaseId).await;
            assert!(told.contains("NOTION_PROJECTS_DB_ID"), "{told}");
        }
        world.end().await;
    });
}

#[test]
fn an_object_not_found_about_another_object_marks_nothing() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 25);
        world.sync().await;
        world.edit(|workspace| workspace.delete_for_good(&rows[0]).unwrap());
        let other = "Could not find page with ID: 5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f.";
        let answer = Answer::notion(404, "object_not_found", other);
        world.notion_faults.add(Rule::new(Fault::Answer(answer)).path("/pages/").always());
        failed(world.try_sweep(false).await, FailureClass::RowUnclear);
        assert_eq!(reason(&world, &rows[0]).await, None);
        world.notion_faults.clear_rules();
        world.sweep().await;
        assert_eq!(reason(&world, &rows[0]).await.as_deref(), Some("gone"));
        world.end().await;
    });
}

/// A statement's answer in the place of the endpoint's own.
fn result(manifest: serde_json::Value, result: serde_json::Value) -> Answer {
    let status = json!({"state": "SUCCEEDED"});
    Answer::json(200, &json!({"statement_id": "01ef9de4", "status": status, "manifest": manifest, "result": result}))
}

#[test]
fn a_result_in_parts_is_read_whole_or_fails() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 3);
        world.sync().await;
        let columns = json!({"columns": [{"name": "page_id"}, {"name": "data_source_id"}, {"name": "side"}]});
        let live = json!([["3", null, "live_rows"]]);
        let link = "/api/2.0/sql/statements/01ef9de4/result/chunks/1?row_offset=1";
        let first = json!({"data_array": live, "next_chunk_internal_link": link});
        let second = json!({"data_array": [["0", null, "duplicate_rows"]]});
        let comparison =
            || Rule::new(Fault::Answer(result(json!({"schema": columns}), first.clone()))).body("live_rows");
        // Without any count, the link says that there is more.
        world.databricks_faults.add(comparison());
        world.databricks_faults.add(Rule::new(Fault::Answer(Answer::json(200, &second))).path("/result/chunks/1"));
        world.sweep().await;
        // A part that does not come as announced is no end.
        let cut = json!({"schema": columns, "total_row_count": 5});
        world
            .databricks_faults
            .add(Rule::new(Fault::Answer(result(cut, json!({"data_array": live})))).body("live_rows"));
        failed(world.try_sweep(false).await, FailureClass::DatabricksUnreadable);
        let truncated = json!({"schema": columns, "truncated": true});
        world
            .databricks_faults
            .add(Rule::new(Fault::Answer(result(truncated, json!({"data_array": live})))).body("live_rows"));
        failed(world.try_sweep(false).await, FailureClass::DatabricksUnreadable);
        world.databricks_faults.clear_rules();
        world.sweep().await;
        world.end().await;
    });
}

#[test]
fn every_form_of_no_rows_is_no_rows() {
    run_test(async {
        for none in [json!({}), json!({"data_array": null}), json!({"data_array": []}), serde_json::Value::Null] {
            let world = World::builder().without_cache().build().await;
            add_rows(&world, 3);
            let columns = [
                "data_source_id",
                "database_id",
                "synced_through",
                "last_edited_time",
                "resume",
                "last_full_refresh_at",
                "last_sweep_at",
                "sync_run_id",
            ];
            let columns: Vec<serde_json::Value> = columns.iter().map(|name| json!({"name": name})).collect();
            let manifest = json!({"schema": {"columns": columns}, "total_row_count": 0});
            world.databricks_faults.add(Rule::new(Fault::Answer(result(manifest, none))).body("unix_millis"));
            world.sync().await;
            world.assert_table_equals_notion().await;
            world.end().await;
        }
    });
}

#[test]
fn the_way_to_the_workspace_is_named() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 1);
        let location = "https://login.example.com/login.html?error=private-link-validation-error:1234";
        let redirect = Answer::new(303, "text/html", "").header("location", location);
        world.databricks_faults.add(Rule::new(Fault::Answer(redirect)).path("/sql/statements").always());
        let message = world.sync_fails(FailureClass::DatabricksRejected).await;
        assert!(message.contains("Private Link") && message.contains("login.example.com/login.html"), "{message}");
        assert!(!message.contains("1234"), "the query string is not shown: {message}");
        world.databricks_faults.clear_rules();
        world.databricks_faults.add(Rule::new(Fault::ResetBefore).path("/sql/statements").always());
        let message = world.sync_fails(FailureClass::DatabricksUnavailable).await;
        assert!(message.contains("DATABRICKS_HOST") && message.contains("127.0.0.1"), "{message}");
        world.databricks_faults.clear_rules();
        world.end().await;
    });
}

#[test]
fn the_credential_that_was_refused_is_the_one_that_is_named() {
    run_test(async {
        let world = World::builder()
            .variable("DATABRICKS_TOKEN", "")
            .variable("DATABRICKS_CLIENT_ID", "11111111-2222-4333-8444-555555555555")
            .variable("DATABRICKS_CLIENT_SECRET", "dose0123456789abcdef0123456789abcdef")
            .build_without_tables()
            .await;
        add_rows(&world, 1);
        let message = world.sync_fails(FailureClass::DatabricksUnauthorized).await;
        assert!(message.contains("DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"), "{message}");
        assert!(!message.contains("DATABRICKS_TOKEN"), "{message}");
        world.end().await;
    });
}
