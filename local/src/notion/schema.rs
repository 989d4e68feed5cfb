//! A data source's properties: names, ids, types and options, and how `GET /v1/data_sources/{id}` writes them.

use uuid::Uuid;

use super::computed::Computed;
use super::ids::{id_of, number_of};
use super::json::{ObjectText, list, percent_encoded, quoted};

/// The properties of one data source. A property's key is its place in the order of adding and never changes.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    properties: Vec<Property>,
    /// Keys in the order Notion writes them: by id, the title last.
    shown_order: Vec<usize>,
    /// The text that is served instead, planted by a caller.
    raw: Option<String>,
}

/// One property.
#[derive(Debug, Clone)]
pub(super) struct Property {
    /// The id, not percent-encoded.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) choices: Vec<Choice>,
    /// Database and data source a relation leads to.
    pub(super) target: Option<(Uuid, Uuid)>,
    /// How its value follows from others.
    pub(super) computed: Option<Computed>,
}

/// An option of a select, multi-select or status property.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// The name rows hold; it stays when the option is renamed.
    stored_name: String,
    name: String,
    id: Uuid,
    color: &'static str,
}

const TITLE_KEY: usize = 0;

impl Schema {
    /// A new table: the title alone, called `Name`.
    pub(super) fn new() -> Self {
        let title = Property {
            id: "title".to_owned(),
            name: "Name".to_owned(),
            type_name: "title".to_owned(),
            choices: Vec::new(),
            target: None,
            computed: None,
        };
        Self { properties: vec![title], shown_order: vec![TITLE_KEY], raw: None }
    }

    pub(super) fn title_key() -> usize {
        TITLE_KEY
    }

    pub(super) fn get(&self, key: usize) -> Option<&Property> {
        self.properties.get(key)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Property> {
        self.properties.get_mut(key)
    }

    /// Keys and properties in the order Notion writes them.
    pub(super) fn shown(&self) -> impl Iterator<Item = (usize, &Property)> {
        self.shown_order.iter().filter_map(|&key| self.properties.get(key).map(|property| (key, property)))
    }

    /// The key of the property with this name, or with this id (not percent-encoded).
    pub(super) fn key_of(&self, name_or_id: &str) -> Option<usize> {
        self.properties
            .iter()
            .position(|property| property.name == name_or_id)
            .or_else(|| self.properties.iter().position(|property| property.id == name_or_id))
    }

    /// The key of the property with this id (not percent-encoded).
    pub(super) fn key_of_id(&self, id: &str) -> Option<usize> {
        self.properties.iter().position(|property| property.id == id)
    }

    /// The key for a value of this name and type; a property that is not there yet is added. The title goes by its
    /// type: a table has one, whatever its name.
    pub(super) fn ensure(&mut self, name: &str, type_name: &str, id: Option<String>) -> usize {
        if type_name == "title" {
            return TITLE_KEY;
        }
        if let Some(key) = self.properties.iter().position(|property| property.name == name) {
            return key;
        }
        let key = self.properties.len();
        let id = id.unwrap_or_else(|| self.free_id(name));
        self.properties.push(Property {
            id,
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            choices: Vec::new(),
            target: None,
            computed: None,
        });
        self.shown_order.push(key);
        let properties = &self.properties;
        self.shown_order.sort_by_key(|&key| (key == TITLE_KEY, properties[key].id.clone()));
        key
    }

    /// Four printable characters that depend on the name, as Notion's ids; no other property has them.
    fn free_id(&self, name: &str) -> String {
        (0_u32..)
            .map(|attempt| {
                let mut rest = number_of(&format!("{name} {attempt}"));
                let letters = (0..4).map(|_| {
                    let letter = char::from(u8::try_from(0x3A + rest % (0x7F - 0x3A)).unwrap_or(b'a'));
                    rest /= 0x7F - 0x3A;
                    letter
                });
                letters.collect::<String>()
            })
            .find(|id| self.key_of_id(id).is_none())
            .unwrap_or_default()
    }

    /// Adds an option that rows use and the property doesn't have yet.
    pub(super) fn ensure_choice(&mut self, key: usize, name: &str) {
        const COLORS: [&str; 10] =
            ["default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red"];
        let Some(property) = self.properties.get_mut(key) else { return };
        if property.choices.iter().any(|choice| choice.stored_name == name) {
            return;
        }
        let color = COLORS[property.choices.len() % COLORS.len()];
        let id = id_of(&format!("option {} {} {name}", property.id, property.name));
        property.choices.push(Choice { stored_name: name.to_owned(), name: name.to_owned(), id, color });
    }

    /// Makes a property one whose value follows from others.
    pub(super) fn compute(&mut self, name: &str, computed: Computed) {
        let type_name = if matches!(computed, Computed::Rollup(_)) { "rollup" } else { "formula" };
        let key = self.ensure(name, type_name, None);
        if let Some(property) = self.properties.get_mut(key) {
            property.computed = Some(computed);
        }
    }

    /// Gives rollups of a property in another data source its new name.
    pub(super) fn rename_rolled_up(&mut self, source: Uuid, key: usize, new_name: &str) {
        let leads_there: Vec<bool> = self
            .properties
            .iter()
            .map(|property| property.target.is_some_and(|(_, target)| target == source))
            .collect();
        for property in &mut self.properties {
            if let Some(Computed::Rollup(rollup)) = &mut property.computed
                && rollup.target == key
                && leads_there.get(rollup.relation) == Some(&true)
            {
                new_name.clone_into(&mut rollup.target_name);
            }
        }
    }

    /// Plants the text of the schema; `None` = the properties' own again.
    pub(super) fn plant(&mut self, raw: Option<String>) {
        self.raw = raw;
    }

    /// The schema as JSON, by name.
    pub(super) fn text(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        self.shown()
            .fold(ObjectText::new(), |object, (_, property)| object.raw(&property.name, &property.text(self)))
            .finish()
    }
}

impl Property {
    /// The id as the API writes it.
    pub(super) fn encoded_id(&self) -> String {
        percent_encoded(&self.id)
    }

