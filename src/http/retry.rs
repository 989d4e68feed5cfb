//! The retry loop: counts tries and sleeps between them. It wraps one HTTP exchange, never submit-and-poll; the caller
//! classifies its errors and nothing else.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

use crate::http::rate_limit::RateLimiter;
use crate::run::Run;

/// The longest time that one exchange waits because the server asks for it, where no deadline ends the run before.
const MAX_SERVER_WAIT: Duration = Duration::from_secs(15 * 60);

/// The least that counts as a server's wait, so that `Retry-After: 0` can't make a busy loop.
const MIN_SERVER_WAIT: Duration = Duration::from_millis(250);

/// That least grows with every try, up to so many times itself (5 s).
const MAX_MIN_WAIT_FACTOR: u32 = 20;

/// The number of retries after a transient error, and their delays (3 retries, 1 s, 2 s, 4 s with jitter).
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub max_retries: usize,
    /// Wait before the first retry; doubled each time, plus a random part of up to the same length.
    pub first_delay: Duration,
    /// For an exchange that can ask for less: an overload is waited out no more often than the tries allow, so that the
    /// caller gets to ask for less. Otherwise a server's wait uses up no try.
    pub gives_up_overload: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 3, first_delay: Duration::from_secs(1), gives_up_overload: false }
    }
}

impl RetryPolicy {
    /// The waits between the tries of one exchange; ends when the tries are used up.
    pub fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_factor(2.0)
            .with_max_times(self.max_retries)
            .with_jitter()
            .build()
    }

    /// The waits while a server is busy: doubled each time up to 16 times the first one, without end.
    fn busy_delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_factor(2.0)
            .with_max_delay(self.first_delay * 16)
            .without_max_times()
            .with_jitter()
            .build()
    }

    /// The longest time that one exchange waits for a busy server that names no wait: 5 minutes, as Databricks' own clients
    /// do (facts/databricks §1.5).
    fn busy_budget(&self) -> Duration {
        self.first_delay * 300
    }
}

/// The demand of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Transient: again after the backoff, using up a try.
    Retry,
    /// The server is busy and names no wait: again with longer waits, as long as the policy's time for it lasts.
    Busy,
    /// The server names the wait: everyone pauses, no try is used up.
    Wait(Duration),
    /// An overload of which the server says how long to wait: a wait, unless the exchange can ask for less.
    WaitOrLess(Duration),
    /// Final for this exchange.
    Final,
}

/// An error that knows what to do about itself.
pub(crate) trait RetryDecision {
    /// Returns the reaction that the error asks for.
    fn verdict(&self) -> Verdict;
}

/// The reason that an exchange gave no answer.
#[derive(Debug)]
pub(crate) enum RetryError<E> {
    /// The last error, after `tries` tries.
    Failed {
        /// The last error.
        error: E,
        /// The number of tries.
        tries: u32,
    },
    /// The run's time for work is over, or a wait would outlast it.
    DeadlineNear {
        /// The wait that a server asked for, if that was the reason.
        retry_after: Option<Duration>,
    },
}

