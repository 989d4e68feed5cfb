//! The retry policy; a retry wraps one HTTP exchange, never submit-and-poll.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often and how late a transient error is tried again (DESIGN §4: 3 retries, 1 s, 2 s, 4 s with jitter).
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub max_retries: usize,
    /// Wait before the first retry; doubled each time, plus a random part of up to the same length.
    pub first_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 3, first_delay: Duration::from_secs(1) }
    }
}

impl RetryPolicy {
    /// The waits between the tries of one exchange; ends when the tries are used up.
    #[must_use]
    pub fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_factor(2.0)
            .with_max_times(self.max_retries)
            .with_jitter()
            .build()
    }
}
