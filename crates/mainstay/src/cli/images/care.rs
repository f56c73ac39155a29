//! `mainstay images gc | restored`: removing what nothing uses, and what follows a restore.

use mainstay_images::{Beginnings, CollectOptions, ErrorKind, MAX_PAUSE, Tranquility};
use mainstay_server::images::document::{CollectionDocument, OffDocument, PlanDocument};
use mainstay_server::{parse_size, parse_time};

use super::args::{Gc, Place};
use super::list::size;
use super::{open, progress};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

/// How many blobs that are not on disk an error names.
const NAMED: usize = 10;

pub(super) async fn collect(args: &Gc, context: &Context) -> Outcome {
    let room = args.make_room.as_deref().map(parse_size).transpose();
    let room = room.map_err(|why| Failure::new(Exit::Usage, format!("--make-room: {why}")))?;
    let pause = args.pause.as_deref().map(|text| parse_time(text, MAX_PAUSE)).transpose();
    let pause = pause.map_err(|why| Failure::new(Exit::Usage, format!("--pause: {why}")))?;
    let commands = open(&args.place, context).await?;
    if let Some(time) = pause {
        let off = OffDocument::from(commands.pause_collecting(time).await?);
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
        return missing(&plan.missing, plan.total.missing as u64);
    }
    let collected = commands.collect(&options).await.map_err(|error| match error.kind() {
        ErrorKind::CollectingOff => {
            Failure::from(error).with_help("wait until then; mainstay images acts tells who did it")
        }
        _ => error.into(),
    });
    let report = CollectionDocument::from(collected?);
    spinner.finish_and_clear();
    context.output.result("mainstay.images.gc/1", &report, || report_text(&report));
    missing(&report.missing, report.missing_total)
}

pub(super) async fn restored(place: &Place, context: &Context) -> Outcome {
    let commands = open(place, context).await?;
    let off = OffDocument::from(commands.after_restore().await?);
    context.output.result("mainstay.images.restored/1", &off, || {
        format!(
            "every holder must begin anew, numbers that may be in use are passed over, and nothing is collected until {}\n",
            off.off_until
        )
    });
    Ok(())
}

/// A blob that is used and not there is damage, whatever else went well.
fn missing(blobs: &[String], total: u64) -> Outcome {
    if total == 0 {
        return Ok(());
    }
    let told: Vec<&str> = blobs.iter().take(NAMED).map(String::as_str).collect();
    let more = if total > told.len() as u64 { ", and others" } else { "" };
    let message = format!("{total} blob(s) that images use are not on disk: {}{more}", told.join(", "));
    Err(Failure::new(Exit::Corrupt, message).with_help(
        "mainstay images scrub sets them aside; import or pull the same images again, which repairs them",
    ))
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
    text.push_str(&format!(
        "{} image(s), {} blob(s) with {}, and {} file(s) with {} that nothing names would go\n",
        plan.evict.len(),
        plan.blobs.len(),
        size(plan.bytes),
        plan.orphans.len(),
        size(plan.orphan_bytes)
    ));
    let Beginnings { count, bytes } = plan.beginnings;
    if count > 0 {
        text.push_str(&format!(
            "{count} beginning(s) of blobs with {} are kept for pulls to go on with; --make-room takes them\n",
            size(bytes)
        ));
    }
    text
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
            "{} blob(s) that no image uses wait ten minutes for their next use; --full does not wait\n",
            report.waiting
        ));
    }
    if report.unlink_failures > 0 {
        text.push_str(&format!("{} file(s) would not go; the log tells why\n", report.unlink_failures));
    }
    text
}
