//! Search: what is found, in which order, a page at a time.

use mainstay_core::{Cursor, PageSize, Timestamp};
use mainstay_repo::{Row, Statement};
use mainstay_testkit::{TestDatabase, for_each_database};
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

use super::support::{SECOND, World};

impl World {
    async fn find(&self, filter: Filter) -> Vec<RunId> {
        let page = self.store.list(&filter, Order::Oldest, PageSize::clamped(100), None).await.unwrap();
        assert!(page.next.is_none());
        page.items.iter().map(|run| run.run).collect()
    }

    async fn with(&self, name: &str, version: u32, input: Value) -> RunId {
        let flow = Definition::new(name, version)
            .node(Node::task("a", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let definition = self.store.define(&flow, self.now()).await.unwrap();
        let mut start = self.start_with(Value::Null);
        start.definition = definition;
        start.transition = mainstay_workflow::start(&flow, input, 1, self.now()).unwrap();
        start.business_key = Some(format!("orderid::{name}{version}").replace('.', ""));
        start.attributes = json!({"tenant": name});
        match self.store.start(&flow, vec![start]).await.unwrap().remove(0) {
            Started::New(head) => head.meta.run,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_condition_narrows_and_all_have_to_hold() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let a1 = world.with("pay.card", 1, json!({"order_id": 123, "vip": true})).await;
        let a2 = world.with("pay.card", 2, json!({"order_id": 123.0, "vip": false})).await;
        let b = world.with("pay.cash", 1, json!({"order_id": "123", "deep": {"er": {"x": 1.5}}})).await;
        let c = world.with("pay_card", 1, json!({"order_id": 124})).await;
        let d = world.with("pay%", 1, json!(7)).await;
        let all = [a1, a2, b, c, d];
        let f = Filter::new;
        assert_eq!(world.find(f()).await, all);
        assert_eq!(world.find(f().workflow("pay.card")).await, [a1, a2]);
        assert_eq!(world.find(f().workflow("pay.card").workflow_version(2)).await, [a2]);
        assert_eq!(world.find(f().workflow_version(1)).await, [a1, b, c, d]);
        assert_eq!(world.find(f().workflow_family("pay.")).await, [a1, a2, b]);
        assert_eq!(world.find(f().workflow_family("pay_")).await, [c], "no sign stands for others");
        assert_eq!(world.find(f().workflow_family("pay%")).await, [d]);
        assert_eq!(world.find(f().workflow_family("zzz")).await, []);
        assert_eq!(world.find(f().id("orderid::paycard1")).await, [a1]);
        assert_eq!(world.find(f().id("orderid::pay")).await, []);
        assert_eq!(world.find(f().id(&b.to_string())).await, [b]);
        assert_eq!(world.find(f().status(Status::Running)).await, all);
        assert_eq!(world.find(f().status_in([Status::Failed, Status::Completed])).await, []);
        assert_eq!(world.find(f().status_in([])).await, []);
        assert_eq!(world.find(f().status(Status::Running).status_in([Status::Failed])).await, []);
        let by = |path: &str, value: Value| f().context(path, value).unwrap();
        assert_eq!(world.find(by("context.initial.order_id", json!(123))).await, [a1, a2]);
        assert_eq!(world.find(by("initial.order_id", json!("123"))).await, [b]);
        assert_eq!(world.find(by("initial.vip", json!(true))).await, [a1]);
        assert_eq!(world.find(by("initial.deep.er.x", json!(1.5))).await, [b]);
        assert_eq!(world.find(by("initial.deep.er.x", json!(1))).await, []);
        assert_eq!(world.find(by("attributes.tenant", json!("pay%"))).await, [d]);
        let both =
            by("initial.order_id", json!(123)).context("attributes.tenant", json!("pay.card")).unwrap();
        assert_eq!(world.find(both.clone()).await, [a1, a2]);
        assert_eq!(
            world.find(both.workflow_version(1).workflow_family("pay.").status(Status::Running)).await,
            [a1]
        );
    })
    .await;
}

/// A document with more scalars than the index takes is found all the same.
#[tokio::test]
async fn a_document_of_any_shape_is_found() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let wide: serde_json::Map<String, Value> =
            (0..3_000).map(|at| (format!("k{at}"), json!(at))).collect();
        let run = world.with("wide", 1, Value::Object(wide)).await;
        world.with("other", 1, json!({"k2999": 1})).await;
        assert_eq!(world.find(Filter::new().context("initial.k2999", json!(2_999)).unwrap()).await, [run]);
    })
    .await;
}

