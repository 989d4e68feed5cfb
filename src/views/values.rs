//! The SQL expression of each column: from one row's property, found by id, to a value of the column's type; NULL where
//! it can't be read. Only functions that Spark 4, Databricks and Sail read alike.

use super::literal::literal;
use super::parts::PERSON;
use crate::warehouse::ColumnRow;

/// The SQL expressions for one property of one row.
pub(super) struct Value {
    /// The property's JSON, by id.
    v: String,
    /// Its full value where Notion cut it, by id.
    h: String,
    /// Its id as a literal.
    id: String,
    /// The type that the column is for.
    kind: String,
}

impl Value {
    pub(super) fn of(column: &ColumnRow) -> Self {
        let id = literal(&column.property_id);
        let mut value =
            Self { v: format!("t.p[{id}]"), h: format!("t.h[{id}]"), id, kind: column.property_type.clone() };
        // Notion computes these from the first 25 references, so the page's own result is wrong where there is a full one.
        if matches!(value.kind.as_str(), "formula" | "rollup") {
            value.v = value.whole(&value.h, &value.v);
        }
        value
    }

    /// A path into the property: `json(".number")`.
    fn json(&self, path: &str) -> String {
        format!("get_json_object({}, '${path}')", self.v)
    }

    /// The list at a path, as an array of structs; what is no list is NULL.
    fn list(&self, of: &str, path: &str, fields: &str) -> String {
        let text = format!("get_json_object({of}, '${path}')");
        format!("from_json(CASE WHEN left({text}, 1) = '[' THEN {text} END, 'ARRAY<STRUCT<{fields}>>')")
    }

