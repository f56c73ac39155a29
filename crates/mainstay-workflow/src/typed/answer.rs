//! How functions become handlers, and what they return becomes an answer.

use mainstay_repo::Transaction;
use serde::Serialize;
use serde_json::Value;

use super::{Ending, Events, List, NoChoice, Step, TypedWorkflow};
use crate::Version;
use crate::graph::Node;
use crate::handler::{BoxFuture, Done, Handler, Handlers, StepContext, StepError, StepResult, TxHandler};

/// A node for the body of a task.
#[doc(hidden)]
#[must_use]
pub fn task_node<S>(key: &str) -> Node
where
    S: Step,
    S::Output: Ending,
{
    let events = <S::Output as Ending>::Event::NAMES.iter().copied();
    with_policies::<S>(if S::TX { Node::tx(key, events) } else { Node::task(key, events) })
}

/// A node for a map; the policies are those of what is run for each item.
#[doc(hidden)]
#[must_use]
pub fn map_node<S: Step>(key: &str) -> Node {
    with_policies::<S>(Node::map(key, &format!("{key}/items"), &format!("{key}/item")))
}

fn with_policies<S: Step>(mut node: Node) -> Node {
    if let Some(retry) = S::RETRY {
        node = node.retry(retry);
    }
    Node { timeout_ms: S::TIMEOUT_MS, queue: S::QUEUE.map(Into::into), ..node }
}

/// Code that a macro wrote: with a transaction or without.
struct Code<F>(F);

impl<F> Handler for Code<F>
where
    F: for<'a> Fn(StepContext, Option<&'a mut Transaction>) -> BoxFuture<'a, StepResult>
        + Send
        + Sync
        + 'static,
{
    fn run(&self, cx: StepContext) -> BoxFuture<'static, StepResult> {
        (self.0)(cx, None)
    }
}

impl<F> TxHandler for Code<F>
where
    F: for<'a> Fn(StepContext, Option<&'a mut Transaction>) -> BoxFuture<'a, StepResult>
        + Send
        + Sync
        + 'static,
{
    fn run<'a>(&'a self, cx: StepContext, tx: &'a mut Transaction) -> BoxFuture<'a, StepResult> {
        (self.0)(cx, Some(tx))
    }
}

/// Registers the body of a task.
#[doc(hidden)]
#[must_use]
pub fn task<S: Step, F>(handlers: Handlers, name: &str, code: F) -> Handlers
where
    F: for<'a> Fn(StepContext, Option<&'a mut Transaction>) -> BoxFuture<'a, StepResult>
        + Send
        + Sync
        + 'static,
{
    if S::INTERACTIVE { handlers.with_tx(name, Code(code)) } else { handlers.with(name, Code(code)) }
}

/// Registers code that never has a transaction.
#[doc(hidden)]
#[must_use]
pub fn plain<F>(handlers: Handlers, name: &str, code: F) -> Handlers
where
    F: for<'a> Fn(StepContext, Option<&'a mut Transaction>) -> BoxFuture<'a, StepResult>
        + Send
        + Sync
        + 'static,
{
    handlers.with(name, Code(code))
}

/// The end of a task that leaves no choice.
#[doc(hidden)]
pub fn ended<E: Ending>(ending: E) -> StepResult
where
    E::Target: NoChoice,
{
    chose(ending, |_, _| None)
}

/// The end of a task. `key` leads from an event and a target to the key of a step.
#[doc(hidden)]
pub fn chose<E: Ending>(ending: E, key: impl Fn(&str, E::Target) -> Option<&'static str>) -> StepResult {
    let parts = ending.into_parts();
    let mut done = parts.event.to_done()?;
    let event = done.event.as_ref().map_or_else(String::new, ToString::to_string);
    for target in parts.targets {
        let unrouted = || {
            let text = format!("{event} leaves no choice of steps, but some were chosen");
            StepError::fatal(text).after_its_work()
        };
        done = done.target(key(&event, target).ok_or_else(unrouted)?);
    }
    Ok(match parts.batch {
        Some(batch) => done.batch(batch),
        None => done,
    })
}

/// The list of a map's items.
#[doc(hidden)]
pub fn listed<T: List + Serialize>(list: &T) -> StepResult {
    match to_json(list)? {
        Value::Array(items) => Ok(Done::items(items)),
        _ => Err(StepError::fatal("the items of a map are a list")),
    }
}

/// An item of a map.
#[doc(hidden)]
pub fn made<T: Serialize>(made: &T) -> StepResult {
    Ok(Done::value(to_json(made)?))
}

/// A compensation.
#[doc(hidden)]
pub fn undone(_: &()) -> StepResult {
    Ok(Done::nothing())
}

/// What a child is given.
#[doc(hidden)]
pub fn child<W: TypedWorkflow>(input: &W::Input) -> StepResult {
    let done = Done::value(to_json(input)?);
    Ok(match W::key(input) {
        Some(key) => done.key(&key),
        None => done,
    })
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|error| {
        StepError::fatal(format!("the result has no form in JSON: {error}")).after_its_work()
    })
}

/// The value of a business key, by the closure of the workflow.
#[doc(hidden)]
pub fn key_of<'a, I, K: ToString>(input: &'a I, value: impl FnOnce(&'a I) -> K) -> String {
    value(input).to_string()
}

/// Metadata that a macro has read already.
#[doc(hidden)]
#[must_use]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// An event that the step's enum does not have: the run was started by other code.
#[doc(hidden)]
#[must_use]
pub fn unknown_event(step: &str, event: &str) -> StepError {
    StepError::fatal(format!("{step} ended with {event}, which this program does not know"))
}

/// A step that works in a transaction was registered as one that does not.
#[doc(hidden)]
#[must_use]
pub fn no_transaction(cx: &StepContext) -> StepError {
    StepError::fatal(format!("{} needs a transaction and was given none", cx.step()))
}

/// What stands for a workflow that is not sound; its program is not compiled.
#[doc(hidden)]
#[must_use]
pub fn unsound() -> Version {
    let workflow = crate::Definition::new("unsound", 0).build();
    Version { workflow, handlers: Handlers::new() }
}
