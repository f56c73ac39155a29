//! Joins that can never hold: how many of the edges to a step can be taken in one run.

use super::Problem;
use crate::graph::{Edge, EventName, Graph, Index, Join, Mode};

pub(super) fn check(graph: &Graph, index: &Index, found: &mut Vec<Problem>) {
    let compatible = Compatible::new(index);
    for (at, node) in graph.nodes.iter().enumerate() {
        // `All` and `Any` are content with one edge, and every step can be reached.
        let Join::AtLeast(needs) = node.join else { continue };
        let incoming = index.incoming_ids(at);
        let wanted = usize::try_from(needs).unwrap_or(usize::MAX);
        let possible = Ways::most(graph, index, at, wanted).unwrap_or_else(|| compatible.largest(incoming));
        if wanted > possible {
            found.push(Problem::JoinUnsatisfiable {
                step: node.key.clone(),
                needs,
                incoming: incoming.len(),
                possible,
            });
        }
    }
}

/// How many ways through the steps before a join are looked at; where there are more, edges are compared in pairs.
const MAX_WAYS: usize = 4_096;
/// How many of these steps may have more than one result.
const MAX_FORKS: usize = 64;

/// A step, and its results: the edges that are taken together.
type Forks = (usize, Vec<Vec<usize>>);

/// All ways through the steps before a join.
struct Ways<'a> {
    graph: &'a Graph,
    index: &'a Index,
    join: usize,
    wanted: usize,
    /// How many edges to the join are taken on the best way so far.
    best: usize,
    left: usize,
}

impl<'a> Ways<'a> {
    /// How many edges to a join can be taken in one run, counted up to what it wants. None when there are too many ways.
    fn most(graph: &'a Graph, index: &'a Index, join: usize, wanted: usize) -> Option<usize> {
        let mut is_before = vec![false; graph.nodes.len()];
        let mut open = vec![join];
        while let Some(at) = open.pop() {
            for edge in index.incoming(at) {
                if let Some(seen @ false) = is_before.get_mut(edge.from) {
                    *seen = true;
                    open.push(edge.from);
                }
            }
        }
        let ordered = index.order.iter().filter(|at| is_before.get(**at) == Some(&true));
        let before: Vec<_> = ordered.map(|at| (*at, results(index, *at))).collect();
        if before.iter().filter(|(_, results)| results.len() > 1).count() > MAX_FORKS {
            return None;
        }
        let mut ways = Self { graph, index, join, wanted, best: 0, left: MAX_WAYS };
        ways.go_on(&before, &vec![false; index.edges.len()])?;
        Some(ways.best)
    }

    /// Goes all ways through these steps, each of which comes after those before it, with the edges that are taken by now.
    fn go_on(&mut self, mut steps: &[Forks], taken: &[bool]) -> Option<()> {
        let mut taken = taken.to_vec();
        while let Some(((step, results), rest)) = steps.split_first() {
            steps = rest;
            match results.as_slice() {
                results if !self.runs(*step, &taken) || results.is_empty() => {}
                [only] => take(&mut taken, only),
                several => {
                    for result in several {
                        let mut taken = taken.clone();
                        take(&mut taken, result);
                        self.go_on(rest, &taken)?;
                        if self.best >= self.wanted {
                            break;
                        }
                    }
                    return Some(());
                }
            }
        }
        self.left = self.left.checked_sub(1)?;
        self.best = self.best.max(self.count(self.join, &taken));
        Some(())
    }

    fn count(&self, step: usize, taken: &[bool]) -> usize {
        self.index.incoming_ids(step).iter().filter(|edge| taken.get(**edge) == Some(&true)).count()
    }

    fn runs(&self, step: usize, taken: &[bool]) -> bool {
        let needs = match self.graph.nodes.get(step).map(|node| node.join) {
            _ if self.index.incoming_ids(step).is_empty() => 0,
            Some(Join::AtLeast(needs)) => usize::try_from(needs).unwrap_or(usize::MAX),
            _ => 1,
        };
        self.count(step, taken) >= needs
    }
}

fn take(taken: &mut [bool], edges: &[usize]) {
    for edge in edges {
        if let Some(taken) = taken.get_mut(*edge) {
            *taken = true;
        }
    }
}

/// The results of a step, each as the edges that it takes: all of them where the step chooses several, because more edges only help a join.
fn results(index: &Index, step: usize) -> Vec<Vec<usize>> {
    let mut results: Vec<(&EventName, Vec<usize>)> = Vec::new();
    for &id in index.outgoing_ids(step) {
        let Some(edge) = index.edges.get(id) else { continue };
        match results.iter_mut().find(|(event, _)| **event == edge.event && edge.mode != Mode::One) {
            Some((_, edges)) => edges.push(id),
            None => results.push((&edge.event, vec![id])),
        }
    }
    results.into_iter().map(|(_, edges)| edges).collect()
}

/// Which pairs of edges can be taken in one run.
struct Compatible {
    width: usize,
    pairs: Vec<bool>,
}

impl Compatible {
    /// Edges are compared in the order of their sources: the pair of a later edge rests on pairs of the edges that lead to its source.
    fn new(index: &Index) -> Self {
        let width = index.edges.len();
        let mut all = Self { width, pairs: vec![false; width * width] };
        let ordered: Vec<usize> =
            index.order.iter().flat_map(|node| index.outgoing_ids(*node)).copied().collect();
        for (place, &later) in ordered.iter().enumerate() {
            for &earlier in ordered.iter().take(place + 1) {
                let (Some(e), Some(f)) = (index.edges.get(earlier), index.edges.get(later)) else { continue };
                let together = if e.from == f.from {
                    earlier == later || same_result(e, f)
                } else {
                    index.incoming_ids(f.from).iter().any(|before| all.pair(earlier, *before))
                };
                all.set(earlier, later, together);
            }
        }
        all
    }

    fn pair(&self, a: usize, b: usize) -> bool {
        self.pairs.get(a * self.width + b) == Some(&true)
    }

    fn set(&mut self, a: usize, b: usize, together: bool) {
        for at in [a * self.width + b, b * self.width + a] {
            if let Some(pair) = self.pairs.get_mut(at) {
                *pair = together;
            }
        }
    }

    /// The size of the largest set of these edges that can all be taken. Beyond twenty edges it is held to be all of them: the search
    /// would take too long, and no sound graph may be refused.
    fn largest(&self, edges: &[usize]) -> usize {
        if edges.len() > 20 { edges.len() } else { self.grow(&[], edges) }
    }

    fn grow(&self, chosen: &[usize], rest: &[usize]) -> usize {
        let Some((next, rest)) = rest.split_first() else { return chosen.len() };
        let without = self.grow(chosen, rest);
        if !chosen.iter().all(|edge| self.pair(*edge, *next)) {
            return without;
        }
        let with: Vec<usize> = chosen.iter().chain([next]).copied().collect();
        without.max(self.grow(&with, rest))
    }
}

/// Whether two edges of one step are taken by one result.
fn same_result(e: &Edge, f: &Edge) -> bool {
    e.event == f.event && e.mode != Mode::One
}
