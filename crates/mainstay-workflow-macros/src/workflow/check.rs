//! From what is written down to the graph, and from the validator's problems to the words that they are about.

use mainstay_workflow_graph::definition::{Definition, Problem, Problems, Workflow};
use mainstay_workflow_graph::graph::{self, EventName, Node, Presence, Retry, Scope, StepKey, Unique};
use proc_macro2::Span;
use std::time::Duration;
use syn::ext::IdentExt as _;
use syn::{Error, Ident};

use super::reads;
use super::tree::{Flow, Join, Kind, Route, Step};

/// Everything that is wrong, or the workflow as far as its text tells it: it has the events that are routed, the compiler compares them
/// with those that are declared.
pub(super) fn check(flow: &Flow) -> Result<Workflow, Vec<Error>> {
    let mut errors = reads::errors(flow);
    if flow.steps.is_empty() {
        errors.push(Error::new(flow.ident.span(), "a workflow has at least one step"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let built =
        flow.steps.iter().fold(head(flow), |definition, step| definition.node(node(flow, step))).build();
    built.map_err(|Problems(problems)| {
        problems.iter().map(|problem| Error::new(place(flow, problem), sentence(problem))).collect()
    })
}

/// A problem as a compiler says it: what the runtime builder calls optional has a sign here.
fn sentence(problem: &Problem) -> String {
    match problem {
        Problem::MayBeMissing { .. } | Problem::MayEndOtherwise { .. } => format!("{problem}: `?`"),
        other => other.to_string(),
    }
}

pub(super) fn text(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn head(flow: &Flow) -> Definition {
    let mut definition = Definition::new(&flow.name.value(), flow.version);
    for tag in &flow.tags {
        definition = definition.tag(&tag.value());
    }
    for (name, value) in &flow.metadata {
        definition = definition.metadata(name, value.clone());
    }
    if let Some(deadline) = flow.deadline {
        definition = definition.deadline(Duration::from_millis(deadline.ms));
    }
    if let Some(unique) = &flow.unique {
        // The scope has no check.
        definition = definition.unique(Unique { key: text(&unique.key), scope: Scope::Workflow });
    }
    definition
}

fn node(flow: &Flow, step: &Step) -> Node {
    let key = text(&step.key);
    let mut node = kind(step, &key);
    for Route { event, targets, choice } in &step.routes {
        let (event, targets) = (text(event), targets.iter().map(text));
        node = match choice {
            None => node.on(&event, targets),
            Some(choice) if choice.many => node.choose_some(&event, targets),
            Some(_) => node.choose(&event, targets),
        };
    }
    node.join = match step.join {
        None | Some((Join::All, _)) => graph::Join::All,
        Some((Join::Any, _)) => graph::Join::Any,
        Some((Join::AtLeast(edges), _)) => graph::Join::AtLeast(edges),
    };
    if let Some((policy, _)) = &step.retry {
        node.retry = Retry::attempts(policy.attempts);
    }
    node.timeout_ms = step.timeout.map(|time| time.ms);
    node.on_failure = step.failed.as_ref().map(|event| text(event).into());
    node.compensate = step.undo.as_ref().map(|_| format!("{key}/undo").into());
    for (source, presence) in reads::reads(flow, step) {
        node.reads.insert(source, presence);
    }
    node
}

fn kind(step: &Step, key: &str) -> Node {
    let own = step.routes.iter().filter(|route| step.failed.as_ref() != Some(&route.event));
    match &step.kind {
        Kind::Task(_) => Node::task(key, own.map(|route| text(&route.event))),
        Kind::Wait { signals, after } => {
            let mut node = Node::wait(key);
            for signal in signals {
                node = node.signal(&text(&signal.name), &text(&signal.event));
            }
            match after {
                Some((time, event)) => node.expires(Duration::from_millis(time.ms), &text(event)),
                None => node,
            }
        }
        Kind::Timer(time) => Node::timer(key, Duration::from_millis(time.ms), &step.only_event("Passed")),
        Kind::Map { limit, need, .. } => {
            let mut node = Node::map(key, &format!("{key}/items"), &format!("{key}/item"));
            if let Some(limit) = limit {
                node = node.limit(*limit);
            }
            if let Some(need) = need {
                node = node.need(graph::Need::AtLeast(*need));
            }
            node.mapped(&step.only_event("Mapped"))
        }
        Kind::Child { .. } => Node::child(key, "child").completed(&step.only_event("Completed")),
        Kind::Done => Node::done(key),
    }
}

impl Step {
    /// The event of a step that has but one: that of its first route.
    pub(super) fn only_event(&self, otherwise: &str) -> String {
        let mut own = self.routes.iter().filter(|route| self.failed.as_ref() != Some(&route.event));
        own.next().map_or_else(|| otherwise.to_owned(), |route| text(&route.event))
    }

    fn event_at(&self, event: &EventName) -> Span {
        let mut routes = self.routes.iter().filter(|route| text(&route.event) == event.as_str());
        // A second route is the one too many.
        routes.next_back().map_or_else(|| self.key.span(), |route| route.event.span())
    }
}

/// The word that a problem is about.
fn place(flow: &Flow, problem: &Problem) -> Span {
    let step = |key: &StepKey| flow.step(key.as_str());
    let key = |of: &StepKey| step(of).map_or_else(|| flow.ident.span(), |step| step.key.span());
    let event = |of: &StepKey, event: &EventName| {
        step(of).map_or_else(|| flow.ident.span(), |step| step.event_at(event))
    };
    match problem {
        Problem::BadName { name, .. } => name_place(flow, name),
        Problem::BadVersion => flow.version_at,
        Problem::BadUniqueKey { .. } => {
            flow.unique.as_ref().map_or_else(Span::call_site, |unique| unique.key.span())
        }
        Problem::DuplicateKey { step } => {
            let mut same = flow.steps.iter().filter(|other| text(&other.key) == step.as_str());
            same.next_back().map_or_else(Span::call_site, |step| step.key.span())
        }
        Problem::UnknownTarget { step: from, event: name, target }
        | Problem::RepeatedTarget { step: from, event: name, target } => {
            let routes = step(from).into_iter().flat_map(|step| &step.routes);
            let mut targets =
                routes.filter(|route| text(&route.event) == name.as_str()).flat_map(|route| &route.targets);
            targets
                .rfind(|ident| text(ident) == target.as_str())
                .map_or_else(|| event(from, name), Ident::span)
        }
        Problem::NoTargets { step, event: name }
        | Problem::RoutedTwice { step, event: name }
        | Problem::NotRouted { step, event: name }
        | Problem::NotDeclared { step, event: name }
        | Problem::CannotChoose { step, event: name }
        | Problem::NoConvergence { step, event: name, .. } => event(step, name),
        Problem::ReadsUnknown { step: of, reads }
        | Problem::ReadsNothing { step: of, reads }
        | Problem::ReadsLater { step: of, reads }
        | Problem::MayBeMissing { step: of, reads }
        | Problem::ReadsUndeclared { step: of, reads, .. }
        | Problem::MayEndOtherwise { step: of, reads, .. } => {
            step(of).and_then(|step| reads::place(step, reads)).unwrap_or_else(|| key(of))
        }
        Problem::JoinUnsatisfiable { step: of, .. } => {
            step(of).and_then(|step| step.join.as_ref()).map_or_else(|| key(of), |(_, at)| *at)
        }
        Problem::Cycle { steps } => steps.first().map_or_else(Span::call_site, key),
        Problem::RepeatedSignal { step, .. }
        | Problem::WaitsForNothing { step }
        | Problem::Zero { step: Some(step), .. }
        | Problem::NotForThisKind { step, .. }
        | Problem::TimeoutOfChild { step }
        | Problem::Unreachable { step }
        | Problem::LeafNotDone { step }
        | Problem::NoStart { step } => key(step),
        _ => flow.ident.span(),
    }
}

fn name_place(flow: &Flow, name: &str) -> Span {
    let tag = flow.tags.iter().find(|tag| tag.value() == name);
    tag.map_or_else(|| flow.name.span(), syn::LitStr::span)
}

/// What the validator knows of a read.
pub(super) fn presence(event: Option<&Ident>, optional: bool) -> Presence {
    match event {
        _ if optional => Presence::Optional,
        Some(event) => Presence::After(text(event).into()),
        None => Presence::Required,
    }
}
