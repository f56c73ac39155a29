//! How the image store is: whose its directory is, what room there is, what a crash left, and when it was last cared for.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanBytes;
use mainstay_core::{Clock as _, SystemClock, Timestamp};
use mainstay_images::files::{DiskFiles, Space};
use mainstay_images::{Beginnings, Checkup, Marker, Policy, checkup};
use mainstay_repo::Repo;
use mainstay_server::Config;
use mainstay_server::images::image_options;

use super::Report;
use crate::cli::exit::{Exit, Failure, Outcome};

const CHECK: &str = "images";
/// A store that is written to is collected more often than this.
const COLLECTED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A store that holds something is read again more often than this.
const SCRUBBED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Hundredths of the quota from which a warning is due.
const NEARLY: u64 = 90;

const REPAIR: &str = "import or pull the same images again; that repairs them";
const COLLECT: &str = "mainstay images gc";

pub(super) async fn look(repo: Repo, config: &Config, report: &mut Report) -> Outcome {
    let settings = &config.images;
    let files = Arc::new(DiskFiles::new(&settings.directory));
    let options = image_options(settings);
    let policy = options.policy;
    let found = checkup(repo, files, options).await?;
    let at = settings.directory.display();
    if !directory(&found, &at, settings.is_default, report) {
        return Ok(());
    }
    room(&found, &policy, report);
    remains(&found, report);
    care(&found, SystemClock.now(), report);
    Ok(())
}

/// Whose the directory is; false when nothing more can be said of the store.
fn directory(found: &Checkup, at: &dyn Display, is_default: bool, report: &mut Report) -> bool {
    match &found.marker {
        Marker::Ours => {
            let store = found.store.as_deref().unwrap_or_default();
            report.good(CHECK, format!("{at} is this database's store {store}"));
            true
        }
        Marker::Absent if !found.prepared => {
            let message =
                format!("{at} holds no store yet; the first start of the server or command makes it");
            report.good(CHECK, message);
            false
        }
        Marker::Absent => {
            let message =
                format!("{at} has no marker, and this database's images lie in a directory that had one");
            let help = "mount the medium of the images there, or name their directory with --images; nothing was decided from its absence";
            unusable(is_default, message, Exit::Unavailable, help, report);
            false
        }
        Marker::Foreign { store } => {
            let message = match &found.store {
                Some(own) => format!("{at} belongs to the store {store}, and this database to {own}"),
                None => format!("{at} belongs to the store {store}, and this database never had a store"),
            };
            let help = "name the directory of this database's images with --images; after migrate down the old directory is of no use to \
                        new tables: restore the database from its backup, or move the directory away, make an empty one in its \
                        place, and import the images anew";
            unusable(is_default, message, Exit::Refused, help, report);
            false
        }
        Marker::Unreadable(error) => {
            let failure = Failure::new(Exit::Unavailable, error.message());
            report.bad(CHECK, failure.with_help(error.help().unwrap_or(COLLECT)));
            false
        }
        _ => false,
    }
}

/// A directory that nobody asked for by name keeps no server from starting: it keeps no images then.
fn unusable(is_default: bool, message: String, exit: Exit, help: &str, report: &mut Report) {
    if is_default {
        report.warning(CHECK, message + "; the server starts and keeps no images", help);
    } else {
        report.bad(CHECK, Failure::new(exit, message).with_help(help));
    }
}

fn room(found: &Checkup, policy: &Policy, report: &mut Report) {
    let free = "lower --images-quota or --images-keep and run mainstay images gc --evict, or give the file system more room";
    match found.space {
        None => report.warning(
            CHECK,
            "how much room is free cannot be told",
            "see that the directory can be read",
        ),
        Some(Space { free_bytes, free_inodes, .. }) => {
            let (octets, least) = (HumanBytes(free_bytes), HumanBytes(policy.min_free_bytes));
            if free_bytes < policy.min_free_bytes {
                report.warning(
                    CHECK,
                    format!("{octets} are free, and nothing is taken in below {least}"),
                    free,
                );
            } else if free_inodes < policy.min_free_inodes {
                let least = policy.min_free_inodes;
                let message =
                    format!("{free_inodes} files more can be made, and nothing is taken in below {least}");
                report.warning(CHECK, message, free);
            } else {
                report.good(CHECK, format!("{octets} are free"));
            }
        }
    }
    let Some(quota) = policy.max_bytes else { return };
    let (used, most) = (HumanBytes(found.bytes), HumanBytes(quota));
    let is_near = u128::from(found.bytes) * 100 >= u128::from(quota) * u128::from(NEARLY);
    if is_near {
        report.warning(
            CHECK,
            format!("{used} of a quota of {most} are used; what does not fit is refused"),
            free,
        );
    } else {
        report.good(CHECK, format!("{used} of a quota of {most} are used"));
    }
}

