//! Schedules, queues, what is held back, what is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Row, Statement};
use mainstay_testkit::eventually;
use mainstay_workflow::store::{QueueLimits, Schedule};
use mainstay_workflow::{CatchUp, CronSchedule, Engine, ErrorKind, Handlers, Node, Outcome, StartRequest};
use serde_json::{Value, json};

use super::gate::on_each_gated;
use super::{chain, noop, on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_start_runs_once_and_can_be_held_back_and_triggered() {
    on_each(async |builder, repo| {
        let flow = chain("tick", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, noop(1)).start().await.unwrap();
        let schedule = |name: &str| {
            CronSchedule::new(name, "* * * * *", StartRequest::new("tick", json!(name))).unwrap()
        };
        engine.schedule(schedule("minutely")).await.unwrap();
        let unknown = CronSchedule::new("x", "* * * * *", StartRequest::new("nothing", Value::Null)).unwrap();
        assert_eq!(engine.schedule(unknown).await.unwrap_err().kind(), &ErrorKind::UnknownWorkflow);
        // It was due an hour ago: one start for all of them.
        let ago = Statement::new("UPDATE wf_schedules SET next_at = $1").bind(hours_ago(1));
        repo.write(ago).await.unwrap();
        let runs = async || {
            engine
                .control()
                .workflows()
                .await
                .unwrap()
                .iter()
                .map(|one| one.runs.values().sum::<u64>())
                .sum::<u64>()
        };
        soon(async {
            while runs().await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let after = engine.control().schedules().await.unwrap();
        assert!(after[0].next_at > Some(hours_ago(0)), "the next time lies ahead");
        assert_eq!(runs().await, 1);
        engine.control().schedule_pause("minutely").await.unwrap();
        assert!(engine.control().schedules().await.unwrap()[0].paused);
        let run = engine.control().schedule_trigger("minutely").await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        engine.control().schedule_resume("minutely").await.unwrap();
        assert_eq!(
            engine.control().schedule_trigger("other").await.unwrap_err().kind(),
            &ErrorKind::NotFound
        );
        soon(engine.stop()).await;
    })
    .await;
}

/// A host names its schedules each time it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_again_neither_resumes_its_schedules_nor_loses_what_was_missed() {
    on_each(async |builder, repo| {
        let flow = || chain("tick", 1, |step| Node::task(step, ["ok"]));
        let schedule =
            |cron: &str| CronSchedule::new("nightly", cron, StartRequest::new("tick", Value::Null)).unwrap();
        let first = builder.workflow(flow(), noop(1)).start().await.unwrap();
        first.schedule(schedule("0 2 * * *")).await.unwrap();
        first.control().schedule_pause("nightly").await.unwrap();
        first.schedule(schedule("0 2 * * *")).await.unwrap();
        let kept = first.control().schedules().await.unwrap();
        assert!(kept[0].paused, "what an operator holds back is held back over a deployment");
        first.control().schedule_resume("nightly").await.unwrap();
        soon(first.stop()).await;
        // It passes while nobody is there.
        let missed = hours_ago(1);
        repo.write(Statement::new("UPDATE wf_schedules SET next_at = $1").bind(missed)).await.unwrap();
        let second =
            Engine::builder(repo.clone()).workflow(flow(), noop(1)).without_workers().start().await.unwrap();
        second.schedule(schedule("0 2 * * *")).await.unwrap();
        assert_eq!(second.control().schedules().await.unwrap()[0].next_at, Some(missed), "it is still due");
        let third = Engine::builder(repo.clone()).workflow(flow(), noop(1)).start().await.unwrap();
        third.schedule(schedule("0 2 * * *")).await.unwrap();
        let count = async || {
            third.control().store().counts().await.unwrap().iter().map(|(.., count)| *count).sum::<u64>()
        };
        eventually("the missed one is caught up with", async || count().await == 1).await;
        third.schedule(schedule("0 3 * * *")).await.unwrap();
        let other = third.control().schedules().await.unwrap();
        assert!(other[0].next_at > Some(hours_ago(0)), "another expression counts from now");
        assert_eq!(count().await, 1);
        soon(third.stop()).await;
    })
    .await;
}

/// A schedule that was down for hours starts each of its times, and the rest of the upkeep has its turns meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_catches_up_with_many_times_takes_turns() {
    const TIMES: u32 = 300;
    on_each_gated(async |gate, repo| {
        let flow = chain("tick", 1, |step| Node::task(step, ["ok"]));
        let engine = Engine::builder(repo.clone()).workflow(flow, noop(1)).start().await.unwrap();
        let each = CronSchedule::new("each", "* * * * *", StartRequest::new("tick", Value::Null)).unwrap();
        engine.schedule(each.catch_up(CatchUp::All)).await.unwrap();
        let (began, looks) = (std::time::Instant::now(), gate.count("workflow.strays"));
        let ago = SystemClock.now().saturating_sub(TIMES * Duration::from_secs(60));
        repo.write(Statement::new("UPDATE wf_schedules SET next_at = $1").bind(ago)).await.unwrap();
        eventually("each time has had its run", async || {
            let runs: Row = repo.read_one(Statement::new("SELECT count(*) FROM wf_runs")).await.unwrap();
            runs.get_at::<i64>(0).unwrap() >= i64::from(TIMES)
        })
        .await;
        // A hundred a second, and not as fast as the database takes them.
        assert!(began.elapsed() >= Duration::from_millis(2_900), "{:?}", began.elapsed());
        assert!(gate.count("workflow.strays") > looks, "others had their turn");
        soon(engine.stop()).await;
    })
    .await;
}

/// More of them than are read at a time, and each due for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_that_cannot_be_fired_hide_none() {
    on_each(async |builder, repo| {
        let flow = chain("tick", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, noop(1)).start().await.unwrap();
        let store = engine.control().store().clone();
        let request = StartRequest::new("tick", Value::Null);
        engine.schedule(CronSchedule::new("good", "0 2 1 1 *", request).unwrap()).await.unwrap();
        let good = store.schedule("good").await.unwrap().unwrap();
        for number in 0..70 {
            // Of a version that no node has, and of a workflow that no node has.
            let (workflow, version) = if number % 2 == 0 { ("tick", Some(9)) } else { ("gone", None) };
            let name = format!("bad {number}");
            let bad = Schedule {
                name,
                workflow: workflow.into(),
                version,
                next_at: Some(hours_ago(2)),
                ..good.clone()
            };
            store.schedule_put(&bad).await.unwrap();
        }
        for number in 70..140 {
            let bad = Schedule {
                name: format!("bad {number}"),
                version: Some(9),
                next_at: Some(hours_ago(2)),
                ..good.clone()
            };
            store.schedule_put(&bad).await.unwrap();
        }
        let due =
            Statement::new("UPDATE wf_schedules SET next_at = $1 WHERE name = 'good'").bind(hours_ago(1));
        repo.write(due).await.unwrap();
        eventually("it is fired", async || {
            store.counts().await.unwrap().iter().any(|(.., count)| *count == 1)
        })
        .await;
        soon(engine.stop()).await;
    })
    .await;
}

