//! The kind of a statement and the table that it writes.

use super::tokens::{Token, dotted_name};

/// The kinds of statements that the log and the bridges tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatementKind {
    /// SELECT, WITH, VALUES, SHOW, DESCRIBE, EXPLAIN.
    Select,
    /// MERGE.
    Merge,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// CREATE, DROP, ALTER, COMMENT, TRUNCATE.
    Ddl,
    /// Anything else.
    Other,
}

impl StatementKind {
    /// Returns whether the statement changes rows.
    pub fn writes_rows(self) -> bool {
        matches!(self, Self::Merge | Self::Insert | Self::Update | Self::Delete)
    }

    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        let Some(first) = tokens.iter().find(|token| !token.is_symbol("(")) else { return Self::Other };
        let known: &[(&[&str], Self)] = &[
            (&["SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "DESC", "EXPLAIN"], Self::Select),
            (&["MERGE"], Self::Merge),
            (&["INSERT"], Self::Insert),
            (&["UPDATE"], Self::Update),
            (&["DELETE"], Self::Delete),
            (&["CREATE", "DROP", "ALTER", "COMMENT", "TRUNCATE"], Self::Ddl),
        ];
        known.iter().find(|(words, _)| words.iter().any(|word| first.is(word))).map_or(Self::Other, |(_, kind)| *kind)
    }
}

/// The table a statement that writes rows writes to.
pub(super) fn written_table(tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let skipped =
        ["MERGE", "INSERT", "UPDATE", "DELETE", "WITH", "SCHEMA", "EVOLUTION", "INTO", "OVERWRITE", "TABLE", "FROM"];
    let at = tokens.iter().position(|token| !skipped.iter().any(|word| token.is(word)))?;
    dotted_name(tokens, at).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    #[test]
    fn kinds_and_written_tables_are_seen() {
        for (sql, kind, table) in [
            ("MERGE INTO `a`.b.`c` AS t USING s", StatementKind::Merge, Some("a.b.c")),
            ("merge with schema evolution into c using s", StatementKind::Merge, Some("c")),
            ("INSERT INTO TABLE b.c VALUES (1)", StatementKind::Insert, Some("b.c")),
            ("DELETE FROM a.b.c WHERE x", StatementKind::Delete, Some("a.b.c")),
            ("-- note\nUPDATE c SET x = 1", StatementKind::Update, Some("c")),
        ] {
            let tokens = tokens(sql);
            assert_eq!(StatementKind::of(&tokens), kind, "{sql}");
            assert_eq!(written_table(&tokens).map(|name| name.join(".")).as_deref(), table, "{sql}");
        }
        assert_eq!(StatementKind::of(&tokens("(SELECT 1)")), StatementKind::Select);
        assert_eq!(StatementKind::of(&tokens("")), StatementKind::Other);
    }
}
