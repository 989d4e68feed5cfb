//! The views over all data sources: relations, options, people.

use super::text::{MARK, View};
use crate::databricks::QualifiedName;
use crate::warehouse::Tables;

/// Their names, which no data source's view gets.
pub(super) const SHARED: [&str; 3] = ["notion_relations", "notion_options", "notion_people"];

/// The three views; `name` makes a full name.
pub(super) fn shared_views(tables: &Tables, name: impl Fn(&str) -> QualifiedName) -> [View; 3] {
    let view = |short: &str, comment: &str, columns: &[(&str, &str)], body: String| {
        let columns = columns.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        View::new(name(short), short, columns, comment.to_owned(), body)
    };
    [
        view(SHARED[0], "Relations of all live Notion pages, one row per link", &RELATIONS, relations(tables)),
        view(
            SHARED[1],
            "Options of select, multi-select and status properties, as they are now",
            &OPTIONS,
            options(tables),
        ),
        view(SHARED[2], "People, bots and groups as seen in live Notion pages", &PEOPLE, people(tables)),
    ]
}

const RELATIONS: [(&str, &str); 9] = [
    ("database_name", "configured name of the database"),
    ("data_source_id", "data source of the page that links"),
    ("from_page_id", "page that links"),
    ("property_id", "id of the relation property"),
    ("property_name", "its present name"),
    ("column_name", "its column in the typed view"),
    ("position", "place of the link in the value, from 0"),
    ("to_page_id", "page that is linked"),
    ("is_complete", "false = Notion did not give all links of this value"),
];

fn relations(tables: &Tables) -> String {
    let hydrated = "coalesce(get_json_object(h.h, '$.type'), '') = 'relation'";
    let items = "get_json_object(h.h, '$.items')";
    let of_page = "get_json_object(h.v, '$.relation')";
    format!(
        "{MARK} r.database_name, r.data_source_id, r.page_id AS from_page_id, r.property_id, c.property_name, c.column_name,
  r.position, r.to_page_id, r.is_complete
FROM (SELECT h.database_name, h.data_source_id, h.page_id, h.property_id, i.position, i.item.id AS to_page_id, h.is_complete
  FROM (SELECT h.*, CASE WHEN {hydrated} THEN coalesce(get_json_object(h.h, '$.complete'), '') = 'true'
        ELSE coalesce(get_json_object(h.v, '$.has_more'), '') <> 'true' END AS is_complete,
      CASE WHEN {hydrated} AND left({items}, 2) = '[{{' THEN transform(from_json({items}, 'ARRAY<STRUCT<relation:STRUCT<id:STRING>>>'), x -> x.relation)
        WHEN left({of_page}, 1) = '[' THEN from_json({of_page}, 'ARRAY<STRUCT<id:STRING>>') END AS items
    FROM (SELECT s.database_name, s.data_source_id, s.page_id, a.v, get_json_object(a.v, '$.id') AS property_id,
        s.h[get_json_object(a.v, '$.id')] AS h
      FROM (SELECT database_name, data_source_id, page_id, from_json(hydrated_properties, 'MAP<STRING,STRING>') AS h,
          map_values(from_json(get_json_object(payload, '$.properties'), 'MAP<STRING,STRING>')) AS e
        FROM {pages} WHERE removed_at IS NULL) AS s LATERAL VIEW explode(s.e) a AS v) AS h) AS h
  LATERAL VIEW posexplode(h.items) i AS position, item) AS r
LEFT JOIN (SELECT data_source_id, property_id, max_by(property_name, seen_from) AS property_name,
    max_by(column_name, seen_from) AS column_name
  FROM {columns} WHERE property_type = 'relation' AND part = 'value' GROUP BY data_source_id, property_id) AS c
ON c.data_source_id = r.data_source_id AND c.property_id = r.property_id",
        pages = tables.pages,
        columns = tables.columns
    )
}

const OPTIONS: [(&str, &str); 11] = [
    ("database_name", "configured name of the database"),
    ("data_source_id", "data source of the property"),
    ("data_source_name", "its name in Notion"),
    ("property_id", "id of the property"),
    ("property_name", "its present name"),
    ("property_type", "select, multi_select or status"),
    ("position", "place of the option in Notion, from 0"),
    ("option_id", "id of the option, the same when it is renamed"),
    ("option_name", "its present name"),
    ("color", "its color"),
    ("status_group", "the group of a status option"),
];

