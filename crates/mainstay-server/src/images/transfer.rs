//! Archives on their way in and out. Each lies in a file of its own that has no name, so that nothing of it outlives the process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use futures_util::StreamExt as _;
use mainstay_images::files::{DiskFiles, Files as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::start::OWNER_ONLY;

/// Octets that are read from a file at once.
const PIECE: usize = 256 * 1024;
/// In the data directory.
const DIRECTORY: &str = "transfers";

/// Where archives lie meanwhile, and how many may.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    directory: PathBuf,
    places: Arc<Semaphore>,
}

/// One archive on its way. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    directory: PathBuf,
    _place: OwnedSemaphorePermit,
}

/// Whether a route takes as long as an archive does.
pub(crate) fn is_transfer(route: &str) -> bool {
    matches!(route, "/api/v1/images/import" | "/api/v1/images/commit" | "/api/v1/images/{image}/archive")
}

impl Transfers {
    pub(crate) fn new(data: &Path) -> Self {
        Self { directory: data.join(DIRECTORY), places: Arc::new(Semaphore::new(limits::TRANSFERS)) }
    }

    /// Begins one.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] when too many are on their way, or the directory cannot be made.
    pub(crate) fn begin(&self) -> Result<Transfer, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} archives are on their way already, as many as this server takes at once; try again later.",
                limits::TRANSFERS
            );
            Problem::new(ProblemKind::Unavailable, detail)
        })?;
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), OWNER_ONLY);
        builder.create(&self.directory).map_err(|error| failed(&error))?;
        Ok(Transfer { directory: self.directory.clone(), _place: place })
    }
}

fn failed(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an archive on its way could not be kept in the data directory");
    let detail = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "The disk of the data directory is full; nothing was kept."
        }
        _ => "The archive could not be kept on its way; the operator finds the cause in the log.",
    };
    Problem::new(ProblemKind::Unavailable, detail)
}

impl Transfer {
    /// Takes a body in. Nothing is kept of one that is too large for the limit or the disk, or that breaks off.
    ///
    /// # Errors
    /// [`ProblemKind::TooLarge`]; [`ProblemKind::Malformed`] for one that breaks off; [`ProblemKind::Unavailable`] when the disk is full.
    pub(crate) async fn receive(&self, body: Body, told: Option<u64>) -> Result<File, Problem> {
        self.check_room(told).await?;
        let directory = self.directory.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory)).await;
        let file =
            file.map_err(std::io::Error::other).and_then(|file| file).map_err(|error| failed(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let (mut stream, mut taken) = (body.into_data_stream(), 0_u64);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| {
                Problem::new(ProblemKind::Malformed, format!("The body broke off: {error}. Send it again."))
            })?;
            taken = taken.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if taken > limits::UPLOAD_BYTES {
                return Err(too_large());
            }
            file.write_all(&piece).await.map_err(|error| failed(&error))?;
        }
        file.flush().await.map_err(|error| failed(&error))?;
        file.rewind().await.map_err(|error| failed(&error))?;
        Ok(file.into_std().await)
    }

    /// Refuses what will not fit before it is sent.
    async fn check_room(&self, told: Option<u64>) -> Result<(), Problem> {
        let Some(octets) = told else { return Ok(()) };
        if octets > limits::UPLOAD_BYTES {
            return Err(too_large());
        }
        let files = DiskFiles::new(&self.directory);
        let space = tokio::task::spawn_blocking(move || files.space()).await;
        let space = space.map_err(std::io::Error::other).and_then(|it| it).map_err(|error| failed(&error))?;
        if octets > space.free_bytes {
            let detail = format!(
                "The body has {octets} octets and the disk of the data directory has {} free; nothing was kept.",
                space.free_bytes
            );
            return Err(Problem::new(ProblemKind::Unavailable, detail));
        }
        Ok(())
    }

    /// Writes an image as an archive, and gives it out octet by octet with its length.
    ///
    /// # Errors
    /// Of the export; nothing is sent then.
    pub(crate) async fn send(
        self,
        oci: mainstay_images::oci::Oci,
        image: &mainstay_images::ImageRef,
    ) -> Result<(u64, Body), Problem> {
        use mainstay_images::oci::Container;

        // Private and removed with all that is in it, also when the export fails.
        let place = tempfile::Builder::new().prefix("export-").tempdir_in(&self.directory);
        let place = place.map_err(|error| failed(&error))?;
        let path = place.path().join("image.tar");
        oci.export(image, &path, Container::Archive).await.map_err(mainstay_images::Error::from)?;
        let file = tokio::fs::File::open(&path).await.map_err(|error| failed(&error))?;
        let length = file.metadata().await.map_err(|error| failed(&error))?.len();
        // The file lives on without a name until it was sent.
        drop(place);
        let pieces = futures_util::stream::unfold((file, self), |(mut file, transfer)| async move {
            let mut piece = vec![0; PIECE];
            match file.read(&mut piece).await {
                Ok(0) => None,
                Ok(read) => {
                    piece.truncate(read);
                    Some((Ok(axum::body::Bytes::from(piece)), (file, transfer)))
                }
                Err(error) => Some((Err(error), (file, transfer))),
            }
        });
        Ok((length, Body::from_stream(pieces)))
    }
}

fn too_large() -> Problem {
    let detail = format!(
        "At most {} octets are taken over HTTP; bring a larger one in on the machine: mainstay images import.",
        limits::UPLOAD_BYTES
    );
    Problem::new(ProblemKind::TooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_and_while_it_comes() {
        let directory = tempfile::tempdir().unwrap();
        let transfers = Transfers::new(directory.path());
        let transfer = transfers.begin().unwrap();
        let told = |octets| transfer.check_room(Some(octets));
        assert_eq!(told(limits::UPLOAD_BYTES + 1).await.unwrap_err().kind(), ProblemKind::TooLarge);
        assert!(told(1).await.is_ok());
        let kept = transfer.receive(Body::from("an archive"), None).await.unwrap();
        assert_eq!(std::io::read_to_string(kept).unwrap(), "an archive", "from its beginning");
        let held = directory.path().join(DIRECTORY);
        assert!(std::fs::read_dir(&held).unwrap().next().is_none(), "it has no name");
        let broken = futures_util::stream::iter([Ok("half"), Err(std::io::Error::other("away"))]);
        let refused = transfer.receive(Body::from_stream(broken), None).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Malformed);
    }

    #[test]
    fn so_many_are_on_their_way_at_once_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let transfers = Transfers::new(directory.path());
        let mut held: Vec<_> = (0..limits::TRANSFERS).map(|_| transfers.begin().unwrap()).collect();
        assert_eq!(transfers.begin().unwrap_err().kind(), ProblemKind::Unavailable);
        held.pop();
        transfers.begin().unwrap();
    }
}
