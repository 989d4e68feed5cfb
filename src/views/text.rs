//! The text of a view of one data source, and what goes with every view: comments, a fingerprint, the statement.

use super::literal::{comment, literal};
use super::schema::{SourceSchema, sha256};
use super::values::Value;
use crate::databricks::{QualifiedName, Statement};
use crate::ids::DataSourceId;
use crate::warehouse::{ColumnRow, Tables};

/// The version of the texts: whoever changes what a view's text says raises it, and every view is made again.
pub(super) const GENERATOR: u32 = 2;
/// Stands behind the first word of every view's text, and so shows where the text begins.
pub(super) const MARK: &str = "SELECT /* notion-sync view */";
/// The view's property that holds the hash of its text.
pub(super) const FINGERPRINT: &str = "notion_sync.fingerprint";
/// The view's property that holds the hash of text and comments.
pub(super) const DEFINITION: &str = "notion_sync.definition";

/// A view ready to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: QualifiedName,
    /// Its name without catalog and schema.
    pub(super) short_name: String,
    /// Columns with their comments.
    columns: Vec<(String, String)>,
    comment: String,
    body: String,
}

impl View {
    pub(super) fn new(
        name: QualifiedName,
        short_name: &str,
        columns: Vec<(String, String)>,
        comment: String,
        body: String,
    ) -> Self {
        Self { name, short_name: short_name.to_owned(), columns, comment, body }
    }

    /// The hash of text and comments: the same = there is nothing to make.
    pub(super) fn definition(&self) -> String {
        sha256(&format!("{}\n{}\n{}", self.header(), comment(&self.comment), self.body))
    }

    fn header(&self) -> String {
        let columns = self.columns.iter().map(|(name, text)| format!("  `{name}` COMMENT {}", comment(text)));
        columns.collect::<Vec<_>>().join(",\n")
    }

    /// The whole statement.
    pub(super) fn text(&self) -> String {
        format!(
            "CREATE OR REPLACE VIEW {} (\n{}\n)\nCOMMENT {}\nTBLPROPERTIES ('{FINGERPRINT}' = '{}', '{DEFINITION}' = '{}')\nAS {}",
            self.name,
            self.header(),
            comment(&self.comment),
            fingerprint(&self.body),
            self.definition(),
            self.body
        )
    }

    pub(super) fn statement(&self) -> Statement {
        Statement {
            purpose: format!("making of the view {}", self.short_name),
            text: self.text(),
            parameters: Vec::new(),
        }
    }
}

/// The hash of a view's text; white space does not count, since engines may show it otherwise.
pub(super) fn fingerprint(body: &str) -> String {
    let body = body.trim().trim_end_matches(';');
    sha256(&body.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The view of one data source: the page's own columns, then one or more per property.
pub(super) fn source_view(
    name: QualifiedName,
    short_name: &str,
    tables: &Tables,
    source: DataSourceId,
    schema: &SourceSchema,
    columns: &[ColumnRow],
) -> View {
    let mut shown: Vec<(String, String)> =
        OWN.iter().map(|(name, _, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut expressions: Vec<String> =
        OWN.iter().map(|(name, expression, _)| format!("{expression} AS {name}")).collect();
    let mut unread = vec!["CASE WHEN t.p IS NULL THEN '*' END".to_owned()];
    for column in columns {
        let value = Value::of(column);
        let prefix = schema.property(&column.property_id).and_then(|property| property.settings["prefix"].as_str());
        let expression = value.expression(&column.part, &column.sql_type, prefix);
        expressions.push(format!("{expression} AS `{}`", column.column_name));
        shown.push((column.column_name.clone(), column_comment(column, schema)));
        if matches!(column.part.as_str(), "value" | "json") {
            unread.push(value.unread_name(column));
        }
    }
    expressions.push(format!("filter(array({}), c -> c IS NOT NULL) AS page_unread_columns", unread.join(",\n    ")));
    shown.push((
        "page_unread_columns".to_owned(),
        "columns whose value in this row can't be read and is NULL: of another type, cut, or not computed by Notion"
            .to_owned(),
    ));
    let body = format!(
        "{MARK}\n  {expressions}\nFROM (\n  SELECT s.*, CASE WHEN size(array_distinct(transform(s.e, v -> get_json_object(v, '$.id')))) = size(s.e)
      THEN map_from_arrays(transform(s.e, v -> get_json_object(v, '$.id')), s.e) END AS p,
    from_json(s.hydrated_properties, 'MAP<STRING,STRING>') AS h
  FROM (SELECT page_id, created_time, last_edited_time, is_archived, hydrated_properties,
      get_json_object(payload, '$.url') AS url,
      filter(map_values(from_json(get_json_object(payload, '$.properties'), 'MAP<STRING,STRING>')),
        v -> get_json_object(v, '$.id') IS NOT NULL) AS e
    FROM {pages} WHERE data_source_id = {source} AND removed_at IS NULL) AS s) AS t
CROSS JOIN (SELECT from_json(max_by(labels, first_seen_at), 'MAP<STRING,STRING>') AS labels
  FROM {schemas} WHERE data_source_id = {source}) AS l",
        expressions = expressions.join(",\n  "),
        pages = tables.pages,
        schemas = tables.schemas,
        source = literal(&source.to_string()),
    );
    let description = if schema.description.is_empty() { String::new() } else { format!(": {}", schema.description) };
    let comment = format!("Notion data source {:?} ({source}), live rows{description}", schema.title);
    View::new(name, short_name, shown, comment, body)
}

/// The columns that every view has of the page itself: name, expression, comment.
const OWN: [(&str, &str, &str); 5] = [
    ("page_id", "t.page_id", "id of the page in Notion"),
    ("page_url", "t.url", "address of the page in Notion"),
    ("page_created_time", "t.created_time", "when the page was created, whole minutes"),
    ("page_last_edited_time", "t.last_edited_time", "when it was last edited, whole minutes"),
    ("page_is_archived", "t.is_archived", "whether it is archived in Notion"),
];

/// Notion's name, type, id and description of the property.
fn column_comment(column: &ColumnRow, schema: &SourceSchema) -> String {
    let part = match column.part.as_str() {
        "value" => "",
        "time" => ", time of the start",
        "end" => ", end",
        "end_time" => ", time of the end",
        other => &format!(", {other}"),
    };
    let description = match schema.property(&column.property_id) {
        Some(property) => property.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default(),
        None => ": hidden from the connection at present".to_owned(),
    };
    format!("{} ({}{part}, id {}){description}", column.property_name, column.property_type, column.property_id)
}
