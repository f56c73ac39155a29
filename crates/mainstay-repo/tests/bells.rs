//! Bells between processes, on PostgreSQL: two handles stand for two processes.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::future::poll_fn;
use std::time::{Duration, Instant};

use mainstay_repo::{Repo, Rings};
use mainstay_testkit::{PostgresDatabase, TestDatabase, eventually};

const LISTENERS: &str = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
    AND query = 'LISTEN mainstay_bell' AND pid <> pg_backend_pid()";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes to an end")
}

/// Whether anything is heard. A ring that was to come would have come long before.
async fn is_silent(rings: &mut Rings) -> bool {
    tokio::time::timeout(Duration::from_millis(300), rings.heard()).await.is_err()
}

/// Listens, and comes back when the connection does: whatever rang before counts as missed, so that is heard.
async fn listen(repo: &Repo, topic: &str) -> Rings {
    let mut rings = repo.bell(topic).unwrap().listen();
    soon(rings.heard()).await;
    rings
}

fn with_option(url: &str, option: &str) -> String {
    format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_is_heard_in_other_processes_and_only_there() {
    let database = TestDatabase::postgres();
    let (here, there) = (database.repo().await, database.repo().await);
    let elsewhere = Repo::connect(&with_option(database.url(), "schema=elsewhere")).await.unwrap();
    let (mut mine, mut theirs) = (listen(&here, "a").await, listen(&there, "a").await);
    let mut other_topic = there.bell("b").unwrap().listen();
    let mut other_schema = listen(&elsewhere, "a").await;
    let bell = here.bell("a").unwrap();
    bell.ring();
    soon(theirs.heard()).await;
    // The other bells of this process hear it once, without the way round; nobody else does.
    soon(mine.heard()).await;
    assert!(is_silent(&mut mine).await, "a ring came back to the process that sent it");
    assert!(is_silent(&mut theirs).await, "one ring is heard once");
    assert!(is_silent(&mut other_topic).await && is_silent(&mut other_schema).await);
    for repo in [here, there, elsewhere] {
        soon(repo.close()).await;
    }
}

/// The last word of a command that ends right after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rang_before_the_database_is_closed_is_sent() {
    let database = TestDatabase::postgres();
    let there = database.repo().await;
    let mut rings = listen(&there, "a").await;
    for _ in 0..5 {
        let here = database.repo().await;
        here.bell("a").unwrap().ring();
        soon(here.close()).await;
        soon(rings.heard()).await;
    }
    soon(there.close()).await;
}

/// However often somebody rings, it costs the server one small transaction in ten milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rings_are_sent_together() {
    let database = TestDatabase::postgres();
    let repo = database.repo().await;
    let (client, mut connection) =
        tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    let counted = tokio::spawn(async move {
        let mut counted = [0_u128; 2];
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let tokio_postgres::AsyncMessage::Notification(heard) = message {
                counted[usize::from(heard.payload().ends_with(" b"))] += 1;
            }
        }
        counted
    });
    client.batch_execute("LISTEN mainstay_bell").await.unwrap();
    let bells = [repo.bell("a").unwrap(), repo.bell("b").unwrap()];
    let began = Instant::now();
    let mut rung = 0_u64;
    while began.elapsed() < Duration::from_millis(300) {
        bells.iter().for_each(mainstay_repo::Bell::ring);
        rung += 1;
        tokio::task::yield_now().await;
    }
    let took = began.elapsed();
    soon(repo.close()).await;
    client.batch_execute("SELECT 1").await.unwrap();
    drop(client);
    let counted = counted.await.unwrap();
    let most = took.as_millis() / 10 + 2;
    assert!(counted.iter().all(|count| (2..=most).contains(count)), "{counted:?} of {rung} in {took:?}");
}

/// Nobody sends such words but who does so by hand, or means harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ring_is_not_heard() {
    let database = PostgresDatabase::create();
    let repo = Repo::connect(database.url()).await.unwrap();
    let mut rings = listen(&repo, "a").await;
    for payload in ["", "a", "x public", "x elsewhere a", "x public a b", "x public A", &"a".repeat(7_999)] {
        let _rows = database.query(&format!("SELECT pg_notify('mainstay_bell', '{payload}')::text"));
    }
    assert!(is_silent(&mut rings).await);
    let _rows = database.query("SELECT pg_notify('mainstay_bell', 'x public a')::text");
    soon(rings.heard()).await;
    soon(repo.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_lost_its_connection_comes_back_and_looks() {
    let database = PostgresDatabase::create();
    let (here, there) =
        (Repo::connect(database.url()).await.unwrap(), Repo::connect(database.url()).await.unwrap());
    let mut rings = listen(&here, "a").await;
    assert_eq!(database.query(LISTENERS).len(), 1, "one connection, for those who listen");
    for _ in 0..3 {
        let ended =
            database.query(&format!("SELECT pg_terminate_backend(pid::int)::text FROM ({LISTENERS}) AS l"));
        assert_eq!(ended, ["true"]);
        // It listens again, and whatever rang meanwhile is heard.
        soon(rings.heard()).await;
        eventually("one listens again", async || database.query(LISTENERS).len() == 1).await;
        there.bell("a").unwrap().ring();
        soon(rings.heard()).await;
    }
    soon(here.close()).await;
    eventually("the connection is closed with the database", async || database.query(LISTENERS).is_empty())
        .await;
    soon(there.close()).await;
}

/// A pooler in transaction mode would take `LISTEN` and never pass anything on. It takes rings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_rings_are_sent_and_nobody_listens() {
    let database = PostgresDatabase::create_pooled();
    let pooled = Repo::connect(database.url()).await.unwrap();
    let direct = database.admin_url().rsplit_once('/').map(|(server, _)| server.to_owned()).unwrap();
    let off = Repo::connect(&format!("{direct}/{}?listen=off", database.name())).await.unwrap();
    let direct = Repo::connect(&format!("{direct}/{}", database.name())).await.unwrap();
    let mut unwanted = off.bell("a").unwrap().listen();
    let mut behind = pooled.bell("a").unwrap().listen();
    let mut before = listen(&direct, "a").await;
    assert_eq!(database.query(LISTENERS).len(), 1, "the direct one");
    pooled.bell("a").unwrap().ring();
    soon(before.heard()).await;
    soon(behind.heard()).await;
    direct.bell("a").unwrap().ring();
    assert!(is_silent(&mut behind).await && is_silent(&mut unwanted).await);
    soon(off.close()).await;
    soon(pooled.close()).await;
    soon(direct.close()).await;
}
