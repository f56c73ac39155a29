//! The names of the steps. The code of the image store calls its steps by the same names.

use std::fmt;

/// One step of one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Transaction: look at the blob's row, announce the incarnation that is adopted or will be written.
    PublishIntent,
    /// Look whether the file that is adopted is there.
    PublishCheck,
    /// Write the temporary file.
    PublishWrite,
    /// Make its content durable.
    PublishSyncFile,
    /// A3b: take the digest's lock; refused while the row is a tombstone.
    PublishLock,
    /// Give it its name.
    PublishRename,
    /// Make the name durable.
    PublishSyncDir,
    /// Transaction: make or adopt the row of one blob; the intent stays and names the row.
    PublishLand,
    /// Transaction: the intents must all still be there; make the rows and the image.
    PublishCommit,
    /// Remove the own incarnation that was not needed.
    PublishDiscard,
    /// The commit fails and the file is taken back (a broken variant only).
    PublishRollback,
    /// Look which blobs are in use (a broken variant only).
    CollectSnapshot,
    /// Transaction: the row of an unused blob becomes a tombstone.
    CollectTombstone,
    /// Find a tombstone that somebody else made.
    CollectResume,
    /// A3b: take the digest's lock; the row must still be a tombstone.
    CollectLock,
    /// Remove the incarnation that the tombstone names.
    CollectUnlink,
    /// Transaction: delete the tombstone.
    CollectForget,
    /// See a file in its directory.
    SweepList,
    /// Read rows and intents: is the file anybody's?
    SweepCheck,
    /// Remove it.
    SweepUnlink,
    /// Transaction: delete the intents of a holder whose time is over.
    IntentExpire,
    /// Transaction: claim an image whose blobs are all present.
    LeaseAcquire,
    /// Transaction: claim another image in the place of the one that is held.
    LeaseSwap,
    /// The holder stops to use the image: it is done, or its own clock says that the lease is over.
    LeaseStop,
    /// Transaction: delete the lease (released by the holder, or reaped after its time).
    LeaseExpire,
    /// A new process takes over the holder's name.
    LeaseTakeOver,
    /// Transaction: delete an image that nobody claims.
    ImageRemove,
    /// Choose an image to evict.
    EvictPlan,
    /// Transaction: delete it, if still nobody claims it.
    EvictRemove,
    /// Look at the file of a row, and find it missing.
    ScrubLook,
    /// Transaction: the row says so.
    ScrubMark,
    /// A process ends where it is.
    Crash,
    /// The medium loses a file.
    Loss,
    /// The machine loses power: every process ends, and what was not synced may be gone.
    PowerLoss,
}

impl Step {
    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PublishIntent => "publish.intent",
            Self::PublishCheck => "publish.check",
            Self::PublishWrite => "publish.write",
            Self::PublishSyncFile => "publish.sync_file",
            Self::PublishLock => "publish.lock",
            Self::PublishRename => "publish.rename",
            Self::PublishSyncDir => "publish.sync_dir",
            Self::PublishLand => "publish.land",
            Self::PublishCommit => "publish.commit",
            Self::PublishDiscard => "publish.discard",
            Self::PublishRollback => "publish.rollback",
            Self::CollectSnapshot => "collect.snapshot",
            Self::CollectTombstone => "collect.tombstone",
            Self::CollectResume => "collect.resume",
            Self::CollectLock => "collect.lock",
            Self::CollectUnlink => "collect.unlink",
            Self::CollectForget => "collect.forget",
            Self::SweepList => "sweep.list",
            Self::SweepCheck => "sweep.check",
            Self::SweepUnlink => "sweep.unlink",
            Self::IntentExpire => "intent.expire",
            Self::LeaseAcquire => "lease.acquire",
            Self::LeaseSwap => "lease.swap",
            Self::LeaseStop => "lease.stop",
            Self::LeaseExpire => "lease.expire",
            Self::LeaseTakeOver => "lease.take_over",
            Self::ImageRemove => "image.remove",
            Self::EvictPlan => "evict.plan",
            Self::EvictRemove => "evict.remove",
            Self::ScrubLook => "scrub.look",
            Self::ScrubMark => "scrub.mark",
            Self::Crash => "crash",
            Self::Loss => "loss",
            Self::PowerLoss => "power loss",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
