//! The registry of credentials in use, and their removal from a text.
//!
//! Whoever reads, fetches or is given a credential registers it here before it is used. The registry keeps the current value
//! of each kind and the ones before it, because an answer to an older request may still repeat an older credential. A text
//! loses every part that is long enough to be one: as it is, percent-encoded, escaped for JSON or HTML, in base64.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{LazyLock, PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};

use super::encodings::{Unit, base64_cores, plain, units};

/// The text in a credential's place.
pub(crate) const REDACTED: &str = "[redacted]";

/// Values kept of each kind: the current one and those before a rotation or a renewal.
const MAX_VALUES: usize = 8;
/// Shorter values are no credential that a service issues, and would tear holes into ordinary words.
const MIN_SECRET_BYTES: usize = GRAM;
/// Longer values are registered by their first part; no service issues one.
const MAX_SECRET_BYTES: usize = 8 * 1024;
/// Bytes that are looked up at once.
const GRAM: usize = 8;
/// The longest part of a credential that may be shown is one byte shorter: a text may be cut in its middle.
const MAX_MIN_PART: usize = 16;
/// The longest user and password before a host that is looked for.
const MAX_USERINFO_BYTES: usize = 512;
/// Characters of base64 beside a core that hold some bits of the credential.
const BASE64_BORDER: usize = 4;

/// The kinds of credentials; each has its own place in the registry, so that a token renewed every hour pushes out no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Notion's key.
    NotionApiKey,
    /// Databricks' personal access token.
    DatabricksToken,
    /// The service principal's secret.
    DatabricksClientSecret,
    /// A bearer token that the workspace issued.
    DatabricksBearer,
    /// The secret key of AWS.
    AwsSecretAccessKey,
    /// The session token of AWS, or an identity token that AWS issued.
    AwsToken,
    /// A proxy's password.
    ProxyPassword,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

/// Makes `secret` known, so that no text shows it from now on.
pub(crate) fn register(kind: Kind, secret: &SecretString) {
    let secret = secret.expose_secret();
    let is_known = REGISTRY.read().unwrap_or_else(PoisonError::into_inner).has_latest(kind, secret);
    if !is_known {
        REGISTRY.write().unwrap_or_else(PoisonError::into_inner).add(kind, secret);
    }
}

/// The text without any registered credential, and without user and password in addresses.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).redact(text)
}

/// JSON without any registered credential. Strings are taken one by one, so that the text stays JSON.
pub(crate) fn redacted_json(json: &str) -> Cow<'_, str> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let mut clean = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(start) = json[at..].find('"').map(|offset| at + offset + 1) {
        let end = end_of_string(json, start);
        if let Cow::Owned(redacted) = registry.redact(&json[start..end]) {
            clean.push_str(&json[copied..start]);
            clean.push_str(&redacted);
            copied = end;
        }
        at = (end + 1).min(json.len());
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    clean.push_str(&json[copied..]);
    Cow::Owned(clean)
}

/// The place of the quotation mark that ends a string which begins at `start`.
fn end_of_string(json: &str, start: usize) -> usize {
    let mut is_escaped = false;
    for (offset, byte) in json.as_bytes()[start..].iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return start + offset,
            _ => {}
        }
    }
    json.len()
}

#[derive(Default)]
struct Registry {
    values: HashMap<Kind, VecDeque<SecretString>>,
    patterns: Vec<Pattern>,
    /// The places of eight bytes: pattern and offset.
    grams: HashMap<[u8; GRAM], Vec<(usize, usize)>>,
}

/// One form in which a credential may stand in a text.
struct Pattern {
    bytes: Vec<u8>,
    is_base64: bool,
}

impl Pattern {
    /// The shortest part that counts as the credential: half of a short one.
    fn min_part(&self) -> usize {
        (self.bytes.len() / 2).clamp(GRAM, MAX_MIN_PART)
    }

    /// The part of `units` around `at` that equals the part of the pattern around `offset`, from `from` on.
    fn common(&self, units: &[Unit], from: usize, at: usize, offset: usize) -> Option<Range<usize>> {
        let before = self.bytes[..offset].iter().rev().zip(units[from..at].iter().rev());
        let after = self.bytes[offset..].iter().zip(&units[at..]);
        let equal = |(own, unit): &(&u8, &Unit)| **own == unit.byte;
        let (start, end) = (at - before.take_while(equal).count(), at + after.take_while(equal).count());
        if end - start < self.min_part() {
            return None;
        }
        if !self.is_base64 {
            return Some(start..end);
        }
        let is_border = |unit: &&Unit| unit.byte.is_ascii_alphanumeric() || b"+/-_=".contains(&unit.byte);
        let border_before = units[from..start].iter().rev().take(BASE64_BORDER).take_while(is_border).count();
        let border_after = units[end..].iter().take(BASE64_BORDER).take_while(is_border).count();
        Some(start - border_before..end + border_after)
    }
}

