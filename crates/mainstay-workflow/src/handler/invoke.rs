//! From an attempt to what it means for its run.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use serde_json::Value;

use super::{Done, StepContext, StepError, StepResult};
use crate::plan::{Attempt, Fault, Input, Part};

/// Runs code of the host: a panic is an error of that attempt and of nothing else, be it in what the code does before its first `await`.
pub(crate) async fn guarded<Fut>(code: impl FnOnce() -> Fut) -> StepResult
where
    Fut: Future<Output = StepResult>,
{
    let run = async { code().await };
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let text = format!("the handler panicked: {}", panicked(&*panic));
            // Nobody knows how far it came.
            Err(StepError::retry(text).after_its_work())
        }
    }
}

/// What a panic said.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Runs code of the host with what it is given, and gathers what it said of its run.
pub(crate) async fn attempted<Fut>(cx: StepContext, code: impl FnOnce(StepContext) -> Fut) -> StepResult
where
    Fut: Future<Output = StepResult>,
{
    // The same attempt may be at it again, because another transaction was in its way.
    drop(cx.take_notes());
    let given = cx.clone();
    let mut done = guarded(|| code(given)).await?;
    let said = std::mem::replace(&mut done.attributes, cx.take_notes());
    done.attributes.extend(said);
    Ok(done)
}

/// What the answer of an attempt means for its run.
pub(crate) fn answer(attempt: Attempt, result: StepResult) -> Input {
    match result {
        Err(error) => Input::Failed { attempt, fault: error.into_fault() },
        Ok(mut done) => {
            let attributes = std::mem::take(&mut done.attributes);
            match succeeded(&attempt, done) {
                Ok(input) if attributes.is_empty() => input,
                Ok(input) => Input::Noted { attributes, result: Some(Box::new(input)) },
                Err(error) => Input::Failed { attempt, fault: error.into_fault() },
            }
        }
    }
}

fn succeeded(attempt: &Attempt, done: Done) -> Result<Input, StepError> {
    let attempt = attempt.clone();
    match attempt.part {
        Part::Body => {
            let event = done.event.ok_or_else(|| {
                let text = "the handler of a task returned no event; return Done::event(..) with one that the step declares";
                StepError::fatal(text).after_its_work()
            })?;
            Ok(Input::Succeeded { attempt, event, targets: done.targets, output: done.value })
        }
        Part::Items => {
            let Value::Array(items) = &done.value else {
                return Err(StepError::fatal(
                    "the handler that lists a map's items returned no list; return Done::items(..)",
                ));
            };
            match u32::try_from(items.len()) {
                Ok(items) => Ok(Input::Listed { attempt, items, output: done.value }),
                Err(_) => Ok(Input::Failed { attempt, fault: Fault::TooManyItems { items: u32::MAX } }),
            }
        }
        Part::Item(_) | Part::Undo => Ok(Input::Finished { attempt, output: done.value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(part: Part) -> Attempt {
        Attempt { step: "step".into(), part, number: 1 }
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_an_error_that_is_not_tried_again() {
        for (part, done) in [(Part::Body, Done::nothing()), (Part::Items, Done::event("ok"))] {
            let Input::Failed { fault, .. } = answer(attempt(part), Ok(done)) else {
                panic!("{part:?} failed")
            };
            assert!(!fault.is_retryable());
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_attempt() {
        let result = guarded(|| async { panic!("boom {}", 7) }).await;
        assert_eq!(result.unwrap_err().message(), "the handler panicked: boom 7");
        let result = guarded(|| -> std::future::Ready<StepResult> { panic!("at once") }).await;
        assert_eq!(result.unwrap_err().message(), "the handler panicked: at once");
    }
}
