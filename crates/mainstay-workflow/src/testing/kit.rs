//! The kit: runs in memory, one step at a time, in an order that is the same every time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::{Clock, FixedClock, Timestamp};
use mainstay_repo::Batch;
use serde_json::Value;

use super::run::{Asked, TestRun};
use crate::definition::Workflow;
use crate::engine::birth::Birth;
use crate::engine::output::run_output;
use crate::engine::registry::{Registry, checked, handler_of};
use crate::engine::{StartRequest, WorkflowSource, setup};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Kind;
use crate::handler::{
    Beat, Cancel, Code, ContextParts, Handlers, States, StepContext, StepError, StepResult, answer,
    attempted, guarded,
};
use crate::id::{RunId, RunIds};
use crate::plan::{Attempt, Fact, Fault, Input, Outcome, Part, Record, Refusal, State, Status};
use crate::store::{MAX_SIGNAL_BYTES, MAX_TELEMETRY_BYTES, check_kept, encode};

/// Where the kit lets a worker die, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crash {
    /// Before the step's code runs.
    Before,
    /// After the step's code ran, before its result is kept.
    After,
    /// The step's code hangs: it is not run, and the attempt times out.
    Hang,
}

/// Builds a [`TestKit`].
#[derive(Default)]
pub struct TestKitBuilder {
    registry: Registry,
    states: States,
    problems: Vec<String>,
}

impl TestKitBuilder {
    /// Adds all versions of a workflow that brings its own code.
    #[must_use]
    pub fn register<W: WorkflowSource>(mut self) -> Self {
        self.problems.extend(self.registry.add_source::<W>());
        self
    }

    /// Adds a version of a workflow with the code of its steps.
    #[must_use]
    pub fn workflow(mut self, flow: Workflow, handlers: Handlers) -> Self {
        self.problems.extend(self.registry.add(flow, handlers).err());
        self
    }

    /// Adds code for every workflow that does not bring code of that name itself.
    #[must_use]
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.registry.share(handlers);
        self
    }

    /// Gives all handlers a value, by its type.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(Arc::new(value));
        self
    }

    /// The kit. Its clock stands at 2001-09-09T01:46:40Z.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] with everything that does not fit together.
    pub fn build(self) -> Result<TestKit> {
        setup(self.problems, &self.registry)?;
        let clock =
            FixedClock::at(Timestamp::from_unix_seconds(1_000_000_000).unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(TestKit {
            registry: self.registry,
            states: Arc::new(self.states),
            clock: Arc::new(clock),
            ids: RunIds::default(),
            runs: BTreeMap::new(),
            crashes: Vec::new(),
            attempts: HashMap::new(),
            batches: Vec::new(),
        })
    }
}

/// Runs in memory under a clock of their own.
pub struct TestKit {
    registry: Registry,
    states: Arc<States>,
    clock: Arc<FixedClock>,
    ids: RunIds,
    runs: BTreeMap<RunId, TestRun>,
    crashes: Vec<(String, Crash)>,
    attempts: HashMap<String, usize>,
    batches: Vec<Batch>,
}

/// Heartbeats are not needed where time stands still.
struct NoBeat;

impl Beat for NoBeat {
    fn beat(&self, _progress: Value) {}
}

impl TestKit {
    /// A kit without workflows.
    #[must_use]
    pub fn builder() -> TestKitBuilder {
        TestKitBuilder::default()
    }

    /// The kit's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Starts a run. Nothing of it has run yet.
    ///
    /// # Errors
    /// As [`Engine::start`](crate::Engine::start).
    pub fn start(&mut self, request: StartRequest) -> Result<RunId> {
        self.begin(request, None)
    }

