//! Unity Catalog's rights: owners, grants, groups, and the words of a refusal.
//!
//! A name is checked only when [`EndpointSettings::checked_principals`] holds it; everybody else may do everything.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::StatementError;
use super::rewrite::Namespace;
use super::settings::EndpointSettings;
use super::shape::{StatementKind, written_table};
use super::tokens::{Token, dotted_name};

/// A right given to somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// A user's e-mail address, a service principal's application id or a group's name.
    pub principal: String,
    /// `USE CATALOG`, `USE SCHEMA`, `CREATE SCHEMA`, `CREATE TABLE`, `SELECT`, `MODIFY`, `MANAGE`, `ALL PRIVILEGES`, or
    /// `CAN USE` on `warehouse`.
    pub privilege: String,
    /// The name in full (`main`, `main.bronze`, `main.bronze.notion_raw_pages`), or `warehouse`.
    pub on: String,
}

/// Who asks: the name itself and its groups.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker {
    names: Vec<String>,
    is_checked: bool,
}

impl Asker {
    pub(super) fn of(principal: &str, settings: &EndpointSettings) -> Self {
        let groups = settings.groups.iter().filter(|(_, members)| members.iter().any(|member| member == principal));
        let names = std::iter::once(principal.to_owned()).chain(groups.map(|(group, _)| group.clone()));
        Self { names: names.collect(), is_checked: settings.checked_principals.contains(principal) }
    }

    pub(super) fn is_checked(&self) -> bool {
        self.is_checked
    }
}

/// Owners and grants of everything that has a name.
#[derive(Debug, Default)]
pub(super) struct Rights {
    grants: BTreeSet<Grant>,
    owners: BTreeMap<String, String>,
}

/// The rights that a statement needs from its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    Privilege(&'static str, Vec<String>),
    Ownership(Vec<String>),
}

/// A statement about rights; the engine never sees one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Give(Vec<Grant>),
    Take(Vec<Grant>),
    Owner { on: String, principal: String },
}

impl Change {
    /// The name whose rights change, in parts.
    pub(super) fn securable(&self) -> Vec<String> {
        let on = match self {
            Self::Give(grants) | Self::Take(grants) => grants.first().map_or("", |grant| grant.on.as_str()),
            Self::Owner { on, .. } => on,
        };
        on.split('.').map(str::to_owned).collect()
    }
}

impl Rights {
    pub(super) fn grants(&self) -> Vec<Grant> {
        self.grants.iter().cloned().collect()
    }

    pub(super) fn give(&mut self, grant: Grant) {
        self.grants.insert(grant);
    }

