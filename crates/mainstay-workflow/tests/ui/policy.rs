//! A share of a pause that is more than all of it.

use mainstay_workflow::{Events, StepContext, StepError, step};

#[derive(Events)]
enum Made {
    Done(u32),
}

#[step(retry = 5 exponential 1s..60s jitter 120)]
fn make(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step(retry = never losses 0)]
fn fetch(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step(retry = 5 jitter)]
fn send(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}
