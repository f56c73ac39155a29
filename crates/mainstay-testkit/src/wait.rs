//! Waiting, in tests that have no runtime and in those that have.

use std::time::{Duration, Instant};

/// Blocks this thread for a while. For set-up and for threads of their own, never inside a future.
pub fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Asks again and again until the answer is yes; panics when that takes longer than half a minute.
pub async fn eventually(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_true().await {
        assert!(started.elapsed() < Duration::from_secs(30), "it did not come about that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
