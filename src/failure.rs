//! The closed set of ways a run can fail: a public contract (Lambda `errorType`, exit code, metric label, OPERATIONS.md).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

macro_rules! failure_classes {
    ($($(#[$doc:meta])* $name:ident => $exit:ident, $remedy:literal;)+) => {
        /// A stable failure class. Its name is the Lambda's `errorType`; docs/OPERATIONS.md explains each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FailureClass {
            $($(#[$doc])* $name,)+
        }

        impl FailureClass {
            /// Every class there is, in the order of docs/OPERATIONS.md.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The class with this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|class| class.name() == name)
            }

            /// The family, which decides the command line's exit code.
            pub fn exit_code(self) -> ExitCode {
                match self { $(Self::$name => ExitCode::$exit,)+ }
            }

            /// The remedy, in one sentence for people.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }
        }
    };
}

/// The command line's exit codes, one per family of failure classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for is done (`complete` or `skipped`).
    Done = 0,
    /// A defect of ours.
    Internal = 1,
    /// The request itself is wrong: arguments, event, unknown database.
    Request = 2,
    /// The configuration is wrong.
    Configuration = 3,
    /// A credential was refused or lacks a right.
    Access = 4,
    /// Notion did not answer usefully.
    Notion = 5,
    /// Databricks did not answer usefully.
    Databricks = 6,
    /// Completeness could not be proven, or a guard refused.
    Integrity = 7,
    /// AWS did not answer usefully.
    Aws = 8,
    /// The run stopped before its deadline and stored the position from which the next one continues; not a failure.
    Partial = 10,
}

failure_classes! {
    /// The event or the arguments could not be understood.
    InvalidRequest => Request, "Correct the event or the arguments; events/ has a sample of every action.";
    /// The request names a database that is not configured.
    UnknownDatabase => Request, "Use one of the configured names, or set NOTION_<NAME>_DB_ID.";
    /// Variables are missing, malformed or placeholders.
    Configuration => Configuration, "Set the variables named in the message.";
    /// The secret could not be read from Secrets Manager, or does not hold what it must.
    SecretUnavailable => Aws, "Check SECRETS_ID, the secret's value and the function's right to read it.";
    /// Notion refused the token.
    NotionUnauthorized => Access, "Put a valid Notion token into the secret (or NOTION_API_KEY).";
    /// Notion says the connection may not do this.
    NotionForbidden => Access, "Give the Notion connection the capability to read content.";
    /// A configured database or one of its data sources is not visible any more; nothing was marked as removed.
    SourceAccessLost => Access, "Share the database with the Notion connection again, or correct its id.";
    /// The id configured for a database is not that of a database that can be read.
    WrongDatabaseId => Access, "Set the variable named in the message to the id of the original database.";
    /// Notion blocked the token's requests.
    NotionBlocked => Notion, "Notion blocks this connection; write to Notion's support with the request id.";
    /// Something in front of Notion (its edge, a proxy, a gateway) lets no request of this machine through.
    RequestBlocked => Notion, "Check the proxy and the address that this machine sends from; the token is not at fault.";
    /// Notion stayed unavailable or kept limiting through all tries.
    NotionUnavailable => Notion, "Nothing was lost; the next run repeats the work. See status.notion.com if it keeps happening.";
    /// Notion refused a request as wrong.
    NotionRejected => Notion, "Report it with the request id: the request and Notion's API no longer fit together.";
    /// Notion's answer could not be read.
    NotionUnreadable => Notion, "Report it with the request id; nothing was advanced.";
    /// A row came without id or times, so it can't be stored.
    PageUnreadable => Integrity, "Give the connection the capability to read content; the message names the page.";
    /// A sweep could not tell what became of some rows; they were left as they are.
    RowUnclear => Integrity, "Open the pages named in the message in Notion; the rows that are clear were marked.";
    /// Cursors of one stretch were rejected too often.
    CursorRejected => Integrity, "Run again; if it keeps happening, report it with the request id.";
    /// One minute holds more rows than Notion shows and it can't be split.
    MinuteOverCap => Integrity, "Edit some of the rows of the minute named, so that their edit times differ, and run again.";
    /// A walk was cut short by Notion and could not be continued.
    WalkIncomplete => Integrity, "Run again; if it keeps happening, report it with the request id.";
    /// A single row is larger than a statement may be.
    RowTooLarge => Integrity, "Shorten the page named in the message.";
    /// A sweep would mark a larger share of the rows as removed than allowed.
    RemovalShareExceeded => Integrity, "Check the database in Notion; if the removals are right, allow them once with --allow-removals.";
    /// The table does not hold what the run has sent; the watermark stays.
    ProofFailed => Integrity, "Run again; if it keeps happening, something else writes or deletes in notion_raw_pages.";
    /// A sweep found a key of notion_raw_pages in more than one row.
    DuplicateKeys => Integrity, "Run the MERGE that the message names, then `notion-sync sweep`, which writes each of these rows once.";
    /// A verification found that the table differs from Notion.
    MirrorDiffers => Integrity, "Run `notion-sync sweep`, then verify again; differences that stay are mended by `sync --full-refresh`.";
    /// A statement parsed another number of rows than was sent.
    RowCountMismatch => Integrity, "Report it with the statement id; the watermark stays where it was.";
    /// A stored position or watermark can't be read by this version.
    StoredStateUnreadable => Integrity, "Start over with --full-refresh --restart.";
    /// A table is missing or lacks columns.
    TableMissing => Databricks, "Run `notion-sync init-tables` with rights to create tables.";
    /// A table's columns have other types or another collation than notion-sync writes.
    TableUnsuitable => Databricks, "Change the columns as the message says; or rename the table, run `notion-sync init-tables` and then a full refresh.";
    /// Databricks refused the credentials.
    DatabricksUnauthorized => Access, "Put a valid credential into the variables that the message names, or into the secret's keys of these names.";
    /// Databricks says the principal may not do this.
    DatabricksForbidden => Access, "Grant what infra/databricks-grants.sql lists.";
    /// Databricks stayed unavailable through all tries.
    DatabricksUnavailable => Databricks, "Nothing was lost; the next run repeats the work.";
    /// Databricks refused a request as wrong (unknown warehouse, malformed request).
    DatabricksRejected => Databricks, "Check DATABRICKS_HOST, DATABRICKS_HTTP_PATH and DATABRICKS_CATALOG.";
    /// Databricks' answer could not be read.
    DatabricksUnreadable => Databricks, "Check that DATABRICKS_HOST is a workspace; else report it with the request id.";
    /// A statement ended FAILED.
    StatementFailed => Databricks, "Read the statement's message; its id is in the query history.";
    /// A statement kept conflicting with other writers.
    StatementConflict => Databricks, "Run again; see what else writes to the tables.";
    /// A statement did not end in time and was cancelled.
    StatementTimeout => Databricks, "Nothing was lost; look at the warehouse's queue and size.";
    /// DynamoDB was needed and did not answer.
    DynamoDbUnavailable => Aws, "Check WATERMARK_TABLE and the function's rights on it.";
    /// The deadline came before anything could be stored.
    DeadlineExceeded => Internal, "Give the run more time (RUN_BUDGET, the function's timeout).";
    /// A defect of ours.
    Internal => Internal, "Report it with the run id.";
}

impl FailureClass {
    /// True for the classes that the next run cures in most cases: the other side was unavailable or busy. A person is called for
    /// them only when they last, for all others at once.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::NotionUnavailable
                | Self::DatabricksUnavailable
                | Self::DynamoDbUnavailable
                | Self::StatementConflict
                | Self::StatementTimeout
        )
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for FailureClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A failed run: its class, what failed and where (never a secret), and the cause.
pub struct Failure {
    class: FailureClass,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of `class`; `message` says what failed and names the thing at fault.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), source: None, retry_after: None }
    }

    /// Adds the cause, which is shown after the message.
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context` (the work under way) in front of the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Adds the wait that a server asked for, where the deadline came before its end.
    pub fn waiting(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The wait that a server asked for, if that is what ended the work.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The class.
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// Message and causes, without what to do.
    pub fn message(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let part = error.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }

    /// Message, causes and what to do, in one line: the text for people, reports and the Lambda's `errorMessage`.
    pub fn describe(&self) -> String {
        let mut text = self.message();
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
        text.push(' ');
        text.push_str(self.class.remedy());
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.describe())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_cause_and_remedy() {
        let cause = std::io::Error::other("connection reset");
        let failure = Failure::new(FailureClass::NotionUnavailable, "query of data source 1b").caused_by(cause);
        assert_eq!(
            failure.context("database projects").describe(),
            "database projects: query of data source 1b: connection reset. Nothing was lost; the next run repeats \
             the work. See status.notion.com if it keeps happening."
        );
    }

    #[test]
    fn no_failure_exits_as_done_or_partial() {
        for class in FailureClass::ALL {
            assert!(![ExitCode::Done, ExitCode::Partial].contains(&class.exit_code()), "{class}");
        }
    }
}
