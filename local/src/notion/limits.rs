//! The request limit: a fixed window per token, in real time (facts: "fixed 60 s window, any pace within").

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::settings::RequestLimit;

/// The state of each token's window.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    windows: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    requests: u32,
}

impl Limiter {
    /// Counts a request; when it is one too many, the seconds until the window ends (at least 1).
    pub(super) fn count(&mut self, token: &str, limit: RequestLimit, now: Instant) -> Option<u64> {
        let length = Duration::from_millis(limit.window_ms);
        let window = self.windows.entry(token.to_owned()).or_insert(Window { began: now, requests: 0 });
        if now.duration_since(window.began) >= length {
            *window = Window { began: now, requests: 0 };
        }
        window.requests = window.requests.saturating_add(1);
        if window.requests <= limit.requests {
            return None;
        }
        let left = length.saturating_sub(now.duration_since(window.began));
        Some(left.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_allows_a_burst_and_then_names_the_seconds_to_its_end() {
        let mut limiter = Limiter::default();
        let (limit, start) = (RequestLimit { requests: 2, window_ms: 60_000 }, Instant::now());
        assert_eq!(limiter.count("a", limit, start), None);
        assert_eq!(limiter.count("a", limit, start), None);
        assert_eq!(limiter.count("a", limit, start + Duration::from_millis(10_500)), Some(50));
        assert_eq!(limiter.count("b", limit, start), None);
        assert_eq!(limiter.count("a", limit, start + Duration::from_secs(60)), None);
    }
}