    fn begin(&mut self, request: StartRequest, parent: Option<(RunId, Attempt)>) -> Result<RunId> {
        let run = self.ids.next(self.clock.now(), 0);
        let seed = u64::try_from(self.runs.len()).unwrap_or_default();
        let mut birth = Birth::new(&self.registry, request, seed, self.clock.now())?;
        birth.parent = parent;
        let holds =
            |other: &&TestRun| other.token.is_some() && other.token == birth.token && !other.state.is_ended();
        if let Some((&active, _)) = self.runs.iter().find(|(_, other)| holds(other)) {
            return Err(Error::new(
                ErrorKind::AlreadyRunning { run: active },
                format!("{active} runs under this key"),
            ));
        }
        check_kept(&birth.transition)?;
        if !birth.request.telemetry.is_null() {
            encode("metadata for telemetry", &birth.request.telemetry, MAX_TELEMETRY_BYTES)?;
        }
        let (run_state, asked) = TestRun::new(birth);
        self.runs.insert(run, run_state);
        self.follow(run, asked)?;
        Ok(run)
    }

    /// Lets a worker die at the next attempt at a step.
    pub fn crash_at(&mut self, step: &str, crash: Crash) {
        self.crashes.push((step.to_owned(), crash));
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Refused`] when the run has ended.
    pub fn signal(&mut self, run: RunId, signal: &str, payload: Value) -> Result<()> {
        encode("payload", &payload, MAX_SIGNAL_BYTES)?;
        self.input(run, Input::signal(signal, payload))
    }

    /// Sends a signal that reaches the run after a while, as [`Engine::signal_after`](crate::Engine::signal_after) does.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Refused`] when the run has ended.
    pub fn signal_after(&mut self, run: RunId, after: Duration, signal: &str, payload: Value) -> Result<()> {
        encode("payload", &payload, MAX_SIGNAL_BYTES)?;
        let at = self.clock.now().saturating_add(after);
        let run = self.runs.get_mut(&run).ok_or_else(|| Error::unknown_run(run))?;
        if let crate::plan::Stage::Ended { outcome, .. } = run.state.stage {
            return Err(Refusal::Ended { outcome }.into());
        }
        run.scheduled.push((at, Input::signal(signal, payload)));
        Ok(())
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Refused`] when the run has ended or stops already.
    pub fn cancel(&mut self, run: RunId, reason: &str) -> Result<()> {
        self.input(run, Input::Cancel { reason: reason.to_owned() })
    }

    /// Lets nothing new begin in a run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Refused`].
    pub fn pause(&mut self, run: RunId) -> Result<()> {
        self.input(run, Input::Pause)
    }

    /// Lets a run go on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Refused`].
    pub fn resume(&mut self, run: RunId) -> Result<()> {
        self.input(run, Input::Resume)
    }

    /// Moves the clock; what is due then happens when something runs next.
    pub fn skip(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Runs everything that can run now, without moving the clock.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a run refuses what it asked for, which would be a defect of this crate.
    pub async fn run_until_idle(&mut self) -> Result<()> {
        while self.step().await? {}
        Ok(())
    }

    /// Runs until a run has ended or waits for a signal; time passes as far as needed. Returns what it is then.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], and as [`run_until_idle`](Self::run_until_idle).
    pub async fn run_to_end(&mut self, run: RunId) -> Result<Status> {
        loop {
            self.run_until_idle().await?;
            if self.state(run)?.is_ended() {
                break;
            }
            let Some(next) = self.next_time() else { break };
            self.clock.set(next);
        }
        Ok(self.state(run)?.status())
    }

    /// A run's state.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn state(&self, run: RunId) -> Result<&State> {
        self.runs.get(&run).map(|run| &run.state).ok_or_else(|| Error::unknown_run(run))
    }

