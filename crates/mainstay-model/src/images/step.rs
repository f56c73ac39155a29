//! The names of the steps. The code of the image store calls its steps by the same names.

use std::fmt;

macro_rules! steps {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)+) => {
        /// One step of one party.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Step {
            $($(#[$meta])* $name,)+
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The step's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

steps! {
    /// Transaction: look at the blob's row, announce the incarnation that is adopted or will be written.
    PublishIntent = "publish.intent",
    /// Look whether the file that is adopted is there.
    PublishCheck = "publish.check",
    /// Write the temporary file.
    PublishWrite = "publish.write",
    /// Make its content durable.
    PublishSyncFile = "publish.sync_file",
    /// A3b: take the digest's lock; refused while the row is a tombstone.
    PublishLock = "publish.lock",
    /// Give it its name.
    PublishRename = "publish.rename",
    /// Make the name durable.
    PublishSyncDir = "publish.sync_dir",
    /// Transaction: make or adopt the row of one blob; the intent stays and names the row.
    PublishLand = "publish.land",
    /// Transaction: the intents must all still be there; make the rows and the image.
    PublishCommit = "publish.commit",
    /// Remove the own incarnation that was not needed.
    PublishDiscard = "publish.discard",
    /// The commit fails and the file is taken back (a broken variant only).
    PublishRollback = "publish.rollback",
    /// Look which blobs are in use (a broken variant only).
    CollectSnapshot = "collect.snapshot",
    /// Transaction: the row of an unused blob becomes a tombstone.
    CollectTombstone = "collect.tombstone",
    /// Find a tombstone that somebody else made.
    CollectResume = "collect.resume",
    /// A3b: take the digest's lock; the row must still be a tombstone.
    CollectLock = "collect.lock",
    /// Remove the incarnation that the tombstone names.
    CollectUnlink = "collect.unlink",
    /// Transaction: delete the tombstone.
    CollectForget = "collect.forget",
    /// See a file in its directory.
    SweepList = "sweep.list",
    /// Read rows and intents: is the file anybody's?
    SweepCheck = "sweep.check",
    /// Remove it.
    SweepUnlink = "sweep.unlink",
    /// Transaction: delete the intents of a holder whose time is over.
    IntentExpire = "intent.expire",
    /// Transaction: claim an image whose blobs are all present.
    LeaseAcquire = "lease.acquire",
    /// Transaction: claim another image in the place of the one that is held.
    LeaseSwap = "lease.swap",
    /// The holder stops to use the image: it is done, or its own clock says that the lease is over.
    LeaseStop = "lease.stop",
    /// Transaction: delete the lease (released by the holder, or reaped after its time).
    LeaseExpire = "lease.expire",
    /// A new process takes over the holder's name.
    LeaseTakeOver = "lease.take_over",
    /// Transaction: delete an image that nobody claims.
    ImageRemove = "image.remove",
    /// Choose an image to evict.
    EvictPlan = "evict.plan",
    /// Transaction: delete it, if still nobody claims it.
    EvictRemove = "evict.remove",
    /// Look at the file of a row, and find it missing.
    ScrubLook = "scrub.look",
    /// Transaction: the row says so.
    ScrubMark = "scrub.mark",
    /// A process ends where it is.
    Crash = "crash",
    /// The medium loses a file.
    Loss = "loss",
    /// The machine loses power: every process ends, and what was not synced may be gone.
    PowerLoss = "power loss",
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
