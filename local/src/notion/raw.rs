//! Looking into planted raw texts without changing a byte of them.

use serde_json::value::RawValue;

use super::json::RawEntries;

/// The string under `key` of an object's text (the last one, if the key comes twice); `None` if there is none.
pub(super) fn entry_text(object: &str, key: &str) -> Option<String> {
    serde_json::from_str(&entry_json(object, key)?).ok()
}

/// The JSON text under `key` of an object's text (the last one, if the key comes twice).
pub(super) fn entry_json(object: &str, key: &str) -> Option<String> {
    let RawEntries(entries) = serde_json::from_str(object).ok()?;
    entries.into_iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get().to_owned())
}

/// The items of an array's text, each as its own text.
pub(super) fn items(array: &str) -> Option<Vec<String>> {
    let items: Vec<Box<RawValue>> = serde_json::from_str(array).ok()?;
    Some(items.into_iter().map(|item| item.get().to_owned()).collect())
}

/// The entries of a `properties` object's text: name and the text of each property object.
pub(super) fn properties(object: &str) -> Vec<(String, String)> {
    serde_json::from_str::<RawEntries>(object)
        .map(|RawEntries(entries)| entries.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect())
        .unwrap_or_default()
}

/// The plain text of the title among a `properties` object's text.
pub(super) fn title(object: &str) -> String {
    let entries = properties(object);
    let title = entries.iter().find(|(_, json)| entry_text(json, "type").as_deref() == Some("title"));
    title.map(|(_, json)| title_of_property(json)).unwrap_or_default()
}

/// The plain text of a title property's text.
pub(super) fn title_of_property(json: &str) -> String {
    let spans = entry_json(json, "title").and_then(|array| items(&array)).unwrap_or_default();
    spans.iter().filter_map(|span| entry_text(span, "plain_text")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_title_is_found() {
        let text = r#"{"N":{"type":"number","number":1.10},"Name":{"id":"title","type":"title","title":[{"plain_text":"a"},{"plain_text":"b"}]}}"#;
        assert_eq!(title(text), "ab");
        assert_eq!(title("{broken"), "");
        assert_eq!(properties(text)[0].1, r#"{"type":"number","number":1.10}"#);
    }
}
