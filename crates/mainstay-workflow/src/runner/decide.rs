//! From what happened to a run to its next commit.

use std::sync::Arc;

use mainstay_core::Timestamp;

use super::Config;
use super::cell::{Cell, Held, Item, Source, What};
use super::flight::Decided;
use crate::definition::Workflow;
use crate::engine::output::leads_to_end;
use crate::error::Error;
use crate::id::{NodeId, RunId};
use crate::plan::{Attempt, Effect, Fact, Fault, Input, Outcome, Refusal, Transition, transition};
use crate::store::Commit;

/// What a decision is made in.
pub(super) struct Around<'a> {
    pub(super) now: Timestamp,
    pub(super) node: NodeId,
    /// Whether this node has room for the tasks that come of it.
    pub(super) leases: bool,
    pub(super) config: &'a Config,
}

/// What is to be done with a run next.
pub(super) enum Decision {
    /// Nothing is to be kept.
    Nothing,
    /// It moves.
    Move(Box<Decided>),
    /// An attempt wants a transaction.
    Transaction(Attempt),
    /// It refuses something, perhaps only because it was moved elsewhere: it is to be read again.
    Doubt,
    /// What it was asked cannot be decided with the graph that is registered.
    Broken(Refusal),
}

/// Decides what waits in a run. What is refused is left in `refused`, to be settled.
pub(super) fn decide(
    cell: &mut Cell,
    run: RunId,
    around: &Around<'_>,
    refused: &mut Vec<Source>,
) -> Decision {
    if matches!(cell.inbox.front(), Some(Item { what: What::Transaction, .. })) {
        if let Some(Item { source: Source::Attempt(attempt), .. }) = cell.inbox.pop_front() {
            return Decision::Transaction(attempt);
        }
        return Decision::Nothing;
    }
    let flow = Arc::clone(&cell.registered.flow);
    let mut decided = Decided::new(run, Commit::new(&cell.head, around.now));
    while let Some(item) = cell.inbox.pop_front() {
        if item.is_alone() && !decided.taken.is_empty() {
            cell.inbox.push_front(item);
            break;
        }
        let is_alone = item.is_alone();
        match decided.take(cell, &flow, item, around) {
            Took::Moved => {}
            Took::Refused(item) if cell.fresh => refused.push(item.source),
            Took::Refused(item) => {
                cell.inbox.push_front(item);
                if decided.taken.is_empty() {
                    return Decision::Doubt;
                }
                // First what is not in doubt.
                break;
            }
            Took::TooLarge(item, error) => return again(cell, run, around, refused, decided, item, &error),
            Took::Broken(item, refusal) => {
                cell.inbox.push_front(item);
                put_back(cell, decided.taken);
                return Decision::Broken(refusal);
            }
        }
        if is_alone {
            break;
        }
    }
    decided.end(refused, around.now)
}

/// A result was too large: its attempt failed for good. All else is decided anew.
fn again(
    cell: &mut Cell,
    run: RunId,
    around: &Around<'_>,
    refused: &mut Vec<Source>,
    decided: Decided,
    item: Item,
    error: &Error,
) -> Decision {
    if let Source::Attempt(attempt) = item.source {
        let fault = Fault::Error { message: error.to_string(), retry: false, ran: true };
        let input = Input::Failed { attempt: attempt.clone(), fault };
        cell.inbox.push_front(Item::answer(attempt, input, None));
    } else {
        // A letter was checked when it was sent; one that is too large all the same is dropped.
        refused.push(item.source);
    }
    put_back(cell, decided.taken);
    decide(cell, run, around, refused)
}

/// Puts back what was taken, to be decided before everything else.
pub(super) fn put_back(cell: &mut Cell, taken: Vec<Item>) {
    for item in taken.into_iter().rev() {
        cell.inbox.push_front(item);
    }
}

/// What became of an item.
enum Took {
    Moved,
    Refused(Item),
    TooLarge(Item, Error),
    Broken(Item, Refusal),
}

impl Decided {
    pub(super) fn new(run: RunId, commit: Commit) -> Self {
        Self {
            run,
            commit: Some(commit),
            taken: Vec::new(),
            records: Vec::new(),
            leased: Vec::new(),
            revoked: Vec::new(),
            due: Vec::new(),
            ready: Vec::new(),
            leaves: false,
            with_batch: false,
            began: tokio::time::Instant::now(),
        }
    }

