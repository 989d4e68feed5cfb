//! Spacing between requests, and the pause that a server asks of everyone (`Retry-After`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota};
use tokio::time::{Instant, sleep_until};

use crate::run::deadline::Deadline;

/// One limiter per API and process: Notion counts per token, not per request or database (facts/notion §4.1).
#[derive(Debug)]
pub(crate) struct RateLimiter {
    spacing: Option<DefaultDirectRateLimiter>,
    paused_until: Mutex<Option<Instant>>,
}

/// A pause asked for by the server ends after the time the run has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PauseOutlastsDeadline {
    /// Returns the rest of the pause.
    pub(crate) left: Duration,
}

impl RateLimiter {
    /// At least `delay` between the starts of two requests; zero = no spacing.
    pub(crate) fn new(delay: Duration) -> Self {
        let spacing = Quota::with_period(delay).map(DefaultDirectRateLimiter::direct);
        Self { spacing, paused_until: Mutex::new(None) }
    }

    /// Waits until the next request may be sent.
    pub(crate) async fn permit(&self, deadline: &Deadline) -> Result<(), PauseOutlastsDeadline> {
        self.wait_out_pause(deadline).await?;
        if let Some(spacing) = &self.spacing {
            spacing.until_ready().await;
        }
        // A server may have asked another request to wait while this one was queued.
        self.wait_out_pause(deadline).await
    }

    /// Nobody sends before `pause` is over; a longer pause already in force stays.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut paused_until = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused_until = Some(paused_until.map_or(until, |already| already.max(until)));
    }

    async fn wait_out_pause(&self, deadline: &Deadline) -> Result<(), PauseOutlastsDeadline> {
        loop {
            let paused_until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(until) = paused_until.filter(|until| *until > Instant::now()) else { return Ok(()) };
            let left = until.saturating_duration_since(Instant::now());
            if deadline.left_for_work().is_some_and(|work| work < left) {
                return Err(PauseOutlastsDeadline { left });
            }
            if deadline.bound(sleep_until(until)).await.is_none() {
                let left = until.saturating_duration_since(Instant::now());
                return Err(PauseOutlastsDeadline { left });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back_and_the_longest_one_counts() {
        let limiter = RateLimiter::new(Duration::ZERO);
        let began = Instant::now();
        limiter.pause(Duration::from_secs(30));
        limiter.pause(Duration::from_secs(5));
        limiter.permit(&Deadline::none()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_is_told_at_once() {
        let limiter = RateLimiter::new(Duration::ZERO);
        limiter.pause(Duration::from_secs(60));
        let refused = limiter.permit(&Deadline::after(Duration::from_secs(20))).await.unwrap_err();
        assert_eq!(refused.left.as_secs(), 60);
    }
}
