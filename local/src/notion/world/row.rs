//! One row: its versions, and which of them queries see.

use std::sync::Arc;

use uuid::Uuid;

use super::super::value::{File, Value};

/// The content of a row at one time.
#[derive(Debug, Clone)]
pub(in super::super) struct RowState {
    pub(in super::super) parent: Parent,
    /// Hidden milliseconds.
    pub(in super::super) created_ms: i64,
    /// Hidden milliseconds.
    pub(in super::super) edited_ms: i64,
    pub(in super::super) created_by: Uuid,
    pub(in super::super) edited_by: Uuid,
    pub(in super::super) icon: Option<Icon>,
    pub(in super::super) cover: Option<File>,
    pub(in super::super) archived: bool,
    pub(in super::super) trashed: bool,
    pub(in super::super) locked: bool,
    pub(in super::super) properties: Properties,
}

/// The home of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Parent {
    DataSource(Uuid),
    Page(Uuid),
    Agent(Uuid),
}

impl Parent {
    pub(in super::super) fn data_source(self) -> Option<Uuid> {
        match self {
            Self::DataSource(id) => Some(id),
            Self::Page(_) | Self::Agent(_) => None,
        }
    }
}

/// A row's icon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Icon {
    Emoji(String),
    File(File),
}

/// A row's values, by schema key; or the planted text of the whole `properties` object.
#[derive(Debug, Clone)]
pub(in super::super) enum Properties {
    Values(Arc<Vec<(usize, Value)>>),
    Raw(Arc<str>),
}

impl RowState {
    /// True if each read may show other bytes.
    pub(in super::super) fn has_signed_url(&self) -> bool {
        let uploaded = |file: &File| matches!(file, File::Uploaded { .. });
        let pictures =
            matches!(&self.icon, Some(Icon::File(file)) if uploaded(file)) || self.cover.as_ref().is_some_and(uploaded);
        pictures
            || match &self.properties {
                Properties::Values(values) => values.iter().any(|(_, value)| value.has_signed_url()),
                Properties::Raw(_) => false,
            }
    }
}

/// From when on queries see a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Visible {
    From(i64),
    UntilTold,
}

impl Visible {
    fn at(self, now_ms: i64) -> bool {
        matches!(self, Self::From(from_ms) if from_ms <= now_ms)
    }
}

/// The parent in the table's place: a page, or (in a wiki) a data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Page,
    DataSource(Uuid),
}

/// Returns the parent as a page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentShown {
    /// As it is.
    AsItIs,
    /// `"parent":null`.
    Null,
    /// A type without an id.
    WithoutId,
    /// No key `parent` at all.
    Missing,
}

/// One row.
#[derive(Debug)]
pub(in super::super) struct Row {
    pub(in super::super) id: Uuid,
    /// Place in the order of adding.
    pub(in super::super) number: u64,
    pub(in super::super) kind: Kind,
    pub(in super::super) shared: bool,
    /// True if only `{object,id}` is shown.
    pub(in super::super) partial: bool,
    /// True if it was turned into a database: no query shows it, and `GET` of the page refuses its id.
    pub(in super::super) is_database: bool,
    pub(in super::super) parent_shown: ParentShown,
    /// Returns the version that `GET` shows.
    current: Arc<RowState>,
    visible: Visible,
    /// The earlier versions, oldest first, while queries may still show them.
    older: Vec<(Visible, Arc<RowState>)>,
    /// The bytes last served in full of a state whose bytes differ on each read.
    last_served: Option<(Arc<RowState>, Arc<str>)>,
}

impl Row {
    pub(in super::super) fn new(id: Uuid, number: u64, kind: Kind, visible: Visible, state: RowState) -> Self {
        let current = Arc::new(state);
        Self {
            id,
            number,
            kind,
            shared: true,
            partial: false,
            is_database: false,
            parent_shown: ParentShown::AsItIs,
            current,
            visible,
            older: Vec::new(),
            last_served: None,
        }
    }

    /// Returns the version that `GET` shows.
    pub(in super::super) fn current(&self) -> &Arc<RowState> {
        &self.current
    }

    /// Returns the version that queries show; `None` while the row is not indexed yet.
    pub(in super::super) fn indexed(&self, now_ms: i64) -> Option<&Arc<RowState>> {
        if self.visible.at(now_ms) {
            return Some(&self.current);
        }
        self.older.iter().rev().find(|(visible, _)| visible.at(now_ms)).map(|(_, state)| state)
    }

    /// When queries will next see something else, if that is only a matter of time.
    pub(in super::super) fn next_visible_ms(&self, now_ms: i64) -> Option<i64> {
        let all = self.older.iter().map(|(visible, _)| *visible).chain([self.visible]);
        let later = all.filter_map(|visible| match visible {
            Visible::From(from_ms) if from_ms > now_ms => Some(from_ms),
            _ => None,
        });
        later.min()
    }

    /// Makes `state` the current one. Versions that no query will ever show again are dropped.
    pub(in super::super) fn push(&mut self, visible: Visible, state: RowState, now_ms: i64) {
        let replaced = std::mem::replace(&mut self.current, Arc::new(state));
        self.older.push((std::mem::replace(&mut self.visible, visible), replaced));
        if visible.at(now_ms) {
            self.older.clear();
        } else if let Some(shown) = self.older.iter().rposition(|(visible, _)| visible.at(now_ms)) {
            self.older.drain(..shown);
        }
    }

    /// Shows queries what `GET` shows.
    pub(in super::super) fn publish(&mut self) {
        self.older.clear();
        self.visible = Visible::From(i64::MIN);
    }

    /// The data sources that one of its versions lives in.
    pub(in super::super) fn data_sources(&self) -> Vec<Uuid> {
        let states = self.older.iter().map(|(_, state)| state).chain([&self.current]);
        let mut ids: Vec<Uuid> = states.filter_map(|state| state.parent.data_source()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub(in super::super) fn remember_served(&mut self, state: Arc<RowState>, text: &str) {
        self.last_served = Some((state, text.into()));
    }

    /// The bytes last served of the current state, if they were kept.
    pub(in super::super) fn last_served(&self) -> Option<&str> {
        let (state, text) = self.last_served.as_ref()?;
        Arc::ptr_eq(state, self.current()).then_some(text)
    }
}
