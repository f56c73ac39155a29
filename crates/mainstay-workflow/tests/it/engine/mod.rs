//! The engine from end to end, on both databases.

mod attributes;
mod bells;
mod failures;
mod gate;
mod holds;
mod keys;
mod leases;
mod losses;
mod nodes;
mod races;
mod runs;
mod siblings;
mod transactions;
mod upkeep;
mod waits;
mod waking;

use std::future::Future;
use std::time::Duration;

use mainstay_repo::{Repo, Target};
use mainstay_testkit::{TestDatabase, for_each_database};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Definition, Engine, EngineBuilder, Handlers, Node, Workflow};

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
