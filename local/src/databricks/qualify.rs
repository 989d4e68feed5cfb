//! Completes table names from the request's catalog and schema: Sail's session is shared, so it has no current ones.

use super::rewrite::Namespace;
use super::tokens::{Token, dotted_name, quoted_name, tokens};

/// Formats that stand in front of a path (``delta.`/path` ``) and are no schema.
const PATH_FORMATS: &[&str] = &["delta", "parquet", "json", "csv", "text"];

/// `sql` with every table name that is not given in full completed.
pub(super) fn qualify(sql: &str, namespace: &Namespace) -> String {
    let found = tokens(sql);
    let local = local_names(&found);
    let mut text = String::with_capacity(sql.len());
    let mut copied = 0;
    for at in table_positions(&found) {
        let Some((name, after)) = dotted_name(&found, at) else { continue };
        let calls = found.get(after).is_some_and(|token| token.is_symbol("("));
        let creates = found.first().is_some_and(|token| token.is("CREATE") || token.is("INSERT") || token.is("MERGE"));
        let full = match name.as_slice() {
            [table] if !local.contains(&table.to_lowercase()) && !table.starts_with("__p_") => {
                vec![namespace.catalog.clone(), namespace.schema.clone(), table.clone()]
            }
            [schema, table] if !PATH_FORMATS.contains(&schema.to_lowercase().as_str()) => {
                vec![namespace.catalog.clone(), schema.clone(), table.clone()]
            }
            _ => continue,
        };
        // `range(…)` is a function; a written table may be followed by its columns.
        if calls && !(creates && at <= 5) {
            continue;
        }
        let full: Vec<String> = full.iter().map(|part| quoted_name(part)).collect();
        text.push_str(&sql[copied..found[at].start]);
        text.push_str(&full.join("."));
        copied = found[after - 1].end();
    }
    text.push_str(&sql[copied..]);
    text
}

/// Names that `WITH name AS (…)` gives.
fn local_names(found: &[Token<'_>]) -> Vec<String> {
    let named = found.windows(3).filter(|three| three[1].is("AS") && three[2].is_symbol("("));
    named.filter_map(|three| three[0].name()).map(|name| name.to_lowercase()).collect()
}

/// The indices of tokens where a table's name starts.
fn table_positions(found: &[Token<'_>]) -> Vec<usize> {
    let is = |at: usize, word: &str| found.get(at).is_some_and(|token| token.is(word));
    // Inside the brackets of a function FROM means something else: EXTRACT(YEAR FROM t).
    let mut in_query = vec![true];
    let mut positions = Vec::new();
    for (at, token) in found.iter().enumerate() {
        let next = at + 1;
        if token.is_symbol("(") {
            in_query.push(["SELECT", "WITH", "FROM", "TABLE"].iter().any(|word| is(next, word)));
        } else if token.is_symbol(")") && in_query.len() > 1 {
            in_query.pop();
        }
        let queries = in_query.last() == Some(&true);
        let after_distinct = at > 0 && is(at - 1, "DISTINCT");
        let shows = is(0, "SHOW") || is(0, "DESCRIBE") || is(0, "DESC");
        if queries && !shows && ((token.is("FROM") && !after_distinct) || token.is("JOIN")) {
            positions.push(next);
        } else if at <= 4 && (token.is("INTO") || token.is("TABLE") || token.is("UPDATE") || token.is("OVERWRITE")) {
            positions.push(after_if_exists(found, next));
        } else if token.is("USING") && is(0, "MERGE") && in_query.len() == 1 {
            positions.push(next);
        }
    }
    positions.retain(|at| !is(*at, "TABLE") && !is(*at, "SELECT") && !is(*at, "SET") && !is(*at, "LATERAL"));
    positions
}

fn after_if_exists(found: &[Token<'_>], at: usize) -> usize {
    let is = |at: usize, word: &str| found.get(at).is_some_and(|token| token.is(word));
    match (is(at, "IF"), is(at + 1, "NOT")) {
        (true, true) => at + 3,
        (true, false) => at + 2,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qualified(sql: &str) -> String {
        let namespace = Namespace { catalog: "c".to_owned(), schema: "s".to_owned() };
        qualify(sql, &namespace)
    }

    #[test]
    fn short_names_are_completed_wherever_a_table_stands() {
        for (sql, expected) in [
            ("SELECT * FROM t JOIN b.u ON x = y", "SELECT * FROM `c`.`s`.`t` JOIN `c`.`b`.`u` ON x = y"),
            ("SELECT (SELECT max(a) FROM t) FROM a.b.c", "SELECT (SELECT max(a) FROM `c`.`s`.`t`) FROM a.b.c"),
            ("INSERT INTO t (a) VALUES (1)", "INSERT INTO `c`.`s`.`t` (a) VALUES (1)"),
            ("INSERT INTO TABLE t SELECT 1", "INSERT INTO TABLE `c`.`s`.`t` SELECT 1"),
            ("CREATE TABLE IF NOT EXISTS t (a INT)", "CREATE TABLE IF NOT EXISTS `c`.`s`.`t` (a INT)"),
            ("MERGE INTO t USING u ON t.a = u.a", "MERGE INTO `c`.`s`.`t` USING `c`.`s`.`u` ON t.a = u.a"),
            ("UPDATE t SET a = 1", "UPDATE `c`.`s`.`t` SET a = 1"),
            ("DELETE FROM b.t", "DELETE FROM `c`.`b`.`t`"),
            ("ALTER TABLE t ADD COLUMN a INT", "ALTER TABLE `c`.`s`.`t` ADD COLUMN a INT"),
        ] {
            assert_eq!(qualified(sql), expected);
        }
    }

    #[test]
    fn what_is_no_table_of_the_namespace_is_left_alone() {
        for sql in [
            "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM a JOIN b ON true",
            "SELECT extract(YEAR FROM d) FROM range(0, 5)",
            "SELECT a IS DISTINCT FROM b FROM delta.`/tmp/x`",
            "SELECT v FROM (SELECT v FROM __p_1) AS x",
            "MERGE INTO a.b.c AS t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = s.a",
            "SHOW TABLES FROM x",
            "DROP TABLE IF EXISTS a.b.c",
        ] {
            assert_eq!(qualified(sql), sql);
        }
    }
}