    pub(super) fn take(&mut self, grant: &Grant) {
        self.grants.remove(grant);
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Give(grants) => self.grants.extend(grants),
            Change::Take(grants) => grants.iter().for_each(|grant| self.take(grant)),
            Change::Owner { on, principal } => {
                self.owners.insert(on, principal);
            }
        }
    }

    /// Makes the asker the owner of what it creates.
    pub(super) fn own(&mut self, asker: &Asker, name: &[String]) {
        if let Some(principal) = asker.names.first().filter(|_| asker.is_checked) {
            self.owners.insert(name.join(".").to_lowercase(), principal.clone());
        }
    }

    pub(super) fn may_use_warehouse(&self, asker: &Asker) -> bool {
        !asker.is_checked || self.holds(asker, "CAN USE", &["warehouse".to_owned()])
    }

    /// The refusal of the first need that the asker lacks.
    pub(super) fn refusal(&self, asker: &Asker, needs: &[Need]) -> Option<StatementError> {
        if !asker.is_checked {
            return None;
        }
        needs.iter().find_map(|need| match need {
            Need::Privilege(privilege, on) if self.holds(asker, privilege, on) => None,
            Need::Privilege(privilege, on) => {
                let text = format!("User does not have {privilege} on {} '{}'.", kind_of(on), on.join("."));
                Some(if privilege.starts_with("CREATE") {
                    StatementError::denied(&text)
                } else {
                    StatementError::classed(
                        "INSUFFICIENT_PERMISSIONS",
                        &format!("Insufficient privileges:\n{text}"),
                        "42501",
                    )
                })
            }
            Need::Ownership(on) if self.manages(asker, on) => None,
            Need::Ownership(on) => {
                let text = format!("User is not an owner of {} '{}'.", kind_of(on), on.join("."));
                Some(StatementError::denied(&text))
            }
        })
    }

    /// Privileges on a catalog or schema hold for everything inside; an owner has all of them on what it owns.
    fn holds(&self, asker: &Asker, privilege: &str, on: &[String]) -> bool {
        let levels: Vec<String> = (1..=on.len()).map(|length| on[..length].join(".").to_lowercase()).collect();
        let is_granted = self.grants.iter().any(|grant| {
            asker.names.contains(&grant.principal)
                && levels.contains(&grant.on.to_lowercase())
                && [privilege, "ALL PRIVILEGES"].contains(&grant.privilege.as_str())
        });
        is_granted || levels.last().is_some_and(|level| self.owns(asker, level))
    }

    fn owns(&self, asker: &Asker, level: &str) -> bool {
        self.owners.get(level).is_some_and(|owner| asker.names.contains(owner))
    }

    /// An owner of it or of what it lies in, or a holder of MANAGE.
    fn manages(&self, asker: &Asker, on: &[String]) -> bool {
        let mut levels = (1..=on.len()).map(|length| on[..length].join(".").to_lowercase());
        self.holds(asker, "MANAGE", on) || levels.any(|level| self.owns(asker, &level))
    }
}

fn kind_of(on: &[String]) -> &'static str {
    match on.len() {
        1 => "Catalog",
        2 => "Schema",
        _ => "Table",
    }
}

