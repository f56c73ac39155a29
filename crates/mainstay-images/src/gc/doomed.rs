//! What a collection would do: the same rules, without doing anything.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Timestamp;
use serde::Serialize;

use super::CollectOptions;
use super::evict::{self, Eviction, Room};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files::layout;
use crate::images::Images;
use crate::step::Step;
use crate::store;

/// Blobs that one statement looks at.
const PAGE: u32 = 5_000;

/// What a collection would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Images that the policy would let go.
    pub evict: Vec<Eviction>,
    /// Blobs that would go, with their octets.
    pub blobs: BTreeMap<Digest, u64>,
    /// Files that nothing names, relative to the store's directory.
    pub orphans: Vec<String>,
    /// Blobs that are used and whose file is not there.
    pub missing: Vec<Digest>,
    /// Octets of the blobs.
    pub bytes: u64,
}

impl Images {
    /// How much room there is and is wanted, and the database's time.
    async fn room(&self, make_room_bytes: u64) -> Result<(Room, Timestamp)> {
        let space = self.space().await?;
        let row = self.repo().read(store::meta::read()).await?;
        let row = row.first().ok_or_else(|| Error::internal("the store's row is gone"))?;
        let (used_bytes, free_bytes) = (store::meta::bytes(row)?, space.free_bytes);
        Ok((Room { used_bytes, free_bytes, wanted_bytes: make_room_bytes }, row.get("now")?))
    }

    /// Whether something has to go, if so much room is wanted.
    pub(super) async fn wants_room(&self, make_room_bytes: u64) -> Result<bool> {
        let (room, _) = self.room(make_room_bytes).await?;
        Ok(room.needed(&self.options().policy) > 0)
    }

    /// Which images the policy would let go, if so much room is wanted.
    pub(super) async fn plan_evictions(&self, make_room_bytes: u64) -> Result<Vec<Eviction>> {
        self.before(Step::EvictPlan).await?;
        let (room, now) = self.room(make_room_bytes).await?;
        let policy = self.options().policy;
        if policy.keep_unclaimed.is_none() && room.needed(&policy) == 0 {
            return Ok(Vec::new());
        }
        let images = self.facts().await?;
        let uses = self.uses(&images).await?;
        Ok(evict::plan(&images, &uses, &policy, &room, now))
    }

    pub(super) async fn doomed(&self, options: &CollectOptions) -> Result<Plan> {
        let mut plan = Plan::default();
        if options.evict {
            plan.evict = self.plan_evictions(options.make_room_bytes).await?;
        }
        let is_all = options.full || options.evict && self.wants_room(options.make_room_bytes).await?;
        let due = if is_all { None } else { Some(self.due().await?) };
        let mut unused = self.unused(PAGE).await?;
        while let Some(found) = unused.next(self).await? {
            let counted = found.iter().filter(|blob| due.as_ref().is_none_or(|due| due.contains(&blob.id)));
            plan.blobs.extend(counted.map(|blob| (blob.digest, blob.size)));
        }
        self.doom_evicted(&mut plan).await?;
        plan.bytes = plan.blobs.values().sum();
        if options.skip_sweep {
            return Ok(plan);
        }
        for first in super::files::shards() {
            let found = self.compare(first).await?;
            plan.orphans.extend(found.merged.orphans.iter().map(|(digest, inc)| layout::blob(digest, *inc)));
            for row in &found.merged.missing {
                if self.is_absent(row).await? {
                    plan.missing.push(row.digest);
                }
            }
        }
        Ok(plan)
    }

    /// Blobs that only images use which would be let go.
    async fn doom_evicted(&self, plan: &mut Plan) -> Result<()> {
        if plan.evict.is_empty() {
            return Ok(());
        }
        let images = self.facts().await?;
        let uses = self.uses(&images).await?;
        let gone: BTreeSet<_> = plan.evict.iter().map(|eviction| eviction.image).collect();
        let kept: BTreeSet<i64> = uses
            .edges
            .iter()
            .filter(|(image, _)| !gone.contains(image))
            .flat_map(|(_, blobs)| blobs.clone())
            .collect();
        let lost = uses.edges.iter().filter(|(image, _)| gone.contains(image)).flat_map(|(_, blobs)| blobs);
        let lost: BTreeSet<i64> = lost.copied().filter(|blob| !kept.contains(blob)).collect();
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
