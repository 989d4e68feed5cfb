//! Rules about the source itself: which module may import which, how long files are, what no file may hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rooms of the product from the ground floor up. A room may import the rooms that stand before it in this list, so arrows
/// point one way and there is no cycle. Adding or removing a legal import changes nothing here.
const FLOORS: &[&str] = &[
    "output",
    "failure",
    "ids",
    "placeholder",
    "action",
    "run",
    "telemetry",
    "metrics",
    "event",
    "http",
    "aws",
    "notion",
    "databricks",
    "warehouse",
    "watermark",
    "views",
    "sync",
    "config",
    "clients",
    "actions",
    "app",
    "lambda",
    "cli",
    "bin/cli",
    "bin/lambda",
];

/// Longest file, lines of the product (what stands above the unit tests).
const MAX_LINES: usize = 400;

/// Files that are longer, each with its reason; none at present.
const LONG_FILES: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The tracked files and those about to be, relative to the root.
pub(crate) fn project_files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<String> =
        names.split('\0').filter(|name| !name.is_empty() && root().join(name).is_file()).map(str::to_owned).collect();
    assert!(files.len() > 100, "this is the whole project: {}", files.len());
    files
}

pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rust_files(folder: &str) -> Vec<String> {
    let is_ours = |name: &String| name.starts_with(folder) && name.ends_with(".rs");
    project_files().into_iter().filter(is_ours).collect()
}

/// The module a file belongs to (`src/sync/walk/order.rs` → `sync`), and how deep it lies (3).
fn module_of(file: &str) -> (String, usize) {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let parts: Vec<&str> = path.split('/').collect();
    let module = if parts[0] == "bin" { path.to_owned() } else { parts[0].to_owned() };
    (module, parts.len())
}

/// A file's code without comments and without its unit tests.
fn code(text: &str) -> String {
    let lines = text.lines().take(product_lines(text));
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Lines above the unit tests, which stand at the end of a file.
fn product_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module = |index: &usize| {
        lines[*index].starts_with("#[cfg(test)]") && lines.get(index + 1).is_some_and(|next| next.contains("mod tests"))
    };
    (0..lines.len()).find(is_test_module).unwrap_or(lines.len())
}

/// The names after each `crate::` (or the package's own name), and imports in a form that would evade the floors.
fn imports(code: &str, package: &str) -> Result<BTreeSet<String>, String> {
    let prefix = format!("{package}::");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&prefix) {
        let is_whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + prefix.len()..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if is_whole_word && name.is_empty() {
            return Err(format!("`{prefix}{}`: name one module per import", rest.chars().next().unwrap_or(' ')));
        }
        if is_whole_word {
            found.insert(name);
        }
    }
    let evasions = [format!("use {package};"), format!("{package} as "), "#[path".to_owned(), "include!(".to_owned()];
    match evasions.iter().find(|evasion| code.contains(evasion.as_str())) {
        Some(evasion) => Err(format!("`{evasion}` hides what is imported")),
        None => Ok(found),
    }
}

/// The longest chain of `super::`.
fn supers(code: &str) -> usize {
    (1..6).take_while(|length| code.contains(&"super::".repeat(*length))).last().unwrap_or(0)
}

#[test]
fn imports_point_one_way() {
    let floor = |room: &str| FLOORS.iter().position(|name| *name == room);
    let mut rooms = BTreeSet::new();
    let mut problems = Vec::new();
    for file in rust_files("src/").into_iter().filter(|file| file != "src/lib.rs" && !file.ends_with("/tests.rs")) {
        let (room, depth) = module_of(&file);
        let is_binary = room.starts_with("bin/");
        let text = code(&read(&file));
        let (own, foreign) = if is_binary { ("notion_sync", "crate") } else { ("crate", "notion_sync") };
        match imports(&text, own) {
            Ok(names) => {
                let upward = names.iter().filter(|name| **name != room && floor(name) >= floor(&room));
                problems.extend(upward.map(|name| format!("{file}: {room} imports {name}, which stands above it")));
                let unknown = names.iter().filter(|name| floor(name).is_none());
                problems.extend(unknown.map(|name| format!("{file}: {name} is not in FLOORS")));
            }
            Err(problem) => problems.push(format!("{file}: {problem}")),
        }
        if imports(&text, foreign).is_ok_and(|names| !names.is_empty()) {
            problems.push(format!("{file}: `{foreign}::` has no place here, use `{own}::`"));
        }
        if supers(&text) >= depth && !is_binary {
            problems.push(format!("{file}: `super::` leads out of {room}; import by `crate::`"));
        }
        rooms.insert(room);
    }
    problems.extend(rooms.iter().filter(|room| floor(room).is_none()).map(|room| format!("{room} is not in FLOORS")));
    let gone = FLOORS.iter().filter(|room| !rooms.contains(**room));
    problems.extend(gone.map(|room| format!("FLOORS names {room}, which is no room")));
    assert!(problems.is_empty(), "see FLOORS in {}:\n{}", file!(), problems.join("\n"));
}

