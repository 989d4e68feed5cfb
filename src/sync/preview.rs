//! `sync --dry-run`: reads what a sync would read, and counts what it would write. It only reads: no statement that writes,
//! no watermark, no lease.

use tracing::info;

use super::engine::{Sources, SyncOptions};
use super::known_rows::{KnownRows, RowStatus};
use super::plan::{Plan, plan};
use super::row::row;
use super::walk::{WalkedRow, Walker};
use super::{Engine, OutOfTime, Stop};
use crate::failure::{Failure, FailureClass};
use crate::notion::{DataSourceRef, Partition, truncated_properties};
use crate::run::progress::ProgressEvent;
use crate::run::report::{DataSourceReport, Mode, Preview, Report, Totals};
use crate::watermark::{RecentRows, Watermark};

/// The counts of one data source.
#[derive(Debug, Default)]
struct Counts {
    totals: Totals,
    preview: Preview,
}

impl Engine<'_> {
    /// Reads what a sync with these options would read, and fills the report with what it would do.
    ///
    /// # Errors
    /// The failure that the sync would meet while it reads; `DeadlineExceeded` when the time is over first.
    pub(crate) async fn preview(&self, options: SyncOptions, report: &mut Report) -> Result<(), Failure> {
        self.preview_sources(options, report).await.map_err(|stop| match stop {
            Stop::Failed(failure) => failure,
            Stop::OutOfTime(OutOfTime { retry_after }) => {
                let message = "the time was over before every row was read; nothing was written";
                Failure::new(FailureClass::DeadlineExceeded, message).waiting(retry_after)
            }
        })
    }

    async fn preview_sources(&self, options: SyncOptions, report: &mut Report) -> Result<(), Stop> {
        let Sources { sources, notion_clock } = self.sources().await?;
        if sources.is_empty() {
            return Err(self.no_data_source());
        }
        let peeked = self.watermarks.peek_all(std::slice::from_ref(self.database), self.run).await;
        let stored = peeked.rows_of(self.database)?;
        let mut whole = Preview::default();
        for source in &sources {
            let of_source = stored.iter().find(|stored| stored.data_source_id == source.id).cloned();
            let watermark = of_source.unwrap_or_else(|| Watermark::none(self.database, source.id));
            let now = notion_clock.now(&self.run.clock);
            let planned = plan(&watermark, options.walk_request(), now, self.config.settle)?;
            let counts = self.preview_source(source, &watermark, &planned).await?;
            whole.add(counts.preview);
            report.add_source(previewed(source, &watermark, &planned, counts));
        }
        report.preview = Some(whole);
        Ok(())
    }

    /// Walks the stretches of a plan and compares each row with what the cache remembers of the last run.
    async fn preview_source(
        &self,
        source: &DataSourceRef,
        watermark: &Watermark,
        planned: &Plan,
    ) -> Result<Counts, Stop> {
        let run = self.run.for_source(source.id);
        // As in the sync itself: a full refresh checks what is known as well.
        let known = match planned.mode() {
            Mode::FullRefresh => RecentRows::new(),
            _ => watermark.recent.clone(),
        };
        let mut known = KnownRows::new(known, planned.target);
        let sweep_follows = planned.sweep().is_some();
        let mut counts = Counts { preview: Preview { sweep_follows, ..Preview::default() }, ..Counts::default() };
        let edited_since = planned.scope.edited_since();
        for stretch in &planned.stretches {
            let mut walker = Walker::new(self.notion, source.id, *stretch, edited_since, false);
            while let Some(page) = walker.next_result_page(&run).await? {
                for walked in page.rows {
                    self.count(walked, source, stretch.partition, &mut known, &mut counts)?;
                }
                let pages_read = counts.totals.pages_read;
                run.progress.tell(&ProgressEvent::PagesRead { data_source_id: source.id, pages_read });
            }
        }
        info!(data_source = %source.id, found = ?counts, "this is what a sync would do");
        Ok(counts)
    }

    fn count(
        &self,
        walked: WalkedRow,
        source: &DataSourceRef,
        partition: Partition,
        known: &mut KnownRows,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        if !walked.is_new {
            return Ok(());
        }
        counts.totals.pages_read += 1;
        let page = walked.page;
        let cut = truncated_properties(&page.text).map_err(|error| {
            Failure::new(FailureClass::PageUnreadable, format!("the properties of page {}", page.id)).caused_by(error)
        })?;
        if !cut.is_empty() {
            // What the row comes to is known once its cut properties are read in full, one request each.
            counts.preview.rows_to_read_in_full += 1;
            counts.preview.rows_to_write += 1;
            return Ok(());
        }
        let is_archived = page.is_archived.unwrap_or(partition == Partition::Archived);
        match known.note(&row(page, self.database, source.id, is_archived, None)?) {
            RowStatus::Known => counts.totals.pages_unchanged += 1,
            RowStatus::Overwrites | RowStatus::New => counts.preview.rows_to_write += 1,
        }
        Ok(())
    }
}

/// The entry of a data source in the report of a dry run: the watermark stays where it is.
fn previewed(source: &DataSourceRef, watermark: &Watermark, planned: &Plan, counts: Counts) -> DataSourceReport {
    let synced_through = watermark.synced_through.map(|at| at.start());
    DataSourceReport {
        data_source_id: source.id,
        name: source.name.clone(),
        mode: planned.mode(),
        totals: counts.totals,
        preview: Some(counts.preview),
        window: Some(planned.window()),
        watermark_before: synced_through,
        watermark_after: synced_through,
        resume: watermark.position.to_value(),
        warnings: Vec::new(),
    }
}
