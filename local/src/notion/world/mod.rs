//! The workspace: databases, data sources, rows, and everything the emulator remembers. No HTTP here.

mod computed;
pub(super) mod content;
mod edit;
mod expected;
mod housekeeping;
mod oddities;
pub(super) mod row;
mod tables;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::answers::Answers;
use super::clock::Clock;
use super::hooks::Hooks;
use super::ids::{IdMaker, id_of, parse_id};
use super::json::ObjectText;
use super::limits::Limiter;
use super::log::RequestLog;
use super::query::Walks;
use super::raw;
use super::schema::Schema;
use super::settings::{IndexLag, Settings};
use super::value::{Person, Span, Value};
use row::{Parent, Properties, Row, RowState, Visible};

pub use computed::Formula;
pub use content::{NewRow, RowEdit};
pub use expected::{CutProperty, ExpectedRow, SignedUrls};
pub use housekeeping::Destination;
pub use row::{Icon, ParentShown};

/// The workspace's state; every change a test or the seed makes goes through its methods.
#[derive(Debug)]
pub struct Workspace {
    settings: Settings,
    pub(super) clock: Clock,
    pub(super) ids: IdMaker,
    pub(super) databases: BTreeMap<Uuid, Database>,
    pub(super) sources: HashMap<Uuid, DataSource>,
    pub(super) rows: BTreeMap<u64, Row>,
    row_numbers: HashMap<Uuid, u64>,
    next_row_number: u64,
    /// People that rows name.
    people: HashMap<Uuid, Person>,
    /// Moves on with each change that a query could show.
    pub(super) revision: u64,
    pub(super) walks: Walks,
    pub(super) hooks: Hooks,
    pub(super) answers: Answers,
    pub(super) limiter: Limiter,
    pub(super) log: RequestLog,
}

/// A database: the container.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) created_ms: i64,
    pub(super) edited_ms: i64,
    pub(super) shared: bool,
    pub(super) trashed: bool,
    /// True if `GET` lists its data sources.
    pub(super) lists_sources: bool,
    /// In the order of adding.
    pub(super) sources: Vec<Uuid>,
}

/// A data source: the table.
#[derive(Debug)]
pub(super) struct DataSource {
    pub(super) id: Uuid,
    pub(super) database: Uuid,
    pub(super) name: String,
    pub(super) created_ms: i64,
    pub(super) edited_ms: i64,
    pub(super) shared: bool,
    pub(super) trashed: bool,
    pub(super) schema: Schema,
    /// Numbers of the rows that live here, in any version that a query may still show.
    pub(super) members: BTreeSet<u64>,
}

/// A call named something that isn't there, or made no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkspaceError(pub(super) String);

impl Workspace {
    /// An empty workspace.
    pub(super) fn new(settings: Settings) -> Self {
        let ids = IdMaker::new(settings.id_seed);
        Self {
            settings,
            clock: Clock::System { offset_ms: 0 },
            ids,
            databases: BTreeMap::new(),
            sources: HashMap::new(),
            rows: BTreeMap::new(),
            row_numbers: HashMap::new(),
            next_row_number: 0,
            people: HashMap::new(),
            revision: 0,
            walks: Walks::default(),
            hooks: Hooks::default(),
            answers: Answers::default(),
            limiter: Limiter::default(),
            log: RequestLog::default(),
        }
    }

    /// The switches.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The switches, to change them.
    pub fn settings_mut(&mut self) -> &mut Settings {
        self.revision += 1;
        &mut self.settings
    }

    pub(super) fn count_rejected_cursor(&mut self) {
        self.settings.reject_next_cursors = self.settings.reject_next_cursors.saturating_sub(1);
    }

    /// Accepts this token from now on, and no other.
    pub fn rotate_token(&mut self, token: &str) {
        self.settings.tokens = vec![token.to_owned()];
    }

    /// The workspace's time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Stops the clock at this time.
    pub fn set_now(&mut self, now: Timestamp) {
        self.clock = Clock::Manual { now_ms: now.as_millisecond() };
        self.revision += 1;
    }

    /// Moves the clock, whether it runs or stands still.
    pub fn advance(&mut self, by_ms: i64) {
        self.clock = self.clock.moved_by(by_ms);
        self.revision += 1;
    }

    /// Lets the clock run with the machine's, so many milliseconds ahead.
    pub fn run_clock(&mut self, offset_ms: i64) {
        self.clock = Clock::System { offset_ms };
        self.revision += 1;
    }

    /// When a version made now becomes visible to queries.
    fn visibility(&self) -> Visible {
        match self.settings.index_lag {
            IndexLag::None => Visible::From(i64::MIN),
            IndexLag::Milliseconds(lag) => {
                Visible::From(self.now_ms().saturating_add(i64::try_from(lag).unwrap_or(i64::MAX)))
            }
            IndexLag::UntilTold => Visible::UntilTold,
        }
    }

    /// The connection's own user.
    #[expect(clippy::unused_self, reason = "a workspace's bot is asked of the workspace")]
    pub(super) fn bot_id(&self) -> Uuid {
        id_of("the connection's bot")
    }

    /// The page that all databases lie in.
    #[expect(clippy::unused_self, reason = "a workspace's root page is asked of the workspace")]
    pub(super) fn root_page_id(&self) -> Uuid {
        id_of("the workspace's root page")
    }

