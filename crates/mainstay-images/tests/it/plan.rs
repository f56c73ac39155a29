//! What a collection says that it would do, and what it does then: one after the other, they are the same.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_images::gc::Plan;
use mainstay_images::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, digest, put};

const DAY: Duration = Duration::from_secs(24 * 3600);
const LATER: Duration = Duration::from_secs(600);

/// Plans, then collects, and compares.
async fn planned(world: &World, options: CollectOptions, what: &str) -> (Plan, CollectReport) {
    let before = world.files();
    let plan = world.images.plan(&options).await.unwrap();
    assert_eq!(world.files(), before, "{what}: a plan does nothing");
    let report = world.images.collect("c", &options).await.unwrap();
    let (blobs, orphans) = (plan.blobs.len() as u64, plan.orphans.len() as u64);
    assert_eq!(
        (plan.evict.len() as u64, blobs, plan.bytes, orphans, plan.orphan_bytes),
        (
            report.images_evicted,
            report.blobs_removed,
            report.bytes_removed,
            report.orphans_removed,
            report.orphan_bytes,
        ),
        "{what}: {plan:?} {report:?}"
    );
    for orphan in &plan.orphans {
        assert!(!world.directory.path().join(orphan).exists(), "{what}: {orphan}");
    }
    (plan, report)
}

fn evict(make_room_bytes: u64) -> CollectOptions {
    CollectOptions { evict: true, make_room_bytes, ..CollectOptions::default() }
}

fn full() -> CollectOptions {
    CollectOptions { full: true, ..CollectOptions::default() }
}

/// Lays a file of so many octets where a process that was killed would have left it.
fn lay(world: &World, path: &str, octets: usize) -> PathBuf {
    let path = world.directory.path().join(path);
    std::fs::write(&path, "x".repeat(octets)).unwrap();
    path
}

async fn age(world: &World, image: &Image) {
    let old = "UPDATE images SET last_used_at = last_used_at - 2678400000000 WHERE id =";
    world.meddle(&format!("{old} {}", image.id)).await;
}

