//! Values that a page shows cut at 25 are read in full; the page's own text stays as it is.

use std::collections::BTreeMap;

use notion_sync::failure::FailureClass;
use notion_sync_local::faults::{Answer, Fault, Rule};
use notion_sync_local::notion::{Formula, MentionCount, NewRow, Person, RowEdit, Span, Value, Workspace};
use serde_json::{Value as Json, json};

use crate::support::{World, at, run_test};

/// So many ids of rows that need not exist.
fn ids(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d{number:04x}")).collect()
}

fn people(count: u32) -> Vec<Person> {
    (0..count).map(|number| Person::named(&format!("Member {number}"))).collect()
}

/// Adds a row created and edited on the first day of 2026.
fn add(world: &World, row: NewRow) -> String {
    let created = at("2026-01-01T00:00:00Z");
    world.edit(|workspace| workspace.add_row(&world.data_source_id, row.created(created).edited(created)).unwrap())
}

/// Everything that the row's page shows cut stands in full in `hydrated_properties`.
async fn assert_hydrated(world: &World, row: &str, properties: usize) {
    let cut = world.edit(|workspace| workspace.cut_properties(row).unwrap());
    assert_eq!(cut.len(), properties);
    let stored = world.table().await.remove(row).unwrap().hydrated_properties.expect("something was cut");
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    for property in cut {
        let found = &stored[&property.property_id];
        assert_eq!((&found["name"], &found["complete"]), (&property.name.clone().into(), &true.into()));
        let kind = property.type_name.as_str();
        let items: Vec<serde_json::Value> =
            found["items"].as_array().unwrap().iter().map(|item| item[kind].clone()).collect();
        let expected: Vec<serde_json::Value> =
            property.items.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
        assert_eq!(items, expected, "{}", property.name);
    }
}

#[test]
fn relations_people_and_mentions_beyond_25_are_read_in_full_and_counted() {
    run_test(async {
        let world = World::new().await;
        let mentions = people(31).into_iter().flat_map(|person| [Span::Person(person), Span::Text(" and ".to_owned())]);
        let all = add(
            &world,
            NewRow::titled("All of them")
                .set("Tasks", Value::relation(ids(30)))
                .set("Team", Value::People(people(30)))
                .set("Notes", Value::RichText(mentions.collect())),
        );
        let many = add(&world, NewRow::titled("Pages of items").set("Tasks", Value::relation(ids(230))));
        let few = add(
            &world,
            NewRow::titled("Few").set("Tasks", Value::relation(ids(25))).set("Team", Value::People(people(24))),
        );
        let report = world.sync().await;
        assert_eq!((report.totals.pages_read, report.totals.pages_hydrated), (3, 2));
        assert_hydrated(&world, &all, 3).await;
        assert_hydrated(&world, &many, 1).await;
        assert_eq!(world.table().await[&few].hydrated_properties, None);
        world.assert_table_equals_notion().await;
        let again = world.full_refresh().await;
        assert_eq!((again.totals.pages_unchanged, again.totals.pages_updated), (3, 0), "read in full, the same");
        world.end().await;
    });
}

#[test]
fn mentions_are_read_in_full_however_notion_counts_them() {
    run_test(async {
        let world = World::builder().notion(|settings| settings.mention_count = MentionCount::Each).build().await;
        let same = vec![Span::Person(Person::named("Ada")); 40];
        let row = add(&world, NewRow::titled("Ada, forty times").set("Notes", Value::RichText(same)));
        world.sync().await;
        assert_hydrated(&world, &row, 1).await;
        world.end().await;
    });
}

#[test]
fn two_edits_in_one_minute_that_differ_beyond_item_25_only_are_both_seen() {
    run_test(async {
        let world = World::new().await;
        let row = add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(ids(30))));
        world.sync().await;
        let replace_last = |id: &str| {
            let mut related = ids(30);
            related[29] = id.to_owned();
            world.edit(|workspace| {
                workspace.edit_row(&row, RowEdit::new().set("Tasks", Value::relation(&related))).unwrap()
            });
        };
        world.set_now("2026-11-22T13:02:10Z");
        replace_last("aaaaaaaa-4f3b-4c2d-9e8f-0a1b2c3d4e5f");
        world.sync().await;
        world.set_now("2026-11-22T13:02:40Z");
        replace_last("bbbbbbbb-4f3b-4c2d-9e8f-0a1b2c3d4e5f");
        let report = world.sync().await;
        assert_eq!(report.totals.pages_updated, 1, "the page's own text has not changed by a byte");
        assert_hydrated(&world, &row, 1).await;
        world.clear_logs();
        assert_eq!(world.sync().await.totals.pages_unchanged, 1);
        assert!(world.statements().is_empty());
        world.end().await;
    });
}

