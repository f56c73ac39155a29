//! The node's part, its position and what its database can do.

use mainstay_repo::{Capability, Role, Topology as _};
use mainstay_testkit::TestDatabase;

use crate::support::{create_kv, put};

on_every_database!(a_single_node_reads_and_writes, a_position_grows_with_writes, capabilities_do_not_change);

async fn a_single_node_reads_and_writes(db: &TestDatabase) {
    let repo = db.repo().await;
    assert!(matches!(repo.role(), Role::Standalone | Role::Primary), "{:?}", repo.role());
    assert!(!repo.describe().is_empty());
    assert!(!repo.describe().contains("only-for-tests"), "the description shows a password");
    assert!(
        !format!("{repo:?} {:?}", db.options()).contains("only-for-tests"),
        "the debug form shows a password"
    );
}

async fn a_position_grows_with_writes(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let mut last = repo.position().await.unwrap();
    for id in 0..10 {
        repo.write(put(id, id)).await.unwrap();
        let next = repo.position().await.unwrap();
        assert_eq!((next.covers(last), last.covers(next)), (Some(true), Some(false)), "{last} {next}");
        last = next;
    }
    let clone = repo.clone();
    assert_eq!(clone.position().await.unwrap().covers(last), Some(true));
}

async fn capabilities_do_not_change(db: &TestDatabase) {
    let (one, two) = (db.repo().await, db.repo().await);
    for capability in [
        Capability::ManyWriters,
        Capability::SkipLocked,
        Capability::MergedWrites,
        Capability::SchemaPrefix,
        Capability::StatementCap,
    ] {
        assert_eq!(one.has(capability), two.has(capability));
    }
    if one.has(Capability::SkipLocked) {
        create_kv(&one).await;
        one.write(put(1, 1)).await.unwrap();
        one.write(put(2, 2)).await.unwrap();
        let take =
            || mainstay_repo::Statement::new("SELECT id FROM kv ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1");
        let (mut first, mut second) = (one.begin().await.unwrap(), one.begin().await.unwrap());
        let a = first.read(take()).await.unwrap()[0].get::<i64>("id").unwrap();
        let b = second.read(take()).await.unwrap()[0].get::<i64>("id").unwrap();
        assert_eq!((a, b), (1, 2));
    }
}
