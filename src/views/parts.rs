//! Which columns a property gets: one for most types, several where one value holds several things.

use super::schema::Property;

/// A part of a property's value: one column of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name, with the SQL type the identity of the column.
    pub(super) name: &'static str,
    /// The suffix of the property's name.
    pub(super) suffix: &'static str,
    pub(super) sql_type: &'static str,
}

const fn part(name: &'static str, suffix: &'static str, sql_type: &'static str) -> Part {
    Part { name, suffix, sql_type }
}

pub(super) const PERSON: &str = "STRUCT<id:STRING,name:STRING,email:STRING,kind:STRING>";

const TEXT: &[Part] = &[part("value", "", "STRING")];
const STATUS: &[Part] = &[part("value", "", "STRING"), part("group", "_group", "STRING")];
const NUMBER: &[Part] = &[part("value", "", "DOUBLE")];
const CHECKBOX: &[Part] = &[part("value", "", "BOOLEAN")];
const LIST: &[Part] = &[part("value", "", "ARRAY<STRING>")];
const DATE: &[Part] = &[
    part("value", "", "DATE"),
    part("time", "_at", "TIMESTAMP"),
    part("end", "_end", "DATE"),
    part("end_time", "_end_at", "TIMESTAMP"),
];
const TIME: &[Part] = &[part("value", "", "TIMESTAMP")];
const PEOPLE: &[Part] = &[part("value", "", "ARRAY<STRUCT<id:STRING,name:STRING,email:STRING,kind:STRING>>")];
const SINGLE_PERSON: &[Part] = &[part("value", "", PERSON)];
const FILES: &[Part] = &[part("value", "", "ARRAY<STRUCT<name:STRING,type:STRING,url:STRING>>")];
const FORMULA: &[Part] = &[part(
    "value",
    "",
    "STRUCT<type:STRING,string:STRING,number:DOUBLE,boolean:BOOLEAN,date:DATE,date_at:TIMESTAMP,date_end:DATE,date_end_at:TIMESTAMP>",
)];
const ROLLUP: &[Part] = &[part(
    "value",
    "",
    "STRUCT<type:STRING,function:STRING,number:DOUBLE,date:DATE,date_at:TIMESTAMP,date_end:DATE,date_end_at:TIMESTAMP,array:STRING>",
)];
const UNIQUE_ID: &[Part] = &[part("value", "", "STRING"), part("number", "_number", "BIGINT")];
const PLACE: &[Part] = &[part("value", "", "STRUCT<lat:DOUBLE,lon:DOUBLE,name:STRING,address:STRING>")];
const VERIFICATION: &[Part] = &[part(
    "value",
    "",
    "STRUCT<state:STRING,start:TIMESTAMP,end:TIMESTAMP,verified_by:STRUCT<id:STRING,name:STRING,email:STRING,kind:STRING>>",
)];
/// A type that this version does not know: its JSON.
const JSON: &[Part] = &[part("json", "", "STRING")];

/// Rollup functions whose result is a number, whatever they look at.
const NUMBER_FUNCTIONS: &[&str] = &[
    "count",
    "count_values",
    "empty",
    "not_empty",
    "unique",
    "percent_empty",
    "percent_not_empty",
    "sum",
    "average",
    "median",
    "checked",
    "unchecked",
    "percent_checked",
    "percent_unchecked",
];
/// Rollup functions whose result is a date.
const DATE_FUNCTIONS: &[&str] = &["earliest_date", "latest_date", "date_range"];

/// The parts of a property, by its type and, of a rollup, by its function.
pub(super) fn parts_of(property: &Property) -> &'static [Part] {
    match property.kind.as_str() {
        "title" | "rich_text" | "url" | "email" | "phone_number" | "select" => TEXT,
        "status" => STATUS,
        "number" => NUMBER,
        "checkbox" => CHECKBOX,
        "multi_select" | "relation" => LIST,
        "date" => DATE,
        "created_time" | "last_edited_time" => TIME,
        "people" => PEOPLE,
        "created_by" | "last_edited_by" => SINGLE_PERSON,
        "files" => FILES,
        "formula" => FORMULA,
        "rollup" => match property.settings["function"].as_str() {
            Some(function) if NUMBER_FUNCTIONS.contains(&function) => NUMBER,
            Some(function) if DATE_FUNCTIONS.contains(&function) => DATE,
            _ => ROLLUP,
        },
        "unique_id" => UNIQUE_ID,
        "place" => PLACE,
        "verification" => VERIFICATION,
        "button" => &[],
        _ => JSON,
    }
}
