//! What changes of images come to, and what is told of work that goes on.

use mainstay_images::{Act, Collecting, Lineage, Removed, ShortLease};
use serde::Serialize;

use super::{ClaimLine, CollectionLine, ScrubDocument, named};
use crate::images::work::FailureLine;

/// That somebody did something.
#[derive(Debug, Clone, Serialize)]
pub struct ActLine {
    /// Its number; a later act has a greater one.
    pub number: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What: `tag`, `remove` and the like.
    pub action: String,
    /// The image's digest; null when it was about none. The image may be gone.
    pub image: Option<String>,
    /// A name, a lease or a holder that it was about.
    pub subject: Option<String>,
}

impl From<Act> for ActLine {
    fn from(act: Act) -> Self {
        Self {
            number: act.id,
            at: act.at.to_string(),
            actor: act.actor,
            action: act.action,
            image: act.image.as_ref().map(named),
            subject: act.subject,
        }
    }
}

/// A page of acts.
#[derive(Debug, Clone, Serialize)]
pub struct ActPage {
    /// The acts, the newest first.
    pub acts: Vec<ActLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl ActPage {
    /// A page that was asked for with a limit.
    #[must_use]
    pub fn new(acts: Vec<Act>, limit: u32) -> Self {
        let is_full = u32::try_from(acts.len()).is_ok_and(|read| read >= limit.max(1));
        let next = acts.last().filter(|_| is_full).map(|act| act.id);
        Self { acts: acts.into_iter().map(ActLine::from).collect(), next }
    }
}

/// An image that was removed.
#[derive(Debug, Clone, Serialize)]
pub struct RemovedDocument {
    /// Its digest.
    pub digest: String,
    /// The names that went with it.
    pub names: Vec<String>,
    /// Octets of all its blobs; a collection gives back those that no other image uses.
    pub size_bytes: u64,
}

impl From<Removed> for RemovedDocument {
    fn from(removed: Removed) -> Self {
        Self {
            digest: named(&removed.image.digest),
            names: removed.names,
            size_bytes: removed.image.size_bytes,
        }
    }
}

/// A lease that is renewed by its token.
#[derive(Debug, Clone, Serialize)]
pub struct ShortLeaseDocument {
    /// The fencing token.
    pub token: i64,
    /// The holder that was made for it.
    pub holder: String,
    /// What it is for.
    pub key: String,
    /// The image's digest.
    pub image: String,
    /// When it ends without renewal, by the database's clock.
    pub expires_at: String,
}

impl From<ShortLease> for ShortLeaseDocument {
    fn from(lease: ShortLease) -> Self {
        Self {
            token: lease.token.get(),
            holder: lease.holder,
            key: lease.key,
            image: named(&lease.image),
            expires_at: lease.expires_at.to_string(),
        }
    }
}

/// Past collections, and whether one goes on.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionsDocument {
    /// Who collects at the moment; null if nobody does.
    pub collector: Option<String>,
    /// Until when collecting is off; null if it is not.
    pub off_until: Option<String>,
    /// Why the last one that was asked of this server did not end well; null if it did, or goes on.
    pub failed: Option<FailureLine>,
    /// Past ones, the newest first.
    pub collections: Vec<CollectionLine>,
}

impl CollectionsDocument {
    /// Of what the store says, and this server.
    #[must_use]
    pub fn new(now: Collecting, failed: Option<FailureLine>, collections: Vec<CollectionLine>) -> Self {
        Self {
            collector: now.collector,
            off_until: now.off_until.map(|until| until.to_string()),
            failed,
            collections,
        }
    }
}

/// How far reading everything again has come, and whether this server goes on with it.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubState {
    /// How far it has come.
    #[serde(flatten)]
    pub scrub: ScrubDocument,
    /// Whether this server reads at the moment; the command line or another server may.
    pub running: bool,
    /// Why the last one that was asked of this server stopped; null if it did not, or goes on.
    pub failed: Option<FailureLine>,
}

/// Why an image or a blob is kept.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainDocument {
    /// Its digest.
    pub digest: String,
    /// `image` or `blob`.
    pub what: &'static str,
    /// What keeps it.
    pub claims: Vec<ClaimLine>,
}

/// An image in a lineage.
#[derive(Debug, Clone, Serialize)]
pub struct LineageLine {
    /// Its digest.
    pub digest: String,
    /// The digest of what it comes from.
    pub parent: Option<String>,
    /// The names that point at it.
    pub names: Vec<String>,
    /// What a person called it.
    pub label: Option<String>,
    /// Octets of all its blobs, each counted once.
    pub size_bytes: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// How many leases it has.
    pub leases: u64,
}

/// Which image comes from which.
#[derive(Debug, Clone, Serialize)]
pub struct LineageDocument {
    /// The images, the oldest first.
    pub images: Vec<LineageLine>,
}

impl From<&Lineage> for LineageDocument {
    fn from(lineage: &Lineage) -> Self {
        let digests: std::collections::BTreeMap<_, _> =
            lineage.0.iter().map(|node| (node.image, named(&node.digest))).collect();
        let line = |node: &mainstay_images::LineageNode| LineageLine {
            digest: named(&node.digest),
            parent: node.parent.and_then(|parent| digests.get(&parent).cloned()),
            names: node.names.clone(),
            label: node.label.clone(),
            size_bytes: node.size_bytes,
            pinned: node.pinned,
            leases: node.leases,
        };
        Self { images: lineage.0.iter().map(line).collect() }
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
