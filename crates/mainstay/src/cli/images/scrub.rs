//! `mainstay images scrub | findings`: reading everything again, and what was found.

use mainstay_images::{Commands, ScrubOptions, ScrubReport, Tranquility, Unread};
use mainstay_server::images::document::{FindingLine, FindingPage, ScrubDocument, ScrubLine, ScrubsDocument};

use super::args::{Listed, Scrub};
use super::list::{more, size};
use super::{open, progress};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

/// Blobs between two signs of life.
const PIECE: u64 = 16;
/// How many blobs that are damaged are listed for people.
const LISTED: usize = 100;

pub(super) async fn scrub(args: &Scrub, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    if args.history {
        return history(&commands, context).await;
    }
    let report = read_again(args, &commands, context).await?;
    let unread = report.unread.clone();
    let body = ScrubDocument::read(commands.look()?, report).await?;
    context.output.result("mainstay.images.scrub/1", &body, || text(&body));
    if body.damaged_now_total == 0 {
        return unread.map_or(Ok(()), |unread| Err(unread.error().into()));
    }
    if let Some(unread) = unread {
        context.output.warning(&unread.error().to_string());
    }
    let message = format!("{} blob(s) are damaged or missing", body.damaged_now_total);
    Err(Failure::new(Exit::Corrupt, message)
        .with_help("import or pull the same images again; that repairs them"))
}

/// Reads in pieces, with a sign of life between two, until the pass ends, here or elsewhere.
async fn read_again(args: &Scrub, commands: &Commands, context: &Context) -> Outcome<ScrubReport> {
    let spinner = progress::spinner(context, "reading everything again");
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut unread: Option<Unread> = None;
    let mut options = ScrubOptions {
        restart: args.restart,
        tranquility: Tranquility(args.rest),
        ..ScrubOptions::default()
    };
    loop {
        let piece = left.min(PIECE);
        let report = commands.scrub(&ScrubOptions { most_blobs: Some(piece), ..options }).await?;
        progress::read_so_far(&spinner, "read again:", report.bytes);
        unread = match unread {
            Some(before) => Some(before.and(report.unread.clone())),
            None => report.unread.clone(),
        };
        left = left.saturating_sub(piece);
        let is_anothers = options.pass.is_some() && options.pass != report.started_at;
        if is_anothers {
            context.output.warning("another scrub began anew; it goes on with what this one left");
        }
        if is_anothers || report.ended_at.is_some() || left == 0 {
            spinner.finish_and_clear();
            let mut report = report;
            report.unread = unread;
            return Ok(report);
        }
        options = ScrubOptions { restart: false, pass: report.started_at, ..options };
    }
}

fn text(body: &ScrubDocument) -> String {
    let state = if body.ended_at.is_some() { "all were read" } else { "the next scrub goes on" };
    let mut text = format!("{} blob(s) with {} read again; {state}\n", body.checked, size(body.bytes));
    let listed = body.damaged_now.iter().take(LISTED);
    text.extend(listed.map(|blob| format!("damaged {}\n", blob.digest)));
    if body.damaged_now_total > LISTED as u64 {
        text.push_str("…and others; mainstay images findings lists them page by page\n");
    }
    text
}

async fn history(commands: &Commands, context: &Context) -> Outcome {
    let body = ScrubsDocument::read(commands.look()?, mainstay_images::MAX_PAGE).await?;
    context.output.result("mainstay.images.scrub.history/1", &body, || {
        let row = |pass: &ScrubLine| {
            let at = |at: &Option<String>| at.clone().unwrap_or_default();
            let (blobs, damaged) = (pass.checked.to_string(), pass.damaged.to_string());
            vec![at(&pass.ended_at), at(&pass.started_at), blobs, size(pass.bytes), damaged]
        };
        let rows: Vec<Vec<String>> = body.scrubs.iter().map(row).collect();
        table(&["ENDED", "BEGAN", "BLOBS", "READ", "DAMAGED"], &rows)
    });
    Ok(())
}

pub(super) async fn findings(args: &Listed, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let page = FindingPage::read(commands.look()?, args.after, args.limit).await?;
    context.output.result("mainstay.images.findings/1", &page, || {
        let row = |found: &FindingLine| {
            let (fault, state) = (found.fault.to_owned(), found.state.to_owned());
            vec![found.found_at.clone(), fault, state, size(found.size_bytes), found.digest.clone()]
        };
        let rows: Vec<Vec<String>> = page.findings.iter().map(row).collect();
        table(&["FOUND", "FILE", "NOW", "SIZE", "DIGEST"], &rows) + &more(page.next)
    });
    Ok(())
}
