//! A holder: a node or a process, whose one heartbeat keeps all that it claims.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Caller, Timestamp};
use mainstay_repo::{Expect, Row};
use serde::Serialize;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::owed::Owed;
use super::uptime::sleep_until;
use super::{HeldLease, LeaseGuard, Lent, Uptime};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{HolderId, ImageId, LifeId, Token};
use crate::image::check_text;
use crate::images::Images;
use crate::publish::Ingest;
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// A holder's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// This life of it.
    pub id: HolderId,
    /// Its name.
    pub name: String,
    /// Whether it may still renew: nobody took the name over.
    pub live: bool,
    /// Whether its claims have time left.
    pub fresh: bool,
    /// When its claims end without renewal, by the database's clock.
    pub expires_at: Timestamp,
    /// How many leases it has.
    pub leases: u64,
    /// How many blobs it is publishing.
    pub intents: u64,
}

pub(super) fn read(row: &Row) -> Result<Holder> {
    Ok(Holder {
        id: HolderId(row.get("id")?),
        name: row.get("name")?,
        live: row.get("live")?,
        fresh: row.get("fresh")?,
        expires_at: row.get("expires_at")?,
        leases: row.get("leases")?,
        intents: row.get("intents")?,
    })
}

/// Who renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Heartbeat {
    /// A task of the crate's, after each third of the time to live.
    #[default]
    Task,
    /// The host, by [`Node::renew`]; for a host that has a schedule of its own.
    Host,
}

/// Until when a holder may use what it claims, by its own clock that never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// By the clock that goes on while the machine sleeps.
    Until(Duration),
    Lost,
}

/// A holder in one of its lives. Cheap to clone. When the last clone is dropped the heartbeat stops, and what is still
/// claimed runs out; [`Node::leave`] gives it back at once.
#[derive(Debug, Clone)]
pub struct Node {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    images: Images,
    id: LifeId,
    name: String,
    /// Who is written down beside what it commits.
    caller: Option<Caller>,
    /// Without which nothing is committed.
    required: Option<LeaseGuard>,
    life: watch::Sender<Life>,
    /// The lease of each key, and whom to tell that it has ended.
    keys: Mutex<HashMap<String, (Token, watch::Sender<bool>)>>,
    pub(super) owed: Owed,
    heartbeat: std::sync::OnceLock<AbortHandle>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.images.shared.room.know(self.id.number.get(), false);
        if let Some(heartbeat) = self.heartbeat.get() {
            heartbeat.abort();
        }
    }
}

impl Images {
    /// Begins a life of a holder. An earlier life of the same name may not renew any more, but what it claims stays until it
    /// has run out: it may not have heard yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an empty or too long name; of the database.
    pub async fn join(&self, name: &str) -> Result<Node> {
        self.join_with(name, Heartbeat::Task).await
    }

    /// As [`Images::join`], and says who renews.
    ///
    /// # Errors
    /// As [`Images::join`].
    pub async fn join_with(&self, name: &str, heartbeat: Heartbeat) -> Result<Node> {
        self.join_as(name, heartbeat, None, None).await
    }

    /// Begins a life of a holder, whose commits somebody answers for, and happen only while a lease is held if one is required.
    pub(crate) async fn join_as(
        &self,
        name: &str,
        heartbeat: Heartbeat,
        caller: Option<Caller>,
        required: Option<LeaseGuard>,
    ) -> Result<Node> {
        check_text("holder", name)?;
        let options = self.options();
        let asked = options.uptime.now();
        let mut batch = Guarded::new("images.join");
        batch.push(store::holders::supersede(name));
        let nonce = LifeId::nonce()?;
        let joined = batch.push(store::holders::join(name, options.ttl, nonce));
        let outcome = batch.run(self.repo()).await?;
        let row = outcome.get(joined).and_then(|written| written.rows().first());
        let id = HolderId(row.ok_or_else(|| Error::internal("a holder's row was not returned"))?.get("id")?);
        let (life, _) = watch::channel(Life::Until(asked + options.ttl - options.margin));
        let shared = Shared {
            images: self.clone(),
            id: LifeId { number: id, nonce },
            name: name.to_owned(),
            caller,
            required,
            life,
            keys: Mutex::default(),
            owed: Owed::default(),
            heartbeat: std::sync::OnceLock::new(),
        };
        let node = Node { shared: Arc::new(shared) };
        self.shared.room.know(id.get(), true);
        if heartbeat == Heartbeat::Task {
            let beating = tokio::spawn(beat(
                Arc::downgrade(&node.shared),
                Arc::clone(&options.uptime),
                options.ttl / 3,
            ));
            // It was not set before: this is the only place that sets it.
            let _ = node.shared.heartbeat.set(beating.abort_handle());
        }
        Ok(node)
    }
}

