//! From a leased attempt to running code, and back.

use std::cmp::{Ordering, Reverse};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Command;
use super::cell::{Cell, Held, Item};
use super::command::Told;
use super::core::Core;
use super::telemetry::Timing;
use crate::engine::StartRequest;
use crate::engine::registry::{checked, handler_of};
use crate::graph::{Kind, Node};
use crate::handler::{
    Beat, Cancel, Code, ContextParts, StepContext, StepError, StepResult, answer, attempted, guarded,
};
use crate::id::RunId;
use crate::plan::{Attempt, Fault, Input, Part};

/// A leased attempt that has not begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) priority: i16,
    pub(super) order: u64,
    pub(super) run: RunId,
    pub(super) attempt: Attempt,
}

impl Ord for Ready {
    /// The greatest begins next: the lowest priority number, then the oldest.
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |ready: &Self| Reverse((ready.priority, ready.order));
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Code that runs.
pub(super) struct Worker {
    pub(super) run: RunId,
    pub(super) attempt: Attempt,
    pub(super) cancel: Cancel,
    pub(super) abort: AbortHandle,
    /// How long it may be silent.
    pub(super) limit: Option<Duration>,
    /// When it counts as timed out.
    pub(super) deadline: Option<Instant>,
    /// When it is dropped although it did not stop.
    pub(super) stop_at: Option<Instant>,
    /// It timed out, and that is answered when it has ended or is dropped.
    pub(super) is_late: bool,
    /// Whether the run is reserved for it.
    pub(super) is_reserved: bool,
    /// When it began.
    pub(super) began: Instant,
    /// What its events stand in.
    pub(super) span: tracing::Span,
}

impl Worker {
    /// How long it ran, now that it has ended.
    fn timing(&self) -> Timing {
        Timing { took: self.began.elapsed(), span: self.span.clone() }
    }
}

/// Carries a handler's heartbeats.
struct Heart {
    worker: u64,
    commands: mpsc::UnboundedSender<Command>,
}

impl Beat for Heart {
    fn beat(&self, progress: Value) {
        // A runner that is gone needs none.
        let _ = self.commands.send(Command::Beat { worker: self.worker, progress });
    }
}

/// Sends what a worker has to tell. When its task ends before, because dropping something of the host's panicked, that is told.
pub(super) struct Teller {
    worker: u64,
    commands: mpsc::UnboundedSender<Command>,
    otherwise: Option<fn(StepError) -> Told>,
}

impl Teller {
    pub(super) fn new(
        worker: u64,
        commands: mpsc::UnboundedSender<Command>,
        otherwise: fn(StepError) -> Told,
    ) -> Self {
        Self { worker, commands, otherwise: Some(otherwise) }
    }

    pub(super) fn tell(mut self, told: Told) {
        self.otherwise = None;
        self.send(told);
    }

    fn send(&self, told: Told) {
        // A runner that is gone does not need the answer: another life repeats the attempt. Nor does one that has dropped the worker.
        let _ = self.commands.send(Command::Told { worker: self.worker, told });
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(otherwise) = self.otherwise.take() {
            let error = StepError::retry("the handler's task ended without an answer");
            self.send(otherwise(error.after_its_work()));
        }
    }
}

/// What an attempt needs.
enum Need {
    Code(Code),
    Child(StartRequest, Option<Code>),
    Nothing(StepError),
}

impl Core {
    /// Begins what is ready while there are free slots.
    pub(super) fn dispatch(&mut self) {
        if self.is_stopping || self.keeper.is_silent(Instant::now(), self.config.ttl) {
            return;
        }
        self.let_go();
        while self.workers.len() < self.config.slots {
            let Some(ready) = self.ready.pop() else { break };
            let ready = self.keep_aside(ready).and_then(|ready| self.hold_back(ready));
            let Some(Ready { run, attempt, .. }) = ready else { continue };
            let Some(cell) = self.cells.get(&run) else { continue };
            if !matches!(cell.held.get(&attempt), Some(Held::Ready | Held::Noted)) {
                // It was taken back.
                continue;
            }
            match self.need(cell, &attempt) {
                Need::Code(Code::Plain(code)) => {
                    self.work(run, attempt, move |cx| async move {
                        Told::Answer(attempted(cx, |cx| code.run(cx)).await)
                    });
                }
                Need::Code(Code::Tx(_)) => {
                    self.put(run, Item::transaction(attempt));
                }
                Need::Child(request, code) => {
                    self.work(
                        run,
                        attempt,
                        move |cx| async move { Told::Child(child(request, code, cx).await) },
                    );
                }
                Need::Nothing(error) => self.answered(run, attempt, None, Err(error)),
            }
        }
    }

