//! Property filters: text, number, checkbox, options, dates, people, relations, files, formulas. Not rollups.

use serde_json::{Map, Value};

use super::super::clock::parse_ms;
use super::super::error::ApiError;
use super::super::render::Painter;
use super::super::schema::Schema;
use super::super::settings::FilterTime;
use super::super::world::row::RowState;
use super::conditions::{self, TimeCondition};
use super::shown;

/// A condition on one property.
#[derive(Debug)]
pub(super) struct PropertyFilter {
    key: usize,
    /// The kind inside a formula.
    formula_kind: Option<String>,
    condition: Condition,
}

#[derive(Debug)]
enum Condition {
    Time(TimeCondition),
    /// An operator on the text that a value reads as, in lower case.
    Text(String, String),
    /// The option with this name, or any other and none.
    Choice {
        name: String,
        wanted: bool,
    },
    Number(String, f64),
    Checkbox {
        wanted: bool,
    },
    Contains {
        id_or_name: String,
        wanted: bool,
    },
    Empty {
        wanted: bool,
    },
}

impl PropertyFilter {
    pub(super) fn holds(&self, painter: &Painter<'_>, schema: &Schema, state: &RowState) -> bool {
        let Some(json) = painter.property_json(schema, self.key, state) else { return false };
        let mut value = property_value(&json);
        if let Some(kind) = &self.formula_kind {
            value = value.get(if kind == "checkbox" { "boolean" } else { kind }).cloned().unwrap_or_default();
        }
        self.condition.holds(&value)
    }
}

/// Returns the value that a property object holds under its type's key.
pub(super) fn property_value(json: &str) -> Value {
    let object: Value = serde_json::from_str(json).unwrap_or_default();
    object.get("type").and_then(Value::as_str).and_then(|name| object.get(name)).cloned().unwrap_or_default()
}

impl Condition {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Time(condition) => condition.holds(moment(value), FilterTime::Shown),
            Self::Empty { wanted } => is_empty(value) == *wanted,
            Self::Checkbox { wanted } => value.as_bool().unwrap_or(false) == *wanted,
            Self::Contains { id_or_name, wanted } => {
                let named = |item: &Value| {
                    ["id", "name"].iter().any(|key| item.get(key) == Some(&Value::from(id_or_name.as_str())))
                };
                value.as_array().is_some_and(|items| items.iter().any(named)) == *wanted
            }
            Self::Number(operator, wanted) => match (number(value), operator.as_str()) {
                // An empty value equals no number.
                (None, operator) => operator == "does_not_equal",
                (Some(number), "equals") => number == *wanted,
                (Some(number), "does_not_equal") => number != *wanted,
                (Some(number), "greater_than") => number > *wanted,
                (Some(number), "less_than") => number < *wanted,
                (Some(number), "greater_than_or_equal_to") => number >= *wanted,
                (Some(number), _) => number <= *wanted,
            },
            Self::Choice { name, wanted } => (read_text(value) == *name) == *wanted,
            Self::Text(operator, wanted) => {
                let text = read_text(value).to_lowercase();
                match operator.as_str() {
                    "equals" => text == *wanted,
                    "does_not_equal" => text != *wanted,
                    "contains" => text.contains(wanted.as_str()),
                    "does_not_contain" => !text.contains(wanted.as_str()),
                    "starts_with" => text.starts_with(wanted.as_str()),
                    _ => text.ends_with(wanted.as_str()),
                }
            }
        }
    }
}

/// The text a value reads as: rich text, an option's name, a link.
pub(super) fn read_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(spans) => spans.iter().filter_map(|span| span.get("plain_text")?.as_str()).collect(),
        Value::Object(option) => option.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

/// The number a value is: a number, or the number of a unique id.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.get("number")?.as_f64())
}

