//! `mainstay workflow list|workflows|nodes`.

use mainstay_core::{Cursor, PageSize};
use mainstay_server::document::{RunLine, RunPage, WorkflowLine};
use mainstay_server::settings::{self, NodeDocument};
use mainstay_workflow::Status;
use mainstay_workflow::store::{Filter, MAX_COUNTED, Order};
use serde::Serialize;

use super::args::{List, Where};
use super::{identifier, open};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

const NONE: &str = "–";

pub(super) async fn runs(args: &List, context: &Context) -> Outcome {
    let filter = filter(args)?;
    let control = open(&args.place, context).await?;
    let order = if args.oldest { Order::Oldest } else { Order::Newest };
    let after = args.paging.after.as_deref().map(Cursor::new);
    let page = control.list(&filter, order, PageSize::clamped(args.paging.limit), after.as_ref()).await?;
    let body = RunPage::new(&page);
    context.output.result("mainstay.workflow.list/1", &body, || text(&body));
    Ok(())
}

fn filter(args: &List) -> Outcome<Filter> {
    let status = args.status.join(",");
    if let Some(id) = args.id.as_deref().filter(|id| id.starts_with("run_")) {
        identifier(id)?;
    }
    let version = args.version.map(|version| version.to_string());
    let named = [
        ("status_in", Some(status.as_str()).filter(|status| !status.is_empty())),
        ("workflow", args.workflow.as_deref()),
        ("workflow_version", version.as_deref()),
        ("workflow_family", args.family.as_deref()),
        ("id", args.id.as_deref()),
        ("parent", args.parent.as_deref()),
        ("since", args.since.as_deref()),
        ("until", args.until.as_deref()),
    ];
    let mut conditions: Vec<(&str, &str)> =
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    conditions.extend(args.tag.iter().map(|tag| ("tag", tag.as_str())));
    for condition in &args.conditions {
        let (path, value) = condition.split_once('=').ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{condition:?} is not a path and a value"))
                .with_help("for example --where context.initial.order_id=123")
        })?;
        if !path.trim().starts_with("context.") {
            let message = format!("{path:?} is no path into the context of runs");
            return Err(Failure::new(Exit::Usage, message)
                .with_help("a path begins with context.initial. or context.attributes."));
        }
        conditions.push((path.trim(), value.trim()));
    }
    Ok(Filter::parse(conditions)?)
}

fn text(body: &RunPage) -> String {
    if body.runs.is_empty() {
        return "no run meets these conditions".to_owned();
    }
    let mut text = table_of(&body.runs);
    if let Some(next) = &body.next {
        text.push_str(&format!("\nThere are more: --after {next}\n"));
    }
    text
}

/// A table of runs.
pub(super) fn table_of(runs: &[RunLine]) -> String {
    let row = |run: &RunLine| {
        vec![
            run.run.clone(),
            format!("{} v{}", run.workflow, run.version),
            word(run.status),
            second(&run.created_at),
            run.key.clone().unwrap_or_else(|| NONE.to_owned()),
            run.reason.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    table(&["RUN", "WORKFLOW", "STATUS", "BEGAN", "KEY", "REASON"], &rows)
}

/// A status as it is written everywhere.
pub(super) fn word(status: Status) -> String {
    serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An instant to the second.
pub(super) fn second(instant: &str) -> String {
    instant.get(..19).map_or_else(|| instant.to_owned(), |second| format!("{second}Z"))
}

#[derive(Serialize)]
struct WorkflowsBody {
    workflows: Vec<WorkflowLine>,
}

pub(super) async fn workflows(place: &Where, context: &Context) -> Outcome {
    let control = open(place, context).await?;
    let body =
        WorkflowsBody { workflows: control.workflows().await?.iter().map(WorkflowLine::new).collect() };
    context.output.result("mainstay.workflow.workflows/1", &body, || {
        let row = |workflow: &WorkflowLine| {
            let versions: Vec<String> =
                workflow.versions.iter().map(|version| format!("v{version}")).collect();
            let runs = workflow.runs.iter().map(|(status, count)| {
                let more = if *count > u64::from(MAX_COUNTED) { "over " } else { "" };
                format!("{more}{} {}", (*count).min(MAX_COUNTED.into()), word(*status))
            });
            let state = if workflow.paused { "paused" } else { "open" };
            let runs = runs.collect::<Vec<_>>().join(", ");
            vec![workflow.workflow.clone(), versions.join(", "), state.to_owned(), runs]
        };
        if body.workflows.is_empty() {
            return "no workflow was ever registered here; start the application that has one".to_owned();
        }
        let rows: Vec<Vec<String>> = body.workflows.iter().map(row).collect();
        table(&["WORKFLOW", "VERSIONS", "STATE", "RUNS"], &rows)
    });
    Ok(())
}

#[derive(Serialize)]
struct NodesBody {
    nodes: Vec<NodeDocument>,
}

pub(super) async fn nodes(place: &Where, context: &Context) -> Outcome {
    let control = open(place, context).await?;
    let body = NodesBody { nodes: settings::nodes(&control).await? };
    context.output.result("mainstay.workflow.nodes/1", &body, || {
        let row = |node: &NodeDocument| {
            let state = if node.dead_at.is_some() { "given up" } else { "alive" };
            let (started, seen) = (second(&node.started_at), second(&node.seen_at));
            let (tasks, number) = (node.tasks.to_string(), node.node.to_string());
            vec![node.name.clone(), state.to_owned(), started, seen, tasks, number]
        };
        if body.nodes.is_empty() {
            return "no node works here: nothing moves until the application is started".to_owned();
        }
        let rows: Vec<Vec<String>> = body.nodes.iter().map(row).collect();
        table(&["NODE", "STATE", "STARTED", "SEEN", "TASKS", "NUMBER"], &rows)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::cli::workflow::args::WorkflowCommand;

    fn check(flags: &[&str]) -> Outcome<Filter> {
        let all = [&["mainstay", "workflow", "list"], flags].concat();
        match Cli::try_parse_from(all).unwrap().command {
            Command::Workflow { command: WorkflowCommand::List(args) } => filter(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_are_conditions() {
        let flags =
            ["--status", "running,waiting", "--version", "2", "--where", "context.initial.order_id=123"];
        let expected = Filter::new()
            .status_in([Status::Running, Status::Waiting])
            .workflow_version(2)
            .context("context.initial.order_id", serde_json::json!(123))
            .unwrap();
        assert_eq!(check(&flags).unwrap(), expected);
        for wrong in [["--where", "order_id"], ["--where", "status=failed"], ["--since", "today"]] {
            assert_eq!(check(&wrong).unwrap_err().exit, Exit::Usage, "{wrong:?}");
        }
    }
}
