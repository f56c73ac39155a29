//! What a holder has in the database although nobody uses it: a transaction whose answer was lost may have made it, or the database
//! could not be reached when it was to be given back. All of it would last as long as the holder, and keep images and digests from
//! collection as long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_repo::{BatchOutcome, Expect};

use super::Node;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ImageId, Token};
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// What is to be given back, and the marks of a holder's transactions.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The mark that was given last. Each is given once in a life.
    last: AtomicI64,
    open: Mutex<Open>,
    /// Somebody gives it back at the moment.
    is_busy: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Open {
    /// Transactions whose answers were lost.
    marks: BTreeSet<i64>,
    intents: BTreeSet<i64>,
    /// With their images, where those are known.
    leases: BTreeMap<Token, Option<ImageId>>,
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
            // The caller has an answer to wait for, and a renewal tries again.
            let within = self.images().options().ttl / 12;
            let given = tokio::time::timeout(within, self.give_back(&lost)).await;
            let given = given.unwrap_or_else(|_| Err(Error::new(ErrorKind::Busy, "it takes too long")));
            if let Err(error) = given {
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
    pub(super) fn owe_lease(&self, token: Token, image: Option<ImageId>) {
        self.open().leases.insert(token, image);
    }

    /// Has what is owed given back, if anything is, by a task of its own: it may have to wait for what a cut-off session keeps locked,
    /// and a renewal must not.
    pub(super) fn give_back_owed(&self) {
        let owed = self.open().clone();
        if owed.is_empty() || self.shared.owed.is_busy.swap(true, Ordering::SeqCst) {
            return;
        }
        let node = self.clone();
        tokio::spawn(async move {
            match node.give_back(&owed).await {
                Ok(()) => {
                    let mut open = node.open();
                    open.marks.retain(|mark| !owed.marks.contains(mark));
                    open.intents.retain(|intent| !owed.intents.contains(intent));
                    open.leases.retain(|token, _| !owed.leases.contains_key(token));
                }
                Err(error) => {
                    tracing::warn!(holder = %node.name(), %error, "what nobody uses is given back after the next renewal");
                }
            }
            node.shared.owed.is_busy.store(false, Ordering::SeqCst);
        });
    }

    async fn give_back(&self, owed: &Open) -> Result<()> {
        let id = self.id().get();
        self.images().before(Step::IntentExpire).await?;
        self.images().before(Step::LeaseRelease).await?;
        let list = |numbers: &BTreeSet<i64>| numbers.iter().copied().collect::<Vec<i64>>();
        if !owed.intents.is_empty() || !owed.leases.is_empty() {
            // Without the holder's row: a session that was cut off may keep one of these locked, and the next renewal must not wait for it.
            let mut batch = Guarded::new("images.give_back");
            if !owed.intents.is_empty() {
                batch.push(store::intents::finish(self.life(), &list(&owed.intents)));
            }
            for token in owed.leases.keys() {
                batch.push(store::leases::release(token.get(), self.life()));
            }
            for image in owed.leases.values().flatten() {
                batch.push(store::leases::used(image.get()));
            }
            batch.run(self.images().repo()).await?;
        }
        if owed.marks.is_empty() {
            return Ok(());
        }
        let mut batch = Guarded::new("images.give_back");
        // Behind every transaction of this holder that is still under way: each of them shares the row until its end.
        batch.require(Expect::ONE, store::holders::own(self.life()), || {
            Error::new(ErrorKind::NotFound, "the holder's row is gone")
        });
        batch.push(store::intents::of_marks(id, &list(&owed.marks)));
        batch.push(store::leases::of_marks(id, &list(&owed.marks)));
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
