//! Token buckets: how often one client may do what is public and costly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::peer::Client;
use crate::limits;

/// A rate limit of one sort of request.
#[derive(Debug)]
pub(crate) struct RateLimit {
    burst: u32,
    every: Duration,
    /// When each client's bucket will be full again; a client that is not here has a full one.
    full_at: Mutex<HashMap<Client, Instant>>,
}

impl RateLimit {
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long until there is one.
    pub(crate) fn take(&self, client: Client, now: Instant) -> Result<(), Duration> {
        // A bucket is one instant: each token taken moves it `every` away, and it may be `burst × every` away at most.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = full_at.get(&client).copied().map_or(now, |at| at.max(now));
        let after = before + self.every;
        let depth = self.every * self.burst;
        let ahead = after.saturating_duration_since(now);
        if ahead > depth {
            return Err(ahead - depth);
        }
        if full_at.len() >= limits::RATE_CLIENTS {
            full_at.retain(|_, at| *at > now);
        }
        // Still full of clients that have not recovered: a flood from everywhere. New ones pass uncounted rather than
        // that nobody can sign in.
        if full_at.len() < limits::RATE_CLIENTS || full_at.contains_key(&client) {
            full_at.insert(client, after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap(), &HeaderMap::new(), &[])
    }

    #[test]
    fn the_burst_passes_and_one_more_waits() {
        let limit = RateLimit::new(3, Duration::from_secs(1));
        let (now, one, two) = (Instant::now(), client("192.0.2.1"), client("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(limit.take(one, now), Ok(()));
        }
        assert_eq!(limit.take(one, now), Err(Duration::from_secs(1)));
        assert_eq!(limit.take(two, now), Ok(()), "another client has its own bucket");
        let later = now + Duration::from_secs(1);
        assert_eq!(limit.take(one, later), Ok(()));
        assert!(limit.take(one, later).is_err(), "one token came back, not two");
        let much_later = now + Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(limit.take(one, much_later), Ok(()));
        }
        assert!(limit.take(one, much_later).is_err(), "a bucket never holds more than its burst");
    }
}
