//! Names in SQL text: quoted, so that no configured name can become anything but a name.

use std::fmt;

/// `name` in backticks, its own backticks doubled.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's full name, shown quoted: `` `catalog`.`schema`.`table` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedName {
    catalog: String,
    schema: String,
    table: String,
}

impl QualifiedName {
    /// A table in the catalog and schema configured.
    pub fn new(catalog: &str, schema: &str, table: &str) -> Self {
        Self { catalog: catalog.to_owned(), schema: schema.to_owned(), table: table.to_owned() }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [catalog, schema, table] = [&self.catalog, &self.schema, &self.table].map(|name| quote_identifier(name));
        write!(f, "{catalog}.{schema}.{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(QualifiedName::new("main", "a`; DROP", "t").to_string(), "`main`.`a``; DROP`.`t`");
    }
}
