//! What comes back from the database.

use std::collections::hash_map::Entry;
use std::time::Duration;

use tokio::time::Instant;

use super::cell::{Cell, Held, Item, What};
use super::core::Core;
use super::decide::put_back;
use super::flight::{BatchResult, Beaten, Begun, Decided, Landed, Polled};
use super::telemetry::Move;
use crate::engine::output::leads_to_end;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{Results, StepError};
use crate::id::RunId;
use crate::plan::{Fact, Fault, Input, Outcome, Stage};
use crate::store::{Committed, Ended, Head, Started, TaskKey};

impl Core {
    pub(super) fn land(&mut self, landed: Landed) {
        self.count(&landed);
        // Who waits for a start is told. Of a life that is over nothing else counts.
        if self.keeper.is_dead() && !matches!(landed, Landed::Starts { .. } | Landed::Joined { .. }) {
            return;
        }
        match landed {
            Landed::Commits { decided, result } => self.committed(decided, result),
            Landed::Batches { decided, results } => {
                for (decided, result) in decided.into_iter().zip(results) {
                    self.batched(decided, result);
                }
            }
            Landed::Starts { births, sent, result } => {
                self.has_landed(sent);
                self.started(births, result);
            }
            Landed::Loads { runs, result } => match result {
                Ok(loaded) => self.loaded(&runs, loaded),
                Err(error) => {
                    self.ail(&error);
                    self.ask_again(runs);
                }
            },
            Landed::Mail { runs, result } => self.mailed(runs, result),
            Landed::Poll { asked, result } => self.polled(asked, result),
            Landed::Beat { sent, result } => self.lives(sent, result),
            Landed::Leased { result } => self.compare(result),
            Landed::Joined { result } => self.joined(result),
            Landed::Noted { notes, result } => self.noted(notes, result),
            Landed::Schedules { result } => self.schedules(result),
            Landed::Fired { name, begun, sent, result } => {
                self.has_landed(sent);
                self.fired(&name, begun, result);
            }
            Landed::Pruned { result } => self.pruned(result),
            Landed::PrunedActs { result } => self.pruned_acts(result),
            Landed::CameBack { result } => self.came_back(result),
            Landed::GivenBack { runs, result } => self.given_back(runs, result),
            Landed::Settled { result } => {
                if let Err(error) = result {
                    // The rows are claimed or read again, and refused again.
                    self.ail(&error);
                }
            }
        }
    }

    /// What was on its way is not any more.
    fn count(&mut self, landed: &Landed) {
        let under_way = &mut self.under_way;
        match landed {
            Landed::Commits { .. } => under_way.commits -= 1,
            Landed::Batches { .. } => under_way.batches -= 1,
            Landed::Starts { .. } => under_way.starts -= 1,
            Landed::Loads { .. } => under_way.loads -= 1,
            Landed::Poll { .. } => under_way.polls -= 1,
            Landed::Beat { .. } => under_way.beats -= 1,
            Landed::Mail { .. } | Landed::Leased { .. } | Landed::Joined { .. } | Landed::Noted { .. } => {
                under_way.others -= 1;
            }
            Landed::GivenBack { .. } | Landed::Settled { .. } => under_way.settles -= 1,
            Landed::Schedules { .. }
            | Landed::Fired { .. }
            | Landed::Pruned { .. }
            | Landed::PrunedActs { .. }
            | Landed::CameBack { .. } => self.upkeep.has_landed(),
        }
    }

    fn committed(&mut self, decided: Vec<Decided>, result: Result<Vec<Committed>>) {
        match result {
            Ok(outcomes) => {
                self.keeper.is_well();
                for (decided, outcome) in decided.into_iter().zip(outcomes) {
                    match outcome {
                        Committed::Done(head) => self.moved(decided, head),
                        Committed::Stale => self.undecided(decided),
                    }
                }
            }
            Err(error) => {
                self.ail(&error);
                decided.into_iter().for_each(|decided| self.undecided(decided));
            }
        }
    }

    /// A run has moved, or nobody knows: it is read, and what was decided is decided again.
    fn undecided(&mut self, decided: Decided) {
        let run = decided.run;
        if let Some(cell) = self.cells.get_mut(&run) {
            put_back(cell, decided.taken);
            self.reload(run);
        }
    }

