//! Laws over random sound graphs, random results and random crashes. What holds after every single transition (a kept state and a
//! replayed history are the same; a run that has not ended rests on something) is in `driver`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_workflow::plan::{EdgeState, Fact};
use mainstay_workflow::{
    Attempt, Definition, Effect, Fault, Input, Join, Need, Node, Outcome, Part, Retry, Status, StepState,
    Workflow,
};
use proptest::prelude::*;
use serde_json::json;

use crate::driver::Run;

/// A source of choices that proptest can shrink.
struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl<'a> Dice<'a> {
    fn new(rolls: &'a [u8]) -> Self {
        Self(rolls.iter().cycle())
    }

    fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.0.next().unwrap()) % sides.max(1)
    }
}

const NAMES: [&str; 9] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];

/// A graph over steps in a fixed order, every edge leading forward. All paths pass `last`, so branches always come together.
fn graph(steps: usize, dice: &mut Dice<'_>) -> Option<Workflow> {
    let mut definition = Definition::new("random", 1);
    for (at, key) in NAMES.iter().enumerate().take(steps) {
        let later: Vec<&str> = NAMES[at + 1..steps].iter().copied().chain(["last"]).collect();
        // The next step is always a target, so that every step can be reached.
        let mut targets = vec![later[0]];
        targets.extend(later.iter().skip(1).filter(|_| dice.roll(3) == 0));
        let other = later[dice.roll(later.len())];
        let node = match dice.roll(8) {
            0 => Node::wait(key)
                .signal("go", "ok")
                .expires(Duration::from_secs(30), "no")
                .on("ok", targets)
                .on("no", [other]),
            1 => Node::wait(key).signal("go", "ok").signal("stop", "no").on("ok", targets).on("no", [other]),
            2 => Node::timer(key, Duration::from_secs(10), "ok").on("ok", targets),
            3 => Node::child(key, "other").on("completed", targets).on_failure("no", [other]),
            4 => Node::map(key, "list", "each")
                .limit(2)
                .need([Need::All, Need::AtLeast(1)][dice.roll(2)])
                .on("mapped", targets),
            5 => Node::task(key, ["ok", "no"]).choose("ok", targets).choose_some("no", [other]),
            _ => Node::task(key, ["ok", "no"])
                .on("ok", targets)
                .on("no", [other])
                .on_failure("broken", ["last"]),
        };
        let node = if dice.roll(3) == 0 && node.is_active() { node.compensate("undo") } else { node };
        let join = [Join::All, Join::All, Join::Any, Join::AtLeast(2)][dice.roll(4)];
        definition = definition.node(node.join(join).retry(Retry::attempts(2)));
    }
    let last = Node::task("last", ["ok"]).join([Join::All, Join::Any][dice.roll(2)]);
    definition.node(last.on("ok", ["end"])).done("end").build().ok()
}

fn one_move(run: &mut Run<'_>, dice: &mut Dice<'_>) {
    let out = run.out();
    match dice.roll(12) {
        0 => run.signal(["go", "stop", "noise"][dice.roll(3)], json!(1)),
        1 if dice.roll(8) == 0 => {
            let _ = run.input(Input::Cancel { reason: "random".to_owned() });
        }
        2 => drop(run.input([Input::Pause, Input::Resume][dice.roll(2)].clone())),
        3 => late(run, &out, dice),
        _ if run.state.paused => run.input(Input::Resume).unwrap(),
        _ if out.is_empty() => {
            // Nothing runs: time or a signal must bring it on.
            run.signal("go", json!(1));
            if !run.state.is_ended() {
                run.wait(Duration::from_secs(60));
            }
        }
        _ => result(run, &out[dice.roll(out.len())], dice),
    }
}

/// A result of an attempt that is not out any more, or never was, changes nothing.
fn late(run: &mut Run<'_>, out: &[Attempt], dice: &mut Dice<'_>) {
    let Some(attempt) = out.get(dice.roll(out.len())) else { return };
    for number in [0, attempt.number.wrapping_sub(1), attempt.number + 1] {
        let attempt = Attempt { number, ..attempt.clone() };
        let before = run.state.clone();
        assert!(run.input(Input::succeeded(&attempt, "ok")).is_err());
        assert!(run.input(Input::Failed { attempt, fault: Fault::Lost }).is_err());
        assert_eq!(run.state, before);
    }
}

fn result(run: &mut Run<'_>, attempt: &Attempt, dice: &mut Dice<'_>) {
    let attempt = attempt.clone();
    let step = attempt.step.as_str().to_owned();
    let fault =
        [Fault::Lost, Fault::TimedOut, Fault::Error { message: "x".to_owned(), retry: true, ran: false }];
    let input = match (dice.roll(6), attempt.part) {
        (0, _) => Input::Failed { attempt, fault: fault[dice.roll(3)].clone() },
        (_, Part::Items) => {
            Input::Listed { attempt, items: u32::try_from(dice.roll(4)).unwrap(), output: json!([]) }
        }
        (_, Part::Item(_) | Part::Undo) => Input::Finished { attempt, output: json!(1) },
        (_, Part::Body) => body(run, attempt, &step, dice),
    };
    run.input(input).unwrap();
}

