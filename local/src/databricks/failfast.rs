//! FAILFAST of `from_json`, which Sail ignores: a parameter's JSON is checked against the schema before it runs.

use serde::Deserialize;
use serde_json::Value;

use super::bind::Parameter;
use super::error::StatementError;
use super::tokens::{Token, tokens};

/// A type of a schema string such as `ARRAY<STRUCT<page_id:STRING,at:TIMESTAMP>>`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Text,
    Boolean,
    Integer,
    Number,
    Array(Box<Shape>),
    Map(Box<Shape>),
    Struct(Vec<(String, Shape)>),
    /// A type that is not checked.
    Any,
}

/// Checks `parameter` when the marker at `at` stands in `from_json(:x, 'schema', map('mode', 'FAILFAST'))`.
///
/// # Errors
/// The error Spark raises for a malformed record.
pub(super) fn check_call(found: &[Token<'_>], at: usize, parameter: &Parameter) -> Result<(), StatementError> {
    let Some(schema) = failfast_schema(found, at) else { return Ok(()) };
    let Some(text) = &parameter.value else { return Ok(()) };
    let Some(shape) = parse_schema(&schema) else { return Ok(()) };
    if text.trim().is_empty() {
        return Ok(()); // an empty text is NULL in every mode
    }
    // Like Spark's parser: the first value counts, what follows it is not read.
    let value = Value::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|_| malformed(text))?;
    if !value.is_null() && fits(&value, &shape) { Ok(()) } else { Err(malformed(text)) }
}

