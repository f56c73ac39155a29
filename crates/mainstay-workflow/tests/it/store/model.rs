//! The store beside a model of it: maps in memory that know nothing of rows, batons, snapshots or indexes. Both are told the same, in random
//! order; whatever can be seen of the store is what the model says.
//!
//! Runs move by the plain core on both sides, so what is compared is keeping, handing out and waking, not the rules of a run.

#![allow(unreachable_pub, missing_debug_implementations, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_workflow::plan::{self, Fact, Fault, Record, Transition};
use mainstay_workflow::store::Message;
use mainstay_workflow::{Attempt, Effect, Input, NodeId, RunId, State, Workflow, outstanding, transition};

/// A task as the model has it: each attempt that is out has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub holder: Option<NodeId>,
    pub ready_at: Timestamp,
    /// It was given out for later, and nobody has asked for work since it became ready.
    pub is_delayed: bool,
    pub is_revoked: bool,
    pub is_lost: bool,
}

/// When something wakes a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due {
    pub at: Timestamp,
    /// Who keeps it from the others until then, and when it was due before.
    held: Option<(NodeId, Timestamp)>,
}

impl Due {
    pub const fn new(at: Timestamp) -> Self {
        Self { at, held: None }
    }
}

/// A letter that the run has not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    pub message: Message,
    pub due: Due,
}

/// A run as the model has it.
#[derive(Debug, Clone)]
pub struct Run {
    pub state: State,
    pub history: Vec<Record>,
    pub tasks: BTreeMap<Attempt, Task>,
    pub mail: Vec<Unread>,
    pub senders: BTreeSet<String>,
    pub timer: Option<Due>,
    pub token: Option<String>,
}

/// What one commit is made of.
pub struct Step<'a> {
    pub moves: Vec<Transition>,
    pub answered: Option<&'a Attempt>,
    pub letters: usize,
    pub lease: Option<NodeId>,
    pub now: Timestamp,
}

impl Run {
    pub fn new(
        flow: &Workflow,
        first: Transition,
        token: Option<String>,
        lease: Option<NodeId>,
        now: Timestamp,
    ) -> Self {
        let mut run = Self {
            state: first.state.clone(),
            history: Vec::new(),
            tasks: BTreeMap::new(),
            mail: Vec::new(),
            senders: BTreeSet::new(),
            timer: None,
            token,
        };
        run.keep(flow, Step { moves: vec![first], answered: None, letters: 0, lease, now });
        run
    }

