//! What actions other than sync and sweep found, as tables: `status` and `list-databases` by their meaning, any other
//! list of objects by its keys.

use comfy_table::Cell;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::render::{grouped, minute, new_table, right};
use crate::run::report::Report;

/// Widest line of a cell that holds text for people.
const CELL_WIDTH: usize = 90;
/// Keys that come first among the columns of a table by keys, in this order; the rest follow by name.
const FIRST_KEYS: [&str; 4] = ["dependency", "table", "database", "ok"];

/// The table of a report's items.
pub(super) fn table(report: &Report) -> String {
    match report.action {
        "status" => status_table(&report.items),
        "list-databases" => databases_table(&report.items),
        "views" if report.items.iter().any(|item| item["sql"].is_string()) => statements(&report.items),
        _ => table_by_keys(&report.items),
    }
}

/// The SQL of views, to be copied as it is.
fn statements(items: &[Value]) -> String {
    let texts: Vec<String> = items.iter().filter_map(|item| Some(format!("{};", item["sql"].as_str()?))).collect();
    texts.join("\n\n")
}

/// One row a database: where it stands, who works on it, how the last run ended.
fn status_table(items: &[Value]) -> String {
    let header = ["database", "synced through", "lag", "unfinished", "lease", "last run"];
    let mut table = new_table(header.map(str::to_owned).into_iter());
    for item in items {
        let lag = item["lag_seconds"].as_i64().map_or_else(|| "-".to_owned(), duration);
        let sources = item["data_sources"].as_array().map_or(&[][..], Vec::as_slice);
        let unfinished = match sources {
            [] => "-",
            sources if sources.iter().any(|source| !source["resume"].is_null()) => "yes",
            _ => "no",
        };
        let synced_through =
            item["error"]["class"].as_str().map_or_else(|| time(&item["synced_through"]), str::to_owned);
        table.add_row([
            Cell::new(cell_text(&item["database"])),
            Cell::new(synced_through),
            right(lag),
            Cell::new(unfinished),
            Cell::new(lease(item)),
            Cell::new(last_run(&item["last_run"])),
        ]);
    }
    table.trim_fmt()
}

/// Who works on the database: `-` = unknown, because there is no state table or it is down.
fn lease(item: &Value) -> String {
    match item.get("lease") {
        None => "-".to_owned(),
        Some(Value::Null) => "free".to_owned(),
        Some(held) => format!("held until {} by run {}", cell_text(&held["until"]), cell_text(&held["run_id"])),
    }
}

/// `sync complete 3m ago`, `sync failed 3m ago (NotionUnauthorized)`.
fn last_run(run: &Value) -> String {
    if !run.is_object() {
        return "-".to_owned();
    }
    let age = run["age_seconds"].as_i64().map_or_else(|| cell_text(&run["started_at"]), |age| duration(age) + " ago");
    let class = run["error_class"].as_str().map_or_else(String::new, |class| format!(" ({class})"));
    format!("{} {} {age}{class}", cell_text(&run["action"]), cell_text(&run["outcome"]))
}

/// One row a data source; a database that could not be asked gets one row with its failure's class.
fn databases_table(items: &[Value]) -> String {
    let header = ["database", "database id", "data source", "data source id", "synced through"];
    let mut table = new_table(header.map(str::to_owned).into_iter());
    for item in items {
        let mut names = [cell_text(&item["database"]), cell_text(&item["database_id"])];
        let sources = item["data_sources"].as_array().map_or(&[][..], Vec::as_slice);
        for source in sources {
            let [database, id] = std::mem::take(&mut names);
            let source = [&source["name"], &source["data_source_id"]]
                .map(cell_text)
                .into_iter()
                .chain([time(&source["synced_through"])]);
            table.add_row([database, id].into_iter().chain(source));
        }
        if sources.is_empty() {
            let [database, id] = names;
            let instead = item["error"]["class"].as_str().unwrap_or("none").to_owned();
            table.add_row([database, id, instead, String::new(), String::new()]);
        }
    }
    table.trim_fmt()
}

/// Any list of objects: one column a key.
fn table_by_keys(items: &[Value]) -> String {
    let empty = Map::new();
    let objects: Vec<&Map<String, Value>> = items.iter().map(|item| item.as_object().unwrap_or(&empty)).collect();
    let mut keys: Vec<&str> =
        FIRST_KEYS.into_iter().filter(|name| objects.iter().any(|object| object.contains_key(*name))).collect();
    for name in objects.iter().flat_map(|object| object.keys()) {
        if !keys.contains(&name.as_str()) {
            keys.push(name);
        }
    }
    let mut table = new_table(keys.iter().map(|name| name.replace('_', " ")));
    for object in objects {
        table.add_row(keys.iter().map(|name| {
            let value = object.get(*name).unwrap_or(&Value::Null);
            let text = wrapped(&cell_text(value));
            if value.is_number() { right(text) } else { Cell::new(text) }
        }));
    }
    table.trim_fmt()
}

