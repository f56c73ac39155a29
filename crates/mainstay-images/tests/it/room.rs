//! Octets: that they are counted once, that room is made when it is asked for, and that two never count on the same.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_images::files::{DiskFiles, Files};
use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome, Sql, Statement};
use mainstay_testkit::{TestDatabase, eventually, for_each_database};

use crate::support::{World, bring, commit, digest, put};

async fn counted(world: &World) -> (i64, i64) {
    let sum = world.number("SELECT COALESCE(CAST(SUM(size) AS bigint), 0) AS n FROM images_blobs").await;
    (world.number("SELECT bytes AS n FROM images_store").await, sum)
}

/// Sends the first operations of a name late, or says nothing of how the first one ended.
#[derive(Clone)]
struct Slow {
    name: &'static str,
    left: Arc<AtomicU32>,
    /// It happens, and the answer never comes.
    is_unanswered: bool,
}

impl Slow {
    fn new(name: &'static str, times: u32, is_unanswered: bool) -> Self {
        Self { name, left: Arc::new(times.into()), is_unanswered }
    }
}

#[async_trait]
impl Middleware for Slow {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        let is_late = operation.name() == Some(self.name)
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_late && !self.is_unanswered {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let outcome = next.run(operation).await;
        if is_late && self.is_unanswered {
            std::future::pending::<()>().await;
        }
        outcome
    }
}

#[tokio::test]
async fn blobs_that_land_beside_each_other_are_counted_once() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let images = world.meddled(database, Slow::new("images.publish_land", 1, false)).await;
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        let ingest = node.ingest();
        let bring = async |text: &'static str, kind| {
            put(&ingest, kind, text).await;
            ingest.land().await
        };
        let (one, two, three) = tokio::join!(
            bring("first", BlobKind::Base),
            bring("second one", BlobKind::Delta),
            bring("third", BlobKind::Delta)
        );
        one.and(two).and(three).unwrap();
        assert_eq!(counted(&world).await, (20, 20));
        // A commit beside one that lands: neither takes the other's intent for lost.
        let late = Slow::new("images.publish_land", 1, false);
        let images = world.meddled(database, late).await;
        let node = images.join_with("other", Heartbeat::Host).await.unwrap();
        let ingest = node.ingest();
        put(&ingest, BlobKind::Base, "fourth").await;
        let set = CommitSet { images: vec![NewImage::chain(vec![digest("fourth")])], ..CommitSet::default() };
        let (landed, committed) = tokio::join!(ingest.land(), ingest.commit(set));
        landed.unwrap();
        committed.unwrap();
        assert_eq!(counted(&world).await, (26, 26));
    })
    .await;
}

#[tokio::test]
async fn a_blob_whose_landing_was_not_heard_of_is_counted_once() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let images = world.meddled(database, Slow::new("images.publish_land", 2, true)).await;
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        let ingest = Arc::new(node.ingest());
        put(&ingest, BlobKind::Base, "base").await;
        for _ in 0..2 {
            let landing = tokio::spawn({
                let ingest = Arc::clone(&ingest);
                async move { ingest.land().await }
            });
            eventually("its row is there", async || world.count("images_blobs").await == 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            landing.abort();
            drop(landing.await);
            assert_eq!(counted(&world).await, (4, 4));
        }
        ingest.land().await.unwrap();
        assert_eq!(counted(&world).await, (4, 4));
        let set = CommitSet { images: vec![NewImage::chain(vec![digest("base")])], ..CommitSet::default() };
        ingest.commit(set).await.unwrap();
        assert_eq!(counted(&world).await, (4, 4));
    })
    .await;
}

#[tokio::test]
async fn a_full_collection_mends_a_count_that_is_wrong() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["base", "delta"]).await;
        for wrong in ["bytes + 7", "0"] {
            world.meddle(&format!("UPDATE images_store SET bytes = {wrong}")).await;
            world.images.collect("c", &CollectOptions::default()).await.unwrap();
            assert_ne!(counted(&world).await, (9, 9));
            world.images.collect("c", &CollectOptions { full: true, ..Default::default() }).await.unwrap();
            assert_eq!(counted(&world).await, (9, 9));
        }
    })
    .await;
}

