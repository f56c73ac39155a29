//! A step chooses, but the routes leave it no choice.

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

use mainstay_workflow::typed::Chosen;

enum Lane {
    Fast,
    Slow,
}

#[step]
fn sort(_: &StepContext) -> Result<Chosen<Made, Lane>, StepError> {
    Ok(Chosen::new(Made::Done(1), [Lane::Fast]))
}

workflow! {
    struct Flow = "flow" version 1;
    step sort() { Done -> left; }
    step left() { Done -> end; }
    done end;
}
