//! Listeners at the steps of the code: one that ends an operation at a step, one that lets a schedule decide who goes on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mainstay_images::{Digest, Error, ErrorKind, Result, Step, Steps};
use tokio::sync::{mpsc, oneshot};

use super::world::{A, B, C};

/// Lets so many steps pass and refuses all that follow: the process ended there.
#[derive(Debug)]
pub(super) struct StopAt {
    left: AtomicUsize,
    lists: AtomicUsize,
    passed: Mutex<Vec<Step>>,
}

impl StopAt {
    /// Stops before the step with this number, counted from zero.
    pub(super) fn new(step: usize) -> Self {
        Self { left: AtomicUsize::new(step), lists: AtomicUsize::new(0), passed: Mutex::default() }
    }

    /// The steps that passed.
    pub(super) fn passed(&self) -> Vec<Step> {
        self.passed.lock().unwrap().clone()
    }
}

#[async_trait]
impl Steps for StopAt {
    async fn before(&self, step: Step) -> Result<()> {
        let lists = self.lists.fetch_add(usize::from(step == Step::SweepList), Ordering::SeqCst)
            + usize::from(step == Step::SweepList);
        if is_idle_sweep(step, lists) {
            return Ok(());
        }
        let may = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if may.is_err() {
            return Err(Error::new(ErrorKind::Internal, "the process ends here"));
        }
        self.passed.lock().unwrap().push(step);
        Ok(())
    }
}

/// Directories that a sweep lists in one step.
const SHARDS_A_STEP: usize = 16;

/// Which listing of a sweep has the file of a blob, counted from one.
pub(super) fn list_of(content: &[u8]) -> usize {
    2 + usize::from(Digest::of(content).shard()) / SHARDS_A_STEP
}

/// Whether a sweep is where no blob of these tests is: a step there is as good as none. The staged files are listed first, then the
/// directories for the first octets of digests.
pub(super) fn is_idle_sweep(step: Step, lists: usize) -> bool {
    let is_sweep = matches!(step, Step::SweepList | Step::SweepCheck | Step::SweepUnlink);
    is_sweep && lists != 1 && ![A, B, C].into_iter().any(|content| lists == list_of(content))
}

/// What a party tells the schedule.
#[derive(Debug)]
pub(super) enum Word {
    /// It stands before a step, and goes on when it is answered.
    Before(usize, Step, oneshot::Sender<()>),
    /// It has ended.
    Ended,
}

/// One party of a schedule: waits before each step until it is let.
#[derive(Debug)]
pub(super) struct Party {
    pub number: usize,
    pub says: mpsc::UnboundedSender<Word>,
}

#[async_trait]
impl Steps for Party {
    async fn before(&self, step: Step) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let ends = || Error::new(ErrorKind::Internal, "the schedule has ended");
        self.says.send(Word::Before(self.number, step, answer)).map_err(|_| ends())?;
        answered.await.map_err(|_| ends())
    }
}