/// What processes left that were killed, and what is damaged.
fn remains(found: &Checkup, report: &mut Report) {
    let collects = found.collecting.as_ref().and_then(|now| now.collector.as_deref());
    if let Some(collector) = collects {
        report.good(CHECK, format!("{collector} collects at the moment"));
    }
    if let Some(until) = found.collecting.as_ref().and_then(|now| now.off_until) {
        let why = "the database was restored, or somebody switched it off";
        let mend = "wait until then; mainstay images acts tells who did it";
        report.warning(CHECK, format!("collecting is off until {until}: {why}"), mend);
    }
    if found.leftovers > 0 {
        let message = format!("{} unfinished file(s) of processes that were killed", found.leftovers);
        report.warning(CHECK, message, COLLECT);
    }
    let Beginnings { count, bytes } = found.beginnings;
    if count > 0 {
        report.good(
            CHECK,
            format!(
                "{count} beginning(s) of blobs with {} wait for pulls to go on with them",
                HumanBytes(bytes)
            ),
        );
    }
    if found.marked > 0 && collects.is_none() {
        let message = format!("{} blob(s) are half removed: a collection was killed", found.marked);
        report.warning(CHECK, message, COLLECT);
    }
    if found.ended_holders > 0 {
        let message = format!("{} holder(s) ended and are not forgotten yet", found.ended_holders);
        report.warning(CHECK, message, COLLECT);
    }
    if !found.damaged.is_empty() {
        let some: Vec<String> =
            found.damaged.iter().take(3).map(|blob| format!("sha256:{}", blob.digest)).collect();
        let more = if found.damaged.len() > some.len() { ", …" } else { "" };
        let message =
            format!("{} blob(s) are damaged or missing: {}{more}", found.damaged.len(), some.join(", "));
        report.bad(CHECK, Failure::new(Exit::Corrupt, message).with_help(REPAIR));
    }
}

/// When it was last collected and read again. A store that holds nothing needs neither.
fn care(found: &Checkup, now: Timestamp, report: &mut Report) {
    let is_old = |at: Timestamp, within: Duration| at.saturating_add(within) < now;
    match &found.last_collection {
        Some(run) if run.report.unlink_failures > 0 => {
            let message =
                format!("{} file(s) would not go in the last collection", run.report.unlink_failures);
            report.warning(
                CHECK,
                message,
                "see the log of the collection, and let this user write the directory",
            );
        }
        Some(run) if is_old(run.ended_at, COLLECTED) => {
            report.warning(CHECK, format!("the last collection was at {}", run.ended_at), COLLECT);
        }
        Some(run) => report.good(CHECK, format!("the last collection was at {}", run.ended_at)),
        None if found.bytes == 0 => {}
        None => report.warning(CHECK, "it was never collected", COLLECT),
    }
    let scrub = found.scrub.as_ref();
    let (began, ended) = (scrub.and_then(|it| it.started_at), scrub.and_then(|it| it.ended_at));
    let mend = "mainstay images scrub";
    match (began, ended) {
        _ if found.bytes == 0 => {}
        (None, _) => report.warning(CHECK, "nothing was read again yet to see whether it is whole", mend),
        (Some(began), None) if is_old(began, SCRUBBED) => {
            report.warning(CHECK, format!("a scrub began at {began} and never came to its end"), mend);
        }
        (Some(began), None) => {
            report.good(CHECK, format!("a scrub began at {began} and is not at its end; {mend} goes on"));
        }
        (Some(_), Some(ended)) if is_old(ended, SCRUBBED) => {
            report.warning(CHECK, format!("the last scrub was at {ended}"), mend);
        }
        (Some(_), Some(ended)) => report.good(CHECK, format!("the last scrub was at {ended}")),
    }
}
