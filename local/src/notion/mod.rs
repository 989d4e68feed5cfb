//! The Notion emulator: a stateful workspace behind Notion's HTTP API, as faithful as `facts` and recorded traffic
//! allow, and awkward wherever Notion is. It shares no types with the product.
//!
//! [`NotionEmulator::start`] opens it; [`NotionEmulator::workspace`] reaches the state ([`Workspace`]) from a test or
//! the seed; `/control/…` does the same over HTTP (table in [`control`]). [`Settings`] has every switch.
//!
//! Not there: search, blocks, comments, users other than `me`, creating pages by the API, rollup filters, webhooks.
//! Assumptions that no source settles: a query of a trashed data source answers 404; the 26th mention of a text is left
//! out while the text around it stays; a cursor is one row of one query body and one page size.

mod answers;
mod api;
mod clock;
mod computed;
pub mod control;
mod error;
mod gzip;
mod hooks;
mod ids;
mod items;
mod json;
mod limits;
mod log;
mod pages;
mod patch;
mod query;
mod raw;
mod render;
mod schema;
mod server;
mod settings;
#[cfg(test)]
mod stories;
mod value;
mod world;

pub use answers::{CannedAnswer, ScriptedAnswer};
pub use log::LoggedRequest;
pub use server::NotionEmulator;
pub use settings::{
    DEFAULT_TOKEN, FilterTime, GoneRowCursor, IndexLag, ItemLists, MentionCount, RequestLimit, Settings, TieOrder,
};
pub use value::{DateRange, File, Person, Span, Value};
pub use world::{
    CutProperty, Destination, ExpectedRow, Formula, Icon, NewRow, ParentShown, RowEdit, SignedUrls, Workspace,
    WorkspaceError,
};
