//! The metrics of workflows. Durations are in seconds; labels are names of the graph, so their number is bounded by what is registered.
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `mainstay_workflow_runs_started_total` | `workflow` | runs that began |
//! | `mainstay_workflow_runs_ended_total` | `workflow`, `outcome` | runs that ended: `completed`, `failed`, `cancelled` |
//! | `mainstay_workflow_run_seconds` | `workflow`, `outcome` | from the start of a run to its end, across restarts |
//! | `mainstay_workflow_steps_total` | `workflow`, `outcome` | steps that ended (`ok`), attempts that failed (`failed`) |
//! | `mainstay_workflow_step_seconds` | `workflow`, `step`, `outcome` | how long the code of an attempt ran |
//! | `mainstay_workflow_step_exceptions_total` | `workflow`, `step`, `kind` | attempts that failed, by [`kind`](super::telemetry::kind) |
//! | `mainstay_workflow_waits_total` | `workflow` | waits that began |
//! | `mainstay_workflow_wait_seconds` | `workflow`, `step`, `source` | from the beginning of a wait to its end: by a signal (`external`) or by time (`timeout`) |
//! | `mainstay_workflow_advance_seconds` | `workflow` | from a decision to its commit |
//! | `mainstay_workflow_runs_active`, `mainstay_workflow_steps_active` | | runs at hand and attempts that run, in this process |

use std::sync::Arc;
use std::time::Duration;

use metrics::{SharedString, counter, gauge, histogram};

use crate::graph::StepKey;

/// The measurements of one workflow.
#[derive(Debug, Clone)]
pub(super) struct Meters(Arc<str>);

impl Meters {
    pub(super) fn of(workflow: &Arc<str>) -> Self {
        Self(Arc::clone(workflow))
    }

    fn workflow(&self) -> SharedString {
        Arc::clone(&self.0).into()
    }

    pub(super) fn run_began(&self) {
        counter!("mainstay_workflow_runs_started_total", "workflow" => self.workflow()).increment(1);
    }

    pub(super) fn run_ended(&self, outcome: &'static str, took: Duration) {
        counter!("mainstay_workflow_runs_ended_total", "workflow" => self.workflow(), "outcome" => outcome)
            .increment(1);
        histogram!("mainstay_workflow_run_seconds", "workflow" => self.workflow(), "outcome" => outcome)
            .record(took.as_secs_f64());
    }

    pub(super) fn step_ended(&self) {
        counter!("mainstay_workflow_steps_total", "workflow" => self.workflow(), "outcome" => "ok")
            .increment(1);
    }

    pub(super) fn attempt_failed(&self, step: &StepKey, kind: &'static str) {
        counter!("mainstay_workflow_steps_total", "workflow" => self.workflow(), "outcome" => "failed")
            .increment(1);
        let labels = [("workflow", self.workflow()), ("step", step.shared().into()), ("kind", kind.into())];
        counter!("mainstay_workflow_step_exceptions_total", &labels).increment(1);
    }

    pub(super) fn attempt_ended(&self, step: &StepKey, outcome: &'static str, took: Duration) {
        let labels =
            [("workflow", self.workflow()), ("step", step.shared().into()), ("outcome", outcome.into())];
        histogram!("mainstay_workflow_step_seconds", &labels).record(took.as_secs_f64());
    }

    pub(super) fn wait_began(&self) {
        counter!("mainstay_workflow_waits_total", "workflow" => self.workflow()).increment(1);
    }

    pub(super) fn wait_ended(&self, step: &StepKey, source: &'static str, took: Duration) {
        let labels =
            [("workflow", self.workflow()), ("step", step.shared().into()), ("source", source.into())];
        histogram!("mainstay_workflow_wait_seconds", &labels).record(took.as_secs_f64());
    }

    pub(super) fn advanced(&self, took: Duration) {
        histogram!("mainstay_workflow_advance_seconds", "workflow" => self.workflow())
            .record(took.as_secs_f64());
    }
}

/// What a node shows of itself. Several nodes of one process add up.
#[derive(Debug, Default)]
pub(super) struct Active {
    runs: usize,
    steps: usize,
}

impl Active {
    pub(super) fn show(&mut self, runs: usize, steps: usize) {
        if self.runs != runs {
            change("mainstay_workflow_runs_active", &mut self.runs, runs);
        }
        if self.steps != steps {
            change("mainstay_workflow_steps_active", &mut self.steps, steps);
        }
    }
}

fn change(name: &'static str, shown: &mut usize, now: usize) {
    if now > *shown {
        gauge!(name).increment(exact(now - *shown));
    } else {
        gauge!(name).decrement(exact(*shown - now));
    }
    *shown = now;
}

fn exact(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

impl Drop for Active {
    /// A node that is gone has nothing at hand.
    fn drop(&mut self) {
        self.show(0, 0);
    }
}
