//! A host application in the test's process: an order workflow on a database that the server and the commands under test share.

use std::time::Duration;

use mainstay_repo::{Repo, RepoOptions, Target};
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{
    Control, Definition, Done, Engine, EngineBuilder, Handlers, Join, Node, Retry, RunId, Scope,
    StartRequest, Status, StepContext, StepError, Unique, Workflow,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// What a test expects of a run at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running application. Dropping it stops it as a crash would.
pub(crate) struct Host {
    runtime: Runtime,
    engine: Engine,
    control: Control,
}

/// An order that is charged at the second attempt, waits for an approval, and is undone when it is cancelled.
pub(crate) fn order() -> Workflow {
    let day = Duration::from_secs(24 * 60 * 60);
    Definition::new("order", 2)
        .unique(Unique { key: "orderid".into(), scope: Scope::Workflow })
        .tag("sales")
        .node(Node::task("reserve", ["ok", "none"]).on("ok", ["charge", "pack"]).on("none", ["tell"]))
        .node(
            Node::task("charge", ["paid"])
                .on("paid", ["approve"])
                .retry(Retry::attempts(3).with_backoff(
                    Backoff::Constant,
                    Duration::from_millis(20),
                    Duration::from_millis(20),
                ))
                .compensate("refund"),
        )
        .node(Node::task("pack", ["packed"]).on("packed", ["ship"]))
        .node(
            Node::wait("approve")
                .signal("approved", "yes")
                .expires(3 * day, "late")
                .on("yes", ["ship"])
                .on("late", ["tell"]),
        )
        .node(Node::task("ship", ["sent"]).join(Join::AtLeast(2)).reads_if_any("pack").on("sent", ["end"]))
        .node(Node::task("tell", ["told"]).on("told", ["end"]))
        .done("end")
        .build()
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn handlers() -> Handlers {
    let plain =
        |event: &'static str| move |_: StepContext| async move { Ok(Done::event(event).with(json!({}))) };
    Handlers::new()
        .handler("reserve", |cx: StepContext| async move {
            let stock = cx.input()["stock"].as_bool().unwrap_or(true);
            Ok(Done::event(if stock { "ok" } else { "none" }))
        })
        .handler("charge", |cx: StepContext| async move {
            if cx.attempt() == 1 {
                return Err(StepError::retry("the bank is away"));
            }
            Ok(Done::event("paid").with(json!({ "payment": cx.idempotency_key() })))
        })
        .handler("refund", |_: StepContext| async { Ok(Done::nothing()) })
        .handler("pack", plain("packed"))
        .handler("ship", plain("sent"))
        .handler("tell", plain("told"))
}

impl Host {
    /// Makes the tables and starts the application.
    pub(crate) fn start(url: &str) -> Self {
        Self::started(url, |builder| builder)
    }

    /// One that looks for work when it is told to, and by itself not within an hour.
    pub(crate) fn told_only(url: &str) -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self::started(url, |builder| builder.poll(hour, hour))
    }

    /// One that has another workflow too.
    pub(crate) fn with(url: &str, flow: Workflow, handlers: Handlers) -> Self {
        Self::started(url, |builder| builder.workflow(flow, handlers))
    }

    fn started(url: &str, with: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (engine, control) = runtime.block_on(async {
            let repo: Repo = RepoOptions::new(url).unwrap().connect().await.unwrap();
            repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
            let builder = Engine::builder(repo.clone()).node("shop").workflow(order(), handlers());
            let engine = with(builder).start().await.unwrap();
            (engine, Control::open(&repo, "default").await.unwrap())
        });
        Self { runtime, engine, control }
    }

    /// Starts a run of any workflow.
    pub(crate) fn begin(&self, request: StartRequest) -> RunId {
        self.runtime.block_on(self.engine.start(request)).unwrap()
    }

    /// Starts an order.
    pub(crate) fn order(&self, id: u32, input: serde_json::Value) -> RunId {
        let request = StartRequest::new("order", input).key(&format!("a{id}"));
        self.runtime.block_on(self.engine.start(request)).unwrap()
    }

    /// Waits until a run has a status and has read its mail.
    pub(crate) fn wait_for(&self, run: RunId, status: Status) {
        let until = async {
            loop {
                let view = self.control.show(run).await.unwrap();
                if view.summary.status == status && view.unread == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, until).await });
        waited.unwrap_or_else(|_| panic!("{run} does not become {status:?}"));
    }

    /// Stops it in order.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.engine.stop());
    }
}
