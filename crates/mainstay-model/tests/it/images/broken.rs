//! The protocols with one part missing: each is refuted, and the shortest way to the damage is kept beside the test.

use mainstay_model::check::explore;
use mainstay_model::images::{Rules, Setup, render};
use mainstay_testkit::golden;

use super::{SHARED, describe};

/// A broken variant is refuted long before this.
const LIMIT: usize = 1_000_000;

/// Refutes a variant; what is missing from it stands over its counterexample.
fn check(missing: &str, setup: Setup) {
    let setup = Setup { is_strict: false, ..setup };
    let report = explore(&setup, LIMIT);
    let Some(trace) = report.violation else {
        panic!("{missing}: no counterexample in {} states, so the model is blind to it", report.states);
    };
    // Leaving steps out must not hide anything.
    let reduced = explore(&Setup { is_reduced: true, ..setup }, LIMIT);
    assert!(reduced.violation.is_some(), "{missing}: no counterexample in the reduced model");
    let text = format!(
        "{missing}\n{}refuted in {} steps after {} states\n\n{}",
        describe(&setup),
        trace.transitions.len(),
        report.states,
        render(&setup, &trace)
    );
    print!("{text}");
    let file = setup.rules.name.replace(' ', "-").to_lowercase();
    golden::check(format!("tests/golden/broken/{file}.txt"), &text);
}

const PAIR: Setup = Setup { publishers: &[0, 0], collectors: 2, ..Setup::SMALL };
const LEASED: Setup = Setup {
    publishers: &[0, 1],
    images: &[&[0], &[1]],
    collectors: 1,
    holders: 1,
    evicts: true,
    ..Setup::SMALL
};

#[test]
fn a_generation_that_begins_again() {
    check(
        "Names are digest and generation, and the generation begins again with a new row.",
        Setup { rules: Rules::A, ..PAIR },
    );
}

#[test]
fn b_waiting_while_deleting() {
    check(
        "Files have the name of their digest; a publisher waits while there is a tombstone.",
        Setup { rules: Rules::B, ..PAIR },
    );
}

#[test]
fn c_no_intent() {
    check(
        "A publisher looks at the file, adopts it and commits; nobody knows of it before.",
        Setup { rules: Rules::C, ..PAIR },
    );
}

#[test]
fn d_no_fence() {
    check("The commit does not ask whether the intent is still there.", Setup { rules: Rules::D, ..PAIR });
}

#[test]
fn e_taking_over_a_tombstone() {
    check("A publisher makes a tombstone a row again.", Setup { rules: Rules::E, ..PAIR });
}

#[test]
fn f_taking_the_file_back() {
    check(
        "A publisher whose commit fails removes the file under the digest's name.",
        Setup { rules: Rules::F, ..PAIR },
    );
}

#[test]
fn g_unlink_from_a_snapshot() {
    check(
        "A collector removes files on the word of an earlier look at the references.",
        Setup { rules: Rules::G, ..PAIR },
    );
}

#[test]
fn h_sweep_that_does_not_read_intents() {
    check(
        "A file without a row is removed, whoever is about to commit it.",
        Setup { rules: Rules::H, ..PAIR },
    );
}

#[test]
fn a3b_without_fence() {
    check("As D, under a lock for each digest.", Setup { rules: Rules::A3B_WITHOUT_FENCE, ..PAIR });
}

#[test]
fn k_rows_before_files() {
    check(
        "The sweep reads rows and intents first, and lists the directory then.",
        Setup { rules: Rules::K, ..PAIR },
    );
}

#[test]
fn discard_in_doubt() {
    check(
        "A publisher that does not know how its commit ended removes its file.",
        Setup { rules: Rules::DISCARD_IN_DOUBT, ..PAIR },
    );
}

#[test]
fn the_last_file_wins() {
    check(
        "A row takes the file of the last publisher, though the one before is there.",
        Setup { rules: Rules::LAST_WINS, images: &[&[0]], publishers: &[0, 0], ..LEASED },
    );
}

#[test]
fn content_that_is_not_synced() {
    check(
        "The content is not synced before the rename.",
        Setup { rules: Rules::WITHOUT_SYNC_FILE, power_loss: true, ..PAIR },
    );
}

#[test]
fn a_name_that_is_not_synced() {
    check(
        "The directory is not synced before the commit.",
        Setup { rules: Rules::WITHOUT_SYNC_DIR, power_loss: true, ..PAIR },
    );
}

#[test]
fn leases_that_go_with_their_image() {
    check("Removing an image removes the leases on it.", Setup { rules: Rules::CASCADE, ..LEASED });
}

#[test]
fn a_lease_that_names_another_image() {
    check(
        "A holder that goes over to another image keeps the lease on the first one.",
        Setup { rules: Rules::SWAP, ..LEASED },
    );
}

#[test]
fn a_lease_without_margin() {
    check(
        "A lease may be dropped while its holder has reason to go on.",
        Setup { rules: Rules::WITHOUT_MARGIN, ..LEASED },
    );
}

#[test]
fn an_eviction_that_trusts_its_plan() {
    check(
        "An eviction does not look again before it removes.",
        Setup { rules: Rules::EVICT_FROM_PLAN, ..LEASED },
    );
}

/// Two images that share a blob, with two incarnations alive: the bounds of the large sound spaces.
const SHARING: Setup = Setup {
    publishers: &[0, 1],
    images: SHARED,
    incarnations: 2,
    is_reduced: true,
    is_strict: false,
    ..Setup::SMALL
};

/// Refutes variants within the bounds under which the large sound spaces are explored: a bound in which no party can do harm would
/// find no violation of the sound protocol either.
fn check_within(bounds: Setup, variants: &[Rules]) {
    for rules in variants {
        let setup = Setup { rules: *rules, ..bounds };
        let report = explore(&setup, LIMIT);
        assert!(
            report.violation.is_some(),
            "{}: no counterexample in {} states",
            describe(&setup),
            report.states
        );
    }
}

#[test]
fn the_bounds_of_the_sound_spaces_leave_room_for_what_publishers_and_collectors_break() {
    let variants = [
        Rules::A,
        Rules::B,
        Rules::C,
        Rules::D,
        Rules::E,
        Rules::F,
        Rules::G,
        Rules::H,
        Rules::K,
        Rules::A3B_WITHOUT_FENCE,
        Rules::DISCARD_IN_DOUBT,
    ];
    check_within(Setup { collectors: 2, ..SHARING }, &variants);
}

#[test]
fn the_bounds_of_the_sound_spaces_leave_room_for_what_breaks_leases() {
    let variants =
        [Rules::CASCADE, Rules::SWAP, Rules::WITHOUT_MARGIN, Rules::EVICT_FROM_PLAN, Rules::LAST_WINS];
    check_within(Setup { collectors: 2, holders: 1, evicts: true, ..SHARING }, &variants);
    check_within(Setup { holders: 2, evicts: true, ..SHARING }, &variants);
}

#[test]
fn the_bounds_of_the_sound_spaces_leave_room_for_what_a_loss_of_power_breaks() {
    check_within(Setup { power_loss: true, ..SHARING }, &[Rules::WITHOUT_SYNC_FILE, Rules::WITHOUT_SYNC_DIR]);
}
