//! Writes: a bounded queue, and the committers that empty it.
//!
//! An operation runs on a committer's task, not on its caller's: a caller who leaves before it was started takes it along,
//! and one who leaves later leaves no half work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::aside::Aside;
use super::committer::Committer;
use super::session::{Link, Session};
use crate::batch::{Batch, Written};
use crate::error::{Error, Result};
use crate::operation::{Call, Priority};
use crate::options::Limits;
use crate::statement::Statement;
use crate::ticket::{Ticket, answer};

/// How long before its deadline a write is cancelled at the latest: early enough for a certain answer.
const MARGIN: Duration = Duration::from_millis(50);

/// What a job does.
#[derive(Debug)]
pub(super) enum Work {
    /// One statement.
    One(Statement),
    /// A batch.
    Batch(Batch),
}

/// A write that waits for its turn, or has it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) call: Call,
    pub(super) ticket: Ticket,
    reply: oneshot::Sender<Result<Vec<Written>>>,
}

impl Job {
    /// About how much memory its parameters take.
    pub(super) fn size_bytes(&self) -> usize {
        match &self.work {
            Work::One(statement) => statement.size_bytes(),
            Work::Batch(batch) => batch.size_bytes(),
        }
    }

    /// Whether its statements are to be planned for their values.
    pub(super) const fn plans_anew(&self) -> bool {
        match &self.work {
            Work::One(_) => false,
            Work::Batch(batch) => batch.plans_anew(),
        }
    }

    /// When it is cancelled, a little before its caller gives up, so that the caller learns that nothing was written.
    pub(super) fn limit(&self) -> Instant {
        let left = self.call.deadline.saturating_duration_since(Instant::now());
        let margin = MARGIN.min(left / 8);
        self.call.deadline.checked_sub(margin).unwrap_or(self.call.deadline)
    }

    /// Answers the caller, who may have left.
    pub(super) fn finish(self, result: Result<Vec<Written>>) {
        let _left = self.reply.send(result);
    }
}

/// The way in for writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    aside: Arc<Aside>,
    closing: watch::Sender<bool>,
    committers: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the committers; `first` is a session that is open already.
    pub(super) fn start(
        link: &Arc<Link>,
        first: Session,
        committers: usize,
        limits: Limits,
        aside: Arc<Aside>,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
        let (closing, closed) = watch::channel(false);
        let mut first = Some(first);
        let committers = (0..committers)
            .map(|_| {
                let committer = Committer::new(
                    Arc::clone(link),
                    Arc::clone(&jobs),
                    Arc::clone(&aside),
                    limits,
                    closed.clone(),
                    first.take(),
                );
                tokio::spawn(committer.run())
            })
            .collect();
        Self { queue, aside, closing, committers: tokio::sync::Mutex::new(committers) }
    }

    /// Hands a write in and waits for its result.
    pub(super) async fn submit(&self, work: Work, call: &Call) -> Result<Vec<Written>> {
        if call.deadline <= Instant::now() {
            return Err(Error::not_started_in_time());
        }
        let (reply, result) = oneshot::channel();
        let ticket = Ticket::default();
        let job = Job { work, call: *call, ticket: ticket.clone(), reply };
        match call.priority {
            Priority::Normal => timeout_at(call.deadline, self.queue.send(job))
                .await
                .map_err(|_elapsed| Error::not_started_in_time())?
                .map_err(|_closed| Error::closed())?,
            Priority::Low { cap } => {
                if *self.closing.borrow() {
                    return Err(Error::closed());
                }
                self.aside.submit(job, Some(cap)).await?;
            }
        }
        answer(result, &ticket, call, true).await
    }

    /// Lets the committers finish what is queued, and waits for them.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        for committer in self.committers.lock().await.drain(..) {
            if let Err(error) = committer.await {
                tracing::error!(%error, "a committer ended badly");
            }
        }
    }
}
