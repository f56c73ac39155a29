//! A step reads what is not there on every path, or not in this way.

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

#[step]
fn read(_: &StepContext, left: &Made, number: &u32) -> Result<Made, StepError> {
    let _ = left;
    Ok(Made::Done(*number))
}

workflow! {
    struct Flow = "flow" version 1;
    step pick() { Left -> left; Right -> read; }
    step left() { Done -> read; failed Broken -> late; }
    step read(left, right.Done) { Done -> late; }
    step late: read(read, pick.Left) { Done -> end; }
    done end;
}
