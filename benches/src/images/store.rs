//! A store on a database and a directory of its own, and what each round begins with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_images::files::DiskFiles;
use mainstay_images::{COMPONENT, Images, ImagesOptions, Policy};
use mainstay_repo::{Repo, Target};
use mainstay_testkit::TestDatabase;

/// Opens a store on an empty database: nothing waits, nothing is kept free.
pub async fn open(database: &TestDatabase, directory: &Path) -> (Repo, Images) {
    let repo = database.repo().await;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("the tables");
    let options = ImagesOptions {
        grace: Duration::ZERO,
        reserve_bytes: 0,
        policy: Policy { min_free_bytes: 0, min_free_inodes: 0, ..Policy::DEFAULT },
        ..ImagesOptions::default()
    };
    let files = Arc::new(DiskFiles::new(directory));
    let images = Images::open(repo.clone(), files, options).await.expect("a store");
    (repo, images)
}

/// Nobody pays for what another left to be written to the disk.
pub fn settle() {
    std::process::Command::new("sync").status().expect("sync runs");
}

/// The middle of some times.
pub fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
