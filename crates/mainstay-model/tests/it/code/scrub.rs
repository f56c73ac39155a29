//! Somebody repairs, removes or uses what a scrub is looking at, between each two steps of the scrub.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mainstay_images::{Digest, Images, Result, Step, Steps};
use mainstay_testkit::TestDatabase;

use super::scenario::Scenario;
use super::world::{A, B, C, RowState, World, collect, join, publish, remove};

/// What the other does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    /// Brings the content again.
    Repairs,
    /// Removes the image and collects: tombstones, and files that go.
    Collects,
    /// The same, and brings the content again.
    Replaces,
    /// Leases the image and reads what it finds.
    Reads,
}

/// Before one step of a scrub, somebody else does something.
#[derive(Debug)]
struct Beside {
    left: AtomicUsize,
    images: Images,
    other: Other,
}

#[async_trait]
impl Steps for Beside {
    async fn before(&self, step: Step) -> Result<()> {
        let is_scrub = matches!(step, Step::ScrubLook | Step::ScrubMark | Step::ScrubSetAside);
        if is_scrub && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            act(&self.images, self.other).await.expect("the other is not in the way of a scrub");
        }
        Ok(())
    }
}

async fn act(images: &Images, other: Other) -> Result<()> {
    if matches!(other, Other::Collects | Other::Replaces) {
        for image in images.images(None, 10).await? {
            remove(images, &image).await?;
        }
        collect(images).await?;
    }
    if matches!(other, Other::Repairs | Other::Replaces) {
        publish(images, "other", &[A, B, C]).await?;
    }
    if other == Other::Reads {
        let image = images.images(None, 1).await?.remove(0);
        let node = join(images, "other").await?;
        // Whether it can be leased depends on how far the scrub is; what is missing or wrong is told, whoever finds it first.
        drop(node.acquire("vm", image.id).await);
        for content in [A, B, C] {
            drop(images.open_blob(&Digest::of(content), mainstay_images::Verify::Content).await);
        }
        node.leave().await?;
    }
    Ok(())
}

async fn check(other: Other, database: TestDatabase) {
    for step in 0.. {
        let world = World::new(&database).await;
        Scenario::Scrub.prepare(&world).await;
        let steps = Beside { left: AtomicUsize::new(step), images: world.open().await, other };
        let steps = Arc::new(steps);
        let images = world.open_with(steps.clone()).await.unwrap();
        let outcome = Scenario::Scrub.run(&images).await;
        let context = format!("{other:?} before step {step} of a scrub: {outcome:?}");
        outcome.unwrap_or_else(|error| panic!("{context}: {error:?}"));
        let is_over = steps.left.load(Ordering::SeqCst) <= usize::MAX / 2;
        // What was brought anew stays good: the scrub has not taken the new file for the old one.
        let facts = world.facts().await;
        let replaced = other == Other::Replaces && !is_over;
        for (digest, state) in &facts.rows {
            let RowState::Damaged(inc) = state else { continue };
            let is_whole = world.content(digest, *inc).is_some_and(|octets| Digest::of(&octets) == *digest);
            assert!(!is_whole && !replaced, "{context}: {digest}.{inc} is good and marked: {facts:?}");
        }
        drop(images);
        world.scrub_and_repair(&context).await;
        world.check_safe(&context).await;
        world.check_drains(&context).await;
        if is_over {
            assert!(step > 4, "{other:?}: a scrub has {step} steps");
            return;
        }
    }
}

#[tokio::test]
async fn a_scrub_beside_a_repair_is_safe() {
    check(Other::Repairs, TestDatabase::sqlite()).await;
    check(Other::Repairs, TestDatabase::postgres()).await;
}

#[tokio::test]
async fn a_scrub_beside_a_collection_is_safe() {
    check(Other::Collects, TestDatabase::sqlite()).await;
    check(Other::Collects, TestDatabase::postgres()).await;
}

#[tokio::test]
async fn a_scrub_beside_a_replacement_marks_no_new_file() {
    check(Other::Replaces, TestDatabase::sqlite()).await;
    check(Other::Replaces, TestDatabase::postgres()).await;
}

#[tokio::test]
async fn a_scrub_beside_a_reader_is_safe() {
    check(Other::Reads, TestDatabase::sqlite()).await;
    check(Other::Reads, TestDatabase::postgres()).await;
}
