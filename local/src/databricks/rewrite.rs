//! Rewrites statements that Sail does not take: Delta by default, clauses that change no rows, ALTER, DROP of managed tables.

use std::path::{Component, Path, PathBuf};

use super::error::StatementError;
use super::required::RequiredColumns;
use super::tokens::{Token, closing, dotted_name, quoted_name, text_literal, tokens};

/// A full table name: catalog, schema, table.
pub(super) type TableName = [String; 3];

/// The plan for a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Run this text.
    Run(String),
    /// Succeed without doing anything: the clause changes no rows.
    Accept,
    /// Run, then delete the directory: a managed table or schema takes its files along.
    RunAndDelete(String, PathBuf),
    /// Make a view with this text, and keep the text: Sail does not show it again.
    CreateView(TableName, String),
    /// Show the text of a view.
    ShowCreate(TableName),
    /// Drop a view with this text.
    DropView(TableName, String),
    /// Add columns (name, type and comment as written) to a table.
    AddColumns(TableName, Vec<Column>),
}

/// A column of `ALTER TABLE … ADD COLUMNS`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_text: String,
}

/// Names that are not given in full are completed from here.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    pub(super) catalog: String,
    pub(super) schema: String,
}

impl Namespace {
    pub(super) fn of(catalog: &str, schema: Option<&str>) -> Self {
        Self { catalog: catalog.to_owned(), schema: schema.unwrap_or("default").to_owned() }
    }

    pub(super) fn complete(&self, name: &[String]) -> Result<TableName, StatementError> {
        match name {
            [table] => Ok([self.catalog.clone(), self.schema.clone(), table.clone()]),
            [schema, table] => Ok([self.catalog.clone(), schema.clone(), table.clone()]),
            [catalog, schema, table] => Ok([catalog.clone(), schema.clone(), table.clone()]),
            _ => Err(StatementError::classed("IDENTIFIER_TOO_MANY_NAME_PARTS", &name.join("."), "42601")),
        }
    }
}

/// The name quoted, as statements take it.
pub(super) fn full_name(table: &TableName) -> String {
    table.each_ref().map(|part| quoted_name(part)).join(".")
}

/// The directory of a table below the data directory.
pub(super) fn location(data_directory: &Path, name: &[String]) -> Result<PathBuf, StatementError> {
    let mut path = data_directory.to_owned();
    for part in name {
        // One part is one directory, or a name could reach outside.
        let plain = Path::new(part).components().eq([Component::Normal(part.as_ref())]);
        if !plain {
            return Err(StatementError::classed(
                "INVALID_IDENTIFIER",
                &format!("The name {part:?} is invalid."),
                "42602",
            ));
        }
        path.push(part);
    }
    Ok(path)
}

/// Plans `sql` for Sail.
///
/// # Errors
/// Statements that can't be bridged.
pub(super) fn plan(sql: &str, namespace: &Namespace, data_directory: &Path) -> Result<Plan, StatementError> {
    let found = tokens(sql);
    let words: Vec<String> = found.iter().take(5).map(|token| token.text.to_ascii_uppercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "TABLE", ..] => create_table(sql, &found, 2, namespace, data_directory),
        ["CREATE", "OR", "REPLACE", "TABLE", ..] => Err(StatementError::unsupported("CREATE OR REPLACE TABLE")),
        ["CREATE", "VIEW", ..] => Ok(Plan::CreateView(named(&found, 2, "NOT", namespace)?, sql.to_owned())),
        ["CREATE", "OR", "REPLACE", "VIEW", ..] => {
            Ok(Plan::CreateView(named(&found, 4, "NOT", namespace)?, sql.to_owned()))
        }
        ["SHOW", "CREATE", "TABLE", ..] => Ok(Plan::ShowCreate(named(&found, 3, "NOT", namespace)?)),
        ["DROP", "VIEW", ..] => Ok(Plan::DropView(named(&found, 2, "EXISTS", namespace)?, sql.to_owned())),
        ["DROP", "TABLE", ..] => {
            let at = if words.get(2) == Some(&"IF") { 4 } else { 2 };
            let name = namespace.complete(&name_at(&found, at)?.0)?;
            Ok(Plan::RunAndDelete(sql.to_owned(), location(data_directory, &name)?))
        }
        ["DROP", "SCHEMA" | "DATABASE", ..] => drop_schema(sql, &found, namespace, data_directory),
        ["ALTER", "TABLE", ..] => alter_table(sql, &found, namespace),
        ["CREATE", "SCHEMA" | "DATABASE", ..] => Ok(Plan::Run(without_catalog_clauses(sql, &found))),
        _ => Ok(Plan::Run(sql.to_owned())),
    }
}

