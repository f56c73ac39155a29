//! Names of files on their way to be durable: whoever asks for the same directory shares one call of the system, and hears of a
//! failure that the system told somebody else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as Turn;

use crate::disk::{self, Disk};
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;

/// The stores that this process has open, by their ids: two that open one store share what the system tells of its directories.
static OPEN: Mutex<BTreeMap<String, Weak<Names>>> = Mutex::new(BTreeMap::new());

/// The directories of blobs of one store.
///
/// A system tells of a directory that could not be made durable once, to whoever asks first. Whoever has given a file a name there
/// before must hear of it too, or takes the next call's success for its own.
#[derive(Debug)]
pub(crate) struct Names {
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Calls that began.
    begun: AtomicU64,
    /// Calls that failed. It changes before the next call begins.
    failures: AtomicU64,
    /// The last call that ended, by its place among those that began. Whoever holds this makes the next call.
    ended: Turn<u64>,
}

impl Names {
    /// Those of a store, shared by all who have it open in this process.
    pub(crate) fn of(store: &str) -> Arc<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = open.get(store).and_then(Weak::upgrade) {
            return names;
        }
        open.retain(|_, names| names.strong_count() > 0);
        let names = Arc::new(Self { shards: (0..=u8::MAX).map(|_| Shard::default()).collect() });
        open.insert(store.to_owned(), Arc::downgrade(&names));
        names
    }

    /// How many calls have failed for a directory. Ask before a file gets its name there, and hand it to [`Names::sync`].
    pub(crate) fn failures(&self, shard: u8) -> u64 {
        self.shard(shard).map_or(0, |shard| shard.failures.load(Ordering::SeqCst))
    }

    /// Makes the names in a directory durable that it had when this was called. One call of the system serves all who waited for it
    /// to begin. Returns how many calls have failed by then: a name is durable if as many had when it was given.
    ///
    /// # Errors
    /// Of the medium, when the call was this one's.
    pub(crate) async fn sync(&self, disk: &Disk, shard: u8) -> Result<u64> {
        let directory = layout::shard(shard);
        let Some(shard) = self.shard(shard) else { return Err(Error::internal("a digest has 256 shards")) };
        let enough = shard.begun.load(Ordering::SeqCst) + 1;
        let mut ended = shard.ended.lock().await;
        if *ended < enough {
            let begun = shard.begun.fetch_add(1, Ordering::SeqCst) + 1;
            // Whoever leaves here takes the only word of a failure along.
            let mut untold = Untold(Some(&shard.failures));
            let synced = disk.run(move |files| disk::sync_dir(files, &directory)).await;
            *ended = begun;
            synced?;
            untold.0 = None;
        }
        Ok(shard.failures.load(Ordering::SeqCst))
    }

    fn shard(&self, shard: u8) -> Option<&Shard> {
        self.shards.get(usize::from(shard))
    }
}

/// A call whose success is not known yet: if that never comes, it counts as failed.
struct Untold<'a>(Option<&'a AtomicU64>);

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if let Some(failures) = self.0 {
            failures.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Another was told that a directory with a name of ours could not be made durable.
pub(super) fn lost(shard: u8) -> Error {
    let directory = layout::shard(shard);
    Error::new(
        ErrorKind::Medium,
        format!(
            "{directory:?} could not be made durable when another asked, and it held a name of this ingest"
        ),
    )
}
