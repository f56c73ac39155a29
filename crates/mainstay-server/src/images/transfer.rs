//! Archives on their way in and out. Each lies in a file of its own that has no name, so that nothing of it outlives the process.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use mainstay_images::files::{DiskFiles, Files as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::room::{LOOK, Room};
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::start::OWNER_ONLY;

/// Octets that are read from a file at once.
const PIECE: usize = 256 * 1024;
/// In the data directory.
const DIRECTORY: &str = "transfers";
/// What begins the name of a directory in which an archive is written.
const EXPORT: &str = "export-";

/// Where archives lie meanwhile, and how many may.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    directory: PathBuf,
    incoming: Arc<Semaphore>,
    outgoing: Arc<Semaphore>,
    room: Arc<Room>,
    most_octets: u64,
    stall: Duration,
}

/// One archive on its way. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    directory: PathBuf,
    room: Arc<Room>,
    most_octets: u64,
    stall: Duration,
    _place: OwnedSemaphorePermit,
}

/// Whether a route takes as long as an archive does.
pub(crate) fn is_transfer(route: &str) -> bool {
    matches!(route, "/api/v1/images/import" | "/api/v1/images/commit" | "/api/v1/images/{image}/archive")
}

impl Transfers {
    pub(crate) fn new(data: &Path) -> Self {
        let directory = data.join(DIRECTORY);
        let disk = DiskFiles::new(&directory);
        Self {
            incoming: Arc::new(Semaphore::new(limits::TRANSFERS)),
            outgoing: Arc::new(Semaphore::new(limits::TRANSFERS)),
            room: Room::new(move || disk.space().map(|space| space.free_bytes), limits::DATA_FREE_BYTES),
            most_octets: limits::UPLOAD_BYTES,
            stall: limits::TRANSFER_STALL,
            directory,
        }
    }

    /// Removes what a killed server left. Of one that runs beside us, nothing: it has its directories locked.
    pub(crate) fn clean(&self) {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let left = entry.file_name().to_string_lossy().starts_with(EXPORT);
            if left && File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok()) {
                match std::fs::remove_dir_all(entry.path()) {
                    Ok(()) => {
                        tracing::info!(path = %entry.path().display(), "an archive was left on its way; removed")
                    }
                    Err(error) => {
                        tracing::warn!(path = %entry.path().display(), %error, "what was left of an archive stays");
                    }
                }
            }
        }
    }

    /// Begins to take one in.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] when too many are on their way in, or the directory cannot be made.
    pub(crate) fn incoming(&self) -> Result<Transfer, Problem> {
        self.begin(&self.incoming, "in")
    }

    /// Begins to give one out. Those who take archives out hold up nobody who brings one in.
    ///
    /// # Errors
    /// As [`Transfers::incoming`].
    pub(crate) fn outgoing(&self) -> Result<Transfer, Problem> {
        self.begin(&self.outgoing, "out")
    }

    fn begin(&self, places: &Arc<Semaphore>, way: &str) -> Result<Transfer, Problem> {
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} archives are on their way {way} already, as many as this server takes at once; try again later.",
                limits::TRANSFERS
            );
            Problem::new(ProblemKind::Unavailable, detail)
        })?;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(OWNER_ONLY).create(&self.directory);
        made.map_err(|error| failed(&error))?;
        Ok(Transfer {
            directory: self.directory.clone(),
            room: Arc::clone(&self.room),
            most_octets: self.most_octets,
            stall: self.stall,
            _place: place,
        })
    }
}

