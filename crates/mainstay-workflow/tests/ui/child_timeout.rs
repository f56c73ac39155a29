//! A time-out of a child: nothing would keep it.

use mainstay_workflow::{Events, StepContext, StepError, step, workflow};

#[derive(Events)]
enum Made {
    Done,
}

#[step]
async fn print(_: &StepContext) -> Result<Made, StepError> {
    Ok(Made::Done)
}

workflow! {
    struct Label = "label" version 1;
    input ();
    step print() { Done -> end; }
    done end;
}

workflow! {
    struct Parcel = "parcel" version 1;
    input ();
    child label: Label { timeout 1h; Completed -> end; failed Late -> end; }
    done end;
}
