//! The process ends, or the power goes, before every step of the real code; the ordinary start must cope with what is left.

use std::sync::Arc;

use mainstay_images::Step;
use mainstay_testkit::fault_fs::{Fate, Operation};
use mainstay_testkit::{Random, TestDatabase, environment};

use super::scenario::Scenario;
use super::steps::StopAt;
use super::world::World;

/// How what was loose ends.
fn fates(is_long: bool, step: usize) -> Vec<(&'static str, Option<Fate>)> {
    let mut fates = vec![("the process ends", None), ("power goes, loose things are lost", Some(Fate::Lost))];
    if environment::soaks() {
        fates.push(("power goes, names are kept and octets lost", Some(Fate::NamesKept)));
        fates.push(("power goes, loose things are kept", Some(Fate::Kept)));
    }
    let rolls = if environment::soaks() { 20 } else { u64::from(is_long) };
    for roll in 0..rolls {
        let seed = (step as u64) << 16 | roll;
        fates.push(("power goes, at random", Some(Fate::Random(Random::seeded(seed)))));
    }
    fates
}

/// Ends a scenario before each of its steps in turn, on a disk that may answer an operation well and not do it.
async fn check(scenario: Scenario, database: TestDatabase, is_long: bool, lies: Option<Operation>) {
    let mut ends = 0;
    for step in 0.. {
        let mut is_done = false;
        for (name, mut fate) in fates(is_long, step) {
            let mut world = World::new(&database).await;
            scenario.prepare(&world).await;
            world.lies = lies;
            let stop = Arc::new(StopAt::new(step));
            let images = world.open_with(stop.clone()).await.unwrap();
            is_done = scenario.run(&images).await.is_ok();
            drop(images);
            if let Some(fate) = &mut fate {
                world.power_loss(fate);
                world.watch();
            }
            let context = format!("{scenario:?}, {name} after {:?}", stop.passed());
            if scenario == Scenario::Scrub {
                world.scrub_and_repair(&context).await;
            }
            if scenario != Scenario::Repair {
                world.check_safe(&context).await;
            }
            if scenario != Scenario::Repair || is_done {
                world.check_drains(&context).await;
            }
            if is_done && scenario == Scenario::Scrub {
                let steps = [Step::ScrubLook, Step::ScrubMark, Step::ScrubSetAside];
                assert!(steps.iter().all(|step| stop.passed().contains(step)), "{:?}", stop.passed());
            }
            if is_done && scenario == Scenario::Sweep {
                assert!(stop.passed().contains(&Step::SweepUnlink), "nothing was swept: {:?}", stop.passed());
            }
            ends += 1;
        }
        if is_done {
            break;
        }
    }
    assert!(ends > 8, "{scenario:?} was ended {ends} times only");
}

macro_rules! scenarios {
    ($module:ident, $database:expr, $is_long:expr => $($name:ident: $scenario:ident,)+) => {
        mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                check(Scenario::$scenario, $database, $is_long, None).await;
            })+
        }
    };
}

scenarios! {
    sqlite, TestDatabase::sqlite(), true =>
    publish_survives_a_crash_at_each_step: Publish,
    adoption_survives_a_crash_at_each_step: Adopt,
    streams_survive_a_crash_at_each_step: Streams,
    publish_beside_a_tombstone_survives_a_crash_at_each_step: PublishBesideTombstone,
    repair_survives_a_crash_at_each_step: Repair,
    collection_survives_a_crash_at_each_step: Collect,
    sweep_survives_a_crash_at_each_step: Sweep,
    leases_and_eviction_survive_a_crash_at_each_step: LeaseAndEvict,
    scrub_survives_a_crash_at_each_step: Scrub,
}

// Every step of every piece of work, by the end of the process and by a power loss; by chance on the other database alone.
scenarios! {
    postgres, TestDatabase::postgres(), false =>
    publish_survives_a_crash_at_each_step: Publish,
    adoption_survives_a_crash_at_each_step: Adopt,
    streams_survive_a_crash_at_each_step: Streams,
    sweep_survives_a_crash_at_each_step: Sweep,
    leases_and_eviction_survive_a_crash_at_each_step: LeaseAndEvict,
    scrub_survives_a_crash_at_each_step: Scrub,
    publish_beside_a_tombstone_survives_a_crash_at_each_step: PublishBesideTombstone,
    repair_survives_a_crash_at_each_step: Repair,
    collection_survives_a_crash_at_each_step: Collect,
}

/// The harness can fail: octets that are not synced are missed.
#[tokio::test]
#[should_panic(expected = "is present and its file is Some")]
async fn a_disk_that_does_not_sync_octets_is_found_out() {
    check(Scenario::Publish, TestDatabase::sqlite(), false, Some(Operation::Sync)).await;
}

/// The harness can fail: a name that is not synced is missed.
#[tokio::test]
#[should_panic(expected = "is present and its file is None")]
async fn a_disk_that_does_not_sync_names_is_found_out() {
    check(Scenario::Publish, TestDatabase::sqlite(), false, Some(Operation::SyncDir)).await;
}
