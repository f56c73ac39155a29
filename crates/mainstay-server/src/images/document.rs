//! Images as JSON documents: the same from the command line and from the HTTP interface.
//!
//! The types are their own, so that a change inside does not change them by accident. Fields may be added.

mod changed;

use mainstay_images::gc::evict::{Eviction, Reason};
use mainstay_images::gc::{Plan, Usage};
use mainstay_images::{
    Attachment, Claim, CollectReport, CollectRun, Digest, Holder, Image, ImageKind, Images, LeaseInfo,
    Reference, Result, ScrubReport,
};
use serde::Serialize;

pub use self::changed::{
    ActLine, ActPage, CollectionsDocument, ExplainDocument, LineageDocument, LineageLine, RemovedDocument,
    RevokedDocument, ScrubState, ShortLeaseDocument,
};

/// A digest as images are named in the field.
#[must_use]
pub fn named(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

/// An image in a list.
#[derive(Debug, Clone, Serialize)]
pub struct ImageLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// The names that point at it.
    pub names: Vec<String>,
    /// What a person called it.
    pub label: Option<String>,
    /// `chain`, `index` or `artifact`.
    pub kind: &'static str,
    /// What its publisher said it is.
    pub media_type: String,
    /// How many layers it has.
    pub layers: usize,
    /// Octets of all its blobs, each counted once.
    pub size_bytes: u64,
    /// Whether it is kept whatever the policy says.
    pub pinned: bool,
    /// How many leases it has.
    pub leases: usize,
    /// When it was first published.
    pub created_at: String,
    /// When it was last leased, to the minute.
    pub last_used_at: String,
    /// Its number in this store: where a page goes on.
    pub number: i64,
}

/// A page of images.
#[derive(Debug, Clone, Serialize)]
pub struct ImagePage {
    /// The images.
    pub images: Vec<ImageLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

/// A layer, the base first.
#[derive(Debug, Clone, Serialize)]
pub struct LayerLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Its length in octets.
    pub size_bytes: u64,
}

/// What belongs to an image without being a layer.
#[derive(Debug, Clone, Serialize)]
pub struct AttachmentLine {
    /// What it is to the image.
    pub role: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Its length in octets.
    pub size_bytes: u64,
    /// What its publisher said it is.
    pub media_type: String,
}

/// A name.
#[derive(Debug, Clone, Serialize)]
pub struct NameLine {
    /// The name.
    pub name: String,
    /// The digest of the image that it was forked from, if it was.
    pub forked_from: Option<String>,
    /// Grows with every move.
    pub version: u64,
    /// When it was last moved.
    pub updated_at: String,
}

/// An image as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct ImageDocument {
    /// What a list says of it.
    #[serde(flatten)]
    pub line: ImageLine,
    /// The chain id; null without layers.
    pub chain_id: Option<String>,
    /// The digest of the image that it was derived from.
    pub parent: Option<String>,
    /// The digests of the images that were derived from it.
    pub children: Vec<String>,
    /// Its layers, the base first.
    pub chain: Vec<LayerLine>,
    /// What else belongs to it.
    pub attachments: Vec<AttachmentLine>,
    /// Its names, with their versions.
    pub references: Vec<NameLine>,
    /// Who uses it.
    pub held: Vec<LeaseLine>,
}

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

/// What keeps an image or a blob.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimLine {
    /// In a sentence.
    pub text: String,
    /// What keeps the image that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Self>,
}

/// What one image uses.
#[derive(Debug, Clone, Serialize)]
pub struct UsageLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// What a person called it.
    pub label: Option<String>,
    /// Octets of all its blobs.
    pub size_bytes: u64,
    /// Octets of those that other images use too.
    pub shared_bytes: u64,
    /// Octets that its removal gives back.
    pub unique_bytes: u64,
}

