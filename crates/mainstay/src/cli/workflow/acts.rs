//! `mainstay workflow acts`: who did what.

use mainstay_core::{Cursor, PageSize};
use mainstay_server::settings::{ActDocument, ActPage};
use serde_json::Value;

use super::args::Acts;
use super::list::second;
use super::{find, open};
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::table;

pub(super) async fn run(args: &Acts, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    let run = match &args.run {
        Some(run) => Some(find(&control, run).await?),
        None => None,
    };
    let after = args.paging.after.as_deref().map(Cursor::new);
    let page = control.acts(run, PageSize::clamped(args.paging.limit), after.as_ref()).await?;
    let body = ActPage::new(&page);
    context.output.result("mainstay.workflow.acts/1", &body, || text(&body));
    Ok(())
}

fn text(body: &ActPage) -> String {
    if body.acts.is_empty() {
        return "nobody did anything here yet; what applications do in their own code is not written down"
            .to_owned();
    }
    let rows: Vec<Vec<String>> = body.acts.iter().map(row).collect();
    let mut text = table(&["WHEN", "WHO", "WHAT", "ABOUT", "HOW"], &rows);
    if let Some(next) = &body.next {
        text.push_str(&format!("\nThere are more: --after {next}\n"));
    }
    text
}

fn row(act: &ActDocument) -> Vec<String> {
    let about = match (&act.run, act.subject.as_str()) {
        (Some(run), "") => run.clone(),
        (Some(run), subject) => format!("{run} {subject}"),
        (None, "") => "everything".to_owned(),
        (None, subject) => subject.to_owned(),
    };
    let detail = act.detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let detail: Vec<String> = detail
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        })
        .collect();
    vec![second(&act.at), act.actor.clone(), act.action.clone(), about, detail.join("; ")]
}
