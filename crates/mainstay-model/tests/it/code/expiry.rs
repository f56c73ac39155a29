//! A publisher is held up before each of its steps for so long that its time is over and a collection has taken what it announced; then it
//! goes on. The fence must stop it, or it must not need what is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mainstay_images::{ErrorKind, Images, Result, Step, Steps};
use mainstay_repo::{Repo, Statement};
use mainstay_testkit::TestDatabase;

use super::scenario::Scenario;
use super::world::{World, collect};

/// Before one step, the time of every holder ends and somebody else collects.
#[derive(Debug)]
struct HeldUpAt {
    left: AtomicUsize,
    repo: Repo,
    other: Images,
    /// Whether its intents are put back afterwards, as if nobody asked for them.
    is_forged: bool,
}

#[async_trait]
impl Steps for HeldUpAt {
    async fn before(&self, _: Step) -> Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.execute(&KEEP).await;
            self.execute(&["UPDATE images_holders SET expires_at = 0, live = 0"]).await;
            collect(&self.other).await?;
            if self.is_forged {
                self.execute(&PUT_BACK).await;
            }
        }
        Ok(())
    }
}

const KEEP: [&str; 4] = [
    "DROP TABLE IF EXISTS kept_holders",
    "DROP TABLE IF EXISTS kept_intents",
    "CREATE TABLE kept_holders AS SELECT * FROM images_holders",
    "CREATE TABLE kept_intents AS SELECT * FROM images_intents",
];

const PUT_BACK: [&str; 2] = [
    "INSERT INTO images_holders SELECT * FROM kept_holders WHERE id NOT IN (SELECT id FROM images_holders)",
    "INSERT INTO images_intents SELECT * FROM kept_intents WHERE inc NOT IN (SELECT inc FROM images_intents)",
];

impl HeldUpAt {
    async fn execute(&self, statements: &[&'static str]) {
        for sql in statements {
            self.repo.write(Statement::new(*sql)).await.unwrap();
        }
    }
}

async fn check(scenario: Scenario, database: TestDatabase, is_forged: bool) {
    let (mut stopped, mut done) = (0, 0);
    for step in 0.. {
        let world = World::new(&database).await;
        scenario.prepare(&world).await;
        let other = world.open().await;
        let steps = HeldUpAt { left: AtomicUsize::new(step), repo: world.repo.clone(), other, is_forged };
        let steps = Arc::new(steps);
        let images = world.open_with(steps.clone()).await.unwrap();
        let outcome = scenario.run(&images).await;
        let context = format!("{scenario:?}, held up before step {step}: {outcome:?}");
        match &outcome {
            Ok(()) => done += 1,
            // Its staged file may have been swept: the disk then says that it is not there.
            Err(error) if matches!(error.kind(), ErrorKind::Stale | ErrorKind::Medium) => stopped += 1,
            Err(_) => panic!("{context}"),
        }
        if scenario != Scenario::Repair || outcome.is_ok() {
            world.check_safe(&context).await;
        }
        // What it gives back in the background may still be under way; a collection copes with that too.
        drop(images);
        if scenario != Scenario::Repair || outcome.is_ok() {
            world.check_drains(&context).await;
        }
        if steps.left.load(Ordering::SeqCst) <= usize::MAX / 2 {
            break;
        }
    }
    assert!(stopped > 3 && done > 0, "{scenario:?}: {stopped} times stopped, {done} times done");
}

#[tokio::test]
async fn a_publisher_that_is_held_up_is_stopped() {
    check(Scenario::Publish, TestDatabase::sqlite(), false).await;
    check(Scenario::PublishBesideTombstone, TestDatabase::sqlite(), false).await;
}

#[tokio::test]
async fn an_adopter_that_is_held_up_is_stopped() {
    check(Scenario::Adopt, TestDatabase::sqlite(), false).await;
}

#[tokio::test]
async fn a_stream_that_is_held_up_is_stopped() {
    check(Scenario::Streams, TestDatabase::sqlite(), false).await;
}

#[tokio::test]
async fn a_repair_that_is_held_up_is_stopped() {
    check(Scenario::Repair, TestDatabase::sqlite(), false).await;
}

#[tokio::test]
async fn a_publisher_that_is_held_up_is_stopped_on_postgres() {
    check(Scenario::Adopt, TestDatabase::postgres(), false).await;
}

/// The harness can fail: without the fence, a file that was swept is committed.
#[tokio::test]
#[should_panic(expected = "is present and its file is None")]
async fn a_fence_that_does_not_stop_is_found_out() {
    check(Scenario::Publish, TestDatabase::sqlite(), true).await;
}
