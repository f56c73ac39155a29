//! Which image comes from which.

use mainstay_images::Lineage;
use serde::Serialize;

use super::named;

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
