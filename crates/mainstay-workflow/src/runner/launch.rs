//! What is sent to the database, and how much of it at a time.

use std::collections::btree_map::Entry;

use futures_util::FutureExt as _;
use mainstay_core::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::batches::{self, Member};
use super::cell::Source;
use super::core::Core;
use super::decide::{Around, Decision, decide};
use super::flight::{Begun, Decided, Landed};
use crate::engine::StartRequest;
use crate::engine::birth::Birth;
use crate::error::{Error, Result};
use crate::handler::StepError;
use crate::id::RunId;
use crate::plan::Attempt;
use crate::store::{Lane, Start, TaskKey};

/// How many runs are read at a time.
const LOAD_BATCH: usize = 256;
/// How many starts share a commit.
const START_BATCH: usize = 512;

impl Core {
    /// Sends what there is to send.
    pub(super) fn launch(&mut self) {
        if self.keeper.is_held(Instant::now()) {
            return;
        }
        self.launch_loads();
        self.launch_starts();
        while self.under_way.commits + self.under_way.batches < self.config.flights && !self.dirty.is_empty()
        {
            if !self.launch_commits() {
                break;
            }
        }
        self.launch_notes();
        self.launch_aside();
        self.launch_mail();
        self.launch_settles();
    }

    fn launch_loads(&mut self) {
        while !self.to_load.is_empty() && self.under_way.loads < self.config.flights {
            let count = self.to_load.len().min(LOAD_BATCH);
            let runs: Vec<RunId> = self.to_load.drain(..count).collect();
            for run in &runs {
                self.arrivals.entry(*run).or_default().is_asked = true;
            }
            let store = self.store.clone();
            self.under_way.loads += 1;
            self.flights.push(
                async move {
                    let result = store.load_with_history(&runs).await;
                    Landed::Loads { runs, result }
                }
                .boxed(),
            );
        }
    }

    /// Decides what waits, and sends it in one commit. Returns whether anything was sent.
    fn launch_commits(&mut self) -> bool {
        let (mut all, mut with_batch) = (Vec::new(), Vec::new());
        let now = self.now();
        for _ in 0..self.dirty.len() {
            if all.len() >= self.config.batch || with_batch.len() >= batches::MEMBERS {
                break;
            }
            let Some(run) = self.dirty.pop_front() else { break };
            match self.decide_run(run, now) {
                Some(decided) if decided.with_batch => with_batch.push(decided),
                Some(decided) => all.push(decided),
                None => {}
            }
        }
        let sent = !all.is_empty() || !with_batch.is_empty();
        if !with_batch.is_empty() {
            self.launch_batches(with_batch);
        }
        if all.is_empty() {
            return sent;
        }
        let commits = all.iter_mut().filter_map(|decided| decided.commit.take()).collect();
        let store = self.store.clone();
        self.under_way.commits += 1;
        self.flights.push(
            async move {
                let result = store.commit(commits).await;
                Landed::Commits { decided: all, result }
            }
            .boxed(),
        );
        true
    }

    /// Decides what waits in one run; what goes alone is sent alone.
    fn decide_run(&mut self, run: RunId, now: Timestamp) -> Option<Decided> {
        let cell = self.cells.get(&run)?;
        let leases = self.may_lease(&cell.registered.flow, &cell.head.meta.lane.queue);
        let cell = self.cells.get_mut(&run)?;
        cell.queued = false;
        if cell.busy {
            // It is marked again when that is done.
            return None;
        }
        if cell.woken {
            cell.woken = false;
            cell.busy = true;
            self.to_mail.push(run);
            return None;
        }
        let mut refused = Vec::new();
        let around = Around { now, node: self.node, leases, config: &self.config };
        let decision = decide(cell, run, &around, &mut refused);
        cell.fresh = false;
        let has_more = !cell.inbox.is_empty();
        self.settle(run, refused);
        match decision {
            Decision::Nothing => {
                if has_more {
                    self.mark(run);
                }
                None
            }
            Decision::Transaction(attempt) => {
                self.transact(run, attempt);
                None
            }
            Decision::Doubt => {
                self.reload(run);
                None
            }
            Decision::Broken(refusal) => {
                tracing::error!(%run, %refusal, "a run cannot be moved; it is left as it is");
                // Its attempts stay leased and are not run: another node, or this one with the right graph, can have them.
                self.cells.remove(&run);
                None
            }
            Decision::Move(decided) => {
                if let Some(cell) = self.cells.get_mut(&run) {
                    cell.busy = true;
                }
                Some(*decided)
            }
        }
    }

