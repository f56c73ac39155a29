//! The handle of operators, on runs of a host whose code it does not have.

use mainstay_core::{Cursor, PageSize};
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

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

#[tokio::test]
async fn a_context_is_shown_up_to_its_limit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let mut run = world.store.get(world.begin().await.meta.run).await.unwrap();
        run.summary.run = world.store.next_run_id(world.now());
        run.summary.managed = false;
        let id = run.summary.run;
        let full: Vec<String> = (0..16).map(|_| "x".repeat(MAX_OUTPUT_BYTES - 1_024)).collect();
        let put = async |rest: usize| {
            let mut run = run.clone();
            let mut steps: serde_json::Map<_, _> =
                full.iter().enumerate().map(|(at, text)| (format!("s{at}"), json!(text))).collect();
            steps.insert("rest".into(), json!("x".repeat(rest)));
            run.context = json!({ "initial": null, "steps": steps });
            world.store.put(&run).await.unwrap();
            let view = control.show(id).await.unwrap();
            assert_eq!(control.outline(id).await.unwrap().context, json!(null));
            (view.context_bytes, view.context.is_null())
        };
        let (bytes, hidden) = put(0).await;
        assert!(!hidden);
        let left = usize::try_from(MAX_SHOWN_BYTES - bytes).unwrap();
        assert_eq!(put(left).await, (MAX_SHOWN_BYTES, false));
        assert_eq!(put(left + 1).await, (MAX_SHOWN_BYTES + 1, true));
        let whole = control.get(id).await.unwrap();
        assert_eq!(whole.context["steps"]["rest"].as_str().unwrap().len(), left + 1);
    })
    .await;
}

#[tokio::test]
async fn a_line_of_time_needs_no_results() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let run = world.waiting().await.meta.run;
        let whole = control.history(run, PageSize::DEFAULT, None).await.unwrap();
        let line = control.beginning(run, PageSize::DEFAULT).await.unwrap();
        let places = |page: &mainstay_core::Page<Record>| -> Vec<(u64, String)> {
            page.items
                .iter()
                .map(|record| (record.seq, format!("{:?}", std::mem::discriminant(&record.fact))))
                .collect()
        };
        assert_eq!(places(&line), places(&whole));
        assert_ne!(line.items, whole.items, "the input and the results are left out");
        let first = control.beginning(run, PageSize::clamped(2)).await.unwrap();
        assert_eq!((first.items.len(), first.next.is_some()), (2, true));
        let nowhere: RunId = "run_0000000000001".parse().unwrap();
        assert_eq!(
            *control.beginning(nowhere, PageSize::DEFAULT).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    })
    .await;
}

/// Nobody would ever read what is sent to a run that came from elsewhere, so its sender is told.
#[tokio::test]
async fn what_is_asked_of_a_run_from_elsewhere_is_refused() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.control();
        let mut foreign = control.get(world.begin().await.meta.run).await.unwrap();
        foreign.summary.managed = false;
        foreign.summary.status = Status::Paused;
        foreign.summary.run = world.store.next_run_id(world.now());
        let run = world.store.put(&foreign).await.unwrap().summary.run;
        for refused in [
            control.cancel(run, "enough").await,
            control.pause(run).await,
            control.resume(run).await,
            control.signal(run, "answer", json!(1), None).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(*refused.kind(), ErrorKind::Foreign);
            assert!(refused.to_string().contains("came from elsewhere"), "{refused}");
        }
        assert_eq!(world.count("SELECT count(*) FROM wf_mail").await, 0);
        assert!(control.delete(run).await.unwrap());
    })
    .await;
}

/// What begins by hand is the version that the host's own starts get.
#[tokio::test]
async fn a_start_that_names_no_version_gets_the_current_one() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let flow = |version| {
            Definition::new("parcel", version)
                .node(Node::task("pack", ["ok"]).on("ok", ["end"]))
                .done("end")
                .build()
                .unwrap()
        };
        let handlers = || Handlers::new().handler("pack", async |_cx| Ok("ok".into()));
        let deploy = async |versions: &[u32], current: Option<u32>| {
            let mut engine = Engine::builder(world.repo.clone()).namespace("parcels");
            for version in versions {
                engine = engine.workflow(flow(*version), handlers());
            }
            let engine =
                current.into_iter().fold(engine, |engine, version| engine.current("parcel", version));
            let engine = engine.start().await.unwrap();
            let run = engine.control().start(StartRequest::new("parcel", json!(1))).await.unwrap();
            let version = engine.control().get(run).await.unwrap().summary.version;
            engine.stop().await;
            version
        };
        assert_eq!(deploy(&[1, 2], Some(1)).await, 1);
        assert_eq!(deploy(&[1, 2], None).await, 2);
        assert_eq!(deploy(&[1], None).await, 1, "version 2 was taken back, and no node has it");
    })
    .await;
}

