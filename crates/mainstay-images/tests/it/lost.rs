//! Answers that are lost, and a database that is away: nothing that nobody uses stays for as long as its holder lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Error as RepoError, ErrorKind as RepoKind, Operation, Outcome};
use mainstay_testkit::{TestDatabase, eventually, for_each_database};

use crate::support::{World, digest, put};

/// How an operation fails.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    /// It happens, and its answer is lost.
    Unheard,
    /// Its answer is lost, and whether it happens others say.
    Unsent,
    /// The database is away.
    Away,
}

/// Fails the first operations of some names.
#[derive(Clone)]
struct Failing {
    names: &'static [&'static str],
    left: Arc<AtomicU32>,
    fails: Fails,
}

impl Failing {
    fn new(names: &'static [&'static str], times: u32, fails: Fails) -> Self {
        Self { names, left: Arc::new(times.into()), fails }
    }
}

#[async_trait]
impl Middleware for Failing {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        let is_named = |name: Option<&str>| name.is_some_and(|name| self.names.contains(&name));
        let is_asked = is_named(operation.name())
            || operation.statements().next().is_some_and(|first| is_named(first.name()));
        let one_less = |left: u32| left.checked_sub(1);
        if !is_asked || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err() {
            return next.run(operation).await;
        }
        let request_id = operation.request_id();
        if self.fails == Fails::Unheard {
            next.run(operation).await?;
        }
        Err(match self.fails {
            Fails::Away => RepoError::new(RepoKind::Unavailable, "away"),
            _ => RepoError::new(RepoKind::Unknown { request_id }, "lost"),
        })
    }
}

const INTENT: &str = "images.publish_intent";
const ACQUIRE: &str = "images.lease_acquire";

async fn failing(world: &World, database: &TestDatabase, failing: Failing) -> Node {
    world.meddled(database, failing).await.join_with("failing", Heartbeat::Host).await.unwrap()
}

async fn renewed_until_none_is_left(world: &World, node: &Node, table: &'static str) {
    eventually("what nobody uses is given back", async || {
        node.renew().await.unwrap();
        world.count(table).await == 0
    })
    .await;
}

#[tokio::test]
async fn intents_whose_answer_was_lost_are_given_back_at_once() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = failing(&world, database, Failing::new(&[INTENT], 2, Fails::Unheard)).await;
        let ingest = node.ingest();
        assert!(node.ingest().has(&digest("other"), 5).await.unwrap_err().is_unknown());
        let error = ingest.expect(&[(digest("base"), 4), (digest("delta"), 5)]).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        assert_eq!(world.count("images_intents").await, 0);
        // What was heard of stays when the rest is looked for again.
        put(&ingest, BlobKind::Base, "base").await;
        node.renew().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(world.count("images_intents").await, 1);
        crate::support::commit(&ingest, NewImage::chain(vec![digest("base")])).await;
    })
    .await;
}

#[tokio::test]
async fn intents_whose_answer_was_lost_while_the_database_is_away_are_given_back_by_a_renewal() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let ours = Failing::new(&[INTENT], 1, Fails::Unheard);
        let repo = database.options().with(ours).with(Failing::new(&["images.give_back"], 2, Fails::Away));
        let files = Arc::new(files::DiskFiles::new(world.directory.path()));
        let images =
            Images::open(repo.connect().await.unwrap(), files, crate::support::options()).await.unwrap();
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        assert!(node.ingest().has(&digest("base"), 4).await.unwrap_err().is_unknown());
        assert_eq!(world.count("images_intents").await, 1, "the first try met no database");
        // A renewal does not fail for it, nor does it wait for it.
        renewed_until_none_is_left(&world, &node, "images_intents").await;
    })
    .await;
}

/// The answer is lost before the transaction ends: SQLite has one writer, so there it cannot.
#[tokio::test]
async fn a_transaction_that_is_still_under_way_is_waited_for() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let node = failing(&world, &database, Failing::new(&[INTENT], 1, Fails::Unsent)).await;
    let sql = |text: String| mainstay_repo::Statement::new(mainstay_repo::Sql::dynamic(text.clone(), text));
    let id = node.id();
    let mut late = world.repo.begin().await.unwrap();
    late.read(sql(format!("SELECT id FROM images_holders WHERE id = {id} FOR SHARE"))).await.unwrap();
    let insert = "INSERT INTO images_intents (holder_id, digest, size, created_at, mark)";
    late.write(sql(format!("{insert} VALUES ({id}, NULL, 4, 0, 1)"))).await.unwrap();
    let asking = tokio::spawn({
        let node = node.clone();
        async move { node.ingest().has(&digest("base"), 4).await }
    });
    eventually("it waits for the transaction", async || {
        let waiting = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        world.number(waiting).await == 1
    })
    .await;
    late.commit().await.unwrap();
    assert!(asking.await.unwrap().unwrap_err().is_unknown());
    assert_eq!(world.count("images_intents").await, 0);
    // One that reaches the database behind the look is found by the next.
    world.meddle(&format!("{insert} VALUES ({id}, NULL, 4, 0, 1)")).await;
    renewed_until_none_is_left(&world, &node, "images_intents").await;
}

