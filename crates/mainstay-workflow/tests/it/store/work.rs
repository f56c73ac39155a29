//! Tasks, nodes and leases.

use std::collections::BTreeSet;
use std::sync::Arc;

use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

use super::support::{SECOND, World, body, steps};

#[tokio::test]
async fn priority_goes_first_then_who_has_been_ready_for_longer() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut runs = Vec::new();
        for priority in [5, 0, -5, 0] {
            let mut start = world.start_with(Value::Null);
            start.lane.priority = priority;
            runs.push(world.begin_with(start).await.meta.run);
            world.clock.advance(SECOND);
        }
        let claimed = world.claim(world.node, "default", 3).await;
        let order: Vec<RunId> = claimed.iter().map(|task| task.key.run).collect();
        assert_eq!(order, [runs[2], runs[1], runs[3]]);
        assert!(world.claim(world.node, "other", 9).await.is_empty());
        assert_eq!(world.claim(world.node, "default", 9).await.len(), 1);
        assert!(world.claim(world.node, "default", 9).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_node_takes_what_it_can_run() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        let other = Definition::new("other", 1)
            .node(Node::task("x", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let other = world.store.define(&other, world.now()).await.unwrap();
        let mut claim =
            Claim { node: world.node, now: world.now(), queues: &[("default", 9)], definitions: &[other] };
        assert!(world.store.claim(&claim).await.unwrap().is_empty());
        claim.definitions = &[];
        assert!(world.store.claim(&claim).await.unwrap().is_empty());
        assert_eq!(world.claim_steps(9).await, ["check"]);
    })
    .await;
}

#[tokio::test]
async fn many_claim_at_once_and_nothing_is_given_out_twice() {
    for_each_database(async |database| {
        let world = Arc::new(World::new(database).await);
        let starts = (0..60).map(|_| world.start_with(Value::Null)).collect();
        world.store.start(&world.flow, starts).await.unwrap();
        let mut nodes = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let (world, node) = (Arc::clone(&world), world.store.join(name, Takeover::Nobody).await.unwrap());
            nodes.push(tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed = world.claim(node, "default", 4).await;
                    if claimed.is_empty()
                        && world.count("SELECT count(*) FROM wf_tasks WHERE state = 1").await == 0
                    {
                        return mine;
                    }
                    mine.extend(claimed.into_iter().map(|task| task.key.run));
                }
            }));
        }
        let (mut all, mut count) = (BTreeSet::new(), 0);
        for node in nodes {
            let mine = node.await.unwrap();
            count += mine.len();
            all.extend(mine);
        }
        assert_eq!((count, all.len()), (60, 60));
    })
    .await;
}

#[tokio::test]
async fn a_delayed_task_becomes_ready_in_time() {
    for_each_database(async |database| {
        let retry = graph::Retry::attempts(3);
        let flow = Definition::new("again", 1)
            .node(Node::task("try", ["ok"]).on("ok", ["end"]).retry(retry))
            .done("end")
            .build()
            .unwrap();
        let world = World::of(database, flow).await;
        let head = world.begin().await;
        let task = world.claim(world.node, "default", 1).await.remove(0);
        let mut commit = world.commit_of(&head, Input::failed(&task.key.attempt, "not now"));
        commit.done(task.key.attempt.clone());
        world.commit(commit).await;
        assert!(world.claim(world.node, "default", 1).await.is_empty());
        let due = world.next_due().await.unwrap();
        assert!(due > world.now());
        world.clock.advance(due.saturating_since(world.now()));
        let again = world.claim(world.node, "default", 1).await.remove(0);
        assert_eq!((again.key.attempt, again.fate), (body("try", 2), Fate::Run));
        assert_eq!(world.next_due().await, None);
    })
    .await;
}

