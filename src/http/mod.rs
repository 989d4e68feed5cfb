//! HTTP: the one builder of clients, the one reader of bodies, both bounded; and the one loop of an exchange.

pub(crate) mod exchange;
pub(crate) mod rate_limit;
pub mod retry;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, Response, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

use crate::failure::{Failure, FailureClass};

/// Longest time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest body read from either API. A query page of 100 ordinary rows is about 1 MiB.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// Builds a client for `address`, whose every exchange, body included, ends within `timeout`. Redirects are not followed: they could
/// carry a credential to another host. The proxy of the environment is used, but never on the way to this machine itself: it
/// could not get there, and would be handed the credential in clear.
///
/// # Errors
/// `Internal` when the TLS set-up of this machine can't be used.
#[expect(clippy::disallowed_methods, reason = "the one place that builds clients")]
fn client(address: &Url, timeout: Duration) -> Result<Client, Failure> {
    let builder = Client::builder()
        .user_agent(concat!("notion-sync/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .redirect(redirect::Policy::none());
    let builder = if is_loopback(address) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Failure::new(FailureClass::Internal, "setting up the HTTP client").caused_by(error))
}

/// Returns whether an address is on this machine: `localhost`, 127.0.0.0/8, `[::1]`.
pub(crate) fn is_loopback(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The reason that a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke, or what came was cut short.
    #[error("the answer broke off")]
    Transport(#[source] reqwest::Error),
    /// The body is larger than [`MAX_BODY_BYTES`].
    #[error("the answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

/// Reads a whole body, at most [`MAX_BODY_BYTES`].
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Transport(error.without_url()))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The body of a refusal without the credential it was asked with: some gateways repeat what they refuse, and messages end
/// up in logs and reports.
pub(crate) fn without_credential(body: &[u8], credential: &SecretString) -> Vec<u8> {
    const PUT_INSTEAD: &[u8] = b"[credential]";
    let credential = credential.expose_secret().as_bytes();
    let mut clean = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(byte) = rest.first() {
        match rest.strip_prefix(credential) {
            Some(after) if !credential.is_empty() => {
                clean.extend_from_slice(PUT_INSTEAD);
                rest = after;
            }
            _ => {
                clean.push(*byte);
                rest = &rest[1..];
            }
        }
    }
    clean
}

/// The id that support asks for, as the end of a message; nothing when the answer had none.
pub(crate) fn shown_request_id(request_id: &Option<String>) -> String {
    request_id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
}

/// The wait that a `Retry-After` header asks for: whole seconds, or an HTTP date relative to `Date`.
pub(crate) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    // Not whole, as some gateways have it.
    if let Some(wait) = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        return Some(wait);
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let from = date(headers)?;
    Some(Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO))
}

/// The server's time when it answered, as its `Date` header has it; whole seconds.
pub(crate) fn date(headers: &reqwest::header::HeaderMap) -> Option<jiff::Timestamp> {
    let date = headers.get(reqwest::header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

/// A server's text as one line that is safe to show: cut, and without control characters.
pub(crate) fn one_line(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 600;
    line_of(text, SHOWN_CHARACTERS)
}

fn line_of(text: &str, shown_characters: usize) -> String {
    // Far more than is shown, since spaces and control characters drop out; a text may be as long as a body.
    let start: String = text.chars().take(4 * shown_characters).collect();
    let is_seam = |character: char| character.is_whitespace() || character.is_control();
    let words: Vec<&str> = start.split(is_seam).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(shown_characters).collect()
}

/// The start of a body that is no API answer (a gateway's HTML page), safe to show: one line, cut.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const SHOWN_CHARACTERS: usize = 160;
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * SHOWN_CHARACTERS)]);
    let line = line_of(&text, SHOWN_CHARACTERS);
    if line.is_empty() { "an empty body".to_owned() } else { format!("{line:?}") }
}

