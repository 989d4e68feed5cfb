//! A client of the running emulator's control interface, for people at a terminal: what is there, and changes to it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::environment::Environment;
use super::loopback;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The emulator did not answer.
    #[error("the Notion emulator at {base_url} does not answer ({source}); start it with `notion-sync-local up`")]
    Unreachable {
        /// The address that was tried.
        base_url: String,
        source: reqwest::Error,
    },
    /// It refused the call.
    #[error("{path}: {message}")]
    Refused { path: String, message: String },
    /// Its answer has another shape.
    #[error("{path}: the answer could not be read: {source}")]
    Unreadable { path: String, source: serde_json::Error },
    /// No database of that name or id.
    #[error("no database {name:?}; there are: {known}")]
    UnknownDatabase {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The properties given are no JSON object.
    #[error("--properties: {0}")]
    Properties(serde_json::Error),
}

/// A database as the control interface lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedDatabase {
    pub id: String,
    /// Its name in Notion.
    pub name: String,
    /// Its data sources.
    pub data_sources: Vec<ListedDataSource>,
}

/// A data source as the control interface lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedDataSource {
    pub id: String,
    /// Its name in Notion.
    pub name: String,
    /// The number of rows that live there, archived ones and those in the trash too.
    pub rows: usize,
}

/// A row as the control interface lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedRow {
    pub id: String,
    pub title: String,
    /// With the milliseconds that Notion hides.
    pub last_edited_time: String,
    /// True if it is in the archived partition.
    pub is_archived: bool,
    /// True if it is in the trash.
    pub in_trash: bool,
}

/// A change of a row other than an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowAction {
    /// Into the archived partition.
    Archive,
    /// Out of it.
    Unarchive,
    /// Into the trash.
    Trash,
    /// Out of it.
    Restore,
}

impl RowAction {
    fn path(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Unarchive => "unarchive",
            Self::Trash => "trash",
            Self::Restore => "restore",
        }
    }
}

/// Talks to the emulator of a stack that runs elsewhere on this machine.
#[derive(Debug, Clone)]
pub struct ControlClient {
    http: reqwest::Client,
    base_url: String,
}

