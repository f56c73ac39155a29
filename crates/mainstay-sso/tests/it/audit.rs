//! The audit: one chain under concurrency, refused by the database to whoever would change it, and checked.

use mainstay_core::PageSize;
use mainstay_repo::Statement;
use mainstay_sso::*;
use mainstay_testkit::{TestDatabase, for_each_database};

use crate::support::{World, kind};

async fn verdict(world: &World) -> ChainVerdict {
    world.sso.verify_audit_chain(&world.scope, None).await.unwrap()
}

#[tokio::test]
async fn changes_at_the_same_moment_make_one_chain() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (a, b, c, d) = tokio::join!(world.draft(), world.draft(), world.draft(), world.draft());
        let ids = [a.id, b.id, c.id, d.id];
        assert!(matches!(verdict(&world).await, ChainVerdict::Intact { events: 4, .. }));
        let audit =
            world.sso.audit_list(&world.scope, &AuditFilter::default(), PageSize::default(), None).await;
        let events = audit.unwrap().items;
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert!(events.iter().all(|event| ids.contains(&event.connection.unwrap())));
        assert!(events.iter().all(|event| event.actor == "test:operator" && event.cause == "a test"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_make_one_chain() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let node = World::on(database.repo().await, |_| {});
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                node.draft().await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(matches!(verdict(&world).await, ChainVerdict::Intact { events: 20, .. }));
}

#[tokio::test]
async fn a_refused_change_leaves_no_event() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let draft = world.draft().await;
        let update = ConnectionUpdate { display_name: Some("x".into()), ..ConnectionUpdate::default() };
        let stale = world.sso.connection_update(&world.scope, &world.cause, draft.id, 7, update).await;
        assert_eq!(kind(stale), ErrorKind::Stale { expected: 7 });
        assert!(matches!(verdict(&world).await, ChainVerdict::Intact { events: 1, .. }));
    })
    .await;
}

#[tokio::test]
async fn the_database_refuses_to_change_the_past() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.draft().await;
        world.draft().await;
        for sql in [
            "UPDATE sso_audit_events SET cause = 'another' WHERE seq = 1",
            "DELETE FROM sso_audit_events WHERE seq = 2",
            "DELETE FROM sso_audit_events",
            "DELETE FROM sso_audit_head",
            "UPDATE sso_audit_head SET seq = 1",
            "INSERT INTO sso_audit_events SELECT seq + 5, id || 'x', at, action, connection_id, organization_id, \
             actor, cause, details, previous_hash, hash FROM sso_audit_events WHERE seq = 2",
        ] {
            assert!(world.repo.write(Statement::new(sql)).await.is_err(), "{sql}");
        }
        let dialect = world.repo.dialect();
        let own = match dialect {
            mainstay_repo::Dialect::Sqlite => {
                "INSERT OR REPLACE INTO sso_audit_events SELECT seq, id, at, action, connection_id, organization_id, \
                 'mallory', cause, details, previous_hash, hash FROM sso_audit_events WHERE seq = 2"
            }
            _ => "TRUNCATE sso_audit_events",
        };
        assert!(world.repo.write(Statement::new(own)).await.is_err(), "{own}");
        assert!(matches!(verdict(&world).await, ChainVerdict::Intact { events: 2, .. }));
    })
    .await;
}

#[tokio::test]
async fn whoever_removes_the_triggers_is_found_out() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        for _ in 0..3 {
            world.draft().await;
        }
        let ChainVerdict::Intact { head, .. } = verdict(&world).await else { panic!("broken") };
        for (sqlite, postgres) in [
            ("sso_audit_events_no_update", "sso_audit_events_no_change ON sso_audit_events"),
            ("sso_audit_events_no_delete", "sso_audit_events_no_truncate ON sso_audit_events"),
        ] {
            let sql = mainstay_repo::Sql::dynamic(
                format!("DROP TRIGGER {sqlite}"),
                format!("DROP TRIGGER {postgres}"),
            );
            world.write(sql).await;
        }
        world.write("UPDATE sso_audit_events SET actor = 'mallory' WHERE seq = 2").await;
        assert_eq!(verdict(&world).await, ChainVerdict::Broken { seq: 2, why: Broken::Content });
        world.write("DELETE FROM sso_audit_events WHERE seq = 2").await;
        assert_eq!(verdict(&world).await, ChainVerdict::Broken { seq: 3, why: Broken::Gap });
        world.write("DELETE FROM sso_audit_events WHERE seq > 1").await;
        assert_eq!(verdict(&world).await, ChainVerdict::Broken { seq: 1, why: Broken::Head });
        let anchored = world.sso.verify_audit_chain(&world.scope, Some(head)).await.unwrap();
        assert_eq!(anchored, ChainVerdict::Broken { seq: 1, why: Broken::Anchor });
    })
    .await;
}
