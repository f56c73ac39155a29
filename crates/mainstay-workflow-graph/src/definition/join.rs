//! Joins that can never hold: how many of the edges to a step can be taken in one run.

use super::Problem;
use crate::graph::{Edge, Graph, Index, Join, Mode};

pub(super) fn check(graph: &Graph, index: &Index, found: &mut Vec<Problem>) {
    let compatible = Compatible::new(index);
    for (at, node) in graph.nodes.iter().enumerate() {
        // `All` and `Any` are content with one edge, and every step can be reached.
        let Join::AtLeast(needs) = node.join else { continue };
        let incoming = index.incoming_ids(at);
        let possible = compatible.largest(incoming);
        if usize::try_from(needs).unwrap_or(usize::MAX) > possible {
            found.push(Problem::JoinUnsatisfiable {
                step: node.key.clone(),
                needs,
                incoming: incoming.len(),
                possible,
            });
        }
    }
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
