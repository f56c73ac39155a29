//! `mainstay workflow import`: what another engine left in PostgreSQL becomes runs here.

use mainstay_repo::RepoOptions;
use mainstay_workflow::store::{ImportReport, Store};
use serde::Serialize;

use super::args::Import;
use super::{open, unchecked};
use crate::cli::context::Context;
use crate::cli::exit::Outcome;

#[derive(Serialize)]
struct ImportBody {
    imported: u64,
    /// Of these, how many had not ended; no engine moves them.
    unfinished: u64,
    refused: u64,
    notes: Vec<Note>,
    /// The last identifier that was read: go on after it.
    last: Option<String>,
}

#[derive(Serialize)]
struct Note {
    id: String,
    text: String,
    imported: bool,
}

impl ImportBody {
    fn new(report: ImportReport) -> Self {
        let notes = report.notes.into_iter();
        Self {
            imported: report.imported,
            unfinished: report.unfinished,
            refused: report.refused,
            notes: notes.map(|note| Note { id: note.id, text: note.text, imported: note.imported }).collect(),
            last: report.last,
        }
    }
}

pub(super) async fn run(args: &Import, context: &Context) -> Outcome {
    let source = RepoOptions::new(&args.from)?;
    let control = unchecked(&args.place, context).await?;
    let source = source.connect().await?;
    // The namespace may be a new one.
    Store::open(control.store().repo(), &args.place.namespace).await?;
    let control = open(&args.place, context).await?;
    let body = ImportBody::new(control.import(&source, args.after.as_deref()).await?);
    context.output.result("mainstay.workflow.import/1", &body, || text(&body));
    Ok(())
}

fn text(body: &ImportBody) -> String {
    let mut text = format!(
        "imported {}, of which {} had not ended; refused {}\n",
        body.imported, body.unfinished, body.refused
    );
    for note in &body.notes {
        let mark = if note.imported { "kept   " } else { "refused" };
        text.push_str(&format!("{mark} {}: {}\n", note.id, note.text));
    }
    text
}
