//! Collecting: what goes, what stays, and what it may be interrupted by.

use std::sync::Arc;
use std::time::Duration;

use mainstay_images::files::DiskFiles;
use mainstay_images::*;
use mainstay_testkit::{TestDatabase, eventually, for_each_database};

use crate::support::{World, bring, commit, digest, options, put};

async fn collect(world: &World) -> CollectReport {
    world.images.collect("collector", &CollectOptions::default()).await.unwrap()
}

#[tokio::test]
async fn what_nothing_uses_goes_and_what_is_shared_stays() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let base = world.publish(&node, &["base"]).await;
        let child = world.publish(&node, &["base", "delta"]).await;
        assert_eq!(child.parent, Some(base.id));
        let held = world.images.remove(&base.id.into()).await.unwrap_err();
        assert_eq!(held.kind(), &ErrorKind::InUse);
        world.images.remove(&child.id.into()).await.unwrap();
        let plan = world.images.plan(&CollectOptions::default()).await.unwrap();
        assert_eq!(plan.blobs.into_iter().collect::<Vec<_>>(), [(digest("delta"), 5)]);
        assert_eq!(world.files().len(), 2, "a plan does nothing");
        let report = collect(&world).await;
        assert_eq!((report.blobs_removed, report.bytes_removed, report.waiting), (1, 5, 0));
        assert_eq!(world.files().len(), 1);
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 4);
        world.images.remove(&base.id.into()).await.unwrap();
        assert_eq!(collect(&world).await.blobs_removed, 1);
        assert_eq!((world.files().len(), world.count("images_blobs").await), (0, 0));
        let runs = world.images.collections(10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.report.blobs_removed).collect::<Vec<_>>(), [1, 1]);
    })
    .await;
}

#[tokio::test]
async fn what_is_being_published_stays_until_its_holder_is_gone() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        bring(&ingest, &["staged"]).await;
        let landed = node.ingest();
        bring(&landed, &["landed"]).await;
        landed.land().await.unwrap();
        let mut writing = node.ingest().writer(crate::support::spec(BlobKind::Base)).await.unwrap();
        writing.write("half").await.unwrap();
        let full = CollectOptions { full: true, ..CollectOptions::default() };
        let report = world.images.collect("c", &full).await.unwrap();
        assert_eq!((report.blobs_removed, report.orphans_removed), (0, 0));
        assert_eq!(world.files().len(), 3);

        world.expire_all().await;
        let report = collect(&world).await;
        assert_eq!((report.holders_reaped, report.intents_reaped), (1, 3));
        assert_eq!((report.blobs_removed, report.orphans_removed), (1, 2));
        assert_eq!(world.files(), [""; 0]);
        // The fence: what was staged cannot be committed any more.
        let set = CommitSet { images: vec![NewImage::chain(vec![digest("staged")])], ..CommitSet::default() };
        assert!(ingest.commit(set).await.unwrap_err().is_stale());
        assert_eq!(world.count("images").await, 0);
    })
    .await;
}

/// Refuses one step, as if the process had ended there.
#[derive(Debug)]
struct Stop(Step, std::sync::atomic::AtomicU32);

#[mainstay_repo::middleware::async_trait]
impl Steps for Stop {
    async fn before(&self, step: Step) -> Result<()> {
        if step != self.0 || self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) != 1 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Internal, "the power is gone"))
    }
}

fn stop_at(step: Step) -> impl Fn(&mut ImagesOptions) {
    move |options| options.steps = Arc::new(Stop(step, 1.into()))
}

