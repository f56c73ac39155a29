//! A route leads to a step that is not there, and another has two routes.

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
    step pick() { Left -> lost; Right -> end; Right -> end; }
    done end;
}
