//! Commands that change something: start, signal, cancel, pause, resume, prune.

use mainstay_workflow::Control;
use mainstay_workflow::store::MAX_PRUNE;
use serde::Serialize;

use super::args::{Cancel, Fork, One, Prune, Scope, Signal, Start};
use super::{find, instant, json, one, open};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct RunBody {
    run: String,
}

pub(super) async fn start(args: &Start, context: &Context) -> Outcome {
    // Everything that can be wrong is read before anything is stored.
    let mut request = args.how.request(&args.workflow, json("--input", &args.input)?);
    if let Some(attributes) = &args.attributes {
        request = request.attributes(json("--attributes", attributes)?);
    }
    if args.paused {
        request = request.paused();
    }
    let control = open(&args.place, context).await?;
    let body = RunBody { run: control.start(request).await?.to_string() };
    context.output.result("mainstay.workflow.start/1", &body, || body.run.clone());
    Ok(())
}

#[derive(Serialize)]
struct SignalBody {
    run: String,
    /// False when the sender's identifier was there before.
    accepted: bool,
    /// Not before this instant; null for at once.
    at: Option<String>,
}

pub(super) async fn signal(args: &Signal, context: &Context) -> Outcome {
    let payload = json("--payload", &args.payload)?;
    let at = args.at.as_deref().map(|text| instant("--at", text)).transpose()?;
    let (control, run) = one(&args.one, context).await?;
    let sender = args.sender.as_deref();
    let accepted = match at {
        Some(at) => control.signal_at(run, at, &args.signal, payload, sender).await?,
        None => control.signal(run, &args.signal, payload, sender).await?,
    };
    let body = SignalBody { run: run.to_string(), accepted, at: at.map(|at| at.to_string()) };
    context.output.result("mainstay.workflow.signal/1", &body, || match (accepted, at) {
        (true, Some(at)) => format!("{} reaches {run} at {at}", args.signal),
        (true, None) => format!("{} is in the mail of {run}", args.signal),
        (false, _) => format!("{run} had it already; nothing changed"),
    });
    Ok(())
}

pub(super) async fn cancel(args: &Cancel, context: &Context) -> Outcome {
    let (control, run) = one(&args.one, context).await?;
    control.cancel(run, &args.reason).await?;
    let body = RunBody { run: run.to_string() };
    context.output.result("mainstay.workflow.cancel/1", &body, || {
        format!("{run} is told to stop; mainstay workflow show {run} says how far it is")
    });
    Ok(())
}

#[derive(Serialize)]
struct AgainBody {
    run: String,
    /// The run that is done again.
    of: String,
}

pub(super) async fn retry(args: &One, context: &Context) -> Outcome {
    let (control, of) = one(args, context).await?;
    let run = control.retry(of).await?;
    let body = AgainBody { run: run.to_string(), of: of.to_string() };
    context.output.result("mainstay.workflow.retry/1", &body, || body.run.clone());
    Ok(())
}

pub(super) async fn fork(args: &Fork, context: &Context) -> Outcome {
    let (control, of) = one(&args.one, context).await?;
    let run = control.fork(of, &args.from.as_str().into()).await?;
    let body = AgainBody { run: run.to_string(), of: of.to_string() };
    context.output.result("mainstay.workflow.fork/1", &body, || body.run.clone());
    Ok(())
}

#[derive(Serialize)]
struct ScopeBody {
    /// The run; null for a workflow or everything.
    run: Option<String>,
    /// The workflow; null for a run or everything.
    workflow: Option<String>,
}

pub(super) async fn pause(scope: &Scope, context: &Context) -> Outcome {
    let control = open(&scope.place, context).await?;
    let body = body(scope, &control).await?;
    match body.run() {
        Some(run) => control.pause(run?).await?,
        None => control.pause_workflow(scope.workflow.as_deref()).await?,
    }
    if let Some(name) = &scope.workflow
        && !control.workflows().await?.iter().any(|known| known.name == *name)
    {
        context.output.warning(&format!(
            "no workflow {name:?} was ever registered here; if it is one day, it is held back from its first run on"
        ));
    }
    context.output.result("mainstay.workflow.pause/1", &body, || match &body.run {
        Some(run) => format!("{run} is told to pause"),
        None => format!("{} paused: no step of it begins", body.what()),
    });
    Ok(())
}

pub(super) async fn resume(scope: &Scope, context: &Context) -> Outcome {
    let control = open(&scope.place, context).await?;
    let body = body(scope, &control).await?;
    let was_held = match body.run() {
        Some(run) => {
            control.resume(run?).await?;
            true
        }
        None => control.resume_workflow(scope.workflow.as_deref()).await?,
    };
    context.output.result("mainstay.workflow.resume/1", &body, || match &body.run {
        Some(run) => format!("{run} is told to go on"),
        None if was_held => format!("{} resumed", body.what()),
        None => format!("{} not paused; nothing changed", body.what()),
    });
    if scope.workflow.is_some() && control.pauses().await?.iter().any(|pause| pause.workflow.is_none()) {
        context.output.warning("everything is paused, this workflow with it: mainstay workflow resume --all");
    }
    Ok(())
}

async fn body(scope: &Scope, control: &Control) -> Outcome<ScopeBody> {
    let run = match &scope.run {
        Some(run) => Some(find(control, run).await?.to_string()),
        None => None,
    };
    Ok(ScopeBody { run, workflow: scope.workflow.clone() })
}

impl ScopeBody {
    fn run(&self) -> Option<Outcome<mainstay_workflow::RunId>> {
        let run = self.run.as_ref()?;
        Some(run.parse().map_err(|error: mainstay_workflow::IdError| Failure::new(Exit::Usage, error)))
    }

    fn what(&self) -> String {
        match &self.workflow {
            Some(workflow) => format!("{workflow} is"),
            None => "everything is".to_owned(),
        }
    }
}

#[derive(Serialize)]
struct PruneBody {
    removed: u64,
}

pub(super) async fn prune(args: &Prune, context: &Context) -> Outcome {
    let before = args.ended_before.as_deref().map(|text| instant("--ended-before", text)).transpose()?;
    if args.confirm.as_deref() != Some(args.place.namespace.as_str()) {
        let what = "ended runs are removed with their histories, and nothing brings them back";
        return Err(Failure::new(Exit::Refused, what)
            .with_help(format!("say --confirm {} to do it", args.place.namespace)));
    }
    let control = open(&args.place, context).await?;
    let mut removed = 0;
    match (&args.run, before) {
        (Some(run), _) => removed += u64::from(control.delete(find(&control, run).await?).await?),
        (None, Some(before)) => loop {
            let portion = control.prune(before, MAX_PRUNE).await?;
            removed += portion;
            if portion == 0 {
                break;
            }
        },
        (None, None) => {}
    }
    let body = PruneBody { removed };
    context.output.result("mainstay.workflow.prune/1", &body, || match removed {
        1 => "removed 1 run".to_owned(),
        _ => format!("removed {removed} runs"),
    });
    Ok(())
}