/// A week of missed times is not caught up with at one a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_times_are_caught_up_with_one_after_the_other_at_once() {
    on_each(async |builder, repo| {
        let flow = chain("tick", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, noop(1)).start().await.unwrap();
        let all = CronSchedule::new("all", "* * * * *", StartRequest::new("tick", Value::Null)).unwrap();
        engine.schedule(all.catch_up(CatchUp::All)).await.unwrap();
        repo.write(Statement::new("UPDATE wf_schedules SET next_at = $1").bind(hours_ago(2))).await.unwrap();
        // Half a minute is a quarter of what one a second would take.
        eventually("each of them began", async || {
            let counts = engine.control().store().counts().await.unwrap();
            counts.iter().map(|(.., count)| *count).sum::<u64>() >= 120
        })
        .await;
        soon(engine.stop()).await;
    })
    .await;
}

fn hours_ago(hours: u64) -> mainstay_core::Timestamp {
    use mainstay_core::Clock as _;
    mainstay_core::SystemClock.now().saturating_sub(Duration::from_secs(hours * 3_600))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_keeps_its_limit_and_a_held_back_workflow_waits() {
    on_each(async |builder, _| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
        let handlers = Handlers::new().handler("s0", move |_cx| {
            let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
            async move {
                highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok("ok".into())
            }
        });
        let flow = chain("mail", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).queue("smtp", ["s0"]).start().await.unwrap();
        let control = engine.control();
        let limits = QueueLimits { concurrency: Some(2), ..QueueLimits::default() };
        control.queue_set("smtp", limits).await.unwrap();
        control.pause_workflow(Some("mail")).await.unwrap();
        let mut runs = Vec::new();
        for n in 0..12 {
            runs.push(engine.start(StartRequest::new("mail", json!(n))).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(most.load(Ordering::SeqCst), 0, "the workflow is held back");
        control.resume_workflow(Some("mail")).await.unwrap();
        for run in runs {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?} at a time");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_nothing_holds_back_any_more_come_back_by_themselves() {
    on_each(async |builder, _| {
        let flow = chain("mail", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, noop(1)).queue("smtp", ["s0"]).start().await.unwrap();
        engine.control().pause_workflow(None).await.unwrap();
        let run = engine.start(StartRequest::new("mail", Value::Null)).await.unwrap();
        let aside = || Statement::new("SELECT 1 AS one FROM wf_tasks WHERE state = 3");
        soon(async {
            while engine.repo().read(aside()).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        // As when a claim had read the flag before it went, and those who resumed had looked before the claim was done.
        engine.repo().write(Statement::new("DELETE FROM wf_pauses")).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_runs_are_kept_as_long_as_told() {
    on_each(async |builder, _| {
        let flow = chain("short", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow.clone(), noop(1)).start().await.unwrap();
        let run = engine.start(StartRequest::new("short", Value::Null)).await.unwrap();
        soon(engine.wait(run)).await.unwrap();
        soon(engine.stop()).await;
        let strict = Engine::builder(engine.repo().clone()).workflow(flow, noop(1)).retention(Duration::ZERO);
        let strict = strict.start().await.unwrap();
        soon(async {
            while strict.ended(run).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(strict.ended(run).await.unwrap_err().kind(), &ErrorKind::NotFound);
        soon(strict.stop()).await;
    })
    .await;
}

/// Who did what goes too, when it is told how long that is kept, with the runs that it is about and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_are_kept_as_long_as_told_but_not_shorter_than_their_runs() {
    on_each(async |builder, repo| {
        let flow = chain("short", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow.clone(), noop(1)).start().await.unwrap();
        let ada = mainstay_core::Caller::system(mainstay_core::Actor::new("ada").unwrap());
        let control = engine.control().acting(ada);
        let run = control.start(StartRequest::new("short", Value::Null)).await.unwrap();
        soon(engine.wait(run)).await.unwrap();
        control.pause_workflow(Some("short")).await.unwrap();
        soon(engine.stop()).await;
        let acts = async || {
            let acts = control.acts(None, mainstay_core::PageSize::DEFAULT, None).await.unwrap().items;
            acts.into_iter().map(|act| act.action).collect::<Vec<_>>()
        };
        let until = async |left: &[&str]| {
            soon(async {
                while acts().await != left {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
        };
        let next = || {
            Engine::builder(repo.clone()).workflow(flow.clone(), noop(1)).retention_of_acts(Duration::ZERO)
        };
        let keeps = next().start().await.unwrap();
        until(&["run.start"]).await;
        assert!(keeps.ended(run).await.unwrap().is_some(), "the run is kept, and who started it");
        soon(keeps.stop()).await;
        assert!(engine.control().delete(run).await.unwrap());
        let forgets = next().start().await.unwrap();
        until(&[]).await;
        soon(forgets.stop()).await;
    })
    .await;
}

/// Queues hold for runs that an operator starts or does again without their code: those of the graph, and those that the host gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_tasks_stand_in_the_queue_of_their_step_whoever_starts_the_run() {
    on_each(async |builder, _| {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |ran: &Arc<AtomicUsize>| {
            let ran = Arc::clone(ran);
            Handlers::new().handler("s0", move |_cx| {
                ran.fetch_add(1, Ordering::SeqCst);
                async { Ok("ok".into()) }
            })
        };
        let named = chain("named", 1, |step| Node::task(step, ["ok"]).queue("bank"));
        let given = chain("given", 1, |step| Node::task(step, ["ok"]).handler("send"));
        let sent = Arc::clone(&ran);
        let send = Handlers::new().handler("send", move |_cx| {
            sent.fetch_add(1, Ordering::SeqCst);
            async { Ok("ok".into()) }
        });
        let builder = builder.workflow(named, count(&ran)).workflow(given, send).queue("smtp", ["send"]);
        let engine = builder.start().await.unwrap();
        let control = engine.control();
        let mut ended = Vec::new();
        for workflow in ["named", "given"] {
            let run = engine.start(StartRequest::new(workflow, Value::Null)).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
            ended.push(run);
        }
        let closed = QueueLimits { paused: true, ..QueueLimits::default() };
        for queue in ["bank", "smtp"] {
            control.queue_set(queue, closed).await.unwrap();
        }
        let mut runs = Vec::new();
        for workflow in ["named", "given"] {
            runs.push(engine.start(StartRequest::new(workflow, Value::Null)).await.unwrap());
            runs.push(control.start(StartRequest::new(workflow, Value::Null)).await.unwrap());
        }
        for run in ended {
            runs.push(control.fork(run, &"s0".into()).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(ran.load(Ordering::SeqCst), 2, "both queues are closed");
        for queue in ["bank", "smtp"] {
            assert!(control.queue_remove(queue).await.unwrap());
        }
        for run in runs {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        soon(engine.stop()).await;
    })
    .await;
}
