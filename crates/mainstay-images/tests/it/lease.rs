//! Leases: who may use an image, and how they learn that they may not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay_images::*;
use mainstay_testkit::{Polled, at_most_polls, eventually, for_each_database};

use crate::support::{Meddling, World, put};

#[tokio::test]
async fn a_lease_keeps_its_image_and_one_row_keeps_all_leases() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        let mut held = Vec::new();
        for key in ["vm-1", "vm-2", "vm-3"] {
            held.push(node.acquire(key, image.id).await.unwrap());
        }
        assert!(held.is_sorted_by_key(HeldLease::token));
        let before = world.images.holders(None, 10).await.unwrap().remove(0);
        assert_eq!((before.leases, before.fresh, before.live), (3, true, true));
        world.meddle("UPDATE images_holders SET expires_at = expires_at - 1000000").await;
        node.renew().await.unwrap();
        let after = world.images.holders(None, 10).await.unwrap().remove(0);
        assert!(after.expires_at >= before.expires_at);

        let error = world.images.remove(&image.id.into()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InUse);
        for lease in held {
            lease.confirm().await.unwrap();
            lease.release().await.unwrap();
        }
        world.images.remove(&image.id.into()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_leased_again_has_the_new_image_and_a_greater_token() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let (one, two) = (world.publish(&node, &["one"]).await, world.publish(&node, &["two"]).await);
        let first = node.acquire("vm", one.id).await.unwrap();
        let second = node.acquire("vm", two.id).await.unwrap();
        assert!(second.token() > first.token());
        assert_eq!(second.image(), two.id);
        assert_eq!(world.images.leases(None, 10).await.unwrap().len(), 1);
        assert!(first.confirm().await.unwrap_err().is_stale());
        assert!(first.release().await.unwrap_err().is_stale());
        second.confirm().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_guarded_by_a_lost_lease_does_not_happen() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let held = node.acquire("vm", image.id).await.unwrap();
        let guard = held.guard();
        let derive = |delta: &str| Derive {
            parent: image.id,
            delta: crate::support::digest(delta),
            label: None,
            name: None,
            guard: Some(guard),
        };
        let ingest = node.ingest();
        put(&ingest, BlobKind::Delta, "one").await;
        ingest.derive(derive("one")).await.unwrap();
        node.acquire("vm", image.id).await.unwrap();
        let ingest = node.ingest();
        put(&ingest, BlobKind::Delta, "two").await;
        assert!(ingest.derive(derive("two")).await.unwrap_err().is_stale());
        assert_eq!(world.count("images").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_taken_over_fences_the_old_life_but_keeps_its_claims_until_they_run_out() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let old = world.node().await;
        let image = world.publish(&old, &["base"]).await;
        let held = old.acquire("vm", image.id).await.unwrap();
        let new = world.node().await;
        assert!(new.id() > old.id());
        // The old life has not heard yet: what it uses stays.
        let report = world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!(report.holders_reaped, 0);
        assert_eq!(world.images.remove(&image.id.into()).await.unwrap_err().kind(), &ErrorKind::InUse);
        assert!(held.is_live());
        let lost = tokio::spawn({
            let held = held.clone();
            async move { held.lost().await }
        });
        assert!(old.renew().await.unwrap_err().is_stale());
        tokio::time::timeout(Duration::from_secs(30), lost).await.unwrap().unwrap();
        assert!(!held.is_live());
        assert!(old.acquire("vm-2", image.id).await.unwrap_err().is_stale());
        // The new life has a lease of the same key beside it.
        let mine = new.acquire("vm", image.id).await.unwrap();
        world.meddle(&format!("UPDATE images_holders SET expires_at = 1000 WHERE id = {}", old.id())).await;
        let report = world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!((report.holders_reaped, report.leases_reaped), (1, 1));
        mine.confirm().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn work_with_an_image_is_told_whether_it_was_protected_to_the_end() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let size = node
            .with_image("vm", image.id, async |held| {
                assert!(held.is_live());
                world.images.chain_sizes(held.image()).await.unwrap()
            })
            .await
            .unwrap();
        assert_eq!(size, [4]);
        assert_eq!(world.count("images_leases").await, 0);
        let error = node
            .with_image("vm", image.id, async |held| {
                world.expire_all().await;
                world.images.collect("c", &CollectOptions::default()).await.unwrap();
                // The heartbeat finds it out, and the lease tells.
                assert!(node.renew().await.unwrap_err().is_stale());
                held.lost().await;
            })
            .await
            .unwrap_err();
        assert!(error.is_stale());
    })
    .await;
}

#[tokio::test]
async fn work_that_is_cancelled_gives_its_lease_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let (began, begun) = tokio::sync::oneshot::channel();
        let working = tokio::spawn({
            let node = node.clone();
            async move {
                let work = async |_: HeldLease| {
                    began.send(()).unwrap();
                    std::future::pending::<()>().await;
                };
                node.with_image("vm", image.id, work).await
            }
        });
        begun.await.unwrap();
        assert_eq!(world.count("images_leases").await, 1);
        working.abort();
        let released = async {
            while world.count("images_leases").await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), released).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_of_its_own_renews() {
    for_each_database(async |database| {
        let short = |options: &mut ImagesOptions| {
            options.ttl = MIN_TTL;
            options.margin = Duration::ZERO;
        };
        let world = World::with(database, short).await;
        let node = world.images.join("node").await.unwrap();
        let began = world.images.holders(None, 10).await.unwrap().remove(0).expires_at;
        let renewed = async {
            while world.images.holders(None, 10).await.unwrap().remove(0).expires_at == began {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), renewed).await.unwrap();
        node.leave().await.unwrap();
        assert_eq!(world.count("images_holders").await, 0);
        assert!(!node.is_live());
    })
    .await;
}

