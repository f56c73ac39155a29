//! Reading everything again and comparing it with its digest, at rest and from where it was left.

use mainstay_core::Timestamp;
use mainstay_repo::{Expect, Row};
use serde::Serialize;
use tokio::time::Instant;

use crate::blob::{Blob, BlobState};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;
use crate::gc::Tranquility;
use crate::ids::{BlobId, Incarnation};
use crate::images::{Images, MAX_PAGE, rows};
use crate::read::{Found, examine};
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;
use crate::store::sql::octets;

/// Blobs between two notes of how far it came.
const PAGE: u32 = 64;

/// How a scrub goes about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Begin anew, whatever was left of the last pass.
    pub restart: bool,
    /// Go on with the pass that began then, and with no other: nothing is read when it has ended, or another was begun. For what
    /// reads a pass by several calls, of which only the first may begin one.
    pub pass: Option<Timestamp>,
    /// Stop after so many blobs; the next call goes on from there.
    pub most_blobs: Option<u64>,
    /// How much rest follows each piece of work.
    pub tranquility: Tranquility,
}

/// How far a pass has come, over all calls that it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScrubReport {
    /// When the pass began.
    pub started_at: Option<Timestamp>,
    /// When it ended; none while it is under way.
    pub ended_at: Option<Timestamp>,
    /// Blobs that were read and found good, and blobs that were found missing or wrong: each once, however often the pass was
    /// interrupted.
    pub checked: u64,
    /// The octets that these blobs should have.
    pub bytes: u64,
    /// Blobs that were found missing or wrong.
    pub damaged: u64,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It holds other octets than it should; it lies in quarantine until its blob goes.
    Wrong,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingState {
    /// The blob cannot be had; publishing its content again repairs it.
    Open,
    /// Its content was published again.
    Repaired,
    /// Nothing used the blob any more, and it is gone or going.
    Removed,
}

/// A blob that was found missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its number; later ones have higher numbers.
    pub id: i64,
    /// When it was found, by the database's clock.
    pub found_at: Timestamp,
    /// The blob.
    pub digest: Digest,
    /// Whose file it was.
    pub incarnation: Incarnation,
    /// How long the file should be, in octets.
    pub size_bytes: u64,
    /// What was wrong.
    pub fault: Fault,
    /// What became of it.
    pub state: FindingState,
}

fn read_finding(row: &Row) -> Result<Finding> {
    let inc: i64 = row.get("inc")?;
    let (state, present): (Option<i64>, Option<i64>) = (row.get("state")?, row.get("present_inc")?);
    let state = state.map(BlobState::from_stored).transpose()?;
    Ok(Finding {
        id: row.get("id")?,
        found_at: row.get("found_at")?,
        digest: store::blobs::read_digest(row)?,
        incarnation: Incarnation(inc),
        size_bytes: row.get("size")?,
        fault: if row.get::<i64>("what")? == Found::MISSING { Fault::Missing } else { Fault::Wrong },
        state: match state {
            None | Some(BlobState::Deleting) => FindingState::Removed,
            Some(_) if present != Some(inc) => FindingState::Repaired,
            Some(_) => FindingState::Open,
        },
    })
}

fn read_report(row: &Row) -> Result<ScrubReport> {
    Ok(ScrubReport {
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        checked: row.get("checked")?,
        bytes: row.get("bytes")?,
        damaged: row.get("damaged")?,
    })
}

impl Images {
    /// Reads blobs again, from where the last call left off, and sets aside what does not hold what it should. When another
    /// ends the pass, or begins one anew, this returns with what that one has come to.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`](crate::ErrorKind::Medium) when a file can neither be read nor is it absent: nothing is said of
    /// it, and the next call begins there; of the database.
    pub async fn scrub(&self, options: &ScrubOptions) -> Result<ScrubReport> {
        self.shared.disk.prove().await?;
        let (mut cursor, report) = self.scrub_state().await?;
        let under_way = report.started_at.filter(|_| report.ended_at.is_none() && !options.restart);
        if options.pass.is_some() && options.pass != under_way {
            return Ok(report);
        }
        let pass = match under_way {
            Some(pass) => pass,
            None => {
                cursor = None;
                let begun = self.shared.slow.write(store::scrub::begin()).await?;
                let row = begun.rows().first();
                row.ok_or_else(|| Error::internal("the scrub's row is gone"))?.get("started_at")?
            }
        };
        let mut left = options.most_blobs.unwrap_or(u64::MAX);
        let mut began = Instant::now();
        while left > 0 {
            let limit = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
            let after = cursor.map_or_else(Vec::new, |digest: Digest| digest.as_bytes().to_vec());
            let found = self.shared.slow.read(store::blobs::page(&after, &[u8::MAX; 33], limit)).await?;
            let Some(last) = found.last() else {
                self.end_scrub(pass).await?;
                break;
            };
            cursor = Some(store::blobs::read_digest(last)?);
            left = left.saturating_sub(found.len() as u64);
            if !self.scrub_page(pass, &found).await? {
                break;
            }
            began = options.tranquility.pause(began).await;
        }
        self.scrub_state().await.map(|(_, report)| report)
    }

