//! One commit for many callers.
//!
//! Members run in turn inside one transaction, each undone alone when it fails. Nobody is answered before the commit.
//! When the whole transaction dies (a trigger's `RAISE(ROLLBACK)`, an interrupt, a full disk, a deferred foreign key at
//! commit) its members run again, each in a transaction of its own: a member is data, so running it again is the same as
//! running it first.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::Watch;
use super::statement::Session;
use crate::batch::{Batch, Written, condition_failed};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Call, RequestId};
use crate::statement::Statement;
use crate::ticket::Ticket;

/// What a caller wants written.
pub(super) enum Work {
    Statement(Statement),
    Batch(Batch),
}

impl Work {
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Statement(statement) => statement.size_bytes(),
            Self::Batch(batch) => batch.size_bytes(),
        }
    }
}

/// A write in the queue.
pub(super) struct Member {
    pub(super) work: Work,
    pub(super) call: Call,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<Result<Vec<Written>>>,
}

/// A member that ran and waits for the commit.
struct Ran {
    member: Member,
    result: Result<Vec<Written>>,
}

/// A group that is open: its transaction has begun, or has died.
pub(super) struct Group<'a> {
    session: &'a Session,
    watch: &'a Watch,
    ran: Vec<Ran>,
    /// The transaction is gone; what ran in it must run again.
    died: bool,
}

impl<'a> Group<'a> {
    /// Begins the group's transaction. On failure every member is answered by [`Group::commit`].
    pub(super) fn begin(session: &'a Session, watch: &'a Watch) -> Result<Self> {
        session.run("BEGIN IMMEDIATE")?;
        Ok(Self { session, watch, ran: Vec::new(), died: false })
    }

    /// Runs a member, unless its caller has left or its deadline has passed.
    pub(super) fn run(&mut self, member: Member) {
        if !member.ticket.start() {
            return;
        }
        if member.call.deadline <= Instant::now() {
            let _ = member.reply.send(Err(Error::not_started_in_time()));
            return;
        }
        if self.died {
            self.ran.push(Ran { member, result: Ok(Vec::new()) });
            return;
        }
        let result = run_work(self.session, self.watch, &member);
        if result.is_err() && self.session.connection().is_autocommit() {
            self.died = true;
        }
        self.ran.push(Ran { member, result });
    }

    /// How many members ran.
    pub(super) fn len(&self) -> usize {
        self.ran.len()
    }

    /// Commits, counts the commit and answers every member. Returns how many were committed together.
    pub(super) fn commit(self, commits: &AtomicU64) -> usize {
        let Self { session, watch, ran, died } = self;
        let count = ran.len();
        if !died {
            match commit(session) {
                Ok(()) => {
                    // Before the answers: who is answered finds its write in the position.
                    commits.fetch_add(1, Ordering::Release);
                    ran.into_iter().for_each(|ran| answer(ran.member, ran.result));
                    return count;
                }
                Err(error) => {
                    if let [_only] = ran.as_slice() {
                        ran.into_iter().for_each(|ran| {
                            let result =
                                ran.result.and_then(|_| Err(at_commit(&error, ran.member.call.request_id)));
                            answer(ran.member, result);
                        });
                        return 0;
                    }
                }
            }
        }
        ran.into_iter().for_each(|ran| again(session, watch, commits, ran));
        count
    }
}

/// Runs a member of a dead group in a transaction of its own. One that had failed keeps its error, unless it was the
/// interrupt or the rollback that killed the group and now passes.
fn again(session: &Session, watch: &Watch, commits: &AtomicU64, ran: Ran) {
    let Ran { member, result } = ran;
    if let Err(error) = result
        && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::InvalidInput)
    {
        answer(member, Err(error));
        return;
    }
    let result = session.run("BEGIN IMMEDIATE").and_then(|()| {
        let written = run_work(session, watch, &member);
        match written {
            Ok(written) => {
                commit(session).map(|()| written).map_err(|error| at_commit(&error, member.call.request_id))
            }
            Err(error) => {
                roll_back(session);
                Err(error)
            }
        }
    });
    commits.fetch_add(1, Ordering::Release);
    answer(member, result);
}

fn answer(member: Member, result: Result<Vec<Written>>) {
    // A caller that has left is not told; its write stands.
    let _ = member.reply.send(result);
}

/// Commits; on failure nothing stays open.
pub(super) fn commit(session: &Session) -> Result<()> {
    session.run("COMMIT").inspect_err(|_| roll_back(session))
}

/// An error of COMMIT. When the disk refused, the frames of the transaction may yet be found by a recovery after a
/// crash, so the outcome is not known.
pub(super) fn at_commit(error: &Error, request_id: RequestId) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => {
            Error::unknown(request_id, format!("the commit failed: {}", error.message()))
        }
        _ => error.for_another(),
    }
}

pub(super) fn roll_back(session: &Session) {
    if !session.connection().is_autocommit()
        && let Err(error) = session.run("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn run_work(session: &Session, watch: &Watch, member: &Member) -> Result<Vec<Written>> {
    watch.until(Some(member.call.deadline));
    let result = match &member.work {
        // SQLite undoes a single statement that fails by itself.
        Work::Statement(statement) => session.write(statement).map(|written| vec![written]),
        Work::Batch(batch) => run_batch_alone(session, batch),
    };
    watch.until(None);
    result
}

/// Runs a batch so that it can be undone without the rest of its group.
fn run_batch_alone(session: &Session, batch: &Batch) -> Result<Vec<Written>> {
    session.run("SAVEPOINT member")?;
    let result = run_batch(session, batch);
    if result.is_err() && !session.connection().is_autocommit() {
        session.run("ROLLBACK TO member")?;
    }
    if !session.connection().is_autocommit() {
        session.run("RELEASE member")?;
    }
    result
}

/// Runs a batch's statements in order and checks their conditions.
pub(super) fn run_batch(session: &Session, batch: &Batch) -> Result<Vec<Written>> {
    let mut done = Vec::with_capacity(batch.steps().len());
    let mut prepared = None;
    for (index, step) in batch.steps().iter().enumerate() {
        let written = session.write_next(&step.statement, &done, &mut prepared)?;
        if !step.expect.is_met_by(written.rows_affected()) {
            return Err(condition_failed(batch.name(), index, step.expect, written.rows_affected()));
        }
        done.push(written);
    }
    Ok(done)
}
