//! Names, numbers and words that are not any.

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
    struct Flow = " flow" version 0;
    unique OrderId = |()| "1";
    tags "";
    step pick() { Left -> wait; Right -> end; }
    wait wait { after 1h => Late -> end; }
    done end;
}