/// Ends the process before a marked row is forgotten.
#[derive(Debug)]
struct EndsAtForget;

#[async_trait]
impl Steps for EndsAtForget {
    async fn before(&self, step: Step) -> Result<()> {
        if step == Step::CollectForget {
            return Err(Error::new(ErrorKind::Internal, "the power is gone"));
        }
        Ok(())
    }
}

/// SQLite has one writer: nobody comes between the statements of a transaction.
#[tokio::test]
async fn a_marked_blob_that_is_taken_over_while_it_is_forgotten_is_not_taken_off_the_count() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let image = world.publish(&world.node().await, &["taken over"]).await;
    world.images.remove(&image.id.into()).await.unwrap();
    let ends = world.reopened(|options| options.steps = Arc::new(EndsAtForget)).await;
    ends.collect("ends", &CollectOptions::default()).await.unwrap_err();
    world.meddle("UPDATE images_collector SET until = 0").await;
    assert_eq!(world.number("SELECT state AS n FROM images_blobs").await, 1);

    // A publication that has not committed yet.
    let mut publishing = world.repo.begin().await.unwrap();
    let take = Statement::new(Sql::new("UPDATE images_blobs SET state = 0, inc = inc + 1000"));
    publishing.write(take).await.unwrap();
    let collecting = tokio::spawn({
        let images = world.images.clone();
        async move { images.collect("c", &CollectOptions { skip_sweep: true, ..Default::default() }).await }
    });
    eventually("the collection waits for it", async || {
        let waiting = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        world.number(waiting).await == 1
    })
    .await;
    publishing.commit().await.unwrap();
    collecting.await.unwrap().unwrap();
    assert_eq!(counted(&world).await, (10, 10));
}

fn make_room(octets: u64) -> CollectOptions {
    CollectOptions { evict: true, make_room_bytes: octets, ..CollectOptions::default() }
}

