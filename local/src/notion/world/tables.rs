//! Databases and data sources: adding, renaming, sharing, taking away.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::super::ids::parse_id;
use super::super::json::percent_decoded;
use super::super::schema::Schema;
use super::row::{Kind, Row};
use super::{DataSource, Database, NewRow, Workspace, WorkspaceError};

impl Workspace {
    /// Adds a database without data sources; returns its id.
    pub fn add_database(&mut self, name: &str) -> String {
        let id = self.ids.next_id();
        self.insert_database(id, name)
    }

    /// Adds a database under an id of the caller's choice; returns it with dashes.
    ///
    /// # Errors
    /// When the id is no Notion id or taken.
    pub fn add_database_with_id(&mut self, id: &str, name: &str) -> Result<String, WorkspaceError> {
        let wanted = parse_id(id).filter(|id| !self.databases.contains_key(id));
        let id = wanted.ok_or_else(|| WorkspaceError(format!("{id} is no Notion id, or taken")))?;
        Ok(self.insert_database(id, name))
    }

    fn insert_database(&mut self, id: Uuid, name: &str) -> String {
        let now_ms = self.now_ms();
        let database = Database {
            id,
            name: name.to_owned(),
            created_ms: now_ms,
            edited_ms: now_ms,
            shared: true,
            trashed: false,
            lists_sources: true,
            sources: Vec::new(),
        };
        self.databases.insert(id, database);
        self.revision += 1;
        id.to_string()
    }

