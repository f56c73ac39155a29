//! Limits of queues, and workflows that are held back.

use std::time::Duration;

use mainstay_repo::{Sql, Statement};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::Value;

use super::support::{SECOND, World, steps};

impl World {
    async fn fill(&self, count: usize) {
        let starts = (0..count).map(|_| self.start_with(Value::Null)).collect();
        self.store.start(&self.flow, starts).await.unwrap();
    }

    async fn claimed(&self, count: u32) -> usize {
        self.claim(self.node, "default", count).await.len()
    }
}

#[tokio::test]
async fn concurrency_holds_across_nodes() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(10).await;
        let limits = |concurrency| QueueLimits { concurrency, ..QueueLimits::default() };
        world.store.queue_set("default", limits(Some(3))).await.unwrap();
        let other = world.store.join("two", Takeover::Nobody).await.unwrap();
        let first = world.claim(world.node, "default", 2).await;
        assert_eq!(first.len(), 2);
        assert_eq!(world.claim(other, "default", 9).await.len(), 1);
        assert_eq!(world.claimed(9).await, 0);
        world.store.settle(&[first[0].key.clone()], &[]).await.unwrap();
        assert_eq!(world.claimed(9).await, 1);
        let held = QueueLimits { paused: true, ..QueueLimits::default() };
        world.store.queue_set("default", held).await.unwrap();
        world.store.settle(&[first[1].key.clone()], &[]).await.unwrap();
        assert_eq!(world.claimed(9).await, 0);
        world.store.queue_set("default", limits(None)).await.unwrap();
        assert_eq!(world.claimed(2).await, 2);
        let queue = world.store.queues().await.unwrap().remove(0);
        assert_eq!((queue.name.as_str(), queue.ready, queue.leased), ("default", 4, 4));
        assert!(world.store.queue_remove("default").await.unwrap());
        assert!(!world.store.queue_remove("default").await.unwrap());
        assert_eq!(world.claimed(9).await, 4);
    })
    .await;
}