/// The worker that ends a step takes the next one with the same commit.
#[tokio::test]
async fn the_next_task_may_be_born_in_the_workers_hands() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut start = world.start_with(Value::Null);
        start.lease = Some(world.node);
        assert_eq!(start.leased(), [body("check", 1)]);
        let head = world.begin_with(start).await;
        assert!(world.claim(world.node, "default", 9).await.is_empty());
        // Alone on its way, the run has a baton instead of a task for each attempt.
        assert_eq!(world.store.leased(world.node).await.unwrap(), [TaskKey::baton(head.meta.run)]);
        assert_eq!(head.baton, Some(body("check", 1)));

        let mut commit = Commit::new(&head, world.now());
        commit.done(body("check", 1));
        commit.lease(world.node);
        commit.queue_of(body("pack", 1), "packers".into());
        commit.push(&world.flow, world.moved(&head, Input::succeeded(&body("check", 1), "good"))).unwrap();
        // A queue of its own may have limits: claims see to them.
        assert_eq!(commit.leased(), [body("charge", 1)]);
        world.commit(commit).await;
        let held: Vec<Attempt> =
            world.store.leased(world.node).await.unwrap().into_iter().map(|key| key.attempt).collect();
        assert_eq!(held, [body("charge", 1)]);
        assert_eq!(steps(&world.claim(world.node, "packers", 9).await), ["pack"]);
    })
    .await;
}

#[tokio::test]
async fn what_was_in_a_dead_nodes_hands_is_lost_and_found() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
        let task = world.claim(dying, "default", 1).await.remove(0);
        assert_eq!(world.store.bury(10 * SECOND).await.unwrap(), 0);
        assert!(world.store.take_over(world.node, 9, &[world.definition]).await.unwrap().is_empty());
        world.silence(dying, 60).await;
        assert_eq!(world.store.bury(10 * SECOND).await.unwrap(), 1);
        // It may come back, but its life is over.
        assert!(!world.store.beat(dying).await.unwrap().alive);
        assert!(world.store.beat(world.node).await.unwrap().alive);
        let lost = world.store.take_over(world.node, 9, &[world.definition]).await.unwrap();
        assert_eq!(
            lost.iter().map(|task| (task.key.clone(), task.fate)).collect::<Vec<_>>(),
            [(task.key.clone(), Fate::Lost)]
        );
        assert!(world.store.take_over(world.node, 9, &[world.definition]).await.unwrap().is_empty());
        let fault = plan::Fault::Lost;
        let mut commit = world.commit_of(&head, Input::Failed { attempt: task.key.attempt.clone(), fault });
        commit.done(task.key.attempt.clone());
        let after = world.commit(commit).await;
        // The dead node's result comes after all: refused by its number, and by the fence if it does not know.
        let late = Input::succeeded(&task.key.attempt, "good");
        assert!(matches!(
            transition(&world.flow, &after.state, late, world.now()),
            Err(Refusal::Stale { .. })
        ));
        let blind = world.step(&head, "check", "good", json!("late"));
        assert!(matches!(world.store.commit(vec![blind]).await.unwrap()[0], Committed::Stale));
        let again = world.claim(world.node, "default", 9).await.remove(0);
        assert_eq!(again.key.attempt, body("check", 2));
        // Nothing is in its hands any more: it is forgotten.
        world.store.bury(10 * SECOND).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM wf_nodes").await, 1);
    })
    .await;
}

#[tokio::test]
async fn where_one_process_has_the_database_all_others_are_dead_at_once() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        assert_eq!(world.claim_steps(1).await, ["check"]);
        let other = World::on(world.repo.clone(), "elsewhere", super::support::flow()).await;
        let next = world.store.join("one", Takeover::Everyone).await.unwrap();
        assert_ne!(next, world.node);
        assert_eq!(steps(&world.store.take_over(next, 9, &[world.definition]).await.unwrap()), ["check"]);
        assert!(!world.store.beat(world.node).await.unwrap().alive);
        assert!(other.store.beat(other.node).await.unwrap().alive, "another namespace is not its own");
    })
    .await;
}

