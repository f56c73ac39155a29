//! The sweep over the directory: files that nothing names go, rows without a file are told.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::sweep::{File, Merged, Row, merge};
use super::{CollectOptions, CollectReport};
use crate::blob::BlobState;
use crate::disk::unlink;
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;
use crate::ids::{BlobId, Incarnation};
use crate::images::{Images, rows};
use crate::publish::Beginnings;
use crate::read::Found;
use crate::step::Step;
use crate::store;

/// Rows that are compared at once.
const PAGE: u32 = 50_000;

/// Shards that are compared at once.
const AT_ONCE: u8 = 16;

/// The first shard of each comparison.
pub(super) fn shards() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).step_by(usize::from(AT_ONCE))
}

/// A proof of the directory is written and removed, or named, within moments: one that is older was left by a process that was killed.
const LEFT_PROOF_AGE: Duration = Duration::from_secs(3600);

/// What lies among the unfinished files.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    pub(super) orphans: Vec<String>,
    pub(super) kept: Beginnings,
}

/// What some shards came to.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) merged: Merged,
    /// Names that this crate never gives; they are left alone.
    pub(super) foreign: u64,
}

impl Images {
    /// Lists the files of neighbouring shards, then reads their rows and all intents but those of some holders.
    pub(super) async fn compare(&self, first: u8, but: &BTreeSet<i64>) -> Result<Shard> {
        let last = first.saturating_add(AT_ONCE - 1);
        self.before(Step::SweepList).await?;
        let (mut files, foreign) = self
            .shared
            .disk
            .run(move |on_disk| {
                let (mut files, mut foreign): (Vec<File>, u64) = (Vec::new(), 0);
                for shard in first..=last {
                    let directory = layout::shard(shard);
                    let names = on_disk.list(&directory);
                    for name in names.map_err(|error| Error::medium("cannot list", &directory, error))? {
                        match layout::parse_blob(&name).filter(|(digest, _)| digest.shard() == shard) {
                            Some(file) => files.push(file),
                            None => foreign += 1,
                        }
                    }
                }
                Ok((files, foreign))
            })
            .await?;
        files.sort_unstable();
        let mut found = Shard { foreign, ..Shard::default() };
        self.before(Step::SweepCheck).await?;
        let highest = files.iter().map(|(_, inc)| *inc).max().unwrap_or(0);
        let end: Vec<u8> = [last].into_iter().chain([u8::MAX; 32]).collect();
        let mut after = vec![first];
        let mut rest = files.as_slice();
        loop {
            let page = self.page(&after, &end, highest, but).await?;
            let (rows, intents) = &page;
            let is_last = rows.len() < PAGE as usize;
            let here = match rows.last().filter(|_| !is_last) {
                None => rest.len(),
                Some(last) => rest.partition_point(|file| file.0 <= last.digest),
            };
            let (now, later) = rest.split_at_checked(here).unwrap_or((rest, &[]));
            let merged = merge(now, rows, intents);
            found.merged.orphans.extend(merged.orphans);
            found.merged.missing.extend(merged.missing);
            let Some(last) = rows.last().filter(|_| !is_last) else { return Ok(found) };
            after = last.digest.as_bytes().to_vec();
            rest = later;
        }
    }

    /// A page of rows and all intents, of one moment.
    async fn page(
        &self,
        after: &[u8],
        end: &[u8],
        highest: i64,
        but: &BTreeSet<i64>,
    ) -> Result<(Vec<Row>, BTreeSet<i64>)> {
        let statements =
            vec![store::blobs::page(after, end, PAGE), store::intents::all(), store::intents::last()];
        let mut results = self.shared.slow.read_many(statements).await?.into_iter();
        let mut next = || results.next().unwrap_or_default();
        let rows = rows(next(), |row| {
            Ok(Row {
                id: row.get("id")?,
                digest: store::blobs::read_digest(row)?,
                inc: row.get("inc")?,
                state: BlobState::from_stored(row.get("state")?)?,
            })
        })?;
        let intents = store::intents::numbers(&next(), but)?;
        let last: i64 = next().first().map_or(Ok(0), |row| row.get("inc"))?;
        if highest > last {
            // A number that was never given by this database: it is older than its files.
            return Err(Error::new(
                ErrorKind::CollectingOff,
                format!("a file has the number {highest}, and the database gave numbers up to {last}: it was restored"),
            )
            .with_help("collecting stays off for one time to live, so that holders can acquire anew"));
        }
        Ok((rows, intents))
    }

    async fn names(&self, directory: String) -> Result<Vec<String>> {
        self.shared
            .disk
            .run(move |files| {
                files.list(&directory).map_err(|error| Error::medium("cannot list", &directory, error))
            })
            .await
    }

    /// Sweeps all shards and the unfinished files.
    pub(super) async fn sweep(
        &self,
        options: &CollectOptions,
        collector: &super::collect::Elected<'_>,
        is_room_wanted: bool,
        report: &mut CollectReport,
    ) -> Result<()> {
        let mut began = Instant::now();
        self.sweep_staging(is_room_wanted, report).await?;
        self.sweep_quarantine(report).await?;
        for first in shards() {
            let found = self.compare(first, &BTreeSet::new()).await?;
            report.foreign_files += found.foreign;
            // What is not there is only not there while the medium is.
            if !found.merged.orphans.is_empty() || !found.merged.missing.is_empty() {
                self.shared.disk.prove().await?;
            }
            for missing in &found.merged.missing {
                self.tell_missing(missing, report).await?;
            }
            if !found.merged.orphans.is_empty() {
                self.before(Step::SweepUnlink).await?;
                let paths =
                    found.merged.orphans.iter().map(|(digest, inc)| layout::blob(digest, *inc)).collect();
                self.unlink_orphans(paths, report).await?;
            }
            collector.extend(self).await?;
            began = options.tranquility.pause(began).await;
        }
        Ok(())
    }

