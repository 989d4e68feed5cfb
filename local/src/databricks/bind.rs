//! Puts named parameters into a statement: as literals, as temporary views, or natively.

use super::error::StatementError;
use super::failfast;
use super::tokens::{Token, TokenKind, closing, quoted_name, text_literal, tokens};

/// A STRING longer than this goes through a temporary view: the engine's parser gets slow on long literals.
const MAX_LITERAL_BYTES: usize = 64 * 1024;

/// One parameter of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Name without the colon.
    pub(super) name: String,
    /// Text of the value; none is NULL.
    pub(super) value: Option<String>,
    /// SQL type, `STRING` when the request names none.
    pub(super) type_text: String,
}

#[cfg(test)]
impl Parameter {
    /// A STRING parameter.
    pub(super) fn string(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: Some(value.to_owned()), type_text: "STRING".to_owned() }
    }

    /// A parameter of another type; no value is NULL.
    pub(super) fn typed(name: &str, type_text: &str, value: Option<&str>) -> Self {
        Self { name: name.to_owned(), value: value.map(str::to_owned), type_text: type_text.to_owned() }
    }
}

/// The way in which the engine takes parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    /// Sail: parameters only in queries, so they become text.
    Text,
    /// Spark: named arguments everywhere.
    Native,
}

/// A statement with its parameters in place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) sql: String,
    /// Temporary views (name, value of the column `v`) the statement reads.
    pub(super) views: Vec<(String, String)>,
    /// Named STRING arguments for the engine.
    pub(super) arguments: Vec<(String, String)>,
}

/// Binds `parameters` into `sql`.
///
/// # Errors
/// Unbound markers, unknown types, and JSON that FAILFAST refuses.
pub(super) fn bind(sql: &str, parameters: &[Parameter], binding: Binding) -> Result<Bound, StatementError> {
    let found = tokens(sql);
    let mut bound = Bound::default();
    let mut copied = 0;
    let mut index = 0;
    while let Some(token) = found.get(index) {
        let mut after = index + 1;
        let replacement = if let Some((name, next)) = identifier_clause(&found, index, parameters) {
            after = next;
            Some(name)
        } else if let Some(name) = token.marker_name() {
            let parameter = parameter_named(parameters, name)?;
            if binding == Binding::Text {
                failfast::check_call(&found, index, parameter)?;
            }
            Some(replaced(parameter, binding, &mut bound)?)
        } else {
            None
        };
        if let Some(text) = replacement {
            bound.sql.push_str(&sql[copied..token.start]);
            bound.sql.push_str(&text);
            copied = found[after - 1].end();
        }
        index = after;
    }
    bound.sql.push_str(&sql[copied..]);
    Ok(bound)
}

fn parameter_named<'p>(parameters: &'p [Parameter], name: &str) -> Result<&'p Parameter, StatementError> {
    parameters.iter().find(|parameter| parameter.name == name).ok_or_else(|| {
        let text = format!(
            "Found the unbound parameter: `{name}`. Please, fix `args` and provide a mapping of the parameter to either a \
             SQL literal or collection constructor functions such as `map()`, `array()`, `struct()`."
        );
        StatementError::classed("UNBOUND_SQL_PARAMETER", &text, "42P02")
    })
}

