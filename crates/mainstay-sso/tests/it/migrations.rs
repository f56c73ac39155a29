//! The tables come and go, and the database itself refuses what no state may be.

use mainstay_repo::{Statement, Target};
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::World;

#[tokio::test]
async fn the_tables_go_down_and_come_up_again() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.sign_in(&world.enabled().await).await;
        let migrator = world.repo.migrator();
        assert_eq!(migrator.down(&COMPONENT, 0).await.unwrap(), 2);
        assert!(world.repo.read(Statement::new("SELECT 1 FROM sso_audit_events")).await.is_err());
        assert_eq!(migrator.migrate(&COMPONENT, Target::Latest).await.unwrap(), 2);
        migrator.require_latest(&COMPONENT).await.unwrap();
        world.sign_in(&world.enabled().await).await;
    })
    .await;
}

#[tokio::test]
async fn a_state_that_does_not_exist_is_not_stored() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.sign_in(&world.enabled().await).await;
        for sql in [
            "UPDATE sso_connections SET status = 'on'",
            "UPDATE sso_certificates SET state = 'trusted'",
            "UPDATE sso_sessions SET role = 'root'",
            "UPDATE sso_sessions SET connection_id = NULL",
            "UPDATE sso_login_traces SET outcome = 'refused'",
            "UPDATE sso_connections SET lock_version = 0",
        ] {
            let error = world.repo.write(Statement::new(sql)).await.unwrap_err();
            assert!(matches!(error.kind(), mainstay_repo::ErrorKind::Constraint { .. }), "{sql}: {error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn connections_of_an_earlier_version_are_found_by_name() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled_with(|new| new.display_name = "Example Ltd".into()).await;
        let migrator = world.repo.migrator();
        assert_eq!(migrator.down(&COMPONENT, 1).await.unwrap(), 1);
        assert_eq!(migrator.migrate(&COMPONENT, Target::Latest).await.unwrap(), 1);
        let filter = ConnectionFilter { named: Some("example ltd".into()), ..ConnectionFilter::default() };
        let size = mainstay_core::PageSize::clamped(2);
        let found = world.sso.connection_list(&world.scope, &filter, size, None).await.unwrap().items;
        assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [connection.id]);
    })
    .await;
}