#[tokio::test]
async fn a_node_that_leaves_or_gives_back_loses_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        let task = world.claim(world.node, "default", 1).await.remove(0);
        let later = world.now().saturating_add(SECOND);
        let stranger = world.store.join("two", Takeover::Nobody).await.unwrap();
        world.store.release(stranger, std::slice::from_ref(&task.key), world.now()).await.unwrap();
        assert_eq!(
            world.store.leased(world.node).await.unwrap(),
            std::slice::from_ref(&task.key),
            "it was not the stranger's to give"
        );
        world.store.release(world.node, std::slice::from_ref(&task.key), later).await.unwrap();
        assert!(world.claim(world.node, "default", 1).await.is_empty());
        world.clock.advance(SECOND);
        let again = world.claim(world.node, "default", 1).await.remove(0);
        assert_eq!((again.key.clone(), again.fate), (task.key.clone(), Fate::Run));
        world.store.leave(world.node).await.unwrap();
        assert_eq!(steps(&world.claim(stranger, "default", 1).await), ["check"]);
        assert_eq!(world.store.release_all(stranger).await.unwrap(), 1);
        assert_eq!(world.tasks().await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_is_taken_back_is_answered_by_whoever_has_it_or_gets_it() {
    for_each_database(async |database| {
        let flow = Definition::new("undo", 1)
            .node(Node::task("a", ["ok"]).on("ok", ["b", "c"]).compensate("undo_a"))
            .node(Node::task("b", ["ok"]).on("ok", ["meet"]).compensate("undo_b"))
            .node(Node::task("c", ["ok"]).on("ok", ["meet"]).compensate("undo_c"))
            .node(Node::task("meet", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let world = World::of(database, flow).await;
        let head = world.go(&world.begin().await, "a", "ok").await;
        let held = world.claim(world.node, "default", 1).await.remove(0);
        let cancel = Input::Cancel { reason: "enough".into() };
        let mut head = world.commit(world.commit_of(&head, cancel)).await;
        // One is in a worker's hands: its node is told. The other is claimed as one that is not to be run.
        assert_eq!(world.store.beat(world.node).await.unwrap().revoked, std::slice::from_ref(&held.key));
        let found = world.claim(world.node, "default", 9).await.remove(0);
        assert_eq!(found.fate, Fate::Revoked);
        for attempt in [found.key.attempt, held.key.attempt] {
            let answer = Input::Failed { attempt: attempt.clone(), fault: plan::Fault::Withdrawn };
            let mut commit = world.commit_of(&head, answer);
            commit.done(attempt);
            head = world.commit(commit).await;
        }
        let undo = world.claim(world.node, "default", 9).await.remove(0).key.attempt;
        assert_eq!((undo.step.as_str(), undo.part), ("a", Part::Undo));
        let mut commit =
            world.commit_of(&head, Input::Finished { attempt: undo.clone(), output: Value::Null });
        commit.done(undo);
        assert_eq!(world.commit(commit).await.state.status(), Status::Cancelled);
        assert_eq!(world.tasks().await, 0);
    })
    .await;
}

/// A step of a run that goes on alone writes no task: the baton stays where it is, and whoever gets it learns from the run what it stands for.
#[tokio::test]
async fn a_run_that_goes_on_alone_has_one_task_for_all_its_steps() {
    for_each_database(async |database| {
        let chain = ["a", "b", "c"];
        let mut flow = Definition::new("chain", 1);
        for (step, next) in chain.iter().zip(["b", "c", "end"]) {
            flow = flow.node(Node::task(step, ["ok"]).on("ok", [next]));
        }
        let world = World::of(database, flow.done("end").build().unwrap()).await;
        let mut start = world.start_with(Value::Null);
        start.lease = Some(world.node);
        let mut head = world.begin_with(start).await;
        let run = head.meta.run;
        for step in chain {
            assert_eq!((head.baton.clone(), world.tasks().await), (Some(body(step, 1)), 1));
            assert_eq!(world.load(run).await.baton, head.baton);
            assert_eq!(world.store.leased(world.node).await.unwrap(), [TaskKey::baton(run)]);
            if step == "c" {
                break;
            }
            let mut commit = Commit::new(&head, world.now());
            commit.done(body(step, 1));
            commit.lease(world.node);
            commit.push(&world.flow, world.moved(&head, Input::succeeded(&body(step, 1), "ok"))).unwrap();
            head = world.commit(commit).await;
        }
        // Given back in order it is anybody's, dying it is lost: either way it is found by its run.
        world.store.leave(world.node).await.unwrap();
        let next = world.store.join("two", Takeover::Nobody).await.unwrap();
        let claimed = world.claim(next, "default", 9).await.remove(0);
        assert_eq!((claimed.key, claimed.fate), (TaskKey::baton(run), Fate::Run));
        world.silence(next, 60).await;
        world.store.bury(10 * SECOND).await.unwrap();
        let last = world.store.join("three", Takeover::Nobody).await.unwrap();
        let lost = world.store.take_over(last, 9, &[world.definition]).await.unwrap().remove(0);
        assert_eq!((lost.key, lost.fate), (TaskKey::baton(run), Fate::Lost));
        let over = world.go(&world.load(run).await, "c", "ok").await;
        assert_eq!((over.baton, over.state.status(), world.tasks().await), (None, Status::Completed, 0));
    })
    .await;
}

/// What a dead node had claimed and not begun is told from what it had begun, where it was noted.
#[tokio::test]
async fn what_had_begun_is_known_where_it_was_noted() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        for _ in 0..2 {
            world.begin().await;
        }
        let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
        let claimed = world.claim(dying, "default", 2).await;
        let (first, second) = (claimed[0].key.clone(), claimed[1].key.clone());
        let begun = world.store.begin(dying, std::slice::from_ref(&first)).await.unwrap();
        assert_eq!(begun, std::slice::from_ref(&first));
        // Not in its hands: it must not begin.
        assert!(world.store.begin(world.node, std::slice::from_ref(&second)).await.unwrap().is_empty());
        world.silence(dying, 60).await;
        world.store.bury(10 * SECOND).await.unwrap();
        let mut lost = world.store.take_over(world.node, 9, &[world.definition]).await.unwrap();
        lost.sort_by_key(|task| task.key != claimed[0].key);
        assert_eq!(lost.iter().map(|task| task.begun).collect::<Vec<_>>(), [true, false]);
        // The one who was given up finds out when it would begin.
        assert!(world.store.begin(dying, &[second]).await.unwrap().is_empty());
        // Given back, it has not begun.
        world.store.release(world.node, std::slice::from_ref(&first), world.now()).await.unwrap();
        assert!(world.claim(world.node, "default", 9).await.iter().all(|task| !task.begun));
    })
    .await;
}

