//! The time a run may take: until when it may begin new work, and until when it must have ended.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest time kept back before a deadline for finishing, proving and storing.
const LONGEST_RESERVE: Duration = Duration::from_secs(60);

/// The least time between two positions stored in mid-work.
const SHORTEST_CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// Until when a run may work, and until when it must have ended. Monotonic, so a step of the wall clock moves nothing.
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

/// Ends runs before their time: what Ctrl-C is to the command line.
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
    /// From now on no new work is begun; what is under way has `grace` to be finished, cancelled and stored.
    pub fn interrupt(&self, grace: Duration) {
        self.ends.send_replace(Ends::after(grace, grace));
    }

    /// Whether runs were asked to end.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.ends.borrow().is_some()
    }
}

impl Deadline {
    /// No deadline at all (the command line's default).
    #[must_use]
    pub fn none() -> Self {
        Self { ends: None, interruption: None, kept_divisor: 1 }
    }

    /// A deadline `run_time` from now; the smaller of 60 s and a fifth of it is kept back for the end of the run.
    #[must_use]
    pub fn after(run_time: Duration) -> Self {
        let reserve = LONGEST_RESERVE.min(run_time / 5);
        Self { ends: Ends::after(run_time, reserve), ..Self::none() }
    }

    /// The same, or earlier when `interruption` comes.
    #[must_use]
    pub fn or(self, interruption: &Interruption) -> Self {
        Self { interruption: Some(interruption.ends.subscribe()), ..self }
    }

    /// Whether new work must no longer be begun.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.work_ends_at().is_some_and(|soft| Instant::now() >= soft)
    }

    /// Time left for new work; `None` = unlimited.
    #[must_use]
    pub fn left_for_work(&self) -> Option<Duration> {
        self.work_ends_at().map(|soft| soft.saturating_duration_since(Instant::now()))
    }

    /// What `work` brings; `None` when the time for work is over before it has ended.
    pub async fn while_there_is_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.end_of_work() => None,
        }
    }

    /// The same, but at most a quarter of the time left for work: for a helper without which the run goes on.
    pub async fn for_a_quarter_of_the_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let bounded = self.while_there_is_time(work);
        match self.left_for_work() {
            Some(left) => timeout(left / 4, bounded).await.ok().flatten(),
            None => bounded.await,
        }
    }

    /// Whether as much time has gone since `mark` as is left for work: time to store how far the run has come. Never true
    /// without a deadline, nor within half a second.
    #[must_use]
    pub fn is_half_gone_since(&self, mark: Instant) -> bool {
        let since = mark.elapsed();
        since >= SHORTEST_CHECKPOINT_INTERVAL && self.left_for_work().is_some_and(|left| since >= left)
    }

    /// Time left until the run must have ended; `None` = unlimited.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.ends().map(|ends| ends.hard.saturating_duration_since(Instant::now()))
    }

    /// For MERGEs still under way when the time for new work is over: they have until half of the reserve is left.
    #[must_use]
    pub fn for_merging(&self) -> Self {
        Self { kept_divisor: 2, ..self.clone() }
    }

    /// For storing the position after the last MERGE: until an eighth of the reserve is left, for the answer.
    #[must_use]
    pub fn for_storing(&self) -> Self {
        Self { kept_divisor: 8, ..self.clone() }
    }

    /// The earlier of the deadline's own end and an interruption's.
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

    /// Returns when the time for work is over; never without a deadline that no interruption shortens.
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
        assert_eq!(deadline.while_there_is_time(async { 1 }).await, Some(1));
        assert_eq!(deadline.while_there_is_time(sleep(9 * SECOND)).await, None);
        assert_eq!(deadline.left(), Some(2 * SECOND));
        let deadline = Deadline::after(10 * SECOND);
        assert_eq!(deadline.for_a_quarter_of_the_time(sleep(3 * SECOND)).await, None);
        assert_eq!(deadline.left_for_work(), Some(6 * SECOND));
        assert_eq!(Deadline::none().while_there_is_time(sleep(9_000 * SECOND)).await, Some(()));
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
            let (worked, merged, ()) = tokio::join!(
                deadline.while_there_is_time(sleep(800 * SECOND)),
                merging.while_there_is_time(sleep(800 * SECOND)),
                interrupt
            );
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
