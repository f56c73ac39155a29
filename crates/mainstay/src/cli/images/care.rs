//! `mainstay images gc | scrub | restored`: removing what nothing uses, reading everything again, and what follows a restore.

use mainstay_images::{CollectOptions, MAX_PAUSE, ScrubOptions, Tranquility};
use mainstay_server::images::document::{CollectionDocument, PlanDocument, ScrubDocument};
use mainstay_server::{parse_size, parse_time};
use serde::Serialize;

use super::args::{Gc, Place, Scrub};
use super::list::size;
use super::{open, progress};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

/// Blobs between two signs of life.
const PIECE: u64 = 16;

pub(super) async fn collect(args: &Gc, context: &Context) -> Outcome {
    let room = args.make_room.as_deref().map(parse_size).transpose();
    let room = room.map_err(|why| Failure::new(Exit::Usage, format!("--make-room: {why}")))?;
    let pause = args.pause.as_deref().map(|text| parse_time(text, MAX_PAUSE)).transpose();
    let pause = pause.map_err(|why| Failure::new(Exit::Usage, format!("--pause: {why}")))?;
    let commands = open(&args.place, context).await?;
    if let Some(time) = pause {
        let off = Off { off_until: commands.pause_collecting(time).await?.to_string() };
        context.output.result("mainstay.images.gc.pause/1", &off, || {
            format!("nothing is collected until {}\n", off.off_until)
        });
        return Ok(());
    }
    let options = CollectOptions {
        evict: args.evict,
        make_room_bytes: room.unwrap_or(0),
        full: args.full,
        tranquility: Tranquility(args.rest),
        ..CollectOptions::default()
    };
    let spinner = progress::spinner(context, "looking for what nothing uses");
    if args.dry_run {
        let plan = PlanDocument::from(commands.look()?.plan(&options).await?);
        spinner.finish_and_clear();
        context.output.result("mainstay.images.gc.plan/1", &plan, || plan_text(&plan));
        return missing(&plan.missing);
    }
    let report = CollectionDocument::from(commands.collect(&options).await?);
    spinner.finish_and_clear();
    context.output.result("mainstay.images.gc/1", &report, || report_text(&report));
    missing(&report.missing)
}

#[derive(Serialize)]
struct Off {
    off_until: String,
}

pub(super) async fn restored(place: &Place, context: &Context) -> Outcome {
    let commands = open(place, context).await?;
    let off = Off { off_until: commands.after_restore().await?.to_string() };
    context.output.result("mainstay.images.restored/1", &off, || {
        format!(
            "every holder must begin anew, numbers that may be in use are passed over, and nothing is collected until {}\n",
            off.off_until
        )
    });
    Ok(())
}

/// A blob that is used and not there is damage, whatever else went well.
fn missing(blobs: &[String]) -> Outcome {
    if blobs.is_empty() {
        return Ok(());
    }
    let message = format!("{} blob(s) that images use are not on disk: {}", blobs.len(), blobs.join(", "));
    Err(Failure::new(Exit::Corrupt, message)
        .with_help("import or pull the same images again; that repairs them"))
}

fn plan_text(plan: &PlanDocument) -> String {
    let mut text = String::new();
    for image in &plan.evict {
        text.push_str(&format!(
            "image   {}  {:>10}  {}\n",
            image.digest,
            size(image.frees_bytes),
            image.reason
        ));
    }
    for blob in &plan.blobs {
        text.push_str(&format!("blob    {}  {:>10}\n", blob.digest, size(blob.size_bytes)));
    }
    text.extend(plan.orphans.iter().map(|path| format!("file    {path}\n")));
    text + &format!(
        "{} image(s), {} blob(s) with {}, and {} file(s) that nothing names would go\n",
        plan.evict.len(),
        plan.blobs.len(),
        size(plan.bytes),
        plan.orphans.len()
    )
}

fn report_text(report: &CollectionDocument) -> String {
    let mut text = format!(
        "{} blob(s) with {} removed, {} image(s) let go, {} file(s) that nothing named removed\n",
        report.blobs_removed,
        size(report.bytes_removed),
        report.images_evicted,
        report.orphans_removed
    );
    if report.waiting > 0 {
        text.push_str(&format!(
            "{} blob(s) are looked at later: they came or lost a use just now; --full does not wait\n",
            report.waiting
        ));
    }
    if report.unlink_failures > 0 {
        text.push_str(&format!("{} file(s) would not go; the log tells why\n", report.unlink_failures));
    }
    text
}

pub(super) async fn scrub(args: &Scrub, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let spinner = progress::spinner(context, "reading everything again");
    let (mut left, mut restart) = (args.limit.unwrap_or(u64::MAX), args.restart);
    let report = loop {
        let piece = left.min(PIECE);
        let options = ScrubOptions { restart, most_blobs: Some(piece), tranquility: Tranquility(args.rest) };
        let report = commands.scrub(&options).await?;
        progress::read_so_far(&spinner, "read again:", report.bytes);
        (left, restart) = (left.saturating_sub(piece), false);
        if report.ended_at.is_some() || left == 0 {
            break report;
        }
    };
    spinner.finish_and_clear();
    let body = ScrubDocument::read(commands.look()?, report).await?;
    context.output.result("mainstay.images.scrub/1", &body, || text(&body));
    if body.damaged_now.is_empty() {
        return Ok(());
    }
    let message = format!("{} blob(s) are damaged or missing", body.damaged_now.len());
    Err(Failure::new(Exit::Corrupt, message)
        .with_help("import or pull the same images again; that repairs them"))
}

fn text(body: &ScrubDocument) -> String {
    let state = if body.ended_at.is_some() { "all were read" } else { "the next scrub goes on" };
    let mut text = format!("{} blob(s) with {} read again; {state}\n", body.checked, size(body.bytes));
    text.extend(body.damaged_now.iter().map(|blob| format!("damaged {}\n", blob.digest)));
    text
}
