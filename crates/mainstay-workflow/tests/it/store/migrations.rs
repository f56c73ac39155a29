//! The tables come and go, in a schema of their own if the host wants, and refuse what no state may be.

use mainstay_repo::{ErrorKind as RepoErrorKind, Repo, Statement, Target};
use mainstay_testkit::{PostgresDatabase, for_each_database};
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

#[tokio::test]
async fn the_tables_and_all_that_use_them_are_in_the_schema_of_the_url() {
    let database = PostgresDatabase::create();
    for schema in ["jobs", "billing"] {
        let repo = Repo::connect(&format!("{}?schema={schema}", database.url())).await.unwrap();
        assert_eq!(repo.migrator().migrated_version(&COMPONENT).await.unwrap(), 0, "{schema}");
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        let world = World::on(repo, "tests", super::support::flow()).await;
        let head = world.waiting().await;
        world.send(world.signal(head.meta.run, None, serde_json::json!(1))).await;
        world.read_mail(head.meta.run).await;
    }
    for schema in ["jobs", "billing"] {
        assert_eq!(database.query(&format!("SELECT status FROM {schema}.wf_runs")), ["completed"]);
    }
    let elsewhere = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'wf%'";
    assert_eq!(database.query(elsewhere), ["0"]);
}

/// Who goes back to a version that knows no batons finds a task for each attempt that is out.
#[tokio::test]
async fn a_baton_becomes_a_task_on_the_way_down() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut start = world.start_with(serde_json::Value::Null);
        start.lease = Some(world.node);
        let head = world.begin_with(start).await;
        assert!(head.baton.is_some());
        world.repo.migrator().down(&COMPONENT, 3).await.unwrap();
        let tasks =
            "SELECT count(*) FROM wf_tasks WHERE step = 'check' AND part = -1 AND number = 1 AND state = 2";
        assert_eq!(world.count(tasks).await, 1);
        world.repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        let again = world.load(head.meta.run).await;
        assert_eq!((again.state, again.baton), (head.state, None));
    })
    .await;
}

/// What is to wake runs from before is found by their definition.
#[tokio::test]
async fn what_wakes_a_run_is_known_after_the_migration() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let waits = world.waiting().await.meta.run;
        let begun = world.begin().await.meta.run;
        world.send(world.signal(begun, Some("a"), serde_json::json!(1))).await;
        let migrator = world.repo.migrator();
        migrator.down(&COMPONENT, 4).await.unwrap();
        // A timer of a run that is not there any more would wake nobody.
        let orphan =
            "INSERT INTO wf_timers (run_id, namespace_id, at) SELECT -7, namespace_id, at FROM wf_timers";
        world.repo.write(Statement::new(orphan)).await.unwrap();
        // An older node left a task that was taken back where it stood in its queue.
        let revoked = "UPDATE wf_tasks SET revoked = true, priority = 0, rank = 77 WHERE state = 1";
        assert_eq!(world.repo.write(Statement::new(revoked)).await.unwrap().rows_affected(), 1);
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        let limits = QueueLimits { concurrency: Some(1), paused: true, ..QueueLimits::default() };
        world.store.queue_set("default", limits).await.unwrap();
        let claimed = world.claim(world.node, "default", 9).await;
        assert_eq!(claimed.iter().map(|task| task.fate).collect::<Vec<_>>(), [Fate::Revoked]);
        assert_eq!(world.count("SELECT count(*) FROM wf_timers").await, 1);
        assert_eq!(world.wake().await, [begun]);
        world.clock.advance(60 * super::support::SECOND);
        let mut both = vec![waits, begun];
        both.sort_unstable();
        assert_eq!(world.wake().await, both);
    })
    .await;
}

/// An older node beside writes timers and letters that say nothing of a definition: they are found all the same.
#[tokio::test]
async fn what_an_older_node_writes_is_adopted() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let waits = world.waiting().await.meta.run;
        world.send(world.signal(waits, None, serde_json::json!(1))).await;
        assert_eq!(world.store.adopt().await.unwrap(), 0, "nothing is to be done");
        for table in ["UPDATE wf_timers SET definition_id = NULL", "UPDATE wf_mail SET definition_id = NULL"]
        {
            world.repo.write(Statement::new(table)).await.unwrap();
        }
        assert_eq!((world.wake().await, world.next_due().await), (vec![], None));
        assert_eq!(world.store.adopt().await.unwrap(), 2);
        assert_eq!(world.store.adopt().await.unwrap(), 0);
        assert_eq!(world.wake().await, [waits]);
        assert!(world.next_due().await.is_some());
    })
    .await;
}

