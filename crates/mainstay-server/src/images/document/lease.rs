//! Who uses which image, and who leases or publishes.

use mainstay_images::{Digest, Holder, HolderId, Images, LeaseInfo, Result, ShortLease, Token};
use serde::Serialize;

use super::{named, next};

/// A lease.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseLine {
    /// The fencing token.
    pub token: i64,
    /// Who holds it.
    pub holder: String,
    /// The holder's epoch.
    pub epoch: i64,
    /// What for.
    pub key: String,
    /// The image's digest.
    pub image: String,
    /// Since when.
    pub since: String,
    /// When it ends without renewal, by the database's clock.
    pub expires_at: String,
}

impl LeaseLine {
    /// A lease of the image with a digest.
    #[must_use]
    pub fn new(info: &LeaseInfo, image: &Digest) -> Self {
        Self {
            token: info.lease.token.get(),
            holder: info.holder_name.clone(),
            epoch: info.lease.holder.get(),
            key: info.lease.key.clone(),
            image: named(image),
            since: info.lease.since.to_string(),
            expires_at: info.expires_at.to_string(),
        }
    }

    /// With the digests of their images.
    async fn named(images: &Images, found: &[LeaseInfo]) -> Result<Vec<Self>> {
        let mut lines = Vec::with_capacity(found.len());
        for info in found {
            // One that was removed since was given back before.
            if let Some(image) = images.find_image(&info.lease.image.into()).await? {
                lines.push(Self::new(info, &image.digest));
            }
        }
        Ok(lines)
    }
}

/// A page of leases, the oldest first.
#[derive(Debug, Clone, Serialize)]
pub struct LeasePage {
    /// The leases.
    pub leases: Vec<LeaseLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl LeasePage {
    /// Reads a page of leases behind a token.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, after: Option<i64>, limit: u32) -> Result<Self> {
        let found = images.leases(after.map(Token::new), limit).await?;
        let next = next(&found, limit, |info| info.lease.token.get());
        Ok(Self { leases: LeaseLine::named(images, &found).await?, next })
    }
}

/// Somebody who leases or publishes.
#[derive(Debug, Clone, Serialize)]
pub struct HolderLine {
    /// This life's number.
    pub epoch: i64,
    /// The name.
    pub name: String,
    /// Whether it may still renew.
    pub live: bool,
    /// Whether its claims have time left.
    pub fresh: bool,
    /// When its claims end without renewal.
    pub expires_at: String,
    /// How many leases it has.
    pub leases: u64,
    /// How many blobs it is publishing.
    pub publishing: u64,
}

impl From<Holder> for HolderLine {
    fn from(holder: Holder) -> Self {
        Self {
            epoch: holder.id.get(),
            name: holder.name,
            live: holder.live,
            fresh: holder.fresh,
            expires_at: holder.expires_at.to_string(),
            leases: holder.leases,
            publishing: holder.intents,
        }
    }
}

/// A page of holders, the oldest first.
#[derive(Debug, Clone, Serialize)]
pub struct HolderPage {
    /// The holders.
    pub holders: Vec<HolderLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl HolderPage {
    /// Reads a page of holders behind an epoch.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, after: Option<i64>, limit: u32) -> Result<Self> {
        let found = images.holders(after.map(HolderId::new), limit).await?;
        let next = next(&found, limit, |holder| holder.id.get());
        Ok(Self { holders: found.into_iter().map(HolderLine::from).collect(), next })
    }
}

/// A lease that whoever asked for it renews.
#[derive(Debug, Clone, Serialize)]
pub struct ShortLeaseDocument {
    /// The lease: what renews and releases it, and what a change names that must not be made without it.
    pub lease: String,
    /// The fencing token.
    pub token: i64,
    /// The holder that was made for it.
    pub holder: String,
    /// What it is for.
    pub key: String,
    /// The image's digest.
    pub image: String,
    /// How long the image may be used, counted from when the request was sent.
    pub use_for_seconds: f64,
    /// When it ends without renewal, by the database's clock; for people.
    pub expires_at: String,
}

impl From<ShortLease> for ShortLeaseDocument {
    fn from(lease: ShortLease) -> Self {
        Self {
            lease: lease.lease.to_string(),
            token: lease.token.get(),
            holder: lease.holder,
            key: lease.key,
            image: named(&lease.image),
            use_for_seconds: lease.use_for.as_secs_f64(),
            expires_at: lease.expires_at.to_string(),
        }
    }
}

/// A holder that may not renew any more.
#[derive(Debug, Clone, Serialize)]
pub struct RevokedDocument {
    /// Its epoch.
    pub epoch: i64,
    /// Until when nothing of what it claims goes, by the database's clock.
    pub until: String,
    /// How many leases end with it.
    pub leases: u64,
}
