//! Properties that Notion cut, read in full through the property endpoint; the page's own text stays as it is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

use super::{Engine, Stop};
use crate::failure::{Failure, FailureClass};
use crate::ids::DataSourceId;
use crate::notion::{
    Client, Meaning, NotionError, PageRow, RollupState, TruncatedProperty, computed_properties, truncated_properties,
};
use crate::run::Run;

/// Pages of 100 items read of one property: 10,000 items. Beyond it the value is marked as incomplete, with a warning.
const MAX_ITEM_PAGES: usize = 100;

/// Pages without an item, one after the other, of one property.
const MAX_EMPTY_RESULT_PAGES: u32 = 5;

/// Rejected cursors of one property before the run fails.
const MAX_CURSOR_RESTARTS: u32 = 5;

/// One property in `hydrated_properties`, whose key is the property's id.
#[derive(Debug, Serialize)]
struct FullValue {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// True if the value is complete.
    complete: bool,
    /// The property items as received; of a rollup those of a list, of a formula none.
    items: Vec<Box<RawValue>>,
    /// What a rollup came to, as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollup: Option<Box<RawValue>>,
    /// What a formula came to, as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    formula: Option<Box<RawValue>>,
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
pub(super) async fn hydrate(
    engine: &Engine<'_>,
    source: DataSourceId,
    page: &PageRow,
    run: &Run,
) -> Result<Hydration, Stop> {
    let notion = engine.notion;
    let truncated = cut_properties(engine, source, page, run).await?;
    let mut hydration = Hydration::default();
    if truncated.is_empty() {
        return Ok(hydration);
    }
    let mut properties = BTreeMap::new();
    for property in truncated {
        let context = format!("property {:?} of page {}", property.name, page.id);
        let value = match read_value(notion, page, &property, run).await {
            Ok(value) => value,
            Err(ReadError::NotFound) if is_gone(notion, page, run).await? => {
                // Trashed or deleted while it was read: the row stands as the query gave it, and the sweep settles it.
                hydration.warnings.push(format!("{context} could not be read in full: the page is gone"));
                hydration.is_gone = true;
                return Ok(hydration);
            }
            Err(ReadError::NotFound) => Value::none("could not be read in full: Notion does not find it".to_owned()),
            Err(ReadError::Stopped(stop)) => return Err(stop.context(context)),
        };
        let Value { items, rollup, formula, left_out } = value;
        hydration.warnings.extend(left_out.iter().map(|why| format!("{context} {why}")));
        let TruncatedProperty { id, name, kind, .. } = property;
        properties.insert(id, FullValue { name, kind, complete: left_out.is_none(), items, rollup, formula });
    }
    let text = serde_json::to_string(&properties)
        .map_err(|error| Failure::new(FailureClass::Internal, "writing hydrated properties").caused_by(error))?;
    hydration.properties = Some(text);
    Ok(hydration)
}

/// Returns the properties that the page shows cut. The schema, which says what a rollup or formula stands on, is asked for only if
/// the page shows a relation cut and has such a property.
async fn cut_properties(
    engine: &Engine<'_>,
    source: DataSourceId,
    page: &PageRow,
    run: &Run,
) -> Result<Vec<TruncatedProperty>, Stop> {
    let unreadable = |error| {
        Failure::new(FailureClass::PageUnreadable, format!("the properties of page {}", page.id)).caused_by(error)
    };
    let mut truncated = truncated_properties(&page.text).map_err(unreadable)?;
    if truncated.iter().all(|property| property.kind != "relation") {
        return Ok(truncated);
    }
    let mut computed = computed_properties(&page.text).map_err(unreadable)?;
    if !computed.is_empty() {
        let schema = engine.schemas.dependencies(engine.notion, source, run).await?;
        let cut: Vec<&str> = truncated
            .iter()
            .filter(|property| property.kind == "relation")
            .map(|property| property.id.as_str())
            .collect();
        computed.retain(|property| schema.may_stand_on(&property.id, &cut));
        truncated.append(&mut computed);
    }
    Ok(truncated)
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

/// What was read of one property.
struct Value {
    items: Vec<Box<RawValue>>,
    rollup: Option<Box<RawValue>>,
    formula: Option<Box<RawValue>>,
    /// Why that is not all; `None` = it is.
    left_out: Option<String>,
}

impl Value {
    fn of_items(items: Vec<Box<RawValue>>, left_out: Option<String>) -> Self {
        Self { items, rollup: None, formula: None, left_out }
    }

    fn none(left_out: String) -> Self {
        Self::of_items(Vec::new(), Some(left_out))
    }
}

async fn read_value(
    notion: &Client,
    page: &PageRow,
    property: &TruncatedProperty,
    run: &Run,
) -> Result<Value, ReadError> {
    let is_computed = matches!(property.kind.as_str(), "formula" | "rollup");
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
            // Notion refuses what passes through pages that are not shared; the page itself is there.
            Err(error) if is_computed && error.meaning() == Some(Meaning::Rejected) => {
                return Ok(Value::none(format!("could not be read in full: {error}")));
            }
            Err(error) => return Err(ReadError::Stopped(error.into())),
            Ok(items) if is_computed => return computed_value(items, property).map_err(ReadError::Stopped),
            Ok(items) => return Ok(Value::of_items(items.items, items.left_out)),
        }
    }
}

