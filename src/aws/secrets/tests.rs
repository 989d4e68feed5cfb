//! The real SDK client against a scripted Secrets Manager on loopback.

use std::sync::Mutex as StdMutex;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::aws::{AwsConfig, AwsCredentials, sdk_config};

/// A Secrets Manager that answers each request with what stands in `answer` and keeps the requests' bodies.
#[derive(Clone)]
struct Manager {
    answer: Arc<StdMutex<(u16, String)>>,
    requests: Arc<StdMutex<Vec<String>>>,
    address: std::net::SocketAddr,
}

impl Manager {
    async fn holding(secret: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let manager = Self {
            answer: Arc::new(StdMutex::new((200, String::new()))),
            requests: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        manager.set(secret);
        let serving = manager.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        manager
    }

    fn set(&self, secret: &Value) {
        self.set_answer(200, &json!({"Name": "notion-sync/dev", "SecretString": secret.to_string()}));
    }

    fn set_answer(&self, status: u16, body: &Value) {
        *self.answer.lock().unwrap() = (status, body.to_string());
    }

    fn reads(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let Ok(read @ 1..) = stream.read(&mut chunk).await else { return };
            buffer.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&buffer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() < length.parse::<usize>().unwrap() {
                continue;
            }
            self.requests.lock().unwrap().push(body.to_owned());
            buffer.clear();
            let (status, answer) = self.answer.lock().unwrap().clone();
            let head = format!(
                "HTTP/1.1 {status} X\r\nx-amzn-requestid: request-7\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.unwrap();
        }
    }

    async fn secrets(&self, config: SecretsConfig, time_to_live: Duration) -> Secrets {
        let aws = AwsConfig {
            endpoint_url: Some(format!("http://{}", self.address)),
            endpoint_is_loopback: true,
            region: Some("us-east-1".to_owned()),
            profile: None,
            credentials: Some(AwsCredentials {
                access_key_id: "test".to_owned(),
                secret_access_key: "test".into(),
                session_token: None,
            }),
        };
        let client = Client::new(&sdk_config(&aws, Duration::from_millis(10)).await);
        Secrets::with_time_to_live(config, Some(client), time_to_live)
    }
}

fn in_manager() -> SecretsConfig {
    SecretsConfig { secrets_id: Some("notion-sync/dev".to_owned()), ..SecretsConfig::default() }
}

fn both(notion: &str, databricks: &str) -> Value {
    json!({"NOTION_API_KEY": notion, "DATABRICKS_TOKEN": databricks, "OTHER": 1})
}

async fn failure(secret: &Value) -> String {
    let manager = Manager::holding(secret).await;
    let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
    assert_eq!(failure.class(), FailureClass::SecretUnavailable);
    let text = failure.describe();
    assert!(!text.contains("planted"), "{text}");
    text
}

#[tokio::test]
async fn the_secret_is_read_once_and_kept() {
    let manager = Manager::holding(&both("ntn_planted-1", " dapi-planted\n")).await;
    let secrets = manager.secrets(in_manager(), TIME_TO_LIVE).await;
    let first = secrets.current().await.unwrap();
    assert_eq!(first.notion_api_key.expose_secret(), "ntn_planted-1");
    let DatabricksCredential::Token(token) = &first.databricks else { panic!("{first:?}") };
    assert_eq!(token.expose_secret(), "dapi-planted", "a newline at the end is no part of a token");
    assert_eq!(secrets.current().await.unwrap().generation, first.generation);
    assert_eq!(manager.reads(), 1);
    let request: Value = serde_json::from_str(&manager.requests.lock().unwrap()[0]).unwrap();
    assert_eq!(request, json!({"SecretId": "notion-sync/dev", "VersionStage": "AWSCURRENT"}));
    assert!(!format!("{secrets:?} {first:?}").contains("planted"));
}

#[tokio::test]
async fn the_environment_wins_name_by_name() {
    let manager = Manager::holding(&both("ntn_secret", "dapi-secret")).await;
    let config = SecretsConfig { notion_api_key: Some("ntn_environment".into()), ..in_manager() };
    let credentials = manager.secrets(config, TIME_TO_LIVE).await.current().await.unwrap();
    assert_eq!(credentials.notion_api_key.expose_secret(), "ntn_environment");
    assert!(
        matches!(&credentials.databricks, DatabricksCredential::Token(token) if token.expose_secret() == "dapi-secret")
    );
}

#[tokio::test]
async fn a_client_id_in_the_environment_takes_its_secret_from_the_manager() {
    let secret = json!({"NOTION_API_KEY": "ntn_1", "DATABRICKS_TOKEN": "dapi-1", "DATABRICKS_CLIENT_SECRET": "dose-1"});
    let manager = Manager::holding(&secret).await;
    let config = SecretsConfig { databricks_client_id: Some("principal".to_owned()), ..in_manager() };
    let credentials = manager.secrets(config, TIME_TO_LIVE).await.current().await.unwrap();
    let DatabricksCredential::ServicePrincipal { client_id, .. } = credentials.databricks else { panic!() };
    assert_eq!(client_id, "principal");
}

#[tokio::test]
async fn with_everything_in_the_environment_nobody_is_asked() {
    let config =
        SecretsConfig { notion_api_key: Some("ntn_1".into()), databricks_token: Some("dapi-1".into()), ..in_manager() };
    let secrets = Secrets::new(config, None);
    let generation = secrets.current().await.unwrap().generation;
    assert!(secrets.reread(generation).await.unwrap().is_none(), "a refusal is final");
}

#[tokio::test]
async fn after_a_rotation_the_refused_callers_share_one_reread() {
    let manager = Manager::holding(&both("ntn_old", "dapi-1")).await;
    let secrets = manager.secrets(in_manager(), TIME_TO_LIVE).await;
    let refused = secrets.current().await.unwrap().generation;
    manager.set(&both("ntn_new", "dapi-1"));
    let (a, b, c) = tokio::join!(secrets.reread(refused), secrets.reread(refused), secrets.reread(refused));
    for credentials in [a, b, c] {
        let credentials = credentials.unwrap().unwrap();
        assert_eq!(credentials.notion_api_key.expose_secret(), "ntn_new");
        assert!(credentials.generation > refused);
    }
    assert_eq!(manager.reads(), 2);
    assert_eq!(secrets.current().await.unwrap().notion_api_key.expose_secret(), "ntn_new");
}

#[tokio::test]
async fn without_a_rotation_the_refusal_is_final_but_a_later_run_asks_again() {
    let manager = Manager::holding(&both("ntn_old", "dapi-1")).await;
    let secrets = manager.secrets(in_manager(), TIME_TO_LIVE).await;
    let refused = secrets.current().await.unwrap().generation;
    let (a, b) = tokio::join!(secrets.reread(refused), secrets.reread(refused));
    assert!(a.unwrap().is_none() && b.unwrap().is_none());
    assert_eq!(manager.reads(), 2, "one for both");
    manager.set(&both("ntn_new", "dapi-1"));
    assert!(secrets.reread(refused).await.unwrap().is_some());
}

/// Held by the tests that log the same line: a line first met by a thread that nobody listens to, while another begins to
/// listen, may stay unheard there as well.
static SAME_LINE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn an_old_reading_is_renewed_and_stays_in_force_when_that_fails() {
    let _alone = SAME_LINE.lock().await;
    let manager = Manager::holding(&both("ntn_1", "dapi-1")).await;
    let secrets = manager.secrets(in_manager(), Duration::ZERO).await;
    let first = secrets.current().await.unwrap();
    assert_eq!(secrets.current().await.unwrap().generation, first.generation, "the same credentials");
    assert_eq!(manager.reads(), 2);
    manager.set_answer(400, &json!({"__type": "AccessDeniedException", "message": "not allowed"}));
    assert_eq!(secrets.current().await.unwrap().generation, first.generation);
    let reads = manager.reads();
    secrets.current().await.unwrap();
    assert_eq!(manager.reads(), reads, "no new try within the grace");
    assert_eq!(secrets.reread(first.generation).await.unwrap_err().class(), FailureClass::SecretUnavailable);
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_said_without_repeating_it() {
    let not_an_object = failure(&json!("planted")).await;
    assert!(not_an_object.contains("secret notion-sync/dev is JSON but no object"), "{not_an_object}");
    let number = failure(&json!({"NOTION_API_KEY": 7, "DATABRICKS_TOKEN": "planted"})).await;
    assert!(number.contains("something else than text under NOTION_API_KEY"), "{number}");
    let pasted = failure(&json!({"NOTION_API_KEY": "Bearer planted", "DATABRICKS_TOKEN": "planted"})).await;
    assert!(pasted.contains("something else than printable ASCII without spaces under NOTION_API_KEY"), "{pasted}");
    let missing = failure(&json!({"NOTION_API_KEY": "planted", "DATABRICKS_TOKEN": " "})).await;
    assert!(missing.contains("has no DATABRICKS_TOKEN (or DATABRICKS_CLIENT_ID and"), "{missing}");
    let half = failure(&json!({"NOTION_API_KEY": "planted", "DATABRICKS_CLIENT_ID": "planted"})).await;
    assert!(half.contains("has no DATABRICKS_CLIENT_SECRET"), "{half}");
    let placeholder = failure(&both("ntn_your-token", "dapi-planted")).await;
    assert!(placeholder.contains("BLOCKED: suspicious default value for NOTION_API_KEY"), "{placeholder}");
    let two = json!({"NOTION_API_KEY": "planted", "DATABRICKS_TOKEN": "planted", "DATABRICKS_CLIENT_ID": "planted",
                     "DATABRICKS_CLIENT_SECRET": "planted"});
    assert!(failure(&two).await.contains("keep one way to sign in"));
}

#[tokio::test]
async fn text_that_is_no_json_is_not_repeated() {
    let manager = Manager::holding(&Value::Null).await;
    manager.set_answer(200, &json!({"SecretString": "{\"NOTION_API_KEY\": planted}"}));
    let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
    assert_eq!(failure.to_string(), "secret notion-sync/dev is not a JSON object (it breaks off at line 1, column 20)");
    manager.set_answer(200, &json!({"Name": "notion-sync/dev"}));
    let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
    assert_eq!(failure.to_string(), "secret notion-sync/dev has no text value yet; set it to a JSON object");
    manager.set_answer(200, &json!({"SecretBinary": "cGxhbnRlZA=="}));
    let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
    assert_eq!(failure.to_string(), "secret notion-sync/dev holds binary data; set it to a JSON object as text");
    for empty in ["", " \n", "\u{feff}"] {
        manager.set_answer(200, &json!({"SecretString": empty}));
        let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
        assert_eq!(failure.to_string(), "secret notion-sync/dev is empty; set it to a JSON object");
    }
    let nothing = self::failure(&json!({})).await;
    assert!(nothing.contains("has no NOTION_API_KEY") && nothing.contains("has no DATABRICKS_TOKEN"), "{nothing}");
}

#[tokio::test]
async fn a_byte_order_mark_and_other_keys_of_the_secret_are_no_fault() {
    let manager = Manager::holding(&Value::Null).await;
    let secret = json!({"NOTION_API_KEY": "ntn_1", "DATABRICKS_TOKEN": "dapi-1", "OTHER": {"a": [1]}, "HOST": null});
    manager.set_answer(200, &json!({"SecretString": format!("\u{feff}{secret}")}));
    let credentials = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap();
    assert_eq!(credentials.notion_api_key.expose_secret(), "ntn_1");
}

#[tokio::test]
async fn the_credentials_before_and_after_a_rotation_are_both_redacted() {
    let manager = Manager::holding(&both("ntn_rotation-before-4Zr8Q2", "dapi-rotation-before-9Kx4")).await;
    let secrets = manager.secrets(in_manager(), TIME_TO_LIVE).await;
    let refused = secrets.current().await.unwrap().generation;
    manager.set(&both("ntn_rotation-after-7Gq2Mm", "dapi-rotation-before-9Kx4"));
    secrets.reread(refused).await.unwrap().unwrap();
    let said = "ntn_rotation-before-4Zr8Q2, then ntn_rotation-after-7Gq2Mm";
    assert_eq!(crate::output::redacted(said), "[redacted], then [redacted]");
}

#[tokio::test]
async fn a_refusal_by_secrets_manager_is_brief_and_has_the_request_id() {
    let manager = Manager::holding(&Value::Null).await;
    manager.set_answer(
        400,
        &json!({"__type": "ResourceNotFoundException", "Message": "Secrets Manager can't find the specified secret."}),
    );
    let failure = manager.secrets(in_manager(), TIME_TO_LIVE).await.current().await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "secret notion-sync/dev can't be read: service error ResourceNotFoundException: Secrets Manager can't find the \
         specified secret. (request id request-7) (no such secret, or it has no value yet)"
    );
}

#[tokio::test]
async fn at_the_highest_verbosity_no_log_line_shows_a_secret() {
    let _alone = SAME_LINE.lock().await;
    let (lines, outlet) = crate::output::tests::capture();
    let level = crate::telemetry::command_line_level(u8::MAX);
    let subscriber = crate::telemetry::subscriber(crate::telemetry::Style::Json, level, outlet);
    let _guard = tracing::subscriber::set_default(subscriber);
    let manager = Manager::holding(&both("ntn_planted", "dapi-planted")).await;
    let secrets = manager.secrets(in_manager(), Duration::ZERO).await;
    let credentials = secrets.current().await.unwrap();
    manager.set_answer(400, &json!({"__type": "AccessDeniedException", "message": "not allowed"}));
    secrets.current().await.unwrap();
    tracing::trace!(?credentials, ?secrets, "everything we have");
    let text = lines.lock().unwrap().join("\n");
    assert!(text.contains("the secret can't be read again") && text.contains("everything we have"), "{text}");
    assert!(!text.contains("planted"), "{text}");
}