    /// A commit is there: what it asked for can be done.
    pub(super) fn moved(&mut self, decided: Decided, head: Head) {
        let Decided { run, taken, records, leased, revoked, due, leaves, began, .. } = decided;
        due.into_iter().for_each(|at| self.expect(at));
        let Some(cell) = self.cells.get_mut(&run) else { return };
        let before = std::mem::replace(&mut cell.head, head).state.status();
        cell.busy = false;
        cell.results.add(&records);
        if let Some(end) = records.iter().rev().find_map(|record| leads_to_end(&cell.registered.flow, record))
        {
            cell.end = end;
        }
        let mut timings = Vec::new();
        for item in taken {
            if let super::cell::Source::Attempt(attempt) = item.source {
                cell.held.remove(&attempt);
                let is_queued = self.config.queues.of(&cell.registered.flow, &attempt).is_some();
                if is_queued || self.holds.limits(&cell.head.meta.lane.queue) {
                    // A place in a queue with limits is free.
                    self.keeper.look_at(Instant::now());
                }
                timings.extend(item.timing.map(|timing| (attempt, timing)));
            }
        }
        if records.iter().any(|record| matches!(record.fact, Fact::Resumed)) {
            // What of it was set aside comes back.
            self.upkeep.look_back();
        }
        super::telemetry::moved(cell, run, &records, &Move { before, took: began.elapsed(), timings });
        let is_ended = cell.head.state.is_ended();
        let parent = cell.head.meta.parent.as_ref().map(|parent| parent.run);
        let is_for_others = leaves || revoked.iter().any(|attempt| !cell.held.contains_key(attempt));
        if is_for_others {
            // Somebody may have room for it, runs what is not wanted any more, or works on a child that is cancelled: this node perhaps.
            self.bell.ring();
            self.keeper.look_at(Instant::now());
        }
        for attempt in revoked {
            self.revoke(run, attempt);
        }
        for attempt in leased {
            self.lease(run, attempt);
        }
        self.look_again(run);
        if is_ended {
            self.announce(run);
            if let Some(parent) = parent {
                self.wake(parent);
            }
        }
        if self.cells.get(&run).is_some_and(|cell| !cell.inbox.is_empty() || cell.woken) {
            self.mark(run);
        } else if is_ended && self.cells.get(&run).is_some_and(Cell::is_idle) {
            self.cells.remove(&run);
        } else {
            self.forget();
        }
    }

    /// What was claimed while something was under way.
    pub(super) fn look_again(&mut self, run: RunId) {
        let later = self.cells.get_mut(&run).map(|cell| std::mem::take(&mut cell.later)).unwrap_or_default();
        self.claimed(later);
    }

    /// An attempt is not wanted any more: if it runs here it is told to stop, if it has not begun it is answered.
    pub(super) fn revoke(&mut self, run: RunId, attempt: crate::plan::Attempt) {
        let Some(cell) = self.cells.get_mut(&run) else { return };
        match cell.held.get(&attempt) {
            Some(Held::Running(worker)) => {
                let worker = *worker;
                self.stop_worker(worker);
            }
            Some(Held::Ready | Held::Noting | Held::Noted) => {
                cell.held.insert(attempt.clone(), Held::Answered);
                let input = Input::Failed { attempt: attempt.clone(), fault: Fault::Withdrawn };
                self.put(run, Item::answer(attempt, input, None));
            }
            // Whoever holds it, or claims it, answers.
            Some(Held::Answered) | None => {}
        }
    }

    /// Tells who waits that a run has ended.
    pub(super) fn announce(&mut self, run: RunId) {
        let Some(watchers) = self.watchers.remove(&run) else { return };
        let Some(Cell { head, end, .. }) = self.cells.get(&run) else { return };
        let Stage::Ended { outcome, reason } = &head.state.stage else { return };
        let result = if *outcome == Outcome::Completed { end.clone() } else { serde_json::Value::Null };
        let ended = Ended { outcome: *outcome, reason: reason.clone(), result, at: self.now() };
        for watcher in watchers {
            // Who has left does not need to know.
            let _ = watcher.send(Some(ended.clone()));
        }
    }

