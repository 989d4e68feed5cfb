//! Sorts, and the order of rows that the sorts call equal.

use std::cmp::Ordering;

use serde_json::Value;

use super::super::clock::minute_floor_ms;
use super::super::error::ApiError;
use super::super::ids::number_of;
use super::super::render::Painter;
use super::super::schema::Schema;
use super::super::settings::TieOrder;
use super::super::world::row::{Row, RowState};
use super::filter::Stamp;
use super::property::{self, property_value, unknown_property};
use super::result::Found;
use super::shown;

/// One sort; the first one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort {
    by: SortBy,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SortBy {
    Time(Stamp),
    Property(usize),
}

/// Without sorts no order is promised; newest first is what was observed.
pub(super) const WITHOUT_SORTS: Sort = Sort { by: SortBy::Time(Stamp::Created), descending: true };

/// A sort key of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SortValue {
    Time(i64),
    Number(f64),
    Text(String),
    Empty,
}

/// Reads `body.sorts`.
pub(super) fn parse(json: &Value, schema: Option<&Schema>) -> Result<Vec<Sort>, ApiError> {
    let Value::Array(items) = json else {
        return Err(ApiError::body_should_be("body.sorts", "an array or `undefined`", &shown(json)));
    };
    let mut sorts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        sorts.push(parse_one(item, schema, &format!("body.sorts[{index}]"))?);
    }
    Ok(if sorts.is_empty() { vec![WITHOUT_SORTS] } else { sorts })
}

fn parse_one(item: &Value, schema: Option<&Schema>, place: &str) -> Result<Sort, ApiError> {
    let Value::Object(object) = item else { return Err(ApiError::body_should_be(place, "an object", &shown(item))) };
    if let Some((key, value)) =
        object.iter().find(|(key, _)| !["timestamp", "property", "direction"].contains(&key.as_str()))
    {
        return Err(ApiError::unknown_key(&format!("{place}.{key}"), &shown(value)));
    }
    let descending = match object.get("direction").and_then(Value::as_str) {
        Some("ascending") => false,
        Some("descending") => true,
        _ => {
            let instead = object.get("direction").map_or_else(|| "undefined".to_owned(), shown);
            let expected = "`\"ascending\"` or `\"descending\"`";
            return Err(ApiError::body_should_be(&format!("{place}.direction"), expected, &instead));
        }
    };
    let by = match (object.get("timestamp"), object.get("property")) {
        (Some(timestamp), None) => timestamp.as_str().and_then(Stamp::parse).map(SortBy::Time).ok_or_else(|| {
            let expected = "`\"created_time\"` or `\"last_edited_time\"`";
            ApiError::body_should_be(&format!("{place}.timestamp"), expected, &shown(timestamp))
        })?,
        (None, Some(Value::String(name))) => {
            let key = schema.and_then(|schema| schema.key_of(name));
            SortBy::Property(key.ok_or_else(|| unknown_property(name))?)
        }
        _ => return Err(ApiError::body_should_be(place, "a sort by timestamp or by property", &shown(item))),
    };
    Ok(Sort { by, descending })
}

/// Returns the sort keys of a row, sort for sort, and then its place among equals.
pub(super) fn sorted_by(
    sorts: &[Sort],
    painter: &Painter<'_>,
    schema: &Schema,
    row: &Row,
    state: &RowState,
    fingerprint: &str,
) -> (Vec<SortValue>, u64) {
    let ties = painter.world.settings().tie_order;
    let values = sorts.iter().map(|sort| match sort.by {
        SortBy::Time(stamp) if ties == TieOrder::Hidden => SortValue::Time(stamp.of(state)),
        SortBy::Time(stamp) => SortValue::Time(minute_floor_ms(stamp.of(state))),
        SortBy::Property(key) => property_sort_value(painter, schema, key, state),
    });
    let tie = match ties {
        TieOrder::Hidden => row.number,
        TieOrder::Id => u64::try_from(row.id.as_u128() >> 64).unwrap_or_default(),
        TieOrder::Shuffled => number_of(&row.id.to_string()),
        TieOrder::ShuffledByQuery => number_of(&format!("{fingerprint} {}", row.id)),
    };
    (values.collect(), tie)
}

fn property_sort_value(painter: &Painter<'_>, schema: &Schema, key: usize, state: &RowState) -> SortValue {
    let mut value = painter.property_json(schema, key, state).map(|json| property_value(&json)).unwrap_or_default();
    // Formulas and rollups are sorted by what they came to.
    if let Some(inner) = value.get("type").and_then(Value::as_str).and_then(|name| value.get(name)) {
        value = inner.clone();
    }
    if let Value::Bool(checked) = value {
        return SortValue::Number(f64::from(u8::from(checked)));
    }
    if let Some(number) = property::number(&value) {
        return SortValue::Number(number);
    }
    if let Some(moment) = property::moment(&value) {
        return SortValue::Time(moment);
    }
    let text = property::read_text(&value);
    if text.is_empty() { SortValue::Empty } else { SortValue::Text(text) }
}

/// The order of two rows of a result. Equals keep their order of adding, turned around when the sort is descending.
pub(super) fn compare(sorts: &[Sort], left: &Found, right: &Found) -> Ordering {
    for (index, sort) in sorts.iter().enumerate() {
        let order = compare_values(&left.sorted_by[index], &right.sorted_by[index], sort.descending);
        if order.is_ne() {
            return order;
        }
    }
    let tie = left.tie.cmp(&right.tie);
    if sorts.first().is_some_and(|sort| sort.descending) { tie.reverse() } else { tie }
}

/// Empty values come last, whatever the direction.
fn compare_values(left: &SortValue, right: &SortValue, descending: bool) -> Ordering {
    let rank = |value: &SortValue| match value {
        SortValue::Time(_) => 0,
        SortValue::Number(_) => 1,
        SortValue::Text(_) => 2,
        SortValue::Empty => 3,
    };
    let order = match (left, right) {
        (SortValue::Time(left), SortValue::Time(right)) => left.cmp(right),
        (SortValue::Number(left), SortValue::Number(right)) => left.total_cmp(right),
        (SortValue::Text(left), SortValue::Text(right)) => left.cmp(right),
        _ => return rank(left).cmp(&rank(right)),
    };
    if descending { order.reverse() } else { order }
}
