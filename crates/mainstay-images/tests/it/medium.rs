//! A medium that refuses something: what is said then, what stays, and what may be done again.

use std::io::{Error as IoError, ErrorKind as IoErrorKind, Result as IoResult};
use std::sync::{Arc, Mutex};

use mainstay_images::files::{DiskFiles, Files, ReadFile, Space, StagedFile};
use mainstay_images::*;
use mainstay_testkit::{TestDatabase, eventually, for_each_database};

use crate::support::{World, bring, commit, digest, migrated, options, spec};

/// What a medium is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    SyncDir,
    Unlink,
    /// Of these it says that nothing is there.
    Size,
    Open,
}

/// A directory that fails to do one thing, so many times.
#[derive(Debug)]
struct Failing {
    inner: DiskFiles,
    left: Mutex<Option<(Asked, u32)>>,
}

impl Failing {
    fn fail(&self, asked: Asked, times: u32) {
        *self.left.lock().unwrap() = Some((asked, times));
    }

    fn ask(&self, now: Asked) -> IoResult<()> {
        match &mut *self.left.lock().unwrap() {
            Some((asked, left)) if *asked == now && *left > 0 => {
                *left -= 1;
                Err(IoError::from(IoErrorKind::Other))
            }
            _ => Ok(()),
        }
    }
}

impl Files for Failing {
    fn create(&self, path: &str) -> IoResult<Box<dyn StagedFile>> {
        self.inner.create(path)
    }

    fn open(&self, path: &str) -> IoResult<Box<dyn ReadFile>> {
        // The marker is found: that the directory is mounted is proved between the two looks.
        if path.starts_with("blobs/") {
            self.ask(Asked::Open).map_err(|_| IoError::from(IoErrorKind::NotFound))?;
        }
        self.inner.open(path)
    }

    fn size(&self, path: &str) -> IoResult<u64> {
        self.ask(Asked::Size).map_err(|_| IoError::from(IoErrorKind::NotFound))?;
        self.inner.size(path)
    }

