//! Stops chosen operations on their way to the database and back, so that a test says what happens between two of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Error, ErrorKind, Operation, Outcome, Repo, Result, Target};
use mainstay_testkit::{TestDatabase, for_each_database};
use mainstay_workflow::store::COMPONENT;
use tokio::sync::Semaphore;

/// Where an operation stops.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// On its way there: it has not happened.
    Before,
    /// On its way back: it is there, and who asked for it does not know.
    After,
}

/// One place, where every operation of a name stops until it is let through.
pub(crate) struct Stop {
    arrived: Semaphore,
    open: Semaphore,
}

impl Stop {
    /// Waits until the next operation stands here.
    pub(crate) async fn arrived(&self) {
        super::soon(self.arrived.acquire()).await.unwrap().forget();
    }

    /// Lets one through, which stands here or will.
    pub(crate) fn let_one(&self) {
        self.open.add_permits(1);
    }
}

#[derive(Default)]
struct Inner {
    stops: HashMap<(&'static str, At), Arc<Stop>>,
    failing: HashMap<&'static str, usize>,
    losing: HashMap<&'static str, usize>,
    slow: HashMap<&'static str, Duration>,
    done: HashMap<String, usize>,
}

/// A middleware that stops, fails and counts operations by their names; those of transactions are called `begin` and `commit`.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Inner>>);

impl Gate {
    /// A repo whose operations pass here, with the tables of workflows.
    pub(crate) async fn repo(&self, database: &TestDatabase) -> Repo {
        let repo = database.options().with(self.clone()).connect().await.unwrap();
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        repo
    }

    /// From now on operations of this name stop here.
    pub(crate) fn stop(&self, name: &'static str, at: At) -> Arc<Stop> {
        let stop = Arc::new(Stop { arrived: Semaphore::new(0), open: Semaphore::new(0) });
        self.0.lock().unwrap().stops.insert((name, at), Arc::clone(&stop));
        stop
    }

    /// From now on they pass; those that stand here too.
    pub(crate) fn open(&self, name: &'static str, at: At) {
        if let Some(stop) = self.0.lock().unwrap().stops.remove(&(name, at)) {
            stop.open.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    }

    /// The next so many operations of this name fail without being run.
    pub(crate) fn fail(&self, name: &'static str, times: usize) {
        self.0.lock().unwrap().failing.insert(name, times);
    }

    /// The next so many operations of this name are run, and their answers are lost.
    pub(crate) fn lose(&self, name: &'static str, times: usize) {
        self.0.lock().unwrap().losing.insert(name, times);
    }

    /// From now on operations of this name take that much longer.
    pub(crate) fn slow(&self, name: &'static str, pause: Duration) {
        self.0.lock().unwrap().slow.insert(name, pause);
    }

    /// How many operations of this name were run.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().done.get(name).copied().unwrap_or_default()
    }

    /// Waits until so many more operations of this name were run.
    pub(crate) async fn more(&self, name: &str, more: usize) {
        let before = self.count(name);
        super::soon(async {
            while self.count(name) < before + more {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    async fn hold(&self, name: &str, at: At) {
        let stop = {
            let inner = self.0.lock().unwrap();
            inner
                .stops
                .iter()
                .find(|((of, where_), _)| *of == name && *where_ == at)
                .map(|(_, stop)| Arc::clone(stop))
        };
        let Some(stop) = stop else { return };
        stop.arrived.add_permits(1);
        stop.open.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Middleware for Gate {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        let name = operation.name().unwrap_or(operation.action().as_str()).to_owned();
        let made_up = || Error::new(ErrorKind::Unavailable, "made up");
        if takes(&mut self.0.lock().unwrap().failing, &name) {
            return Err(made_up());
        }
        self.hold(&name, At::Before).await;
        let pause = self.0.lock().unwrap().slow.get(name.as_str()).copied();
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let outcome = next.run(operation).await;
        *self.0.lock().unwrap().done.entry(name.clone()).or_default() += 1;
        self.hold(&name, At::After).await;
        if takes(&mut self.0.lock().unwrap().losing, &name) { Err(made_up()) } else { outcome }
    }
}

/// Whether one of so many is left.
fn takes(left: &mut HashMap<&'static str, usize>, name: &str) -> bool {
    let Some(left) = left.get_mut(name).filter(|left| **left > 0) else { return false };
    *left -= 1;
    true
}

/// Runs a test on both databases, with a gate before each.
pub(crate) async fn on_each_gated(test: impl AsyncFn(Gate, Repo)) {
    for_each_database(async |database| {
        let gate = Gate::default();
        let repo = gate.repo(database).await;
        test(gate, repo.clone()).await;
        super::soon(repo.close()).await;
    })
    .await;
}
