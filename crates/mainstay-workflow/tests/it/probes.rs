//! Ways in which engines of this kind are known to lose or repeat work. Each probe is named by its number in the list of defects in
//! `docs/parity-workflow.md`; those that concern storage and workers are tested where these are.

use std::time::Duration;

use mainstay_workflow::{
    Definition, Effect, Fault, Input, Node, Outcome, Problem, Refusal, Retry, Status, StepState, Workflow,
};
use serde_json::json;

use crate::driver::Run;

fn diamond() -> Workflow {
    Definition::new("diamond", 1)
        .node(Node::task("pick", ["l", "r"]).on("l", ["left"]).on("r", ["right"]))
        .node(Node::task("left", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("right", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("merge", ["ok"]).on("ok", ["final"]))
        .node(Node::task("final", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

fn waits() -> Workflow {
    Definition::new("waits", 1)
        .node(Node::task("ask", ["asked"]).on("asked", ["answer"]))
        .node(
            Node::wait("answer")
                .signal("approved", "yes")
                .signal("denied", "no")
                .expires(Duration::from_secs(60), "late")
                .on("yes", ["act"])
                .on("no", ["end"])
                .on("late", ["end"]),
        )
        .node(Node::task("act", ["ok"]).reads("answer").on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

#[test]
fn p01_branches_that_merge_again_go_on_to_the_end() {
    for (event, branch, other) in [("l", "left", "right"), ("r", "right", "left")] {
        let flow = diamond();
        let mut run = Run::new(&flow);
        run.ok("pick", event);
        for step in [branch, "merge", "final"] {
            run.ok(step, "ok");
        }
        assert_eq!(run.status(), Status::Completed);
        assert_eq!((run.ends("merge"), run.ends("final"), run.ends("end")), (1, 1, 1));
        assert_eq!(run.step(other), &StepState::Skipped);
    }
}

#[test]
fn p02_an_undeclared_event_is_an_error_and_no_completion() {
    let flow = diamond();
    let mut run = Run::new(&flow);
    run.ok("pick", "sideways");
    assert_eq!(run.status(), Status::Failed);
    assert_eq!(run.reason(), "pick: it ended with sideways, which it does not declare");
    assert_eq!(run.ends("end"), 0);
}

#[test]
fn p03_a_timer_fires() {
    let flow = Definition::new("timer", 1)
        .node(Node::timer("nap", Duration::from_secs(5), "up").on("up", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    assert!(matches!(run.effects.as_slice(), [Effect::SetTimer { .. }]));
    run.wait(Duration::from_secs(4));
    assert_eq!(run.status(), Status::Waiting);
    run.wait(Duration::from_secs(1));
    assert_eq!(run.status(), Status::Completed);
}

#[test]
fn p04_a_wait_hears_its_own_signals_and_its_own_time_out() {
    let flow = waits();
    let mut run = Run::new(&flow);
    run.ok("ask", "asked");
    run.signal("something_else", json!(1));
    assert_eq!(run.status(), Status::Waiting);
    assert_eq!(run.state.mailbox().len(), 1, "it is kept for who waits for it");
    run.wait(Duration::from_secs(60));
    assert_eq!(run.status(), Status::Completed);
    assert_eq!(run.step("act"), &StepState::Skipped);
}

#[test]
fn p05_parallel_waits_end_by_themselves_and_hold_up_nobody() {
    let flow = Definition::new("parallel", 1)
        .node(Node::task("split", ["ok"]).on("ok", ["one", "two", "work"]))
        .node(Node::wait("one").signal("a", "a").on("a", ["merge"]))
        .node(Node::wait("two").signal("b", "b").on("b", ["merge"]))
        .node(Node::task("work", ["ok"]).on("ok", ["more"]))
        .node(Node::task("more", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("merge", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    run.ok("work", "ok");
    assert_eq!(run.names(), ["more#1"], "a sibling goes on while others wait");
    run.signal("a", json!("first"));
    run.ok("more", "ok");
    run.signal("b", json!("second"));
    run.ok("merge", "ok");
    assert_eq!(run.status(), Status::Completed);
    assert_eq!((run.ends("one"), run.ends("two"), run.ends("work")), (1, 1, 1));
    assert_eq!(run.context()["steps"]["two"], json!("second"), "signals carry what they say");
}

#[test]
fn p06_o04_cancel_is_final_and_takes_back_what_is_out() {
    let flow = waits();
    let mut run = Run::new(&flow);
    let attempt = run.attempt("ask");
    run.input(Input::Cancel { reason: "changed my mind".to_owned() }).unwrap();
    assert_eq!(run.status(), Status::Cancelled);
    assert!(run.effects.contains(&Effect::Revoke { attempt: attempt.clone() }));
    run.is_final(Outcome::Cancelled);
    let late = run.input(Input::succeeded(&attempt, "asked"));
    assert_eq!(late, Err(Refusal::Ended { outcome: Outcome::Cancelled }));
}

#[test]
fn p09_a_step_that_takes_its_worker_down_does_so_a_bounded_number_of_times() {
    let flow = diamond();
    let mut run = Run::new(&flow);
    let mut losses = 0;
    while run.status() == Status::Running {
        run.fault("pick", Fault::Lost);
        losses += 1;
    }
    assert_eq!((losses, run.status()), (Retry::MAX_LOSSES, Status::Failed));
}

#[test]
fn p10_a_step_that_takes_too_long_is_tried_as_often_as_told() {
    let node = Node::task("slow", ["ok"]).timeout(Duration::from_secs(5)).retry(Retry::attempts(3));
    let flow = Definition::new("slow", 1).node(node.on("ok", ["end"])).done("end").build().unwrap();
    let mut run = Run::new(&flow);
    assert!(matches!(run.effects.as_slice(), [Effect::Run { timeout_ms: Some(5_000), .. }]));
    for _ in 0..3 {
        run.fault("slow", Fault::TimedOut);
    }
    assert_eq!(run.status(), Status::Failed);
}

#[test]
fn p11_a_target_that_the_route_does_not_name_is_an_error() {
    let flow = Definition::new("dynamic", 1)
        .node(Node::task("pick", ["ok"]).choose("ok", ["a", "b"]))
        .node(Node::task("a", ["ok"]).on("ok", ["c"]))
        .node(Node::task("b", ["ok"]).on("ok", ["c"]))
        .node(Node::task("c", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    for choice in [&["c"][..], &["a", "b"], &[], &["nowhere"]] {
        let mut run = Run::new(&flow);
        run.choose("pick", "ok", choice);
        assert_eq!(run.status(), Status::Failed, "{choice:?}");
    }
    let mut run = Run::new(&flow);
    run.choose("pick", "ok", &["b"]);
    run.ok("b", "ok");
    run.ok("c", "ok");
    assert_eq!((run.status(), run.step("a")), (Status::Completed, &StepState::Skipped));
}

#[test]
fn p12_branches_that_are_chosen_at_run_time_must_come_together_too() {
    let built = Definition::new("apart", 1)
        .node(Node::task("pick", ["ok"]).choose_some("ok", ["a", "b"]))
        .node(Node::task("a", ["ok"]).on("ok", ["end"]))
        .node(Node::task("b", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build();
    let problems = built.unwrap_err().0;
    assert!(matches!(problems.as_slice(), [Problem::NoConvergence { .. }]), "{problems:?}");
}

#[test]
fn p14_what_is_out_is_rebuilt_from_the_state_alone() {
    let flow = waits();
    let mut run = Run::new(&flow);
    assert_eq!(mainstay_workflow::outstanding(&flow, &run.state), run.effects);
    run.ok("ask", "asked");
    assert_eq!(mainstay_workflow::outstanding(&flow, &run.state), run.effects);
}

#[test]
fn p15_a_cancelled_run_is_read_again_without_harm() {
    let flow = waits();
    let mut run = Run::new(&flow);
    run.input(Input::Cancel { reason: String::new() }).unwrap();
    let state = mainstay_workflow::replay(&flow, &run.history).unwrap();
    assert_eq!(state.status(), Status::Cancelled);
    assert!(mainstay_workflow::outstanding(&flow, &state).is_empty());
}

#[test]
fn o01_parallel_branches_are_given_out_once_each() {
    let flow = Definition::new("fan", 1)
        .node(Node::task("split", ["ok"]).on("ok", ["a", "b", "c"]))
        .node(Node::task("a", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("b", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("c", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("merge", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let mut run = Run::new(&flow);
    run.ok("split", "ok");
    assert_eq!(run.names(), ["a#1", "b#1", "c#1"]);
    for step in ["b", "c"] {
        run.ok(step, "ok");
        assert!(run.effects.is_empty(), "nothing is given out again");
    }
    run.ok("a", "ok");
    assert_eq!(run.names(), ["merge#1"]);
}

#[test]
fn o02_the_last_failure_fails_the_run() {
    let flow = diamond();
    let mut run = Run::new(&flow);
    for _ in 0..5 {
        run.fail("pick");
    }
    assert_eq!((run.status(), run.reason().as_str()), (Status::Failed, "pick: broken"));
    run.is_final(Outcome::Failed);
}

#[test]
fn o03_the_next_task_is_born_with_the_result() {
    let flow = diamond();
    let mut run = Run::new(&flow);
    for (step, event, next) in [("pick", "l", "left"), ("left", "ok", "merge"), ("merge", "ok", "final")] {
        run.ok(step, event);
        assert!(
            matches!(run.effects.as_slice(), [Effect::Run { attempt, .. }] if attempt.step.as_str() == next)
        );
    }
}

#[test]
fn o08_a_signal_that_comes_before_the_wait_is_kept() {
    let flow = waits();
    let mut run = Run::new(&flow);
    run.signal("approved", json!({"by": "ann"}));
    run.signal("denied", json!({"by": "bob"}));
    run.ok("ask", "asked");
    assert_eq!(run.names(), ["act#1"], "the first signal counts");
    assert_eq!(run.context()["steps"]["answer"], json!({"by": "ann"}));
    run.ok("act", "ok");
    assert_eq!(run.status(), Status::Completed);
}

#[test]
fn a_late_result_on_a_failed_run_does_not_complete_it() {
    let flow = diamond();
    let mut run = Run::new(&flow);
    let first = run.attempt("pick");
    run.fault("pick", Fault::Lost);
    let late = run.input(Input::succeeded(&first, "l"));
    assert_eq!(late, Err(Refusal::Stale { attempt: first.clone(), current: Some(2) }));
    run.ok("pick", "r");
    let later = run.input(Input::succeeded(&first, "l"));
    assert_eq!(later, Err(Refusal::Stale { attempt: first, current: None }));
    assert_eq!(run.names(), ["right#1"]);
}
