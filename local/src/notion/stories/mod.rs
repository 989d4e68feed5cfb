//! The emulator's own stories, told to the workspace directly (no HTTP but in `http`).

mod cap;
mod cursors;
mod filters;
mod http;
mod lifecycle;
mod oddities;
mod shapes;
mod times;
mod truncation;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::api::{self, Incoming};
use super::settings::{DEFAULT_TOKEN, Settings};
use super::world::{NewRow, Workspace};

/// A workspace with one table, at rest at 13:00.
struct Notion {
    world: Workspace,
    database: String,
    source: String,
}

/// An answer, read.
struct Answered {
    status: u16,
    text: String,
    json: Json,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Notion {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let mut world = Workspace::new(settings);
        world.set_now(at("2026-11-22T13:00:20.500Z"));
        let (database, source) = world.add_table("Projects");
        Self { world, database, source }
    }

    /// Rows `Row 1`, `Row 2` …, one a minute from 09:00 on, 700 ms into it.
    fn with_rows(mut self, count: u32) -> Self {
        for number in 1..=count {
            let created = at("2026-11-01T09:00:00.700Z") + jiff::SignedDuration::from_mins(i64::from(number - 1));
            self.add(NewRow::titled(&format!("Row {number}")).created(created));
        }
        self
    }

    fn add(&mut self, row: NewRow) -> String {
        self.world.add_row(&self.source, row).unwrap()
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Answered {
        self.ask_version(method, path, body, "2026-03-11")
    }

    fn ask_version(&mut self, method: &str, path: &str, body: &str, version: &str) -> Answered {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Incoming {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            token: Some(DEFAULT_TOKEN.to_owned()),
            notion_version: Some(version.to_owned()),
            body: body.as_bytes().to_vec(),
        };
        let outgoing = api::answer(&mut self.world, &request);
        let json = serde_json::from_str(&outgoing.body).unwrap_or_default();
        Answered { status: outgoing.status, text: outgoing.body, json }
    }

    fn query(&mut self, body: &Json) -> Answered {
        let path = format!("/v1/data_sources/{}/query", self.source);
        self.ask("POST", &path, &body.to_string())
    }

    fn page(&mut self, id: &str) -> Answered {
        self.ask("GET", &format!("/v1/pages/{id}"), "")
    }

    /// All pages of a query's walk.
    fn walk(&mut self, body: &Json) -> Vec<Answered> {
        let mut body = body.clone();
        let mut pages = Vec::new();
        loop {
            let page = self.query(&body);
            assert_eq!(page.status, 200, "{}", page.text);
            body["start_cursor"] = page.json["next_cursor"].clone();
            pages.push(page);
            if body["start_cursor"].is_null() {
                return pages;
            }
        }
    }

    /// The titles a walk shows.
    fn titles(&mut self, body: &Json) -> Vec<String> {
        self.walk(body).iter().flat_map(Answered::titles).collect()
    }
}

impl Answered {
    fn titles(&self) -> Vec<String> {
        let rows = self.json["results"].as_array().cloned().unwrap_or_default();
        let title = |row: &Json| row["properties"]["Name"]["title"][0]["plain_text"].as_str().unwrap_or("").to_owned();
        rows.iter().map(title).collect()
    }

    fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or("")
    }

    fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or("")
    }

    fn cursor(&self) -> String {
        self.json["next_cursor"].as_str().unwrap_or("").to_owned()
    }
}

fn oldest_first() -> Json {
    json!({ "sorts": [{ "timestamp": "created_time", "direction": "ascending" }], "result_type": "page" })
}

fn with(mut body: Json, key: &str, value: Json) -> Json {
    body[key] = value;
    body
}
