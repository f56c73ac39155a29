//! A time needs a unit.

use mainstay_workflow::{Events, StepContext, StepError, step, workflow};

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

workflow! {
    struct Flow = "flow" version 1;
    timer pick 90 { Passed -> end; }
    done end;
}
