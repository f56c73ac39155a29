//! An order as a durable workflow: begin with [`flow`].

pub mod flow;
pub mod store;

use std::time::Duration;

use mainstay_repo::{Repo, Target};
use mainstay_workflow::{Engine, EngineBuilder, Error};

use flow::OrderFlow;

/// Opens the database that the URL names and brings the tables of the shop and of the workflows up to date.
///
/// # Errors
/// What is wrong with the URL, the database or its tables, and how to mend it.
pub async fn open(url: &str) -> Result<Repo, Error> {
    let repo = Repo::connect(url).await?;
    mainstay_workflow::migrate(&repo, Target::Latest).await?;
    store::migrate(&repo).await?;
    Ok(repo)
}

/// An engine that knows the workflow; start it with or without workers.
#[must_use]
pub fn engine(repo: &Repo) -> EngineBuilder {
    // A worker that is silent for two seconds is taken for dead. A service would give it more.
    Engine::builder(repo.clone())
        .register::<OrderFlow>()
        .state(repo.clone())
        .leases(Duration::from_millis(500), Duration::from_secs(2))
}