#[test]
fn a_page_deleted_while_it_is_read_in_full_does_not_end_the_run() {
    run_test(async {
        let world = World::new().await;
        let row = add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(ids(30))));
        let deleted = row.clone();
        world.edit(|workspace| {
            let change = move |workspace: &mut Workspace| workspace.delete_for_good(&deleted).unwrap();
            workspace.after_query_page(None, 1, change).unwrap();
        });
        let report = world.sync().await;
        let warnings = &report.data_sources[0].warnings;
        assert!(warnings.iter().any(|warning| warning.contains(&row)), "{warnings:?}");
        assert_eq!(report.totals.pages_removed, 1, "the sweep that ends the first walk settles it");
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_page_trashed_while_it_is_read_in_full_is_settled_by_the_sweep() {
    run_test(async {
        let world = World::new().await;
        let row = add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(ids(230))));
        world.edit(|workspace| workspace.after_requests(3, move |workspace| workspace.trash(&row).unwrap()));
        // The walk has seen it, and Notion still reads a trashed page in full: only the next listing lacks it.
        assert_eq!(world.sync().await.totals.pages_removed, 0);
        assert_eq!(world.sweep().await.totals.pages_removed, 1);
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

#[test]
fn a_property_that_cannot_be_read_fails_the_run_names_the_page_and_advances_nothing() {
    run_test(async {
        let world = World::new().await;
        let row = add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(ids(30))));
        let unavailable = Fault::Answer(Answer::notion(500, "internal_server_error", "Unexpected error occurred."));
        world.notion_faults.add(Rule::new(unavailable).path("/properties/").always());
        let message = world.sync_fails(FailureClass::NotionUnavailable).await;
        assert!(message.contains(&row) && message.contains("Tasks"), "{message}");
        assert_eq!(world.truth().await, None);
        world.notion_faults.clear_rules();
        world.sync().await;
        assert_hydrated(&world, &row, 1).await;
        world.end().await;
    });
}

#[test]
fn a_row_that_a_sweep_fetches_is_read_in_full_too() {
    run_test(async {
        let world = World::new().await;
        let row = add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(ids(30))));
        world.edit(|workspace| workspace.trash(&row).unwrap());
        world.sync().await;
        world.advance(3_600);
        world.edit(|workspace| workspace.restore(&row).unwrap());
        let report = world.sweep().await;
        assert_eq!(report.totals.pages_inserted, 1);
        assert_hydrated(&world, &row, 1).await;
        world.assert_table_equals_notion().await;
        world.end().await;
    });
}

/// A world whose rows have `Parts` of which each has `Hours`: the ids of so many parts, of 1, 2, 3, … hours.
async fn world_of_parts(count: u32) -> (World, Vec<String>) {
    let world = World::new().await;
    let ids = world.edit(|workspace| {
        let (_, parts) = workspace.add_table("Parts");
        let part = |number: u32| NewRow::titled(&format!("part {number}")).set("Hours", Value::number(number));
        let ids = (1..=count).map(|number| workspace.add_row(&parts, part(number)).unwrap()).collect();
        workspace.relate(&world.data_source_id, "Parts", &parts).unwrap();
        ids
    });
    (world, ids)
}

fn roll_up(world: &World, functions: &[&str]) {
    world.edit(|workspace| {
        for function in functions {
            workspace.add_rollup(&world.data_source_id, function, ("Parts", "Hours"), function).unwrap();
        }
    });
}

/// What `hydrated_properties` of a row holds of each property, by its name.
async fn hydrated(world: &World, row: &str) -> BTreeMap<String, Json> {
    let Some(text) = world.table().await.remove(row).unwrap().hydrated_properties else { return BTreeMap::new() };
    let entries: BTreeMap<String, Json> = serde_json::from_str(&text).unwrap();
    entries.into_values().map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry)).collect()
}

#[test]
fn rollups_and_formulas_over_a_relation_that_was_cut_are_read_in_full() {
    run_test(async {
        let (world, parts) = world_of_parts(130).await;
        roll_up(&world, &["sum", "max", "show_original", "median", "show_unique"]);
        world.edit(|workspace| {
            let source = &world.data_source_id;
            workspace.add_formula(source, "How many", Formula::Length("Parts")).unwrap();
            workspace.add_formula(source, "Total", Formula::Number("sum")).unwrap();
            workspace.add_property(source, "Others", "relation").unwrap();
            workspace.add_formula(source, "How many others", Formula::Length("Others")).unwrap();
        });
        let many = add(&world, NewRow::titled("Many").set("Parts", Value::relation(&parts)));
        let few = add(&world, NewRow::titled("Few").set("Parts", Value::relation(&parts[..25])));
        let report = world.sync().await;
        assert_eq!(report.totals.pages_hydrated, 1);
        let of_many = hydrated(&world, &many).await;
        let names: Vec<&str> = of_many.keys().map(String::as_str).collect();
        assert_eq!(names, ["How many", "Parts", "Total", "max", "median", "show_original", "show_unique", "sum"]);
        assert_eq!(of_many["sum"]["rollup"], json!({ "type": "number", "number": 8515, "function": "sum" }));
        assert_eq!((&of_many["sum"]["complete"], &of_many["sum"]["items"]), (&json!(true), &json!([])));
        assert_eq!(of_many["max"]["rollup"]["number"], 130);
        assert_eq!(of_many["How many"]["formula"], json!({ "type": "number", "number": 130 }));
        assert_eq!(of_many["Total"]["formula"]["number"], 8515);
        let shown: Vec<&Json> =
            of_many["show_original"]["items"].as_array().unwrap().iter().map(|item| &item["number"]).collect();
        assert_eq!((shown.len(), shown[129], &of_many["show_original"]["complete"]), (130, &json!(130), &json!(true)));
        for function in ["median", "show_unique"] {
            assert_eq!(of_many[function]["complete"], false, "Notion does not compute {function} there");
            assert_eq!(of_many[function]["rollup"]["type"], "unsupported");
        }
        assert!(hydrated(&world, &few).await.is_empty());
        world.assert_table_equals_notion().await;
        assert_eq!(world.full_refresh().await.totals.pages_updated, 0, "read in full, the same");
        world.end().await;
    });
}

