//! The events of telemetry: tracing events under the target `mainstay_workflow`, and the spans that they stand in.
//!
//! | event | when | what it says besides |
//! |---|---|---|
//! | `workflow.start` | a run began | `initial_step`, `context_keys`, `runner` |
//! | `workflow.stop` | it ended well | `duration_ms`, `step_count`, `advance_count`, `completed_steps`, `runner` |
//! | `workflow.exception` | it failed or was cancelled | the same, `kind`, `reason`, `failed_step` |
//! | `workflow.transition` | a step led on | `from`, `ended`, `targets`, `targets_count`, `fan_out` |
//! | `step.start` | an attempt began | `step`, `attempt`, `concurrent`, `active_steps` |
//! | `step.stop` | a step ended | `step`, `ended`, `duration_ms`, `has_output`, `has_attributes` |
//! | `step.exception` | an attempt failed | `step`, `attempt`, `duration_ms`, `kind`, `reason`, `retry_at` |
//! | `step.async` | a step waits | `step`, `deadline`, `run_status` |
//! | `step.resume` | it goes on | `step`, `ended`, `source`, `wait_ms` |
//! | `engine.advance` | a run was moved by one commit | `duration_ms`, `active_steps`, `completed_in_advance`, `status_before`, `status_after`, `iteration` |
//! | `runner.init` | a node began to work | `name`, `runner`, `node`, `storage`, `pid` |
//!
//! Each of a run carries `run`, `workflow`, `version` and the caller's `metadata`. `duration_ms` is absent where no code ran here. The
//! duration of a run and of a wait come from the stored times, so they are right after a restart too.
//!
//! Levels: exceptions are errors, `step.async` is a warning, `workflow.transition` and `engine.advance` are for debugging, the rest is information.
//! The name of an event is the name of its callsite too, so a subscriber may take some and leave the others without reading fields.
//!
//! Each attempt runs in a span `workflow.step`, and its events stand in that span; `workflow.start` stands in the span in which the start was
//! asked for. Where the caller's metadata has a W3C `traceparent`, the span has it as a field, on whichever node the step runs; with
//! [`EngineBuilder::traces`](crate::EngineBuilder::traces) the span is a part of that trace.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use super::cell::Cell;
use super::meters::Meters;
use super::tally::Tally;
use crate::engine::StartRequest;
use crate::graph::{Kind, StepKey};
use crate::id::{NodeId, RunId};
use crate::plan::{Attempt, Fact, Fault, Outcome, Part, Record, Stage, Status, StepState};

macro_rules! event {
    ($level:ident, $cell:expr, $run:expr, $name:literal, $($fields:tt)*) => {
        tracing::$level!(
            name: $name, target: "mainstay_workflow",
            event = $name, run = %$run, workflow = %$cell.head.meta.workflow, version = $cell.head.meta.version,
            metadata = %$cell.telemetry(), $($fields)*
        )
    };
}

/// What runs runs here, in the words of the events.
const RUNNER: &str = "mainstay";

/// How many names of the input's fields `context_keys` says.
const MAX_KEYS: usize = 32;

/// How long the code of an attempt ran, and the span that it ran in.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    pub(super) took: Duration,
    pub(super) span: Span,
}

/// What is known of a commit besides its records.
pub(super) struct Move {
    /// What the run was before.
    pub(super) before: Status,
    /// From the decision until now.
    pub(super) took: Duration,
    /// The attempts that it answers.
    pub(super) timings: Vec<(Attempt, Timing)>,
}

impl Move {
    /// What is known of the attempt that a step ended with.
    fn of_step(&self, step: &StepKey) -> Option<&Timing> {
        self.timings.iter().rev().find(|(attempt, _)| attempt.step == *step).map(|(_, timing)| timing)
    }

    fn of_attempt(&self, wanted: &Attempt) -> Option<&Timing> {
        self.timings.iter().find(|(attempt, _)| attempt == wanted).map(|(_, timing)| timing)
    }
}

/// The span of an attempt.
pub(super) fn span(cell: &Cell, run: RunId, attempt: &Attempt) -> Span {
    let meta = &cell.head.meta;
    let traceparent = meta.telemetry.get("traceparent").and_then(serde_json::Value::as_str);
    tracing::info_span!(
        target: "mainstay_workflow",
        "workflow.step",
        otel.name = format_args!("{} {}", meta.workflow, attempt.step), otel.status_code = Empty,
        run = %run, workflow = %meta.workflow, version = meta.version, step = %attempt.step, attempt = attempt.number,
        key = meta.business_key, metadata = %meta.telemetry, traceparent, outcome = Empty,
    )
}

