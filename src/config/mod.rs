//! Configuration: environment variables read once, all problems reported together.

mod credentials;
mod reader;
mod values;
mod variables;
pub mod vars;

use std::time::Duration;

use secrecy::SecretString;

use self::credentials::{read_secrets, register_credentials};
use self::reader::Reader;
pub use self::variables::Variables;
use crate::aws::secrets::SecretsConfig;
use crate::aws::{AwsConfig, AwsCredentials};
use crate::databricks::DatabricksConfig;
use crate::failure::Failure;
use crate::http::is_loopback;
use crate::http::retry::RetryPolicy;
use crate::ids::{Database, DatabaseName};
use crate::notion::NotionConfig;
use crate::sync::SyncConfig;

/// The longest time for one exchange with Notion, whose own limit is 60 s (facts/notion §4.4: at least 65 s).
const NOTION_TIMEOUT: Duration = Duration::from_secs(70);
/// The longest time for one exchange with Databricks: a submit waits up to 10 s there, after up to 15 MiB have been sent.
const DATABRICKS_TIMEOUT: Duration = Duration::from_secs(90);
/// The time a run may take on Lambda when its deadline is unknown: the function's 15 minutes less one.
const LAMBDA_RUN_BUDGET: Duration = Duration::from_secs(14 * 60);
/// The smallest MERGE body: below it `8` for `8MiB` would send every row alone.
const MIN_BATCH_BYTES: usize = 1 << 10;
/// The largest MERGE body: Databricks takes 16 MiB (facts/databricks §1.4).
const MAX_BATCH_BYTES: usize = 15 << 20;
/// The most walkers of a full walk: more would only wait for each other, since Notion takes three requests a second.
const MAX_WALKERS: u32 = 16;

/// The configuration of the service, as its environment gives it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The way to Notion.
    pub notion: NotionConfig,
    /// The way to Databricks.
    pub databricks: DatabricksConfig,
    /// The configured databases, sorted by name; never empty.
    pub databases: Vec<Database>,
    /// The tuning of a sync.
    pub sync: SyncConfig,
    /// The places of the credentials.
    pub secrets: SecretsConfig,
    /// Settings that the AWS SDK does not find on its own.
    pub aws: AwsConfig,
    /// DynamoDB table of watermarks and leases; `None` = no cache.
    pub watermark_table: Option<String>,
    /// The time a run may take where no deadline is known; `None` = unlimited.
    pub run_budget: Option<Duration>,
    /// Retries of both APIs.
    pub retry: RetryPolicy,
}

impl Config {
    /// Returns the configuration that `variables` hold.
    ///
    /// # Errors
    /// `Configuration` with every problem there is, each on its own line.
    pub fn from_variables(variables: &Variables) -> Result<Self, Failure> {
        register_credentials(variables);
        let mut reader = Reader::new(variables);
        let secrets = read_secrets(&mut reader);
        let databases = read_databases(&mut reader);
        let notion = read_notion(&mut reader);
        let databricks = read_databricks(&mut reader);
        let sync = read_sync(&mut reader);
        let watermark_table = reader.optional_value("WATERMARK_TABLE", values::table_name);
        let run_budget = read_run_budget(&mut reader);
        let aws = read_aws(&mut reader);
        match (notion, databricks, sync, watermark_table, run_budget) {
            (Some(notion), Some(databricks), Some(sync), Some(watermark_table), Some(run_budget))
                if reader.is_clean() =>
            {
                Ok(Self {
                    notion,
                    databricks,
                    databases,
                    sync,
                    secrets,
                    aws,
                    watermark_table,
                    run_budget,
                    retry: RetryPolicy::default(),
                })
            }
            _ => Err(reader.into_failure()),
        }
    }
}

