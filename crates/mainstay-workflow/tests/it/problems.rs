//! Every check, with the sentence that it says.

use std::time::Duration;

use mainstay_workflow::graph::{Backoff, Scope, Unique};
use mainstay_workflow::{Definition, Graph, Join, Node, Retry, Workflow};
use serde_json::json;

fn task(key: &str, to: &[&str]) -> Node {
    Node::task(key, ["ok"]).on("ok", to.iter().copied())
}

/// Steps in, sentences out.
fn check(nodes: impl IntoIterator<Item = Node>, expected: &[&str]) {
    let built = nodes.into_iter().fold(Definition::new("w", 1), Definition::node).build();
    let told = built.map_or_else(|problems| problems.to_string(), |_| String::new());
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn every_problem_is_told_at_once() {
    let built = Definition::new(" w", 0)
        .unique(Unique { key: "Order".to_owned(), scope: Scope::Workflow })
        .node(Node::task("a", ["x", "y"]).on("x", ["b", "nowhere"]).on("z", ["b"]))
        .node(task("b", &[]))
        .node(task("lost", &["end"]))
        .done("end")
        .on("ghost", "ok", ["end"])
        .build();
    let told = built.unwrap_err().to_string();
    for line in [
        "\" w\" is no name for a workflow: 1 to 128 bytes, no space around it, no control characters",
        "the version must be at least 1",
        "\"Order\" is no business key: it has lower-case letters and digits",
        "ok is routed for the step ghost, which is not there",
        "a: x leads to nowhere, which is not there",
        "a declares y, which leads nowhere",
        "a routes z, which it does not declare",
        "b: the route of ok has no target",
        "b leads nowhere, but is no done step",
        "no path leads to lost",
        "no path leads to end",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\nis not in\n{told}");
    }
}

#[test]
fn a_child_has_no_time_out_of_an_attempt() {
    let child = Node::child("label", "label").on("completed", ["end"]).timeout(Duration::from_secs(1));
    let told = "label is a child and has no time-out of an attempt; give its workflow a deadline, and route its failure";
    check([child, Node::done("end")], &[told]);
}

/// Runs of what was taken before a rule was there have to be seen and ended.
#[test]
fn what_was_stored_before_a_rule_is_read_all_the_same() {
    let child = Node::child("label", "label").on("completed", ["end"]);
    let sound = Definition::new("w", 1).node(child).done("end").build().unwrap();
    let mut graph = sound.graph().clone();
    graph
        .nodes
        .iter_mut()
        .filter(|node| node.key == "label".into())
        .for_each(|node| node.timeout_ms = Some(1_000));
    assert!(Workflow::new(graph.clone()).is_err());
    assert_ne!(Workflow::stored(graph.clone()).unwrap().fingerprint(), sound.fingerprint());
    // What nobody could read is refused.
    graph.start = "gone".into();
    assert!(Workflow::stored(graph).is_err());
}

#[test]
fn circles_are_told_in_order() {
    let nodes = [task("a", &["b"]), task("b", &["c"]), task("c", &["a"])];
    check(nodes, &["the steps lead in a circle: a -> b -> c -> a"]);
    let nodes = [task("a", &["b"]), task("b", &["c"]), task("c", &["b"])];
    check(nodes, &["the steps lead in a circle: b -> c -> b"]);
    check([task("a", &["a"])], &["the steps lead in a circle: a -> a"]);
}

#[test]
fn keys_are_unique_and_the_start_is_there() {
    check(
        [task("a", &["end"]), task("a", &["end"]), Node::done("end")],
        &["there is more than one step a", "no path leads to a"],
    );
    let built = Definition::new("w", 1).start("b").node(task("a", &["end"])).done("end").build();
    assert_eq!(built.unwrap_err().to_string(), "there is no step b to start with");
}

#[test]
fn parallel_branches_converge_before_the_end() {
    let fan = |to: &[&str]| task("a", to);
    let nodes = [fan(&["b", "c"]), task("b", &["end"]), task("c", &["end"]), Node::done("end")];
    check(nodes, &["a: the branches of ok (b, c) never come together"]);
    let nodes = [fan(&["b", "c"]), task("b", &["c"]), task("c", &["end"]), Node::done("end")];
    check(nodes, &[]);
}

/// Each two of the three can be taken together, and all three never.
#[test]
fn a_join_of_three_is_no_matter_of_pairs() {
    let nodes = |needs, third: [&str; 2]| {
        let pick = Node::task("pick", ["x", "y", "z"]).on("x", ["a", "b"]).on("y", ["b", "c"]).on("z", third);
        let to_join = ["a", "b", "c"].map(|step| task(step, &["j"]));
        let rest = [task("j", &["end"]).join(Join::AtLeast(needs)), Node::done("end")];
        [pick].into_iter().chain(to_join).chain(rest).collect::<Vec<_>>()
    };
    let told = "j waits for 3 of 3 edges, but only 2 can be taken in one run";
    let problems = |nodes: Vec<Node>| {
        let built = nodes.into_iter().fold(Definition::new("w", 1), Definition::node).build();
        built.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    assert_eq!(problems(nodes(3, ["a", "c"])), told);
    assert_eq!(problems(nodes(2, ["a", "c"])), "");
    // Behind ten forks there are 3 x 1,024 ways, behind eleven more than are looked at: then pairs decide, and no sound graph is refused.
    let behind = |forks: usize| {
        let name = |at: usize| if at == forks { "pick".to_owned() } else { format!("fork{at}") };
        let fork =
            |at: usize| Node::task(&name(at), ["l", "r"]).on("l", [&*name(at + 1)]).on("r", [&*name(at + 1)]);
        (0..forks).map(fork).chain(nodes(3, ["a", "c"])).collect::<Vec<_>>()
    };
    assert_eq!((problems(behind(10)), problems(behind(11))), (told.to_owned(), String::new()));
    // A step before the join that cannot run gives it nothing: b needs two edges and has one.
    let short = |needs| {
        let fan = Node::task("fan", ["x", "y"]).on("x", ["a", "b"]).on("y", ["b", "c"]);
        let c = task("c", &["b", "j"]);
        let b = task("b", &["j"]).join(Join::AtLeast(2));
        let rest = [task("j", &["end"]).join(Join::AtLeast(needs)), Node::done("end")];
        [fan, task("a", &["j"]), c, b].into_iter().chain(rest).collect::<Vec<_>>()
    };
    assert_eq!(problems(short(2)), "", "by y: c, and b after it");
    assert_eq!(problems(short(3)), told, "a only by x, and by x b does not run");
}

#[test]
fn routes_name_each_target_and_each_event_once() {
    let nodes = [task("a", &["end", "end"]).on("ok", ["end"]), Node::done("end")];
    check(nodes, &["a: ok leads to end twice", "a: ok has two routes"]);
    let timer = Node::timer("a", Duration::from_secs(1), "up").choose("up", ["b", "end"]);
    let told = ["a: up chooses its targets at run time, but the step runs no code that could"];
    check([timer, task("b", &["end"]), Node::done("end")], &told);
}

#[test]
fn waits_and_numbers_make_sense() {
    let wait = Node::wait("a").expires(Duration::ZERO, "late").on("late", ["b"]).compensate("undo");
    let retry = Retry { max_attempts: 0, ..Retry::default() }.with_backoff(
        Backoff::Constant,
        Duration::ZERO,
        Duration::ZERO,
    );
    let map = Node::map("b", "list", "each").limit(0).retry(retry).on("mapped", ["end"]);
    check(
        [wait, map, Node::done("end").join(Join::AtLeast(0))],
        &[
            "a waits for no signal",
            "a: the time-out must be at least 1",
            "b: the limit must be at least 1",
            "b: the number of attempts must be at least 1",
            "end: the number of edges to wait for must be at least 1",
            "a runs no code, so it has no compensation",
        ],
    );
}

#[test]
fn a_join_must_be_able_to_hold() {
    let nodes = |join| {
        let pick = Node::task("pick", ["l", "r"]).on("l", ["left"]).on("r", ["right"]);
        let merge = task("merge", &["end"]).join(join);
        [pick, task("left", &["merge"]), task("right", &["merge"]), merge, Node::done("end")]
    };
    check(nodes(Join::All), &[]);
    check(nodes(Join::AtLeast(2)), &["merge waits for 2 of 2 edges, but only 1 can be taken in one run"]);
    check(nodes(Join::AtLeast(3)), &["merge waits for 3 of 2 edges, but only 1 can be taken in one run"]);
    let fan = [task("pick", &["left", "right"]), task("left", &["merge"]), task("right", &["merge"])];
    let rest = [task("merge", &["end"]).join(Join::AtLeast(2)), Node::done("end")];
    check(fan.into_iter().chain(rest), &[]);
}

#[test]
fn outputs_are_there_when_they_are_read() {
    let pick = || Node::task("pick", ["l", "r"]).on("l", ["left"]).on("r", ["merge"]);
    let merge = || task("merge", &["end"]);
    let told =
        "merge needs the output of left, which does not run on every path to merge; read it as optional";
    check([pick(), task("left", &["merge"]), merge().reads("left"), Node::done("end")], &[told]);
    check(
        [pick(), task("left", &["merge"]), merge().reads_if_any("left").reads("pick"), Node::done("end")],
        &[],
    );
    let nodes = [
        pick(),
        task("left", &["merge"]).reads("merge").reads("left").reads("x"),
        merge().reads("end"),
        Node::done("end"),
    ];
    let told = [
        "left reads x, which is not there",
        "merge reads end, which has no output",
        "left reads left, which never ends before left begins",
        "left reads merge, which never ends before left begins",
    ];
    check(nodes, &told);
}

#[test]
fn a_parallel_sibling_has_ended_only_where_it_is_waited_for() {
    let nodes = |join| {
        let charge = Node::task("charge", ["paid", "no"]).on("paid", ["ship"]).on("no", ["tell"]);
        let ship = task("ship", &["end"]).join(join).reads("pack");
        [
            task("a", &["charge", "pack"]),
            charge,
            task("pack", &["ship"]),
            ship,
            task("tell", &["end"]),
            Node::done("end"),
        ]
    };
    check(nodes(Join::All), &[]);
    let told = "ship needs the output of pack, which does not run on every path to ship; read it as optional";
    check(nodes(Join::Any), &[told]);
}

#[test]
fn a_failure_or_a_time_out_leaves_no_output() {
    let told = "b needs the output of a, which does not run on every path to b; read it as optional";
    check(
        [task("a", &["b"]).on_failure("bad", ["b"]), task("b", &["end"]).reads("a"), Node::done("end")],
        &[told],
    );
    check(
        [task("a", &["b"]).on_failure("bad", ["end"]), task("b", &["end"]).reads("a"), Node::done("end")],
        &[],
    );
    let wait = |to| {
        Node::wait("a")
            .signal("s", "got")
            .on("got", ["b"])
            .expires(Duration::from_secs(1), "late")
            .on("late", [to])
    };
    check([wait("b"), task("b", &["end"]).reads("a"), Node::done("end")], &[told]);
    check([wait("end"), task("b", &["end"]).reads("a"), Node::done("end")], &[]);
}

#[test]
fn the_same_workflow_has_the_same_canonical_text() {
    let (a, b, end) = (task("a", &["b"]), task("b", &["end"]), Node::done("end"));
    let nodes = [[a.clone(), b.clone(), end.clone()], [end, b, a]];
    let [one, other] = nodes.map(|nodes| {
        let empty =
            Definition::new("w", 1).start("a").tag("t").metadata("owner", json!({"b": 1, "a": [1, 2]}));
        nodes.into_iter().fold(empty, Definition::node).build().unwrap()
    });
    assert_eq!(one.graph().canonical(), other.graph().canonical());
    assert_eq!(one.fingerprint(), other.fingerprint());
    let stored: Graph = serde_json::from_str(&one.graph().canonical()).unwrap();
    assert_eq!(Workflow::new(stored).unwrap().fingerprint(), one.fingerprint());
    let mut changed = one.graph().clone();
    changed.deadline_ms = Some(1);
    assert_ne!(changed.fingerprint(), one.fingerprint());
    assert_eq!(one.fingerprint().to_string().parse(), Ok(one.fingerprint()));
}

#[test]
fn a_stored_form_of_the_future_is_refused() {
    let mut graph =
        Definition::new("w", 1).node(task("a", &["end"])).done("end").build().unwrap().graph().clone();
    graph.format = 2;
    let told = Workflow::new(graph).unwrap_err().to_string();
    assert_eq!(told, "the graph is stored in format 2, which this program does not know");
}

#[test]
fn what_is_said_with_an_event_is_there_when_it_ended_so_on_every_path() {
    let pay = || Node::task("pay", ["paid", "declined"]).on("paid", ["book"]);
    let book = || task("book", &["end"]).reads_after("pay", "paid");
    let rest = || [book(), Node::done("end")];
    check(std::iter::once(pay().on("declined", ["end"])).chain(rest()), &[]);
    let told = "book needs what pay says with paid, but pay does not end so on every path to book; read it as optional";
    check(std::iter::once(pay().on("declined", ["book"])).chain(rest()), &[told]);
    // Past a step between them, and past a join of branches that both come from it.
    let far = [pay().on("declined", ["end"]), task("book", &["ship", "pack"]), task("pack", &["ship"])];
    let ship = task("ship", &["end"]).reads_after("pay", "paid");
    check(far.into_iter().chain([ship, Node::done("end")]), &[]);
    let told = "book reads what pay says with refunded, but it says nothing with such an event";
    let nodes = [pay().on("declined", ["end"]), book().reads_after("pay", "refunded"), Node::done("end")];
    check(nodes, &[told]);
}

#[test]
fn an_output_is_there_whichever_of_its_own_events_a_step_ended_with() {
    let pay = Node::task("pay", ["paid", "part"]).on("paid", ["book"]).on("part", ["book"]);
    let nodes = |pay: Node| [pay, task("book", &["end"]).reads("pay"), Node::done("end")];
    check(nodes(pay.clone().on_failure("broken", ["end"])), &[]);
    let told = "book needs the output of pay, which does not run on every path to book; read it as optional";
    check(nodes(pay.on_failure("broken", ["book"])), &[told]);
    // An event of its own that stands for failure too says nothing for sure.
    let both = Node::task("pay", ["paid"]).on("paid", ["book"]).fails_with("paid");
    check(nodes(both), &[told]);
}