    /// What happened in a run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn history(&self, run: RunId) -> Result<&[Record]> {
        self.runs.get(&run).map(|run| run.history.as_slice()).ok_or_else(|| Error::unknown_run(run))
    }

    /// The result of a run that completed: that of the step that led to its end.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn output(&self, run: RunId) -> Result<Value> {
        let test = self.runs.get(&run).ok_or_else(|| Error::unknown_run(run))?;
        Ok(run_output(&test.registered.flow, &test.history))
    }

    /// How often the code of a step was run, in all runs together.
    #[must_use]
    pub fn attempts(&self, step: &str) -> usize {
        self.attempts.get(step).copied().unwrap_or(0)
    }

    /// The batches of `tx` steps that would have been committed, in order. The kit has no database: it keeps them.
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.keys().copied()
    }

    fn next_time(&self) -> Option<Timestamp> {
        let times = self.runs.values().flat_map(|run| run.tasks.iter().map(|(at, _)| *at).chain(run.timer()));
        times.min()
    }

    /// Does the next thing that is due: the earliest, of the oldest run.
    async fn step(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let tasks = self
            .runs
            .iter()
            .flat_map(|(&id, run)| run.tasks.iter().map(move |(at, attempt)| (*at, id, Some(attempt))));
        let timers = self.runs.iter().filter_map(|(&id, run)| Some((run.timer()?, id, None)));
        let due = tasks.chain(timers).filter(|(at, ..)| *at <= now).min();
        match due.map(|(_, id, attempt)| (id, attempt.cloned())) {
            None => return Ok(false),
            Some((run, None)) => {
                let input = self.runs.get_mut(&run).map_or(Input::Tick, |run| run.due(now));
                self.input(run, input)?;
            }
            Some((run, Some(attempt))) => self.attempt(run, attempt).await?,
        }
        Ok(true)
    }

    async fn attempt(&mut self, id: RunId, attempt: Attempt) -> Result<()> {
        let run = self.runs.get_mut(&id).ok_or_else(|| Error::unknown_run(id))?;
        run.tasks.retain(|(_, task)| *task != attempt);
        let at = self.crashes.iter().position(|(step, _)| step == attempt.step.as_str());
        let crash = at.map(|at| self.crashes.remove(at).1);
        match crash {
            Some(Crash::Before) => return self.input(id, Input::Failed { attempt, fault: Fault::Lost }),
            Some(Crash::Hang) if run.has_timeout(&attempt) => {
                return self.input(id, Input::Failed { attempt, fault: Fault::TimedOut });
            }
            Some(Crash::Hang) => {
                let text = format!("{attempt} has no time-out, so it would hang for ever");
                return Err(Error::new(ErrorKind::InvalidInput, text).with_help(
                    "give the step a time-out, or let its worker die: Crash::Before, Crash::After",
                ));
            }
            Some(Crash::After) | None => {}
        }
        if let Some(child) = self.child(id, &attempt) {
            return self.start_child(id, attempt, child).await;
        }
        let result = self.run_code(id, &attempt).await;
        if crash == Some(Crash::After) {
            return self.input(id, Input::Failed { attempt, fault: Fault::Lost });
        }
        self.answered(id, attempt, result)
    }

    /// Keeps what an attempt answered, as an engine would.
    fn answered(&mut self, id: RunId, attempt: Attempt, result: StepResult) -> Result<()> {
        let run = self.runs.get(&id).ok_or_else(|| Error::unknown_run(id))?;
        let result = checked(&run.registered.flow, &attempt, result);
        let (batch, before) = (result.as_ref().ok().and_then(|done| done.batch.clone()), run.history.len());
        match self.input(id, answer(attempt.clone(), result)) {
            Err(error) if matches!(error.kind(), ErrorKind::TooLarge { .. }) => {
                let fault = Fault::Error { message: error.to_string(), retry: false, ran: true };
                return self.input(id, Input::Failed { attempt, fault });
            }
            answered => answered?,
        }
        // An attempt that broke its word has failed, and its statements are not wanted.
        let records = self.runs.get(&id).map_or(&[][..], |run| run.history.as_slice()).iter().skip(before);
        let failed = |record: &Record| matches!(&record.fact, Fact::AttemptFailed { attempt: of, .. } if *of == attempt);
        self.batches.extend(batch.filter(|_| !records.into_iter().any(failed)));
        Ok(())
    }

    async fn run_code(&mut self, id: RunId, attempt: &Attempt) -> Result<crate::handler::Done, StepError> {
        *self.attempts.entry(attempt.step.to_string()).or_default() += 1;
        let Some(run) = self.runs.get(&id) else { return Err(StepError::fatal("the run is gone")) };
        let code = handler_of(&run.registered.flow, attempt)
            .and_then(|(name, _)| self.registry.code(&run.registered, name.as_str()));
        match code {
            Some(Code::Plain(code)) => {
                let cx = self.context(id, run, attempt);
                attempted(cx, |cx| code.run(cx)).await
            }
            Some(Code::Tx(_)) => Err(StepError::fatal(
                "an interactive transaction needs a database; test this step with an Engine, or return a Done::batch",
            )),
            None => Err(StepError::fatal(format!("no handler is registered for {attempt}"))),
        }
    }

    fn context(&self, id: RunId, run: &TestRun, attempt: &Attempt) -> StepContext {
        StepContext::new(ContextParts {
            run: id,
            flow: Arc::clone(&run.registered.flow),
            key: run.key.clone(),
            attempt: attempt.clone(),
            seen: run.results.seen(),
            deadline: None,
            clock: Arc::<FixedClock>::clone(&self.clock),
            states: Arc::clone(&self.states),
            cancelled: Cancel::new().1,
            beat: Arc::new(NoBeat),
            attributes: Arc::clone(run.state.attributes()),
            notes: Mutex::default(),
        })
    }

    fn child(&self, id: RunId, attempt: &Attempt) -> Option<StartRequest> {
        let run = self.runs.get(&id)?;
        let node =
            run.registered.flow.index().node(&attempt.step).and_then(|at| run.registered.flow.node(at))?;
        match &node.kind {
            Kind::Child { workflow, version, .. } if attempt.part == Part::Body => {
                let request = StartRequest::new(workflow, run.results.seen().input.as_ref().clone());
                Some(StartRequest { version: *version, ..request })
            }
            _ => None,
        }
    }

    async fn start_child(&mut self, id: RunId, attempt: Attempt, mut request: StartRequest) -> Result<()> {
        let run = self.runs.get(&id).ok_or_else(|| Error::unknown_run(id))?;
        if let Some(Code::Plain(code)) = self.registry.child_input(&run.registered, &attempt) {
            let context = self.context(id, run, &attempt);
            match guarded(|| code.run(context)).await {
                Ok(done) => (request.input, request.key) = (done.value, done.key),
                Err(error) => return self.input(id, Input::Failed { attempt, fault: error.into_fault() }),
            }
        }
        match self.begin(request, Some((id, attempt.clone()))) {
            Ok(_) => Ok(()),
            Err(error) => {
                let fault = Fault::Error { message: error.to_string(), retry: true, ran: false };
                self.input(id, Input::Failed { attempt, fault })
            }
        }
    }

    fn input(&mut self, id: RunId, input: Input) -> Result<()> {
        let now = self.clock.now();
        let run = self.runs.get_mut(&id).ok_or_else(|| Error::unknown_run(id))?;
        let asked = run.input(input, now)?;
        self.follow(id, asked)
    }

    /// Carries on to children and parents.
    fn follow(&mut self, id: RunId, asked: Asked) -> Result<()> {
        for attempt in asked.cancel_children {
            let parent = Some((id, attempt));
            let child = self.runs.iter().find(|(_, run)| run.parent == parent && !run.state.is_ended());
            if let Some(child) = child.map(|(&child, _)| child) {
                self.unless_late(child, Input::Cancel { reason: format!("its parent {id} gave it up") })?;
            }
        }
        let ended = asked.ended.zip(self.runs.get(&id));
        if let Some((outcome, run)) = ended
            && let Some((parent, attempt)) = run.parent.clone()
        {
            let output = if outcome == Outcome::Completed {
                run_output(&run.registered.flow, &run.history)
            } else {
                Value::Null
            };
            self.unless_late(parent, Input::ChildEnded { attempt, outcome, output })?;
        }
        Ok(())
    }

    fn unless_late(&mut self, id: RunId, input: Input) -> Result<()> {
        match self.input(id, input) {
            Err(error) => match error.kind() {
                ErrorKind::Refused(
                    Refusal::Stale { .. } | Refusal::Ended { .. } | Refusal::Stopping { .. },
                ) => Ok(()),
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }
}

impl fmt::Debug for TestKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKit")
            .field("now", &self.clock.now())
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TestKitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKitBuilder").field("registry", &self.registry).finish_non_exhaustive()
    }
}
