//! `mainstay workflow graph`: a run or a workflow as a picture.

use mainstay_workflow::{State, Workflow, render};
use serde::Serialize;

use super::args::{Form, Graph};
use super::{find, open};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct GraphBody {
    workflow: String,
    version: u32,
    /// The run that is drawn; null for a workflow alone.
    run: Option<String>,
    format: &'static str,
    picture: String,
}

pub(super) async fn run(args: &Graph, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    // A workflow's name has neither of these.
    let is_run = args.what.starts_with("run_") || args.what.contains("::");
    let (flow, state, run) = if is_run {
        let run = find(&control, &args.what).await?;
        let view = control.show(run).await?;
        let flow = view.workflow.ok_or_else(|| {
            Failure::new(Exit::Refused, format!("{run} came from elsewhere; its graph is not known"))
                .with_help(format!("mainstay workflow show {run} prints what is kept of it"))
        })?;
        (flow, view.state, Some(run.to_string()))
    } else {
        (control.workflow(&args.what, args.version).await?, None, None)
    };
    let (format, picture) = draw(&flow, state.as_ref(), args.format);
    let graph = flow.graph();
    let body = GraphBody { workflow: graph.name.clone(), version: graph.version, run, format, picture };
    context.output.result("mainstay.workflow.graph/1", &body, || body.picture.clone());
    Ok(())
}

fn draw(flow: &Workflow, state: Option<&State>, form: Form) -> (&'static str, String) {
    match form {
        Form::Text => ("text", render::text(flow, state)),
        Form::Svg => ("svg", render::svg(flow, state)),
        Form::Dot => ("dot", render::dot(flow, state)),
    }
}
