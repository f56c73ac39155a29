//! The tables come and go, in a schema of their own if the host wants, and refuse what no state may be.

use mainstay_repo::{ErrorKind as RepoErrorKind, Statement, Target};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;

use super::support::World;

#[tokio::test]
async fn the_tables_go_down_and_come_up_again() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.waiting().await;
        let migrator = world.repo.migrator();
        assert_eq!(migrator.migrated_version(&COMPONENT).await.unwrap(), COMPONENT.latest());
        assert_eq!(migrator.migrate(&COMPONENT, Target::Latest).await.unwrap(), 0, "nothing to do");
        migrator.down(&COMPONENT, 0).await.unwrap();
        assert_eq!(migrator.migrated_version(&COMPONENT).await.unwrap(), 0);
        assert!(world.repo.read(Statement::new("SELECT 1 FROM wf_runs")).await.is_err());
        assert_eq!(migrator.down(&COMPONENT, 0).await.unwrap(), 0, "down again is nothing");
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        migrator.require_latest(&COMPONENT).await.unwrap();
        World::on(world.repo.clone(), "tests", super::support::flow()).await.waiting().await;
    })
    .await;
}

#[tokio::test]
async fn a_state_that_does_not_exist_is_not_stored() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        for sql in [
            "UPDATE wf_runs SET status = 'pending'",
            "UPDATE wf_runs SET status = 'completed'",
            "UPDATE wf_runs SET version = 0",
            "UPDATE wf_runs SET parent_id = 1",
            "UPDATE wf_tasks SET state = 2",
            "UPDATE wf_tasks SET state = 9",
            "UPDATE wf_history SET seq = -1",
            "INSERT INTO wf_namespaces (name) VALUES ('')",
        ] {
            let error = world.repo.write(Statement::new(sql)).await.unwrap_err();
            assert!(matches!(error.kind(), RepoErrorKind::Constraint { .. }), "{sql}: {error:?}");
        }
    })
    .await;
}
