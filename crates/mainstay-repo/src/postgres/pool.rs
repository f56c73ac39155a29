//! The connections for reads and interactive transactions: opened when needed, kept, at most so many.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::session::{Access, Link, Session};
use crate::error::{Error, Result};

/// How long closing waits for those who still use a connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) link: Arc<Link>,
    idle: Mutex<Vec<Session>>,
    slots: Arc<Semaphore>,
    size: u32,
    closed: AtomicBool,
}

/// A session that somebody uses. Dropped without [`Lent::give_back`] it is thrown away, and what it runs is cancelled.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) session: Session,
    /// It was open before, so it may have died since; a read may then be tried on another.
    pub(super) reused: bool,
    pool: Arc<Pool>,
    _slot: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(link: Arc<Link>, size: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            link,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(size as usize)),
            size,
            closed: AtomicBool::new(false),
        }
    }

    /// Lends a session, an idle one or a new one.
    pub(super) async fn lend(self: &Arc<Self>, deadline: Instant) -> Result<Lent> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if deadline <= Instant::now() {
            return Err(Error::not_started_in_time());
        }
        let slot = timeout_at(deadline, Arc::clone(&self.slots).acquire_owned())
            .await
            .map_err(|_elapsed| Error::not_started_in_time())?
            .map_err(|_closed| Error::closed())?;
        while let Some(mut session) = self.take_idle() {
            if session.is_usable().await {
                return Ok(Lent { session, reused: true, pool: Arc::clone(self), _slot: slot });
            }
        }
        let session = timeout_at(deadline, self.link.connect(Access::Read))
            .await
            .map_err(|_elapsed| Error::not_started_in_time())??;
        Ok(Lent { session, reused: false, pool: Arc::clone(self), _slot: slot })
    }

    /// The one that was used last, so that the others may be forgotten by caches on the way.
    fn take_idle(&self) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps the first session from the opening.
    pub(super) fn keep(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Waits for those who use a session, then says goodbye on all.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever is still there after the limit finds the pool closed when giving back.
        let _all = timeout(CLOSE_LIMIT, self.slots.acquire_many(self.size)).await;
        self.slots.close();
        while let Some(session) = self.take_idle() {
            session.close().await;
        }
    }
}

impl Lent {
    /// Returns the session for the next user; it must have no transaction open and no answer due.
    pub(super) async fn give_back(self) {
        let Self { mut session, pool, .. } = self;
        if session.is_usable().await && !pool.slots.is_closed() {
            pool.keep(session);
        }
    }
}
