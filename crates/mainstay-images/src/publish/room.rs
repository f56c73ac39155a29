//! Room on the store's disk: promised before anything is written, so that ingests beside each other do not count on the same octets.
//! Those of one process share what it promised; what others announced stands in the database.

use std::collections::BTreeSet;
use std::io::ErrorKind as IoErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, Space, layout};
use crate::images::Images;
use crate::store;

/// So long a look at the file system holds where there is plenty of room.
const LOOK_HOLDS: Duration = Duration::from_millis(100);
/// More octets than are written in that time.
const PLENTY_BYTES: u64 = 4 << 30;
/// More files than are made in that time.
const PLENTY_INODES: u64 = 100_000;
/// Whoever wants more looks anew.
const SMALL_BYTES: u64 = 1 << 20;
/// What others announced is held against what they wrote for the largest so many blobs; the rest counts whole.
const ANNOUNCED_LOOKED_AT: u32 = 1_000;
/// Octets that a process writes at most until it looks again whether the floor is kept, since others write there too.
const SPACE_EVERY: u64 = 64 * 1024 * 1024;
/// And at least: writers write in pieces of this size.
const SPACE_EVERY_LEAST: u64 = 1024 * 1024;

/// After so many octets a process looks again whether the floor is kept: a small part of it, so that who overruns it between two looks
/// leaves most of it to the database beside the files.
const fn look_every(floor: u64) -> u64 {
    let part = floor / 16;
    if part > SPACE_EVERY {
        SPACE_EVERY
    } else if part < SPACE_EVERY_LEAST {
        SPACE_EVERY_LEAST
    } else {
        part
    }
}

/// The room of a store's disk, as one process knows it.
#[derive(Debug, Default)]
pub(crate) struct RoomLeft {
    /// Octets that ingests were promised and have not written yet.
    promised: Mutex<u64>,
    /// The last look at the disk.
    last: Mutex<Option<(Instant, Space)>>,
    /// Octets that were written since the floor was looked at.
    unmeasured: AtomicU64,
    /// Holders of this process: what they announce was promised here.
    holders: Mutex<BTreeSet<i64>>,
}

/// How much room there is, and how much of it other processes announced.
#[derive(Debug, Clone, Copy)]
struct Look {
    space: Space,
    announced: u64,
}

/// What there is no room for.
#[derive(Debug)]
struct Shortage {
    /// So many octets fail; none when it is files that cannot be made.
    octets: Option<u64>,
    error: Error,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RoomLeft {
    /// A holder of this process begins, or ends.
    pub(crate) fn know(&self, holder: i64, lives: bool) {
        let mut holders = locked(&self.holders);
        if lives {
            holders.insert(holder)
        } else {
            holders.remove(&holder)
        };
    }

    fn promised(&self) -> MutexGuard<'_, u64> {
        locked(&self.promised)
    }
}

/// Octets that are kept for a blob of this process until they are written. What is left of them is free for others when this is
/// dropped.
#[derive(Debug)]
pub(super) struct Promise {
    images: Images,
    octets: u64,
}

impl Promise {
    /// So many of them are written: the file system counts them now.
    pub(super) fn spend(&mut self, octets: u64) {
        let spent = octets.min(self.octets);
        self.octets -= spent;
        let mut promised = self.images.shared.room.promised();
        *promised = promised.saturating_sub(spent);
    }

    /// So many of them as a promise of their own.
    pub(super) fn split(&mut self, octets: u64) -> Self {
        let split = octets.min(self.octets);
        self.octets -= split;
        Self { images: self.images.clone(), octets: split }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.spend(self.octets);
    }
}

impl Images {
    /// Has so many octets kept, and looks whether a file more can be made. What arrived of blobs that nobody is bringing any more makes
    /// way if that is enough: it may be the beginning of the very one.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] when they would leave less than the policy's floors, with what others of this process were promised; of
    /// the database and the medium.
    pub(super) async fn promise(&self, octets: u64) -> Result<Promise> {
        let shortage = match self.try_promise(octets).await? {
            Ok(promise) => return Ok(promise),
            Err(shortage) => shortage,
        };
        match shortage.octets {
            Some(short) if self.drop_partials(short).await? => {
                self.try_promise(octets).await?.map_err(|shortage| shortage.error)
            }
            _ => Err(shortage.error),
        }
    }

    async fn try_promise(&self, octets: u64) -> Result<std::result::Result<Promise, Shortage>> {
        let space = self.look(octets).await?;
        let mut promised = self.shared.room.promised();
        Ok(self.fits_beside(&Look { space, announced: 0 }, octets, *promised).map(|()| {
            *promised = promised.saturating_add(octets);
            Promise { images: self.clone(), octets }
        }))
    }

    /// Looks whether what was promised fits beside what other processes announced, once its own announcement stands, under the least
    /// number of `own`. Of two the one that announced first gets the room, whoever looks first.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`]; of the database and the medium.
    pub(super) async fn confirm(&self, octets: u64, own: i64) -> Result<()> {
        // So little is room for: the floor is kept by who writes.
        if octets <= SMALL_BYTES {
            return Ok(());
        }
        let holders: Vec<i64> = locked(&self.shared.room.holders).iter().copied().collect();
        let row = self.repo().read(store::intents::announced(&holders, own)).await?;
        let total: u64 = row.first().map_or(Ok(0), |row| row.get("octets"))?;
        if total == 0 {
            return Ok(());
        }
        let look = Look { space: self.space().await?, announced: total };
        if self.fits(&look, 0).is_ok() {
            return Ok(());
        }
        // They may have written most of it. The disk is looked at behind that: what is written in between counts for both, not for none.
        let announced = self.not_written(&holders, own, total).await?;
        let look = Look { space: self.space().await?, announced };
        self.fits(&look, 0).map_err(|shortage| shortage.error)
    }

