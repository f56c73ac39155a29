//! The engine from end to end, on both databases.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_repo::{Batch, Expect, Repo, Row, Statement, Target};
use mainstay_testkit::{TestDatabase, for_each_database};
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::store::{COMPONENT, QueueLimits};
use mainstay_workflow::{
    CronSchedule, Definition, Done, Engine, EngineBuilder, ErrorKind, Handlers, Need, Node, Outcome, Retry,
    RunId, Scope, StartRequest, StepError, Unique, Workflow,
};
use serde_json::{Value, json};

/// Far longer than anything here takes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes to an end")
}

pub(crate) async fn repo(database: &TestDatabase) -> Repo {
    let repo = database.repo().await;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
    repo
}

pub(crate) fn chain(name: &str, length: usize, node: impl Fn(&str) -> Node) -> Workflow {
    let mut flow = Definition::new(name, 1);
    for step in 0..length {
        let next = if step + 1 == length { "end".to_owned() } else { format!("s{}", step + 1) };
        flow = flow.node(node(&format!("s{step}")).on("ok", [next.as_str()]));
    }
    flow.done("end").build().unwrap()
}

pub(crate) fn noop(length: usize) -> Handlers {
    (0..length)
        .fold(Handlers::new(), |set, step| set.handler(&format!("s{step}"), async |_cx| Ok("ok".into())))
}