/// What the store uses: `total = unique + shared + unused`.
#[derive(Debug, Clone, Serialize)]
pub struct UsageDocument {
    /// Octets of all blobs.
    pub total_bytes: u64,
    /// Octets of blobs that exactly one image uses.
    pub unique_bytes: u64,
    /// Octets of blobs that several images use, each counted once.
    pub shared_bytes: u64,
    /// Octets that a collection gives back.
    pub unused_bytes: u64,
    /// Octets that the file system has free.
    pub free_bytes: u64,
    /// The most octets of all blobs; null for no limit.
    pub quota_bytes: Option<u64>,
    /// The images, the one with most of its own first.
    pub images: Vec<UsageLine>,
}

/// An image that the policy lets go.
#[derive(Debug, Clone, Serialize)]
pub struct EvictionLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// What a person called it.
    pub label: Option<String>,
    /// `age` or `room`.
    pub reason: &'static str,
    /// Octets that it gives back.
    pub frees_bytes: u64,
    /// When it was last used.
    pub last_used_at: String,
}

/// What a collection would do now.
#[derive(Debug, Clone, Serialize)]
pub struct PlanDocument {
    /// Images that would be let go.
    pub evict: Vec<EvictionLine>,
    /// Blobs that would be removed.
    pub blobs: Vec<LayerLine>,
    /// Octets of the blobs.
    pub bytes: u64,
    /// Files that nothing names, relative to the store's directory.
    pub orphans: Vec<String>,
    /// Blobs that are used and not on disk.
    pub missing: Vec<String>,
    /// How many there are of each, of which a server lists no more than the first.
    pub total: PlanTotal,
}

/// How many a collection would remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlanTotal {
    /// Images that would be let go.
    pub evict: usize,
    /// Blobs that would be removed.
    pub blobs: usize,
    /// Files that nothing names.
    pub orphans: usize,
    /// Blobs that are used and not on disk.
    pub missing: usize,
}

impl PlanDocument {
    /// With so many of each at most; the total tells how many there are.
    #[must_use]
    pub fn listing(mut self, most: usize) -> Self {
        self.evict.truncate(most);
        self.blobs.truncate(most);
        self.orphans.truncate(most);
        self.missing.truncate(most);
        self
    }
}

/// What a collection did.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionDocument {
    /// Holders that had ended.
    pub holders_reaped: u64,
    /// Their leases.
    pub leases_reaped: u64,
    /// Images that the policy let go.
    pub images_evicted: u64,
    /// Blobs that were removed.
    pub blobs_removed: u64,
    /// Their octets.
    pub bytes_removed: u64,
    /// Files that nothing named.
    pub orphans_removed: u64,
    /// Their octets.
    pub orphan_bytes: u64,
    /// Files that would not go.
    pub unlink_failures: u64,
    /// Files that are none of this store's; they are left alone.
    pub foreign_files: u64,
    /// Blobs that are used and not on disk.
    pub missing: Vec<String>,
    /// Blobs that wait for their time.
    pub waiting: u64,
}

/// A past collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionLine {
    /// Its number.
    pub number: i64,
    /// Who collected.
    pub collector: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: String,
    /// What it did.
    #[serde(flatten)]
    pub report: CollectionDocument,
}

/// How far reading everything again has come.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubDocument {
    /// When the pass began; null if there was none yet.
    pub started_at: Option<String>,
    /// When it ended; null while it is under way.
    pub ended_at: Option<String>,
    /// Blobs that were read.
    pub checked: u64,
    /// Their octets.
    pub bytes: u64,
    /// Blobs that the pass found missing or wrong.
    pub damaged: u64,
    /// Blobs that are missing or wrong now.
    pub damaged_now: Vec<LayerLine>,
}

const fn kind(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::Chain => "chain",
        ImageKind::Index => "index",
        ImageKind::Artifact => "artifact",
        // A kind that a later version adds.
        _ => "other",
    }
}

