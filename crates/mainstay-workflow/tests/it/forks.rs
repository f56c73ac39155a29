//! Runs that begin with what another run did.

use mainstay_core::Timestamp;
use mainstay_workflow::graph::StepKey;
use mainstay_workflow::plan::{Stage, context};
use mainstay_workflow::{
    Definition, Effect, Fault, Input, Node, Refusal, Retry, Status, Transition, Workflow, fork, outstanding,
    replay, transition,
};
use serde_json::{Value, json};

use crate::driver::Run;

fn flow() -> Workflow {
    Definition::new("order", 1)
        .node(Node::task("pick", ["l", "r"]).on("l", ["left"]).on("r", ["right"]))
        .node(Node::task("left", ["ok"]).compensate("undo").on("ok", ["ask"]))
        .node(Node::task("right", ["ok"]).on("ok", ["ask"]))
        .node(Node::wait("ask").signal("go", "gone").on("gone", ["last"]))
        .node(Node::task("last", ["ok"]).retry(Retry::never()).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// A run whose last step failed after a signal, and whose `left` was undone if it is told so.
fn failed(flow: &Workflow, undo: bool) -> Run<'_> {
    let mut run = Run::new(flow);
    let attempt = run.attempt("pick");
    run.input(Input::Succeeded { attempt, event: "l".into(), targets: vec![], output: json!("picked") })
        .unwrap();
    run.ok("left", "ok");
    run.signal("go", json!("please"));
    run.signal("other", json!("later"));
    run.fail("last");
    if undo {
        run.finish("left", mainstay_workflow::Part::Undo);
    } else {
        run.fault("left", Fault::Error { message: "no".to_owned(), retry: false, ran: false });
    }
    assert_eq!(run.status(), Status::Failed);
    run
}

fn forked(flow: &Workflow, run: &Run<'_>, from: &[&str]) -> Result<Transition, Refusal> {
    let from: Vec<StepKey> = from.iter().map(|step| (*step).into()).collect();
    let next = fork(flow, &run.history, &from, 7, Timestamp::UNIX_EPOCH)?;
    assert_eq!(replay(flow, &next.records).unwrap(), next.state, "the state is the sum of the records");
    let lasting = next.effects.iter().filter(|effect| !matches!(effect, Effect::Finish { .. })).cloned();
    assert_eq!(outstanding(flow, &next.state), lasting.collect::<Vec<_>>(), "what it rests on is asked for");
    Ok(next)
}

fn out(flow: &Workflow, next: &Transition) -> Vec<String> {
    let work = outstanding(flow, &next.state).into_iter();
    work.filter_map(|effect| match effect {
        Effect::Run { attempt, .. } => Some(attempt.to_string()),
        _ => None,
    })
    .collect()
}

#[test]
fn what_was_undone_and_all_behind_it_is_done_anew() {
    let flow = flow();
    let run = failed(&flow, true);
    let next = forked(&flow, &run, &[]).unwrap();
    assert_eq!(out(&flow, &next), ["left#1"]);
    assert_eq!(context(&next.records)["steps"]["pick"], json!("picked"));
    // The signal that was taken by a step that is done anew is there again.
    let signals: Vec<&str> = next.state.mailbox().iter().map(|letter| letter.signal.as_str()).collect();
    assert_eq!(signals, ["go", "other"]);
    let Some(Effect::Run { attempt, .. }) = next.effects.first() else { panic!("left is out") };
    let next =
        transition(&flow, &next.state, Input::succeeded(attempt, "ok"), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(out(&flow, &next), ["last#1"]);
    assert_eq!(next.state.stage, Stage::Running);
}

#[test]
fn a_fork_begins_where_it_is_told() {
    let flow = flow();
    let mut run = Run::new(&flow);
    run.ok("pick", "l");
    run.ok("left", "ok");
    run.signal("go", Value::Null);
    run.ok("last", "ok");
    assert_eq!(run.status(), Status::Completed);
    for (from, begins) in [("last", "last#1"), ("left", "left#1"), ("pick", "pick#1")] {
        let next = forked(&flow, &run, &[from]).unwrap();
        assert_eq!(out(&flow, &next), [begins]);
    }
    // A wait that is done anew takes the signal that it took before.
    let next = forked(&flow, &run, &["ask"]).unwrap();
    assert_eq!(out(&flow, &next), ["last#1"]);
    assert_eq!(forked(&flow, &run, &[]).unwrap().state.status(), Status::Completed, "nothing is left to do");
}

/// What could not be undone may stand: it is done once more only for somebody who names where to begin.
#[test]
fn what_could_not_be_undone_is_not_done_again_by_itself() {
    let flow = flow();
    let run = failed(&flow, false);
    assert_eq!(forked(&flow, &run, &[]), Err(Refusal::NotUndone { step: "left".into() }));
    assert_eq!(out(&flow, &forked(&flow, &run, &["left"]).unwrap()), ["left#1"]);
    // From a step behind it: it is not done again, and the new run undoes it if that fails too.
    let next = forked(&flow, &run, &["last"]).unwrap();
    assert_eq!(out(&flow, &next), ["last#1"]);
    let cancel = Input::Cancel { reason: String::new() };
    let next = transition(&flow, &next.state, cancel, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(out(&flow, &next), ["left/undo#1"]);
}

/// One before it was undone, so it would be done once more with whatever comes out of that: only for somebody who names one of the two.
#[test]
fn what_could_not_be_undone_is_not_done_again_because_of_another_step() {
    let flow = Definition::new("two", 1)
        .node(Node::task("book", ["ok"]).compensate("unbook").on("ok", ["charge"]))
        .node(Node::task("charge", ["ok"]).compensate("refund").on("ok", ["ship"]))
        .node(Node::task("ship", ["ok"]).retry(Retry::never()).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("book", "ok");
    run.ok("charge", "ok");
    run.fail("ship");
    run.fault("charge", Fault::Error { message: "no".to_owned(), retry: false, ran: false });
    run.finish("book", mainstay_workflow::Part::Undo);
    for from in [&[][..], &["ship"]] {
        assert_eq!(forked(&flow, &run, from), Err(Refusal::NotUndone { step: "charge".into() }), "{from:?}");
    }
    // One that never ended has no result to go on with.
    let beside = Definition::new("beside", 1)
        .node(Node::task("fork", ["ok"]).on("ok", ["charge", "ship"]))
        .node(Node::task("charge", ["ok"]).retry(Retry::never()).compensate("refund").on("ok", ["meet"]))
        .node(Node::task("ship", ["ok"]).on("ok", ["meet"]))
        .node(Node::task("meet", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut timed_out = Run::new(&beside);
    timed_out.ok("fork", "ok");
    timed_out.ok("ship", "ok");
    timed_out.fault("charge", Fault::TimedOut);
    timed_out.fault("charge", Fault::Error { message: "no".to_owned(), retry: false, ran: false });
    let refused = Err(Refusal::NotUndone { step: "charge".into() });
    assert_eq!(forked(&beside, &timed_out, &["ship"]), refused);
    assert_eq!(out(&beside, &forked(&beside, &timed_out, &["charge"]).unwrap()), ["charge#1"]);
    for from in [&["book"][..], &["charge"], &["ship", "charge"]] {
        assert_eq!(out(&flow, &forked(&flow, &run, from).unwrap()), ["book#1"], "{from:?}");
    }
}

/// A step whose result is kept may have done something in an attempt of unknown outcome: the new run undoes that as the old one would have.
#[test]
fn a_fork_knows_what_its_kept_steps_may_have_done() {
    let flow = Definition::new("kept", 1)
        .node(
            Node::task("charge", ["ok"])
                .retry(Retry::never())
                .compensate("refund")
                .on("ok", ["ship"])
                .on_failure("declined", ["ship"]),
        )
        .node(Node::task("ship", ["ok"]).retry(Retry::never()).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    for (fault, undoes) in
        [(Fault::TimedOut, true), (Fault::Error { message: String::new(), retry: false, ran: false }, false)]
    {
        let mut run = Run::new(&flow);
        run.fault("charge", fault);
        run.ok("ship", "ok");
        let next = forked(&flow, &run, &["ship"]).unwrap();
        let cancel = Input::Cancel { reason: String::new() };
        let next = transition(&flow, &next.state, cancel, Timestamp::UNIX_EPOCH).unwrap();
        let expected = if undoes { vec!["charge/undo#1".to_owned()] } else { vec![] };
        assert_eq!(out(&flow, &next), expected);
    }
}

#[test]
fn a_fork_from_a_step_that_was_not_reached_is_refused() {
    let flow = flow();
    let run = failed(&flow, true);
    for step in ["right", "end", "nowhere"] {
        assert_eq!(forked(&flow, &run, &[step]), Err(Refusal::NotReached { step: step.into() }));
    }
    let other = Definition::new("other", 1)
        .node(Node::task("pick", ["l"]).on("l", ["end"]))
        .done("end")
        .build()
        .unwrap();
    assert!(matches!(fork(&other, &run.history, &[], 7, Timestamp::UNIX_EPOCH), Err(Refusal::Corrupt(_))));
}