async fn on_each(test: impl AsyncFn(EngineBuilder, Repo)) {
    for_each_database(async |database| {
        let repo = repo(database).await;
        test(Engine::builder(repo.clone()), repo.clone()).await;
        soon(repo.close()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_to_its_end_and_results_reach_later_steps() {
    on_each(async |builder, _| {
        let flow = Definition::new("sum", 1)
            .node(Node::task("split", ["ok"]).on("ok", ["left", "right"]))
            .node(Node::task("left", ["ok"]).on("ok", ["add"]))
            .node(Node::task("right", ["ok"]).on("ok", ["add"]))
            .node(Node::task("add", ["ok"]).reads("left").reads("right").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("split", async |_cx| Ok("ok".into()))
            .handler("left", async |cx| {
                Ok(Done::event("ok").with(json!(cx.input()["n"].as_i64().unwrap_or(0) * 2)))
            })
            .handler("right", async |cx| {
                Ok(Done::event("ok").with(json!(cx.input()["n"].as_i64().unwrap_or(0) * 3)))
            })
            .handler("add", async |cx| {
                let (left, right): (i64, i64) = (cx.required("left")?, cx.required("right")?);
                Ok(Done::event("ok").with(json!(left + right)))
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("sum", json!({"n": 7}))).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(35)));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_o03_many_runs_end_each_exactly_once() {
    on_each(async |builder, _| {
        let count = Arc::new(AtomicUsize::new(0));
        let handlers = (0..5).fold(Handlers::new(), |set, step| {
            let count = Arc::clone(&count);
            set.handler(&format!("s{step}"), move |_cx| {
                count.fetch_add(1, Ordering::Relaxed);
                async { Ok("ok".into()) }
            })
        });
        let flow = chain("chain", 5, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let starts = (0..300).map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("chain", json!(n))).await.unwrap();
                engine.wait(run).await.unwrap().outcome
            })
        });
        for task in starts.collect::<Vec<_>>() {
            assert_eq!(soon(task).await.unwrap(), Outcome::Completed);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1_500, "without a crash each step runs once");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p08_p17_o07_of_many_starts_with_one_key_one_wins() {
    on_each(async |builder, _| {
        let flow = Definition::new("keyed", 1)
            .unique(Unique { key: "order".to_owned(), scope: Scope::Workflow })
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let engine = builder.workflow(flow, Handlers::new()).start().await.unwrap();
        let request = || StartRequest::new("keyed", Value::Null).key("a17");
        let starts = (0..50).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.start(request()).await })
        });
        let mut won = Vec::new();
        let mut lost = Vec::new();
        for task in starts.collect::<Vec<_>>() {
            match soon(task).await.unwrap() {
                Ok(run) => won.push(run),
                Err(error) => match error.kind() {
                    ErrorKind::AlreadyRunning { run } => lost.push(*run),
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!((won.len(), lost.len()), (1, 49));
        assert!(lost.iter().all(|run| *run == won[0]));
        soon(engine.signal(won[0], "go", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(won[0])).await.unwrap().outcome, Outcome::Completed);
        // P17, O7: an ended run keeps its history, its key is free.
        assert_ne!(engine.start(request()).await.unwrap(), won[0]);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_p04_o08_timers_signals_and_their_time_outs() {
    on_each(async |builder, _| {
        let flow = Definition::new("waits", 1)
            .node(Node::timer("nap", Duration::from_millis(30), "up").on("up", ["answer"]))
            .node(
                Node::wait("answer")
                    .signal("approved", "yes")
                    .expires(Duration::from_millis(300), "late")
                    .on("yes", ["act"])
                    .on("late", ["end"]),
            )
            .node(Node::task("act", ["ok"]).reads("answer").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("act", async |cx| Ok(Done::event("ok").with(json!({"by": cx.output("answer")}))));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let late = engine.start(StartRequest::new("waits", Value::Null)).await.unwrap();
        let answered = engine.start(StartRequest::new("waits", Value::Null)).await.unwrap();
        // O8: long before anybody waits for it.
        engine.signal(answered, "approved", json!("ann")).await.unwrap();
        assert_eq!(soon(engine.wait(answered)).await.unwrap().result, json!({"by": "ann"}));
        assert_eq!(soon(engine.wait(late)).await.unwrap().result, Value::Null);
        let refused = engine.signal(late, "approved", Value::Null).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Ended);
        let nobody: RunId = "run_0000000000001".parse().unwrap();
        assert_eq!(engine.signal(nobody, "x", Value::Null).await.unwrap_err().kind(), &ErrorKind::NotFound);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_o02_retries_time_outs_and_compensation() {
    on_each(async |builder, _| {
        let undone = Arc::new(AtomicUsize::new(0));
        let flow = Definition::new("saga", 1)
            .node(Node::task("charge", ["ok"]).compensate("refund").on("ok", ["ship"]))
            .node(
                Node::task("ship", ["ok"])
                    .timeout(Duration::from_millis(50))
                    .retry(Retry::attempts(2).with_backoff(
                        Backoff::Constant,
                        Duration::from_millis(10),
                        Duration::from_millis(10),
                    ))
                    .on("ok", ["end"]),
            )
            .done("end")
            .build()
            .unwrap();
        let (tries, refunds) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&undone));
        let tried = Arc::clone(&tries);
        let handlers = Handlers::new()
            .handler("charge", async |_cx| Ok("ok".into()))
            .handler("ship", move |cx| {
                tried.fetch_add(1, Ordering::Relaxed);
                async move {
                    cx.cancelled().await;
                    Err(StepError::retry("stopped"))
                }
            })
            .handler("refund", move |_cx| {
                refunds.fetch_add(1, Ordering::Relaxed);
                async { Ok(Done::nothing()) }
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("saga", Value::Null)).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Failed, "ship: the attempt took too long")
        );
        assert_eq!((tries.load(Ordering::Relaxed), undone.load(Ordering::Relaxed)), (2, 1));
        soon(engine.stop()).await;
    })
    .await;
}

const ACCOUNTS: &str =
    "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))";

async fn balance(repo: &Repo) -> i64 {
    let row: Row = repo.read_one(Statement::new("SELECT balance FROM accounts WHERE id = 1")).await.unwrap();
    row.get("balance").unwrap()
}

async fn accounts(repo: &Repo) {
    repo.write(Statement::new(ACCOUNTS)).await.unwrap();
    repo.write(Statement::new("INSERT INTO accounts VALUES (1, 10)")).await.unwrap();
}

fn take(amount: i64) -> Statement {
    Statement::new("UPDATE accounts SET balance = balance - $1 WHERE id = 1 AND balance >= $1").bind(amount)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tx_steps_statements_commit_with_its_result_and_fail_alone() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let node = Node::tx("take", ["ok"]).retry(Retry::never()).on("ok", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().handler("take", async |cx| {
            let mut batch = Batch::new("take");
            batch.expect(Expect::ONE, take(cx.input().as_i64().unwrap_or(0)));
            Ok(Done::event("ok").batch(batch))
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        // Ten can take one each; the others fail by the condition, together with nobody.
        let runs = (0..25).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("take", json!(1))).await.unwrap();
                engine.wait(run).await.unwrap().outcome
            })
        });
        let mut completed = 0;
        for task in runs.collect::<Vec<_>>() {
            completed += usize::from(soon(task).await.unwrap() == Outcome::Completed);
        }
        assert_eq!((completed, balance(&repo).await), (10, 0));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interactive_tx_step_looks_before_it_writes() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let node = Node::tx("take", ["ok", "empty"]).on("ok", ["end"]).on("empty", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().tx("take", |cx, tx| {
            Box::pin(async move {
                let amount = cx.input().as_i64().unwrap_or(0);
                // FOR UPDATE is PostgreSQL's; SQLite has one writer anyway.
                let row: Row = tx
                    .read_one(Statement::new(
                        "UPDATE accounts SET balance = balance WHERE id = 1 RETURNING balance",
                    ))
                    .await?;
                let balance: i64 = row.get("balance")?;
                if balance < amount {
                    return Done::event("empty").output(&balance);
                }
                tx.write(take(amount)).await?;
                if amount == 7 {
                    return Err(StepError::fatal("seven is not given out"));
                }
                Done::event("ok").output(&(balance - amount))
            })
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        for (amount, outcome, left) in [
            (4, Outcome::Completed, 6),
            (3, Outcome::Completed, 3),
            (7, Outcome::Completed, 3),
            (3, Outcome::Completed, 0),
        ] {
            let run = engine.start(StartRequest::new("take", json!(amount))).await.unwrap();
            let ended = soon(engine.wait(run)).await.unwrap();
            assert_eq!((ended.outcome, balance(&repo).await), (outcome, left), "{amount} {ended:?}");
        }
        repo.write(Statement::new("UPDATE accounts SET balance = 10 WHERE id = 1")).await.unwrap();
        let run = engine.start(StartRequest::new("take", json!(7))).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, balance(&repo).await), (Outcome::Failed, 10), "rolled back");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_and_the_hosts_own_write_are_both_there_or_neither() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let engine = builder
            .workflow(chain("chain", 2, |step| Node::task(step, ["ok"])), noop(2))
            .start()
            .await
            .unwrap();
        let mut tx = repo.begin().await.unwrap();
        tx.write(take(1)).await.unwrap();
        let lost = engine.start_in(&mut tx, StartRequest::new("chain", Value::Null)).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(engine.ended(lost).await.unwrap_err().kind(), &ErrorKind::NotFound);
        let mut tx = repo.begin().await.unwrap();
        tx.write(take(1)).await.unwrap();
        let run = engine.start_in(&mut tx, StartRequest::new("chain", Value::Null)).await.unwrap();
        tx.commit().await.unwrap();
        engine.nudge().unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(balance(&repo).await, 9);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p06_o04_cancel_stops_what_runs_and_is_final() {
    on_each(async |builder, _| {
        let stopped = Arc::new(AtomicUsize::new(0));
        let flow = chain("slow", 2, |step| Node::task(step, ["ok"]));
        let heard = Arc::clone(&stopped);
        let handlers = noop(2).handler("s0", move |cx| {
            let heard = Arc::clone(&heard);
            async move {
                cx.cancelled().await;
                heard.fetch_add(1, Ordering::Relaxed);
                Ok("ok".into())
            }
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("slow", Value::Null)).await.unwrap();
        engine.cancel(run, "changed my mind").await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.reason.as_str()), (Outcome::Cancelled, "changed my mind"));
        soon(engine.stop()).await;
        assert_eq!(stopped.load(Ordering::Relaxed), 1, "the handler was told");
        assert_eq!(
            engine.ended(run).await.unwrap().unwrap().outcome,
            Outcome::Cancelled,
            "the late answer changed nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_and_children() {
    on_each(async |builder, _| {
        let parent = Definition::new("parent", 1)
            .node(Node::map("split", "items", "half").limit(3).need(Need::AtLeast(5)).on("mapped", ["sub"]))
            .node(Node::child("sub", "child").on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("items", async |_cx| Ok(Done::items((0..10).map(|n| json!(n)).collect())))
            .handler("half", async |cx| {
                let number: u64 = cx.item_as()?;
                number
                    .is_multiple_of(2)
                    .then(|| Done::value(json!(number / 2)))
                    .ok_or_else(|| StepError::fatal("odd"))
            })
            .handler("sub", async |cx| {
                let halves = cx.items("split").unwrap_or_default().iter().flatten().filter_map(Value::as_u64);
                Ok(Done::value(json!(halves.sum::<u64>())))
            });
        let child = Definition::new("child", 1)
            .node(Node::task("square", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let square = Handlers::new().handler("square", async |cx| {
            Ok(Done::event("ok").with(json!(cx.input().as_u64().unwrap_or(0).pow(2))))
        });
        let engine = builder.workflow(parent, handlers).workflow(child, square).start().await.unwrap();
        let run = engine.start(StartRequest::new("parent", Value::Null)).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(100)));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_a_panic_fails_its_attempt_and_nothing_else() {
    on_each(async |builder, _| {
        let flow = chain("panics", 1, |step| {
            Node::task(step, ["ok"]).retry(Retry::attempts(3).with_backoff(
                Backoff::Constant,
                Duration::from_millis(1),
                Duration::from_millis(1),
            ))
        });
        let handlers = Handlers::new()
            .handler("s0", async |_cx| if true { panic!("boom") } else { Ok(Done::nothing()) });
        let other = chain("fine", 3, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).workflow(other, noop(3)).start().await.unwrap();
        let bad = engine.start(StartRequest::new("panics", Value::Null)).await.unwrap();
        let good = engine.start(StartRequest::new("fine", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(good)).await.unwrap().outcome, Outcome::Completed);
        let ended = soon(engine.wait(bad)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Failed, "s0: the handler panicked: boom")
        );
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p14_what_was_open_goes_on_in_the_next_life() {
    on_each(async |builder, repo| {
        let flow = || {
            Definition::new("parked", 1)
                .node(Node::task("s0", ["ok"]).on("ok", ["hold"]))
                .node(Node::wait("hold").signal("go", "gone").on("gone", ["s1"]))
                .node(Node::task("s1", ["ok"]).on("ok", ["end"]))
                .done("end")
                .build()
                .unwrap()
        };
        let first = builder.workflow(flow(), noop(2)).start().await.unwrap();
        let mut runs = Vec::new();
        for n in 0..20 {
            runs.push(first.start(StartRequest::new("parked", json!(n))).await.unwrap());
        }
        drop(first);
        let second = Engine::builder(repo).leases(Duration::from_millis(50), Duration::from_millis(200));
        let second = second.workflow(flow(), noop(2)).start().await.unwrap();
        for run in &runs {
            second.signal(*run, "go", Value::Null).await.unwrap();
        }
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        soon(second.stop()).await;
    })
    .await;
}

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
        engine.schedule_pause("minutely").await.unwrap();
        assert!(engine.control().schedules().await.unwrap()[0].paused);
        let run = engine.schedule_trigger("minutely").await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        engine.schedule_resume("minutely").await.unwrap();
        assert_eq!(engine.schedule_trigger("other").await.unwrap_err().kind(), &ErrorKind::NotFound);
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

fn held(name: &str, version: u32, scope: Scope) -> Workflow {
    Definition::new(name, version)
        .unique(Unique { key: "order".to_owned(), scope })
        .node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_p16_runs_under_one_key_do_not_touch_each_other() {
    on_each(async |builder, _| {
        let none = Handlers::new;
        let builder = builder
            .workflow(held("one", 1, Scope::Workflow), none())
            .workflow(held("two", 1, Scope::Workflow), none());
        let builder = builder
            .workflow(held("both", 1, Scope::Version), none())
            .workflow(held("both", 2, Scope::Version), none());
        let builder = builder
            .workflow(held("umbrella", 1, Scope::Workflow), none())
            .workflow(held("umbrella", 2, Scope::Workflow), none());
        let builder = builder
            .current("umbrella", 1)
            .resolver("umbrella", |request| request.input()["beta"].as_bool()?.then_some(2));
        let engine = builder.start().await.unwrap();
        let start = async |name: &str, version: Option<u32>, input: Value| {
            let request = StartRequest::new(name, input).key("7");
            engine.start(version.map_or(request.clone(), |version| request.version(version))).await
        };
        let mut runs = Vec::new();
        for (name, version) in [("one", None), ("two", None), ("both", Some(1)), ("both", Some(2))] {
            runs.push(start(name, version, Value::Null).await.unwrap());
        }
        for run in &runs {
            engine.signal(*run, "go", Value::Null).await.unwrap();
            assert_eq!(soon(engine.wait(*run)).await.unwrap().outcome, Outcome::Completed);
        }
        // An umbrella's versions share the key; the explicit version comes before the resolver, and that before the current one.
        for (version, input, chosen) in
            [(None, json!({}), 1), (None, json!({"beta": true}), 2), (Some(1), json!({"beta": true}), 1)]
        {
            let run = start("umbrella", version, input).await.unwrap();
            assert_eq!(engine.control().show(run).await.unwrap().summary.version, chosen);
            let taken = start("umbrella", Some(2), Value::Null).await.unwrap_err();
            assert_eq!(taken.kind(), &ErrorKind::AlreadyRunning { run });
            engine.cancel(run, "next").await.unwrap();
            soon(engine.wait(run)).await.unwrap();
        }
        assert_eq!(
            start("umbrella", Some(3), Value::Null).await.unwrap_err().kind(),
            &ErrorKind::UnknownVersion
        );
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o05_what_a_run_is_given_and_gives_is_data_and_comes_back() {
    on_each(async |builder, _| {
        let flow = chain("echo", 1, |step| Node::task(step, ["ok"]));
        let handlers =
            Handlers::new().handler("s0", async |cx| Ok(Done::event("ok").with(cx.input().clone())));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let odd = json!({
            "when": "2026-11-21T09:03:00Z", "Elixir.Nothing": {"__struct__": "x", "": [null, -0.5, 1e300]},
            "key with spaces": "\u{1F980} ' \" \\ %_", "big": i64::MIN, "deep": [[[[{"a": []}]]]],
        });
        let run = engine.start(StartRequest::new("echo", odd.clone())).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().result, odd);
        assert_eq!(engine.ended(run).await.unwrap().unwrap().result, odd, "as it is stored");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_two_engines_in_one_process_see_nothing_of_each_other() {
    on_each(async |builder, repo| {
        let flow = || chain("same", 2, |step| Node::task(step, ["ok"]));
        let one = builder.namespace("one").workflow(flow(), noop(2)).start().await.unwrap();
        let two = Engine::builder(repo).namespace("two").workflow(flow(), noop(2)).start().await.unwrap();
        for engine in [&one, &two] {
            let run = engine.start(StartRequest::new("same", Value::Null)).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
            let other = if std::ptr::eq(engine, &one) { &two } else { &one };
            assert_eq!(other.ended(run).await.unwrap_err().kind(), &ErrorKind::NotFound);
        }
        soon(one.stop()).await;
        soon(two.stop()).await;
    })
    .await;
}

/// What stopped cleanly is given back at once, not after the time of a silent node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_ends_what_runs_and_gives_the_rest_back() {
    on_each(async |builder, repo| {
        let flow = || chain("work", 3, |step| Node::task(step, ["ok"]));
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let slow = (0..3).fold(Handlers::new(), |set, step| {
            let count = Arc::clone(&count);
            set.handler(&format!("s{step}"), move |_cx| {
                let count = Arc::clone(&count);
                async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok("ok".into())
                }
            })
        });
        let first = builder.concurrency(2).workflow(flow(), slow.clone()).start().await.unwrap();
        let mut runs = Vec::new();
        for n in 0..6 {
            runs.push(first.start(StartRequest::new("work", json!(n))).await.unwrap());
        }
        soon(first.stop()).await;
        let refused = first.start(StartRequest::new("work", Value::Null)).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Closed);
        let second = Engine::builder(repo).workflow(flow(), slow).start().await.unwrap();
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!(ran.load(Ordering::SeqCst), 18, "nothing ran twice");
        soon(second.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_retried_and_an_ended_one_forked_from_a_step() {
    on_each(async |builder, _| {
        let broken = Arc::new(AtomicUsize::new(1));
        let ran: [Arc<AtomicUsize>; 3] = std::array::from_fn(|_| Arc::default());
        let mut handlers = Handlers::new();
        for (step, count) in ran.iter().enumerate() {
            let (count, broken) = (Arc::clone(count), Arc::clone(&broken));
            handlers = handlers.handler(&format!("s{step}"), move |_cx| {
                let is_broken = step == 2 && broken.load(Ordering::SeqCst) == 1;
                count.fetch_add(1, Ordering::SeqCst);
                async move { if is_broken { Err(StepError::fatal("broken")) } else { Ok("ok".into()) } }
            });
        }
        let engine = builder
            .workflow(chain("work", 3, |step| Node::task(step, ["ok"])), handlers)
            .start()
            .await
            .unwrap();
        let counts = || ran.each_ref().map(|count| count.load(Ordering::SeqCst));
        let run = engine.start(StartRequest::new("work", json!({"n": 1}))).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Failed);
        broken.store(0, Ordering::SeqCst);
        let again = soon(engine.retry(run)).await.unwrap();
        assert_eq!(soon(engine.wait(again)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(counts(), [1, 1, 2], "only what failed is done anew");
        let nothing = engine.retry(again).await.unwrap_err();
        assert_eq!(nothing.kind(), &ErrorKind::Ended, "what completed is not begun a second time");
        let forked = soon(engine.fork(again, "s1")).await.unwrap();
        assert_eq!(soon(engine.wait(forked)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(counts(), [1, 2, 3]);
        assert_eq!(
            engine.ended(run).await.unwrap().unwrap().outcome,
            Outcome::Failed,
            "the first stays as it was"
        );
        assert!(matches!(engine.fork(again, "nowhere").await.unwrap_err().kind(), ErrorKind::Refused(_)));
        soon(engine.stop()).await;
    })
    .await;
}

/// Many transactions want one row: those that lose are tried again, and no attempt is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_are_in_each_others_way_are_no_fault_of_their_steps() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        repo.write(Statement::new("UPDATE accounts SET balance = 1000 WHERE id = 1")).await.unwrap();
        let node = Node::tx("take", ["ok"]).retry(Retry::never()).on("ok", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().tx("take", |_cx, tx| {
            Box::pin(async move {
                let row: Row =
                    tx.read_one(Statement::new("SELECT balance FROM accounts WHERE id = 1")).await?;
                let left: i64 = row.get::<i64>("balance")? - 1;
                tx.write(Statement::new("UPDATE accounts SET balance = $1 WHERE id = 1").bind(left)).await?;
                Ok("ok".into())
            })
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let runs = (0..20).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("take", Value::Null)).await.unwrap();
                engine.wait(run).await.unwrap()
            })
        });
        for task in runs.collect::<Vec<_>>() {
            let ended = soon(task).await.unwrap();
            assert_eq!(ended.outcome, Outcome::Completed, "{ended:?}");
        }
        assert_eq!(balance(&repo).await, 980, "none overwrote another's");
        soon(engine.stop()).await;
    })
    .await;
}
