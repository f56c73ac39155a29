//! Collections and scrubs that somebody asked this server for: they go on after the request, one of each at a time.

use std::sync::{Mutex, PoisonError};

use mainstay_core::{Clock as _, SystemClock};
use mainstay_images::{Action, CollectOptions, Commands, ScrubOptions, Tranquility};
use serde::Serialize;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;

use crate::limits;
use crate::problem::{Problem, ProblemKind};

/// Work that did not come to its end.
#[derive(Debug, Clone, Serialize)]
pub struct FailureLine {
    /// When.
    pub at: String,
    /// Why, in a sentence.
    pub why: String,
}

/// What this server does in the background, because somebody asked.
#[derive(Debug, Default)]
pub(crate) struct Work {
    collection: Task,
    scrub: Task,
}

/// One kind of work.
#[derive(Debug, Default)]
struct Task {
    running: Mutex<Option<JoinHandle<()>>>,
    failed: std::sync::Arc<Mutex<Option<FailureLine>>>,
}

impl Task {
    /// Begins it, unless it is under way.
    fn begin<F>(&self, what: &str, work: F) -> Result<(), Problem>
    where
        F: Future<Output = mainstay_images::Result<()>> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|task| !task.is_finished()) {
            let detail = format!("A {what} that was asked for here goes on already; wait until it is done.");
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        let failed = std::sync::Arc::clone(&self.failed);
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *running = Some(tokio::spawn(async move {
            if let Err(error) = work.await {
                let at = SystemClock.now().to_string();
                let why = Problem::from(error).detail().to_owned();
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(FailureLine { at, why });
            }
        }));
        Ok(())
    }

    fn is_running(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|task| !task.is_finished())
    }

    fn failed(&self) -> Option<FailureLine> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&self) {
        if let Some(task) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            task.abort();
        }
    }
}

impl Work {
    /// Begins a collection by the policy. Whether another collects, the election decides: it also knows when one was killed.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`]; [`ProblemKind::Conflict`] while somebody collects, here or elsewhere, or collecting is off;
    /// [`ProblemKind::Unavailable`] when the directory is not mounted.
    pub(crate) async fn collect(&self, commands: Commands, full: bool) -> Result<(), Problem> {
        commands.require(Action::Collect)?;
        commands.look()?.probe().await?;
        let options = CollectOptions {
            evict: true,
            full,
            tranquility: Tranquility(limits::COLLECT_REST),
            ..CollectOptions::default()
        };
        let (tell, mut told) = mpsc::channel(1);
        self.collection.begin("collection", async move {
            let mut begun = false;
            let elected = || {
                begun = true;
                drop(tell.try_send(Ok(())));
            };
            let done = commands.collect_telling(&options, elected).await;
            match done {
                Ok(_) => Ok(()),
                // What is refused at once is the answer to the request; what fails later is told on the page.
                Err(error) if !begun => match tell.try_send(Err(error)) {
                    Err(TrySendError::Full(Err(error)) | TrySendError::Closed(Err(error))) => Err(error),
                    _ => Ok(()),
                },
                Err(error) => Err(error),
            }
        })?;
        match told.recv().await {
            Some(begun) => Ok(begun?),
            None => {
                Err(Problem::new(ProblemKind::Unavailable, "The server ends; ask again when it is back."))
            }
        }
    }

    /// Begins to read everything again, or goes on where the last pass was left.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`]; [`ProblemKind::Conflict`] while this server does it; [`ProblemKind::Unavailable`] when the
    /// directory is not mounted.
    pub(crate) async fn scrub(&self, commands: Commands, restart: bool) -> Result<(), Problem> {
        commands.require(Action::Scrub)?;
        commands.look()?.probe().await?;
        // One call reads the pass to its end, and no further when another ends it or begins one anew.
        let options = ScrubOptions {
            restart,
            tranquility: Tranquility(limits::COLLECT_REST),
            ..ScrubOptions::default()
        };
        self.scrub.begin("scrub", async move { commands.scrub(&options).await?.told().map(drop) })
    }

    pub(crate) fn scrubs(&self) -> bool {
        self.scrub.is_running()
    }