#[tokio::test]
async fn what_goes_for_its_age_waits_for_its_next_use_also_in_the_plan() {
    for_each_database(async |database| {
        let world = World::with(database, |options| {
            options.grace = LATER;
            options.policy.keep_unclaimed = Some(30 * DAY);
        })
        .await;
        let node = world.node().await;
        let [image, kept] = [world.publish(&node, &["old"]).await, world.publish(&node, &["kept"]).await];
        age(&world, &image).await;
        let (plan, _) = planned(&world, evict(0), "age").await;
        assert_eq!((plan.evict.len(), plan.blobs.len()), (1, 0), "its blob waits");
        let (plan, _) = planned(&world, evict(0), "again").await;
        assert_eq!((plan.evict.len(), plan.blobs.len()), (0, 0));
        let (plan, _) = planned(&world, full(), "full").await;
        assert_eq!(plan.blobs.keys().collect::<Vec<_>>(), [&digest("old")]);
        age(&world, &kept).await;
        let (plan, _) = planned(&world, CollectOptions { full: true, ..evict(0) }, "age and full").await;
        assert_eq!((plan.evict.len(), plan.blobs.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn room_in_a_quota_is_planned_as_it_is_made() {
    for_each_database(async |database| {
        let world = World::with(database, |options| {
            options.grace = LATER;
            options.policy.max_bytes = Some(30);
            options.policy.headroom_bytes = 4;
        })
        .await;
        let node = world.node().await;
        for text in ["first five", "other five"] {
            world.publish(&node, &[text]).await;
        }
        let gone = world.publish(&node, &["garbage"]).await;
        world.images.remove(&gone.id.into()).await.unwrap();
        let partial = lay(&world, &format!("tmp/{}.1", digest("begun")), 5);
        // What nothing uses is enough, so no image goes, not for the headroom either; and no beginning, which is in no quota.
        let (plan, _) =
            planned(&world, CollectOptions { evict: true, make_room_bytes: 5, ..full() }, "garbage").await;
        assert_eq!((plan.evict.len(), plan.blobs.len(), plan.beginnings.count), (0, 1, 1));
        assert!(partial.exists());
        let (plan, _) = planned(&world, evict(12), "an image").await;
        assert_eq!((plan.evict.len(), plan.blobs.len(), plan.bytes), (1, 1, 10));
        let (plan, _) = planned(&world, evict(12), "again").await;
        assert_eq!((plan.evict.len(), plan.blobs.len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn files_that_nothing_names_are_planned_wherever_they_lie() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.grace = LATER).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let hex = digest("other").to_string();
        lay(&world, "tmp/1", 100);
        lay(&world, &format!("blobs/{}/{hex}.1", &hex[..2]), 10);
        lay(&world, &format!("quarantine/{hex}.1"), 1000);
        // Of a process that was killed while it proved that the directory is its own, and of one that does so now.
        let left = lay(&world, "mainstay-images.left", 1);
        let opened = std::fs::File::options().write(true).open(&left).unwrap();
        opened.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let now = lay(&world, "mainstay-images.now", 1);
        let beginning = lay(&world, &format!("tmp/{hex}.2"), 10_000);
        let staging = CollectOptions { skip_sweep: true, ..full() };
        assert_eq!(planned(&world, staging, "no sweep").await.0.orphans, Vec::<String>::new());
        let (plan, _) = planned(&world, CollectOptions::default(), "files").await;
        assert_eq!((plan.orphans.len(), plan.orphan_bytes), (4, 1111));
        assert_eq!((plan.beginnings.count, plan.beginnings.bytes), (1, 10_000));
        let found = checkup(
            world.repo.clone(),
            std::sync::Arc::new(files::DiskFiles::new(world.directory.path())),
            crate::support::options(),
        );
        assert_eq!(found.await.unwrap().beginnings, plan.beginnings);
        assert!(!left.exists() && now.exists() && beginning.exists());
        // Room that is wanted takes beginnings too.
        let (plan, _) = planned(&world, evict(1), "room").await;
        assert_eq!((plan.orphans.len(), plan.beginnings.count), (1, 0));
        assert!(!beginning.exists());
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_process_left_is_planned_before_a_collection_forgot_the_process() {
    for_each_database(async |database| {
        let world = World::with(database, |options| {
            options.grace = LATER;
            options.policy.keep_unclaimed = Some(30 * DAY);
            options.policy.max_bytes = Some(1000);
        })
        .await;
        let node = world.node().await;
        let [leased, idle] = [world.publish(&node, &["leased"]).await, world.publish(&node, &["idle"]).await];
        age(&world, &leased).await;
        node.acquire("vm", leased.id).await.unwrap();
        age(&world, &leased).await;
        age(&world, &idle).await;
        let ingest = node.ingest();
        put(&ingest, BlobKind::Base, "landed").await;
        ingest.land().await.unwrap();
        put(&ingest, BlobKind::Base, "written").await;
        let mut writer = ingest.writer(crate::support::spec(BlobKind::Base)).await.unwrap();
        writer.write("begun").await.unwrap();
        // The process ends without a word.
        let killed = (writer, ingest);
        world.expire_all().await;
        let (plan, report) = planned(&world, evict(0), "killed").await;
        assert_eq!((plan.evict.len(), plan.blobs.len(), plan.orphans.len()), (1, 0, 2));
        assert_eq!(report.holders_reaped, 1);
        let (plan, _) = planned(&world, full(), "full").await;
        assert_eq!(plan.blobs.len(), 2, "what landed, and what went for its age");
        // Where room is wanted the leased one, which nobody uses any more, goes as well.
        let other = world.node().await;
        let again = world.publish(&other, &["again"]).await;
        other.acquire("vm", again.id).await.unwrap();
        world.expire_all().await;
        let (plan, _) = planned(&world, evict(1000), "room").await;
        assert_eq!((plan.evict.len(), plan.blobs.len()), (2, 2));
        drop(killed);
    })
    .await;
}

#[tokio::test]
async fn what_another_collection_marked_is_planned() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        world.images.remove(&image.id.into()).await.unwrap();
        world.meddle("UPDATE images_blobs SET state = 1").await;
        world.meddle("DELETE FROM images_gc_queue").await;
        let (plan, _) = planned(&world, CollectOptions::default(), "marked").await;
        assert_eq!(plan.blobs.len(), 1);
    })
    .await;
}
