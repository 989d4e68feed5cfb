//! The deadline of a run: the end of its time for new work, and the time at which it must have ended.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest time kept back before a deadline for finishing, proving and storing.
const MAX_RESERVE: Duration = Duration::from_secs(60);

/// The shortest time between two positions stored in the middle of the work.
const MIN_CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// The end of a run's time. It is monotonic, so a step of the wall clock moves nothing.
#[derive(Debug, Clone)]
pub struct Deadline {
    ends: Option<Ends>,
    interruption: Option<watch::Receiver<Option<Ends>>>,
    /// The part of the reserve that is kept from work: one divided by this.
    kept_divisor: u32,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    hard: Instant,
    /// The time kept back, however much of it is being used.
    reserve: Duration,
}

impl Ends {
    fn after(run_time: Duration, reserve: Duration) -> Option<Self> {
        Some(Self { hard: Instant::now().checked_add(run_time)?, reserve })
    }
}

/// A switch that ends runs early: Ctrl-C on the command line.
#[derive(Debug)]
pub struct Interruption {
    ends: watch::Sender<Option<Ends>>,
}

impl Default for Interruption {
    fn default() -> Self {
        Self { ends: watch::Sender::new(None) }
    }
}

impl Interruption {
    /// Ends the time for new work now. Work in progress has `grace` to be finished, cancelled and stored.
    pub fn interrupt(&self, grace: Duration) {
        self.ends.send_replace(Ends::after(grace, grace));
    }

    /// Returns true once runs were asked to end.
    pub fn is_asked_for(&self) -> bool {
        self.ends.borrow().is_some()
    }
}

impl Deadline {
    /// No deadline at all (the command line's default).
    pub fn none() -> Self {
        Self { ends: None, interruption: None, kept_divisor: 1 }
    }

    /// A deadline `run_time` from now; the smaller of 60 s and a fifth of it is kept back for the end of the run.
    pub fn after(run_time: Duration) -> Self {
        let reserve = MAX_RESERVE.min(run_time / 5);
        Self { ends: Ends::after(run_time, reserve), ..Self::none() }
    }

    /// Returns this deadline, which now also ends when `interruption` comes.
    pub fn or(self, interruption: &Interruption) -> Self {
        Self { interruption: Some(interruption.ends.subscribe()), ..self }
    }

    /// Returns true when no new work may begin.
    pub fn is_near(&self) -> bool {
        self.work_ends_at().is_some_and(|soft| Instant::now() >= soft)
    }

    /// Returns the time left for new work; `None` = unlimited.
    pub fn left_for_work(&self) -> Option<Duration> {
        self.work_ends_at().map(|soft| soft.saturating_duration_since(Instant::now()))
    }

