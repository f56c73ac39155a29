//! What can be seen at one step alone: names, numbers, events and routes.

use std::collections::BTreeSet;

use super::Problem;
use crate::graph::{FORMAT, Graph, Join, Kind, Mode, Need, Node, StepKey, is_well_formed};

pub(super) fn check(graph: &Graph, found: &mut Vec<Problem>) {
    if graph.format != FORMAT {
        found.push(Problem::UnknownFormat { format: graph.format });
    }
    if graph.version == 0 {
        found.push(Problem::BadVersion);
    }
    if !graph.unique.is_well_formed() {
        found.push(Problem::BadUniqueKey { key: graph.unique.key.clone() });
    }
    if graph.deadline_ms == Some(0) {
        found.push(Problem::Zero { step: None, what: "the deadline" });
    }
    name("workflow", &graph.name, found);
    for tag in &graph.tags {
        name("tag", tag, found);
    }
    for pair in graph.nodes.windows(2) {
        if let [a, b] = pair
            && a.key == b.key
        {
            found.push(Problem::DuplicateKey { step: a.key.clone() });
        }
    }
    let keys: BTreeSet<&StepKey> = graph.nodes.iter().map(|node| &node.key).collect();
    for node in &graph.nodes {
        name("step", node.key.as_str(), found);
        if let Some(queue) = &node.queue {
            name("queue", queue, found);
        }
        kind(node, found);
        policies(node, found);
        events(node, found);
        routes(node, &keys, found);
    }
}

fn name(what: &'static str, name: &str, found: &mut Vec<Problem>) {
    if !is_well_formed(name) {
        found.push(Problem::BadName { what, name: name.to_owned() });
    }
}

fn kind(node: &Node, found: &mut Vec<Problem>) {
    let step = || node.key.clone();
    let mut at_least_one = |number: u64, what| {
        if number == 0 {
            found.push(Problem::Zero { step: Some(step()), what });
        }
    };
    match &node.kind {
        Kind::Task { handler, .. } => name("handler", handler.as_str(), found),
        Kind::Wait { signals, timeout } => {
            at_least_one(timeout.as_ref().map_or(1, |expiry| expiry.after_ms), "the time-out");
            if signals.is_empty() {
                found.push(Problem::WaitsForNothing { step: step() });
            }
            let mut seen = BTreeSet::new();
            for arrival in signals {
                let signal = arrival.signal.as_str();
                name("signal", signal, found);
                if !seen.insert(signal) {
                    found.push(Problem::RepeatedSignal { step: step(), signal: signal.to_owned() });
                }
            }
        }
        Kind::Timer { expiry } => at_least_one(expiry.after_ms, "the time"),
        Kind::Child { workflow, version, .. } => {
            at_least_one(u64::from(version.unwrap_or(1)), "the version of the child");
            name("workflow", workflow, found);
        }
        Kind::Map { items, handler, limit, need, .. } => {
            at_least_one(u64::from(*limit), "the limit");
            if let Need::AtLeast(need) = need {
                at_least_one(u64::from(*need), "the number of items");
            }
            name("handler", items.as_str(), found);
            name("handler", handler.as_str(), found);
        }
        Kind::Done => {}
    }
}

fn policies(node: &Node, found: &mut Vec<Problem>) {
    let step = || node.key.clone();
    for (number, what) in [
        (u64::from(node.retry.max_attempts), "the number of attempts"),
        (u64::from(node.retry.max_losses), "the number of losses"),
        (node.timeout_ms.unwrap_or(1), "the time-out of an attempt"),
        (if node.join == Join::AtLeast(0) { 0 } else { 1 }, "the number of edges to wait for"),
    ] {
        if number == 0 {
            found.push(Problem::Zero { step: Some(step()), what });
        }
    }
    if let Some(handler) = &node.compensate {
        name("handler", handler.as_str(), found);
    }
    if node.timeout_ms.is_some() && matches!(node.kind, Kind::Child { .. }) {
        found.push(Problem::TimeoutOfChild { step: step() });
    }
    for (has, what) in [
        (node.compensate.is_some(), "compensation"),
        (node.on_failure.is_some(), "failure event"),
        (node.timeout_ms.is_some(), "time-out of an attempt"),
    ] {
        if has && !node.is_active() {
            found.push(Problem::NotForThisKind { step: step(), what });
        }
    }
}

fn events(node: &Node, found: &mut Vec<Problem>) {
    let declared = node.events();
    for event in &declared {
        name("event", event.as_str(), found);
        if node.routed(event).is_none() {
            found.push(Problem::NotRouted { step: node.key.clone(), event: event.clone() });
        }
    }
    for route in &node.routes {
        if !declared.contains(&route.event) {
            found.push(Problem::NotDeclared { step: node.key.clone(), event: route.event.clone() });
        }
    }
}

fn routes(node: &Node, keys: &BTreeSet<&StepKey>, found: &mut Vec<Problem>) {
    let step = || node.key.clone();
    let mut seen = BTreeSet::new();
    for route in &node.routes {
        let event = || route.event.clone();
        if !seen.insert(&route.event) {
            found.push(Problem::RoutedTwice { step: step(), event: event() });
        }
        if route.targets.is_empty() {
            found.push(Problem::NoTargets { step: step(), event: event() });
        }
        let steered =
            matches!(node.kind, Kind::Task { .. }) && node.on_failure.as_ref() != Some(&route.event);
        if route.mode != Mode::All && !steered {
            found.push(Problem::CannotChoose { step: step(), event: event() });
        }
        let mut targets = BTreeSet::new();
        for target in &route.targets {
            if !keys.contains(target) {
                found.push(Problem::UnknownTarget { step: step(), event: event(), target: target.clone() });
            } else if !targets.insert(target) {
                found.push(Problem::RepeatedTarget { step: step(), event: event(), target: target.clone() });
            }
        }
    }
}
