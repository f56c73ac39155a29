//! Attempts that work in a transaction of their own: the run is reserved, the code runs, and what it did commits with the run's next move.

use std::sync::Arc;
use std::time::Duration;

use mainstay_repo::Transaction;
use tracing::Instrument as _;

use super::cell::{Cell, Held, Item, Source};
use super::command::Told;
use super::core::Core;
use super::decide::Around;
use super::dispatch::Teller;
use super::flight::{Decided, Reserved, is_stale, is_unsure};
use super::telemetry::Timing;
use crate::engine::registry::{Registered, handler_of};
use crate::error::{Error, ErrorKind};
use crate::handler::{Code, StepContext, StepError, TxHandler, answer, attempted};
use crate::id::{NodeId, RunId};
use crate::plan::{Attempt, Refusal, transition};
use crate::store::{Commit, Head, Store};

/// All that an attempt in a transaction takes with it.
struct Errand {
    store: Store,
    head: Head,
    registered: Arc<Registered>,
    end: serde_json::Value,
    config: super::Config,
    node: NodeId,
    leases: bool,
    clock: Arc<dyn mainstay_core::Clock>,
    run: RunId,
    attempt: Attempt,
}

impl Core {
    /// Reserves a run and runs an attempt in a transaction.
    pub(super) fn transact(&mut self, run: RunId, attempt: Attempt) {
        let number = self.number();
        let Some(cell) = self.cells.get(&run) else { return };
        let leases = self.may_lease(&cell.registered.flow, &cell.head.meta.lane.queue);
        if !matches!(cell.held.get(&attempt), Some(Held::Ready | Held::Noted)) {
            self.mark(run);
            return;
        }
        let code = handler_of(&cell.registered.flow, &attempt)
            .and_then(|(name, _)| self.registry.code(&cell.registered, name.as_str()));
        let Some(Code::Tx(code)) = code else { return };
        let (context, cancel) = self.context(cell, run, &attempt, number);
        let errand = Errand {
            store: self.store.clone(),
            head: cell.head.clone(),
            registered: Arc::clone(&cell.registered),
            end: cell.end.clone(),
            config: self.config.clone(),
            node: self.node,
            leases,
            clock: Arc::clone(&self.clock),
            run,
            attempt: attempt.clone(),
        };
        let commands = self.commands.clone();
        let span = super::telemetry::span(cell, run, &attempt);
        self.config.traces.adopt(&span, cell.telemetry());
        let inside = span.clone();
        let teller =
            Teller::new(number, commands, |error| Told::Transaction(Box::new(Reserved::Failed(error))));
        let task = tokio::spawn(async move {
            let reserved = errand.go(&*code, context).instrument(inside).await;
            teller.tell(Told::Transaction(Box::new(reserved)));
        });
        if let Some(cell) = self.cells.get_mut(&run) {
            cell.busy = true;
        }
        self.employ(number, (run, attempt), cancel, task.abort_handle(), span, true);
    }

    /// An attempt in a transaction ended.
    pub(super) fn reserved(
        &mut self,
        run: RunId,
        attempt: Attempt,
        timing: Option<Timing>,
        reserved: Reserved,
    ) {
        match reserved {
            Reserved::Done { head, mut decided } => {
                if let Some(item) = decided.taken.last_mut() {
                    item.timing = timing;
                }
                self.moved(*decided, *head);
            }
            Reserved::Again(error) => {
                if let Some(error) = error {
                    self.ail(&error);
                }
                if let Some(cell) = self.cells.get_mut(&run) {
                    // It runs again on the run as it is now, unless it timed out meanwhile.
                    if matches!(cell.held.get(&attempt), Some(Held::Running(_))) {
                        cell.held.insert(attempt.clone(), Held::Ready);
                        cell.inbox.push_front(Item::transaction(attempt));
                    }
                }
                self.reload(run);
            }
            Reserved::Refused => {
                // If the run has moved on, this answer is refused too. If not, another attempt begins.
                if self
                    .cells
                    .get(&run)
                    .is_some_and(|cell| matches!(cell.held.get(&attempt), Some(Held::Running(_))))
                {
                    self.put_withdrawn(run, attempt);
                }
                self.reload(run);
            }
            Reserved::Failed(error) => {
                if let Some(cell) = self.cells.get_mut(&run) {
                    cell.busy = false;
                    if matches!(cell.held.get(&attempt), Some(Held::Running(_))) {
                        self.answered(run, attempt, timing, Err(error));
                    }
                }
                self.mark(run);
                self.look_again(run);
            }
        }
    }
}

/// How often a transaction is tried while others are in its way.
const BUSY_TRIES: usize = 64;
/// The longest of the first random pauses, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// The longest of all.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);

/// What became of one transaction.
enum Once {
    /// Another one was in its way, and nothing of it is there.
    Busy(StepError),
    /// Anything else.
    Reserved(Reserved),
}