/// Paths and queries of the requests since the log was cleared.
fn asked(world: &World) -> Vec<String> {
    world.notion.requests().iter().map(|request| format!("{}?{}", request.path, request.query)).collect()
}

#[test]
fn where_no_rollup_is_cut_no_request_more_is_sent() {
    run_test(async {
        let (world, parts) = world_of_parts(30).await;
        let cut = NewRow::titled("Cut").set("Parts", Value::relation(&parts));
        add(&world, cut.clone());
        world.sync().await;
        let schema = format!("/v1/data_sources/{}?", world.data_source_id);
        let of_properties = |asked: &[String]| asked.iter().filter(|path| path.contains("/properties/")).count();
        let told = asked(&world);
        assert!(!told.contains(&schema) && of_properties(&told) == 1, "no property is computed: {told:?}");
        roll_up(&world, &["sum"]);
        world.clear_logs();
        add(
            &world,
            NewRow::titled("Whole").set("Parts", Value::relation(&parts[..25])).edited(at("2026-11-22T12:00:00Z")),
        );
        world.sync().await;
        let told = asked(&world);
        assert!(!told.contains(&schema) && of_properties(&told) == 0, "no relation was cut: {told:?}");
        // However many rows are cut, the schema is read once.
        for _ in 0..3 {
            add(&world, cut.clone());
        }
        world.clear_logs();
        world.full_refresh().await;
        let told = asked(&world);
        let schemas = told.iter().filter(|path| **path == schema).count();
        assert_eq!((schemas, of_properties(&told)), (1, 8), "{told:?}");
        world.end().await;
    });
}

#[test]
fn a_schema_that_hides_a_rollup_or_cannot_be_read_leaves_no_cut_value() {
    run_test(async {
        let (world, parts) = world_of_parts(30).await;
        roll_up(&world, &["sum"]);
        let row = add(&world, NewRow::titled("Cut").set("Parts", Value::relation(&parts)));
        for schema in [r#"{"Name":{"id":"title","name":"Name","type":"title","title":{}}}"#, r#"{"Name":7}"#, "[]"] {
            world.edit(|workspace| {
                workspace.plant_schema(&world.data_source_id, Some(schema)).unwrap();
                workspace.edit_row(&row, RowEdit::new()).unwrap();
            });
            world.advance(3600);
            world.full_refresh().await;
            assert_eq!(hydrated(&world, &row).await["sum"]["rollup"]["number"], 465, "{schema}");
        }
        world.end().await;
    });
}

#[test]
fn a_rollup_that_notion_refuses_is_marked_incomplete_and_ends_no_run() {
    run_test(async {
        let (world, parts) = world_of_parts(30).await;
        roll_up(&world, &["sum"]);
        let row = add(&world, NewRow::titled("Cut").set("Parts", Value::relation(&parts)));
        let rollup = world.edit(|workspace| workspace.property_id(&world.data_source_id, "sum").unwrap());
        for (status, code, message) in [
            (400, "validation_error", "The rollup depends on pages that are not shared."),
            (404, "object_not_found", "Could not find page with ID: 5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d0001."),
            (404, "object_not_found", "Could not find property."),
        ] {
            let answer = Fault::Answer(Answer::notion(status, code, message));
            world.notion_faults.add(Rule::new(answer).path(&format!("/properties/{rollup}")).always());
            let report = world.full_refresh().await;
            let entry = &hydrated(&world, &row).await["sum"];
            assert_eq!((&entry["complete"], &entry["rollup"]), (&json!(false), &Json::Null));
            let warnings = &report.data_sources[0].warnings;
            assert!(
                warnings.iter().any(|warning| warning.contains("\"sum\"") && warning.contains(&row)),
                "{warnings:?}"
            );
            world.notion_faults.clear_rules();
        }
        world.end().await;
    });
}
