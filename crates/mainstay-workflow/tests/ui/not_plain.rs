//! What is undone does not commit with a result, so it cannot be a `tx` step; a step ends with an event.

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

#[step(tx)]
fn take_back(_: &StepContext) -> Result<(), StepError> {
    Ok(())
}

#[step]
fn number(_: &StepContext) -> Result<u32, StepError> {
    Ok(1)
}

workflow! {
    struct Flow = "flow" version 1;
    step left() {
        undo take_back();
        Done -> number;
    }
    step number() { Done -> end; }
    done end;
}
