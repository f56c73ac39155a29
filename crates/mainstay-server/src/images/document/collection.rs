//! What a collection would do, and what past ones did.

use mainstay_core::Timestamp;
use mainstay_images::gc::Plan;
use mainstay_images::gc::evict::{Eviction, Reason};
use mainstay_images::{Beginnings, CollectReport, CollectRun, Collecting};
use serde::Serialize;

use super::{LayerLine, named};
use crate::images::work::FailureLine;
use crate::limits;

/// An image that the policy lets go.
#[derive(Debug, Clone, Serialize)]
pub struct EvictionLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// What a person called it.
    pub label: Option<String>,
    /// `age` or `room`.
    pub reason: &'static str,
    /// Octets that it gives back.
    pub frees_bytes: u64,
    /// When it was last used.
    pub last_used_at: String,
}

impl From<Eviction> for EvictionLine {
    fn from(eviction: Eviction) -> Self {
        let reason = match eviction.reason {
            Reason::Age => "age",
            Reason::Room => "room",
            _ => "other",
        };
        Self {
            digest: named(&eviction.digest),
            label: eviction.label,
            reason,
            frees_bytes: eviction.frees_bytes,
            last_used_at: eviction.last_used_at.to_string(),
        }
    }
}

/// What a collection would do now.
#[derive(Debug, Clone, Serialize)]
pub struct PlanDocument {
    /// Images that would be let go.
    pub evict: Vec<EvictionLine>,
    /// Blobs that would be removed.
    pub blobs: Vec<LayerLine>,
    /// Octets of the blobs.
    pub bytes: u64,
    /// Files that nothing names, relative to the store's directory.
    pub orphans: Vec<String>,
    /// Octets of these files.
    pub orphan_bytes: u64,
    /// Beginnings of blobs that would be kept for pulls to go on with; they go where room is wanted.
    pub beginnings: Beginnings,
    /// Blobs that are used and not on disk.
    pub missing: Vec<String>,
    /// How many there are of each, of which a server lists no more than the first.
    pub total: PlanTotal,
}

impl PlanDocument {
    /// With so many of each at most; the total tells how many there are.
    #[must_use]
    pub fn listing(mut self, most: usize) -> Self {
        self.evict.truncate(most);
        self.blobs.truncate(most);
        self.orphans.truncate(most);
        self.missing.truncate(most);
        self
    }
}

impl From<Plan> for PlanDocument {
    fn from(plan: Plan) -> Self {
        let blobs = plan.blobs.iter();
        let total = PlanTotal {
            evict: plan.evict.len(),
            blobs: plan.blobs.len(),
            orphans: plan.orphans.len(),
            missing: plan.missing.len(),
        };
        Self {
            total,
            evict: plan.evict.into_iter().map(EvictionLine::from).collect(),
            blobs: blobs
                .map(|(digest, size)| LayerLine { digest: named(digest), size_bytes: *size })
                .collect(),
            bytes: plan.bytes,
            orphans: plan.orphans,
            orphan_bytes: plan.orphan_bytes,
            beginnings: plan.beginnings,
            missing: plan.missing.iter().map(named).collect(),
        }
    }
}

/// How many a collection would remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlanTotal {
    /// Images that would be let go.
    pub evict: usize,
    /// Blobs that would be removed.
    pub blobs: usize,
    /// Files that nothing names.
    pub orphans: usize,
    /// Blobs that are used and not on disk.
    pub missing: usize,
}

/// What a collection did.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionDocument {
    /// Holders that had ended.
    pub holders_reaped: u64,
    /// Their leases.
    pub leases_reaped: u64,
    /// Images that the policy let go.
    pub images_evicted: u64,
    /// Blobs that were removed.
    pub blobs_removed: u64,
    /// Their octets.
    pub bytes_removed: u64,
    /// Files that nothing named.
    pub orphans_removed: u64,
    /// Their octets.
    pub orphan_bytes: u64,
    /// Files that would not go.
    pub unlink_failures: u64,
    /// Files that are none of this store's; they are left alone.
    pub foreign_files: u64,
    /// Blobs that are used and not on disk: the first 100.
    pub missing: Vec<String>,
    /// How many there are of them.
    pub missing_total: u64,
    /// Blobs that no image uses and that wait for their time.
    pub waiting: u64,
}

