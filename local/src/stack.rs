//! The whole stack: emulators, engine, table and secret, a seeded workspace, and the variables that lead to them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::aws::{AwsEmulator, AwsError, AwsSettings, sdk_environment};
use super::databricks::{DatabricksEndpoint, EndpointSettings, Engine, EngineError, ServicePrincipal};
use super::environment::Environment;
use super::loopback;
use super::notion::{self, NotionEmulator, WorkspaceError};
use super::seed::{self, SeededDatabase};
use super::tools::Tools;

/// The DynamoDB table of watermarks and leases.
pub const STATE_TABLE: &str = "notion-sync-local";
/// The secret with the credentials.
pub const SECRET: &str = "notion-sync/local";
/// The catalog of the Delta tables; the schema is the product's default.
pub const CATALOG: &str = "main";
/// The schema of the Delta tables.
pub const SCHEMA: &str = "bronze";
const WAREHOUSE: &str = "local0warehouse";
const CLIENT_ID: &str = "5f0c3a52-7d0e-4d5b-9c1f-2b7e64a1f803";
const CLIENT_SECRET: &str = "dose7c1f4e0b9a2d6538";
const TOKEN_LIFE_SECONDS: u64 = 3_600;

/// The failure of a part of the stack to start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The AWS emulator or a call to it.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The SQL engine.
    #[error("the SQL engine: {}", with_causes(source))]
    Engine {
        #[from]
        source: EngineError,
    },
    /// An address or a folder.
    #[error("{what}: {source}")]
    Io {
        /// The wanted path.
        what: String,
        source: io::Error,
    },
    /// The workspace could not be filled.
    #[error("the Notion workspace: {0}")]
    Workspace(#[from] WorkspaceError),
}

fn with_causes(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Ports of the three servers; 0 = any free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// Of the Notion emulator.
    pub notion: u16,
    /// Of the Statement Execution endpoint.
    pub databricks: u16,
    /// Of the AWS emulator.
    pub aws: u16,
}

impl Ports {
    /// The stack's fixed ports, so that another terminal needs to learn them once.
    pub const FIXED: Self = Self { notion: 4510, databricks: 4520, aws: 4566 };
}

/// The settings of the stack.
#[derive(Debug, Clone)]
pub struct StackSettings {
    pub tools: Tools,
    /// The directory of tables and logs. It is emptied at the start, since a new workspace does not fit old tables.
    pub folder: PathBuf,
    /// The addresses of the servers.
    pub ports: Ports,
}

/// A running stack.
#[derive(Debug)]
pub struct LocalStack {
    notion: NotionEmulator,
    engine: Engine,
    databricks: DatabricksEndpoint,
    aws: AwsEmulator,
    databases: Vec<SeededDatabase>,
    environment: Environment,
    /// Held, and released by the system however we end.
    _folder_lock: File,
}

impl LocalStack {
    /// Starts everything and fills the workspace with rows older than `now`.
    ///
    /// # Errors
    /// When one of the parts does not start; what was started before ends.
    pub async fn start(settings: &StackSettings, now: Timestamp) -> Result<Self, StackError> {
        let folder_error = || io_error(format!("the folder {}", settings.folder.display()));
        let folder_lock = lock_folder(&settings.folder).map_err(folder_error())?;
        empty_folder(&settings.folder).map_err(folder_error())?;
        let ports = settings.ports;
        let aws_settings = AwsSettings {
            program: settings.tools.ministack(),
            folder: settings.folder.join("aws"),
            port: (ports.aws != 0).then_some(ports.aws),
        };
        let warehouse_folder = settings.folder.join("warehouse");
        let sail = settings.tools.sail();
        let starts_aws = async { AwsEmulator::start(&aws_settings).await.map_err(StackError::from) };
        let starts_engine = async { Engine::start_sail(&sail, &warehouse_folder).await.map_err(StackError::from) };
        let (aws, engine) = tokio::try_join!(starts_aws, starts_engine)?;

        let databricks_address = loopback::address(ports.databricks);
        let databricks = DatabricksEndpoint::start(databricks_address, engine.clone(), endpoint_settings())
            .await
            .map_err(io_error(format!("the address {databricks_address} for Databricks")))?;
        let notion_address = loopback::address(ports.notion);
        let notion = NotionEmulator::start(notion_address, notion::Settings::default())
            .await
            .map_err(io_error(format!("the address {notion_address} for Notion")))?;
        let databases = notion.workspace(|workspace| seed::fill(workspace, now))?;

        let environment = environment(&notion, &databricks, &aws, &databases);
        aws.client().create_state_table(STATE_TABLE).await?;
        aws.client().put_secret(SECRET, &environment.secret()).await?;
        Ok(Self { notion, engine, databricks, aws, databases, environment, _folder_lock: folder_lock })
    }

    /// The Notion emulator.
    pub fn notion(&self) -> &NotionEmulator {
        &self.notion
    }

    /// The Statement Execution endpoint.
    pub fn databricks(&self) -> &DatabricksEndpoint {
        &self.databricks
    }

    /// The AWS emulator.
    pub fn aws(&self) -> &AwsEmulator {
        &self.aws
    }