#[tokio::test]
async fn a_rate_lets_a_burst_through_and_then_spreads() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(30).await;
        let rate = Some(Rate { count: 4, per: SECOND * 2 });
        world.store.queue_set("default", QueueLimits { rate, ..QueueLimits::default() }).await.unwrap();
        assert_eq!(world.claimed(3).await, 3);
        assert_eq!(world.claimed(9).await, 1);
        assert_eq!(world.claimed(9).await, 0);
        world.clock.advance(Duration::from_millis(499));
        assert_eq!(world.claimed(9).await, 0);
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.claimed(9).await, 1);
        world.clock.advance(SECOND);
        assert_eq!(world.claimed(9).await, 2);
        world.clock.advance(SECOND * 100);
        assert_eq!(world.claimed(9).await, 4, "no more than one period's worth is saved up");
        for (count, per) in [(0, SECOND), (2, Duration::from_micros(1)), (1, MAX_RATE_PERIOD + SECOND)] {
            let rate = Some(Rate { count, per });
            let refused = world.store.queue_set("q", QueueLimits { rate, ..QueueLimits::default() }).await;
            assert_eq!(*refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let most = Some(Rate { count: 1, per: MAX_RATE_PERIOD });
        world.store.queue_set("q", QueueLimits { rate: most, ..QueueLimits::default() }).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_rate_is_drawn_by_what_is_begun() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(3).await;
        let other = Definition::new("other", 1)
            .node(Node::task("x", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let its = World::on(world.repo.clone(), "tests", other).await;
        its.fill(9).await;
        let rate = Some(Rate { count: 4, per: SECOND * 2 });
        world.store.queue_set("default", QueueLimits { rate, ..QueueLimits::default() }).await.unwrap();
        // A node that knows none of what is ready takes nothing from those that do.
        let none = Claim { node: world.node, now: world.now(), queues: &[("default", 9)], definitions: &[] };
        assert!(world.store.claim(&none).await.unwrap().is_empty());
        // Nor does what is set aside, because its workflow is paused.
        world.store.pause_workflow(Some("order"), world.now()).await.unwrap();
        let both = [world.definition, its.definition];
        let claim = async |count| {
            let claim = Claim {
                node: world.node,
                now: world.now(),
                queues: &[("default", count)],
                definitions: &both,
            };
            world.store.claim(&claim).await.unwrap().len()
        };
        assert_eq!(claim(2).await, 2);
        assert_eq!(claim(9).await, 2, "a burst of four, and no more");
        assert_eq!(claim(9).await, 0);
        world.clock.advance(SECOND);
        assert_eq!(claim(9).await, 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_taken_back_is_answered_whatever_its_queue_allows() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(30).await;
        let first = world.begin().await;
        let second = world.begin().await;
        let none = QueueLimits { paused: true, ..QueueLimits::default() };
        world.store.queue_set("default", none).await.unwrap();
        let enough = Input::Cancel { reason: "enough".into() };
        world.commit(world.commit_of(&first, enough.clone())).await;
        let claimed = world.claim(world.node, "default", 9).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].key.run, claimed[0].fate), (first.meta.run, Fate::Revoked));
        // A full queue, and a rate that is used up, hold it as little, and it takes nothing of theirs.
        let rate = Some(Rate { count: 1, per: MAX_RATE_PERIOD });
        let full = QueueLimits { concurrency: Some(2), rate, paused: false };
        world.store.queue_set("default", full).await.unwrap();
        assert_eq!(world.claimed(9).await, 1);
        assert_eq!(world.claimed(9).await, 0);
        world.commit(world.commit_of(&second, enough)).await;
        let claimed = world.claim(world.node, "default", 9).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].key.run, claimed[0].fate), (second.meta.run, Fate::Revoked));
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_out() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(2).await;
        let paused = |paused| QueueLimits { paused, ..QueueLimits::default() };
        world.store.queue_set("default", paused(true)).await.unwrap();
        assert_eq!(world.claimed(9).await, 0);
        world.store.queue_set("default", paused(false)).await.unwrap();
        assert_eq!(world.claimed(9).await, 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_held_back_does_not_stand_in_the_way() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(30).await;
        let other = Definition::new("other", 1)
            .node(Node::task("x", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let its = World::on(world.repo.clone(), "tests", other).await;
        its.fill(1).await;
        world.store.pause_workflow(Some("order"), world.now()).await.unwrap();
        world.store.pause_workflow(Some("order"), world.now()).await.unwrap();
        assert_eq!(
            world.store.pauses().await.unwrap(),
            [Pause { workflow: Some("order".into()), since: world.now() }]
        );
        let both = [world.definition, its.definition];
        let claim =
            Claim { node: world.node, now: world.now(), queues: &[("default", 5)], definitions: &both };
        assert_eq!(steps(&world.store.claim(&claim).await.unwrap()), ["x"]);
        assert!(world.store.claim(&claim).await.unwrap().is_empty());
        world.store.pause_workflow(None, world.now()).await.unwrap();
        assert!(world.store.resume_workflow(Some("order")).await.unwrap());
        assert!(!world.store.resume_workflow(Some("order")).await.unwrap());
        assert!(world.store.claim(&claim).await.unwrap().is_empty(), "everything is still held back");
        assert!(world.store.resume_workflow(None).await.unwrap());
        assert_eq!(world.claimed(99).await, 30);
        assert!(world.store.pauses().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_was_set_aside_too_late_comes_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.fill(3).await;
        world.store.pause_workflow(None, world.now()).await.unwrap();
        assert_eq!(world.claimed(9).await, 0);
        assert_eq!(world.count("SELECT count(*) FROM wf_tasks WHERE state = 3").await, 3);
        assert_eq!(world.store.come_back().await.unwrap(), 0, "they are held back");
        // A claim that read the flag before it went, and set aside after those who resumed had looked, leaves this behind.
        world.repo.write(Statement::new("DELETE FROM wf_pauses")).await.unwrap();
        assert_eq!(world.claimed(9).await, 0);
        assert_eq!(world.store.come_back().await.unwrap(), 3);
        assert_eq!(world.claimed(9).await, 3);
        assert_eq!(world.store.come_back().await.unwrap(), 0);
    })
    .await;
}

/// A list of queues costs the queues, not what stands in them.
#[tokio::test]
async fn what_stands_in_a_queue_is_counted_as_far_as_the_bound() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        world.claim(world.node, "default", 1).await;
        let fill = |from: u32, to: u32| {
            format!(
                "WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
                 INSERT INTO wf_tasks (run_id, step, part, number, namespace_id, definition_id, state, ready_at, queue, priority, rank) \
                 SELECT n.i, 's', -1, 1, namespace_id, definition_id, 1, ready_at, 'mail', 0, n.i FROM wf_tasks CROSS JOIN n WHERE state = 2"
            )
        };
        let counts = async || {
            let queues = world.store.queues().await.unwrap();
            queues.into_iter().map(|queue| (queue.name, queue.ready, queue.leased)).collect::<Vec<_>>()
        };
        let most = u64::from(MAX_COUNTED);
        for (from, to, ready) in [(1, MAX_COUNTED, most), (MAX_COUNTED + 1, MAX_COUNTED + 20, most + 1)] {
            let fill = fill(from, to);
            world.repo.write(Statement::new(Sql::dynamic(fill.clone(), fill))).await.unwrap();
            assert_eq!(counts().await, [("default".to_owned(), 0, 1), ("mail".to_owned(), ready, 0)]);
        }
    })
    .await;
}