fn options(tables: &Tables) -> String {
    let of = |field: &str| format!("get_json_object(o.v, '$.{field}')");
    let list = format!("coalesce({}, {}, {})", of("select.options"), of("multi_select.options"), of("status.options"));
    format!(
        "{MARK} o.database_name, o.data_source_id, o.data_source_name, {id} AS property_id, {name} AS property_name,
  {kind} AS property_type, i.position, i.item.id AS option_id, i.item.name AS option_name, i.item.color AS color,
  from_json(o.labels, 'MAP<STRING,STRING>')[concat({id}, '/', i.item.id, '#')] AS status_group
FROM (SELECT s.database_name, s.data_source_id, s.data_source_name, s.labels, a.v
  FROM (SELECT data_source_id, max_by(database_name, first_seen_at) AS database_name,
      max_by(data_source_name, first_seen_at) AS data_source_name, max_by(labels, first_seen_at) AS labels,
      map_values(from_json(get_json_object(max_by(payload, first_seen_at), '$.properties'), 'MAP<STRING,STRING>')) AS e
    FROM {schemas} GROUP BY data_source_id) AS s LATERAL VIEW explode(s.e) a AS v) AS o
LATERAL VIEW posexplode(from_json({list}, 'ARRAY<STRUCT<id:STRING,name:STRING,color:STRING>>')) i AS position, item",
        id = of("id"),
        name = of("name"),
        kind = of("type"),
        schemas = tables.schemas
    )
}

const PEOPLE: [(&str, &str); 7] = [
    ("person_id", "id of the person, bot or group in Notion"),
    ("kind", "user or group"),
    ("user_type", "person or bot"),
    ("name", "name as last seen"),
    ("email", "e-mail address as last seen"),
    ("pages", "live pages that name it"),
    ("last_seen_time", "newest edit time of such a page"),
];

fn people(tables: &Tables) -> String {
    let of = |field: &str| format!("get_json_object(a.v, '$.{field}')");
    let list = format!(
        "CASE {kind} WHEN 'people' THEN {} WHEN 'created_by' THEN concat('[', {}, ']') WHEN 'last_edited_by' THEN concat('[', {}, ']') END",
        of("people"),
        of("created_by"),
        of("last_edited_by"),
        kind = of("type")
    );
    let of_page = |field: &str| {
        format!("concat('{{\"type\":\"{field}\",\"{field}\":', get_json_object(payload, '$.{field}'), '}}')")
    };
    let newest = |value: &str| format!("max_by({value}, CASE WHEN {value} IS NOT NULL THEN p.last_edited_time END)");
    format!(
        "{MARK} p.person_id, {kind} AS kind, {user_type} AS user_type, {name} AS name, {email} AS email,
  count(DISTINCT p.page_id) AS pages, max(p.last_edited_time) AS last_seen_time
FROM (SELECT a.page_id, a.last_edited_time, i.item.id AS person_id, i.item.object AS kind, i.item.type AS user_type,
    i.item.name AS name, i.item.person.email AS email
  FROM (SELECT s.page_id, s.last_edited_time, a.v
    FROM (SELECT page_id, last_edited_time, concat(
        coalesce(map_values(from_json(get_json_object(payload, '$.properties'), 'MAP<STRING,STRING>')), array()),
        array({created}, {edited})) AS e
      FROM {pages} WHERE removed_at IS NULL) AS s LATERAL VIEW explode(s.e) a AS v) AS a
  LATERAL VIEW explode(from_json({list}, 'ARRAY<STRUCT<object:STRING,id:STRING,type:STRING,name:STRING,person:STRUCT<email:STRING>>>')) i AS item) AS p
WHERE p.person_id IS NOT NULL GROUP BY p.person_id",
        kind = newest("p.kind"),
        user_type = newest("p.user_type"),
        name = newest("p.name"),
        email = newest("p.email"),
        created = of_page("created_by"),
        edited = of_page("last_edited_by"),
        pages = tables.pages
    )
}