/// What is taken back is not begun by an heir, even if it is known that it had not begun.
#[tokio::test]
async fn what_was_taken_back_in_a_dead_nodes_hands_is_not_begun_by_its_heir() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
        let task = world.claim(dying, "default", 1).await.remove(0);
        world.commit(world.commit_of(&head, Input::Cancel { reason: "enough".into() })).await;
        world.silence(dying, 60).await;
        world.store.bury(10 * SECOND).await.unwrap();
        let lost = world.store.take_over(world.node, 9, &[world.definition]).await.unwrap().remove(0);
        assert_eq!((lost.key, lost.fate, lost.begun), (task.key, Fate::Lost, true));
    })
    .await;
}

/// A node that stood still for so long that it was forgotten may lease something to itself before it finds out.
#[tokio::test]
async fn what_a_forgotten_node_leased_to_itself_is_found() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let asleep = world.store.join("two", Takeover::Nobody).await.unwrap();
        world.silence(asleep, 60).await;
        world.store.bury(10 * SECOND).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM wf_nodes").await, 1, "nothing was in its hands");
        let mut start = world.start_with(Value::Null);
        start.lease = Some(asleep);
        let head = world.begin_with(start).await;
        assert!(!world.store.beat(asleep).await.unwrap().alive);
        // Those who live keep theirs.
        let mut start = world.start_with(Value::Null);
        start.lease = Some(world.node);
        world.begin_with(start).await;
        let lost = world.store.take_over(world.node, 9, &[world.definition]).await.unwrap();
        assert_eq!(
            lost.iter().map(|task| (task.key.run, task.fate)).collect::<Vec<_>>(),
            [(head.meta.run, Fate::Lost)]
        );
    })
    .await;
}

/// A node that does not know a workflow leaves its tasks to others, also those of dead nodes.
#[tokio::test]
async fn what_was_in_a_dead_nodes_hands_is_left_to_those_who_know_it() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
        world.claim(dying, "default", 1).await;
        world.silence(dying, 60).await;
        world.store.bury(10 * SECOND).await.unwrap();
        assert!(world.store.take_over(world.node, 9, &[]).await.unwrap().is_empty());
        assert_eq!(world.store.take_over(world.node, 9, &[world.definition]).await.unwrap().len(), 1);
    })
    .await;
}
