//! A data source's schema as Notion sends it: the properties that views are made of, a hash that moves only when they do.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::failure::{Failure, FailureClass};

/// A data source's schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SourceSchema {
    /// The data source's name.
    pub title: String,
    pub description: String,
    /// Its properties, the title first, the rest by name.
    pub properties: Vec<Property>,
    /// Hash of all that is above, settings of the properties included.
    pub sha256: String,
}

/// One property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Property {
    /// Its id as received: percent-encoded, as in rows.
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub kind: String,
    /// The configuration under its type's key.
    pub settings: Value,
}

/// An option of a select, a multi-select or a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// The status group it belongs to.
    pub(super) group: Option<&'a str>,
}

impl SourceSchema {
    /// Reads the answer of `GET /v1/data_sources/{id}`.
    ///
    /// # Errors
    /// `NotionUnreadable` when it has no properties, or one of them has no id or type.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let unreadable = |what: String| Failure::new(FailureClass::NotionUnreadable, what);
        let source: Value = serde_json::from_str(text)
            .map_err(|error| unreadable("the schema is no JSON".to_owned()).caused_by(error))?;
        let entries =
            source["properties"].as_object().ok_or_else(|| unreadable("the schema has no properties".to_owned()))?;
        let mut properties = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            let field = |field: &str| {
                let text = entry[field].as_str().map(str::to_owned);
                text.ok_or_else(|| unreadable(format!("property {name:?} of the schema has no {field}")))
            };
            let (id, kind) = (field("id")?, field("type")?);
            let description = entry["description"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            if properties.iter().any(|earlier: &Property| earlier.id == id) {
                return Err(unreadable(format!("property {name:?} of the schema has the id {id:?} of another one")));
            }
            let settings = entry[&kind].clone();
            properties.push(Property { id, name: name.clone(), description, kind, settings });
        }
        properties.sort_by(|a, b| order(a).cmp(&order(b)));
        let [title, description] = ["title", "description"].map(|field| plain_text(&source[field]));
        let counted = serde_json::json!([title, description, entries]);
        let sha256 = sha256(&canonical(&counted));
        Ok(Self { title, description, properties, sha256 })
    }

    /// The property with this id as received.
    pub(crate) fn property(&self, id: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.id == id)
    }

    /// Names of options (`<property id>/<option id>`) and of the groups of status options (`<property id>/<option id>#`).
    pub(crate) fn labels(&self) -> String {
        let mut labels = BTreeMap::new();
        for property in &self.properties {
            for choice in property.choices() {
                labels.insert(format!("{}/{}", property.id, choice.id), choice.name);
                if let Some(group) = choice.group {
                    labels.insert(format!("{}/{}#", property.id, choice.id), group);
                }
            }
        }
        // Text keys and values: this can't fail.
        serde_json::to_string(&labels).unwrap_or_default()
    }
}

impl Property {
    /// The options, if it has any.
    pub(super) fn choices(&self) -> Vec<Choice<'_>> {
        let list = |name: &str| self.settings[name].as_array().map_or(&[][..], Vec::as_slice);
        let group_of = |id: &str| {
            let holds =
                |group: &&Value| group["option_ids"].as_array().is_some_and(|ids| ids.iter().any(|of| of == id));
            list("groups").iter().find(holds).and_then(|group| group["name"].as_str())
        };
        list("options")
            .iter()
            .filter_map(|option| {
                let (id, name) = (option["id"].as_str()?, option["name"].as_str()?);
                Some(Choice { id, name, group: group_of(id) })
            })
            .collect()
    }

    /// The data source that a relation leads to.
    pub(super) fn relation_target(&self) -> Option<&str> {
        if self.kind == "relation" { self.settings["data_source_id"].as_str() } else { None }
    }
}

/// The title first; the rest as a person would look for it. Ids decide between equal names, so that the order is one.
fn order(property: &Property) -> (bool, String, &str) {
    (property.kind != "title", property.name.to_lowercase(), &property.id)
}

/// A rich text's text.
fn plain_text(rich_text: &Value) -> String {
    let items = rich_text.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(|item| item["plain_text"].as_str()).collect()
}

/// JSON with the keys of every object in order, whatever the order they came in.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let sorted: BTreeMap<&String, &Value> = entries.iter().collect();
            let entries: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::String(key.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

/// The SHA-256 of a text, hexadecimal.
pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"object":"data_source","title":[{"plain_text":"Pro"},{"plain_text":"jects"}],"description":[],
        "properties":{"Stage":{"id":"st","name":"Stage","type":"status","status":{
            "options":[{"id":"o1","name":"Doing"},{"id":"o2","name":"Lost"}],
            "groups":[{"id":"g","name":"In progress","option_ids":["o1"]}]}},
            "Name":{"id":"title","name":"Name","description":"","type":"title","title":{}}},
        "request_id":"r1","last_edited_time":"2026-11-22T12:00:00.000Z"}"#;

    #[test]
    fn options_and_groups_have_their_present_names() {
        let schema = SourceSchema::read(SCHEMA).unwrap();
        assert_eq!((schema.title.as_str(), schema.properties[0].name.as_str()), ("Projects", "Name"));
        assert_eq!(schema.labels(), r##"{"st/o1":"Doing","st/o1#":"In progress","st/o2":"Lost"}"##);
    }

    #[test]
    fn the_hash_moves_with_the_properties_and_with_nothing_else() {
        let hash = |text: &str| SourceSchema::read(text).unwrap().sha256;
        let first = hash(SCHEMA);
        assert_eq!(hash(&SCHEMA.replace("r1", "r2").replace("12:00", "13:00")), first);
        assert_ne!(hash(&SCHEMA.replace("Doing", "At work")), first);
        assert_ne!(hash(&SCHEMA.replace("jects", "grams")), first);
        let other_order =
            r#"{"properties":{"b":{"type":"url","id":"1","url":{}},"a":{"id":"2","url":{},"type":"url"}}}"#;
        let order = r#"{"properties":{"a":{"id":"2","type":"url","url":{}},"b":{"id":"1","type":"url","url":{}}}}"#;
        assert_eq!(hash(order), hash(other_order));
    }

    #[test]
    fn a_schema_that_is_none_is_named() {
        let message = |text: &str| SourceSchema::read(text).unwrap_err().to_string();
        assert_eq!(message(r#"{"object":"data_source"}"#), "the schema has no properties");
        assert_eq!(message(r#"{"properties":{"a":7}}"#), "property \"a\" of the schema has no id");
        assert!(message("[").contains("no JSON"));
    }
}
