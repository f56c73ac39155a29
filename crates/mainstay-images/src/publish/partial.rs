//! What arrived of a blob before its transfer ended: a file among the unfinished ones whose name says of what it is the beginning.
//!
//! It is never gone on with: who wrote it may only stand still, and write to it later. Another transfer of the blob reads it as it
//! reads a registry, into a file of its own that is hashed from its first octet, and fetches the rest. So nothing rests on what it
//! holds, and it need not be durable.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::ErrorKind as IoErrorKind;
use std::time::Duration;

use crate::blob::BlobState;
use crate::digest::Digest;
use crate::disk::unlink;
use crate::error::{Error, Result};
use crate::files::{ReadFile, layout};
use crate::ids::Incarnation;
use crate::images::Images;
use crate::step::Step;
use crate::store;

/// How long after its last octet a collection leaves the beginning of a blob that did not arrive.
pub const MAX_PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);
/// The octets of all such beginnings that a collection leaves, the youngest first.
pub const MAX_PARTIAL_BYTES: u64 = 8 << 30;

/// The beginning of a blob, open to be read.
pub(crate) struct Partial {
    pub(crate) file: Box<dyn ReadFile>,
    /// So many octets of it count: its writer may add to it.
    pub(crate) size: u64,
}

/// Beginnings that a collection leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Beginnings {
    /// How many there are.
    pub count: u64,
    /// Their octets.
    pub bytes: u64,
}

impl Beginnings {
    fn of<'a>(partials: impl Iterator<Item = &'a Beginning>) -> Self {
        partials.fold(Self::default(), |sum, partial| Self {
            count: sum.count + 1,
            bytes: sum.bytes.saturating_add(partial.size),
        })
    }
}

/// The beginning of a blob, as a directory and its file tell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Beginning {
    digest: Digest,
    inc: i64,
    size: u64,
    /// Since its last octet; none where the file system does not tell.
    age: Option<Duration>,
}

impl Images {
    /// The longest beginning of a blob of at most so many octets.
    pub(crate) async fn partial(&self, digest: &Digest, most: u64) -> Result<Option<Partial>> {
        let digest = *digest;
        self.shared
            .disk
            .run(move |files| {
                let mut longest: Option<Partial> = None;
                for name in list(files)? {
                    if layout::parse_blob(&name).is_none_or(|(of, _)| of != digest) {
                        continue;
                    }
                    let path = format!("{}/{name}", layout::STAGING);
                    let failed = |error| Error::medium("cannot read", &path, error);
                    let file = match files.open(&path) {
                        // It was finished, or a collection took it.
                        Err(error) if error.kind() == IoErrorKind::NotFound => continue,
                        other => other.map_err(failed)?,
                    };
                    let size = file.size().map_err(failed)?;
                    let least = longest.as_ref().map_or(1, |longest| longest.size + 1);
                    if (least..=most).contains(&size) {
                        longest = Some(Partial { file, size });
                    }
                }
                Ok(longest)
            })
            .await
    }

    /// Removes the beginnings of a blob that nobody is writing to: it arrived, or they are not its beginning.
    pub(crate) async fn forget_partials(&self, digest: &Digest) -> Result<()> {
        self.before(Step::SweepList).await?;
        let digest = *digest;
        let names = self.shared.disk.run(list).await?;
        let of_digest = names.iter().filter_map(|name| layout::parse_blob(name));
        let numbers: Vec<i64> = of_digest.filter(|(of, _)| *of == digest).map(|(_, inc)| inc).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        self.before(Step::SweepCheck).await?;
        let intents = self.repo().read(store::intents::of_digest(&digest)).await?;
        let alive =
            intents.iter().map(|row| row.get("inc")).collect::<mainstay_repo::Result<BTreeSet<i64>>>()?;
        self.before(Step::SweepUnlink).await?;
        self.shared
            .disk
            .run(move |files| {
                let mut dead = numbers.iter().filter(|inc| !alive.contains(inc));
                dead.try_for_each(|inc| unlink(files, &layout::partial(&digest, *inc)).map(drop))
            })
            .await
    }

