//! JSON text looked into without being parsed and written again: entries of an object, and the spans that change on every read.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The entries of a JSON object in their order, duplicates included; values are slices of the text given.
pub(crate) struct Entries<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// Reads an object's entries.
    pub(crate) fn of(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of a key; of duplicates the last one, as JSON readers do.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The value of a key, if it is of the type wanted.
    pub(crate) fn read<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        self.get(key).and_then(|value| serde_json::from_str(value.get()).ok())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(EntriesVisitor).map(Self)
    }
}

/// An object's key, read as bytes: a property's name may hold a lone surrogate, which is no valid text but is valid JSON.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object's key")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                Ok(Key(key.to_owned()))
            }

            fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Key, E> {
                Ok(Key(String::from_utf8_lossy(key).into_owned()))
            }
        }

        deserializer.deserialize_bytes(KeyVisitor)
    }
}

/// The spans of a page's text that differ on every read: the query string of each signed `file.url` and each
/// `expiry_time` (facts/notion §6.2). A file object is one whose sibling says `"type":"file"`; a property that happens to
/// be named `file` is left alone.
///
/// # Errors
/// When the text is no JSON.
pub fn volatile_spans(text: &str) -> serde_json::Result<Vec<Range<usize>>> {
    let mut spans = Vec::new();
    let root: &RawValue = serde_json::from_str(text)?;
    collect(text, root, &mut spans)?;
    spans.sort_by_key(|span| span.start);
    Ok(spans)
}

fn collect(text: &str, value: &RawValue, spans: &mut Vec<Range<usize>>) -> serde_json::Result<()> {
    // A file object names its type in its own text; anything without the word has nothing to find.
    if !value.get().contains("\"file\"") {
        return Ok(());
    }
    if value.get().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(value.get())?;
        for element in elements {
            collect(text, element, spans)?;
        }
    } else if value.get().starts_with('{') {
        let entries = Entries::of(value.get())?;
        let is_file = entries.get("type").is_some_and(|kind| kind.get() == "\"file\"");
        for (key, child) in &entries.0 {
            if is_file && key == "file" && child.get().starts_with('{') {
                collect_file(text, child, spans)?;
            } else {
                collect(text, child, spans)?;
            }
        }
    }
    Ok(())
}

fn collect_file(text: &str, file: &RawValue, spans: &mut Vec<Range<usize>>) -> serde_json::Result<()> {
    for (key, value) in &Entries::of(file.get())?.0 {
        let span = span_in(text, value.get());
        if key == "expiry_time" {
            spans.push(span);
        } else if key == "url"
            && let Some(question_mark) = value.get().find('?')
        {
            spans.push(span.start + question_mark..span.end.saturating_sub(1));
        }
    }
    Ok(())
}

/// Returns the range of `part` inside `text`, of which it is a slice.
pub(crate) fn span_in(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stable(text: &str) -> String {
        let mut left = String::new();
        let mut from = 0;
        for span in volatile_spans(text).unwrap() {
            left.push_str(&text[from..span.start]);
            from = span.end;
        }
        left + &text[from..]
    }

    #[test]
    fn a_signed_url_read_twice_is_the_same() {
        let read = |signature: &str, hour: &str| {
            format!(
                r#"{{"icon":{{"type":"file","file":{{"url":"https://f/a.png?X-Amz-Signature={signature}","expiry_time":"2026-11-22T{hour}:00:00.000Z"}}}},"properties":{{"Spec":{{"type":"files","files":[{{"name":"a","type":"file","file":{{"url":"https://f/b.pdf?s={signature}","expiry_time":"2026-11-22T{hour}:00:00.000Z"}}}}]}}}}}}"#
            )
        };
        assert_eq!(stable(&read("aa", "13")), stable(&read("bb", "14")));
        assert!(stable(&read("aa", "13")).contains("https://f/b.pdf"));
    }

    #[test]
    fn a_property_named_file_is_content() {
        let text = r#"{"properties":{"file":{"id":"x","type":"url","url":"https://e/?q=1"},"expiry_time":{"id":"y","type":"file"}}}"#;
        assert_eq!(stable(text), text);
    }

    #[test]
    fn duplicate_and_odd_keys_are_read() {
        let entries = Entries::of(r#"{"a":1,"\ud800":2,"a":3}"#).unwrap();
        assert_eq!(entries.0.len(), 3);
        assert_eq!(entries.read::<u32>("a"), Some(3));
    }
}
