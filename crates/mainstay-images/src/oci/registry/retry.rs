//! When a transfer is tried again, and how long it waits before that.

use std::time::Duration;

use http::StatusCode;

/// The longest that a registry may ask us to wait, by `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How stubborn a transfer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How many times in a row it may fail without one octet more.
    pub attempts: u32,
    /// How many times one blob may break in all, however far it got in between.
    pub breaks: u32,
    /// The first wait; it doubles from failure to failure.
    pub first_wait: Duration,
    /// The longest wait.
    pub max_wait: Duration,
}

impl Default for Retry {
    /// Five failures in a row over some six seconds; 100 breaks of one blob.
    fn default() -> Self {
        Self {
            attempts: 5,
            breaks: 100,
            first_wait: Duration::from_millis(200),
            max_wait: Duration::from_secs(10),
        }
    }
}

impl Retry {
    /// Sets the first wait and the longest one.
    #[must_use]
    pub const fn waiting(mut self, first: Duration, longest: Duration) -> Self {
        self.first_wait = first;
        self.max_wait = longest;
        self
    }

    /// How long to wait after so many failures in a row (from 1), or none to give up.
    ///
    /// What the registry asks for is honoured, up to a minute.
    pub(crate) fn wait(&self, failures: u32, asked: Option<Duration>) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(20));
        Some(doubled.min(self.max_wait).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER)))
    }
}

/// Whether an answer may be another one later.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The seconds of `Retry-After`; its other form, a date, would need a clock that both sides agree on.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry { attempts: 8, ..Retry::default() };
        let waits: Vec<u128> =
            (1..=8).map_while(|failures| retry.wait(failures, None)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000]);
    }

    #[test]
    fn a_registry_may_ask_for_a_longer_wait() {
        let retry = Retry::default();
        let asked = |seconds| retry.wait(1, Some(Duration::from_secs(seconds))).unwrap().as_millis();
        assert_eq!((asked(0), asked(7), asked(3600)), (200, 7_000, 60_000));
        let mut headers = http::HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(http::header::RETRY_AFTER, "17".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(17)));
        headers.insert(http::header::RETRY_AFTER, "Fri, 31 Dec 1999 23:59:59 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
