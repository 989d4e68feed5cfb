//! Filters: timestamp filters, property filters, and groups of them, two levels deep.

use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::render::Painter;
use super::super::schema::Schema;
use super::super::world::row::RowState;
use super::conditions::{self, TimeCondition};
use super::property::{self, PropertyFilter};
use super::shown;

const MAX_GROUP_CONDITIONS: usize = 100;
const DEEPEST_NESTING: usize = 2;

/// A filter, understood.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Time(Stamp, TimeCondition),
    Property(PropertyFilter),
}

/// Which of a row's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    Created,
    Edited,
}

impl Stamp {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "created_time" => Some(Self::Created),
            "last_edited_time" => Some(Self::Edited),
            _ => None,
        }
    }

    pub(super) fn of(self, state: &RowState) -> i64 {
        match self {
            Self::Created => state.created_ms,
            Self::Edited => state.edited_ms,
        }
    }
}

impl Filter {
    /// Returns whether a row is in the result.
    pub(super) fn holds(&self, painter: &Painter<'_>, schema: &Schema, state: &RowState) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(painter, schema, state)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(painter, schema, state)),
            Self::Property(filter) => filter.holds(painter, schema, state),
            Self::Time(stamp, condition) => {
                condition.holds(Some(stamp.of(state)), painter.world.settings().filter_time)
            }
        }
    }
}

/// Reads `body.filter`.
pub(super) fn parse(json: &Value, schema: Option<&Schema>, now_ms: i64) -> Result<Filter, ApiError> {
    let blank = Schema::new();
    Reader { schema: schema.unwrap_or(&blank), now_ms }.filter(json, "body.filter", 0)
}

struct Reader<'a> {
    schema: &'a Schema,
    now_ms: i64,
}

impl Reader<'_> {
    fn filter(&self, json: &Value, place: &str, depth: usize) -> Result<Filter, ApiError> {
        let Value::Object(object) = json else {
            return Err(ApiError::body_should_be(place, "an object or `undefined`", &shown(json)));
        };
        for (key, make) in [("and", Filter::All as fn(Vec<Filter>) -> Filter), ("or", Filter::Any)] {
            if let Some(group) = object.get(key) {
                return self.group(object, key, group, place, depth).map(make);
            }
        }
        match object.get("timestamp") {
            Some(timestamp) => self.timestamp(object, timestamp, place),
            None => property::parse(object, self.schema, place, self.now_ms).map(Filter::Property),
        }
    }

    fn group(
        &self,
        object: &Map<String, Value>,
        key: &str,
        group: &Value,
        place: &str,
        depth: usize,
    ) -> Result<Vec<Filter>, ApiError> {
        if let Some((other, value)) = object.iter().find(|(name, _)| *name != key) {
            return Err(ApiError::unknown_key(&format!("{place}.{other}"), &shown(value)));
        }
        let place = format!("{place}.{key}");
        if depth == DEEPEST_NESTING {
            return Err(ApiError::unknown_key(&place, &shown(group)));
        }
        let Value::Array(items) = group else {
            return Err(ApiError::body_should_be(&place, "an array", &shown(group)));
        };
        if items.len() > MAX_GROUP_CONDITIONS {
            let expected = format!("≤ `{MAX_GROUP_CONDITIONS}`");
            return Err(ApiError::body_should_be(&format!("{place}.length"), &expected, &items.len().to_string()));
        }
        let parts = items.iter().enumerate();
        parts.map(|(index, item)| self.filter(item, &format!("{place}[{index}]"), depth + 1)).collect()
    }

    /// `{"timestamp":T, T:{…}}`; anything beside is an error.
    fn timestamp(&self, object: &Map<String, Value>, timestamp: &Value, place: &str) -> Result<Filter, ApiError> {
        let name = timestamp.as_str().unwrap_or_default();
        let stamp = Stamp::parse(name).ok_or_else(|| {
            let expected = "`\"created_time\"` or `\"last_edited_time\"`";
            ApiError::body_should_be(&format!("{place}.timestamp"), expected, &shown(timestamp))
        })?;
        let strange = object.iter().find(|(key, _)| !["timestamp", "type", name].contains(&key.as_str()));
        if let Some((key, value)) = strange {
            return Err(ApiError::unknown_key(&format!("{place}.{key}"), &shown(value)));
        }
        let place = format!("{place}.{name}");
        let condition = object.get(name).ok_or_else(|| ApiError::body_should_be(&place, "defined", "undefined"))?;
        Ok(Filter::Time(stamp, conditions::parse(condition, &place, self.now_ms)?))
    }
}
