//! What a node does from time to time for all: schedules that are due, tasks that were set aside and need not be, runs and acts that
//! were kept for long enough.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::core::Core;
use super::flight::{Begun, Landed};
use crate::engine::birth::Birth;
use crate::engine::schedule;
use crate::error::{ErrorKind, Result};
use crate::store::{Fired, Schedule, Started};

/// How often schedules are looked at.
const SCHEDULES_EVERY: Duration = Duration::from_secs(1);
/// The pause between two starts of a schedule that catches up with many times: at most a hundred a second, and what else there is to look after
/// has its turn between them.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(10);
/// How many schedules are read at a time.
const SCHEDULES: u32 = 64;
/// How often tasks are looked for that were set aside for a workflow that is no longer held back.
const BACK_EVERY: Duration = Duration::from_secs(2);
/// How often runs and acts that were kept for long enough are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How many of them are removed at a time.
const PRUNE: u32 = 500;

/// When to look after what.
#[derive(Debug)]
pub(super) struct Upkeep {
    schedules_at: Instant,
    back_at: Instant,
    prune_at: Instant,
    acts_at: Instant,
    under_way: usize,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        Self { schedules_at: now, back_at: now, prune_at: now, acts_at: now, under_way: 0 }
    }
}

impl Upkeep {
    /// What was asked for has come back.
    pub(super) const fn has_landed(&mut self) {
        self.under_way -= 1;
    }

    /// Something that was set aside need not be any more.
    pub(super) fn look_back(&mut self) {
        self.back_at = Instant::now();
    }
}

impl Core {
    /// When to look up at the latest for this.
    pub(super) fn next_upkeep(&self) -> Option<Instant> {
        let prune = self.config.retention.map(|_| self.upkeep.prune_at);
        let acts = self.config.acts_retention.map(|_| self.upkeep.acts_at);
        let times = prune.into_iter().chain(acts).chain([self.upkeep.schedules_at, self.upkeep.back_at]);
        times.min().filter(|_| self.upkeep.under_way == 0 && !self.is_stopping)
    }

    /// Looks after what is due.
    pub(super) fn look_after(&mut self, now: Instant) {
        if self.upkeep.under_way > 0 || self.is_stopping {
            return;
        }
        let (store, wall) = (self.store.clone(), self.now());
        if now >= self.upkeep.schedules_at {
            self.upkeep.schedules_at = now + SCHEDULES_EVERY;
            self.ask_for_schedules(None);
        } else if now >= self.upkeep.back_at {
            self.upkeep.back_at = now + BACK_EVERY;
            self.upkeep.under_way += 1;
            let back = async move { Ok(store.adopt().await? + store.come_back().await?) };
            self.flights.push(async move { Landed::CameBack { result: back.await } }.boxed());
        } else if let Some(keep) = self.config.retention.filter(|_| now >= self.upkeep.prune_at) {
            self.upkeep.prune_at = now + PRUNE_EVERY;
            self.upkeep.under_way += 1;
            self.flights.push(
                async move { Landed::Pruned { result: store.prune_own(wall.saturating_sub(keep), PRUNE).await } }
                    .boxed(),
            );
        } else if let Some(keep) = self.config.acts_retention.filter(|_| now >= self.upkeep.acts_at) {
            self.upkeep.acts_at = now + PRUNE_EVERY;
            self.upkeep.under_way += 1;
            let before = wall.saturating_sub(keep);
            self.flights.push(
                async move { Landed::PrunedActs { result: store.prune_acts(before, PRUNE).await } }.boxed(),
            );
        }
    }

    pub(super) fn pruned_acts(&mut self, result: Result<u64>) {
        match result {
            Ok(count) if count >= u64::from(PRUNE) => self.upkeep.acts_at = Instant::now(),
            Ok(_) => {}
            Err(error) => self.ail(&error),
        }
    }

    /// Asks for schedules that are due and whose workflow this node has.
    fn ask_for_schedules(&mut self, after: Option<Schedule>) {
        let known: BTreeSet<&str> =
            self.definitions.values().map(|registered| registered.flow.graph().name.as_str()).collect();
        let known = known.into_iter().map(str::to_owned).collect();
        let (store, wall) = (self.store.clone(), self.now());
        self.upkeep.under_way += 1;
        self.flights.push(
            async move {
                let due = store.schedules_due(wall, known, after.as_ref(), SCHEDULES).await;
                Landed::Schedules { result: due }
            }
            .boxed(),
        );
    }

    pub(super) fn pruned(&mut self, result: Result<u64>) {
        match result {
            Ok(count) if count >= u64::from(PRUNE) => self.upkeep.prune_at = Instant::now(),
            Ok(_) => {}
            Err(error) => self.ail(&error),
        }
    }

    pub(super) fn came_back(&mut self, result: Result<u64>) {
        match result {
            Ok(0) => {}
            Ok(_) => self.keeper.look_at(Instant::now()),
            Err(error) => self.ail(&error),
        }
    }

    pub(super) fn schedules(&mut self, result: Result<Vec<Schedule>>) {
        match result {
            Ok(mut due) => {
                due.iter().for_each(|schedule| self.fire(schedule));
                if due.len() >= SCHEDULES as usize && !self.is_stopping {
                    self.ask_for_schedules(due.pop());
                }
            }
            Err(error) => self.ail(&error),
        }
    }

    /// Starts what a schedule says. Of all nodes that try, one does.
    fn fire(&mut self, due: &Schedule) {
        let (now, Some(due_at)) = (self.now(), due.next_at) else { return };
        let begun = schedule::due(due, due_at, now).and_then(|plan| {
            let birth = plan.request.map(|request| Birth::new(&self.registry, request, super::random(), now));
            Ok((birth.transpose()?, plan.next_at))
        });
        let (birth, next_at) = match begun {
            Ok(begun) => begun,
            // Another node may know the workflow.
            Err(error) if *error.kind() == ErrorKind::UnknownWorkflow => return,
            Err(error) => {
                tracing::error!(schedule = %due.name, %error, "a schedule cannot be fired; it is tried again");
                return;
            }
        };
        let mut begun = birth.map(|birth| Box::new(Begun { birth, leased: Vec::new(), reply: None }));
        let start = begun.as_mut().and_then(|begun| self.start_of(begun));
        let (store, name) = (self.store.clone(), due.name.clone());
        if next_at.is_some_and(|next_at| next_at <= now) {
            // It has times to catch up with.
            self.upkeep.schedules_at = Instant::now() + CATCH_UP_PAUSE;
        }
        self.upkeep.under_way += 1;
        self.has_sent(now);
        self.flights.push(
            async move {
                let flow = begun.as_ref().map(|begun| Arc::clone(&begun.birth.registered.flow));
                let start = flow.as_deref().zip(start);
                let result = store.fire(&name, due_at, next_at, start).await;
                Landed::Fired { name, begun, sent: now, result }
            }
            .boxed(),
        );
    }

    pub(super) fn fired(&mut self, name: &str, begun: Option<Box<Begun>>, result: Result<Fired>) {
        match (result, begun) {
            (Ok(Fired::Started(started)), Some(begun)) => match *started {
                Started::New(head) => drop(self.born(begun.birth, head, begun.leased)),
                Started::AlreadyActive(run) => {
                    tracing::info!(schedule = name, %run, "a run of the schedule is still active; this time is passed over");
                }
                Started::Withdrawn => {}
            },
            (Ok(_), _) => {}
            (Err(error), _) => self.ail(&error),
        }
    }
}
