//! A graph by numbers: which edges there are, what leads where, and in which order steps can run.

use std::collections::BTreeMap;

use super::{EventName, Graph, Mode, Node, StepKey};

/// One way from a step to another.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The place of its source.
    pub from: usize,
    /// The place of its target.
    pub to: usize,
    /// The event that takes it.
    pub event: EventName,
    /// How its route chooses.
    pub mode: Mode,
}

/// Numbers are places in [`Graph::nodes`] and in [`Index::edges`]. Targets that do not exist have no edge.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// By source, in the order of its routes and their targets.
    pub edges: Vec<Edge>,
    /// Every step after all steps that lead to it; those on and behind a cycle are missing.
    pub order: Vec<usize>,
    keys: BTreeMap<StepKey, usize>,
    incoming: Vec<Vec<usize>>,
    outgoing: Vec<Vec<usize>>,
}

impl Index {
    /// The numbers of a graph; a graph that is not sound has some too.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let mut index = Self {
            incoming: vec![Vec::new(); graph.nodes.len()],
            outgoing: vec![Vec::new(); graph.nodes.len()],
            ..Self::default()
        };
        for (at, node) in graph.nodes.iter().enumerate() {
            index.keys.entry(node.key.clone()).or_insert(at);
        }
        for (from, node) in graph.nodes.iter().enumerate() {
            index.add_routes(from, node);
        }
        index.order = index.sorted();
        index
    }

    fn add_routes(&mut self, from: usize, node: &Node) {
        for route in &node.routes {
            for target in &route.targets {
                let Some(to) = self.node(target) else { continue };
                let edge = self.edges.len();
                let (event, mode) = (route.event.clone(), route.mode);
                self.edges.push(Edge { from, to, event, mode });
                if let Some(edges) = self.outgoing.get_mut(from) {
                    edges.push(edge);
                }
                if let Some(edges) = self.incoming.get_mut(to) {
                    edges.push(edge);
                }
            }
        }
    }

    fn sorted(&self) -> Vec<usize> {
        let mut open: Vec<usize> = self.incoming.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> =
            open.iter().enumerate().filter(|(_, open)| **open == 0).map(|(at, _)| at).rev().collect();
        let mut order = Vec::with_capacity(open.len());
        while let Some(node) = ready.pop() {
            order.push(node);
            for edge in self.outgoing(node) {
                if let Some(open) = open.get_mut(edge.to) {
                    *open -= 1;
                    if *open == 0 {
                        ready.push(edge.to);
                    }
                }
            }
        }
        order
    }

    /// The place of a step.
    #[must_use]
    pub fn node(&self, key: &StepKey) -> Option<usize> {
        self.keys.get(key).copied()
    }

    /// The numbers of the edges that lead to a step.
    #[must_use]
    pub fn incoming_ids(&self, node: usize) -> &[usize] {
        self.incoming.get(node).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the edges that lead away from a step.
    #[must_use]
    pub fn outgoing_ids(&self, node: usize) -> &[usize] {
        self.outgoing.get(node).map_or(&[], Vec::as_slice)
    }

    /// The edges that lead to a step.
    pub fn incoming(&self, node: usize) -> impl Iterator<Item = &Edge> {
        self.incoming_ids(node).iter().filter_map(|edge| self.edges.get(*edge))
    }

    /// The edges that lead away from a step.
    pub fn outgoing(&self, node: usize) -> impl Iterator<Item = &Edge> {
        self.outgoing_ids(node).iter().filter_map(|edge| self.edges.get(*edge))
    }

    /// Which steps can be reached from one, itself included.
    #[must_use]
    pub fn reach(&self, from: usize) -> Vec<bool> {
        let mut seen = vec![false; self.outgoing.len()];
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            match seen.get_mut(node) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            open.extend(self.outgoing(node).map(|edge| edge.to));
        }
        seen
    }
}
