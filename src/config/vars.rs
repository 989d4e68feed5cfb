//! The registry of variables: name, meaning, default. The code takes its defaults from here and README its table.

use std::fmt::Write;

/// One variable of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name; `<NAME>` stands for a database's name.
    pub name: &'static str,
    /// The rule for when it is unset.
    pub default: Fallback,
    /// True if its value is a secret, never shown in any message.
    pub secret: bool,
    /// Its meaning in one sentence.
    pub doc: &'static str,
}

/// The rule for when a variable is unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set, here or (credentials) in the secret.
    Required,
    /// This text is read as if it were set.
    Text(&'static str),
    /// Something that is no text of this variable.
    Described(&'static str),
}

impl Variable {
    const fn required(name: &'static str, doc: &'static str) -> Self {
        Self { name, default: Fallback::Required, secret: false, doc }
    }

    const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, default: Fallback::Text(default), secret: false, doc }
    }

    const fn described(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, default: Fallback::Described(default), secret: false, doc }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Every variable the service reads, in the order of README's table.
pub const VARIABLES: &[Variable] = &[
    Variable::required("NOTION_API_KEY", "The Notion connection's token; may be in the secret instead.").secret(),
    Variable::required(
        "NOTION_<NAME>_DB_ID",
        "One per database: its id in Notion. The set of these variables is the set of databases \
         (`NOTION_BUDGET_LINES_DB_ID` → `budget_lines`).",
    ),
    Variable::required("DATABRICKS_HOST", "The workspace, such as `https://adb-….azuredatabricks.net`."),
    Variable::described(
        "DATABRICKS_HTTP_PATH",
        "required without `DATABRICKS_WAREHOUSE_ID`",
        "The SQL warehouse, as `/sql/1.0/warehouses/ID`; or set `DATABRICKS_WAREHOUSE_ID`.",
    ),
    Variable::described("DATABRICKS_WAREHOUSE_ID", "from the path", "The SQL warehouse's id, instead of the path."),
    Variable::described(
        "DATABRICKS_TOKEN",
        "required without client id and secret",
        "A personal access token; may be in the secret instead.",
    )
    .secret(),
    Variable::described(
        "DATABRICKS_CLIENT_ID",
        "required without `DATABRICKS_TOKEN`",
        "A service principal's application id, for OAuth; may be in the secret instead.",
    ),
    Variable::described(
        "DATABRICKS_CLIENT_SECRET",
        "required without `DATABRICKS_TOKEN`",
        "Its OAuth secret; may be in the secret instead.",
    )
    .secret(),
    Variable::required("DATABRICKS_CATALOG", "The catalog that holds the bronze schema."),
    Variable::text("BRONZE_SCHEMA", "bronze", "The schema of `notion_raw_pages` and `notion_sync_watermarks`."),
    Variable::described(
        "VIEWS_SCHEMA",
        "no views",
        "The schema of the typed views, one per data source, in the same catalog (docs/VIEWS.md).",
    ),
    Variable::described(
        "SECRETS_ID",
        "environment only",
        "Name or ARN of the JSON secret in Secrets Manager; its keys have the variables' names, and the environment \
         wins over it.",
    ),
    Variable::described(
        "WATERMARK_TABLE",
        "no cache, no lease",
        "The DynamoDB table of watermarks (a cache) and leases.",
    ),
    Variable::text(
        "RATE_LIMIT_DELAY",
        "340ms",
        "Time between two requests to Notion; a bare number is seconds. 340 ms keeps under 180 requests a minute.",
    ),
    Variable::text("BATCH_SIZE", "100", "Rows asked for per Notion page, 1–100."),
    Variable::text(
        "WALKERS",
        "4",
        "Parallel readers of a full walk, 1–16; together they keep to one `RATE_LIMIT_DELAY`.",
    ),
    Variable::text("MERGE_BATCH_BYTES", "8MiB", "Largest request body of a MERGE, at most 15 MiB."),
    Variable::text(
        "SYNC_SETTLE",
        "120s",
        "How far behind the start of a run the watermark stays, because Notion's index lags.",
    ),
    Variable::described(
        "RUN_BUDGET",
        "14 minutes on AWS Lambda, unlimited on the command line",
        "Time a run may take where no deadline is known.",
    ),
    Variable::text(
        "SWEEP_MAX_REMOVED_SHARE",
        "0.2",
        "Largest share of a database's rows that a sweep marks as removed unless a person allows more.",
    ),
    Variable::text("NOTION_BASE_URL", "https://api.notion.com", "Notion's address; plain HTTP on this machine only."),
    Variable::described("AWS_ENDPOINT_URL", "AWS", "One address for all AWS services (the local stack)."),
    Variable::described("AWS_LAMBDA_LOG_LEVEL", "INFO", "The Lambda's log level; set by the template's `LogLevel`."),
];

/// The variable called `name`.
pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// README's configuration table (Markdown), one row per variable.
pub fn markdown_table() -> String {
    let mut table = String::from("| Variable | Default | Meaning |\n|---|---|---|\n");
    for variable in VARIABLES {
        let default = match variable.default {
            Fallback::Required => "**required**".to_owned(),
            Fallback::Text(text) => format!("`{text}`"),
            Fallback::Described(text) => text.to_owned(),
        };
        // Writing to a String can't fail.
        let _ = writeln!(table, "| `{}` | {default} | {} |", variable.name, variable.doc);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_row_says_something() {
        for (index, variable) in VARIABLES.iter().enumerate() {
            assert!(VARIABLES[..index].iter().all(|earlier| earlier.name != variable.name), "{}", variable.name);
            assert!(variable.doc.ends_with('.') && !variable.doc.contains(['|', '\n']), "{}", variable.name);
        }
        assert_eq!(markdown_table().lines().count(), VARIABLES.len() + 2);
    }

    #[test]
    fn a_row_of_the_table_reads_well() {
        let table = markdown_table();
        assert!(table.contains("| `BRONZE_SCHEMA` | `bronze` | The schema of"), "{table}");
        assert!(table.contains("| `DATABRICKS_HOST` | **required** | The workspace"), "{table}");
    }
}
