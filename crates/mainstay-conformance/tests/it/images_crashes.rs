//! Publishers, holders and collectors of one image store, each a process that is killed at any moment.
//!
//! `MAINSTAY_SOAK=1` kills for long; `MAINSTAY_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mainstay_conformance::content::{CHAINS, blob};
use mainstay_images::files::DiskFiles;
use mainstay_images::gc::CollectOptions;
use mainstay_images::{COMPONENT, Digest, Images, ImagesOptions, Policy, Verify};
use mainstay_repo::{Repo, Statement, Target};
use mainstay_testkit::{PostgresDatabase, Random, SqliteFile, Victim, environment, pause};

use crate::support::soon;

/// Who runs at the same time.
const ROLES: [&str; 6] = ["publish", "publish", "hold", "hold", "collect", "collect"];

fn start(role: &str, url: &str, directory: &Path, name: &str, seed: u64) -> Victim {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-images"));
    command.args([role, url]).arg(directory).args([name, &seed.to_string()]);
    Victim::spawn(command)
}

/// What all processes said.
#[derive(Debug, Default)]
struct Told {
    published: usize,
    held: usize,
    collected: usize,
    removed: usize,
    /// What was refused because others do as they like, by the kind of the error.
    refused: BTreeMap<String, usize>,
}

impl Told {
    fn add(&mut self, lines: &[String]) {
        for line in lines {
            match line.split(' ').next() {
                Some("published") => self.published += 1,
                Some("held") => self.held += 1,
                Some("collected") => self.collected += 1,
                Some("removed") => self.removed += 1,
                Some("ready") => {}
                Some("error") => {
                    assert!(is_expected(line), "{line}");
                    let kind = line.split(' ').nth(1).unwrap_or_default();
                    *self.refused.entry(kind.to_owned()).or_default() += 1;
                }
                _ => panic!("{line}"),
            }
        }
    }
}

/// What a process may be refused while others do as they like.
fn is_expected(line: &str) -> bool {
    let kinds = ["Stale", "Conflict", "InUse", "NotFound", "Incomplete", "Busy", "Unavailable", "Unknown"];
    line.split(' ').nth(1).is_some_and(|kind| kinds.contains(&kind))
}

async fn open(url: &str, directory: &Path) -> Images {
    let repo = Repo::connect(url).await.unwrap();
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
    let options = ImagesOptions {
        ttl: Duration::from_secs(60),
        margin: Duration::ZERO,
        grace: Duration::ZERO,
        policy: Policy { min_free_bytes: 0, min_free_inodes: 0, ..Policy::DEFAULT },
        reserve_bytes: 0,
        ..ImagesOptions::default()
    };
    Images::open(repo, Arc::new(DiskFiles::new(directory)), options).await.unwrap()
}

/// Kills one process after the other, and starts another in its place.
async fn kill_all_the_time(url: &str, kills: u32, mut random: Random) {
    let directory = tempfile::tempdir().unwrap();
    drop(soon(open(url, directory.path())).await);
    let mut told = Told::default();
    let run = |random: &mut Random, place: usize, life: u32| {
        let name = format!("{}-{place}", ROLES[place]);
        start(ROLES[place], url, directory.path(), &format!("{name}-{}", life % 3), random.next_u64())
    };
    let mut victims: Vec<Victim> = (0..ROLES.len()).map(|place| run(&mut random, place, 0)).collect();
    let mut killed: BTreeMap<&str, u32> = BTreeMap::new();
    for kill in 0..kills {
        let place = usize::try_from(random.below(ROLES.len() as u64)).unwrap();
        *killed.entry(ROLES[place]).or_default() += 1;
        victims[place].wait_until("an open store", |lines| !lines.is_empty());
        pause(Duration::from_millis(random.below(400)));
        let victim = std::mem::replace(&mut victims[place], run(&mut random, place, kill));
        told.add(&victim.kill());
    }
    for victim in &victims {
        victim.wait_until("an open store", |lines| !lines.is_empty());
    }
    for victim in victims {
        told.add(&victim.kill());
    }
    let checked = soon(check(url, directory.path())).await;
    println!("{kills} kills {killed:?}: {told:?}; {checked} blobs are in use afterwards, and all verify");
    assert!(told.published > 0 && told.held > 0 && told.collected > 0 && told.removed > 0, "{told:?}");
}

/// Every blob of an image is there and verifies, and they are counted; after a collection nothing else is; everything can be published.
async fn check(url: &str, directory: &Path) -> usize {
    let repo = Repo::connect(url).await.unwrap();
    verify_all(&open(url, directory).await).await;
    // The killed ones are not waited for.
    repo.write(Statement::new("UPDATE images_holders SET expires_at = 0, live = 0")).await.unwrap();
    repo.write(Statement::new("UPDATE images_collector SET until = 0")).await.unwrap();
    let images = open(url, directory).await;
    let report = images
        .collect("afterwards", &CollectOptions { full: true, ..CollectOptions::default() })
        .await
        .unwrap();
    assert!(report.missing.is_empty() && report.inconsistent.is_empty(), "{report:?}");
    let referenced = verify_all(&images).await;
    let rows = repo.read(Statement::new("SELECT digest, state, inc FROM images_blobs")).await.unwrap();
    let mut wanted = BTreeSet::new();
    for row in rows {
        let digest = Digest::from_slice(&row.get::<Vec<u8>>("digest").unwrap()).unwrap();
        assert_eq!(row.get::<i64>("state").unwrap(), 0, "{digest}");
        assert!(referenced.contains(&digest), "{digest} is in no image and was not collected");
        wanted.insert(format!("{digest}.{}", row.get::<i64>("inc").unwrap()));
    }
    assert_eq!(names(&directory.join("blobs"), true), wanted, "files after a full collection");
    assert_eq!(names(&directory.join("tmp"), false), BTreeSet::new(), "staged files after a full collection");
    let incs = repo.read(Statement::new("SELECT inc FROM images_intents")).await.unwrap();
    assert!(incs.is_empty(), "intents after a full collection");
    soon(repo.close()).await;
    referenced.len()
}

/// Reads every blob of every image.
async fn verify_all(images: &Images) -> BTreeSet<Digest> {
    let mut referenced = BTreeSet::new();
    for image in images.images(None, 1_000).await.unwrap() {
        for layer in images.resolve_chain(image.id).await.unwrap().layers() {
            if referenced.insert(layer.digest) {
                let mut reader = images.open_blob(&layer.digest, Verify::Content).await.unwrap();
                let mut octets = Vec::new();
                reader.read_to_end(&mut octets).unwrap();
                assert_eq!(Digest::of(&octets), layer.digest);
                let mut numbers = CHAINS.iter().copied().flatten();
                assert!(numbers.any(|number| blob(*number) == octets), "nobody published this");
            }
        }
    }
    referenced
}

fn names(directory: &Path, is_nested: bool) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    if is_nested {
        return entries.flat_map(|entry| names(&entry.path(), false)).collect();
    }
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn kills() -> u32 {
    if environment::soaks() { 2_000 } else { 30 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_survive_crashes_on_sqlite() {
    let file = SqliteFile::create();
    kill_all_the_time(file.url(), kills(), Random::from_environment("images on SQLite")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_survive_crashes_on_postgres() {
    let database = PostgresDatabase::create();
    kill_all_the_time(database.url(), kills(), Random::from_environment("images on PostgreSQL")).await;
}
