//! A bounded queue from async callers to a database thread: two lanes, FIFO in each, back-pressure instead of growth.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::timeout_at;

use crate::error::{Error, Result};
use crate::operation::{Call, Priority};

/// Two lanes of jobs. Normal jobs go first; every group may take one of the low lane, so that neither starves.
pub(super) struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    filled: Condvar,
    places: Semaphore,
}

struct Lanes<T> {
    normal: VecDeque<T>,
    /// How many jobs were ever put into the normal lane.
    arrived: u64,
    low: VecDeque<T>,
    waiting: usize,
    closed: bool,
}

/// A moment in the life of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::new(Lanes {
                normal: VecDeque::new(),
                arrived: 0,
                low: VecDeque::new(),
                waiting: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            places: Semaphore::new(capacity.max(1)),
        })
    }

    /// Waits for a place and puts the job there.
    pub(super) async fn push(&self, job: T, call: &Call) -> Result<()> {
        match self.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::Closed) => return Err(Error::closed()),
            Err(TryAcquireError::NoPermits) => match timeout_at(call.deadline, self.places.acquire()).await {
                Ok(Ok(place)) => place.forget(),
                Ok(Err(_closed)) => return Err(Error::closed()),
                Err(_elapsed) => return Err(Error::not_started_in_time()),
            },
        }
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(Error::closed());
        }
        match call.priority {
            Priority::Normal => {
                lanes.normal.push_back(job);
                lanes.arrived += 1;
            }
            Priority::Low { .. } => lanes.low.push_back(job),
        }
        let wake = lanes.waiting > 0;
        drop(lanes);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for a job; none when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut lanes = self.lock();
        loop {
            if let Some(job) = lanes.next() {
                drop(lanes);
                self.places.add_permits(1);
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes.waiting += 1;
            lanes = self.filled.wait(lanes).unwrap_or_else(PoisonError::into_inner);
            lanes.waiting -= 1;
        }
    }

    /// Takes up to `most` jobs without waiting; from the low lane one, and only when the normal lane left room.
    pub(super) fn take(&self, most: usize, into: &mut VecDeque<T>) {
        let mut lanes = self.lock();
        let normal = lanes.normal.len().min(most);
        into.extend(lanes.normal.drain(..normal));
        let low = if normal < most { lanes.low.pop_front() } else { None };
        let taken = normal + usize::from(low.is_some());
        into.extend(low);
        drop(lanes);
        self.places.add_permits(taken);
    }

    /// Waits for a job to arrive, so long at most; whether one is there.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let mut lanes = self.lock();
        if lanes.normal.is_empty() && !lanes.closed {
            lanes.waiting += 1;
            lanes = self.filled.wait_timeout(lanes, at_most).unwrap_or_else(PoisonError::into_inner).0;
            lanes.waiting -= 1;
        }
        !lanes.normal.is_empty()
    }

    /// The jobs of the normal lane that are there now, for [`Queue::pop_arrived`]; none when it is empty.
    pub(super) fn mark(&self) -> Option<Mark> {
        let lanes = self.lock();
        (!lanes.normal.is_empty()).then_some(Mark(lanes.arrived))
    }

    /// Takes the next normal job that was there at the mark, without waiting.
    pub(super) fn pop_arrived(&self, mark: Mark) -> Option<T> {
        let mut lanes = self.lock();
        let waiting = u64::try_from(lanes.normal.len()).unwrap_or(u64::MAX);
        let next = lanes.arrived.saturating_sub(waiting);
        if next >= mark.0 {
            return None;
        }
        let job = lanes.normal.pop_front()?;
        drop(lanes);
        self.places.add_permits(1);
        Some(job)
    }

    /// How many jobs wait.
    pub(super) fn depth(&self) -> usize {
        let lanes = self.lock();
        lanes.normal.len() + lanes.low.len()
    }

    /// Refuses what comes later; what is queued is still run.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.places.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        // No code that can panic runs under the lock, so a poisoned lock still holds whole lanes.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lanes<T> {
    fn next(&mut self) -> Option<T> {
        self.normal.pop_front().or_else(|| self.low.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_core::SystemClock;
    use tokio::time::Instant;

    use super::*;
    use crate::error::ErrorKind;
    use crate::operation::RequestId;

    fn call(priority: Priority, within_ms: u64) -> Call {
        Call {
            request_id: RequestId::generate(&SystemClock),
            deadline: Instant::now() + Duration::from_millis(within_ms),
            priority,
        }
    }

    #[tokio::test]
    async fn low_jobs_come_last_but_one_with_every_group() {
        let queue = Queue::new(8);
        let low = Priority::Low { cap: Duration::from_secs(1) };
        for (job, priority) in [(1, low), (2, low), (3, Priority::Normal), (4, Priority::Normal)] {
            queue.push(job, &call(priority, 1_000)).await.unwrap();
        }
        let mut taken = VecDeque::new();
        queue.take(3, &mut taken);
        assert_eq!(taken, [3, 4, 1]);
        assert_eq!(queue.pop(), Some(2));
    }

    #[tokio::test]
    async fn a_mark_covers_only_what_was_there() {
        let queue = Queue::new(8);
        assert!(queue.mark().is_none());
        for job in [1, 2] {
            queue.push(job, &call(Priority::Normal, 1_000)).await.unwrap();
        }
        let mark = queue.mark().unwrap();
        queue.push(3, &call(Priority::Normal, 1_000)).await.unwrap();
        assert_eq!(queue.pop(), Some(1));
        assert_eq!((queue.pop_arrived(mark), queue.pop_arrived(mark)), (Some(2), None));
        assert_eq!(queue.pop(), Some(3));
    }

    #[tokio::test]
    async fn a_full_queue_holds_callers_back_until_their_deadline() {
        let queue = Queue::new(1);
        queue.push(1, &call(Priority::Normal, 1_000)).await.unwrap();
        let refused = queue.push(2, &call(Priority::Normal, 5)).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Timeout);
        assert_eq!(queue.pop(), Some(1));
        queue.push(3, &call(Priority::Normal, 1_000)).await.unwrap();
        assert_eq!(queue.depth(), 1);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_holds_and_takes_no_more() {
        let queue = Queue::new(4);
        queue.push(1, &call(Priority::Normal, 1_000)).await.unwrap();
        queue.close();
        assert_eq!(
            queue.push(2, &call(Priority::Normal, 1_000)).await.unwrap_err().kind(),
            &ErrorKind::Closed
        );
        assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
    }
}
