//! What a collection would do: the same rules, without doing anything.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Timestamp;
use serde::Serialize;

use super::evict::{self, Eviction, Room};
use super::{CollectOptions, Uses};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files::layout;
use crate::images::{Images, rows};
use crate::publish::Beginnings;
use crate::step::Step;
use crate::store;

/// Blobs that one statement looks at.
const PAGE: u32 = 5_000;
/// Holders that ended and are not forgotten yet; of more, a plan says less than a collection does.
const ENDED_LOOKED_AT: u32 = 100_000;

/// What a collection would do now, if nobody did anything meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Images that the policy would let go.
    pub evict: Vec<Eviction>,
    /// Blobs that would go, with their octets.
    pub blobs: BTreeMap<Digest, u64>,
    /// Files that nothing names, relative to the store's directory: of blobs, unfinished ones, and those that were set aside.
    pub orphans: Vec<String>,
    /// Their octets.
    pub orphan_bytes: u64,
    /// Beginnings of blobs that would be kept for pulls to go on with. They go where room is wanted.
    pub beginnings: Beginnings,
    /// Blobs that are used and whose file is not there.
    pub missing: Vec<Digest>,
    /// Octets of the blobs.
    pub bytes: u64,
}

impl Images {
    /// How much room there is and is wanted.
    pub(super) async fn room(&self, make_room_bytes: u64) -> Result<Room> {
        self.room_now(make_room_bytes).await.map(|(room, _)| room)
    }

    /// The same, and the database's time.
    async fn room_now(&self, make_room_bytes: u64) -> Result<(Room, Timestamp)> {
        let space = self.space().await?;
        let row = self.repo().read(store::meta::read()).await?;
        let row = row.first().ok_or_else(|| Error::internal("the store's row is gone"))?;
        let (used_bytes, free_bytes) = (store::meta::bytes(row)?, space.free_bytes);
        Ok((Room { used_bytes, free_bytes, wanted_bytes: make_room_bytes }, row.get("now")?))
    }

    /// Which images the policy lets go, if so much room is wanted.
    pub(super) async fn plan_evictions(&self, make_room_bytes: u64) -> Result<Vec<Eviction>> {
        self.before(Step::EvictPlan).await?;
        let (room, now) = self.room_now(make_room_bytes).await?;
        let policy = self.options().policy;
        if policy.keep_unclaimed.is_none() && room.needed(&policy) == 0 {
            return Ok(Vec::new());
        }
        let images = self.facts().await?;
        let uses = self.uses(&images).await?;
        Ok(evict::plan(&images, &uses, &policy, &room, now))
    }

    /// The steps of a collection, in their order, on what each of them would leave.
    pub(super) async fn doomed(&self, options: &CollectOptions) -> Result<Plan> {
        let mut plan = Plan::default();
        let policy = self.options().policy;
        let ended = self.ended_holders().await?;
        let (room, now) = self.room_now(options.make_room_bytes).await?;
        self.doom_marked(&mut plan).await?;
        let mut later = self.doom_due(&mut plan, &ended).await?;
        let room = room.without(plan.blobs.values().sum(), 0);
        let wants_room = options.evict && room.needed(&policy) > 0;
        let is_disk_short = if wants_room { room.is_short(&policy) } else { options.make_room_bytes > 0 };
        if wants_room || options.full {
            plan.blobs.append(&mut later);
        }
        self.doom_files(&mut plan, options, wants_room, is_disk_short, &ended).await?;
        if options.evict {
            let room = self.room(options.make_room_bytes).await?.without(0, plan.orphan_bytes);
            let images = self.facts_without(&ended, now).await?;
            let uses = self.uses_without(&images, &ended).await?;
            plan.evict = evict::plan(&images, &uses, &policy, &room, now);
            // What goes for its age waits for its next use, unless room is wanted.
            let goes_at_once = options.full
                || self.options().grace.is_zero()
                || room.without(uses.unused(), 0).needed(&policy) > 0;
            if goes_at_once {
                self.doom_evicted(&mut plan, &uses).await?;
            }
        }
        plan.bytes = plan.blobs.values().sum();
        Ok(plan)
    }

