//! A service's image store: begin with [`tour()`].

mod tour;

use std::error::Error;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::Arc;

use mainstay_images::files::DiskFiles;
use mainstay_images::{
    BlobKind, COMPONENT, Digest, HeldLease, ImageId, Images, ImagesOptions, Ingest, Layer, Node, Verify,
    WriterSpec,
};
use mainstay_repo::{Repo, Target};

pub use tour::{Stage, tour};

/// What this service's functions end in: the store's errors say what, why and how to mend it.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a service calls its layers.
const LAYER_TYPE: &str = "application/vnd.example.layer";

/// Opens the store: the database that the URL names, whose tables are brought up to date, and the directory of the blobs, which
/// must be there: it may be a mount.
///
/// # Errors
/// What is wrong with the URL, the database or the directory.
pub async fn open(url: &str, directory: &Path) -> Result<Images> {
    let repo = Repo::connect(url).await?;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await?;
    // A reserve is room that a collection gives back to a full disk. A service would keep the default.
    let options = ImagesOptions { reserve_bytes: 0, ..ImagesOptions::default() };
    Ok(Images::open(repo, Arc::new(DiskFiles::new(directory)), options).await?)
}

/// Brings a layer in, unless the store has it: then it is kept for this ingest, and nothing is written.
///
/// # Errors
/// There is no room; those of the database and the directory.
pub async fn bring(ingest: &Ingest, kind: BlobKind, octets: Vec<u8>) -> Result<Layer> {
    let (digest, size_bytes) = (Digest::of(&octets), octets.len() as u64);
    if !ingest.has(&digest, size_bytes).await? {
        let layer = WriterSpec::known(digest, size_bytes, kind, LAYER_TYPE);
        ingest.put(layer, Cursor::new(octets)).await?;
    }
    Ok(Layer { digest, size_bytes })
}

/// Runs a machine from an image: leases it under the machine's name and reads its layers, the base first. The node's heartbeat
/// renews the lease, and it is given back however this ends. Returns how many octets each layer had.
///
/// # Errors
/// The lease was lost before the end; those of the database and the directory.
pub async fn run(node: &Node, machine: &str, image: ImageId) -> Result<Vec<u64>> {
    node.with_image(machine, image, |lease| read(node.images(), lease)).await?
}

async fn read(images: &Images, lease: HeldLease) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for layer in images.resolve_chain(lease.image()).await?.layers() {
        // From when the lease is lost, the files may go. `with_image` tells that it was.
        if !lease.is_live() {
            break;
        }
        let mut file = images.open_blob(&layer.digest, Verify::Content).await?;
        sizes.push(tokio::task::spawn_blocking(move || io::copy(&mut file, &mut io::sink())).await??);
    }
    Ok(sizes)
}
