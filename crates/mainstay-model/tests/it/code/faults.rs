//! The disk refuses one operation after the other, or is full: the work fails with a kind that says so, and nothing is lost by it.

use std::io::{Error, ErrorKind as Io};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_images::{Digest, ErrorKind, Unobserved};
use mainstay_testkit::TestDatabase;
use mainstay_testkit::fault_fs::Operation;

use super::scenario::Scenario;
use super::world::{A, B, C, World};

/// Whether a directory is not one of the many that are empty here.
fn is_of_interest(directory: &str) -> bool {
    let shard = |content| format!("blobs/{:02x}", Digest::of(content).shard());
    !directory.starts_with("blobs/") || [A, B, C].map(shard).contains(&directory.to_owned())
}

/// Lets the n-th operation of the disk fail, for each n, until the work ends without having met it.
async fn check(scenario: Scenario, failure: Io, is_sticky: bool) {
    let database = TestDatabase::sqlite();
    for place in 0.. {
        let world = World::new(&database).await;
        scenario.prepare(&world).await;
        let images = world.open_with(Arc::new(Unobserved)).await.unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        world.fs.fail_when(move |operation, path| {
            if operation == Operation::List && !is_of_interest(path) {
                return None;
            }
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let fails = number == place || is_sticky && number > place;
            fails.then(|| Error::from(failure))
        });
        let outcome = scenario.run(&images).await;
        let context = format!("{scenario:?}, operation {place} fails with {failure}: {outcome:?}");
        world.fs.fail_never();
        drop(images);
        if let Err(error) = &outcome {
            assert!(
                matches!(error.kind(), ErrorKind::Medium | ErrorKind::NoSpace),
                "{context}: the kind does not tell that the disk failed"
            );
        }
        if scenario == Scenario::Scrub {
            world.scrub_and_repair(&context).await;
        }
        if scenario != Scenario::Repair || outcome.is_ok() {
            world.check_safe(&context).await;
            world.check_drains(&context).await;
        }
        if count.load(Ordering::SeqCst) <= place {
            assert!(place > 3, "{scenario:?} did {place} operations only");
            return;
        }
    }
}

#[tokio::test]
async fn publishing_survives_each_error_of_the_disk() {
    check(Scenario::Publish, Io::Other, false).await;
    check(Scenario::Publish, Io::StorageFull, true).await;
}

#[tokio::test]
async fn adoption_survives_each_error_of_the_disk() {
    check(Scenario::Adopt, Io::Other, true).await;
}

#[tokio::test]
async fn repair_survives_each_error_of_the_disk() {
    check(Scenario::Repair, Io::Other, false).await;
}

#[tokio::test]
async fn scrub_survives_each_error_of_the_disk() {
    check(Scenario::Scrub, Io::Other, false).await;
}

#[tokio::test]
async fn collection_survives_each_error_of_the_disk() {
    check(Scenario::Collect, Io::Other, false).await;
    check(Scenario::Sweep, Io::Other, false).await;
    check(Scenario::Sweep, Io::Other, true).await;
}
