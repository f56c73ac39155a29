//! The image store of a configuration: opened beside the database, and collected while the server runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_images::files::DiskFiles;
use mainstay_images::{CollectOptions, ErrorKind, Images, ImagesOptions, Policy, Tranquility};
use mainstay_repo::Repo;
use tokio::time::Instant;

use crate::config::{Config, ImageSettings};
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::start::{StartError, prepare_data};

/// The store as a running server has it.
pub enum ImageStore {
    /// It is open.
    Open(Images),
    /// The directory of the data directory is not that of the database, and nobody asked for images by name: everything else
    /// works.
    Elsewhere(String),
}

impl fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(images) => f.debug_tuple("Open").field(&images.store_id()).finish(),
            Self::Elsewhere(why) => f.debug_tuple("Elsewhere").field(why).finish(),
        }
    }
}

/// How the store of a configuration is opened.
#[must_use]
pub fn image_options(settings: &ImageSettings) -> ImagesOptions {
    let policy = Policy { max_bytes: settings.quota_bytes, keep_unclaimed: settings.keep, ..Policy::DEFAULT };
    ImagesOptions { policy, ..ImagesOptions::default() }
}

/// Opens the image store of a database, whose tables are there. The default directory is made when it is missing; one that was
/// asked for by name is not, since what is missing then is likely a mount.
///
/// # Errors
/// [`StartError::Data`], [`StartError::Images`].
pub async fn open_images(repo: Repo, config: &Config) -> Result<Images, StartError> {
    let settings = &config.images;
    if settings.is_default {
        prepare_data(&settings.directory)?;
    }
    let files = Arc::new(DiskFiles::new(&settings.directory));
    Images::open(repo, files, image_options(settings)).await.map_err(StartError::Images)
}

impl ImageStore {
    /// The store, for a request.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`] when this server keeps no images.
    pub(crate) fn opened(&self) -> Result<&Images, Problem> {
        match self {
            Self::Open(images) => Ok(images),
            Self::Elsewhere(_) => Err(Problem::new(
                ProblemKind::NotFound,
                "This server keeps no images: those of its database lie in a directory that it was not given. Start it with \
                 --images and that directory.",
            )),
        }
    }

    /// What an operator should know of the store, though it keeps no user away; for `/readyz`.
    pub(crate) const fn complaint(&self) -> Option<&'static str> {
        match self {
            Self::Open(_) => None,
            Self::Elsewhere(_) => Some(
                "images: this server keeps none, since those of its database lie in a directory that it was not given; \
                 start it with --images and that directory",
            ),
        }
    }

    /// Opens the store for a server. A directory that nobody asked for does not keep it from starting.
    pub(crate) async fn start(repo: Repo, config: &Config) -> Result<Self, StartError> {
        match open_images(repo, config).await {
            Ok(images) => Ok(Self::Open(images)),
            Err(StartError::Images(error))
                if config.images.is_default && *error.kind() == ErrorKind::Medium =>
            {
                tracing::warn!(
                    directory = %config.images.directory.display(),
                    %error,
                    "this server keeps no images: those of the database lie elsewhere; give --images the directory where they lie"
                );
                Ok(Self::Elsewhere(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Collects again and again: what ended, what no image uses, what the policy lets go. Of several servers the database lets one at a
/// time; one that is killed on another machine holds the others up for a minute.
pub(crate) async fn collect_for_ever(images: Images, every: Duration) {
    let collector = format!("serve:{}:{}", crate::claim::machine(), std::process::id());
    let mut last_full = Instant::now();
    loop {
        tokio::time::sleep(every).await;
        let full = last_full.elapsed() >= limits::COLLECT_FULL_EVERY;
        let options = CollectOptions {
            evict: true,
            full,
            tranquility: Tranquility(limits::COLLECT_REST),
            ..CollectOptions::default()
        };
        match images.collect(&collector, &options).await {
            Ok(report) => {
                if full {
                    last_full = Instant::now();
                }
                if !report.missing.is_empty() {
                    tracing::error!(
                        blobs = report.missing.len(),
                        "images lack blobs on disk; mainstay images scrub tells which"
                    );
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::CollectingOff) => {
                tracing::debug!(%error, "not collected");
            }
            Err(error) => tracing::warn!(%error, "images were not collected; the next round tries again"),
        }
    }
}