impl ControlClient {
    /// A client for the emulator at `base_url`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(base_url: &str) -> Result<Self, ControlError> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let http =
            loopback::client().map_err(|source| ControlError::Unreachable { base_url: base_url.clone(), source })?;
        Ok(Self { http, base_url })
    }

    /// All databases, oldest first.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn databases(&self) -> Result<Vec<ListedDatabase>, ControlError> {
        self.read("databases").await
    }

    /// The rows of a database with their data source's name, in the order of adding.
    ///
    /// # Errors
    /// When there is no such database or the emulator does not answer.
    pub async fn rows(&self, database: &ListedDatabase) -> Result<Vec<(String, ListedRow)>, ControlError> {
        let mut all = Vec::new();
        for source in &database.data_sources {
            let rows: Vec<ListedRow> = self.read(&format!("data_sources/{}/rows", source.id)).await?;
            all.extend(rows.into_iter().map(|row| (source.name.clone(), row)));
        }
        Ok(all)
    }

    /// Edits a row now; without changes only its `last_edited_time` moves. `properties` in Notion's form:
    /// `{"Status":{"status":{"name":"Done"}}}`.
    ///
    /// # Errors
    /// When there is no such row, the properties are no JSON object, or the emulator does not answer.
    pub async fn edit(&self, row: &str, title: Option<&str>, properties: Option<&str>) -> Result<(), ControlError> {
        let mut body = Map::new();
        if let Some(title) = title {
            body.insert("title".to_owned(), title.into());
        }
        if let Some(properties) = properties {
            let properties: Map<String, Value> = serde_json::from_str(properties).map_err(ControlError::Properties)?;
            body.insert("properties".to_owned(), properties.into());
        }
        self.change(reqwest::Method::PATCH, &format!("rows/{row}"), &body.into()).await
    }

    /// Does something else to a row.
    ///
    /// # Errors
    /// When there is no such row or the emulator does not answer.
    pub async fn act(&self, row: &str, action: RowAction) -> Result<(), ControlError> {
        self.change(reqwest::Method::POST, &format!("rows/{row}/{}", action.path()), &json!({})).await
    }

    /// Moves a row to a database's first data source.
    ///
    /// # Errors
    /// When there is no such row or the emulator does not answer.
    pub async fn move_row(&self, row: &str, destination: &ListedDatabase) -> Result<(), ControlError> {
        let source = destination.data_sources.first().map(|source| source.id.as_str()).unwrap_or_default();
        self.change(reqwest::Method::POST, &format!("rows/{row}/move"), &json!({"data_source_id": source})).await
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, ControlError> {
        let text = self.call(reqwest::Method::GET, path, None).await?;
        serde_json::from_str(&text).map_err(|source| ControlError::Unreadable { path: path.to_owned(), source })
    }

    async fn change(&self, method: reqwest::Method, path: &str, body: &Value) -> Result<(), ControlError> {
        self.call(method, path, Some(body)).await.map(drop)
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<String, ControlError> {
        let unreachable = |source| ControlError::Unreachable { base_url: self.base_url.clone(), source };
        let mut request = self.http.request(method, format!("{}/control/{path}", self.base_url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let accepted = answer.status().is_success();
        let text = answer.text().await.map_err(unreachable)?;
        if accepted {
            return Ok(text);
        }
        let error =
            serde_json::from_str(&text).ok().and_then(|body: Value| Some(body.get("error")?.as_str()?.to_owned()));
        Err(ControlError::Refused { path: path.to_owned(), message: error.unwrap_or(text) })
    }
}

/// The database that a person means: by its configured name (`budget_lines`), its name in Notion, or its id.
///
/// # Errors
/// When there is none; the error lists what there is.
pub fn find_database<'d>(
    databases: &'d [ListedDatabase],
    environment: &Environment,
    wanted: &str,
) -> Result<&'d ListedDatabase, ControlError> {
    let variable = format!("NOTION_{}_DB_ID", wanted.to_ascii_uppercase());
    let configured_id = environment.get(&variable).unwrap_or(wanted).replace('-', "");
    let found = databases
        .iter()
        .find(|database| database.id.replace('-', "") == configured_id || database.name.eq_ignore_ascii_case(wanted));
    found.ok_or_else(|| {
        let known = databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>().join(", ");
        ControlError::UnknownDatabase { name: wanted.to_owned(), known }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notion::{NewRow, NotionEmulator, Settings};

    #[tokio::test]
    async fn a_person_can_look_around_and_change_rows() {
        let notion = NotionEmulator::start(loopback::address(0), Settings::default()).await.unwrap();
        let (row, (_, other)) = notion.workspace(|workspace| {
            let (_, source) = workspace.add_table("Budget lines");
            (workspace.add_row(&source, NewRow::titled("one")).unwrap(), workspace.add_table("Other"))
        });
        let client = ControlClient::new(&notion.base_url()).unwrap();
        let databases = client.databases().await.unwrap();
        let mut environment = Environment::default();
        environment.set("NOTION_BUDGET_LINES_DB_ID", databases[0].id.replace('-', ""));
        let database = find_database(&databases, &environment, "budget_lines").unwrap();
        assert_eq!(database.name, "Budget lines");

        client.edit(&row, Some("two"), Some(r#"{"Status":{"status":{"name":"Done"}}}"#)).await.unwrap();
        client.act(&row, RowAction::Archive).await.unwrap();
        client.act(&row, RowAction::Trash).await.unwrap();
        let rows = client.rows(database).await.unwrap();
        let (source, shown) = &rows[0];
        assert_eq!((source.as_str(), shown.title.as_str()), ("Budget lines", "two"));
        assert!(shown.is_archived && shown.in_trash);

        client.act(&row, RowAction::Unarchive).await.unwrap();
        client.act(&row, RowAction::Restore).await.unwrap();
        client.move_row(&row, find_database(&databases, &environment, "other").unwrap()).await.unwrap();
        assert_eq!(notion.workspace(|workspace| workspace.row_ids(&other)).unwrap(), std::slice::from_ref(&row));
    }

    #[tokio::test]
    async fn refusals_say_what_is_wrong() {
        let notion = NotionEmulator::start(loopback::address(0), Settings::default()).await.unwrap();
        let client = ControlClient::new(&notion.base_url()).unwrap();
        let refused = client.act("no-such-row", RowAction::Trash).await.unwrap_err().to_string();
        assert!(refused.starts_with("rows/no-such-row/trash: "), "{refused}");
        let unreadable = client.edit("row", None, Some("[]")).await.unwrap_err().to_string();
        assert!(unreadable.starts_with("--properties: "), "{unreadable}");
        let unknown = find_database(&[], &Environment::default(), "tasks").unwrap_err().to_string();
        assert!(unknown.contains("\"tasks\""), "{unknown}");
        notion.stop().await;
        let gone = client.databases().await.unwrap_err().to_string();
        assert!(gone.contains("notion-sync-local up"), "{gone}");
    }
}
