//! Joins, maps, children, compensation, pause: what each is meant to do.

use std::time::Duration;

use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{
    Attempt, Definition, Effect, Fault, Input, Join, Need, Node, Outcome, Part, Refusal, Retry, Status,
    StepState, Workflow,
};
use serde_json::{Value, json};

use crate::driver::Run;

fn race(join: Join) -> Workflow {
    Definition::new("race", 1)
        .node(Node::task("split", ["ok"]).on("ok", ["a", "b", "c"]))
        .node(Node::task("a", ["ok", "no"]).on("ok", ["merge"]).on("no", ["end"]))
        .node(Node::task("b", ["ok", "no"]).on("ok", ["merge"]).on("no", ["end"]))
        .node(Node::task("c", ["ok", "no"]).on("ok", ["merge"]).on("no", ["end"]))
        .node(Node::task("merge", ["ok"]).join(join).on("ok", ["end"]))
        .node(Node::done("end").join(Join::All))
        .build()
        .unwrap()
}

#[test]
fn all_waits_for_what_may_still_come_and_forgives_what_will_not() {
    let flow = race(Join::All);
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("a", "ok");
    run.ok("b", "no");
    assert_eq!(run.names(), ["c#1"]);
    run.ok("c", "ok");
    assert_eq!(run.names(), ["merge#1"]);
    run.ok("merge", "ok");
    assert_eq!(run.status(), Status::Completed);
}

#[test]
fn any_runs_with_the_first_and_once() {
    let flow = race(Join::Any);
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("b", "ok");
    assert_eq!(run.names(), ["a#1", "c#1", "merge#1"]);
    run.ok("merge", "ok");
    run.ok("a", "ok");
    run.ok("c", "no");
    assert_eq!((run.status(), run.ends("merge")), (Status::Completed, 1));
}

#[test]
fn n_of_runs_with_the_nth_or_is_skipped_as_soon_as_it_cannot() {
    let flow = race(Join::AtLeast(2));
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("a", "ok");
    assert_eq!(run.names(), ["b#1", "c#1"]);
    run.ok("b", "ok");
    assert_eq!(run.names(), ["c#1", "merge#1"]);

    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("a", "no");
    run.ok("b", "no");
    assert_eq!(run.step("merge"), &StepState::Skipped);
    run.ok("c", "ok");
    assert_eq!(run.status(), Status::Completed);
}

