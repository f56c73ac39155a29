//! The collector. Any number may run at once and be killed anywhere: safety rests on the steps, not on there being one. The
//! election only saves work.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Capability, Json, Row, Topology as _};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::evict::Eviction;
use super::process::Process;
use super::{Plan, Tranquility};
use crate::digest::Digest;
use crate::disk::unlink;
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;
use crate::images::{Images, MAX_PAGE, rows};
use crate::step::Step;
use crate::store;
use crate::store::blobs::Slim;
use crate::store::guarded::Guarded;

/// Blobs that one transaction marks or forgets.
const PAGE: u32 = 500;

/// Numbers of blobs that one statement looks at: a store of any size without garbage answers long before the cap.
const SPAN: i64 = 50_000;

/// What a collection does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectOptions {
    /// Let go of images by the policy first.
    pub evict: bool,
    /// Make room for so many octets more than the policy keeps free.
    pub make_room_bytes: u64,
    /// Look at all blobs and all chains, not only at blobs that lost a use.
    pub full: bool,
    /// Leave the directory alone but for the files of blobs that go: no look for orphans.
    pub skip_sweep: bool,
    /// How much rest follows each piece of work.
    pub tranquility: Tranquility,
}

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CollectReport {
    /// Holders that had ended.
    pub holders_reaped: u64,
    /// Their leases.
    pub leases_reaped: u64,
    /// Their intents.
    pub intents_reaped: u64,
    /// Images that the policy let go.
    pub images_evicted: u64,
    /// Blobs whose rows are deleted.
    pub blobs_removed: u64,
    /// Their octets.
    pub bytes_removed: u64,
    /// Files that nothing named.
    pub orphans_removed: u64,
    /// Their octets.
    pub orphan_bytes: u64,
    /// Files that would not go; the next collection tries again.
    pub unlink_failures: u64,
    /// Files with names that are none of this store's; they are left alone.
    pub foreign_files: u64,
    /// Blobs that are used and whose file is not there.
    pub missing: Vec<Digest>,
    /// Images whose packed chain differs from their layers; only a full collection looks.
    pub inconsistent: Vec<Digest>,
    /// Blobs that no image uses and that wait for their time.
    pub waiting: u64,
}

/// A collection in the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CollectRun {
    /// Its number.
    pub id: i64,
    /// Who collected.
    pub collector: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it did.
    pub report: CollectReport,
}

/// Whether somebody collects at the moment, and whether anybody may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Collecting {
    /// Who collects. One that was killed stands here until its turn ends.
    pub collector: Option<String>,
    /// Until when collecting is off, if it is.
    pub off_until: Option<Timestamp>,
}

/// Proof of being the elected collector.
pub(super) struct Elected<'a> {
    name: &'a str,
    token: i64,
    extended: Mutex<Instant>,
}

impl Elected<'_> {
    /// Stays the collector. That another took over, or that collecting was switched off, ends this collection.
    pub(super) async fn extend(&self, images: &Images) -> Result<()> {
        let asked = Instant::now();
        let last = *self.extended.lock().unwrap_or_else(PoisonError::into_inner);
        // A commit for each page would cost more than the page.
        if asked.duration_since(last) < images.options().ttl / 4 {
            return Ok(());
        }
        let statement = store::collector::extend(self.name, self.token, images.options().ttl);
        if images.shared.slow.write(statement).await?.rows_affected() == 1 {
            *self.extended.lock().unwrap_or_else(PoisonError::into_inner) = asked;
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "another took the collection over, or it was switched off")
            .with_help("what was done is done; the rest is left to the other, or to a later collection"))
    }
}

/// The turn of the elected collector. One that is left in the middle, by a caller that does not wait for the collection any more, is
/// given back too: nobody else would collect until it runs out.
struct Turn<'a> {
    images: &'a Images,
    name: &'a str,
    token: i64,
    is_over: bool,
}

impl Turn<'_> {
    async fn end(mut self) -> Result<()> {
        let resigned = self.images.shared.slow.write(store::collector::resign(self.name, self.token)).await;
        self.is_over = resigned.is_ok();
        Ok(resigned.map(drop)?)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (images, resign) = (self.images.clone(), store::collector::resign(self.name, self.token));
        runtime.spawn(async move {
            if let Err(error) = images.shared.slow.write(resign).await {
                tracing::warn!(%error, "the turn to collect ends by itself");
            }
        });
    }
}