    /// Adds a data source to a database; returns its id.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn add_data_source(&mut self, database_id: &str, name: &str) -> Result<String, WorkspaceError> {
        let (id, now_ms) = (self.ids.next_id(), self.now_ms());
        let database = self.find_database(database_id)?;
        database.sources.push(id);
        database.edited_ms = now_ms;
        let source = DataSource {
            id,
            database: database.id,
            name: name.to_owned(),
            created_ms: now_ms,
            edited_ms: now_ms,
            shared: true,
            trashed: false,
            schema: Schema::new(),
            members: BTreeSet::new(),
        };
        self.sources.insert(id, source);
        self.revision += 1;
        Ok(id.to_string())
    }

    /// Adds a database with one data source of the same name, as Notion does; returns both ids.
    pub fn add_table(&mut self, name: &str) -> (String, String) {
        let database_id = self.add_database(name);
        let source_id = self.add_data_source(&database_id, name).unwrap_or_default();
        (database_id, source_id)
    }

    /// A database's name; empty when there is none with this id.
    pub fn database_name(&self, database_id: &str) -> String {
        self.database(database_id).map(|database| database.name.clone()).unwrap_or_default()
    }

    /// A data source's name; empty when there is none with this id.
    pub fn data_source_name(&self, data_source_id: &str) -> String {
        self.source(data_source_id).map(|source| source.name.clone()).unwrap_or_default()
    }

    /// The ids of all databases, oldest first.
    pub fn database_ids(&self) -> Vec<String> {
        let mut databases: Vec<&Database> = self.databases.values().collect();
        databases.sort_by_key(|database| (database.created_ms, database.id));
        databases.into_iter().map(|database| database.id.to_string()).collect()
    }

    /// The ids of the data sources that Notion lists for this database.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn data_source_ids(&self, database_id: &str) -> Result<Vec<String>, WorkspaceError> {
        let id = self.database(database_id)?.id;
        Ok(self.live_sources(id).into_iter().map(|source| source.id.to_string()).collect())
    }

    /// The ids of all rows that live in this data source, in the order of adding, whatever state they are in.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn row_ids(&self, data_source_id: &str) -> Result<Vec<String>, WorkspaceError> {
        let source = self.source(data_source_id)?;
        let id = source.id;
        let rows = source.members.iter().filter_map(|number| self.rows.get(number));
        let here = rows.filter(|row| row.current().parent.data_source() == Some(id));
        Ok(here.map(|row| row.id.to_string()).collect())
    }

    /// Renames a database. A data source keeps its name.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn rename_database(&mut self, database_id: &str, name: &str) -> Result<(), WorkspaceError> {
        let now_ms = self.now_ms();
        let database = self.find_database(database_id)?;
        name.clone_into(&mut database.name);
        database.edited_ms = now_ms;
        Ok(())
    }

    /// Renames a data source.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn rename_data_source(&mut self, data_source_id: &str, name: &str) -> Result<(), WorkspaceError> {
        let now_ms = self.now_ms();
        let source = self.find_source(data_source_id)?;
        name.clone_into(&mut source.name);
        source.edited_ms = now_ms;
        Ok(())
    }

    /// Adds a property of this type to the schema (values of new names add theirs by themselves).
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn add_property(&mut self, data_source_id: &str, name: &str, type_name: &str) -> Result<(), WorkspaceError> {
        self.find_source(data_source_id)?.schema.ensure(name, type_name, None);
        self.revision += 1;
        Ok(())
    }

    /// Makes a relation property that leads to another data source.
    ///
    /// # Errors
    /// When one of the data sources is not there.
    pub fn relate(&mut self, data_source_id: &str, name: &str, target_id: &str) -> Result<(), WorkspaceError> {
        let target = self.source(target_id)?;
        let target = (target.database, target.id);
        let schema = &mut self.find_source(data_source_id)?.schema;
        let key = schema.ensure(name, "relation", None);
        if let Some(property) = schema.get_mut(key) {
            property.target = Some(target);
        }
        self.revision += 1;
        Ok(())
    }

    /// Renames a property: the JSON of every row changes, no row's time does.
    ///
    /// # Errors
    /// When there is no such data source or property.
    pub fn rename_property(&mut self, data_source_id: &str, name: &str, new_name: &str) -> Result<(), WorkspaceError> {
        let schema = &mut self.find_source(data_source_id)?.schema;
        let key = schema.key_of(name);
        let property = key.and_then(|key| schema.get_mut(key));
        let property = property.ok_or_else(|| WorkspaceError(format!("no property {name}")))?;
        new_name.clone_into(&mut property.name);
        let (source, key) = (self.source(data_source_id)?.id, key.unwrap_or_default());
        self.sources.values_mut().for_each(|other| other.schema.rename_rolled_up(source, key, new_name));
        self.revision += 1;
        Ok(())
    }

    /// Renames an option of a select, status or multi-select property: rows' JSON changes, their times don't.
    ///
    /// # Errors
    /// When there is no such data source, property or option.
    pub fn rename_option(
        &mut self,
        data_source_id: &str,
        property: &str,
        name: &str,
        new_name: &str,
    ) -> Result<(), WorkspaceError> {
        let schema = &mut self.find_source(data_source_id)?.schema;
        let key = schema.key_of(property);
        let renamed = key.and_then(|key| schema.get_mut(key)).is_some_and(|found| found.rename_choice(name, new_name));
        self.revision += 1;
        if renamed { Ok(()) } else { Err(WorkspaceError(format!("property {property} has no option {name}"))) }
    }

    /// Plants the text of a data source's `properties`, served byte for byte; `None` = its own properties again. Rows stay
    /// as they are.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn plant_schema(&mut self, data_source_id: &str, text: Option<&str>) -> Result<(), WorkspaceError> {
        self.find_source(data_source_id)?.schema.plant(text.map(str::to_owned));
        self.revision += 1;
        Ok(())
    }

    /// The id of a property as the API writes it (percent-encoded).
    ///
    /// # Errors
    /// When there is no such data source or property.
    pub fn property_id(&self, data_source_id: &str, name: &str) -> Result<String, WorkspaceError> {
        let schema = &self.source(data_source_id)?.schema;
        let property = schema.key_of(name).and_then(|key| schema.get(key));
        property.map(|property| property.encoded_id()).ok_or_else(|| WorkspaceError(format!("no property {name}")))
    }

    /// Gives a property an id of the caller's choice (as the API writes it, percent-encoded).
    ///
    /// # Errors
    /// When there is no such data source or property.
    pub fn set_property_id(&mut self, data_source_id: &str, name: &str, encoded: &str) -> Result<(), WorkspaceError> {
        let schema = &mut self.find_source(data_source_id)?.schema;
        let key = schema.key_of(name);
        let property = key.and_then(|key| schema.get_mut(key));
        let property = property.ok_or_else(|| WorkspaceError(format!("no property {name}")))?;
        property.id = percent_decoded(encoded, false);
        self.revision += 1;
        Ok(())
    }

    /// Shares a database with the connection, or takes it away with everything in it.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn share_database(&mut self, database_id: &str, shared: bool) -> Result<(), WorkspaceError> {
        self.find_database(database_id)?.shared = shared;
        self.revision += 1;
        Ok(())
    }

    /// Shares a data source with the connection, or takes it away with its rows.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn share_data_source(&mut self, data_source_id: &str, shared: bool) -> Result<(), WorkspaceError> {
        self.find_source(data_source_id)?.shared = shared;
        self.revision += 1;
        Ok(())
    }

    /// Puts a database into the trash or takes it out. Its data sources go with it.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn trash_database(&mut self, database_id: &str, trashed: bool) -> Result<(), WorkspaceError> {
        let database = self.find_database(database_id)?;
        database.trashed = trashed;
        self.revision += 1;
        Ok(())
    }

    /// Puts a data source into the trash or takes it out: its database lists it no more, a query of it answers 404,
    /// `GET` of it and of its rows says `in_trash`.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn trash_data_source(&mut self, data_source_id: &str, trashed: bool) -> Result<(), WorkspaceError> {
        self.find_source(data_source_id)?.trashed = trashed;
        self.revision += 1;
        Ok(())
    }

    /// Deletes a data source for good, with its rows.
    ///
    /// # Errors
    /// When there is no such data source.
    pub fn remove_data_source(&mut self, data_source_id: &str) -> Result<(), WorkspaceError> {
        let source = self.source(data_source_id)?;
        let (id, database) = (source.id, source.database);
        for row_id in self.row_ids(data_source_id)? {
            self.delete_for_good(&row_id)?;
        }
        self.sources.remove(&id);
        if let Some(database) = self.databases.get_mut(&database) {
            database.sources.retain(|source| *source != id);
        }
        self.revision += 1;
        Ok(())
    }

    /// Makes another data source an item of this one, as wikis have it: queries that don't say `result_type` show it
    /// beside the pages.
    ///
    /// # Errors
    /// When one of the data sources is not there.
    pub fn add_wiki_data_source(&mut self, data_source_id: &str, item_id: &str) -> Result<(), WorkspaceError> {
        let item = self.source(item_id)?.id;
        let parent = self.source(data_source_id)?.id;
        let state = self.state_of_new_row(parent, NewRow::titled(""));
        let number = self.next_row_number;
        self.insert_row(Row::new(item, number, Kind::DataSource(item), self.visibility(), state));
        Ok(())
    }
}
