//! `mainstay workflow history`: what happened to a run.

use mainstay_core::{Cursor, PageSize};
use mainstay_server::document::{HistoryLine, HistoryPage};

use super::args::History;
use super::list::second;
use super::one;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::table;

pub(super) async fn run(args: &History, context: &Context) -> Outcome {
    let (control, run) = one(&args.one, context).await?;
    let after = args.paging.after.as_deref().map(Cursor::new);
    let page = control.history(run, PageSize::clamped(args.paging.limit), after.as_ref()).await?;
    let body = HistoryPage::new(&page);
    context.output.result("mainstay.workflow.history/1", &body, || text(&body));
    Ok(())
}

fn text(body: &HistoryPage) -> String {
    if body.history.is_empty() {
        return "nothing more happened".to_owned();
    }
    let row = |line: &HistoryLine| vec![line.seq.to_string(), second(&line.at), line.text.clone()];
    let rows: Vec<Vec<String>> = body.history.iter().map(row).collect();
    let mut text = table(&["NO", "WHEN", "WHAT"], &rows);
    if let Some(next) = &body.next {
        text.push_str(&format!("\nThere is more: --after {next}\n"));
    }
    text
}