#[tokio::test]
async fn an_image_that_is_gone_or_whose_blob_is_damaged_cannot_be_leased() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        assert_eq!(node.acquire("vm", ImageId::new(999)).await.unwrap_err().kind(), &ErrorKind::NotFound);
        world.meddle("UPDATE images_blobs SET state = 2 WHERE kind = 1").await;
        let error = node.acquire("vm", image.id).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Incomplete);
        assert!(error.message().contains(&crate::support::digest("delta").to_string()), "{error}");
        assert_eq!(world.count("images_leases").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_blob_that_is_mended_between_two_looks_does_not_cost_the_node_its_leases() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base", "delta"]).await;
        let mending = Meddling::new(&world, "images.missing", "UPDATE images_blobs SET state = 0");
        let images = world.meddled(database, mending).await;
        let node = images.join_with("other", Heartbeat::Host).await.unwrap();
        let first = node.acquire("first", image.id).await.unwrap();
        world.meddle("UPDATE images_blobs SET state = 2").await;
        let second = node.acquire("second", image.id).await.unwrap();
        assert!(node.is_live() && first.is_live() && second.is_live());
        // A holder whose row is gone does lose them.
        world.meddle("DELETE FROM images_leases").await;
        world.meddle("DELETE FROM images_holders").await;
        assert_eq!(node.acquire("third", image.id).await.unwrap_err().kind(), &ErrorKind::Stale);
        assert!(!node.is_live() && !first.is_live());
    })
    .await;
}

#[tokio::test]
async fn a_lease_whose_key_is_leased_again_or_given_back_elsewhere_says_that_it_is_lost() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let (one, two) = (world.publish(&node, &["one"]).await, world.publish(&node, &["two"]).await);
        let first = node.acquire("vm", one.id).await.unwrap();
        let other = node.acquire("other", one.id).await.unwrap();
        assert!(first.is_live());
        let second = node.acquire("vm", two.id).await.unwrap();
        assert!(!first.is_live() && second.is_live() && other.is_live());
        tokio::time::timeout(Duration::from_secs(30), first.lost()).await.unwrap();
        // Work with it is told that it was not protected to its end.
        let replaced = node.with_image("vm", one.id, async |held| {
            node.acquire("vm", two.id).await.unwrap();
            held.lost().await;
        });
        assert!(replaced.await.unwrap_err().is_stale());
        // One that could not be had takes nothing away.
        let third = node.acquire("vm", one.id).await.unwrap();
        node.acquire("vm", ImageId::new(999)).await.unwrap_err();
        third.confirm().await.unwrap();
        assert!(third.is_live());
        let clone = third.clone();
        third.release().await.unwrap();
        assert!(!clone.is_live() && node.is_live());
        tokio::time::timeout(Duration::from_secs(30), clone.lost()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_nobody_waited_for_is_given_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let mut dropped = 0;
        loop {
            let polled = at_most_polls(dropped, node.acquire(&format!("vm-{dropped}"), image.id)).await;
            if let Polled::Ready(held) = polled {
                held.unwrap().release().await.unwrap();
                break;
            }
            dropped += 1;
        }
        assert!(dropped > 1, "{dropped}");
        eventually("every lease was given back", async || world.count("images_leases").await == 0).await;
        assert!(node.is_live());
    })
    .await;
}

/// The clock of a machine that is put to sleep: it jumps, and timers have not moved.
#[derive(Debug)]
struct Sleeper {
    began: Instant,
    slept: Mutex<Duration>,
}

impl Uptime for Sleeper {
    fn now(&self) -> Duration {
        self.began.elapsed() + *self.slept.lock().unwrap()
    }
}

#[tokio::test]
async fn a_machine_that_slept_does_not_believe_in_claims_that_ran_out_meanwhile() {
    for_each_database(async |database| {
        let sleeper = Arc::new(Sleeper { began: Instant::now(), slept: Mutex::default() });
        let sleep = |time| *sleeper.slept.lock().unwrap() += time;
        let clock: Arc<dyn Uptime> = sleeper.clone();
        let world = World::with(database, |options| {
            options.ttl = Duration::from_secs(600);
            options.uptime = clock;
        })
        .await;
        let node = world.images.join("node").await.unwrap();
        let image = world.publish(&node, &["base"]).await;
        let held = node.acquire("vm", image.id).await.unwrap();
        // A sleep of less than a life: the heartbeat does not wait for the rest of its pause of 200 s.
        world.meddle("UPDATE images_holders SET expires_at = expires_at - 300000000").await;
        let before = world.images.holders(None, 10).await.unwrap().remove(0).expires_at;
        sleep(Duration::from_secs(300));
        assert!(held.is_live());
        eventually("the holder renews when it wakes", async || {
            world.images.holders(None, 10).await.unwrap().remove(0).expires_at > before
        })
        .await;
        // A longer one: nobody has to ask the database to know.
        let losing = tokio::spawn({
            let held = held.clone();
            async move { held.lost().await }
        });
        sleep(Duration::from_secs(600));
        assert!(!held.is_live() && !node.is_live());
        tokio::time::timeout(Duration::from_secs(10), losing).await.expect("it is told").unwrap();
        assert!(node.renew().await.unwrap_err().is_stale());
    })
    .await;
}
