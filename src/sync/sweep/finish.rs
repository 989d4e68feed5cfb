//! The end of a sweep: removals are marked, and its end or its position is stored.

use std::collections::HashSet;

use serde_json::Value;

use super::{Sweep, mark};
use crate::failure::Failure;
use crate::ids::DataSourceId;
use crate::notion::DataSourceRef;
use crate::run::Run;
use crate::run::clock::Minute;
use crate::run::report::{DataSourceReport, Mode, Report, Totals};
use crate::sync::Stop;
use crate::warehouse::{ProofKey, Removal};
use crate::watermark::{PendingSweep, Position, StoreOutcome, StoredPosition, SweepProgress, Watermark};

impl Sweep<'_> {
    /// Marks the removals that were found.
    pub(super) async fn mark(&self, report: &mut Report) -> Result<(), Stop> {
        let run = self.engine.run.for_merging();
        let vanished: HashSet<DataSourceId> =
            self.removals.iter().filter_map(|(_, source)| source.filter(|source| !self.ids.contains(source))).collect();
        for source in vanished {
            // Forgotten before its rows are marked: should it come back, they are all read again.
            self.engine.watermarks.drop_source(self.engine.database.id, source, &run).await?;
        }
        let removals: Vec<Removal> = self.removals.iter().map(|(removal, _)| removal.clone()).collect();
        report.totals.pages_removed += mark::mark(self.engine, &removals, &run).await?;
        Ok(())
    }

    /// Proves the rows that the sweep wrote, and stores its end, or the position from which the next run continues.
    pub(super) async fn finish(mut self, is_complete: bool, report: &mut Report) -> Result<(), Failure> {
        let run = self.engine.run.for_storing();
        let removed = self.removed_before() + self.removals.len() as u64;
        let progress = self.compared_before.map(|created_before| SweepProgress { created_before, removed });
        // The proof goes with the first statement; it covers the rows of all data sources.
        let mut keys = self.merger.sent.keys();
        for source in self.sources {
            let Some(mut watermark) = self.watermarks.remove(&source.id) else { continue };
            let pending = watermark.position.sweep();
            let mut position = None;
            if is_complete {
                watermark.last_sweep_at = Some(run.clock.now());
                if pending.is_some() {
                    watermark.position = StoredPosition::Nothing;
                }
            } else if pending.is_some() || watermark.position.is_nothing() {
                let ends_full_refresh = pending.is_some_and(|pending| pending.ends_full_refresh);
                let rest = Position::of_sweep(run.clock.now(), PendingSweep { progress, ends_full_refresh });
                position = rest.to_value();
                watermark.position = StoredPosition::Unfinished(rest);
            }
            self.store(watermark.clone(), &std::mem::take(&mut keys), &run).await?;
            let removed = self.removals.iter().filter(|(_, from)| *from == Some(source.id)).count() as u64;
            note_source(report, source, removed, watermark.synced_through, position);
        }
        Ok(())
    }

    /// Stores the end of the sweep for one data source; when the cache was behind, on top of the row of the truth.
    async fn store(&self, mut watermark: Watermark, keys: &[ProofKey], run: &Run) -> Result<(), Failure> {
        let watermarks = &self.engine.watermarks;
        if watermarks.store(&mut watermark, keys, run).await? != StoreOutcome::CacheIsStale {
            return Ok(());
        }
        let mut stored = watermarks.from_truth(self.engine.database, watermark.data_source_id, run).await?;
        stored.last_sweep_at = watermark.last_sweep_at;
        if stored.position.sweep().is_some() {
            stored.position = watermark.position;
        }
        watermarks.store(&mut stored, keys, run).await?;
        Ok(())
    }

    /// Drops the pending sweep after the guard refused it: a person decides, and incremental runs continue until then.
    pub(super) async fn drop_pending(&mut self) -> Result<(), Failure> {
        let run = self.engine.run.for_storing();
        for watermark in self.watermarks.values_mut().filter(|watermark| watermark.position.sweep().is_some()) {
            watermark.position = StoredPosition::Nothing;
            self.engine.watermarks.store(watermark, &[], &run).await?;
        }
        Ok(())
    }
}

/// Adds the sweep's share to the data source's entry in the report, or makes one when the sweep runs alone.
fn note_source(
    report: &mut Report,
    source: &DataSourceRef,
    removed: u64,
    synced_through: Option<Minute>,
    position: Option<Value>,
) {
    if let Some(entry) = report.data_sources.iter_mut().find(|entry| entry.data_source_id == source.id) {
        entry.totals.pages_removed += removed;
        entry.resume = position;
        return;
    }
    let synced_through = synced_through.map(Minute::start);
    report.mode = Some(Mode::Sweep);
    report.data_sources.push(DataSourceReport {
        data_source_id: source.id,
        name: source.name.clone(),
        mode: Mode::Sweep,
        totals: Totals { pages_removed: removed, ..Totals::default() },
        preview: None,
        window: None,
        watermark_before: synced_through,
        watermark_after: synced_through,
        resume: position,
        warnings: Vec::new(),
    });
}
