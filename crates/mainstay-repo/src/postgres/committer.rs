//! A committer: takes what waits, runs it as one group, answers, and takes again.
//!
//! A member that fails is taken out, and the others run again without it; after a few of those each runs alone. One that
//! waits for somebody else's lock is handed [aside](super::aside), so that it does not hold the queue up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::aside::Aside;
use super::group::{self, Order, Verdict, lost_commit};
use super::session::{Access, Link, Session};
use super::writer::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Limits;

/// How long a statement may hold the committer up before it is run aside.
const STALL: Duration = Duration::from_millis(250);
/// How many members may be taken out of a group before each runs alone.
const MAX_FAULTS: usize = 4;
/// How many groups go unmerged after merging failed: keys that repeat within a group do so again soon.
const MERGE_PAUSE: u32 = 32;
/// The pause after a failed connection attempt; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// One connection for writes and the task that uses it.
pub(super) struct Committer {
    link: Arc<Link>,
    queue: Arc<Mutex<Receiver<Job>>>,
    aside: Arc<Aside>,
    limits: Limits,
    closing: watch::Receiver<bool>,
    session: Option<Session>,
    connected_before: bool,
    next_attempt: Instant,
    pause: Duration,
    merge_pause: u32,
}

/// What is left to do of one take.
struct Round {
    together: Vec<Job>,
    alone: VecDeque<Job>,
    faults: usize,
    merge: bool,
    replanned: bool,
}

impl Round {
    /// The jobs that run next, without those whose time is over.
    fn next(&mut self) -> Option<Vec<Job>> {
        loop {
            let jobs = if self.together.is_empty() {
                vec![self.alone.pop_front()?]
            } else {
                std::mem::take(&mut self.together)
            };
            let now = Instant::now();
            let (late, jobs): (Vec<Job>, Vec<Job>) =
                jobs.into_iter().partition(|job| job.call.deadline <= now);
            late.into_iter().for_each(|job| job.finish(Err(Error::not_started_in_time())));
            if !jobs.is_empty() {
                return Some(jobs);
            }
        }
    }
}