/// A content that changed under its number would leave the runs of before to nobody; where there are none it takes the place.
#[tokio::test]
async fn a_version_with_another_content_does_not_start_while_somebody_needs_the_one_before() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.store.leave(world.node).await.unwrap();
        let flow = |seconds| {
            Definition::new("parcel", 1)
                .node(Node::task("pack", ["ok"]).timeout(SECOND * seconds).on("ok", ["hear"]))
                .node(Node::wait("hear").signal("answer", "got").on("got", ["end"]))
                .done("end")
                .build()
                .unwrap()
        };
        let handlers = || Handlers::new().handler("pack", async |_cx| Ok("ok".into()));
        let engine =
            |seconds| Engine::builder(world.repo.clone()).workflow(flow(seconds), handlers()).start();
        let first = engine(30).await.unwrap();
        let run = first.start(StartRequest::new("parcel", json!(1))).await.unwrap();
        first.stop().await;
        let refused = engine(60).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::OtherGraph);
        for part in [
            "parcel v1",
            "timeout_ms of the step pack",
            "an open run is pinned",
            "the next version",
            "end these runs with the application as it was",
        ] {
            assert!(refused.to_string().contains(part), "{part}: {refused}");
        }
        let again = engine(30).await.unwrap();
        again.signal(run, "answer", json!(1)).await.unwrap();
        tokio::time::timeout(SECOND * 30, again.wait(run)).await.unwrap().unwrap();
        if world.repo.dialect() == mainstay_repo::Dialect::Postgres {
            let refused = engine(60).await.unwrap_err();
            assert_eq!(*refused.kind(), ErrorKind::OtherGraph);
            assert!(refused.to_string().contains("end these nodes"), "{refused}");
        }
        again.stop().await;
        let changed = engine(60).await.unwrap();
        let run = changed.start(StartRequest::new("parcel", json!(1))).await.unwrap();
        // A second node of the new content is welcome, one of the old one is not.
        if world.repo.dialect() == mainstay_repo::Dialect::Postgres {
            engine(60).await.unwrap().stop().await;
        }
        changed.stop().await;
        assert_eq!(*engine(30).await.unwrap_err().kind(), ErrorKind::OtherGraph, "{run} is open");
    })
    .await;
}

/// What nobody works with any more is not begun, neither by hand nor again.
#[tokio::test]
async fn a_content_that_was_replaced_begins_no_run() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.store.leave(world.node).await.unwrap();
        let control = world.control();
        let head = world.begin().await;
        let ended = world.commit(world.commit_of(&head, Input::Cancel { reason: "wrong".into() })).await;
        assert_eq!(ended.state.status(), Status::Cancelled);
        let other =
            Definition::new("order", 1).node(Node::task("check", ["good"]).on("good", ["end"])).done("end");
        let other = other.build().unwrap();
        let second = world.store.define(&other, world.now()).await.unwrap();
        assert_ne!(second, world.definition);
        let pinned = async |run| world.store.definition_of(run).await.unwrap().unwrap().id;
        let run = control.start(StartRequest::new("order", json!(1))).await.unwrap();
        assert_eq!(pinned(run).await, second);
        for refused in
            [control.retry(ended.meta.run).await, control.fork(ended.meta.run, &"check".into()).await]
        {
            assert_eq!(*refused.unwrap_err().kind(), ErrorKind::OtherGraph);
        }
        world
            .store
            .commit(vec![{
                let head = world.store.load(&[run]).await.unwrap().remove(0).head(&other).unwrap();
                let mut commit = Commit::new(&head, world.now());
                let input = Input::Succeeded {
                    attempt: super::support::body("check", 1),
                    event: "good".into(),
                    targets: Vec::new(),
                    output: json!(1),
                };
                commit.push(&other, transition(&other, &head.state, input, world.now()).unwrap()).unwrap();
                commit
            }])
            .await
            .unwrap();
        // Back to the content of before, whose row is the older one.
        assert_eq!(world.store.define(&world.flow, world.now()).await.unwrap(), world.definition);
        for version in [None, Some(1)] {
            let mut request = StartRequest::new("order", json!(1));
            if let Some(version) = version {
                request = request.version(version);
            }
            assert_eq!(pinned(control.start(request).await.unwrap()).await, world.definition, "{version:?}");
        }
        control.retry(ended.meta.run).await.unwrap();
    })
    .await;
}
