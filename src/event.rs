//! The event of an invocation: our own object or a bare EventBridge envelope, checked before anything is done.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::action::{Action, ActionKind, SweepRequest, SyncRequest, ViewsRequest};
use crate::failure::{Failure, FailureClass};
use crate::ids::{Database, DatabaseName};

/// The fields an event may have.
const FIELDS: [&str; 8] =
    ["action", "database", "full_refresh", "restart", "allow_removals", "print", "force", "trigger"];
/// Longest part of foreign text that a message repeats.
const SHOWN_CHARACTERS: usize = 60;

/// A parsed event.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The action to run.
    pub action: Action,
    /// The trigger, such as Scheduler's context attributes. It is kept for the log.
    pub trigger: Option<Value>,
}

/// Reads an event.
///
/// # Errors
/// `InvalidRequest` when it is malformed, has an unknown field, a wrong type or a field that does not belong to its
/// action; `UnknownDatabase` when the database is not configured. Either says what would be right.
pub fn parse(raw: &str, databases: &[Database]) -> Result<Request, Failure> {
    let fields = parse_fields(raw, "the event")?;
    if is_envelope(&fields) {
        let detail = fields.take("detail").unwrap_or(Value::Null);
        return match detail {
            Value::Object(_) => request(parse_fields(&detail.to_string(), "the envelope's detail")?, databases),
            Value::String(text) => request(parse_fields(&text, "the envelope's detail")?, databases),
            other => {
                let kind = kind(&other);
                Err(invalid(format!("the envelope's detail must be an object or text holding one, not {kind}")))
            }
        };
    }
    request(fields, databases)
}

/// The action that checked fields ask for.
fn request(fields: Fields, databases: &[Database]) -> Result<Request, Failure> {
    if let Some(unknown) = fields.names().find(|name| !FIELDS.contains(name)) {
        return Err(invalid(format!("unknown field {}; known are {}", shown(unknown), FIELDS.join(", "))));
    }
    let name = fields.text("action")?.unwrap_or_else(|| "sync".to_owned());
    let Some(kind_asked) = ActionKind::named(&name) else {
        let known: Vec<&str> = ActionKind::ALL.iter().map(|kind| kind.name()).collect();
        return Err(invalid(format!("unknown action {}; known are {}", shown(&name), known.join(", "))));
    };
    let allowed: &[&str] = match kind_asked {
        ActionKind::Sync => &["action", "database", "full_refresh", "restart", "allow_removals", "trigger"],
        ActionKind::Sweep => &["action", "database", "allow_removals", "trigger"],
        ActionKind::Verify => &["action", "database", "trigger"],
        ActionKind::Views => &["action", "database", "print", "force", "trigger"],
        ActionKind::Health | ActionKind::ListDatabases | ActionKind::InitTables | ActionKind::Status => {
            &["action", "trigger"]
        }
    };
    if let Some(stray) = fields.names().find(|name| !allowed.contains(name)) {
        return Err(invalid(format!("the action {name} takes no {stray}; it takes {}", allowed.join(", "))));
    }
    let trigger = match fields.take("trigger") {
        None => None,
        Some(trigger @ Value::Object(_)) => Some(trigger),
        Some(other) => return Err(invalid(format!("trigger must be an object, not {}", kind(&other)))),
    };
    let flag = |name: &str| fields.flag(name);
    let action = match kind_asked {
        ActionKind::Sync => Action::Sync(SyncRequest {
            full_refresh: flag("full_refresh")?,
            restart: flag("restart")?,
            allow_removals: flag("allow_removals")?,
            database: database(&fields, &name, databases)?,
        }),
        ActionKind::Sweep => Action::Sweep(SweepRequest {
            allow_removals: flag("allow_removals")?,
            database: database(&fields, &name, databases)?,
        }),
        ActionKind::Verify => Action::Verify(database(&fields, &name, databases)?),
        ActionKind::Views => Action::Views(ViewsRequest {
            print: flag("print")?,
            force: flag("force")?,
            database: database(&fields, &name, databases)?,
        }),
        ActionKind::Health => Action::Health,
        ActionKind::ListDatabases => Action::ListDatabases,
        ActionKind::InitTables => Action::InitTables,
        ActionKind::Status => Action::Status { runs: false },
    };
    Ok(Request { action, trigger })
}

/// The configured database that the event names.
fn database(fields: &Fields, action: &str, databases: &[Database]) -> Result<DatabaseName, Failure> {
    let Some(text) = fields.text("database")? else {
        let configured = configured(databases);
        return Err(invalid(format!("the action {action} needs a database; configured are {configured}")));
    };
    find_database(&text, databases)
}

