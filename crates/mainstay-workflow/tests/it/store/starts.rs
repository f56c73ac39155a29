//! Starts: the unique index decides.

use mainstay_repo::{Batch, ErrorKind as RepoErrorKind, Statement};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{World, body, new};

/// P8: fifty starts at once make one run, and all others are told which.
#[tokio::test]
async fn p08_of_many_starts_at_once_one_wins() {
    for_each_database(async |database| {
        let world = std::sync::Arc::new(World::new(database).await);
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let world = std::sync::Arc::clone(&world);
            tasks.push(tokio::spawn(async move { world.started(world.keyed("a17")).await }));
        }
        let (mut runs, mut new) = (std::collections::BTreeSet::new(), 0);
        for task in tasks {
            match task.await.unwrap() {
                Started::New(head) => {
                    new += 1;
                    runs.insert(head.meta.run);
                }
                Started::AlreadyActive(run) => {
                    runs.insert(run);
                }
                Started::Withdrawn => panic!("nothing was consumed"),
            }
        }
        assert_eq!((new, runs.len()), (1, 1));
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 1);
        assert_eq!(world.tasks().await, 1);
    })
    .await;
}

#[tokio::test]
async fn in_one_group_each_start_has_its_own_answer() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let first = world.begin_with(world.keyed("a")).await;
        let starts = vec![
            world.keyed("b"),
            world.keyed("a"),
            world.keyed("b"),
            world.start_with(json!(1)),
            world.keyed("c"),
        ];
        let answers = world.store.start(&world.flow, starts).await.unwrap();
        let b = match &answers[0] {
            Started::New(head) => head.meta.run,
            other => panic!("{other:?}"),
        };
        assert!(matches!(answers[1], Started::AlreadyActive(run) if run == first.meta.run));
        assert!(matches!(answers[2], Started::AlreadyActive(run) if run == b));
        assert!(matches!((&answers[3], &answers[4]), (Started::New(_), Started::New(_))));
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 4);
        assert_eq!(world.count("SELECT count(*) FROM wf_history").await, 4);
        assert_eq!(world.count("SELECT count(*) FROM wf_contexts").await, 4);
        let many = (0..50).map(|_| world.keyed("d")).collect();
        let answers = world.store.start(&world.flow, many).await.unwrap();
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Started::New(_))).count(), 1);
    })
    .await;
}

/// P17, O7: a key can be used again when its run has ended; the ended run stays as it was.
#[tokio::test]
async fn p17_a_second_run_of_a_key_leaves_the_first_alone() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let first = world.begin_with(world.keyed("a")).await;
        let ended = world.commit(world.commit_of(&first, Input::Cancel { reason: "enough".into() })).await;
        assert_eq!(ended.state.status(), Status::Cancelled);
        let second = world.begin_with(world.keyed("a")).await;
        assert_ne!(first.meta.run, second.meta.run);
        assert_eq!(world.load(first.meta.run).await.state, ended.state);
        assert_eq!(world.load(second.meta.run).await.state.status(), Status::Running);
        let end = world.store.ended(first.meta.run).await.unwrap().unwrap();
        assert_eq!(
            (end.outcome, end.reason.as_str()),
            (mainstay_workflow::plan::Outcome::Cancelled, "enough")
        );
        assert!(world.store.ended(second.meta.run).await.unwrap().is_none());
    })
    .await;
}

/// P16: with the scope `version`, two versions have a run each, and neither touches the other's.
#[tokio::test]
async fn p16_two_versions_have_a_run_each() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let unique = graph::Unique { key: "orderid".into(), scope: Scope::Version };
        let start = |version| {
            let mut start = world.start_with(json!({"version": version}));
            start.business_key = Some("orderid::a".into());
            start.token = unique.token("order", version, "a").unwrap();
            start
        };
        let one = world.begin_with(start(1)).await;
        let two = world.begin_with(start(2)).await;
        assert!(matches!(world.started(start(2)).await, Started::AlreadyActive(run) if run == two.meta.run));
        assert_eq!(world.load(one.meta.run).await.state, one.state);
        let found = Filter::new().id("orderid::a");
        let page =
            world.store.list(&found, Order::Oldest, mainstay_core::PageSize::DEFAULT, None).await.unwrap();
        assert_eq!(page.items.iter().map(|run| run.run).collect::<Vec<_>>(), [one.meta.run, two.meta.run]);
    })
    .await;
}

