//! Named callers: what they may do, and what is written down of it, in the transaction that does it.

use mainstay_core::{Actor, Caller, PageSize, Role};
use mainstay_repo::Statement;
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

fn caller(name: &str, role: Role) -> Caller {
    Caller::new(Actor::new(name).unwrap(), role)
}

impl World {
    fn acting(&self, role: Role) -> Control {
        Control::of(self.store.clone(), std::sync::Arc::clone(&self.clock) as _).acting(caller("ada", role))
    }
}

/// What was done, the earliest first, without what differs from run to run.
async fn told(control: &Control) -> Vec<(String, Option<RunId>, String)> {
    let mut acts = control.acts(None, PageSize::DEFAULT, None).await.unwrap().items;
    assert!(acts.iter().all(|act| act.actor.as_str() == "ada"));
    acts.reverse();
    acts.into_iter().map(|act| (act.action, act.run, act.subject)).collect()
}

#[tokio::test]
async fn each_action_leaves_an_act_and_what_changes_nothing_leaves_none() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.acting(Role::Admin);
        let run = control.start(StartRequest::new("order", json!({"order": 1}))).await.unwrap();
        control.pause(run).await.unwrap();
        control.resume(run).await.unwrap();
        assert!(control.signal(run, "answer", json!(1), Some("s")).await.unwrap());
        assert!(!control.signal(run, "answer", json!(1), Some("s")).await.unwrap(), "a repetition");
        control.cancel(run, "enough").await.unwrap();
        let ended = world.read_mail(run).await;
        assert_eq!(ended.state.status(), Status::Cancelled);
        assert_eq!(control.get(run).await.unwrap().summary.reason.as_deref(), Some("enough (by ada)"));
        let again = control.retry(run).await.unwrap();
        control.pause_workflow(Some("order")).await.unwrap();
        control.pause_workflow(Some("order")).await.unwrap();
        assert!(control.resume_workflow(Some("order")).await.unwrap());
        assert!(!control.resume_workflow(Some("order")).await.unwrap());
        control
            .queue_set("mail", QueueLimits { concurrency: Some(2), ..QueueLimits::default() })
            .await
            .unwrap();
        assert!(control.queue_remove("mail").await.unwrap());
        assert!(!control.queue_remove("mail").await.unwrap());
        let nightly =
            CronSchedule::new("nightly", "0 2 * * *", StartRequest::new("order", json!({}))).unwrap();
        assert_eq!(control.schedule_set(nightly).await.unwrap().name, "nightly");
        control.schedule_pause("nightly").await.unwrap();
        control.schedule_resume("nightly").await.unwrap();
        let triggered = control.schedule_trigger("nightly").await.unwrap();
        assert!(control.schedule_remove("nightly").await.unwrap());
        assert!(!control.schedule_remove("nightly").await.unwrap());
        assert!(control.delete(run).await.unwrap());
        assert!(!control.delete(run).await.unwrap());
        world.clock.advance(SECOND);
        assert_eq!(control.prune(world.now(), 9).await.unwrap(), 0, "nothing is left that ended");
        let of =
            |action: &str, run: Option<RunId>, subject: &str| (action.to_owned(), run, subject.to_owned());
        assert_eq!(
            told(&control).await,
            [
                of("run.start", Some(run), "order"),
                of("run.pause", Some(run), ""),
                of("run.resume", Some(run), ""),
                of("run.signal", Some(run), ""),
                of("run.cancel", Some(run), ""),
                of("run.retry", Some(again), "order"),
                of("workflow.pause", None, "order"),
                of("workflow.resume", None, "order"),
                of("queue.set", None, "mail"),
                of("queue.remove", None, "mail"),
                of("schedule.set", None, "nightly"),
                of("schedule.pause", None, "nightly"),
                of("schedule.resume", None, "nightly"),
                of("schedule.trigger", Some(triggered), "nightly"),
                of("schedule.remove", None, "nightly"),
                of("run.delete", Some(run), ""),
            ]
        );
        let page = control.acts(Some(run), PageSize::clamped(4), None).await.unwrap();
        let names = |acts: &[Act]| -> Vec<String> { acts.iter().map(|act| act.action.clone()).collect() };
        assert_eq!(names(&page.items), ["run.delete", "run.cancel", "run.signal", "run.resume"]);
        assert_eq!(page.items[2].detail, json!({"signal": "answer", "sender": "s"}), "no payload");
        let rest = control.acts(Some(run), PageSize::clamped(4), page.next.as_ref()).await.unwrap();
        assert_eq!(
            (names(&rest.items), rest.next),
            (vec!["run.pause".to_owned(), "run.start".to_owned()], None)
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_caller_may_not_do_is_refused_before_anything_is_read() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.begin().await.meta.run;
        let reader = world.acting(Role::Read);
        assert_eq!(reader.get(run).await.unwrap().summary.run, run, "looking is for every caller");
        let schedule = || CronSchedule::new("n", "* * * * *", StartRequest::new("order", json!(1))).unwrap();
        let refusals = [
            reader.start(StartRequest::new("nope", json!(1))).await.err(),
            reader.signal(run, "answer", json!(1), None).await.err(),
            reader.cancel(run, "").await.err(),
            reader.pause(run).await.err(),
            reader.resume(run).await.err(),
            reader.retry(run).await.err(),
            reader.fork(run, &"check".into()).await.err(),
            reader.delete(run).await.err(),
            reader.prune(world.now(), 1).await.err(),
            reader.pause_workflow(None).await.err(),
            reader.resume_workflow(None).await.err(),
            reader.queue_set("q", QueueLimits::default()).await.err(),
            reader.queue_remove("q").await.err(),
            reader.schedule_set(schedule()).await.err(),
            reader.schedule_pause("n").await.err(),
            reader.schedule_resume("n").await.err(),
            reader.schedule_trigger("n").await.err(),
            reader.schedule_remove("n").await.err(),
            reader.import(&world.repo, None).await.err(),
        ];
        assert_eq!(refusals.len(), Action::ALL.len());
        for refusal in refusals {
            let refusal = refusal.unwrap();
            assert_eq!(*refusal.kind(), ErrorKind::Forbidden, "{refusal}");
        }
        let writer = world.acting(Role::Write);
        for refusal in [writer.delete(run).await.err(), writer.prune(world.now(), 1).await.err()] {
            let text = refusal.unwrap().to_string();
            assert_eq!(text, "ada has the role write and this needs admin; ask somebody who has it");
        }
        assert!(told(&reader).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_hosts_own_code_may_do_everything_and_leaves_no_act() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let host = Control::of(world.store.clone(), std::sync::Arc::clone(&world.clock) as _);
        let run = host.start(StartRequest::new("order", json!(1))).await.unwrap();
        host.cancel(run, "enough").await.unwrap();
        world.read_mail(run).await;
        assert_eq!(host.get(run).await.unwrap().summary.reason.as_deref(), Some("enough"));
        assert!(host.delete(run).await.unwrap());
        assert!(host.acts(None, PageSize::DEFAULT, None).await.unwrap().items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_action_without_its_act_is_not_carried_out() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.begin().await.meta.run;
        let control = world.acting(Role::Admin);
        world.repo.write(Statement::new("DROP TABLE wf_acts")).await.unwrap();
        control.signal(run, "answer", json!(1), None).await.unwrap_err();
        control.pause_workflow(None).await.unwrap_err();
        control.start(StartRequest::new("order", json!(1))).await.unwrap_err();
        assert_eq!(control.show(run).await.unwrap().unread, 0);
        assert!(control.pauses().await.unwrap().is_empty());
        let runs = control.list(&Filter::new(), Order::Newest, PageSize::DEFAULT, None).await.unwrap();
        assert_eq!(runs.items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_detail_that_is_too_large_is_left_out_and_the_act_stays() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.begin().await.meta.run;
        let control = world.acting(Role::Admin);
        let detail = |reason: &str| json!({"reason": format!("{reason} (by ada)")}).to_string().len();
        let fits = "x".repeat(MAX_ACT_BYTES - detail(""));
        control.cancel(run, &fits).await.unwrap();
        control.cancel(run, &format!("{fits}x")).await.unwrap();
        let acts = control.acts(Some(run), PageSize::DEFAULT, None).await.unwrap().items;
        assert_eq!(acts[0].detail, json!({"cut": true}));
        assert_eq!(acts[1].detail, json!({"reason": format!("{fits} (by ada)")}));
    })
    .await;
}

#[tokio::test]
async fn a_signal_that_no_step_waits_for_is_refused_with_those_that_are() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.begin().await.meta.run;
        let control = world.acting(Role::Write);
        let error = control.signal(run, "anwser", json!(1), None).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnknownSignal);
        assert_eq!(
            error.to_string(),
            "order v1 waits for no signal \"anwser\", so nothing would ever take it; it waits for answer"
        );
        assert_eq!(control.show(run).await.unwrap().unread, 0);
        assert!(
            control.signal(run, "answer", json!(1), None).await.unwrap(),
            "kept until the step is reached"
        );
    })
    .await;
}

