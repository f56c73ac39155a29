//! Whether everything still holds what it should.

use mainstay_images::{Images, Result, ScrubReport};
use serde::Serialize;

use super::{LayerLine, named};
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
    /// Blobs that are missing or wrong now.
    pub damaged_now: Vec<LayerLine>,
}

impl ScrubDocument {
    /// A report, with what is damaged now.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(images: &Images, report: ScrubReport) -> Result<Self> {
        let damaged = images.damaged_blobs().await?;
        Ok(Self {
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
