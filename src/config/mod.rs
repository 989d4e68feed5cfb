//! Configuration: environment variables read once, all problems reported together.

mod reader;
mod values;
mod variables;
pub mod vars;

use std::time::Duration;

use secrecy::SecretString;

use self::reader::Reader;
pub use self::variables::Variables;
use crate::aws::secrets::{CREDENTIAL_FORM, SecretsConfig, can_be_credential};
use crate::aws::{AwsConfig, AwsCredentials};
use crate::databricks::DatabricksConfig;
use crate::failure::Failure;
use crate::http::retry::RetryPolicy;
use crate::ids::{Database, DatabaseId, DatabaseName};
use crate::notion::NotionConfig;
use crate::sync::SyncConfig;

/// Longest time for one exchange with Notion, whose own limit is 60 s (facts/notion §4.4: at least 65 s).
const NOTION_TIMEOUT: Duration = Duration::from_secs(70);
/// Longest time for one exchange with Databricks: a submit waits up to 10 s there, after up to 15 MiB have been sent.
const DATABRICKS_TIMEOUT: Duration = Duration::from_secs(90);
/// Time a run may take on Lambda when its deadline is unknown: the function's 15 minutes less one.
const LAMBDA_RUN_BUDGET: Duration = Duration::from_secs(14 * 60);
/// Smallest MERGE body: below it `8` for `8MiB` would send every row alone.
const LEAST_BATCH_BYTES: usize = 1 << 10;
/// Largest MERGE body: Databricks takes 16 MiB (facts/databricks §1.4).
const MOST_BATCH_BYTES: usize = 15 << 20;

/// Everything the service is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach Notion.
    pub notion: NotionConfig,
    /// How to reach Databricks.
    pub databricks: DatabricksConfig,
    /// The configured databases, sorted by name; never empty.
    pub databases: Vec<Database>,
    /// How a sync behaves.
    pub sync: SyncConfig,
    /// Where the credentials are.
    pub secrets: SecretsConfig,
    /// What the AWS SDK can't find by itself.
    pub aws: AwsConfig,
    /// Schema of the typed views (`VIEWS_SCHEMA`); `None` = no views.
    pub views_schema: Option<String>,
    /// DynamoDB table of watermarks and leases; `None` = no cache.
    pub watermark_table: Option<String>,
    /// Time a run may take where no deadline is known; `None` = unlimited.
    pub run_budget: Option<Duration>,
    /// Retries of both APIs.
    pub retry: RetryPolicy,
}

impl Config {
    /// The configuration that the process's environment holds.
    ///
    /// # Errors
    /// As [`Config::from_variables`].
    pub fn from_environment() -> Result<Self, Failure> {
        Self::from_variables(&Variables::from_environment())
    }

    /// The configuration that `variables` hold.
    ///
    /// # Errors
    /// `Configuration` with every problem there is, each on its own line.
    pub fn from_variables(variables: &Variables) -> Result<Self, Failure> {
        let mut reader = Reader::new(variables);
        let secrets = read_secrets(&mut reader);
        let databases = read_databases(&mut reader);
        let notion = read_notion(&mut reader);
        let databricks = read_databricks(&mut reader);
        let sync = read_sync(&mut reader);
        let views_schema = read_views_schema(&mut reader, databricks.as_ref());
        let watermark_table = reader.optional_value("WATERMARK_TABLE", values::table_name);
        let run_budget = read_run_budget(&mut reader);
        let aws = read_aws(&mut reader);
        match (notion, databricks, sync, views_schema, watermark_table, run_budget) {
            (
                Some(notion),
                Some(databricks),
                Some(sync),
                Some(views_schema),
                Some(watermark_table),
                Some(run_budget),
            ) if reader.is_clean() => Ok(Self {
                notion,
                databricks,
                databases,
                sync,
                secrets,
                aws,
                views_schema,
                watermark_table,
                run_budget,
                retry: RetryPolicy::default(),
            }),
            _ => Err(reader.into_failure()),
        }
    }
}

/// The credentials in the environment. With `SECRETS_ID` set, what is missing here may be in the secret.
fn read_secrets(reader: &mut Reader<'_>) -> SecretsConfig {
    let secrets_id = reader.optional("SECRETS_ID").map(str::to_owned);
    let all_must_be_here = reader.variables().get("SECRETS_ID").is_none();
    let set = |reader: &Reader<'_>, name: &str| reader.variables().get(name).is_some();
    if all_must_be_here && !set(reader, "NOTION_API_KEY") {
        reader.missing("NOTION_API_KEY", "");
    }
    let token = set(reader, "DATABRICKS_TOKEN");
    let (id, secret) = (set(reader, "DATABRICKS_CLIENT_ID"), set(reader, "DATABRICKS_CLIENT_SECRET"));
    match (token, id, secret) {
        (true, true, _) | (true, _, true) => reader.problem(
            "BLOCKED: DATABRICKS_TOKEN and DATABRICKS_CLIENT_ID / DATABRICKS_CLIENT_SECRET are both set; keep one way \
             to sign in"
                .to_owned(),
        ),
        (false, false, false) if all_must_be_here => {
            reader.missing("DATABRICKS_TOKEN", " (or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET)");
        }
        (false, true, false) if all_must_be_here => reader.missing("DATABRICKS_CLIENT_SECRET", ""),
        (false, false, true) if all_must_be_here => reader.missing("DATABRICKS_CLIENT_ID", ""),
        _ => {}
    }
    let mut credential = |name: &str| {
        let text = reader.optional(name)?;
        reader.read(name, text, |text| {
            if can_be_credential(text) { Ok(SecretString::from(text)) } else { Err(CREDENTIAL_FORM.to_owned()) }
        })
    };
    SecretsConfig {
        secrets_id,
        notion_api_key: credential("NOTION_API_KEY"),
        databricks_token: credential("DATABRICKS_TOKEN"),
        databricks_client_secret: credential("DATABRICKS_CLIENT_SECRET"),
        databricks_client_id: reader.optional("DATABRICKS_CLIENT_ID").map(str::to_owned),
    }
}

