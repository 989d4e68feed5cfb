//! Names and ids of the outside world; the only door to each is its `parse`.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An id that could not be read; the message names the text and the form expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

macro_rules! notion_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads an id with or without dashes (Notion accepts both); shown with dashes, lower case.
            ///
            /// # Errors
            /// When the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text.trim())
                    .map(Self)
                    .map_err(|_| IdError { text: text.to_owned(), expected: $expected })
            }

            /// The id as a UUID.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

notion_id!(
    /// The id of a Notion database (the container; the id in a Notion URL).
    DatabaseId,
    "a Notion database id (32 hexadecimal digits, with or without dashes)"
);
notion_id!(
    /// The id of a Notion data source (a table inside a database).
    DataSourceId,
    "a Notion data source id (32 hexadecimal digits, with or without dashes)"
);
notion_id!(
    /// The id of a Notion page (a row).
    PageId,
    "a Notion page id (32 hexadecimal digits, with or without dashes)"
);

/// The longest name of a database: it is a dimension of metrics, a column and a part of every line.
const MAX_NAME_BYTES: usize = 100;

/// The configured name of a database, from `NOTION_<NAME>_DB_ID`: lower case letters, digits and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DatabaseName(String);

impl DatabaseName {
    /// Reads a name; upper case is lowered (`BUDGET_LINES` → `budget_lines`).
    ///
    /// # Errors
    /// When the text is empty, too long, or holds anything but letters, digits and `_`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let name = text.to_ascii_lowercase();
        let valid =
            (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid {
            Ok(Self(name))
        } else {
            Err(IdError { text: text.to_owned(), expected: "a database name (at most 100 letters, digits and _)" })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one attempt of one run: unique, also between two deliveries of the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new, random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().hyphenated().to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One configured database: its name and its id in Notion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Name from the variable `NOTION_<NAME>_DB_ID`.
    pub name: DatabaseName,
    /// Id in Notion.
    pub id: DatabaseId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_with_and_without_dashes_and_shown_with() {
        let dashed = PageId::parse("be633bf1-dfa0-436d-b259-571129a590e5").unwrap();
        assert_eq!(PageId::parse("BE633BF1DFA0436DB259571129A590E5").unwrap(), dashed);
        assert_eq!(dashed.to_string(), "be633bf1-dfa0-436d-b259-571129a590e5");
        assert!(PageId::parse("projects").unwrap_err().to_string().contains("projects"));
    }

    #[test]
    fn a_database_name_is_lowered_and_checked() {
        assert_eq!(DatabaseName::parse("BUDGET_LINES").unwrap().as_str(), "budget_lines");
        assert!(DatabaseName::parse("").is_err());
        assert!(DatabaseName::parse("a-b").is_err());
        assert!(DatabaseName::parse(&"a".repeat(100)).is_ok());
        assert!(DatabaseName::parse(&"a".repeat(101)).is_err());
    }
}
