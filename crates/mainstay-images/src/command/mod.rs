//! What people and programs do with images: who may do it is decided here, and who did it is written down in the same transaction.
//! A collection, a scrub and what follows a restore take many transactions: of them it is written down that they begin, once nothing
//! refuses them.

mod lease;

use std::time::Duration;

use mainstay_core::{Caller, Role, Timestamp};
use mainstay_repo::Expect;
use serde::Serialize;

pub use self::lease::ShortLease;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::gc::{CollectOptions, CollectReport};
use crate::image::{Image, ImageRef, Reference, check_name};
use crate::images::{Images, MAX_PAGE, no_image, no_name, rows};
use crate::lease::{Heartbeat, LeaseGuard, Node};
use crate::scrub::{ScrubOptions, ScrubReport};
use crate::store;
use crate::store::guarded::Guarded;

/// The longest time for which collecting is switched off at once: nothing gives room back meanwhile.
pub const MAX_PAUSE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $text:literal $role:ident;)*) => {
        /// What is done with images by somebody. Its name never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stored name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The least role that it needs.
            #[must_use]
            pub const fn needs(self) -> Role {
                match self { $(Self::$name => Role::$role,)* }
            }
        }
    };
}

actions! {
    /// Look at anything, and take an image out. It is not written down.
    Look "look" Read;
    /// Bring images in: a commit, an import, a pull.
    Publish "publish" Write;
    /// Point a name at an image.
    Tag "tag" Write;
    /// Begin a name at an image.
    Fork "fork" Write;
    /// Remove a name.
    Untag "untag" Write;
    /// Keep an image whatever the policy says.
    Pin "pin" Write;
    /// Keep it no more.
    Unpin "unpin" Write;
    /// Hold an image for a while. The lease itself tells who.
    Lease "lease" Write;
    /// Read everything again.
    Scrub "scrub" Write;
    /// Remove an image for ever.
    Remove "remove" Admin;
    /// Take from a holder what it claims.
    Revoke "revoke" Admin;
    /// Remove what nothing uses, and what the policy lets go.
    Collect "collect" Admin;
    /// Switch collecting off for a while.
    Pause "pause" Admin;
    /// Say that the database was restored from a backup.
    Restored "restored" Admin;
}

impl Action {
    /// Adds to a batch that somebody did this.
    pub(crate) fn record(self, batch: &mut Guarded, caller: &Caller, image: Option<&Digest>, subject: &str) {
        let subject = Some(subject).filter(|subject| !subject.is_empty());
        let act = store::acts::record(caller.actor.as_str(), self.as_str(), image, subject);
        let act = batch.push(act);
        batch.push(store::acts::trim(act.column("id")));
    }
}

/// That somebody did something. The newest 10,000 are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Act {
    /// Its number; a later act has a greater one.
    pub id: i64,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What: the name of an [`Action`].
    pub action: String,
    /// The image that it was about; it may be gone since.
    pub image: Option<Digest>,
    /// What else it was about: a name, a lease, a holder.
    pub subject: Option<String>,
}

/// An image that was removed, and the names that went with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The image as it was.
    pub image: Image,
    /// The names that pointed at it and were removed too.
    pub names: Vec<String>,
}

/// A store in the hands of somebody with a role. Cheap to clone.
///
/// What it does is written down with its actor, in the transaction that does it; of a collection or a scrub, which take many, that it
/// begins. [`Images`] itself is for the host's own code, which may do everything and is not written down.
#[derive(Debug, Clone)]
pub struct Commands {
    images: Images,
    caller: Caller,
    required: Option<LeaseGuard>,
}

impl Images {
    /// The store in the hands of a caller.
    #[must_use]
    pub fn acting(&self, caller: Caller) -> Commands {
        Commands { images: self.clone(), caller, required: None }
    }
}

impl Commands {
    /// The same, but what changes images and their names happens only while a lease is held: each change looks in its own transaction,
    /// and is [`ErrorKind::Stale`] without it. So whoever lost an image that they worked with does not overwrite what came after. Also
    /// what a [holder](Self::join) commits. Leases, collections and scrubs go on without.
    #[must_use]
    pub const fn under(mut self, lease: LeaseGuard) -> Self {
        self.required = Some(lease);
        self
    }

    /// Lets a batch happen only while the lease is held that is required, if one is.
    fn fence(&self, batch: &mut Guarded) {
        if let Some(lease) = self.required {
            lease.require(batch);
        }
    }

