//! The way from the beginning to a state.

use std::fmt;

use super::Model;
use super::arena::Arena;

/// One step of a way.
#[derive(Debug, Clone, Copy)]
pub struct Transition<M: Model> {
    /// What was done.
    pub action: M::Action,
    /// What it led to, with the names that it had before the step.
    pub state: M::State,
    /// How the names changed after the step.
    pub renaming: M::Renaming,
}

/// A shortest way to a state that violates the model.
pub struct Trace<M: Model> {
    /// What is wrong with the last state.
    pub reason: String,
    /// The steps, the first one first.
    pub transitions: Vec<Transition<M>>,
}

impl<M: Model> fmt::Debug for Trace<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} after {} steps", self.reason, self.transitions.len())
    }
}

impl<M: Model> Trace<M> {
    /// Takes the steps again that led to a state.
    pub(super) fn to(model: &M, arena: &Arena<M::Key>, index: usize, reason: String) -> Self {
        let mut way = vec![index];
        let mut at = index;
        while let Some(parent) = arena.parent(at) {
            way.push(parent);
            at = parent;
        }
        way.reverse();
        let steps = way.iter().zip(way.iter().skip(1));
        let transitions =
            steps.filter_map(|(&from, &to)| step(model, arena.key(from), arena.key(to))).collect();
        Self { reason, transitions }
    }
}

/// The step from one state to another.
fn step<M: Model>(model: &M, from: M::Key, to: M::Key) -> Option<Transition<M>> {
    let mut successors = Vec::new();
    model.successors(&model.state(from), &mut successors);
    successors.into_iter().find_map(|(action, state)| {
        let (canonical, renaming) = model.canonical(&state);
        (model.key(&canonical) == to).then_some(Transition { action, state, renaming })
    })
}
