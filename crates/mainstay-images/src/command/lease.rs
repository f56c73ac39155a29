//! Leases in the hands of callers that have no process beside the store: each is a holder of its own, and is renewed by its token.

use std::time::Duration;

use mainstay_core::{Actor, Role, SystemClock, Timestamp};
use mainstay_repo::Expect;

use super::{Action, Commands};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{HolderId, Token};
use crate::image::ImageRef;
use crate::lease::{Heartbeat, LeaseGuard, LeaseInfo};
use crate::store;
use crate::store::guarded::Guarded;

mainstay_core::typed_id! {
    /// Tells one use by a caller from every other.
    struct UseId("use");
}

/// Octets of an actor that a holder's name has room for, beside the number of the use.
const ROOM: usize = 200;

/// A lease that ends by itself unless it is renewed by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShortLease {
    /// The lease itself: what renews and releases it, and what must not happen without it asks for.
    pub lease: LeaseGuard,
    /// The fencing token.
    pub token: Token,
    /// The holder that was made for it.
    pub holder: String,
    /// What it is for.
    pub key: String,
    /// The image.
    pub image: Digest,
    /// How long the image may be used, counted on a clock that is never set from the moment at which this was asked for: the
    /// [time to live](crate::ImagesOptions::ttl) without the [margin](crate::ImagesOptions::margin).
    pub use_for: Duration,
    /// When it ends without renewal, by the database's clock, which need not be the caller's.
    pub expires_at: Timestamp,
}

/// What a holder is called that acts for somebody.
pub(super) fn holder_name(actor: &Actor) -> String {
    format!("{} {}", shown(actor), UseId::generate(&SystemClock))
}

/// The actor, or as much of a long one as there is room for and what tells it from others that begin alike.
fn shown(actor: &Actor) -> String {
    let text = actor.as_str();
    if text.len() <= ROOM {
        return text.to_owned();
    }
    let digest = Digest::of(text.as_bytes()).to_string();
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= ROOM - 20).last().unwrap_or(0);
    format!("{}…{}", text.get(..end).unwrap_or_default(), digest.get(..16).unwrap_or_default())
}

/// Whether a holder was made for an actor.
fn is_of(holder: &str, actor: &Actor) -> bool {
    holder.rsplit_once(' ').is_some_and(|(name, id)| name == shown(actor) && id.parse::<UseId>().is_ok())
}

impl Commands {
    /// Leases an image for one [time to live](crate::ImagesOptions::ttl).
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; as [`Node::acquire`](crate::Node::acquire).
    pub async fn lease(&self, image: &ImageRef, key: &str) -> Result<ShortLease> {
        self.require(Action::Lease)?;
        let found = self.images.image(image).await?;
        let node = self.images.join_with(&holder_name(&self.caller.actor), Heartbeat::Host).await?;
        let held = match node.acquire(key, found.id).await {
            Ok(held) => held,
            Err(error) => {
                // Why there is no lease is the answer; a holder that stays runs out by itself.
                if let Err(left) = node.leave().await {
                    tracing::warn!(%left, "a holder without a lease stays until its time has run out");
                }
                return Err(error);
            }
        };
        self.short(held.guard(), &found.digest).await
    }

    /// Moves the end of a lease of the caller's own to one time to live from now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it has ended and is gone; [`ErrorKind::Stale`] when it was revoked; [`ErrorKind::Forbidden`] when it
    /// is somebody else's, or is renewed by its own process.
    pub async fn renew(&self, lease: LeaseGuard) -> Result<ShortLease> {
        let found = self.own(lease).await?;
        self.images.before(crate::step::Step::LeaseRenew).await?;
        let renew = store::holders::renew(found.life(), self.images.options().ttl);
        if self.images.repo().write(renew).await?.rows_affected() == 0 {
            return Err(ended(lease.token()));
        }
        let image = self.images.image(&found.lease.image.into()).await?;
        self.short(lease, &image.digest).await
    }