impl Committer {
    pub(super) fn new(
        link: Arc<Link>,
        queue: Arc<Mutex<Receiver<Job>>>,
        aside: Arc<Aside>,
        limits: Limits,
        closing: watch::Receiver<bool>,
        session: Option<Session>,
    ) -> Self {
        Self {
            link,
            queue,
            aside,
            limits,
            closing,
            connected_before: session.is_some(),
            session,
            next_attempt: Instant::now(),
            pause: FIRST_PAUSE,
            merge_pause: 0,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let taking = take(&self.queue, &self.limits, &mut self.closing);
            let taken = match &mut self.session {
                Some(session) => session.wire.wait(taking).await,
                None => taking.await,
            };
            let Some(jobs) = taken else { break };
            self.serve(jobs).await;
        }
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    async fn serve(&mut self, jobs: Vec<Job>) {
        // Only with a connection at hand are they started: until then their callers may leave.
        if let Err(error) = self.connected().await {
            return fail_all(jobs, &error);
        }
        let together: Vec<Job> = jobs.into_iter().filter(|job| job.ticket.start()).collect();
        let merge = self.merge_pause == 0;
        self.merge_pause = self.merge_pause.saturating_sub(1);
        let mut round = Round { together, alone: VecDeque::new(), faults: 0, merge, replanned: false };
        while let Some(jobs) = round.next() {
            if let Err(error) = self.connected().await {
                fail_all(jobs, &error);
                fail_all(std::mem::take(&mut round.together), &error);
                return fail_all(round.alone, &error);
            }
            let Some(verdict) = self.commit(&jobs, round.merge).await else {
                return fail_all(jobs, &Error::closed());
            };
            self.absorb(&mut round, jobs, verdict);
        }
    }

    async fn commit(&mut self, jobs: &[Job], merge: bool) -> Option<Verdict> {
        let session = self.session.as_mut()?;
        let order =
            Order { begin: self.link.begin_group(jobs, None), autocommit: true, merge, stall: Some(STALL) };
        let started = Instant::now();
        let verdict = session.wire.drive(group::run(&session.desk, jobs, &order)).await;
        if let Verdict::Done(results) = &verdict {
            #[expect(clippy::cast_precision_loss, reason = "a group has a few hundred members")]
            metrics::histogram!("mainstay_repo_group_operations", "database" => "postgres")
                .record(results.len() as f64);
            metrics::histogram!("mainstay_repo_commit_seconds", "database" => "postgres")
                .record(started.elapsed());
        }
        Some(verdict)
    }

    /// Answers the members whose outcome stands, and puts the others back.
    fn absorb(&mut self, round: &mut Round, mut jobs: Vec<Job>, verdict: Verdict) {
        let was_alone = jobs.len() == 1;
        match verdict {
            Verdict::Done(results) => {
                for (job, result) in jobs.into_iter().zip(results) {
                    job.finish(result);
                }
            }
            Verdict::Lost { error, unknown } => {
                self.session = None;
                for job in jobs {
                    let error = error.for_another();
                    let error = if unknown { lost_commit(job.call.request_id, error) } else { error };
                    job.finish(Err(error));
                }
            }
            Verdict::Member { stale: true, .. } | Verdict::Group { stale: true, .. } if !round.replanned => {
                round.replanned = true;
                round.together = jobs;
            }
            Verdict::Member { at, error, stalled, .. } => {
                self.leave_if_read_only(&error);
                if at >= jobs.len() {
                    return fail_all(jobs, &error);
                }
                let job = jobs.remove(at);
                if stalled && job.limit() > Instant::now() {
                    self.aside.take_over(job);
                } else if was_alone {
                    job.finish(Err(error));
                } else {
                    round.alone.push_back(job);
                }
                round.faults += 1;
                round.put_back(jobs);
            }
            Verdict::Group { error, merged, .. } => {
                if was_alone {
                    return fail_all(jobs, &error);
                }
                if merged {
                    tracing::debug!(%error, "merged statements run unmerged");
                    round.merge = false;
                    self.merge_pause = MERGE_PAUSE;
                    round.together = jobs;
                } else {
                    round.alone.extend(jobs);
                }
            }
        }
    }

    /// After a switch-over the old primary only reads; the URL names others to go to.
    fn leave_if_read_only(&mut self, error: &Error) {
        if self.link.servers > 1 && error.kind() == &ErrorKind::ReadOnly {
            self.session = None;
        }
    }

    /// Sees to it that there is a connection. Attempts that fail one after the other are spaced out.
    async fn connected(&mut self) -> Result<()> {
        if let Some(session) = &mut self.session {
            if session.is_usable().await {
                return Ok(());
            }
            self.session = None;
        }
        sleep_until(self.next_attempt).await;
        match self.link.connect(Access::Write).await {
            Ok(session) => {
                if self.connected_before {
                    metrics::counter!("mainstay_repo_reconnects_total", "database" => "postgres")
                        .increment(1);
                }
                self.connected_before = true;
                self.pause = FIRST_PAUSE;
                self.session = Some(session);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "a committer has no connection");
                self.next_attempt = Instant::now() + self.pause;
                self.pause = self.pause.saturating_mul(2).min(MAX_PAUSE);
                Err(error)
            }
        }
    }
}

impl Round {
    fn put_back(&mut self, jobs: Vec<Job>) {
        if self.faults < MAX_FAULTS {
            self.together = jobs;
        } else {
            self.alone.extend(jobs);
        }
    }
}

/// Waits for a first job and takes what waits behind it, up to the limits. None when the queue is closed and empty.
async fn take(
    queue: &Mutex<Receiver<Job>>,
    limits: &Limits,
    closing: &mut watch::Receiver<bool>,
) -> Option<Vec<Job>> {
    let mut queue = queue.lock().await;
    // The value that the watch lends must not be held while waiting.
    let close = async { drop(closing.wait_for(|closing| *closing).await) };
    let first = tokio::select! {
        biased;
        job = queue.recv() => job?,
        () = close => {
            queue.close();
            queue.recv().await?
        }
    };
    let mut bytes = first.size_bytes();
    let mut jobs = vec![first];
    while jobs.len() < limits.group_operations && bytes < limits.group_bytes {
        let Ok(job) = queue.try_recv() else { break };
        bytes += job.size_bytes();
        jobs.push(job);
    }
    #[expect(clippy::cast_precision_loss, reason = "a queue has a few thousand places")]
    metrics::gauge!("mainstay_repo_queue_depth", "database" => "postgres").set(queue.len() as f64);
    Some(jobs)
}

fn fail_all(jobs: impl IntoIterator<Item = Job>, error: &Error) {
    for job in jobs {
        job.finish(Err(error.for_another()));
    }
}