/// The value of a rollup or formula from what the property endpoint gave.
fn computed_value(read: Items, property: &TruncatedProperty) -> Result<Value, Stop> {
    let Items { items, rollup, left_out } = read;
    let not_computed = || Some("could not be read in full: Notion does not compute it".to_owned());
    let Some(rollup) = rollup else {
        let unreadable = |error| {
            let message = format!("the property endpoint's answer for formula {:?}", property.name);
            Stop::from(Failure::new(FailureClass::NotionUnreadable, message).caused_by(error))
        };
        let formula = items.first().map(|item| formula_in(item)).transpose().map_err(unreadable)?;
        let is_computed = formula.as_ref().is_some_and(|(kind, _)| kind != "unsupported");
        let left_out = if is_computed { left_out } else { not_computed() };
        let formula = formula.map(|(_, text)| text);
        return Ok(Value { items: Vec::new(), rollup: None, formula, left_out });
    };
    let left_out = match rollup.kind.as_str() {
        "unsupported" | "incomplete" => left_out.or_else(not_computed),
        _ => left_out,
    };
    // The items of a calculation are the relation's, which stand under the relation itself.
    let items = if rollup.kind == "array" { items } else { Vec::new() };
    Ok(Value { items, rollup: Some(rollup.text), formula: None, left_out })
}

/// The type of a formula's value, and the JSON under `formula`.
fn formula_in(item: &RawValue) -> serde_json::Result<(String, Box<RawValue>)> {
    #[derive(Deserialize)]
    struct Item {
        formula: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct TypedProperty {
        #[serde(rename = "type")]
        kind: String,
    }
    let item: Item = serde_json::from_str(item.get())?;
    let typed: TypedProperty = serde_json::from_str(item.formula.get())?;
    Ok((typed.kind, item.formula))
}

fn is_rejected_cursor(error: &NotionError) -> bool {
    error.meaning() == Some(Meaning::CursorRejected)
}

/// The items of a property, and what a rollup came to on the last page read.
struct Items {
    items: Vec<Box<RawValue>>,
    rollup: Option<RollupState>,
    /// Why that is not all; `None` = it is.
    left_out: Option<String>,
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
    let mut rollup = None;
    for _ in 0..MAX_ITEM_PAGES {
        let read = notion.property_items(page.id, property, cursor.as_deref(), run).await?;
        empty_pages = if read.items.is_empty() { empty_pages + 1 } else { 0 };
        items.extend(read.items);
        cursor = read.next_cursor;
        rollup = read.rollup;
        // What Notion does not compute, no further page brings.
        if rollup.as_ref().is_some_and(|rollup| rollup.kind == "unsupported") {
            return Ok(Items { items, rollup, left_out: None });
        }
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
                return Ok(Items { items, rollup, left_out });
            }
            Some(next) if empty_pages > MAX_EMPTY_RESULT_PAGES || !cursors.insert(next.clone()) => {
                let why = "could not be read in full: Notion says that there is more and does not lead on to it";
                return Ok(Items { items, rollup, left_out: Some(why.to_owned()) });
            }
            Some(_) => {}
        }
    }
    let why = format!("has more than {} items; the rest was left out", items.len());
    Ok(Items { items, rollup, left_out: Some(why) })
}