fn body(run: &Run<'_>, attempt: Attempt, step: &str, dice: &mut Dice<'_>) -> Input {
    let node = run.flow.graph().nodes.iter().find(|node| node.key.as_str() == step).unwrap();
    if matches!(node.kind, mainstay_workflow::graph::Kind::Child { .. }) {
        let outcome = [Outcome::Completed, Outcome::Failed, Outcome::Cancelled][dice.roll(3)];
        return Input::ChildEnded { attempt, outcome, output: json!(1) };
    }
    let event = if step == "last" { "ok" } else { ["ok", "no"][dice.roll(2)] };
    let route = node.routed(&event.into()).unwrap();
    let targets = match route.mode {
        mainstay_workflow::Mode::All => Vec::new(),
        _ => vec![route.targets[dice.roll(route.targets.len())].clone()],
    };
    Input::Succeeded { attempt, event: event.into(), targets, output: json!(1) }
}

/// What must be true of a run that ended.
fn ended_well(run: &Run<'_>) {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &run.history {
        if let Fact::Ended { step, .. } | Fact::Skipped { step } = &record.fact {
            *ends.entry(step.as_str()).or_default() += 1;
        }
    }
    assert!(ends.values().all(|times| *times == 1), "a step ends or is skipped once: {ends:?}");
    let mut given_out = BTreeSet::new();
    for record in &run.history {
        if let Fact::Scheduled { attempt, .. } = &record.fact {
            assert!(given_out.insert(attempt), "{attempt} was given out twice");
        }
    }
    let finished = |record: &&mainstay_workflow::Record| matches!(record.fact, Fact::Finished { .. });
    assert_eq!(run.history.iter().filter(finished).count(), 1);
    assert!(run.history.last().iter().all(finished), "nothing happens after the end");
    let outcome = match run.status() {
        Status::Completed => Outcome::Completed,
        Status::Failed => Outcome::Failed,
        _ => Outcome::Cancelled,
    };
    run.is_final(outcome);
    assert!(run.effects.contains(&Effect::Finish { outcome }));
    if outcome == Outcome::Completed {
        assert_eq!(run.step("end"), &StepState::Ended(None));
        assert!(run.taken() > 0 || run.flow.graph().nodes.len() == 1);
    } else {
        undone_in_reverse(run);
    }
}

/// Each step that has a compensation and ended well is undone once, the last one first.
fn undone_in_reverse(run: &Run<'_>) {
    let mut to_undo: Vec<&str> = Vec::new();
    for record in &run.history {
        match &record.fact {
            Fact::Ended { step, event: Some(event), .. } => {
                let node = run.flow.graph().nodes.iter().find(|node| node.key == *step).unwrap();
                if node.compensate.is_some() && node.on_failure.as_ref() != Some(event) {
                    to_undo.push(step.as_str());
                }
            }
            // Steps of unknown outcome are undone too; they are not in this list.
            Fact::Undone { step } | Fact::NotUndone { step, .. } if to_undo.contains(&step.as_str()) => {
                assert_eq!(to_undo.pop(), Some(step.as_str()));
            }
            _ => {}
        }
    }
    assert!(to_undo.is_empty(), "not undone: {to_undo:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_run_of_every_sound_graph_ends_and_ends_once(
        steps in 1_usize..9,
        shape in prop::collection::vec(any::<u8>(), 40..120),
        rolls in prop::collection::vec(any::<u8>(), 60..200),
    ) {
        let Some(flow) = graph(steps, &mut Dice::new(&shape)) else { return Ok(()) };
        let mut run = Run::new(&flow);
        let mut dice = Dice::new(&rolls);
        let mut moves = 0;
        while !run.state.is_ended() && moves < 400 {
            one_move(&mut run, &mut dice);
            moves += 1;
        }
        // Whatever the dice did, a run that everything goes well for from here on ends.
        while !run.state.is_ended() {
            if run.state.paused {
                run.input(Input::Resume).unwrap();
                continue;
            }
            let out = run.out();
            match out.first() {
                Some(attempt) => result(&mut run, attempt, &mut Dice::new(&[1])),
                None => one_move(&mut run, &mut Dice::new(&[4])),
            }
            moves += 1;
            prop_assert!(moves < 2_000, "does not end: {:?}", run.state);
        }
        ended_well(&run);
    }

    #[test]
    fn an_edge_is_decided_once_and_never_changes(
        steps in 2_usize..9,
        shape in prop::collection::vec(any::<u8>(), 40..120),
        rolls in prop::collection::vec(any::<u8>(), 60..200),
    ) {
        let Some(flow) = graph(steps, &mut Dice::new(&shape)) else { return Ok(()) };
        let mut run = Run::new(&flow);
        let mut dice = Dice::new(&rolls);
        for _ in 0..100 {
            if run.state.is_ended() {
                break;
            }
            let before = run.state.edges().to_vec();
            one_move(&mut run, &mut dice);
            for (before, after) in before.iter().zip(run.state.edges()) {
                prop_assert!(*before == EdgeState::Open || before == after);
            }
        }
    }
}

#[test]
fn enough_of_the_random_graphs_are_sound() {
    let sound = (0..200_u8).filter(|seed| {
        let rolls: Vec<u8> = (0..97_u8)
            .map(|n| n.wrapping_mul(73).wrapping_add(*seed).rotate_left(u32::from(n) % 7))
            .collect();
        graph(2 + usize::from(*seed) % 7, &mut Dice::new(&rolls)).is_some()
    });
    assert!(sound.count() > 60);
}
