//! What is done while processes end, disks fail and the power goes.

use mainstay_images::gc::CollectOptions;
use mainstay_images::{ErrorKind, Images, Result};

use super::world::{A, B, C, World, collect, join, publish, publish_streams, remove, scrub};

/// One piece of work, and what was there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Two blobs into an empty store.
    Publish,
    /// Three blobs of which the store has two.
    Adopt,
    /// Blobs whose digest is known only when they are written.
    Streams,
    /// A blob whose tombstone a collector that ended has left.
    PublishBesideTombstone,
    /// A blob whose row is there and whose file is lost.
    Repair,
    /// An image goes, and a collection takes what only it had.
    Collect,
    /// A collection of what a publisher that ended has left.
    Sweep,
    /// A holder leases an image, renews, goes over to another and gives it back, while a collection lets go of what nobody claims.
    LeaseAndEvict,
    /// A scrub that finds one file missing and one wrong.
    Scrub,
}

impl Scenario {
    /// What was there before.
    pub(super) async fn prepare(self, world: &World) {
        let images = world.open().await;
        match self {
            Self::Publish | Self::Streams | Self::Scrub => {}
            Self::Adopt | Self::Repair => {
                publish(&images, "earlier", &[A, B]).await.unwrap();
            }
            Self::PublishBesideTombstone => {
                let image = publish(&images, "earlier", &[A, B]).await.unwrap();
                remove(&images, &image).await.unwrap();
                world.expire_holders().await;
                world.execute("UPDATE images_blobs SET state = 1").await;
            }
            Self::Collect => {
                publish(&images, "earlier", &[A]).await.unwrap();
                publish(&images, "earlier", &[A, B, C]).await.unwrap();
                world.expire_holders().await;
            }
            Self::LeaseAndEvict => {
                publish(&images, "earlier", &[A]).await.unwrap();
                publish(&images, "earlier", &[B, C]).await.unwrap();
                world.expire_holders().await;
            }
            Self::Sweep => {
                publish(&images, "earlier", &[A]).await.unwrap();
                abandon(world).await;
                world.expire_holders().await;
            }
        }
        if self == Self::Scrub {
            publish(&images, "earlier", &[A, B, C]).await.unwrap();
            world.expire_holders().await;
            world.lose(A);
            world.rot(B);
        }
        if self == Self::Repair {
            world.lose(A);
        }
    }

    /// The work.
    pub(super) async fn run(self, images: &Images) -> Result<()> {
        match self {
            Self::Publish | Self::PublishBesideTombstone | Self::Repair => {
                publish(images, "worker", &[A, B]).await.map(|_| ())
            }
            Self::Adopt => publish(images, "worker", &[A, B, C]).await.map(|_| ()),
            Self::Streams => publish_streams(images, "worker", &[A, B]).await.map(|_| ()),
            Self::Collect => {
                let all = images.images(None, 10).await?;
                if let Some(image) = all.iter().max_by_key(|image| image.chain.depth()) {
                    remove(images, image).await?;
                }
                collect(images).await
            }
            Self::Sweep => collect(images).await,
            Self::LeaseAndEvict => lease_and_evict(images).await,
            Self::Scrub => scrub(images).await.map(|_| ()),
        }
    }
}

/// What is leased stays, whatever the policy says; what was leased before goes.
async fn lease_and_evict(images: &Images) -> Result<()> {
    let all = images.images(None, 10).await?;
    let [first, second] = all.as_slice() else { panic!("there are two images") };
    let node = join(images, "worker").await?;
    let held = node.acquire("vm", first.id).await?;
    node.renew().await?;
    held.confirm().await?;
    let moved = node.acquire("vm", second.id).await?;
    let stale = held.confirm().await.expect_err("the lease was moved to another image");
    assert_eq!(*stale.kind(), ErrorKind::Stale);
    // Images are as old as the minute in which they were used.
    let evicting = CollectOptions { evict: true, make_room_bytes: u64::MAX / 4, ..CollectOptions::default() };
    images.collect("evictor", &evicting).await?;
    assert!(images.find_image(&first.id.into()).await?.is_none(), "nobody claims it any more");
    moved.confirm().await?;
    let chain = images.resolve_chain(second.id).await?;
    for layer in chain.layers() {
        images.open_blob(&layer.digest, mainstay_images::Verify::Content).await?;
    }
    moved.release().await?;
    images.collect("evictor", &evicting).await?;
    assert!(images.find_image(&second.id.into()).await?.is_none(), "nobody claims it any more");
    Ok(())
}

/// A publisher writes files and ends: one has its name, one has not.
async fn abandon(world: &World) {
    for steps in 0.. {
        let stop = std::sync::Arc::new(super::steps::StopAt::new(steps));
        let images = world.open_with(stop.clone()).await.unwrap();
        if publish(&images, "abandoned", &[B, C]).await.is_ok() {
            panic!("it ended by itself after {:?}", stop.passed());
        }
        let facts = world.facts().await;
        if !facts.staged.is_empty() && facts.files.len() > 2 {
            return;
        }
    }
}
