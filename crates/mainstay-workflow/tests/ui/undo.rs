//! What undoes a step cannot rely on what the step said.

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
fn take_back(_: &StepContext, number: &u32) -> Result<(), StepError> {
    let _ = number;
    Ok(())
}

workflow! {
    struct Flow = "flow" version 1;
    step left() {
        undo take_back(left.Done);
        Done -> end;
    }
    done end;
}
