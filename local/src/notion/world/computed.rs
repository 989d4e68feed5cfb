//! Making rollups and formulas whose values follow from other rows.

use super::super::computed::{Computed, FUNCTIONS, Rollup};
use super::{Workspace, WorkspaceError};

/// What a formula says.
#[derive(Debug, Clone, Copy)]
pub enum Formula<'a> {
    /// The number of references of the relation of this name: `prop("Tasks").length()`.
    Length(&'a str),
    /// The number that the rollup or formula of this name has: `prop("Hours")`.
    Number(&'a str),
}

impl Workspace {
    /// Makes a rollup of a property of the rows that a relation leads to.
    ///
    /// # Errors
    /// When the relation, the property or the function is not there; see `relate`.
    pub fn add_rollup(
        &mut self,
        data_source_id: &str,
        name: &str,
        (relation, property): (&str, &str),
        function: &str,
    ) -> Result<(), WorkspaceError> {
        let missing = |what: &str| WorkspaceError(format!("no {what} for the rollup {name}"));
        if !FUNCTIONS.contains(&function) {
            return Err(missing(function));
        }
        let schema = &self.source(data_source_id)?.schema;
        let relation_key = schema.key_of(relation).ok_or_else(|| missing(relation))?;
        let leads_to = schema.get(relation_key).and_then(|found| found.target).ok_or_else(|| missing(relation))?.1;
        let there = &self.sources.get(&leads_to).ok_or_else(|| missing(relation))?.schema;
        let target = there.key_of(property).ok_or_else(|| missing(property))?;
        let found = there.get(target).ok_or_else(|| missing(property))?;
        let rollup = Rollup {
            relation: relation_key,
            target,
            target_id: found.id.clone(),
            target_name: found.name.clone(),
            function: function.to_owned(),
        };
        self.find_source(data_source_id)?.schema.compute(name, Computed::Rollup(rollup));
        self.revision += 1;
        Ok(())
    }

    /// Makes a formula over a relation or another computed property of the same row.
    ///
    /// # Errors
    /// When the data source or the property is not there.
    pub fn add_formula(
        &mut self,
        data_source_id: &str,
        name: &str,
        formula: Formula<'_>,
    ) -> Result<(), WorkspaceError> {
        let schema = &mut self.find_source(data_source_id)?.schema;
        let key = |of: &str| schema.key_of(of).ok_or_else(|| WorkspaceError(format!("no property {of}")));
        let computed = match formula {
            Formula::Length(relation) => Computed::Length(key(relation)?),
            Formula::Number(property) => Computed::Number(key(property)?),
        };
        schema.compute(name, computed);
        self.revision += 1;
        Ok(())
    }
}