    /// Makes so much room of the beginnings of blobs that nobody is bringing any more, the oldest first; says whether it did. Where all of
    /// them are not enough, none goes.
    pub(crate) async fn drop_partials(&self, short: u64) -> Result<bool> {
        self.before(Step::SweepList).await?;
        let names = self.shared.disk.run(list).await?;
        let mut partials: Vec<(Digest, i64)> =
            names.iter().filter_map(|name| layout::parse_blob(name)).collect();
        if partials.is_empty() {
            return Ok(false);
        }
        self.before(Step::SweepCheck).await?;
        let intents = self.repo().read(store::intents::all()).await?;
        let alive =
            intents.iter().map(|row| row.get("inc")).collect::<mainstay_repo::Result<BTreeSet<i64>>>()?;
        partials.retain(|(_, inc)| !alive.contains(inc));
        let mut found = self.measure_partials(partials).await?;
        if found.iter().fold(0_u64, |sum, partial| sum.saturating_add(partial.size)) < short {
            return Ok(false);
        }
        found.sort_by_key(|partial| (Reverse(partial.age), partial.inc));
        self.before(Step::SweepUnlink).await?;
        self.shared
            .disk
            .run(move |files| {
                let mut freed = 0_u64;
                for partial in found {
                    if freed >= short {
                        break;
                    }
                    unlink(files, &layout::partial(&partial.digest, partial.inc))?;
                    freed = freed.saturating_add(partial.size);
                }
                Ok(true)
            })
            .await
    }

    /// How large and how old beginnings are; those that are gone by now are left out.
    async fn measure_partials(&self, files: Vec<(Digest, i64)>) -> Result<Vec<Beginning>> {
        self.shared
            .disk
            .run(move |on_disk| {
                let mut found = Vec::with_capacity(files.len());
                for (digest, inc) in files {
                    let path = layout::partial(&digest, inc);
                    let failed = |error| Error::medium("cannot look at", &path, error);
                    match on_disk.size(&path).and_then(|size| Ok((size, on_disk.age(&path)?))) {
                        Err(error) if error.kind() == IoErrorKind::NotFound => {}
                        other => {
                            let (size, age) = other.map_err(failed)?;
                            found.push(Beginning { digest, inc, size, age });
                        }
                    }
                }
                Ok(found)
            })
            .await
    }

    /// Beginnings of blobs that nobody is bringing any more.
    pub(crate) async fn beginnings(&self) -> Result<Beginnings> {
        let names = self.shared.disk.run(list).await?;
        let mut partials: Vec<(Digest, i64)> =
            names.iter().filter_map(|name| layout::parse_blob(name)).collect();
        let alive =
            store::intents::numbers(&self.repo().read(store::intents::all()).await?, &BTreeSet::new())?;
        partials.retain(|(_, inc)| !alive.contains(inc));
        Ok(Beginnings::of(self.measure_partials(partials).await?.iter()))
    }

    /// Of files whose numbers nothing announces, those that a collection removes, and the beginnings that are worth keeping.
    pub(crate) async fn spent_partials(
        &self,
        files: Vec<(Digest, i64)>,
        is_room_wanted: bool,
    ) -> Result<(Vec<String>, Beginnings)> {
        let floor = self.options().policy.min_free_bytes;
        let found = self.measure_partials(files).await?;
        if found.is_empty() {
            return Ok((Vec::new(), Beginnings::default()));
        }
        let is_room_wanted = is_room_wanted || self.space().await?.free_bytes < floor;
        let mut present = BTreeSet::new();
        for digest in found.iter().map(|partial| partial.digest).collect::<BTreeSet<_>>() {
            let row = self.shared.slow.read(store::blobs::find(&digest)).await?;
            let row = row.first().map(store::blobs::read).transpose()?;
            if row.is_some_and(|blob| blob.state == BlobState::Present) {
                present.insert(digest);
            }
        }
        let kept = if is_room_wanted { BTreeSet::new() } else { worth_keeping(&found, &present) };
        let (kept, spent): (Vec<_>, Vec<_>) =
            found.iter().partition(|partial| kept.contains(&Incarnation(partial.inc)));
        let spent = spent.into_iter().map(|partial| layout::partial(&partial.digest, partial.inc));
        Ok((spent.collect(), Beginnings::of(kept.into_iter())))
    }
}

