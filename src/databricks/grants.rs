//! The right that a refusal of Unity Catalog names, as the statement that gives it.

use super::sql::quote_identifier;

/// The statement that gives the right which `message` says is missing; `None` when it names none.
pub(super) fn missing_grant(message: &str) -> Option<String> {
    if let Some((_, rest)) = message.split_once("User does not have ") {
        let (privilege, rest) = rest.split_once(" on ")?;
        let is_privilege =
            |text: &str| text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
        let (kind, name) = securable(rest).filter(|_| is_privilege(privilege))?;
        return Some(format!("GRANT {privilege} ON {kind} {name} TO `<principal>`"));
    }
    if let Some((_, rest)) = message.split_once("User is not an owner of ") {
        let (kind, name) = securable(rest)?;
        return Some(format!("ALTER {kind} {name} OWNER TO `<principal>`"));
    }
    let is_about_the_warehouse = message.to_lowercase().contains("warehouse");
    is_about_the_warehouse.then(|| "Can use on the warehouse (SQL Warehouses > the warehouse > Permissions)".to_owned())
}

/// `Table 'main.bronze.x'` as `TABLE` and the quoted name.
fn securable(text: &str) -> Option<(String, String)> {
    let (kind, rest) = text.split_once(" '")?;
    let (name, _) = rest.split_once('\'')?;
    let is_kind = kind.len() <= 20 && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_name = name.len() <= 255 && !name.chars().any(char::is_control);
    let name = name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".");
    (is_kind && is_name).then(|| (kind.to_uppercase(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_the_statement_that_mends_it() {
        for (message, grant) in [
            (
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have USE CATALOG on Catalog 'main'. SQLSTATE: 42501",
                Some("GRANT USE CATALOG ON CATALOG `main` TO `<principal>`"),
            ),
            (
                "PERMISSION_DENIED: User does not have MODIFY on Table 'main.bro`nze.x'.",
                Some("GRANT MODIFY ON TABLE `main`.`bro``nze`.`x` TO `<principal>`"),
            ),
            (
                "PERMISSION_DENIED: User is not an owner of Table 'main.bronze.x'.",
                Some("ALTER TABLE `main`.`bronze`.`x` OWNER TO `<principal>`"),
            ),
            ("PERMISSION_DENIED: User does not have drop table x; on Table 'a'", None),
            ("Access denied.", None),
        ] {
            assert_eq!(missing_grant(message).as_deref(), grant, "{message}");
        }
        assert!(
            missing_grant("You do not have permission to use the SQL warehouse 0a.").unwrap().starts_with("Can use")
        );
    }
}
