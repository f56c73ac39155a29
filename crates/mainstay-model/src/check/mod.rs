//! An explicit-state checker: breadth first over every reachable state, so that the first violation found is a shortest one.
//!
//! States are kept whole and compared whole: two states are never taken for one because their hashes agree. Symmetry is the model's
//! part: [`Model::canonical`] maps the states that differ only in names (of processes, of files) to one of them.

mod arena;
mod trace;

use std::hash::Hash;

pub use trace::{Trace, Transition};

use arena::Arena;

/// A protocol: its states, its steps, and what must never be.
pub trait Model {
    /// Everything that the protocol's parties and the world remember.
    type State: Copy;
    /// A state as it is kept: small, and equal for equal states only.
    type Key: Copy + Eq + Hash;
    /// One step of one party.
    type Action: Copy;
    /// How [`Model::canonical`] changed the names.
    type Renaming: Copy;

    /// Where everything begins.
    fn initial(&self) -> Self::State;

    /// Appends every step that can be taken in a state, with the state it leads to.
    fn successors(&self, state: &Self::State, into: &mut Vec<(Self::Action, Self::State)>);

    /// A state that differs in nothing but names, and how its names came about. Equal for as many such states as is cheap to do; the
    /// search is exact however many it leaves apart, because every state that is returned is one of the same orbit.
    fn canonical(&self, state: &Self::State) -> (Self::State, Self::Renaming);

    /// Packs a state.
    fn key(&self, state: &Self::State) -> Self::Key;

    /// The state that was packed.
    fn state(&self, key: Self::Key) -> Self::State;

    /// What is wrong with a state.
    fn violation(&self, state: &Self::State) -> Option<String>;
}

/// What a search found.
#[derive(Debug)]
pub struct Report<M: Model> {
    /// Distinct states (after [`Model::canonical`]) that were reached.
    pub states: usize,
    /// Steps that were taken.
    pub transitions: u64,
    /// The length of the longest of the shortest ways to a state.
    pub depth: usize,
    /// Whether every reachable state was visited: no violation and no limit stopped the search.
    pub is_complete: bool,
    /// A shortest way to a state that must not be.
    pub violation: Option<Trace<M>>,
}

/// Visits every reachable state, at most `limit` of them, until one violates the model.
pub fn explore<M: Model>(model: &M, limit: usize) -> Report<M> {
    let mut arena = Arena::new();
    let mut report = Report { states: 0, transitions: 0, depth: 0, is_complete: false, violation: None };
    let (initial, _) = model.canonical(&model.initial());
    arena.insert(model.key(&initial), None);
    report.violation = violated(model, &arena, 0, &initial);
    let (mut next, mut level_ends) = (0, 1);
    let mut successors = Vec::new();
    while report.violation.is_none() && next < arena.len() && arena.len() < limit {
        if next == level_ends {
            level_ends = arena.len();
            report.depth += 1;
        }
        let state = model.state(arena.key(next));
        successors.clear();
        model.successors(&state, &mut successors);
        for (_, successor) in &successors {
            report.transitions += 1;
            let (successor, _) = model.canonical(successor);
            if let Some(index) = arena.insert(model.key(&successor), Some(next)) {
                report.violation = violated(model, &arena, index, &successor);
                if report.violation.is_some() {
                    break;
                }
            }
        }
        next += 1;
    }
    report.is_complete = report.violation.is_none() && next == arena.len();
    report.states = arena.len();
    report
}

fn violated<M: Model>(model: &M, arena: &Arena<M::Key>, index: usize, state: &M::State) -> Option<Trace<M>> {
    let reason = model.violation(state)?;
    Some(Trace::to(model, arena, index, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters that may each be raised to a bound; they are one and the same but for their names.
    struct Counters {
        bound: u8,
        forbidden: (u8, u8),
    }

    impl Model for Counters {
        type State = (u8, u8);
        type Key = (u8, u8);
        type Action = &'static str;
        type Renaming = bool;

        fn initial(&self) -> (u8, u8) {
            (0, 0)
        }

        fn successors(&self, &(left, right): &(u8, u8), into: &mut Vec<(&'static str, (u8, u8))>) {
            if left < self.bound {
                into.push(("left", (left + 1, right)));
            }
            if right < self.bound {
                into.push(("right", (left, right + 1)));
            }
        }

        fn canonical(&self, &(left, right): &(u8, u8)) -> ((u8, u8), bool) {
            if left < right { ((right, left), true) } else { ((left, right), false) }
        }

        fn key(&self, state: &(u8, u8)) -> (u8, u8) {
            *state
        }

        fn state(&self, key: (u8, u8)) -> (u8, u8) {
            key
        }

        fn violation(&self, state: &(u8, u8)) -> Option<String> {
            (*state == self.forbidden).then(|| "forbidden".to_owned())
        }
    }

    #[test]
    fn every_state_is_visited_once_for_its_orbit() {
        let report = explore(&Counters { bound: 9, forbidden: (99, 99) }, usize::MAX);
        assert_eq!((report.states, report.depth), (55, 18), "pairs of 0..=9 without their order");
        assert!(report.is_complete && report.violation.is_none());
    }

    #[test]
    fn a_violation_is_reached_by_a_shortest_way() {
        let report = explore(&Counters { bound: 9, forbidden: (3, 2) }, usize::MAX);
        let trace = report.violation.expect("(3, 2) can be reached");
        assert_eq!((trace.transitions.len(), trace.reason.as_str()), (5, "forbidden"));
        assert!(!report.is_complete);
    }

    #[test]
    fn a_violation_at_the_start_is_seen() {
        let report = explore(&Counters { bound: 1, forbidden: (0, 0) }, usize::MAX);
        assert!(report.violation.expect("the start is forbidden").transitions.is_empty());
    }

    #[test]
    fn a_search_that_was_stopped_says_so() {
        let report = explore(&Counters { bound: 9, forbidden: (99, 99) }, 20);
        assert!(!report.is_complete && report.violation.is_none() && report.states >= 20);
    }
}
