//! Reports of the whole store: each reads every image and blob. One is made at a time of each kind, and what took long is told to
//! everybody who asks while it is fresh, so that looking at a large store costs no more however many look.

use std::sync::Arc;
use std::time::Duration;

use mainstay_images::{CollectOptions, Images, Lineage};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::document::{PlanDocument, UsageDocument};
use crate::limits;
use crate::problem::{Problem, ProblemKind};

/// What was made last, and until when it is told.
#[derive(Debug)]
struct Kept<T>(Arc<Mutex<Last<T>>>);

type Last<T> = Option<(Instant, Arc<T>)>;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// What was made, or is made now; whoever comes meanwhile waits for it. It is made to its end also when whoever asked has left, so
    /// that one which takes longer than a request may is there when it is asked for again, and is not begun anew each time.
    async fn get<F>(&self, make: F) -> Result<Arc<T>, Problem>
    where
        F: Future<Output = mainstay_images::Result<T>> + Send + 'static,
    {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        let began = Instant::now();
        if let Some((until, kept)) = &*last
            && began < *until
        {
            return Ok(Arc::clone(kept));
        }
        let making = tokio::spawn(async move {
            let made = Arc::new(make.await?);
            *last = kept_for(began.elapsed()).map(|time| (Instant::now() + time, Arc::clone(&made)));
            Ok::<_, mainstay_images::Error>(made)
        });
        match making.await {
            Ok(made) => Ok(made?),
            Err(error) => {
                tracing::error!(%error, "a report of images was not made");
                Err(Problem::new(ProblemKind::Internal, "The operator finds the cause in the log."))
            }
        }
    }
}

/// In proportion to what it took: a small store is told of as it is.
fn kept_for(took: Duration) -> Option<Duration> {
    (took >= limits::REPORT_KEPT_FROM)
        .then(|| took.saturating_mul(limits::REPORT_KEPT_FACTOR).min(limits::REPORT_KEPT_MOST))
}

/// The reports of one server.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    usage: Kept<UsageDocument>,
    lineage: Kept<Lineage>,
    /// What is due, and what a full collection would remove; both read the directory.
    plans: [Kept<PlanDocument>; 2],
}

impl Reports {
    /// Who uses how much.
    ///
    /// # Errors
    /// Of the database and the medium.
    pub(crate) async fn usage(&self, images: &Images) -> Result<Arc<UsageDocument>, Problem> {
        let images = images.clone();
        self.usage
            .get(async move { Ok(UsageDocument::read(&images).await?.listing(limits::PLAN_LISTED)) })
            .await
    }

    /// Which image comes from which, if there are no more than so many.
    ///
    /// # Errors
    /// [`ProblemKind::Malformed`] where there are more; of the database.
    pub(crate) async fn lineage(&self, images: &Images, most: u32) -> Result<Arc<Lineage>, Problem> {
        if images.image_count(most.saturating_add(1)).await? > u64::from(most) {
            let detail = format!(
                "There are more than {most} images; what they come from is drawn on the machine: mainstay images graph."
            );
            return Err(Problem::new(ProblemKind::Malformed, detail));
        }
        let images = images.clone();
        self.lineage.get(async move { images.lineage().await }).await
    }

    /// What a collection by the policy would do now: every one looks for files that nothing names.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] when the directory is not mounted.
    pub(crate) async fn plan(&self, images: &Images, full: bool) -> Result<Arc<PlanDocument>, Problem> {
        // A report that is kept proves nothing of the medium.
        images.probe().await?;
        let options = CollectOptions { evict: true, full, ..CollectOptions::default() };
        let [due, all] = &self.plans;
        let images = images.clone();
        let planned =
            async move { Ok(PlanDocument::from(images.plan(&options).await?).listing(limits::PLAN_LISTED)) };
        if full { all.get(planned).await } else { due.get(planned).await }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_takes_long_is_kept_in_proportion_and_not_for_ever() {
        let kept = |millis| kept_for(Duration::from_millis(millis));
        assert_eq!((kept(99), kept(100)), (None, Some(Duration::from_secs(1))));
        assert_eq!(
            (kept(6_000), kept(60_000)),
            (Some(Duration::from_secs(60)), Some(Duration::from_secs(60)))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_it_is_made_once_while_it_is_fresh() {
        let (kept, made) = (Kept::default(), Arc::new(AtomicU32::new(0)));
        let ask = async |takes: u64| {
            let made = Arc::clone(&made);
            let make = async move {
                tokio::time::sleep(Duration::from_millis(takes)).await;
                Ok(made.fetch_add(1, Ordering::Relaxed))
            };
            *kept.get(make).await.unwrap()
        };
        let asked = futures_util::future::join_all((0..100).map(|_| ask(500))).await;
        assert_eq!(asked, [0; 100], "whoever comes meanwhile waits for the one that is made");
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(ask(500).await, 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((ask(1).await, ask(1).await), (1, 2), "what is quickly made is made for each");
        // A failure is nobody else's.
        let failing = async { Err(mainstay_images::Error::new(mainstay_images::ErrorKind::Busy, "busy")) };
        assert!(kept.get(failing).await.is_err());
        assert_eq!(ask(1).await, 3);
        // Whoever may not wait so long finds it made the next time, and nothing is begun twice meanwhile.
        for _ in 0..3 {
            tokio::time::timeout(Duration::from_millis(30_000), ask(100_000)).await.unwrap_err();
        }
        assert_eq!((ask(100_000).await, ask(100_000).await), (4, 4));
    }
}
