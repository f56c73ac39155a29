//! Which of the images of an index is meant, and whether an image is for the platform that was asked for.

use serde::Deserialize;

use super::content::Source;
use super::document::{Descriptor, Index, Manifest, Platform, check_size};
use super::error::{Error, ErrorKind, Result};
use super::graph::{blob, document, too_deep};
use super::limits::MAX_INDEX_DEPTH;
use super::media::{self, Kind};

/// How many platforms an error tells of; an index may list a thousand.
const TOLD: usize = 8;

/// Which images of an index are copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Select {
    /// All, and the index.
    #[default]
    All,
    /// The first that runs on a platform, alone; of what is no index, the image itself, if it is for that platform.
    Platform(Platform),
}

/// What an image's configuration says of the machine that it is for.
#[derive(Deserialize)]
struct Machine {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

/// The image that is meant by a root and a selection.
///
/// # Errors
/// [`ErrorKind::OtherPlatform`] for an image, or an index, that is not for the platform, or does not say so; as reading its documents.
pub(super) async fn select(source: &dyn Source, root: Descriptor, select: &Select) -> Result<Descriptor> {
    let Select::Platform(wanted) = select else { return Ok(root) };
    let mut found = root;
    for _ in 0..MAX_INDEX_DEPTH {
        if media::kind(&found.media_type) != Kind::Index {
            return of_image(source, found, wanted).await;
        }
        let index = Index::parse(&document(source, &found).await?)?;
        let accepts =
            |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|offered| wanted.accepts(offered));
        let Some(chosen) = index.manifests.iter().find(accepts) else {
            return Err(other(wanted, index.manifests.iter().filter_map(|entry| entry.platform.as_ref())));
        };
        found = chosen.clone();
    }
    if media::kind(&found.media_type) == Kind::Index { Err(too_deep()) } else { Ok(found) }
}

/// An image that is no index, if it is for the platform.
async fn of_image(source: &dyn Source, image: Descriptor, wanted: &Platform) -> Result<Descriptor> {
    let offered = match &image.platform {
        // What lists it says so, as it does of those in an index.
        Some(listed) => Some(listed.clone()),
        None => machine(source, &image).await?,
    };
    if offered.as_ref().is_some_and(|offered| wanted.accepts(offered)) {
        return Ok(image);
    }
    Err(other(wanted, offered.iter()))
}

/// What the configuration of an image says; none where there is no configuration, or it says nothing.
async fn machine(source: &dyn Source, image: &Descriptor) -> Result<Option<Platform>> {
    if media::kind(&image.media_type) != Kind::Manifest {
        return Ok(None);
    }
    let config = Manifest::parse(&document(source, image).await?)?.config;
    if media::kind(&config.media_type) != Kind::Config {
        return Ok(None);
    }
    check_size(config.size)?;
    // The walk that follows refuses a configuration that cannot be read, and says why.
    let read = serde_json::from_slice(&blob(source, &config).await?).ok();
    Ok(read.and_then(|machine: Machine| {
        let (os, architecture) = (machine.os?, machine.architecture?);
        Some(Platform { os, architecture, variant: machine.variant.filter(|variant| !variant.is_empty()) })
    }))
}

fn other<'a>(wanted: &Platform, offered: impl Iterator<Item = &'a Platform>) -> Error {
    let mut told: Vec<String> = offered.map(ToString::to_string).collect();
    told.sort_unstable();
    told.dedup();
    let more = if told.len() > TOLD { " and others" } else { "" };
    told.truncate(TOLD);
    let text = if told.is_empty() {
        format!(
            "the image does not say for which platform it is, and {wanted} was asked for; ask for none to have it as it is"
        )
    } else {
        let told = told.join(", ");
        format!(
            "the image is made for {told}{more}, and not for {wanted}; ask for a platform that it has, or for none"
        )
    };
    Error::new(ErrorKind::OtherPlatform, text)
}

#[cfg(test)]
mod tests;