impl Registry {
    fn has_latest(&self, kind: Kind, secret: &str) -> bool {
        let latest = self.values.get(&kind).and_then(VecDeque::back);
        latest.is_some_and(|latest| latest.expose_secret() == secret)
    }

    fn add(&mut self, kind: Kind, secret: &str) {
        if secret.len() < MIN_SECRET_BYTES {
            return;
        }
        let secret = &secret[..secret.floor_char_boundary(MAX_SECRET_BYTES)];
        let values = self.values.entry(kind).or_default();
        values.retain(|known| known.expose_secret() != secret);
        values.push_back(SecretString::from(secret));
        if values.len() > MAX_VALUES {
            values.pop_front();
        }
        self.rebuild();
    }

    fn rebuild(&mut self) {
        self.patterns.clear();
        self.grams.clear();
        for secret in self.values.values().flatten() {
            let secret = secret.expose_secret();
            self.patterns.push(Pattern { bytes: plain(secret), is_base64: false });
            let cores = base64_cores(secret.as_bytes()).into_iter();
            self.patterns.extend(cores.map(|bytes| Pattern { bytes, is_base64: true }));
        }
        for (index, pattern) in self.patterns.iter().enumerate() {
            // Far enough apart to save memory, near enough that every part of the least length holds one of them whole.
            let stride = pattern.min_part() - GRAM + 1;
            for offset in (0..pattern.bytes.len().saturating_sub(GRAM - 1)).step_by(stride) {
                if let Some(gram) = pattern.bytes[offset..].first_chunk() {
                    self.grams.entry(*gram).or_default().push((index, offset));
                }
            }
        }
    }

    fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.patterns.is_empty() && !text.contains(['@', '%']) {
            return Cow::Borrowed(text);
        }
        let units = units(text);
        let mut found = self.credentials(&units);
        found.extend(userinfo(&units));
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|range| range.start);
        let mut clean = String::with_capacity(text.len());
        let mut copied = 0;
        for range in found {
            let (start, end) = (units[range.start].start, units[range.end - 1].end);
            if start >= copied {
                clean.push_str(text.get(copied..start).unwrap_or_default());
                clean.push_str(REDACTED);
            }
            copied = copied.max(end);
        }
        clean.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(clean)
    }

    /// The parts of a text that are credentials, in order, none overlapping another.
    fn credentials(&self, units: &[Unit]) -> Vec<Range<usize>> {
        let bytes: Vec<u8> = units.iter().map(|unit| unit.byte).collect();
        let mut found: Vec<Range<usize>> = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(gram) = bytes.get(at..).and_then(|rest| rest.first_chunk::<GRAM>()) {
            let places = self.grams.get(gram).map_or(&[][..], Vec::as_slice);
            let parts =
                places.iter().filter_map(|(pattern, offset)| self.patterns[*pattern].common(units, from, at, *offset));
            match parts.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)) {
                Some(part) => {
                    (from, at) = (part.end, part.end);
                    found.push(part);
                }
                None => at += 1,
            }
        }
        found
    }
}