    /// Sends the statements of steps and the moves of their runs.
    fn launch_batches(&mut self, mut decided: Vec<Decided>) {
        let members: Vec<Member> = decided.iter_mut().filter_map(Member::of).collect();
        let store = self.store.clone();
        self.under_way.batches += 1;
        self.flights.push(
            async move {
                let results = batches::commit(&store, members).await;
                Landed::Batches { decided, results }
            }
            .boxed(),
        );
    }

    fn launch_mail(&mut self) {
        if self.to_mail.is_empty() || self.under_way.others >= self.config.flights {
            return;
        }
        let runs = std::mem::take(&mut self.to_mail);
        let store = self.store.clone();
        self.under_way.others += 1;
        self.flights.push(
            async move {
                let result = store.mail(&runs).await;
                Landed::Mail { runs, result }
            }
            .boxed(),
        );
    }

    fn launch_settles(&mut self) {
        let (tasks, mail) = &self.settles;
        if (tasks.is_empty() && mail.is_empty()) || self.under_way.settles > 0 {
            return;
        }
        let (tasks, mail) = std::mem::take(&mut self.settles);
        let store = self.store.clone();
        self.under_way.settles += 1;
        self.flights
            .push(async move { Landed::Settled { result: store.settle(&tasks, &mail).await } }.boxed());
    }

    /// Answers and letters that changed nothing: their rows are not needed any more.
    pub(super) fn settle(&mut self, run: RunId, refused: Vec<Source>) {
        for source in refused {
            match source {
                Source::Attempt(attempt) => {
                    if let Some(cell) = self.cells.get_mut(&run) {
                        cell.held.remove(&attempt);
                    }
                    self.settles.0.push(TaskKey { run, attempt });
                }
                Source::Mail(mail) => self.settles.1.push(mail),
                Source::Time => {}
            }
        }
    }

    /// A run is to be started.
    pub(super) fn begin(&mut self, birth: Birth, reply: Option<oneshot::Sender<Result<RunId>>>) {
        if self.is_stopping {
            if let Some(reply) = reply {
                // Who has left does not need to know.
                let _ = reply.send(Err(Error::closed()));
            }
            return;
        }
        self.births.push(Begun { birth, leased: Vec::new(), reply });
    }

    fn launch_starts(&mut self) {
        while !self.births.is_empty() && self.under_way.starts < self.config.flights {
            let count = self.births.len().min(START_BATCH);
            let births: Vec<Begun> = self.births.drain(..count).collect();
            self.launch_start(births);
        }
    }

    pub(super) fn launch_start(&mut self, mut births: Vec<Begun>) {
        // Taken first: the identifiers follow the time of the start.
        let sent = self.now();
        let starts: Vec<Start> = births.iter_mut().filter_map(|begun| self.start_of(begun)).collect();
        let store = self.store.clone();
        self.under_way.starts += 1;
        self.has_sent(sent);
        self.flights.push(
            async move {
                let pairs = births.iter().map(|begun| &*begun.birth.registered.flow).zip(starts);
                let result = store.start_all(pairs.collect()).await;
                Landed::Starts { births, sent, result }
            }
            .boxed(),
        );
    }

    /// Starts are on their way from an instant on.
    pub(super) fn has_sent(&mut self, sent: Timestamp) {
        *self.birth_times.entry(sent).or_default() += 1;
    }

    /// Starts that were sent at an instant have landed.
    pub(super) fn has_landed(&mut self, sent: Timestamp) {
        if let Entry::Occupied(mut count) = self.birth_times.entry(sent) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    pub(super) fn start_of(&self, begun: &mut Begun) -> Option<Start> {
        let leases = self.may_lease(&begun.birth.registered.flow, Lane::DEFAULT_QUEUE);
        let start =
            crate::engine::start_of(&begun.birth, &self.config, self.now(), leases.then_some(self.node))?;
        begun.leased = start.leased();
        Some(start)
    }

    /// An attempt starts a child.
    pub(super) fn beget(&mut self, run: RunId, attempt: Attempt, request: StartRequest) {
        let birth = Birth::new(&self.registry, request, super::random(), self.now());
        match birth {
            Ok(mut birth) => {
                birth.parent = Some((run, attempt));
                self.begin(birth, None);
            }
            Err(error) => self.answered(run, attempt, None, Err(StepError::retry(error.to_string()))),
        }
    }

    /// Reads a run anew before anything more is decided in it.
    pub(super) fn reload(&mut self, run: RunId) {
        if let Some(cell) = self.cells.get_mut(&run) {
            cell.busy = true;
        }
        if !self.arrivals.contains_key(&run) {
            self.arrivals.entry(run).or_default();
            self.to_load.push(run);
        }
    }
}