/// A value as a cell: text bare, lists one entry a line, objects as `key value` pairs.
fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::Array(values) => values.iter().map(cell_text).collect::<Vec<_>>().join("\n"),
        Value::Object(object) => {
            object.iter().map(|(name, value)| format!("{name} {}", cell_text(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The text with line feeds between words, so that no line is wider than a cell (a longer word stays whole).
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= CELL_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn time(value: &Value) -> String {
    let at = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    at.map_or_else(|| cell_text(value), minute)
}

/// Whole seconds as a person says them: `2m 5s`.
fn duration(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::RunId;

    fn shown(action: &'static str, items: Vec<Value>) -> String {
        let mut report = Report::begin(action, RunId::random(), Timestamp::UNIX_EPOCH);
        report.items = items;
        table(&report)
    }

    #[test]
    fn health_is_a_table_of_its_keys() {
        let items = vec![
            json!({"dependency": "notion", "ok": true, "detail": "the token is accepted"}),
            json!({"dependency": "databricks", "ok": false, "class": "DatabricksForbidden", "detail": "answered 403",
                   "missing": ["a", "b"], "milliseconds": 1234}),
        ];
        insta::assert_snapshot!(shown("health", items), @r"
         dependency  ok   detail                 class                milliseconds  missing
        ────────────────────────────────────────────────────────────────────────────────────
         notion      yes  the token is accepted  -                    -             -
         databricks  no   answered 403           DatabricksForbidden         1,234  a
                                                                                    b
        ");
    }

    #[test]
    fn the_sql_of_views_is_shown_as_it_is() {
        let long = format!("CREATE OR REPLACE VIEW v AS SELECT {}", "a, ".repeat(80));
        let items = vec![json!({"view": "v", "sql": long}), json!({"view": "w", "sql": "SELECT 1"})];
        assert_eq!(shown("views", items), format!("{long};\n\nSELECT 1;"));
    }

    #[test]
    fn a_long_text_is_wrapped_between_words() {
        let text = "a reason of some length ".repeat(20);
        assert!(wrapped(&text).lines().all(|line| line.chars().count() <= CELL_WIDTH));
        assert_eq!(wrapped(&text).replace('\n', " "), text);
    }

    #[test]
    fn status_is_a_row_a_database() {
        let running = json!({
            "database": "projects", "database_id": "x", "synced_through": "2026-11-22T14:58:00Z", "lag_seconds": 125,
            "data_sources": [{"resume": {"version": 1}}],
            "lease": {"run_id": "run-1", "until": "2026-11-22T15:01:00Z"},
            "last_run": {"action": "sync", "outcome": "failed", "age_seconds": 7260, "error_class": "NotionForbidden"},
        });
        let fresh =
            json!({"database": "risks", "synced_through": null, "data_sources": [], "lease": null, "last_run": null});
        let no_table = json!({"database": "actions", "error": {"class": "TableMissing", "message": "x"}});
        insta::assert_snapshot!(shown("status", vec![running, fresh, no_table]), @r"
         database  synced through     lag    unfinished  lease                                         last run
        ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         projects  2026-11-22 14:58Z  2m 5s  yes         held until 2026-11-22T15:01:00Z by run run-1  sync failed 2h 1m ago (NotionForbidden)
         risks     -                      -  -           free                                          -
         actions   TableMissing           -  -           -                                             -
        ");
    }

    #[test]
    fn databases_are_a_row_a_data_source() {
        let source =
            |name: &str| json!({"data_source_id": "source-id", "name": name, "synced_through": "2026-11-22T14:58:00Z"});
        let items = vec![
            json!({"database": "projects", "database_id": "database-id", "data_sources": [source("2025"), source("2026")]}),
            json!({"database": "risks", "database_id": "database-id", "error": {"class": "SourceAccessLost"}}),
        ];
        insta::assert_snapshot!(shown("list-databases", items), @r"
         database  database id  data source       data source id  synced through
        ────────────────────────────────────────────────────────────────────────────
         projects  database-id  2025              source-id       2026-11-22 14:58Z
                                2026              source-id       2026-11-22 14:58Z
         risks     database-id  SourceAccessLost
        ");
    }
}
