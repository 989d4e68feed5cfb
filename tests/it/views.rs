//! Typed views: what a reader of the views sees, whatever people do to the schema in Notion.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use notion_sync::action::{Action, ViewsRequest};
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::notion::{NewRow, Person, RowEdit, Value};
use serde_json::json;

use crate::support::{World, WorldBuilder, at, run_test};

/// A world with typed views in a schema of its own, `views` says which.
async fn world_of(builder: WorldBuilder) -> (World, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("views_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let world = builder.variable("VIEWS_SCHEMA", &schema).build().await;
    (world, format!("`main`.`{schema}`"))
}

pub(crate) async fn new_world() -> (World, String) {
    world_of(World::builder()).await
}

pub(crate) fn add(world: &World, row: NewRow) -> String {
    let created = at("2026-01-01T00:00:00Z");
    world.edit(|workspace| workspace.add_row(&world.data_source_id, row.created(created).edited(created)).unwrap())
}

/// The cells that a query answers.
pub(crate) async fn ask(world: &World, sql: &str) -> Vec<Vec<Option<String>>> {
    world.databricks.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// One column of the view `projects` by the title of the row.
async fn by_title(world: &World, views: &str, column: &str) -> BTreeMap<String, Option<String>> {
    let rows = ask(world, &format!("SELECT name, {column} FROM {views}.projects")).await;
    rows.into_iter()
        .map(|cells| {
            let [title, value]: [Option<String>; 2] = cells.try_into().unwrap();
            (title.unwrap_or_default(), value)
        })
        .collect()
}

/// An item as it stands in the report.
fn shown(item: &notion_sync::run::items::Item) -> serde_json::Value {
    serde_json::to_value(item).unwrap()
}

fn views_action(world: &World, print: bool, force: bool) -> Action {
    Action::Views(ViewsRequest { database: world.app().config().databases[0].name.clone(), print, force })
}

async fn make_views(world: &World, force: bool) -> Report {
    let report = world.run(&views_action(world, false, force), Deadline::none()).await;
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
    report
}

/// State of each view that the report tells of.
fn states(report: &Report) -> BTreeMap<String, String> {
    let short = |name: &str| name.rsplit('.').next().unwrap().to_owned();
    report
        .items
        .iter()
        .map(|item| serde_json::to_value(item).unwrap())
        .map(|item| (short(item["view"].as_str().unwrap()), item["state"].as_str().unwrap().to_owned()))
        .collect()
}

const SHARED: [&str; 3] = ["notion_options", "notion_people", "notion_relations"];

/// What the views are, each made, unchanged, or left alone.
fn all_are(state: &str) -> BTreeMap<String, String> {
    SHARED.iter().copied().chain(["projects"]).map(|name| (name.to_owned(), state.to_owned())).collect()
}

fn cell(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_renamed_property_keeps_its_column_and_rows_that_were_not_edited_keep_their_value() {
    run_test(async {
        let (world, views) = new_world().await;
        add(&world, NewRow::titled("A").set("Hours", Value::number("8")));
        let edited = add(&world, NewRow::titled("B").set("Hours", Value::number("9")));
        let report = world.full_refresh().await;
        assert_eq!(states(&report), all_are("made"));
        world.advance(3600);
        world.edit(|workspace| {
            workspace.rename_property(&world.data_source_id, "Hours", "Effort `x` \u{27} \n🚀").unwrap();
            workspace.edit_row(&edited, RowEdit::new().set("Effort `x` \u{27} \n🚀", Value::number("10"))).unwrap();
        });
        world.advance(3600);
        world.sync().await;
        let report = world.sweep().await;
        assert_eq!(report.schema_changes, 1, "{:?}", report.items);
        assert_eq!(shown(&report.items[0])["schema_changes"][0]["change"], "property_renamed");
        assert_eq!(shown(&report.items[0])["state"], "made");
        let hours = by_title(&world, &views, "hours").await;
        assert_eq!(hours, [("A", "8.0"), ("B", "10.0")].map(|(title, value)| (title.to_owned(), cell(value))).into());
        let text = ask(&world, &format!("SHOW CREATE TABLE {views}.projects")).await.remove(0).remove(0).unwrap();
        assert!(text.contains("`hours` COMMENT 'Effort `x` \\'  🚀 (number, id "), "{text}");
        world.end().await;
    });
}

#[test]
fn swapped_names_swap_nothing() {
    run_test(async {
        let (world, views) = new_world().await;
        add(&world, NewRow::titled("A").set("Plan", Value::number("1")).set("Actual", Value::number("2")));
        world.full_refresh().await;
        world.edit(|workspace| {
            for (from, to) in [("Plan", "x"), ("Actual", "Plan"), ("x", "Actual")] {
                workspace.rename_property(&world.data_source_id, from, to).unwrap();
            }
        });
        // Every row is read again, under its new names.
        world.full_refresh().await;
        let rows = ask(&world, &format!("SELECT plan, actual FROM {views}.projects")).await;
        assert_eq!(rows, [[cell("1.0"), cell("2.0")]]);
        world.end().await;
    });
}

/// A property of a planted schema.
fn property(name: &str, id: &str, kind: &str, settings: &str) -> String {
    let name = json!(name);
    format!(r#"{name}:{{"id":"{id}","name":{name},"description":null,"type":"{kind}","{kind}":{settings}}}"#)
}

fn plant(world: &World, properties: &[String]) {
    let text = format!("{{{}}}", properties.join(","));
    world.edit(|workspace| workspace.plant_schema(&world.data_source_id, Some(&text)).unwrap());
}

fn title() -> String {
    property("Name", "title", "title", "{}")
}

/// A row of planted properties, below its title.
fn planted(title: &str, properties: &str) -> NewRow {
    NewRow::default().raw_properties(format!(
        r#"{{"Name":{{"id":"title","type":"title","title":[{{"type":"text","plain_text":"{title}"}}]}}{properties}}}"#
    ))
}

#[test]
fn a_property_made_again_under_its_old_name_and_one_of_another_type_are_new_columns() {
    run_test(async {
        let (world, views) = new_world().await;
        plant(&world, &[title(), property("Hours", "aaaa", "number", "{}"), property("Link", "llll", "url", "{}")]);
        add(
            &world,
            planted(
                "old",
                r#","Hours":{"id":"aaaa","type":"number","number":1},"Link":{"id":"llll","type":"url","url":"u"}"#,
            ),
        );
        world.full_refresh().await;
        // Hours was deleted and made again; the link is an e-mail address now, which is text, too.
        plant(&world, &[title(), property("Hours", "bbbb", "number", "{}"), property("Link", "llll", "email", "{}")]);
        add(
            &world,
            planted(
                "new",
                r#","Hours":{"id":"bbbb","type":"number","number":2},"Link":{"id":"llll","type":"email","email":"e"}"#,
            ),
        );
        world.advance(3600);
        world.sync().await;
        world.sweep().await;
        let columns = world.databricks.query(&format!("SELECT column_name, property_id, seen_to IS NULL FROM main.{}.notion_columns WHERE part = 'value' ORDER BY position", world.schema)).await.unwrap();
        let names: Vec<String> = columns.iter().map(|row| row[0].clone().unwrap()).collect();
        assert_eq!(&names[..3], ["name", "hours", "link"]);
        let again = &names[3];
        assert!(again.starts_with("hours_") && again.len() == 10, "{again}");
        let present: Vec<bool> = columns.iter().map(|row| row[2].as_deref() == Some("true")).collect();
        assert_eq!(present, [true, false, true, true]);
        assert_eq!(
            by_title(&world, &views, again).await,
            [("old".to_owned(), None), ("new".to_owned(), cell("2.0"))].into()
        );
        // The old row's link is none of the new type: NULL, and counted.
        assert_eq!(
            by_title(&world, &views, "link").await,
            [("old".to_owned(), None), ("new".to_owned(), cell("e"))].into()
        );
        let unread = by_title(&world, &views, "page_unread_columns").await;
        assert_eq!(unread, [("old".to_owned(), cell(r#"["link"]"#)), ("new".to_owned(), cell("[]"))].into());
        // A number that becomes text is another column, and comes back to its own when it is a number again.
        plant(&world, &[title(), property("Hours", "bbbb", "rich_text", "{}")]);
        let report = world.sweep().await;
        assert_eq!(shown(&report.items[0])["schema_changes"][0]["change"], "property_retyped", "{:?}", report.warnings);
        plant(&world, &[title(), property("Hours", "bbbb", "number", "{}")]);
        world.sweep().await;
        assert_eq!(by_title(&world, &views, again).await["new"], cell("2.0"));
        let versions = ask(
            &world,
            &format!("SELECT count(*), count(DISTINCT schema_sha256) FROM main.{}.notion_schemas", world.schema),
        )
        .await;
        assert_eq!(versions, [[cell("4"), cell("4")]]);
        world.end().await;
    });
}

#[test]
fn a_renamed_option_is_right_on_rows_that_were_not_read_again_and_needs_no_other_view() {
    run_test(async {
        let (world, views) = new_world().await;
        add(
            &world,
            NewRow::titled("A").set("Stage", Value::select("Open")).set("Tags", Value::multi_select(&["x", "y"])),
        );
        world.full_refresh().await;
        world.edit(|workspace| {
            workspace.rename_option(&world.data_source_id, "Stage", "Open", "To do").unwrap();
            workspace.rename_option(&world.data_source_id, "Tags", "y", "why").unwrap();
        });
        world.advance(3600);
        let report = world.sweep().await;
        assert_eq!((report.schema_changes, states(&report)), (2, all_are("unchanged")));
        let rows = ask(&world, &format!("SELECT stage, tags FROM {views}.projects")).await;
        assert_eq!(rows, [[cell("To do"), cell(r#"["x","why"]"#)]]);
        let options = ask(
            &world,
            &format!("SELECT property_name, option_name, position FROM {views}.notion_options ORDER BY 1, 3"),
        )
        .await;
        assert_eq!(
            options,
            [["Stage", "To do", "0"], ["Tags", "x", "0"], ["Tags", "why", "1"]].map(|row| row.map(cell))
        );
        world.end().await;
    });
}

#[test]
fn a_further_data_source_gets_a_view_of_its_own_and_removed_rows_are_in_none() {
    run_test(async {
        let (world, views) = new_world().await;
        let gone = add(&world, NewRow::titled("gone"));
        for number in 0..5 {
            add(&world, NewRow::titled(&format!("stays {number}")));
        }
        world.full_refresh().await;
        let second = world.edit(|workspace| {
            workspace.trash(&gone).unwrap();
            let second = workspace.add_data_source(&world.database_id, "Sub Projects!").unwrap();
            workspace.add_row(&second, NewRow::titled("in the second")).unwrap();
            second
        });
        world.advance(3600);
        let removed_in = world.sync().await.totals.pages_removed;
        let report = world.sweep().await;
        assert_eq!(removed_in + report.totals.pages_removed, 1);
        assert_eq!(by_title(&world, &views, "name").await.len(), 5);
        let rows = ask(&world, &format!("SELECT name FROM {views}.projects__sub_projects")).await;
        assert_eq!(rows, [[cell("in the second")]]);
        // Its name is another one now, its view keeps its own.
        world.edit(|workspace| workspace.rename_data_source(&second, "Parts").unwrap());
        let report = world.sweep().await;
        assert_eq!(states(&report)["projects__sub_projects"], "made");
        world.end().await;
    });
}

#[test]
fn where_no_schema_moved_nothing_is_asked_of_the_warehouse() {
    run_test(async {
        let (world, views) = new_world().await;
        add(&world, NewRow::titled("A"));
        world.full_refresh().await;
        world.clear_logs();
        world.advance(600);
        let reads_a_schema = |world: &World| {
            let path = format!("/v1/data_sources/{}", world.data_source_id);
            world.notion.requests().iter().any(|request| request.path == path)
        };
        world.sync().await;
        assert!(world.statements().is_empty() && !reads_a_schema(&world), "an idle sync looks at no schema");
        let report = world.sweep().await;
        let about_views: Vec<String> = world
            .statements()
            .into_iter()
            .filter(|text| text.contains(&views) || text.contains("notion_schemas") || text.contains("notion_columns"))
            .collect();
        assert!(about_views.is_empty(), "{about_views:?}");
        assert!(reads_a_schema(&world) && report.items.is_empty());
        assert_eq!(states(&make_views(&world, false).await), all_are("unchanged"));
        world.end().await;
    });
}

#[test]
fn a_view_that_a_person_changed_stays_until_it_is_forced() {
    run_test(async {
        let (world, views) = new_world().await;
        add(&world, NewRow::titled("A"));
        world.full_refresh().await;
        ask(&world, &format!("CREATE OR REPLACE VIEW {views}.projects AS SELECT 'mine' AS name")).await;
        world.edit(|workspace| workspace.add_property(&world.data_source_id, "Hours", "number").unwrap());
        let report = world.sweep().await;
        assert_eq!(
            states(&report).get("projects").map(String::as_str),
            Some("changed_by_hand"),
            "{:?}",
            report.warnings
        );
        assert!(
            report.warnings.iter().any(|warning| warning.contains("projects was changed by hand")),
            "{:?}",
            report.warnings
        );
        assert_eq!(ask(&world, &format!("SELECT name FROM {views}.projects")).await, [[cell("mine")]]);
        let report = make_views(&world, true).await;
        assert_eq!(states(&report)["projects"], "made");
        assert_eq!(ask(&world, &format!("SELECT name, hours FROM {views}.projects")).await, [[cell("A"), None]]);
        world.end().await;
    });
}

#[test]
fn values_that_notion_cut_are_whole_in_the_views() {
    run_test(async {
        let (world, views) = new_world().await;
        let ids: Vec<String> =
            (0..30_u32).map(|number| format!("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d{number:04x}")).collect();
        let team: Vec<Person> = (0..30).map(|number| Person::named(&format!("Member {number}"))).collect();
        add(&world, NewRow::titled("Epic").set("Tasks", Value::relation(&ids)).set("Team", Value::People(team)));
        world.full_refresh().await;
        let row = ask(&world, &format!("SELECT tasks, size(team), team[29].id IS NOT NULL, team[0].name, page_unread_columns FROM {views}.projects")).await;
        assert_eq!(row, [[cell(&json!(ids).to_string()), cell("30"), cell("true"), cell("Member 0"), cell("[]")]]);
        let links = ask(&world, &format!("SELECT property_name, column_name, position, to_page_id, is_complete FROM {views}.notion_relations ORDER BY position")).await;
        assert_eq!(links.len(), 30);
        assert_eq!(links[29], ["Tasks", "tasks", "29", &ids[29], "true"].map(cell));
        let people =
            ask(&world, &format!("SELECT kind, name, pages FROM {views}.notion_people ORDER BY name LIMIT 100")).await;
        assert!(people.contains(&["user", "Member 7", "1"].map(cell).to_vec()), "{people:?}");
        world.end().await;
    });
}

#[test]
fn views_that_can_not_be_made_fail_no_sync() {
    run_test(async {
        let (world, views) = new_world().await;
        add(&world, NewRow::titled("A"));
        ask(&world, &format!("DROP TABLE main.{}.notion_schemas", world.schema)).await;
        let report = world.full_refresh().await;
        let told = report.warnings.iter().find(|warning| warning.contains("TableMissing")).expect("a warning");
        assert!(told.starts_with("the views were not brought up to date"), "{told}");
        world.assert_table_equals_notion().await;
        let report = world.run(&views_action(&world, false, false), Deadline::none()).await;
        assert_eq!(report.error.unwrap().class.name(), "TableMissing");
        assert!(world.databricks.query(&format!("SELECT * FROM {views}.projects")).await.is_err());
        world.end().await;
    });
}

#[test]
fn a_relation_to_what_is_not_shared_is_named() {
    run_test(async {
        let (world, _) = new_world().await;
        let (database, target) = world.edit(|workspace| workspace.add_table("Secret"));
        world.edit(|workspace| {
            workspace.relate(&world.data_source_id, "Owner", &target).unwrap();
            workspace.share_database(&database, false).unwrap();
        });
        add(&world, NewRow::titled("A"));
        let is_told = |report: &Report| {
            let told = |warning: &String| warning.contains("relation \"Owner\"") && warning.contains(&target);
            report.warnings.iter().any(told)
        };
        assert!(is_told(&world.full_refresh().await));
        assert!(is_told(&make_views(&world, false).await));
        assert!(!is_told(&world.sweep().await), "once a week is enough");
        world.edit(|workspace| workspace.share_database(&database, true).unwrap());
        assert!(!is_told(&make_views(&world, false).await));
        world.end().await;
    });
}

#[test]
fn any_names_make_a_view() {
    run_test(async {
        let (world, views) = new_world().await;
        let long = "long ".repeat(60);
        let names = [
            "Status",
            "status",
            "STATUS",
            "page_id",
            "Page ID",
            "select",
            "   ",
            "🚀",
            "a.b",
            "a b",
            "a`b",
            "it's \"x\"\n\\",
            "予算",
            "Ünïcode",
            "${env}",
            &long,
            &format!("{long}x"),
            "page_unread_columns",
            "Date",
            "Date at",
            "Date end at",
        ];
        let mut properties = vec![title()];
        for (number, name) in names.iter().enumerate() {
            let kind = if *name == "Date" { "date" } else { "number" };
            properties.push(property(name, &format!("id{number:02}%27`"), kind, "{}"));
        }
        let values = names.iter().enumerate().filter(|(_, name)| **name != "Date").map(|(number, name)| {
            format!(r#",{}:{{"id":"id{number:02}%27`","type":"number","number":{number}}}"#, json!(name))
        });
        add(&world, planted("A", &values.collect::<String>()));
        for number in 0..400 {
            properties.push(property(&format!("Property {number}"), &format!("p{number}"), "number", "{}"));
        }
        plant(&world, &properties);
        world.full_refresh().await;
        let columns =
            ask(&world, &format!("SELECT property_id, column_name FROM main.{}.notion_columns", world.schema)).await;
        assert_eq!(columns.len(), 1 + names.len() + 3 + 400);
        let mut chosen = Vec::new();
        for number in (0..names.len()).filter(|number| names[*number] != "Date") {
            let id = format!("id{number:02}%27`");
            let column =
                columns.iter().find(|row| row[0].as_deref() == Some(&id)).and_then(|row| row[1].clone()).unwrap();
            chosen.push((number, column));
        }
        let list: Vec<String> = chosen.iter().map(|(_, column)| format!("`{column}`")).collect();
        let found = ask(&world, &format!("SELECT {} FROM {views}.projects", list.join(", "))).await.remove(0);
        let expected: Vec<Option<String>> = chosen.iter().map(|(number, _)| cell(&format!("{number}.0"))).collect();
        assert_eq!(found, expected, "{chosen:?}");
        world.end().await;
    });
}

#[test]
fn printing_shows_the_sql_and_writes_nothing() {
    run_test(async {
        let (world, views) = new_world().await;
        plant(
            &world,
            &[
                title(),
                property("Hours", "aa%3Da", "number", r#"{"format":"number"}"#),
                property("Stage", "s't", "status", r#"{"options":[],"groups":[]}"#),
                property("Due", "dddd", "date", "{}"),
                property("Tasks", "rrrr", "relation", r#"{"data_source_id":"x"}"#),
                property("Nr", "uuuu", "unique_id", r#"{"prefix":"PRJ"}"#),
            ],
        );
        world.clear_logs();
        let report = world.run(&views_action(&world, true, false), Deadline::none()).await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        assert!(world.statements().iter().all(|text| text.starts_with("SELECT ")), "{:?}", world.statements());
        let items: Vec<serde_json::Value> = report.items.iter().map(shown).collect();
        let texts: Vec<&str> = items.iter().map(|item| item["sql"].as_str().unwrap()).collect();
        let text = texts.join("\n\n").replace(&views, "`main`.`views`").replace(&world.schema, "bronze");
        let text = text.replace(&world.data_source_id, "DATA-SOURCE");
        // The hashes depend on what was replaced.
        let lines = text.lines().filter(|line| !line.starts_with("TBLPROPERTIES"));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
        world.end().await;
    });
}

#[test]
fn a_rollup_over_a_relation_that_was_cut_shows_its_whole_result() {
    run_test(async {
        let (world, views) = new_world().await;
        let source = world.data_source_id.clone();
        let parts: Vec<String> = world.edit(|workspace| {
            let (_, parts) = workspace.add_table("Parts");
            let part = |number: u32| NewRow::titled(&format!("part {number}")).set("Hours", Value::number(number));
            let ids = (1..=30).map(|number| workspace.add_row(&parts, part(number)).unwrap()).collect();
            workspace.relate(&source, "Parts", &parts).unwrap();
            workspace.add_rollup(&source, "Total hours", ("Parts", "Hours"), "sum").unwrap();
            workspace.add_rollup(&source, "Median hours", ("Parts", "Hours"), "median").unwrap();
            workspace.add_rollup(&source, "All hours", ("Parts", "Hours"), "show_original").unwrap();
            ids
        });
        add(&world, NewRow::titled("Many").set("Parts", Value::relation(&parts)));
        add(&world, NewRow::titled("Few").set("Parts", Value::relation(&parts[..2])));
        world.sync().await;
        let number = |text: &str| Some(text.to_owned());
        let totals = by_title(&world, &views, "CAST(total_hours AS BIGINT)").await;
        assert_eq!((&totals["Many"], &totals["Few"]), (&number("465"), &number("3")));
        let medians = by_title(&world, &views, "median_hours").await;
        assert_eq!(medians["Many"], None, "Notion does not compute it in full, and the page's own result is wrong");
        let all = by_title(&world, &views, "CAST(json_array_length(all_hours.array) AS BIGINT)").await;
        assert_eq!((&all["Many"], &all["Few"]), (&number("30"), &number("2")));
        world.end().await;
    });
}