#[tokio::test]
async fn pages_follow_one_another_in_both_orders() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut runs = Vec::new();
        for _ in 0..7 {
            runs.push(world.begin().await.meta.run);
            world.clock.advance(SECOND);
        }
        for order in [Order::Oldest, Order::Newest] {
            let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
            loop {
                let size = PageSize::clamped(3);
                let page = world.store.list(&Filter::new(), order, size, after.as_ref()).await.unwrap();
                seen.extend(page.items.iter().map(|run| run.run));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            let mut expected = runs.clone();
            if order == Order::Newest {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
        let since = world.now().saturating_sub(SECOND * 3);
        assert_eq!(world.find(Filter::new().since(since)).await, runs[4..]);
        assert_eq!(world.find(Filter::new().until(since)).await, runs[..4]);
        let wrong = Cursor::new("1");
        let error = world
            .store
            .list(&Filter::new(), Order::Newest, PageSize::DEFAULT, Some(&wrong))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    })
    .await;
}

#[tokio::test]
async fn what_is_put_is_got_and_replaced_and_deleted() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let live = world.begin().await.meta.run;
        let mut foreign = world.store.get(live).await.unwrap();
        assert_eq!(foreign.context, json!({"initial": {"order": 123}, "steps": {}}));
        assert_eq!(*world.store.put(&foreign).await.unwrap_err().kind(), ErrorKind::Managed);
        assert_eq!(*world.store.delete(live).await.unwrap_err().kind(), ErrorKind::Active);

        foreign.summary.run = world.store.next_run_id(world.now());
        foreign.summary.managed = false;
        foreign.summary.key = Some("orderid::old".into());
        foreign.summary.status = Status::Waiting;
        foreign.context = json!({"initial": {"n": 1}, "steps": {"a": {"x": 1}, "b": [true]}, "attributes": {"t": "u"}, "result": "r"});
        let run = foreign.summary.run;
        assert_eq!(world.store.put(&foreign).await.unwrap(), foreign);
        assert_eq!(world.find(Filter::new().context("initial.n", json!(1)).unwrap()).await, [run]);
        foreign.summary.status = Status::Failed;
        foreign.summary.reason = Some("why".into());
        foreign.summary.version = 9;
        foreign.summary.updated_at = world.now().saturating_add(SECOND);
        foreign.summary.ended_at = Some(foreign.summary.updated_at);
        foreign.context = json!({"initial": {"n": 2}, "steps": {"c": 1}});
        assert_eq!(world.store.put(&foreign).await.unwrap(), foreign);
        assert_eq!(world.find(Filter::new().context("initial.n", json!(1)).unwrap()).await, []);
        assert_eq!(world.find(Filter::new().context("initial.n", json!(2)).unwrap()).await, [run]);
        assert_eq!(world.find(Filter::new().id("orderid::old").workflow_version(9)).await, [run]);
        // No engine takes it up.
        assert!(world.store.load(&[run]).await.unwrap().is_empty());
        assert!(world.store.delete(run).await.unwrap());
        assert!(!world.store.delete(run).await.unwrap());
        assert_eq!(*world.store.get(run).await.unwrap_err().kind(), ErrorKind::NotFound);
        for table in ["wf_contexts", "wf_outputs"] {
            let sql: &'static str = if table == "wf_contexts" { "SELECT count(*) FROM wf_contexts" } else { "SELECT count(*) FROM wf_outputs" };
            assert_eq!(world.count(sql).await, i64::from(table == "wf_contexts"), "{table}");
        }
        foreign.context = json!({"initial": 1, "other": 2});
        assert_eq!(*world.store.put(&foreign).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    })
    .await;
}

