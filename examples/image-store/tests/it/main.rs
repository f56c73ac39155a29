//! The tour on both databases, as a person would take it.

#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::process::{Command, Output};

use mainstay_testkit::for_each_database;

fn image_store(url: &str, directory: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_image-store")).arg(url).arg(directory).output().unwrap()
}

const TOLD: &str = "\
published web:1, a system and a layer
    1300000 octets: 0 shared, 1300000 of one image each, 0 unused
published mail:1; the system is there and is not written again
    1500000 octets: 1000000 shared, 500000 of one image each, 0 unused
forked web:1 as web/test; a name costs nothing
    1500000 octets: 1000000 shared, 500000 of one image each, 0 unused
committed a patch to web/test; web:1 stays as it was
    1510000 octets: 1300000 shared, 210000 of one image each, 0 unused
tagged web/test as web:2
    1510000 octets: 1300000 shared, 210000 of one image each, 0 unused
ran a machine, which read layers of [1000000, 200000] octets
    1510000 octets: 1300000 shared, 210000 of one image each, 0 unused
tried to remove mail:1 under a machine: image 2 is not removed: it is leased
    1510000 octets: 1300000 shared, 210000 of one image each, 0 unused
removed mail:1; a collection will give its layer back
    1510000 octets: 1300000 shared, 10000 of one image each, 200000 unused
collected 1 blob of 200000 octets
    1310000 octets: 1300000 shared, 10000 of one image each, 0 unused
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_tells_what_the_store_uses() {
    for_each_database(async |db| {
        let directory = tempfile::tempdir().unwrap();
        let tour = image_store(db.url(), directory.path());
        assert!(tour.status.success(), "{}", String::from_utf8_lossy(&tour.stderr));
        assert_eq!(String::from_utf8(tour.stdout).unwrap(), TOLD);
        assert_eq!(octets_on_disk(&directory.path().join("blobs")), 1_310_000);

        // Another process finds the store as it was left: the name is taken.
        let again = image_store(db.url(), directory.path());
        assert!(!again.status.success() && again.stdout.is_empty());
        let said = String::from_utf8(again.stderr).unwrap();
        assert!(said.contains("web:1"), "{said}");
        assert_eq!(octets_on_disk(&directory.path().join("blobs")), 1_310_000);

        // And not with a directory that is another's, or not mounted.
        let bare = tempfile::tempdir().unwrap();
        let elsewhere = image_store(db.url(), bare.path());
        assert!(!elsewhere.status.success() && elsewhere.stdout.is_empty());
        assert_eq!(std::fs::read_dir(bare.path()).unwrap().count(), 0);
    })
    .await;
}

/// What the files under a directory hold, the printed figures aside.
fn octets_on_disk(directory: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let of = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        found if found.is_dir() => octets_on_disk(&entry.path()),
        found => found.len(),
    };
    entries.map(of).sum()
}
