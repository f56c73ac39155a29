//! The clock by which a holder stops using what it claims.
//!
//! Claims run out by the database's clock, which goes on while this machine sleeps or is suspended as a guest. The clock behind
//! [`tokio::time`] stands still meanwhile: by it a holder that wakes would believe in claims that a collector has long ended.

use std::fmt::Debug;
use std::time::Duration;

/// How long a waiter may oversleep a sleep of the machine: timers stand still in it, so the clock is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A clock that never goes back, and goes on while the machine sleeps. Its beginning means nothing.
pub trait Uptime: Send + Sync + Debug {
    /// What it shows.
    fn now(&self) -> Duration;
}

/// The system's clock since it was started (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemUptime;

impl Uptime for SystemUptime {
    fn now(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// Waits until the clock shows a time.
pub(super) async fn sleep_until(uptime: &dyn Uptime, end: Duration) {
    loop {
        let left = end.saturating_sub(uptime.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_s_clock_goes_on() {
        let (before, monotonic) = (SystemUptime.now(), std::time::Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let passed = monotonic.elapsed();
        assert!(SystemUptime.now() - before >= passed);
    }
}
