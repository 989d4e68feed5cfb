//! Rollups and formulas that follow from other rows: a page counts the first 25 references of a relation, the property
//! endpoint all of them (facts/properties §4).

use std::collections::BTreeSet;

use super::ids::parse_id;
use super::json::{ObjectText, list, quoted};
use super::render::{Painter, person_text, relation_text, span_text};
use super::schema::{Property, Schema};
use super::value::Value;
use super::world::row::{Properties, Row, RowState};

/// Functions that the property endpoint does not compute.
const NOT_AT_THE_ENDPOINT: [&str; 5] = ["show_unique", "unique", "median", "count_per_group", "percent_per_group"];
/// Functions that this emulator computes; the shape of the two per-group ones is not known.
pub(super) const FUNCTIONS: [&str; 19] = [
    "count",
    "count_values",
    "empty",
    "not_empty",
    "unique",
    "show_unique",
    "sum",
    "average",
    "median",
    "min",
    "max",
    "range",
    "earliest_date",
    "latest_date",
    "date_range",
    "checked",
    "unchecked",
    "percent_checked",
    "show_original",
];

/// Where the value of a property comes from, if people can't set it.
#[derive(Debug, Clone)]
pub(super) enum Computed {
    Rollup(Rollup),
    /// The number of references of the relation with this key: `prop("Tasks").length()`.
    Length(usize),
    /// The number that another computed property of the same row has: `prop("Hours")`.
    Number(usize),
}

/// What a rollup puts together.
#[derive(Debug, Clone)]
pub(super) struct Rollup {
    /// Key of the relation.
    pub(super) relation: usize,
    /// Key of the property in the data source that the relation leads to.
    pub(super) target: usize,
    /// Its id there, not percent-encoded.
    pub(super) target_id: String,
    /// Its name there.
    pub(super) target_name: String,
    pub(super) function: String,
}

/// A calculated value: its type, and the JSON under it.
type Calculated = (&'static str, String);

/// What the property endpoint lists of a rollup, and what it came to.
pub(super) struct RollupItems {
    /// Type and JSON of each item.
    pub(super) items: Vec<(String, String)>,
    /// The text under `rollup` on the last page.
    pub(super) last: String,
    /// The text under `rollup` before.
    pub(super) so_far: String,
}

impl Painter<'_> {
    /// The JSON under the type of a computed property, from the first `references` of each relation.
    pub(super) fn computed(&self, schema: &Schema, state: &RowState, computed: &Computed, references: usize) -> String {
        match computed {
            Computed::Rollup(rollup) => {
                let related = self.related(state, rollup.relation, references);
                rollup_text(&self.calculate(rollup, &related), &rollup.function)
            }
            Computed::Length(_) | Computed::Number(_) => {
                let number = self.number(schema, state, computed, references);
                let number = number.map_or_else(|| "null".to_owned(), number_text);
                ObjectText::new().text("type", "number").raw("number", &number).finish()
            }
        }
    }

    fn number(&self, schema: &Schema, state: &RowState, computed: &Computed, references: usize) -> Option<f64> {
        match computed {
            Computed::Length(relation) => Some(count(ids(state, *relation).len().min(references))),
            Computed::Number(key) => {
                let computed = schema.get(*key)?.computed.as_ref()?;
                self.number(schema, state, computed, references)
            }
            Computed::Rollup(rollup) => {
                let (kind, json) = self.calculate(rollup, &self.related(state, rollup.relation, references));
                Some(json).filter(|_| kind == "number")?.parse().ok()
            }
        }
    }

    /// A rollup at the property endpoint.
    pub(super) fn rollup_items(&self, state: &RowState, rollup: &Rollup) -> RollupItems {
        let related = self.related(state, rollup.relation, usize::MAX);
        let calculated = self.calculate(rollup, &related);
        let function = rollup.function.as_str();
        let unsupported = rollup_text(&("unsupported", "{}".to_owned()), function);
        if NOT_AT_THE_ENDPOINT.contains(&function) {
            let items = self.target_items(rollup, &related);
            return RollupItems { items, last: unsupported.clone(), so_far: unsupported };
        }
        if calculated.0 == "array" {
            let empty = rollup_text(&("array", "[]".to_owned()), function);
            return RollupItems { items: self.target_items(rollup, &related), last: empty.clone(), so_far: empty };
        }
        let relations = ids(state, rollup.relation).iter().map(|id| ("relation".to_owned(), relation_text(id)));
        RollupItems {
            items: relations.collect(),
            last: rollup_text(&calculated, function),
            so_far: rollup_text(&("incomplete", "{}".to_owned()), function),
        }
    }

    /// The rows that a relation leads to and that can be seen, of its first references.
    fn related(&self, state: &RowState, relation: usize, references: usize) -> Vec<&Row> {
        let rows = ids(state, relation).iter().take(references).filter_map(|id| self.world.row_by_id(parse_id(id)?));
        rows.filter(|row| self.world.sees_row(row)).collect()
    }

    fn calculate(&self, rollup: &Rollup, related: &[&Row]) -> Calculated {
        let values: Vec<Option<&Value>> = related.iter().map(|row| value(row.current(), rollup.target)).collect();
        let full = values.iter().filter(|value| value.is_some_and(|value| !is_empty(value))).count();
        let checked = values.iter().filter(|value| matches!(value, Some(Value::Checkbox(true)))).count();
        let mut numbers: Vec<f64> = values.iter().filter_map(|value| number(*value)).collect();
        numbers.sort_by(f64::total_cmp);
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        let sum: f64 = numbers.iter().sum();
        let of_numbers = |result: Option<f64>| ("number", result.map_or_else(|| "null".to_owned(), number_text));
        let of_count = |number: usize| ("number", number.to_string());
        match rollup.function.as_str() {
            "count" => of_count(values.len()),
            "count_values" | "not_empty" => of_count(full),
            "empty" => of_count(values.len() - full),
            "unique" => of_count(self.shown_values(rollup, related).into_iter().collect::<BTreeSet<_>>().len()),
            "sum" => of_numbers(Some(sum)),
            "average" => of_numbers((!numbers.is_empty()).then(|| sum / count(numbers.len()))),
            "median" => of_numbers(median(&numbers)),
            "min" => of_numbers(first),
            "max" => of_numbers(last),
            "range" => of_numbers(first.zip(last).map(|(first, last)| last - first)),
            "checked" => of_count(checked),
            "unchecked" => of_count(values.len() - checked),
            "percent_checked" => of_numbers((!values.is_empty()).then(|| count(checked) / count(values.len()))),
            function @ ("earliest_date" | "latest_date" | "date_range") => ("date", date(function, &values)),
            "show_unique" => {
                let mut seen = BTreeSet::new();
                let shown = self.shown_values(rollup, related);
                ("array", list(shown.into_iter().filter(|item| seen.insert(item.clone()))))
            }
            _ => ("array", list(self.shown_values(rollup, related))),
        }
    }

    /// One entry for each related row: `{"type":…,<type>:…}`.
    fn shown_values(&self, rollup: &Rollup, related: &[&Row]) -> Vec<String> {
        let texts = related.iter().filter_map(|row| {
            let (property, json) = self.target_value(rollup, row)?;
            Some(ObjectText::new().text("type", &property.type_name).raw(&property.type_name, &json).finish())
        });
        texts.collect()
    }

    /// The values of the related rows one by one, those that are lists taken apart.
    fn target_items(&self, rollup: &Rollup, related: &[&Row]) -> Vec<(String, String)> {
        let mut items = Vec::new();
        for row in related {
            let Some((property, json)) = self.target_value(rollup, row) else { continue };
            let several: Vec<String> = match value(row.current(), rollup.target) {
                Some(Value::Title(spans) | Value::RichText(spans)) => spans.iter().map(span_text).collect(),
                Some(Value::People(people)) => people.iter().map(person_text).collect(),
                Some(Value::Relation(ids)) => ids.iter().map(|id| relation_text(id)).collect(),
                _ => vec![json],
            };
            items.extend(several.into_iter().map(|json| (property.type_name.clone(), json)));
        }
        items
    }

    fn target_value(&self, rollup: &Rollup, row: &Row) -> Option<(&Property, String)> {
        let state = row.current();
        let property = self.world.schema_of(state)?.get(rollup.target)?;
        let json = value(state, rollup.target).map_or_else(
            || super::render::empty_value(&property.type_name),
            |value| self.plain_value(state, property, value),
        );
        Some((property, json))
    }
}