    /// An option as a row shows it: `{"id":…,"name":…,"color":…}`.
    pub(super) fn choice_text(&self, stored_name: &str) -> String {
        self.choices.iter().find(|choice| choice.stored_name == stored_name).map_or_else(
            || ObjectText::new().text("id", "").text("name", stored_name).text("color", "default").finish(),
            |choice| choice.fields().finish(),
        )
    }

    /// Renames an option: rows show the new name from now on. False when there is no such option.
    pub(super) fn rename_choice(&mut self, name: &str, new_name: &str) -> bool {
        let found = self.choices.iter_mut().find(|choice| choice.name == name);
        found.map(|choice| new_name.clone_into(&mut choice.name)).is_some()
    }

    fn text(&self, schema: &Schema) -> String {
        ObjectText::new()
            .text("id", &self.encoded_id())
            .text("name", &self.name)
            .null("description")
            .text("type", &self.type_name)
            .raw(&self.type_name, &self.configuration(schema))
            .finish()
    }

    fn configuration(&self, schema: &Schema) -> String {
        if let Some(computed) = &self.computed {
            return configuration(computed, schema);
        }
        let options = || list(self.choices.iter().map(|choice| choice.fields().null("description").finish()));
        match self.type_name.as_str() {
            "number" => r#"{"format":"number"}"#.to_owned(),
            "select" | "multi_select" => ObjectText::new().raw("options", &options()).finish(),
            "status" => ObjectText::new().raw("options", &options()).raw("groups", "[]").finish(),
            "formula" => r#"{"expression":""}"#.to_owned(),
            "unique_id" => r#"{"prefix":null}"#.to_owned(),
            "relation" => {
                let (database, source) = self.target.unwrap_or_default();
                ObjectText::new()
                    .text("database_id", &database.to_string())
                    .text("data_source_id", &source.to_string())
                    .text("type", "single_property")
                    .raw("single_property", "{}")
                    .finish()
            }
            _ => "{}".to_owned(),
        }
    }
}

/// What stands under the type of a computed property. Other than everywhere else, a rollup's ids are not percent-encoded.
fn configuration(computed: &Computed, schema: &Schema) -> String {
    let name = |key: usize| schema.get(key).map_or("", |property| &property.name);
    let expression = |text: String| ObjectText::new().text("expression", &text).finish();
    let prop = |key: usize| format!("prop({})", quoted(name(key)));
    match computed {
        Computed::Length(relation) => expression(format!("{}.length()", prop(*relation))),
        Computed::Number(key) => expression(prop(*key)),
        Computed::Rollup(rollup) => ObjectText::new()
            .text("rollup_property_name", &rollup.target_name)
            .text("relation_property_name", name(rollup.relation))
            .text("rollup_property_id", &rollup.target_id)
            .text("relation_property_id", schema.get(rollup.relation).map_or("", |property| &property.id))
            .text("function", &rollup.function)
            .finish(),
    }
}

impl Choice {
    fn fields(&self) -> ObjectText {
        ObjectText::new().text("id", &self.id.to_string()).text("name", &self.name).text("color", self.color)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_by_id_with_the_title_last() {
        let mut schema = Schema::new();
        schema.ensure("Price", "number", Some("SlqB".to_owned()));
        schema.ensure("Created by", "created_by", Some(":?vz".to_owned()));
        assert_eq!(
            schema.text(),
            concat!(
                r#"{"Created by":{"id":"%3A%3Fvz","name":"Created by","description":null,"type":"created_by","created_by":{}},"#,
                r#""Price":{"id":"SlqB","name":"Price","description":null,"type":"number","number":{"format":"number"}},"#,
                r#""Name":{"id":"title","name":"Name","description":null,"type":"title","title":{}}}"#
            )
        );
    }

    #[test]
    fn a_renamed_option_shows_in_rows_that_hold_it() {
        let mut schema = Schema::new();
        let key = schema.ensure("Status", "select", None);
        schema.ensure_choice(key, "Open");
        let property = schema.get_mut(key).unwrap();
        assert!(property.rename_choice("Open", "To do"));
        assert!(property.choice_text("Open").contains("\"name\":\"To do\""));
        assert!(!property.rename_choice("Nothing", "x"));
    }
}
