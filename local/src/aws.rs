//! DynamoDB and Secrets Manager: ministack as a child process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::loopback;
use super::process::{ChildProcess, ProcessError, ProcessSpec};

/// The one region of the emulator.
pub const REGION: &str = "us-east-1";
/// ministack starts in about a second; the bound is for a busy machine and its first start.
const START_BOUND: Duration = Duration::from_secs(60);
/// A port is picked before ministack binds it, and may be gone by then.
const START_TRIES: u32 = 3;
const SERVICES: &str =
    "s3,sqs,sns,dynamodb,lambda,iam,sts,secretsmanager,logs,cloudwatch,cloudformation,scheduler,events,states";

/// A failure of the emulator or of a call to it.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its folders or its port could not be had.
    #[error("the AWS emulator: {0}")]
    Io(#[from] std::io::Error),
    /// A call got no answer.
    #[error("{operation} got no answer: {source}")]
    Unreachable {
        /// The operation called.
        operation: String,
        source: reqwest::Error,
    },
    /// A call was refused.
    #[error("{operation} was refused with {status}: {body}")]
    Refused {
        /// The operation called.
        operation: String,
        /// The HTTP status.
        status: u16,
        body: String,
    },
}

/// The settings of ministack.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The program, `.venv-aws/bin/ministack`.
    pub program: PathBuf,
    /// The directory that it may write to: its home, unpacked function code, its log.
    pub folder: PathBuf,
    /// The port; none = any free one.
    pub port: Option<u16>,
}

/// A running ministack; its state is in memory and ends with it.
#[derive(Debug)]
pub struct AwsEmulator {
    process: ChildProcess,
    client: AwsClient,
}

impl AwsEmulator {
    /// Starts ministack on the loopback address and waits until it is healthy.
    ///
    /// # Errors
    /// When it does not start; the error shows the end of its log.
    pub async fn start(settings: &AwsSettings) -> Result<Self, AwsError> {
        if let Some(port) = settings.port {
            loopback::ensure_free(port)?;
        }
        let mut tries = 0;
        loop {
            let port = settings.port.map_or_else(loopback::free_port, Ok)?;
            tries += 1;
            match Self::start_on(settings, port).await {
                Err(AwsError::Process(ProcessError::Ended { .. }))
                    if settings.port.is_none() && tries < START_TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn start_on(settings: &AwsSettings, port: u16) -> Result<Self, AwsError> {
        let endpoint_url = format!("http://{}", loopback::address(port));
        let client = AwsClient::new(&endpoint_url)?;
        let mut process = ChildProcess::start(&process_spec(settings, port, &endpoint_url)?)?;
        let health_url = format!("{endpoint_url}/_ministack/health");
        let probe = async || client.http.get(&health_url).send().await.is_ok_and(|answer| answer.status().is_success());
        process.wait_until_healthy(START_BOUND, probe).await?;
        Ok(Self { process, client })
    }

    /// Returns the value for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> &str {
        &self.client.endpoint_url
    }

    /// Calls to the emulator, past any fault proxy.
    pub fn client(&self) -> &AwsClient {
        &self.client
    }

    /// Returns the path of the emulator's log.
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Ends the emulator.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub async fn stop(self) -> Result<(), AwsError> {
        Ok(self.process.stop().await?)
    }
}

/// Variables with which the AWS SDK talks to `endpoint_url` and nothing else.
pub fn sdk_environment(endpoint_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint_url.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        // Without it the SDK asks the instance metadata address and waits.
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// The safe start: loopback only, no further ports, and an environment made from nothing, since a function that the
/// emulator runs inherits all of it.
fn process_spec(settings: &AwsSettings, port: u16, endpoint_url: &str) -> Result<ProcessSpec, std::io::Error> {
    let home = settings.folder.join("home");
    let run = settings.folder.join("run");
    std::fs::create_dir_all(&home)?;
    std::fs::create_dir_all(&run)?;
    let mut environment: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), search_path()),
        ("HOME".into(), home.into()),
        ("TMPDIR".into(), run.into()),
        ("BIND_HOST".into(), "127.0.0.1".into()),
        ("GATEWAY_PORT".into(), port.to_string().into()),
        ("IOT_MTLS_ENABLED".into(), "0".into()),
        ("SFTP_ENABLED".into(), "0".into()),
        ("SERVICES".into(), SERVICES.into()),
    ];
    environment.extend(sdk_environment(endpoint_url).into_iter().map(|(name, value)| (name.into(), value.into())));
    Ok(ProcessSpec {
        name: "the AWS emulator (ministack)".to_owned(),
        program: settings.program.clone(),
        arguments: Vec::new(),
        environment,
        inherits_environment: false,
        working_directory: settings.folder.clone(),
        log_file: settings.folder.join("ministack.log"),
    })
}

fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Calls in the two JSON protocols; no SDK, so that a test's own look does not pass through what it tests.
#[derive(Debug, Clone)]
pub struct AwsClient {
    http: reqwest::Client,
    endpoint_url: String,
}

impl AwsClient {
    /// A client for the emulator at `endpoint_url`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(endpoint_url: &str) -> Result<Self, AwsError> {
        let http = loopback::client()
            .map_err(|source| AwsError::Unreachable { operation: "building a client".to_owned(), source })?;
        Ok(Self { http, endpoint_url: endpoint_url.to_owned() })
    }

    /// Calls a DynamoDB operation, such as `GetItem`.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn dynamodb(&self, operation: &str, request: &Value) -> Result<Value, AwsError> {
        self.call("dynamodb", "application/x-amz-json-1.0", &format!("DynamoDB_20120810.{operation}"), request).await
    }

    /// Calls a Secrets Manager operation, such as `PutSecretValue`.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn secrets_manager(&self, operation: &str, request: &Value) -> Result<Value, AwsError> {
        self.call("secretsmanager", "application/x-amz-json-1.1", &format!("secretsmanager.{operation}"), request).await
    }

    /// Creates the table for watermarks, leases and runs: `pk` and `sk`, time to live on `expires_at`.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn create_state_table(&self, table: &str) -> Result<(), AwsError> {
        let creation = json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        });
        self.dynamodb("CreateTable", &creation).await?;
        let time_to_live = json!({
            "TableName": table,
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": true},
        });
        self.dynamodb("UpdateTimeToLive", &time_to_live).await?;
        Ok(())
    }

    /// All items of a table, in DynamoDB's JSON.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn items(&self, table: &str) -> Result<Vec<Value>, AwsError> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut request = json!({"TableName": table, "ConsistentRead": true});
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let mut page = self.dynamodb("Scan", &request).await?;
            if let Some(Value::Array(rows)) = page.get_mut("Items").map(Value::take) {
                items.extend(rows);
            }
            start = page.get_mut("LastEvaluatedKey").map(Value::take).unwrap_or_default();
            if start.is_null() {
                return Ok(items);
            }
        }
    }

    /// Gives the secret `name` a new current value; creates it when there is none.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn put_secret(&self, name: &str, value: &Value) -> Result<(), AwsError> {
        let text = value.to_string();
        let creation = json!({"Name": name, "SecretString": text, "ClientRequestToken": request_token()});
        match self.secrets_manager("CreateSecret", &creation).await {
            Err(AwsError::Refused { body, .. }) if body.contains("ResourceExistsException") => {
                let version = json!({"SecretId": name, "SecretString": text, "ClientRequestToken": request_token()});
                self.secrets_manager("PutSecretValue", &version).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    async fn call(&self, service: &str, content_type: &str, target: &str, request: &Value) -> Result<Value, AwsError> {
        let unreachable = |source| AwsError::Unreachable { operation: target.to_owned(), source };
        // The emulator reads the service from the credential scope and checks no signature.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let answer = self
            .http
            .post(&self.endpoint_url)
            .header("x-amz-target", target)
            .header("content-type", content_type)
            .header("authorization", authorization)
            .body(request.to_string())
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        let body = answer.text().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(AwsError::Refused { operation: target.to_owned(), status: status.as_u16(), body });
        }
        Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

/// Secrets Manager wants a token of 32 to 64 characters with each new version.
fn request_token() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn table_and_secret_can_be_made_read_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv-aws/bin/ministack");
        let settings = AwsSettings { program, folder: folder.path().to_owned(), port: None };
        let emulator = AwsEmulator::start(&settings).await.unwrap();
        let aws = emulator.client();

        aws.create_state_table("state").await.unwrap();
        let time_to_live = aws.dynamodb("DescribeTimeToLive", &json!({"TableName": "state"})).await.unwrap();
        assert_eq!(time_to_live["TimeToLiveDescription"]["AttributeName"], "expires_at");
        let item = json!({"pk": {"S": "database"}, "sk": {"S": "lease"}, "expires_at": {"N": "1"}});
        aws.dynamodb("PutItem", &json!({"TableName": "state", "Item": item})).await.unwrap();
        assert_eq!(aws.items("state").await.unwrap(), [item]);

        for key in ["first", "second"] {
            aws.put_secret("notion-sync/test", &json!({"NOTION_API_KEY": key})).await.unwrap();
            let value = aws.secrets_manager("GetSecretValue", &json!({"SecretId": "notion-sync/test"})).await.unwrap();
            assert_eq!(value["SecretString"], json!({"NOTION_API_KEY": key}).to_string());
        }

        let refused = aws.items("no-such-table").await.unwrap_err();
        assert!(refused.to_string().contains("ResourceNotFoundException"), "{refused}");
        emulator.stop().await.unwrap();
    }
}