    fn rename(&self, from: &str, to: &str) -> IoResult<()> {
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> IoResult<()> {
        self.inner.rename_new(from, to)
    }

    fn unlink(&self, path: &str) -> IoResult<()> {
        self.ask(Asked::Unlink)?;
        self.inner.unlink(path)
    }

    fn list(&self, directory: &str) -> IoResult<Vec<String>> {
        self.inner.list(directory)
    }

    fn create_dir(&self, directory: &str) -> IoResult<()> {
        self.inner.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> IoResult<()> {
        self.ask(Asked::SyncDir)?;
        self.inner.sync_dir(directory)
    }

    fn space(&self) -> IoResult<Space> {
        self.inner.space()
    }
}

async fn world(database: &TestDatabase) -> (World, Arc<Failing>) {
    let repo = migrated(database).await;
    let directory = tempfile::tempdir().unwrap();
    let files = Arc::new(Failing { inner: DiskFiles::new(directory.path()), left: Mutex::default() });
    let images = Images::open(repo.clone(), files.clone(), options()).await.unwrap();
    (World { repo, images, directory }, files)
}

#[tokio::test]
async fn a_name_that_was_not_made_durable_gets_no_row_however_often_one_commits() {
    for_each_database(async |database| {
        let (world, files) = world(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let layers = bring(&ingest, &["base", "delta"]).await;
        files.fail(Asked::SyncDir, 1);
        let set = CommitSet { images: vec![NewImage::chain(layers.clone())], ..CommitSet::default() };
        assert_eq!(ingest.commit(set.clone()).await.unwrap_err().kind(), &ErrorKind::Medium);
        // A second call of the system would succeed: it told of the failure once.
        assert_eq!(ingest.commit(set.clone()).await.unwrap_err().kind(), &ErrorKind::NotFound);
        ingest.land().await.unwrap();
        assert_eq!(world.count("images_blobs").await, 0);
        // Only what is written again is named again.
        bring(&ingest, &["base", "delta"]).await;
        ingest.commit(set).await.unwrap();
        assert_eq!((world.count("images_blobs").await, world.count("images_intents").await), (2, 0));
        let report = world.images.collect("collector", &CollectOptions::default()).await.unwrap();
        assert_eq!((report.orphans_removed, world.files().len()), (2, 2));
    })
    .await;
}

#[tokio::test]
async fn what_a_commit_cannot_tidy_up_does_not_make_it_fail() {
    for_each_database(async |database| {
        let (world, files) = world(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        drop(ingest.writer(spec(BlobKind::Base)).await.unwrap());
        let layers = bring(&ingest, &["base"]).await;
        files.fail(Asked::Unlink, 1);
        let image = commit(&ingest, NewImage::chain(layers)).await;
        assert_eq!(world.images.image(&image.id.into()).await.unwrap(), image);
        // The end of the session gives back what the commit could not.
        ingest.abort().await.unwrap();
        assert_eq!((world.files().len(), world.count("images_intents").await), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_commit_leaves_a_writer_beside_it_alone() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let mut beside = ingest.writer(spec(BlobKind::Base)).await.unwrap();
        beside.write("besi").await.unwrap();
        let layers = bring(&ingest, &["base"]).await;
        commit(&ingest, NewImage::chain(layers)).await;
        beside.write("de").await.unwrap();
        beside.finish().await.unwrap();
        commit(&ingest, NewImage::chain(vec![digest("beside")])).await;
        assert_eq!((world.files().len(), world.count("images_intents").await), (2, 0));
    })
    .await;
}

/// Whoever mends it has to know which directory is meant.
#[tokio::test]
async fn what_is_wrong_with_the_directory_is_told_with_its_path() {
    let database = TestDatabase::sqlite();
    let repo = migrated(&database).await;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("images");
    let open = async || Images::open(repo.clone(), Arc::new(DiskFiles::new(&place)), options()).await;
    let told = async |says: &str| {
        let error = open().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Medium, "{error}");
        assert!(error.message().contains(place.to_str().unwrap()), "{error}");
        assert!(error.message().contains(says), "{error}");
    };
    told("there is no directory").await;
    assert!(!place.exists(), "one that is named is not made");
    std::fs::create_dir(&place).unwrap();
    open().await.unwrap();
    let marker = place.join("mainstay-images");
    std::fs::remove_file(&marker).unwrap();
    told("has no marker").await;
    std::fs::write(&marker, "imgs_other\n").unwrap();
    told("belongs to the store \"imgs_other\"").await;
}

/// Texts whose blobs lie in one directory.
fn neighbours<const N: usize>() -> [String; N] {
    let shard = |text: &String| digest(text).to_string()[..2].to_owned();
    let first = shard(&"0".to_owned());
    let mut texts = (0..).map(|n| n.to_string()).filter(|text| shard(text) == first);
    std::array::from_fn(|_| texts.next().unwrap())
}

#[tokio::test]
async fn a_failure_that_another_session_was_told_of_counts_for_all_names_in_the_directory() {
    for_each_database(async |database| {
        let (world, files) = world(database).await;
        let node = world.node().await;
        // Another that has the store open, in the same process.
        let images = Images::open(world.repo.clone(), files.clone(), options()).await.unwrap();
        let beside = images.join_with("beside", Heartbeat::Host).await.unwrap();
        let [first, second, third, later] = neighbours();
        let (told, untold, other) = (node.ingest(), node.ingest(), beside.ingest());
        for (ingest, text) in [(&told, &first), (&untold, &second), (&other, &third)] {
            bring(ingest, &[text]).await;
        }
        let set = |text: &str| CommitSet {
            images: vec![NewImage::chain(vec![digest(text)])],
            ..CommitSet::default()
        };
        files.fail(Asked::SyncDir, 1);
        // From here on the system says that all is well.
        assert_eq!(told.commit(set(&first)).await.unwrap_err().kind(), &ErrorKind::Medium);
        for (ingest, text) in [(&untold, &second), (&other, &third)] {
            assert_eq!(ingest.commit(set(text)).await.unwrap_err().kind(), &ErrorKind::Medium);
            assert_eq!(ingest.commit(set(text)).await.unwrap_err().kind(), &ErrorKind::NotFound);
        }
        assert_eq!(world.count("images_blobs").await, 0);
        // What gets its name afterwards is none of that, and what was lost is written again.
        for (ingest, text) in [(&node.ingest(), &later), (&told, &first), (&other, &third)] {
            bring(ingest, &[text]).await;
            ingest.commit(set(text)).await.unwrap();
        }
        assert_eq!(world.count("images_blobs").await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_medium_that_comes_back_between_two_looks_lost_no_file() {
    for_each_database(async |database| {
        let (world, files) = world(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        files.fail(Asked::Size, 1);
        assert!(node.ingest().has(&digest("base"), 4).await.unwrap());
        files.fail(Asked::Open, 1);
        world.images.open_blob(&digest("base"), Verify::Size).await.unwrap();
        assert_eq!(world.images.damaged_blobs().await.unwrap(), []);
        files.fail(Asked::Open, 1);
        world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!(world.images.damaged_blobs().await.unwrap(), []);
        node.acquire("vm", image.id).await.unwrap();
    })
    .await;
}

/// Holds whoever names a file until it is told to go on.
#[derive(Debug)]
struct Held {
    inner: DiskFiles,
    naming: Mutex<std::sync::mpsc::Sender<()>>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Files for Held {
    fn create(&self, path: &str) -> IoResult<Box<dyn StagedFile>> {
        self.inner.create(path)
    }

    fn open(&self, path: &str) -> IoResult<Box<dyn ReadFile>> {
        self.inner.open(path)
    }

    fn size(&self, path: &str) -> IoResult<u64> {
        self.inner.size(path)
    }

    fn rename(&self, from: &str, to: &str) -> IoResult<()> {
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> IoResult<()> {
        self.naming.lock().unwrap().send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
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

/// Brings a blob on a medium that holds it before it is named, and leaves there.
async fn left_while_naming(is_aborted: bool, is_taken: bool) -> Vec<String> {
    let database = TestDatabase::sqlite();
    let world = World::new(&database).await;
    let ((naming, is_naming), (go, go_on)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let inner = DiskFiles::new(world.directory.path());
    let held = Held { inner, naming: Mutex::new(naming), go_on: Mutex::new(go_on) };
    let images = Images::open(world.repo.clone(), Arc::new(held), options()).await.unwrap();
    let node = images.join_with("node", Heartbeat::Host).await.unwrap();
    let ingest = Arc::new(node.ingest());
    let bringing = tokio::spawn({
        let ingest = Arc::clone(&ingest);
        let spec = WriterSpec::known(digest("left"), 4, BlobKind::Base, "t/t");
        async move { ingest.put(spec, &b"left"[..]).await }
    });
    tokio::task::spawn_blocking(move || is_naming.recv().unwrap()).await.unwrap();
    if is_taken {
        let number = world.number("SELECT MAX(inc) AS n FROM images_intents").await;
        let hex = digest("left").to_string();
        let path = world.directory.path().join(format!("blobs/{}/{hex}.{number}", &hex[..2]));
        std::fs::write(path, "left").unwrap();
    }
    bringing.abort();
    drop(bringing.await);
    let ingest = Arc::into_inner(ingest).unwrap();
    if is_aborted {
        ingest.abort().await.unwrap();
    } else {
        drop(ingest);
    }
    go.send(()).unwrap();
    eventually("its intent is given back", async || world.count("images_intents").await == 0).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.files()
}

#[tokio::test]
async fn what_gets_its_name_when_nobody_waits_for_it_any_more_does_not_stay() {
    for is_aborted in [false, true] {
        assert_eq!(left_while_naming(is_aborted, false).await, Vec::<String>::new(), "aborted: {is_aborted}");
        // What had the name before is another's.
        let left = left_while_naming(is_aborted, true).await;
        assert!(left.iter().any(|path| path.contains("/blobs/")), "{left:?}");
    }
}
