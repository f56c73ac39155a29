//! Leases: who holds an image, for how long, and how they learn that they lost it.

mod guard;
mod held;
mod node;
mod owed;
mod uptime;

use mainstay_core::Timestamp;
use serde::Serialize;

pub use guard::LeaseGuard;
pub use held::HeldLease;
pub(crate) use held::Lent;
pub use node::{Heartbeat, Holder, Node};
pub use uptime::{SystemUptime, Uptime};

use crate::error::Result;
use crate::ids::{HolderId, ImageId, LifeId, Token};
use crate::images::{Images, MAX_PAGE, rows};
use crate::store;

/// One claim on an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lease {
    /// The fencing token: greater than that of every lease before it.
    pub token: Token,
    /// Whose claim it is.
    pub holder: HolderId,
    /// What the holder uses the image for; one lease for each.
    pub key: String,
    /// The image.
    pub image: ImageId,
    /// Since when.
    pub since: Timestamp,
}

/// One claim on an image, and who holds it until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The claim.
    #[serde(flatten)]
    pub lease: Lease,
    /// The holder's name.
    pub holder_name: String,
    /// When it ends without renewal, by the database's clock.
    pub expires_at: Timestamp,
    /// Tells the holder's life from one that had its number before the database was restored.
    #[serde(skip)]
    pub(crate) nonce: i64,
}

impl LeaseInfo {
    /// The holder's life.
    pub(crate) const fn life(&self) -> LifeId {
        LifeId { number: self.lease.holder, nonce: self.nonce }
    }
}

fn read_info(row: &mainstay_repo::Row) -> Result<LeaseInfo> {
    Ok(LeaseInfo {
        lease: store::leases::read(row)?,
        holder_name: row.get("name")?,
        expires_at: row.get("expires_at")?,
        nonce: row.get("nonce")?,
    })
}

impl Images {
    /// A page of leases in the order of their tokens, behind one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn leases(&self, after: Option<Token>, limit: u32) -> Result<Vec<LeaseInfo>> {
        let statement = store::leases::list(after.map_or(0, Token::get), limit.min(MAX_PAGE));
        rows(self.repo().read(statement).await?, read_info)
    }

    /// The leases of an image, at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// Of the database.
    pub async fn leases_of(&self, image: ImageId) -> Result<Vec<LeaseInfo>> {
        rows(self.repo().read(store::leases::of_image(image.get(), MAX_PAGE)).await?, read_info)
    }

    /// One lease, whether its holder has time left or not; none when it was given back or reaped.
    ///
    /// # Errors
    /// Of the database.
    pub async fn lease_info(&self, token: Token) -> Result<Option<LeaseInfo>> {
        self.repo().read(store::leases::find(token.get())).await?.first().map(read_info).transpose()
    }

    /// A page of those who hold leases or publish, behind one, the oldest first; at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// Of the database.
    pub async fn holders(&self, after: Option<HolderId>, limit: u32) -> Result<Vec<Holder>> {
        let statement = store::holders::list(after.map_or(0, HolderId::get), limit.min(MAX_PAGE));
        rows(self.repo().read(statement).await?, node::read)
    }

    /// One holder; none when it gave all back or was reaped.
    ///
    /// # Errors
    /// Of the database.
    pub async fn holder(&self, id: HolderId) -> Result<Option<Holder>> {
        self.repo().read(store::holders::find(id.get())).await?.first().map(node::read).transpose()
    }
}
