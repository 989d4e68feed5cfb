//! What became of a row that differs: the page itself is asked for (facts/notion §3.6).
//!
//! | answer | verdict |
//! |---|---|
//! | 200 in the trash | removed: trashed |
//! | 200 outside the database | removed: moved |
//! | 200 in any data source of the database | live: written with that data source |
//! | 404 | removed: gone (deleted or unshared, Notion can't tell) |
//! | 403, 5xx after all tries | unknown: the run fails, nothing is marked |
//! | its data source is gone or trashed as a whole | removed: data_source_removed |

use std::collections::HashMap;

use super::super::hydrate::hydrate;
use super::super::row::row;
use super::super::{Engine, Stop};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId};
use crate::notion::PageRow;
use crate::warehouse::{Difference, RemovalReason, Row, Side};

/// What to do about a difference.
pub(super) enum Verdict {
    /// Mark it as removed; the flag says whether it lies in the trash.
    Removed(RemovalReason, bool),
    /// Write it.
    Live(Box<Row>),
    /// Leave it: neither side has it live.
    Nothing,
}

pub(super) struct Classifier<'a> {
    engine: &'a Engine<'a>,
    sources: Vec<DataSourceId>,
    /// Data sources that the table knows and the database no longer lists: removed as a whole?
    vanished: HashMap<DataSourceId, bool>,
    /// What could not be read in full.
    pub(super) warnings: Vec<String>,
}

impl<'a> Classifier<'a> {
    pub(super) fn new(engine: &'a Engine<'a>, sources: Vec<DataSourceId>) -> Self {
        Self { engine, sources, vanished: HashMap::new(), warnings: Vec::new() }
    }

    pub(super) async fn classify(&mut self, difference: &Difference) -> Result<Verdict, Stop> {
        let is_live_in_table = difference.side != Side::MissingInTable;
        if difference.side == Side::MissingInNotion
            && let Some(source) = difference.data_source_id
            && !self.sources.contains(&source)
            && self.is_removed(source).await?
        {
            return Ok(Verdict::Removed(RemovalReason::DataSourceRemoved, false));
        }
        let engine = self.engine;
        let removed =
            |reason, in_trash| if is_live_in_table { Verdict::Removed(reason, in_trash) } else { Verdict::Nothing };
        let text = match engine.notion.page(difference.page_id, engine.run).await {
            Ok(text) => text,
            Err(error) if error.is_object_not_found() => return Ok(removed(RemovalReason::Gone, false)),
            Err(error) => {
                return Err(Stop::from(error).context(format!("page {}, nothing was marked", difference.page_id)));
            }
        };
        let page =
            PageRow::read(text).map_err(|error| Failure::new(FailureClass::PageUnreadable, error.to_string()))?;
        if page.in_trash {
            return Ok(removed(RemovalReason::Trashed, true));
        }
        let Some(source) = self.home(&page, difference) else { return Ok(removed(RemovalReason::Moved, false)) };
        let hydration = hydrate(engine.notion, &page, engine.run).await?;
        self.warnings.extend(hydration.warnings);
        let is_archived = page.is_archived.unwrap_or(false);
        Ok(Verdict::Live(Box::new(row(page, engine.database, source, is_archived, hydration.properties)?)))
    }

    /// The data source of this database that the page lies in; `None` = it lies elsewhere.
    fn home(&self, page: &PageRow, difference: &Difference) -> Option<DataSourceId> {
        let source = page.parent.data_source_id.as_deref().and_then(|id| DataSourceId::parse(id).ok());
        let database = page.parent.database_id.as_deref().and_then(|id| DatabaseId::parse(id).ok());
        match (source, database) {
            (Some(source), _) if self.sources.contains(&source) => Some(source),
            // Added to this database while the run was under way, or left out of its list.
            (Some(source), Some(database)) if database == self.engine.database.id => Some(source),
            (Some(_), _) => None,
            // Older answers name the database alone (facts/notion §1.3).
            (None, Some(database)) if database == self.engine.database.id => {
                difference.data_source_id.or_else(|| self.sources.first().copied())
            }
            (None, _) => None,
        }
    }

    /// Whether a data source that vanished from the database is gone or trashed; one that moved elsewhere is not.
    async fn is_removed(&mut self, source: DataSourceId) -> Result<bool, Stop> {
        if let Some(known) = self.vanished.get(&source) {
            return Ok(*known);
        }
        let engine = self.engine;
        let is_removed = match engine.notion.data_source(source, engine.run).await {
            Ok(info) => info.in_trash,
            Err(error) if error.is_object_not_found() => true,
            Err(error) if error.is_forbidden() => {
                let message = format!("data source {source} is not visible any more, nothing was marked: {error}");
                return Err(Failure::new(FailureClass::SourceAccessLost, message).into());
            }
            Err(error) => return Err(Stop::from(error).context(format!("data source {source}, nothing was marked"))),
        };
        self.vanished.insert(source, is_removed);
        Ok(is_removed)
    }
}
