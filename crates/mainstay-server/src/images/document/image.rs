//! Images: a line in a list, and one as a whole.

use mainstay_images::{Attachment, Image, ImageId, ImageKind, Images, Overview, Reference, Removed, Result};
use serde::Serialize;

use super::{LeaseLine, named, next};

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
    pub leases: u64,
    /// How many of its blobs are missing or wrong: while there is one, it cannot be leased or exported.
    pub damaged: usize,
    /// When it was first published.
    pub created_at: String,
    /// When it was last leased, to the minute.
    pub last_used_at: String,
    /// Its number in this store: where a page goes on.
    pub number: i64,
}

impl ImageLine {
    /// Reads what a list says of an image.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, image: &Image) -> Result<Self> {
        Ok(Self::new(image, overview(images, image).await?))
    }

    fn new(image: &Image, seen: Overview) -> Self {
        Self {
            digest: named(&image.digest),
            names: seen.names,
            label: image.label.clone(),
            kind: kind(image.kind),
            media_type: image.media_type.clone(),
            layers: image.chain.depth(),
            size_bytes: image.size_bytes,
            pinned: image.pinned,
            leases: seen.leases,
            damaged: seen.damaged.len(),
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

async fn overview(images: &Images, image: &Image) -> Result<Overview> {
    Ok(images.overview(&[image.id]).await?.remove(&image.id).unwrap_or_default())
}

/// A page of images.
#[derive(Debug, Clone, Serialize)]
pub struct ImagePage {
    /// The images.
    pub images: Vec<ImageLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl ImagePage {
    /// Reads a page of images behind a number, with their names and leases.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, after: Option<i64>, limit: u32) -> Result<Self> {
        let after = after.map(ImageId::new);
        let found = images.images(after, limit).await?;
        let ids: Vec<ImageId> = found.iter().map(|image| image.id).collect();
        let mut seen = images.overview(&ids).await?;
        let mut told = |image: &Image| ImageLine::new(image, seen.remove(&image.id).unwrap_or_default());
        let lines = found.iter().map(&mut told).collect();
        Ok(Self { next: next(&found, limit, |image| image.id.get()), images: lines })
    }
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
    /// Who uses it: the first 1,000 leases.
    pub held: Vec<LeaseLine>,
    /// The digests of its blobs that are missing or wrong.
    pub damaged_blobs: Vec<String>,
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
        let seen = overview(images, image).await?;
        let damaged = seen.damaged.iter().map(named).collect();
        Ok(Self {
            line: ImageLine::new(image, seen),
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
            damaged_blobs: damaged,
        })
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

const fn kind(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::Chain => "chain",
        ImageKind::Index => "index",
        ImageKind::Artifact => "artifact",
        // A kind that a later version adds.
        _ => "other",
    }
}
