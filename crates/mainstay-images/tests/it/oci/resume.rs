//! Pulls that end in the middle of a blob: what the next one fetches, and what it does with what is there.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use http::StatusCode;
use mainstay_images::files::DiskFiles;
use mainstay_images::oci::registry::{RegistryOptions, Retry};
use mainstay_images::oci::{Container, ErrorKind, Oci, Reference, Select};
use mainstay_images::*;
use mainstay_repo::Repo;
use mainstay_testkit::{TestDatabase, Victim, eventually, for_each_database};

use super::front::{Faults, Front};
use super::registry::Registered;
use super::server::reference;
use super::tools::{BIG, blob};
use crate::support::{World, options};

/// What the process that is killed is told: the database, the directory, the image.
const TOLD: [&str; 3] = ["MAINSTAY_TEST_DATABASE", "MAINSTAY_TEST_DIRECTORY", "MAINSTAY_TEST_IMAGE"];

fn waiting(wait: Duration) -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.retry = Retry::default().waiting(wait, wait);
    options
}

async fn pull(node: Node, from: &Reference, options: &RegistryOptions) -> Result<Image, oci::Error> {
    let oci = Oci::new(node);
    Ok(oci.pull(from, &Select::All, Some("pulled"), options).await?.remove(0))
}

/// The files of blobs that did not arrive whole, by what their names say.
fn beginnings(world: &World) -> Vec<PathBuf> {
    let staged = std::fs::read_dir(world.directory.path().join("tmp")).unwrap();
    let mut found: Vec<PathBuf> = staged.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().contains('.'));
    found
}