#[test]
fn imports_that_evade_the_floors_are_seen() {
    let names = |code: &str| imports(code, "crate").map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
    assert_eq!(names("use crate::sync::Engine;\nlet x = crate::http::client();").as_deref(), Ok("http sync"));
    for evasion in
        ["use crate::{http, sync};", "use crate::*;", "use crate as product;", "#[path = \"../x.rs\"] mod x;"]
    {
        assert!(names(evasion).is_err(), "{evasion}");
    }
    assert_eq!(supers("use super::super::row::row;"), 2);
    assert_eq!(module_of("src/sync/walk/order.rs"), ("sync".to_owned(), 3));
    assert_eq!(module_of("src/sync/mod.rs"), ("sync".to_owned(), 1));
    assert_eq!(module_of("src/bin/cli.rs"), ("bin/cli".to_owned(), 2));
    assert_eq!(code("a // crate::x\n#[cfg(test)]\nmod tests {\nb"), "a ");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<(String, usize)> = rust_files("src/")
        .into_iter()
        .chain(rust_files("local/src/"))
        .map(|file| (product_lines(&read(&file)), file))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, file)| (file, lines))
        .collect();
    let excused: Vec<&str> =
        LONG_FILES.iter().filter(|(_, reason)| !reason.is_empty()).map(|(file, _)| *file).collect();
    let names: Vec<&str> = long.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(names, excused, "split them, or give a reason in LONG_FILES (sorted): {long:?}");
}

#[test]
fn nothing_is_left_for_later_and_no_lint_is_switched_off() {
    // Put together here, so that this file does not hold what it looks for.
    let words = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let lints = [concat!("#[all", "ow("), concat!("#![all", "ow(")];
    for file in project_files().iter().filter(|file| file.ends_with(".rs")) {
        let text = read(file);
        for word in words.iter().chain(&lints) {
            assert!(!text.contains(word), "{file} holds {word}");
        }
    }
}

#[test]
fn the_lambda_knows_nothing_of_the_local_stack() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            "notion-sync",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo shows the tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("lambda_runtime v")), "this is the Lambda's tree: {tree}");
    for family in ["arrow", "axum", "spark-connect", "tonic", "prost", "datafusion", "proptest", "insta"] {
        let is_of_family = |line: &&str| {
            let name = line.split(' ').next().unwrap_or_default();
            name == family || name.starts_with(&format!("{family}-"))
        };
        assert_eq!(tree.lines().find(is_of_family), None, "the Lambda must not depend on it");
    }
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    // Put together here, so that this file does not hold what it looks for.
    let folders = ["work", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let registries =
        [concat!("index", "-url"), concat!("extra-", "index"), concat!("replace-", "with"), concat!("sparse", "+http")];
    for file in project_files() {
        let Ok(text) = String::from_utf8(std::fs::read(root().join(&file)).unwrap()) else { continue };
        for (number, line) in text.lines().enumerate() {
            let is_start = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}>*".contains(c));
            let path = folders.iter().find(|folder| line.match_indices(folder.as_str()).any(|(at, _)| is_start(at)));
            assert_eq!(path, None, "{file}:{}: {line}", number + 1);
            let registry = registries.iter().find(|registry| line.contains(**registry) && !line.contains("no-emit-"));
            assert_eq!(registry, None, "{file}:{}: {line}", number + 1);
        }
        if Path::new(&file).file_name().is_some_and(|name| name == "Cargo.lock") {
            let own = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
            let other = text.lines().find(|line| line.starts_with("source = ") && *line != own);
            assert_eq!(other, None, "crates come from crates.io alone");
        }
    }
}

/// The product's files that hold one of these, unit tests left out.
fn product_files_with(marks: &[&str]) -> Vec<String> {
    let holds = |file: &String| {
        // It changes nothing.
        let text = code(&read(file)).replace("SHOW CREATE TABLE", "");
        marks.iter().any(|mark| text.contains(mark))
    };
    let is_product = |file: &String| !file.ends_with("/tests.rs");
    rust_files("src/").into_iter().filter(is_product).filter(holds).collect()
}

#[test]
fn ddl_is_in_init_tables_alone() {
    let texts =
        ["CREATE TABLE", "CREATE SCHEMA", "ALTER TABLE", "DROP ", "TRUNCATE ", "RESTORE TABLE", "OPTIMIZE ", "VACUUM "];
    assert_eq!(product_files_with(&texts), ["src/warehouse/tables.rs"]);
    // Views hold no rows: they follow the schema in Notion, so the run that sees it move makes them.
    assert_eq!(product_files_with(&["CREATE OR REPLACE", "CREATE VIEW", "ALTER VIEW"]), ["src/views/text.rs"]);
    let makers = [
        "create_table(",
        "create_plain_table(",
        "create_schema(",
        "add_columns(",
        "set_properties(",
        "set_clustering(",
    ];
    assert_eq!(product_files_with(&makers), ["src/actions/init_tables.rs", "src/warehouse/tables.rs"]);
}

#[test]
fn environment_clock_and_clients_are_reached_in_one_place_each() {
    assert_eq!(product_files_with(&["env::var", "env::temp", "env::home"]), ["src/config/variables.rs"]);
    assert_eq!(product_files_with(&["SystemTime", "Timestamp::now", "Zoned::now"]), ["src/run/clock.rs"]);
    assert_eq!(
        product_files_with(&["Client::builder()", "reqwest::Client::new", "ClientBuilder"]),
        ["src/http/mod.rs"]
    );
    // Text leaves by the exit that redacts and escapes; the command line asks whether a terminal is there, and where its bar
    // is drawn.
    assert_eq!(
        product_files_with(&["stdout()", "stderr()"]),
        ["src/cli/mod.rs", "src/cli/progress.rs", "src/output/mod.rs"]
    );
    assert_eq!(product_files_with(&["println!", "print!(", "eprint", "dbg!"]), Vec::<String>::new());
    let mains = ["src/bin/cli.rs", "src/bin/lambda.rs"].map(|file| code(&read(file)));
    assert!(
        mains.iter().all(|main| main.contains("async fn main() -> ExitCode")),
        "a failure that `main` returns is printed as it is"
    );
}