    /// Gives a lease of the caller's own back: they do not use the image any more.
    ///
    /// # Errors
    /// As [`Commands::renew`].
    pub async fn release(&self, lease: LeaseGuard) -> Result<()> {
        let (found, token) = (self.own(lease).await?, lease.token());
        self.images.before(crate::step::Step::LeaseRelease).await?;
        let id = found.lease.holder.get();
        let mut batch = Guarded::new("images.lease_end");
        let release = store::leases::release(token.get(), found.life());
        let released = batch.require(Expect::ONE, release, move || ended(token));
        batch.push(store::leases::used(released.column("image_id")));
        batch.push(store::holders::reap(id));
        batch.run(self.images.repo()).await.map(|_| ())
    }

    /// Takes from a holder what it claims. It may not renew any more, and notices at its next heartbeat; until its time has run out
    /// nothing of it goes, since it may still be reading. Returns until when, and how many leases end with it.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when that was done before.
    pub async fn revoke(&self, holder: HolderId) -> Result<(Timestamp, u64)> {
        self.require(Action::Revoke)?;
        let Some(found) = self.images.holder(holder).await? else {
            return Err(Error::not_found(format!("there is no holder {holder}; it may have ended")));
        };
        let name = found.name.clone();
        let mut batch = Guarded::new("images.revoke");
        batch.require(Expect::ONE, store::holders::revoke(holder.get()), move || {
            Error::new(ErrorKind::Conflict, format!("{name:?} may not renew any more already"))
                .with_help("wait until its time has run out; a collection then forgets what it claimed")
        });
        Action::Revoke.record(&mut batch, &self.caller, None, &found.name);
        batch.run(self.images.repo()).await?;
        Ok((found.expires_at, found.leases))
    }

    /// The lease, if it was made by [`Commands::lease`] for this caller. Another that has its token, since the database was restored, is
    /// another's.
    async fn own(&self, lease: LeaseGuard) -> Result<LeaseInfo> {
        self.require(Action::Lease)?;
        let token = lease.token();
        let found = self.images.lease_info(token).await?.filter(|found| found.life() == lease.life);
        let found =
            found.ok_or_else(|| Error::not_found(format!("there is no lease {lease}; it may have ended")))?;
        if is_of(&found.holder_name, &self.caller.actor) {
            return Ok(found);
        }
        let message =
            format!("lease {token} is held by {:?}, which renews and ends it itself", found.holder_name);
        let help = match self.caller.role {
            Role::Admin => "revoke its holder if it must end",
            _ => "ask an administrator to revoke its holder if it must end",
        };
        Err(Error::new(ErrorKind::Forbidden, message).with_help(help))
    }

    async fn short(&self, lease: LeaseGuard, image: &Digest) -> Result<ShortLease> {
        let token = lease.token();
        let found = self.images.lease_info(token).await?.ok_or_else(|| ended(token))?;
        let options = self.images.options();
        Ok(ShortLease {
            lease,
            token,
            use_for: options.ttl.saturating_sub(options.margin),
            holder: found.holder_name,
            key: found.lease.key,
            image: *image,
            expires_at: found.expires_at,
        })
    }
}

fn ended(token: Token) -> Error {
    Error::new(ErrorKind::Stale, format!("lease {token} is not held any more"))
        .with_help("treat what was done with the image since as undone, and lease it anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_known_by_its_actor_and_no_other_actor_can_pass_for_it() {
        let actor = |text: &str| Actor::new(text).unwrap();
        let ada = holder_name(&actor("ada lovelace"));
        assert!(is_of(&ada, &actor("ada lovelace")));
        assert!(!is_of(&ada, &actor("ada")) && !is_of(&ada, &actor("lovelace")));
        assert!(!is_of("ada lovelace", &actor("ada")), "a node that is called so is not hers");
        // The longest actors, of one octet and of four octets a character.
        let long = |last: &str| actor(&format!("{}{last}", "x".repeat(199)));
        let wide = |last: &str| actor(&format!("{}{last}", "𝄞".repeat(199)));
        for (one, other) in [(long("1"), long("2")), (wide("1"), wide("2"))] {
            let name = holder_name(&one);
            crate::image::check_text("holder", &name).unwrap();
            assert!(is_of(&name, &one) && !is_of(&name, &other), "{name}");
        }
    }
}
