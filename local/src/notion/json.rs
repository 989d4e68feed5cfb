//! Writing JSON by hand: Notion's key order, and texts that come out exactly as they went in.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object written key by key, in the order of the calls.
pub(super) struct ObjectText {
    text: String,
}

impl ObjectText {
    pub(super) fn new() -> Self {
        Self::with_capacity(128)
    }

    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text }
    }

    /// A key whose value is JSON already; it is copied as it is.
    pub(super) fn raw(mut self, key: &str, json: &str) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        push_quoted(&mut self.text, key);
        self.text.push(':');
        self.text.push_str(json);
        self
    }

    /// A key whose value is a string.
    pub(super) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, &quoted(value))
    }

    /// A key whose value is a string or null.
    pub(super) fn text_or_null(self, key: &str, value: Option<&str>) -> Self {
        self.raw(key, &quoted_or_null(value))
    }

    pub(super) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    pub(super) fn null(self, key: &str) -> Self {
        self.raw(key, "null")
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A string as JSON.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_quoted(&mut json, text);
    json
}

/// A string or null as JSON.
pub(super) fn quoted_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quoted)
}

fn push_quoted(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
}

/// A list of values that are JSON already.
pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut json = String::from("[");
    for item in items {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(item.as_ref());
    }
    json.push(']');
    json
}

/// Returns the object with one more key at its end.
pub(super) fn with_last_key(mut object: String, key: &str, json: &str) -> String {
    object.pop();
    if object.len() > 1 {
        object.push(',');
    }
    push_quoted(&mut object, key);
    object.push(':');
    object.push_str(json);
    object.push('}');
    object
}

/// The entries of an object in their order, duplicate keys included, each value's text untouched.
pub(super) struct RawEntries(pub(super) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for RawEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = RawEntries;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawEntries(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// The keys of an object's text, in their order.
#[cfg(test)]
pub(super) fn keys(object: &str) -> Vec<String> {
    let RawEntries(entries) = serde_json::from_str(object).unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

/// Percent-encodes as JavaScript's `encodeURIComponent` does, which is how property ids are written.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Undoes percent-encoding; an incomplete `%` stays as it is. `+` means a blank in query strings only.
pub(super) fn percent_decoded(text: &str, plus_is_blank: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], pair) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) if plus_is_blank => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_raw_texts_stay_untouched() {
        let object = ObjectText::new().text("b", "say \"hi\"\n\u{0}").raw("a", "1.10").null("c").finish();
        assert_eq!(object, r#"{"b":"say \"hi\"\n\u0000","a":1.10,"c":null}"#);
        assert_eq!(with_last_key(object, "z", "1e3"), r#"{"b":"say \"hi\"\n\u0000","a":1.10,"c":null,"z":1e3}"#);
        assert_eq!(with_last_key("{}".to_owned(), "z", "0"), r#"{"z":0}"#);
    }

    #[test]
    fn raw_entries_keep_duplicate_keys_and_odd_numbers() {
        let RawEntries(entries) = serde_json::from_str(r#"{"a": 1.10,"a":12345678901234567890 }"#).unwrap();
        let texts: Vec<&str> = entries.iter().map(|(_, value)| value.get()).collect();
        assert_eq!(texts, ["1.10", "12345678901234567890"]);
    }

    #[test]
    fn property_ids_are_encoded_as_recorded() {
        assert_eq!(percent_encoded(":J{:"), "%3AJ%7B%3A");
        assert_eq!(percent_encoded("U`;C"), "U%60%3BC");
        assert_eq!(percent_encoded("Wtz~"), "Wtz~");
        assert_eq!(percent_decoded("%3AJ%7B%3A", false), ":J{:");
        assert_eq!(percent_decoded("a+b%2", true), "a b%2");
    }
}