    fn fits(&self, look: &Look, octets: u64) -> std::result::Result<(), Shortage> {
        let promised = *self.shared.room.promised();
        self.fits_beside(look, octets, promised)
    }

    fn fits_beside(&self, look: &Look, octets: u64, promised: u64) -> std::result::Result<(), Shortage> {
        let policy = self.options().policy;
        let Look { space, announced } = look;
        if space.free_inodes <= policy.min_free_inodes {
            let (free, floor) = (space.free_inodes, policy.min_free_inodes);
            let message = format!("only {free} files more can be made, and {floor} stay free");
            let error =
                Error::new(ErrorKind::NoSpace, message).with_help("run a collection, or lower the floor");
            return Err(Shortage { octets: None, error });
        }
        let (free, floor) = (space.free_bytes, policy.min_free_bytes);
        let wanted = floor.saturating_add(promised).saturating_add(*announced).saturating_add(octets);
        let short = wanted.saturating_sub(free);
        if short == 0 {
            return Ok(());
        }
        let message = format!(
            "{octets} octets would leave less than the floor of {floor}: {free} are free, {promised} of them are promised to what is \
             being brought, and {announced} to what other processes bring"
        );
        let error = Error::new(ErrorKind::NoSpace, message)
            .with_help("run a collection, wait until what is being brought is there, or lower the floor");
        Err(Shortage { octets: Some(short), error })
    }

    /// How much room there is: for few octets, as a look a moment ago said, if that leaves so much more than the policy's floors that
    /// nobody can have come near them since. A small blob would wait longer for the look than for its file.
    async fn look(&self, octets: u64) -> Result<Space> {
        let (policy, room) = (self.options().policy, &self.shared.room);
        let (last, promised) = (*locked(&room.last), *room.promised());
        if let Some((at, space)) = last
            && octets <= SMALL_BYTES
            && at.elapsed() < LOOK_HOLDS
            && space.free_inodes > policy.min_free_inodes.saturating_add(PLENTY_INODES)
            && self
                .fits_beside(&Look { space, announced: 0 }, PLENTY_BYTES.saturating_add(octets), promised)
                .is_ok()
        {
            return Ok(space);
        }
        let space = self.space().await?;
        *locked(&room.last) = Some((Instant::now(), space));
        Ok(space)
    }

    /// What other processes announced before a number, in all so much, and have not written yet.
    async fn not_written(&self, holders: &[i64], own: i64, total: u64) -> Result<u64> {
        let rows = store::intents::largest_announced(holders, own, ANNOUNCED_LOOKED_AT);
        let rows = self.repo().read(rows).await?;
        let mut blobs: Vec<(i64, Option<Digest>, u64)> = Vec::with_capacity(rows.len());
        for row in &rows {
            blobs.push((row.get("inc")?, store::intents::read_digest(row)?, row.get("size")?));
        }
        let written = self.shared.disk.run(move |files| {
            blobs.iter().try_fold(0_u64, |sum, (inc, digest, size)| {
                let written = written(files, *inc, digest.as_ref())?;
                Ok(sum.saturating_add(written.min(*size)))
            })
        });
        Ok(total.saturating_sub(written.await?))
    }
}

/// Octets of a publication that are on the disk.
fn written(files: &dyn Files, inc: i64, digest: Option<&Digest>) -> Result<u64> {
    let named = digest.map(|digest| [layout::partial(digest, inc), layout::blob(digest, inc)]);
    for path in [layout::staged(inc)].into_iter().chain(named.into_iter().flatten()) {
        match files.size(&path) {
            Ok(size) => return Ok(size),
            Err(error) if error.kind() == IoErrorKind::NotFound => {}
            Err(error) => return Err(Error::medium("cannot look at", &path, error)),
        }
    }
    Ok(0)
}

impl Images {
    /// Octets were written, by somebody who was promised them or was not. From time to time, by all that this process writes, the disk
    /// is held against the floor; who was promised nothing leaves there what others were.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`]; of the medium.
    pub(super) fn has_written(&self, files: &dyn Files, octets: u64, was_promised: bool) -> Result<()> {
        let (floor, room) = (self.options().policy.min_free_bytes, &self.shared.room);
        let unmeasured = room.unmeasured.fetch_add(octets, Ordering::Relaxed).saturating_add(octets);
        if unmeasured <= look_every(floor) {
            return Ok(());
        }
        room.unmeasured.store(0, Ordering::Relaxed);
        let promised = if was_promised { 0 } else { *room.promised() };
        let free = files.space().map_err(|error| Error::medium("cannot measure", ".", error))?.free_bytes;
        if free >= floor.saturating_add(promised) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NoSpace,
            format!("{free} octets are free, the floor is {floor}, and {promised} are promised to others"),
        )
        .with_help("run a collection, or lower the floor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_looked_at_after_a_small_part_of_it() {
        const MIB: u64 = 1 << 20;
        assert_eq!(look_every(0), SPACE_EVERY_LEAST);
        assert_eq!(look_every(16 * MIB + 15), MIB);
        assert_eq!(look_every(17 * MIB), 17 * MIB / 16);
        assert_eq!(look_every(256 * MIB), 16 * MIB);
        assert_eq!(look_every(1024 * MIB), SPACE_EVERY);
        assert_eq!(look_every(u64::MAX), SPACE_EVERY);
    }
}
