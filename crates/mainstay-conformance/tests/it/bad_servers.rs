//! PostgreSQL servers that do not let one in: typed errors that say what, why and how to mend it, without the password.

use std::time::Instant;

use mainstay_repo::{Error, ErrorKind, Repo, Statement};
use mainstay_testkit::{PrivateCluster, Proxy};

use crate::support::{HANG, check_error, ddl, kind, soon};

async fn refused(url: &str) -> Error {
    soon(Repo::connect(url)).await.map(drop).unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_enter_is_told_so() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let wrong = database.url().replace(":only-for-tests@", ":swordfish@");
    assert_ne!(wrong, database.url());
    let error = refused(&wrong).await;
    check_error(&error, &ErrorKind::PermissionDenied, &["password", "mainstay"]);
    assert!(!format!("{error} {error:?}").contains("swordfish"), "{error:?}");
    let stranger = database.url().replace("//mainstay:", "//nobody_here:");
    check_error(&refused(&stranger).await, &ErrorKind::PermissionDenied, &["nobody_here"]);
    let missing = database.url().replace(database.name(), "no_such_database");
    check_error(&refused(&missing).await, &ErrorKind::Configuration, &["no_such_database", "does not exist"]);

    let made = cluster.query("CREATE ROLE reader LOGIN PASSWORD 'r'");
    assert!(made.is_empty());
    let repo = Repo::connect(database.url()).await.unwrap();
    ddl(&repo, &[("", "CREATE TABLE private (id bigint)")]).await;
    let address = cluster.address();
    let reader = Repo::connect(&format!("postgres://reader:r@{address}/{}", database.name())).await.unwrap();
    let error = soon(reader.write(Statement::new("INSERT INTO private (id) VALUES (1)"))).await.unwrap_err();
    check_error(&error, &ErrorKind::PermissionDenied, &["private"]);
    let error = soon(reader.read(Statement::new("SELECT id FROM private"))).await.unwrap_err();
    check_error(&error, &ErrorKind::PermissionDenied, &["private"]);

    cluster.stop();
    check_error(&refused(database.url()).await, &ErrorKind::Unavailable, &[&address.to_string()]);
    for error in [
        soon(repo.write(Statement::new("INSERT INTO private (id) VALUES (1)"))).await.unwrap_err(),
        soon(repo.read(Statement::new("SELECT id FROM private"))).await.unwrap_err(),
        soon(repo.begin()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(kind(&error), ErrorKind::Unavailable, "{error:?}");
        assert!(error.is_retryable());
    }
    cluster.resume();
    soon(repo.write(Statement::new("INSERT INTO private (id) VALUES (1)"))).await.unwrap();
    assert_eq!(soon(repo.read(Statement::new("SELECT id FROM private"))).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_or_silent() {
    // Nobody listens on a port that was just given back.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let error = refused(&format!("postgres://u:p@{nobody}/d")).await;
    check_error(&error, &ErrorKind::Unavailable, &[&nobody.to_string()]);
    let error = refused("postgres://u:p@no-such-host.invalid/d?connect_timeout=2").await;
    check_error(&error, &ErrorKind::Unavailable, &["no-such-host.invalid"]);

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let started = Instant::now();
    let error = refused(&format!("postgres://u:p@{address}/d?connect_timeout=1")).await;
    check_error(&error, &ErrorKind::Unavailable, &[&address.to_string()]);
    assert!(started.elapsed() < HANG);

    let proxy = Proxy::start(nobody).await;
    let error = refused(&format!("postgres://u:p@{}/d?connect_timeout=2", proxy.address())).await;
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error:?}");
}
