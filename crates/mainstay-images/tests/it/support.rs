//! A world for one test: a database with the tables of images, and a directory.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_images::files::DiskFiles;
use mainstay_images::*;
use mainstay_repo::{Repo, Row, Sql, Statement, Target};
use mainstay_testkit::TestDatabase;
use tempfile::TempDir;

pub struct World {
    pub repo: Repo,
    pub images: Images,
    pub directory: TempDir,
}

/// Nothing is deferred and no floor is held, so that tests see effects at once.
pub fn options() -> ImagesOptions {
    ImagesOptions {
        grace: Duration::ZERO,
        policy: Policy { min_free_bytes: 0, min_free_inodes: 0, keep_unclaimed: None, ..Policy::DEFAULT },
        reserve_bytes: 0,
        ..ImagesOptions::default()
    }
}

pub async fn migrated(database: &TestDatabase) -> Repo {
    let repo = database.repo().await;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
    repo
}

impl World {
    pub async fn new(database: &TestDatabase) -> Self {
        Self::with(database, |_| {}).await
    }

    pub async fn with(database: &TestDatabase, change: impl FnOnce(&mut ImagesOptions)) -> Self {
        let repo = migrated(database).await;
        let directory = tempfile::tempdir().unwrap();
        let mut options = options();
        change(&mut options);
        let files = Arc::new(DiskFiles::new(directory.path()));
        let images = Images::open(repo.clone(), files, options).await.unwrap();
        Self { repo, images, directory }
    }

    /// The same store, opened again.
    pub async fn reopened(&self, change: impl FnOnce(&mut ImagesOptions)) -> Images {
        let mut options = options();
        change(&mut options);
        let files = Arc::new(DiskFiles::new(self.directory.path()));
        Images::open(self.repo.clone(), files, options).await.unwrap()
    }

    /// The same store, for one whom somebody meddles with.
    pub async fn meddled(
        &self,
        database: &TestDatabase,
        meddling: impl mainstay_repo::middleware::Middleware,
    ) -> Images {
        let repo = database.options().with(meddling).connect().await.unwrap();
        let files = Arc::new(DiskFiles::new(self.directory.path()));
        Images::open(repo, files, options()).await.unwrap()
    }

    pub async fn node(&self) -> Node {
        self.images.join_with("node", Heartbeat::Host).await.unwrap()
    }

    /// Publishes layers and one image of them.
    pub async fn publish(&self, node: &Node, layers: &[&str]) -> Image {
        let ingest = node.ingest();
        let digests = bring(&ingest, layers).await;
        commit(&ingest, NewImage::chain(digests)).await
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        self.number(&format!("SELECT COUNT(*) AS n FROM {table}")).await
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let row: Row =
            self.repo.read_one(Statement::new(Sql::dynamic(sql.into(), sql.into()))).await.unwrap();
        row.get("n").unwrap()
    }

    /// What no interface of the store does.
    pub async fn meddle(&self, sql: &str) -> u64 {
        self.repo.write(Statement::new(Sql::dynamic(sql.into(), sql.into()))).await.unwrap().rows_affected()
    }

    /// Lets the claims of every holder run out.
    pub async fn expire_all(&self) {
        self.meddle("UPDATE images_holders SET expires_at = 1000").await;
    }

    pub async fn path_of(&self, digest: &Digest) -> std::path::PathBuf {
        let blob = self.images.blob(digest).await.unwrap();
        let (hex, inc) = (digest.to_string(), blob.incarnation);
        self.directory.path().join(format!("blobs/{}/{hex}.{inc}", &hex[..2]))
    }

    /// The files of blobs, and those that are not finished, relative to the directory.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for directory in ["blobs", "tmp", "quarantine"] {
            walk(&self.directory.path().join(directory), &mut found);
        }
        found.sort();
        found
    }
}

/// Somebody who does something to the tables just before a statement of a name.
#[derive(Clone)]
pub struct Meddling {
    repo: Repo,
    name: &'static str,
    sql: &'static str,
}

impl Meddling {
    pub fn new(world: &World, name: &'static str, sql: &'static str) -> Self {
        Self { repo: world.repo.clone(), name, sql }
    }
}

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for Meddling {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        if operation.statements().any(|statement| statement.name() == Some(self.name)) {
            self.repo.write(Statement::new(Sql::new(self.sql))).await?;
        }
        next.run(operation).await
    }
}

/// A process that ends just before a statement of a name, the given time that it would be sent: it hangs there, until it is aborted.
#[derive(Clone)]
pub struct EndsBefore {
    name: &'static str,
    left: Arc<AtomicU32>,
    hangs: Arc<tokio::sync::Notify>,
}

impl EndsBefore {
    pub fn new(name: &'static str, time: u32) -> Self {
        Self { name, left: Arc::new(time.into()), hangs: Arc::default() }
    }

    /// Runs work up to there.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) {
        let running = tokio::spawn(work);
        tokio::time::timeout(Duration::from_secs(60), self.hangs.notified()).await.unwrap();
        running.abort();
        assert!(running.await.is_err_and(|ended| ended.is_cancelled()));
    }
}

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for EndsBefore {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        let is_asked = operation.statements().any(|statement| statement.name() == Some(self.name));
        if is_asked && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.hangs.notify_one();
            std::future::pending::<()>().await;
        }
        next.run(operation).await
    }
}

fn walk(directory: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub fn spec(kind: BlobKind) -> WriterSpec {
    WriterSpec::new(kind, "application/octet-stream")
}

/// Brings texts into an ingest: the first as a base, the others as deltas.
pub async fn bring(ingest: &Ingest, layers: &[&str]) -> Vec<Digest> {
    let mut digests = Vec::new();
    for (position, text) in layers.iter().enumerate() {
        let kind = if position == 0 { BlobKind::Base } else { BlobKind::Delta };
        put(ingest, kind, text).await;
        digests.push(digest(text));
    }
    digests
}

/// Brings one text; says whether the store had it.
pub async fn put(ingest: &Ingest, kind: BlobKind, text: &str) -> bool {
    if ingest.has(&digest(text), text.len() as u64).await.unwrap() {
        return true;
    }
    let known = WriterSpec::known(digest(text), text.len() as u64, kind, "application/octet-stream");
    ingest.put(known, Cursor::new(text.to_owned().into_bytes())).await.unwrap().adopted
}

pub async fn commit(ingest: &Ingest, image: NewImage) -> Image {
    let set = CommitSet { images: vec![image], ..CommitSet::default() };
    ingest.commit(set).await.unwrap().images.remove(0)
}
