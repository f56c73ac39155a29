//! What arrives from the database: claimed attempts, mail, runs.

use std::sync::Arc;

use mainstay_core::Timestamp;

use super::cell::{Cell, Held, Item, Source};
use super::core::Core;
use super::dispatch::Ready;
use super::tally::Tally;
use crate::engine::output::run_output;
use crate::handler::Results;
use crate::id::RunId;
use crate::plan::{Attempt, Fault, Input, Record};
use crate::store::{Claimed, Fate, Loaded, Mail, TaskKey};

impl Core {
    /// There may be mail for a run, or a timer of it may be due.
    pub(super) fn wake(&mut self, run: RunId) {
        match self.cells.get_mut(&run) {
            Some(cell) => {
                cell.woken = true;
                self.mark(run);
            }
            None => {
                let is_new = !self.arrivals.contains_key(&run);
                self.arrivals.entry(run).or_default().woken = true;
                if is_new {
                    self.to_load.push(run);
                }
            }
        }
    }

    /// Attempts were leased to this node.
    pub(super) fn claimed(&mut self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            let run = claimed.key.run;
            // A task that another node gave out says that the run has moved since it was read here.
            if self.cells.get(&run).is_some_and(|cell| cell.knows(&claimed.key.attempt)) {
                self.hold(claimed);
                continue;
            }
            if let Some(cell) = self.cells.get_mut(&run) {
                if cell.busy && !self.arrivals.contains_key(&run) {
                    // What is under way may well have given it out; it is looked at again afterwards.
                    cell.later.push(claimed);
                    continue;
                }
                cell.busy = true;
            }
            let is_new = !self.arrivals.contains_key(&run);
            self.arrivals.entry(run).or_default().claimed.push(claimed);
            if is_new {
                self.to_load.push(run);
            }
        }
    }

    /// An attempt of a cached run is leased to this node: it runs, or is answered at once.
    fn hold(&mut self, claimed: Claimed) {
        let Claimed { key: TaskKey { run, attempt }, fate, .. } = claimed;
        let fault = match fate {
            Fate::Run => return self.lease(run, attempt),
            Fate::Revoked => Fault::Withdrawn,
            Fate::Lost => Fault::Lost,
        };
        let Some(cell) = self.cells.get_mut(&run) else { return };
        if cell.held.contains_key(&attempt) {
            return;
        }
        cell.held.insert(attempt.clone(), Held::Answered);
        let input = Input::Failed { attempt: attempt.clone(), fault };
        self.put(run, Item::answer(attempt, input, None));
    }

    /// An attempt may begin here.
    pub(super) fn lease(&mut self, run: RunId, attempt: Attempt) {
        let order = self.number();
        let Some(cell) = self.cells.get_mut(&run) else { return };
        if cell.held.contains_key(&attempt) {
            return;
        }
        cell.held.insert(attempt.clone(), Held::Ready);
        self.ready.push(Ready { priority: cell.head.meta.lane.priority, order, run, attempt });
    }

    /// Runs were read: what arrived for them meanwhile can be done.
    pub(super) fn loaded(&mut self, asked: &[RunId], loaded: Vec<(Loaded, Vec<Record>)>) {
        for (loaded, history) in loaded {
            let run = loaded.meta.run;
            let Some(registered) = self.definitions.get(&loaded.meta.definition) else { continue };
            let mut loaded = loaded;
            let mail = std::mem::take(&mut loaded.mail);
            let head = match loaded.head(&registered.flow) {
                Ok(head) => head,
                Err(error) => {
                    tracing::error!(%run, %error, "a run cannot be read; it is left as it is");
                    continue;
                }
            };
            let until = head.state.seq;
            let history: Vec<Record> = history.into_iter().filter(|record| record.seq < until).collect();
            let (results, tally) = (Results::of(&history), Tally::of(&history));
            match self.cells.get_mut(&run) {
                Some(cell) => {
                    cell.end = run_output(&registered.flow, &history);
                    cell.head = head;
                    cell.results = results;
                    cell.tally = tally;
                    cell.busy = false;
                    cell.fresh = true;
                }
                None => {
                    let mut cell = Cell::new(head, Arc::clone(registered), results);
                    cell.end = run_output(&registered.flow, &history);
                    cell.tally = tally;
                    self.cells.insert(run, cell);
                }
            }
            self.delivered(run, mail);
        }
        for run in asked {
            let arrivals = self.arrivals.remove(run).unwrap_or_default();
            let Some(cell) = self.cells.get(run).filter(|cell| !cell.busy) else {
                // It is gone, or its graph is not registered here: others may have it.
                self.unreadable(*run, arrivals.claimed);
                continue;
            };
            if cell.head.state.is_ended() {
                // It ended elsewhere: who waits asks the database.
                self.watchers.remove(run);
            }
            arrivals.claimed.into_iter().for_each(|claimed| self.hold(claimed));
            let later =
                self.cells.get_mut(run).map(|cell| std::mem::take(&mut cell.later)).unwrap_or_default();
            later.into_iter().for_each(|claimed| self.hold(claimed));
            self.put(*run, Item::tick());
        }
        self.forget();
    }

    /// A run that was asked for is not there: what was leased of it is given up.
    fn unreadable(&mut self, run: RunId, claimed: Vec<Claimed>) {
        if let Some(cell) = self.cells.remove(&run) {
            self.settles.0.extend(cell.held.into_keys().map(|attempt| TaskKey { run, attempt }));
        }
        self.settles.0.extend(claimed.into_iter().map(|claimed| claimed.key));
    }

    /// A run's mail was read.
    pub(super) fn delivered(&mut self, run: RunId, mail: Vec<Mail>) {
        let now = self.now();
        let Some(cell) = self.cells.get_mut(&run) else { return };
        // A letter that is not in the mail any more was read elsewhere; it must not count twice.
        cell.inbox.retain(|item| match &item.source {
            Source::Mail(known) => mail.iter().any(|letter| letter.id == known.id),
            Source::Attempt(_) | Source::Time => true,
        });
        for letter in mail.into_iter().filter(|letter| letter.is_due(now)) {
            let is_it = |item: &Item| matches!(&item.source, Source::Mail(known) if known.id == letter.id);
            if !cell.inbox.iter().any(is_it) {
                cell.inbox.push_back(Item::letter(letter));
            }
        }
        self.mark(run);
    }

    /// Something is due at a time that this node knows of.
    pub(super) fn expect(&mut self, at: Timestamp) {
        self.keeper.expect(at);
    }
}
