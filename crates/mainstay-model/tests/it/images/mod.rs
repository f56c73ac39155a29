//! The image store.

mod broken;
mod sound;

use mainstay_model::images::Setup;

/// Two images of two blobs that share one: the second image's blob is in the first image too.
const SHARED: &[&[u8]] = &[&[0, 1], &[1]];

/// What a setup is, for the head of a golden file.
fn describe(setup: &Setup) -> String {
    let images: Vec<String> = setup
        .images
        .iter()
        .map(|blobs| blobs.iter().map(|blob| ["A", "B"][usize::from(*blob)]).collect::<Vec<_>>().join("+"))
        .collect();
    let jobs: Vec<String> = setup.publishers.iter().map(|image| (image + 1).to_string()).collect();
    format!(
        "protocol {}: images [{}], publishers of image [{}], {} collectors, {} holders, {} incarnations alive{}{}{}{}{}\n",
        setup.rules.name,
        images.join(" "),
        jobs.join(" "),
        setup.collectors,
        setup.holders,
        setup.incarnations,
        if setup.crashes { ", crashes" } else { "" },
        if setup.power_loss { ", power loss" } else { "" },
        if setup.loses_files { ", loss" } else { "" },
        if setup.is_reduced { ", reduced" } else { "" },
        if setup.evicts { ", eviction" } else { "" },
    )
}
