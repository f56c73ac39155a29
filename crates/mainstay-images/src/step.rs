//! The steps of publishing, leasing and collecting, by the names that the model of the protocol gives them.
//!
//! Each effect on the database or on the disk is announced to a [`Steps`] before it happens. The harness that compares this
//! crate with the model stops there, lets others run, or cuts the power.

use async_trait::async_trait;

use crate::error::Result;

macro_rules! steps {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)+) => {
        /// One effect on the database or on the disk.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Step {
            $($(#[$meta])* $name,)+
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name in the model, in traces and in logs.
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
    /// Write down what is going to be published; look at the blob's row.
    PublishIntent = "publish.intent",
    /// Look whether the file of an adopted blob is there and has the right size.
    PublishCheck = "publish.check",
    /// Write the temporary file, hashing on the way.
    PublishWrite = "publish.write",
    /// Make the temporary file's octets durable.
    PublishSyncFile = "publish.sync_file",
    /// Tell the intent a digest that was not known before; look at the blob's row.
    PublishName = "publish.name",
    /// Give the file its name.
    PublishRename = "publish.rename",
    /// Make the file's name durable.
    PublishSyncDir = "publish.sync_dir",
    /// Make or adopt the row of one blob; the intent stays.
    PublishLand = "publish.land",
    /// Delete the intents, which must all be there; make the image.
    PublishCommit = "publish.commit",
    /// Remove the own file that was not used.
    PublishDiscard = "publish.discard",
    /// Mark rows of blobs that nothing uses.
    CollectTombstone = "collect.tombstone",
    /// Find rows that a collector marked and did not finish.
    CollectResume = "collect.resume",
    /// Remove the file of a marked row.
    CollectUnlink = "collect.unlink",
    /// Delete a marked row.
    CollectForget = "collect.forget",
    /// List the files; before the rows are read.
    SweepList = "sweep.list",
    /// Read the rows and the intents; after the files were listed.
    SweepCheck = "sweep.check",
    /// Remove a file that no row and no intent names.
    SweepUnlink = "sweep.unlink",
    /// Read a row's file again.
    ScrubLook = "scrub.look",
    /// Mark the row of a file that is missing or wrong, if it is still its file.
    ScrubMark = "scrub.mark",
    /// Put a wrong file where nobody takes it for the blob's.
    ScrubSetAside = "scrub.set_aside",
    /// Forget the intents of holders that are gone.
    IntentExpire = "intent.expire",
    /// Take a lease.
    LeaseAcquire = "lease.acquire",
    /// Move the end of a holder's leases.
    LeaseRenew = "lease.renew",
    /// Stop using an image because the holder's own clock says so.
    LeaseStop = "lease.stop",
    /// Give a lease back.
    LeaseRelease = "lease.release",
    /// Forget the leases of holders that are gone.
    LeaseExpire = "lease.expire",
    /// Delete an image that nothing claims.
    ImageRemove = "image.remove",
    /// Decide which images the policy lets go.
    EvictPlan = "evict.plan",
    /// Delete an image that the policy lets go, if nothing claims it by now.
    EvictRemove = "evict.remove",
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Is told each step before it happens.
#[async_trait]
pub trait Steps: Send + Sync + std::fmt::Debug {
    /// The step is next. An error ends the operation here, as a crash would: nothing is cleaned up on that way.
    async fn before(&self, step: Step) -> Result<()>;
}

/// Lets every step pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

#[async_trait]
impl Steps for Unobserved {
    async fn before(&self, _: Step) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = Step::ALL.iter().map(|step| step.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