/// Describes an answer that is not the service's own: the redirect's target, the page's title, or the start of the text.
pub(crate) fn appearance(status: u16, headers: &reqwest::header::HeaderMap, body: &[u8]) -> String {
    let location = headers.get(reqwest::header::LOCATION).and_then(|location| location.to_str().ok());
    match location {
        Some(location) if (300..400).contains(&status) => redirection(location),
        _ => title(body).map_or_else(|| excerpt(body), |title| format!("a page with the title {title:?}")),
    }
}

/// Returns the target of a redirect: host and path, never the query string, which may hold secrets.
fn redirection(location: &str) -> String {
    let (place, query) = location.split_once(['?', '#']).unwrap_or((location, ""));
    let place = place.split_once("://").map_or(place, |(_, rest)| rest);
    let place = line_of(place.rsplit_once('@').map_or(place, |(_, host)| host), 200);
    if query.contains("private-link") {
        return format!(
            "a redirect to {place}: the workspace is reached by Private Link only, so the way there is refused"
        );
    }
    if ["login", "signin", "sso", "oauth", "saml"].iter().any(|sign| place.to_lowercase().contains(sign)) {
        return format!("a redirect to {place}: a sign-in page answered");
    }
    format!("a redirect to {place}")
}

/// The first words of an HTML page's title.
fn title(body: &[u8]) -> Option<String> {
    const SEARCHED_BYTES: usize = 16 * 1024;
    let text = String::from_utf8_lossy(&body[..body.len().min(SEARCHED_BYTES)]);
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title")? + "<title".len();
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find('<')?;
    Some(line_of(text.get(start..end)?, 80)).filter(|title| !title.is_empty())
}

/// A server's host and the variable that names it.
pub(crate) fn server(address: &Url, variable: &str) -> String {
    let host = address.host_str().unwrap_or("a host without a name");
    format!("{host} ({variable})")
}

/// Describes the error together with its transport cause.
pub(crate) fn unreached(address: &Url, variable: &str, error: &reqwest::Error) -> String {
    let server = server(address, variable);
    if error.is_timeout() {
        return format!("{server}: it did not answer in time");
    }
    if !error.is_connect() {
        return server;
    }
    format!("{server}: {}", unreached_by(error))
}

/// Describes the reason that a connection could not be opened. The words are for people only; nothing is decided by them.
fn unreached_by(error: &reqwest::Error) -> &'static str {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string().to_lowercase();
        if text.contains("dns") || text.contains("lookup") {
            return "its name can't be resolved";
        }
        if ["certificate", "handshake", "tls", "invalid peer", "corrupt message"].iter().any(|sign| text.contains(sign))
        {
            return "no TLS connection can be made with it";
        }
        cause = error.source();
    }
    "no connection can be opened to it"
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("49"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(49)));
        for (text, wait) in [("5.5", Some(Duration::from_millis(5_500))), ("-1", None), ("nan", None), ("1e300", None)]
        {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers), wait, "{text}");
        }
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 22 Nov 2026 13:00:30 GMT"));
        headers.insert(DATE, HeaderValue::from_static("Sun, 22 Nov 2026 13:00:00 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
    }

    #[test]
    fn an_html_page_is_shown_as_one_short_line() {
        assert_eq!(excerpt(b"<html>\n  <h1>502</h1>\n"), "\"<html> <h1>502</h1>\"");
        assert_eq!(excerpt(b""), "an empty body");
    }

    #[test]
    fn a_credential_is_cut_out_wherever_it_stands() {
        let cut = |body: &str, credential: &str| {
            String::from_utf8(without_credential(body.as_bytes(), &SecretString::from(credential))).unwrap()
        };
        assert_eq!(cut("ntn_1 and antn_1ntn_", "ntn_1"), "[credential] and a[credential]ntn_");
        assert_eq!(cut("as it is", ""), "as it is");
        assert_eq!(cut("", "ntn_1"), "");
    }
}
