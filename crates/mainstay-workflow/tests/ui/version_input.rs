//! All versions are given the same.

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

use mainstay_workflow::versions;

workflow! {
    struct A = "flow" version 1;
    step left() { Done -> end; }
    done end;
}

workflow! {
    struct B = "flow" version 2;
    input u32;
    step left() { Done -> end; }
    done end;
}

versions! { struct Flow = "flow" { 1 => A, 2 => B } current 2 }