/// Renews until the holder is dropped or lost. Errors are not the end: the life's own end is.
async fn beat(shared: std::sync::Weak<Shared>, uptime: Arc<dyn Uptime>, pause: Duration) {
    loop {
        let Some(held) = shared.upgrade() else { return };
        let Life::Until(end) = *held.life.borrow() else { return };
        drop(held);
        sleep_until(&*uptime, (uptime.now() + pause).min(end)).await;
        let Some(held) = shared.upgrade() else { return };
        let node = Node { shared: held };
        match node.renew().await {
            Err(error) if error.is_stale() => return,
            Err(error) => tracing::warn!(holder = %node.name(), %error, "a heartbeat failed"),
            Ok(()) => {}
        }
        if uptime.now() >= end && !node.is_live() {
            node.lose().await;
            return;
        }
    }
}

impl Node {
    /// The store.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.shared.images
    }

    /// This life's number.
    #[must_use]
    pub fn id(&self) -> HolderId {
        self.shared.id.number
    }

    /// The lease without which nothing is committed, if there is one.
    pub(crate) fn required(&self) -> Option<LeaseGuard> {
        self.shared.required
    }

    /// This life, also after a restore told from every other.
    pub(crate) fn life(&self) -> LifeId {
        self.shared.id
    }

    /// The holder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn uptime(&self) -> &dyn Uptime {
        &*self.images().options().uptime
    }

    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.shared.caller.as_ref()
    }

    /// Whether what it claims may still be used, by its own clock. Ask before each use that matters.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(*self.shared.life.borrow(), Life::Until(end) if self.uptime().now() < end)
    }

    /// Waits until what it claims may not be used any more.
    pub async fn lost(&self) {
        let mut life = self.shared.life.subscribe();
        loop {
            let end = match *life.borrow_and_update() {
                Life::Lost => return,
                Life::Until(end) => end,
            };
            tokio::select! {
                // The sender lives as long as this node does.
                _ = life.changed() => {}
                () = sleep_until(self.uptime(), end) => {
                    if !self.is_live() {
                        return self.lose().await;
                    }
                }
            }
        }
    }

    /// Moves the end of all claims: one row, however many there are.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when another life took the name over or a collector saw this one end;
    /// of the database, and then the claims last as long as they did.
    pub async fn renew(&self) -> Result<()> {
        let images = self.images();
        let options = images.options();
        if !self.is_live() {
            self.lose().await;
            return Err(self.stale());
        }
        images.before(Step::LeaseRenew).await?;
        let asked = self.uptime().now();
        let written = images.repo().write(store::holders::renew(self.life(), options.ttl)).await?;
        if written.rows_affected() == 0 {
            self.lose().await;
            return Err(self.stale());
        }
        self.shared.life.send_if_modified(|life| match life {
            Life::Until(end) => {
                *end = asked + options.ttl - options.margin;
                true
            }
            Life::Lost => false,
        });
        self.give_back_owed();
        Ok(())
    }

    /// Begins to bring blobs and images into the store.
    #[must_use]
    pub fn ingest(&self) -> Ingest {
        Ingest::new(self.clone())
    }

    /// Takes a lease of an image under a key, for as long as this life lasts. An earlier lease of the key ends; its token
    /// opens nothing any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Incomplete`] when a blob of it cannot be had; [`ErrorKind::Stale`].
    pub async fn acquire(&self, key: &str, image: ImageId) -> Result<HeldLease> {
        check_text("key", key)?;
        if !self.is_live() {
            return Err(self.stale());
        }
        let images = self.images();
        images.before(Step::LeaseAcquire).await?;
        if let Some(lease) = self.try_acquire(key, image).await? {
            return Ok(lease);
        }
        // What was in the way may have been mended between the two looks.
        if self.why_not(image).await?
            && let Some(lease) = self.try_acquire(key, image).await?
        {
            return Ok(lease);
        }
        let text =
            format!("image {image} cannot be leased: its blobs are being removed or mended at this moment");
        Err(Error::new(ErrorKind::Incomplete, text).with_help("try again"))
    }

    /// Takes a lease if all that it needs is there.
    async fn try_acquire(&self, key: &str, image: ImageId) -> Result<Option<HeldLease>> {
        let (answer, answered) = oneshot::channel();
        let (node, key) = (self.clone(), key.to_owned());
        // A task of its own: of a caller that leaves meanwhile nobody would know the lease, and it would stay as long as the holder.
        tokio::spawn(async move {
            let taken = node.take_lease(&key, image).await;
            // Who does not take it has left, and then it is given back.
            drop(answer.send(taken.map(|held| held.map(Lent::new))));
        });
        let taken =
            answered.await.map_err(|_| Error::internal("the task that takes a lease was ended"))??;
        Ok(taken.and_then(Lent::keep))
    }

    async fn take_lease(&self, key: &str, image: ImageId) -> Result<Option<HeldLease>> {
        let (images, mark) = (self.images(), self.mark());
        let mut batch = Guarded::new("images.lease_acquire");
        batch.push(store::leases::used_for(self.id().get(), key));
        batch.push(store::leases::drop_key(self.id().get(), key));
        let unmet = || Error::new(ErrorKind::Incomplete, "the lease cannot be had");
        let taken =
            batch.require(Expect::ONE, store::leases::acquire(self.life(), key, image.get(), mark), unmet);
        batch.push(store::leases::used(image.get()));
        let outcome = match self.heard(mark, batch.run(images.repo()).await).await {
            Err(error) if matches!(error.kind(), ErrorKind::Incomplete) => return Ok(None),
            Err(error) => {
                if error.is_unknown() {
                    // It may have ended the key's earlier lease.
                    self.end_lease_of(key);
                }
                return Err(error);
            }
            Ok(outcome) => outcome,
        };
        let row = outcome.get(taken).and_then(|written| written.rows().first());
        let row = row.ok_or_else(|| Error::internal("a lease's row was not returned"))?;
        let lease = store::leases::read(row)?;
        let (ended, is_ended) = watch::channel(false);
        let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that lease a key at once the later one has the greater number, whoever comes here first.
        match keys.get(key) {
            Some((later, _)) if *later > lease.token => drop(ended.send_replace(true)),
            _ => {
                if let Some((_, earlier)) = keys.insert(key.to_owned(), (lease.token, ended)) {
                    earlier.send_replace(true);
                }
            }
        }
        drop(keys);
        Ok(Some(HeldLease::new(self.clone(), lease, is_ended)))
    }

    /// Tells who uses a lease that it has ended.
    pub(super) fn end_key(&self, key: &str, token: Token) {
        let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.get(key).is_some_and(|(held, _)| *held == token)
            && let Some((_, ended)) = keys.remove(key)
        {
            ended.send_replace(true);
        }
    }

    fn end_lease_of(&self, key: &str) {
        let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, ended)) = keys.remove(key) {
            ended.send_replace(true);
            // Where that did not come about, nobody uses it any more.
            self.owe_lease(token, None);
        }
    }

    /// Why a lease could not be had; yes if nothing is in the way any more. Only a holder that has no row lost what it claims: a
    /// blob that was damaged when the lease was asked for may be well again by now.
    async fn why_not(&self, image: ImageId) -> Result<bool> {
        let images = self.images();
        images.image(&image.into()).await?;
        let missing = images.missing(image).await?;
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|digest| format!("sha256:{digest}")).collect();
            let text = format!("image {image} cannot be leased: {} cannot be had", names.join(", "));
            return Err(Error::new(ErrorKind::Incomplete, text)
                .with_help("publish or pull the same content again; that repairs it"));
        }
        let mut batch = Guarded::new("images.lease_holder");
        let held = batch.push(store::holders::guard(self.life()));
        let outcome = batch.run(images.repo()).await?;
        if outcome.get(held).is_some_and(|written| !written.rows().is_empty()) {
            return Ok(true);
        }
        self.lose().await;
        Err(self.stale())
    }

    /// Gives everything back and ends this life.
    ///
    /// # Errors
    /// Of the database; what is claimed then runs out by itself.
    pub async fn leave(&self) -> Result<()> {
        let images = self.images();
        images.before(Step::LeaseRelease).await?;
        if let Some(heartbeat) = self.shared.heartbeat.get() {
            heartbeat.abort();
        }
        self.shared.life.send_replace(Life::Lost);
        let id = self.id().get();
        let mut batch = Guarded::new("images.leave");
        batch.require(Expect::ONE, store::holders::own(self.life()), || {
            Error::new(ErrorKind::NotFound, "the holder's row is gone")
        });
        batch.push(store::queue::put_holder(id, images.options().grace));
        batch.push(store::intents::of_holder(id));
        for used in store::leases::used_by(id) {
            batch.push(used);
        }
        batch.push(store::leases::of_holder(id));
        batch.push(store::holders::reap(id));
        match batch.run(images.repo()).await {
            // A collector ended it, or the number is another's since a restore: nothing is left to give back.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub(super) async fn lose(&self) {
        let first = self.shared.life.send_if_modified(|life| {
            let first = *life != Life::Lost;
            *life = Life::Lost;
            first
        });
        if first {
            tracing::warn!(holder = %self.name(), id = %self.id(), "the holder lost what it claimed");
            // Nothing is done in this step but to stop; there is nobody to tell of an error.
            let _ = self.images().before(Step::LeaseStop).await;
        }
    }

    pub(crate) fn stale(&self) -> Error {
        Error::new(
            ErrorKind::Stale,
            format!(
                "holder {:?} lost its claims: it was not renewed in time, or its name was taken over",
                self.name()
            ),
        )
        .with_help("stop using the images, join again and acquire them anew")
    }

    pub(super) fn guard(&self, token: Token) -> LeaseGuard {
        LeaseGuard { token, life: self.life() }
    }
}
