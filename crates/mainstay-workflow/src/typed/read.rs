//! How the results of earlier steps become the arguments of a step's function.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Events;
use crate::graph::EventName;
use crate::handler::{StepContext, StepError};

/// What a variant says.
#[doc(hidden)]
pub fn said<T: DeserializeOwned>(step: &str, output: Option<&Value>) -> Result<T, StepError> {
    T::deserialize(output.unwrap_or(&Value::Null)).map_err(|error| {
        StepError::fatal(format!(
            "what {step} said is of another form: {error}; a type that is stored can grow, but what was stored must stay readable"
        ))
    })
}

/// The event that a task ended with, if it has ended with one of its own.
#[doc(hidden)]
pub fn event<E: Events>(cx: &StepContext, step: &str) -> Result<Option<E>, StepError> {
    own_event(step, cx.event(step), cx.output(step))
}

/// An event with what it says, if it is one of the step's own: that for a step that failed for good is the workflow's.
pub(super) fn own_event<E: Events>(
    step: &str,
    event: Option<&EventName>,
    output: Option<&Value>,
) -> Result<Option<E>, StepError> {
    match event {
        Some(event) if E::NAMES.contains(&event.as_str()) => E::read(step, event.as_str(), output).map(Some),
        _ => Ok(None),
    }
}

/// What came with a signal, if the wait ended with its event.
#[doc(hidden)]
pub fn came_with<T: DeserializeOwned>(
    cx: &StepContext,
    step: &str,
    event: &str,
) -> Result<Option<T>, StepError> {
    match cx.event(step) {
        Some(ended) if ended.as_str() == event => said(step, cx.output(step)).map(Some),
        _ => Ok(None),
    }
}

/// What the items of a map came to, if it has ended; none for an item that failed.
#[doc(hidden)]
pub fn some_items<T: DeserializeOwned>(
    cx: &StepContext,
    step: &str,
) -> Result<Option<Vec<Option<T>>>, StepError> {
    let Some(items) = cx.items(step) else {
        // A list without items has no results, but it has ended.
        return Ok(cx.event(step).map(|_| Vec::new()));
    };
    let items = items.iter().map(|item| item.as_ref().map(|item| said(step, Some(item))).transpose());
    items.collect::<Result<_, _>>().map(Some)
}

/// What all items of a map came to, if it has ended and all succeeded.
#[doc(hidden)]
pub fn all_items<T: DeserializeOwned>(cx: &StepContext, step: &str) -> Result<Option<Vec<T>>, StepError> {
    Ok(some_items(cx, step)?.and_then(|items| items.into_iter().collect()))
}

/// What the graph says is there.
#[doc(hidden)]
pub fn there<T>(cx: &StepContext, step: &str, value: Option<T>) -> Result<T, StepError> {
    value.ok_or_else(|| {
        let reader = cx.step();
        StepError::fatal(format!(
            "{reader} reads what {step} said, which is not there: the run was started with another version of the workflow"
        ))
    })
}
