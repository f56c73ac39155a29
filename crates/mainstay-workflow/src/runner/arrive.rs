//! What arrives from the database: claimed attempts, mail, runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mainstay_core::Timestamp;

use super::cell::{Cell, Held, Item, Source};
use super::core::{Core, Taken};
use super::dispatch::Ready;
use super::tally::Tally;
use crate::engine::output::run_output;
use crate::handler::Results;
use crate::id::RunId;
use crate::plan::{Attempt, Fault, Input, Record};
use crate::store::{Fate, Loaded, Mail, TaskKey};

/// What a reading says of a run's tasks.
#[derive(Default)]
struct Seen {
    /// Whether the baton is in this node's hands; none when there is none.
    baton: Option<bool>,
    revoked: HashSet<Attempt>,
}

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
    pub(super) fn claimed(&mut self, claimed: impl IntoIterator<Item = Taken>) {
        // Made once a run: there may be many of a large map.
        let mut given_out: HashMap<RunId, HashSet<Attempt>> = HashMap::new();
        for claimed in claimed {
            let run = claimed.key.run;
            // A task that another node gave out says that the run has moved since it was read here. A baton says nothing: what it stands
            // for is read.
            let is_baton = claimed.key.is_baton();
            let is_known = !is_baton
                && self.cells.get(&run).is_some_and(|cell| {
                    given_out.entry(run).or_insert_with(|| cell.given_out()).contains(&claimed.key.attempt)
                });
            if is_known {
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
            let arrivals = self.arrivals.entry(run).or_default();
            // What is being read may be older than the claim.
            let place = if arrivals.is_asked { &mut arrivals.late } else { &mut arrivals.claimed };
            place.push(claimed);
            if is_new {
                self.to_load.push(run);
            }
        }
    }

    /// An attempt of a cached run is leased to this node: it runs, or is answered at once.
    fn hold(&mut self, taken: Taken) {
        let Taken { key, fate, begun } = taken;
        let TaskKey { run, attempt } = if key.is_baton() {
            let stands_for = self.cells.get(&key.run).and_then(|cell| cell.head.baton.clone());
            let Some(attempt) = stands_for else {
                // Whoever moved the run since then took the baton along, or left it here as the task of an attempt: that is looked at.
                self.keeper.miss(key.run, fate);
                return;
            };
            TaskKey { run: key.run, attempt }
        } else {
            key
        };
        let is_unharmed = !begun && self.cells.get(&run).is_some_and(|cell| cell.losses(&attempt) > 0);
        let fault = match fate {
            Fate::Run => return self.lease(run, attempt),
            Fate::Revoked => Fault::Withdrawn,
            // It would have been noted, had it begun.
            Fate::Lost if is_unharmed => return self.lease(run, attempt),
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
        let is_old = |run: &&RunId| self.arrivals.get(run).is_some_and(|arrivals| arrivals.is_old);
        let (old, asked): (Vec<RunId>, Vec<RunId>) = asked.iter().partition(is_old);
        let mut unreadable = HashSet::new();
        let mut seen: HashMap<RunId, Seen> = HashMap::new();
        for (mut loaded, history) in loaded {
            let run = loaded.meta.run;
            if old.contains(&run) {
                continue;
            }
            let revoked = std::mem::take(&mut loaded.revoked).into_iter().collect();
            seen.insert(
                run,
                Seen { baton: loaded.baton.map(|baton| baton.node == Some(self.node)), revoked },
            );
            let Some(registered) = self.definitions.get(&loaded.meta.definition) else {
                unreadable.insert(run);
                continue;
            };
            let mail = std::mem::take(&mut loaded.mail);
            let head = match loaded.head(&registered.flow) {
                Ok(head) => head,
                Err(error) => {
                    tracing::error!(%run, %error, "a run cannot be read; it is left as it is");
                    unreadable.insert(run);
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
            if unreadable.contains(&run) {
                self.arrivals.remove(&run);
                self.leave_to_others(run);
            } else {
                self.arrived(run, &seen.remove(&run).unwrap_or_default());
            }
        }
        self.ask_again(old);
        self.forget();
    }

    /// A run was read: what was leased of it, before it was asked for and since, is held against what the reading says.
    fn arrived(&mut self, run: RunId, seen: &Seen) {
        let mut arrivals = self.arrivals.remove(&run).unwrap_or_default();
        let late = std::mem::take(&mut arrivals.late);
        let Some(cell) = self.cells.get_mut(&run).filter(|cell| !cell.busy) else {
            self.gone(run, arrivals.claimed);
            self.claimed(late);
            return;
        };
        arrivals.claimed.append(&mut cell.later);
        if seen.baton == Some(false) {
            // Somebody else has the baton by now.
            arrivals.claimed.retain(|claimed| !claimed.key.is_baton());
        }
        let given_out = if arrivals.claimed.is_empty() { HashSet::new() } else { cell.given_out() };
        for claimed in arrivals.claimed.iter_mut().filter(|claimed| !claimed.key.is_baton()) {
            if seen.revoked.contains(&claimed.key.attempt) || !given_out.contains(&claimed.key.attempt) {
                // It was taken back, or answered, between the claim and the reading: it does not begin.
                claimed.withdraw();
            }
        }
        if cell.head.state.is_ended() {
            // It ended elsewhere: who waits asks the database.
            self.watchers.remove(&run);
        }
        arrivals.claimed.into_iter().for_each(|claimed| self.hold(claimed));
        if seen.baton == Some(true) {
            self.miss_baton(run);
        }
        self.put(run, Item::tick());
        self.claimed(late);
    }

    /// A run cannot be moved here: what woke it is for those who know its steps. What was leased of it stays with this life and is not run:
    /// with the right graph another one can have it.
    fn leave_to_others(&mut self, run: RunId) {
        self.cells.remove(&run);
        self.watchers.remove(&run);
        self.bell.ring();
    }

    /// The baton is in this node's hands: if it stands for an attempt that nobody here holds, somebody who was given up moved the run in the
    /// last moment, with what he had decided before. What he gave out is nobody's.
    fn miss_baton(&mut self, run: RunId) {
        let Some(cell) = self.cells.get(&run) else { return };
        if cell.head.baton.as_ref().is_some_and(|attempt| !cell.held.contains_key(attempt)) {
            self.keeper.miss(run, Fate::Lost);
        }
    }

    /// Runs could not be read, or what was read does not count: another read follows, which shows all that was leased until then.
    pub(super) fn ask_again(&mut self, runs: Vec<RunId>) {
        for run in &runs {
            let arrivals = self.arrivals.entry(*run).or_default();
            (arrivals.is_asked, arrivals.is_old) = (false, false);
            arrivals.claimed.append(&mut arrivals.late);
        }
        self.to_load.extend(runs);
    }

    /// A run that was asked for is not there: what was leased of it is given up.
    fn gone(&mut self, run: RunId, claimed: Vec<Taken>) {
        // Who waits asks the database.
        self.watchers.remove(&run);
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
