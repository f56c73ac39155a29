//! `mainstay workflow show`: a run as a whole.

use mainstay_server::document::{RunDocument, StepDocument};
use mainstay_workflow::MAX_SHOWN_BYTES;
use serde::Serialize;

use super::args::One;
use super::list::{table_of, word};
use super::one;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::table;

#[derive(Serialize)]
struct ShowBody {
    run: RunDocument,
}

pub(super) async fn run(args: &One, context: &Context) -> Outcome {
    let (control, run) = one(args, context).await?;
    let body = ShowBody { run: RunDocument::new(&control.show(run).await?) };
    context.output.result("mainstay.workflow.show/1", &body, || text(&body.run));
    Ok(())
}

fn text(run: &RunDocument) -> String {
    let line = &run.line;
    let mut facts = vec![
        ("run", line.run.clone()),
        ("workflow", format!("{} v{}", line.workflow, line.version)),
        ("status", word(line.status)),
        ("began", line.created_at.clone()),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("key", line.key.clone());
    add("reason", line.reason.clone());
    add("ended", line.ended_at.clone());
    add("given up at", run.deadline.clone().filter(|_| line.ended_at.is_none()));
    add("child of", line.parent.clone());
    for awaited in run.awaits.iter().filter(|awaited| !awaited.signals.is_empty()) {
        add("waits for", Some(format!("{} (in {})", awaited.signals.join(" or "), awaited.step)));
    }
    let held =
        format!("the workflow {} as a whole; mainstay workflow resume --workflow or --all", line.workflow);
    add("held back", run.workflow_paused.then_some(held));
    let unread = format!("{} letters; a node of the application reads them", run.unread);
    add("unread", (run.unread > 0).then_some(unread));
    for letter in &run.scheduled {
        add("to come", Some(format!("{} at {}", letter.signal, letter.at)));
    }
    add("NOT undone", (!run.not_undone.is_empty()).then(|| run.not_undone.join(", ")));
    let kept = "kept as it was imported; no engine moves it".to_owned();
    add("imported", (!line.managed).then_some(kept));
    let mut text: String = facts.iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    if !run.steps.is_empty() {
        text.push('\n');
        let rows: Vec<Vec<String>> = run.steps.iter().map(step).collect();
        text.push_str(&table(&["STEP", "KIND", "STATE", "EVENT", "DETAIL"], &rows));
    }
    if !run.children.is_empty() {
        text.push('\n');
        text.push_str(&table_of(&run.children));
    }
    text.push_str("\ncontext\n");
    if run.context_bytes > MAX_SHOWN_BYTES {
        let (run, bytes) = (&line.run, run.context_bytes);
        text.push_str(&format!(
            "{bytes} bytes, too many to show: mainstay workflow history {run} has them page by page"
        ));
    } else {
        text.push_str(&serde_json::to_string_pretty(&run.context).unwrap_or_default());
    }
    text
}

fn step(step: &StepDocument) -> Vec<String> {
    let mut detail = Vec::new();
    detail.extend(step.undone.then(|| "undone".to_owned()));
    detail.extend(step.attempts.map(|number| format!("attempt {number}")));
    detail.extend(step.until.as_ref().filter(|_| step.state == "waiting").map(|at| format!("until {at}")));
    detail.extend(step.items.map(|items| format!("{} of {} items", items.succeeded, items.all)));
    vec![
        step.step.clone(),
        step.kind.to_owned(),
        step.state.to_owned(),
        step.event.clone().unwrap_or_default(),
        detail.join(", "),
    ]
}
