//! The rows that a complete reader must hold: the yardstick of the tests.

use serde::Serialize;

use super::super::clock::minute_text;
use super::super::ids::number_of;
use super::super::render::{ApiVersion, Painter, REFERENCES_SHOWN, person_text, relation_text, shown_spans, span_text};
use super::super::value::Value;
use super::row::{Kind, Properties};
use super::{Workspace, WorkspaceError};

/// True if payloads hold signed URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedUrls {
    /// As last served in full (by a query or a `GET`); as they would be served now if that never happened.
    AsServed,
    /// File URLs without their query string, and no `expiry_time`.
    LeftOut,
}

/// One row that a complete reader holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpectedRow {
    pub page_id: String,
    /// The data source it lives in.
    pub data_source_id: String,
    /// The page's JSON as a query serves it.
    pub payload: String,
    /// As shown, to the minute.
    pub created_time: String,
    /// As shown, to the minute.
    pub last_edited_time: String,
    /// True if it is in the archived partition.
    pub is_archived: bool,
    /// Always false: no query shows trash.
    pub in_trash: bool,
    /// True if only `{object,id}` is shown, which no reader can store.
    pub partial: bool,
}

/// A property whose value pages show cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutProperty {
    pub name: String,
    /// Its id as the API writes it (percent-encoded).
    pub property_id: String,
    pub type_name: String,
    /// The JSON text of each item, all of them.
    pub items: Vec<String>,
}

impl Workspace {
    /// The rows of a database that a complete reader holds: shared, not in the trash, archived ones too, as they are
    /// now (whatever the index still shows), in the order of adding.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn expected(&self, database_id: &str, signed_urls: SignedUrls) -> Result<Vec<ExpectedRow>, WorkspaceError> {
        let database = self.database(database_id)?;
        let (id, readable) = (database.id, database.shared && !database.trashed);
        let painter = Painter {
            world: self,
            version: ApiVersion::Latest,
            now_ms: self.now_ms(),
            signed_urls,
            signature: number_of("expected"),
            selection: None,
        };
        let sources = self.live_sources(id).into_iter().filter(|source| readable && source.shared);
        let rows = sources.flat_map(|source| {
            let rows = source.members.iter().filter_map(|number| self.rows.get(number));
            rows.map(move |row| (source.id, row))
        });
        let expected = rows.filter(|(source, row)| {
            let state = row.current();
            row.kind == Kind::Page
                && row.shared
                && !row.is_database
                && !state.trashed
                && state.parent.data_source() == Some(*source)
        });
        let expected = expected.map(|(source, row)| {
            let state = row.current();
            let kept = row.last_served().filter(|_| signed_urls == SignedUrls::AsServed);
            ExpectedRow {
                page_id: row.id.to_string(),
                data_source_id: source.to_string(),
                payload: kept.map_or_else(|| painter.row(row, state), str::to_owned),
                created_time: minute_text(state.created_ms),
                last_edited_time: minute_text(state.edited_ms),
                is_archived: state.archived,
                in_trash: state.trashed,
                partial: row.partial,
            }
        });
        Ok(expected.collect())
    }

    /// The properties of a row that pages show cut, with all their items.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn cut_properties(&self, row_id: &str) -> Result<Vec<CutProperty>, WorkspaceError> {
        let state = self.row(row_id)?.current().clone();
        let (Properties::Values(values), Some(schema)) = (&state.properties, self.schema_of(&state)) else {
            return Ok(Vec::new());
        };
        let count = self.settings().mention_count;
        let cut = values.iter().filter_map(|(key, value)| {
            let property = schema.get(*key)?;
            let items: Vec<String> = match value {
                Value::Relation(ids) if ids.len() > REFERENCES_SHOWN => {
                    ids.iter().map(|id| relation_text(id)).collect()
                }
                Value::People(people) if people.len() > REFERENCES_SHOWN => people.iter().map(person_text).collect(),
                Value::Title(spans) | Value::RichText(spans) if shown_spans(spans, count).len() < spans.len() => {
                    spans.iter().map(span_text).collect()
                }
                _ => return None,
            };
            let (name, type_name) = (property.name.clone(), value.type_name());
            Some(CutProperty { name, property_id: property.encoded_id(), type_name, items })
        });
        Ok(cut.collect())
    }
}
