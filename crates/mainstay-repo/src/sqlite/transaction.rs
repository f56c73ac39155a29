//! Interactive transactions: the writer serves one caller until it commits, leaves or passes a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group::{at_commit, commit, roll_back, run_batch};
use super::open::Watch;
use super::statement::Session;
use super::writer::BeginJob;
use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, Result};
use crate::operation::RequestId;
use crate::statement::Statement;
use crate::transaction::{TransactionDriver, TransactionLimits, already_failed, limit_passed};

/// What the caller asks of its transaction.
pub(super) enum Command {
    Run(Statement, oneshot::Sender<Result<Vec<Written>>>),
    Batch(Batch, oneshot::Sender<Result<Vec<Written>>>),
    Commit(RequestId, oneshot::Sender<Result<()>>),
    Rollback(oneshot::Sender<Result<()>>),
}

/// Why the writer ended a transaction before its caller did.
#[derive(Debug, Default)]
pub(super) struct Ended(AtomicU8);

impl Ended {
    const IDLE: u8 = 1;
    const TOTAL: u8 = 2;

    fn error(&self, limits: &TransactionLimits) -> Error {
        match self.0.load(Ordering::Acquire) {
            Self::IDLE => limit_passed(limits, "idle for too long"),
            Self::TOTAL => limit_passed(limits, "open for too long"),
            _ => Error::closed(),
        }
    }
}

/// Serves a transaction on the writer thread.
pub(super) fn serve(
    session: &Session,
    watch: &Watch,
    limits: &TransactionLimits,
    commits: &AtomicU64,
    begin: BeginJob,
) {
    if !begin.ticket.start() {
        return;
    }
    if begin.deadline <= Instant::now() {
        let _ = begin.reply.send(Err(Error::not_started_in_time()));
        return;
    }
    if let Err(error) = session.run("BEGIN IMMEDIATE") {
        let _ = begin.reply.send(Err(error));
        return;
    }
    let until = Instant::now() + limits.total;
    watch.until(Some(until));
    if begin.reply.send(Ok(())).is_ok() {
        let which = converse(session, limits, until, commits, &begin.commands, &begin.ended);
        begin.ended.0.store(which, Ordering::Release);
    }
    watch.until(None);
    roll_back(session);
}

/// Runs the caller's commands; returns which limit was passed, or zero.
fn converse(
    session: &Session,
    limits: &TransactionLimits,
    until: Instant,
    commits: &AtomicU64,
    commands: &Receiver<Command>,
    ended: &Ended,
) -> u8 {
    let mut failed = false;
    loop {
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        let wait = limits.idle.min(left);
        let passed = if wait == left { Ended::TOTAL } else { Ended::IDLE };
        let command = match commands.recv_timeout(wait) {
            // The process was held up beyond the limit, and the caller was there before the clock was looked at.
            // Its answer says why only when the reason stands before the command is let go.
            Ok(_late) if now.elapsed() >= wait => {
                ended.0.store(passed, Ordering::Release);
                return passed;
            }
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => return passed,
            Err(RecvTimeoutError::Disconnected) => return 0,
        };
        match command {
            Command::Run(_, reply) | Command::Batch(_, reply) if failed => {
                let _ = reply.send(Err(already_failed()));
            }
            Command::Run(statement, reply) => {
                let result = session.write(&statement).map(|written| vec![written]);
                failed = result.is_err();
                let _ = reply.send(result);
            }
            Command::Batch(batch, reply) => {
                let result = run_batch(session, &batch);
                failed = result.is_err();
                let _ = reply.send(result);
            }
            Command::Commit(_, reply) if failed => {
                let _ = reply.send(Err(already_failed()));
                return 0;
            }
            Command::Commit(request_id, reply) => {
                let committed = commit(session).map_err(|error| at_commit(&error, request_id));
                commits.fetch_add(1, Ordering::Release);
                let _ = reply.send(committed);
                return 0;
            }
            Command::Rollback(reply) => {
                roll_back(session);
                let _ = reply.send(Ok(()));
                return 0;
            }
        }
        if Instant::now() >= until {
            return Ended::TOTAL;
        }
    }
}

/// The caller's end of a transaction.
pub(super) struct SqliteTransaction {
    pub(super) commands: Sender<Command>,
    pub(super) ended: Arc<Ended>,
    pub(super) limits: TransactionLimits,
    pub(super) request_id: RequestId,
}

impl SqliteTransaction {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).is_err() {
            return Err(self.ended.error(&self.limits));
        }
        answer.await.unwrap_or_else(|_closed| Err(self.ended.error(&self.limits)))
    }
}

#[async_trait]
impl TransactionDriver for SqliteTransaction {
    async fn run(&mut self, statement: Statement) -> Result<Written> {
        let mut written = self.ask(|reply| Command::Run(statement, reply)).await?;
        written.pop().ok_or_else(Error::closed)
    }

    async fn batch(&mut self, batch: Batch) -> Result<BatchOutcome> {
        self.ask(|reply| Command::Batch(batch, reply)).await.map(BatchOutcome::new)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.ask(|reply| Command::Commit(self.request_id, reply)).await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        // A transaction that a limit ended is rolled back already.
        self.ask(Command::Rollback).await.or(Ok(()))
    }
}
