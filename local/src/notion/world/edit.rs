//! Adding and editing rows.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::super::ids::parse_id;
use super::super::json::percent_decoded;
use super::super::raw;
use super::super::schema::Schema;
use super::super::value::{Person, Value};
use super::content::{Changes, NewRow, RowEdit};
use super::row::{Kind, Parent, Properties, Row, RowState};
use super::{Workspace, WorkspaceError};

impl Workspace {
    /// Adds a row to a data source; returns its id.
    ///
    /// # Errors
    /// When there is no such data source, or the id asked for is no Notion id or taken.
    pub fn add_row(&mut self, data_source_id: &str, row: NewRow) -> Result<String, WorkspaceError> {
        let source = self.source(data_source_id)?.id;
        let id = match &row.id {
            None => self.ids.next_id(),
            Some(text) => parse_id(text)
                .filter(|id| self.row_by_id(*id).is_none())
                .ok_or_else(|| WorkspaceError(format!("{text} is no Notion id, or taken")))?,
        };
        let state = self.state_of_new_row(source, row);
        let number = self.next_row_number;
        self.insert_row(Row::new(id, number, Kind::Page, self.visibility(), state));
        Ok(id.to_string())
    }

    pub(super) fn state_of_new_row(&mut self, source: Uuid, row: NewRow) -> RowState {
        let created_ms = row.created.map_or_else(|| self.now_ms(), Timestamp::as_millisecond);
        let user = self.user_id(row.created_by);
        let mut state = RowState {
            parent: Parent::DataSource(source),
            created_ms,
            edited_ms: row.edited.map_or(created_ms, Timestamp::as_millisecond),
            created_by: user,
            edited_by: user,
            icon: None,
            cover: None,
            archived: row.archived,
            trashed: row.trashed,
            locked: false,
            properties: Properties::Values(Arc::new(Vec::new())),
        };
        self.apply(&mut state, row.changes);
        state
    }

    pub(super) fn insert_row(&mut self, row: Row) {
        self.next_row_number = self.next_row_number.max(row.number + 1);
        for source in row.data_sources() {
            if let Some(source) = self.sources.get_mut(&source) {
                source.members.insert(row.number);
            }
        }
        if row.kind == Kind::Page {
            self.row_numbers.insert(row.id, row.number);
        }
        self.rows.insert(row.number, row);
        self.revision += 1;
    }

    /// The person's id, or the connection's own.
    fn user_id(&mut self, person: Option<Person>) -> Uuid {
        let Some(person) = person else { return self.bot_id() };
        let id = parse_id(&person.id).unwrap_or_default();
        self.people.insert(id, person);
        id
    }

    /// Edits a row.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn edit_row(&mut self, row_id: &str, edit: RowEdit) -> Result<(), WorkspaceError> {
        let edited_ms = edit.edited.map_or_else(|| self.now_ms(), Timestamp::as_millisecond);
        let user = self.user_id(edit.edited_by);
        let mut state = RowState::clone(self.row(row_id)?.current());
        self.apply(&mut state, edit.changes);
        if !edit.unnoticed {
            state.edited_ms = edited_ms;
            state.edited_by = user;
        }
        self.replace(row_id, state)
    }

    /// Sets a row's `last_edited_time`, to the future too, and nothing else.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn set_last_edited(&mut self, row_id: &str, edited: Timestamp) -> Result<(), WorkspaceError> {
        self.change(row_id, |state| state.edited_ms = edited.as_millisecond())
    }

    /// Sets a row's `created_time`, and nothing else (Notion never does; imports and tests do).
    ///
    /// # Errors
    /// When there is no such row.
    pub fn set_created(&mut self, row_id: &str, created: Timestamp) -> Result<(), WorkspaceError> {
        self.change(row_id, |state| state.created_ms = created.as_millisecond())
    }

    pub(super) fn change(&mut self, row_id: &str, change: impl FnOnce(&mut RowState)) -> Result<(), WorkspaceError> {
        let mut state = RowState::clone(self.row(row_id)?.current());
        change(&mut state);
        self.replace(row_id, state)
    }

    /// Makes `state` the row's current one, which queries see as the index lag has it.
    pub(in super::super) fn replace(&mut self, row_id: &str, state: RowState) -> Result<(), WorkspaceError> {
        let (visibility, now_ms) = (self.visibility(), self.now_ms());
        let row = self.find_row(row_id)?;
        let before = row.data_sources();
        row.push(visibility, state, now_ms);
        let (number, after) = (row.number, row.data_sources());
        self.move_member(number, &before, &after);
        self.revision += 1;
        Ok(())
    }

    pub(super) fn move_member(&mut self, number: u64, before: &[Uuid], after: &[Uuid]) {
        for id in before.iter().filter(|id| !after.contains(id)) {
            if let Some(source) = self.sources.get_mut(id) {
                source.members.remove(&number);
            }
        }
        for id in after.iter().filter(|id| !before.contains(id)) {
            if let Some(source) = self.sources.get_mut(id) {
                source.members.insert(number);
            }
        }
    }

    /// Applies changes to a row's state; new names and options are added to its data source's schema.
    pub(in super::super) fn apply(&mut self, state: &mut RowState, changes: Changes) {
        if let Some(icon) = changes.icon {
            state.icon = icon;
        }
        if let Some(cover) = changes.cover {
            state.cover = cover;
        }
        state.locked = changes.locked.unwrap_or(state.locked);
        state.archived = changes.archived.unwrap_or(state.archived);
        state.trashed = changes.trashed.unwrap_or(state.trashed);
        for person in changes.values.iter().flat_map(|(_, value)| value.people()) {
            let id = parse_id(&person.id).unwrap_or_default();
            self.people.entry(id).or_insert_with(|| person.clone());
        }
        let mut scratch = Schema::new();
        let source = state.parent.data_source().and_then(|id| self.sources.get_mut(&id));
        let schema = source.map_or(&mut scratch, |source| &mut source.schema);
        if let Some(text) = changes.raw_properties {
            for (name, value) in raw_values(&text) {
                ensure_property(schema, &name, &value);
            }
            state.properties = Properties::Raw(text.into());
        }
        if changes.values.is_empty() {
            return;
        }
        let mut values: Vec<(usize, Value)> = match &state.properties {
            Properties::Values(values) => values.to_vec(),
            Properties::Raw(text) => raw_values(text)
                .into_iter()
                .map(|(name, value)| (ensure_property(schema, &name, &value), value))
                .collect(),
        };
        for (name, value) in changes.values {
            let key = ensure_property(schema, &name, &value);
            match values.iter_mut().find(|(held, _)| *held == key) {
                Some((_, held)) => *held = value,
                None => values.push((key, value)),
            }
        }
        state.properties = Properties::Values(Arc::new(values));
    }
}

fn raw_values(properties: &str) -> Vec<(String, Value)> {
    raw::properties(properties).into_iter().map(|(name, json)| (name, Value::Raw(json))).collect()
}

/// The key of the property a value belongs to; property and options are added where they are missing.
fn ensure_property(schema: &mut Schema, name: &str, value: &Value) -> usize {
    let id = match value {
        Value::Raw(text) => raw::entry_text(text, "id").map(|id| percent_decoded(&id, false)),
        _ => None,
    };
    let key = schema.ensure(name, &value.type_name(), id);
    match value {
        Value::Select(Some(choice)) | Value::Status(Some(choice)) => schema.ensure_choice(key, choice),
        Value::MultiSelect(choices) => choices.iter().for_each(|choice| schema.ensure_choice(key, choice)),
        _ => {}
    }
    key
}