#[tokio::test]
async fn a_collection_that_is_interrupted_anywhere_is_finished_by_the_next() {
    let steps = [
        Step::CollectTombstone,
        Step::CollectUnlink,
        Step::CollectForget,
        Step::CollectResume,
        Step::SweepList,
        Step::SweepCheck,
        Step::SweepUnlink,
    ];
    for_each_database(async |database| {
        let world = World::new(database).await;
        for step in steps {
            let node = world.node().await;
            let kept = world.publish(&node, &["kept"]).await;
            let gone = world.publish(&node, &["gone"]).await;
            world.images.remove(&gone.id.into()).await.unwrap();
            std::fs::write(world.directory.path().join("tmp/1"), "left by a crash").unwrap();
            let crashing = world.reopened(stop_at(step)).await;
            let error = crashing.collect("crashing", &CollectOptions::default()).await.unwrap_err();
            assert_eq!(error.message(), "the power is gone", "{step}");
            // The dead collector's turn runs out.
            world.meddle("UPDATE images_collector SET until = 0").await;
            collect(&world).await;
            assert_eq!(world.files().len(), 1, "{step}");
            assert_eq!(world.count("images_blobs").await, 1, "{step}");
            world.images.locate(kept.id).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_publication_that_is_interrupted_anywhere_leaves_nothing_for_ever_and_can_be_repeated() {
    let steps = [
        Step::PublishIntent,
        Step::PublishWrite,
        Step::PublishSyncFile,
        Step::PublishRename,
        Step::PublishSyncDir,
        Step::PublishLand,
        Step::PublishCommit,
    ];
    for_each_database(async |database| {
        let world = World::new(database).await;
        for step in steps {
            let crashing = world.reopened(stop_at(step)).await;
            let node = crashing.join_with("crashing", Heartbeat::Host).await.unwrap();
            let ingest = node.ingest();
            let spec = WriterSpec::known(digest("base"), 4, BlobKind::Base, "t/t");
            let done = async {
                ingest.put(spec, std::io::Cursor::new(b"base".to_vec())).await?;
                ingest.land().await?;
                let set =
                    CommitSet { images: vec![NewImage::chain(vec![digest("base")])], ..CommitSet::default() };
                ingest.commit(set).await
            };
            assert_eq!(done.await.unwrap_err().message(), "the power is gone", "{step}");
            drop(ingest);
            world.expire_all().await;
            collect(&world).await;
            assert_eq!(world.files(), [""; 0], "{step}");
            assert_eq!(world.count("images_intents").await + world.count("images_blobs").await, 0, "{step}");
        }
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
    })
    .await;
}

#[tokio::test]
async fn only_one_collects_and_a_restore_switches_it_off() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let far = i64::MAX / 2;
        world.meddle(&format!("UPDATE images_collector SET holder = 'other', until = {far}")).await;
        let error = world.images.collect("me", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Conflict);
        world.meddle("UPDATE images_collector SET until = 0").await;
        collect(&world).await;

        world.images.after_restore().await.unwrap();
        let error = world.images.collect("me", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::CollectingOff);
        assert!(node.renew().await.unwrap_err().is_stale());
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_older_than_its_files_is_seen_and_no_number_is_given_twice() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        // A file of the time after the backup.
        let late = digest("late").to_string();
        let path = world.directory.path().join(format!("blobs/{}/{late}.7000", &late[..2]));
        std::fs::write(&path, "late").unwrap();
        let error = world.images.collect("me", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::CollectingOff);
        assert!(path.exists());
        world.meddle("UPDATE images_collector SET off_until = 0").await;
        let again = world.node().await;
        assert!(again.id().get() > i64::from(u32::MAX), "{}", again.id());
        let ingest = again.ingest();
        put(&ingest, BlobKind::Base, "new").await;
        assert!(world.files().iter().any(|file| {
            file.rsplit('.').next().unwrap().parse::<i64>().is_ok_and(|inc| inc > 7_000 + i64::from(u32::MAX))
        }));
        assert_eq!(collect(&world).await.orphans_removed, 1);
        assert!(!path.exists());
        commit(&ingest, NewImage::chain(vec![digest("new")])).await;
    })
    .await;
}

#[tokio::test]
async fn a_restore_is_noticed_before_anything_is_published() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let last = world.number("SELECT MAX(first_inc) AS n FROM images_blobs").await;
        let late = digest("late").to_string();
        let after = |inc: i64| format!("blobs/{}/{late}.{inc}", &late[..2]);
        // A number that was given says nothing.
        std::fs::write(world.directory.path().join(after(last)), "late").unwrap();
        world.reopened(|_| {}).await;
        node.renew().await.unwrap();
        // A few publications of other content would reach this one, and hide that it is of the time after the backup.
        let path = world.directory.path().join(after(last + 2));
        std::fs::write(&path, "late").unwrap();
        let images = world.reopened(|_| {}).await;
        assert!(node.renew().await.unwrap_err().is_stale());
        let node = images.join_with("again", Heartbeat::Host).await.unwrap();
        world.publish(&node, &["one", "two", "three"]).await;
        let error = images.collect("me", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::CollectingOff);
        assert!(path.exists());
        // It is noticed once.
        world.reopened(|_| {}).await;
        node.renew().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_policy_lets_go_of_the_least_recently_used_until_there_is_room() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.policy.max_bytes = Some(10)).await;
        let node = world.node().await;
        let old = world.publish(&node, &["1234"]).await;
        let pinned = world.publish(&node, &["567"]).await;
        let named = world.publish(&node, &["89"]).await;
        world.images.pin(&pinned.id.into(), true).await.unwrap();
        world.images.tag(&named.id.into(), "keep").await.unwrap();
        let refused = node.ingest().has(&digest("xyz"), 3).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::NoSpace);
        // What the store has needs no room.
        assert!(node.ingest().has(&digest("1234"), 4).await.unwrap());
        // What is being adopted does not go: the plan is made once that was given up.
        eventually("the adoption is given up", async || world.count("images_intents").await == 0).await;
        let room = CollectOptions { evict: true, make_room_bytes: 3, ..CollectOptions::default() };
        let plan = world.images.plan(&room).await.unwrap();
        assert_eq!(plan.evict.iter().map(|eviction| eviction.image).collect::<Vec<_>>(), [old.id]);
        assert_eq!(plan.bytes, 4);
        let lease = node.acquire("vm", old.id).await.unwrap();
        assert_eq!(world.images.collect("c", &room).await.unwrap().images_evicted, 0);
        lease.release().await.unwrap();
        // The adoption above was dropped; its intent goes in its own time.
        node.leave().await.unwrap();
        let report = world.images.collect("c", &room).await.unwrap();
        assert_eq!((report.images_evicted, report.bytes_removed), (1, 4));
        assert!(world.images.find_image(&pinned.id.into()).await.unwrap().is_some());
        assert!(world.images.find_image(&named.id.into()).await.unwrap().is_some());
        let node = world.node().await;
        world.publish(&node, &["xyz"]).await;
    })
    .await;
}

