//! Default collations: a schema gives its own to the plain STRING columns of the tables made in it, and a join of such a
//! column with a field of `from_json` then fails. Sail knows none of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::StatementError;
use super::rewrite::Namespace;
use super::rights::created;
use super::tokens::{Token, dotted_name};

const PLAIN: &str = "UTF8_BINARY";

/// Collations by the full name of a schema or table, where they are not plain.
#[derive(Debug, Default)]
pub(super) struct Collations {
    named: Mutex<BTreeMap<String, String>>,
}

impl Collations {
    fn named(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The collation that a `CREATE` gives to what it makes, when it is not the plain one.
    pub(super) fn of_created(&self, found: &[Token<'_>], namespace: &Namespace) -> Option<(String, String)> {
        let name = created(found, namespace).filter(|_| found.first().is_some_and(|token| token.is("CREATE")))?;
        let stated = stated(found);
        let inherited = || self.named().get(&name[..2].join(".").to_lowercase()).cloned();
        let collation = stated.or_else(inherited).filter(|collation| !collation.eq_ignore_ascii_case(PLAIN))?;
        Some((name.join(".").to_lowercase(), collation))
    }

    pub(super) fn remember(&self, (name, collation): (String, String)) {
        self.named().insert(name, collation);
    }

    /// The collation of the table whose whole rows a statement selects.
    pub(super) fn of_selected(&self, found: &[Token<'_>], namespace: &Namespace) -> Option<String> {
        let is_whole = found.len() > 3 && found[0].is("SELECT") && found[1].is_symbol("*") && found[2].is("FROM");
        let (name, _) = dotted_name(found, 3).filter(|_| is_whole)?;
        self.of_table(&name, namespace)
    }

    fn of_table(&self, name: &[String], namespace: &Namespace) -> Option<String> {
        let name = namespace.complete(name).ok()?;
        self.named().get(&name.join(".").to_lowercase()).cloned()
    }

    /// The failure of a statement that joins a collated table with fields of `from_json`.
    pub(super) fn conflict(&self, found: &[Token<'_>], namespace: &Namespace) -> Option<StatementError> {
        if self.named().is_empty() || !found.iter().any(|token| token.is("from_json")) {
            return None;
        }
        let starts =
            found.iter().enumerate().filter(|(_, token)| ["FROM", "JOIN", "INTO"].iter().any(|word| token.is(word)));
        let mut tables = starts.filter_map(|(at, _)| dotted_name(found, at + 1)).map(|(name, _)| name);
        tables.find_map(|name| self.of_table(&name, namespace)).map(|_| {
            StatementError::classed(
                "INDETERMINATE_COLLATION_IN_EXPRESSION",
                "Data type of \"(page_id = page_id)\" has indeterminate collation due to implicit collation mismatch between its \
                 inputs. Use COLLATE function to set the collation explicitly.",
                "42P22",
            )
        })
    }
}

/// The collation behind `DEFAULT COLLATION`.
fn stated(found: &[Token<'_>]) -> Option<String> {
    let at = found.windows(2).position(|pair| pair[0].is("DEFAULT") && pair[1].is("COLLATION"))?;
    found.get(at + 2)?.name()
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    #[test]
    fn a_table_inherits_its_schemas_collation_unless_it_states_one() {
        let collations = Collations::default();
        let namespace = Namespace::of("main", None);
        let made = |sql: &str| collations.of_created(&tokens(sql), &namespace);
        let schema = made("CREATE SCHEMA main.b DEFAULT COLLATION UNICODE_CI").unwrap();
        assert_eq!(schema, ("main.b".to_owned(), "UNICODE_CI".to_owned()));
        assert_eq!(made("CREATE TABLE main.b.t (a STRING)"), None);
        collations.remember(schema);
        assert_eq!(made("CREATE TABLE main.b.t (a STRING) DEFAULT COLLATION UTF8_BINARY"), None);
        collations.remember(made("CREATE TABLE IF NOT EXISTS main.b.t (a STRING)").unwrap());
        let merge = "MERGE INTO main.b.t AS t USING (SELECT explode(from_json('[]', 'ARRAY<INT>'))) s ON true";
        assert!(collations.conflict(&tokens(merge), &namespace).is_some());
        assert_eq!(
            collations.of_selected(&tokens("SELECT * FROM main.b.t LIMIT 0"), &namespace).as_deref(),
            Some("UNICODE_CI")
        );
    }
}