/// Documents that are written at once are all there, and whoever reads meanwhile reads nothing or all of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_puts_at_once_are_kept_and_read_whole() {
    for_each_database(async |database| {
        let world = std::sync::Arc::new(World::new(database).await);
        let mut shared = world.store.get(world.begin().await.meta.run).await.unwrap();
        shared.summary.managed = false;
        shared.summary.run = world.store.next_run_id(world.now());
        let hot = shared.summary.run;
        let (mut tasks, mut runs) = (Vec::new(), Vec::new());
        for n in 0..48 {
            let (world, mut one, mut same) = (std::sync::Arc::clone(&world), shared.clone(), shared.clone());
            one.summary.run = world.store.next_run_id(world.now());
            one.context = json!({"initial": {"n": n}, "steps": {}});
            same.context = json!({"initial": {"n": n}, "steps": {"a": n}});
            runs.push(one.summary.run);
            tasks.push(tokio::spawn(async move {
                assert_eq!(world.store.put(&one).await.unwrap(), one);
                world.store.put(&same).await.unwrap();
                let read = world.store.get(hot).await.unwrap().context;
                assert_eq!(read["initial"]["n"], read["steps"]["a"], "of one writer: {read}");
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for (n, run) in runs.iter().enumerate() {
            assert_eq!(world.store.get(*run).await.unwrap().context["initial"]["n"], json!(n));
            let found = world.find(Filter::new().context("initial.n", json!(n)).unwrap()).await;
            assert!(found.contains(run), "{n}: {found:?}");
        }
        assert_eq!(world.find(Filter::new()).await.len(), 50);
    })
    .await;
}

/// O4: every status there is can be kept, and what is answered is what is stored.
#[tokio::test]
async fn o04_every_status_is_kept() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut foreign = world.store.get(world.begin().await.meta.run).await.unwrap();
        foreign.summary.managed = false;
        for status in [
            Status::Running,
            Status::Waiting,
            Status::Paused,
            Status::Stopping,
            Status::Completed,
            Status::Failed,
            Status::Cancelled,
        ] {
            foreign.summary.run = world.store.next_run_id(world.now());
            foreign.summary.status = status;
            let ended = matches!(status, Status::Completed | Status::Failed | Status::Cancelled);
            foreign.summary.ended_at = ended.then(|| world.now());
            assert_eq!(world.store.put(&foreign).await.unwrap(), foreign);
            assert!(world.find(Filter::new().status(status)).await.contains(&foreign.summary.run));
        }
        // An ended run without an end is refused, and not swallowed.
        foreign.summary.ended_at = None;
        let refused = world.store.put(&foreign).await.unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::Database(mainstay_repo::ErrorKind::Constraint { .. })),
            "{refused:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_ended_long_ago_goes_portion_by_portion_and_leaves_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut ended = Vec::new();
        for _ in 0..5 {
            let head = world.begin().await;
            world.send(world.signal(head.meta.run, Some("s"), json!(1))).await;
            world.send(world.signal(head.meta.run, None, json!(1))).await;
            ended.push(world.commit(world.step(&head, "check", "bad", json!({"r": 1}))).await.meta.run);
        }
        let old = world.waiting().await;
        world.clock.advance(SECOND * 100);
        let cutoff = world.now();
        world.clock.advance(SECOND);
        let late = world.commit(world.commit_of(&old, Input::Cancel { reason: "late".into() })).await;
        let live = world.begin().await;
        assert_eq!(world.store.prune(cutoff, 2).await.unwrap(), 2);
        assert_eq!(world.store.prune(cutoff, 1_000_000).await.unwrap(), 3);
        assert_eq!(world.store.prune(cutoff, 9).await.unwrap(), 0);
        assert_eq!(world.find(Filter::new()).await, [late.meta.run, live.meta.run]);
        assert_eq!(world.count("SELECT count(*) FROM wf_mail").await, 0);
        assert_eq!(world.count("SELECT count(DISTINCT run_id) FROM wf_history").await, 2);
        assert_eq!(world.count("SELECT count(*) FROM wf_outputs").await, 0);
        assert_eq!(world.count("SELECT count(*) FROM wf_contexts").await, 2);
        if world.repo.dialect() == mainstay_repo::Dialect::Sqlite {
            assert_eq!(world.count("SELECT count(DISTINCT run_id) FROM wf_terms").await, 2);
        }
        assert_eq!(world.load(live.meta.run).await.state, live.state);
    })
    .await;
}