/// The configured database called `text`.
///
/// # Errors
/// `UnknownDatabase`, with the configured ones.
pub fn find_database(text: &str, databases: &[Database]) -> Result<DatabaseName, Failure> {
    let name = DatabaseName::parse(text).ok().filter(|name| databases.iter().any(|database| database.name == *name));
    name.ok_or_else(|| {
        let message = format!("unknown database {}; configured are {}", shown(text), configured(databases));
        Failure::new(FailureClass::UnknownDatabase, message)
    })
}

fn configured(databases: &[Database]) -> String {
    databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidRequest, message)
}

/// An envelope has a key that EventBridge always sends and that our events never have.
fn is_envelope(fields: &Fields) -> bool {
    let has = |name: &str| fields.names().any(|field| field == name);
    has("detail-type") || (has("detail") && has("source"))
}

/// An object's fields in their order; a name that comes twice is refused while reading.
#[derive(Debug)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    fn take(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }

    /// A field that must be text if it is there.
    fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(invalid(format!("{name} must be text, not {}", kind(other)))),
        }
    }

    /// A field that must be true or false if it is there; absent is false.
    fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(invalid(format!("{name} must be true or false, not {}", kind(other)))),
        }
    }
}

/// Reads an object; `what` names it in messages.
fn parse_fields(text: &str, what: &str) -> Result<Fields, Failure> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_any(FieldsVisitor).and_then(|fields| deserializer.end().map(|()| fields));
    fields.map_err(|error| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => invalid(format!("{what} {error}")),
        Ok(other) => {
            let kind = kind(&other);
            invalid(format!(
                r#"{what} must be an object such as {{"action":"sync","database":"projects"}}, not {kind}"#
            ))
        }
        Err(_) => invalid(format!("{what} is not JSON: {error}")),
    })
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.iter().any(|(field, _)| *field == name) {
                return Err(serde::de::Error::custom(format_args!("has the field {} twice", shown(&name))));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

/// Returns the kind of a JSON value, in words for people.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Foreign text in quotes, cut when it is long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DatabaseId;

    fn databases() -> Vec<Database> {
        let names = ["actions", "budget_lines", "programs", "projects", "risks"];
        let database = |(number, name): (usize, &&str)| Database {
            name: DatabaseName::parse(name).unwrap(),
            id: DatabaseId::parse(&format!("be633bf1dfa0436db259571129a590e{number}")).unwrap(),
        };
        names.iter().enumerate().map(database).collect()
    }

    fn action(raw: &str) -> Action {
        parse(raw, &databases()).unwrap().action
    }

    fn refusal(raw: &str) -> String {
        let failure = parse(raw, &databases()).unwrap_err();
        format!("{}: {failure}", failure.class())
    }

    fn sync(database: &str) -> SyncRequest {
        let database = DatabaseName::parse(database).unwrap();
        SyncRequest { database, full_refresh: false, restart: false, allow_removals: false }
    }

    #[test]
    fn an_event_is_a_sync_unless_it_says_otherwise() {
        let plain = sync("projects");
        assert_eq!(action(r#"{"database":"projects"}"#), Action::Sync(plain.clone()));
        assert_eq!(
            action(r#"{"action":"sync","database":"projects","full_refresh":false}"#),
            Action::Sync(plain.clone())
        );
        let full = SyncRequest { full_refresh: true, restart: true, allow_removals: true, ..plain };
        assert_eq!(
            action(r#"{"database":"PROJECTS","full_refresh":true,"restart":true,"allow_removals":true}"#),
            Action::Sync(full)
        );
    }

    #[test]
    fn an_envelope_is_unwrapped_with_detail_as_object_or_text() {
        let object = r#"{"version":"0","id":"7bf73129","detail-type":"Sync","source":"ours","account":"1",
            "time":"2026-11-22T15:00:00Z","region":"eu-central-1","resources":[],
            "detail":{"action":"sweep","database":"risks"}}"#;
        let request = SweepRequest { database: DatabaseName::parse("risks").unwrap(), allow_removals: false };
        assert_eq!(action(object), Action::Sweep(request));
        let text = r#"{"source":"aws.scheduler","detail-type":"Scheduled Event","detail":"{\"action\":\"status\"}"}"#;
        assert_eq!(action(text), Action::Status { runs: false });
        let empty = r#"{"source":"aws.scheduler","detail-type":"Scheduled Event","detail":"{}"}"#;
        assert!(refusal(empty).contains("the action sync needs a database; configured are actions, budget_lines"));
        assert!(refusal(r#"{"detail-type":"x"}"#).contains("detail must be an object or text holding one, not null"));
        assert!(refusal(r#"{"detail-type":"x","detail":"{"}"#).contains("the envelope's detail is not JSON"));
        assert!(refusal(r#"{"detail-type":"x","detail":{"source":"x"}}"#).contains("unknown field \"source\""));
    }

    #[test]
    fn the_trigger_is_kept_whatever_it_holds() {
        let request = parse(r#"{"action":"health","trigger":{"attempt":"1","any":[1,null]}}"#, &databases()).unwrap();
        assert_eq!(request.trigger, Some(serde_json::json!({"attempt": "1", "any": [1, null]})));
        assert!(refusal(r#"{"action":"health","trigger":"x"}"#).contains("trigger must be an object, not text"));
    }

    #[test]
    fn what_is_wrong_is_refused_and_what_would_be_right_is_said() {
        let refusals = [
            "",
            "{",
            "[]",
            r#""{\"action\":\"status\"}""#,
            "null",
            r#"{"action":"status"} trailing"#,
            r#"{"action":"sync","action":"sweep"}"#,
            r#"{"action":7}"#,
            r#"{"action":"synch"}"#,
            r#"{"databse":"projects"}"#,
            r#"{"action":"sync"}"#,
            r#"{"database":null}"#,
            r#"{"database":"tasks"}"#,
            r#"{"database":"budget-lines"}"#,
            r#"{"database":"projects","full_refresh":"true"}"#,
            r#"{"action":"sweep","database":"projects","full_refresh":false}"#,
            r#"{"action":"status","database":"projects"}"#,
        ];
        insta::assert_snapshot!(refusals.map(refusal).join("\n"), @r#"
        InvalidRequest: the event is not JSON: EOF while parsing a value at line 1 column 0
        InvalidRequest: the event is not JSON: EOF while parsing an object at line 1 column 1
        InvalidRequest: the event must be an object such as {"action":"sync","database":"projects"}, not a list
        InvalidRequest: the event must be an object such as {"action":"sync","database":"projects"}, not text
        InvalidRequest: the event must be an object such as {"action":"sync","database":"projects"}, not null
        InvalidRequest: the event is not JSON: trailing characters at line 1 column 21
        InvalidRequest: the event has the field "action" twice at line 1 column 34
        InvalidRequest: action must be text, not a number
        InvalidRequest: unknown action "synch"; known are sync, sweep, verify, views, health, list-databases, init-tables, status
        InvalidRequest: unknown field "databse"; known are action, database, full_refresh, restart, allow_removals, print, force, trigger
        InvalidRequest: the action sync needs a database; configured are actions, budget_lines, programs, projects, risks
        InvalidRequest: database must be text, not null
        UnknownDatabase: unknown database "tasks"; configured are actions, budget_lines, programs, projects, risks
        UnknownDatabase: unknown database "budget-lines"; configured are actions, budget_lines, programs, projects, risks
        InvalidRequest: full_refresh must be true or false, not text
        InvalidRequest: the action sweep takes no full_refresh; it takes action, database, allow_removals, trigger
        InvalidRequest: the action status takes no database; it takes action, trigger
        "#);
    }

    #[test]
    fn a_long_foreign_text_is_cut() {
        let long = "ä".repeat(5000);
        let text = refusal(&format!(r#"{{"database":"{long}"}}"#));
        assert!(text.chars().count() < 250, "{text}");
    }

    #[test]
    fn every_sample_is_an_event_of_ours() {
        let mut actions = Vec::new();
        for entry in std::fs::read_dir("events").unwrap() {
            let path = entry.unwrap().path();
            let raw = std::fs::read_to_string(&path).unwrap();
            match parse(&raw, &databases()) {
                Ok(request) => actions.push(request.action.name()),
                Err(failure) => panic!("{}: {failure}", path.display()),
            }
        }
        for kind in ActionKind::ALL {
            let name = kind.name();
            assert!(actions.contains(&name), "no sample of {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&String::from_utf8_lossy(&bytes), &databases());
        }

        #[test]
        fn no_object_makes_it_panic(
            name in "action|database|full_refresh|restart|allow_removals|trigger|detail|detail-type|source|.{0,5}",
            value in r#"null|true|7|"sync"|"projects"|"\{\}"|\{\}|\[\]|.{0,10}"#,
            more in r#"(,"(action|database|detail|source)":("sweep"|"risks"|"\{|\{\}))?"#,
        ) {
            let _ = parse(&format!("{{\"{name}\":{value}{more}}}"), &databases());
        }
    }
}
