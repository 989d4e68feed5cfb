//! Shapes as Notion sends and takes them (facts/notion §1.3, §2.1, §2.4, §5.2). Rows stay raw text.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Partition;
use crate::http::one_line;
use crate::ids::{DataSourceId, DatabaseId, PageId};

/// One query of a data source, sorted by creation time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which partition.
    pub partition: Partition,
    /// The direction of the sort.
    pub order: SortOrder,
    /// Only rows edited at or after this whole minute.
    pub edited_since: Option<Timestamp>,
    /// Only rows edited before this whole minute; used to split a minute of creation, nowhere else.
    pub edited_before: Option<Timestamp>,
    /// Only rows created at or after this whole minute.
    pub created_from: Option<Timestamp>,
    /// Only rows created before this whole minute.
    pub created_before: Option<Timestamp>,
    /// Rows asked for per page.
    pub page_size: u32,
    /// True if fewer rows could be requested. Then an overload ends after its tries, however long a wait it asks for.
    pub can_shrink: bool,
    /// Ask for the title alone: what a sweep needs of a row is outside its properties.
    pub title_only: bool,
}

/// The direction in which rows are sorted by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// The oldest first.
    Ascending,
    /// The youngest first.
    Descending,
}

impl SortOrder {
    fn name(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
        }
    }
}

impl Query {
    /// The request body, with the cursor of the page wanted.
    pub(super) fn body(&self, cursor: Option<&str>) -> Value {
        let bounds = [
            ("last_edited_time", "on_or_after", self.edited_since),
            ("last_edited_time", "before", self.edited_before),
            ("created_time", "on_or_after", self.created_from),
            ("created_time", "before", self.created_before),
        ];
        let mut filters: Vec<Value> = bounds
            .iter()
            .filter_map(|(timestamp, operator, at)| {
                at.map(|at| json!({"timestamp": timestamp, (*timestamp): {(*operator): wire_time(at)}}))
            })
            .collect();
        let mut body = json!({
            "sorts": [{"timestamp": "created_time", "direction": self.order.name()}],
            "page_size": self.page_size,
            "result_type": "page",
        });
        if filters.len() > 1 {
            body["filter"] = json!({"and": filters});
        } else if let Some(filter) = filters.pop() {
            body["filter"] = filter;
        }
        if self.partition == Partition::Archived {
            body["is_archived"] = Value::Bool(true);
        }
        if let Some(cursor) = cursor {
            body["start_cursor"] = Value::from(cursor);
        }
        body
    }
}

/// A time bound as Notion compares it: with milliseconds and zone, never a bare date (facts/notion §2.2).
fn wire_time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// One page of a query's result.
#[derive(Debug)]
pub struct QueryPage {
    /// The rows, byte for byte as received.
    pub rows: Vec<Box<RawValue>>,
    /// Cursor of the next page; `None` = this was the last one.
    pub next_cursor: Option<String>,
    /// The answer says that the result is cut (`request_status: incomplete`).
    pub is_incomplete: bool,
    /// The text of the status, where it is not the documented cap.
    pub odd_status: Option<String>,
    /// Notion's id of the exchange.
    pub request_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ListAnswer {
    pub(super) results: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
    pub(super) has_more: bool,
    #[serde(default)]
    pub(super) request_status: Option<RequestStatus>,
    #[serde(default)]
    pub(super) request_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RequestStatus {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) incomplete_reason: Option<String>,
}

impl RequestStatus {
    pub(super) fn is_incomplete(&self) -> bool {
        self.kind != "complete"
    }