#[tokio::test]
async fn room_that_is_asked_for_is_made_at_once_and_once() {
    for_each_database(async |database| {
        let world = World::with(database, |options| {
            options.grace = Duration::from_secs(600);
            options.policy.max_bytes = Some(12);
        })
        .await;
        let node = world.node().await;
        let [first, second] = [world.publish(&node, &["1234"]).await, world.publish(&node, &["5678"]).await];
        let third = world.publish(&node, &["9abc"]).await;
        // What nothing uses any more goes before anything that is used.
        world.images.remove(&third.id.into()).await.unwrap();
        assert_eq!(world.images.collect("c", &CollectOptions::default()).await.unwrap().blobs_removed, 0);
        let plan = world.images.plan(&make_room(4)).await.unwrap();
        assert_eq!((plan.evict.len(), plan.bytes), (0, 4));
        let report = world.images.collect("c", &make_room(4)).await.unwrap();
        assert_eq!((report.images_evicted, report.blobs_removed, counted(&world).await.0), (0, 1, 8));
        // The least recently used goes, and its room is there at once.
        world.meddle(&format!("UPDATE images SET last_used_at = 1 WHERE id = {}", first.id)).await;
        let report = world.images.collect("c", &make_room(8)).await.unwrap();
        assert_eq!((report.images_evicted, report.blobs_removed, counted(&world).await.0), (1, 1, 4));
        let report = world.images.collect("c", &make_room(8)).await.unwrap();
        assert_eq!((report.images_evicted, report.blobs_removed), (0, 0), "it was made before");
        world.images.image(&second.id.into()).await.unwrap();
        // What is being published is in no image yet, and makes no room.
        let ingest = node.ingest();
        bring(&ingest, &["defg"]).await;
        ingest.land().await.unwrap();
        let report = world.images.collect("c", &make_room(8)).await.unwrap();
        assert_eq!((report.images_evicted, report.blobs_removed), (1, 1));
        commit(&ingest, NewImage::chain(vec![digest("defg")])).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_in_use_until_now_is_not_let_go_for_its_age() {
    for_each_database(async |database| {
        let month = Duration::from_secs(30 * 86_400);
        let world = World::with(database, |options| options.policy.keep_unclaimed = Some(month)).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let other = world.publish(&node, &["other"]).await;
        let evict = make_room(0);
        let age = async || {
            let old = "UPDATE images SET last_used_at = last_used_at - 2678400000000";
            world.meddle(&format!("{old} WHERE id = {}", image.id)).await;
        };
        let stays = async |what: &str| {
            assert_eq!(world.images.collect("c", &evict).await.unwrap().images_evicted, 0, "{what}");
        };
        let held = node.acquire("vm", image.id).await.unwrap();
        age().await;
        held.release().await.unwrap();
        stays("given back").await;
        node.acquire("vm", image.id).await.unwrap();
        age().await;
        node.acquire("vm", other.id).await.unwrap();
        stays("replaced").await;
        node.acquire("vm", image.id).await.unwrap();
        age().await;
        node.leave().await.unwrap();
        stays("the holder left").await;
        let crashed = world.node().await;
        crashed.acquire("vm", image.id).await.unwrap();
        age().await;
        world.expire_all().await;
        let report = world.images.collect("c", &evict).await.unwrap();
        assert_eq!((report.leases_reaped, report.images_evicted), (1, 0), "the holder crashed");
        age().await;
        assert_eq!(world.images.collect("c", &evict).await.unwrap().images_evicted, 1, "nobody used it");
    })
    .await;
}

#[tokio::test]
async fn two_ingests_do_not_count_on_the_same_room() {
    const GIB: u64 = 1 << 30;
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["present"]).await;
        let free = world.images.space().await.unwrap().free_bytes;
        let room = free.min(12 * GIB);
        let images = world.reopened(|options| options.policy.min_free_bytes = free - room).await;
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        let more_than_half = room / 8 * 5;
        let (one, two) = (node.ingest(), node.ingest());
        one.expect(&[(digest("one"), more_than_half)]).await.unwrap();
        for (ingest, text) in [(&two, "two"), (&one, "three")] {
            let error = ingest.expect(&[(digest(text), more_than_half)]).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::NoSpace, "{error}");
            let error = node.ingest().has(&digest(text), more_than_half).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::NoSpace, "{error}");
        }
        // What the store has needs no room.
        assert!(two.has(&digest("present"), 7).await.unwrap());
        // Of what is given up the room is free again; and of what is written the file system tells.
        one.abort().await.unwrap();
        two.expect(&[(digest("four"), more_than_half)]).await.unwrap();
        two.abort().await.unwrap();
        let ingest = node.ingest();
        for n in 0..20 {
            put(&ingest, BlobKind::Layer, &n.to_string()).await;
        }
        commit(&ingest, NewImage::chain(vec![digest("0")])).await;
        node.ingest().expect(&[(digest("five"), more_than_half)]).await.unwrap();
        let full = world.reopened(|options| options.policy.min_free_bytes = free * 2).await;
        let node = full.join_with("full", Heartbeat::Host).await.unwrap();
        assert!(node.ingest().has(&digest("present"), 7).await.unwrap());
    })
    .await;
}

/// A directory on a disk of so many octets, of which its own files alone take some.
#[derive(Debug)]
struct Small {
    inner: DiskFiles,
    octets: u64,
}

fn used(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { used(&path) } else { path.metadata().map_or(0, |it| it.len()) })
        .sum()
}

impl Files for Small {
    fn create(&self, path: &str) -> std::io::Result<Box<dyn files::StagedFile>> {
        self.inner.create(path)
    }

    fn open(&self, path: &str) -> std::io::Result<Box<dyn files::ReadFile>> {
        self.inner.open(path)
    }