#[tokio::test]
async fn an_image_that_nobody_used_for_long_goes_by_age() {
    for_each_database(async |database| {
        let day = Duration::from_secs(86_400);
        let world = World::with(database, |options| options.policy.keep_unclaimed = Some(day)).await;
        let node = world.node().await;
        let old = world.publish(&node, &["old"]).await;
        let fresh = world.publish(&node, &["fresh"]).await;
        world
            .meddle(&format!(
                "UPDATE images SET last_used_at = last_used_at - 90000000000 WHERE id = {}",
                old.id
            ))
            .await;
        let claims = world.images.explain(&fresh.id.into()).await.unwrap();
        assert!(matches!(claims.as_slice(), [Claim::Unclaimed { until: Some(_) }]));
        let evict = CollectOptions { evict: true, ..CollectOptions::default() };
        assert_eq!(world.images.collect("c", &evict).await.unwrap().images_evicted, 1);
        assert_eq!(world.images.find_image(&old.id.into()).await.unwrap(), None);
        assert!(world.images.find_image(&fresh.id.into()).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn everything_that_keeps_something_is_told() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let base = world.publish(&node, &["base"]).await;
        let child = world.publish(&node, &["base", "delta"]).await;
        world.images.pin(&base.id.into(), true).await.unwrap();
        world.images.tag(&base.id.into(), "app").await.unwrap();
        node.acquire("vm-7", base.id).await.unwrap();
        let told = |claims: &[Claim]| claims.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let why = told(&world.images.explain(&base.id.into()).await.unwrap());
        for part in ["pinned", "\"app\"", "\"vm-7\"", &format!("image sha256:{}", child.digest)] {
            assert!(why.contains(part), "{why}");
        }
        let why = world.images.explain_blob(&digest("delta")).await.unwrap();
        assert!(matches!(why.as_slice(), [Claim::Image { image, .. }] if *image == child.id));
        let ingest = node.ingest();
        bring(&ingest, &["staged"]).await;
        ingest.land().await.unwrap();
        assert!(
            told(&world.images.explain_blob(&digest("staged")).await.unwrap())
                .contains("node is publishing it")
        );
        ingest.abort().await.unwrap();
        let why = world.images.explain_blob(&digest("staged")).await.unwrap();
        assert!(matches!(why.as_slice(), [Claim::Waiting { review_after: Some(_) }]));

        let lineage = world.images.lineage().await.unwrap();
        assert_eq!(lineage.0.len(), 2);
        assert_eq!(lineage.0[1].parent, Some(base.id));
        assert!(lineage.dot().contains(&format!("i{} -> i{};", base.id, child.id)));
        assert_eq!(lineage.svg().matches("<rect").count(), 2);

        let usage = world.images.usage().await.unwrap();
        assert_eq!(
            (usage.total_bytes, usage.unique_bytes, usage.shared_bytes, usage.unused_bytes),
            (15, 5, 4, 6)
        );
        // Nothing claims the child: what it adds comes back with what nothing uses.
        assert_eq!(usage.reclaimable_bytes, 11);
        let of = |id| usage.images.iter().find(|image| image.image == id).unwrap().reclaimable_bytes;
        assert_eq!((of(base.id), of(child.id)), (0, 5));
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_can_be_collected() {
    let Some(disk) = mainstay_testkit::SmallDisk::mount(3 * 1024 * 1024) else { return };
    let url = format!("sqlite://{}/images.db", disk.path().display());
    let repo = mainstay_repo::Repo::connect(&url).await.unwrap();
    repo.migrator().migrate(&COMPONENT, mainstay_repo::Target::Latest).await.unwrap();
    let store = disk.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let mut options = options();
    options.reserve_bytes = 512 * 1024;
    let images = Images::open(repo.clone(), Arc::new(DiskFiles::new(&store)), options).await.unwrap();
    let node = images.join_with("node", Heartbeat::Host).await.unwrap();
    let ingest = node.ingest();
    let content = vec![7_u8; 400 * 1024];
    let staged =
        ingest.put(crate::support::spec(BlobKind::Base), std::io::Cursor::new(content)).await.unwrap();
    let image = commit(&ingest, NewImage::chain(vec![staged.digest])).await;
    images.collect("c", &CollectOptions::default()).await.unwrap();
    assert!(store.join("reserve").exists());
    images.remove(&image.id.into()).await.unwrap();
    // Nothing more can be written.
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    assert_eq!(images.space().await.unwrap().free_bytes, 0);
    let report = images.collect("c", &CollectOptions::default()).await.unwrap();
    assert_eq!(report.blobs_removed, 1);
    assert!(images.space().await.unwrap().free_bytes > 256 * 1024);
}

/// Publishers, removers and collectors on the same few blobs; on PostgreSQL their transactions overlap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_lose_what_is_used_and_leave_nothing_behind() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut tasks = tokio::task::JoinSet::new();
        for publisher in 0..4_u32 {
            let node = world.images.join(&format!("node-{publisher}")).await.unwrap();
            tasks.spawn(async move {
                for round in 0..30 {
                    let texts: [&str; 2] = [["a", "b", "c"][(publisher + round) as usize % 3], "top"];
                    let image = publish_whole(&node, &texts).await;
                    let read = node.with_image("vm", image.id, async |held| {
                        for layer in node.images().resolve_chain(held.image()).await.unwrap().layers() {
                            node.images().open_blob(&layer.digest, Verify::Content).await.unwrap();
                        }
                    });
                    match read.await {
                        // Another removed it between the commit and the lease.
                        Err(error) => assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}"),
                        Ok(()) => drop(node.images().remove(&image.id.into()).await),
                    }
                }
                node.leave().await.unwrap();
            });
        }
        for collector in 0..2 {
            let images = world.images.clone();
            tasks.spawn(async move {
                for _ in 0..15 {
                    match images.collect(&format!("c{collector}"), &CollectOptions::default()).await {
                        Ok(report) => assert_eq!(report.missing, []),
                        Err(error) => assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}"),
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        for image in world.images.images(None, MAX_PAGE).await.unwrap() {
            world.images.locate(image.id).await.unwrap();
        }
        let full = CollectOptions { full: true, ..CollectOptions::default() };
        let report = world.images.collect("last", &full).await.unwrap();
        assert_eq!((report.missing, report.inconsistent), (vec![], vec![]));
        let stored =
            world.number("SELECT COALESCE(CAST(SUM(size) AS bigint), 0) AS n FROM images_blobs").await;
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, stored);
        assert_eq!(i64::try_from(world.files().len()).unwrap(), world.count("images_blobs").await);
        assert_eq!(world.count("images_intents").await + world.count("images_leases").await, 0);
    })
    .await;
}

/// Publishes until it is done: what another took away in the meantime is brought again.
async fn publish_whole(node: &Node, texts: &[&str]) -> Image {
    loop {
        let ingest = node.ingest();
        let digests = bring(&ingest, texts).await;
        let set = CommitSet { images: vec![NewImage::chain(digests)], ..CommitSet::default() };
        match ingest.commit(set).await {
            Ok(mut committed) => return committed.images.remove(0),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Incomplete | ErrorKind::Busy | ErrorKind::NotFound),
                "{error:?}"
            ),
        }
    }
}

/// Remembers which operations are housekeeping.
#[derive(Clone, Default)]
struct Priorities(Arc<std::sync::Mutex<std::collections::BTreeMap<String, mainstay_repo::Priority>>>);

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for Priorities {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        let name = operation.name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().insert(name, operation.priority());
        next.run(operation).await
    }
}

