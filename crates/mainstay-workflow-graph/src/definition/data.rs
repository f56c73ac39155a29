//! Data that may not be there yet: which steps have surely ended when a step begins.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use crate::graph::{Edge, EventName, Graph, Index, Join, Kind, Mode, Node, Presence};

pub(super) fn check(graph: &Graph, index: &Index, found: &mut Vec<Problem>) {
    let known = Known::all(graph, index);
    for (at, node) in graph.nodes.iter().enumerate() {
        for (reads, presence) in &node.reads {
            let (step, reads) = (node.key.clone(), reads.clone());
            let Some(source) = index.node(&reads) else {
                found.push(Problem::ReadsUnknown { step, reads });
                continue;
            };
            let kind = graph.nodes.get(source).map(|node| &node.kind);
            if matches!(kind, Some(Kind::Timer { .. } | Kind::Done)) {
                found.push(Problem::ReadsNothing { step, reads });
            } else if source == at || index.reach(source).get(at) != Some(&true) {
                found.push(Problem::ReadsLater { step, reads });
            } else {
                found.extend(wrong(graph, index, &known, (source, at), presence));
            }
        }
    }
}

/// What is wrong with a read of a step that comes before.
fn wrong(
    graph: &Graph,
    index: &Index,
    known: &[Known],
    (source, reader): (usize, usize),
    presence: &Presence,
) -> Option<Problem> {
    let (from, at) = (graph.nodes.get(source)?, graph.nodes.get(reader)?);
    let (step, reads) = (at.key.clone(), from.key.clone());
    let known_here = known.get(reader)?;
    let possible = known_here.results.get(&source).cloned().unwrap_or_else(|| from.events());
    let silent = without_output(from);
    let in_time = known_here.ended.contains(&source)
        || (known_here.run.contains(&source) && is_awaited(graph, index, source, reader));
    match presence {
        Presence::Optional => None,
        Presence::After(event) if !from.events().contains(event) || silent.contains(&event) => {
            Some(Problem::ReadsUndeclared { step, reads, event: event.clone() })
        }
        _ if !in_time => Some(Problem::MayBeMissing { step, reads }),
        Presence::After(event) if possible.iter().any(|other| other != event) => {
            Some(Problem::MayEndOtherwise { step, reads, event: event.clone() })
        }
        Presence::Required if possible.iter().any(|event| silent.contains(&event)) => {
            Some(Problem::MayBeMissing { step, reads })
        }
        Presence::After(_) | Presence::Required => None,
    }
}

/// What is surely so when a step begins.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Edges that are taken or will be.
    edges: BTreeSet<usize>,
    /// Steps that have ended.
    ended: BTreeSet<usize>,
    /// Steps that run at some time.
    run: BTreeSet<usize>,
    /// With what a step ends or has ended, where that is known: with one of these.
    results: BTreeMap<usize, BTreeSet<EventName>>,
}

impl Known {
    /// For each step, in the order in which they can run: what all its edges have in common.
    fn all(graph: &Graph, index: &Index) -> Vec<Self> {
        let mut all = vec![Self::default(); graph.nodes.len()];
        for &node in &index.order {
            let mut common: Option<Self> = None;
            for &edge in index.incoming_ids(node) {
                let Some(source) = index.edges.get(edge).map(|edge| edge.from) else { continue };
                let mut one = all.get(source).cloned().unwrap_or_default();
                one.ended.insert(source);
                one.edges.insert(edge);
                one.follow(graph, index);
                common = Some(match common {
                    None => one,
                    Some(so_far) => so_far.and(&one),
                });
            }
            let mut known = common.unwrap_or_default();
            known.run.insert(node);
            if let Some(place) = all.get_mut(node) {
                *place = known;
            }
        }
        all
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            edges: self.edges.intersection(&other.edges).copied().collect(),
            ended: self.ended.intersection(&other.ended).copied().collect(),
            run: self.run.intersection(&other.run).copied().collect(),
            results: self
                .results
                .iter()
                .filter_map(|(step, mine)| {
                    Some((*step, mine.union(other.results.get(step)?).cloned().collect()))
                })
                .collect(),
        }
    }

    /// What follows: an edge that is taken brings its parallel siblings with it, and a step that runs and has but one result takes its
    /// edges.
    fn follow(&mut self, graph: &Graph, index: &Index) {
        let mut open: Vec<usize> = self.edges.iter().copied().collect();
        while let Some(edge) = open.pop() {
            let Some(taken) = index.edges.get(edge) else { continue };
            self.results.insert(taken.from, [taken.event.clone()].into());
            let mut more: Vec<usize> = siblings(index, taken).collect();
            if graph.nodes.get(taken.to).is_some_and(|node| !matches!(node.join, Join::AtLeast(_))) {
                self.run.insert(taken.to);
                more.extend(only_result(graph, index, taken.to));
            }
            open.extend(more.into_iter().filter(|edge| self.edges.insert(*edge)));
        }
    }
}

fn siblings<'a>(index: &'a Index, edge: &'a Edge) -> impl Iterator<Item = usize> + 'a {
    let same = |other: &Edge| other.event == edge.event && edge.mode == Mode::All;
    index
        .outgoing_ids(edge.from)
        .iter()
        .copied()
        .filter(move |other| index.edges.get(*other).is_some_and(same))
}

fn only_result(graph: &Graph, index: &Index, node: usize) -> Vec<usize> {
    match graph.nodes.get(node).map(|node| node.routes.as_slice()) {
        Some([route]) if route.mode == Mode::All => index.outgoing_ids(node).to_vec(),
        _ => Vec::new(),
    }
}

/// The events after which a step has no output: all attempts failed, or no signal came.
fn without_output(node: &Node) -> Vec<&EventName> {
    let expired = match &node.kind {
        Kind::Wait { timeout: Some(expiry), .. } => Some(&expiry.event),
        _ => None,
    };
    node.on_failure.iter().chain(expired).collect()
}

/// Whether a path leads from one step to another on which every step waits for all its edges.
fn is_awaited(graph: &Graph, index: &Index, source: usize, reader: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![reader];
    while let Some(at) = open.pop() {
        if at == source {
            return true;
        }
        if seen.insert(at) && graph.nodes.get(at).is_some_and(|node| node.join == Join::All) {
            open.extend(index.incoming(at).map(|edge| edge.from));
        }
    }
    false
}