/// A walk over the blobs that nothing uses, in pages none of which is empty.
pub(super) struct Unused {
    after: i64,
    last: i64,
    page: u32,
    /// Holders whose announcements do not count.
    but: Vec<i64>,
}

impl Unused {
    /// The next page; none at the end.
    pub(super) async fn next(&mut self, images: &Images) -> Result<Option<Vec<Slim>>> {
        while self.after < self.last {
            let up_to = self.after.saturating_add(SPAN);
            let found = images
                .shared
                .slow
                .read(store::blobs::unused(self.after, up_to, self.page, &self.but))
                .await?;
            let page = rows(found, store::blobs::read_slim)?;
            let is_full = page.len() >= self.page as usize;
            self.after = page.last().map_or(up_to, |last| if is_full { last.id } else { up_to });
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

/// Whether the process whose turn it is was seen to have ended. The election saves work and guards nothing, so that a wrong yes
/// would be two collectors at once, which is safe. A process that was written down for another turn says nothing of this one: a
/// program of before took the turn and left it standing.
fn is_gone(own: Option<&Process>, state: &Row) -> Result<bool> {
    if state.get::<Option<i64>>("process_token")? != Some(state.get("token")?) {
        return Ok(false);
    }
    let (place, process): (Option<String>, Option<String>) = (state.get("place")?, state.get("process")?);
    Ok(match (own, place, process) {
        (Some(own), Some(place), Some(process)) => own.sees_end_of(&place, &process),
        _ => false,
    })
}

impl Images {
    /// Collects: forgets holders that ended, lets images go by the policy if asked, removes blobs that nothing uses and files
    /// that nothing names. It may be interrupted anywhere and begun again. Nothing that is in use goes, whatever happens at
    /// the same time.
    ///
    /// # Errors
    /// [`ErrorKind::CollectingOff`] after a restore; [`ErrorKind::Conflict`] when another collects, or was killed on another
    /// machine while it did: its turn ends one time to live after its last sign, on this machine at once;
    /// [`ErrorKind::Medium`] when the directory is not mounted or answers with errors; of the database.
    pub async fn collect(&self, collector: &str, options: &CollectOptions) -> Result<CollectReport> {
        self.collect_once(collector, options, async { Ok(()) }).await
    }

    /// Collects, and does something before when it is elected.
    pub(crate) async fn collect_once(
        &self,
        collector: &str,
        options: &CollectOptions,
        begun: impl Future<Output = Result<()>> + Send,
    ) -> Result<CollectReport> {
        crate::image::check_text("collector", collector)?;
        self.shared.disk.prove().await?;
        // A full disk first gets room for the database to write what follows.
        self.give_reserve().await?;
        let (elected, started_at) = self.elect(collector).await?;
        let turn = Turn { images: self, name: collector, token: elected.token, is_over: false };
        let mut report = CollectReport::default();
        let done = match begun.await {
            Ok(()) => self.collect_elected(options, &elected, &mut report).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done
            && matches!(error.kind(), ErrorKind::CollectingOff)
        {
            self.after_restore().await?;
        }
        // While it is this one's turn: two at once would take each other's away. What was done is done, with it or without.
        if done.is_ok()
            && let Err(error) = self.take_reserve().await
        {
            tracing::warn!(%error, "the reserve was not made; the next collection tries again");
        }
        let resigned = turn.end().await;
        done?;
        resigned?;
        let mut batch = Guarded::new("images.collect_record");
        for statement in store::collector::record(collector, started_at, &Json::encode(&report)?) {
            batch.push(statement);
        }
        batch.run(&self.shared.slow).await?;
        tracing::info!(?report, "images were collected");
        Ok(report)
    }

    async fn collect_elected(
        &self,
        options: &CollectOptions,
        elected: &Elected<'_>,
        report: &mut CollectReport,
    ) -> Result<()> {
        self.reap(elected, report).await?;
        self.resume(options, elected, report).await?;
        self.collect_due(options, elected, report).await?;
        let mut is_swept = false;
        if options.evict {
            // Before an image goes for room, all goes that nothing uses or names, whether its time has come or not.
            let room = self.room(options.make_room_bytes).await?;
            let mut wants_room = room.needed(&self.options().policy) > 0;
            if wants_room {
                self.collect_unused(options, elected, report).await?;
                // Files that no row names count in no quota.
                let is_disk_short = room.is_short(&self.options().policy);
                if options.skip_sweep {
                    self.sweep_staging(is_disk_short, report).await?;
                } else {
                    self.sweep(options, elected, is_disk_short, report).await?;
                    is_swept = true;
                }
                let room = self.room(options.make_room_bytes).await?;
                wants_room = room.needed(&self.options().policy) > 0;
            }
            // And what goes then makes the room at once.
            let grace = if wants_room { Duration::ZERO } else { self.options().grace };
            for eviction in self.plan_evictions(options.make_room_bytes).await? {
                report.images_evicted += u64::from(self.evict(&eviction, grace).await?);
            }
            self.collect_due(options, elected, report).await?;
        }
        if options.full {
            self.collect_unused(options, elected, report).await?;
            report.inconsistent = self.check_chains().await?;
            self.check_count().await?;
        }
        if !options.skip_sweep && !is_swept {
            self.sweep(options, elected, options.make_room_bytes > 0, report).await?;
        }
        let waiting = self.shared.slow.read(store::queue::count()).await?;
        report.waiting = waiting.first().map_or(Ok(0), |row| row.get("waiting"))?;
        Ok(())
    }

    /// Whether somebody collects at the moment, by the database's clock.
    ///
    /// # Errors
    /// Of the database.
    pub async fn collecting(&self) -> Result<Collecting> {
        let state = self.repo().read(store::collector::read()).await?;
        let state = state.first().ok_or_else(|| Error::internal("the collector's row is gone"))?;
        let now: Timestamp = state.get("now")?;
        let (until, off): (Timestamp, Timestamp) = (state.get("until")?, state.get("off_until")?);
        let holder: Option<String> = state.get("holder")?;
        Ok(Collecting {
            collector: holder.filter(|_| until >= now),
            off_until: Some(off).filter(|off| *off > now),
        })
    }

    async fn elect<'a>(&self, collector: &'a str) -> Result<(Elected<'a>, i64)> {
        self.watch_lineage().await?;
        let asked = Instant::now();
        let (ttl, own) = (self.options().ttl, Process::own());
        let elect = store::collector::elect(collector, ttl, own.as_ref());
        let mut written = self.shared.slow.write(elect).await?;
        let state = self.shared.slow.read(store::collector::read()).await?;
        let state = state.first().ok_or_else(|| Error::internal("the collector's row is gone"))?;
        let now: i64 = state.get("now")?;
        if written.rows().is_empty() && is_gone(own.as_ref(), state)? {
            let token = state.get("token")?;
            tracing::info!("the one that collected was killed; its turn ends here");
            let take_over = store::collector::take_over(collector, ttl, own.as_ref(), token);
            written = self.shared.slow.write(take_over).await?;
        }
        if let Some(row) = written.rows().first() {
            return Ok((
                Elected { name: collector, token: row.get("token")?, extended: Mutex::new(asked) },
                now,
            ));
        }
        if state.get::<i64>("off_until")? > now {
            let until: Timestamp = state.get("off_until")?;
            return Err(Error::new(
                ErrorKind::CollectingOff,
                format!(
                    "collecting is off until {until}: the database was restored, or somebody switched it off"
                ),
            )
            .with_help("wait until then; the acts of the store tell who did which"));
        }
        Err(match state.get::<Option<String>>("holder")? {
            Some(holder) => Error::new(ErrorKind::Conflict, format!("{holder:?} collects"))
                .with_help("wait until it is done"),
            // It was done between the two looks.
            None => Error::new(ErrorKind::Conflict, "another collection ended this moment")
                .with_help("begin it again if something is left to collect"),
        })
    }

    /// On a database that outlives its processes, another history means a restore or a failover.
    async fn watch_lineage(&self) -> Result<()> {
        if !self.repo().has(Capability::ManyWriters) {
            return Ok(());
        }
        let lineage = i64::from_ne_bytes(self.repo().position().await?.lineage.to_ne_bytes());
        let state = self.shared.slow.read(store::collector::read()).await?;
        let seen: Option<i64> = state.first().map_or(Ok(None), |row| row.get("lineage"))?;
        if seen == Some(lineage) {
            return Ok(());
        }
        if seen.is_some() {
            self.after_restore().await?;
        }
        self.shared.slow.write(store::collector::set_lineage(lineage)).await?;
        Ok(())
    }

    /// Blobs that lost a use, and whose time has come.
    async fn collect_due(
        &self,
        options: &CollectOptions,
        elected: &Elected<'_>,
        report: &mut CollectReport,
    ) -> Result<()> {
        let (mut after, mut began) = ((0, 0), Instant::now());
        loop {
            let due = self.shared.slow.read(store::queue::due(after, PAGE)).await?;
            let page = rows(due.clone(), store::blobs::read_slim)?;
            let Some(last) = due.last() else { return Ok(()) };
            after = (last.get("review_after")?, last.get("id")?);
            self.collect_page(&page, after.0, report).await?;
            elected.extend(self).await?;
            began = options.tranquility.pause(began).await;
        }
    }

    /// Rows that a collector marked and did not finish.
    async fn resume(
        &self,
        options: &CollectOptions,
        elected: &Elected<'_>,
        report: &mut CollectReport,
    ) -> Result<()> {
        let (mut after, mut began) = (0, Instant::now());
        loop {
            self.before(Step::CollectResume).await?;
            let marked = rows(
                self.shared.slow.read(store::blobs::deleting(after, PAGE)).await?,
                store::blobs::read_slim,
            )?;
            let Some(last) = marked.last() else { return Ok(()) };
            after = last.id;
            self.remove_marked(&marked, report).await?;
            elected.extend(self).await?;
            began = options.tranquility.pause(began).await;
        }
    }

    /// All blobs that nothing uses, whether they were queued or not.
    async fn collect_unused(
        &self,
        options: &CollectOptions,
        elected: &Elected<'_>,
        report: &mut CollectReport,
    ) -> Result<()> {
        let (mut unused, mut began) = (self.unused(PAGE, Vec::new()).await?, Instant::now());
        while let Some(page) = unused.next(self).await? {
            // No entry of the queue is settled by this look.
            self.collect_page(&page, 0, report).await?;
            elected.extend(self).await?;
            began = options.tranquility.pause(began).await;
        }
        Ok(())
    }

    /// All blobs that nothing uses, page by page.
    pub(super) async fn unused(&self, page: u32, but: Vec<i64>) -> Result<Unused> {
        let last = self.shared.slow.read(store::blobs::last()).await?;
        let last = last.first().map_or(Ok(0), |row| row.get("id"))?;
        Ok(Unused { after: 0, last, page, but })
    }

    /// Marks, removes and forgets those of a page that nothing uses.
    async fn collect_page(&self, page: &[Slim], seen: i64, report: &mut CollectReport) -> Result<()> {
        let ids: Vec<i64> = page.iter().map(|blob| blob.id).collect();
        self.before(Step::CollectTombstone).await?;
        let mut batch = Guarded::new("images.collect_tombstone");
        batch.push(store::blobs::tombstone_lock(&ids));
        let marked = batch.push(store::blobs::tombstone(&ids));
        batch.push(store::queue::settle(&ids, seen));
        batch.push(store::queue::postpone(&ids, seen, self.options().grace.max(self.options().ttl)));
        let outcome = batch.run(&self.shared.slow).await?;
        let marked = outcome.get(marked).map_or(&[][..], mainstay_repo::Written::rows);
        let marked = marked.iter().map(store::blobs::read_slim).collect::<Result<Vec<_>>>()?;
        self.remove_marked(&marked, report).await
    }

    /// Removes the files of marked rows and then the rows. A file that would not go keeps its row.
    async fn remove_marked(&self, marked: &[Slim], report: &mut CollectReport) -> Result<()> {
        if marked.is_empty() {
            return Ok(());
        }
        self.before(Step::CollectUnlink).await?;
        // An absent file counts as removed only while the medium is there.
        self.shared.disk.prove().await?;
        let files: Vec<(i64, String, String)> = marked
            .iter()
            .map(|blob| {
                let (path, aside) =
                    (layout::blob(&blob.digest, blob.inc), layout::quarantined(&blob.digest, blob.inc));
                (blob.id, path, aside)
            })
            .collect();
        let stuck: BTreeSet<i64> = self
            .shared
            .disk
            .run(move |on_disk| {
                let removed = |path: &str| {
                    unlink(on_disk, path)
                        .map_err(|error| tracing::warn!(%path, %error, "a file would not go"))
                };
                Ok(files
                    .iter()
                    .filter(|(_, path, aside)| removed(path).is_err() || removed(aside).is_err())
                    .map(|(id, ..)| *id)
                    .collect())
            })
            .await?;
        self.shared.disk.prove().await?;
        report.unlink_failures += stuck.len() as u64;
        let gone: Vec<&Slim> = marked.iter().filter(|blob| !stuck.contains(&blob.id)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.before(Step::CollectForget).await?;
        let ids: Vec<i64> = gone.iter().map(|blob| blob.id).collect();
        let incs: Vec<i64> = gone.iter().map(|blob| blob.inc).collect();
        let mut batch = Guarded::new("images.collect_forget");
        // The blobs before the store, as those who publish.
        batch.push(store::blobs::forget_lock(&ids, &incs));
        batch.push(store::meta::lock());
        batch.push(store::meta::pay(&ids, &incs));
        let forgotten = batch.push(store::blobs::forget(&ids, &incs));
        let outcome = batch.run(&self.shared.slow).await?;
        for row in outcome.get(forgotten).map_or(&[][..], mainstay_repo::Written::rows) {
            report.blobs_removed += 1;
            report.bytes_removed += row.get::<u64>("size")?;
        }
        Ok(())
    }

    /// Counts the octets of all blobs again when what is noted of them is something else.
    async fn check_count(&self) -> Result<()> {
        let found = self.shared.slow.read(store::meta::compare()).await?;
        let row = found.first().ok_or_else(|| Error::internal("the store's row is gone"))?;
        let (noted, counted): (i64, i64) = (row.get("bytes")?, row.get("counted")?);
        if noted == counted {
            return Ok(());
        }
        tracing::warn!(noted, counted, "the octets of all blobs were noted wrongly, and are counted again");
        let mut batch = Guarded::new("images.store_recount");
        batch.push(store::meta::lock());
        batch.push(store::meta::recount());
        batch.run(&self.shared.slow).await.map(drop)
    }

    async fn evict(&self, eviction: &Eviction, grace: Duration) -> Result<bool> {
        self.before(Step::EvictRemove).await?;
        let seen = Some(eviction.last_used_at.as_unix_micros());
        match self.remove_unclaimed(eviction.image, seen, grace, |_| ()).await {
            Ok(_) => Ok(true),
            // It was claimed or used since the plan was made, or another removed it.
            Err(error) if matches!(error.kind(), ErrorKind::InUse | ErrorKind::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a collection would do now, without doing any of it.
    ///
    /// # Errors
    /// Of the database and the medium.
    pub async fn plan(&self, options: &CollectOptions) -> Result<Plan> {
        self.shared.disk.prove().await?;
        self.doomed(options).await
    }

    /// Past collections, the newest first; at most 200 are remembered.
    ///
    /// # Errors
    /// Of the database.
    pub async fn collections(&self, limit: u32) -> Result<Vec<CollectRun>> {
        let found = self.repo().read(store::collector::runs(limit.min(MAX_PAGE))).await?;
        rows(found, |row| {
            let report: String = row.get("report")?;
            let report = serde_json::from_str(&report)
                .map_err(|error| Error::internal("a stored report is none").with_source(error))?;
            Ok(CollectRun {
                id: row.get("id")?,
                collector: row.get("holder")?,
                started_at: row.get("started_at")?,
                ended_at: row.get("ended_at")?,
                report,
            })
        })
    }
}
