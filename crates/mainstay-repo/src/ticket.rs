//! The place of a queued operation: it is run by its driver or abandoned by its caller, never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::error::{Error, ErrorKind, Result};
use crate::operation::Call;

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by a caller that may leave and a driver that may start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// The driver takes the operation; false when the caller has left.
    pub(crate) fn start(&self) -> bool {
        self.0.compare_exchange(QUEUED, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller leaves; true when the operation will never be run.
    pub(crate) fn abandon(&self) -> bool {
        self.0.compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the caller has left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }
}

/// Abandons the ticket when the caller's future is dropped before the answer.
struct AbandonOnDrop<'a>(&'a Ticket);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// How long after its deadline a caller still waits for the driver, which ends the statement at that deadline and says
/// what became of it. A definite answer a moment late is worth more than an unknown outcome.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for the driver's answer until the caller's deadline.
///
/// A deadline that passes before the driver started means that nothing was done. One that passes later means for a read
/// that nothing came of it, and for a write that its outcome is unknown, unless the driver says within [`GRACE`].
pub(crate) async fn answer<T>(
    receiver: oneshot::Receiver<Result<T>>,
    ticket: &Ticket,
    call: &Call,
    writes: bool,
) -> Result<T> {
    let mut receiver = receiver;
    let guard = AbandonOnDrop(ticket);
    let mut answered = timeout_at(call.deadline, &mut receiver).await;
    drop(guard);
    if answered.is_err() && !ticket.is_abandoned() {
        answered = timeout_at(call.deadline + GRACE, receiver).await;
    }
    match answered {
        Ok(Ok(result)) => result,
        Ok(Err(_closed)) if ticket.is_abandoned() || !writes => Err(Error::closed()),
        Ok(Err(_closed)) => Err(Error::unknown(
            call.request_id,
            "the database thread ended before it said whether the write was committed",
        )),
        Err(_elapsed) if ticket.is_abandoned() => Err(Error::not_started_in_time()),
        Err(_elapsed) if writes => {
            Err(Error::unknown(call.request_id, "the deadline passed after the write was started"))
        }
        Err(_elapsed) => {
            Err(Error::new(ErrorKind::Timeout, "the deadline passed while the read was running")
                .with_help("narrow the query, add an index, or allow more time"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_side_wins() {
        let ticket = Ticket::default();
        assert!(ticket.start());
        assert!(!ticket.abandon() && !ticket.is_abandoned() && !ticket.start());
        let other = Ticket::default();
        assert!(other.abandon());
        assert!(!other.start() && other.is_abandoned());
    }
}