/// Why something could not be kept in the data directory.
pub(super) fn failed(error: &std::io::Error) -> Problem {
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
    /// Takes a body in. Nothing is kept of one that is too large for the limit or the disk, that breaks off, or that stands still.
    ///
    /// # Errors
    /// [`ProblemKind::TooLarge`]; [`ProblemKind::Malformed`] for one that breaks off or stands still; [`ProblemKind::Unavailable`]
    /// when there is no room for it.
    pub(crate) async fn receive(&self, body: Body, told: Option<u64>) -> Result<File, Problem> {
        if told.is_some_and(|octets| octets > self.most_octets) {
            return Err(self.too_large());
        }
        let mut promise = self.room.promise(told.unwrap_or(0)).await?;
        let directory = self.directory.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory)).await;
        let file =
            file.map_err(std::io::Error::other).and_then(|file| file).map_err(|error| failed(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let (mut stream, mut taken) = (body.into_data_stream(), 0_u64);
        while let Some(piece) = timeout(self.stall, stream.next()).await.map_err(|_| self.stands_still())? {
            let piece = piece.map_err(|error| {
                Problem::new(ProblemKind::Malformed, format!("The body broke off: {error}. Send it again."))
            })?;
            let octets = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            taken = taken.saturating_add(octets);
            if taken > self.most_octets {
                return Err(self.too_large());
            }
            promise.before(octets).await?;
            file.write_all(&piece).await.map_err(|error| failed(&error))?;
            promise.wrote(octets);
        }
        file.flush().await.map_err(|error| failed(&error))?;
        file.rewind().await.map_err(|error| failed(&error))?;
        Ok(file.into_std().await)
    }

    fn stands_still(&self) -> Problem {
        let detail = format!("Nothing of the body came for {} seconds. Send it again.", self.stall.as_secs());
        Problem::new(ProblemKind::Malformed, detail)
    }

    fn too_large(&self) -> Problem {
        let detail = format!(
            "At most {} octets are taken over HTTP; bring a larger one in on the machine: mainstay images import.",
            self.most_octets
        );
        Problem::new(ProblemKind::TooLarge, detail)
    }

    /// Writes an image of about so many octets as an archive, and gives it out octet by octet with its length.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] when there is no room for it; of the export. Nothing is sent then.
    pub(crate) async fn send(
        self,
        oci: mainstay_images::oci::Oci,
        image: &mainstay_images::ImageRef,
        octets: u64,
    ) -> Result<(u64, Body), Problem> {
        use mainstay_images::oci::Container;

        // Beside the blobs an archive has heads and documents.
        let promise = self.room.promise(octets.saturating_add(LOOK)).await?;
        // Private and removed with all that is in it, also when the export fails.
        let place = tempfile::Builder::new().prefix(EXPORT).tempdir_in(&self.directory);
        let place = place.map_err(|error| failed(&error))?;
        // So that no other process takes it for left over.
        let lock = File::open(place.path()).map_err(|error| failed(&error))?;
        lock.try_lock().map_err(|error| failed(&error.into()))?;
        let path = place.path().join("image.tar");
        // An index brings along what it lists, so that the size that was told is no bound.
        tokio::select! {
            exported = oci.export(image, &path, Container::Archive) => exported.map_err(mainstay_images::Error::from)?,
            refused = self.room.runs_out() => return Err(refused),
        }
        drop(promise);
        let file = tokio::fs::File::open(&path).await.map_err(|error| failed(&error))?;
        let length = file.metadata().await.map_err(|error| failed(&error))?.len();
        // The file lives on without a name until it was sent.
        drop(place);
        Ok((length, self.body(file, length)))
    }

    /// A file as a body. Whoever stops taking it, or takes too long over all of it, gets no more, and the place is free again: a task
    /// feeds the connection, since nobody asks a body anything whose receiver stands still.
    fn body(self, file: tokio::fs::File, length: u64) -> Body {
        let (feed, pieces) = mpsc::channel(1);
        tokio::spawn(self.feed(file, feed));
        let pieces = futures_util::stream::unfold((pieces, length), |(mut pieces, left)| async move {
            match pieces.recv().await {
                Some(Ok(piece)) => {
                    let left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    Some((Ok::<Bytes, std::io::Error>(piece), (pieces, left)))
                }
                Some(Err(error)) => Some((Err(error), (pieces, 0))),
                None if left == 0 => None,
                None => Some((Err(std::io::ErrorKind::TimedOut.into()), (pieces, 0))),
            }
        });
        Body::from_stream(pieces)
    }

    async fn feed(self, mut file: tokio::fs::File, feed: mpsc::Sender<std::io::Result<Bytes>>) {
        let end = Instant::now() + limits::TRANSFER_TIMEOUT;
        loop {
            let mut piece = vec![0; PIECE];
            let read = match file.read(&mut piece).await {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            match timeout_at(end.min(Instant::now() + self.stall), feed.send(read)).await {
                Ok(Ok(())) if !failed => {}
                Ok(_) => return,
                Err(_elapsed) => {
                    tracing::info!("an archive was not taken in time; its sending ends");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a limit of ten octets, and no patience.
    fn small(data: &Path) -> Transfers {
        Transfers { most_octets: 10, stall: Duration::from_millis(50), ..Transfers::new(data) }
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_and_while_it_comes() {
        let directory = tempfile::tempdir().unwrap();
        let transfer = small(directory.path()).incoming().unwrap();
        for (told, body) in [(Some(11), "short"), (None, "eleven octe"), (Some(10), "eleven octe")] {
            let refused = transfer.receive(Body::from(body), told).await.unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::TooLarge, "{told:?} {body}");
        }
        for told in [Some(10), None] {
            let kept = transfer.receive(Body::from("ten octets"), told).await.unwrap();
            assert_eq!(std::io::read_to_string(kept).unwrap(), "ten octets", "from its beginning");
        }
        let held = directory.path().join(DIRECTORY);
        assert!(std::fs::read_dir(&held).unwrap().next().is_none(), "it has no name");
    }

    /// Over a connection, in pieces whose sum nobody told.
    #[tokio::test]
    async fn what_is_sent_and_becomes_too_large_is_answered_and_not_kept() {
        const MOST: usize = 1024 * 1024;
        let directory = tempfile::tempdir().unwrap();
        let most_octets = u64::try_from(MOST).unwrap();
        let transfers = Transfers { most_octets, ..Transfers::new(directory.path()) };
        let held = transfers.clone();
        let take = async move |body: Body| {
            let file = held.incoming()?.receive(body, None).await?;
            Ok::<_, Problem>(file.metadata().unwrap().len().to_string())
        };
        let router = axum::Router::new()
            .route("/", axum::routing::post(take))
            .layer(axum::extract::DefaultBodyLimit::max(16));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        for (octets, status) in [(MOST, "200"), (MOST + 1, "413")] {
            let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
            let head =
                "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            connection.write_all(head.as_bytes()).await.unwrap();
            for piece in vec![b'x'; octets].chunks(64 * 1024) {
                connection.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
                connection.write_all(piece).await.unwrap();
                connection.write_all(b"\r\n").await.unwrap();
            }
            if octets == MOST {
                connection.write_all(b"0\r\n\r\n").await.unwrap();
            }
            let mut answer = String::new();
            let answered = timeout(Duration::from_secs(30), connection.read_to_string(&mut answer)).await;
            answered.expect("it is answered before all of it came").unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(octets == MOST || answer.contains("mainstay images import"), "{answer}");
        }
        assert_eq!(transfers.incoming.available_permits(), limits::TRANSFERS);
        assert!(std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn what_breaks_off_or_stands_still_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let transfer = small(directory.path()).incoming().unwrap();
        let broken = futures_util::stream::iter([Ok("half"), Err(std::io::Error::other("away"))]);
        let refused = transfer.receive(Body::from_stream(broken), None).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Malformed);
        let half = futures_util::stream::iter([Ok::<_, std::io::Error>("half")]);
        let still = Body::from_stream(half.chain(futures_util::stream::pending()));
        let refused = transfer.receive(still, None).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Malformed);
        assert!(refused.detail().starts_with("Nothing of the body came"), "{}", refused.detail());
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused_whether_its_length_is_told_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut transfers = small(directory.path());
        transfers.room = Room::new(|| Ok(1_005), 1_000);
        let transfer = transfers.incoming().unwrap();
        for told in [Some(6), None] {
            let refused = transfer.receive(Body::from("sixsix"), told).await.unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::Unavailable, "{told:?}");
        }
        transfer.receive(Body::from("five!"), Some(5)).await.unwrap();
    }

    #[tokio::test]
    async fn who_stops_taking_an_archive_gives_the_place_back_and_sees_that_it_is_not_whole() {
        let directory = tempfile::tempdir().unwrap();
        let transfers = small(directory.path());
        let octets = 8 * PIECE;
        let archive = || {
            let file = tempfile::tempfile().unwrap();
            file.set_len(u64::try_from(octets).unwrap()).unwrap();
            tokio::fs::File::from_std(file)
        };
        let length = u64::try_from(octets).unwrap();
        let whole = transfers.outgoing().unwrap().body(archive(), length);
        assert_eq!(axum::body::to_bytes(whole, usize::MAX).await.unwrap().len(), octets);
        let mut left: Vec<_> =
            (0..limits::TRANSFERS).map(|_| transfers.outgoing().unwrap().body(archive(), length)).collect();
        assert!(transfers.outgoing().is_err());
        while transfers.outgoing.available_permits() < limits::TRANSFERS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(axum::body::to_bytes(left.pop().unwrap(), usize::MAX).await.is_err());
    }

    #[test]
    fn so_many_are_on_their_way_at_once_and_no_more_each_way() {
        let directory = tempfile::tempdir().unwrap();
        let transfers = Transfers::new(directory.path());
        let mut held: Vec<_> = (0..limits::TRANSFERS).map(|_| transfers.outgoing().unwrap()).collect();
        assert_eq!(transfers.outgoing().unwrap_err().kind(), ProblemKind::Unavailable);
        transfers.incoming().unwrap();
        held.pop();
        transfers.outgoing().unwrap();
    }

    #[test]
    fn what_a_killed_server_left_is_removed_and_what_another_writes_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let transfers = Transfers::new(directory.path());
        transfers.clean();
        let held = directory.path().join(DIRECTORY);
        for name in ["export-left", "export-written", "notes"] {
            std::fs::create_dir_all(held.join(name)).unwrap();
            std::fs::write(held.join(name).join("image.tar"), "part").unwrap();
        }
        let lock = File::open(held.join("export-written")).unwrap();
        lock.try_lock().unwrap();
        transfers.clean();
        assert!(!held.join("export-left").exists());
        assert!(held.join("export-written").exists() && held.join("notes").exists());
    }
}