    /// Who acts.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether the caller may do something; for what offers it.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        self.caller.require(action.needs()).is_ok()
    }

    /// Refuses what the caller may not do; for what is begun now and done later.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`].
    pub fn require(&self, action: Action) -> Result<()> {
        Ok(self.caller.require(action.needs())?)
    }

    /// The store, to look at.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`].
    pub fn look(&self) -> Result<&Images> {
        self.require(Action::Look)?;
        Ok(&self.images)
    }

    /// Becomes a holder that brings images in and holds them in the caller's name, and renews itself; what it commits is written
    /// down. No two runs share a name, so none takes the other's claims over.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; of the database.
    pub async fn join(&self) -> Result<Node> {
        self.require(Action::Publish)?;
        let name = lease::holder_name(&self.caller.actor);
        self.images.join_as(&name, Heartbeat::Task, Some(self.caller.clone()), self.required).await
    }

    /// Becomes a holder for whoever only looks: it keeps an image while that is read, and brings nothing in.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; of the database.
    pub async fn reader(&self) -> Result<Node> {
        let name = lease::holder_name(&self.caller.actor);
        self.look()?.join(&name).await
    }

    /// As [`Images::tag`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::tag`].
    pub async fn tag(&self, image: &ImageRef, name: &str) -> Result<Reference> {
        let found = self.named(Action::Tag, image, name).await?;
        let point = store::refs::point(name, &found.digest);
        self.one_name(Action::Tag, &found, name, point, move || no_image(&found.digest.into())).await
    }

    /// As [`Images::fork`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::fork`].
    pub async fn fork(&self, image: &ImageRef, name: &str) -> Result<Reference> {
        let found = self.named(Action::Fork, image, name).await?;
        let (fork, taken) = (store::refs::fork(name, &found.digest), name.to_owned());
        let taken = move || {
            Error::new(ErrorKind::Conflict, format!("the name {taken:?} is taken, or the image was removed"))
                .with_help("take another name, or tag the image, which moves a name that is there")
        };
        self.one_name(Action::Fork, &found, name, fork, taken).await
    }

    /// As [`Images::untag`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::untag`].
    pub async fn untag(&self, name: &str) -> Result<Reference> {
        self.require(Action::Untag)?;
        let Some(found) = self.images.find_image(&ImageRef::Name(name.to_owned())).await? else {
            return Err(no_name(name));
        };
        let (untag, gone) = (store::refs::untag(name), name.to_owned());
        self.one_name(Action::Untag, &found, name, untag, move || no_name(&gone)).await
    }

    /// Removes a name from one image, and from no other to which it was moved meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::NotFound`] without the image; [`ErrorKind::Conflict`] when the name does not point at it.
    pub async fn untag_from(&self, image: &ImageRef, name: &str) -> Result<Reference> {
        let found = self.named(Action::Untag, image, name).await?;
        let (untag, moved) = (store::refs::untag_from(name, found.id.get()), name.to_owned());
        let moved = move || {
            Error::new(ErrorKind::Conflict, format!("the name {moved:?} does not point at this image"))
                .with_help("look at where it points now; it may have been moved or removed meanwhile")
        };
        self.one_name(Action::Untag, &found, name, untag, moved).await
    }

    async fn named(&self, action: Action, image: &ImageRef, name: &str) -> Result<Image> {
        self.require(action)?;
        check_name(name)?;
        self.images.image(image).await
    }

    /// Changes one name, and writes down who did it.
    async fn one_name(
        &self,
        action: Action,
        image: &Image,
        name: &str,
        change: mainstay_repo::Statement,
        unmet: impl FnOnce() -> Error + Send + 'static,
    ) -> Result<Reference> {
        let mut batch = Guarded::new("images.name");
        self.fence(&mut batch);
        let place = batch.require(Expect::ONE, change, unmet);
        action.record(&mut batch, &self.caller, Some(&image.digest), name);
        let outcome = batch.run(self.images.repo()).await?;
        let row = outcome.get(place).and_then(|written| written.rows().first());
        store::refs::read(row.ok_or_else(|| Error::internal("a changed name was not returned"))?)
    }

    /// As [`Images::pin`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::pin`].
    pub async fn pin(&self, image: &ImageRef, pinned: bool) -> Result<Image> {
        let action = if pinned { Action::Pin } else { Action::Unpin };
        self.require(action)?;
        let found = self.images.image(image).await?;
        let mut batch = Guarded::new("images.pin");
        self.fence(&mut batch);
        let place = batch.require(Expect::ONE, store::images::pin(found.id.get(), pinned), move || {
            no_image(&found.digest.into())
        });
        action.record(&mut batch, &self.caller, Some(&found.digest), "");
        let outcome = batch.run(self.images.repo()).await?;
        let row = outcome.get(place).and_then(|written| written.rows().first());
        store::images::read(row.ok_or_else(|| Error::internal("a changed image was not returned"))?)
    }

    /// Removes an image that nothing claims but names that may go with it: all or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] with what claims it.
    pub async fn remove(&self, image: &ImageRef, names: Names<'_>) -> Result<Removed> {
        self.require(Action::Remove)?;
        let found = self.images.image(image).await?;
        let names: Vec<String> = match names {
            Names::All => self.images.references_of(found.id).await?.into_iter().map(|it| it.name).collect(),
            Names::Only(name) => name.map(str::to_owned).into_iter().collect(),
        };
        self.images.before(crate::step::Step::ImageRemove).await?;
        let image = self
            .images
            .remove_unclaimed(found.id, None, self.images.options().grace, |batch| {
                self.fence(batch);
                for name in &names {
                    batch.push(store::refs::untag_from(name, found.id.get()));
                }
                Action::Remove.record(batch, &self.caller, Some(&found.digest), &names.join(" "));
            })
            .await?;
        Ok(Removed { image, names })
    }

    /// As [`Images::collect`]; the history has the caller's name. One that was refused at once is no act.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::collect`].
    pub async fn collect(&self, options: &CollectOptions) -> Result<CollectReport> {
        self.collect_telling(options, || ()).await
    }

    /// As [`Commands::collect`], and tells when it is known that this caller collects; for what begins one and does not wait for it.
    ///
    /// # Errors
    /// As [`Commands::collect`].
    pub async fn collect_telling(
        &self,
        options: &CollectOptions,
        elected: impl FnOnce() + Send,
    ) -> Result<CollectReport> {
        self.require(Action::Collect)?;
        let what = match (options.full, options.evict) {
            (true, true) => "full, by the policy",
            (true, false) => "full",
            (false, true) => "by the policy",
            (false, false) => "",
        };
        let begun = async {
            self.begun(Action::Collect, what).await?;
            elected();
            Ok(())
        };
        self.images.collect_once(&lease::holder_name(&self.caller.actor), options, begun).await
    }

    /// Switches collecting off for so long, at most [`MAX_PAUSE`]; for a copy of the directory, say. A collection that is under way ends
    /// at its next look at whether it goes on. A longer pause that is on stays. Returns until when.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Invalid`] for a longer time or none; of the database.
    pub async fn pause_collecting(&self, time: Duration) -> Result<Timestamp> {
        self.require(Action::Pause)?;
        if time.is_zero() || time > MAX_PAUSE {
            let message =
                format!("collecting is switched off for at most {} hours", MAX_PAUSE.as_secs() / 3_600);
            return Err(Error::invalid("pause", message)
                .with_help("nothing gives room back meanwhile; begin another pause when this one ends"));
        }
        let mut batch = Guarded::new("images.pause");
        let place = batch.push(store::collector::pause(time));
        Action::Pause.record(&mut batch, &self.caller, None, &format!("{} s", time.as_secs()));
        let outcome = batch.run(self.images.repo()).await?;
        let row = outcome.get(place).and_then(|written| written.rows().first());
        Ok(row.ok_or_else(|| Error::internal("the collector's row is gone"))?.get("off_until")?)
    }

    /// As [`Images::after_restore`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::after_restore`].
    pub async fn after_restore(&self) -> Result<Timestamp> {
        self.require(Action::Restored)?;
        self.images.probe().await?;
        self.begun(Action::Restored, "").await?;
        self.images.after_restore().await
    }

    /// As [`Images::scrub`]. A pass that takes several calls is written down once, at its first: the others go on with that
    /// [pass](ScrubOptions::pass).
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Images::scrub`].
    pub async fn scrub(&self, options: &ScrubOptions) -> Result<ScrubReport> {
        self.require(Action::Scrub)?;
        let report = self.images.scrub_report().await?;
        let begins = options.restart || report.started_at.is_none() || report.ended_at.is_some();
        if begins && options.pass.is_none() {
            self.begun(Action::Scrub, if options.restart { "anew" } else { "" }).await?;
        }
        self.images.scrub(options).await
    }

    /// Writes down that something begins that takes many transactions.
    async fn begun(&self, action: Action, what: &str) -> Result<()> {
        let mut batch = Guarded::new("images.act");
        action.record(&mut batch, &self.caller, None, what);
        batch.run(self.images.repo()).await.map(|_| ())
    }

    /// Who did what, the newest first: a page of acts before one, at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; of the database.
    pub async fn acts(&self, before: Option<i64>, limit: u32) -> Result<Vec<Act>> {
        let list = store::acts::list(before.unwrap_or(i64::MAX), limit.min(MAX_PAGE));
        rows(self.look()?.repo().read(list).await?, store::acts::read)
    }

    /// What was done with one image, the newest first, at most [`MAX_PAGE`]; also with one that is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; of the database.
    pub async fn acts_on(&self, image: &Digest, limit: u32) -> Result<Vec<Act>> {
        let list = store::acts::of_image(image, limit.min(MAX_PAGE));
        rows(self.look()?.repo().read(list).await?, store::acts::read)
    }
}

/// Which names go with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names<'a> {
    /// All that point at it.
    All,
    /// This one at most; any other keeps the image.
    Only(Option<&'a str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_undone_needs_most_and_no_two_actions_share_a_name() {
        let mut names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Action::ALL.len());
        let of = |role| -> Vec<&str> {
            Action::ALL.iter().filter(|it| it.needs() == role).map(|it| it.as_str()).collect()
        };
        assert_eq!(of(Role::Read), ["look"]);
        assert_eq!(of(Role::Admin), ["remove", "revoke", "collect", "pause", "restored"]);
    }
}