/// `IDENTIFIER('a.b')` or `IDENTIFIER(:name)` as a quoted name, and the index after it.
fn identifier_clause(found: &[Token<'_>], at: usize, parameters: &[Parameter]) -> Option<(String, usize)> {
    let open = at + 1;
    if !found[at].is("IDENTIFIER") || closing(found, open)? != open + 2 {
        return None;
    }
    let inner = found.get(open + 1)?;
    let text = match inner.marker_name() {
        Some(name) => parameters.iter().find(|parameter| parameter.name == name)?.value.clone()?,
        None => inner.text_value()?,
    };
    let parts = tokens(&text);
    let name: Vec<String> = parts.iter().filter_map(Token::name).map(|part| quoted_name(&part)).collect();
    let all_read = parts.len() == name.len() * 2 - usize::from(!name.is_empty());
    (all_read && !name.is_empty()).then(|| (name.join("."), open + 3))
}

fn replaced(parameter: &Parameter, binding: Binding, bound: &mut Bound) -> Result<String, StatementError> {
    let type_text = checked_type(&parameter.type_text)?;
    let Some(value) = &parameter.value else { return Ok(format!("CAST(NULL AS {type_text})")) };
    let is_string = type_text == "STRING";
    if binding == Binding::Native {
        if bound.arguments.iter().all(|(name, _)| *name != parameter.name) {
            bound.arguments.push((parameter.name.clone(), value.clone()));
        }
        let marker = format!(":{}", parameter.name);
        return Ok(if is_string { marker } else { format!("CAST({marker} AS {type_text})") });
    }
    if value.len() > MAX_LITERAL_BYTES {
        let view = match bound.views.iter().find(|(_, known)| known == value) {
            Some((view, _)) => view.clone(),
            None => {
                let view = format!("__p_{}", uuid::Uuid::new_v4().simple());
                bound.views.push((view.clone(), value.clone()));
                view
            }
        };
        let selected = format!("(SELECT v FROM {view})");
        return Ok(if is_string { selected } else { format!("CAST({selected} AS {type_text})") });
    }
    let literal = text_literal(value);
    Ok(if is_string { literal } else { format!("CAST({literal} AS {type_text})") })
}

/// The type in upper case, when it is a scalar one the API takes.
fn checked_type(type_text: &str) -> Result<String, StatementError> {
    const KNOWN: &[&str] = &[
        "STRING",
        "BOOLEAN",
        "BYTE",
        "TINYINT",
        "SHORT",
        "SMALLINT",
        "INT",
        "INTEGER",
        "LONG",
        "BIGINT",
        "FLOAT",
        "REAL",
        "DOUBLE",
        "DECIMAL",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP_NTZ",
        "BINARY",
        "VOID",
    ];
    let upper = type_text.trim().to_ascii_uppercase();
    let found = tokens(&upper);
    let known = found.first().is_some_and(|token| KNOWN.contains(&token.text));
    let plain = found.iter().skip(1).all(|token| {
        matches!(token.text, "(" | ")" | ",") || (token.kind == TokenKind::Word && token.text.parse::<u8>().is_ok())
    });
    if known && plain {
        return Ok(upper);
    }
    let text = format!("A parameter can't be of type \"{type_text}\".");
    Err(StatementError::classed("UNSUPPORTED_DATATYPE", &text, "0A000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &str, parameters: &[Parameter]) -> String {
        bind(sql, parameters, Binding::Text).unwrap().sql
    }

    #[test]
    fn values_become_literals_that_say_the_same() {
        let parameters = [
            Parameter::string("a", "it's \\ :b ${x}"),
            Parameter::typed("b", "INT", Some("4")),
            Parameter::typed("c", "timestamp", None),
        ];
        assert_eq!(
            text("SELECT :a, ':a', x::INT, :b, :c -- :a", &parameters),
            "SELECT 'it\\'s \\\\ :b ${x}', ':a', x::INT, CAST('4' AS INT), CAST(NULL AS TIMESTAMP) -- :a"
        );
    }

    #[test]
    fn a_long_value_goes_through_one_view() {
        let long = "x".repeat(MAX_LITERAL_BYTES + 1);
        let bound = bind("SELECT :a, :a", &[Parameter::string("a", &long)], Binding::Text).unwrap();
        let [(view, value)] = bound.views.as_slice() else { panic!("one view, not {}", bound.views.len()) };
        assert_eq!((bound.sql, value), (format!("SELECT (SELECT v FROM {view}), (SELECT v FROM {view})"), &long));
    }

    #[test]
    fn a_native_engine_gets_arguments() {
        let parameters = [Parameter::string("a", "x"), Parameter::typed("n", "INT", Some("4"))];
        let bound = bind("SELECT :a, :n, :a", &parameters, Binding::Native).unwrap();
        assert_eq!(bound.sql, "SELECT :a, CAST(:n AS INT), :a");
        assert_eq!(bound.arguments.len(), 2);
    }

    #[test]
    fn unbound_markers_and_odd_types_fail() {
        let error = bind("SELECT :nope", &[], Binding::Text).unwrap_err();
        assert!(error.message.starts_with("[UNBOUND_SQL_PARAMETER]") && error.sql_state.as_deref() == Some("42P02"));
        let parameters = [Parameter::typed("a", "ARRAY<INT>", Some("[]"))];
        assert!(bind("SELECT :a", &parameters, Binding::Text).is_err());
        let parameters = [Parameter::typed("a", "DECIMAL(10,2)", Some("1.5"))];
        assert_eq!(text("SELECT :a", &parameters), "SELECT CAST('1.5' AS DECIMAL(10,2))");
    }

    #[test]
    fn identifier_becomes_a_quoted_name() {
        let parameters = [Parameter::string("t", "a.`b c`.d")];
        assert_eq!(text("SELECT * FROM IDENTIFIER(:t)", &parameters), "SELECT * FROM `a`.`b c`.`d`");
        assert_eq!(text("SELECT * FROM identifier('x.y') t", &[]), "SELECT * FROM `x`.`y` t");
    }
}