/// The schema text, when the call is one with FAILFAST.
fn failfast_schema(found: &[Token<'_>], at: usize) -> Option<String> {
    let opens = at >= 2 && found[at - 2].is("from_json") && found[at - 1].is_symbol("(");
    let mut rest = found.get(at + 1..)?.iter();
    let schema = if opens && rest.next()?.is_symbol(",") { rest.next()?.text_value()? } else { return None };
    let start = rest.next()?.is_symbol(",") && rest.next()?.is("map") && rest.next()?.is_symbol("(");
    let mode = rest.next()?.text_value()?.eq_ignore_ascii_case("mode") && rest.next()?.is_symbol(",");
    (start && mode && rest.next()?.text_value()?.eq_ignore_ascii_case("FAILFAST")).then_some(schema)
}

fn malformed(text: &str) -> StatementError {
    const SHOWN_CHARACTERS: usize = 100;
    let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let text = format!(
        "Malformed records are detected in record parsing: {shown}. Parse Mode: FAILFAST. To process malformed records as \
         null result, try setting the option 'mode' as 'PERMISSIVE'."
    );
    StatementError::classed("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", &text, "22023")
}

fn fits(value: &Value, shape: &Shape) -> bool {
    match (value, shape) {
        (Value::Null, _) | (_, Shape::Text | Shape::Any) => true,
        (Value::Bool(_), Shape::Boolean) => true,
        (Value::Number(number), Shape::Integer) => number.is_i64(),
        (Value::Number(_), Shape::Number) => true,
        (Value::Array(items), Shape::Array(item)) => items.iter().all(|value| fits(value, item)),
        // Spark reads a lone object as an array of one.
        (Value::Object(_), Shape::Array(item)) => matches!(**item, Shape::Struct(_)) && fits(value, item),
        (Value::Object(fields), Shape::Map(item)) => fields.values().all(|value| fits(value, item)),
        (Value::Object(fields), Shape::Struct(shapes)) => {
            shapes.iter().all(|(name, shape)| fields.get(name).is_none_or(|value| fits(value, shape)))
        }
        _ => false,
    }
}

/// Reads a schema: one type, or a bare list of columns (`a INT, b STRING`).
fn parse_schema(text: &str) -> Option<Shape> {
    let found = tokens(text);
    let mut at = 0;
    if let Some(shape) = parse_type(&found, &mut at)
        && at == found.len()
    {
        return Some(shape);
    }
    at = 0;
    let fields = parse_fields(&found, &mut at)?;
    (at == found.len()).then_some(Shape::Struct(fields))
}

fn parse_type(found: &[Token<'_>], at: &mut usize) -> Option<Shape> {
    let word = found.get(*at)?;
    *at += 1;
    let shape = match word.text.to_ascii_uppercase().as_str() {
        "STRING" | "VARCHAR" | "CHAR" => Shape::Text,
        "BOOLEAN" => Shape::Boolean,
        "INT" | "INTEGER" | "BIGINT" | "LONG" | "SMALLINT" | "SHORT" | "TINYINT" | "BYTE" => Shape::Integer,
        "DOUBLE" | "FLOAT" | "REAL" | "DECIMAL" => Shape::Number,
        "ARRAY" => {
            expect(found, at, "<")?;
            let item = parse_type(found, at)?;
            expect(found, at, ">")?;
            return Some(Shape::Array(Box::new(item)));
        }
        "MAP" => {
            expect(found, at, "<")?;
            parse_type(found, at)?;
            expect(found, at, ",")?;
            let item = parse_type(found, at)?;
            expect(found, at, ">")?;
            return Some(Shape::Map(Box::new(item)));
        }
        "STRUCT" => {
            expect(found, at, "<")?;
            let fields = parse_fields(found, at)?;
            expect(found, at, ">")?;
            return Some(Shape::Struct(fields));
        }
        "TIMESTAMP" | "TIMESTAMP_NTZ" | "DATE" | "BINARY" | "VARIANT" => Shape::Any,
        _ => return None,
    };
    skip_arguments(found, at);
    Some(shape)
}

fn parse_fields(found: &[Token<'_>], at: &mut usize) -> Option<Vec<(String, Shape)>> {
    let mut fields = Vec::new();
    loop {
        let name = found.get(*at)?.name()?;
        *at += 1;
        let _ = expect(found, at, ":");
        fields.push((name, parse_type(found, at)?));
        while let Some(token) = found.get(*at)
            && (token.is("NOT") || token.is("NULL") || token.is("COMMENT") || token.text_value().is_some())
        {
            *at += 1;
        }
        if expect(found, at, ",").is_none() {
            return Some(fields);
        }
    }
}

/// Skips `(10,2)` behind a type.
fn skip_arguments(found: &[Token<'_>], at: &mut usize) {
    if found.get(*at).is_some_and(|token| token.is_symbol("("))
        && let Some(close) = super::tokens::closing(found, *at)
    {
        *at = close + 1;
    }
}

fn expect(found: &[Token<'_>], at: &mut usize, symbol: &str) -> Option<()> {
    found.get(*at).filter(|token| token.is_symbol(symbol))?;
    *at += 1;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str =
        "SELECT from_json(:rows, 'ARRAY<STRUCT<page_id:STRING,is_archived:BOOLEAN,n:INT>>', map('mode','FAILFAST'))";

    fn check(sql: &str, text: &str) -> Result<(), StatementError> {
        let found = tokens(sql);
        let at = found.iter().position(|token| token.marker_name().is_some()).unwrap();
        check_call(&found, at, &Parameter::string("rows", text))
    }

    #[test]
    fn what_spark_reads_passes() {
        for text in [
            "[]",
            "",
            r#"[{"page_id":"a","is_archived":true,"n":1},{"page_id":null},{"other":[1]}]"#,
            r#"[{"page_id":{"nested":1.10}}]"#,
            r#"{"page_id":"a"}"#,
            r#"[{"page_id":"a"}] trailing"#,
        ] {
            assert_eq!(check(SQL, text), Ok(()), "{text}");
        }
    }

    #[test]
    fn cut_and_wrongly_typed_records_fail() {
        for text in
            ["[{\"page_id\":\"a\"", "x", "null", "[1]", r#"[{"is_archived":"true"}]"#, r#"[{"n":1.5}]"#, "\"a\""]
        {
            let error = check(SQL, text).unwrap_err();
            assert!(error.message.starts_with("[MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION]"), "{text}");
            assert_eq!(error.sql_state.as_deref(), Some("22023"));
        }
    }

    #[test]
    fn other_modes_and_functions_are_left_alone() {
        assert_eq!(check("SELECT from_json(:rows, 'ARRAY<INT>')", "x"), Ok(()));
        assert_eq!(check("SELECT from_json(:rows, 'ARRAY<INT>', map('mode','PERMISSIVE'))", "x"), Ok(()));
        assert_eq!(check("SELECT parse_json(:rows)", "x"), Ok(()));
    }

    #[test]
    fn a_list_of_columns_is_a_schema_too() {
        let shape = parse_schema("a INT NOT NULL COMMENT 'x', b DECIMAL(10,2)").unwrap();
        assert_eq!(shape, Shape::Struct(vec![("a".to_owned(), Shape::Integer), ("b".to_owned(), Shape::Number)]));
    }
}
