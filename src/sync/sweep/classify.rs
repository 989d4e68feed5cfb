//! The classification of a row that differs: the page itself is asked for (facts/notion §3.6). A removal needs evidence in
//! Notion's own words; what is unclear is left as it is.
//!
//! docs/ARCHITECTURE.md has the same table with the tests that hold each line.
//!
//! | evidence | verdict |
//! |---|---|
//! | 200, in the trash | removed: trashed |
//! | 200, its readable parent is outside the database | removed: moved |
//! | 200, its parent can't be read | unclear |
//! | 200, in any data source of the database | live: written with that data source |
//! | Notion's own 404 for that id | removed: gone (deleted or unshared, Notion can't tell) |
//! | Notion says that the page is a database | removed: became_database |
//! | Notion refuses the page for another reason | unclear |
//! | the data source is no longer listed; Notion says that it is gone or in the trash | removed: data_source_removed |
//! | the data source is no longer listed; Notion says that it is in another database | removed: moved |
//! | no answer from Notion, a lost right | the run fails, nothing is marked |

use std::collections::HashMap;

use super::super::hydrate::hydrate;
use super::super::row::row;
use super::super::{Engine, Stop};
use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, DatabaseId, PageId};
use crate::notion::{Meaning, PageRow, ParentInfo};
use crate::warehouse::{Difference, RemovalReason, Row, Side};

/// The decision about a difference.
pub(super) enum Verdict {
    /// Mark it as removed; the flag says whether it is in the trash.
    Removed(RemovalReason, bool),
    /// Write it.
    Live(Box<Row>),
    /// Leave it: neither side has it live.
    Nothing,
    /// Leave the row as it is, because Notion's answer is unclear; with the reason.
    Unclear(String),
}

pub(super) struct Classifier<'a> {
    engine: &'a Engine<'a>,
    sources: Vec<DataSourceId>,
    /// Data sources that the table knows and the database no longer lists, and why their rows are removed; `None` = they
    /// are not.
    vanished: HashMap<DataSourceId, Option<RemovalReason>>,
    /// The properties that could not be read in full.
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
            && let Some(reason) = self.removal_of(source).await?
        {
            return Ok(Verdict::Removed(reason, false));
        }
        let engine = self.engine;
        let removed =
            |reason, in_trash| if is_live_in_table { Verdict::Removed(reason, in_trash) } else { Verdict::Nothing };
        // A walk that did not show a page proves nothing. Only Notion's own answer about this one page can remove its row.
        let text = match engine.notion.page(difference.page_id, engine.run).await {
            Ok(text) => text,
            Err(error) => match error.meaning() {
                Some(Meaning::NotFound) => return Ok(removed(RemovalReason::Gone, false)),
                Some(Meaning::BecameDatabase) => return Ok(removed(RemovalReason::BecameDatabase, false)),
                Some(Meaning::Rejected) => return Ok(Verdict::Unclear(error.to_string())),
                _ => return Err(Stop::from(error).context(format!("page {}, nothing was marked", difference.page_id))),
            },
        };
        let page = match PageRow::read(text) {
            Ok(page) => page,
            Err(error) => return Ok(Verdict::Unclear(error.to_string())),
        };
        if page.in_trash {
            return Ok(removed(RemovalReason::Trashed, true));
        }
        // The page exists. It is removed only where its parent says, readably, that it belongs to something else.
        let source = match self.home(&page.parent, difference) {
            Home::Here(source) => source,
            Home::Elsewhere => return Ok(removed(RemovalReason::Moved, false)),
            Home::Unreadable => return Ok(Verdict::Unclear(format!("page {} has no readable parent", page.id))),
        };
        let hydration = hydrate(engine, source, &page, engine.run).await?;
        self.warnings.extend(hydration.warnings);
        let is_archived = page.is_archived.unwrap_or(false);
        Ok(Verdict::Live(Box::new(row(page, engine.database, source, is_archived, hydration.properties)?)))
    }

    /// Finds the place of a page. The parent's type and its id must fit together.
    fn home(&self, parent: &ParentInfo, difference: &Difference) -> Home {
        let ours = self.engine.database.id;
        let source = parent.data_source_id.as_deref().map(DataSourceId::parse);
        let database = parent.database_id.as_deref().map(DatabaseId::parse);
        match (parent.kind.as_deref(), source, database) {
            (Some("data_source_id"), Some(Ok(source)), _) if self.sources.contains(&source) => Home::Here(source),
            // Added to this database while the run was in progress, or left out of its list.
            (Some("data_source_id"), Some(Ok(source)), Some(Ok(database))) if database == ours => Home::Here(source),
            (Some("data_source_id"), Some(Ok(_)), Some(Ok(_))) => Home::Elsewhere,
            // Without the database above it, a source counts as another one only if it is not the one the row was in.
            (Some("data_source_id"), Some(Ok(source)), None) if difference.data_source_id != Some(source) => {
                Home::Elsewhere
            }
            // Older answers name the database alone (facts/notion §1.3).
            (Some("database_id"), None, Some(Ok(database))) if database == ours => {
                match difference.data_source_id.or_else(|| self.sources.first().copied()) {
                    Some(source) => Home::Here(source),
                    None => Home::Unreadable,
                }
            }
            (Some("database_id"), None, Some(Ok(_))) => Home::Elsewhere,
            (Some("page_id"), ..) if is_id(parent.page_id.as_deref()) => Home::Elsewhere,
            (Some("block_id"), ..) if is_id(parent.block_id.as_deref()) => Home::Elsewhere,
            (Some("agent_id"), ..) if is_id(parent.agent_id.as_deref()) => Home::Elsewhere,
            (Some("workspace"), ..) if parent.workspace == Some(true) => Home::Elsewhere,
            _ => Home::Unreadable,
        }
    }

    /// Asks for a data source that the database no longer lists, once for all its rows: why they are removed, if they are.
    async fn removal_of(&mut self, source: DataSourceId) -> Result<Option<RemovalReason>, Stop> {
        if let Some(known) = self.vanished.get(&source) {
            return Ok(*known);
        }
        let engine = self.engine;
        let reason = match engine.notion.data_source(source, engine.run).await {
            Ok(info) if info.in_trash => Some(RemovalReason::DataSourceRemoved),
            Ok(info) => self.lies_elsewhere(info.parent.as_ref()).then_some(RemovalReason::Moved),
            Err(error) => match error.meaning() {
                Some(Meaning::NotFound) => Some(RemovalReason::DataSourceRemoved),
                Some(Meaning::Forbidden) => {
                    let message = format!("data source {source} is no longer visible, nothing was marked: {error}");
                    return Err(Failure::new(FailureClass::SourceAccessLost, message).into());
                }
                _ => return Err(Stop::from(error).context(format!("data source {source}, nothing was marked"))),
            },
        };
        self.vanished.insert(source, reason);
        Ok(reason)
    }

    /// Returns true when a data source's parent is readable and is another database.
    fn lies_elsewhere(&self, parent: Option<&ParentInfo>) -> bool {
        let Some(parent) = parent.filter(|parent| parent.kind.as_deref() == Some("database_id")) else { return false };
        let database = parent.database_id.as_deref().map(DatabaseId::parse);
        database.and_then(Result::ok).is_some_and(|database| database != self.engine.database.id)
    }
}

/// The place of a page.
enum Home {
    /// In this data source of the database.
    Here(DataSourceId),
    /// Outside the database.
    Elsewhere,
    /// Nobody can tell.
    Unreadable,
}

fn is_id(text: Option<&str>) -> bool {
    text.is_some_and(|text| PageId::parse(text).is_ok())
}