/// P7: workflows that use the same key, and namespaces, do not meet.
#[tokio::test]
async fn p07_namespaces_share_nothing() {
    for_each_database(async |database| {
        let one = World::new(database).await;
        let other = World::on(one.repo.clone(), "other", super::support::flow()).await;
        let run = one.begin_with(one.keyed("a")).await.meta.run;
        let its = other.begin_with(other.keyed("a")).await.meta.run;
        assert!(other.store.load(&[run]).await.unwrap().is_empty());
        assert!(other.store.histories(&[run]).await.unwrap().is_empty());
        assert_eq!(*other.store.ended(run).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(other.send(other.signal(run, None, json!(1))).await, Sent::NotFound);
        let claimed = other.claim(other.node, "default", 10).await;
        assert_eq!(claimed.iter().map(|task| task.key.run).collect::<Vec<_>>(), [its]);
        // A commit of a run of another namespace finds no run.
        let head = one.load(run).await;
        let commit = one.step(&head, "check", "good", json!(null));
        assert!(matches!(other.store.commit(vec![commit]).await.unwrap()[0], Committed::Stale));
        assert_eq!(one.claim_steps(10).await, ["check"]);
    })
    .await;
}

#[tokio::test]
async fn a_start_inside_a_transaction_is_there_if_and_only_if_the_rest_is() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.repo.write(Statement::new("CREATE TABLE host (id bigint)")).await.unwrap();
        for keep in [false, true] {
            let mut tx = world.repo.begin().await.unwrap();
            tx.write(Statement::new("INSERT INTO host (id) VALUES (1)")).await.unwrap();
            let started = world.store.start_in(&mut tx, &world.flow, world.keyed("a")).await.unwrap();
            let head = new(started);
            let again = world.store.start_in(&mut tx, &world.flow, world.keyed("a")).await.unwrap();
            assert!(matches!(again, Started::AlreadyActive(run) if run == head.meta.run));
            if keep {
                tx.commit().await.unwrap();
                assert_eq!(world.load(head.meta.run).await.state, head.state);
            } else {
                tx.rollback().await.unwrap();
                assert!(world.store.load(&[head.meta.run]).await.unwrap().is_empty());
            }
            let kept = i64::from(keep);
            assert_eq!(world.count("SELECT count(*) FROM host").await, kept);
            assert_eq!(world.tasks().await, kept);
        }
        let mut batch = Batch::new("host");
        batch.push(Statement::new("INSERT INTO host (id) VALUES (2)"));
        world.store.start_into(&mut batch, &world.flow, world.keyed("a")).unwrap();
        let error = world.repo.batch(batch).await.unwrap_err();
        assert!(matches!(error.kind(), RepoErrorKind::ConditionFailed { .. }));
        let mut batch = Batch::new("host");
        batch.push(Statement::new("INSERT INTO host (id) VALUES (2)"));
        let run = world.store.start_into(&mut batch, &world.flow, world.keyed("b")).unwrap();
        world.repo.batch(batch).await.unwrap();
        assert_eq!(world.load(run).await.state.status(), Status::Running);
        assert_eq!(world.count("SELECT count(*) FROM host").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_child_takes_the_place_of_the_task_that_asked_for_it() {
    for_each_database(async |database| {
        let parent = Definition::new("parent", 1)
            .node(Node::child("call", "order").on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let world = World::of(database, parent).await;
        let child = World::on(world.repo.clone(), "tests", super::support::flow()).await;
        let head = world.begin().await;
        let task = world.claim(world.node, "default", 1).await.remove(0);
        let start = || {
            let mut start = child.start_with(json!(1));
            start.parent = Some(Parent { run: head.meta.run, attempt: body("call", 1) });
            start.consumes = Some(task.key.clone());
            start
        };
        let began = child.begin_with(start()).await;
        assert_eq!(began.meta.parent, Some(Parent { run: head.meta.run, attempt: body("call", 1) }));
        // The task is gone: a repetition starts nothing.
        assert!(matches!(child.started(start()).await, Started::Withdrawn));
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 2);

        let mut last = child.commit_of(&began, Input::succeeded(&body("check", 1), "bad"));
        last.done(body("check", 1));
        child.commit(last).await;
        assert_eq!(world.wake().await, [head.meta.run]);
        let ended = world.read_mail(head.meta.run).await;
        assert_eq!(ended.state.status(), Status::Completed);
        assert_eq!(world.count("SELECT count(*) FROM wf_mail").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_child_that_is_not_wanted_any_more_is_cancelled_or_never_started() {
    for_each_database(async |database| {
        let parent = Definition::new("parent", 1)
            .node(Node::child("call", "order").on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let world = World::of(database, parent).await;
        let child = World::on(world.repo.clone(), "tests", super::support::flow()).await;
        for began in [true, false] {
            let head = world.begin().await;
            let task = world.claim(world.node, "default", 1).await.remove(0);
            let mut start = child.start_with(json!(1));
            start.parent = Some(Parent { run: head.meta.run, attempt: body("call", 1) });
            start.consumes = Some(task.key.clone());
            let cancel = || world.commit_of(&head, Input::Cancel { reason: "enough".into() });
            if began {
                let run = child.begin_with(start).await.meta.run;
                world.commit(cancel()).await;
                assert_eq!(child.wake().await, [run]);
                assert_eq!(child.read_mail(run).await.state.status(), Status::Cancelled);
                world.clock.advance(super::support::SECOND);
            } else {
                world.commit(cancel()).await;
                assert!(matches!(child.started(start).await, Started::Withdrawn));
                let beat = world.store.beat(world.node).await.unwrap();
                assert_eq!(beat.revoked, std::slice::from_ref(&task.key));
                world.store.settle(&[task.key], &[]).await.unwrap();
                assert!(world.store.beat(world.node).await.unwrap().revoked.is_empty());
            }
        }
    })
    .await;
}
