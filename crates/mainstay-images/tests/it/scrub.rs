//! Reading everything again on media that cannot give something back, and at the pace and in the pieces that large layers ask for.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind as IoErrorKind, Read, Result as IoResult, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay_images::files::{DiskFiles, Files, ReadFile, Space, StagedFile};
use mainstay_images::*;
use mainstay_testkit::{TestDatabase, for_each_database};

use crate::support::{World, digest, options};

const EIO: i32 = 5;
const EACCES: i32 = 13;

/// A directory on a medium that fails.
#[derive(Debug, Default)]
struct Failing {
    /// The error of reading a file, by a part of its path, and how often.
    reads: Mutex<BTreeMap<String, (i32, u32)>>,
    /// The error of making a file.
    creates: Mutex<Option<i32>>,
    /// How many files may be made before the error of making one.
    creates_left: Mutex<Option<(u32, i32)>>,
    /// The error of renaming.
    renames: Mutex<Option<i32>>,
}

#[derive(Debug, Clone)]
struct Medium {
    inner: DiskFiles,
    failing: Arc<Failing>,
    /// Its files hold as many zeros as they should, and take no room.
    zeros: Option<Arc<Zeros>>,
}

#[derive(Debug, Default)]
struct Zeros {
    sizes: Mutex<BTreeMap<String, u64>>,
    /// The longest time between two reads of one file.
    longest_rest: Mutex<Duration>,
}

struct Bad(i32);

impl Read for Bad {
    fn read(&mut self, _: &mut [u8]) -> IoResult<usize> {
        Err(IoError::from_raw_os_error(self.0))
    }
}

struct Opened {
    file: Box<dyn ReadFile>,
    bad: Option<Bad>,
    zeros: Option<(std::io::Take<std::io::Repeat>, u64, Arc<Zeros>)>,
    last: Option<Instant>,
}

impl Read for Opened {
    fn read(&mut self, octets: &mut [u8]) -> IoResult<usize> {
        if let Some(bad) = &mut self.bad {
            return bad.read(octets);
        }
        let Some((zeros, _, noted)) = &mut self.zeros else { return self.file.read(octets) };
        let now = now_of_the_machine();
        if let Some(last) = self.last.replace(now) {
            let mut longest = noted.longest_rest.lock().unwrap();
            *longest = longest.max(now - last);
        }
        zeros.read(octets)
    }
}

/// Tests measure how long something took.
#[allow(clippy::disallowed_methods, reason = "a measurement, and no time that anything is decided by")]
fn now_of_the_machine() -> Instant {
    Instant::now()
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.file.seek(to)
    }
}

impl ReadFile for Opened {
    fn size(&self) -> IoResult<u64> {
        self.zeros.as_ref().map_or_else(|| self.file.size(), |(_, size, _)| Ok(*size))
    }
}

/// Counts what it is given, and keeps none of it.
struct Swallowing(Box<dyn StagedFile>);