    fn need(&self, cell: &Cell, attempt: &Attempt) -> Need {
        let flow = &cell.registered.flow;
        if let Some((name, _)) = handler_of(flow, attempt) {
            let missing = || Need::Nothing(StepError::fatal(format!("no handler {name:?} is registered")));
            return self.registry.code(&cell.registered, name.as_str()).map_or_else(missing, Need::Code);
        }
        match flow.index().node(&attempt.step).and_then(|at| flow.node(at)) {
            Some(Node { kind: Kind::Child { workflow, version, .. }, .. }) if attempt.part == Part::Body => {
                let input = cell.results.seen().input.as_ref().clone();
                // The caller's metadata, and with it a trace, go on into the child. So does its place in queues: a run never waits for
                // a child that stands behind others of less urgency.
                let telemetry = cell.telemetry().clone();
                let lane = &cell.head.meta.lane;
                let (priority, fairness) = (lane.priority, lane.fairness.as_deref().map(str::to_owned));
                let request = StartRequest {
                    version: *version,
                    telemetry,
                    priority,
                    fairness,
                    ..StartRequest::new(workflow, input)
                };
                Need::Child(request, self.registry.child_input(&cell.registered, attempt))
            }
            _ => Need::Nothing(StepError::fatal(format!("{attempt} has no code"))),
        }
    }

    /// What an attempt is given.
    pub(super) fn context(
        &self,
        cell: &Cell,
        run: RunId,
        attempt: &Attempt,
        worker: u64,
    ) -> (StepContext, Cancel) {
        let (cancel, cancelled) = Cancel::new();
        let limit = timeout(cell, attempt);
        let context = StepContext::new(ContextParts {
            run,
            flow: Arc::clone(&cell.registered.flow),
            key: cell.head.meta.business_key.as_deref().map(Arc::from),
            attempt: attempt.clone(),
            seen: cell.results.seen(),
            deadline: limit.map(|limit| self.now().saturating_add(limit)),
            clock: Arc::clone(&self.clock),
            states: Arc::clone(&self.states),
            cancelled,
            beat: Arc::new(Heart { worker, commands: self.commands.clone() }),
            attributes: Arc::clone(cell.head.state.attributes()),
            notes: Mutex::default(),
        });
        (context, cancel)
    }

    /// Runs code in a task of its own.
    fn work<F, Fut>(&mut self, run: RunId, attempt: Attempt, code: F)
    where
        F: FnOnce(StepContext) -> Fut,
        Fut: Future<Output = Told> + Send + 'static,
    {
        let number = self.number();
        let Some(cell) = self.cells.get(&run) else { return };
        let (context, cancel) = self.context(cell, run, &attempt, number);
        let span = super::telemetry::span(cell, run, &attempt);
        self.config.traces.adopt(&span, cell.telemetry());
        let (future, commands) = (code(context).instrument(span.clone()), self.commands.clone());
        let teller = Teller::new(number, commands, |error| Told::Answer(Err(error)));
        let task = tokio::spawn(async move { teller.tell(future.await) });
        self.employ(number, (run, attempt), cancel, task.abort_handle(), span, false);
    }

    /// Watches over code that runs.
    pub(super) fn employ(
        &mut self,
        number: u64,
        (run, attempt): (RunId, Attempt),
        cancel: Cancel,
        abort: AbortHandle,
        span: tracing::Span,
        is_reserved: bool,
    ) {
        let Some(cell) = self.cells.get_mut(&run) else { return };
        let limit = timeout(cell, &attempt);
        let deadline = limit.map(|limit| Instant::now() + limit);
        self.alarms.extend(deadline.map(|at| Reverse((at, number))));
        let began = Instant::now();
        span.in_scope(|| super::telemetry::attempt_began(cell, run, &attempt));
        cell.held.insert(attempt.clone(), Held::Running(number));
        let (stop_at, is_late) = (None, false);
        let worker = Worker {
            run,
            attempt,
            cancel,
            abort,
            limit,
            deadline,
            stop_at,
            is_late,
            is_reserved,
            began,
            span,
        };
        self.workers.insert(number, worker);
    }

    /// A worker ended.
    pub(super) fn told(&mut self, number: u64, told: Told) {
        let Some(worker) = self.workers.remove(&number) else { return };
        let timing = Some(worker.timing());
        let Worker { run, attempt, is_late, .. } = worker;
        let cell = self.cells.get(&run);
        let is_current = cell.is_some_and(
            |cell| matches!(cell.held.get(&attempt), Some(Held::Running(current)) if *current == number),
        );
        match told {
            Told::Transaction(reserved) => self.reserved(run, attempt, timing, *reserved),
            // It timed out, and that was its answer.
            _ if !is_current => {}
            _ if is_late => self.timed_out(run, attempt, number, timing),
            Told::Answer(result) => self.answered(run, attempt, timing, result),
            Told::Child(Err(error)) => self.answered(run, attempt, timing, Err(error)),
            Told::Child(Ok(request)) => self.beget(run, attempt, request),
        }
    }

    /// An attempt answered.
    pub(super) fn answered(
        &mut self,
        run: RunId,
        attempt: Attempt,
        timing: Option<Timing>,
        result: StepResult,
    ) {
        let Some(cell) = self.cells.get_mut(&run) else { return };
        let mut result = checked(&cell.registered.flow, &attempt, result);
        let batch = result.as_mut().ok().and_then(|done| done.batch.take());
        cell.held.insert(attempt.clone(), Held::Answered);
        let input = answer(attempt.clone(), result);
        let batch = batch.filter(|_| !matches!(input, Input::Failed { .. }));
        self.put(run, Item::answer(attempt, input, batch).timed(timing));
    }

