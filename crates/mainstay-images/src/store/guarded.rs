//! A batch in which each condition knows what it means when it is not met.

use mainstay_repo::{
    Batch, BatchOutcome, ErrorKind as Repo, Expect, Repo as Handle, Statement, StatementRef,
};

use crate::error::{Error, Result};

type Meaning = Box<dyn FnOnce() -> Error + Send>;

/// How often a batch that met a lock of others is sent again.
const ATTEMPTS: u32 = 8;

/// A batch and what the failures of its conditions mean.
pub(crate) struct Guarded {
    batch: Batch,
    meanings: Vec<(usize, Meaning)>,
}

impl Guarded {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { batch: Batch::new(name), meanings: Vec::new() }
    }

    /// Adds a statement without a condition.
    pub(crate) fn push(&mut self, statement: Statement) -> StatementRef {
        self.batch.push(statement)
    }

    /// Adds a statement that must come to so many rows, and the error that tells that it did not.
    pub(crate) fn require(
        &mut self,
        expect: Expect,
        statement: Statement,
        meaning: impl FnOnce() -> Error + Send + 'static,
    ) -> StatementRef {
        let place = self.batch.expect(expect, statement);
        self.meanings.push((place.index(), Box::new(meaning)));
        place
    }

    /// Sends it; all of it is durable then, or none of it is there.
    pub(crate) async fn run(self, repo: &Handle) -> Result<BatchOutcome> {
        let mut attempt = 1;
        let error = loop {
            match repo.batch(self.batch.clone()).await {
                // A deadlock with others was broken at our cost: nothing was written.
                Err(error) if matches!(error.kind(), Repo::Busy) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => break error,
                Ok(outcome) => return Ok(outcome),
            }
        };
        let Repo::ConditionFailed { index } = *error.kind() else { return Err(error.into()) };
        let meaning = self.meanings.into_iter().find(|(place, _)| *place == index);
        Err(meaning.map_or_else(|| error.into(), |(_, meaning)| meaning()))
    }
}