/// One database per variable `NOTION_<NAME>_DB_ID`.
fn read_databases(reader: &mut Reader<'_>) -> Vec<Database> {
    let mut found: Vec<(&str, Database)> = Vec::new();
    let mut any = false;
    for variable in reader.variables().names_set() {
        let Some(rest) = variable.strip_prefix("NOTION_").and_then(|rest| rest.strip_suffix("DB_ID")) else {
            continue;
        };
        any = true;
        let name = rest.trim_end_matches('_');
        if name.is_empty() {
            reader.problem(format!("BLOCKED: {variable} names no database; it must be NOTION_<NAME>_DB_ID"));
            continue;
        }
        let Some(name) = rest.strip_suffix('_') else { continue };
        let Ok(name) = DatabaseName::parse(name) else {
            reader.problem(format!(
                "BLOCKED: {variable} is not of the form NOTION_<NAME>_DB_ID (at most 100 letters, digits, _)"
            ));
            continue;
        };
        // Set to nothing, it would drop a database without a word.
        let Some(id) = reader.value(variable, values::database_id) else { continue };
        if let Some((other, _)) = found.iter().find(|(_, database)| database.id == id) {
            reader.problem(format!("BLOCKED: {other} and {variable} name the same database {id}"));
        } else if let Some((other, _)) = found.iter().find(|(_, database)| database.name == name) {
            reader.problem(format!("BLOCKED: {other} and {variable} both name the database {name}"));
        } else {
            found.push((variable, Database { name, id }));
        }
    }
    if !any {
        reader.missing("NOTION_<NAME>_DB_ID", " (one per database, such as NOTION_PROJECTS_DB_ID)");
    }
    let mut databases: Vec<Database> = found.into_iter().map(|(_, database)| database).collect();
    databases.sort_by(|a, b| a.name.cmp(&b.name));
    databases
}

fn read_notion(reader: &mut Reader<'_>) -> Option<NotionConfig> {
    let base_url = reader.value("NOTION_BASE_URL", values::notion_base);
    let max = Duration::from_secs(60);
    let delay = reader.value("RATE_LIMIT_DELAY", |text| values::duration(text, Duration::ZERO, max));
    let page_size = reader.value("BATCH_SIZE", |text| values::whole_number(text, 1, 100));
    Some(NotionConfig { base_url: base_url?, rate_limit_delay: delay?, page_size: page_size?, timeout: NOTION_TIMEOUT })
}

fn read_databricks(reader: &mut Reader<'_>) -> Option<DatabricksConfig> {
    let host = reader.value("DATABRICKS_HOST", |text| values::service_address(text).map(values::host_only));
    let warehouse_id = read_warehouse(reader);
    let catalog = reader.value("DATABRICKS_CATALOG", values::object_name);
    let schema = reader.value("BRONZE_SCHEMA", values::object_name);
    let views_schema = read_views_schema(reader, schema.as_deref());
    Some(DatabricksConfig {
        host: host?,
        warehouse_id: warehouse_id?,
        catalog: catalog?,
        schema: schema?,
        views_schema: views_schema?,
        timeout: DATABRICKS_TIMEOUT,
    })
}

/// The schema of the typed views. It is another than the bronze schema, so that rights on it say nothing of the raw rows.
fn read_views_schema(reader: &mut Reader<'_>, bronze: Option<&str>) -> Option<Option<String>> {
    let schema = reader.optional_value("VIEWS_SCHEMA", values::object_name)?;
    if schema.as_deref().zip(bronze).is_some_and(|(views, bronze)| views.eq_ignore_ascii_case(bronze)) {
        reader.problem(
            "BLOCKED: VIEWS_SCHEMA and BRONZE_SCHEMA name the same schema; the views need one of their own".to_owned(),
        );
    }
    Some(schema)
}

