//! The documents say what the code does: tables, classes, codes, samples and links are compared with it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use notion_sync::action::Action;
use notion_sync::cli::INTERRUPTED;
use notion_sync::config::vars;
use notion_sync::event;
use notion_sync::failure::{ExitCode, FailureClass};
use notion_sync::ids::{Database, DatabaseId, DatabaseName};
use notion_sync::metrics;

use crate::support::{World, run_test};
use crate::sync::add_rows;
use crate::tidy::{project_files, read};

const DATA: &str = "docs/DATA.md";
const OPERATIONS: &str = "docs/OPERATIONS.md";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// The part of a document below a heading, up to the next heading of the same level.
pub(crate) fn section(document: &str, heading: &str) -> String {
    let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let text = read(document);
    let mut lines = text.lines().skip_while(|line| *line != heading).skip(1).peekable();
    assert!(lines.peek().is_some(), "{document} has no section {heading:?}");
    let ends_it = |line: &str| (1..=level(heading)).contains(&level(line));
    lines.take_while(|line| !ends_it(line)).collect::<Vec<_>>().join("\n")
}

/// The cells of a table's rows, header and rule left out.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| line.starts_with('|');
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    text.lines().filter(is_row).skip(2).map(cells).collect()
}

#[test]
fn the_readme_has_the_table_of_variables_as_the_code_makes_it() {
    let table = vars::markdown_table();
    assert!(read("README.md").contains(&table), "put this into README.md, section Configuration:\n\n{table}");
}

#[test]
fn the_dbt_sources_name_tables_and_columns_that_there_are() {
    let mut table = String::new();
    let mut columns_seen = 0;
    for line in read("docs/sources.yml").lines() {
        if let Some(name) = line.strip_prefix("      - name: ") {
            table = section(DATA, &format!("### {name}"));
        } else if let Some(name) = line.strip_prefix("          - name: ") {
            let documented = rows(&table).iter().any(|row| row[0].split(", ").any(|cell| cell == format!("`{name}`")));
            assert!(documented, "{DATA} has no column {name} in the table of docs/sources.yml");
            columns_seen += 1;
        }
    }
    assert!(columns_seen > 0, "docs/sources.yml names no column");
}

#[test]
fn tables_of_metrics_are_as_the_code_makes_them() {
    let table = metrics::markdown_table();
    assert!(read(OPERATIONS).contains(&table), "put this into {OPERATIONS}, section Metrics:\n\n{table}");
    assert!(read(OPERATIONS).contains(metrics::NAMESPACE));
    for document in project_files().iter().filter(|file| file.ends_with(".md")) {
        let text = read(document);
        assert!(
            !text.contains("| Metric | Unit |") || text.contains(&table),
            "{document}: its table of metrics is old"
        );
    }
}

#[test]
fn operations_explains_every_failure_class_and_no_other() {
    let text = section(OPERATIONS, "## Failure classes");
    let documented: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let classes: Vec<&str> = FailureClass::ALL.iter().map(|class| class.name()).collect();
    assert_eq!(documented, classes, "one heading per class, in the order of src/failure.rs");
    for class in FailureClass::ALL {
        let part = section(OPERATIONS, &format!("### {class}"));
        let code = format!("Exit code {}.", class.exit_code() as u8);
        for wanted in [code.as_str(), "**Means:**", "**Data:**", "**Do:**"] {
            assert!(part.contains(wanted), "{OPERATIONS}, {class}: no {wanted:?}");
        }
    }
}

#[test]
fn operations_lists_every_class_with_its_first_action_as_the_code_has_it() {
    for class in FailureClass::ALL {
        let (code, passes) = (class.exit_code() as u8, if class.is_transient() { "yes" } else { "no" });
        let link = class.name().to_lowercase();
        let row = format!("| [{class}](#{link}) | {code} | {passes} | {} |", class.remedy());
        assert!(read(OPERATIONS).contains(&row), "put this into {OPERATIONS}, section Failure classes:\n\n{row}");
    }
}

#[test]
fn the_readme_has_every_exit_code_and_no_other() {
    let text = section("README.md", "## Command line");
    let documented: Vec<u8> = rows(&text).iter().filter_map(|row| row[0].trim_matches('`').parse().ok()).collect();
    let families = FailureClass::ALL.iter().map(|class| class.exit_code());
    let mut codes: BTreeSet<u8> = families.chain([ExitCode::Done, ExitCode::Partial]).map(|code| code as u8).collect();
    codes.insert(INTERRUPTED);
    assert_eq!(documented, codes.into_iter().collect::<Vec<_>>());
}

/// The customer's databases, as the samples name them.
fn databases() -> Vec<Database> {
    let names = ["actions", "budget_lines", "programs", "projects", "risks"];
    let database = |(number, name): (usize, &&str)| Database {
        name: DatabaseName::parse(name).unwrap(),
        id: DatabaseId::parse(&format!("be633bf1dfa0436db259571129a590e{number}")).unwrap(),
    };
    names.iter().enumerate().map(database).collect()
}

