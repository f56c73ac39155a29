//! Images as JSON documents: the same from the command line and from the HTTP interface.
//!
//! The types are their own, so that a change inside does not change them by accident. Fields may be added.

mod act;
mod collection;
mod explain;
mod image;
mod lease;
mod lineage;
mod scrub;
mod usage;

use mainstay_images::Digest;

pub use self::act::{ActLine, ActPage};
pub use self::collection::{
    CollectionDocument, CollectionLine, CollectionsDocument, EvictionLine, OffDocument, PlanDocument,
    PlanTotal,
};
pub use self::explain::{ClaimLine, ExplainDocument};
pub use self::image::{
    AttachmentLine, ImageDocument, ImageLine, ImagePage, LayerLine, NameLine, RemovedDocument,
};
pub use self::lease::{HolderLine, HolderPage, LeaseLine, LeasePage, RevokedDocument, ShortLeaseDocument};
pub use self::lineage::{LineageDocument, LineageLine};
pub use self::scrub::{FindingLine, FindingPage, ScrubDocument, ScrubLine, ScrubState, ScrubsDocument};
pub use self::usage::{UsageDocument, UsageLine};

/// Where the page behind one begins that was asked for with a limit: nowhere when it was not full.
fn next<T>(page: &[T], limit: u32, number: impl FnOnce(&T) -> i64) -> Option<i64> {
    let is_full = u32::try_from(page.len()).is_ok_and(|read| read >= limit.max(1));
    page.last().filter(|_| is_full).map(number)
}

/// A digest as images are named in the field.
#[must_use]
pub fn named(digest: &Digest) -> String {
    format!("sha256:{digest}")
}
