//! A database that was restored, of which no file tells: nothing was published since the backup, but holders and leases were made.

use mainstay_images::*;
use mainstay_repo::Dialect;
use mainstay_testkit::for_each_database;

use crate::support::{World, commit, digest, put, spec};

/// The tables whose rows were made since the backup, with the columns that number them.
const SINCE: [(&str, &str); 3] =
    [("images_leases", "token"), ("images_intents", "inc"), ("images_holders", "id")];

/// The numbers that a backup would hold.
async fn backup(world: &World) -> Vec<i64> {
    let mut last = Vec::new();
    for (table, column) in SINCE {
        assert_eq!(world.number(&format!("SELECT COUNT(*) AS n FROM {table}")).await, 0);
        last.push(match world.repo.dialect() {
            Dialect::Sqlite => {
                let seq = "SELECT COALESCE(MAX(seq), 0) AS n FROM sqlite_sequence WHERE name";
                world.number(&format!("{seq} = '{table}'")).await
            }
            _ => {
                let seq = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS n";
                world.number(&format!("{seq} FROM {table}_{column}_seq")).await
            }
        });
    }
    last
}

/// The database as it was at the backup.
async fn restore(world: &World, last: &[i64]) {
    for ((table, column), last) in SINCE.iter().zip(last) {
        world.meddle(&format!("DELETE FROM {table}")).await;
        match world.repo.dialect() {
            Dialect::Sqlite => {
                let back = format!("UPDATE sqlite_sequence SET seq = {last} WHERE name = '{table}'");
                world.meddle(&back).await;
            }
            _ => {
                let next = last + 1;
                world.meddle(&format!("ALTER SEQUENCE {table}_{column}_seq RESTART WITH {next}")).await;
            }
        }
    }
}

#[tokio::test]
async fn numbers_that_are_given_again_do_not_let_a_life_from_before_act_as_another() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        node.leave().await.unwrap();
        let kept = backup(&world).await;

        let join = async |name: &str| world.images.join_with(name, Heartbeat::Host).await.unwrap();
        let (old, idle, leaving) = (join("old").await, join("idle").await, join("leaving").await);
        let old_lease = old.acquire("vm", image.id).await.unwrap();
        let old_ingest = old.ingest();
        assert!(!old_ingest.has(&digest("old"), 3).await.unwrap());
        restore(&world, &kept).await;

        let (new, other, third) = (join("new").await, join("other").await, join("third").await);
        let ids = [(&old, &new), (&idle, &other), (&leaving, &third)];
        assert!(ids.iter().all(|(before, since)| before.id() == since.id()), "the numbers are given again");
        let lease = new.acquire("vm", image.id).await.unwrap();
        let ingest = new.ingest();
        assert!(!ingest.has(&digest("new"), 3).await.unwrap());
        assert_eq!((old_lease.token(), old_lease.lease().holder), (lease.token(), lease.lease().holder));

        // What the old lease was shown for must not happen for the new one.
        assert!(old_lease.confirm().await.unwrap_err().is_stale());
        put(&ingest, BlobKind::Base, "new").await;
        let guarded = CommitSet {
            images: vec![NewImage::chain(vec![digest("new")])],
            guard: Some(old_lease.guard()),
            ..CommitSet::default()
        };
        assert!(ingest.commit(guarded.clone()).await.unwrap_err().is_stale());
        assert!(old_lease.release().await.unwrap_err().is_stale());
        // Its publication has the number of the new one's, and must not end it.
        put(&old_ingest, BlobKind::Base, "old").await;
        let made = old_ingest
            .commit(CommitSet { images: vec![NewImage::chain(vec![digest("old")])], ..CommitSet::default() });
        assert!(made.await.unwrap_err().is_stale());
        let landed = old.ingest();
        assert!(landed.has(&digest("late"), 4).await.unwrap_err().is_stale());
        assert!(landed.put(spec(BlobKind::Base), &b"late"[..]).await.unwrap_err().is_stale());
        old_ingest.abort().await.unwrap();
        assert!(old.acquire("vm", image.id).await.unwrap_err().is_stale());
        assert!(!old.is_live(), "it has heard that it lost what it claimed");
        assert!(idle.renew().await.unwrap_err().is_stale());
        leaving.leave().await.unwrap();

        // The new ones have all that is theirs.
        lease.confirm().await.unwrap();
        let guarded = CommitSet { guard: Some(lease.guard()), ..guarded };
        ingest.commit(guarded).await.unwrap();
        lease.release().await.unwrap();
        for node in [&new, &other, &third] {
            node.renew().await.unwrap();
        }
        commit(&third.ingest(), NewImage::chain(vec![digest("base")])).await;
    })
    .await;
}