/// Tries one exchange until it succeeds, is final, runs out of tries or out of time.
pub(crate) async fn exchange<T, E, F, A>(
    policy: &RetryPolicy,
    limiter: &RateLimiter,
    run: &Run,
    attempt: F,
) -> Result<T, RetryError<E>>
where
    E: RetryDecision,
    F: Fn() -> A,
    A: Future<Output = Result<T, E>>,
{
    let mut delays = policy.delays();
    let mut tries = 0;
    let mut waited_for_server = Duration::ZERO;
    let (mut busy_delays, mut waited_for_busy) = (policy.busy_delays(), Duration::ZERO);
    loop {
        if run.deadline.is_near() {
            return Err(RetryError::DeadlineNear { retry_after: None });
        }
        if let Err(pause) = limiter.permit(&run.deadline).await {
            return Err(RetryError::DeadlineNear { retry_after: Some(pause.left) });
        }
        tries += 1;
        let error = match run.deadline.bound(attempt()).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => error,
            None => return Err(RetryError::DeadlineNear { retry_after: None }),
        };
        match error.verdict() {
            Verdict::Final => return Err(RetryError::Failed { error, tries }),
            Verdict::WaitOrLess(_) if policy.gives_up_overload && delays.next().is_none() => {
                return Err(RetryError::Failed { error, tries });
            }
            Verdict::Wait(asked) | Verdict::WaitOrLess(asked) => {
                // One that asks for no wait at all, again and again, is asked ever less often.
                let wait = asked.max(MIN_SERVER_WAIT * tries.min(MAX_MIN_WAIT_FACTOR));
                waited_for_server += wait;
                run.meter.rate_limit_wait();
                match run.deadline.left_for_work() {
                    Some(left) if left < wait => return Err(RetryError::DeadlineNear { retry_after: Some(wait) }),
                    None if waited_for_server > MAX_SERVER_WAIT => return Err(RetryError::Failed { error, tries }),
                    _ => {}
                }
                run.progress.tell(&crate::run::progress::ProgressEvent::Waiting { seconds: wait.as_secs() });
                limiter.pause(wait);
            }
            Verdict::Busy => {
                let delay = busy_delays.next().unwrap_or(policy.first_delay);
                waited_for_busy += delay;
                if waited_for_busy > policy.busy_budget() {
                    return Err(RetryError::Failed { error, tries });
                }
                if run.deadline.left_for_work().is_some_and(|left| left < delay) {
                    return Err(RetryError::DeadlineNear { retry_after: None });
                }
                if run.deadline.bound(sleep(delay)).await.is_none() {
                    return Err(RetryError::DeadlineNear { retry_after: None });
                }
            }
            Verdict::Retry => {
                let Some(delay) = delays.next() else { return Err(RetryError::Failed { error, tries }) };
                if run.deadline.left_for_work().is_some_and(|left| left < delay) {
                    return Err(RetryError::DeadlineNear { retry_after: None });
                }
                if run.deadline.bound(sleep(delay)).await.is_none() {
                    return Err(RetryError::DeadlineNear { retry_after: None });
                }
            }
        }
        run.meter.retry();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::run::clock::Clock;
    use crate::run::deadline::Deadline;
    use crate::run::progress::Progress;

    #[derive(Debug)]
    struct Fault(Verdict);

    impl RetryDecision for Fault {
        fn verdict(&self) -> Verdict {
            self.0
        }
    }

    fn run(deadline: Deadline) -> Run {
        Run::new(deadline, Clock::System, Progress::default())
    }

    #[tokio::test(start_paused = true)]
    async fn three_retries_and_then_the_last_error_without_a_last_sleep() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let began = tokio::time::Instant::now();
        let stopped = exchange(&RetryPolicy::default(), &limiter, &run(Deadline::none()), || async {
            Err::<(), _>(Fault(Verdict::Retry))
        })
        .await
        .unwrap_err();
        assert!(matches!(stopped, RetryError::Failed { tries: 4, .. }));
        let waited = began.elapsed().as_secs_f64();
        assert!((7.0..14.1).contains(&waited), "1 s, 2 s, 4 s, each with up to as much jitter: {waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_that_the_server_asks_for_use_up_no_tries() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let run = run(Deadline::none());
        let tries = AtomicU32::new(0);
        let answer = exchange(&RetryPolicy::default(), &limiter, &run, || async {
            if tries.fetch_add(1, Ordering::Relaxed) < 10 {
                Err(Fault(Verdict::Wait(Duration::from_secs(49))))
            } else {
                Ok("rows")
            }
        })
        .await
        .unwrap();
        assert_eq!(answer, "rows");
        assert_eq!(run.meter.totals().rate_limit_waits, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_named_by_an_overload_uses_up_a_try_only_where_less_can_be_asked_for() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let began = tokio::time::Instant::now();
        let overload = || async { Err::<(), _>(Fault(Verdict::WaitOrLess(Duration::from_secs(30)))) };
        let within = run(Deadline::after(Duration::from_secs(500)));
        let waits_it_out = RetryPolicy::default();
        let lasting = exchange(&waits_it_out, &limiter, &within, overload);
        assert!(matches!(lasting.await.unwrap_err(), RetryError::DeadlineNear { retry_after: Some(_) }));
        assert!(began.elapsed().as_secs() > 360, "as long as there was time");
        let policy = RetryPolicy { gives_up_overload: true, ..RetryPolicy::default() };
        let began = tokio::time::Instant::now();
        let stopped = exchange(&policy, &limiter, &run(Deadline::none()), || async {
            Err::<(), _>(Fault(Verdict::WaitOrLess(Duration::from_secs(30))))
        })
        .await
        .unwrap_err();
        assert!(matches!(stopped, RetryError::Failed { tries: 4, .. }));
        assert_eq!(began.elapsed().as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_ends_the_run_as_partial_with_the_wait_named() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let run = run(Deadline::after(Duration::from_secs(100)));
        let stopped = exchange(&RetryPolicy::default(), &limiter, &run, || async {
            Err::<(), _>(Fault(Verdict::Wait(Duration::from_secs(300))))
        })
        .await
        .unwrap_err();
        let RetryError::DeadlineNear { retry_after: Some(left) } = stopped else { panic!("{stopped:?}") };
        assert_eq!(left.as_secs(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_exchange_is_given_up_when_the_time_for_work_is_over() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let run = run(Deadline::after(Duration::from_secs(10)));
        let began = tokio::time::Instant::now();
        let stopped = exchange(&RetryPolicy::default(), &limiter, &run, || async {
            std::future::pending::<Result<(), Fault>>().await
        })
        .await
        .unwrap_err();
        assert!(matches!(stopped, RetryError::DeadlineNear { retry_after: None }));
        assert_eq!(began.elapsed().as_secs(), 8);
    }
}