    fn size(&self, path: &str) -> std::io::Result<u64> {
        self.inner.size(path)
    }

    fn age(&self, path: &str) -> std::io::Result<Option<Duration>> {
        self.inner.age(path)
    }

    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.inner.rename_new(from, to)
    }

    fn unlink(&self, path: &str) -> std::io::Result<()> {
        self.inner.unlink(path)
    }

    fn list(&self, directory: &str) -> std::io::Result<Vec<String>> {
        self.inner.list(directory)
    }

    fn create_dir(&self, directory: &str) -> std::io::Result<()> {
        self.inner.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> std::io::Result<()> {
        self.inner.sync_dir(directory)
    }

    fn space(&self) -> std::io::Result<files::Space> {
        let free_bytes = self.octets.saturating_sub(used(self.inner.root()));
        Ok(files::Space { total_bytes: self.octets, free_bytes, free_inodes: u64::MAX })
    }
}

/// A store on a disk of so many octets, of which 100 are to stay free.
async fn on_a_small_disk(database: &TestDatabase, octets: u64) -> World {
    let world = World::new(database).await;
    let files = Arc::new(Small { inner: DiskFiles::new(world.directory.path()), octets });
    let mut options = crate::support::options();
    options.policy.min_free_bytes = 100;
    let images = Images::open(world.repo.clone(), files, options).await.unwrap();
    World { images, ..world }
}

