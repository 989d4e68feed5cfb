//! Who may call: bearer tokens, and `/oidc/v1/token` for service principals.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use tokio::time::Instant;

use super::settings::EndpointSettings;
use super::wire::json_response;

/// Tokens the endpoint issued, until they expire.
#[derive(Debug, Default)]
pub(super) struct IssuedTokens {
    expiries: Mutex<HashMap<String, Instant>>,
    requests: AtomicUsize,
}

impl IssuedTokens {
    /// Requests to the token endpoint so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn clear_requests(&self) {
        self.requests.store(0, Ordering::Relaxed);
    }

    /// Makes every issued token invalid.
    pub(super) fn revoke_all(&self) {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn is_valid(&self, token: &str) -> bool {
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.get(token).is_some_and(|expiry| Instant::now() < *expiry)
    }

    fn issue(&self, life: Duration) -> String {
        let token = format!("local-oauth-{}", uuid::Uuid::new_v4().simple());
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        expiries.retain(|_, expiry| now < *expiry);
        expiries.insert(token.clone(), now + life);
        token
    }
}

/// Checks the bearer token; the answers are the recorded ones.
pub(super) fn check_bearer(
    headers: &HeaderMap,
    settings: &EndpointSettings,
    issued: &IssuedTokens,
) -> Result<(), Box<Response>> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = sent.and_then(|value| value.strip_prefix("Bearer ")) else {
        let message = "Credential was not sent or was of an unsupported type for this API.";
        let mut response = json_response(StatusCode::UNAUTHORIZED, &json!({"error_code": 401, "message": message}));
        let realm = header::HeaderValue::from_static("Bearer realm=\"DatabricksRealm\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return Err(Box::new(response));
    };
    if settings.tokens.iter().any(|accepted| accepted == token) || issued.is_valid(token) {
        return Ok(());
    }
    let body = json!({"error_code": 403, "message": "Invalid access token."});
    Err(Box::new(json_response(StatusCode::FORBIDDEN, &body)))
}

/// Answers a token request (client credentials, HTTP Basic or in the form).
pub(super) fn token_response(
    headers: &HeaderMap,
    body: &str,
    settings: &EndpointSettings,
    issued: &IssuedTokens,
) -> Response {
    issued.requests.fetch_add(1, Ordering::Relaxed);
    let form = form_fields(body);
    if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return token_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "The grant type is not supported.");
    }
    let in_form = || Some((form.get("client_id")?.clone(), form.get("client_secret")?.clone()));
    let Some((id, secret)) = basic_credentials(headers).or_else(in_form) else {
        return token_error(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    };
    let principal = settings.principals.iter().find(|known| known.client_id == id && known.client_secret == secret);
    let Some(principal) = principal else {
        return token_error(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    };
    let scope = form.get("scope").map_or("all-apis", String::as_str);
    let token = issued.issue(Duration::from_secs(principal.expires_in_seconds));
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": principal.expires_in_seconds, "scope": scope});
    json_response(StatusCode::OK, &body)
}

fn token_error(status: StatusCode, error: &str, description: &str) -> Response {
    json_response(status, &json!({"error": error, "error_description": description}))
}

fn form_fields(body: &str) -> HashMap<String, String> {
    let Ok(address) = reqwest::Url::parse(&format!("http://form.invalid/?{body}")) else { return HashMap::new() };
    address.query_pairs().into_owned().collect()
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(decode_base64(encoded)?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for letter in text.trim().trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        buffer = (buffer << 6 | u32::try_from(value).ok()?) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databricks::ServicePrincipal;

    #[test]
    fn basic_credentials_are_decoded() {
        assert_eq!(decode_base64("aWQ6c8OpY3JldCE=").as_deref(), Some("id:sécret!".as_bytes()));
        assert_eq!(decode_base64("a*"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_issued_token_is_valid_until_it_expires() {
        let principal =
            ServicePrincipal { client_id: "id".to_owned(), client_secret: "s".to_owned(), expires_in_seconds: 60 };
        let settings = EndpointSettings { principals: vec![principal], ..EndpointSettings::default() };
        let issued = IssuedTokens::default();
        let form = "grant_type=client_credentials&scope=all-apis&client_id=id&client_secret=s";
        assert_eq!(token_response(&HeaderMap::new(), form, &settings, &issued).status(), StatusCode::OK);
        let wrong = "grant_type=client_credentials&client_id=id&client_secret=other";
        assert_eq!(token_response(&HeaderMap::new(), wrong, &settings, &issued).status(), StatusCode::UNAUTHORIZED);
        assert_eq!(issued.requests(), 2);
        let token = issued.expiries.lock().unwrap().keys().next().unwrap().clone();
        assert!(issued.is_valid(&token));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!issued.is_valid(&token));
    }
}
