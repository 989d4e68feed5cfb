//! The emulator's switches, at their most Notion-like by default. All can be changed while it runs.

use serde::{Deserialize, Serialize};

/// The token that is accepted unless told otherwise.
pub const DEFAULT_TOKEN: &str = "ntn_local_stack_4Zr8Q2";

/// The switches. As JSON (control interface) the field names are the keys and unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Tokens that are accepted; the others get 401. Never shown by the control interface.
    #[serde(skip_serializing)]
    pub tokens: Vec<String>,
    /// The connection's name, as error messages and `users/me` give it.
    pub integration_name: String,
    /// The workspace's name, as `users/me` gives it.
    pub workspace_name: String,
    /// The seed of ids: the same seed and calls give the same ids. It is read at the start only.
    pub id_seed: u64,
    /// Most results one query shows (Notion: 10,000); a larger result is `incomplete` on each of its pages.
    pub result_cap: usize,
    /// True if a result of exactly `result_cap` rows is called incomplete too.
    pub incomplete_at_exactly_the_cap: bool,
    /// Rows a page holds at most, whatever `page_size` asks: pages are then short with `has_more` true.
    pub page_rows_at_most: Option<usize>,
    /// When queries see an edit; `GET` sees it at once.
    pub index_lag: IndexLag,
    /// The exactness with which the timestamp filters compare a row's times.
    pub filter_time: FilterTime,
    /// The order of rows that the sorts call equal (rows of one minute).
    pub tie_order: TieOrder,
    /// Rows younger than this many seconds come slightly out of order: the last of them comes first.
    pub disorder_younger_than_seconds: Option<u64>,
    /// So many of the next queries with a cursor are refused.
    pub reject_next_cursors: u32,
    /// Each cursor that was handed out with this page of a walk, or a later one, is refused.
    pub reject_cursors_after_page: Option<u32>,
    /// The handling of a cursor whose row has left the result.
    pub cursor_of_a_gone_row: GoneRowCursor,
    /// True if a cursor is refused when `page_size` changed under it (the filter and sorts must never change).
    pub cursor_bound_to_page_size: bool,
    /// The page with this number of each walk holds no row, though more follow.
    pub empty_page: Option<u32>,
    /// True if the last page of a walk names a cursor beside `has_more: false`.
    pub cursor_beside_the_end: bool,
    /// The form of the property endpoint's answer for a list property.
    pub item_lists: ItemLists,
    /// Seconds a cursor lives; unlimited when not set (Notion's bound is not documented).
    pub cursor_lifetime_seconds: Option<u64>,
    /// The request limit; off when not set.
    pub request_limit: Option<RequestLimit>,
    /// True if signed file URLs differ on each read.
    pub signed_urls_change: bool,
    /// True if archiving, trashing, restoring and moving count as edits of the row (not documented by Notion).
    pub housekeeping_moves_edited_time: bool,
    /// True if `is_archived` is a known key of a query's body.
    pub archived_partition: bool,
    /// The counting of the 25 mentions of a text.
    pub mention_count: MentionCount,
    /// Milliseconds each answer waits.
    pub latency_ms: u64,
    /// True if answers are gzip when the client takes it.
    pub gzip: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: vec![DEFAULT_TOKEN.to_owned()],
            integration_name: "notion-sync".to_owned(),
            workspace_name: "Local workspace".to_owned(),
            id_seed: 1,
            result_cap: 10_000,
            incomplete_at_exactly_the_cap: false,
            page_rows_at_most: None,
            index_lag: IndexLag::None,
            filter_time: FilterTime::Shown,
            tie_order: TieOrder::Hidden,
            disorder_younger_than_seconds: None,
            reject_next_cursors: 0,
            reject_cursors_after_page: None,
            cursor_of_a_gone_row: GoneRowCursor::Rejected,
            cursor_bound_to_page_size: true,
            empty_page: None,
            cursor_beside_the_end: false,
            item_lists: ItemLists::Whole,
            cursor_lifetime_seconds: None,
            request_limit: None,
            signed_urls_change: true,
            housekeeping_moves_edited_time: false,
            archived_partition: true,
            mention_count: MentionCount::Distinct,
            latency_ms: 0,
            gzip: false,
        }
    }
}

/// When queries see an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexLag {
    /// At once.
    None,
    /// So many milliseconds (of the workspace's clock) after it was made.
    Milliseconds(u64),
    /// When [`super::Workspace::publish`] or [`super::Workspace::publish_all`] is called.
    UntilTold,
}

/// The exactness with which the timestamp filters compare a row's times. Recorded answers compare whole minutes on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterTime {
    /// By the hidden milliseconds.
    Hidden,
    /// By the whole minute that is shown; seconds of the bound count for nothing.
    Shown,
}

/// The order of rows that the sorts call equal. Times are sorted by the minute shown, unless the order is `Hidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieOrder {
    /// By the hidden milliseconds, then by when the row was added.
    Hidden,
    /// By id.
    Id,
    /// Shuffled, the same in each query.
    Shuffled,
    /// Shuffled anew whenever the sort's direction or the rest of the query differs.
    ShuffledByQuery,
}

/// The handling of a cursor whose row has left the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneRowCursor {
    /// `400 The start_cursor provided is invalid`.
    Rejected,
    /// The walk goes on at the place where the row stood.
    GoesOn,
}

/// The counting of the 25 mentions of a text. The documentation speaks of 25 mentions; one recorded page shows 50
/// mentions of one and the same person, uncut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MentionCount {
    /// Different people and pages count.
    Distinct,
    /// Each mention counts.
    Each,
}

/// The form of the property endpoint's answer for a list property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemLists {
    Whole,
    /// No item, and no more to come.
    Empty,
    /// As many items of another property.
    OfAnotherProperty,
}

/// The request limit of one token: a fixed window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestLimit {
    /// Requests allowed in one window (Notion: 180, or 600 on larger plans).
    pub requests: u32,
    /// The window's length in milliseconds (Notion: 60,000).
    pub window_ms: u64,
}

impl RequestLimit {
    /// Returns the limits that Notion documents for all plans but Business and Enterprise.
    pub const DOCUMENTED: Self = Self { requests: 180, window_ms: 60_000 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_notions() {
        let settings = Settings::default();
        assert_eq!(settings.result_cap, 10_000);
        assert_eq!(settings.cursor_of_a_gone_row, GoneRowCursor::Rejected);
        assert!(settings.signed_urls_change);
    }

    #[test]
    fn settings_as_json_hide_tokens_and_refuse_unknown_keys() {
        let text = serde_json::to_string(&Settings::default()).unwrap();
        assert!(!text.contains(DEFAULT_TOKEN));
        assert!(serde_json::from_str::<Settings>(r#"{"result_cap":25,"index_lag":{"milliseconds":90000}}"#).is_ok());
        assert!(serde_json::from_str::<Settings>(r#"{"result_capp":25}"#).is_err());
    }
}
