//! The end of a node's life, and the next one.
//!
//! A node that was silent for too long is given up: others have its work. Whatever it had asked the database for belongs to that life, so what
//! comes back of it is thrown away, and the next life begins when nothing of the one before is on its way any more: a reading from before would
//! bring letters back that others have read since.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::core::Core;
use super::flight::Landed;
use super::keeper::Keeper;
use crate::error::Result;
use crate::id::NodeId;
use crate::store::Takeover;

impl Core {
    /// The others have given this life up: all that is in memory is worth nothing.
    pub(super) fn die(&mut self) {
        tracing::warn!(node = ?self.node, "this workflow node was silent for too long; the others have taken over its work");
        for worker in self.workers.drain().map(|(_, worker)| worker) {
            worker.cancel.pull();
            worker.abort.abort();
        }
        self.cells.clear();
        self.watchers.clear();
        self.dirty.clear();
        self.arrivals.clear();
        self.to_load.clear();
        self.to_mail.clear();
        self.birth_times.clear();
        self.settles.0.clear();
        self.settles.1.clear();
        self.ready.clear();
        self.forget_losses();
        self.holds.forget();
        self.alarms.clear();
        self.keeper.die();
    }

    /// Begins another life, when the last one is over.
    pub(super) fn live_again(&mut self, now: Instant) {
        if !self.keeper.is_dead() || !self.flights.is_empty() || self.keeper.is_resting(now) {
            return;
        }
        let (store, name) = (self.store.clone(), self.config.name.clone());
        self.under_way.others += 1;
        self.flights.push(
            async move { Landed::Joined { result: store.join(&name, Takeover::Nobody).await } }.boxed(),
        );
    }

    pub(super) fn joined(&mut self, result: Result<NodeId>) {
        match result {
            Err(error) => self.ail(&error),
            Ok(node) => {
                self.node = node;
                self.life.store(node.0, Ordering::Relaxed);
                self.keeper = Keeper::new(Instant::now());
            }
        }
    }
}
