//! A lease in the hands of its holder.

use std::future::Future;

use mainstay_repo::Expect;
use tokio::sync::watch;

use super::{Lease, LeaseGuard, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ImageId, Token};
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// A lease in the hands of its holder. It lasts as long as the holder renews. Dropping it does not end it: async code has
/// no time to do so then. [`HeldLease::release`] ends it, and so does the holder's end.
#[derive(Debug, Clone)]
pub struct HeldLease {
    node: Node,
    lease: Lease,
    /// Whether it was given back, or its key was leased again.
    ended: watch::Receiver<bool>,
}

impl HeldLease {
    pub(super) const fn new(node: Node, lease: Lease, ended: watch::Receiver<bool>) -> Self {
        Self { node, lease, ended }
    }

    /// The stored lease.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The image.
    #[must_use]
    pub const fn image(&self) -> ImageId {
        self.lease.image
    }

    /// The fencing token: give it to whoever acts for this lease.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.lease.token
    }

    /// Proof for operations that must not happen without the lease.
    #[must_use]
    pub fn guard(&self) -> LeaseGuard {
        self.node.guard(self.lease.token)
    }

    /// Whether the image may still be used, by the holder's own clock: the holder lives, and neither was this lease given back nor its
    /// key leased again.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !*self.ended.borrow() && self.node.is_live()
    }

    /// Waits until the image may not be used any more.
    pub async fn lost(&self) {
        let mut ended = self.ended.clone();
        tokio::select! {
            () = self.node.lost() => {}
            // The node keeps the sender until it has ended the lease, and this keeps the node.
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// Asks the database whether this very lease is held.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when it is not: the holder is gone, or the key was leased again.
    pub async fn confirm(&self) -> Result<()> {
        let held = store::leases::confirm(self.lease.token.get(), self.node.life());
        if self.node.images().repo().read(held).await?.is_empty() {
            return Err(self.stale());
        }
        Ok(())
    }

    /// Gives the lease back. That it was gone already is an error: the image may have been used without protection.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when it was gone; of the database, and then the holder gives it back after its next renewal.
    pub async fn release(self) -> Result<()> {
        let images = self.node.images();
        images.before(Step::LeaseRelease).await?;
        let mut batch = Guarded::new("images.lease_end");
        let stale = self.stale();
        let release = store::leases::release(self.lease.token.get(), self.node.life());
        let released = batch.require(Expect::ONE, release, move || stale);
        // It was in use until now, which is what an eviction asks.
        batch.push(store::leases::used(released.column("image_id")));
        let outcome = batch.run(images.repo()).await;
        if outcome.as_ref().is_err_and(|error| !error.is_stale()) {
            self.node.owe_lease(self.lease.token, Some(self.lease.image));
        }
        self.node.end_key(&self.lease.key, self.lease.token);
        outcome.map(drop)
    }

    fn stale(&self) -> Error {
        Error::new(
            ErrorKind::Stale,
            format!("lease {} of {:?} is not held any more", self.lease.token, self.lease.key),
        )
        .with_help("treat what was done with the image since as undone, and acquire it anew")
    }
}

/// A lease that is given back when the work with it is cancelled or panics: one that nobody ends would keep its image for as long as
/// the holder lives.
#[derive(Debug)]
pub(crate) struct Lent(Option<HeldLease>);

impl Lent {
    pub(crate) const fn new(held: HeldLease) -> Self {
        Self(Some(held))
    }

    /// The lease, for who ends it by itself.
    pub(super) fn keep(mut self) -> Option<HeldLease> {
        self.0.take()
    }

    /// Runs work until it ends or the lease is lost: from then on its files may go, and what they are missing from is not damaged.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when it was lost; the work is dropped where it is.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let Some(held) = &self.0 else { return Ok(work.await) };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = held.lost() => Err(held.stale()),
        }
    }

    /// Gives it back.
    pub(crate) async fn give_back(mut self) -> Result<()> {
        let Some(held) = self.0.clone() else { return Ok(()) };
        let released = held.release().await;
        self.0 = None;
        released
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = held.release().await {
                tracing::warn!(%error, "a lease is given back after the next renewal of its holder");
            }
        });
    }
}

impl Node {
    /// Runs `work` while an image is leased under a key: acquires it, lets the heartbeat renew it, gives it back. `work` is
    /// handed the lease, learns by [`HeldLease::lost`] or [`HeldLease::is_live`] that it must stop, and ends by itself. The lease is given back
    /// also when this is cancelled or `work` panics.
    ///
    /// # Errors
    /// As [`Node::acquire`], and [`ErrorKind::Stale`] when the lease was lost before `work` ended: what it did then had no
    /// protection.
    pub async fn with_image<T, F>(
        &self,
        key: &str,
        image: ImageId,
        work: impl FnOnce(HeldLease) -> F,
    ) -> Result<T>
    where
        F: Future<Output = T>,
    {
        let held = self.acquire(key, image).await?;
        let lent = Lent::new(held.clone());
        let done = work(held.clone()).await;
        let was_live = held.is_live();
        let released = lent.give_back().await;
        if was_live { released.map(|()| done) } else { Err(self.stale()) }
    }
}
