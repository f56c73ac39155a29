//! Schedules: of all nodes that fire one, one does.

use std::sync::Arc;

use mainstay_core::Timestamp;
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

fn schedule(world: &World, due: Option<Timestamp>) -> Schedule {
    Schedule {
        name: "nightly".into(),
        workflow: "order".into(),
        version: Some(1),
        plan: json!({"cron": "0 2 * * *"}),
        paused: false,
        next_at: due,
        last_at: None,
        updated_at: world.now(),
    }
}

#[tokio::test]
async fn a_schedule_is_fired_once_however_many_try() {
    for_each_database(async |database| {
        let world = Arc::new(World::new(database).await);
        let due = world.now().saturating_add(SECOND);
        let next = due.saturating_add(SECOND * 60);
        let kept = schedule(&world, Some(due));
        world.store.schedule_put(&kept).await.unwrap();
        assert_eq!(world.store.schedules().await.unwrap(), std::slice::from_ref(&kept));
        let due_now = async |name: &str, after: Option<&Schedule>| {
            world.store.schedules_due(world.now(), vec![name.to_owned()], after, 9).await.unwrap()
        };
        assert!(due_now("order", None).await.is_empty());
        assert_eq!(
            world.next_due().await,
            None,
            "schedules are looked after apart, by those that can fire them"
        );
        world.clock.advance(SECOND);
        assert_eq!(due_now("order", None).await, std::slice::from_ref(&kept));
        assert!(due_now("order", Some(&kept)).await.is_empty() && due_now("other", None).await.is_empty());
        let mut nodes = Vec::new();
        for _ in 0..8 {
            let world = Arc::clone(&world);
            nodes.push(tokio::spawn(async move {
                let start = Some((&world.flow, world.keyed("n")));
                world.store.fire("nightly", due, Some(next), start).await.unwrap()
            }));
        }
        let mut began = 0;
        for node in nodes {
            match node.await.unwrap() {
                Fired::Started(started) => began += usize::from(matches!(*started, Started::New(_))),
                Fired::Late => {}
                Fired::Passed => panic!("a start was asked for"),
            }
        }
        assert_eq!(began, 1);
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 1);
        let after = world.store.schedule("nightly").await.unwrap().unwrap();
        assert_eq!((after.next_at, after.last_at), (Some(next), Some(due)));
    })
    .await;
}

#[tokio::test]
async fn a_schedule_moves_on_when_its_run_is_still_active_or_none_is_wanted() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let first = world.begin_with(world.keyed("n")).await.meta.run;
        let due = world.now();
        let next = |at: u32| due.saturating_add(SECOND * at);
        world.store.schedule_put(&schedule(&world, Some(due))).await.unwrap();
        let fire = async |due, next, start| world.store.fire("nightly", due, Some(next), start).await.unwrap();
        let fired = fire(due, next(1), Some((&world.flow, world.keyed("n")))).await;
        assert!(matches!(fired, Fired::Started(started) if matches!(*started, Started::AlreadyActive(run) if run == first)));
        assert!(matches!(fire(due, next(9), None).await, Fired::Late));
        assert!(matches!(fire(next(1), next(2), None).await, Fired::Passed));
        world.store.schedule_pause("nightly", true, Some(next(2)), world.now()).await.unwrap();
        assert!(matches!(fire(next(2), next(3), None).await, Fired::Late));
        assert_eq!(world.next_due().await, None);
        let missing = world.store.schedule_pause("weekly", true, None, world.now()).await.unwrap_err();
        assert_eq!(*missing.kind(), ErrorKind::NotFound);
        assert!(world.store.schedule_remove("nightly").await.unwrap());
        assert!(!world.store.schedule_remove("nightly").await.unwrap());
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 1);
    })
    .await;
}
