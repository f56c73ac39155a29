//! Why something is kept.

use std::fmt;

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::blob::BlobState;
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::ImageId;
use crate::image::ImageRef;
use crate::images::{Images, MAX_PAGE};
use crate::store;

/// Of how many images that use a blob it is told what keeps them: each costs a few statements.
const EXPLAINED: usize = 20;

/// One claim that keeps an image or a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Claim {
    /// A name points at the image.
    Name {
        /// The name.
        name: String,
    },
    /// The image is pinned.
    Pin,
    /// The image is leased.
    Lease {
        /// By whom.
        holder: String,
        /// For what.
        key: String,
        /// Until when, without renewal.
        expires_at: Timestamp,
    },
    /// An image was derived from it.
    Child {
        /// Which.
        image: ImageId,
        /// Its name.
        digest: Digest,
    },
    /// An index lists it, for a platform say.
    Listed {
        /// Which.
        image: ImageId,
        /// Its name.
        digest: Digest,
    },
    /// Nothing claims the image; the policy lets it go then, or keeps it for ever.
    Unclaimed {
        /// When.
        until: Option<Timestamp>,
    },
    /// The blob is used by an image; what keeps that follows.
    Image {
        /// Which.
        image: ImageId,
        /// Its name.
        digest: Digest,
        /// What keeps it.
        claims: Vec<Claim>,
    },
    /// More images use the blob than are told of.
    Others {
        /// How many; counted up to a [page](crate::MAX_PAGE).
        images: u64,
    },
    /// The blob is being published.
    Intent {
        /// By whom.
        holder: String,
        /// Until when, without renewal.
        expires_at: Timestamp,
    },
    /// Nothing uses the blob; a collection removes it after that.
    Waiting {
        /// When; at any time, if none.
        review_after: Option<Timestamp>,
    },
    /// A collector is removing the blob.
    Deleting,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(f, "the name {name:?} points at it"),
            Self::Pin => f.write_str("it is pinned"),
            Self::Lease { holder, key, expires_at } => {
                write!(f, "{holder} leased it for {key:?}, until {expires_at} unless renewed")
            }
            Self::Child { digest, .. } => write!(f, "the image sha256:{digest} was derived from it"),
            Self::Listed { digest, .. } => write!(f, "the index sha256:{digest} lists it"),
            Self::Unclaimed { until: Some(until) } => {
                write!(f, "nothing claims it; the policy keeps it until {until}")
            }
            Self::Unclaimed { until: None } => {
                f.write_str("nothing claims it; the policy keeps it until room is needed")
            }
            Self::Image { image, digest, .. } => write!(f, "image {image} (sha256:{digest}) uses it"),
            Self::Others { images } => write!(f, "{images} more image(s) use it"),
            Self::Intent { holder, expires_at } => {
                write!(f, "{holder} is publishing it, until {expires_at} unless renewed")
            }
            Self::Waiting { review_after: Some(at) } => {
                write!(f, "nothing uses it; a collection after {at} removes it")
            }
            Self::Waiting { review_after: None } => {
                f.write_str("nothing uses it; a full collection removes it")
            }
            Self::Deleting => f.write_str("it is being removed"),
        }
    }
}

impl Images {
    /// What keeps an image.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn explain(&self, image: &ImageRef) -> Result<Vec<Claim>> {
        let image = self.image(image).await?;
        let mut claims = Vec::new();
        if image.pinned {
            claims.push(Claim::Pin);
        }
        for name in self.references_of(image.id).await? {
            claims.push(Claim::Name { name: name.name });
        }
        for info in self.leases_of(image.id).await? {
            claims.push(Claim::Lease {
                holder: info.holder_name,
                key: info.lease.key,
                expires_at: info.expires_at,
            });
        }
        for child in self.children(image.id).await? {
            claims.push(Claim::Child { image: child.id, digest: child.digest });
        }
        for index in self.listing(image.id).await? {
            claims.push(Claim::Listed { image: index.id, digest: index.digest });
        }
        if claims.is_empty() {
            let keep = self.options().policy.keep_unclaimed;
            claims.push(Claim::Unclaimed { until: keep.map(|keep| image.last_used_at.saturating_add(keep)) });
        }
        Ok(claims)
    }

    /// What keeps a blob, down to what keeps the first 20 images that use it, and how many more do.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn explain_blob(&self, digest: &Digest) -> Result<Vec<Claim>> {
        let blob = self.blob(digest).await?;
        if blob.state == BlobState::Deleting {
            return Ok(vec![Claim::Deleting]);
        }
        let mut claims = Vec::new();
        let users = self.repo().read(store::uses::users(blob.id.get(), MAX_PAGE)).await?;
        for row in users.iter().take(EXPLAINED) {
            let image = ImageId(row.get("id")?);
            let digest = self.image(&image.into()).await?.digest;
            claims.push(Claim::Image { image, digest, claims: self.explain(&image.into()).await? });
        }
        if let Some(images) = users.len().checked_sub(EXPLAINED).filter(|more| *more > 0) {
            claims.push(Claim::Others { images: images as u64 });
        }
        for row in self.repo().read(store::intents::of_digest(digest)).await? {
            claims.push(Claim::Intent { holder: row.get("name")?, expires_at: row.get("expires_at")? });
        }
        if claims.is_empty() {
            let entry = self.repo().read(store::queue::find(blob.id.get())).await?;
            let review_after = entry.first().map(|row| row.get("review_after")).transpose()?;
            claims.push(Claim::Waiting { review_after });
        }
        Ok(claims)
    }
}
