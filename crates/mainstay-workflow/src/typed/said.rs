//! Asking a run what its steps said, from outside of it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Events;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{Results, Seen, StepError};
use crate::plan::Record;

/// What the steps of a run have said so far, as the types that they said it in: of a run in a database by
/// [`TypedWorkflow::said`](super::TypedWorkflow::said), of one in the test kit from its history.
///
/// ```
/// # use mainstay_workflow::{Events, StepContext, StepError, step, workflow};
/// # use mainstay_workflow::typed::TypedWorkflow as _;
/// # use mainstay_workflow::testing::TestKit;
/// #[derive(Debug, PartialEq, Events)]
/// enum Greeted { Said(String) }
///
/// #[step]
/// fn greet(_: &StepContext, name: &String) -> Result<Greeted, StepError> {
///     Ok(Greeted::Said(format!("hello, {name}")))
/// }
/// workflow! {
///     struct Greeting = "greeting" version 1;
///     input String;
///     step greet(input) { Said -> end; }
///     done end;
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut kit = TestKit::builder().register::<Greeting>().build()?;
/// # let run = kit.start(Greeting::request(&"ann".to_owned())?)?;
/// # kit.run_to_end(run).await?;
/// use mainstay_workflow::typed::Said;
///
/// let said = Said::of(kit.history(run)?);
/// assert_eq!(said.event::<Greeted>("greet")?, Some(Greeted::Said("hello, ann".to_owned())));
/// assert_eq!(said.event::<Greeted>("somebody else")?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Said(Arc<Seen>);

impl Said {
    /// What a history says.
    #[must_use]
    pub fn of(history: &[Record]) -> Self {
        Self(Results::of(history).seen())
    }

    /// What the run was given.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is of another form.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        super::said("the input", Some(&self.0.input)).map_err(|error| unreadable(&error))
    }

    /// The event that a step ended with; nothing when it has not ended, or with none of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when what it said is of another form.
    pub fn event<E: Events>(&self, step: &str) -> Result<Option<E>> {
        super::read::own_event(step, self.0.event(step), self.0.output(step))
            .map_err(|error| unreadable(&error))
    }

    /// The result of a step of any kind: what came with a signal, what a child came to.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is of another form.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>> {
        let output = self.0.output(step);
        output.map(|output| super::said(step, Some(output))).transpose().map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &StepError) -> Error {
    Error::new(ErrorKind::Corrupt, error.message().to_owned())
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Said").field(&self.0).finish()
    }
}
