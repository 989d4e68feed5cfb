//! The relations that the rollups and formulas of a data source stand on, read from its schema. Notion computes them on a
//! page from the first 25 references and says nothing about it (facts/properties §4).

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What each rollup and formula of a data source refers to. Ids are compared decoded: a rollup's settings hold them raw,
/// everything else holds them percent-encoded.
#[derive(Debug, Default)]
pub struct Dependencies {
    by_id: BTreeMap<String, Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// True if it is a relation itself.
    is_relation: bool,
    /// Ids of the properties that it names.
    refers_to: BTreeSet<String>,
    /// True if it names something that this data source does not show.
    names_unknown: bool,
}

/// The relations behind a rollup or formula.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Relations {
    /// Ids of the relations, not percent-encoded.
    pub ids: BTreeSet<String>,
    /// True if there may be further ones.
    pub is_certain: bool,
}

impl Dependencies {
    /// Reads the answer of `GET /v1/data_sources/{id}`.
    ///
    /// # Errors
    /// What it lacks, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let source: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let properties = source["properties"].as_object().ok_or("the schema has no properties")?;
        let mut ids = BTreeMap::new();
        for (name, property) in properties {
            let id = property["id"].as_str().ok_or_else(|| format!("property {name:?} of the schema has no id"))?;
            ids.insert(name.as_str(), decoded(id));
        }
        let node = |(name, property): (&String, &Value)| Some((ids.get(name.as_str())?.clone(), node(property, &ids)));
        Ok(Self { by_id: properties.iter().filter_map(node).collect() })
    }

    /// Returns true when the property may stand on one of the relations; all ids as a page gives them. A property that the
    /// schema does not show may stand on any.
    pub fn may_stand_on(&self, id: &str, relations: &[&str]) -> bool {
        let found = self.relations_of(id);
        !found.is_certain || relations.iter().any(|relation| found.ids.contains(&decoded(relation)))
    }

    /// The relations that a property stands on, through other properties of its row too.
    pub fn relations_of(&self, id: &str) -> Relations {
        let mut found = Relations { ids: BTreeSet::new(), is_certain: true };
        let mut seen = BTreeSet::new();
        let mut waiting = vec![decoded(id)];
        while let Some(id) = waiting.pop() {
            match self.by_id.get(&id) {
                None => {
                    found.is_certain = false;
                    // A rollup names its relation by id even where the schema hides it.
                    found.ids.insert(id);
                }
                Some(node) if node.is_relation => {
                    found.ids.insert(id);
                }
                Some(node) if seen.insert(id) => {
                    found.is_certain &= !node.names_unknown;
                    waiting.extend(node.refers_to.iter().cloned());
                }
                Some(_) => {}
            }
        }
        found
    }
}

fn node(property: &Value, ids: &BTreeMap<&str, String>) -> Node {
    match property["type"].as_str() {
        Some("relation") => Node { is_relation: true, ..Node::default() },
        Some("rollup") => {
            let relation = property["rollup"]["relation_property_id"].as_str().map(decoded);
            Node { names_unknown: relation.is_none(), refers_to: relation.into_iter().collect(), is_relation: false }
        }
        Some("formula") => {
            let expression = property["formula"]["expression"].as_str();
            let mut node = Node { names_unknown: expression.is_none(), ..Node::default() };
            for name in names_in(expression.unwrap_or_default()) {
                match ids.get(name.as_str()) {
                    Some(id) => node.refers_to.insert(id.clone()),
                    // Often a property of the related rows.
                    None => std::mem::replace(&mut node.names_unknown, true),
                };
            }
            node.refers_to.extend(ids_in(expression.unwrap_or_default()));
            node
        }
        _ => Node::default(),
    }
}

/// The names in `prop("…")`.
fn names_in(expression: &str) -> Vec<String> {
    let calls = expression.split("prop(").skip(1);
    calls
        .filter_map(|rest| {
            let mut characters = rest.trim_start().chars();
            let quote = characters.next().filter(|first| matches!(first, '"' | '\''))?;
            let mut name = String::new();
            loop {
                match characters.next()? {
                    '\\' => name.push(characters.next()?),
                    end if end == quote => return Some(name),
                    character => name.push(character),
                }
            }
        })
        .collect()
}

/// The ids in `{{notion:block_property:<id>:<data source>:<workspace>}}`.
fn ids_in(expression: &str) -> impl Iterator<Item = String> {
    expression.split("block_property:").skip(1).filter_map(|rest| rest.split([':', '}']).next()).map(decoded)
}

fn decoded(id: &str) -> String {
    percent_decode_str(id).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"properties":{
        "Parts":{"id":"%3AJ%7B%3A","type":"relation","relation":{}},
        "Other":{"id":"othr","type":"relation","relation":{}},
        "Hours":{"id":"hour","type":"rollup","rollup":{"relation_property_id":":J{:","rollup_property_id":"x","function":"sum"}},
        "A \"b\"":{"id":"a%3Bb","type":"formula","formula":{"expression":"prop(\"Hours\") * 2"}},
        "Old":{"id":"oldf","type":"formula","formula":{"expression":"{{notion:block_property:a%3Bb:ds:ws}} + 1"}},
        "New":{"id":"newf","type":"formula","formula":{"expression":"prop( \"A \\\"b\\\"\" ) + 1"}},
        "Map":{"id":"mapf","type":"formula","formula":{"expression":"prop(\"Other\").map(current.prop(\"Cost\"))"}},
        "Round":{"id":"rnd1","type":"formula","formula":{"expression":"prop('Round')"}},
        "Plain":{"id":"pln1","type":"formula","formula":{"expression":"1 + prop(\"Price\")"}},
        "Price":{"id":"pric","type":"number","number":{}},
        "Empty":{"id":"empt","type":"formula","formula":{}}
    }}"#;

    #[test]
    fn rollups_and_formulas_lead_to_their_relations() {
        let schema = Dependencies::read(SCHEMA).unwrap();
        for id in ["hour", "a%3Bb", "oldf", "newf"] {
            assert!(schema.may_stand_on(id, &["%3AJ%7B%3A"]), "{id}");
            assert!(!schema.may_stand_on(id, &["othr"]), "{id}");
        }
        for id in ["rnd1", "pln1"] {
            assert!(!schema.may_stand_on(id, &["%3AJ%7B%3A", "othr"]), "{id}");
        }
    }

    #[test]
    fn what_is_not_known_may_stand_on_any_relation() {
        let schema = Dependencies::read(SCHEMA).unwrap();
        for id in ["mapf", "empt", "hidden"] {
            assert!(schema.may_stand_on(id, &["%3AJ%7B%3A"]), "{id}");
        }
        assert!(Dependencies::default().may_stand_on("hour", &["othr"]));
        assert!(Dependencies::read(r#"{"properties":{"a":7}}"#).is_err());
        assert!(Dependencies::read("[]").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_expression_is_read(expression in "(prop\\(|\"|'|\\\\|\\{\\{|block_property:|a|:|\\)| ){0,12}") {
            let schema = serde_json::json!({"properties": {"a": {"id": "a", "type": "formula", "formula": {"expression": expression}}}});
            Dependencies::read(&schema.to_string()).unwrap().relations_of("a");
        }
    }
}