    pub(crate) fn collection_failed(&self) -> Option<FailureLine> {
        self.collection.failed()
    }

    pub(crate) fn scrub_failed(&self) -> Option<FailureLine> {
        self.scrub.failed()
    }

    /// Ends what goes on. Both kinds of work may be ended anywhere, and go on when they are begun again.
    pub(crate) fn stop(&self) {
        self.collection.stop();
        self.scrub.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use mainstay_core::{Actor, Caller};
    use mainstay_images::files::DiskFiles;
    use mainstay_images::{
        BlobKind, COMPONENT, CommitSet, Error, ErrorKind, Images, ImagesOptions, NewImage, WriterSpec,
    };
    use mainstay_repo::middleware::{Middleware, Next, async_trait};
    use mainstay_repo::{Operation, Outcome, Repo, Sql, Statement, Target};

    use super::*;

    #[tokio::test]
    async fn one_goes_on_at_a_time_and_a_failure_is_told_until_the_next_begins() {
        let task = Task::default();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let failing = async move {
            ended.await.ok();
            Err(Error::new(ErrorKind::Conflict, "another collects"))
        };
        task.begin("collection", failing).unwrap();
        assert!(task.is_running());
        let refused = task.begin("collection", async { Ok(()) }).unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Conflict);
        end.send(()).unwrap();
        while task.is_running() {
            tokio::task::yield_now().await;
        }
        assert_eq!(task.failed().unwrap().why, "Another collects.");
        task.begin("collection", async { Ok(()) }).unwrap();
        assert!(task.failed().is_none());
    }

    /// Somebody else who ends the pass as soon as a part of it was noted.
    #[derive(Clone)]
    struct Ends(Repo);

    #[async_trait]
    impl Middleware for Ends {
        async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
            let noted = operation.statements().any(|one| one.name() == Some("images.scrub_advance"));
            let outcome = next.run(operation).await?;
            if noted {
                let end =
                    "UPDATE images_scrub SET cursor = NULL, ended_at = started_at + 1 WHERE ended_at IS NULL";
                self.0.write(Statement::new(Sql::new(end))).await?;
            }
            Ok(outcome)
        }
    }

    #[tokio::test]
    async fn a_scrub_that_another_ends_stops_and_begins_no_pass_of_its_own() {
        let database = mainstay_testkit::TestDatabase::sqlite();
        let repo = database.repo().await;
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = || Arc::new(DiskFiles::new(directory.path()));
        let images = Images::open(repo.clone(), files(), ImagesOptions::default()).await.unwrap();
        // More than are noted at once.
        let node = images.join("publisher").await.unwrap();
        let ingest = node.ingest();
        let mut layers = Vec::new();
        for at in 0..100_u8 {
            let kind = if at == 0 { BlobKind::Base } else { BlobKind::Delta };
            layers.push(
                ingest.put(WriterSpec::new(kind, "t/t"), std::io::Cursor::new([at])).await.unwrap().digest,
            );
        }
        let images_set = vec![NewImage::chain(layers)];
        ingest.commit(CommitSet { images: images_set, refs: Vec::new(), guard: None }).await.unwrap();
        node.leave().await.unwrap();

        let watched = database.options().with(Ends(repo)).connect().await.unwrap();
        let watched = Images::open(watched, files(), ImagesOptions::default()).await.unwrap();
        let work = Work::default();
        work.scrub(watched.acting(Caller::system(Actor::new("ada").unwrap())), false).await.unwrap();
        let ended = async {
            while work.scrubs() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), ended).await.is_ok(), "it goes on and on");
        assert!(work.scrub_failed().is_none());
        let report = images.scrub_report().await.unwrap();
        assert_eq!((report.checked, report.ended_at.is_some()), (64, true), "{report:?}");
        assert_eq!(images.scrubs(10).await.unwrap(), [], "it was the other's to record");
        let acts = images.acting(Caller::system(Actor::new("ada").unwrap())).acts(None, 10).await.unwrap();
        assert_eq!(acts.iter().filter(|act| act.action == "scrub").count(), 1);
    }
}
