//! The handle of operators, on runs of a host whose code it does not have.

use mainstay_core::{Cursor, PageSize};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::World;

impl World {
    fn control(&self) -> Control {
        Control::of(self.store.clone(), std::sync::Arc::clone(&self.clock) as _)
    }
}

#[tokio::test]
async fn a_run_is_seen_as_a_whole() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let head = world.waiting().await;
        let run = head.meta.run;
        world.send(world.signal(run, None, json!(1))).await;
        let view = control.show(run).await.unwrap();
        assert_eq!(view.state, Some(head.state.clone()));
        assert_eq!((view.summary.status, view.unread, view.summary.managed), (Status::Waiting, 1, true));
        assert_eq!(view.awaited.len(), 1);
        assert!(matches!(view.outstanding[..], [Effect::SetTimer { .. }]));
        assert_eq!(view.context["initial"], json!({"order": 123}));
        let svg = control.picture(run, Picture::Svg).await.unwrap();
        assert_eq!(svg, render::svg(&world.flow, Some(&head.state)));
        let (status, seq) = control.position(run).await.unwrap();
        assert_eq!(status, Status::Waiting);
        world.read_mail(run).await;
        let after = control.position(run).await.unwrap();
        assert!(after.1 > seq && after.0 == Status::Completed);

        let (mut records, mut next) = (Vec::new(), None::<Cursor>);
        loop {
            let page = control.history(run, PageSize::clamped(4), next.as_ref()).await.unwrap();
            assert!(page.items.len() <= 4);
            records.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(records, world.store.histories(&[run]).await.unwrap().remove(0).1);
        let nowhere: RunId = "run_0000000000001".parse().unwrap();
        assert_eq!(*control.show(nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            *control.history(nowhere, PageSize::DEFAULT, None).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(*control.position(nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn runs_are_started_and_steered_from_outside() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let run = control.start(StartRequest::new("order", json!({"order": 9})).priority(3)).await.unwrap();
        let task = world.claim(world.node, "default", 9).await.remove(0);
        assert_eq!(task.key.run, run);
        assert_eq!(
            *control.start(StartRequest::new("nope", json!(1))).await.unwrap_err().kind(),
            ErrorKind::UnknownWorkflow
        );
        let version = StartRequest::new("order", json!(1)).version(9);
        assert_eq!(*control.start(version).await.unwrap_err().kind(), ErrorKind::UnknownVersion);
        control.pause(run).await.unwrap();
        assert_eq!(world.read_mail(run).await.state.status(), Status::Paused);
        control.resume(run).await.unwrap();
        assert_eq!(world.read_mail(run).await.state.status(), Status::Running);
        assert!(control.signal(run, "answer", json!(1), Some("id")).await.unwrap());
        assert!(!control.signal(run, "answer", json!(1), Some("id")).await.unwrap());
        control.cancel(run, "enough").await.unwrap();
        assert_eq!(world.read_mail(run).await.state.status(), Status::Cancelled);
        assert_eq!(*control.cancel(run, "again").await.unwrap_err().kind(), ErrorKind::Ended);
        assert_eq!(control.get(run).await.unwrap().summary.reason.as_deref(), Some("enough"));

        let other = world.begin().await.meta.run;
        control.pause_workflow(Some("order")).await.unwrap();
        let listed = control.workflows().await.unwrap();
        assert_eq!(
            (listed[0].name.as_str(), &listed[0].versions[..], listed[0].paused),
            ("order", &[1][..], true)
        );
        let counts = [(Status::Running, 1), (Status::Cancelled, 1)];
        assert_eq!(listed[0].runs, counts.into_iter().collect());
        assert_eq!(control.workflow("order", None).await.unwrap().fingerprint(), world.flow.fingerprint());
        assert_eq!(control.nodes().await.unwrap()[0].tasks, 1);
        assert_eq!(*control.delete(other).await.unwrap_err().kind(), ErrorKind::Active);
        assert!(control.delete(run).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_ended_run_is_done_again_under_its_key() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let mut start = world.keyed("a");
        start.attributes = json!({"tenant": "t"});
        start.lane.priority = 7;
        let head = world.begin_with(start).await;
        let run = head.meta.run;
        assert_eq!(*control.retry(run).await.unwrap_err().kind(), ErrorKind::Active);
        let head = world.commit(world.step(&head, "check", "good", json!({"score": 7}))).await;
        world.commit(world.commit_of(&head, Input::Cancel { reason: "enough".into() })).await;

        let again = control.retry(run).await.unwrap();
        assert_ne!(again, run);
        let view = control.show(again).await.unwrap();
        assert_eq!((view.summary.key.as_deref(), view.summary.priority), (Some("orderid::a"), 7));
        assert_eq!(view.context["steps"]["check"], json!({"score": 7}), "what ended stays done");
        assert_eq!(view.context["initial"], json!({"order": "a"}));
        assert_eq!(view.context["attributes"], json!({"tenant": "t"}));
        let claimed = world.claim(world.node, "default", 9).await;
        let (of_new, of_old): (Vec<Claimed>, Vec<Claimed>) = claimed.into_iter().partition(|task| task.key.run == again);
        assert!(of_old.iter().all(|task| task.fate == Fate::Revoked));
        let mut tasks = super::support::steps(&of_new);
        tasks.sort();
        assert_eq!(tasks, ["charge", "pack"]);
        assert!(matches!(control.retry(run).await.unwrap_err().kind(), ErrorKind::AlreadyRunning { run } if *run == again));
        let live = world.load(again).await;
        world.commit(world.commit_of(&live, Input::Cancel { reason: "enough".into() })).await;
        let forked = control.fork(run, &"check".into()).await.unwrap();
        assert_eq!(control.get(forked).await.unwrap().context["steps"], json!({}));
        let never = control.fork(again, &"meet".into()).await.unwrap_err();
        assert!(matches!(never.kind(), ErrorKind::Refused(Refusal::NotReached { .. })), "{never:?}");
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_empty_and_is_not_made() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        let control = Control::open(&world.repo, "tpyo").await.unwrap();
        let page = control.list(&Filter::new(), Order::Newest, PageSize::DEFAULT, None).await.unwrap();
        assert!(page.items.is_empty() && control.workflows().await.unwrap().is_empty());
        assert_eq!(*control.pause_workflow(None).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            *control.queue_set("q", QueueLimits::default()).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(world.count("SELECT count(*) FROM wf_namespaces").await, 1);
    })
    .await;
}
