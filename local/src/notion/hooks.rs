//! Scripted changes while a reader is at work.

use std::fmt;

use uuid::Uuid;

use super::ids::parse_id;
use super::world::{Workspace, WorkspaceError};

type Change = Box<dyn FnOnce(&mut Workspace) + Send>;

/// Changes that wait for their moment; each happens once.
#[derive(Default)]
pub(super) struct Hooks {
    after_pages: Vec<(Option<Uuid>, u32, Change)>,
    after_requests: Vec<(u32, Change)>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} after pages, {} after requests", self.after_pages.len(), self.after_requests.len())
    }
}

impl Workspace {
    /// Makes a change right after the next page with this number (in its walk; the first is 1) was served by a query
    /// of this data source, or of any when `None`. The served page does not show the change, the next one may.
    ///
    /// # Errors
    /// When the data source's id is no id.
    pub fn after_query_page(
        &mut self,
        data_source_id: Option<&str>,
        page: u32,
        change: impl FnOnce(&mut Self) + Send + 'static,
    ) -> Result<(), WorkspaceError> {
        let source = data_source_id
            .map(|id| parse_id(id).ok_or_else(|| WorkspaceError(format!("{id} is no Notion id"))))
            .transpose()?;
        self.hooks.after_pages.push((source, page, Box::new(change)));
        Ok(())
    }

    /// Makes a change right after so many more requests under `/v1` were answered (1 = after the next one).
    pub fn after_requests(&mut self, count: u32, change: impl FnOnce(&mut Self) + Send + 'static) {
        self.hooks.after_requests.push((count, Box::new(change)));
    }

    /// Forgets the changes that have not happened yet.
    pub fn clear_hooks(&mut self) {
        self.hooks = Hooks::default();
    }

    /// Returns whether a scripted change still waits for its moment.
    pub fn has_waiting_hooks(&self) -> bool {
        !(self.hooks.after_pages.is_empty() && self.hooks.after_requests.is_empty())
    }

    pub(super) fn page_was_served(&mut self, source: Uuid, page: u32) {
        let due = |(wanted, number, _): &mut (Option<Uuid>, u32, Change)| {
            *number == page && wanted.is_none_or(|wanted| wanted == source)
        };
        let changes: Vec<_> = self.hooks.after_pages.extract_if(.., due).collect();
        for (_, _, change) in changes {
            change(self);
        }
    }

    pub(super) fn request_was_answered(&mut self) {
        for (left, _) in &mut self.hooks.after_requests {
            *left = left.saturating_sub(1);
        }
        let changes: Vec<_> = self.hooks.after_requests.extract_if(.., |(left, _)| *left == 0).collect();
        for (_, change) in changes {
            change(self);
        }
    }
}