    fn take(&mut self, cell: &mut Cell, flow: &Workflow, item: Item, around: &Around<'_>) -> Took {
        let (input, has_batch) = match &item.what {
            What::Input(input) => (input.clone(), false),
            What::Batch(input, _) => (input.clone(), true),
            What::Transaction => return Took::Refused(item),
        };
        let Some(commit) = self.commit.as_mut() else { return Took::Refused(item) };
        let state = commit.state().unwrap_or(&cell.head.state);
        match transition(flow, state, input, around.now) {
            Err(Refusal::Corrupt(corrupt)) => Took::Broken(item, Refusal::Corrupt(corrupt)),
            Err(refusal) => {
                tracing::debug!(run = %self.run, source = ?item.source, %refusal, "refused");
                Took::Refused(item)
            }
            Ok(next) => match self.keep(cell, flow, &item.source, next, around) {
                Err(error) => Took::TooLarge(item, error),
                Ok(failed) => {
                    // The statements of an attempt that broke its word are not wanted.
                    self.with_batch = has_batch && !failed;
                    self.taken.push(item);
                    Took::Moved
                }
            },
        }
    }

    /// Adds a transition. Returns whether it says that the attempt failed.
    pub(super) fn keep(
        &mut self,
        cell: &mut Cell,
        flow: &Workflow,
        source: &Source,
        next: Transition,
        around: &Around<'_>,
    ) -> Result<bool, Error> {
        let Some(commit) = self.commit.as_mut() else { return Err(Error::internal("the commit is gone")) };
        let is_end = next
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Finish { outcome: Outcome::Completed }));
        if is_end {
            let records = next.records.iter().rev().chain(self.records.iter().rev());
            let result = records.filter_map(|record| leads_to_end(flow, record)).next();
            commit.result(result.unwrap_or_else(|| cell.end.clone()));
        }
        let mut withdrawn = Vec::new();
        for effect in &next.effects {
            match effect {
                Effect::Run { attempt, ready_at, .. } | Effect::StartChild { attempt, ready_at, .. } => {
                    if let Some(queue) = around.config.queues.of(flow, attempt) {
                        commit.queue_of(attempt.clone(), queue);
                    }
                    if *ready_at > around.now {
                        self.due.push(*ready_at);
                    } else {
                        self.ready.push(attempt.clone());
                    }
                }
                Effect::SetTimer { at, .. } => self.due.push(*at),
                Effect::Revoke { attempt } | Effect::CancelChild { attempt } => {
                    match cell.held.get(attempt) {
                        Some(Held::Ready | Held::Noting | Held::Noted) => withdrawn.push(attempt.clone()),
                        _ => self.revoked.push(attempt.clone()),
                    }
                }
                _ => {}
            }
        }
        match source {
            Source::Attempt(attempt) => commit.done(attempt.clone()),
            Source::Mail(mail) => commit.read(mail),
            Source::Time => {}
        }
        let failed = next.records.iter().any(|record| match (&record.fact, source) {
            (Fact::AttemptFailed { attempt, .. }, Source::Attempt(answered)) => attempt == answered,
            _ => false,
        });
        let records = next.records.clone();
        if around.leases {
            commit.lease(around.node);
        }
        commit.push(flow, next)?;
        self.records.extend(records);
        for attempt in withdrawn {
            // It has not begun here and will not: that is answered in the same commit.
            cell.held.insert(attempt.clone(), Held::Answered);
            let input = Input::Failed { attempt: attempt.clone(), fault: Fault::Withdrawn };
            cell.inbox.push_front(Item::answer(attempt, input, None));
        }
        Ok(failed)
    }

    fn end(mut self, refused: &mut Vec<Source>, now: Timestamp) -> Decision {
        let Some(commit) = &self.commit else { return Decision::Nothing };
        if commit.is_empty() {
            // Nothing follows: what was read is done with.
            refused.extend(
                self.taken
                    .into_iter()
                    .map(|item| item.source)
                    .filter(|source| !matches!(source, Source::Time)),
            );
            return Decision::Nothing;
        }
        self.leased = commit.leased();
        if self.ready.iter().any(|attempt| !self.leased.contains(attempt)) {
            // Others may take it, and this node too, in its turn.
            self.due.push(now);
            self.leaves = true;
        }
        Decision::Move(Box::new(self))
    }
}
