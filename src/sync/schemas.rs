//! The schemas of data sources, read when the first row needs one and once a run: an idle run reads none.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::Stop;
use crate::failure::FailureClass;
use crate::ids::DataSourceId;
use crate::notion::{self, Dependencies, Meaning, NotionError};
use crate::run::Run;

/// What the rollups and formulas of each data source stand on, as far as rows asked.
#[derive(Debug, Default)]
pub struct Schemas {
    read: Mutex<HashMap<DataSourceId, Arc<Dependencies>>>,
}

impl Schemas {
    /// Returns what the schema says. One that can't be read says nothing, so that each rollup and formula counts as cut.
    pub(super) async fn dependencies(
        &self,
        notion: &notion::Client,
        source: DataSourceId,
        run: &Run,
    ) -> Result<Arc<Dependencies>, Stop> {
        let mut read = self.read.lock().await;
        if let Some(known) = read.get(&source) {
            return Ok(Arc::clone(known));
        }
        let found = match notion.data_source_text(source, run).await {
            Ok(text) => Dependencies::read(&text),
            Err(error) if is_unreadable(&error) => Err(error.to_string()),
            Err(error) => return Err(Stop::from(error).context(format!("schema of data source {source}"))),
        };
        let dependencies = Arc::new(found.unwrap_or_else(|why| {
            let warning = format!(
                "the schema of data source {source} can't be read, so all rollups and formulas of pages with a cut relation are \
                 read in full: {why}"
            );
            run.warn("schema", warning);
            Dependencies::default()
        }));
        read.insert(source, Arc::clone(&dependencies));
        Ok(dependencies)
    }
}

/// Returns true when asking again would not help.
fn is_unreadable(error: &NotionError) -> bool {
    let is_refused = matches!(error.meaning(), Some(Meaning::NotFound | Meaning::Forbidden | Meaning::Rejected));
    is_refused || error.class() == FailureClass::NotionUnreadable
}