#[test]
fn a_run_that_reaches_no_end_fails() {
    let flow = Definition::new("dead", 1)
        .node(Node::task("split", ["ok"]).on("ok", ["a", "b"]))
        .node(Node::task("a", ["ok", "no"]).on("ok", ["merge"]).on("no", ["other"]))
        .node(Node::task("b", ["ok", "no"]).on("ok", ["merge"]).on("no", ["other"]))
        .node(Node::task("merge", ["ok"]).join(Join::AtLeast(2)).on("ok", ["end"]))
        .node(Node::task("other", ["ok"]).join(Join::AtLeast(2)).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("a", "ok");
    run.ok("b", "no");
    assert_eq!((run.status(), run.reason().contains("no done step")), (Status::Failed, true));
}

#[test]
fn a_run_completes_when_the_ends_are_reached_and_gives_up_the_losers() {
    let flow = Definition::new("first", 1)
        .node(Node::task("ask", ["ok"]).on("ok", ["paid", "nap"]))
        .node(Node::wait("paid").signal("payment", "got").on("got", ["settle"]))
        .node(Node::timer("nap", Duration::from_secs(60), "up").on("up", ["settle"]))
        .node(Node::task("settle", ["ok"]).join(Join::Any).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("ask", "ok");
    run.signal("payment", json!(5));
    run.ok("settle", "ok");
    assert_eq!((run.status(), run.step("nap")), (Status::Completed, &StepState::Abandoned));
    assert!(run.effects.contains(&Effect::ClearTimer { step: Some("nap".into()) }));
}

fn mapped(node: Node) -> Workflow {
    Definition::new("import", 1)
        .node(node.on("mapped", ["report"]))
        .node(Node::task("report", ["ok"]).reads("rows").on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

fn listed(flow: &Workflow, items: u32) -> Run<'_> {
    let mut run = Run::new(flow);
    let attempt = run.attempt("rows");
    assert_eq!(attempt.part, Part::Items);
    run.input(Input::Listed { attempt, items, output: Value::Null }).unwrap();
    run
}

#[test]
fn a_map_runs_each_item_once_and_never_more_than_its_limit() {
    let flow = mapped(Node::map("rows", "list", "import").limit(3));
    let mut run = listed(&flow, 10);
    for done in 0..10 {
        assert_eq!(run.out().len(), 3.min(10 - done));
        let attempt = run.out().pop().unwrap();
        run.input(Input::Finished { attempt, output: json!(done) }).unwrap();
    }
    assert_eq!(run.names(), ["report#1"]);
    assert_eq!(run.context()["steps"]["rows"].as_object().unwrap().len(), 10);
}

#[test]
fn a_map_over_nothing_goes_on_unless_it_needs_something() {
    let flow = mapped(Node::map("rows", "list", "import"));
    assert_eq!(listed(&flow, 0).names(), ["report#1"]);
    let flow = mapped(Node::map("rows", "list", "import").need(Need::AtLeast(1)));
    assert_eq!(listed(&flow, 0).status(), Status::Failed);
}

#[test]
fn a_map_that_has_enough_gives_up_the_rest() {
    let flow = mapped(Node::map("rows", "list", "import").need(Need::AtLeast(2)));
    let mut run = listed(&flow, 4);
    run.finish("rows", Part::Item(1));
    run.finish("rows", Part::Item(3));
    let revoked = run.effects.iter().filter(|effect| matches!(effect, Effect::Revoke { .. })).count();
    assert_eq!((run.names(), revoked), (vec!["report#1".to_owned()], 2));
}

#[test]
fn an_item_is_tried_again_by_itself_and_its_end_is_the_maps() {
    let flow = mapped(Node::map("rows", "list", "import").retry(Retry::attempts(2)));
    let mut run = listed(&flow, 2);
    run.fault("rows", Fault::TimedOut);
    assert_eq!(run.names(), ["rows/0#2", "rows/1#1"]);
    run.fault("rows", Fault::TimedOut);
    assert_eq!(run.status(), Status::Failed);
    assert!(run.reason().contains("2 items must succeed, only 1 still can"));
}

#[test]
fn a_child_ends_its_step_and_is_cancelled_with_its_parent() {
    let flow = Definition::new("parent", 1)
        .node(Node::child("publish", "publisher").on("completed", ["end"]).on_failure("failed", ["tell"]))
        .node(Node::task("tell", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let ended = |run: &mut Run<'_>, outcome| {
        let attempt = run.attempt("publish");
        run.input(Input::ChildEnded { attempt, outcome, output: json!("url") }).unwrap();
    };
    let mut run = Run::new(&flow);
    ended(&mut run, Outcome::Completed);
    assert_eq!((run.status(), &run.context()["steps"]["publish"]), (Status::Completed, &json!("url")));
    let mut run = Run::new(&flow);
    ended(&mut run, Outcome::Failed);
    assert_eq!(run.names(), ["tell#1"]);
    let mut run = Run::new(&flow);
    let attempt = run.attempt("publish");
    run.input(Input::Cancel { reason: String::new() }).unwrap();
    assert!(run.effects.contains(&Effect::CancelChild { attempt }));
}

fn saga() -> Workflow {
    Definition::new("saga", 1)
        .node(Node::task("book", ["ok"]).compensate("unbook").on("ok", ["charge"]))
        .node(Node::task("charge", ["ok"]).compensate("refund").on("ok", ["ship"]))
        .node(Node::task("ship", ["ok"]).retry(Retry::never()).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

#[test]
fn what_was_done_is_undone_in_reverse() {
    let flow = saga();
    let mut run = Run::new(&flow);
    run.ok("book", "ok");
    run.ok("charge", "ok");
    run.fail("ship");
    assert_eq!((run.status(), run.names()), (Status::Stopping, vec!["charge/undo#1".to_owned()]));
    run.fail("charge");
    assert_eq!(run.names(), ["charge/undo#2"], "compensation is tried again");
    run.finish("charge", Part::Undo);
    run.finish("book", Part::Undo);
    assert_eq!((run.status(), run.reason().as_str()), (Status::Failed, "ship: broken"));
    assert!(run.state.not_undone(&flow).is_empty());
}

#[test]
fn a_compensation_that_fails_is_told_and_does_not_stop_the_others() {
    let flow = saga();
    let mut run = Run::new(&flow);
    run.ok("book", "ok");
    run.ok("charge", "ok");
    run.input(Input::Cancel { reason: "stop".to_owned() }).unwrap();
    run.fault("charge", Fault::Error { message: "gone".to_owned(), retry: false, ran: false });
    run.finish("book", Part::Undo);
    assert_eq!(run.status(), Status::Cancelled);
    assert_eq!(run.state.not_undone(&flow), ["charge".into()]);
}

#[test]
fn what_still_runs_is_waited_for_before_it_is_undone() {
    let flow = saga();
    for (ran, next) in [(true, "charge/undo#1"), (false, "book/undo#1")] {
        let mut run = Run::new(&flow);
        run.ok("book", "ok");
        let attempt = run.attempt("charge");
        run.input(Input::Cancel { reason: String::new() }).unwrap();
        assert_eq!(run.effects, [Effect::Revoke { attempt: attempt.clone() }]);
        let input = match ran {
            true => Input::succeeded(&attempt, "ok"),
            false => Input::Failed { attempt, fault: Fault::Withdrawn },
        };
        run.input(input).unwrap();
        assert_eq!(run.names(), [next]);
    }
}

#[test]
fn an_attempt_of_unknown_outcome_is_undone() {
    let flow = saga();
    let mut run = Run::new(&flow);
    run.ok("book", "ok");
    run.fault("charge", Fault::Lost);
    run.fault("charge", Fault::Error { message: "no".to_owned(), retry: false, ran: false });
    assert_eq!(run.names(), ["charge/undo#1"]);
}

#[test]
fn a_step_that_did_its_work_and_broke_its_word_is_undone_and_a_tx_step_is_rolled_back() {
    let flow = |charge: Node| {
        Definition::new("word", 1)
            .node(charge.retry(Retry::attempts(2)).compensate("refund").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap()
    };
    let said = |ran| Fault::Error { message: "x".to_owned(), retry: true, ran };
    let (task, tx) = (flow(Node::task("charge", ["ok"])), flow(Node::tx("charge", ["ok"])));
    for (flow, undoes) in [(&task, true), (&tx, false)] {
        let mut run = Run::new(flow);
        run.ok("charge", "elsewhere");
        assert_eq!((run.status() == Status::Stopping, run.names().len()), (undoes, usize::from(undoes)));
        // An attempt that ran counts, whatever the next one says.
        let mut run = Run::new(flow);
        run.fault("charge", said(true));
        run.fault("charge", said(false));
        assert_eq!(run.status() == Status::Stopping, undoes);
        // A cancel meets one that runs.
        let mut run = Run::new(flow);
        let attempt = run.attempt("charge");
        run.input(Input::Cancel { reason: String::new() }).unwrap();
        run.input(Input::Failed { attempt, fault: said(true) }).unwrap();
        assert_eq!(run.status() == Status::Stopping, undoes);
    }
}

/// What is not needed any more is asked to stop; whether it did its work is known before anything is undone.
#[test]
fn a_map_with_a_compensation_ends_when_none_of_its_items_runs() {
    let flow = Definition::new("halls", 1)
        .node(
            Node::map("book", "list", "one")
                .need(Need::AtLeast(1))
                .compensate("release")
                .on("mapped", ["pay"]),
        )
        .node(Node::task("pay", ["ok"]).retry(Retry::never()).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    for books in [true, false] {
        let mut run = Run::new(&flow);
        let attempt = run.attempt("book");
        run.input(Input::Listed { attempt, items: 2, output: json!([1, 2]) }).unwrap();
        run.finish("book", Part::Item(0));
        let other = Attempt { step: "book".into(), part: Part::Item(1), number: 1 };
        assert_eq!(run.effects, [Effect::Revoke { attempt: other.clone() }]);
        run.input(Input::Tick).unwrap();
        assert!(run.effects.is_empty(), "it is asked once");
        assert_eq!(run.ends("book"), 0);
        let answer = match books {
            true => Input::Finished { attempt: other, output: json!("booked") },
            false => Input::Failed { attempt: other, fault: Fault::Withdrawn },
        };
        run.input(answer).unwrap();
        assert_eq!((run.ends("book"), run.names()), (1, vec!["pay#1".to_owned()]));
        run.fail("pay");
        assert_eq!(run.names(), ["book/undo#1"]);
    }
}

#[test]
fn a_paused_run_takes_results_and_begins_nothing() {
    let flow = saga();
    let mut run = Run::new(&flow);
    run.input(Input::Pause).unwrap();
    assert_eq!(run.input(Input::Pause), Err(Refusal::Paused));
    run.ok("book", "ok");
    assert_eq!((run.status(), run.names().is_empty()), (Status::Paused, true));
    run.input(Input::Resume).unwrap();
    run.fail("charge");
    run.input(Input::Pause).unwrap();
    run.input(Input::Cancel { reason: String::new() }).unwrap();
    assert_eq!(run.status(), Status::Stopping, "who cancels does not want to wait");
    run.input(Input::Pause).unwrap();
    assert_eq!(run.status(), Status::Paused);
    run.input(Input::Cancel { reason: String::new() }).unwrap();
    assert_eq!(run.status(), Status::Stopping, "neither for what stops already");
    let again = run.input(Input::Cancel { reason: String::new() });
    assert!(matches!(again, Err(Refusal::Stopping { .. })));
}

#[test]
fn what_ran_out_during_a_pause_ends_with_it_but_signals_come_first() {
    let flow = Definition::new("wait", 1)
        .node(
            Node::wait("w")
                .signal("s", "got")
                .expires(Duration::from_secs(5), "late")
                .on("got", ["a"])
                .on("late", ["end"]),
        )
        .node(Node::task("a", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    for (signalled, status) in [(true, Status::Running), (false, Status::Completed)] {
        let mut run = Run::new(&flow);
        run.input(Input::Pause).unwrap();
        if signalled {
            run.signal("s", json!(1));
        }
        run.wait(Duration::from_secs(9));
        assert_eq!(run.status(), Status::Paused);
        run.input(Input::Resume).unwrap();
        assert_eq!(run.status(), status);
    }
}

#[test]
fn a_map_over_too_much_is_refused() {
    let flow = mapped(Node::map("rows", "list", "import"));
    let run = listed(&flow, u32::MAX);
    assert_eq!((run.status(), run.reason().contains("too many")), (Status::Failed, true));
}

#[test]
fn what_is_taken_back_at_once_is_never_given_out() {
    let flow = Definition::new("w", 1)
        .node(Node::task("a", ["ok"]).on("ok", ["slow", "m"]))
        .node(Node::task("slow", ["ok"]).on("ok", ["m"]))
        .node(
            Node::wait("m")
                .join(Join::Any)
                .signal("go", "ok")
                .expires(Duration::from_secs(1), "late")
                .on("ok", ["end"])
                .on("late", ["end"]),
        )
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.signal("go", json!(1));
    run.ok("a", "ok");
    assert_eq!(run.effects, [Effect::Finish { outcome: Outcome::Completed }]);
}

#[test]
fn a_signal_goes_to_the_step_that_has_waited_longest() {
    let flow = Definition::new("w", 1)
        .node(Node::task("start", ["ok"]).on("ok", ["work", "z"]))
        .node(Node::wait("z").signal("go", "ok").on("ok", ["merge"]))
        .node(Node::task("work", ["ok"]).on("ok", ["b"]))
        .node(Node::wait("b").signal("go", "ok").on("ok", ["merge"]))
        .node(Node::task("merge", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("start", "ok");
    run.ok("work", "ok");
    run.signal("go", json!(1));
    assert_eq!((run.ends("z"), run.ends("b")), (1, 0));
    run.signal("go", json!(2));
    assert_eq!(run.context()["steps"]["b"], json!(2));
}

#[test]
fn pauses_between_attempts_are_as_told() {
    let (base, max) = (Duration::from_secs(1), Duration::from_secs(3));
    let retry = Retry::attempts(4).with_backoff(Backoff::Exponential, base, max);
    let flow = Definition::new("retry", 1)
        .node(Node::task("a", ["ok"]).retry(retry).on("ok", ["end"]).on_failure("broken", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    for seconds in [1, 2, 3] {
        run.fail("a");
        let due = run.now.saturating_add(Duration::from_secs(seconds));
        assert!(matches!(run.effects.as_slice(), [Effect::Run { ready_at, .. }] if *ready_at == due));
    }
    run.fail("a");
    assert_eq!(run.status(), Status::Completed, "a failure that is routed is no failure of the run");
}

#[test]
fn a_run_that_takes_too_long_fails() {
    let flow = Definition::new("deadline", 1)
        .deadline(Duration::from_secs(10))
        .node(Node::wait("forever").signal("x", "x").on("x", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.wait(Duration::from_secs(10));
    assert_eq!((run.status(), run.reason().as_str()), (Status::Failed, "the run took too long"));
}

#[test]
fn a_state_of_another_graph_is_refused() {
    let flow = saga();
    let run = Run::new(&flow);
    let other = race(Join::All);
    let refused = mainstay_workflow::transition(&other, &run.state, Input::Tick, run.now);
    assert!(matches!(refused, Err(Refusal::Corrupt(_))));
    assert!(mainstay_workflow::replay(&other, &run.history).is_err());
    let mut gap = run.history;
    gap.remove(0);
    assert!(mainstay_workflow::replay(&flow, &gap).is_err());
}