    /// Bounds `work` by the time for work: `None` when that is over first, and the work is dropped. The work is boxed
    /// here, so that the futures of those who wait for it stay small.
    pub fn bound<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        let work = Box::pin(work);
        async move {
            tokio::select! {
                biased;
                done = work => Some(done),
                () = self.end_of_work() => None,
            }
        }
    }

    /// Bounds `work` by a share of the time left for work (`1 / divisor`): for a helper without which the run can continue.
    pub fn bound_share<T>(&self, divisor: u32, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        let bounded = self.bound(work);
        async move {
            match self.left_for_work() {
                Some(left) => timeout(left / divisor, bounded).await.ok().flatten(),
                None => bounded.await,
            }
        }
    }

    /// Returns true when as much time has passed since `mark` as is left for work, so that the position should be stored.
    /// Never true without a deadline, nor within half a second.
    pub fn is_half_gone_since(&self, mark: Instant) -> bool {
        let since = mark.elapsed();
        since >= MIN_CHECKPOINT_INTERVAL && self.left_for_work().is_some_and(|left| since >= left)
    }

    /// Returns the time left until the run must have ended; `None` = unlimited.
    pub fn left(&self) -> Option<Duration> {
        self.ends().map(|ends| ends.hard.saturating_duration_since(Instant::now()))
    }

    /// Returns the deadline for MERGEs in flight when the time for new work is over: half of the reserve is kept from them.
    pub fn for_merging(&self) -> Self {
        Self { kept_divisor: 2, ..self.clone() }
    }

    /// Returns the deadline for storing the position after the last MERGE: an eighth of the reserve is kept for the answer.
    pub fn for_storing(&self) -> Self {
        Self { kept_divisor: 8, ..self.clone() }
    }

    /// Returns the earlier of the deadline's own end and that of an interruption.
    fn ends(&self) -> Option<Ends> {
        let interrupted = self.interruption.as_ref().and_then(|told| *told.borrow());
        match (self.ends, interrupted) {
            (Some(own), Some(interrupted)) if own.hard <= interrupted.hard => Some(own),
            (own, interrupted) => interrupted.or(own),
        }
    }

    fn work_ends_at(&self) -> Option<Instant> {
        let ends = self.ends()?;
        Some(ends.hard.checked_sub(ends.reserve / self.kept_divisor).unwrap_or(ends.hard))
    }

    /// Waits until the time for work is over: for ever without a deadline, unless an interruption comes.
    async fn end_of_work(&self) {
        if let Some(mut told) = self.interruption.clone() {
            let interrupted = async {
                if told.wait_for(Option::is_some).await.is_err() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = interrupted => {}
                () = until(self.work_ends_at()) => {}
            }
        }
        until(self.work_ends_at()).await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_fifth_is_kept_back_and_never_more_than_a_minute() {
        let short = Deadline::after(10 * SECOND);
        assert_eq!(short.left_for_work(), Some(8 * SECOND));
        let long = Deadline::after(900 * SECOND);
        assert_eq!(long.left_for_work(), Some(840 * SECOND));
        assert_eq!(long.left(), Some(900 * SECOND));
        assert!(!Deadline::none().is_near());
        assert_eq!(long.for_merging().left_for_work(), Some(870 * SECOND));
        assert_eq!(long.for_storing().for_storing().left_for_work(), Some(Duration::from_millis(892_500)));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_dropped_when_its_time_is_over() {
        let deadline = Deadline::after(10 * SECOND);
        assert_eq!(deadline.bound(async { 1 }).await, Some(1));
        assert_eq!(deadline.bound(sleep(9 * SECOND)).await, None);
        assert_eq!(deadline.left(), Some(2 * SECOND));
        let deadline = Deadline::after(10 * SECOND);
        assert_eq!(deadline.bound_share(4, sleep(3 * SECOND)).await, None);
        assert_eq!(deadline.left_for_work(), Some(6 * SECOND));
        assert_eq!(Deadline::none().bound(sleep(9_000 * SECOND)).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_ends_work_under_way_and_leaves_time_to_store() {
        for own in [Deadline::none(), Deadline::after(900 * SECOND)] {
            let interruption = Interruption::default();
            let deadline = own.or(&interruption);
            let merging = deadline.for_merging();
            let began = Instant::now();
            let interrupt = async {
                sleep(5 * SECOND).await;
                interruption.interrupt(8 * SECOND);
            };
            let (worked, merged, ()) =
                tokio::join!(deadline.bound(sleep(800 * SECOND)), merging.bound(sleep(800 * SECOND)), interrupt);
            assert_eq!((worked, merged), (None, None));
            assert_eq!(began.elapsed(), 9 * SECOND, "merging had half of the grace");
            assert!(deadline.is_near() && interruption.is_asked_for());
            assert_eq!(deadline.for_storing().left_for_work(), Some(3 * SECOND));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_never_makes_a_deadline_later() {
        let interruption = Interruption::default();
        let deadline = Deadline::after(5 * SECOND).or(&interruption);
        interruption.interrupt(60 * SECOND);
        assert_eq!(deadline.left(), Some(5 * SECOND));
    }
}