impl Write for Swallowing {
    fn write(&mut self, octets: &[u8]) -> IoResult<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl StagedFile for Swallowing {
    fn sync(&mut self) -> IoResult<()> {
        self.0.sync()
    }
}

impl Medium {
    fn size_of_zeros(&self, path: &str) -> Option<u64> {
        let sizes = self.zeros.as_ref()?.sizes.lock().unwrap();
        sizes.iter().find(|(digest, _)| path.contains(*digest)).map(|(_, size)| *size)
    }
}

impl Files for Medium {
    fn create(&self, path: &str) -> IoResult<Box<dyn StagedFile>> {
        if let Some(code) = *self.failing.creates.lock().unwrap() {
            return Err(IoError::from_raw_os_error(code));
        }
        if let Some((left, code)) = &mut *self.failing.creates_left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| IoError::from_raw_os_error(*code))?;
        }
        let file = self.inner.create(path)?;
        Ok(if self.zeros.is_some() { Box::new(Swallowing(file)) } else { file })
    }

    fn open(&self, path: &str) -> IoResult<Box<dyn ReadFile>> {
        let file = self.inner.open(path)?;
        let mut reads = self.failing.reads.lock().unwrap();
        let failing = reads.iter_mut().find(|(part, (_, left))| path.contains(*part) && *left > 0);
        let bad = failing.map(|(_, (code, left))| {
            *left -= 1;
            Bad(*code)
        });
        let zeros = self.size_of_zeros(path).zip(self.zeros.clone());
        let zeros = zeros.map(|(size, zeros)| (std::io::repeat(0).take(size), size, zeros));
        Ok(Box::new(Opened { file, bad, zeros, last: None }))
    }

    fn size(&self, path: &str) -> IoResult<u64> {
        let size = self.inner.size(path)?;
        Ok(self.size_of_zeros(path).unwrap_or(size))
    }

    fn rename(&self, from: &str, to: &str) -> IoResult<()> {
        if let Some(code) = *self.failing.renames.lock().unwrap() {
            return Err(IoError::from_raw_os_error(code));
        }
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> IoResult<()> {
        self.inner.rename_new(from, to)
    }

    fn unlink(&self, path: &str) -> IoResult<()> {
        self.inner.unlink(path)
    }

    fn list(&self, directory: &str) -> IoResult<Vec<String>> {
        self.inner.list(directory)
    }

    fn create_dir(&self, directory: &str) -> IoResult<()> {
        self.inner.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> IoResult<()> {
        self.inner.sync_dir(directory)
    }

    fn space(&self) -> IoResult<Space> {
        self.inner.space()
    }
}

/// A store with five layers on a medium that may fail, and their digests in the order in which a scrub reads them.
async fn on_a_medium(database: &TestDatabase) -> (World, Arc<Failing>, Image, Vec<Digest>) {
    let world = World::new(database).await;
    let failing = Arc::<Failing>::default();
    let inner = DiskFiles::new(world.directory.path());
    let medium = Medium { inner, failing: Arc::clone(&failing), zeros: None };
    let images = Images::open(world.repo.clone(), Arc::new(medium), options()).await.unwrap();
    let world = World { images, ..world };
    let texts = ["one", "two", "three", "four", "five"];
    let image = world.publish(&world.node().await, &texts).await;
    let mut digests: Vec<Digest> = texts.iter().map(|text| digest(text)).collect();
    digests.sort_unstable();
    (world, failing, image, digests)
}

async fn fails(world: &World, failing: &Failing, digest: &Digest, code: i32, times: u32) {
    let path = world.path_of(digest).await;
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    failing.reads.lock().unwrap().insert(format!("/{name}"), (code, times));
}

#[tokio::test]
async fn a_file_that_the_medium_lost_is_found_told_and_repaired() {
    for_each_database(async |database| {
        let (world, failing, image, digests) = on_a_medium(database).await;
        for rotten in [&digests[0], &digests[2]] {
            let path = world.path_of(rotten).await;
            let length = std::fs::metadata(&path).unwrap().len();
            std::fs::write(&path, "x".repeat(usize::try_from(length).unwrap())).unwrap();
        }
        fails(&world, &failing, &digests[1], EIO, u32::MAX).await;
        // What is given back at the second look is well.
        fails(&world, &failing, &digests[3], EIO, 1).await;
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert!(report.ended_at.is_some());
        assert_eq!((report.checked, report.damaged), (5, 3));
        let mut findings = world.images.findings(None, 10).await.unwrap();
        findings.sort_unstable_by_key(|finding| finding.digest);
        let told: Vec<_> = findings.iter().map(|it| (it.digest, it.fault, it.state)).collect();
        let open = FindingState::Open;
        assert_eq!(
            told,
            [
                (digests[0], Fault::Wrong, open),
                (digests[1], Fault::Unreadable, open),
                (digests[2], Fault::Wrong, open)
            ]
        );
        assert!(findings[1].unreadable.as_ref().unwrap().contains("os error 5"), "{findings:?}");
        assert_eq!(findings[0].unreadable, None);
        let node = world.node().await;
        assert_eq!(node.acquire("vm", image.id).await.unwrap_err().kind(), &ErrorKind::Incomplete);
        // The same content again repairs it: the file that cannot be read is not adopted.
        world.publish(&node, &["one", "two", "three", "four", "five"]).await;
        node.acquire("vm", image.id).await.unwrap();
        for digest in &digests {
            world.images.open_blob(digest, Verify::Content).await.unwrap();
        }
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!((report.checked, report.damaged), (5, 0));
        world.images.collect("c", &CollectOptions { full: true, ..Default::default() }).await.unwrap();
        assert_eq!(world.files().len(), 5, "nothing is left in quarantine");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_decided_of_files_while_the_medium_takes_nothing() {
    for_each_database(async |database| {
        let (world, failing, _, digests) = on_a_medium(database).await;
        fails(&world, &failing, &digests[1], EIO, u32::MAX).await;
        *failing.creates.lock().unwrap() = Some(EIO);
        let error = world.images.scrub(&ScrubOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Medium);
        assert_eq!(world.images.damaged_count().await.unwrap(), 0);
        assert_eq!(world.images.scrub_report().await.unwrap().checked, 0, "the next call begins there");
        // A full disk is there.
        *failing.creates.lock().unwrap() = Some(28);
        assert_eq!(world.images.scrub(&ScrubOptions::default()).await.unwrap().damaged, 1);
        assert_eq!(std::fs::read_dir(world.directory.path()).unwrap().count(), 4, "no probe is left");
    })
    .await;
}

#[tokio::test]
async fn files_that_may_not_be_read_keep_no_other_from_being_read() {
    for_each_database(async |database| {
        let (world, failing, _, digests) = on_a_medium(database).await;
        for digest in [&digests[0], &digests[3]] {
            fails(&world, &failing, digest, EACCES, u32::MAX).await;
        }
        // In pieces, as the command line reads: each call tells of its own.
        let (mut options, mut told) =
            (ScrubOptions { most_blobs: Some(1), ..ScrubOptions::default() }, Vec::new());
        let report = loop {
            let report = world.images.scrub(&options).await.unwrap();
            told.extend(report.unread.clone());
            if report.ended_at.is_some() {
                break report;
            }
            options.pass = report.started_at;
        };
        assert_eq!((report.checked, report.damaged), (3, 0));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].first.contains(&digests[0].to_string()), "{told:?}");
        let all = told[0].clone().and(Some(told[1].clone()));
        assert!(all.error().message().contains("2 file(s) could not be read"), "{all:?}");
        assert_eq!(world.images.findings(None, 10).await.unwrap(), []);
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!(report.unread.as_ref().map(|unread| unread.files), Some(2));
        assert_eq!(report.told().unwrap_err().kind(), &ErrorKind::Medium);
    })
    .await;
}

#[tokio::test]
async fn a_medium_that_comes_and_goes_loses_nothing() {
    for_each_database(async |database| {
        let (world, failing, _, digests) = on_a_medium(database).await;
        fails(&world, &failing, &digests[1], EIO, u32::MAX).await;
        // It is there for the first proof, and away again behind the second look.
        *failing.creates_left.lock().unwrap() = Some((1, EIO));
        assert_eq!(
            world.images.scrub(&ScrubOptions::default()).await.unwrap_err().kind(),
            &ErrorKind::Medium
        );
        assert_eq!(world.images.damaged_count().await.unwrap(), 0);
        *failing.creates_left.lock().unwrap() = None;
        assert_eq!(world.images.scrub(&ScrubOptions::default()).await.unwrap().damaged, 1);
    })
    .await;
}

#[tokio::test]
async fn a_medium_that_takes_nothing_by_somebodys_will_is_read_to_its_end() {
    for_each_database(async |database| {
        let (world, failing, _, digests) = on_a_medium(database).await;
        let path = world.path_of(&digests[2]).await;
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::write(&path, "x".repeat(usize::try_from(length).unwrap())).unwrap();
        fails(&world, &failing, &digests[0], EACCES, u32::MAX).await;
        fails(&world, &failing, &digests[1], EIO, u32::MAX).await;
        let read_only = 30;
        *failing.creates.lock().unwrap() = Some(read_only);
        // Nor can what is wrong be set aside.
        *failing.renames.lock().unwrap() = Some(read_only);
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert!(report.ended_at.is_some());
        assert_eq!((report.checked, report.damaged), (3, 1));
        assert_eq!(report.unread.unwrap().files, 2);
        assert!(path.exists());
        assert_eq!(world.images.damaged_blobs().await.unwrap()[0].digest, digests[2]);
    })
    .await;
}

const MIB: u64 = 1 << 20;

/// A store of layers of zeros, each of another size.
async fn of_zeros(database: &TestDatabase, sizes: &[u64]) -> (World, Arc<Zeros>) {
    let world = World::new(database).await;
    let zeros = Arc::<Zeros>::default();
    let inner = DiskFiles::new(world.directory.path());
    let medium = Medium { inner, failing: Arc::default(), zeros: Some(Arc::clone(&zeros)) };
    let images = Images::open(world.repo.clone(), Arc::new(medium), options()).await.unwrap();
    let world = World { images, ..world };
    let ingest = world.node().await.ingest();
    let mut layers = Vec::new();
    for (place, size) in sizes.iter().enumerate() {
        let kind = if place == 0 { BlobKind::Base } else { BlobKind::Delta };
        let staged = ingest.put(crate::support::spec(kind), std::io::repeat(0).take(*size)).await.unwrap();
        zeros.sizes.lock().unwrap().insert(staged.digest.to_string(), *size);
        layers.push(staged.digest);
    }
    crate::support::commit(&ingest, NewImage::chain(layers)).await;
    (world, zeros)
}

#[tokio::test]
async fn a_scrub_rests_in_the_middle_of_a_large_layer() {
    let (world, zeros) = of_zeros(&TestDatabase::sqlite(), &[130 * MIB]).await;
    world.images.scrub(&ScrubOptions::default()).await.unwrap();
    let without = std::mem::take(&mut *zeros.longest_rest.lock().unwrap());
    // So long that no scheduler explains it.
    let options = ScrubOptions { tranquility: Tranquility(100_000), ..ScrubOptions::default() };
    world.images.scrub(&options).await.unwrap();
    let with = *zeros.longest_rest.lock().unwrap();
    assert!(with > without * 5 && with > Duration::from_secs(1), "{with:?} {without:?}");
}

/// Ends the process before the given look.
#[derive(Debug)]
struct EndsAtLook(AtomicU32);

#[mainstay_repo::middleware::async_trait]
impl Steps for EndsAtLook {
    async fn before(&self, step: Step) -> Result<()> {
        if step == Step::ScrubLook && self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(Error::new(ErrorKind::Internal, "the power is gone"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_scrub_notes_how_far_it_came_after_256_mebibytes() {
    let (world, zeros) = of_zeros(&TestDatabase::sqlite(), &[256 * MIB, 256 * MIB + 1, MIB]).await;
    let inner = DiskFiles::new(world.directory.path());
    let medium = Medium { inner, failing: Arc::default(), zeros: Some(zeros) };
    let ends = ImagesOptions { steps: Arc::new(EndsAtLook(3.into())), ..options() };
    let images = Images::open(world.repo.clone(), Arc::new(medium), ends).await.unwrap();
    images.scrub(&ScrubOptions::default()).await.unwrap_err();
    let report = world.images.scrub_report().await.unwrap();
    assert!(report.checked >= 1 && report.bytes >= 256 * MIB, "{report:?}");
    let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
    assert_eq!((report.checked, report.bytes, report.damaged), (3, 513 * MIB + 1, 0));
}

#[test]
fn errors_of_tests_are_those_of_the_system() {
    assert_eq!(IoError::from_raw_os_error(EACCES).kind(), IoErrorKind::PermissionDenied);
    assert_eq!(IoError::from_raw_os_error(28).kind(), IoErrorKind::StorageFull);
}
