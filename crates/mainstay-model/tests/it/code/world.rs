//! A store of images, and what must be true of its database and its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_images::gc::CollectOptions;
use mainstay_images::{
    BlobKind, COMPONENT, CommitSet, Digest, Heartbeat, Image, ImageRef, Images, ImagesOptions, NewImage,
    Node, Policy, Result, ScrubOptions, ScrubReport, Steps, Unobserved, Verify, WriterSpec,
};
use mainstay_repo::{Repo, Sql, Statement, Target};
use mainstay_testkit::fault_fs::{Fate, Operation};
use mainstay_testkit::{FaultFs, TestDatabase};

use super::medium::Medium;

/// Three blobs, by what they hold.
pub(super) const A: &[u8] = b"the octets of blob A";
pub(super) const B: &[u8] = b"the octets of blob B, which are others";
pub(super) const C: &[u8] = b"C";

const MEDIA_TYPE: &str = "application/octet-stream";

/// A blob's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowState {
    Present(i64),
    Deleting(i64),
    Damaged(i64),
}

/// What database and directory say.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub rows: BTreeMap<Digest, RowState>,
    /// Blobs that an image has.
    pub referenced: BTreeSet<Digest>,
    pub images: BTreeSet<i64>,
    /// Blobs of images that are leased.
    pub leased: BTreeSet<Digest>,
    /// Files that are named by a digest and an incarnation.
    pub files: BTreeSet<(Digest, i64)>,
    /// Files in other places that a collection must remove.
    pub staged: Vec<String>,
    pub intents: i64,
}

pub(super) struct World {
    pub repo: Repo,
    pub fs: FaultFs,
    /// An operation that the disk answers well and does not do.
    pub lies: Option<Operation>,
    created: Arc<Mutex<Created>>,
}

/// Which names were given to new files.
#[derive(Debug, Default)]
struct Created {
    names: BTreeSet<String>,
    twice: Option<String>,
}

impl World {
    /// An empty store, opened once, in a database that may have had another one.
    pub(super) async fn new(database: &TestDatabase) -> Self {
        let repo = database.repo().await;
        let migrator = repo.migrator();
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        repo.write(Statement::new("UPDATE images SET parent_id = NULL")).await.unwrap();
        migrator.down(&COMPONENT, 0).await.unwrap();
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        let world = Self { repo, fs: FaultFs::new(), lies: None, created: Arc::default() };
        world.open().await;
        world.watch();
        world
    }

    /// Notes each new file: no staged file's name may ever be given twice.
    pub(super) fn watch(&self) {
        let created = Arc::clone(&self.created);
        self.fs.fail_when(move |operation, path| {
            if operation == Operation::Create && path.starts_with("tmp/") {
                let mut created = created.lock().unwrap();
                if !created.names.insert(path.to_owned()) {
                    created.twice = Some(path.to_owned());
                }
            }
            None
        });
    }

    pub(super) fn options(steps: Arc<dyn Steps>) -> ImagesOptions {
        ImagesOptions {
            ttl: Duration::from_secs(3600),
            margin: Duration::ZERO,
            grace: Duration::ZERO,
            policy: Policy {
                min_free_bytes: 0,
                min_free_inodes: 0,
                // Whoever evicts lets go of all that nobody claims.
                keep_unclaimed: Some(Duration::ZERO),
                ..Policy::DEFAULT
            },
            reserve_bytes: 0,
            steps,
            ..ImagesOptions::default()
        }
    }

    /// The store, whose every step is told.
    pub(super) async fn open_with(&self, steps: Arc<dyn Steps>) -> Result<Images> {
        let medium = Medium { fs: self.fs.clone(), lies: self.lies };
        Images::open(self.repo.clone(), Arc::new(medium), Self::options(steps)).await
    }

    pub(super) async fn open(&self) -> Images {
        self.open_with(Arc::new(Unobserved)).await.expect("the store opens")
    }

    /// The power goes and comes back; the database is durable.
    pub(super) fn power_loss(&mut self, fate: &mut Fate) {
        self.fs = self.fs.power_loss(fate);
    }

    /// Ends every holder's time at once.
    pub(super) async fn expire_holders(&self) {
        self.execute("UPDATE images_holders SET expires_at = 0, live = 0").await;
        self.execute("UPDATE images_collector SET until = 0").await;
    }

    pub(super) async fn execute(&self, sql: &'static str) {
        self.repo.write(Statement::new(sql)).await.unwrap();
    }

