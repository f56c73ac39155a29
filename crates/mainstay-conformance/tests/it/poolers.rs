//! PostgreSQL behind PgBouncer in transaction mode, besides the rooms' own tests, which all run there too (`pooled`).

use std::time::Duration;

use futures_util::future::join_all;
use mainstay_conformance::linked;
use mainstay_repo::{Batch, Error, ErrorKind, Repo, Statement, Target};
use mainstay_testkit::{PgBouncer, PostgresDatabase, PrivateCluster, Proxy, TestDatabase};

use crate::support::{all_kv, check_error, create_kv, kind, put, scalar, soon};

async fn open(url: &str) -> Repo {
    soon(Repo::connect(url)).await.unwrap()
}

async fn refused(url: &str) -> Error {
    soon(Repo::connect(url)).await.map(drop).unwrap_err()
}

const HELP: &str = "pooler=transaction";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_switch_the_error_names_it() {
    let database = PostgresDatabase::create();
    let strict = PgBouncer::start(database.admin_url(), "");
    let error = refused(&strict.url(database.name())).await;
    check_error(
        &error,
        &ErrorKind::Configuration,
        &["unsupported startup parameter", &strict.address().to_string()],
    );
    assert!(error.help().is_some_and(|help| help.contains(HELP)), "{error:?}");
    // One that throws the settings away is noticed too; nothing would keep readers from writing.
    let lax = PgBouncer::start(database.admin_url(), "ignore_startup_parameters = options");
    let error = refused(&lax.url(database.name())).await;
    check_error(&error, &ErrorKind::Configuration, &["settings", &lax.address().to_string()]);
    assert!(error.help().is_some_and(|help| help.contains(HELP)), "{error:?}");
    for pooler in [strict, lax] {
        let repo = open(&format!("{}?pooler=transaction", pooler.url(database.name()))).await;
        assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT 1::bigint AS one")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_server_that_is_down() {
    let cluster = PrivateCluster::start();
    let pooler = PgBouncer::start(&cluster.admin_url(), "server_login_retry = 1");
    let url = format!("{}?pooler=transaction", pooler.url("postgres"));
    let wrong = url.replace(":only-for-tests@", ":swordfish@");
    let error = refused(&wrong).await;
    check_error(&error, &ErrorKind::PermissionDenied, &["SASL"]);
    assert!(!format!("{error} {error:?}").contains("swordfish"), "{error:?}");

    let repo = open(&url).await;
    create_kv(&repo).await;
    cluster.stop();
    // The pooler keeps its clients waiting for the server, so it is their deadline that ends it.
    let hurried = repo.clone().within(Duration::from_secs(1));
    let error = soon(hurried.write(put(1, 1))).await.unwrap_err();
    let ended = matches!(kind(&error), ErrorKind::Timeout | ErrorKind::Unavailable);
    assert!(error.is_unknown() || ended, "{error:?}");
    let error = soon(hurried.read(Statement::new("SELECT 1 AS one"))).await.unwrap_err();
    assert!(matches!(kind(&error), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
    cluster.resume();
    mainstay_testkit::eventually("writes arrive again", async || soon(repo.write(put(2, 2))).await.is_ok())
        .await;
    let kept = all_kv(&repo).await;
    assert!(kept.contains(&(2, 2)), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_share_the_server_connections() {
    let db = TestDatabase::pooled();
    let schemas = ["jobs", "billing"].map(|schema| format!("{}&schema={schema}", db.url()));
    let mut repos = vec![db.repo().await];
    for url in &schemas {
        repos.push(open(url).await);
        repos.push(open(url).await);
    }
    for repo in &repos {
        repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    }
    // Each has its own place, though the connections are the same four.
    let callers = (0..64).map(|caller| {
        let repo = repos[caller % repos.len()].clone();
        tokio::spawn(async move {
            for round in 0..5 {
                let id = format!("{caller} {round}");
                if round % 2 == 0 {
                    soon(repo.batch(linked::pair(&id, 10))).await.unwrap();
                } else {
                    // Interactive transactions that meet are told so, and begin again.
                    while let Err(error) = interactively(&repo, &id).await {
                        assert_eq!(kind(&error), ErrorKind::Busy, "{error:?}");
                    }
                }
                let found: Vec<_> = soon(repo.read(linked::whole_pairs())).await.unwrap();
                assert!(found.iter().any(|row| row.get::<String>("id").unwrap() == id), "{id} is not found");
            }
        })
    });
    for ended in join_all(callers.collect::<Vec<_>>()).await {
        ended.unwrap();
    }
    let mut pairs = 0;
    for repo in [&repos[0], &repos[1], &repos[3]] {
        let counts = repo.read(linked::counts()).await.unwrap();
        let count = |name| counts[0].get::<i64>(name).unwrap();
        assert_eq!((count("heads"), count("tails")), (count("pairs"), count("pairs")));
        pairs += count("pairs");
    }
    assert_eq!(pairs, 64 * 5);
}

async fn interactively(repo: &Repo, id: &str) -> Result<(), Error> {
    let mut tx = soon(repo.begin()).await?;
    tx.read(linked::counts()).await?;
    tx.batch(linked::pair(id, 10)).await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_sets_does_not_leak() {
    let db = TestDatabase::pooled();
    let repo = db.repo().await;
    let cap = Statement::new("SELECT current_setting('lock_timeout') AS cap");
    for _ in 0..10 {
        let mut tx = repo.begin().await.unwrap();
        assert_eq!(tx.read(cap.clone()).await.unwrap()[0].get::<String>("cap").unwrap(), "5s");
        tx.commit().await.unwrap();
    }
    let TestDatabase::Postgres(database) = &db else { panic!("a pooled database is PostgreSQL's") };
    create_kv(&repo).await;
    // Another client of the same pooler finds its settings as they were, and may write.
    let stranger =
        database.query_by_url("SELECT current_setting('lock_timeout'); INSERT INTO kv (id, n) VALUES (1, 1)");
    assert_eq!(stranger, ["0"]);
}

/// The pooler says that the server is gone, and cannot know that the server had committed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown() {
    let cluster = PrivateCluster::start();
    let proxy = Proxy::start(cluster.address()).await;
    let port = |port: u16| format!(":{port}/");
    let server = cluster.admin_url().replace(&port(cluster.address().port()), &port(proxy.address().port()));
    let pooler = PgBouncer::start(&server, "server_login_retry = 1");
    let db = TestDatabase::Postgres(cluster.database());
    let TestDatabase::Postgres(database) = &db else { return };
    let repo = open(&format!("{}?pooler=transaction", pooler.url(database.name()))).await;
    create_kv(&repo).await;
    let slow_commit = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON kv DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION wait()";
    assert!(database.query(slow_commit).is_empty());

    let direct = db.repo().await;
    let mut holder = direct.begin().await.unwrap();
    holder.read(Statement::new("SELECT pg_advisory_xact_lock(7)::text AS held")).await.unwrap();
    let writer = repo.clone();
    let write = tokio::spawn(async move {
        let mut batch = Batch::new("two");
        batch.push(put(1, 1));
        batch.push(put(2, 2));
        writer.batch(batch).await
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    mainstay_testkit::eventually("the commit waits", async || database.query(waiting) == ["1"]).await;
    proxy.stall(true);
    holder.rollback().await.unwrap();
    let rows = "SELECT count(*) FROM kv";
    mainstay_testkit::eventually("it is committed", async || database.query(rows) == ["2"]).await;
    proxy.cut();
    let error = soon(write).await.unwrap().unwrap_err();
    assert!(error.is_unknown(), "the rows are there, and the error is {error:?}");
    proxy.stall(false);
    mainstay_testkit::eventually("writes arrive again", async || soon(repo.write(put(3, 3))).await.is_ok())
        .await;
    assert_eq!(all_kv(&repo).await, [(1, 1), (2, 2), (3, 3)]);
}

/// A request to cancel passes through the pooler: what nobody waits for does not go on at the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_statements_end_at_the_server() {
    let cluster = PrivateCluster::start();
    let pooler = PgBouncer::start(&cluster.admin_url(), "");
    let repo = open(&format!("{}?pooler=transaction", pooler.url("postgres"))).await;
    create_kv(&repo).await;
    let sleepers = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'";
    for _ in 0..3 {
        let hurried = repo.clone().within(Duration::from_millis(300));
        let error =
            soon(hurried.read(Statement::new("SELECT 1 AS one FROM pg_sleep(600)"))).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Timeout, "{error:?}");
        let slow = Statement::new("INSERT INTO kv (id, n) SELECT 1, 1 FROM pg_sleep(600)");
        let error = soon(hurried.write(slow)).await.unwrap_err();
        assert!(error.is_unknown() || kind(&error) == ErrorKind::Timeout, "{error:?}");
        // And one whose caller leaves.
        let left = repo.clone();
        let reading =
            tokio::spawn(
                async move { left.read(Statement::new("SELECT 1 AS one FROM pg_sleep(600)")).await },
            );
        mainstay_testkit::eventually("it sleeps", async || cluster.query(sleepers) != ["0"]).await;
        reading.abort();
        mainstay_testkit::eventually("nothing sleeps", async || cluster.query(sleepers) == ["0"]).await;
    }
    assert_eq!(all_kv(&repo).await, []);
    soon(repo.write(put(1, 1))).await.unwrap();
}
