//! Which properties of a page Notion has cut (facts/notion §5.1): relations say so; people, mentions, rollups and formulas
//! don't.

use serde_json::value::RawValue;

use super::raw::Entries;

/// The number at which Notion cuts references in a page object.
const REFERENCES_SHOWN: usize = 25;

/// A property whose value in the page may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncatedProperty {
    /// The property's id, percent-encoded as the page gives it: goes into a path as it is.
    pub id: String,
    pub name: String,
    pub kind: String,
    /// The number of items that the page shows: the whole list has at least as many.
    pub shown: usize,
}

/// The properties of a page that must be read in full through the property endpoint.
///
/// # Errors
/// When the text is no page object.
pub fn truncated_properties(page: &RawValue) -> serde_json::Result<Vec<TruncatedProperty>> {
    let text = page.get();
    // Most pages have none: without any of these words there is nothing to look for.
    if !["\"has_more\"", "\"people\"", "\"mention\""].iter().any(|word| text.contains(word)) {
        return Ok(Vec::new());
    }
    chosen_properties(text, is_cut)
}

/// The rollups and formulas of a page: where a relation that they stand on is cut, they count what is shown of it and say
/// nothing about it.
///
/// # Errors
/// When the text is no page object.
pub fn computed_properties(page: &RawValue) -> serde_json::Result<Vec<TruncatedProperty>> {
    chosen_properties(page.get(), |kind, _| Ok(matches!(kind, "formula" | "rollup")))
}

fn chosen_properties(
    text: &str,
    is_chosen: impl Fn(&str, &Entries<'_>) -> serde_json::Result<bool>,
) -> serde_json::Result<Vec<TruncatedProperty>> {
    let Some(properties) = Entries::of(text)?.get("properties") else { return Ok(Vec::new()) };
    let mut chosen = Vec::new();
    for (name, property) in Entries::of(properties.get())?.0 {
        let Ok(property) = Entries::of(property.get()) else { continue };
        let Some(kind) = property.read::<String>("type") else { continue };
        if is_chosen(&kind, &property)?
            && let Some(id) = property.read::<String>("id")
        {
            let shown = property.read::<Vec<&RawValue>>(&kind).map_or(0, |elements| elements.len());
            chosen.push(TruncatedProperty { id, name, kind, shown });
        }
    }
    Ok(chosen)
}

fn is_cut(kind: &str, property: &Entries<'_>) -> serde_json::Result<bool> {
    let elements = || -> Vec<&RawValue> { property.read(kind).unwrap_or_default() };
    Ok(match kind {
        "relation" => property.read::<bool>("has_more").unwrap_or(false),
        "people" => elements().len() >= REFERENCES_SHOWN,
        "title" | "rich_text" => {
            let mut mentions = 0;
            for element in elements() {
                let is_mention =
                    Entries::of(element.get())?.read::<String>("type").is_some_and(|kind| kind == "mention");
                mentions += usize::from(is_mention);
            }
            mentions >= REFERENCES_SHOWN
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(properties: &str) -> Vec<String> {
        let page = RawValue::from_string(format!(r#"{{"object":"page","properties":{properties}}}"#)).unwrap();
        truncated_properties(&page).unwrap().into_iter().map(|property| property.id).collect()
    }

    #[test]
    fn a_relation_is_cut_when_it_says_so() {
        assert_eq!(cut(r#"{"Epic":{"id":"vY%3BV","type":"relation","relation":[],"has_more":true}}"#), ["vY%3BV"]);
        assert!(cut(r#"{"Epic":{"id":"vYdV","type":"relation","relation":[],"has_more":false}}"#).is_empty());
    }

    #[test]
    fn people_and_mentions_are_suspected_at_twenty_five() {
        let people = |count: usize| {
            format!(
                r#"{{"Team":{{"id":"p","type":"people","people":[{}]}}}}"#,
                vec![r#"{"object":"user"}"#; count].join(",")
            )
        };
        assert!(cut(&people(24)).is_empty());
        assert_eq!(cut(&people(25)), ["p"]);
        let mentions = |count: usize| {
            format!(
                r#"{{"Notes":{{"id":"n","type":"rich_text","rich_text":[{}]}}}}"#,
                vec![r#"{"type":"mention"}"#; count].join(",")
            )
        };
        assert!(cut(&mentions(24)).is_empty());
        assert_eq!(cut(&mentions(25)), ["n"]);
    }
}