    /// The user with this id, if the workspace has one.
    pub(super) fn known_user_text(&self, id: Uuid) -> Option<String> {
        (id == self.bot_id() || self.people.contains_key(&id)).then(|| self.user_text(id))
    }

    /// The whole user, as `created_by` values show one.
    pub(super) fn user_text(&self, id: Uuid) -> String {
        if let Some(person) = self.people.get(&id) {
            return super::render::person_text(person);
        }
        ObjectText::new()
            .text("object", "user")
            .text("id", &id.to_string())
            .text("name", &self.settings.integration_name)
            .null("avatar_url")
            .text("type", "bot")
            .raw("bot", "{}")
            .finish()
    }

    /// The person with this id; one nobody knows has a name made of it.
    pub(super) fn person(&self, id: &str) -> Person {
        let known = parse_id(id).and_then(|id| self.people.get(&id)).cloned();
        known.unwrap_or_else(|| Person { id: id.to_owned(), ..Person::named(&format!("Member {id}")) })
    }

    /// The title of a page by its id, for mentions.
    pub(super) fn title_of_page(&self, id: &str) -> String {
        let row = parse_id(id).and_then(|id| self.row_by_id(id));
        row.map(|row| self.title_of(row.current())).unwrap_or_default()
    }

    pub(super) fn schema_of(&self, state: &RowState) -> Option<&Schema> {
        self.sources.get(&state.parent.data_source()?).map(|source| &source.schema)
    }

    /// The title's text, for URLs.
    pub(super) fn title_of(&self, state: &RowState) -> String {
        match &state.properties {
            Properties::Values(values) => values
                .iter()
                .find(|(key, _)| *key == Schema::title_key())
                .map(|(_, value)| match value {
                    Value::Title(spans) => spans.iter().map(Span::plain_text).collect(),
                    Value::Raw(text) => raw::title_of_property(text),
                    _ => String::new(),
                })
                .unwrap_or_default(),
            Properties::Raw(text) => raw::title(text),
        }
    }

    pub(super) fn row_by_id(&self, id: Uuid) -> Option<&Row> {
        self.rows.get(self.row_numbers.get(&id)?)
    }

    pub(super) fn row_mut_by_id(&mut self, id: Uuid) -> Option<&mut Row> {
        self.rows.get_mut(self.row_numbers.get(&id)?)
    }

    /// The data sources that `GET /v1/databases/{id}` lists.
    pub(super) fn live_sources(&self, database: Uuid) -> Vec<&DataSource> {
        let ids = self.databases.get(&database).map_or(&[][..], |database| &database.sources);
        ids.iter().filter_map(|id| self.sources.get(id)).filter(|source| !source.trashed).collect()
    }

    /// Returns whether the connection sees this data source (rights come from the database, and can be taken from it alone).
    pub(super) fn sees_source(&self, source: &DataSource) -> bool {
        source.shared && self.databases.get(&source.database).is_some_and(|database| database.shared)
    }

    /// Returns whether the connection sees a row that lives there.
    pub(super) fn sees_row(&self, row: &Row) -> bool {
        row.shared
            && match row.current().parent {
                Parent::Page(_) | Parent::Agent(_) => true,
                Parent::DataSource(id) => self.sources.get(&id).is_some_and(|source| self.sees_source(source)),
            }
    }

    /// Returns whether a row counts as trashed: itself, or the table it lives in.
    pub(super) fn is_trashed(&self, state: &RowState) -> bool {
        let source = state.parent.data_source().and_then(|id| self.sources.get(&id));
        let database = source.and_then(|source| self.databases.get(&source.database));
        state.trashed
            || source.is_some_and(|source| source.trashed)
            || database.is_some_and(|database| database.trashed)
    }

    fn database(&self, id: &str) -> Result<&Database, WorkspaceError> {
        parse_id(id).and_then(|id| self.databases.get(&id)).ok_or_else(|| WorkspaceError::no("database", id))
    }

    fn find_database(&mut self, id: &str) -> Result<&mut Database, WorkspaceError> {
        parse_id(id).and_then(|id| self.databases.get_mut(&id)).ok_or_else(|| WorkspaceError::no("database", id))
    }

    fn source(&self, id: &str) -> Result<&DataSource, WorkspaceError> {
        parse_id(id).and_then(|id| self.sources.get(&id)).ok_or_else(|| WorkspaceError::no("data source", id))
    }

    fn find_source(&mut self, id: &str) -> Result<&mut DataSource, WorkspaceError> {
        parse_id(id).and_then(|id| self.sources.get_mut(&id)).ok_or_else(|| WorkspaceError::no("data source", id))
    }

    pub(super) fn row(&self, id: &str) -> Result<&Row, WorkspaceError> {
        parse_id(id).and_then(|id| self.row_by_id(id)).ok_or_else(|| WorkspaceError::no("row", id))
    }

    fn find_row(&mut self, id: &str) -> Result<&mut Row, WorkspaceError> {
        parse_id(id).and_then(|id| self.row_mut_by_id(id)).ok_or_else(|| WorkspaceError::no("row", id))
    }
}

impl WorkspaceError {
    fn no(kind: &str, id: &str) -> Self {
        Self(format!("the workspace has no {kind} {id}"))
    }
}
