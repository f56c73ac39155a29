//! Pictures of a workflow: DOT, text and a static SVG, each with the state of a run if there is one.
//!
//! Pure functions of their arguments; equal arguments give equal texts, so that a picture can be a golden file.

use mainstay_workflow_graph::render;
pub use mainstay_workflow_graph::render::{Overlay, Passage, STYLE};

use crate::definition::Workflow;
use crate::graph::Node;
use crate::plan::{EdgeState, State, StepState};

/// The workflow in the language of Graphviz.
#[must_use]
pub fn dot(flow: &Workflow, state: Option<&State>) -> String {
    render::dot(flow, &overlay(flow, state))
}

/// The workflow as SVG. Every step and every line has its state as class; the words are in the picture, not only the colours.
#[must_use]
pub fn svg(flow: &Workflow, state: Option<&State>) -> String {
    render::svg(flow, &overlay(flow, state))
}

/// The same picture without its [`STYLE`], for a page that has it already.
#[must_use]
pub fn svg_unstyled(flow: &Workflow, state: Option<&State>) -> String {
    render::svg_unstyled(flow, &overlay(flow, state))
}

/// The steps in an order in which they can run, each with where its events lead: `&` is "and", `|` is "one of", `+` is "some of".
#[must_use]
pub fn text(flow: &Workflow, state: Option<&State>) -> String {
    render::text(flow, &overlay(flow, state))
}

/// How far a run is. Empty without a run, and for a run of another workflow.
#[must_use]
pub fn overlay(flow: &Workflow, state: Option<&State>) -> Overlay {
    let Some(state) = state.filter(|state| state.fingerprint == flow.fingerprint()) else {
        return Overlay::default();
    };
    let passage = |edge: &EdgeState| match edge {
        EdgeState::Open => Passage::Open,
        EdgeState::Taken => Passage::Taken,
        EdgeState::Skipped => Passage::Skipped,
    };
    let undone = state.undone(flow);
    let word = |(node, step): (&Node, &StepState)| {
        if undone.contains(&node.key) { "undone" } else { step.word() }
    };
    Overlay {
        steps: flow.graph().nodes.iter().zip(state.steps()).map(word).collect(),
        edges: state.edges().iter().map(passage).collect(),
    }
}
