//! The events of telemetry: tracing events under the target `mainstay_workflow`, and metrics.
//!
//! | event | when |
//! |---|---|
//! | `workflow.start`, `workflow.stop`, `workflow.exception` | a run began, ended well, ended badly |
//! | `workflow.transition` | a step led on |
//! | `step.start`, `step.stop`, `step.exception` | an attempt began, ended well, failed |
//! | `step.async`, `step.resume` | a step waits; it goes on |
//! | `engine.advance` | a run was moved by one commit |
//! | `runner.init` | a node began to work |
//!
//! Each carries `run`, `workflow`, `version` and the caller's `metadata`.

use metrics::{counter, histogram};

use super::cell::Cell;
use crate::engine::StartRequest;
use crate::graph::{Kind, StepKey};
use crate::id::RunId;
use crate::plan::{Attempt, Fact, Outcome, Record, Status};

macro_rules! event {
    ($level:ident, $cell:expr, $run:expr, $name:literal, $($fields:tt)*) => {
        tracing::$level!(
            target: "mainstay_workflow",
            event = $name, run = %$run, workflow = %$cell.head.meta.workflow, version = $cell.head.meta.version,
            metadata = %$cell.telemetry(), $($fields)*
        )
    };
}

/// A run began.
pub(super) fn began(cell: &Cell, run: RunId, records: &[Record], request: &StartRequest) {
    let workflow = cell.head.meta.workflow.clone();
    counter!("mainstay_workflow_runs_started_total", "workflow" => workflow).increment(1);
    let initial = &cell.registered.flow.graph().start;
    let keys = request.input().as_object().map_or(0, serde_json::Map::len);
    event!(info, cell, run, "workflow.start", initial_step = %initial, context_keys = keys, "[{run}] the run began");
    facts(cell, run, records);
}

/// A run was moved by one commit.
pub(super) fn moved(cell: &Cell, run: RunId, records: &[Record], before: Status) {
    let after = cell.head.state.status();
    event!(
        debug, cell, run, "engine.advance",
        status_before = ?before, status_after = ?after, iteration = cell.head.state.seq, records = records.len(),
        "[{run}] advanced"
    );
    facts(cell, run, records);
}

/// An attempt began.
pub(super) fn attempt_began(cell: &Cell, run: RunId, attempt: &Attempt) {
    let active = cell.held.len();
    event!(
        debug, cell, run, "step.start",
        step = %attempt.step, attempt = attempt.number, concurrent = active > 1, active_steps = active,
        "[{run}] {attempt} began"
    );
}

fn facts(cell: &Cell, run: RunId, records: &[Record]) {
    let workflow = || cell.head.meta.workflow.clone();
    for Record { at, fact, .. } in records {
        match fact {
            Fact::Ended { step, event: Some(ended), targets, output, letter } => {
                counter!("mainstay_workflow_steps_total", "workflow" => workflow(), "outcome" => "ok")
                    .increment(1);
                event!(
                    info, cell, run, "step.stop", step = %step, ended = %ended, has_output = !output.is_null(),
                    "[{run}] {step} ended with {ended}"
                );
                if let Some(source) = source_of(cell, step, letter.is_some()) {
                    event!(info, cell, run, "step.resume", step = %step, ended = %ended, source, "[{run}] {step} goes on");
                }
                event!(
                    debug, cell, run, "workflow.transition",
                    from = %step, ended = %ended, targets = ?targets, targets_count = targets.len(), fan_out = targets.len() > 1,
                    "[{run}] {step} led on"
                );
            }
            Fact::Waiting { step, deadline } => {
                counter!("mainstay_workflow_waits_total", "workflow" => workflow()).increment(1);
                event!(warn, cell, run, "step.async", step = %step, deadline = ?deadline, "[{run}] {step} waits");
            }
            Fact::AttemptFailed { attempt, fault, retry_at } => {
                counter!("mainstay_workflow_steps_total", "workflow" => workflow(), "outcome" => "failed")
                    .increment(1);
                event!(
                    error, cell, run, "step.exception",
                    step = %attempt.step, attempt = attempt.number, reason = %fault, retry_at = ?retry_at,
                    "[{run}] {attempt} failed: {fault}"
                );
            }
            Fact::Finished { outcome, reason } => {
                let took = at.saturating_since(cell.head.meta.created_at);
                let word = match outcome {
                    Outcome::Completed => "completed",
                    Outcome::Failed => "failed",
                    Outcome::Cancelled => "cancelled",
                };
                counter!("mainstay_workflow_runs_ended_total", "workflow" => workflow(), "outcome" => word)
                    .increment(1);
                histogram!("mainstay_workflow_run_seconds", "workflow" => workflow(), "outcome" => word)
                    .record(took.as_secs_f64());
                finished(cell, run, *outcome, reason, took);
            }
            _ => {}
        }
    }
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

fn finished(cell: &Cell, run: RunId, outcome: Outcome, reason: &str, took: std::time::Duration) {
    let ms = took.as_secs_f64() * 1e3;
    let advances = cell.head.state.seq;
    if outcome == Outcome::Completed {
        event!(
            info,
            cell,
            run,
            "workflow.stop",
            status = "completed",
            duration_ms = ms,
            advances,
            "[{run}] completed in {ms:.1} ms"
        );
    } else {
        event!(
            error, cell, run, "workflow.exception", status = %outcome, reason, duration_ms = ms, advances,
            "[{run}] {outcome} in {ms:.1} ms: {reason}"
        );
    }
}