    /// Type and reason of what is neither complete nor cut at the documented cap (facts/notion §2.5).
    pub(super) fn oddity(&self) -> Option<String> {
        let reason = self.incomplete_reason.as_deref();
        let is_cap = self.kind == "incomplete" && reason.is_none_or(|reason| reason == "query_result_limit_reached");
        (self.is_incomplete() && !is_cap).then(|| one_line(&format!("{} {}", self.kind, reason.unwrap_or("-"))))
    }
}

/// A database: the container of data sources.
#[derive(Debug, Clone, Deserialize)]
pub struct DatabaseInfo {
    pub id: DatabaseId,
    /// Its data sources, in Notion's order.
    pub data_sources: Vec<DataSourceRef>,
    /// True if it is in the trash.
    #[serde(default)]
    pub in_trash: bool,
    /// Notion's time when it answered, whole seconds; `None` = the answer did not say.
    #[serde(skip)]
    pub answered_at: Option<Timestamp>,
}

/// A data source as its database lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DataSourceRef {
    pub id: DataSourceId,
    #[serde(default)]
    pub name: String,
}

/// A data source asked for by itself.
#[derive(Debug, Clone, Deserialize)]
pub struct DataSourceInfo {
    /// True if it is in the trash.
    #[serde(default)]
    pub in_trash: bool,
    #[serde(default)]
    pub parent: Option<ParentInfo>,
}

/// The parent of a page or data source; only the ids that we compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ParentInfo {
    /// The kind of the parent.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Page above.
    #[serde(default)]
    pub page_id: Option<String>,
    /// Block above.
    #[serde(default)]
    pub block_id: Option<String>,
    /// Agent above, since May 2026 (facts/notion §8).
    #[serde(default)]
    pub agent_id: Option<String>,
    /// True if it is at the top of the workspace.
    #[serde(default)]
    pub workspace: Option<bool>,
    /// Database above.
    #[serde(default)]
    pub database_id: Option<String>,
    /// Data source above.
    #[serde(default)]
    pub data_source_id: Option<String>,
}

/// The frame of an answer: what it says it is.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    #[serde(default)]
    object: String,
    #[serde(default)]
    id: Option<String>,
}

impl Frame {
    /// Reads the frame of a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// Checks that the answer is the object that was asked for.
    pub(super) fn is(&self, object: &str, id: Option<&str>) -> Result<(), String> {
        if self.object != object {
            return Err(format!("it is a {:?} object and not a {object:?}", one_line(&self.object)));
        }
        let Some(asked) = id else { return Ok(()) };
        let found = self.id.as_deref().unwrap_or_default();
        if PageId::parse(found).is_ok_and(|found| found.to_string() == asked) {
            return Ok(());
        }
        Err(format!("it is {object} {:?} and not {asked}", one_line(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Query {
        Query {
            partition: Partition::Default,
            order: SortOrder::Ascending,
            edited_since: None,
            edited_before: None,
            created_from: None,
            created_before: None,
            page_size: 100,
            can_shrink: true,
            title_only: false,
        }
    }

    #[test]
    fn a_full_walk_has_no_filter_and_an_incremental_one_a_whole_minute_inclusive() {
        assert_eq!(
            query().body(None),
            json!({"sorts": [{"timestamp": "created_time", "direction": "ascending"}], "page_size": 100, "result_type": "page"})
        );
        let edited = Query { edited_since: Some("2026-11-22T13:00:00Z".parse().unwrap()), ..query() };
        assert_eq!(
            edited.body(None)["filter"],
            json!({"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": "2026-11-22T13:00:00.000Z"}})
        );
    }

    #[test]
    fn a_continued_archived_walk_combines_both_bounds() {
        let continued = Query {
            partition: Partition::Archived,
            edited_since: Some("2026-11-22T13:00:00Z".parse().unwrap()),
            created_from: Some("2026-03-02T10:17:00Z".parse().unwrap()),
            ..query()
        };
        let body = continued.body(Some("s:1"));
        assert_eq!(body["is_archived"], json!(true));
        assert_eq!(body["start_cursor"], json!("s:1"));
        assert_eq!(
            body["filter"]["and"][1],
            json!({"timestamp": "created_time", "created_time": {"on_or_after": "2026-03-02T10:17:00.000Z"}})
        );
    }
}