    pub fn keep(&mut self, flow: &Workflow, step: Step<'_>) {
        if let Some(answered) = step.answered {
            self.tasks.remove(answered);
        }
        self.mail.drain(..step.letters);
        let mut born = BTreeSet::new();
        for Transition { state, records, effects } in step.moves {
            let mut looks_at_time =
                records.iter().any(|record| matches!(record.fact, Fact::Paused | Fact::Resumed));
            for effect in effects {
                match effect {
                    Effect::Run { attempt, ready_at, .. } => {
                        let is_delayed = ready_at > step.now;
                        let holder = step.lease.filter(|_| !is_delayed);
                        let task = Task { holder, ready_at, is_delayed, is_revoked: false, is_lost: false };
                        born.insert(attempt.clone());
                        self.tasks.insert(attempt, task);
                    }
                    Effect::Revoke { attempt } => {
                        if let Some(task) = self.tasks.get_mut(&attempt) {
                            (task.is_revoked, task.is_delayed) = (true, false);
                            // Taken back before it was given out: nobody holds it, whoever claims it answers.
                            task.holder = task.holder.filter(|_| !born.contains(&attempt));
                        }
                    }
                    Effect::SetTimer { .. } | Effect::ClearTimer { .. } => looks_at_time = true,
                    _ => {}
                }
            }
            if looks_at_time {
                let due = outstanding(flow, &state).into_iter().filter_map(|effect| match effect {
                    Effect::SetTimer { at, .. } => Some(at),
                    _ => None,
                });
                self.timer = due.min().filter(|_| !state.paused).map(Due::new);
            }
            self.history.extend(records);
            self.state = state;
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Model {
    pub runs: BTreeMap<RunId, Run>,
}

impl Model {
    /// The run that is active under a token.
    pub fn active(&self, token: &str) -> Option<RunId> {
        let active = |run: &Run| !run.state.is_ended() && run.token.as_deref() == Some(token);
        self.runs.iter().find(|(_, run)| active(run)).map(|(id, _)| *id)
    }

    /// What a claim may give out; delayed tasks whose time has come are ready from now on.
    pub fn claimable(&mut self, now: Timestamp) -> BTreeSet<(RunId, Attempt)> {
        let mut ready = BTreeSet::new();
        for (id, run) in &mut self.runs {
            for (attempt, task) in &mut run.tasks {
                task.is_delayed &= task.ready_at > now;
                if task.holder.is_none() && !task.is_delayed {
                    ready.insert((*id, attempt.clone()));
                }
            }
        }
        ready
    }

    pub fn task(&mut self, run: RunId, attempt: &Attempt) -> &mut Task {
        self.runs.get_mut(&run).unwrap().tasks.get_mut(attempt).unwrap()
    }

    /// What is in a node's hands.
    pub fn held(&self, node: NodeId) -> BTreeSet<(RunId, Attempt)> {
        let all = self
            .runs
            .iter()
            .flat_map(|(id, run)| run.tasks.iter().map(move |(attempt, task)| (*id, attempt, task)));
        all.filter(|(_, _, task)| task.holder == Some(node))
            .map(|(run, attempt, _)| (run, attempt.clone()))
            .collect()
    }

    pub fn pass_on(&mut self, from: NodeId, to: Option<NodeId>) {
        for task in self
            .runs
            .values_mut()
            .flat_map(|run| run.tasks.values_mut())
            .filter(|task| task.holder == Some(from))
        {
            task.holder = to;
            task.is_lost = to.is_some();
        }
    }

    /// The runs that are woken now, which are then left alone for a while.
    pub fn wake(&mut self, node: NodeId, now: Timestamp, hold: Duration) -> BTreeSet<RunId> {
        let mut woken = BTreeSet::new();
        for (run, due) in self.dues().filter(|(_, due)| due.at <= now) {
            *due = Due { at: now.saturating_add(hold), held: Some((node, due.at)) };
            woken.insert(run);
        }
        woken
    }

    /// A life is over: what it kept from the others is as it was.
    pub fn free(&mut self, node: NodeId) {
        for (_, due) in self.dues() {
            if let Some((_, at)) = due.held.filter(|(by, _)| *by == node) {
                *due = Due::new(at);
            }
        }
    }

    fn dues(&mut self) -> impl Iterator<Item = (RunId, &mut Due)> {
        self.runs.iter_mut().flat_map(|(id, run)| {
            let letters = run.mail.iter_mut().map(|letter| &mut letter.due);
            run.timer.iter_mut().chain(letters).map(move |due| (*id, due))
        })
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let of_run = |run: &Run| {
            let delayed = run.tasks.values().filter(|task| task.is_delayed).map(|task| task.ready_at);
            let letters = run.mail.iter().map(|letter| letter.due);
            delayed.chain(letters.chain(run.timer).map(|due| due.at)).min()
        };
        self.runs.values().filter_map(of_run).min()
    }
}

/// What a node answers for an attempt in its hands.
pub fn answer(attempt: &Attempt, task: &Task, choice: u8) -> Input {
    let failed = |fault| Input::Failed { attempt: attempt.clone(), fault };
    match (task.is_lost, task.is_revoked, choice % 8) {
        (true, _, _) => failed(Fault::Lost),
        (_, true, _) => failed(Fault::Withdrawn),
        (_, _, 0) => failed(Fault::Error { message: "not now".to_owned(), retry: true, ran: false }),
        (_, _, 1) if choice > 200 => {
            failed(Fault::Error { message: "never".to_owned(), retry: false, ran: false })
        }
        (_, _, _) if attempt.part == plan::Part::Undo => {
            Input::Finished { attempt: attempt.clone(), output: serde_json::json!(choice) }
        }
        (_, _, choice) => {
            let event = if attempt.step.as_str() == "fork" && choice % 2 == 0 { "both" } else { "ok" };
            let output =
                if choice % 3 == 0 { serde_json::Value::Null } else { serde_json::json!({ "said": choice }) };
            Input::Succeeded { attempt: attempt.clone(), event: event.into(), targets: Vec::new(), output }
        }
    }
}

/// What follows from what waits in the mail and from the time; how many letters the run refused is of no interest: they are read.
pub fn read(flow: &Workflow, state: &State, mail: &[Message], now: Timestamp) -> Vec<Option<Transition>> {
    let mut state = state.clone();
    let inputs = mail.iter().map(|message| message.clone().into_input()).chain([Input::Tick]);
    let moves = inputs.map(|input| {
        let moved = transition(flow, &state, input, now).ok().filter(|moved| !moved.records.is_empty());
        if let Some(moved) = &moved {
            state = moved.state.clone();
        }
        moved
    });
    moves.collect()
}