#[tokio::test]
async fn files_that_nothing_names_make_room_before_any_image_goes() {
    for_each_database(async |database| {
        let world = on_a_small_disk(database, 2000).await;
        let node = world.node().await;
        let image = world.publish(&node, &[&"i".repeat(400)]).await;
        let hex = digest("other").to_string();
        for left in [format!("tmp/{hex}.1"), format!("blobs/{}/{hex}.1", &hex[..2])] {
            let path = world.directory.path().join(left);
            std::fs::write(&path, "x".repeat(1300)).unwrap();
            let report = world.images.collect("c", &make_room(1000)).await.unwrap();
            assert_eq!((report.images_evicted, report.orphans_removed, path.exists()), (0, 1, false));
        }
        world.images.image(&image.id.into()).await.unwrap();
        // Where that is not enough, an image goes.
        assert_eq!(world.images.collect("c", &make_room(1700)).await.unwrap().images_evicted, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_a_blob_does_not_keep_it_from_being_brought_again() {
    for_each_database(async |database| {
        let world = on_a_small_disk(database, 2000).await;
        let node = world.node().await;
        world.publish(&node, &["before"]).await;
        let left = world.directory.path().join(format!("tmp/{}.1", digest("large")));
        let leave = || std::fs::write(&left, "x".repeat(900)).unwrap();
        leave();
        assert!(!node.ingest().has(&digest("large"), 800).await.unwrap());
        assert!(left.exists(), "there was room");
        node.ingest().expect(&[(digest("large"), 1500)]).await.unwrap();
        assert!(!left.exists());
        // Where all of them would not be enough, none goes; else the oldest go until it is.
        leave();
        let older = world.directory.path().join(format!("tmp/{}.2", digest("older")));
        std::fs::write(&older, "x".repeat(300)).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        std::fs::File::options().write(true).open(&older).unwrap().set_modified(long_ago).unwrap();
        let ingest = node.ingest();
        assert_eq!(ingest.has(&digest("huge"), 5000).await.unwrap_err().kind(), &ErrorKind::NoSpace);
        assert!(left.exists() && older.exists());
        assert!(!ingest.has(&digest("fits"), 700).await.unwrap());
        assert!(left.exists() && !older.exists());
        std::fs::remove_file(&left).unwrap();
        ingest.abort().await.unwrap();
        leave();
        let ingest = node.ingest();
        assert!(!ingest.has(&digest("large"), 1500).await.unwrap());
        assert!(!left.exists());
        // That of one who is bringing it stays, and then there is no room.
        let path = world.directory.path().join(format!("tmp/{}", digest("large")));
        let number = world.number("SELECT MAX(inc) AS n FROM images_intents").await;
        let ours = path.with_extension(number.to_string());
        std::fs::write(&ours, "x".repeat(900)).unwrap();
        assert_eq!(node.ingest().has(&digest("more"), 1500).await.unwrap_err().kind(), &ErrorKind::NoSpace);
        assert!(ours.exists());
    })
    .await;
}

#[tokio::test]
async fn a_blob_that_is_begun_again_is_promised_room_once() {
    for_each_database(async |database| {
        let world = on_a_small_disk(database, 2000).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let spec = || WriterSpec::known(digest("large"), 1200, BlobKind::Base, "t/t");
        assert!(!ingest.has(&digest("large"), 1200).await.unwrap());
        for _ in 0..3 {
            let mut writer = ingest.writer(spec()).await.unwrap();
            writer.write("x").await.unwrap();
            // Beside it there is no room for another.
            assert_eq!(ingest.has(&digest("other"), 1200).await.unwrap_err().kind(), &ErrorKind::NoSpace);
        }
    })
    .await;
}

/// Notes the order of the statements of a transaction.
#[derive(Clone, Default)]
struct Order(Arc<std::sync::Mutex<Vec<String>>>);

#[async_trait]
impl Middleware for Order {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        if ["images.publish_intent", "images.publish_commit", "images.collect_forget", "images.publish_name"]
            .contains(&operation.name().unwrap_or_default())
        {
            let names = operation.statements().filter_map(|it| it.name().map(str::to_owned));
            self.0.lock().unwrap().extend(names);
            self.0.lock().unwrap().push("end".to_owned());
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn all_who_lock_blobs_and_the_store_lock_the_blobs_first() {
    let database = TestDatabase::sqlite();
    let world = World::with(&database, |options| options.policy.max_bytes = Some(1000)).await;
    let order = Order::default();
    let repo = database.options().with(order.clone()).connect().await.unwrap();
    let files = Arc::new(DiskFiles::new(world.directory.path()));
    let images = Images::open(repo, files, world.images.options().clone()).await.unwrap();
    let node = images.join_with("node", Heartbeat::Host).await.unwrap();
    let ingest = node.ingest();
    ingest.expect(&[(digest("base"), 4), (digest("delta"), 5)]).await.unwrap();
    bring(&ingest, &["base", "delta"]).await;
    ingest.put(crate::support::spec(BlobKind::Delta), &b"stream"[..]).await.unwrap();
    let layers = vec![digest("base"), digest("delta"), digest("stream")];
    let image = commit(&ingest, NewImage::chain(layers)).await;
    images.remove(&image.id.into()).await.unwrap();
    images.collect("c", &CollectOptions::default()).await.unwrap();
    let told = order.0.lock().unwrap().clone();
    for transaction in told.split(|name| name == "end") {
        let store = transaction.iter().position(|name| name.starts_with("images.store_"));
        let blobs = ["images.blob_look", "images.blob_land", "images.blob_forget_lock"];
        let last = transaction.iter().rposition(|name| blobs.contains(&name.as_str()));
        if let (Some(store), Some(last)) = (store, last) {
            assert!(last < store, "{transaction:?}");
        }
    }
    let seen = |name: &str| told.iter().filter(|told| *told == name).count();
    assert!(seen("images.store_lock") >= 4 && seen("images.blob_look") >= 3, "{told:?}");
}

/// A large disk of which so many octets are free above a floor of 16 MiB.
async fn above_the_floor(database: &TestDatabase, octets: u64) -> World {
    let world = World::new(database).await;
    let taken = used(world.directory.path());
    let files =
        Arc::new(Small { inner: DiskFiles::new(world.directory.path()), octets: taken + 16 * MIB + octets });
    let mut options = crate::support::options();
    options.policy.min_free_bytes = 16 * MIB;
    let images = Images::open(world.repo.clone(), files, options).await.unwrap();
    World { images, ..world }
}

const MIB: u64 = 1 << 20;

fn octets(count: u64) -> Vec<u8> {
    vec![b'x'; usize::try_from(count).unwrap()]
}

fn is_full<T: std::fmt::Debug>(asked: Result<T>) -> bool {
    matches!(asked.unwrap_err().kind(), ErrorKind::NoSpace)
}

#[tokio::test]
async fn the_floor_is_looked_at_after_a_sixteenth_of_it_whoever_wrote() {
    for_each_database(async |database| {
        let world = above_the_floor(database, MIB).await;
        let node = world.node().await;
        let (one, two) = (node.ingest(), node.ingest());
        let stream = || crate::support::spec(BlobKind::Base);
        let (mut first, mut second) =
            (one.writer(stream()).await.unwrap(), two.writer(stream()).await.unwrap());
        // Up to the limit nobody looks, though the room is gone; one octet more is looked at, by whoever writes it.
        first.write(octets(MIB / 2)).await.unwrap();
        second.write(octets(MIB / 2)).await.unwrap();
        let taken = world.directory.path().join("taken");
        std::fs::write(&taken, octets(MIB)).unwrap();
        assert!(is_full(first.write(octets(1)).await));
        std::fs::remove_file(&taken).unwrap();
        // The same of what is read to its end at once.
        assert!(is_full(one.put(stream(), std::io::Cursor::new(octets(MIB + 1))).await));
    })
    .await;
}

#[tokio::test]
async fn who_was_promised_nothing_leaves_what_others_were_promised() {
    for_each_database(async |database| {
        let world = above_the_floor(database, 5 * MIB).await;
        let node = world.node().await;
        let (told, stream) = (node.ingest(), node.ingest());
        told.expect(&[(digest("large"), 3 * MIB)]).await.unwrap();
        let mut writer = stream.writer(crate::support::spec(BlobKind::Base)).await.unwrap();
        writer.write(octets(MIB + 1)).await.unwrap();
        // It fills what was promised to the other.
        assert!(is_full(writer.write(octets(MIB + 1)).await));
        stream.abort().await.unwrap();
        drop(writer);
        // Who was promised it writes all of it.
        let known = WriterSpec::known(Digest::of(&octets(4 * MIB)), 4 * MIB, BlobKind::Base, "t/t");
        told.abort().await.unwrap();
        node.ingest().put(known, std::io::Cursor::new(octets(4 * MIB))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_another_process_announced_is_not_promised_again() {
    for_each_database(async |database| {
        let world = above_the_floor(database, 10 * MIB).await;
        let content = octets(6 * MIB);
        let known = WriterSpec::known(Digest::of(&content), 6 * MIB, BlobKind::Base, "t/t");
        let other = Small {
            inner: DiskFiles::new(world.directory.path()),
            octets: used(world.directory.path()) + 26 * MIB,
        };
        let other = Images::open(world.repo.clone(), Arc::new(other), world.images.options().clone());
        let (other, node) = (other.await.unwrap(), world.node().await);
        let other_node = other.join_with("other", Heartbeat::Host).await.unwrap();
        let theirs = other_node.ingest();
        assert!(!theirs.has(&known.digest.unwrap(), 6 * MIB).await.unwrap());
        let ours = node.ingest();
        let wanted = [(digest("large"), 5 * MIB)];
        assert!(is_full(ours.expect(&wanted).await));
        assert!(is_full(node.ingest().has(&digest("large"), 5 * MIB).await));
        assert!(is_full(
            node.ingest().writer(WriterSpec::known(wanted[0].0, 5 * MIB, BlobKind::Base, "t/t")).await
        ));
        assert!(!node.ingest().has(&digest("fits"), 4 * MIB).await.unwrap());
        // What they wrote of it the disk tells, and is not counted twice.
        let mut writer = theirs.writer(known).await.unwrap();
        writer.write(content).await.unwrap();
        assert!(is_full(node.ingest().has(&digest("large"), 5 * MIB).await));
        assert!(!node.ingest().has(&digest("fits too"), 4 * MIB).await.unwrap());
        drop(writer);
        theirs.abort().await.unwrap();
        ours.abort().await.unwrap();
        eventually("all is given back", async || world.count("images_intents").await == 0).await;
        let ours = node.ingest();
        assert!(!ours.has(&digest("large"), 9 * MIB).await.unwrap());
        ours.abort().await.unwrap();
        // Nor does what nobody will commit any more count.
        let theirs = other_node.ingest();
        assert!(!theirs.has(&digest("theirs"), 9 * MIB).await.unwrap());
        assert!(is_full(node.ingest().has(&digest("large"), 9 * MIB).await));
        world
            .meddle(&format!("UPDATE images_holders SET expires_at = 1 WHERE id = {}", other_node.id()))
            .await;
        assert!(!node.ingest().has(&digest("large"), 9 * MIB).await.unwrap());
    })
    .await;
}

/// Of two processes that want the last room the one that announced first, in numbers, gets it, whoever looks first.
#[tokio::test]
async fn of_two_processes_that_want_the_last_room_the_first_gets_it() {
    for_each_database(async |database| {
        let world = above_the_floor(database, 10 * MIB).await;
        for (at, is_first) in [("images.intent_insert", false), ("images.intent_announced", true)] {
            let theirs = world.images.join_with("theirs", Heartbeat::Host).await.unwrap();
            let announce = "INSERT INTO images_intents (holder_id, digest, size, created_at) \
                            SELECT MAX(id), NULL, 7000000, 0 FROM images_holders WHERE name = 'theirs'";
            let repo = database.options().with(crate::support::Meddling::new(&world, at, announce));
            let small = Small {
                inner: DiskFiles::new(world.directory.path()),
                octets: used(world.directory.path()) + 26 * MIB,
            };
            let options = world.images.options().clone();
            let ours = Images::open(repo.connect().await.unwrap(), Arc::new(small), options).await.unwrap();
            let node = ours.join_with("ours", Heartbeat::Host).await.unwrap();
            let (one, two) = (node.ingest(), node.ingest());
            let asked = one.has(&digest("large"), 5 * MIB).await;
            if is_first {
                assert!(!asked.unwrap());
                one.abort().await.unwrap();
                world.meddle("DELETE FROM images_intents").await;
                two.expect(&[(digest("large"), 5 * MIB)]).await.unwrap();
            } else {
                assert!(is_full(asked));
                let mine =
                    format!("SELECT COUNT(*) AS n FROM images_intents WHERE holder_id = {}", node.id());
                assert_eq!(world.number(&mine).await, 0, "nothing is announced for what was refused");
                assert!(is_full(two.expect(&[(digest("large"), 5 * MIB)]).await));
            }
            two.abort().await.unwrap();
            world.meddle("DELETE FROM images_intents").await;
            theirs.leave().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_an_ingest_announced_counts_once_in_its_quota() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.policy.max_bytes = Some(20)).await;
        let node = world.node().await;
        // Told how long it is, and not which: its number has the octets when its digest is known.
        let ingest = node.ingest();
        let spec = WriterSpec { size_bytes: Some(12), ..crate::support::spec(BlobKind::Base) };
        ingest.put(spec.clone(), &b"twelve bytes"[..]).await.unwrap();
        ingest.abort().await.unwrap();
        // What is begun again is wanted once.
        let ingest = node.ingest();
        let known = WriterSpec { digest: Some(digest("twelve bytes")), ..spec };
        for _ in 0..3 {
            drop(ingest.writer(known.clone()).await.unwrap());
        }
        ingest.put(known, &b"twelve bytes"[..]).await.unwrap();
        assert!(is_full(node.ingest().has(&digest("other"), 9).await), "it is announced");
        assert!(!node.ingest().has(&digest("other"), 8).await.unwrap());
        commit(&ingest, NewImage::chain(vec![digest("twelve bytes")])).await;
    })
    .await;
}