fn length(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// What the store gives out is what the registry was given.
async fn assert_whole(world: &World, registered: &Registered) {
    let out = tempfile::tempdir().unwrap();
    let node = world.node().await;
    Oci::new(node)
        .export(&"pulled".parse().unwrap(), out.path().join("out"), Container::Directory)
        .await
        .unwrap();
    let big = registered.sample.big_layer();
    let (found, original) = (blob(&out.path().join("out"), &big), blob(&registered.sample.layout, &big));
    assert!(std::fs::read(found).unwrap() == std::fs::read(original).unwrap(), "the large layer differs");
    let scrubbed =
        world.images.scrub(&ScrubOptions { restart: true, ..ScrubOptions::default() }).await.unwrap();
    assert_eq!(scrubbed.damaged, 0);
}

/// The process that is killed: it pulls, and waits for ever where the connection breaks.
#[tokio::test]
#[ignore = "the test below runs it in a process of its own"]
async fn a_pull_that_is_going_to_be_killed() {
    let [database, directory, image] =
        TOLD.map(|name| std::env::vars().find(|(key, _)| key == name).unwrap().1);
    let repo = Repo::connect(&database).await.unwrap();
    let images = Images::open(repo, std::sync::Arc::new(DiskFiles::new(directory)), options()).await.unwrap();
    let node = images.join("killed").await.unwrap();
    drop(pull(node, &image.parse().unwrap(), &waiting(Duration::from_secs(600))).await);
}

#[tokio::test]
async fn a_pull_that_is_killed_is_gone_on_with_where_it_was() {
    let registered = Registered::new().await;
    let front = Front::start(registered.registry.address).await;
    let from = reference(front.address, "team/app:1");
    for_each_database(async |database| {
        let world = World::new(database).await;
        *front.faults() = Default::default();
        front.faults().cut_after = Some(BIG / 2);
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "oci::resume::a_pull_that_is_going_to_be_killed";
        command.args([name, "--exact", "--ignored", "--nocapture"]);
        let directory = world.directory.path().to_str().unwrap();
        for (name, value) in TOLD.iter().zip([database.url(), directory, &from.to_string()]) {
            command.env(name, value);
        }
        let victim = Victim::spawn(command);
        eventually("half of the large layer is there", async || {
            beginnings(&world).iter().any(|path| length(path) >= 1024 * 1024)
        })
        .await;
        drop(victim.kill());
        let kept = beginnings(&world).iter().map(|path| length(path)).max().unwrap();
        assert!((1024 * 1024..BIG as u64).contains(&kept), "{kept}");

        *front.faults() = Default::default();
        let image = pull(world.node().await, &from, &waiting(Duration::from_millis(1))).await.unwrap();
        assert_eq!(image.digest, registered.sample.listed("app").digest.0);
        assert_eq!(front.ranges(), [format!("bytes={kept}-")]);
        assert_whole(&world, &registered).await;
        // What the killed one left goes with it, since the blob is there.
        world.expire_all().await;
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert!(beginnings(&world).is_empty());
        let unfinished = std::fs::read_dir(world.directory.path().join("tmp")).unwrap().count();
        assert_eq!((unfinished, world.count("images_intents").await), (0, 0));
    })
    .await;
}

/// A pull that gave up in the middle of the large layer, and what it left.
async fn given_up(world: &World, front: &Front, from: &Reference) -> PathBuf {
    // The connection breaks, and then the registry sends another part than is asked for.
    front.faults().cut_after = Some(BIG / 2);
    front.faults().shift_ranges = 1;
    let error = pull(world.node().await, from, &waiting(Duration::from_millis(1))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Registry);
    *front.faults() = Default::default();
    let mut left = beginnings(world);
    assert_eq!((left.len(), world.count("images_intents").await), (1, 0), "{left:?}");
    left.remove(0)
}

#[tokio::test]
async fn what_arrived_before_a_pull_gave_up_is_no_blob_and_is_used_once() {
    let registered = Registered::new().await;
    let front = Front::start(registered.registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let left = given_up(&world, &front, &from).await;
    let big = registered.sample.big_layer().digest.0;
    assert_eq!(world.images.blob(&big).await.unwrap_err().kind(), &mainstay_images::ErrorKind::NotFound);
    assert!(!world.node().await.ingest().has(&big, registered.sample.big_layer().size).await.unwrap());
    // A collection leaves it: somebody is going to try again.
    let report = world.images.collect("c", &CollectOptions { full: true, ..CollectOptions::default() }).await;
    assert_eq!((report.unwrap().orphans_removed, left.exists()), (0, true));
    // A registry that knows of no ranges sends all, and what is there is passed over.
    front.faults().no_ranges = true;
    pull(world.node().await, &from, &waiting(Duration::from_millis(1))).await.unwrap();
    assert_eq!((front.ranges().len(), left.exists()), (1, false));
    assert_whole(&world, &registered).await;
}

#[tokio::test]
async fn a_beginning_that_the_registry_does_not_go_on_with_is_no_obstacle() {
    let registered = Registered::new().await;
    let front = Front::start(registered.registry.address).await;
    let from = reference(front.address, "team/app:1");
    for wrong in [
        Faults { refuse_ranges: Some(StatusCode::RANGE_NOT_SATISFIABLE), ..Faults::default() },
        Faults { refuse_ranges: Some(StatusCode::BAD_REQUEST), ..Faults::default() },
        Faults { refuse_ranges: Some(StatusCode::NOT_IMPLEMENTED), ..Faults::default() },
        // Another part than it was asked for.
        Faults { shift_ranges: 1, ..Faults::default() },
    ] {
        let world = World::new(&TestDatabase::sqlite()).await;
        let left = given_up(&world, &front, &from).await;
        let kept = length(&left);
        *front.faults() = wrong;
        let image = pull(world.node().await, &from, &waiting(Duration::from_millis(1))).await.unwrap();
        assert_eq!(image.digest, registered.sample.listed("app").digest.0);
        assert_eq!(front.ranges(), [format!("bytes={kept}-")]);
        assert_whole(&world, &registered).await;
    }
}

#[tokio::test]
async fn what_arrived_and_is_wrong_is_thrown_away_and_fetched_anew() {
    let registered = Registered::new().await;
    let front = Front::start(registered.registry.address).await;
    let from = reference(front.address, "team/app:1");
    let big = registered.sample.big_layer();
    let whole = std::fs::read(blob(&registered.sample.layout, &big)).unwrap();
    let world = World::new(&TestDatabase::sqlite()).await;
    let patient = waiting(Duration::from_millis(1));
    let left = given_up(&world, &front, &from).await;
    // Other octets, none at all where there should be some, and more than the blob has.
    let mut flipped = std::fs::read(&left).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    let zeros = vec![0; flipped.len()];
    let (more, all) = ([&whole[..], b"x"].concat(), whole.clone());
    let last = [&whole[..whole.len() - 1], &[!whole[whole.len() - 1]]].concat();
    let from_here = |at: usize| format!("bytes={at}-");
    for (wrong, ranges) in [
        (flipped.clone(), Some(vec![from_here(flipped.len())])),
        // No layer begins so: whether the rest was asked for before that was seen is chance.
        (zeros, None),
        (more, Some(vec![])),
        (last, Some(vec![])),
        // All of it came, and nobody lived to say so: nothing of it is asked for.
        (all, Some(vec![])),
    ] {
        let kind = format!("{} octets, {ranges:?}", wrong.len());
        let fresh = World::new(&TestDatabase::sqlite()).await;
        // Whose number the file has.
        fresh.publish(&fresh.node().await, &["before"]).await;
        let path = fresh.directory.path().join(format!("tmp/{}.1", big.digest.0));
        std::fs::write(&path, &wrong).unwrap();
        front.faults().seen.clear();
        let image = pull(fresh.node().await, &from, &patient).await.unwrap();
        assert_eq!(image.digest, registered.sample.listed("app").digest.0, "{kind}");
        let is_big = |seen: &&super::front::Seen| seen.path.contains(&big.digest.0.to_string());
        let asked = front.faults().seen.iter().filter(is_big).count();
        let anew = usize::from(wrong != whole);
        assert!(asked >= anew, "{kind}");
        if let Some(ranges) = ranges {
            assert_eq!((front.ranges(), asked), (ranges.clone(), ranges.len() + anew), "{kind}");
        }
        assert!(wrong.len() > whole.len() || !path.exists(), "{kind}");
        assert_whole(&fresh, &registered).await;
    }
}

#[tokio::test]
async fn beginnings_go_by_their_age_and_where_room_is_wanted() {
    let registered = Registered::new().await;
    let front = Front::start(registered.registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let left = given_up(&world, &front, &from).await;
    let first = std::fs::metadata(&left).unwrap().modified().unwrap();
    let age = |age: Duration| {
        let file = std::fs::File::options().write(true).open(&left).unwrap();
        file.set_modified(first - age).unwrap();
    };
    let collect = async |options: CollectOptions| {
        let report = world.images.collect("c", &options).await.unwrap();
        (report.orphans_removed, left.exists())
    };
    age(MAX_PARTIAL_AGE - Duration::from_secs(60));
    assert_eq!(collect(CollectOptions::default()).await, (0, true));
    age(MAX_PARTIAL_AGE + Duration::from_secs(1));
    assert_eq!(collect(CollectOptions::default()).await, (1, false));
    let left = given_up(&world, &front, &from).await;
    let room = CollectOptions { evict: true, make_room_bytes: 1, ..CollectOptions::default() };
    world.images.collect("c", &room).await.unwrap();
    assert!(!left.exists());
    let left = given_up(&world, &front, &from).await;
    let full = world.reopened(|options| options.policy.min_free_bytes = u64::MAX).await;
    full.collect("c", &CollectOptions::default()).await.unwrap();
    assert!(!left.exists());
}