    pub(super) async fn facts(&self) -> Facts {
        let statements = [
            "SELECT digest, state, inc FROM images_blobs",
            "SELECT b.digest, u.image_id FROM images_blobs b JOIN \
             (SELECT image_id, blob_id FROM images_layers UNION SELECT image_id, blob_id FROM images_attachments) u \
             ON u.blob_id = b.id",
            "SELECT b.digest FROM images_leases l JOIN images_layers y ON y.image_id = l.image_id \
             JOIN images_blobs b ON b.id = y.blob_id",
            "SELECT id FROM images",
            "SELECT count(*) AS intents FROM images_intents",
        ];
        let statements = statements.into_iter().map(|sql| Statement::new(Sql::new(sql))).collect();
        let found = self.repo.read_many(statements).await.unwrap();
        let digest = |row: &mainstay_repo::Row| {
            let octets: Vec<u8> = row.get("digest").unwrap();
            Digest::from_slice(&octets).unwrap()
        };
        let mut facts = Facts::default();
        for row in &found[0] {
            let (state, inc): (i64, i64) = (row.get("state").unwrap(), row.get("inc").unwrap());
            let state = match state {
                0 => RowState::Present(inc),
                1 => RowState::Deleting(inc),
                _ => RowState::Damaged(inc),
            };
            facts.rows.insert(digest(row), state);
        }
        facts.referenced = found[1].iter().map(digest).collect();
        facts.leased = found[2].iter().map(digest).collect();
        facts.images = found[3].iter().map(|row| row.get::<i64>("id").unwrap()).collect();
        facts.intents = found[4][0].get("intents").unwrap();
        for path in self.fs.files() {
            match path.strip_prefix("blobs/").and_then(|path| path.split_once('/')) {
                Some((_, name)) => {
                    let (digest, inc) = name.split_once('.').unwrap();
                    facts.files.insert((digest.parse().unwrap(), inc.parse().unwrap()));
                }
                None if path.starts_with("tmp/") => facts.staged.push(path),
                None => {}
            }
        }
        facts
    }

    /// The files of a blob.
    fn files_of(&self, content: &[u8]) -> Vec<String> {
        let digest = Digest::of(content).to_string();
        self.fs
            .files()
            .into_iter()
            .filter(|path| path.starts_with("blobs/") && path.contains(&digest))
            .collect()
    }

    /// The medium loses the files of a blob.
    pub(super) fn lose(&self, content: &[u8]) {
        for path in self.files_of(content) {
            self.fs.unlink(&path).unwrap();
            self.fs.sync_dir(path.rsplit_once('/').unwrap().0).unwrap();
        }
    }

    /// The files of a blob have other octets by now, and as many.
    pub(super) fn rot(&self, content: &[u8]) {
        for path in self.files_of(content) {
            self.fs.tamper(&path, |octets| octets.fill(b'?'));
        }
    }

    /// A scrub of everything finds each file that is not as its row says; then the content is brought again.
    pub(super) async fn scrub_and_repair(&self, context: &str) {
        let images = self.open().await;
        scrub(&images).await.unwrap_or_else(|error| panic!("{context}: a scrub fails: {error:?}"));
        for (digest, state) in &self.facts().await.rows {
            if let RowState::Present(inc) = state {
                let content = self.content(digest, *inc);
                let is_whole = content.as_deref().is_some_and(|content| Digest::of(content) == *digest);
                assert!(is_whole, "{context}: a scrub took {digest}.{inc} for good: {content:?}");
            }
        }
        let repaired = publish(&images, "mender", &[A, B, C]).await;
        repaired.unwrap_or_else(|error| panic!("{context}: nothing can be repaired: {error:?}"));
    }

    /// What an incarnation's file holds.
    pub(super) fn content(&self, digest: &Digest, inc: i64) -> Option<Vec<u8>> {
        let shard = digest.as_bytes()[0];
        self.fs.content(&format!("blobs/{shard:02x}/{digest}.{inc}"))
    }

    /// Every row that is present has its file, whole; every blob of an image has such a row.
    pub(super) async fn check_safe(&self, context: &str) -> Facts {
        let facts = self.facts().await;
        for (digest, state) in &facts.rows {
            if let RowState::Present(inc) = state {
                let content = self.content(digest, *inc);
                let is_whole = content.as_deref().is_some_and(|content| Digest::of(content) == *digest);
                assert!(
                    is_whole,
                    "{context}: {digest}.{inc} is present and its file is {content:?}: {facts:?}"
                );
            }
        }
        for digest in facts.referenced.iter().chain(&facts.leased) {
            let state = facts.rows.get(digest);
            assert!(
                matches!(state, Some(RowState::Present(_))),
                "{context}: an image needs {digest}, whose row is {state:?}: {facts:?}"
            );
        }
        let twice = self.created.lock().unwrap().twice.clone();
        assert!(twice.is_none(), "{context}: the incarnation of {twice:?} was given twice");
        facts
    }