#[tokio::test]
async fn runs_are_counted_as_far_as_the_bound() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.begin().await;
        let count = async || -> Option<u64> {
            let listed = world.acting(Role::Read).workflows().await.unwrap().remove(0);
            listed.runs.get(&Status::Cancelled).copied()
        };
        assert_eq!(count().await, None);
        let more = async |from: u32, to: u32| {
            let fill = format!(
                "WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
                 INSERT INTO wf_runs (namespace_id, id, workflow, version, status, queue, priority, created_at, updated_at, ended_at) \
                 SELECT namespace_id, n.i, workflow, version, 'cancelled', queue, priority, created_at, updated_at, created_at \
                 FROM wf_runs CROSS JOIN n WHERE status = 'running'"
            );
            world.repo.write(Statement::new(mainstay_repo::Sql::dynamic(fill.clone(), fill))).await.unwrap();
        };
        more(1, MAX_COUNTED).await;
        assert_eq!(count().await, Some(u64::from(MAX_COUNTED)));
        more(MAX_COUNTED + 1, MAX_COUNTED + 20).await;
        assert_eq!(count().await, Some(u64::from(MAX_COUNTED) + 1), "more than the bound");
    })
    .await;
}

#[tokio::test]
async fn a_concurrency_of_nothing_is_refused() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.acting(Role::Write);
        let of = |concurrency| QueueLimits { concurrency, ..QueueLimits::default() };
        let error = control.queue_set("q", of(Some(0))).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput);
        assert!(error.help().unwrap().contains("pause the queue"), "{error}");
        control.queue_set("q", of(Some(1))).await.unwrap();
    })
    .await;
}