#[tokio::test]
async fn a_collection_yields_to_others_and_its_statements_are_capped() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let seen = Priorities::default();
        let repo = database.options().with(seen.clone()).connect().await.unwrap();
        let files = Arc::new(DiskFiles::new(world.directory.path()));
        let images = Images::open(repo, files, options()).await.unwrap();
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        let world = World { images, ..world };
        let image = world.publish(&node, &["base"]).await;
        world.images.remove(&image.id.into()).await.unwrap();
        seen.0.lock().unwrap().clear();
        world.images.collect("c", &CollectOptions { full: true, ..CollectOptions::default() }).await.unwrap();
        let seen = seen.0.lock().unwrap().clone();
        assert!(seen.contains_key("images.collect_tombstone") && seen.contains_key("images.blob_page"));
        for (name, priority) in seen {
            // Full collections page through the images as any reader does.
            let is_low =
                matches!(priority, mainstay_repo::Priority::Low { cap } if cap <= Duration::from_secs(5));
            assert!(is_low || name == "images.image_list", "{name}: {priority:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_nothing_uses_is_found_however_far_its_numbers_lie_apart() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let skip = match world.repo.dialect() {
            mainstay_repo::Dialect::Sqlite => {
                "UPDATE sqlite_sequence SET seq = seq + 49998 WHERE name = 'images_blobs'"
            }
            _ => "SELECT setval('images_blobs_id_seq', (SELECT last_value FROM images_blobs_id_seq) + 49998)",
        };
        let mut images = Vec::new();
        for text in ["one", "two", "three", "four"] {
            images.push(world.publish(&node, &[text]).await);
            world.meddle(skip).await;
        }
        for image in [&images[0], &images[1], &images[3]] {
            world.images.remove(&image.id.into()).await.unwrap();
        }
        // Nothing is queued: only a look at all finds them.
        world.meddle("DELETE FROM images_gc_queue").await;
        let full = CollectOptions { full: true, ..CollectOptions::default() };
        assert_eq!(world.images.plan(&full).await.unwrap().bytes, 10);
        assert_eq!(world.images.collect("c", &full).await.unwrap().blobs_removed, 3);
        assert_eq!((world.files().len(), world.count("images_blobs").await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_reserve_that_cannot_be_made_hides_no_collection() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.reserve_bytes = 4096).await;
        // Something is in its place that is no file.
        std::fs::create_dir(world.directory.path().join("reserve")).unwrap();
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!(world.images.collections(10).await.unwrap().len(), 1);
        std::fs::remove_dir(world.directory.path().join("reserve")).unwrap();
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!(std::fs::metadata(world.directory.path().join("reserve")).unwrap().len(), 4096);
    })
    .await;
}

