//! Publishes, uses or collects images until it is killed, and says what it came to.
//!
//! Arguments: the role (`publish`, `hold` or `collect`), the database's URL, the store's directory, a name, a seed.
//!
//! | line | meaning |
//! |---|---|
//! | `ready` | the store is open |
//! | `published DIGEST` | the image of this digest is acknowledged |
//! | `held`, `collected`, `removed` | a use ended well, a collection, a removal |
//! | `error KIND TEXT` | something was refused; that may be |
//! | `VANISHED TEXT` | an image that was leased could not be read: that must never be |

#![allow(clippy::print_stdout, reason = "its output is what the test that kills it reads")]

use std::io::{Cursor, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mainstay_conformance::content::{CHAINS, blob};
use mainstay_images::files::DiskFiles;
use mainstay_images::gc::CollectOptions;
use mainstay_images::{
    BlobKind, CommitSet, Digest, ErrorKind, HeldLease, ImageRef, Images, ImagesOptions, NewImage, Node,
    Policy, Result, Verify, WriterSpec,
};
use mainstay_repo::Repo;
use mainstay_testkit::Random;

/// Short, so that what a killed process held comes to its end while the others go on.
const TTL: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, url, directory, name, seed] = arguments.as_slice() else {
        return complain("crash-images ROLE URL DIRECTORY NAME SEED");
    };
    let Ok(seed) = seed.parse() else { return complain("SEED is a number") };
    let images = match open(url, directory).await {
        Ok(images) => images,
        Err(problem) => return complain(&problem),
    };
    say("ready");
    let mut random = Random::seeded(seed);
    loop {
        let done = match role.as_str() {
            "publish" => publish(&images, name, &mut random).await,
            "hold" => hold(&images, name, &mut random).await,
            "collect" => collect(&images, name, &mut random).await,
            other => return complain(&format!("there is no role {other}")),
        };
        if let Err(error) = done {
            say(&format!("error {:?} {role}: {error}", error.kind()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn open(url: &str, directory: &str) -> std::result::Result<Images, String> {
    let repo = Repo::connect(url).await.map_err(|error| format!("{error:?}"))?;
    let options = ImagesOptions {
        ttl: TTL,
        margin: MARGIN,
        grace: Duration::ZERO,
        policy: Policy { min_free_bytes: 0, min_free_inodes: 0, ..Policy::DEFAULT },
        reserve_bytes: 0,
        ..ImagesOptions::default()
    };
    let files = Arc::new(DiskFiles::new(directory));
    Images::open(repo, files, options).await.map_err(|error| format!("{error:?}"))
}

/// A number below another, for an index.
fn pick(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or(0)
}

/// One life of a publisher: some images, one after the other.
async fn publish(images: &Images, name: &str, random: &mut Random) -> Result<()> {
    let node = images.join(name).await?;
    for _ in 0..8 {
        let chain = CHAINS.get(pick(random, CHAINS.len())).copied().unwrap_or_default();
        match publish_one(&node, chain, random.below(2) == 0).await {
            Ok(digest) => say(&format!("published {digest}")),
            Err(error) => say(&format!("error {:?} publish: {error}", error.kind())),
        }
    }
    node.leave().await
}

async fn publish_one(node: &Node, chain: &[u8], lands: bool) -> Result<Digest> {
    let ingest = node.ingest();
    let mut layers = Vec::new();
    for number in chain {
        let content = blob(*number);
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        if !ingest.has(&digest, size).await? {
            let spec = WriterSpec::known(digest, size, BlobKind::Layer, "application/octet-stream");
            ingest.put(spec, Cursor::new(content)).await?;
        }
        if lands {
            ingest.land().await?;
        }
        layers.push(digest);
    }
    let set = CommitSet { images: vec![NewImage::chain(layers)], ..CommitSet::default() };
    let made = ingest.commit(set).await?;
    Ok(made.images.first().map_or_else(|| Digest::of(b""), |image| image.digest))
}

/// One life of a holder: leases images and reads all of them while the lease lasts.
async fn hold(images: &Images, name: &str, random: &mut Random) -> Result<()> {
    let node = images.join(name).await?;
    for _ in 0..8 {
        let all = images.images(None, 100).await?;
        if all.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let Some(image) = all.get(pick(random, all.len())) else { continue };
        match node.acquire("use", image.id).await {
            Ok(held) => use_it(images, held, random).await?,
            Err(error) => say(&format!("error {:?} acquire: {error}", error.kind())),
        }
    }
    node.leave().await
}

async fn use_it(images: &Images, held: HeldLease, random: &mut Random) -> Result<()> {
    let chain = images.resolve_chain(held.image()).await?;
    for _ in 0..3 {
        for layer in chain.layers() {
            let read = read(images, &layer.digest).await;
            // Asked after the read: a file may go when the lease has ended.
            if let Err(problem) = read
                && held.is_live()
            {
                say(&format!("VANISHED {} of image {}: {problem}", layer.digest, held.image()));
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(10))).await;
    }
    match held.release().await {
        Err(error) if *error.kind() != ErrorKind::Stale => return Err(error),
        Err(_) => {}
        Ok(()) => say("held"),
    }
    Ok(())
}

async fn read(images: &Images, digest: &Digest) -> std::result::Result<(), String> {
    let mut reader = images.open_blob(digest, Verify::Content).await.map_err(|error| format!("{error:?}"))?;
    let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
    match read.await {
        Ok(Ok(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Removes an image and collects, or only collects.
async fn collect(images: &Images, name: &str, random: &mut Random) -> Result<()> {
    if random.below(2) == 0 {
        let all = images.images(None, 100).await?;
        if !all.is_empty()
            && let Some(image) = all.get(pick(random, all.len()))
        {
            match images.remove(&ImageRef::Id(image.id)).await {
                Ok(_) => say("removed"),
                Err(error) => say(&format!("error {:?} remove: {error}", error.kind())),
            }
        }
    }
    let options = CollectOptions { full: random.below(2) == 0, ..CollectOptions::default() };
    images.collect(name, &options).await?;
    say("collected");
    Ok(())
}

/// One line at once: a kill between two lines leaves both whole.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        // Nobody listens any more; the kill comes.
    }
}

fn complain(problem: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{problem}"));
    ExitCode::FAILURE
}