    /// A handler is alive: its time begins anew.
    pub(super) fn beaten(&mut self, number: u64, progress: &Value) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.deadline = worker.limit.map(|limit| Instant::now() + limit);
            tracing::debug!(run = %worker.run, attempt = %worker.attempt, %progress, "heartbeat");
        }
    }

    /// Tells a running attempt that its result is not wanted any more; it is dropped when it does not stop.
    pub(super) fn stop_worker(&mut self, number: u64) {
        let stop_at = Instant::now() + self.config.grace;
        if let Some(worker) = self.workers.get_mut(&number)
            && worker.stop_at.is_none()
        {
            worker.cancel.pull();
            worker.stop_at = Some(stop_at);
            self.alarms.push(Reverse((stop_at, number)));
        }
    }

    /// Looks at the workers whose time may be up.
    pub(super) fn look_at_workers(&mut self, now: Instant) {
        while let Some(&Reverse((at, number))) = self.alarms.peek()
            && at <= now
        {
            self.alarms.pop();
            let Some(worker) = self.workers.get_mut(&number) else { continue };
            if worker.stop_at.is_some_and(|at| at <= now) {
                worker.abort.abort();
                let Some(worker) = self.workers.remove(&number) else { continue };
                let timing = worker.timing();
                let Worker { run, attempt, is_reserved, .. } = worker;
                self.timed_out(run, attempt, number, Some(timing));
                if is_reserved {
                    // Its transaction may have been on the way to its commit, with what follows leased to this node.
                    self.keeper.suspect();
                    self.reload(run);
                }
            } else if let Some(deadline) = worker.deadline {
                if deadline > now {
                    self.alarms.push(Reverse((deadline, number)));
                    continue;
                }
                let cell = self.cells.get(&worker.run);
                if cell.is_some_and(|cell| is_undoable(cell, &worker.attempt)) {
                    // Nothing follows before it has ended: its compensation would run beside what it undoes.
                    worker.is_late = true;
                    self.stop_worker(number);
                    continue;
                }
                let (run, attempt, timing) = (worker.run, worker.attempt.clone(), worker.timing());
                self.stop_worker(number);
                self.timed_out(run, attempt, number, Some(timing));
            }
        }
    }

    /// An attempt took too long, and nobody knows whether it did something.
    fn timed_out(&mut self, run: RunId, attempt: Attempt, number: u64, timing: Option<Timing>) {
        let Some(cell) = self.cells.get_mut(&run) else { return };
        let is_current =
            matches!(cell.held.get(&attempt), Some(Held::Running(current)) if *current == number);
        if is_current {
            cell.held.insert(attempt.clone(), Held::Answered);
            let input = Input::Failed { attempt: attempt.clone(), fault: Fault::TimedOut };
            self.put(run, Item::answer(attempt, input, None).timed(timing));
        }
    }
}

/// The input of a child.
async fn child(
    request: StartRequest,
    code: Option<Code>,
    cx: StepContext,
) -> Result<StartRequest, StepError> {
    match code {
        None => Ok(request),
        Some(Code::Plain(code)) => {
            let done = guarded(|| code.run(cx)).await?;
            Ok(StartRequest { input: done.value, key: done.key, ..request })
        }
        Some(Code::Tx(_)) => {
            Err(StepError::fatal("the handler of a child step makes its input and has no transaction"))
        }
    }
}

/// Whether something undoes what the attempt does. A transaction undoes itself when it is dropped, and the run is reserved until then.
fn is_undoable(cell: &Cell, attempt: &Attempt) -> bool {
    let flow = &cell.registered.flow;
    let node = flow.index().node(&attempt.step).and_then(|at| flow.node(at));
    attempt.part != Part::Undo
        && node.is_some_and(|node| {
            node.compensate.is_some() && !matches!(node.kind, Kind::Task { tx: true, .. })
        })
}

/// How long one attempt may take.
pub(super) fn timeout(cell: &Cell, attempt: &Attempt) -> Option<Duration> {
    let flow = &cell.registered.flow;
    let node = flow.index().node(&attempt.step).and_then(|at| flow.node(at))?;
    node.timeout_ms.map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_ends_without_an_answer_has_told_so() {
        let (commands, mut told) = mpsc::unbounded_channel();
        let teller = || Teller::new(7, commands.clone(), |error| Told::Answer(Err(error)));
        teller().tell(Told::Answer(Ok("ok".into())));
        drop(teller());
        let mut next = || match told.try_recv() {
            Ok(Command::Told { worker: 7, told: Told::Answer(answer) }) => answer,
            _ => panic!("nothing was told"),
        };
        assert!(next().is_ok());
        assert!(next().unwrap_err().message().contains("without an answer"));
        assert!(told.try_recv().is_err(), "each told once");
    }
}