    /// The expression of a part; `prefix` is a unique id's present one.
    pub(super) fn expression(&self, part: &str, sql_type: &str, prefix: Option<&str>) -> String {
        match (self.kind.as_str(), part) {
            ("title" | "rich_text", _) => self.rich_text(),
            ("url" | "email" | "phone_number", _) => self.json(&format!(".{}", self.kind)),
            ("select", _) => self.choice("select"),
            ("status", "group") => self.group(),
            ("status", _) => self.choice("status"),
            ("number", _) => self.cast(".number", "DOUBLE"),
            ("checkbox", _) => self.cast(".checkbox", "BOOLEAN"),
            ("multi_select", _) => {
                let list = self.list(&self.v, ".multi_select", "id:STRING,name:STRING");
                format!("transform({list}, x -> coalesce(l.labels[concat({}, '/', x.id)], x.name))", self.id)
            }
            ("date", part) => self.date(".date", part),
            ("created_time" | "last_edited_time", _) => instant(&self.json(&format!(".{}", self.kind))),
            ("people", _) => self.people(),
            ("created_by" | "last_edited_by", _) => self.person(&format!(".{}", self.kind)),
            ("files", _) => self.files(),
            ("relation", _) => self.relation(),
            ("formula", _) => self.formula(),
            ("rollup", _) if sql_type == "DOUBLE" => self.cast(".rollup.number", "DOUBLE"),
            ("rollup", _) if sql_type.starts_with("STRUCT") => self.rollup(),
            ("rollup", part) => self.date(".rollup.date", part),
            ("unique_id", "number") => self.cast(".unique_id.number", "BIGINT"),
            ("unique_id", _) => {
                let number = self.json(".unique_id.number");
                let start = prefix.map_or_else(String::new, |prefix| format!("{}, ", literal(&format!("{prefix}-"))));
                format!("CASE WHEN {number} IS NOT NULL THEN concat({start}{number}) END")
            }
            ("place", _) => self.place(),
            ("verification", _) => self.verification(),
            (kind, _) if kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                self.json(&format!(".{kind}"))
            }
            _ => self.v.clone(),
        }
    }

    /// The condition that holds where the row has a value that can't be read as the column's type.
    fn unread(&self, sql_type: &str) -> Option<String> {
        let lost = |path: &str, value: String| format!("({} IS NOT NULL AND ({value}) IS NULL)", self.json(path));
        match self.kind.as_str() {
            "number" => Some(lost(".number", self.cast(".number", "DOUBLE"))),
            "checkbox" => Some(lost(".checkbox", self.cast(".checkbox", "BOOLEAN"))),
            "date" => Some(self.lost_dates(".date")),
            kind @ ("created_time" | "last_edited_time") => {
                let path = format!(".{kind}");
                Some(lost(&path, instant(&self.json(&path))))
            }
            "title" | "rich_text" | "people" => Some(format!("({} AND NOT {})", self.is_hydrated(), self.is_whole())),
            "relation" => Some(format!(
                "(({hydrated} AND NOT {whole}) OR (NOT {hydrated} AND coalesce({more}, '') = 'true'))",
                hydrated = self.is_hydrated(),
                whole = self.is_whole(),
                more = self.json(".has_more")
            )),
            "formula" => Some(format!("coalesce({}, '') = 'unsupported'", self.json(".formula.type"))),
            "rollup" => {
                let kind = self.json(".rollup.type");
                Some(match sql_type {
                    "DOUBLE" => format!("coalesce({kind}, '') <> 'number'"),
                    kind_of_date if !kind_of_date.starts_with("STRUCT") => {
                        format!("(coalesce({kind}, '') <> 'date' OR {})", self.lost_dates(".rollup.date"))
                    }
                    _ => format!("coalesce({kind}, '') IN ('unsupported', 'incomplete')"),
                })
            }
            _ => None,
        }
    }

    /// The column's name where the row's value can't be read: of another type, unsupported, cut; NULL where all is well.
    /// Of a property that the row has not got yet, only one that every row has by itself counts.
    pub(super) fn unread_name(&self, column: &ColumnRow) -> String {
        let name = literal(&column.column_name);
        let comes_unasked = [
            "formula",
            "rollup",
            "unique_id",
            "created_time",
            "last_edited_time",
            "created_by",
            "last_edited_by",
            "status",
        ];
        let absent = if comes_unasked.contains(&self.kind.as_str()) { name.as_str() } else { "NULL" };
        let more =
            self.unread(&column.sql_type).map_or_else(String::new, |unread| format!(" WHEN {unread} THEN {name}"));
        format!(
            "CASE WHEN {v} IS NULL THEN {absent} WHEN coalesce({kind}, '') <> {wanted} THEN {name}{more} END",
            v = self.v,
            kind = self.json(".type"),
            wanted = literal(&self.kind)
        )
    }

    fn cast(&self, path: &str, sql_type: &str) -> String {
        format!("try_cast({} AS {sql_type})", self.json(path))
    }

    /// The condition that the full value of this very type was read.
    fn is_hydrated(&self) -> String {
        format!("coalesce(get_json_object({}, '$.type'), '') = {}", self.h, literal(&self.kind))
    }

    /// The condition that this value is complete.
    fn is_whole(&self) -> String {
        format!("coalesce(get_json_object({}, '$.complete'), '') = 'true'", self.h)
    }

    /// The full value where there is one, NULL where it is not whole, else the page's.
    fn whole(&self, full: &str, of_page: &str) -> String {
        format!(
            "CASE WHEN {} THEN CASE WHEN {} THEN {full} END ELSE {of_page} END",
            self.is_hydrated(),
            self.is_whole()
        )
    }

    fn rich_text(&self) -> String {
        let kind = &self.kind;
        let join = |texts: String| format!("nullif(array_join({texts}, ''), '')");
        let of_page = self.list(&self.v, &format!(".{kind}"), "plain_text:STRING");
        let full = self.list(&self.h, ".items", &format!("{kind}:STRUCT<plain_text:STRING>"));
        self.whole(
            &join(format!("transform({full}, x -> x.{kind}.plain_text)")),
            &join(format!("transform({of_page}, x -> x.plain_text)")),
        )
    }

    /// An option's present name; the name in the row where the schema has the option no more.
    fn choice(&self, kind: &str) -> String {
        let id = self.json(&format!(".{kind}.id"));
        format!("coalesce(l.labels[concat({}, '/', {id})], {})", self.id, self.json(&format!(".{kind}.name")))
    }

    fn group(&self) -> String {
        format!("l.labels[concat({}, '/', {}, '#')]", self.id, self.json(".status.id"))
    }

    /// A part of the date object at `path`.
    fn date(&self, path: &str, part: &str) -> String {
        let (field, is_time) = match part {
            "time" => ("start", true),
            "end" => ("end", false),
            "end_time" => ("end", true),
            _ => ("start", false),
        };
        let text = self.json(&format!("{path}.{field}"));
        if is_time { instant(&text) } else { day(&text) }
    }

    /// The condition that a start or an end is no date, or has a time that is no instant.
    fn lost_dates(&self, path: &str) -> String {
        let lost = |field: &str| {
            let text = self.json(&format!("{path}.{field}"));
            format!(
                "({text} IS NOT NULL AND (({}) IS NULL OR (length({text}) > 10 AND ({}) IS NULL)))",
                day(&text),
                instant(&text)
            )
        };
        format!("({} OR {})", lost("start"), lost("end"))
    }

    fn people(&self) -> String {
        let fields = "object:STRING,id:STRING,name:STRING,person:STRUCT<email:STRING>";
        let of_page = self.list(&self.v, ".people", fields);
        let full = self.list(&self.h, ".items", &format!("people:STRUCT<{fields}>"));
        // The property endpoint gives ids alone; the page has the names of the first ones.
        let known =
            |field: &str| format!("get(transform(filter({of_page}, y -> y.id = x.people.id), y -> y.{field}), 0)");
        let full = format!(
            "transform({full}, x -> named_struct('id', x.people.id, 'name', coalesce(x.people.name, {}), \
             'email', coalesce(x.people.person.email, {}), 'kind', x.people.object))",
            known("name"),
            known("person.email")
        );
        let of_page = format!(
            "transform({of_page}, x -> named_struct('id', x.id, 'name', x.name, 'email', x.person.email, 'kind', x.object))"
        );
        self.whole(&full, &of_page)
    }

    fn person(&self, path: &str) -> String {
        let field = |name: &str| self.json(&format!("{path}.{name}"));
        format!(
            "CASE WHEN {id} IS NOT NULL THEN CAST(named_struct('id', {id}, 'name', {}, 'email', {}, 'kind', {}) AS {PERSON}) END",
            field("name"),
            field("person.email"),
            field("object"),
            id = field("id")
        )
    }

    /// Files at Notion without their signature, which is different at every reading and soon expires.
    fn files(&self) -> String {
        let fields = "name:STRING,type:STRING,file:STRUCT<url:STRING>,external:STRUCT<url:STRING>";
        format!(
            "transform({}, x -> named_struct('name', x.name, 'type', x.type, \
             'url', coalesce(regexp_replace(x.file.url, '[?].*$', ''), x.external.url)))",
            self.list(&self.v, ".files", fields)
        )
    }

    fn relation(&self) -> String {
        let full = self.list(&self.h, ".items", "relation:STRUCT<id:STRING>");
        let of_page = self.list(&self.v, ".relation", "id:STRING");
        let of_page = format!(
            "CASE WHEN coalesce({}, '') <> 'true' THEN transform({of_page}, x -> x.id) END",
            self.json(".has_more")
        );
        self.whole(&format!("transform({full}, x -> x.relation.id)"), &of_page)
    }

    fn formula(&self) -> String {
        let text = |field: &str| self.json(&format!(".formula.{field}"));
        format!(
            "CASE WHEN {kind} IS NOT NULL THEN named_struct('type', {kind}, 'string', {}, 'number', {}, 'boolean', {}, {}) END",
            text("string"),
            self.cast(".formula.number", "DOUBLE"),
            self.cast(".formula.boolean", "BOOLEAN"),
            self.date_fields(".formula.date"),
            kind = text("type")
        )
    }

    fn rollup(&self) -> String {
        let text = |field: &str| self.json(&format!(".rollup.{field}"));
        // The full list of a rollup is beside it, as property items.
        let items = format!("CASE WHEN {} THEN get_json_object({}, '$.items') END", self.is_hydrated(), self.h);
        format!(
            "CASE WHEN {kind} IS NOT NULL THEN named_struct('type', {kind}, 'function', {}, 'number', {}, {}, 'array', {}) END",
            text("function"),
            self.cast(".rollup.number", "DOUBLE"),
            self.date_fields(".rollup.date"),
            format_args!("CASE WHEN {} = 'array' THEN coalesce({items}, {}) END", text("type"), text("array")),
            kind = text("type")
        )
    }

    fn date_fields(&self, path: &str) -> String {
        let [date, at, end, end_at] = ["value", "time", "end", "end_time"].map(|part| self.date(path, part));
        format!("'date', {date}, 'date_at', {at}, 'date_end', {end}, 'date_end_at', {end_at}")
    }

    fn place(&self) -> String {
        format!(
            "CASE WHEN {} IS NOT NULL THEN named_struct('lat', {}, 'lon', {}, 'name', {}, 'address', {}) END",
            self.json(".place.lat"),
            self.cast(".place.lat", "DOUBLE"),
            self.cast(".place.lon", "DOUBLE"),
            self.json(".place.name"),
            self.json(".place.address")
        )
    }

    fn verification(&self) -> String {
        format!(
            "CASE WHEN {state} IS NOT NULL THEN named_struct('state', {state}, 'start', {}, 'end', {}, 'verified_by', {}) END",
            instant(&self.json(".verification.date.start")),
            instant(&self.json(".verification.date.end")),
            self.person(".verification.verified_by"),
            state = self.json(".verification.state")
        )
    }
}

/// The day as written; a text shorter than a day is none.
fn day(text: &str) -> String {
    format!("CASE WHEN length({text}) >= 10 THEN try_cast(left({text}, 10) AS DATE) END")
}

/// The instant; a text without an offset names none, since it would be read in the session's time zone.
fn instant(text: &str) -> String {
    format!("CASE WHEN {text} RLIKE '^.{{11,}}(Z|[+-][0-9]{{2}}:[0-9]{{2}})$' THEN try_cast({text} AS TIMESTAMP) END")
}
