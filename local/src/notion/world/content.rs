//! The content of a new row or an edit.

use jiff::Timestamp;

use super::super::value::{File, Person, Value};
use super::row::Icon;

/// A row to add.
#[derive(Debug, Clone, Default)]
pub struct NewRow {
    pub(super) id: Option<String>,
    pub(super) changes: Changes,
    pub(super) created: Option<Timestamp>,
    pub(super) edited: Option<Timestamp>,
    pub(super) created_by: Option<Person>,
    pub(super) archived: bool,
    pub(super) trashed: bool,
}

/// An edit of a row.
#[derive(Debug, Clone, Default)]
pub struct RowEdit {
    pub(super) changes: Changes,
    pub(super) edited: Option<Timestamp>,
    pub(super) edited_by: Option<Person>,
    pub(super) unnoticed: bool,
}

/// The change of a row; everything that isn't named stays.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Changes {
    pub(in super::super) values: Vec<(String, Value)>,
    pub(in super::super) raw_properties: Option<String>,
    pub(in super::super) icon: Option<Option<Icon>>,
    pub(in super::super) cover: Option<Option<File>>,
    pub(in super::super) locked: Option<bool>,
    pub(in super::super) archived: Option<bool>,
    pub(in super::super) trashed: Option<bool>,
}

macro_rules! common_changes {
    ($name:ident) => {
        impl $name {
            /// Sets a property by name (the title by its type). A name the schema lacks is added to it.
            pub fn set(mut self, name: &str, value: Value) -> Self {
                self.changes.values.push((name.to_owned(), value));
                self
            }

            /// Sets the title.
            pub fn title(self, text: &str) -> Self {
                self.set("Name", Value::title(text))
            }

            /// Plants the text of the whole `properties` object, served byte for byte (it need not even be JSON).
            pub fn raw_properties(mut self, text: impl Into<String>) -> Self {
                self.changes.raw_properties = Some(text.into());
                self
            }

            /// Sets an emoji as icon.
            pub fn emoji(mut self, emoji: &str) -> Self {
                self.changes.icon = Some(Some(Icon::Emoji(emoji.to_owned())));
                self
            }

            /// Sets the icon.
            pub fn icon(mut self, icon: Icon) -> Self {
                self.changes.icon = Some(Some(icon));
                self
            }

            /// Sets the cover.
            pub fn cover(mut self, cover: File) -> Self {
                self.changes.cover = Some(Some(cover));
                self
            }
        }
    };
}

common_changes!(NewRow);
common_changes!(RowEdit);

impl NewRow {
    /// A row with this title, made and edited now.
    pub fn titled(text: &str) -> Self {
        Self::default().title(text)
    }

    /// Returns the row under an id of the caller's choice.
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Returns the row with this creation time (milliseconds are kept, though never shown), and edited then unless said otherwise.
    pub fn created(mut self, created: Timestamp) -> Self {
        self.created = Some(created);
        self
    }

    /// Returns the row, last edited then.
    pub fn edited(mut self, edited: Timestamp) -> Self {
        self.edited = Some(edited);
        self
    }

    /// Returns it as made by this person instead of the connection's bot.
    pub fn created_by(mut self, person: Person) -> Self {
        self.created_by = Some(person);
        self
    }

    /// Returns the row, archived.
    pub fn archived(mut self) -> Self {
        self.archived = true;
        self
    }

    /// Returns the row, in the trash.
    pub fn trashed(mut self) -> Self {
        self.trashed = true;
        self
    }
}

impl RowEdit {
    /// An edit that changes nothing yet; it moves `last_edited_time` all the same.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the edit, made at this time instead of now.
    pub fn edited(mut self, edited: Timestamp) -> Self {
        self.edited = Some(edited);
        self
    }

    /// Returns it as made by this person instead of the connection's bot.
    pub fn edited_by(mut self, person: Person) -> Self {
        self.edited_by = Some(person);
        self
    }

    /// Returns the edit without a new `last_edited_time`, as when a rollup or formula is computed again.
    pub fn unnoticed(mut self) -> Self {
        self.unnoticed = true;
        self
    }
}
