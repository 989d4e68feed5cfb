//! Odd states that Notion has been seen in: rows and tables that changed their nature or their place.

use super::row::ParentShown;
use super::{Workspace, WorkspaceError};

impl Workspace {
    /// Turns a row into a database: queries no longer show it, and `GET /v1/pages/{id}` answers 400.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn turn_into_database(&mut self, row_id: &str) -> Result<(), WorkspaceError> {
        self.find_row(row_id)?.is_database = true;
        self.revision += 1;
        Ok(())
    }

    /// Shows a row's parent in another way than it is.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn show_parent(&mut self, row_id: &str, shown: ParentShown) -> Result<(), WorkspaceError> {
        self.find_row(row_id)?.parent_shown = shown;
        self.revision += 1;
        Ok(())
    }

    /// Lists the data sources of a database, or answers `"data_sources":[]` although it has some.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn list_data_sources(&mut self, database_id: &str, listed: bool) -> Result<(), WorkspaceError> {
        self.find_database(database_id)?.lists_sources = listed;
        self.revision += 1;
        Ok(())
    }

    /// Moves a data source with its rows into another database.
    ///
    /// # Errors
    /// When one of the two is not there.
    pub fn move_data_source(&mut self, data_source_id: &str, database_id: &str) -> Result<(), WorkspaceError> {
        let id = self.source(data_source_id)?.id;
        let target = self.database(database_id)?.id;
        for database in self.databases.values_mut() {
            database.sources.retain(|source| *source != id);
        }
        self.find_database(database_id)?.sources.push(id);
        self.find_source(data_source_id)?.database = target;
        self.revision += 1;
        Ok(())
    }
}
