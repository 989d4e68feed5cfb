//! Databases and data sources as the API writes them, in the key order of recorded answers.

use uuid::Uuid;

use super::super::clock::{container_text, minute_text};
use super::super::json::{ObjectText, list};
use super::super::value::Span;
use super::super::world::{DataSource, Database};
use super::{Painter, plain_url, span_text, user_reference};

impl Painter<'_> {
    /// A data source as `GET /v1/data_sources/{id}` shows it, without its request id.
    pub(in super::super) fn data_source(&self, source: &DataSource) -> String {
        let user = user_reference(self.world.bot_id());
        let object = ObjectText::with_capacity(1024)
            .text("object", "data_source")
            .text("id", &source.id.to_string())
            .null("cover")
            .null("icon")
            .text("created_time", &minute_text(source.created_ms))
            .raw("created_by", &user)
            .raw("last_edited_by", &user)
            .text("last_edited_time", &minute_text(source.edited_ms))
            .raw("title", &plain_text_list(&source.name))
            .raw("description", "[]")
            .flag("is_inline", false)
            .raw("properties", &source.schema.text())
            .raw(
                "parent",
                &ObjectText::new()
                    .text("type", "database_id")
                    .text("database_id", &source.database.to_string())
                    .finish(),
            )
            .raw("database_parent", &page_parent(self.world.root_page_id()))
            .text("url", &plain_url(source.database))
            .null("public_url")
            .flag("in_trash", source.trashed);
        self.with_archived(object, source.trashed).finish()
    }

    /// A database of one data source as versions before 2025-09-03 show it.
    pub(in super::super) fn database_as_table(&self, database: &Database, source: &DataSource) -> String {
        ObjectText::with_capacity(1024)
            .text("object", "database")
            .text("id", &database.id.to_string())
            .null("cover")
            .null("icon")
            .text("created_time", &minute_text(database.created_ms))
            .text("last_edited_time", &minute_text(database.edited_ms))
            .raw("title", &plain_text_list(&database.name))
            .raw("description", "[]")
            .flag("is_inline", false)
            .raw("properties", &source.schema.text())
            .raw("parent", &page_parent(self.world.root_page_id()))
            .text("url", &plain_url(database.id))
            .null("public_url")
            .flag("in_trash", database.trashed)
            .flag("archived", database.trashed)
            .finish()
    }

    /// A database container as `GET /v1/databases/{id}` shows it, without its request id.
    pub(in super::super) fn database(&self, database: &Database) -> String {
        let listed = if database.lists_sources { self.world.live_sources(database.id) } else { Vec::new() };
        let sources = listed
            .into_iter()
            .map(|source| ObjectText::new().text("id", &source.id.to_string()).text("name", &source.name).finish());
        let object = ObjectText::with_capacity(1024)
            .text("object", "database")
            .text("id", &database.id.to_string())
            .raw("title", &plain_text_list(&database.name))
            .raw("description", "[]")
            .raw("parent", &page_parent(self.world.root_page_id()))
            .flag("is_inline", false)
            .flag("in_trash", database.trashed)
            .flag("is_locked", false)
            .text("created_time", &container_text(database.created_ms))
            .text("last_edited_time", &container_text(database.edited_ms))
            .raw("data_sources", &list(sources))
            .null("icon")
            .null("cover")
            .text("url", &plain_url(database.id))
            .null("public_url");
        self.with_archived(object, database.trashed).finish()
    }
}

fn page_parent(id: Uuid) -> String {
    ObjectText::new().text("type", "page_id").text("page_id", &id.to_string()).finish()
}

fn plain_text_list(text: &str) -> String {
    list(Span::plain(text).iter().map(span_text))
}
