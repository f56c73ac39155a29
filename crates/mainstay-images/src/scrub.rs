//! Reading everything again and comparing it with its digest, at rest and from where it was left.

use mainstay_core::Timestamp;
use mainstay_repo::{Expect, Row};
use serde::Serialize;

use crate::blob::{Blob, BlobState};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
pub use crate::examine::Unread;
use crate::examine::{Seen, is_lost};
use crate::files::layout;
use crate::gc::{Pace, Tranquility};
use crate::ids::{BlobId, Incarnation};
use crate::images::{Images, MAX_PAGE, rows};
use crate::read::Found;
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;
use crate::store::sql::octets;

/// Blobs between two notes of how far it came.
const PAGE: u32 = 64;
/// Octets between two notes: what is read again after an interruption, but for the blob that was being read.
const NOTED_BYTES: u64 = 256 * 1024 * 1024;

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
    /// Files of which this call could say nothing; it is told once, and not remembered.
    pub unread: Option<Unread>,
}

impl ScrubReport {
    /// The report, if the call that it is of could read every file.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`] when there were files of which it could say nothing.
    pub fn told(self) -> Result<Self> {
        self.unread.as_ref().map_or(Ok(()), |unread| Err(unread.error()))?;
        Ok(self)
    }
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
    /// The medium cannot give it back, between two proofs that it takes and keeps what is written to it. The file stays where it is
    /// until its blob is repaired or goes.
    Unreadable,
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
    /// What the system said of a file that cannot be read.
    pub unreadable: Option<String>,
    /// What became of it.
    pub state: FindingState,
}

fn read_finding(row: &Row) -> Result<Finding> {
    let inc: i64 = row.get("inc")?;
    let unreadable: Option<String> = row.get("unreadable")?;
    let (state, present): (Option<i64>, Option<i64>) = (row.get("state")?, row.get("present_inc")?);
    let state = state.map(BlobState::from_stored).transpose()?;
    Ok(Finding {
        id: row.get("id")?,
        found_at: row.get("found_at")?,
        digest: store::blobs::read_digest(row)?,
        incarnation: Incarnation(inc),
        size_bytes: row.get("size")?,
        fault: match row.get::<i64>("what")? {
            Found::MISSING => Fault::Missing,
            _ if unreadable.is_some() => Fault::Unreadable,
            _ => Fault::Wrong,
        },
        unreadable,
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
        unread: None,
    })
}