impl Once {
    fn of(error: mainstay_repo::Error) -> Self {
        if *error.kind() == mainstay_repo::ErrorKind::Busy {
            return Self::Busy(error.into());
        }
        Self::Reserved(if is_unsure(&error) {
            Reserved::Again(Some(error.into()))
        } else {
            Reserved::Failed(error.into())
        })
    }
}

impl Errand {
    /// Runs the code until no other transaction is in its way: that is no fault of the step, and counts as no attempt.
    async fn go(self, code: &dyn TxHandler, context: StepContext) -> Reserved {
        let mut pause = FIRST_PAUSE;
        for _ in 1..BUSY_TRIES {
            match self.once(code, context.clone()).await {
                Once::Busy(_) => {
                    let spread = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(1);
                    tokio::time::sleep(Duration::from_micros(super::random() % spread)).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                Once::Reserved(reserved) => return reserved,
            }
        }
        match self.once(code, context).await {
            Once::Busy(error) => Reserved::Failed(error),
            Once::Reserved(reserved) => reserved,
        }
    }

    async fn once(&self, code: &dyn TxHandler, context: StepContext) -> Once {
        let mut tx = match self.store.repo().begin().await {
            Ok(tx) => tx,
            Err(error) => return Once::of(error),
        };
        let inside = &mut tx;
        let result = attempted(context, move |context| code.run(context, inside)).await;
        let reserved = match result {
            Ok(done) if done.batch.is_some() => Err(Reserved::Failed(StepError::fatal(
                "a handler with a transaction writes in it and returns no batch",
            ))),
            Ok(done) => self.keep(&mut tx, done).await,
            Err(error) => Err(Reserved::Failed(error)),
        };
        match reserved {
            Ok((head, decided)) => match tx.commit().await {
                Ok(()) => Once::Reserved(Reserved::Done { head: Box::new(head), decided: Box::new(decided) }),
                Err(error) => Once::of(error),
            },
            Err(reserved) => {
                if let Err(error) = tx.rollback().await {
                    // It is rolled back all the same.
                    tracing::debug!(run = %self.run, %error, "rollback");
                }
                match reserved {
                    Reserved::Failed(error) if error.is_busy() => Once::Busy(error),
                    other => Once::Reserved(other),
                }
            }
        }
    }

    /// Adds the run's move to the transaction.
    async fn keep(
        &self,
        tx: &mut Transaction,
        done: crate::handler::Done,
    ) -> Result<(Head, Decided), Reserved> {
        let now = self.clock.now();
        let flow = &self.registered.flow;
        let around = Around { now, node: self.node, leases: self.leases, config: &self.config };
        let input = answer(self.attempt.clone(), Ok(done));
        let next = match transition(flow, &self.head.state, input, now) {
            Ok(next) => next,
            Err(Refusal::Corrupt(corrupt)) => {
                return Err(Reserved::Failed(StepError::fatal(corrupt.to_string())));
            }
            // Its run has moved on without it: nothing of it is wanted.
            Err(_) => return Err(Reserved::Refused),
        };
        let mut decided = Decided::new(self.run, Commit::new(&self.head, now));
        let source = Source::Attempt(self.attempt.clone());
        let mut shadow =
            Cell::new(self.head.clone(), Arc::clone(&self.registered), crate::handler::Results::default());
        shadow.end = self.end.clone();
        let failed = decided.keep(&mut shadow, flow, &source, next, &around);
        let failed = failed.map_err(|error| Reserved::Failed(StepError::fatal(error.to_string())))?;
        if failed {
            let text = "it ended with an event or a choice that the graph does not allow";
            return Err(Reserved::Failed(StepError::fatal(text)));
        }
        let Some(commit) = decided.commit.take() else {
            return Err(Reserved::Failed(StepError::fatal("the commit is gone")));
        };
        decided.leased = commit.leased();
        decided.taken.push(Item::transaction(self.attempt.clone()));
        match self.store.commit_in(tx, commit).await {
            Ok(head) => Ok((head, decided)),
            Err(error) if is_stale(&error) => Err(Reserved::Again(None)),
            Err(error) => Err(again_or_failed(error)),
        }
    }
}

/// Whether an error of the run's own statements passes.
fn again_or_failed(error: Error) -> Reserved {
    match error.kind() {
        // A statement of the handler failed and it went on: the transaction can only be rolled back.
        ErrorKind::Database(mainstay_repo::ErrorKind::InvalidInput) => {
            Reserved::Failed(StepError::retry(error.to_string()))
        }
        ErrorKind::Database(mainstay_repo::ErrorKind::Busy) => {
            Reserved::Failed(StepError::busy(error.to_string()))
        }
        _ => Reserved::Again(Some(error)),
    }
}