    /// The databases of the workspace, as they were seeded.
    pub fn databases(&self) -> &[SeededDatabase] {
        &self.databases
    }

    /// One of them.
    pub fn database(&self, name: &str) -> Option<&SeededDatabase> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// The variables that lead to the stack.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Starts the stack after `change` has edited the settings of the service.
    pub fn environment_mut(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a process can't be waited for.
    pub async fn stop(self) -> Result<(), StackError> {
        self.notion.stop().await;
        self.databricks.stop().await;
        self.engine.stop().await;
        Ok(self.aws.stop().await?)
    }
}

fn endpoint_settings() -> EndpointSettings {
    EndpointSettings {
        // OAuth only, as a deployed service has it.
        tokens: Vec::new(),
        principals: vec![ServicePrincipal {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            expires_in_seconds: TOKEN_LIFE_SECONDS,
        }],
        warehouse_id: WAREHOUSE.to_owned(),
        catalog: CATALOG.to_owned(),
        ..EndpointSettings::default()
    }
}

fn environment(
    notion: &NotionEmulator,
    databricks: &DatabricksEndpoint,
    aws: &AwsEmulator,
    databases: &[SeededDatabase],
) -> Environment {
    let mut environment = Environment::default();
    for database in databases {
        environment.set(&database.variable(), &database.database_id);
    }
    environment.set("NOTION_BASE_URL", notion.base_url());
    environment.set("DATABRICKS_HOST", databricks.base_url());
    environment.set("DATABRICKS_HTTP_PATH", format!("/sql/1.0/warehouses/{WAREHOUSE}"));
    environment.set("DATABRICKS_CATALOG", CATALOG);
    environment.set("BRONZE_SCHEMA", SCHEMA);
    environment.set("SECRETS_ID", SECRET);
    environment.set("WATERMARK_TABLE", STATE_TABLE);
    for (name, value) in sdk_environment(aws.endpoint_url()) {
        environment.set(name, value);
    }
    environment.set("RATE_LIMIT_DELAY", "340ms");
    environment.set("BATCH_SIZE", "100");
    environment.set("MERGE_BATCH_BYTES", "8MiB");
    environment.set("SYNC_SETTLE", "120s");
    environment.set("SWEEP_MAX_REMOVED_SHARE", "0.2");
    environment.set_credential("NOTION_API_KEY", notion::DEFAULT_TOKEN);
    environment.set_credential("DATABRICKS_CLIENT_ID", CLIENT_ID);
    environment.set_credential("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET);
    environment
}

/// Takes the folder for this process: two stacks must not write the same tables.
fn lock_folder(folder: &Path) -> io::Result<File> {
    let path = folder.with_extension("lock");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::other("another stack is running there")),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn empty_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder)
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> StackError {
    |source| StackError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_started_stack_answers_everywhere_its_variables_lead() {
        let parent = tempfile::tempdir().unwrap();
        let tools = Tools::of_this_repository();
        let settings = StackSettings { tools, folder: parent.path().join("stack"), ports: Ports::default() };
        let stack = LocalStack::start(&settings, "2026-11-22T15:47:00Z".parse().unwrap()).await.unwrap();
        let environment = stack.environment();
        let (http, secret) = (loopback::client().unwrap(), environment.secret());
        let credential = |name: &str| secret[name].as_str().unwrap().to_owned();

        let database_id = environment.get("NOTION_BUDGET_LINES_DB_ID").unwrap();
        let url = format!("{}/v1/databases/{database_id}", environment.get("NOTION_BASE_URL").unwrap());
        let request = http.get(url).bearer_auth(credential("NOTION_API_KEY")).header("Notion-Version", "2026-03-11");
        assert_eq!(request.send().await.unwrap().status(), 200);

        let url = format!("{}/oidc/v1/token", environment.get("DATABRICKS_HOST").unwrap());
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        let (id, password) = (credential("DATABRICKS_CLIENT_ID"), credential("DATABRICKS_CLIENT_SECRET"));
        let request = http.post(url).basic_auth(id, Some(password)).form(&form);
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(stack.databricks().query("SELECT 1").await.unwrap(), [[Some("1".to_owned())]]);

        let stored = serde_json::json!({"SecretId": environment.get("SECRETS_ID").unwrap()});
        let stored = stack.aws().client().secrets_manager("GetSecretValue", &stored).await.unwrap();
        assert_eq!(stored["SecretString"], secret.to_string());
        let table = environment.get("WATERMARK_TABLE").unwrap();
        assert!(stack.aws().client().items(table).await.unwrap().is_empty());
        stack.stop().await.unwrap();
    }

    #[test]
    fn a_folder_serves_one_stack_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("stack");
        let lock = lock_folder(&folder).unwrap();
        assert!(lock_folder(&folder).unwrap_err().to_string().contains("another stack"));
        drop(lock);
        assert!(lock_folder(&folder).is_ok());
    }

    #[test]
    fn what_an_earlier_stack_left_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("stack");
        empty_folder(&folder).unwrap();
        fs::write(folder.join("table"), "old").unwrap();
        empty_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