/// Returns the rights that a statement needs, in the order in which Unity Catalog reports them.
pub(super) fn needs(found: &[Token<'_>], kind: StatementKind, namespace: &Namespace) -> Vec<Need> {
    let words: Vec<String> = found.iter().take(4).map(|token| token.text.to_ascii_uppercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut needs = Vec::new();
    match words.as_slice() {
        ["CREATE", "SCHEMA" | "DATABASE", ..] => {
            let catalog = created(found, namespace).map_or_else(Vec::new, |name| name[..1].to_vec());
            needs.push(Need::Privilege("USE CATALOG", catalog.clone()));
            // Even when the schema exists.
            needs.push(Need::Privilege("CREATE SCHEMA", catalog));
        }
        ["CREATE", ..] => {
            if let Some(name) = created(found, namespace) {
                inside(&mut needs, &name);
                needs.push(Need::Privilege("CREATE TABLE", name[..2].to_vec()));
            }
            reads(&mut needs, found, namespace);
        }
        ["ALTER" | "DROP", ..] => {
            if let Some((name, after)) = named_object(found, namespace) {
                inside(&mut needs, &name);
                let is = |offset: usize, word: &str| found.get(after + offset).is_some_and(|token| token.is(word));
                let changes_columns = ["ADD", "ALTER", "DROP"].iter().any(|verb| is(0, verb))
                    && ["COLUMN", "COLUMNS"].iter().any(|what| is(1, what));
                let sets_properties = (is(0, "SET") || is(0, "UNSET")) && is(1, "TBLPROPERTIES");
                needs.push(if words[0] == "ALTER" && (changes_columns || sets_properties) {
                    Need::Privilege("MODIFY", name)
                } else {
                    Need::Ownership(name)
                });
            }
        }
        _ => {
            let written = written_table(found).filter(|_| kind.writes_rows());
            let written = written.and_then(|name| namespace.complete(&name).ok()).map(Vec::from);
            if let Some(name) = &written {
                inside(&mut needs, name);
                if kind != StatementKind::Insert {
                    needs.push(Need::Privilege("SELECT", name.clone()));
                }
                needs.push(Need::Privilege("MODIFY", name.clone()));
            }
            reads(&mut needs, found, namespace);
        }
    }
    needs
}

/// Returns the rights that are needed to reach into a schema.
fn inside(needs: &mut Vec<Need>, name: &[String]) {
    needs.push(Need::Privilege("USE CATALOG", name[..1].to_vec()));
    if name.len() > 1 {
        needs.push(Need::Privilege("USE SCHEMA", name[..2].to_vec()));
    }
}

/// Tables that stand behind FROM, JOIN or USING. Names of common table expressions have no dots.
fn reads(needs: &mut Vec<Need>, found: &[Token<'_>], namespace: &Namespace) {
    for (at, token) in found.iter().enumerate() {
        if ["FROM", "JOIN", "USING"].iter().any(|word| token.is(word))
            && let Some((name, _)) = dotted_name(found, at + 1)
            && name.len() > 1
            && let Ok(name) = namespace.complete(&name).map(Vec::from)
        {
            inside(needs, &name);
            needs.push(Need::Privilege("SELECT", name));
        }
    }
}

/// The name of what `CREATE` makes: catalog and schema, or catalog, schema and table.
pub(super) fn created(found: &[Token<'_>], namespace: &Namespace) -> Option<Vec<String>> {
    let what = found
        .iter()
        .take(5)
        .position(|token| ["SCHEMA", "DATABASE", "TABLE", "VIEW"].iter().any(|word| token.is(word)))?;
    let is_schema = found[what].is("SCHEMA") || found[what].is("DATABASE");
    let at = if found.get(what + 1).is_some_and(|token| token.is("IF")) { what + 4 } else { what + 1 };
    let (name, _) = dotted_name(found, at)?;
    if !is_schema {
        return namespace.complete(&name).ok().map(Vec::from);
    }
    Some(if name.len() == 1 { vec![namespace.catalog.clone(), name[0].clone()] } else { name })
}

/// The name behind `ALTER TABLE`, `DROP SCHEMA IF EXISTS` and their relatives, and the index after it.
fn named_object(found: &[Token<'_>], namespace: &Namespace) -> Option<(Vec<String>, usize)> {
    let at = if found.get(2).is_some_and(|token| token.is("IF")) { 4 } else { 2 };
    let (name, after) = dotted_name(found, at)?;
    Some((full(found.get(1)?, name, namespace)?, after))
}

/// The name in full; `kind` is the token that says what it names.
fn full(kind: &Token<'_>, name: Vec<String>, namespace: &Namespace) -> Option<Vec<String>> {
    if kind.is("CATALOG") {
        return Some(name);
    }
    if kind.is("SCHEMA") || kind.is("DATABASE") {
        return Some(if name.len() == 1 { vec![namespace.catalog.clone(), name[0].clone()] } else { name });
    }
    namespace.complete(&name).ok().map(Vec::from)
}

/// The change a `GRANT`, `REVOKE` or `ALTER … OWNER TO` makes.
pub(super) fn change(found: &[Token<'_>], namespace: &Namespace) -> Option<Change> {
    let first = found.first()?;
    if first.is("ALTER") {
        let (name, mut at) = named_object(found, namespace)?;
        at += usize::from(found.get(at).is_some_and(|token| token.is("SET")));
        let is_owner = found.get(at)?.is("OWNER") && found.get(at + 1)?.is("TO");
        let principal = found.get(at + 2)?.name().filter(|_| is_owner)?;
        return Some(Change::Owner { on: name.join(".").to_lowercase(), principal });
    }
    let gives = first.is("GRANT");
    if !gives && !first.is("REVOKE") {
        return None;
    }
    let on = found.iter().position(|token| token.is("ON"))?;
    let words =
        |tokens: &[Token<'_>]| tokens.iter().map(|token| token.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" ");
    let privileges: Vec<String> = found[1..on].split(|token| token.is_symbol(",")).map(words).collect();
    let (name, after) = dotted_name(found, on + 2)?;
    let name = full(found.get(on + 1)?, name, namespace)?.join(".").to_lowercase();
    let is_named = found.get(after).is_some_and(|token| token.is(if gives { "TO" } else { "FROM" }));
    let principal = found.get(after + 1)?.name().filter(|_| is_named)?;
    let grants = privileges
        .into_iter()
        .map(|privilege| Grant { principal: principal.clone(), privilege, on: name.clone() })
        .collect();
    Some(if gives { Change::Give(grants) } else { Change::Take(grants) })
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    fn told(sql: &str) -> Vec<String> {
        let found = tokens(sql);
        let needs = needs(&found, StatementKind::of(&found), &Namespace::of("main", None));
        let told = needs.into_iter().map(|need| match need {
            Need::Privilege(privilege, on) => format!("{privilege} {}", on.join(".")),
            Need::Ownership(on) => format!("owner {}", on.join(".")),
        });
        told.filter(|need| !need.starts_with("USE")).collect()
    }

    #[test]
    fn each_statement_needs_its_rights() {
        for (sql, wanted) in [
            ("CREATE SCHEMA IF NOT EXISTS `main`.`b`", vec!["CREATE SCHEMA main"]),
            ("CREATE TABLE IF NOT EXISTS `main`.`b`.`t` (a INT)", vec!["CREATE TABLE main.b"]),
            ("SELECT * FROM `main`.`b`.`t` LIMIT 0", vec!["SELECT main.b.t"]),
            (
                "MERGE INTO main.b.t AS t USING (SELECT 1 AS x) AS s ON t.x = s.x",
                vec!["SELECT main.b.t", "MODIFY main.b.t"],
            ),
            ("INSERT INTO main.b.t SELECT * FROM main.b.u", vec!["MODIFY main.b.t", "SELECT main.b.u"]),
            ("ALTER TABLE main.b.t ADD COLUMNS (x INT)", vec!["MODIFY main.b.t"]),
            ("ALTER TABLE main.b.t CLUSTER BY (x)", vec!["owner main.b.t"]),
            ("DROP TABLE IF EXISTS main.b.t", vec!["owner main.b.t"]),
            ("SELECT 1 AS one", vec![]),
        ] {
            assert_eq!(told(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn grants_are_read_held_below_and_taken_back() {
        let namespace = Namespace::of("main", None);
        let read = |sql: &str| change(&tokens(sql), &namespace).unwrap();
        let settings = EndpointSettings {
            checked_principals: ["ann".to_owned()].into(),
            groups: [("engineers".to_owned(), vec!["ann".to_owned()])].into(),
            ..EndpointSettings::default()
        };
        let (ann, root) = (Asker::of("ann", &settings), Asker::of("root", &settings));
        let mut rights = Rights::default();
        let wants = [Need::Privilege("MODIFY", ["main", "b", "t"].map(str::to_owned).to_vec())];
        let refusal = rights.refusal(&ann, &wants).unwrap();
        assert!(refusal.message.contains("User does not have MODIFY on Table 'main.b.t'."), "{}", refusal.message);
        assert_eq!(rights.refusal(&root, &wants), None);
        rights.apply(read("GRANT SELECT, MODIFY ON SCHEMA `main`.`b` TO `engineers`"));
        assert_eq!(rights.refusal(&ann, &wants), None);
        rights.apply(read("REVOKE MODIFY ON SCHEMA b FROM engineers"));
        assert!(rights.refusal(&ann, &wants).is_some());
        rights.apply(read("ALTER TABLE main.b.t OWNER TO `engineers`"));
        assert_eq!(rights.refusal(&ann, &wants), None);
    }
}