/// A node began to work.
pub(crate) fn began_to_work(name: &str, node: NodeId, storage: &str) {
    tracing::info!(
        name: "runner.init", target: "mainstay_workflow",
        event = "runner.init", name, runner = RUNNER, node = ?node, storage, pid = std::process::id(),
        "the workflow engine works on {storage}"
    );
}

/// A run began.
pub(super) fn began(cell: &mut Cell, run: RunId, records: &[Record], request: &StartRequest) {
    Meters::of(&cell.registered.name).run_began();
    let initial = &cell.registered.flow.graph().start;
    let keys: Vec<&String> =
        request.input().as_object().into_iter().flat_map(serde_json::Map::keys).take(MAX_KEYS).collect();
    event!(
        info, cell, run, "workflow.start",
        initial_step = %initial, context_keys = ?keys, runner = RUNNER, "[{run}] the run began"
    );
    let first = Move { before: Status::Running, took: Duration::ZERO, timings: Vec::new() };
    facts(cell, run, records, &first);
}

/// A run was moved by one commit.
pub(super) fn moved(cell: &mut Cell, run: RunId, records: &[Record], this: &Move) {
    Meters::of(&cell.registered.name).advanced(this.took);
    let after = cell.head.state.status();
    let ended = records.iter().filter(|record| matches!(record.fact, Fact::Ended { .. })).count();
    event!(
        debug, cell, run, "engine.advance",
        duration_ms = ms(this.took), active_steps = live(cell), completed_in_advance = ended,
        status_before = ?this.before, status_after = ?after, iteration = cell.tally.moves() + 1,
        records = records.len(), "[{run}] advanced"
    );
    facts(cell, run, records, this);
}

/// An attempt began.
pub(super) fn attempt_began(cell: &Cell, run: RunId, attempt: &Attempt) {
    let active = cell.held.len();
    event!(
        info, cell, run, "step.start",
        step = %attempt.step, attempt = attempt.number, concurrent = active > 1, active_steps = active,
        "[{run}] {attempt} began"
    );
}

fn facts(cell: &mut Cell, run: RunId, records: &[Record], this: &Move) {
    let meters = Meters::of(&cell.registered.name);
    let mut tally = std::mem::take(&mut cell.tally);
    for record in records {
        let waited = tally.add(record);
        match &record.fact {
            Fact::Ended { step, event: Some(_), .. } => {
                meters.step_ended();
                let timing = this.of_step(step);
                let within = timing.map_or_else(Span::none, |timing| timing.span.clone());
                within.record("outcome", "ok");
                let has_attributes = notes(records, step);
                within
                    .in_scope(|| ended(cell, run, &record.fact, &Ending { timing, waited, has_attributes }));
                if let Some(timing) = timing {
                    meters.attempt_ended(step, "ok", timing.took);
                }
            }
            Fact::ItemSucceeded { step, item, .. } => {
                let timing = this
                    .timings
                    .iter()
                    .find(|(attempt, _)| attempt.step == *step && attempt.part == Part::Item(*item));
                if let Some((_, timing)) = timing {
                    timing.span.record("outcome", "ok");
                    meters.attempt_ended(step, "ok", timing.took);
                }
            }
            Fact::Waiting { step, deadline } => {
                meters.wait_began();
                let status = cell.head.state.status();
                event!(
                    warn, cell, run, "step.async",
                    step = %step, deadline = ?deadline, run_status = ?status, "[{run}] {step} waits"
                );
            }
            Fact::AttemptFailed { attempt, fault, retry_at, .. } => {
                let timing = this.of_attempt(attempt);
                let within = timing.map_or_else(Span::none, |timing| timing.span.clone());
                within.record("outcome", "failed").record("otel.status_code", "ERROR");
                meters.attempt_failed(&attempt.step, kind(fault));
                if let Some(timing) = timing {
                    meters.attempt_ended(&attempt.step, "failed", timing.took);
                }
                let took = timing.map(|timing| ms(timing.took));
                within.in_scope(|| {
                    event!(
                        error, cell, run, "step.exception",
                        step = %attempt.step, attempt = attempt.number, duration_ms = took, kind = kind(fault), reason = %fault,
                        retry_at = ?retry_at, "[{run}] {attempt} failed: {fault}"
                    );
                });
            }
            Fact::Finished { outcome, reason } => {
                let took = record.at.saturating_since(cell.head.meta.created_at);
                meters.run_ended(word(*outcome), took);
                finished(cell, run, (*outcome, reason), took, &tally);
            }
            _ => {}
        }
    }
    cell.tally = tally;
}