/// One database per variable `NOTION_<NAME>_DB_ID`.
fn read_databases(reader: &mut Reader<'_>) -> Vec<Database> {
    let mut found: Vec<(&str, Database)> = Vec::new();
    let mut any = false;
    for variable in reader.variables().names() {
        let Some(name) = variable.strip_prefix("NOTION_").and_then(|rest| rest.strip_suffix("_DB_ID")) else {
            continue;
        };
        any = true;
        let Ok(name) = DatabaseName::parse(name) else {
            reader.problem(format!("BLOCKED: {variable} is not of the form NOTION_<NAME>_DB_ID (letters, digits, _)"));
            continue;
        };
        let Some(text) = reader.optional(variable) else { continue };
        let form = "a Notion database id (the 32 hexadecimal digits in the database's address, with or without dashes)";
        let id = reader.read(variable, text, |text| DatabaseId::parse(text).map_err(|_| form.to_owned()));
        let Some(id) = id else { continue };
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
    let longest = Duration::from_secs(60);
    let delay = reader.value("RATE_LIMIT_DELAY", |text| values::duration(text, Duration::ZERO, longest));
    let page_size = reader.value("BATCH_SIZE", |text| values::whole_number(text, 1, 100));
    Some(NotionConfig { base_url: base_url?, rate_limit_delay: delay?, page_size: page_size?, timeout: NOTION_TIMEOUT })
}

fn read_databricks(reader: &mut Reader<'_>) -> Option<DatabricksConfig> {
    let host = reader.value("DATABRICKS_HOST", |text| values::service_address(text).map(values::host_only));
    let warehouse_id = read_warehouse(reader);
    let catalog = reader.value("DATABRICKS_CATALOG", values::object_name);
    let schema = reader.value("BRONZE_SCHEMA", values::object_name);
    Some(DatabricksConfig {
        host: host?,
        warehouse_id: warehouse_id?,
        catalog: catalog?,
        schema: schema?,
        timeout: DATABRICKS_TIMEOUT,
    })
}

/// The schema of the typed views. They are things of their own, so that rights on them say nothing of the raw rows.
fn read_views_schema(reader: &mut Reader<'_>, databricks: Option<&DatabricksConfig>) -> Option<Option<String>> {
    let schema = reader.optional_value("VIEWS_SCHEMA", values::object_name)?;
    let is_bronze =
        schema.as_ref().zip(databricks).is_some_and(|(views, bronze)| views.eq_ignore_ascii_case(&bronze.schema));
    if is_bronze {
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
    let longest = Duration::from_secs(24 * 3600);
    let settle = reader.value("SYNC_SETTLE", |text| values::duration(text, Duration::ZERO, longest));
    let bytes = reader.value("MERGE_BATCH_BYTES", |text| values::byte_size(text, LEAST_BATCH_BYTES, MOST_BATCH_BYTES));
    let share = reader.value("SWEEP_MAX_REMOVED_SHARE", values::share);
    Some(SyncConfig { settle: settle?, merge_batch_bytes: bytes?, max_removed_share: share? })
}

/// `RUN_BUDGET`, else what fits where the process runs: Lambda sets `AWS_LAMBDA_RUNTIME_API`, nothing else does.
fn read_run_budget(reader: &mut Reader<'_>) -> Option<Option<Duration>> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
    let budget = reader.optional_value("RUN_BUDGET", |text| values::duration(text, least, most))?;
    let on_lambda = reader.variables().get("AWS_LAMBDA_RUNTIME_API").is_some();
    Some(budget.or(on_lambda.then_some(LAMBDA_RUN_BUDGET)))
}

/// The SDK's variables as far as only the `--env-file` has them.
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
    if let Some(text) = variables.get("AWS_ENDPOINT_URL") {
        let form = || "an address such as http://127.0.0.1:4566".to_owned();
        reader.read("AWS_ENDPOINT_URL", text, |text| reqwest::Url::parse(text).map_err(|_| form()));
    }
    AwsConfig {
        endpoint_url: own("AWS_ENDPOINT_URL"),
        region: region_of_file.filter(|_| !region_is_set),
        profile: own("AWS_PROFILE"),
        credentials,
    }
}

#[cfg(test)]
mod tests;