impl From<CollectReport> for CollectionDocument {
    fn from(report: CollectReport) -> Self {
        Self {
            holders_reaped: report.holders_reaped,
            leases_reaped: report.leases_reaped,
            images_evicted: report.images_evicted,
            blobs_removed: report.blobs_removed,
            bytes_removed: report.bytes_removed,
            orphans_removed: report.orphans_removed,
            orphan_bytes: report.orphan_bytes,
            unlink_failures: report.unlink_failures,
            foreign_files: report.foreign_files,
            missing: report.missing.iter().take(limits::MISSING_LISTED).map(named).collect(),
            missing_total: report.missing.len() as u64,
            waiting: report.waiting,
        }
    }
}

/// A past collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionLine {
    /// Its number.
    pub number: i64,
    /// Who collected.
    pub collector: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: String,
    /// What it did.
    #[serde(flatten)]
    pub report: CollectionDocument,
}

impl From<CollectRun> for CollectionLine {
    fn from(run: CollectRun) -> Self {
        Self {
            number: run.id,
            collector: run.collector,
            started_at: run.started_at.to_string(),
            ended_at: run.ended_at.to_string(),
            report: run.report.into(),
        }
    }
}

/// Past collections, and whether one goes on.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionsDocument {
    /// Who collects at the moment; null if nobody does.
    pub collector: Option<String>,
    /// Until when collecting is off; null if it is not.
    pub off_until: Option<String>,
    /// Why the last one that was asked of this server did not end well; null if it did, or goes on.
    pub failed: Option<FailureLine>,
    /// Past ones, the newest first.
    pub collections: Vec<CollectionLine>,
}

impl CollectionsDocument {
    /// Of what the store says, and this server.
    #[must_use]
    pub fn new(now: Collecting, failed: Option<FailureLine>, collections: Vec<CollectionLine>) -> Self {
        Self {
            collector: now.collector,
            off_until: now.off_until.map(|until| until.to_string()),
            failed,
            collections,
        }
    }
}

/// That nothing is collected for a while.
#[derive(Debug, Clone, Serialize)]
pub struct OffDocument {
    /// Until when, by the database's clock.
    pub off_until: String,
}

impl From<Timestamp> for OffDocument {
    fn from(until: Timestamp) -> Self {
        Self { off_until: until.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_images::Digest;

    use super::*;

    #[test]
    fn a_plan_lists_the_first_of_each_and_says_how_many_there_are() {
        let file = |at: usize| format!("blobs/ab/{at}");
        let mut plan = Plan::default();
        plan.orphans = (0..3).map(file).collect();
        plan.missing = vec![Digest::of(b"x")];
        let whole = PlanDocument::from(plan.clone()).listing(3);
        assert_eq!(whole.orphans.len(), 3);
        let listed = PlanDocument::from(plan).listing(2);
        assert_eq!((listed.orphans, listed.missing.len()), (vec![file(0), file(1)], 1));
        assert_eq!(listed.total, PlanTotal { evict: 0, blobs: 0, orphans: 3, missing: 1 });
    }
    #[test]
    fn a_collection_tells_the_first_that_are_missing_and_how_many_there_are() {
        for missing in [limits::MISSING_LISTED, limits::MISSING_LISTED + 1] {
            let mut report = CollectReport::default();
            report.missing = (0..missing).map(|at| Digest::of(&at.to_le_bytes())).collect();
            let told = CollectionDocument::from(report);
            assert_eq!((told.missing.len(), told.missing_total), (limits::MISSING_LISTED, missing as u64));
        }
    }
}