/// `{"type":…,<type>:…,"function":…}`.
fn rollup_text((kind, json): &Calculated, function: &str) -> String {
    ObjectText::new().text("type", kind).raw(kind, json).text("function", function).finish()
}

fn value(state: &RowState, key: usize) -> Option<&Value> {
    match &state.properties {
        Properties::Values(values) => values.iter().find(|(held, _)| *held == key).map(|(_, value)| value),
        Properties::Raw(_) => None,
    }
}

fn ids(state: &RowState, relation: usize) -> &[String] {
    match value(state, relation) {
        Some(Value::Relation(ids)) => ids,
        _ => &[],
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Title(spans) | Value::RichText(spans) => spans.is_empty(),
        Value::Number(text)
        | Value::Select(text)
        | Value::Status(text)
        | Value::Url(text)
        | Value::Email(text)
        | Value::PhoneNumber(text) => text.is_none(),
        Value::Date(date) => date.is_none(),
        Value::People(people) => people.is_empty(),
        Value::MultiSelect(names) => names.is_empty(),
        Value::Relation(ids) => ids.is_empty(),
        _ => false,
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value {
        Some(Value::Number(Some(text))) => text.parse().ok(),
        _ => None,
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(*upper) } else { sorted.get(middle - 1).map(|lower| f64::midpoint(*lower, *upper)) }
}

/// The earliest start, the latest end, or both; dates compare as their texts do while their offsets are alike.
fn date(function: &str, values: &[Option<&Value>]) -> String {
    let mut starts = BTreeSet::new();
    let mut ends = BTreeSet::new();
    for value in values {
        if let Some(Value::Date(Some(date))) = value {
            starts.insert(date.start.as_str());
            ends.insert(date.end.as_deref().unwrap_or(&date.start));
        }
    }
    let (Some(first), Some(last)) = (starts.first(), ends.last()) else { return "null".to_owned() };
    let (start, end) = match function {
        "earliest_date" => (first, None),
        "latest_date" => (last, None),
        _ => (first, Some(last)),
    };
    let end = end.map_or_else(|| "null".to_owned(), |end| quoted(end));
    ObjectText::new().text("start", start).raw("end", &end).null("time_zone").finish()
}

/// A number as Notion writes it: whole ones without a fraction.
fn number_text(number: f64) -> String {
    format!("{number}")
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
