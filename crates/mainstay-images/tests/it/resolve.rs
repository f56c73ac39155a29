//! Chains from their rows, asked for by many at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome};
use mainstay_testkit::for_each_database;
use tokio::sync::Semaphore;

use crate::support::{World, bring, options};

/// Counts statements by their names.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<BTreeMap<String, usize>>>);

#[async_trait]
impl Middleware for Count {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        for statement in operation.statements() {
            *self.0.lock().unwrap().entry(statement.name().unwrap_or_default().to_owned()).or_default() += 1;
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn many_that_ask_at_once_share_statements_and_each_gets_its_own() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let layers: Vec<String> = (0..100).map(|number| format!("layer {number}")).collect();
        let names: Vec<&str> = layers.iter().map(String::as_str).collect();
        let digests = bring(&ingest, &names[..1]).await;
        let deltas: Vec<Digest> = {
            let mut deltas = Vec::new();
            for name in &names[1..] {
                crate::support::put(&ingest, BlobKind::Delta, name).await;
                deltas.push(crate::support::digest(name));
            }
            deltas
        };
        let images = deltas.iter().map(|delta| NewImage::chain(vec![digests[0], *delta])).collect();
        let set = CommitSet { images, ..CommitSet::default() };
        let made = ingest.commit(set).await.unwrap().images;

        let count = Count::default();
        let repo = database.options().with(count.clone()).connect().await.unwrap();
        let files = Arc::new(files::DiskFiles::new(world.directory.path()));
        let cold = Images::open(repo, files, options()).await.unwrap();
        // The same image twice, and one that is not there.
        let mut asked: Vec<ImageId> = made.iter().map(|image| image.id).chain([made[50].id]).collect();
        asked.insert(60, ImageId::new(i64::MAX));
        let told = futures_util::future::join_all(asked.iter().map(|image| cold.resolve_chain(*image))).await;
        for (image, chain) in asked.iter().zip(told) {
            match made.iter().find(|made| made.id == *image) {
                Some(made) => assert_eq!(*chain.unwrap(), made.chain),
                None => assert_eq!(*chain.unwrap_err().kind(), ErrorKind::NotFound),
            }
        }
        let counted = count.0.lock().unwrap().clone();
        // Of those that asked before the first was answered, four went alone. How many these were is the runtime's affair: it lets
        // about thirty go at a time.
        let (alone, shared) = (counted["images.chain"], counted["images.chains"]);
        assert!(shared >= 1 && alone <= asked.len() - 20, "{alone} alone, {shared} shared");

        // Whoever leaves while others wait takes nothing along.
        let files = Arc::new(files::DiskFiles::new(world.directory.path()));
        let cold = Images::open(world.repo.clone(), files, options()).await.unwrap();
        for polls in 0..4 {
            let some = asked[..50].iter().map(|image| cold.resolve_chain(*image));
            drop(mainstay_testkit::at_most_polls(polls, futures_util::future::join_all(some)).await);
        }
        let last = tokio::time::timeout(std::time::Duration::from_secs(20), cold.resolve_chain(made[98].id));
        assert_eq!(*last.await.unwrap().unwrap(), made[98].chain);
    })
    .await;
}

/// Lets statements pass one by one: those for one chain, and those for many.
#[derive(Clone)]
struct Gate {
    alone: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

#[async_trait]
impl Middleware for Gate {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        let asks = |name| operation.statements().any(|statement| statement.name() == Some(name));
        for (name, gate) in [("images.chain", &self.alone), ("images.chains", &self.shared)] {
            if asks(name) {
                gate.acquire().await.unwrap().forget();
            }
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn of_more_than_one_statement_takes_those_are_served_first_that_wait_longest() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let gate = Gate { alone: Arc::new(Semaphore::new(0)), shared: Arc::new(Semaphore::new(0)) };
        let cold = world.meddled(database, gate.clone()).await;
        // Four go alone, and one more statement takes 256 of those who wait.
        let mut asking = Vec::new();
        for _ in 0..4 + 300 {
            let cold = cold.clone();
            asking.push(tokio::spawn(async move { cold.resolve_chain(image.id).await }));
            // So that they ask in this order.
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.shared.add_permits(1);
        gate.alone.add_permits(1);
        let longest = asking.remove(4);
        let answered = tokio::time::timeout(Duration::from_secs(20), longest).await;
        assert_eq!(*answered.expect("who waits longest is answered").unwrap().unwrap(), image.chain);
        assert!(!asking.last().unwrap().is_finished(), "the last has to wait for another statement");
        gate.shared.add_permits(1000);
        gate.alone.add_permits(1000);
        for answer in asking {
            assert_eq!(*answer.await.unwrap().unwrap(), image.chain);
        }
    })
    .await;
}
