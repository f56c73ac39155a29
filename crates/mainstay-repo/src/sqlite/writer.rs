//! The one thread that writes.
//!
//! It takes what is queued, runs it in one transaction, commits, and only then answers: acknowledged means durable. A
//! commit ends when the queue is empty or a limit is reached, so an idle database adds no wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::checkpoint::Checkpoints;
use super::group::{Group, Member};
use super::migrate;
use super::open::Watch;
use super::queue::Queue;
use super::statement::Session;
use super::transaction::{self, Command, Ended};
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{MigrationStep, StepOutcome};
use crate::options::Limits;
use crate::ticket::Ticket;

/// Something for the writer to do.
pub(super) enum Job {
    Write(Member),
    Begin(BeginJob),
    Migrate(Box<MigrationStep>, oneshot::Sender<Result<StepOutcome>>),
}

/// A caller that wants an interactive transaction.
pub(super) struct BeginJob {
    pub(super) ticket: Ticket,
    pub(super) deadline: Instant,
    pub(super) commands: std::sync::mpsc::Receiver<Command>,
    pub(super) ended: Arc<Ended>,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// A commit that took at least so long is worth waiting for company: the disk is slow, and each further member saves one
/// whole wait. Below it the wait costs more than it brings.
const SLOW_COMMIT: Duration = Duration::from_micros(400);
/// A group waits for the next member for so long at most; when none comes, the callers that are there have all been heard.
const LINGER: Duration = Duration::from_micros(60);

/// How the last group went; decides whether the next one waits for company.
#[derive(Debug, Default)]
struct Pace {
    members: usize,
    commit: Duration,
}

impl Pace {
    /// How long the next group may wait in all. A single caller never waits: nobody else would come.
    fn patience(&self) -> Duration {
        if self.members > 1 && self.commit >= SLOW_COMMIT { self.commit / 4 } else { Duration::ZERO }
    }
}

/// The writer's side of the handle.
#[derive(Clone)]
pub(super) struct Writer {
    session_limits: Limits,
    queue: Arc<Queue<Job>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        session: Session,
        watch: Watch,
        limits: Limits,
        queue: Arc<Queue<Job>>,
        commits: Arc<AtomicU64>,
    ) -> Result<JoinHandle<()>> {
        let writer = Self { session_limits: limits, queue, commits };
        std::thread::Builder::new()
            .name("mainstay-writer".into())
            .spawn(move || writer.run(&session, &watch))
            .map_err(|source| {
                Error::new(ErrorKind::Unavailable, "the writer thread cannot be started").with_source(source)
            })
    }

    fn run(&self, session: &Session, watch: &Watch) {
        let mut taken = VecDeque::new();
        let mut pace = Pace::default();
        let mut checkpoints = Checkpoints::default();
        while let Some(job) = self.queue.pop() {
            taken.push_back(job);
            while let Some(job) = taken.pop_front() {
                match job {
                    Job::Write(member) => {
                        taken.push_front(Job::Write(member));
                        self.group(session, watch, &mut taken, &mut pace);
                        if let Some(setting) = checkpoints.after(pace.members)
                            && let Err(error) = session.run(setting)
                        {
                            tracing::warn!(%error, "the length of the write-ahead log was not changed");
                        }
                    }
                    Job::Begin(begin) => {
                        transaction::serve(
                            session,
                            watch,
                            &self.session_limits.transaction,
                            &self.commits,
                            begin,
                        );
                    }
                    Job::Migrate(step, reply) => {
                        let outcome = migrate::step(session, watch, &step);
                        self.commits.fetch_add(1, Ordering::Release);
                        let _ = reply.send(outcome);
                    }
                }
            }
        }
        if let Err(error) =
            session.connection().execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::debug!(%error, "the write-ahead log was not cut back on closing");
        }
    }

    /// Runs the writes at the head of `taken`, and those that arrive meanwhile, in one commit.
    fn group(&self, session: &Session, watch: &Watch, taken: &mut VecDeque<Job>, pace: &mut Pace) {
        let started = Instant::now();
        let mut group = match Group::begin(session, watch) {
            Ok(group) => group,
            Err(error) => return refuse(taken, &error),
        };
        let mut bytes = 0;
        let mut waited = Duration::ZERO;
        loop {
            let room = group.len() < self.session_limits.group_operations
                && bytes < self.session_limits.group_bytes
                && started.elapsed() < self.session_limits.group_time;
            if !room {
                break;
            }
            if taken.is_empty() {
                self.queue.take(self.session_limits.group_operations - group.len(), taken);
            }
            if taken.is_empty() && waited < pace.patience() {
                // After a commit its callers come back while the next group runs. Without this wait they would find it
                // gone, and two halves would take turns, each paying for a commit of its own.
                let before = Instant::now();
                if self.queue.wait(LINGER) {
                    waited += before.elapsed();
                    continue;
                }
            }
            match taken.pop_front() {
                Some(Job::Write(member)) => {
                    bytes += member.work.size_bytes();
                    group.run(member);
                }
                Some(other) => {
                    taken.push_front(other);
                    break;
                }
                None => break,
            }
        }
        let ran = Instant::now();
        let count = group.commit(&self.commits);
        *pace = Pace { members: count, commit: ran.elapsed() };
        metrics::histogram!("mainstay_repo_commit_seconds", "database" => "sqlite")
            .record(pace.commit.as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "a metric; counts here stay far below 2^52")]
        {
            metrics::histogram!("mainstay_repo_group_operations", "database" => "sqlite")
                .record(count as f64);
            metrics::gauge!("mainstay_repo_queue_depth", "database" => "sqlite")
                .set(self.queue.depth() as f64);
        }
    }
}

/// Answers the writes at the head of the queue: the transaction could not begin.
fn refuse(taken: &mut VecDeque<Job>, error: &Error) {
    while let Some(Job::Write(_)) = taken.front() {
        let Some(Job::Write(member)) = taken.pop_front() else { return };
        if member.ticket.start() {
            let _ = member.reply.send(Err(error.for_another()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_company_only_on_a_slow_disk_and_never_for_a_single_caller() {
        let patience = |members, commit| Pace { members, commit }.patience();
        assert_eq!(patience(64, SLOW_COMMIT), SLOW_COMMIT / 4);
        assert_eq!(patience(64, SLOW_COMMIT - Duration::from_nanos(1)), Duration::ZERO);
        assert_eq!(patience(1, Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Pace::default().patience(), Duration::ZERO);
    }
}
