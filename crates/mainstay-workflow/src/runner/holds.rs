//! What is held back: workflows that are paused, and queues with limits. The database is the truth; a node learns of it with each poll.
//!
//! What a node leases to itself with a commit meets no claim, which would set it aside or count it. So a node leases nothing of a paused
//! workflow or in a queue with limits, and what it had leased of one before and has not begun it gives back.

use futures_util::FutureExt as _;
use mainstay_core::Timestamp;
use tokio::time::Instant;

use super::cell::Held;
use super::core::Core;
use super::dispatch::Ready;
use super::flight::Landed;
use crate::definition::Workflow;
use crate::error::Result;
use crate::id::RunId;
use crate::store::{Standing, TaskKey};

/// What a node knows of it.
#[derive(Default)]
pub(super) struct Holds {
    /// None from the beginning of a later life to its first poll.
    standing: Option<Standing>,
    /// Leased attempts of what is paused that are to be given back.
    aside: Vec<Ready>,
}

impl Holds {
    /// As it was read when the node began.
    pub(super) fn of(standing: Standing) -> Self {
        Self { standing: Some(standing), aside: Vec::new() }
    }

    /// The database was asked.
    pub(super) fn learn(&mut self, standing: Standing) {
        self.standing = Some(standing);
    }

    /// How many leased attempts wait to be given back.
    pub(super) const fn len(&self) -> usize {
        self.aside.len()
    }

    /// Whether a workflow is known to be paused.
    fn holds(&self, flow: &Workflow) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.holds(&flow.graph().name))
    }

    /// Whether a queue is known to have limits.
    pub(super) fn limits(&self, queue: &str) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.limited.contains(queue))
    }

    /// Whether tasks may be leased without a claim. Nothing may before it is known what is held back.
    pub(super) fn lets_pass(&self, flow: &Workflow, queue: &str) -> bool {
        self.standing.is_some() && !self.holds(flow) && !self.limits(queue)
    }

    /// Another life begins.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Core {
    /// Keeps an attempt from its beginning when its run is paused, or its workflow.
    pub(super) fn keep_aside(&mut self, ready: Ready) -> Option<Ready> {
        let cell = self.cells.get(&ready.run);
        if cell.is_some_and(|cell| cell.head.state.paused || self.holds.holds(&cell.registered.flow)) {
            self.holds.aside.push(ready);
            return None;
        }
        Some(ready)
    }

    /// Gives back what must not begin here: of what is paused, to be set aside until it is resumed, or for others to begin.
    pub(super) fn launch_aside(&mut self) {
        if self.under_way.settles > 0 {
            return;
        }
        let now = self.now();
        let mut aside = std::mem::take(&mut self.holds.aside);
        self.give_back(&mut aside, None);
        self.holds.aside = aside;
        if self.under_way.settles == 0 {
            let mut surplus = std::mem::take(&mut self.losses.surplus);
            self.give_back(&mut surplus, Some(now.saturating_add(self.away())));
            self.losses.surplus = surplus;
        }
    }

    /// Gives back attempts that have not begun, to be claimed from an instant on, or to be set aside. Those of runs that are being written
    /// stay in the list.
    fn give_back(&mut self, aside: &mut Vec<Ready>, from: Option<Timestamp>) {
        let mut keys = Vec::new();
        for ready in std::mem::take(aside) {
            let Some(cell) = self.cells.get_mut(&ready.run) else { continue };
            if !matches!(cell.held.get(&ready.attempt), Some(Held::Ready | Held::Noted)) {
                // It was taken back.
                continue;
            }
            if cell.busy {
                // What is under way may take the row along.
                aside.push(ready);
                continue;
            }
            // Nothing is decided of the run meanwhile: its row stands for the same attempt until the row is given back.
            cell.busy = true;
            cell.held.remove(&ready.attempt);
            let is_baton = cell.head.baton.as_ref() == Some(&ready.attempt);
            let Ready { run, attempt, .. } = ready;
            keys.push(if is_baton { TaskKey::baton(run) } else { TaskKey { run, attempt } });
        }
        if keys.is_empty() {
            return;
        }
        let (store, node) = (self.store.clone(), self.node);
        self.under_way.settles += 1;
        self.flights.push(
            async move {
                let result = match from {
                    Some(from) => store.release(node, &keys, from).await,
                    None => store.set_aside(node, &keys).await,
                };
                Landed::GivenBack { runs: keys.into_iter().map(|key| key.run).collect(), result }
            }
            .boxed(),
        );
    }

    /// What must not begin was given back, or nobody knows: then the comparison of leases does it.
    pub(super) fn given_back(&mut self, runs: Vec<RunId>, result: Result<()>) {
        match result {
            // A row that another node made into something else meanwhile is found.
            Ok(()) => self.keeper.suspect(),
            Err(error) => self.ail(&error),
        }
        for run in runs {
            if let Some(cell) = self.cells.get_mut(&run) {
                cell.busy = false;
            }
            self.mark(run);
            self.look_again(run);
        }
        self.keeper.look_at(Instant::now() + self.config.poll.0);
    }
}
