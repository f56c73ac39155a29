//! What the function of a step is passed: which of it is written wrongly, what of it the validator must know.

use mainstay_workflow_graph::graph::{Presence, StepKey};
use proc_macro2::Span;
use syn::Error;

use super::check::{presence, text};
use super::tree::{Argument, Call, Flow, Kind, Step};

/// The run's input, among the arguments of a call.
pub(super) const INPUT: &str = "input";
/// The item of a map, among the arguments of a call.
pub(super) const ITEM: &str = "item";

/// What the text alone tells to be wrong with reads.
pub(super) fn errors(flow: &Flow) -> Vec<Error> {
    let mut errors = Vec::new();
    for step in &flow.steps {
        if [INPUT, ITEM].contains(&text(&step.key).as_str()) {
            let said =
                format!("a step cannot be called {}: that is what a run or an item is given", step.key);
            errors.push(Error::new(step.key.span(), said));
        }
        for call in step.calls() {
            for argument in &call.arguments {
                errors.extend(error(flow, step, call, argument));
            }
        }
        for argument in step.undo.iter().flat_map(|call| &call.arguments) {
            errors.extend(undo_error(flow, step, argument));
        }
        signals(step, flow, &mut errors);
    }
    errors
}

fn undo_error(flow: &Flow, step: &Step, argument: &Argument) -> Option<Error> {
    if argument.from == step.key && !argument.optional {
        let said = format!(
            "{0} is also undone when it is not known how it ended, so what it said may not be there: read it as \
             optional: `?`",
            step.key
        );
        return Some(Error::new(argument.from.span(), said));
    }
    let call = step.undo.as_ref()?;
    error(flow, step, call, argument)
}

fn error(flow: &Flow, step: &Step, call: &Call, argument: &Argument) -> Option<Error> {
    let Argument { from, event, optional } = argument;
    let told = |said: String| Some(Error::new(from.span(), said));
    let name = text(from);
    if name == INPUT || name == ITEM {
        let is_each = matches!(&step.kind, Kind::Map { each, .. } if std::ptr::eq(each, call));
        return if event.is_some() || *optional {
            told(format!("`{name}` is always there, and is passed as a whole"))
        } else if name == ITEM && !is_each {
            told("`item` is there for what a map runs for each item".to_owned())
        } else {
            None
        };
    }
    // A step that is not there is told by the validator.
    let source = flow.step(&name)?;
    match (&source.kind, event) {
        (Kind::Wait { signals, .. }, None) => {
            let read: Vec<String> =
                signals.iter().map(|signal| format!("`{from}.{}`", signal.event)).collect();
            told(format!("{from} says what came with a signal: read {}", read.join(" or ")))
        }
        (Kind::Wait { signals, .. }, Some(event)) => {
            let signal = signals.iter().find(|signal| signal.event == *event)?;
            if signal.payload.is_some() {
                return None;
            }
            let said = format!("nothing comes with {0}: give it a type, `signal {0}(Type)`", signal.name);
            Some(Error::new(event.span(), said))
        }
        (Kind::Map { .. } | Kind::Child { .. }, Some(event)) => {
            Some(Error::new(event.span(), format!("{from} has one result: read it as `{from}`")))
        }
        _ => None,
    }
}

/// A signal means the same payload wherever it is waited for.
fn signals(step: &Step, flow: &Flow, errors: &mut Vec<Error>) {
    let Kind::Wait { signals, .. } = &step.kind else { return };
    let all =
        flow.steps.iter().take_while(|other| !std::ptr::eq(*other, step)).flat_map(|other| {
            match &other.kind {
                Kind::Wait { signals, .. } => signals.as_slice(),
                _ => &[],
            }
        });
    let before: Vec<_> = all.collect();
    for signal in signals {
        if before.iter().any(|other| other.name == signal.name && other.payload != signal.payload) {
            let said = format!("{} comes with something else in another wait", signal.name);
            errors.push(Error::new(signal.name.span(), said));
        }
    }
}

/// What the validator must know of the reads of a step and of what undoes it; the strictest for each source.
pub(super) fn reads(flow: &Flow, step: &Step) -> Vec<(StepKey, Presence)> {
    let mut reads: Vec<(StepKey, Presence)> = Vec::new();
    let own = step.calls().into_iter().flat_map(|call| &call.arguments);
    let undo = step.undo.iter().flat_map(|call| &call.arguments).filter(|argument| argument.from != step.key);
    for Argument { from, event, optional } in own.chain(undo) {
        let name = text(from);
        if name == INPUT || name == ITEM {
            continue;
        }
        let is_wait =
            flow.step(&name).is_some_and(|source| matches!(source.kind, Kind::Wait { .. } | Kind::Task(_)));
        let presence = presence(event.as_ref().filter(|_| is_wait), *optional);
        let key = StepKey::from(name);
        match reads.iter_mut().find(|(other, _)| *other == key) {
            Some((_, before)) if *before < presence => *before = presence,
            Some(_) => {}
            None => reads.push((key, presence)),
        }
    }
    reads
}

/// Where a step reads another one: the read that is not optional, if there is one.
pub(super) fn place(step: &Step, reads: &StepKey) -> Option<Span> {
    let calls = step.calls().into_iter().chain(&step.undo);
    let mut places =
        calls.flat_map(|call| &call.arguments).filter(|argument| text(&argument.from) == reads.as_str());
    let first = places.clone().next();
    places.find(|argument| !argument.optional).or(first).map(|argument| argument.from.span())
}
