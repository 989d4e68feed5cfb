//! The checks of Unity Catalog before a warehouse runs a statement: rights, owners, default collations.

use super::Shared;
use super::error::StatementError;
use super::rewrite::Namespace;
use super::rights::{self, Asker, Need};
use super::settings::Behaviour;
use super::shape::StatementKind;
use super::tokens::{quoted_name, tokens};

/// Checks a statement and carries out what concerns names alone. What it ends with, if not with its run, is added to
/// `behaviours`; the collation of the columns that it selects is returned.
pub(super) async fn apply(
    shared: &Shared,
    asker: &Asker,
    sql: &str,
    namespace: &Namespace,
    behaviours: &mut Vec<Behaviour>,
) -> Option<String> {
    let found = tokens(sql);
    if let Some(change) = rights::change(&found, namespace) {
        let securable = change.securable();
        let refusal = shared.rights().refusal(asker, &[Need::Ownership(securable.clone())]);
        let refusal = match refusal {
            None => missing(shared, &securable, namespace).await,
            refusal => refusal,
        };
        if refusal.is_none() {
            shared.rights().apply(change);
        }
        behaviours.push(refusal.map_or(Behaviour::Done, Behaviour::Failed));
        return None;
    }
    let needs = rights::needs(&found, StatementKind::of(&found), namespace);
    let refusal = shared.rights().refusal(asker, &needs);
    if let Some(refusal) = refusal {
        behaviours.push(Behaviour::Failed(refusal));
        return None;
    }
    let collated = shared.collations.of_created(&found, namespace);
    if (asker.is_checked() || collated.is_some())
        && let Some(name) = rights::created(&found, namespace).filter(|_| found[0].is("CREATE"))
        && missing(shared, &name, namespace).await.is_some()
    {
        shared.rights().own(asker, &name);
        collated.into_iter().for_each(|collated| shared.collations.remember(collated));
    }
    behaviours.extend(shared.collations.conflict(&found, namespace).map(Behaviour::Failed));
    shared.collations.of_selected(&found, namespace)
}

/// The failure of a statement about a schema or table that is not there.
async fn missing(shared: &Shared, name: &[String], namespace: &Namespace) -> Option<StatementError> {
    let quoted = name.iter().map(|part| quoted_name(part)).collect::<Vec<_>>().join(".");
    let question = match name.len() {
        1 => return None,
        2 => format!("SHOW TABLES IN {quoted}"),
        _ => format!("SELECT * FROM {quoted} LIMIT 0"),
    };
    shared.engine.query_in(&question, namespace).await.err()
}
