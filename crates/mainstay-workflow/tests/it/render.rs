//! Pictures: what must be in them, and that they are the same each time.

use mainstay_workflow::{Definition, Input, Node, Workflow, render};

use crate::driver::Run;

fn order() -> Workflow {
    Definition::new("order", 2)
        .node(
            Node::task("check", ["good", "odd", "bad"])
                .on("good", ["charge", "pack"])
                .on("bad", ["end"])
                .on("odd", ["end"]),
        )
        .node(Node::task("charge", ["paid"]).on("paid", ["ship"]))
        .node(Node::task("pack", ["<packed>"]).on("<packed>", ["ship"]))
        .node(Node::tx("ship", ["sent"]).on("sent", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

#[test]
fn text_shows_where_each_event_leads_and_where_a_run_is() {
    let flow = order();
    let plain = "order v2\ncheck (task)\n  bad -> end\n  good -> charge & pack\n  odd -> end\n\
                 pack (task)\n  <packed> -> ship\ncharge (task)\n  paid -> ship\nship (tx task)\n  sent -> end\nend (done)\n";
    assert_eq!(render::text(&flow, None), plain);
    let mut run = Run::new(&flow);
    run.ok("check", "good");
    run.ok("pack", "<packed>");
    let drawn = render::text(&flow, Some(&run.state));
    for line in [
        "check (task): ended",
        " *good -> charge & pack",
        " xbad -> end",
        "charge (task): running",
        "ship (tx task): idle",
    ] {
        assert!(drawn.lines().any(|drawn| drawn == line), "{line}\n{drawn}");
    }
}

#[test]
fn dot_has_every_step_and_every_event() {
    let flow = order();
    let drawn = render::dot(&flow, None);
    assert!(drawn.starts_with("digraph \"order v2\" {"));
    assert!(drawn.contains("[label=\"bad, odd\"]"), "events between the same steps share a line: {drawn}");
    assert_eq!(drawn.matches(" -> ").count(), 6);
}

#[test]
fn svg_is_well_formed_and_escapes_what_it_is_given() {
    let flow = order();
    let mut run = Run::new(&flow);
    run.ok("check", "good");
    run.input(Input::Cancel { reason: String::new() }).unwrap();
    let drawn = render::svg(&flow, Some(&run.state));
    assert!(drawn.contains("&lt;packed&gt;") && !drawn.contains("<packed>"));
    assert!(drawn.contains("class=\"line taken\"") && drawn.contains("class=\"line skipped\""));
    assert_eq!(drawn.matches("<g ").count(), drawn.matches("</g>").count());
    assert_eq!(drawn.matches("<g class=\"step").count(), 5);
    assert_eq!(drawn, render::svg(&flow, Some(&run.state)));
    let style = format!("<style>{}</style>", render::STYLE);
    assert_eq!(drawn.replace(&style, ""), render::svg_unstyled(&flow, Some(&run.state)));
}

#[test]
fn a_state_of_another_graph_is_not_drawn() {
    let flow = order();
    let other = Definition::new("other", 1)
        .node(Node::task("a", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let run = Run::new(&other);
    assert_eq!(render::dot(&flow, Some(&run.state)), render::dot(&flow, None));
}
