//! The rows that differ between the listing and the table, each classified by asking for its page.

use super::classify::{Classifier, Verdict};
use super::guard::RemovalGuard;
use super::{Classification, Sweep};
use crate::databricks::MAX_BODY_BYTES;
use crate::failure::{Failure, FailureClass};
use crate::run::progress::ProgressEvent;
use crate::sync::batch::{Batcher, STATEMENT_OVERHEAD_BYTES};
use crate::sync::merge::too_large;
use crate::sync::{OutOfTime, Stop};
use crate::warehouse::{Difference, EncodedRow, Removal, Row, Side};

impl Sweep<'_> {
    /// Classifies each row that differs: a removal is collected, a live row is written.
    ///
    /// Removals are only collected here and marked after the whole window, so that the guard is asked before anything is
    /// marked: a listing that lacks half of the table is refused as a whole, not after the first fifth of it. The guard is
    /// asked after every removal, because each costs a request: a database of 100,000 rows that lost its listing would
    /// otherwise be asked for row by row for hours before the same refusal.
    pub(super) async fn classify_all(
        &mut self,
        differences: &[Difference],
        guard: RemovalGuard,
    ) -> Result<Classification, Failure> {
        let engine = self.engine;
        let mut classifier = Classifier::new(engine, self.ids.clone());
        let mut batcher = Batcher::new(engine.config.merge_batch_bytes.min(MAX_BODY_BYTES), Vec::new());
        let mut classified = Classification::All;
        for (index, difference) in differences.iter().enumerate() {
            let verdict = classifier.classify(difference).await;
            for warning in classifier.warnings.drain(..) {
                engine.run.warn("properties not read in full", warning);
            }
            match verdict {
                Ok(Verdict::Removed(removal_reason, in_trash)) => {
                    let (page_id, database_id) = (difference.page_id, engine.database.id);
                    let removal = Removal { page_id, database_id, removal_reason, in_trash };
                    self.removals.push((removal, difference.data_source_id));
                    if let Some(limit) = guard.exceeded_by(self.removals.len()) {
                        return Err(self.refused(limit, differences));
                    }
                }
                Ok(Verdict::Live(row)) => match self.write(&row, &mut batcher).await {
                    Ok(()) => {}
                    Err(Stop::OutOfTime(out_of_time)) => return Ok(Classification::Undecided(out_of_time)),
                    Err(Stop::Failed(failure)) => return Err(failure),
                },
                Ok(Verdict::Nothing) => {}
                Ok(Verdict::Unclear(reason)) => {
                    engine.run.warn(
                        "row unclear",
                        format!("page {}: {reason}; the row was left as it is", difference.page_id),
                    );
                    self.unclear.add(difference.page_id, reason);
                }
                Err(Stop::OutOfTime(out_of_time)) => {
                    classified = self.cut_short(out_of_time, &differences[index..], guard, differences)?;
                    break;
                }
                Err(Stop::Failed(failure)) => return Err(failure),
            }
            let (checked, of) = (index as u64 + 1, differences.len() as u64);
            engine.run.progress.tell(&ProgressEvent::Classified { checked, of });
        }
        if let Classification::Undecided(_) = classified {
            return Ok(classified);
        }
        if let Some(batch) = batcher.finish() {
            match self.merger.send(batch).await {
                Ok(()) => {}
                Err(Stop::OutOfTime(out_of_time)) => return Ok(Classification::Undecided(out_of_time)),
                Err(Stop::Failed(failure)) => return Err(failure),
            }
        }
        Ok(classified)
    }

    /// Decides at the deadline about the removals found so far, before the rows that are `left` are classified.
    ///
    /// Each row that Notion does not list may turn out to be removed, and so may a row that differs otherwise, if it was
    /// trashed since the listing. When the found and the missing together are too many, the sweep is refused now, as it
    /// would be after asking for all of them: the next run would only find the same. When only all three together are too
    /// many, it is not yet known, and nothing is marked. Otherwise no answer can change the verdict of the guard.
    fn cut_short(
        &self,
        out_of_time: OutOfTime,
        left: &[Difference],
        guard: RemovalGuard,
        differences: &[Difference],
    ) -> Result<Classification, Failure> {
        let count = |side| left.iter().filter(|difference| difference.side == side).count();
        let (missing, stale) = (count(Side::MissingInNotion), count(Side::Stale));
        if let Some(limit) = guard.exceeded_by(self.removals.len() + missing) {
            return Err(self.refused(limit, differences));
        }
        Ok(match guard.exceeded_by(self.removals.len() + missing + stale) {
            Some(_) => Classification::Undecided(out_of_time),
            None => Classification::Part(out_of_time),
        })
    }

    async fn write(&mut self, row: &Row, batcher: &mut Batcher) -> Result<(), Stop> {
        let encoded = EncodedRow::encode(row)?;
        let bytes = encoded.body_bytes + STATEMENT_OVERHEAD_BYTES;
        if bytes > MAX_BODY_BYTES {
            return Err(too_large(std::slice::from_ref(&encoded), bytes, "it is too large").into());
        }
        if let Some(batch) = batcher.push(encoded) {
            self.merger.send(batch).await?;
        }
        Ok(())
    }

    fn refused(&self, limit: u64, differences: &[Difference]) -> Failure {
        let missing = differences.iter().filter(|difference| difference.side == Side::MissingInNotion).count();
        let message = format!(
            "database {}: Notion does not list {missing} rows that are live in the table, more than the {limit} that may be \
             marked (SWEEP_MAX_REMOVED_SHARE {}); nothing was marked",
            self.engine.database.name, self.engine.config.max_removed_share
        );
        Failure::new(FailureClass::RemovalShareExceeded, message)
    }
}