/// SQLite has one writer: nobody removes an image between the statements of another.
#[tokio::test]
async fn a_name_beside_the_removal_of_its_image_is_refused_as_one_behind_it() {
    for name in ["new", "there"] {
        let database = TestDatabase::postgres();
        let world = World::new(&database).await;
        let node = world.node().await;
        let [image, other] = [world.publish(&node, &["base"]).await, world.publish(&node, &["other"]).await];
        let version = world.images.tag(&other.id.into(), "there").await.unwrap().version;
        let sql =
            |text: String| mainstay_repo::Statement::new(mainstay_repo::Sql::dynamic(text.clone(), text));
        let mut removing = world.repo.begin().await.unwrap();
        removing
            .write(sql(format!("DELETE FROM images_layers WHERE image_id = {}", image.id)))
            .await
            .unwrap();
        removing.write(sql(format!("DELETE FROM images WHERE id = {}", image.id))).await.unwrap();
        let naming = tokio::spawn({
            let images = world.images.clone();
            async move {
                let expect = if name == "new" { RefExpect::Any } else { RefExpect::Version(version) };
                images.point(&image.id.into(), name, expect).await
            }
        });
        eventually("it waits for the removal", async || {
            let waiting = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                           AND datname = current_database()";
            world.number(waiting).await == 1
        })
        .await;
        removing.commit().await.unwrap();
        let kind = naming.await.unwrap().unwrap_err().kind().clone();
        assert_eq!(kind, if name == "new" { ErrorKind::NotFound } else { ErrorKind::Conflict });
        world.images.remove(&world.images.reference("there").await.unwrap().image.into()).await.unwrap_err();
        world.images.untag("there").await.unwrap();
        world.images.remove(&other.id.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_is_moved_to_what_is_not_there_is_a_conflict() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let version = world.images.tag(&image.id.into(), "name").await.unwrap().version;
        let refs = vec![RefUpdate {
            name: "name".to_owned(),
            image: digest("nothing"),
            expect: RefExpect::Version(version),
        }];
        let set = CommitSet { refs, ..CommitSet::default() };
        let error = node.ingest().commit(set).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_nobody_waits_for_any_more_gives_its_turn_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["base"]).await;
        let ends = crate::support::EndsBefore::new("images.queue_count", 1);
        let images = world.meddled(database, ends.clone()).await;
        ends.run(async move { images.collect("left", &CollectOptions::default()).await }).await;
        eventually("its turn is over", async || world.images.collecting().await.unwrap().collector.is_none())
            .await;
        world.images.collect("next", &CollectOptions::default()).await.unwrap();
    })
    .await;
}

/// Counts the statements of a name.
#[derive(Clone)]
struct Counted(&'static str, Arc<std::sync::atomic::AtomicU32>);

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for Counted {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        let is_it = operation.statements().any(|statement| statement.name() == Some(self.0));
        self.1.fetch_add(u32::from(is_it), std::sync::atomic::Ordering::SeqCst);
        next.run(operation).await
    }
}

/// However many rows there are, no statement looks at more than its cap allows.
#[tokio::test]
async fn what_nothing_uses_is_looked_for_in_pieces() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        world.images.remove(&image.id.into()).await.unwrap();
        world.meddle("DELETE FROM images_gc_queue").await;
        world.meddle("UPDATE images_blobs SET id = 200000").await;
        let counted = Counted("images.blob_unused", Arc::default());
        let images = world.meddled(database, counted.clone()).await;
        let full = CollectOptions { full: true, ..CollectOptions::default() };
        assert_eq!(images.collect("c", &full).await.unwrap().blobs_removed, 1);
        assert_eq!(counted.1.load(std::sync::atomic::Ordering::SeqCst), 4, "of 50,000 numbers each");
    })
    .await;
}
