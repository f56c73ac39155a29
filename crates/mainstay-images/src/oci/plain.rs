//! The documents of an image that was derived without any, worked out from its layers.

use std::io::BufReader;

use super::commit;
use super::derived::{self, Added, Documents, History};
use super::document::{Descriptor, Platform};
use super::error::{Error, Result};
use super::layer;
use super::layout::blocking;
use super::limits::Limits;
use super::media::{self, Kind};
use super::store::{OCTETS, StoreSource, own_document};
use crate::image::is_media_type;
use crate::{Image, Images, Verify};

/// What follows from the layers and from nothing else, so that it is the same each time.
///
/// Where the nearest ancestor with documents is an image, and all layers above it are archives, these lie on that image as a
/// [`Commit`](super::Commit) would lay them: each is read once, for the digest of what it decompresses to. Any other chain is an
/// artefact.
pub(super) async fn documents(images: &Images, image: &Image, limits: &Limits) -> Result<Documents> {
    let mut layers = Vec::with_capacity(image.chain.depth());
    for layer in image.chain.layers() {
        let blob = images.blob(&layer.digest).await.map_err(Error::store)?;
        // What was published before media types were checked may have any text for one, and a manifest must not.
        let known = Some(blob.media_type.as_str()).filter(|own| is_media_type(own));
        layers.push(Descriptor::new(known.unwrap_or(OCTETS), layer.digest, layer.size_bytes));
    }
    for ancestor in images.parents(image.id).await.map_err(Error::store)? {
        let Some(root) = own_document(images, &ancestor).await? else { continue };
        let above = layers.get(ancestor.chain.depth()..).unwrap_or_default();
        let archives = above.iter().all(|layer| matches!(media::kind(&layer.media_type), Kind::Layer(_)));
        // An ancestor of the same kind of artefact has nothing that could be built on.
        let Ok(below) = commit::below(&StoreSource::stored(images.clone()), root).await else { break };
        if !archives {
            break;
        }
        let history = History { created_by: Some("mainstay".to_owned()), ..History::default() };
        let mut added = Vec::with_capacity(above.len());
        for layer in above {
            added.push((read(images, layer, limits).await?, history.clone()));
        }
        return derived::over(Some(&below), &Platform::new("", ""), &added);
    }
    derived::chain(&layers)
}

/// Reads a layer for the digest of what it decompresses to, and refuses what an import would refuse.
async fn read(images: &Images, layer: &Descriptor, limits: &Limits) -> Result<Added> {
    let Kind::Layer(compression) = media::kind(&layer.media_type) else {
        return Err(Error::new(super::ErrorKind::Invalid, format!("{} is no archive", layer.digest)));
    };
    let opened = images.open_blob(&layer.digest.0, Verify::Size).await.map_err(Error::store)?;
    let (size, limits) = (layer.size, limits.clone());
    let checked = blocking(move || {
        layer::check(BufReader::with_capacity(256 * 1024, opened), compression, size, &limits)
    });
    let checked = checked.await.map_err(|error| error.about(layer.digest))?;
    let descriptor = Descriptor::new(derived::layer_type(compression), layer.digest.0, layer.size);
    Ok(Added { descriptor, diff_id: checked.diff_id })
}