/// A run that came from elsewhere goes by its end: its identifier says nothing of when that was.
#[tokio::test]
async fn what_ended_elsewhere_long_ago_goes_first() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let own = world.go(&head, "check", "bad").await.meta.run;
        world.clock.advance(SECOND);
        let mut foreign = world.store.get(own).await.unwrap();
        foreign.summary.managed = false;
        let mut put = async |ended_at: Timestamp| {
            foreign.summary.run = world.store.next_run_id(world.now());
            foreign.summary.created_at = ended_at.saturating_sub(SECOND);
            foreign.summary.ended_at = Some(ended_at);
            world.store.put(&foreign).await.unwrap().summary.run
        };
        let years = SECOND * 86_400 * 365;
        let (old, older) =
            (put(world.now().saturating_sub(years)).await, put(world.now().saturating_sub(years * 2)).await);
        assert_eq!(
            world.store.prune_own(world.now().saturating_sub(SECOND), 9).await.unwrap(),
            0,
            "retention is the engine's"
        );
        let young = put(world.now()).await;
        assert_eq!(world.store.prune(world.now().saturating_sub(SECOND * 60), 1).await.unwrap(), 1);
        assert_eq!(world.find(Filter::new()).await, [own, old, young], "{older} went first");
        assert_eq!(world.store.prune(world.now().saturating_sub(SECOND * 60), 9).await.unwrap(), 1);
        assert_eq!(world.store.prune(world.now(), 9).await.unwrap(), 1);
        assert_eq!(world.find(Filter::new()).await, [young]);
    })
    .await;
}

#[tokio::test]
async fn attributes_that_change_often_leave_nothing_in_the_index() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let scalars =
        |count: u32| (0..count).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    // With its first attributes the second is a document of too many scalars to be indexed, without them it is not.
    let mut many = world.start_with(Value::Object(scalars(900)));
    many.attributes = Value::Object(scalars(200));
    let mut runs = Vec::new();
    for start in [world.start_with(json!({"order": 123})), many] {
        let mut head = world.begin_with(start).await;
        for progress in 0..20 {
            let noted = json!({"progress": progress, "seen": true}).as_object().unwrap().clone();
            head =
                world.commit(world.commit_of(&head, Input::Noted { attributes: noted, result: None })).await;
        }
        runs.push(world.go(&head, "check", "bad").await.meta.run);
    }
    let last = Filter::new().context("attributes.progress", json!(19)).unwrap();
    assert_eq!(world.find(last).await, runs);
    let before = Filter::new().context("attributes.progress", json!(18)).unwrap();
    assert!(world.find(before).await.is_empty());
    let of_first = Statement::new("SELECT count(*) FROM wf_terms WHERE run_id = $1").bind(runs[0].get());
    let of_first: Row = world.repo.read_one(of_first).await.unwrap();
    assert_eq!(of_first.get_at::<i64>(0).unwrap(), 3, "one of its input, two of its attributes");
    world.clock.advance(SECOND);
    assert_eq!(world.store.prune(world.now(), 9).await.unwrap(), 2);
    assert_eq!(world.count("SELECT count(*) FROM wf_terms").await, 0);
}

/// One identifier stands for one run, wherever: a copy under it is refused, and neither side loses anything.
#[tokio::test]
async fn a_run_of_another_namespace_is_not_touched() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let other = World::on(world.repo.clone(), "other", super::support::flow()).await;
        let mut copy = world.store.get(head.meta.run).await.unwrap();
        copy.summary.managed = false;
        copy.context = json!({"initial": {"order": 666}});
        let refused = other.store.put(&copy).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Managed);
        assert!(refused.to_string().contains("another namespace"), "{refused}");
        // As a version before left it, which did not refuse.
        let insert = "INSERT INTO wf_runs (namespace_id, id, workflow, version, status, queue, priority, created_at, updated_at, ended_at) \
            SELECT n.id, r.id, 'w', 1, 'completed', 'q', 0, r.created_at, r.created_at, r.created_at \
            FROM wf_runs r, wf_namespaces n WHERE n.name = 'other'";
        world.repo.write(Statement::new(insert)).await.unwrap();
        assert!(other.store.delete(head.meta.run).await.unwrap());
        assert_eq!(world.store.get(head.meta.run).await.unwrap().context["initial"], json!({"order": 123}));
        assert_eq!(world.load(head.meta.run).await.state, head.state);
        assert_eq!(world.claim_steps(9).await, ["check"]);
    })
    .await;
}
