//! The parts that every call to AWS shares: the SDK's configuration, time limits, and the brief text of an SDK error.

pub(crate) mod lease;
pub(crate) mod pending;
pub(crate) mod run_log;
pub mod secrets;
pub(crate) mod state_table;

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use secrecy::{ExposeSecret, SecretString};

/// The longest time to reach an AWS endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time for one try of a call; both services answer in milliseconds.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for a call with the SDK's own tries (three).
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings that the SDK does not find on its own: the `AWS_…` variables of an `--env-file`.
///
/// Variables of the real environment are absent here; the SDK reads those, and profiles, and roles, on its own.
#[derive(Debug, Clone, Default)]
pub struct AwsConfig {
    /// `AWS_ENDPOINT_URL`: one address for all services (the local stack).
    pub endpoint_url: Option<String>,
    /// True if the endpoint, wherever it is set, is on this machine: then no proxy is on the way.
    pub endpoint_is_loopback: bool,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_PROFILE`.
    pub profile: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    pub credentials: Option<AwsCredentials>,
}

/// Static credentials from an `--env-file`.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<SecretString>,
}

/// The SDK's configuration for the clients of both services. Without a region anywhere the SDK asks the instance's
/// metadata service, so call it only when a client is needed. The SDK counts its tries itself; `first_delay` is its longest
/// wait before the second one.
pub async fn sdk_config(config: &AwsConfig, first_delay: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(TRY_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let retries = RetryConfig::standard().with_initial_backoff(first_delay);
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).retry_config(retries);
    if let Some(endpoint_url) = &config.endpoint_url {
        loader = loader.endpoint_url(endpoint_url);
    }
    if config.endpoint_is_loopback {
        // The SDK's own client takes the environment's proxy even then. One that is built here takes none.
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        loader = loader.http_client(http.build_https());
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(credentials) = &config.credentials {
        let session_token = credentials.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        loader = loader.credentials_provider(Credentials::new(
            credentials.access_key_id.clone(),
            credentials.secret_access_key.expose_secret(),
            session_token,
            None,
            "env-file",
        ));
    }
    loader.load().await
}

/// The failure of a call in one line: kind, code, message, request id. Never the raw response, which `DisplayErrorContext` and
/// `Debug` would print with headers and body.
pub fn brief<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    let request_id = error.request_id().map_or_else(String::new, |id| format!(" (request id {id})"));
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("without a code");
            let message = service.err().message().unwrap_or("no message");
            format!("service error {code}: {message}{request_id}")
        }
        SdkError::TimeoutError(_) => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        SdkError::DispatchFailure(dispatch) => {
            let cause = dispatch.as_connector_error().map_or_else(String::new, |cause| format!(": {}", deepest(cause)));
            let kind = if dispatch.is_timeout() { "no answer in time" } else { "could not send the request" };
            format!("{kind}{cause}")
        }
        SdkError::ResponseError(_) => format!("the answer could not be read{request_id}"),
        SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
        _ => "unknown error of the AWS SDK".to_owned(),
    }
}

/// The text of the innermost cause: the one that says something ("Connection refused", "no credentials").
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_env_file_says_reaches_the_sdk() {
        let config = AwsConfig {
            endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
            endpoint_is_loopback: true,
            region: Some("eu-central-1".to_owned()),
            profile: None,
            credentials: Some(AwsCredentials {
                access_key_id: "test".to_owned(),
                secret_access_key: "planted-secret".into(),
                session_token: None,
            }),
        };
        assert!(!format!("{config:?}").contains("planted-secret"));
        let sdk = sdk_config(&config, Duration::from_secs(1)).await;
        assert_eq!(sdk.endpoint_url(), Some("http://127.0.0.1:4566"));
        assert_eq!(sdk.region().map(AsRef::as_ref), Some("eu-central-1"));
        assert!(sdk.credentials_provider().is_some());
    }
}
