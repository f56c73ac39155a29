//! Room on the disk of the data directory, which is the disk of the SQLite file too: whoever writes something large has the room
//! promised first, so that many who look at once do not count on the same octets, and so much always stays free that the database can
//! commit.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::problem::{Problem, ProblemKind};

/// Octets after which the disk is looked at again, since others write there too.
pub(super) const LOOK: u64 = 64 * 1024 * 1024;
/// How often the disk is looked at while something is written that tells nothing meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many octets may still be written.
type Measure = dyn Fn() -> std::io::Result<u64> + Send + Sync;

/// A disk, and what of it is promised.
pub(super) struct Room {
    free: Arc<Measure>,
    floor: u64,
    promised: Mutex<u64>,
}

/// Octets that are kept for one who writes. What is left of them is free for others when this is dropped.
#[derive(Debug)]
pub(super) struct Promise {
    room: Arc<Room>,
    octets: u64,
    unlooked: u64,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let promised = *self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Room")
            .field("floor", &self.floor)
            .field("promised", &promised)
            .finish_non_exhaustive()
    }
}

impl Room {
    /// A disk of which `floor` octets stay free.
    pub(super) fn new(
        free: impl Fn() -> std::io::Result<u64> + Send + Sync + 'static,
        floor: u64,
    ) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(free), floor, promised: Mutex::new(0) })
    }

    /// Has so many octets kept.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] when there is no room for them, or the disk does not tell.
    pub(super) async fn promise(self: &Arc<Self>, octets: u64) -> Result<Promise, Problem> {
        self.take(octets).await?;
        Ok(Promise { room: Arc::clone(self), octets, unlooked: 0 })
    }

    async fn take(&self, octets: u64) -> Result<(), Problem> {
        let free = self.measure().await?;
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let left = free.saturating_sub(*promised).saturating_sub(self.floor);
        if octets > left || free.saturating_sub(*promised) < self.floor {
            return Err(self.full(octets, left));
        }
        *promised = promised.saturating_add(octets);
        Ok(())
    }

    async fn measure(&self) -> Result<u64, Problem> {
        let free = Arc::clone(&self.free);
        let measured = tokio::task::spawn_blocking(move || free()).await;
        measured
            .map_err(std::io::Error::other)
            .and_then(|free| free)
            .map_err(|error| super::transfer::failed(&error))
    }

    fn full(&self, octets: u64, left: u64) -> Problem {
        let detail = format!(
            "The disk of the data directory has no room: {octets} octets more are needed, and {left} may be used beside what others \
             were promised and the {} that stay free for the database. Nothing was kept; free some, or try again later.",
            self.floor
        );
        Problem::new(ProblemKind::Unavailable, detail)
    }

    /// Ends when less than the floor is free.
    pub(super) async fn runs_out(&self) -> Problem {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.measure().await {
                Ok(free) if free < self.floor => return self.full(0, 0),
                Ok(_) => {}
                Err(problem) => return problem,
            }
        }
    }
}

impl Promise {
    /// Before so many octets are written: has more kept if they were not told of, and looks again from time to time whether others
    /// left the room that was promised.
    ///
    /// # Errors
    /// As [`Room::promise`].
    pub(super) async fn before(&mut self, octets: u64) -> Result<(), Problem> {
        self.unlooked = self.unlooked.saturating_add(octets);
        let lacking = octets.saturating_sub(self.octets);
        if lacking == 0 && self.unlooked < LOOK {
            return Ok(());
        }
        let more = if lacking == 0 { 0 } else { lacking.max(LOOK) };
        self.room.take(more).await?;
        self.octets = self.octets.saturating_add(more);
        self.unlooked = 0;
        Ok(())
    }

    /// After so many were written: the disk itself counts them now.
    pub(super) fn wrote(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        let mut promised = self.room.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = promised.saturating_sub(octets);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.wrote(self.octets);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A disk with so many octets free.
    fn disk(free: u64, floor: u64) -> (Arc<AtomicU64>, Arc<Room>) {
        let disk = Arc::new(AtomicU64::new(free));
        let seen = Arc::clone(&disk);
        (disk, Room::new(move || Ok(seen.load(Ordering::Relaxed)), floor))
    }

    #[tokio::test]
    async fn no_two_are_promised_the_same_octets_and_the_floor_stays() {
        let (_disk, room) = disk(1_000, 100);
        let first = room.promise(600).await.unwrap();
        let refused = room.promise(301).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Unavailable);
        assert!(
            refused.detail().contains("301 octets more are needed, and 300 may be used"),
            "{}",
            refused.detail()
        );
        let second = room.promise(300).await.unwrap();
        assert!(room.promise(1).await.is_err());
        drop(first);
        drop(second);
        room.promise(900).await.unwrap();
        assert!(room.promise(901).await.is_err());
    }

    #[tokio::test]
    async fn what_was_not_told_of_is_promised_piece_by_piece_and_looked_for_again() {
        let (disk, room) = disk(3 * LOOK, LOOK);
        let mut promise = room.promise(0).await.unwrap();
        let write = |octets: u64| disk.fetch_sub(octets, Ordering::Relaxed);
        for _ in 0..2 {
            promise.before(LOOK).await.unwrap();
            write(LOOK);
            promise.wrote(LOOK);
        }
        assert!(promise.before(1).await.is_err(), "the floor is reached");
        // With its length told, others fill the disk meanwhile: it is seen after so many octets.
        disk.store(4 * LOOK, Ordering::Relaxed);
        let mut told = room.promise(2 * LOOK).await.unwrap();
        told.before(LOOK - 1).await.unwrap();
        write(LOOK - 1);
        told.wrote(LOOK - 1);
        write(2 * LOOK);
        assert!(told.before(1).await.is_err());
    }

    #[tokio::test]
    async fn a_disk_that_runs_out_meanwhile_is_noticed() {
        let (disk, room) = disk(100, 100);
        let noticed = tokio::time::timeout(2 * LOOK_EVERY, room.runs_out()).await;
        assert!(noticed.is_err(), "so much may be free and no less");
        disk.store(99, Ordering::Relaxed);
        assert_eq!(room.runs_out().await.kind(), ProblemKind::Unavailable);
    }
}