    pub(super) async fn sweep_staging(&self, is_room_wanted: bool, report: &mut CollectReport) -> Result<()> {
        let found = self.unfinished(is_room_wanted, &BTreeSet::new()).await?;
        if found.orphans.is_empty() {
            return Ok(());
        }
        self.before(Step::SweepUnlink).await?;
        self.unlink_orphans(found.orphans, report).await
    }

    /// Unfinished files that nobody works on; intents of some holders announce nothing.
    pub(super) async fn unfinished(&self, is_room_wanted: bool, but: &BTreeSet<i64>) -> Result<Unfinished> {
        self.before(Step::SweepList).await?;
        let names = self.names(layout::STAGING.to_owned()).await?;
        let staged: Vec<i64> = names.iter().filter_map(|name| layout::parse_staged(name)).collect();
        let mut partials: Vec<File> = names.iter().filter_map(|name| layout::parse_blob(name)).collect();
        self.before(Step::SweepCheck).await?;
        let intents = store::intents::numbers(&self.shared.slow.read(store::intents::all()).await?, but)?;
        let mut orphans: Vec<String> =
            staged.into_iter().filter(|inc| !intents.contains(inc)).map(layout::staged).collect();
        partials.retain(|(_, inc)| !intents.contains(inc));
        let (spent, kept) = self.spent_partials(partials, is_room_wanted).await?;
        orphans.extend(spent);
        Ok(Unfinished { orphans, kept })
    }

    async fn sweep_quarantine(&self, report: &mut CollectReport) -> Result<()> {
        let orphans = self.left_aside().await?;
        if orphans.is_empty() {
            return Ok(());
        }
        self.before(Step::SweepUnlink).await?;
        self.unlink_orphans(orphans, report).await
    }

    /// What was set aside is kept until its blob was repaired or is gone. And what was written to prove that the directory is the
    /// store's, by a process that was killed meanwhile.
    pub(super) async fn left_aside(&self) -> Result<Vec<String>> {
        let mut orphans = Vec::new();
        for name in self.names(layout::QUARANTINE.to_owned()).await? {
            let Some((digest, inc)) = layout::parse_blob(&name) else { continue };
            let found = self.shared.slow.read(store::blobs::find(&digest)).await?;
            let row = found.first().map(store::blobs::read).transpose()?;
            if row.is_none_or(|blob| blob.incarnation != Incarnation(inc)) {
                orphans.push(layout::quarantined(&digest, inc));
            }
        }
        let mut proofs = self.names(".".to_owned()).await?;
        proofs.retain(|name| layout::is_marker_staged(name));
        let left = self.shared.disk.run(move |files| {
            let is_left = |name: &String| files.age(name).is_ok_and(|age| age >= Some(LEFT_PROOF_AGE));
            Ok(proofs.into_iter().filter(is_left).collect::<Vec<_>>())
        });
        orphans.extend(left.await?);
        Ok(orphans)
    }

    /// Octets of files.
    pub(super) async fn octets_of(&self, paths: Vec<String>) -> Result<(Vec<String>, u64)> {
        self.shared
            .disk
            .run(move |files| {
                // One that is gone by now has none.
                let sizes = paths.iter().map(|path| files.size(path).unwrap_or(0));
                let sum = sizes.fold(0_u64, u64::saturating_add);
                Ok((paths, sum))
            })
            .await
    }

    async fn unlink_orphans(&self, paths: Vec<String>, report: &mut CollectReport) -> Result<()> {
        let (removed, bytes, failed) = self
            .shared
            .disk
            .run(move |files| {
                let (mut removed, mut bytes, mut failed) = (0, 0_u64, 0);
                for path in &paths {
                    let size = files.size(path).unwrap_or(0);
                    match unlink(files, path) {
                        Ok(true) => {
                            removed += 1;
                            bytes = bytes.saturating_add(size);
                        }
                        Ok(false) => {}
                        Err(error) => {
                            tracing::warn!(%path, %error, "an orphan is left for the next collection");
                            failed += 1;
                        }
                    }
                }
                Ok((removed, bytes, failed))
            })
            .await?;
        report.orphans_removed += removed;
        report.orphan_bytes += bytes;
        report.unlink_failures += failed;
        Ok(())
    }

    /// Looks again for a file that the list did not have: it may have come between the list and the row.
    async fn tell_missing(&self, row: &Row, report: &mut CollectReport) -> Result<()> {
        if !self.is_absent(row).await? {
            return Ok(());
        }
        if self.damaged(BlobId(row.id), &row.digest, Incarnation(row.inc), Found::Missing).await? {
            report.missing.push(row.digest);
        }
        Ok(())
    }

    /// Whether a file is truly not there; an error of the medium is none.
    pub(super) async fn is_absent(&self, row: &Row) -> Result<bool> {
        Ok(self.shared.disk.size(layout::blob(&row.digest, row.inc)).await?.is_none())
    }
}
