//! What a step looks like.

use mainstay_workflow::{Events, StepContext, StepError, step};

#[derive(Events)]
enum Picked {
    Left,
    Right,
}

#[derive(Events)]
enum Made {
    Done(u32),
}

#[step]
fn pick(_: &StepContext) -> Result<Picked, StepError> {
    Ok(Picked::Left)
}

#[step]
fn left(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step]
fn right(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(2))
}

#[step]
fn nothing(_: &StepContext) {}

#[step]
fn bare() -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step(retry = 0)]
fn never(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step]
fn writes(_: &StepContext, tx: &mut mainstay_workflow::typed::Transaction) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

#[step]
fn no_result(_: &StepContext) -> u32 {
    1
}

#[derive(Events)]
enum Wide {
    Done { a: u32 },
}
