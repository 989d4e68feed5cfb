//! Changes of rows other than edits: archive, trash, delete, share, move, index.

use uuid::Uuid;

use super::super::ids::parse_id;
use super::super::schema::Schema;
use super::super::value::Value;
use super::content::Changes;
use super::row::{Parent, Properties, Row, RowState};
use super::{Workspace, WorkspaceError};

/// The target of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Another table, by its data source's id.
    DataSource(String),
    /// A plain page (any id; it needs not exist).
    Page(String),
    /// An agent (any id), a parent that Notion has had since May 2026.
    Agent(String),
}

impl Workspace {
    /// Archives a row: queries show it in the archived partition only.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn archive(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.keep_house(row_id, |state| state.archived = true)
    }

    /// Takes a row out of the archive.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn unarchive(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.keep_house(row_id, |state| state.archived = false)
    }

    /// Puts a row into the trash: no query shows it, `GET` says `in_trash`.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn trash(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.keep_house(row_id, |state| state.trashed = true)
    }

    /// Takes a row out of the trash, with its old times.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn restore(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.keep_house(row_id, |state| state.trashed = false)
    }

    /// Locks or unlocks a row.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn lock(&mut self, row_id: &str, locked: bool) -> Result<(), WorkspaceError> {
        self.keep_house(row_id, |state| state.locked = locked)
    }

    fn keep_house(&mut self, row_id: &str, change: impl FnOnce(&mut RowState)) -> Result<(), WorkspaceError> {
        let moved_to_ms = self.settings().housekeeping_moves_edited_time.then(|| self.now_ms());
        self.change(row_id, |state| {
            change(state);
            state.edited_ms = moved_to_ms.unwrap_or(state.edited_ms);
        })
    }

    /// Deletes a row for good: 404, and gone from queries at once.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn delete_for_good(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        let row = self.row(row_id)?;
        let (id, number, sources) = (row.id, row.number, row.data_sources());
        self.move_member(number, &sources, &[]);
        self.rows.remove(&number);
        self.row_numbers.remove(&id);
        self.revision += 1;
        Ok(())
    }

    /// Takes a row from the connection: 404, and gone from queries at once.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn unshare(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.find_row(row_id)?.shared = false;
        self.revision += 1;
        Ok(())
    }

    /// Shares a row with the connection again.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn share(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.find_row(row_id)?.shared = true;
        self.revision += 1;
        Ok(())
    }

    /// Shows only `{object,id}` of a row, or the whole of it again.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn set_partial(&mut self, row_id: &str, partial: bool) -> Result<(), WorkspaceError> {
        self.find_row(row_id)?.partial = partial;
        self.revision += 1;
        Ok(())
    }

    /// Moves a row, with its times. Values go by property name; a plain page keeps the title only.
    ///
    /// # Errors
    /// When the row or the destination is not there.
    pub fn move_row(&mut self, row_id: &str, destination: &Destination) -> Result<(), WorkspaceError> {
        let current = RowState::clone(self.row(row_id)?.current());
        let named = self.named_values(&current);
        let parent = match destination {
            Destination::DataSource(id) => Parent::DataSource(self.source(id)?.id),
            Destination::Page(id) | Destination::Agent(id) => {
                let id = parse_id(id).ok_or_else(|| WorkspaceError(format!("{id} is no Notion id")))?;
                if matches!(destination, Destination::Agent(_)) { Parent::Agent(id) } else { Parent::Page(id) }
            }
        };
        let mut state = RowState { parent, ..current };
        if let Some(values) = named {
            state.properties = Properties::Values(std::sync::Arc::default());
            self.apply(&mut state, Changes { values, ..Changes::default() });
        }
        if self.settings().housekeeping_moves_edited_time {
            state.edited_ms = self.now_ms();
        }
        self.replace(row_id, state)
    }

    /// A row's values by property name; `None` when its `properties` text was planted whole.
    fn named_values(&self, state: &RowState) -> Option<Vec<(String, Value)>> {
        let Properties::Values(values) = &state.properties else { return None };
        let schema = self.schema_of(state);
        let name = |key: usize| match schema {
            Some(schema) => schema.get(key).map(|property| property.name.clone()),
            None => (key == Schema::title_key()).then(|| "Name".to_owned()),
        };
        Some(values.iter().filter_map(|(key, value)| Some((name(*key)?, value.clone()))).collect())
    }

    /// Shows queries this row as it is now, whatever the index lag.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn publish(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        let row = self.find_row(row_id)?;
        let (number, before) = (row.number, row.data_sources());
        row.publish();
        let after = row.data_sources();
        self.move_member(number, &before, &after);
        self.revision += 1;
        Ok(())
    }

    /// Shows queries all rows as they are now, whatever the index lag.
    pub fn publish_all(&mut self) {
        let moved: Vec<(u64, Vec<Uuid>, Vec<Uuid>)> = self
            .rows
            .values_mut()
            .map(|row: &mut Row| {
                let before = row.data_sources();
                row.publish();
                (row.number, before, row.data_sources())
            })
            .collect();
        for (number, before, after) in moved {
            self.move_member(number, &before, &after);
        }
        self.revision += 1;
    }
}
