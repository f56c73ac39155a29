//! A run in a test: every transition is checked against the laws that hold for all of them.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_workflow::plan::{EdgeState, Stage, context};
use mainstay_workflow::{
    Attempt, Effect, Fact, Fault, Input, Outcome, Part, Record, Refusal, State, Status, StepState,
    Transition, Workflow, awaited, outstanding, replay, start, transition,
};
use serde_json::{Value, json};

/// A run with its history and a clock.
pub(crate) struct Run<'a> {
    pub(crate) flow: &'a Workflow,
    pub(crate) state: State,
    pub(crate) history: Vec<Record>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) now: Timestamp,
}

impl<'a> Run<'a> {
    pub(crate) fn new(flow: &'a Workflow) -> Self {
        let now = Timestamp::from_unix_seconds(1_000_000).unwrap();
        let first = start(flow, json!({"n": 1}), 42, now).unwrap();
        let state = first.state.clone();
        let mut run = Self { flow, state, history: Vec::new(), effects: Vec::new(), now };
        run.take(first);
        run
    }

    fn take(&mut self, next: Transition) {
        self.state = next.state;
        self.history.extend(next.records);
        self.effects = next.effects;
        self.laws();
    }

    pub(crate) fn input(&mut self, input: Input) -> Result<(), Refusal> {
        let next = transition(self.flow, &self.state, input, self.now)?;
        self.take(next);
        Ok(())
    }

    /// What holds after every transition.
    fn laws(&self) {
        // A crash here loses nothing: both the kept state and the history give the same state.
        let kept: State = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        assert_eq!(kept, self.state);
        let history = serde_json::to_string(&self.history).unwrap();
        let history: Vec<Record> = serde_json::from_str(&history).unwrap();
        assert_eq!(replay(self.flow, &history).unwrap(), self.state);
        // Never stuck.
        let rests_on = outstanding(self.flow, &self.state).len() + awaited(self.flow, &self.state).len();
        match self.state.status() {
            Status::Completed | Status::Failed | Status::Cancelled => assert_eq!(rests_on, 0),
            Status::Paused => {}
            _ => assert!(rests_on > 0, "stuck: {:?}", self.state),
        }
        // What was asked for is what is out.
        for effect in &self.effects {
            if let Effect::Run { .. } | Effect::StartChild { .. } = effect {
                assert!(outstanding(self.flow, &self.state).contains(effect), "{effect:?}");
            }
        }
    }

    /// All attempts that are out.
    pub(crate) fn out(&self) -> Vec<Attempt> {
        let work = outstanding(self.flow, &self.state).into_iter();
        let work = work.filter_map(|effect| match effect {
            Effect::Run { attempt, .. } | Effect::StartChild { attempt, .. } => Some(attempt),
            _ => None,
        });
        work.collect()
    }

    /// The names of what is out.
    pub(crate) fn names(&self) -> Vec<String> {
        self.out().iter().map(Attempt::to_string).collect()
    }

    /// The attempt that is out for a step.
    pub(crate) fn attempt(&self, step: &str) -> Attempt {
        let mut out = self.out().into_iter();
        out.find(|attempt| attempt.step.as_str() == step)
            .unwrap_or_else(|| panic!("{step} is not out, but {:?}", self.names()))
    }

    pub(crate) fn ok(&mut self, step: &str, event: &str) {
        let attempt = self.attempt(step);
        self.input(Input::succeeded(&attempt, event)).unwrap();
    }

    pub(crate) fn choose(&mut self, step: &str, event: &str, targets: &[&str]) {
        let (attempt, event) = (self.attempt(step), event.into());
        let targets = targets.iter().map(|target| (*target).into()).collect();
        self.input(Input::Succeeded { attempt, event, targets, output: Value::Null }).unwrap();
    }

    pub(crate) fn fail(&mut self, step: &str) {
        let attempt = self.attempt(step);
        self.input(Input::failed(&attempt, "broken")).unwrap();
    }

    pub(crate) fn fault(&mut self, step: &str, fault: Fault) {
        let attempt = self.attempt(step);
        self.input(Input::Failed { attempt, fault }).unwrap();
    }

    pub(crate) fn finish(&mut self, step: &str, part: Part) {
        let attempt = self.out().into_iter().find(|a| a.step.as_str() == step && a.part == part).unwrap();
        self.input(Input::Finished { attempt, output: json!("item") }).unwrap();
    }

    pub(crate) fn signal(&mut self, name: &str, payload: Value) {
        self.input(Input::signal(name, payload)).unwrap();
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.input(Input::Tick).unwrap();
    }

    pub(crate) fn status(&self) -> Status {
        self.state.status()
    }

    pub(crate) fn step(&self, key: &str) -> &StepState {
        self.state.step(self.flow, &key.into()).unwrap()
    }

    /// How often a step ended.
    pub(crate) fn ends(&self, key: &str) -> usize {
        let ends = self
            .history
            .iter()
            .filter(|record| matches!(&record.fact, Fact::Ended { step, .. } if step.as_str() == key));
        ends.count()
    }

    pub(crate) fn context(&self) -> Value {
        context(&self.history)
    }

    pub(crate) fn reason(&self) -> String {
        match &self.state.stage {
            Stage::Ended { reason, .. } | Stage::Stopping { reason, .. } => reason.clone(),
            Stage::Running => String::new(),
        }
    }

    pub(crate) fn taken(&self) -> usize {
        self.state.edges().iter().filter(|edge| **edge == EdgeState::Taken).count()
    }

    pub(crate) fn is_final(&self, outcome: Outcome) {
        let inputs = [
            Input::Tick,
            Input::Resume,
            Input::Cancel { reason: String::new() },
            Input::signal("x", Value::Null),
        ];
        for input in inputs {
            let refused = transition(self.flow, &self.state, input, self.now);
            assert_eq!(refused, Err(Refusal::Ended { outcome }));
        }
    }
}
