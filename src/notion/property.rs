//! One result page of a property's items, checked against what was asked for (facts/notion §5.2).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::raw::Entries;
use super::wire::ListAnswer;
use super::{TruncatedProperty, without_request_id};

/// One result page of a property's items.
#[derive(Debug)]
pub struct PropertyItems {
    /// The items, raw.
    pub items: Vec<Box<RawValue>>,
    /// What a rollup came to so far; final on the last page.
    pub rollup: Option<RollupState>,
    /// Cursor of the next result page.
    pub next_cursor: Option<String>,
}

/// What stands beside a page of a rollup's items.
#[derive(Debug)]
pub struct RollupState {
    /// `number`, `date`, `array`, `incomplete`, `unsupported`, ….
    pub kind: String,
    /// The JSON as received.
    pub text: Box<RawValue>,
}

#[derive(Deserialize)]
struct ListFrame {
    property_item: PropertyDescription,
}

#[derive(Deserialize)]
struct PropertyDescription {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    rollup: Option<Box<RawValue>>,
}

impl PropertyItems {
    /// Reads an answer. Kind, property id and frame must be those asked for: the items of another property, or one item
    /// where a list must stand, are no answer.
    pub(super) fn read(text: &str, property: &TruncatedProperty) -> Result<Self, String> {
        let entries = Entries::of(text).map_err(|error| error.to_string())?;
        let object: String = entries.read("object").unwrap_or_default();
        if object == "property_item" && !is_list(&property.kind) {
            let item = without_request_id(text).and_then(RawValue::from_string).map_err(|error| error.to_string())?;
            check_item(&item, property)?;
            return Ok(Self { items: vec![item], rollup: None, next_cursor: None });
        }
        if object != "list" {
            return Err(format!("it is a {object:?} object and not a list of {} items", property.kind));
        }
        let frame: ListFrame = serde_json::from_str(text).map_err(|error| error.to_string())?;
        check(&frame.property_item.id, &frame.property_item.kind, property)?;
        let list: ListAnswer = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if list.has_more && list.next_cursor.is_none() {
            return Err("has_more is true and there is no next_cursor".to_owned());
        }
        for item in &list.results {
            check_item(item, property)?;
        }
        let rollup =
            frame.property_item.rollup.filter(|_| property.kind == "rollup").map(RollupState::read).transpose()?;
        if property.kind == "rollup" && rollup.is_none() {
            return Err("it says nothing of what the rollup came to".to_owned());
        }
        Ok(Self { items: list.results, rollup, next_cursor: list.next_cursor.filter(|_| list.has_more) })
    }
}

impl RollupState {
    fn read(text: Box<RawValue>) -> Result<Self, String> {
        let kind = Entries::of(text.get()).map_err(|error| error.to_string())?.read("type");
        Ok(Self { kind: kind.ok_or("the rollup has no type")?, text })
    }
}

/// Kinds that always answer with a list, even an empty one.
fn is_list(kind: &str) -> bool {
    matches!(kind, "title" | "rich_text" | "relation" | "people" | "rollup")
}

fn check_item(item: &RawValue, property: &TruncatedProperty) -> Result<(), String> {
    let entries = Entries::of(item.get()).map_err(|error| error.to_string())?;
    let text = |key: &str| entries.read::<String>(key).unwrap_or_default();
    if text("object") != "property_item" {
        return Err(format!("it holds a {:?} object among its items", text("object")));
    }
    if property.kind == "rollup" {
        // The items are what it is made of: relations, or values of the related pages.
        let kind = text("type");
        return entries.get(&kind).map(|_| ()).ok_or_else(|| format!("one of its items has no {kind:?}"));
    }
    if entries.get(&property.kind).is_none() {
        return Err(format!("one of its items has no {}", property.kind));
    }
    check(&text("id"), &text("type"), property)
}

fn check(id: &str, kind: &str, property: &TruncatedProperty) -> Result<(), String> {
    if kind != property.kind {
        return Err(format!("it holds {kind:?} items and not {:?}", property.kind));
    }
    if id != property.id {
        return Err(format!("it holds items of property {id:?} and not of {:?}", property.id));
    }
    Ok(())
}
