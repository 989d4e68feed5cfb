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
    /// Token → when it ends and whose it is.
    expiries: Mutex<HashMap<String, (Instant, String)>>,
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

    /// Whose a token is, while it is valid.
    fn principal(&self, token: &str) -> Option<String> {
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.get(token).filter(|(expiry, _)| Instant::now() < *expiry).map(|(_, principal)| principal.clone())
    }

    fn issue(&self, principal: &str, life: Duration) -> String {
        let token = format!("local-oauth-{}", uuid::Uuid::new_v4().simple());
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        expiries.retain(|_, (expiry, _)| now < *expiry);
        expiries.insert(token.clone(), (now + life, principal.to_owned()));
        token
    }
}

/// Checks the bearer token and tells whose it is; the answers are the recorded ones.
pub(super) fn check_bearer(
    headers: &HeaderMap,
    settings: &EndpointSettings,
    issued: &IssuedTokens,
) -> Result<String, Box<Response>> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = sent.and_then(|value| value.strip_prefix("Bearer ")) else {
        let message = "Credential was not sent or was of an unsupported type for this API.";
        let mut response = refused(StatusCode::UNAUTHORIZED, message);
        let realm = header::HeaderValue::from_static("Bearer realm=\"DatabricksRealm\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return Err(Box::new(response));
    };
    let of_admin = || settings.tokens.iter().any(|accepted| accepted == token).then(|| "admin".to_owned());
    let known = settings.principal_tokens.get(token).cloned().or_else(of_admin).or_else(|| issued.principal(token));
    known.ok_or_else(|| Box::new(refused(StatusCode::FORBIDDEN, "Invalid access token.")))
}

/// A refusal as recorded: the code is a number, and a header repeats the reason.
fn refused(status: StatusCode, message: &'static str) -> Response {
    let mut response = json_response(status, &json!({"error_code": status.as_u16(), "message": message}));
    response.headers_mut().insert("x-databricks-reason-phrase", header::HeaderValue::from_static(message));
    response
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
    let token = issued.issue(&principal.client_id, Duration::from_secs(principal.expires_in_seconds));
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
        assert_eq!(issued.principal(&token).as_deref(), Some("id"));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(issued.principal(&token), None);
    }
}
