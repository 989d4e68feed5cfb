//! Which relations lead to data sources that the connection does not see.

use std::collections::BTreeMap;

use super::schema::SourceSchema;
use crate::failure::Failure;
use crate::ids::DataSourceId;
use crate::notion::{self, Meaning};
use crate::run::Run;

/// A relation whose target is not shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name of the data source that has the relation.
    pub data_source: String,
    /// Name of the relation property.
    pub property: String,
    /// The data source it leads to.
    pub target: DataSourceId,
}

/// Asks Notion for each data source that a relation of these schemas leads to, once.
///
/// # Errors
/// What Notion failed with, but for its answer that it does not find one.
pub(crate) async fn unshared_targets(
    notion: &notion::Client,
    schemas: &[(&str, &SourceSchema)],
    run: &Run,
) -> Result<Vec<Target>, Failure> {
    let mut is_seen: BTreeMap<DataSourceId, bool> = BTreeMap::new();
    let mut unshared = Vec::new();
    for (name, schema) in schemas {
        for property in &schema.properties {
            let Some(target) = property.relation_target().and_then(|id| DataSourceId::parse(id).ok()) else { continue };
            let seen = match is_seen.get(&target) {
                Some(seen) => *seen,
                None => {
                    let seen = match notion.data_source(target, run).await {
                        Ok(_) => true,
                        Err(error) if error.meaning() == Some(Meaning::NotFound) => false,
                        Err(error) => return Err(error.into()),
                    };
                    is_seen.insert(target, seen);
                    seen
                }
            };
            if !seen {
                let (data_source, property) = ((*name).to_owned(), property.name.clone());
                unshared.push(Target { data_source, property, target });
            }
        }
    }
    Ok(unshared)
}
