//! Commits: the fence, what is kept, what comes back.

use std::sync::Arc;

use mainstay_testkit::for_each_database;
use mainstay_workflow::plan::context;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

use super::support::{SECOND, World, body, done};

#[tokio::test]
async fn a_run_is_read_as_it_was_left() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut start = world.start_with(json!({"order": 123, "rate": 1.5}));
        start.telemetry = json!({"tenant": "a"});
        start.business_key = Some("orderid::a".into());
        start.lane = Lane { queue: "slow".into(), priority: -3, fairness: Some("tenant-a".into()) };
        let mut head = world.begin_with(start).await;
        let run = head.meta.run;
        for (step, event, output) in [
            ("check", "good", json!({"score": 7})),
            ("charge", "paid", Value::Null),
            ("pack", "packed", json!(["box"])),
            ("meet", "met", json!("text \" \\ \u{1F600}")),
        ] {
            head = world.commit(world.step(&head, step, event, output)).await;
            let read = world.load(run).await;
            assert_eq!((&read.meta, &read.state), (&head.meta, &head.state), "after {step}");
        }
        let (_, records) = world.store.histories(&[run]).await.unwrap().remove(0);
        assert_eq!(replay(&world.flow, &records).unwrap(), head.state);
        let expected = json!({
            "initial": {"order": 123, "rate": 1.5},
            "steps": {"check": {"score": 7}, "pack": ["box"], "meet": "text \" \\ \u{1F600}"},
        });
        assert_eq!(context(&records), expected);
        let (loaded, past) = world.store.load_with_history(&[run]).await.unwrap().remove(0);
        assert_eq!((loaded.head(&world.flow).unwrap().state, past), (head.state, records));
    })
    .await;
}

#[tokio::test]
async fn of_two_moves_from_one_state_one_is_written() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.go(&world.begin().await, "check", "good").await;
        let (charge, pack) =
            (world.step(&head, "charge", "paid", json!(1)), world.step(&head, "pack", "packed", json!(2)));
        let after = world.commit(charge.clone()).await;
        for late in [pack, charge] {
            assert!(matches!(world.store.commit(vec![late]).await.unwrap()[0], Committed::Stale));
            assert_eq!(world.load(head.meta.run).await.state, after.state);
        }
        assert_eq!(world.count("SELECT count(*) FROM wf_outputs").await, 1);
        assert_eq!(world.claim_steps(9).await, ["pack"]);
    })
    .await;
}

#[tokio::test]
async fn one_that_comes_too_late_does_not_hold_up_the_others() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut heads = Vec::new();
        for _ in 0..9 {
            heads.push(world.begin().await);
        }
        for taken in [2, 5, 8] {
            world.go(&heads[taken], "check", "bad").await;
        }
        let commits = heads.iter().map(|head| world.step(head, "check", "good", json!({"n": 1}))).collect();
        let committed = world.store.commit(commits).await.unwrap();
        for (place, committed) in committed.into_iter().enumerate() {
            match committed {
                Committed::Done(head) => {
                    assert!(![2, 5, 8].contains(&place));
                    assert_eq!(head.meta.run, heads[place].meta.run);
                    assert_eq!(world.load(head.meta.run).await.state, head.state);
                }
                Committed::Stale => assert!([2, 5, 8].contains(&place)),
            }
        }
        assert_eq!(world.tasks().await, 12);
    })
    .await;
}