    /// How far the present or the last pass came.
    ///
    /// # Errors
    /// Of the database.
    pub async fn scrub_report(&self) -> Result<ScrubReport> {
        self.scrub_state().await.map(|(_, report)| report)
    }

    /// Blobs that are missing or wrong, at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// Of the database.
    pub async fn damaged_blobs(&self) -> Result<Vec<Blob>> {
        rows(self.repo().read(store::blobs::damaged(MAX_PAGE)).await?, store::blobs::read)
    }

    /// How many blobs are missing or wrong.
    ///
    /// # Errors
    /// Of the database.
    pub async fn damaged_count(&self) -> Result<u64> {
        let found = self.repo().read(store::blobs::damaged_count()).await?;
        Ok(found.first().map_or(Ok(0), |row| row.get("damaged"))?)
    }

    /// Passes that were read to their end, the newest first; at most 200 are remembered.
    ///
    /// # Errors
    /// Of the database.
    pub async fn scrubs(&self, limit: u32) -> Result<Vec<ScrubReport>> {
        rows(self.repo().read(store::scrub::runs(limit.min(MAX_PAGE))).await?, read_report)
    }

    /// What was found missing or wrong, by scrubs and by readers, the newest first, before one finding; at most
    /// [`MAX_PAGE`] at once, and 10,000 are remembered.
    ///
    /// # Errors
    /// Of the database.
    pub async fn findings(&self, before: Option<i64>, limit: u32) -> Result<Vec<Finding>> {
        let statement = store::scrub::findings(before.unwrap_or(i64::MAX), limit.min(MAX_PAGE));
        rows(self.repo().read(statement).await?, read_finding)
    }

    /// Ends a pass once, whoever else ends it too.
    async fn end_scrub(&self, pass: Timestamp) -> Result<()> {
        let mut batch = Guarded::new("images.scrub_end");
        batch.require(Expect::ONE, store::scrub::end(pass), || {
            Error::new(ErrorKind::Conflict, "another ended this pass")
        });
        for statement in store::scrub::record() {
            batch.push(statement);
        }
        match batch.run(&self.shared.slow).await {
            Err(error) if matches!(error.kind(), ErrorKind::Conflict) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn scrub_state(&self) -> Result<(Option<Digest>, ScrubReport)> {
        let found = self.repo().read(store::scrub::read()).await?;
        let row = found.first().ok_or_else(|| Error::internal("the scrub's row is gone"))?;
        Ok((store::scrub::cursor(row)?, read_report(row)?))
    }

    /// Reads a page of a pass; no if the pass is not under way any more. What was found is true all the same, and stays.
    async fn scrub_page(&self, pass: Timestamp, page: &[Row]) -> Result<bool> {
        let (mut good, mut bytes) = (Vec::new(), 0_u64);
        let mut bad: Vec<(BlobId, Digest, Incarnation, Found, u64)> = Vec::new();
        let mut cursor = None;
        for row in page {
            let (id, inc) = (row.get::<i64>("id")?, row.get::<i64>("inc")?);
            let (digest, size) = (store::blobs::read_digest(row)?, row.get::<u64>("size")?);
            cursor = Some(digest);
            if BlobState::from_stored(row.get("state")?)? != BlobState::Present {
                continue;
            }
            let path = layout::blob(&digest, inc);
            self.before(Step::ScrubLook).await?;
            let seen = self.shared.disk.run(move |files| examine(files, &path, &digest, size)).await?;
            if seen == Found::Good {
                good.push(id);
                bytes = bytes.saturating_add(size);
            } else {
                bad.push((BlobId(id), digest, Incarnation(inc), seen, size));
            }
        }
        for (id, digest, incarnation, seen, size) in bad {
            // A blob that was collected or repaired in the meantime is neither marked nor counted.
            let count = store::scrub::count_damaged(pass, octets(size));
            self.mark_damaged(id, &digest, incarnation, seen, Some(count)).await?;
        }
        let Some(cursor) = cursor else { return Ok(true) };
        let mut batch = Guarded::new("images.scrub_page");
        batch.push(store::blobs::verified(&good));
        let checked = i64::try_from(good.len()).unwrap_or(i64::MAX);
        let noted = batch.push(store::scrub::advance(pass, &cursor, checked, octets(bytes)));
        let outcome = batch.run(&self.shared.slow).await?;
        Ok(outcome.get(noted).is_some_and(|written| written.rows_affected() == 1))
    }
}