/// User and password in addresses (`http://user:password@proxy:3128`), however short they are.
fn userinfo(units: &[Unit]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for at in 0..units.len().saturating_sub(2) {
        if [units[at].byte, units[at + 1].byte, units[at + 2].byte] != *b"://" {
            continue;
        }
        let start = at + 3;
        let ends = |unit: &&Unit| !(unit.byte.is_ascii_whitespace() || b"/?#\"'<>".contains(&unit.byte));
        let authority = units[start..].iter().take(MAX_USERINFO_BYTES).take_while(ends);
        let before_host = authority.enumerate().filter(|(_, unit)| unit.byte == b'@').map(|(offset, _)| offset).last();
        found.extend(before_host.filter(|length| *length > 0).map(|length| start..start + length));
    }
    found
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn registry(secrets: &[&str]) -> Registry {
        let mut registry = Registry::default();
        secrets.iter().for_each(|secret| registry.add(Kind::DatabricksToken, secret));
        registry
    }

    #[test]
    fn a_credential_is_removed_however_it_is_encoded() {
        let secret = r#"dose/9Kx4+cl"i\ent=Secret&88"#;
        let registry = registry(&[secret]);
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let form: String =
            reqwest::Url::parse_with_params("http://h", [("s", secret)]).unwrap().query().unwrap().into();
        for encoded in [
            secret.to_owned(),
            percent(secret),
            percent(secret).to_lowercase(),
            percent(&percent(secret)),
            form,
            json(secret),
            json(&json(secret)),
            json(&json(&json(secret))),
            secret.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
            secret.replace('&', "&amp;").replace('"', "&quot;"),
            STANDARD.encode(secret),
            STANDARD.encode(format!("client-id:{secret}")),
            STANDARD.encode(format!("a-client-id:{secret}")),
            STANDARD.encode(format!("my-client-id:{secret}")),
            URL_SAFE_NO_PAD.encode(format!("client-id:{secret}")),
            percent(&STANDARD.encode(format!("client-id:{secret}"))),
        ] {
            let clean = registry.redact(&format!("refused: {encoded} in the header")).into_owned();
            assert!(clean.starts_with("refused: ") && clean.ends_with(" in the header"), "{encoded}: {clean}");
            assert!(clean.contains(REDACTED) && !clean.contains(&encoded), "{encoded}: {clean}");
            assert!(!plain_contains(&clean, &secret[..8]) && !plain_contains(&clean, &secret[20..]), "{clean}");
            // Of a header's base64 what stands before the secret may stay: the client id is none.
            let longest = plain(&clean).split(|byte| !byte.is_ascii_alphanumeric()).map(<[u8]>::len).max();
            assert!(longest.is_some_and(|length| length <= 16), "{encoded}: {clean}");
        }
    }

    fn plain_contains(text: &str, part: &str) -> bool {
        String::from_utf8_lossy(&plain(text)).contains(part)
    }

    #[test]
    fn a_part_that_is_left_by_a_cut_is_a_credential_too() {
        let registry = registry(&["ntn_46183905823QbP1pFxLkWsR7aQyVbTgN3mZ0cJ8uD2Eh", "short-one-9"]);
        assert_eq!(registry.redact("at ntn_46183905823QbP1pFxLk"), "at [redacted]");
        assert_eq!(registry.redact("VbTgN3mZ0cJ8uD2Eh, then"), "[redacted], then");
        assert_eq!(registry.redact("ntn_46183905823"), "ntn_46183905823", "the number of the workspace alone");
        assert_eq!(registry.redact("xshort-one-9y"), "x[redacted]y");
    }

    #[test]
    fn user_and_password_of_an_address_are_none_of_its_reader() {
        let clean = |text: &str| Registry::default().redact(text).into_owned();
        assert_eq!(clean("proxy http://me:pw@proxy:3128/ refused"), "proxy http://[redacted]@proxy:3128/ refused");
        assert_eq!(clean("https%3A%2F%2Fme%3Apw%40host"), "https%3A%2F%2F[redacted]%40host");
        assert_eq!(clean("https://host/a@b and mail@example.org"), "https://host/a@b and mail@example.org");
    }

    #[test]
    fn the_current_and_the_previous_values_of_each_kind_are_kept_and_no_more() {
        let mut registry = Registry::default();
        registry.add(Kind::NotionApiKey, "ntn_the-only-key");
        for number in 0..100 {
            registry.add(Kind::DatabricksBearer, &format!("bearer-token-{number:04}-{}", number * 7919));
        }
        assert_eq!(registry.redact("ntn_the-only-key"), REDACTED);
        assert_eq!(registry.redact("bearer-token-0099-783981"), REDACTED);
        assert_eq!(registry.values[&Kind::DatabricksBearer].len(), MAX_VALUES);
        let grams = registry.grams.len();
        registry.add(Kind::DatabricksBearer, &"0123456789abcdefghijk".repeat(10_000));
        assert!(registry.grams.len() < grams + 8 * MAX_SECRET_BYTES, "however long a value is");
    }

    #[test]
    fn json_stays_json() {
        register(Kind::DatabricksToken, &r#"dapi"planted,"secret":"redaction-1"#.into());
        let json =
            serde_json::json!({"a": "x dapi\"planted,\"secret\":\"redaction-1 y", "dapi": "planted", "n": [1, ""]});
        let clean: serde_json::Value = serde_json::from_str(&redacted_json(&json.to_string())).unwrap();
        assert_eq!(clean, serde_json::json!({"a": "x [redacted] y", "dapi": "planted", "n": [1, ""]}));
    }

    proptest! {
        #[test]
        fn nothing_of_a_credential_is_left_and_nothing_else_is_lost(
            secret in "[!-~]{8,80}", before in "[ äA-Z\\\\%&]{0,20}", after in "[ äA-Z\\\\%&]{0,20}", cut in 0..200_usize
        ) {
            let registry = registry(&[&secret]);
            prop_assume!(plain(&secret).len() >= 16);
            let text = format!("{before} {secret} {after}");
            let clean = registry.redact(&text).into_owned();
            prop_assert!(!clean.contains(&secret), "{}", clean);
            prop_assert!(clean.contains(REDACTED));
            // Any text, cut anywhere, is read without a panic.
            let cut = text.floor_char_boundary(cut.min(text.len()));
            let _ = (registry.redact(&text[..cut]), registry.redact(&text[cut..]));
        }

        #[test]
        fn any_json_stays_json(text: String, other: String) {
            register(Kind::DatabricksToken, &"n/any\\j\"son-9Kx4".into());
            let json = serde_json::to_string(&[&text, &format!("{text}n/any\\j\"son-9Kx4{other}")]).unwrap();
            let clean: Vec<String> = serde_json::from_str(&redacted_json(&json)).unwrap();
            prop_assert!(clean[1].contains(REDACTED));
        }
    }
}