#[tokio::test]
async fn many_at_once_on_one_run_are_written_one_after_the_other() {
    for_each_database(async |database| {
        let flow = Definition::new("wide", 1)
            .node(Node::task("fan", ["ok"]).on("ok", (0..16).map(|at| format!("w{at:02}"))));
        let flow = (0..16)
            .fold(flow, |flow, at| flow.node(Node::task(&format!("w{at:02}"), ["ok"]).on("ok", ["meet"])))
            .node(Node::task("meet", ["ok"]).on("ok", ["end"]));
        let world = Arc::new(World::of(database, flow.done("end").build().unwrap()).await);
        let head = world.go(&world.begin().await, "fan", "ok").await;
        let mut workers = Vec::new();
        for at in 0..16 {
            let (world, mut head) = (Arc::clone(&world), head.clone());
            workers.push(tokio::spawn(async move {
                loop {
                    let commit = world.step(&head, &format!("w{at:02}"), "ok", json!(at));
                    match world.store.commit(vec![commit]).await.unwrap().remove(0) {
                        Committed::Done(_) => return,
                        Committed::Stale => head = world.load(head.meta.run).await,
                    }
                }
            }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
        let end = world.go(&world.load(head.meta.run).await, "meet", "ok").await;
        assert_eq!(end.state.status(), Status::Completed);
        assert_eq!(world.count("SELECT count(*) FROM wf_outputs").await, 16);
        assert_eq!(world.tasks().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_moved_even_by_one_who_does_not_know() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let late = world.step(&head, "check", "good", Value::Null);
        let mut last = world.step(&head, "check", "bad", json!("no"));
        last.result(json!("unused: the result has to be said before the push"));
        let end = world.commit(last).await;
        assert_eq!(end.state.status(), Status::Completed);
        assert!(matches!(world.store.commit(vec![late.clone()]).await.unwrap()[0], Committed::Stale));
        // Even when its history is gone, as after pruning.
        world.repo.write(mainstay_repo::Statement::new("DELETE FROM wf_history")).await.unwrap();
        assert!(matches!(world.store.commit(vec![late]).await.unwrap()[0], Committed::Stale));
        assert_eq!(world.count("SELECT count(*) FROM wf_history").await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_result_of_a_run_is_kept() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let mut commit = Commit::new(&head, world.now());
        commit.done(body("check", 1));
        commit.result(json!({"why": "bad"}));
        commit.push(&world.flow, world.moved(&head, Input::succeeded(&body("check", 1), "bad"))).unwrap();
        world.commit(commit).await;
        let ended = world.store.ended(head.meta.run).await.unwrap().unwrap();
        assert_eq!((ended.result, ended.at), (json!({"why": "bad"}), world.now()));
    })
    .await;
}

#[tokio::test]
async fn several_transitions_go_into_one_commit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.go(&world.begin().await, "check", "good").await;
        let mut commit = world.step(&head, "charge", "paid", json!(1));
        let state = commit.state().unwrap().clone();
        let next = transition(&world.flow, &state, Input::succeeded(&body("pack", 1), "packed"), world.now())
            .unwrap();
        commit.done(body("pack", 1));
        commit.push(&world.flow, next.clone()).unwrap();
        let after = world.commit(commit).await;
        assert_eq!(after.state, next.state);
        assert_eq!(world.load(head.meta.run).await.state, after.state);
        assert_eq!(world.claim_steps(9).await, ["meet"]);
        // One that does not follow is a defect of the caller, and is told.
        let mut twisted = Commit::new(&after, world.now());
        assert_eq!(*twisted.push(&world.flow, next).unwrap_err().kind(), ErrorKind::Internal);
    })
    .await;
}

/// Runs longer than the distance of snapshots are read from the last one, and come out the same.
#[tokio::test]
async fn a_long_run_is_read_from_its_last_snapshot() {
    for_each_database(async |database| {
        const STEPS: usize = 150;
        let name = |at: usize| if at < STEPS { format!("s{at:03}") } else { "end".to_owned() };
        let flow = (0..STEPS).fold(Definition::new("long", 1), |flow, at| {
            flow.node(Node::task(&name(at), ["ok"]).on("ok", [name(at + 1)]))
        });
        let world = World::of(database, flow.done("end").build().unwrap()).await;
        let mut head = world.begin().await;
        for at in 0..STEPS - 1 {
            head = world.go(&head, &name(at), "ok").await;
        }
        assert!(head.snapshot > 200, "{}", head.snapshot);
        let loaded = world.store.load(&[head.meta.run]).await.unwrap().remove(0);
        assert!(loaded.snapshot.is_some() && loaded.records.len() < 80, "{}", loaded.records.len());
        let read = loaded.head(&world.flow).unwrap();
        assert_eq!((read.state, read.snapshot), (head.state.clone(), head.snapshot));
        let (_, records) = world.store.histories(&[head.meta.run]).await.unwrap().remove(0);
        assert_eq!(replay(&world.flow, &records).unwrap(), head.state);
    })
    .await;
}

/// The items of a map are rows of their own.
#[tokio::test]
async fn a_map_comes_back_whole() {
    for_each_database(async |database| {
        let flow = Definition::new("map", 1)
            .node(Node::map("rows", "list", "row").on("mapped", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let world = World::of(database, flow).await;
        let head = world.begin().await;
        let attempt = Attempt { step: "rows".into(), part: Part::Items, number: 1 };
        let list = json!([{"id": 1}, null, "three"]);
        let listed = Input::Listed { attempt: attempt.clone(), items: 3, output: list.clone() };
        let mut commit = world.commit_of(&head, listed);
        commit.done(attempt);
        let mut head = world.commit(commit).await;
        assert_eq!(world.tasks().await, 3);
        for item in [2, 0, 1] {
            let attempt = Attempt { step: "rows".into(), part: Part::Item(item), number: 1 };
            let finished = Input::Finished { attempt: attempt.clone(), output: json!({"done": item}) };
            let mut commit = world.commit_of(&head, finished);
            commit.done(attempt);
            head = world.commit(commit).await;
        }
        assert_eq!(head.state.status(), Status::Completed);
        let (_, records) = world.store.histories(&[head.meta.run]).await.unwrap().remove(0);
        let lists = records.iter().filter_map(|record| match &record.fact {
            Fact::Listed { output, .. } => Some(output.clone()),
            _ => None,
        });
        assert_eq!(lists.collect::<Vec<_>>(), [list]);
        let expected = json!({"0": {"done": 0}, "1": {"done": 1}, "2": {"done": 2}});
        assert_eq!(context(&records)["steps"]["rows"], expected);
        assert_eq!(world.tasks().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_commit_inside_a_transaction_shares_its_fate() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let mut tx = world.repo.begin().await.unwrap();
        world.store.commit_in(&mut tx, world.step(&head, "check", "good", json!(1))).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(world.load(head.meta.run).await.state, head.state);
        let mut tx = world.repo.begin().await.unwrap();
        let after =
            world.store.commit_in(&mut tx, world.step(&head, "check", "good", json!(1))).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.load(head.meta.run).await.state, after.state);
        let mut tx = world.repo.begin().await.unwrap();
        let late = world.store.commit_in(&mut tx, world.step(&head, "check", "bad", json!(1))).await;
        assert_eq!(*late.unwrap_err().kind(), ErrorKind::Stale);
        tx.rollback().await.unwrap();
        assert_eq!(world.load(head.meta.run).await.state, after.state);
    })
    .await;
}

#[tokio::test]
async fn timers_follow_the_state() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.waiting().await;
        let due = world.now().saturating_add(60 * SECOND);
        assert_eq!(world.next_due().await, Some(due));
        assert!(world.wake().await.is_empty());
        let paused = world.commit(world.commit_of(&head, Input::Pause)).await;
        assert_eq!(world.next_due().await, None);
        let head = world.commit(world.commit_of(&paused, Input::Resume)).await;
        world.clock.advance(60 * SECOND);
        assert_eq!(world.wake().await, [head.meta.run]);
        // It is given out to one, and again to anybody when that one does nothing.
        assert!(world.wake().await.is_empty());
        world.clock.advance(30 * SECOND);
        assert_eq!(world.wake().await, [head.meta.run]);
        let end =
            done(world.store.commit(vec![world.commit_of(&head, Input::Tick)]).await.unwrap().remove(0));
        assert_eq!(end.state.status(), Status::Completed);
        assert_eq!(world.next_due().await, None);
    })
    .await;
}
