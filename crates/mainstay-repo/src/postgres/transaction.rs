//! Interactive transactions: each has a task that owns its connection, so that the limits hold and a transaction ends
//! whatever its user does: leave in the middle of a statement, forget it, or think for too long.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Fault;
use super::group::{lost_commit, run_batch};
use super::pool::{Lent, Pool};
use super::session::Begin;
use super::statement::Sent;
use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Call, Priority, RequestId};
use crate::statement::Statement;
use crate::transaction::{TransactionDriver, TransactionLimits, already_failed, limit_passed};

/// How long ending a transaction may take before its connection is thrown away, which ends it too.
const END_LIMIT: Duration = Duration::from_secs(30);

const IDLE: &str = "idle for too long";
const OPEN: &str = "open for too long";

type Reply<T> = oneshot::Sender<Result<T>>;

/// What the user asks of the task.
enum Ask {
    Run(Statement, Reply<Written>),
    Batch(Batch, Reply<BatchOutcome>),
    Commit(Reply<()>),
    Rollback(Reply<()>),
}

/// The user's end.
struct Handle {
    asks: mpsc::Sender<Ask>,
    request_id: RequestId,
}

/// Why a transaction is over.
enum End {
    /// It was committed or rolled back, and the connection is clean.
    Settled,
    /// It is to be rolled back: its user has left.
    Left,
    /// It is to be rolled back: it took too long.
    Limit(&'static str),
    /// The connection cannot be used any more.
    Broken,
}

/// Begins a transaction.
pub(super) async fn begin(
    pool: &Arc<Pool>,
    slots: &Arc<Semaphore>,
    limits: TransactionLimits,
    call: &Call,
) -> Result<Box<dyn TransactionDriver>> {
    let slot = timeout_at(call.deadline, Arc::clone(slots).acquire_owned())
        .await
        .map_err(|_elapsed| Error::not_started_in_time())?
        .map_err(|_closed| Error::closed())?;
    let lent = begun(pool, call).await?;
    let (asks, inbox) = mpsc::channel(1);
    let actor = Actor {
        lent,
        inbox,
        limits,
        until: Instant::now() + limits.total,
        request_id: call.request_id,
        failed: false,
    };
    tokio::spawn(actor.run(slot));
    Ok(Box::new(Handle { asks, request_id: call.request_id }))
}

async fn begun(pool: &Arc<Pool>, call: &Call) -> Result<Lent> {
    let cap = match call.priority {
        Priority::Low { cap } => Some(cap),
        Priority::Normal => None,
    };
    let text = pool.link.begin(Begin::Interactive, cap);
    loop {
        let mut lent = pool.lend(call.deadline).await?;
        let session = &mut lent.session;
        let begun = timeout_at(call.deadline, session.wire.drive(session.desk.simple(&text))).await;
        match begun.map_err(|_elapsed| Error::not_started_in_time())? {
            Ok(()) => return Ok(lent),
            // It died in the pool; a new one says whether the server is there.
            Err(fault) if lent.reused && !fault.leaves_connection() => {}
            Err(fault) => return Err(fault.into_error(&pool.link.place)),
        }
    }
}

struct Actor {
    lent: Lent,
    inbox: mpsc::Receiver<Ask>,
    limits: TransactionLimits,
    until: Instant,
    request_id: RequestId,
    failed: bool,
}

impl Actor {
    async fn run(mut self, slot: OwnedSemaphorePermit) {
        let end = self.serve().await;
        let Self { mut lent, inbox, limits, .. } = self;
        let clean = match end {
            End::Broken => false,
            End::Settled => true,
            End::Left | End::Limit(_) => finish(&mut lent, "ROLLBACK").await.is_ok(),
        };
        if clean && matches!(timeout(END_LIMIT, lent.session.reset()).await, Ok(Ok(()))) {
            lent.give_back().await;
        } else {
            drop(lent);
        }
        drop(slot);
        refuse_the_rest(inbox, &limits, &end).await;
    }