/// Whether a step added to the run's attributes.
fn notes(records: &[Record], by: &StepKey) -> bool {
    records.iter().any(|record| matches!(&record.fact, Fact::Noted { step: Some(step), .. } if step == by))
}

/// What is known of a step's end besides the fact.
struct Ending<'a> {
    timing: Option<&'a Timing>,
    waited: Option<Duration>,
    has_attributes: bool,
}

/// A step ended: it stops, perhaps resumes, and leads on.
fn ended(cell: &Cell, run: RunId, fact: &Fact, end: &Ending<'_>) {
    let Fact::Ended { step, event: Some(ended), targets, output, letter } = fact else { return };
    let took = end.timing.map(|timing| ms(timing.took));
    event!(
        info, cell, run, "step.stop",
        step = %step, ended = %ended, duration_ms = took, has_output = !output.is_null(), has_attributes = end.has_attributes, "[{run}] {step} ended with {ended}"
    );
    if let Some(source) = source_of(cell, step, letter.is_some()) {
        let waited = end.waited.unwrap_or_default();
        Meters::of(&cell.registered.name).wait_ended(step, source, waited);
        event!(
            info, cell, run, "step.resume",
            step = %step, ended = %ended, source, wait_ms = ms(waited), "[{run}] {step} goes on"
        );
    }
    event!(
        debug, cell, run, "workflow.transition",
        from = %step, ended = %ended, targets = ?targets, targets_count = targets.len(), fan_out = targets.len() > 1,
        "[{run}] {step} led on"
    );
}

/// What let a step go on that waited: a signal, or the time that has passed. None for a step that ran code.
fn source_of(cell: &Cell, step: &StepKey, signalled: bool) -> Option<&'static str> {
    let flow = &cell.registered.flow;
    let node = flow.index().node(step).and_then(|at| flow.node(at))?;
    match node.kind {
        Kind::Wait { .. } if signalled => Some("external"),
        Kind::Wait { .. } | Kind::Timer { .. } => Some("timeout"),
        _ => None,
    }
}

fn finished(cell: &Cell, run: RunId, (outcome, reason): (Outcome, &str), took: Duration, tally: &Tally) {
    let took = ms(took);
    let completed = steps_that(cell, |state| matches!(state, StepState::Ended(_)));
    if outcome == Outcome::Completed {
        event!(
            info, cell, run, "workflow.stop",
            status = "completed", duration_ms = took, step_count = completed.len(), advance_count = tally.moves(),
            completed_steps = ?completed, runner = RUNNER, "[{run}] completed in {took:.1} ms"
        );
    } else {
        let failed = steps_that(cell, |state| matches!(state, StepState::Failed));
        let failed = failed.first().map(|step| step.as_str());
        event!(
            error, cell, run, "workflow.exception",
            status = word(outcome), duration_ms = took, kind = ending(cell, failed), reason, failed_step = failed,
            step_count = completed.len(), advance_count = tally.moves(), completed_steps = ?completed, runner = RUNNER,
            "[{run}] {outcome} in {took:.1} ms: {reason}"
        );
    }
}

/// Why a run did not end well, in one word.
fn ending(cell: &Cell, failed: Option<&str>) -> &'static str {
    match &cell.head.state.stage {
        Stage::Ended { outcome: Outcome::Cancelled, .. } => "cancelled",
        _ if failed.is_some() => "step",
        _ => "run",
    }
}

/// Why an attempt failed, in one word: `error`, `timeout`, `lost`, `withdrawn`, `child`, or `protocol` for one that did what its graph does
/// not allow.
pub(super) fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Error { .. } => "error",
        Fault::TimedOut | Fault::DeadlineExceeded => "timeout",
        Fault::Lost => "lost",
        Fault::Withdrawn => "withdrawn",
        Fault::Child { .. } => "child",
        _ => "protocol",
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    }
}

/// The steps in such a state, in the order of the graph.
fn steps_that(cell: &Cell, is_it: impl Fn(&StepState) -> bool) -> Vec<&StepKey> {
    let nodes = cell.registered.flow.graph().nodes.iter().zip(cell.head.state.steps());
    nodes.filter(|(_, state)| is_it(state)).map(|(node, _)| &node.key).collect()
}

/// How many steps are under way.
fn live(cell: &Cell) -> usize {
    cell.head.state.steps().iter().filter(|state| state.is_live()).count()
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
