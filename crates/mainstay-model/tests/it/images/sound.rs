//! The sound protocols: every reachable state within the bounds is visited, and none is bad.

use mainstay_model::check::explore;
use mainstay_model::images::{Rules, Setup};
use mainstay_testkit::{environment, golden};

use super::{SHARED, describe};

/// More states than any of these setups has.
const LIMIT: usize = 100_000_000;

/// Explores a setup wholly; how large it was is kept beside the test.
fn check(name: &str, setup: Setup) {
    golden::check(format!("tests/golden/sound/{name}.txt"), &explored(name, setup));
}

/// Explores a setup wholly; says how large it was.
fn explored(name: &str, setup: Setup) -> String {
    let report = explore(&setup, LIMIT);
    let violation = report.violation.as_ref().map(|trace| mainstay_model::images::render(&setup, trace));
    assert!(violation.is_none(), "{name}: {}\n{}", describe(&setup), violation.unwrap_or_default());
    assert!(report.is_complete, "{name}: more than {LIMIT} states");
    let text = format!(
        "{}{} states, {} steps, depth {}: no violation\n",
        describe(&setup),
        report.states,
        report.transitions,
        report.depth
    );
    print!("{name}: {text}");
    text
}

/// A larger setup, in the long form of the tests only.
fn soak(name: &str, setup: Setup) {
    if environment::soaks() {
        drop(explored(name, setup));
    }
}

const A2: Setup = Setup::SMALL;
const REDUCED: Setup = Setup { is_reduced: true, ..A2 };
const A2_AT_ONCE: Setup = Setup { rules: Rules::A2_AT_ONCE, ..REDUCED };
const A3B: Setup = Setup { rules: Rules::A3B, ..A2 };
const TWO: &[u8] = &[0, 0];
const THREE: &[u8] = &[0, 0, 0];

#[test]
fn a2_survives_crashes_with_no_step_left_out() {
    check("a2-2-publishers", Setup { publishers: TWO, collectors: 2, ..A2 });
    check("a2-2-blobs", Setup { publishers: &[0], images: &[&[0, 1]], holders: 2, evicts: true, ..A2 });
    soak("a2-3-publishers", Setup { publishers: THREE, collectors: 2, ..A2 });
}

#[test]
fn a2_survives_crashes_of_three_publishers() {
    check("a2-3-publishers-reduced", Setup { publishers: THREE, collectors: 2, ..REDUCED });
    soak(
        "a2-3-publishers-3-collectors-reduced",
        Setup { publishers: THREE, collectors: 3, incarnations: 5, ..REDUCED },
    );
}

#[test]
fn a2_at_once_survives_crashes_of_three_publishers() {
    check("a2-at-once-3-publishers", Setup { publishers: THREE, collectors: 2, ..A2_AT_ONCE });
    soak(
        "a2-at-once-3-collectors",
        Setup { publishers: THREE, collectors: 3, incarnations: 5, ..A2_AT_ONCE },
    );
}

#[test]
fn a2_survives_crashes_of_three_collectors() {
    check("a2-3-collectors", Setup { publishers: TWO, collectors: 3, incarnations: 5, ..REDUCED });
}

#[test]
fn a2_survives_crashes_with_a_shared_blob() {
    let shared = Setup { publishers: &[0, 1], images: SHARED, collectors: 2, ..REDUCED };
    check("a2-shared-blob", Setup { incarnations: 2, ..shared });
    soak("a2-shared-blob-3-incarnations", Setup { incarnations: 3, ..shared });
    soak("a2-shared-blob-3-publishers", Setup { publishers: &[0, 0, 1], incarnations: 2, ..shared });
}

#[test]
fn a2_survives_crashes_of_publishers_of_the_same_chain() {
    check("a2-same-chain", Setup { publishers: TWO, images: &[&[0, 1]], incarnations: 3, ..REDUCED });
    soak(
        "a2-at-once-same-chain",
        Setup { publishers: TWO, images: &[&[0, 1]], collectors: 2, incarnations: 2, ..A2_AT_ONCE },
    );
}

#[test]
fn a2_survives_crashes_under_leases_and_eviction() {
    let leased = Setup { publishers: &[0, 1], images: SHARED, incarnations: 2, evicts: true, ..REDUCED };
    check("a2-2-holders", Setup { holders: 2, ..leased });
    check("a2-1-blob-2-holders", Setup { publishers: TWO, holders: 2, evicts: true, ..A2 });
}

#[test]
fn a2_survives_crashes_of_two_collectors_that_evict_beside_a_lease() {
    let leased = Setup { publishers: &[0, 1], images: SHARED, incarnations: 2, evicts: true, ..REDUCED };
    check("a2-2-collectors-1-holder", Setup { holders: 1, collectors: 2, ..leased });
}

#[test]
fn a2_survives_crashes_of_two_collectors_of_one_blob_that_evict_beside_a_lease() {
    let leased = Setup { publishers: TWO, holders: 1, collectors: 2, evicts: true, ..REDUCED };
    check("a2-1-blob-2-collectors-1-holder", leased);
    check("a2-1-blob-2-collectors-2-holders", Setup { holders: 2, ..leased });
}

#[test]
fn a2_survives_crashes_by_power_loss_beside_a_lease() {
    let leased = Setup { publishers: TWO, holders: 1, evicts: true, power_loss: true, ..REDUCED };
    check("a2-power-loss-1-holder", leased);
    check("a2-power-loss-2-collectors-1-holder", Setup { collectors: 2, ..leased });
}

#[test]
fn a2_survives_crashes_by_power_loss() {
    check("a2-power-loss", Setup { publishers: TWO, collectors: 2, power_loss: true, ..REDUCED });
    let shared = Setup { publishers: &[0, 1], images: SHARED, incarnations: 2, power_loss: true, ..REDUCED };
    check("a2-power-loss-shared-blob", shared);
    soak("a2-power-loss-shared-blob-2-collectors", Setup { collectors: 2, ..shared });
}

#[test]
fn a2_survives_crashes_when_the_medium_loses_files() {
    let lossy = Setup { publishers: TWO, loses_files: true, ..A2 };
    check("a2-loss", Setup { incarnations: 5, ..lossy });
    check("a2-loss-1-holder", Setup { holders: 1, is_reduced: true, ..lossy });
    soak("a2-loss-2-collectors", Setup { collectors: 2, holders: 1, is_reduced: true, ..lossy });
}

#[test]
fn a3b_survives_crashes() {
    check("a3b-3-publishers-3-collectors", Setup { publishers: THREE, collectors: 3, ..A3B });
    let shared = Setup { publishers: &[0, 1], images: SHARED, collectors: 2, ..A3B };
    check("a3b-1-holder", Setup { holders: 1, evicts: true, ..shared });
    check("a3b-power-loss", Setup { power_loss: true, ..shared });
    soak("a3b-3-publishers-shared-blob", Setup { publishers: &[0, 0, 1], is_reduced: true, ..shared });
}