    fn batched(&mut self, mut decided: Decided, result: BatchResult) {
        match result {
            BatchResult::Done(head) => {
                self.keeper.is_well();
                self.moved(decided, *head);
            }
            BatchResult::Again(error) => {
                if let Some(error) = error {
                    self.ail(&error);
                }
                self.undecided(decided);
            }
            BatchResult::Refused(error) => {
                for item in &mut decided.taken {
                    if let (What::Batch(..), super::cell::Source::Attempt(attempt)) =
                        (&item.what, &item.source)
                    {
                        let fault = error.clone().into_fault();
                        item.what = What::Input(Input::Failed { attempt: attempt.clone(), fault });
                    }
                }
                let run = decided.run;
                if let Some(cell) = self.cells.get_mut(&run) {
                    cell.busy = false;
                    put_back(cell, decided.taken);
                }
                self.mark(run);
                self.look_again(run);
            }
        }
    }

    fn started(&mut self, births: Vec<Begun>, result: Result<Vec<Started>>) {
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(error) => return self.not_started(births, &error),
        };
        self.keeper.is_well();
        for (begun, outcome) in births.into_iter().zip(outcomes) {
            let Begun { birth, leased, reply } = begun;
            let answer = match outcome {
                // Others begin what was leased to the life that is over.
                Started::New(head) if self.keeper.is_dead() => Ok(head.meta.run),
                Started::New(head) => Ok(self.born(birth, head, leased)),
                Started::AlreadyActive(run) => self.taken(birth, run),
                Started::Withdrawn => {
                    if let Some((run, attempt)) = birth.parent {
                        self.put_withdrawn(run, attempt);
                    }
                    Err(Error::internal("the start was withdrawn"))
                }
            };
            if let Some(reply) = reply {
                // Who has left does not need to know.
                let _ = reply.send(answer);
            }
        }
    }

    /// None of these starts is there, or nobody knows.
    fn not_started(&mut self, births: Vec<Begun>, error: &Error) {
        let is_database = matches!(error.kind(), ErrorKind::Database(_));
        if is_database {
            self.ail(error);
        } else if births.len() > 1 {
            // One of them cannot be stored, and the others must not suffer for it.
            births.into_iter().for_each(|begun| self.launch_start(vec![begun]));
            return;
        }
        for Begun { birth, reply, .. } in births {
            if let Some(reply) = reply {
                // Who has left does not need to know.
                let _ = reply.send(Err(error.for_another()));
            }
            let Some((run, attempt)) = birth.parent else { continue };
            if !is_database {
                self.answered(run, attempt, None, Err(StepError::fatal(error.to_string())));
            } else if let Some(cell) = self.cells.get_mut(&run) {
                // If the child is there, the parent's task is not; else the comparison of leases gives it back.
                cell.held.remove(&attempt);
            }
        }
    }

    pub(super) fn born(
        &mut self,
        birth: crate::engine::birth::Birth,
        head: Head,
        mut leased: Vec<crate::plan::Attempt>,
    ) -> RunId {
        let run = head.meta.run;
        if let Some((parent, attempt)) = &birth.parent
            && let Some(cell) = self.cells.get_mut(parent)
        {
            // Its task went with the child's birth; the attempt is out until the child ends.
            cell.held.remove(attempt);
        }
        let records = birth.transition.records;
        for effect in &birth.transition.effects {
            if let crate::plan::Effect::SetTimer { at, .. } = effect {
                self.expect(*at);
            }
        }
        let asked = crate::plan::outstanding(&birth.registered.flow, &head.state).len();
        if asked > leased.len() {
            self.expect(self.now());
            self.bell.ring();
        }
        let mut cell = Cell::new(head, birth.registered, Results::of(&records));
        birth.span.in_scope(|| super::telemetry::began(&mut cell, run, &records, &birth.request));
        if let Some(arrivals) = self.arrivals.get_mut(&run) {
            // Somebody spoke to it before it was heard here that it is there. While a run is read nothing is decided in it.
            arrivals.is_old = arrivals.is_asked;
            cell.busy = true;
        }
        let is_ended = cell.head.state.is_ended();
        match self.cells.entry(run) {
            Entry::Occupied(known) => {
                // It was even read, and may have moved: what is known here is younger.
                let given_out = known.get().given_out();
                leased.retain(|attempt| given_out.contains(attempt));
            }
            Entry::Vacant(place) => {
                place.insert(cell);
            }
        }
        for attempt in leased {
            self.lease(run, attempt);
        }
        if is_ended {
            self.announce(run);
            self.cells.remove(&run);
        }
        self.forget();
        run
    }

    fn taken(&mut self, birth: crate::engine::birth::Birth, run: RunId) -> Result<RunId> {
        let key = birth.key.clone().unwrap_or_default();
        let text = format!("{key} is taken: {run} is active under it");
        if let Some((parent, attempt)) = birth.parent {
            self.answered(parent, attempt, None, Err(StepError::retry(text.clone())));
        }
        Err(Error::new(ErrorKind::AlreadyRunning { run }, text).with_help("wait for its end, or cancel it"))
    }

    /// An attempt was taken back before anything was done for it.
    pub(super) fn put_withdrawn(&mut self, run: RunId, attempt: crate::plan::Attempt) {
        if let Some(cell) = self.cells.get_mut(&run) {
            cell.held.insert(attempt.clone(), Held::Answered);
            let input = Input::Failed { attempt: attempt.clone(), fault: Fault::Withdrawn };
            self.put(run, Item::answer(attempt, input, None));
        }
    }

    fn mailed(&mut self, runs: Vec<RunId>, result: Result<Vec<(RunId, Vec<crate::store::Mail>)>>) {
        match result {
            Err(error) => {
                self.ail(&error);
                for run in runs {
                    if let Some(cell) = self.cells.get_mut(&run) {
                        (cell.busy, cell.woken) = (false, true);
                        self.mark(run);
                        self.look_again(run);
                    }
                }
            }
            Ok(delivered) => {
                // What was sent in time counts before what ran out in time, as it does when a run is read.
                delivered.into_iter().for_each(|(run, mail)| self.delivered(run, mail));
                for run in runs {
                    if let Some(cell) = self.cells.get_mut(&run) {
                        cell.busy = false;
                        cell.inbox.push_back(Item::tick());
                        self.mark(run);
                        self.look_again(run);
                    }
                }
            }
        }
    }

    fn polled(&mut self, asked: usize, result: Result<Polled>) {
        let now = Instant::now();
        match result {
            Err(error) => {
                self.keeper.suspect();
                self.ail(&error);
            }
            Ok(Polled { claimed, woken, next_due, standing, revoked }) => {
                self.holds.learn(standing);
                self.keeper.is_well();
                let is_full = claimed.len() >= asked.max(1)
                    || u32::try_from(woken.len()).is_ok_and(|count| count >= super::keeper::WAKE_BATCH);
                if let Some(revoked) = revoked {
                    let found = !claimed.is_empty() || !woken.is_empty() || !revoked.is_empty();
                    self.keeper.has_looked(now, found);
                    self.take_back(revoked);
                }
                self.claimed(claimed.into_iter().map(Into::into));
                woken.into_iter().for_each(|run| self.wake(run));
                self.keeper.refill(next_due);
                if is_full {
                    self.keeper.look_at(now + Duration::from_millis(1));
                }
            }
        }
    }

    fn lives(&mut self, sent: Instant, result: Result<Beaten>) {
        let Beaten { beat, buried, taken_over } = match result {
            Ok(beaten) => beaten,
            Err(error) => {
                self.keeper.may_have_taken_over();
                return self.ail(&error);
            }
        };
        self.keeper.is_well();
        if !beat.alive {
            return self.die();
        }
        // The others count from when the database wrote it, which was not before it was sent.
        self.keeper.was_heard(sent);
        self.outlive_beat();
        self.take_back(beat.revoked);
        self.keeper.took_over(taken_over.len());
        if buried > 0 {
            self.keeper.look_at(Instant::now());
        }
        self.claimed(taken_over.into_iter().map(Into::into));
    }

    /// Other nodes say that these are not wanted any more.
    fn take_back(&mut self, revoked: Vec<TaskKey>) {
        for TaskKey { run, attempt } in revoked {
            if self.cells.get(&run).is_some_and(|cell| cell.held.contains_key(&attempt)) {
                self.revoke(run, attempt);
            } else {
                // Nobody here runs it: others get it as one that is taken back.
                self.keeper.suspect();
            }
        }
    }

    /// Something is wrong with the database: it is asked again after a while, longer each time.
    pub(super) fn ail(&mut self, error: &Error) {
        let pause = self.keeper.ail(Instant::now());
        self.keeper.suspect();
        tracing::warn!(%error, ?pause, "the workflow runner's database operation failed; it is repeated");
    }
}
