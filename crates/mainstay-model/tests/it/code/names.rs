//! The steps of the code are the steps of the model, by the same names, but for those that are listed here with the reason.

use std::collections::BTreeSet;

/// Steps of the code that the model has no step for.
const CODE_ALONE: [(&str, &str); 4] = [
    ("publish.name", "for everybody else a stream's publish.intent that comes late"),
    ("lease.renew", "moves a time that is arbitrary in the model"),
    ("lease.release", "the model's lease.expire, done by the holder"),
    ("scrub.set_aside", "to the model a wrong file is a missing one"),
];

/// Steps of the model that the code has no step for.
const MODEL_ALONE: [(&str, &str); 9] = [
    ("publish.lock", "A3b, the protocol for one host, which the code does not have"),
    ("collect.lock", "A3b"),
    ("publish.rollback", "a broken variant"),
    ("collect.snapshot", "a broken variant"),
    ("lease.swap", "the code's lease.acquire of a key that is held"),
    ("lease.take_over", "the code's join under a name that lives; its claims then end by lease.expire"),
    ("crash", "what the harness does"),
    ("loss", "what the harness does"),
    ("power loss", "what the harness does"),
];

fn names<T>(
    all: &[T],
    name: impl Fn(&T) -> &'static str,
    alone: &[(&'static str, &str)],
) -> BTreeSet<&'static str> {
    let own: BTreeSet<&str> = alone.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = all.iter().map(name).collect();
    assert!(own.is_subset(&all), "listed and not there: {:?}", own.difference(&all));
    all.difference(&own).copied().collect()
}

#[test]
fn the_steps_of_the_code_are_those_of_the_model() {
    let code = names(mainstay_images::Step::ALL, |step| step.as_str(), &CODE_ALONE);
    let model = names(mainstay_model::images::Step::ALL, |step| step.as_str(), &MODEL_ALONE);
    assert_eq!(code, model);
}
