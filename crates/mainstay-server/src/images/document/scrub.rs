//! Whether everything still holds what it should.

use mainstay_images::{Fault, Finding, FindingState, Images, Result, ScrubReport};
use serde::Serialize;

use super::{LayerLine, named, next};
use crate::images::work::FailureLine;

/// How far reading everything again has come.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubDocument {
    /// When the pass began; null if there was none yet.
    pub started_at: Option<String>,
    /// When it ended; null while it is under way.
    pub ended_at: Option<String>,
    /// Blobs that were read.
    pub checked: u64,
    /// Their octets.
    pub bytes: u64,
    /// Blobs that the pass found missing or wrong.
    pub damaged: u64,
    /// Blobs that are missing or wrong now: the first 1,000.
    pub damaged_now: Vec<LayerLine>,
    /// How many there are of them.
    pub damaged_now_total: u64,
}

impl ScrubDocument {
    /// A report, with what is damaged now.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, report: ScrubReport) -> Result<Self> {
        let damaged = images.damaged_blobs().await?;
        Ok(Self {
            damaged_now_total: images.damaged_count().await?,
            started_at: report.started_at.map(|at| at.to_string()),
            ended_at: report.ended_at.map(|at| at.to_string()),
            checked: report.checked,
            bytes: report.bytes,
            damaged: report.damaged,
            damaged_now: damaged
                .iter()
                .map(|blob| LayerLine { digest: named(&blob.digest), size_bytes: blob.size_bytes })
                .collect(),
        })
    }
}

/// How far reading everything again has come, and whether this server goes on with it.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubState {
    /// How far it has come.
    #[serde(flatten)]
    pub scrub: ScrubDocument,
    /// Whether this server reads at the moment; the command line or another server may.
    pub running: bool,
    /// Why the last one that was asked of this server stopped; null if it did not, or goes on.
    pub failed: Option<FailureLine>,
}

/// A pass that was read to its end.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubLine {
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Blobs that were read.
    pub checked: u64,
    /// Their octets.
    pub bytes: u64,
    /// Blobs that it found missing or wrong.
    pub damaged: u64,
}

impl From<ScrubReport> for ScrubLine {
    fn from(report: ScrubReport) -> Self {
        Self {
            started_at: report.started_at.map(|at| at.to_string()),
            ended_at: report.ended_at.map(|at| at.to_string()),
            checked: report.checked,
            bytes: report.bytes,
            damaged: report.damaged,
        }
    }
}

/// Passes that were read to their end.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubsDocument {
    /// The newest first; the newest 200 are remembered.
    pub scrubs: Vec<ScrubLine>,
}

impl ScrubsDocument {
    /// Reads the newest passes.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, limit: u32) -> Result<Self> {
        Ok(Self { scrubs: images.scrubs(limit).await?.into_iter().map(ScrubLine::from).collect() })
    }
}

/// A blob that was found missing or wrong, by a scrub or by whoever read it.
#[derive(Debug, Clone, Serialize)]
pub struct FindingLine {
    /// Its number; a later finding has a greater one.
    pub number: i64,
    /// When it was found, by the database's clock.
    pub found_at: String,
    /// The blob's digest.
    pub digest: String,
    /// The number of its file: the end of the file's name.
    pub file: i64,
    /// How long the file should be, in octets.
    pub size_bytes: u64,
    /// `missing`, `wrong` when it held other octets, or `unreadable` when the medium could not give it back.
    pub fault: &'static str,
    /// `open` while the blob cannot be had, `repaired`, or `removed` when nothing used it any more.
    pub state: &'static str,
}

impl From<Finding> for FindingLine {
    fn from(finding: Finding) -> Self {
        Self {
            number: finding.id,
            found_at: finding.found_at.to_string(),
            digest: named(&finding.digest),
            file: finding.incarnation.get(),
            size_bytes: finding.size_bytes,
            fault: match finding.fault {
                Fault::Missing => "missing",
                Fault::Wrong => "wrong",
                Fault::Unreadable => "unreadable",
                // A fault or a state that a later version adds.
                _ => "other",
            },
            state: match finding.state {
                FindingState::Open => "open",
                FindingState::Repaired => "repaired",
                FindingState::Removed => "removed",
                _ => "other",
            },
        }
    }
}

/// A page of findings.
#[derive(Debug, Clone, Serialize)]
pub struct FindingPage {
    /// The findings, the newest first; the newest 10,000 are remembered.
    pub findings: Vec<FindingLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl FindingPage {
    /// Reads a page of findings before one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, after: Option<i64>, limit: u32) -> Result<Self> {
        let found = images.findings(after, limit).await?;
        let next = next(&found, limit, |finding| finding.id);
        Ok(Self { findings: found.into_iter().map(FindingLine::from).collect(), next })
    }
}
