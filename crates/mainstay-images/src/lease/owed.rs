//! What a holder has in the database although nobody uses it: a transaction whose answer was lost may have made it, or the database
//! could not be reached when it was to be given back. All of it would last as long as the holder, and keep images and digests from
//! collection as long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_repo::{BatchOutcome, Expect};

use super::{Lease, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Token;
use crate::store;
use crate::store::guarded::Guarded;

/// What is to be given back, and the marks of a holder's transactions.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The mark that was given last. Each is given once in a life.
    last: AtomicI64,
    open: Mutex<Open>,
}

#[derive(Debug, Default, Clone)]
struct Open {
    /// Transactions whose answers were lost.
    marks: BTreeSet<i64>,
    intents: BTreeSet<i64>,
    /// With their keys.
    leases: BTreeMap<Token, String>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.intents.is_empty() && self.leases.is_empty()
    }
}

impl Node {
    /// Marks what one transaction makes, so that it is found should the answer be lost.
    pub(crate) fn mark(&self) -> i64 {
        self.shared.owed.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The outcome of a marked transaction. What it made without a word of it is given back: at once, and once more after the next
    /// renewal, since octets that were on their way may have reached the database behind the first look.
    pub(crate) async fn heard(&self, mark: i64, outcome: Result<BatchOutcome>) -> Result<BatchOutcome> {
        if outcome.as_ref().is_err_and(Error::is_unknown) {
            self.open().marks.insert(mark);
            let lost = Open { marks: BTreeSet::from([mark]), ..Open::default() };
            if let Err(error) = self.give_back(&lost).await {
                tracing::warn!(holder = %self.name(), %error, "what may have been made is looked for after the next renewal");
            }
        }
        outcome
    }

    /// Intents that nobody uses and that could not be given back.
    pub(crate) fn owe_intents(&self, intents: Vec<i64>) {
        self.open().intents.extend(intents);
    }

    /// A lease that nobody uses and that could not be given back.
    pub(super) fn owe_lease(&self, lease: &Lease) {
        self.open().leases.insert(lease.token, lease.key.clone());
    }

    /// Gives back what is owed, if anything is.
    ///
    /// # Errors
    /// Of the database; all of it is owed still.
    pub(super) async fn give_back_owed(&self) -> Result<()> {
        // It is owed until it was given back: a caller may leave meanwhile.
        let owed = self.open().clone();
        if owed.is_empty() {
            return Ok(());
        }
        self.give_back(&owed).await?;
        let mut open = self.open();
        open.marks.retain(|mark| !owed.marks.contains(mark));
        open.intents.retain(|intent| !owed.intents.contains(intent));
        open.leases.retain(|token, _| !owed.leases.contains_key(token));
        Ok(())
    }

    async fn give_back(&self, owed: &Open) -> Result<()> {
        let id = self.id().get();
        let mut batch = Guarded::new("images.give_back");
        // Behind every transaction of this holder that is still under way: each of them shares the row until its end.
        batch.require(Expect::ONE, store::holders::own(self.life()), || {
            Error::new(ErrorKind::NotFound, "the holder's row is gone")
        });
        let list = |numbers: &BTreeSet<i64>| numbers.iter().copied().collect::<Vec<i64>>();
        if !owed.marks.is_empty() {
            batch.push(store::intents::of_marks(id, &list(&owed.marks)));
            batch.push(store::leases::of_marks(id, &list(&owed.marks)));
        }
        if !owed.intents.is_empty() {
            batch.push(store::intents::finish(self.life(), &list(&owed.intents)));
        }
        for (token, key) in &owed.leases {
            batch.push(store::leases::used_for(id, key));
            batch.push(store::leases::release(token.get(), self.life()));
        }
        match batch.run(self.images().repo()).await {
            // The holder ended, and with it all that it had.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(()),
            other => other.map(drop),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.shared.owed.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