    /// Holders whose claims a collection forgets before anything else.
    async fn ended_holders(&self) -> Result<BTreeSet<i64>> {
        let ended = store::holders::expired(self.options().margin, ENDED_LOOKED_AT);
        let ended = self.shared.slow.read(ended).await?;
        Ok(ended.iter().map(|row| row.get("id")).collect::<mainstay_repo::Result<_>>()?)
    }

    /// Blobs that another collection marked and did not finish.
    async fn doom_marked(&self, plan: &mut Plan) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self.shared.slow.read(store::blobs::deleting(after, PAGE)).await?;
            let page = rows(page, store::blobs::read_slim)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            plan.blobs.extend(page.iter().map(|blob| (blob.digest, blob.size)));
        }
    }

    /// Blobs that nothing uses and whose time has come; those that nothing uses and that wait are returned.
    async fn doom_due(&self, plan: &mut Plan, ended: &BTreeSet<i64>) -> Result<BTreeMap<Digest, u64>> {
        let due = self.due().await?;
        let mut later = BTreeMap::new();
        let mut unused = self.unused(PAGE, ended.iter().copied().collect()).await?;
        while let Some(found) = unused.next(self).await? {
            for blob in found {
                let goes = if due.contains(&blob.id) { &mut plan.blobs } else { &mut later };
                goes.insert(blob.digest, blob.size);
            }
        }
        Ok(later)
    }

    /// Files that nothing names, as far as the options have them looked for.
    async fn doom_files(
        &self,
        plan: &mut Plan,
        options: &CollectOptions,
        wants_room: bool,
        is_disk_short: bool,
        ended: &BTreeSet<i64>,
    ) -> Result<()> {
        if !options.skip_sweep || wants_room {
            let unfinished = self.unfinished(is_disk_short, ended).await?;
            plan.orphans = unfinished.orphans;
            plan.beginnings = unfinished.kept;
        }
        if !options.skip_sweep {
            plan.orphans.extend(self.left_aside().await?);
            for first in super::files::shards() {
                let found = self.compare(first, ended).await?.merged;
                plan.orphans.extend(found.orphans.iter().map(|(digest, inc)| layout::blob(digest, *inc)));
                for row in &found.missing {
                    if self.is_absent(row).await? {
                        plan.missing.push(row.digest);
                    }
                }
            }
        }
        (plan.orphans, plan.orphan_bytes) = self.octets_of(std::mem::take(&mut plan.orphans)).await?;
        Ok(())
    }

    /// Blobs that only images use which would be let go.
    async fn doom_evicted(&self, plan: &mut Plan, uses: &Uses) -> Result<()> {
        let gone: BTreeSet<_> = plan.evict.iter().map(|eviction| eviction.image).collect();
        let (lost, kept): (Vec<_>, Vec<_>) = uses.edges.iter().partition(|(image, _)| gone.contains(image));
        let kept: BTreeSet<i64> = kept.into_iter().flat_map(|(_, blobs)| blobs).copied().collect();
        let lost = lost.into_iter().flat_map(|(_, blobs)| blobs).copied();
        let lost: BTreeSet<i64> =
            lost.filter(|blob| !kept.contains(blob) && !uses.announced.contains(blob)).collect();
        let mut after = 0;
        while lost.range(after + 1..).next().is_some() {
            let page = self.shared.slow.read(store::uses::blobs(after, PAGE)).await?;
            for row in &page {
                let (id, digest, size) = store::uses::read_blob(row)?;
                after = id;
                if lost.contains(&id) {
                    plan.blobs.insert(digest, size);
                }
            }
            if page.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Blobs whose time in the queue has come.
    async fn due(&self) -> Result<BTreeSet<i64>> {
        let mut due = BTreeSet::new();
        let mut after = (0, 0);
        loop {
            let page = self.shared.slow.read(store::queue::due(after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(due) };
            after = (last.get("review_after")?, last.get("id")?);
            for row in &page {
                due.insert(row.get("id")?);
            }
        }
    }
}