/// Of the contents that a version had under one number, the one that most open runs need is the one that it has.
#[tokio::test]
async fn the_content_that_runs_are_pinned_to_stays_that_of_its_version() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        world.repo.migrator().down(&COMPONENT, 5).await.unwrap();
        let another = "INSERT INTO wf_definitions (namespace_id, name, version, fingerprint, graph, created_at) \
            SELECT namespace_id, name, version, '00000000000000000000000000000000', graph, created_at FROM wf_definitions";
        world.repo.write(Statement::new(another)).await.unwrap();
        world.repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        assert_eq!(world.store.define(&world.flow, world.now()).await.unwrap(), world.definition);
        let registered = "SELECT count(*) FROM wf_definitions WHERE is_registered";
        assert_eq!(world.count(registered).await, 1);
        // What earlier versions of the library left behind is told.
        assert_eq!(world.store.left_behind(&world.flow).await.unwrap(), 0);
        let stranded = "UPDATE wf_runs SET definition_id = (SELECT id FROM wf_definitions WHERE NOT is_registered)";
        world.repo.write(Statement::new(stranded)).await.unwrap();
        assert_eq!(world.store.left_behind(&world.flow).await.unwrap(), 1);
    })
    .await;
}

/// Versions before left terms of attributes that were replaced: of runs that are gone at once, of the others when they go.
#[tokio::test]
async fn what_replaced_attributes_left_in_the_index_goes() {
    let database = mainstay_testkit::TestDatabase::sqlite();
    let world = World::new(&database).await;
    let noted = async |head: &Head, attributes: serde_json::Value| {
        let attributes = attributes.as_object().unwrap().clone();
        world
            .commit(world.commit_of(head, mainstay_workflow::Input::Noted { attributes, result: None }))
            .await
    };
    // Each keeps the terms that it had, as a version before did when it replaced them.
    let keep = "CREATE TABLE kept AS SELECT * FROM wf_terms";
    let back = "INSERT OR IGNORE INTO wf_terms SELECT * FROM kept";
    let mut runs = Vec::new();
    let wide: serde_json::Map<_, _> = (0..1_100).map(|n| (format!("k{n}"), n.into())).collect();
    for input in [serde_json::json!({"order": 1, "rows": [1, 2, 3]}), wide.into()] {
        let head = world.begin_with(world.start_with(input)).await;
        runs.push(noted(&head, serde_json::json!({"progress": 1, "seen": true})).await);
    }
    let plain = noted(&world.begin().await, serde_json::json!({"progress": 1})).await;
    let gone = world.begin().await;
    world.repo.write(Statement::new(keep)).await.unwrap();
    let mut ended = Vec::new();
    for head in &runs {
        let head = noted(head, serde_json::json!({"progress": 2})).await;
        ended.push(world.go(&head, "check", "bad").await.meta.run);
    }
    world.go(&gone, "check", "bad").await;
    assert!(world.store.delete(gone.meta.run).await.unwrap());
    world.repo.migrator().down(&COMPONENT, 5).await.unwrap();
    assert!(world.repo.write(Statement::new(back)).await.unwrap().rows_affected() >= 3);
    world.repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();

    let of_gone = format!("SELECT count(*) FROM wf_terms WHERE run_id = {}", gone.meta.run.get());
    let row: mainstay_repo::Row = world
        .repo
        .read_one(Statement::new(mainstay_repo::Sql::dynamic(of_gone.clone(), of_gone)))
        .await
        .unwrap();
    assert_eq!(row.get_at::<i64>(0).unwrap(), 0);
    let noted_runs = "SELECT count(DISTINCT run_id) FROM wf_terms_before";
    assert_eq!(world.count(noted_runs).await, 2, "and not the run whose terms are those of its document");
    let found = async |value: i64| {
        let filter = Filter::new().context("attributes.progress", value.into()).unwrap();
        let page =
            world.store.list(&filter, Order::Oldest, mainstay_core::PageSize::DEFAULT, None).await.unwrap();
        page.items.into_iter().map(|run| run.run).collect::<Vec<_>>()
    };
    assert_eq!((found(1).await, found(2).await), (vec![plain.meta.run], ended.clone()));
    world.clock.advance(super::support::SECOND);
    assert_eq!(world.store.prune(world.now(), 9).await.unwrap(), 2);
    assert_eq!(world.count(noted_runs).await, 0);
    assert_eq!(world.count("SELECT count(DISTINCT run_id) FROM wf_terms").await, 1, "of the plain one");
}
