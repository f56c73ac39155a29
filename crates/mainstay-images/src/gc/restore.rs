//! After the database was restored: numbers that were given since the backup must not be given again, and whoever held
//! something must notice. And the reserve, with which a full disk can be collected.

use std::io::Write as _;
use std::time::Duration;

use mainstay_core::Timestamp;

use crate::digest::Digest;
use crate::disk::unlink;
use crate::error::{Error, Result};
use crate::files::layout;
use crate::image::Chain;
use crate::images::{Images, rows};
use crate::store;
use crate::store::guarded::Guarded;

/// Numbers that are passed over after a restore: more than can have been given since the backup.
const JUMP: i64 = 1 << 32;
/// Images whose chains are compared at once.
const PAGE: u32 = 200;
/// Octets that are written at once.
const CHUNK: usize = 1024 * 1024;

impl Images {
    /// To be called after the database was restored from a backup; whoever opens the store, or collects, and finds files with
    /// numbers that the database never gave calls it too. Collecting is off for one time to live, every holder must join anew, and numbers
    /// that may be in use are passed over. Returns until when collecting is off.
    ///
    /// # Errors
    /// Of the database and the medium.
    pub async fn after_restore(&self) -> Result<Timestamp> {
        let highest = self.highest_incarnation().await?;
        let mut batch = Guarded::new("images.after_restore");
        let off = self.options().ttl + 2 * self.options().margin;
        let paused = batch.push(store::collector::pause(off));
        batch.push(store::holders::supersede_all());
        for table in store::numbers::TABLES {
            let least = if *table == store::numbers::INTENTS { highest } else { 0 };
            for statement in store::numbers::skip(self.repo().dialect(), table, least, JUMP) {
                batch.push(statement);
            }
        }
        batch.push(store::meta::lock());
        batch.push(store::meta::recount());
        let outcome = batch.run(self.repo()).await?;
        let row = outcome.get(paused).and_then(|written| written.rows().first());
        let until = row.ok_or_else(|| Error::internal("the collector's row is gone"))?.get("off_until")?;
        tracing::warn!(%until, highest, "the database was restored; collecting is off");
        Ok(until)
    }

    /// Whether files tell that the database is older than they are, asked before anything is published or leased: afterwards the
    /// numbers that it gives anew would soon reach those of the files, and then nothing tells any more.
    pub(crate) async fn notice_restore(&self) -> Result<()> {
        // The files first: a number is given before a file has it.
        let highest = self.highest_incarnation().await?;
        let last: i64 =
            self.repo().read(store::intents::last()).await?.first().map_or(Ok(0), |row| row.get("inc"))?;
        if highest > last {
            tracing::warn!(highest, last, "a file has a number that the database never gave");
            self.after_restore().await?;
        }
        Ok(())
    }

    /// The highest number in a file's name, also of those that were set aside.
    async fn highest_incarnation(&self) -> Result<i64> {
        self.shared.disk.prove().await?;
        self.shared
            .disk
            .run(|files| {
                let list = |directory: &str| {
                    files.list(directory).map_err(|error| Error::medium("cannot list", directory, error))
                };
                let staged = list(layout::STAGING)?;
                let mut highest =
                    staged.iter().filter_map(|name| layout::parse_staged(name)).max().unwrap_or(0);
                let shards = (0..=u8::MAX).map(layout::shard);
                for directory in shards.chain([layout::QUARANTINE, layout::STAGING].map(str::to_owned)) {
                    let names = list(&directory)?;
                    let numbers =
                        names.iter().filter_map(|name| layout::parse_blob(name)).map(|(_, inc)| inc);
                    highest = highest.max(numbers.max().unwrap_or(0));
                }
                Ok(highest)
            })
            .await
    }

    /// Switches collecting off for so long; for maintenance of the medium, say. Returns until when.
    ///
    /// # Errors
    /// Of the database.
    pub async fn pause_collecting(&self, time: Duration) -> Result<Timestamp> {
        let written = self.repo().write(store::collector::pause(time)).await?;
        let row = written.rows().first().ok_or_else(|| Error::internal("the collector's row is gone"))?;
        Ok(row.get("off_until")?)
    }

    /// Removes the reserve when the disk is full.
    pub(super) async fn give_reserve(&self) -> Result<()> {
        let reserve = self.options().reserve_bytes;
        if reserve == 0 || self.space().await?.free_bytes >= reserve {
            return Ok(());
        }
        self.shared
            .disk
            .run(|files| {
                if unlink(files, layout::RESERVE)? {
                    tracing::warn!("the disk is full; the reserve is given to the collection");
                }
                Ok(())
            })
            .await
    }

    /// Makes the reserve, if there is room for it.
    pub(super) async fn take_reserve(&self) -> Result<()> {
        let reserve = self.options().reserve_bytes;
        if reserve == 0 || self.space().await?.free_bytes < 2 * reserve {
            return Ok(());
        }
        self.shared
            .disk
            .run(move |files| {
                if files.size(layout::RESERVE).is_ok_and(|size| size == reserve) {
                    return Ok(());
                }
                let failed = |error| Error::medium("cannot write", layout::RESERVE, error);
                unlink(files, layout::RESERVE)?;
                let mut file = files.create(layout::RESERVE).map_err(failed)?;
                let mut left = reserve;
                while left > 0 {
                    let now = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                    // Not zeros: a file system that stores no zeros would keep no room.
                    file.write_all(&vec![0xa5; now]).map_err(failed)?;
                    left -= now as u64;
                }
                file.flush().and_then(|()| file.sync()).map_err(failed)
            })
            .await
    }

    /// Images whose packed chain is not what their layers say.
    pub(super) async fn check_chains(&self) -> Result<Vec<Digest>> {
        let mut wrong = Vec::new();
        let mut after = None;
        loop {
            let page = self.images(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(wrong) };
            after = Some(last.id);
            let statements = page.iter().map(|image| store::images::files(image.id.get())).collect();
            let found = self.shared.slow.read_many(statements).await?;
            for (image, layers) in page.iter().zip(found) {
                let layers = rows(layers, |row| {
                    Ok(crate::image::Layer {
                        digest: store::blobs::read_digest(row)?,
                        size_bytes: row.get("size")?,
                    })
                })?;
                if Chain::new(layers)? != image.chain {
                    tracing::error!(image = %image.id, "the packed chain differs from the layers");
                    wrong.push(image.digest);
                }
            }
        }
    }
}
