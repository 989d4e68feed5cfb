//! Properties that Notion cut, read in full through the property endpoint; the page's own text stays as it is.

use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

use super::Stop;
use crate::failure::{Failure, FailureClass};
use crate::notion::{Client, Meaning, NotionError, PageRow, TruncatedProperty, truncated_properties};
use crate::run::Run;

/// Pages of 100 items read of one property: 10,000 items. Beyond it the value is marked as incomplete, with a warning.
const MAX_ITEM_PAGES: usize = 100;

/// Pages without an item, one after the other, of one property.
const MAX_EMPTY_RESULT_PAGES: u32 = 5;

/// Rejected cursors of one property before the run fails.
const MAX_CURSOR_RESTARTS: u32 = 5;

/// One property in `hydrated_properties`, whose key is the property's id.
#[derive(Debug, Serialize)]
struct Hydrated {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// True if `items` is the whole value.
    complete: bool,
    /// The property items as received.
    items: Vec<Box<RawValue>>,
}

/// The result of reading a page's cut properties.
#[derive(Debug, Default)]
pub(super) struct Hydration {
    /// The text for `hydrated_properties`; `None` = nothing was cut.
    pub(super) properties: Option<String>,
    /// The properties that could not be read in full.
    pub(super) warnings: Vec<String>,
    /// The page was deleted or trashed while it was read.
    pub(super) is_gone: bool,
}

/// Reads the cut properties of a page.
pub(super) async fn hydrate(notion: &Client, page: &PageRow, run: &Run) -> Result<Hydration, Stop> {
    let truncated = truncated_properties(&page.text).map_err(|error| {
        Failure::new(FailureClass::PageUnreadable, format!("the properties of page {}", page.id)).caused_by(error)
    })?;
    let mut hydration = Hydration::default();
    if truncated.is_empty() {
        return Ok(hydration);
    }
    let mut properties = BTreeMap::new();
    for property in truncated {
        let context = format!("property {:?} of page {}", property.name, page.id);
        match read_items(notion, page, &property, run).await {
            Ok(Items { items, left_out }) => {
                hydration.warnings.extend(left_out.iter().map(|why| format!("{context} {why}")));
                let TruncatedProperty { id, name, kind, .. } = property;
                properties.insert(id, Hydrated { name, kind, complete: left_out.is_none(), items });
            }
            Err(ReadError::NotFound) if is_gone(notion, page, run).await? => {
                // Trashed or deleted while it was read: the row stands as the query gave it, and the sweep settles it.
                hydration.warnings.push(format!("{context} could not be read in full: the page is gone"));
                hydration.is_gone = true;
                return Ok(hydration);
            }
            Err(ReadError::NotFound) => {
                hydration.warnings.push(format!("{context} could not be read in full: Notion does not find it"));
                let TruncatedProperty { id, name, kind, .. } = property;
                properties.insert(id, Hydrated { name, kind, complete: false, items: Vec::new() });
            }
            Err(ReadError::Stopped(stop)) => return Err(stop.context(context)),
        }
    }
    let text = serde_json::to_string(&properties)
        .map_err(|error| Failure::new(FailureClass::Internal, "writing hydrated properties").caused_by(error))?;
    hydration.properties = Some(text);
    Ok(hydration)
}

/// Returns whether a page, of which a property was not found, is itself gone or in the trash.
async fn is_gone(notion: &Client, page: &PageRow, run: &Run) -> Result<bool, Stop> {
    match notion.page(page.id, run).await {
        Ok(text) => Ok(PageRow::read(text).is_ok_and(|page| page.in_trash)),
        Err(error) if error.meaning() == Some(Meaning::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

enum ReadError {
    NotFound,
    Stopped(Stop),
}

/// The part of one property that was read.
struct Items {
    items: Vec<Box<RawValue>>,
    /// The reason that it is incomplete; `None` = it is complete.
    left_out: Option<String>,
}

async fn read_items(
    notion: &Client,
    page: &PageRow,
    property: &TruncatedProperty,
    run: &Run,
) -> Result<Items, ReadError> {
    let mut restarts = 0;
    loop {
        match read_item_pages(notion, page, property, run).await {
            // A cursor that died: these few pages are simply read again.
            Err(error) if is_rejected_cursor(&error) && restarts < MAX_CURSOR_RESTARTS => restarts += 1,
            Err(error) if is_rejected_cursor(&error) => {
                let message = format!("its cursor was rejected {} times, last: {error}", restarts + 1);
                return Err(ReadError::Stopped(Failure::new(FailureClass::CursorRejected, message).into()));
            }
            Err(error) if error.meaning() == Some(Meaning::NotFound) => return Err(ReadError::NotFound),
            Err(error) => return Err(ReadError::Stopped(error.into())),
            Ok(read) => return Ok(read),
        }
    }
}

fn is_rejected_cursor(error: &NotionError) -> bool {
    error.meaning() == Some(Meaning::CursorRejected)
}

async fn read_item_pages(
    notion: &Client,
    page: &PageRow,
    property: &TruncatedProperty,
    run: &Run,
) -> Result<Items, NotionError> {
    let mut items = Vec::new();
    let mut cursors = HashSet::new();
    let mut empty_pages = 0;
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_ITEM_PAGES {
        let read = notion.property_items(page.id, property, cursor.as_deref(), run).await?;
        empty_pages = if read.items.is_empty() { empty_pages + 1 } else { 0 };
        items.extend(read.items);
        cursor = read.next_cursor;
        match &cursor {
            None => {
                // What the page itself showed is there: a list that ends before it is not the whole one.
                let left_out = (items.len() < property.shown).then(|| {
                    format!(
                        "could not be read in full: Notion lists {} of at least {} items",
                        items.len(),
                        property.shown
                    )
                });
                return Ok(Items { items, left_out });
            }
            Some(next) if empty_pages > MAX_EMPTY_RESULT_PAGES || !cursors.insert(next.clone()) => {
                let why = "could not be read in full: Notion says that there is more and does not lead on to it";
                return Ok(Items { items, left_out: Some(why.to_owned()) });
            }
            Some(_) => {}
        }
    }
    let why = format!("has more than {} items; the rest was left out", items.len());
    Ok(Items { items, left_out: Some(why) })
}
