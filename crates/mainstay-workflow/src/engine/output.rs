//! The result of a run.

use serde_json::Value;

use crate::definition::Workflow;
use crate::graph::StepKey;
use crate::plan::{Fact, Record};

/// The result of the step that led to the end: the last one that ended with a way to a done step.
pub(crate) fn run_output(flow: &Workflow, history: &[Record]) -> Value {
    history.iter().rev().find_map(|record| leads_to_end(flow, record)).unwrap_or(Value::Null)
}

/// The result of a step that ended with a way to a done step.
pub(crate) fn leads_to_end(flow: &Workflow, record: &Record) -> Option<Value> {
    let is_done = |step: &StepKey| {
        flow.index().node(step).and_then(|at| flow.node(at)).is_some_and(crate::graph::Node::is_done)
    };
    match &record.fact {
        Fact::Ended { output, targets, .. } if targets.iter().any(is_done) => Some(output.clone()),
        _ => None,
    }
}