/// A reason goes into the history whole, which is read at each wake of the run.
#[tokio::test]
async fn a_reason_is_kept_up_to_its_limit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.acting(Role::Write);
        for (len, kept) in [(MAX_REASON_BYTES, MAX_REASON_BYTES), (1_000_000, MAX_REASON_BYTES)] {
            let head = world.waiting().await;
            let by = " (by ada)".len();
            control.cancel(head.meta.run, &"x".repeat(len - by)).await.unwrap();
            let mail = world.store.load(&[head.meta.run]).await.unwrap().remove(0).mail;
            let Message::Cancel { reason } = &mail[0].message else { panic!("{mail:?}") };
            assert_eq!(reason.len(), kept);
        }
    })
    .await;
}

/// Acts go in portions when they are old enough, and never before the run that they are about; what is kept is not gone through.
#[tokio::test]
async fn acts_are_kept_as_long_as_told_and_as_long_as_their_run() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let control = world.acting(Role::Admin);
        let run = control.start(StartRequest::new("order", json!({"order": 1}))).await.unwrap();
        let gone = control.start(StartRequest::new("order", json!({"order": 2}))).await.unwrap();
        control.cancel(gone, "enough").await.unwrap();
        world.read_mail(gone).await;
        control.pause_workflow(Some("order")).await.unwrap();
        control.resume_workflow(Some("order")).await.unwrap();
        world.clock.advance(SECOND);
        let old = world.now();
        control.queue_set("mail", QueueLimits { paused: true, ..QueueLimits::default() }).await.unwrap();
        let prune = async |before, limit| world.store.prune_acts(before, limit).await.unwrap();
        let names = async || told(&control).await.into_iter().map(|(action, ..)| action).collect::<Vec<_>>();
        let all = ["run.start", "run.start", "run.cancel", "workflow.pause", "workflow.resume", "queue.set"];
        assert_eq!(names().await, all);
        let before = old.saturating_sub(SECOND);
        assert_eq!(prune(before, 9).await, 0, "none is so old");
        // One by one: both runs are kept, two acts are about neither.
        assert_eq!((prune(old, 1).await, prune(old, 1).await, prune(old, 1).await), (1, 1, 0));
        assert_eq!(names().await, ["run.start", "run.start", "run.cancel", "queue.set"]);
        assert!(world.store.delete(gone).await.unwrap());
        assert_eq!(prune(old, 9).await, 2);
        assert_eq!(
            names().await,
            ["run.start", "queue.set"],
            "the run that is still there, and what is young"
        );
        assert_eq!(control.acts(Some(run), PageSize::DEFAULT, None).await.unwrap().items.len(), 1);
        let other = World::on(world.repo.clone(), "other", super::support::flow()).await;
        world.clock.advance(SECOND);
        let late = world.now();
        assert_eq!(other.store.prune_acts(late, 9).await.unwrap(), 0, "another namespace's");
        assert_eq!(prune(late, 9).await, 1);
    })
    .await;
}