    async fn serve(&mut self) -> End {
        loop {
            let idle = Instant::now() + self.limits.idle;
            let limit = idle.min(self.until);
            let wait = timeout_at(limit, self.inbox.recv());
            let passed = End::Limit(if idle < self.until { IDLE } else { OPEN });
            let ask = match self.lent.session.wire.wait(wait).await {
                Err(_elapsed) => return passed,
                Ok(None) => return End::Left,
                // The process was held up beyond the limit, and the caller was there before the clock was looked at.
                Ok(Some(ask)) if Instant::now() >= limit => {
                    refuse(ask, &self.limits, &passed);
                    return passed;
                }
                Ok(Some(ask)) => ask,
            };
            let end = match ask {
                Ask::Run(statement, reply) => self.statement(statement, reply).await,
                Ask::Batch(batch, reply) => self.batch(batch, reply).await,
                Ask::Commit(reply) => Some(self.commit(reply).await),
                Ask::Rollback(reply) => Some(self.rollback(reply).await),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn statement(&mut self, statement: Statement, mut reply: Reply<Written>) -> Option<End> {
        if self.failed {
            let _left = reply.send(Err(already_failed()));
            return None;
        }
        let (desk, until) = (&self.lent.session.desk, self.until);
        let work = async {
            let bound = Sent::send(desk.bind(&statement, &[])).await.answer_by(desk, until).await?;
            Sent::send(desk.execute(&bound)).await.answer_by(desk, until).await
        };
        let outcome = self.lent.session.wire.drive(unless_left(work, &mut reply)).await;
        self.conclude(outcome, reply)
    }

    async fn batch(&mut self, batch: Batch, mut reply: Reply<BatchOutcome>) -> Option<End> {
        if self.failed {
            let _left = reply.send(Err(already_failed()));
            return None;
        }
        let (desk, until) = (&self.lent.session.desk, self.until);
        let work = async { run_batch(desk, &batch, until).await.map(BatchOutcome::new) };
        let outcome = self.lent.session.wire.drive(unless_left(work, &mut reply)).await;
        self.conclude(outcome, reply)
    }

    /// Answers; after an error only a rollback is left.
    fn conclude<T>(&mut self, outcome: Option<Result<T, Fault>>, reply: Reply<T>) -> Option<End> {
        let fault = match outcome {
            Some(Ok(done)) => {
                // An answer that nobody took may have been a write that its caller believes undone.
                self.failed = reply.send(Ok(done)).is_err();
                return None;
            }
            Some(Err(fault)) => fault,
            None => {
                self.lent.session.desk.cancel();
                return Some(End::Broken);
            }
        };
        self.failed = true;
        if fault.is_stale_plan() {
            self.lent.session.desk.statements.clear();
        }
        let ended = if Instant::now() >= self.until {
            Some(End::Limit(OPEN))
        } else if fault.leaves_connection() {
            None
        } else {
            Some(End::Broken)
        };
        let error = match ended {
            Some(End::Limit(which)) => limit_passed(&self.limits, which),
            _ => fault.into_error(&self.lent.session.desk.link.place),
        };
        let _left = reply.send(Err(error));
        ended
    }

    async fn commit(&mut self, reply: Reply<()>) -> End {
        if self.failed {
            let _left = reply.send(Err(already_failed()));
            return End::Left;
        }
        let outcome = finish(&mut self.lent, "COMMIT").await;
        let place = &self.lent.session.desk.link.place;
        let (answer, end) = match outcome {
            Ok(()) => (Ok(()), End::Settled),
            // A refused commit has rolled back.
            Err(fault) if fault.leaves_connection() => (Err(fault.into_error(place)), End::Settled),
            Err(fault) => (Err(lost_commit(self.request_id, fault.into_error(place))), End::Broken),
        };
        let _left = reply.send(answer);
        end
    }

    async fn rollback(&mut self, reply: Reply<()>) -> End {
        let outcome = finish(&mut self.lent, "ROLLBACK").await;
        let end = if outcome.is_ok() { End::Settled } else { End::Broken };
        let place = &self.lent.session.desk.link.place;
        let _left = reply.send(outcome.map_err(|fault| fault.into_error(place)));
        end
    }
}

/// Ends the transaction on the server.
async fn finish(lent: &mut Lent, text: &str) -> std::result::Result<(), Fault> {
    let session = &mut lent.session;
    if session.desk.link.pooler {
        session.desk.statements.clear();
    }
    let ended = timeout(END_LIMIT, session.wire.drive(session.desk.simple(text))).await;
    ended.unwrap_or(Err(Fault::Silent))
}

/// The work's outcome, or nothing when nobody waits for it any more.
async fn unless_left<T, R>(work: impl Future<Output = T>, reply: &mut oneshot::Sender<R>) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = reply.closed() => None,
    }
}

/// Tells a user who comes back why there is no transaction any more.
async fn refuse_the_rest(mut inbox: mpsc::Receiver<Ask>, limits: &TransactionLimits, end: &End) {
    while let Some(ask) = inbox.recv().await {
        refuse(ask, limits, end);
    }
}

fn refuse(ask: Ask, limits: &TransactionLimits, end: &End) {
    let error = match end {
        End::Limit(which) => limit_passed(limits, which),
        _ => already_failed(),
    };
    match ask {
        Ask::Run(_, reply) => drop(reply.send(Err(error))),
        Ask::Batch(_, reply) => drop(reply.send(Err(error))),
        Ask::Commit(reply) => drop(reply.send(Err(error))),
        // It is rolled back, which is what was asked for.
        Ask::Rollback(reply) => drop(reply.send(Ok(()))),
    }
}

impl Handle {
    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(make(reply)).await.map_err(|_| Error::closed())?;
        answer.await.map_err(|_| Error::closed())?
    }
}

#[async_trait]
impl TransactionDriver for Handle {
    async fn run(&mut self, statement: Statement) -> Result<Written> {
        self.ask(|reply| Ask::Run(statement, reply)).await
    }

    async fn batch(&mut self, batch: Batch) -> Result<BatchOutcome> {
        self.ask(|reply| Ask::Batch(batch, reply)).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        match self.ask(Ask::Commit).await {
            // The task went away with the runtime, and the answer with it.
            Err(error) if error.kind() == &ErrorKind::Closed => Err(lost_commit(self.request_id, error)),
            other => other,
        }
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        self.ask(Ask::Rollback).await
    }
}
