//! `PRIMARY KEY` of a `CREATE TABLE`: informational in Unity Catalog, unknown to Sail and to Delta Lake outside of it.

use super::rewrite::column_end;
use super::tokens::{closing, dotted_name, tokens};

/// The statement without the key constraints of its list of columns; other statements stay as they are.
pub(super) fn without_keys(sql: &str) -> String {
    let found = tokens(sql);
    let is_table =
        found.first().is_some_and(|token| token.is("CREATE")) && found.get(1).is_some_and(|token| token.is("TABLE"));
    let at = if found.get(2).is_some_and(|token| token.is("IF")) { 5 } else { 2 };
    let Some((_, list_at)) = dotted_name(&found, at).filter(|_| is_table) else { return sql.to_owned() };
    let Some(close) = closing(&found, list_at) else { return sql.to_owned() };
    let list = &found[..close];
    let mut text = sql.to_owned();
    let mut items = Vec::new();
    let mut item_at = list_at + 1;
    while item_at < close {
        let end = column_end(list, item_at);
        items.push((item_at, end));
        item_at = end + 1;
    }
    for (first, end) in items.into_iter().rev() {
        // The comma before it goes along; a list that begins with a constraint has no column.
        let is_key = found[first].is("CONSTRAINT") || found[first].is("PRIMARY") && found[first + 1].is("KEY");
        if is_key && first > list_at + 1 {
            text.replace_range(found[first - 1].start..found[end - 1].end(), "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_the_list_of_columns_and_nothing_else_does() {
        let sql = "CREATE TABLE IF NOT EXISTS `c`.s.t (a STRING NOT NULL, primary INT,\n CONSTRAINT t_pk PRIMARY KEY (a, b) RELY\n) CLUSTER BY (a)";
        assert_eq!(
            without_keys(sql),
            "CREATE TABLE IF NOT EXISTS `c`.s.t (a STRING NOT NULL, primary INT\n) CLUSTER BY (a)"
        );
        assert_eq!(without_keys("SELECT 1"), "SELECT 1");
    }
}