#[test]
fn every_sample_event_parses_and_stands_in_the_readme() {
    let files = project_files();
    let samples: Vec<&str> = files.iter().filter_map(|file| file.strip_prefix("events/")).collect();
    let documented: Vec<String> =
        rows(&section("README.md", "## Events")).iter().flat_map(|row| samples_in(&row[0])).collect();
    let mut sorted = documented.clone();
    sorted.sort();
    assert_eq!(sorted, samples, "README's table of events lists every sample once");
    let mut actions = BTreeSet::new();
    for sample in samples {
        let request = event::parse(&read(&format!("events/{sample}")), &databases());
        let request = request.unwrap_or_else(|failure| panic!("events/{sample}: {failure:?}"));
        actions.insert(request.action.name());
    }
    let all = ["health", "init-tables", "list-databases", "status", "sweep", "sync", "verify", "views"];
    assert_eq!(actions, all.into(), "a sample of every action: {:?}", Action::Health.name());
}

#[test]
fn every_event_that_the_deployed_schedules_send_is_one_of_ours() {
    let schedules: Vec<serde_json::Value> = serde_json::from_str(&read("infra/expected-schedules.json")).unwrap();
    assert!(schedules.len() >= 15, "three schedules for each of five databases");
    for schedule in schedules {
        let request = event::parse(&schedule["input"].to_string(), &databases());
        let request = request.unwrap_or_else(|failure| panic!("{}: {failure:?}", schedule["schedule"]));
        assert!(request.trigger.is_some() && request.action.database().is_some(), "{}", schedule["schedule"]);
    }
}

/// The file names in backticks in a cell.
fn samples_in(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let files: BTreeSet<String> = project_files().into_iter().collect();
    let mut links = 0;
    for document in files.iter().filter(|file| file.ends_with(".md")) {
        let text = without_code(&read(document));
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { document.clone() } else { resolved(document, path) };
            let is_folder = files.iter().any(|other| other.starts_with(&format!("{}/", file.trim_end_matches('/'))));
            assert!(files.contains(&file) || is_folder, "{document}: the link to {target} leads nowhere");
            let has_anchor = anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            assert!(has_anchor, "{document}: {file} has no heading #{anchor}");
        }
    }
    assert!(links > 10, "the documents link to each other: {links}");
}

/// The queries of a document; those that only Databricks can run are in blocks marked `sql databricks`.
fn queries(document: &str) -> Vec<String> {
    let text = read(document);
    let blocks = text.split("```sql\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim().trim_end_matches(';').to_owned()).collect()
}

#[test]
fn every_query_of_the_documents_runs_and_finds_what_it_should() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 3);
        world.sync().await;
        world.edit(|workspace| workspace.trash(&rows[2]).unwrap());
        world.sweep().await;
        let found = async |document: &str| {
            let mut counts = Vec::new();
            for query in queries(document) {
                let query = query.replace("main.bronze.", &format!("main.{}.", world.schema));
                let rows = world.databricks.query(&query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
                if query.contains("AS name") {
                    let names: BTreeSet<String> = rows.iter().flatten().flatten().cloned().collect();
                    assert!(names.contains("Project 0") && names.contains("Project 1"), "{query}: {rows:?}");
                }
                counts.push(rows.len());
            }
            counts
        };
        assert_eq!(found("README.md").await, [2], "two live rows");
        // Live rows by name and by id, relations, the removed row, all changes, one database, no duplicate.
        assert_eq!(found(DATA).await, [2, 2, 0, 1, 3, 1, 0]);
        world.end().await;
    });
}

/// A document without fenced code, where brackets mean something else.
fn without_code(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

fn resolved(document: &str, path: &str) -> String {
    let mut resolved = PathBuf::new();
    for part in Path::new(document).parent().unwrap().join(path).components() {
        match part {
            Component::ParentDir => assert!(resolved.pop(), "{document}: {path} leads out of the project"),
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved.to_str().unwrap().to_owned()
}

/// The anchors of a document's headings, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let is_heading = |line: &&str| line.starts_with('#');
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    without_code(text).lines().filter(is_heading).map(anchor).collect()
}

#[test]
fn the_architecture_maps_every_room() {
    let map = section(ARCHITECTURE, "## Map");
    for file in project_files() {
        let Some(path) = file.strip_prefix("src/").or_else(|| file.strip_prefix("local/src/")) else { continue };
        let room = path.split_once('/').map_or_else(|| path.to_owned(), |(folder, _)| format!("{folder}/"));
        if matches!(room.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        assert!(map.contains(&format!("`{room}`")), "{ARCHITECTURE}: the map lacks {file}");
    }
}

#[test]
fn every_invariant_and_every_removal_names_tests_that_exist() {
    let sources: String = project_files().iter().filter(|file| file.ends_with(".rs")).map(|file| read(file)).collect();
    for (heading, min_rows) in [("## Invariants", 15), ("### Evidence for a removal", 12)] {
        let rows = rows(&section(ARCHITECTURE, heading));
        assert!(rows.len() >= min_rows, "{heading}: {}", rows.len());
        for row in rows {
            let tests = samples_in(row.last().unwrap());
            assert!(!tests.is_empty(), "no test holds: {}", row[0]);
            for test in tests.iter().filter(|test| !test.contains([' ', '.', '/'])) {
                assert!(
                    sources.contains(&format!("fn {test}(")),
                    "{ARCHITECTURE} names a test that is not there: {test}"
                );
            }
        }
    }
}