fn list(files: &dyn crate::files::Files) -> Result<Vec<String>> {
    files.list(layout::STAGING).map_err(|error| Error::medium("cannot list", layout::STAGING, error))
}

/// The longest beginning of each blob that is not there, as long as they are young, and together not too large.
fn worth_keeping(found: &[Beginning], present: &BTreeSet<Digest>) -> BTreeSet<Incarnation> {
    let mut candidates: Vec<(Duration, &Beginning)> = found
        .iter()
        .filter(|partial| !present.contains(&partial.digest) && partial.size > 0)
        .filter_map(|partial| Some((partial.age.filter(|age| *age <= MAX_PARTIAL_AGE)?, partial)))
        .collect();
    // Of each blob the longest alone, and then the youngest first.
    candidates.sort_by_key(|(age, partial)| (partial.digest, Reverse(partial.size), *age, partial.inc));
    candidates.dedup_by_key(|(_, partial)| partial.digest);
    candidates.sort_by_key(|(age, partial)| (*age, partial.inc));
    let mut room = MAX_PARTIAL_BYTES;
    let mut kept = BTreeSet::new();
    for (_, partial) in candidates {
        if let Some(rest) = room.checked_sub(partial.size) {
            room = rest;
            kept.insert(Incarnation(partial.inc));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(of: &str, inc: i64, size: u64, age: Duration) -> Beginning {
        Beginning { digest: Digest::of(of.as_bytes()), inc, size, age: Some(age) }
    }

    fn kept(found: &[Beginning], present: &[&str]) -> Vec<i64> {
        let present = present.iter().map(|of| Digest::of(of.as_bytes())).collect();
        worth_keeping(found, &present).into_iter().map(Incarnation::get).collect()
    }

    #[test]
    fn beginnings_are_kept_up_to_an_age() {
        let old = MAX_PARTIAL_AGE + Duration::from_nanos(1);
        let found = [partial("a", 1, 7, MAX_PARTIAL_AGE), partial("b", 2, 7, old)];
        assert_eq!(kept(&found, &[]), [1]);
        // Where the file system does not tell, none is.
        let unknown = Beginning { age: None, ..partial("c", 3, 7, Duration::ZERO) };
        assert!(kept(&[unknown], &[]).is_empty());
    }

    #[test]
    fn beginnings_are_kept_up_to_a_size_the_youngest_first() {
        let second = Duration::from_secs;
        let all = partial("a", 1, MAX_PARTIAL_BYTES - 1, second(2));
        assert_eq!(kept(&[all.clone(), partial("b", 2, 1, second(1))], &[]), [1, 2]);
        assert_eq!(kept(&[all.clone(), partial("b", 2, 2, second(1))], &[]), [2], "one octet more");
        assert_eq!(kept(&[all, partial("b", 2, 2, second(3))], &[]), [1]);
        assert!(kept(&[partial("a", 1, MAX_PARTIAL_BYTES + 1, second(0))], &[]).is_empty());
    }

    #[test]
    fn of_one_blob_the_longest_is_kept_and_none_once_it_is_there() {
        let second = Duration::from_secs;
        let found =
            [partial("a", 1, 5, second(1)), partial("a", 2, 9, second(5)), partial("b", 3, 0, second(1))];
        assert_eq!(kept(&found, &[]), [2]);
        assert!(kept(&found, &["a"]).is_empty());
    }
}
