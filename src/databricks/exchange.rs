//! The exchanges with Databricks: what is asked, as a type. Nothing is decided by the text of a message.

use std::fmt;

/// One exchange with Databricks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The submit of a statement, with its purpose.
    Submit(String),
    /// A poll of a statement.
    Poll(String),
    /// The cancel of a statement.
    Cancel(String),
    /// A part of a statement's result.
    Chunk(String),
    /// A reading of the warehouse, which does not start it.
    Warehouse(String),
    /// A request for an OAuth token.
    Token,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit(purpose) => write!(f, "submit of the {purpose}"),
            Self::Poll(id) => write!(f, "poll of statement {id}"),
            Self::Cancel(id) => write!(f, "cancel of statement {id}"),
            Self::Chunk(id) => write!(f, "result of statement {id}"),
            Self::Warehouse(id) => write!(f, "GET /api/2.0/sql/warehouses/{id}"),
            Self::Token => f.write_str("POST /oidc/v1/token"),
        }
    }
}