/// The warehouse's id, from the path or directly; both may be set when they agree.
fn read_warehouse(reader: &mut Reader<'_>) -> Option<String> {
    let id_of_path = |text: &str| {
        let id = values::warehouse_of_path(text)?;
        Ok((crate::placeholder::is_placeholder(&id), id))
    };
    let from_path = reader.optional_value("DATABRICKS_HTTP_PATH", id_of_path)?;
    let direct = reader.optional_value("DATABRICKS_WAREHOUSE_ID", values::warehouse_id)?;
    match (from_path, direct) {
        (Some((true, _)), _) => reader.suspicious("DATABRICKS_HTTP_PATH"),
        (Some((_, from_path)), Some(direct)) if from_path != direct => reader.problem(format!(
            "BLOCKED: DATABRICKS_HTTP_PATH names the warehouse {from_path} and DATABRICKS_WAREHOUSE_ID {direct}; keep one"
        )),
        (Some((_, id)), _) | (None, Some(id)) => return Some(id),
        (None, None) => reader.missing("DATABRICKS_HTTP_PATH", " (or DATABRICKS_WAREHOUSE_ID)"),
    }
    None
}

fn read_sync(reader: &mut Reader<'_>) -> Option<SyncConfig> {
    let max = Duration::from_secs(24 * 3600);
    let settle = reader.value("SYNC_SETTLE", |text| values::duration(text, Duration::ZERO, max));
    let bytes = reader.value("MERGE_BATCH_BYTES", |text| values::byte_size(text, MIN_BATCH_BYTES, MAX_BATCH_BYTES));
    let share = reader.value("SWEEP_MAX_REMOVED_SHARE", values::share);
    let walkers = reader.value("WALKERS", |text| values::whole_number(text, 1, MAX_WALKERS));
    let walkers = walkers.and_then(|number| usize::try_from(number).ok());
    Some(SyncConfig { settle: settle?, merge_batch_bytes: bytes?, max_removed_share: share?, walkers: walkers? })
}

/// `RUN_BUDGET`, else what fits where the process runs: Lambda sets `AWS_LAMBDA_RUNTIME_API`, nothing else does.
fn read_run_budget(reader: &mut Reader<'_>) -> Option<Option<Duration>> {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
    let budget = reader.optional_value("RUN_BUDGET", |text| values::duration(text, min, max))?;
    let on_lambda = reader.variables().get("AWS_LAMBDA_RUNTIME_API").is_some();
    Some(budget.or(on_lambda.then_some(LAMBDA_RUN_BUDGET)))
}

/// Reads the SDK's variables as far as only the `--env-file` has them.
fn read_aws(reader: &mut Reader<'_>) -> AwsConfig {
    let variables = reader.variables();
    let own = |name: &str| variables.get_from_file(name).map(str::to_owned);
    let access_key_id = own("AWS_ACCESS_KEY_ID");
    let secret_access_key = own("AWS_SECRET_ACCESS_KEY").map(SecretString::from);
    let session_token = own("AWS_SESSION_TOKEN").map(SecretString::from);
    let credentials = access_key_id.zip(secret_access_key).map(|(access_key_id, secret_access_key)| AwsCredentials {
        access_key_id,
        secret_access_key,
        session_token,
    });
    let in_environment = |name: &str| variables.get(name).is_some() && variables.get_from_file(name).is_none();
    // A region of the environment under either name wins over both names in the file.
    let region_of_file = own("AWS_REGION").or_else(|| own("AWS_DEFAULT_REGION"));
    let region_is_set = in_environment("AWS_REGION") || in_environment("AWS_DEFAULT_REGION");
    let endpoint = variables.get("AWS_ENDPOINT_URL").and_then(|text| {
        let form = || "an address such as http://127.0.0.1:4566".to_owned();
        reader.read("AWS_ENDPOINT_URL", text, |text| reqwest::Url::parse(text).map_err(|_| form()))
    });
    AwsConfig {
        endpoint_url: own("AWS_ENDPOINT_URL"),
        endpoint_is_loopback: endpoint.as_ref().is_some_and(is_loopback),
        region: region_of_file.filter(|_| !region_is_set),
        profile: own("AWS_PROFILE"),
        credentials,
    }
}

#[cfg(test)]
mod tests;