impl ImageLine {
    /// Reads what a list says of an image.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, image: &Image) -> Result<Self> {
        let names = images.references_of(image.id).await?;
        let leases = images.leases_of(image.id).await?;
        Ok(Self::new(image, &names, leases.len()))
    }

    fn new(image: &Image, names: &[Reference], leases: usize) -> Self {
        Self {
            digest: named(&image.digest),
            names: names.iter().map(|name| name.name.clone()).collect(),
            label: image.label.clone(),
            kind: kind(image.kind),
            media_type: image.media_type.clone(),
            layers: image.chain.depth(),
            size_bytes: image.size_bytes,
            pinned: image.pinned,
            leases,
            created_at: image.created_at.to_string(),
            last_used_at: image.last_used_at.to_string(),
            number: image.id.get(),
        }
    }

    /// What people call it: its first name, its label, or the beginning of its digest.
    #[must_use]
    pub fn title(&self) -> &str {
        let short = self.digest.get(..19).unwrap_or(&self.digest);
        self.names.first().map(String::as_str).or(self.label.as_deref()).unwrap_or(short)
    }
}

impl ImagePage {
    /// Reads a page of images behind a number, with their names and leases.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, after: Option<i64>, limit: u32) -> Result<Self> {
        let after = after.map(mainstay_images::ImageId::new);
        let found = images.images(after, limit).await?;
        let mut lines = Vec::with_capacity(found.len());
        for image in &found {
            lines.push(ImageLine::read(images, image).await?);
        }
        let is_full = u32::try_from(lines.len()).is_ok_and(|read| read >= limit.max(1));
        let next = lines.last().filter(|_| is_full).map(|line| line.number);
        Ok(Self { images: lines, next })
    }
}

impl ImageDocument {
    /// Reads all about an image.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, image: &Image) -> Result<Self> {
        let references = images.references_of(image.id).await?;
        let held = images.leases_of(image.id).await?;
        let parent = match image.parent {
            Some(parent) => images.find_image(&parent.into()).await?.map(|parent| named(&parent.digest)),
            None => None,
        };
        let children = images.children(image.id).await?;
        let attachments = images.attachments(image.id).await?;
        Ok(Self {
            line: ImageLine::new(image, &references, held.len()),
            chain_id: image.chain_id.as_ref().map(named),
            parent,
            children: children.iter().map(|child| named(&child.digest)).collect(),
            chain: image
                .chain
                .layers()
                .iter()
                .map(|layer| LayerLine { digest: named(&layer.digest), size_bytes: layer.size_bytes })
                .collect(),
            attachments: attachments.into_iter().map(AttachmentLine::from).collect(),
            references: references.into_iter().map(NameLine::from).collect(),
            held: held.iter().map(|lease| LeaseLine::new(lease, &image.digest)).collect(),
        })
    }
}

impl From<Attachment> for AttachmentLine {
    fn from(attachment: Attachment) -> Self {
        Self {
            digest: named(&attachment.digest),
            role: attachment.role,
            size_bytes: attachment.size_bytes,
            media_type: attachment.media_type,
        }
    }
}

impl From<Reference> for NameLine {
    fn from(reference: Reference) -> Self {
        Self {
            name: reference.name,
            forked_from: reference.forked_from.as_ref().map(named),
            version: reference.version,
            updated_at: reference.updated_at.to_string(),
        }
    }
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