    /// After the ordinary start and one collection nothing is left that nothing uses, and everything can be published.
    pub(super) async fn check_drains(&self, context: &str) {
        self.expire_holders().await;
        let images = self.open().await;
        collect(&images).await.unwrap_or_else(|error| panic!("{context}: a collection fails: {error:?}"));
        let facts = self.check_safe(&format!("{context}, collected")).await;
        let wanted: BTreeSet<(Digest, i64)> = facts
            .rows
            .iter()
            .filter(|(digest, _)| facts.referenced.contains(*digest))
            .filter_map(|(digest, state)| match state {
                RowState::Present(inc) => Some((*digest, *inc)),
                RowState::Deleting(_) | RowState::Damaged(_) => None,
            })
            .collect();
        assert_eq!(facts.files, wanted, "{context}: files after a full collection: {facts:?}");
        assert_eq!(facts.rows.len(), wanted.len(), "{context}: rows after a full collection: {facts:?}");
        assert_eq!(facts.staged, [""; 0], "{context}: staged files after a full collection");
        assert_eq!(facts.intents, 0, "{context}: intents after a full collection");
        let image = publish(&images, "after", &[A, B, C]).await;
        let image = image.unwrap_or_else(|error| panic!("{context}: nothing can be published: {error:?}"));
        self.check_safe(&format!("{context}, published again")).await;
        for content in [A, B, C] {
            read_back(&images, content).await;
        }
        assert_eq!(image.chain.depth(), 3);
    }
}

/// Reads a blob and verifies it.
async fn read_back(images: &Images, content: &[u8]) {
    let mut reader = images.open_blob(&Digest::of(content), Verify::Content).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut octets = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut octets).map(|_| octets)
    });
    assert_eq!(read.await.unwrap().unwrap(), content);
}

/// A holder of its own, without a heartbeat.
pub(super) async fn join(images: &Images, name: &str) -> Result<Node> {
    images.join_with(name, Heartbeat::Host).await
}

/// Publishes a chain of blobs: whatever the store has is adopted.
pub(super) async fn publish(images: &Images, holder: &str, blobs: &[&[u8]]) -> Result<Image> {
    let node = join(images, holder).await?;
    publish_by(&node, blobs).await
}

/// The same, by a holder that is there.
pub(super) async fn publish_by(node: &Node, blobs: &[&[u8]]) -> Result<Image> {
    let ingest = node.ingest();
    let mut layers = Vec::new();
    for content in blobs {
        let (digest, size) = (Digest::of(content), content.len() as u64);
        if !ingest.has(&digest, size).await? {
            let spec = WriterSpec::known(digest, size, BlobKind::Layer, MEDIA_TYPE);
            ingest.put(spec, Cursor::new(content.to_vec())).await?;
        }
        ingest.land().await?;
        layers.push(digest);
    }
    let set = CommitSet { images: vec![NewImage::chain(layers)], ..CommitSet::default() };
    Ok(ingest.commit(set).await?.images.remove(0))
}

/// Publishes blobs whose digests nobody told before, and makes all rows with the image.
pub(super) async fn publish_streams(images: &Images, holder: &str, blobs: &[&[u8]]) -> Result<Image> {
    let node = join(images, holder).await?;
    let ingest = node.ingest();
    let mut layers = Vec::new();
    for content in blobs {
        let spec = WriterSpec::new(BlobKind::Layer, MEDIA_TYPE);
        layers.push(ingest.put(spec, Cursor::new(content.to_vec())).await?.digest);
    }
    let set = CommitSet { images: vec![NewImage::chain(layers)], ..CommitSet::default() };
    Ok(ingest.commit(set).await?.images.remove(0))
}

/// Removes an image.
pub(super) async fn remove(images: &Images, image: &Image) -> Result<()> {
    images.remove(&ImageRef::Id(image.id)).await.map(|_| ())
}

/// Reads everything again, from the beginning.
pub(super) async fn scrub(images: &Images) -> Result<ScrubReport> {
    images.scrub(&ScrubOptions { restart: true, ..ScrubOptions::default() }).await
}

/// One full collection.
pub(super) async fn collect(images: &Images) -> Result<()> {
    let options = CollectOptions { full: true, ..CollectOptions::default() };
    images.collect("collector", &options).await.map(|_| ())
}
