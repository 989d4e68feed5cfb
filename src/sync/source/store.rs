//! The end of a walk: the watermark advances, or the position is stored.

use super::walk::Walk;
use super::{SourceOutcome, SourceSync};
use crate::failure::{Failure, FailureClass};
use crate::run::report::Mode;
use crate::sync::merge::Merger;
use crate::sync::plan::Plan;
use crate::watermark::{Position, StoreOutcome, Stretch, Watermark};

/// The kind of the warnings given here.
const POSITION_WARNING: &str = "position";

impl SourceSync<'_> {
    /// Everything is walked and committed: proves it, then moves the truth, then the cache. A run that wrote nothing moves
    /// the cache alone.
    pub(super) async fn advance(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        walk: Walk,
    ) -> Result<SourceOutcome, Failure> {
        let run = self.run.for_storing();
        let merger = &walk.merger;
        let is_full = planned.mode() == Mode::FullRefresh;
        let pending_sweep = planned.sweep().map(|sweep| Position::of_sweep(planned.started_at, sweep));
        let mut next = Watermark {
            synced_through: Some(planned.target),
            // Cleared by the sweep: if something ends this run before that, the next one does it.
            position: pending_sweep.into(),
            last_full_refresh_at: if is_full { Some(run.clock.now()) } else { watermark.last_full_refresh_at },
            recent: walk.known_rows.into_remembered(),
            ..watermark.clone()
        };
        // A position that the truth may hold must be cleared there too.
        let wrote_nothing = merger.sent.is_empty() && !is_full && watermark.position.is_nothing();
        if wrote_nothing && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(&next, &run).await;
        } else {
            match self.engine.watermarks.store(&mut next, &merger.sent.keys(), &run).await? {
                StoreOutcome::Advanced => {}
                StoreOutcome::AlreadyFurther => {
                    let warning = "another run already advanced the watermark; it was left unchanged";
                    run.warn(POSITION_WARNING, warning);
                }
                StoreOutcome::CacheIsStale => return Ok(SourceOutcome::CacheWasStale),
            }
        }
        if is_full && let Some(seen) = &mut self.seen {
            seen.walked(&planned.stretches);
        }
        *watermark = next;
        self.position = None;
        Ok(SourceOutcome::Advanced)
    }

    /// Proves what is committed and stores the position after it; the watermark stays.
    pub(super) async fn store_position(
        &mut self,
        planned: &Plan,
        watermark: &mut Watermark,
        merger: &Merger,
        rest: Vec<Stretch>,
    ) -> Result<(), Failure> {
        let nothing_gained = rest == planned.stretches && merger.sent.is_empty();
        // Without a stored position the next run plans the very same, unless a full refresh or a sweep was asked for.
        let is_planned_again = planned.is_resumed || planned.sweep().is_none() || watermark.synced_through.is_none();
        if nothing_gained && is_planned_again {
            self.position = watermark.position.unfinished()?.cloned();
            return Ok(());
        }
        let position = planned.position(rest);
        if self.position == position {
            // Stored in the middle of the walk already.
            return Ok(());
        }
        let run = self.run.for_storing();
        let mut next = Watermark { position: position.clone().into(), ..watermark.clone() };
        if merger.sent.is_empty() && self.is_cache_usable {
            self.engine.watermarks.store_in_cache(&next, &run).await;
        } else {
            match self.engine.watermarks.store(&mut next, &merger.sent.keys(), &run).await {
                Ok(StoreOutcome::Advanced) => {}
                Ok(StoreOutcome::AlreadyFurther) => {
                    let warning = "the position was not stored: the stored watermark is later, from another run";
                    run.warn(POSITION_WARNING, warning);
                }
                Ok(StoreOutcome::CacheIsStale) => return Ok(()),
                Err(failure) if failure.class() == FailureClass::DeadlineExceeded => {
                    let warning =
                        "there was no time left to store the last position; the next run repeats what came after it";
                    run.warn(POSITION_WARNING, warning);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        *watermark = next;
        self.position = position;
        Ok(())
    }
}