    /// Reads a page of leases, the oldest first, and where the next one begins.
    ///
    /// # Errors
    /// Of the database.
    pub async fn page(images: &Images, after: Option<i64>, limit: u32) -> Result<(Vec<Self>, Option<i64>)> {
        let found = images.leases(after.map(mainstay_images::Token::new), limit).await?;
        let is_full = u32::try_from(found.len()).is_ok_and(|read| read >= limit);
        let next = found.last().filter(|_| is_full).map(|info| info.lease.token.get());
        Ok((Self::named(images, &found).await?, next))
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

    /// Reads all leases, the oldest first.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images) -> Result<Vec<Self>> {
        let (mut lines, mut after) = (Vec::new(), None);
        loop {
            let page = images.leases(after, mainstay_images::MAX_PAGE).await?;
            let Some(last) = page.last() else { return Ok(lines) };
            after = Some(last.lease.token);
            lines.extend(Self::named(images, &page).await?);
        }
    }
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

impl From<&Claim> for ClaimLine {
    fn from(claim: &Claim) -> Self {
        let because = match claim {
            Claim::Image { claims, .. } => claims.iter().map(Self::from).collect(),
            _ => Vec::new(),
        };
        Self { text: claim.to_string(), because }
    }
}

impl UsageDocument {
    /// Reads who uses how much.
    ///
    /// # Errors
    /// Of the database and the medium.
    pub async fn read(images: &Images) -> Result<Self> {
        let usage: Usage = images.usage().await?;
        let lines = usage.images.into_iter().map(|image| UsageLine {
            digest: named(&image.digest),
            label: image.label,
            size_bytes: image.size_bytes,
            shared_bytes: image.shared_bytes,
            unique_bytes: image.unique_bytes,
        });
        Ok(Self {
            total_bytes: usage.total_bytes,
            unique_bytes: usage.unique_bytes,
            shared_bytes: usage.shared_bytes,
            unused_bytes: usage.unused_bytes,
            free_bytes: images.space().await?.free_bytes,
            quota_bytes: images.options().policy.max_bytes,
            images: lines.collect(),
        })
    }
}

impl From<Eviction> for EvictionLine {
    fn from(eviction: Eviction) -> Self {
        let reason = match eviction.reason {
            Reason::Age => "age",
            Reason::Room => "room",
            _ => "other",
        };
        Self {
            digest: named(&eviction.digest),
            label: eviction.label,
            reason,
            frees_bytes: eviction.frees_bytes,
            last_used_at: eviction.last_used_at.to_string(),
        }
    }
}

impl From<Plan> for PlanDocument {
    fn from(plan: Plan) -> Self {
        let blobs = plan.blobs.iter();
        let total = PlanTotal {
            evict: plan.evict.len(),
            blobs: plan.blobs.len(),
            orphans: plan.orphans.len(),
            missing: plan.missing.len(),
        };
        Self {
            total,
            evict: plan.evict.into_iter().map(EvictionLine::from).collect(),
            blobs: blobs
                .map(|(digest, size)| LayerLine { digest: named(digest), size_bytes: *size })
                .collect(),
            bytes: plan.bytes,
            orphans: plan.orphans,
            missing: plan.missing.iter().map(named).collect(),
        }
    }
}

impl From<CollectReport> for CollectionDocument {
    fn from(report: CollectReport) -> Self {
        Self {
            holders_reaped: report.holders_reaped,
            leases_reaped: report.leases_reaped,
            images_evicted: report.images_evicted,
            blobs_removed: report.blobs_removed,
            bytes_removed: report.bytes_removed,
            orphans_removed: report.orphans_removed,
            orphan_bytes: report.orphan_bytes,
            unlink_failures: report.unlink_failures,
            foreign_files: report.foreign_files,
            missing: report.missing.iter().map(named).collect(),
            waiting: report.waiting,
        }
    }
}

impl From<CollectRun> for CollectionLine {
    fn from(run: CollectRun) -> Self {
        Self {
            number: run.id,
            collector: run.collector,
            started_at: run.started_at.to_string(),
            ended_at: run.ended_at.to_string(),
            report: run.report.into(),
        }
    }
}

impl ScrubDocument {
    /// A report, with what is damaged now.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, report: ScrubReport) -> Result<Self> {
        let damaged = images.damaged_blobs().await?;
        Ok(Self {
            started_at: report.started_at.map(|at| at.to_string()),
            ended_at: report.ended_at.map(|at| at.to_string()),
            checked: report.checked,
            bytes: report.bytes,
            damaged: report.damaged,
            damaged_now: damaged
                .iter()
                .map(|blob| LayerLine { digest: named(&blob.digest), size_bytes: blob.size_bytes })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_lists_the_first_of_each_and_says_how_many_there_are() {
        let file = |at: usize| format!("blobs/ab/{at}");
        let mut plan = Plan::default();
        plan.orphans = (0..3).map(file).collect();
        plan.missing = vec![Digest::of(b"x")];
        let whole = PlanDocument::from(plan.clone()).listing(3);
        assert_eq!(whole.orphans.len(), 3);
        let listed = PlanDocument::from(plan).listing(2);
        assert_eq!((listed.orphans, listed.missing.len()), (vec![file(0), file(1)], 1));
        assert_eq!(listed.total, PlanTotal { evict: 0, blobs: 0, orphans: 3, missing: 1 });
    }
}
