//! What only the whole shows: circles, steps off every path, paths that end badly, branches that never meet.

use super::Problem;
use crate::graph::{Graph, Index, Mode, Node, Route, StepKey};

pub(super) fn check(graph: &Graph, index: &Index, found: &mut Vec<Problem>) {
    if index.order.len() < graph.nodes.len()
        && let Some(steps) = cycle(graph, index)
    {
        found.push(Problem::Cycle { steps });
    }
    match index.node(&graph.start) {
        None => found.push(Problem::NoStart { step: graph.start.clone() }),
        Some(start) => {
            let lost = index.reach(start).into_iter().zip(&graph.nodes).filter(|(reached, _)| !reached);
            found.extend(lost.map(|(_, node)| Problem::Unreachable { step: node.key.clone() }));
        }
    }
    for node in &graph.nodes {
        if node.routes.iter().all(|route| route.targets.is_empty()) && !node.is_done() {
            found.push(Problem::LeafNotDone { step: node.key.clone() });
        }
        for route in &node.routes {
            convergence(graph, index, node, route, found);
        }
    }
}

/// Branches that can be taken together must share a step that is not the end.
fn convergence(graph: &Graph, index: &Index, node: &Node, route: &Route, found: &mut Vec<Problem>) {
    let mut targets: Vec<usize> = route.targets.iter().filter_map(|target| index.node(target)).collect();
    targets.dedup();
    if targets.len() < 2 || route.mode == Mode::One {
        return;
    }
    let mut common: Vec<bool> = graph.nodes.iter().map(|node| !node.is_done()).collect();
    for target in targets {
        for (common, reached) in common.iter_mut().zip(index.reach(target)) {
            *common &= reached;
        }
    }
    if !common.contains(&true) {
        found.push(Problem::NoConvergence {
            step: node.key.clone(),
            event: route.event.clone(),
            targets: route.targets.clone(),
        });
    }
}

/// One circle, from its first step in the order of names.
fn cycle(graph: &Graph, index: &Index) -> Option<Vec<StepKey>> {
    let mut stuck = vec![true; graph.nodes.len()];
    for node in &index.order {
        if let Some(stuck) = stuck.get_mut(*node) {
            *stuck = false;
        }
    }
    // Every step that is stuck has a predecessor that is stuck: walking back must come round.
    let mut walk: Vec<usize> = Vec::new();
    let mut at = stuck.iter().position(|stuck| *stuck)?;
    while !walk.contains(&at) {
        walk.push(at);
        let mut before = index.incoming(at).map(|edge| edge.from);
        at = before.find(|from| stuck.get(*from) == Some(&true))?;
    }
    let mut circle: Vec<usize> = walk.into_iter().skip_while(|step| *step != at).collect();
    circle.reverse();
    let first = circle.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(place, _)| place);
    circle.rotate_left(first);
    Some(circle.into_iter().filter_map(|at| graph.nodes.get(at)).map(|node| node.key.clone()).collect())
}
