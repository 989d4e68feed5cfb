//! The differences between two versions of a schema, for the report and for people.

use super::schema::{Property, SourceSchema};
use crate::run::items::SchemaChange;

/// Changes that a report shows of one data source; the rest is counted.
const MAX_CHANGES_SHOWN: usize = 20;

/// One change of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// `property_added`, `property_renamed`, ….
    kind: &'static str,
    /// The property's present name, or its last one.
    property: String,
    from: Option<String>,
    to: Option<String>,
}

/// Every change from one version to the next.
pub(super) fn changes(before: &SourceSchema, after: &SourceSchema) -> Vec<Change> {
    let mut found = Vec::new();
    for property in &after.properties {
        match before.property(&property.id) {
            None => found.push(change("property_added", property, None, Some(&property.kind))),
            Some(earlier) => compare(earlier, property, &mut found),
        }
    }
    let is_gone = |property: &&Property| after.property(&property.id).is_none();
    let gone = before.properties.iter().filter(is_gone);
    found.extend(gone.map(|property| change("property_removed", property, Some(&property.kind), None)));
    if before.title != after.title {
        let (from, to) = (Some(before.title.clone()), Some(after.title.clone()));
        found.push(Change { kind: "data_source_renamed", property: String::new(), from, to });
    }
    found
}

fn compare(before: &Property, after: &Property, found: &mut Vec<Change>) {
    if before.name != after.name {
        found.push(change("property_renamed", after, Some(&before.name), Some(&after.name)));
    }
    if before.kind != after.kind {
        found.push(change("property_retyped", after, Some(&before.kind), Some(&after.kind)));
        return;
    }
    let (old, new) = (before.choices(), after.choices());
    for choice in &new {
        match old.iter().find(|earlier| earlier.id == choice.id) {
            None => found.push(change("option_added", after, None, Some(choice.name))),
            Some(earlier) if earlier.name != choice.name => {
                found.push(change("option_renamed", after, Some(earlier.name), Some(choice.name)));
            }
            Some(earlier) if earlier.group != choice.group => {
                found.push(change("option_regrouped", after, earlier.group, choice.group));
            }
            Some(_) => {}
        }
    }
    let removed = old.iter().filter(|earlier| new.iter().all(|choice| choice.id != earlier.id));
    found.extend(removed.map(|choice| change("option_removed", after, Some(choice.name), None)));
    let has_options = !(old.is_empty() && new.is_empty());
    if !has_options && before.settings != after.settings {
        found.push(change("settings_changed", after, None, None));
    }
    if before.description != after.description {
        found.push(change("description_changed", after, None, None));
    }
}

fn change(kind: &'static str, property: &Property, from: Option<&str>, to: Option<&str>) -> Change {
    Change { kind, property: property.name.clone(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
}

/// The changes as they stand in a report.
pub(super) fn shown(changes: &[Change]) -> Vec<SchemaChange> {
    let change = |change: &Change| SchemaChange::One {
        change: change.kind,
        property: change.property.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
    };
    let mut shown: Vec<SchemaChange> = changes.iter().take(MAX_CHANGES_SHOWN).map(change).collect();
    if changes.len() > MAX_CHANGES_SHOWN {
        shown.push(SchemaChange::More { change: "more", count: changes.len() - MAX_CHANGES_SHOWN });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let read = |properties: &str| SourceSchema::read(&format!(r#"{{"properties":{{{properties}}}}}"#)).unwrap();
        changes(&read(before), &read(after))
            .into_iter()
            .map(|change| {
                let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                format!("{} {} {} {}", change.kind, change.property, text(change.from), text(change.to))
            })
            .collect()
    }

    #[test]
    fn properties_are_followed_by_id() {
        let before = r#""A":{"id":"a","type":"url","url":{}},"B":{"id":"b","type":"number","number":{}}"#;
        let swapped = r#""B":{"id":"a","type":"url","url":{}},"A":{"id":"b","type":"number","number":{}}"#;
        assert_eq!(told(before, swapped), ["property_renamed A B A", "property_renamed B A B"]);
        let other = r#""A":{"id":"a","type":"email","email":{}},"B":{"id":"c","type":"number","number":{}}"#;
        assert_eq!(
            told(before, other),
            ["property_retyped A url email", "property_added B - number", "property_removed B number -"]
        );
        assert!(told(before, before).is_empty());
    }

    #[test]
    fn options_are_followed_by_id() {
        let of = |options: &str| format!(r#""S":{{"id":"s","type":"select","select":{{"options":[{options}]}}}}"#);
        let before = of(r#"{"id":"1","name":"Low"},{"id":"2","name":"High"}"#);
        let after = of(r#"{"id":"1","name":"Small"},{"id":"3","name":"New"}"#);
        assert_eq!(
            told(&before, &after),
            ["option_renamed S Low Small", "option_added S - New", "option_removed S High -"]
        );
    }
}