impl Images {
    /// Reads blobs again, from where the last call left off, and sets aside what does not hold what it should. When another
    /// ends the pass, or begins one anew, this returns with what that one has come to.
    ///
    /// A file that the medium lost (an input/output error, or a checksum of the file system) while it answers to everything else is
    /// damaged as one that is wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`](crate::ErrorKind::Medium) when the medium is away: nothing is said of what it holds, and the next call
    /// begins there; of the database. Files that could not be read for another reason (who may read them, say) are in the report.
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
        let (mut pace, mut unread) = (Pace::new(options.tranquility), None);
        'pass: while left > 0 {
            let limit = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
            let after = cursor.map_or_else(Vec::new, |digest: Digest| digest.as_bytes().to_vec());
            let found = self.shared.slow.read(store::blobs::page(&after, &[u8::MAX; 33], limit)).await?;
            let Some(last) = found.last() else {
                self.end_scrub(pass).await?;
                break;
            };
            cursor = Some(store::blobs::read_digest(last)?);
            left = left.saturating_sub(found.len() as u64);
            for part in parts(&found)? {
                if !self.scrub_part(pass, part, &mut pace, &mut unread).await? {
                    break 'pass;
                }
            }
            pace.rest().await;
        }
        let (_, report) = self.scrub_state().await?;
        Ok(ScrubReport { unread, ..report })
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

    /// Reads some blobs of a pass; no if the pass is not under way any more. What was found is true all the same, and stays.
    async fn scrub_part(
        &self,
        pass: Timestamp,
        part: &[Row],
        pace: &mut Pace,
        unread: &mut Option<Unread>,
    ) -> Result<bool> {
        let (mut good, mut failed) = (Vec::new(), Vec::new());
        let mut cursor = None;
        for row in part {
            cursor = Some(store::blobs::read_digest(row)?);
            if BlobState::from_stored(row.get("state")?)? != BlobState::Present {
                continue;
            }
            let file = Scrubbed::read(row)?;
            match self.look_at(&file, pace).await? {
                Seen::Found(Found::Good) => good.push(file),
                Seen::Found(found) => self.mark_scrubbed(pass, &file, found).await?,
                Seen::Failed(error) => failed.push((file, error)),
            }
        }
        for (file, error) in failed {
            match self.look_between_proofs(&file, error, pace).await? {
                Seen::Found(Found::Good) => good.push(file),
                Seen::Found(found) => self.mark_scrubbed(pass, &file, found).await?,
                Seen::Failed(error) => {
                    let now = Unread::of(&file.path(), &error);
                    *unread = Some(match unread.take() {
                        Some(before) => before.and(Some(now)),
                        None => now,
                    });
                }
            }
        }
        let Some(cursor) = cursor else { return Ok(true) };
        let ids: Vec<i64> = good.iter().map(|file| file.id.get()).collect();
        let bytes = good.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let checked = i64::try_from(good.len()).unwrap_or(i64::MAX);
        let mut batch = Guarded::new("images.scrub_page");
        batch.push(store::blobs::verified(&ids));
        let noted = batch.push(store::scrub::advance(pass, &cursor, checked, octets(bytes)));
        let outcome = batch.run(&self.shared.slow).await?;
        Ok(outcome.get(noted).is_some_and(|written| written.rows_affected() == 1))
    }

    async fn look_at(&self, file: &Scrubbed, pace: &mut Pace) -> Result<Seen> {
        self.before(Step::ScrubLook).await?;
        self.examine(file.path(), &file.digest, file.size, pace).await
    }

    /// Looks again at a file that could not be read. Nothing follows while the medium is away, and one that comes and goes is away: what
    /// it does not give back between two proofs that it is there is lost.
    async fn look_between_proofs(
        &self,
        file: &Scrubbed,
        error: std::io::Error,
        pace: &mut Pace,
    ) -> Result<Seen> {
        if !is_lost(&error) {
            self.shared.disk.prove().await?;
            return Ok(Seen::Failed(error));
        }
        let is_alive = self.prove_alive().await?;
        match self.look_at(file, pace).await? {
            Seen::Failed(error) if is_alive && is_lost(&error) => Ok(if self.prove_alive().await? {
                Seen::Found(Found::Unreadable(error.to_string()))
            } else {
                Seen::Failed(error)
            }),
            seen => Ok(seen),
        }
    }

    /// A blob that was collected or repaired in the meantime is neither marked nor counted.
    async fn mark_scrubbed(&self, pass: Timestamp, file: &Scrubbed, found: Found) -> Result<()> {
        let count = store::scrub::count_damaged(pass, octets(file.size));
        self.mark_damaged(file.id, &file.digest, file.incarnation, found, Some(count)).await.map(drop)
    }
}

/// A file that is read again.
struct Scrubbed {
    id: BlobId,
    digest: Digest,
    incarnation: Incarnation,
    size: u64,
}

impl Scrubbed {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: BlobId(row.get("id")?),
            digest: store::blobs::read_digest(row)?,
            incarnation: Incarnation(row.get("inc")?),
            size: row.get("size")?,
        })
    }

    fn path(&self) -> String {
        layout::blob(&self.digest, self.incarnation.get())
    }
}

/// A page in parts, behind each of which it is noted how far the pass came.
fn parts(page: &[Row]) -> Result<Vec<&[Row]>> {
    let (mut parts, mut rest, mut bytes, mut length) = (Vec::new(), page, 0_u64, 0);
    for row in page {
        bytes = bytes.saturating_add(row.get::<u64>("size")?);
        length += 1;
        if bytes >= NOTED_BYTES
            && let Some((part, behind)) = rest.split_at_checked(length)
        {
            parts.push(part);
            (rest, bytes, length) = (behind, 0, 0);
        }
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    Ok(parts)
}