/// The full name that stands at `at`, or behind `IF NOT EXISTS` or `IF EXISTS` there.
fn named(found: &[Token<'_>], at: usize, after_if: &str, namespace: &Namespace) -> Result<TableName, StatementError> {
    let is_if = found.get(at).is_some_and(|token| token.is("IF"));
    let words = match (is_if, after_if) {
        (false, _) => 0,
        (true, "NOT") => 3,
        (true, _) => 2,
    };
    namespace.complete(&name_at(found, at + words)?.0)
}

fn name_at(found: &[Token<'_>], at: usize) -> Result<(Vec<String>, usize), StatementError> {
    dotted_name(found, at).ok_or_else(|| {
        let near = found.get(at).map_or("end of input", |token| token.text);
        StatementError::classed("PARSE_SYNTAX_ERROR", &format!("Syntax error at or near '{near}'."), "42601")
    })
}

fn create_table(
    sql: &str,
    found: &[Token<'_>],
    at: usize,
    namespace: &Namespace,
    data_directory: &Path,
) -> Result<Plan, StatementError> {
    let at = if found.get(at).is_some_and(|token| token.is("IF")) { at + 3 } else { at };
    let (name, after_name) = name_at(found, at)?;
    let name = namespace.complete(&name)?;
    let columns_end = closing(found, after_name).map_or(after_name, |close| close + 1);
    let mut clauses = String::new();
    let mut query = String::new();
    let (mut has_format, mut has_location) = (false, false);
    let mut index = columns_end;
    while let Some(token) = found.get(index) {
        if token.is("AS") || token.is("SELECT") || token.is("WITH") {
            query = format!(" {}", &sql[token.start..]);
            break;
        }
        let end = clause_end(found, index);
        let text = &sql[token.start..found[end - 1].end()];
        has_format |= token.is("USING");
        has_location |= token.is("LOCATION");
        let dropped = ["CLUSTER", "TBLPROPERTIES", "DEFAULT"].iter().any(|word| token.is(word)) || token.is_symbol(";");
        if !dropped {
            clauses.push(' ');
            clauses.push_str(text);
        }
        index = end;
    }
    let columns = RequiredColumns::taken_from(sql, &found[..columns_end], after_name);
    let format = if has_format { "" } else { " USING DELTA" };
    let place = if has_location {
        String::new()
    } else {
        format!(" LOCATION {}", text_literal(&location(data_directory, &name)?.to_string_lossy()))
    };
    let (head, check) = (columns.statement_head, columns.check);
    Ok(Plan::Run(format!("{head}{format}{clauses}{place}{check}{query}")))
}

/// The index after the clause that starts at `at`: `CLUSTER BY (…)`, `COMMENT '…'`, `TBLPROPERTIES (…)`, ….
fn clause_end(found: &[Token<'_>], at: usize) -> usize {
    let starters = [
        "USING",
        "CLUSTER",
        "COMMENT",
        "DEFAULT",
        "TBLPROPERTIES",
        "LOCATION",
        "PARTITIONED",
        "OPTIONS",
        "AS",
        "SELECT",
        "WITH",
    ];
    let mut index = at + 1;
    while let Some(token) = found.get(index) {
        if let Some(close) = closing(found, index) {
            index = close + 1;
        } else if starters.iter().any(|word| token.is(word)) || token.is_symbol(";") {
            break;
        } else {
            index += 1;
        }
    }
    index
}

fn drop_schema(
    sql: &str,
    found: &[Token<'_>],
    namespace: &Namespace,
    data_directory: &Path,
) -> Result<Plan, StatementError> {
    let at = if found.get(2).is_some_and(|token| token.is("IF")) { 4 } else { 2 };
    let name = match name_at(found, at)?.0.as_slice() {
        [schema] => [namespace.catalog.clone(), schema.clone()],
        [catalog, schema] => [catalog.clone(), schema.clone()],
        other => return Err(StatementError::classed("IDENTIFIER_TOO_MANY_NAME_PARTS", &other.join("."), "42601")),
    };
    let directory = location(data_directory, &name)?;
    let cascade = found.last().is_some_and(|token| token.is("CASCADE"));
    Ok(if cascade { Plan::RunAndDelete(sql.to_owned(), directory) } else { Plan::Run(sql.to_owned()) })
}

/// `MANAGED LOCATION '…'` and `DEFAULT COLLATION …` are Unity Catalog's; the local files stay in the data directory.
fn without_catalog_clauses(sql: &str, found: &[Token<'_>]) -> String {
    let is_clause = |pair: &[Token<'_>]| {
        pair[0].is("MANAGED") && pair[1].is("LOCATION") || pair[0].is("DEFAULT") && pair[1].is("COLLATION")
    };
    let mut text = sql.to_owned();
    for (at, pair) in found.windows(2).enumerate().collect::<Vec<_>>().into_iter().rev() {
        if let Some(value) = found.get(at + 2).filter(|_| is_clause(pair)) {
            text.replace_range(pair[0].start..value.end(), "");
        }
    }
    text
}

fn alter_table(sql: &str, found: &[Token<'_>], namespace: &Namespace) -> Result<Plan, StatementError> {
    let (name, at) = name_at(found, 2)?;
    let is = |offset: usize, word: &str| found.get(at + offset).is_some_and(|token| token.is(word));
    if (is(0, "SET") || is(0, "UNSET")) && is(1, "TBLPROPERTIES") || is(0, "CLUSTER") && is(1, "BY") {
        return Ok(Plan::Accept);
    }
    if is(0, "ADD") && (is(1, "COLUMNS") || is(1, "COLUMN")) {
        let name = namespace.complete(&name)?;
        return Ok(Plan::AddColumns(name, added_columns(sql, &found[at + 2..])?));
    }
    Err(StatementError::unsupported("this form of ALTER TABLE"))
}

fn added_columns(sql: &str, found: &[Token<'_>]) -> Result<Vec<Column>, StatementError> {
    let list = match closing(found, 0) {
        Some(close) => &found[1..close],
        None => found,
    };
    let mut columns = Vec::new();
    let mut index = 0;
    while index < list.len() {
        let end = column_end(list, index);
        let Some(name) = list[index].name() else { break };
        let clause =
            |token: &&Token<'_>| ["COMMENT", "FIRST", "AFTER", "NOT", "DEFAULT"].iter().any(|word| token.is(word));
        let type_tokens = &list[index + 1..end];
        if let Some(token) = type_tokens.iter().find(|token| token.is("NOT")) {
            let text = format!("{name} {}", &sql[token.start..]);
            return Err(StatementError::classed(
                "DELTA_ADD_COLUMN_NOT_NULL",
                &format!("NOT NULL is not allowed: {text}."),
                "0A000",
            ));
        }
        let length = type_tokens.iter().position(|token| clause(&token)).unwrap_or(type_tokens.len());
        let (Some(first), Some(last)) = (type_tokens.first(), type_tokens[..length].last()) else { break };
        columns.push(Column { name, type_text: sql[first.start..last.end()].to_owned() });
        index = end + 1;
    }
    if columns.is_empty() {
        return Err(StatementError::classed("PARSE_SYNTAX_ERROR", "Syntax error at or near 'ADD'.", "42601"));
    }
    Ok(columns)
}

/// The index of the `,` behind the column that starts at `at`, or the end.
pub(super) fn column_end(list: &[Token<'_>], at: usize) -> usize {
    let mut index = at;
    while let Some(token) = list.get(index) {
        if token.is_symbol(",") {
            break;
        }
        index = closing(list, index).map_or(index + 1, |close| close + 1);
    }
    index
}

/// The statement that adds columns: a MERGE without rows that evolves the schema. `known` are the table's columns.
pub(super) fn add_columns_statement(table: &TableName, known: &[Column], added: &[Column]) -> Option<String> {
    let table = full_name(table);
    let key = quoted_name(&known.first()?.name);
    let nulls: Vec<String> = known
        .iter()
        .chain(added)
        .map(|column| format!("CAST(NULL AS {}) AS {}", column.type_text, quoted_name(&column.name)))
        .collect();
    Some(format!(
        "MERGE WITH SCHEMA EVOLUTION INTO {table} AS t USING (SELECT {} WHERE false) AS s ON t.{key} = s.{key} \
         WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        nulls.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(sql: &str) -> Result<Plan, StatementError> {
        let namespace = Namespace { catalog: "main".to_owned(), schema: "default".to_owned() };
        plan(sql, &namespace, Path::new("/data"))
    }

    #[test]
    fn a_table_becomes_delta_at_a_known_place_without_clauses_that_change_no_rows() {
        let sql = "CREATE TABLE IF NOT EXISTS `main`.`b`.`t` (id STRING NOT NULL COMMENT 'a (b)', d DECIMAL(10,2))\n\
                   CLUSTER BY (id, d)\nCOMMENT 'CLUSTER BY (x)'\nTBLPROPERTIES ('delta.x'='true')";
        let expected = "CREATE TABLE IF NOT EXISTS `main`.`b`.`t` (id STRING COMMENT 'a (b)', d DECIMAL(10,2)) \
                        USING DELTA COMMENT 'CLUSTER BY (x)' LOCATION '/data/main/b/t' TBLPROPERTIES ('delta.constraints.";
        let Plan::Run(planned_text) = planned(sql).unwrap() else { panic!("not run") };
        assert!(planned_text.starts_with(expected), "{planned_text}");
        let sql = "CREATE TABLE t USING parquet LOCATION '/x' CLUSTER BY AUTO AS SELECT 1 AS a";
        assert_eq!(
            planned(sql).unwrap(),
            Plan::Run("CREATE TABLE t USING parquet LOCATION '/x' AS SELECT 1 AS a".to_owned())
        );
    }

    #[test]
    fn altering_adds_columns_or_is_accepted() {
        let sql = "ALTER TABLE b.t ADD COLUMNS (a STRING COMMENT 'x, y', `b c` DECIMAL(10, 2), d ARRAY<INT> AFTER a)";
        let Plan::AddColumns(table, columns) = planned(sql).unwrap() else { panic!("not an ADD COLUMNS") };
        assert_eq!(table, ["main", "b", "t"]);
        let shown: Vec<String> = columns.iter().map(|column| format!("{}={}", column.name, column.type_text)).collect();
        assert_eq!(shown, ["a=STRING", "b c=DECIMAL(10, 2)", "d=ARRAY<INT>"]);
        assert!(planned("ALTER TABLE t ADD COLUMN a STRING NOT NULL").is_err());
        for sql in ["ALTER TABLE t SET TBLPROPERTIES ('a'='b')", "ALTER TABLE a.b.t CLUSTER BY (x)"] {
            assert_eq!(planned(sql).unwrap(), Plan::Accept);
        }
        assert!(planned("ALTER TABLE t RENAME TO u").is_err());
    }

    #[test]
    fn dropping_takes_the_files_along_and_names_stay_inside() {
        let sql = "DROP TABLE IF EXISTS main.b.t";
        assert_eq!(planned(sql).unwrap(), Plan::RunAndDelete(sql.to_owned(), PathBuf::from("/data/main/b/t")));
        assert!(planned("DROP TABLE main.b.`..`").is_err());
        assert!(planned("DROP TABLE main.b.`a/b`").is_err());
    }

    #[test]
    fn columns_are_added_by_a_merge_without_rows() {
        let column = |name: &str| Column { name: name.to_owned(), type_text: "STRING".to_owned() };
        let table = ["main".to_owned(), "b".to_owned(), "t".to_owned()];
        let sql = add_columns_statement(&table, &[column("id")], &[column("new")]).unwrap();
        assert!(sql.contains("CAST(NULL AS STRING) AS `id`, CAST(NULL AS STRING) AS `new` WHERE false"), "{sql}");
    }
}
