//! The tables do not change under nodes that would not know what became of them.

use mainstay_repo::{Statement, Target};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::{ErrorKind, migrate};

use super::support::World;

#[tokio::test]
async fn nodes_of_an_earlier_version_are_named_and_nothing_changes() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let migrator = world.repo.migrator();
        let at_work = ErrorKind::NodesAtWork { nodes: vec!["one".into()] };
        // Nothing to do is nothing to refuse: nodes of one version start beside each other.
        assert_eq!(migrate(&world.repo, Target::Latest).await.unwrap(), 0);
        let refused = migrate(&world.repo, Target::DownTo(3)).await.unwrap_err();
        assert_eq!(*refused.kind(), at_work);

        // As the node would have made them that knows no batons.
        migrator.down(&COMPONENT, 3).await.unwrap();
        let refused = migrate(&world.repo, Target::Latest).await.unwrap_err();
        assert_eq!(*refused.kind(), at_work);
        for part in ["one in the namespace tests", "migration 4", "end all of them", "60 s"] {
            assert!(refused.to_string().contains(part), "{part}: {refused}");
        }
        assert_eq!(migrator.migrated_version(&COMPONENT).await.unwrap(), 3);
        // What they understand is applied beside them.
        migrator.down(&COMPONENT, 1).await.unwrap();
        assert_eq!(migrate(&world.repo, Target::Version(3)).await.unwrap(), 2);
        assert!(migrate(&world.repo, Target::Version(4)).await.is_err());
        world.repo.write(Statement::new("UPDATE wf_nodes SET dead_at = seen_at")).await.unwrap();
        assert!(migrate(&world.repo, Target::Latest).await.unwrap() > 0);
        migrator.require_latest(&COMPONENT).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_without_tables_has_nobody_at_work() {
    for_each_database(async |database| {
        let repo = database.options().connect().await.unwrap();
        let steps = repo.migrator().plan(&COMPONENT, Target::Latest).await.unwrap();
        refuse_beside_nodes(&repo, &steps).await.unwrap();
        assert_eq!(migrate(&repo, Target::Latest).await.unwrap(), COMPONENT.migrations.len());
    })
    .await;
}