/// The moment a value means: a date's start, or a time.
pub(super) fn moment(value: &Value) -> Option<i64> {
    value.as_str().or_else(|| value.get("start")?.as_str()).and_then(parse_ms)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Reads `{"property":…, <kind>:{<operator>:<value>}}`.
pub(super) fn parse(
    object: &Map<String, Value>,
    schema: &Schema,
    place: &str,
    now_ms: i64,
) -> Result<PropertyFilter, ApiError> {
    let Some(Value::String(name)) = object.get("property") else {
        let instead = object.get("property").map_or_else(|| "undefined".to_owned(), shown);
        return Err(ApiError::body_should_be(&format!("{place}.property"), "a string", &instead));
    };
    let key = schema.key_of(name).ok_or_else(|| unknown_property(name))?;
    let mut conditions = object.iter().filter(|(key, _)| !["property", "type"].contains(&key.as_str()));
    let Some((kind, json)) = conditions.next() else {
        return Err(ApiError::body_should_be(
            place,
            "a filter with a condition",
            &shown(&Value::Object(object.clone())),
        ));
    };
    if let Some((strange, value)) = conditions.next() {
        return Err(ApiError::unknown_key(&format!("{place}.{strange}"), &shown(value)));
    }
    let place = format!("{place}.{kind}");
    if kind == "formula" {
        let inner = json.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
        let Some((kind, json)) = inner else {
            return Err(ApiError::body_should_be(&place, "an object with one condition", &shown(json)));
        };
        let condition = condition(kind, json, &format!("{place}.{kind}"), now_ms)?;
        return Ok(PropertyFilter { key, formula_kind: Some(kind.clone()), condition });
    }
    Ok(PropertyFilter { key, formula_kind: None, condition: condition(kind, json, &place, now_ms)? })
}

/// The error for a name or id no property has.
pub(super) fn unknown_property(name: &str) -> ApiError {
    ApiError::validation(format!("Could not find property with name or id: {name}"))
}

fn condition(kind: &str, json: &Value, place: &str, now_ms: i64) -> Result<Condition, ApiError> {
    if ["date", "created_time", "last_edited_time"].contains(&kind) {
        return conditions::parse(json, place, now_ms).map(Condition::Time);
    }
    let single = json.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    let Some((operator, value)) = single else {
        return Err(ApiError::body_should_be(place, "an object with one condition", &shown(json)));
    };
    let place = format!("{place}.{operator}");
    let (operator, unknown) = (operator.as_str(), || ApiError::unknown_key(&place, &shown(value)));
    if let "is_empty" | "is_not_empty" = operator {
        return Ok(Condition::Empty { wanted: operator == "is_empty" });
    }
    let text = || value.as_str().ok_or_else(|| ApiError::body_should_be(&place, "a string", &shown(value)));
    match kind {
        "title" | "rich_text" | "url" | "email" | "phone_number" | "string" => match operator {
            "equals" | "does_not_equal" | "contains" | "does_not_contain" | "starts_with" | "ends_with" => {
                Ok(Condition::Text(operator.to_owned(), text()?.to_lowercase()))
            }
            _ => Err(unknown()),
        },
        "select" | "status" => match operator {
            "equals" | "does_not_equal" => {
                Ok(Condition::Choice { name: text()?.to_owned(), wanted: operator == "equals" })
            }
            _ => Err(unknown()),
        },
        "multi_select" | "people" | "relation" | "created_by" | "last_edited_by" => match operator {
            "contains" | "does_not_contain" => {
                Ok(Condition::Contains { id_or_name: text()?.to_owned(), wanted: operator == "contains" })
            }
            _ => Err(unknown()),
        },
        "checkbox" => match (operator, value) {
            ("equals", Value::Bool(wanted)) => Ok(Condition::Checkbox { wanted: *wanted }),
            ("does_not_equal", Value::Bool(wanted)) => Ok(Condition::Checkbox { wanted: !wanted }),
            _ => Err(unknown()),
        },
        "number" | "unique_id" => match operator {
            "equals"
            | "does_not_equal"
            | "greater_than"
            | "less_than"
            | "greater_than_or_equal_to"
            | "less_than_or_equal_to" => {
                let wanted = value.as_f64();
                let wanted = wanted.ok_or_else(|| ApiError::body_should_be(&place, "a number", &shown(value)))?;
                Ok(Condition::Number(operator.to_owned(), wanted))
            }
            _ => Err(unknown()),
        },
        other => {
            Err(ApiError::validation(format!("The emulator does not know filters of the kind {other} ({place}).")))
        }
    }
}
