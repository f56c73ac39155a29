//! Reads that say too much or too little.

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
fn read(_: &StepContext, _: &()) -> Result<Made, StepError> {
    Ok(Made::Done(1))
}

workflow! {
    struct Flow = "flow" version 1;
    wait answer { signal yes(u32) => Yes -> a; signal no => No -> a; }
    step a: read(input?) { Done -> b; }
    step b: read(answer) { Done -> c; }
    step c: read(answer.No) { Done -> d; }
    step d: read(item) { Done -> input; }
    step input: read(input) { Done -> end; }
    done end;
}