#[tokio::test]
async fn what_an_ingest_could_not_give_back_at_its_end_is_given_back_by_a_renewal() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let finish = &["images.intent_finish"];
        let node = failing(&world, database, Failing::new(finish, 2, Fails::Away)).await;
        let ingest = node.ingest();
        put(&ingest, BlobKind::Base, "base").await;
        assert_eq!(ingest.abort().await.unwrap_err().kind(), &ErrorKind::Unavailable);
        // The same of one that is dropped.
        assert!(!node.ingest().has(&digest("other"), 5).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.count("images_intents").await, 2);
        renewed_until_none_is_left(&world, &node, "images_intents").await;
        // Its file is named by nothing any more.
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!(world.files(), Vec::<String>::new());
    })
    .await;
}

#[test]
fn what_is_dropped_behind_the_end_of_its_runtime_is_given_back_by_a_renewal() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime();
    let database = TestDatabase::sqlite();
    let (world, node, ingest) = first.block_on(async {
        let world = World::new(&database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        put(&ingest, BlobKind::Base, "base").await;
        (world, node, ingest)
    });
    drop(ingest);
    first.block_on(async {
        assert_eq!(world.count("images_intents").await, 1);
        renewed_until_none_is_left(&world, &node, "images_intents").await;
    });
}

#[tokio::test]
async fn a_lease_whose_answer_was_lost_does_not_stay() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let node = failing(&world, database, Failing::new(&[ACQUIRE], 1, Fails::Unheard)).await;
        assert!(node.acquire("vm", image.id).await.unwrap_err().is_unknown());
        assert_eq!(world.count("images_leases").await, 0);
        let held = node.acquire("vm", image.id).await.unwrap();
        // The second look takes nothing that was heard of.
        node.renew().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        held.confirm().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_earlier_lease_of_a_key_ends_also_when_the_answer_of_the_later_is_lost() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        for fails in [Fails::Unheard, Fails::Unsent] {
            let second = Failing::new(&[ACQUIRE], 0, fails);
            let left = Arc::clone(&second.left);
            let node = failing(&world, database, second).await;
            let earlier = node.acquire("vm", image.id).await.unwrap();
            left.store(1, Ordering::SeqCst);
            assert!(node.acquire("vm", image.id).await.unwrap_err().is_unknown());
            assert!(!earlier.is_live());
            earlier.lost().await;
            renewed_until_none_is_left(&world, &node, "images_leases").await;
        }
    })
    .await;
}

/// SQLite has one writer: nobody keeps a row from it.
#[tokio::test]
async fn a_renewal_waits_for_no_row_that_a_session_keeps_locked() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let image = world.publish(&world.node().await, &["base"]).await;
    let node = failing(&world, &database, Failing::new(&["images.lease_end"], 1, Fails::Unsent)).await;
    let held = node.acquire("vm", image.id).await.unwrap();
    // The session was cut off behind its first statement, and the database has not noticed.
    let text = format!("DELETE FROM images_leases WHERE token = {}", held.token());
    let mut cut = world.repo.begin().await.unwrap();
    let delete = mainstay_repo::Sql::dynamic(text.clone(), text);
    cut.write(mainstay_repo::Statement::new(delete)).await.unwrap();
    held.release().await.unwrap_err();
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_secs(2), node.renew()).await.unwrap().unwrap();
    }
    drop(cut);
    renewed_until_none_is_left(&world, &node, "images_leases").await;
}

#[tokio::test]
async fn a_lease_that_could_not_be_given_back_is_given_back_by_a_renewal() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let node = failing(&world, database, Failing::new(&["images.lease_end"], 1, Fails::Away)).await;
        let held = node.acquire("vm", image.id).await.unwrap();
        world.meddle("UPDATE images SET last_used_at = 1").await;
        let other = held.clone();
        assert_eq!(held.release().await.unwrap_err().kind(), &ErrorKind::Unavailable);
        assert!(!other.is_live(), "it is to go");
        assert_eq!(world.count("images_leases").await, 1);
        renewed_until_none_is_left(&world, &node, "images_leases").await;
        // It was in use until now.
        assert!(world.number("SELECT last_used_at AS n FROM images").await > 1);
    })
    .await;
}
