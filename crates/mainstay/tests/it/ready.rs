//! `/readyz` tells when the database under a running server is no longer the one that it opened.

use std::fs;

use mainstay_repo::{Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::browser::{Answer, Browser};
use crate::support::server::Server;

fn ready(server: &Server) -> Answer {
    Browser::default().get(&server.path("/readyz"))
}

#[track_caller]
fn not_ready(server: &Server, says: &[&str]) {
    let answer = ready(server);
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(says.iter().all(|part| detail.contains(part)), "{says:?} in {detail}");
    assert!(!detail.contains('/'), "strangers learn no path: {detail}");
}

#[test]
fn a_database_file_that_vanishes_is_told_and_may_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[]);
    let path = |name: &str| directory.path().join("data").join(name);
    assert_eq!(ready(&server).status, 200);
    for name in ["mainstay.db", "mainstay.db-wal"] {
        fs::rename(path(name), path("aside")).unwrap();
        not_ready(&server, &["removed or replaced", "End the server", "restore a backup"]);
        fs::copy(path("aside"), path(name)).unwrap();
        not_ready(&server, &["removed or replaced"]);
        fs::rename(path("aside"), path(name)).unwrap();
        assert_eq!(ready(&server).status, 200, "the very file is back: {name}");
    }
    assert_eq!(Browser::default().get(&server.path("/healthz")).status, 200, "the process itself is well");
}

fn tables_that_vanish(database: &TestDatabase) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--database", database.url()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let write = |sql: &'static str| {
        runtime.block_on(async {
            let repo = database.repo().await;
            repo.write(Statement::new(Sql::new(sql))).await.unwrap();
            repo.close().await;
        });
    };
    assert_eq!(ready(&server).status, 200);
    write("ALTER TABLE sso_sessions RENAME TO elsewhere");
    not_ready(&server, &["missing", "mainstay migrate status"]);
    write("ALTER TABLE elsewhere RENAME TO sso_sessions");
    assert_eq!(ready(&server).status, 200);
    for there_and_back in [
        ["ALTER TABLE wf_tasks RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO wf_tasks"],
        ["ALTER TABLE wf_acts RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO wf_acts"],
    ] {
        write(there_and_back[0]);
        not_ready(&server, &["missing", "mainstay migrate status"]);
        write(there_and_back[1]);
        assert_eq!(ready(&server).status, 200);
    }
    write("ALTER TABLE mainstay_migrations RENAME TO elsewhere");
    not_ready(&server, &["version 0", "mainstay migrate up"]);
    write("ALTER TABLE elsewhere RENAME TO mainstay_migrations");
    assert_eq!(ready(&server).status, 200);
}

#[test]
fn tables_that_vanish_on_sqlite_are_told() {
    tables_that_vanish(&TestDatabase::sqlite());
}

#[test]
fn tables_that_vanish_on_postgres_are_told() {
    tables_that_vanish(&TestDatabase::postgres());
}
