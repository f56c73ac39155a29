//! Layouts in and out, as directories and as archives.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mainstay_images::oci::progress::{Event, Progress};
use mainstay_images::oci::{Container, ErrorKind, Import, Oci, Platform, Select};
use mainstay_images::{Claim, CollectOptions, ErrorKind as StoreErrorKind, Heartbeat, ImageKind, ImageRef};
use mainstay_testkit::{Polled, TestDatabase, at_most_polls, eventually, for_each_database};

use super::tools::{Sample, assert_same, blob, read_json, run, skopeo};
use crate::support::World;

/// The list and all blobs are the same octets. The marker says the same: no program looks at its white space.
fn assert_same_layout(one: &Path, other: &Path) {
    let marker = |layout: &Path| read_json::<serde_json::Value>(&layout.join("oci-layout"));
    assert_eq!(marker(one), marker(other));
    assert_same(&one.join("blobs"), &other.join("blobs"));
    let list = |layout: &Path| std::fs::read(layout.join("index.json")).unwrap();
    assert_eq!(list(one), list(other));
    assert_eq!(std::fs::read_dir(other).unwrap().count(), 3);
}

#[tokio::test]
async fn a_whole_layout_comes_back_octet_for_octet() {
    let sample = Sample::new();
    for_each_database(async |database| {
        let world = World::new(database).await;
        let oci = Oci::new(world.node().await);
        let images = oci.import(&sample.layout, &Import::all().named("team/all")).await.unwrap();
        assert_eq!(images[0].kind, ImageKind::Index);
        let app = world.images.image(&"team/all:app".parse().unwrap()).await.unwrap();
        assert_eq!((app.kind, app.chain.depth()), (ImageKind::Chain, 4));
        assert_eq!(app.digest, sample.listed("app").digest.0);
        let odd = world.images.image(&"team/all:odd".parse().unwrap()).await.unwrap();
        assert_eq!(odd.kind, ImageKind::Artifact);

        let out = tempfile::tempdir().unwrap();
        let copy = out.path().join("copy");
        let name: ImageRef = "team/all".parse().unwrap();
        oci.export(&name, &copy, Container::Directory).await.unwrap();
        assert_same_layout(&sample.layout, &copy);

        let archive = out.path().join("copy.tar");
        oci.export(&name, &archive, Container::Archive).await.unwrap();
        let again = out.path().join("unpacked");
        std::fs::create_dir(&again).unwrap();
        run(&again, "tar", &["-xf", archive.to_str().unwrap()]);
        assert_same_layout(&sample.layout, &again);
        assert_eq!(world.count("images_leases").await, 0);
    })
    .await;
}

#[tokio::test]
async fn umoci_and_skopeo_take_what_is_exported() {
    let sample = Sample::new();
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(&sample.layout, &Import::tagged("app").named("team/app:1")).await.unwrap();
    let name: ImageRef = "team/app:1".parse().unwrap();
    let at = sample.at();
    oci.export(&name, at.join("out"), Container::Directory).await.unwrap();
    oci.export(&name, at.join("out.tar"), Container::Archive).await.unwrap();

    run(at, "umoci", &["unpack", "--rootless", "--image", "L:app", "expected"]);
    run(at, "umoci", &["unpack", "--rootless", "--image", "out:1", "found"]);
    assert_same(&at.join("expected/rootfs"), &at.join("found/rootfs"));
    for image in ["oci:out:1", "oci-archive:out.tar:1"] {
        let told: serde_json::Value = serde_json::from_str(&skopeo(at, &["inspect", image])).unwrap();
        assert_eq!(told["Digest"], sample.listed("app").digest.to_string(), "{image}");
        assert_eq!(told["Layers"].as_array().unwrap().len(), 4);
    }
    // Nothing but the files of a layout is there.
    let names: Vec<String> = run(at, "tar", &["-tf", "out.tar"]).lines().map(str::to_owned).collect();
    assert_eq!(
        (names.first().unwrap().as_str(), names.last().unwrap().as_str()),
        ("oci-layout", "index.json")
    );
    assert_eq!(names.len(), 2 + 4 + 2);
}

#[tokio::test]
async fn archives_and_every_compression_are_imported() {
    let sample = Sample::new();
    let at = sample.at();
    skopeo(at, &["copy", "oci:L:app", "oci-archive:gzip.tar:app"]);
    let zstd = ["copy", "--dest-compress", "--dest-compress-format", "zstd", "oci:L:app", "oci:zstd:app"];
    skopeo(at, &zstd);
    skopeo(at, &["copy", "--dest-decompress", "oci:L:app", "dir:plain"]);
    skopeo(at, &["copy", "dir:plain", "oci:plain-layout:app"]);
    skopeo(at, &["copy", "--format", "v2s2", "oci:L:app", "oci:docker:app"]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    for (layout, kind) in
        [("gzip.tar", "tar+gzip"), ("zstd", "tar+zstd"), ("plain-layout", "tar"), ("docker", "tar")]
    {
        let images = oci.import(at.join(layout), &Import::only()).await.unwrap();
        let image = &images[0];
        assert_eq!(image.chain.depth(), 4, "{layout}");
        for layer in image.chain.layers() {
            let media_type = world.images.blob(&layer.digest).await.unwrap().media_type;
            assert!(media_type.contains(kind), "{layout}: {media_type}");
        }
        let copy = at.join(format!("copy-of-{layout}"));
        oci.export(&image.digest.into(), &copy, Container::Directory).await.unwrap();
        if at.join(layout).is_dir() {
            assert_same(&at.join(layout).join("blobs"), &copy.join("blobs"));
        }
    }
}

#[tokio::test]
async fn one_platform_of_an_index_is_imported_alone() {
    let sample = Sample::new();
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let arm = Import::tagged("multi").platform(Select::Platform(Platform::new("linux", "arm64")));
    let images = oci.import(&sample.layout, &arm.named("arm")).await.unwrap();
    assert_eq!(images.iter().map(|image| image.digest).collect::<Vec<_>>(), [sample.listed("base").digest.0]);
    // Neither an index nor an image alone is taken for another platform's.
    for tag in ["multi", "app"] {
        let plan9 = Import::tagged(tag).platform(Select::Platform(Platform::new("plan9", "mips")));
        let error = oci.import(&sample.layout, &plan9.named("plan9")).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::OtherPlatform, "{tag}: {error}");
    }
    assert_eq!((world.count("images").await, world.count("images_refs").await), (1, 1));
    let images = oci.import(&sample.layout, &Import::tagged("multi").named("multi")).await.unwrap();
    assert_eq!(images.len(), 3);
    // An index that is not a layout's list is exported as one image.
    oci.export(&"multi".parse().unwrap(), sample.at().join("out"), Container::Directory).await.unwrap();
    let raw = skopeo(sample.at(), &["inspect", "--raw", "oci:out:multi"]);
    assert_eq!(raw.into_bytes(), std::fs::read(blob(&sample.layout, &sample.listed("multi"))).unwrap());
}

#[tokio::test]
async fn nothing_is_written_over_and_failures_leave_nothing() {
    let sample = Sample::new();
    let at = sample.at();
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let images = oci.import(&sample.layout, &Import::tagged("app")).await.unwrap();
    let app: ImageRef = images[0].digest.into();
    let exported = async |place: &str, container| {
        let error = oci.export(&app, at.join(place), container).await.unwrap_err();
        error.kind().clone()
    };
    assert_eq!(exported("L", Container::Directory).await, ErrorKind::Exists);
    assert_eq!(exported("big", Container::Directory).await, ErrorKind::Exists);
    assert_eq!(exported("big", Container::Archive).await, ErrorKind::Exists);
    std::fs::create_dir(at.join("empty")).unwrap();
    assert_eq!(exported("empty", Container::Archive).await, ErrorKind::Exists);

    let layer = images[0].chain.layers().last().unwrap().digest;
    let path = world.path_of(&layer).await;
    let mut octets = std::fs::read(&path).unwrap();
    octets[20] ^= 1;
    std::fs::write(&path, octets).unwrap();
    let before = std::fs::read_dir(at).unwrap().count();
    for container in [Container::Directory, Container::Archive] {
        assert!(matches!(exported("new", container).await, ErrorKind::Refused(_)), "{container:?}");
    }
    assert_eq!(std::fs::read_dir(at).unwrap().count(), before);
    assert_eq!(world.count("images_leases").await, 0);
    let unknown = oci.export(&"nobody".parse().unwrap(), at.join("new"), Container::Directory).await;
    assert_eq!(unknown.unwrap_err().kind(), &ErrorKind::NotFound);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn on(&self, event: Event<'_>) {
        let text = match event {
            Event::Planned { blobs, .. } => format!("planned {blobs}"),
            Event::Advanced { .. } => return,
            Event::Present { .. } => "present".to_owned(),
            Event::Finished { .. } => "finished".to_owned(),
            Event::Done => "done".to_owned(),
            _ => "other".to_owned(),
        };
        self.0.lock().unwrap().push(text);
    }
}

#[tokio::test]
async fn what_is_there_is_not_copied_again() {
    let sample = Sample::new();
    let world = World::new(&TestDatabase::sqlite()).await;
    let heard = Arc::new(Heard::default());
    let oci = Oci::new(world.node().await).with_progress(Arc::clone(&heard) as Arc<dyn Progress>);
    let count = |word: &str| heard.0.lock().unwrap().iter().filter(|heard| *heard == word).count();
    oci.import(&sample.layout, &Import::tagged("base")).await.unwrap();
    assert_eq!((count("planned 1"), count("finished"), count("present"), count("done")), (1, 1, 0, 1));
    oci.import(&sample.layout, &Import::tagged("app")).await.unwrap();
    assert_eq!((count("planned 4"), count("finished"), count("present"), count("done")), (1, 4, 1, 2));
    let files = world.files().len();
    oci.import(&sample.layout, &Import::tagged("app")).await.unwrap();
    assert_eq!((count("finished"), count("present"), world.files().len()), (4, 5, files));
}

#[tokio::test]
async fn imports_at_once_agree() {
    let sample = Sample::new();
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut running = Vec::new();
        for at in 0..3 {
            let node = world.images.join_with(&format!("node-{at}"), Heartbeat::Host).await.unwrap();
            let layout = sample.layout.clone();
            running.push(tokio::spawn(async move {
                let name = Import::all().named(&format!("all-{at}"));
                Oci::new(node).import(&layout, &name).await.map(|images| images[0].digest)
            }));
        }
        let mut digests = Vec::new();
        for import in running {
            digests.push(import.await.unwrap().unwrap());
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]));
        assert_eq!((world.count("images").await, world.count("images_intents").await), (5, 0));
        world
            .images
            .collect("test", &CollectOptions { full: true, ..CollectOptions::default() })
            .await
            .unwrap();
        let blobs = usize::try_from(world.count("images_blobs").await).unwrap();
        assert_eq!(world.files().len(), blobs);
    })
    .await;
}

#[tokio::test]
async fn an_import_that_is_dropped_leaves_nothing() {
    let sample = Sample::new();
    let world = World::new(&TestDatabase::sqlite()).await;
    let import = Import::tagged("base");
    // One node for all of it: what a cancelled import leaves may not wait for the end of a server.
    let node = world.images.join_with("node", Heartbeat::Host).await.unwrap();
    let oci = Oci::new(node.clone());
    let mut dropped = 0;
    loop {
        match at_most_polls(2 * dropped, oci.import(&sample.layout, &import)).await {
            Polled::Ready(imported) => drop(imported.unwrap()),
            Polled::Dropped => dropped += 1,
        }
        if world.count("images").await > 0 {
            break;
        }
        // A file that a commit may have used goes with a collection. The commit itself may have been under way, and then it is
        // there a moment later.
        eventually("nothing is left, or all of it is there", async || {
            world.images.collect("test", &CollectOptions::default()).await.unwrap();
            let nothing = world.files().is_empty() && world.count("images_intents").await == 0;
            nothing || world.count("images").await > 0
        })
        .await;
    }
    assert!(dropped > 3, "{dropped}");
}

#[tokio::test]
async fn an_export_that_is_dropped_gives_its_lease_back() {
    let sample = Sample::new();
    let world = World::new(&TestDatabase::sqlite()).await;
    let node = world.images.join_with("node", Heartbeat::Host).await.unwrap();
    let oci = Oci::new(node.clone());
    oci.import(&sample.layout, &Import::tagged("base").named("base")).await.unwrap();
    let (image, out) = ("base".parse().unwrap(), tempfile::tempdir().unwrap());
    let mut dropped = 0;
    loop {
        let to = out.path().join(dropped.to_string());
        if let Polled::Ready(done) =
            at_most_polls(2 * dropped, oci.export(&image, to, Container::Directory)).await
        {
            done.unwrap();
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 3, "{dropped}");
    eventually("every lease was given back", async || world.count("images_leases").await == 0).await;
    assert!(node.is_live());
}

#[tokio::test]
async fn what_an_index_lists_is_kept_as_long_as_the_index() {
    let sample = Sample::new();
    for_each_database(async |database| {
        let world = World::with(database, |options| {
            options.policy.keep_unclaimed = Some(std::time::Duration::from_secs(1));
        })
        .await;
        let oci = Oci::new(world.node().await);
        let images = oci.import(&sample.layout, &Import::tagged("multi").named("multi")).await.unwrap();
        let (index, platforms) = images.split_first().unwrap();
        assert_eq!(platforms.len(), 2);
        let room = CollectOptions { evict: true, make_room_bytes: u64::MAX, ..CollectOptions::default() };
        let age = async || world.meddle("UPDATE images SET last_used_at = 1").await;
        age().await;
        assert_eq!(world.images.plan(&room).await.unwrap().evict, []);
        assert_eq!(world.images.collect("c", &room).await.unwrap().images_evicted, 0);
        for platform in platforms {
            let why = world.images.explain(&platform.id.into()).await.unwrap();
            let listed = |claim: &Claim| matches!(claim, Claim::Listed { image, .. } if *image == index.id);
            assert!(why.iter().any(listed), "{why:?}");
            let error = world.images.remove(&platform.id.into()).await.unwrap_err();
            assert_eq!(error.kind(), &StoreErrorKind::InUse);
        }
        let select = Select::Platform(Platform::new("linux", "arm64"));
        oci.choose(&"multi".parse().unwrap(), &select).await.unwrap();
        // Without its name all of it goes, the index first.
        world.images.untag("multi").await.unwrap();
        let evicted = world.images.plan(&room).await.unwrap().evict;
        assert_eq!((evicted.len(), evicted[0].image), (3, index.id));
        assert_eq!(world.images.collect("c", &room).await.unwrap().images_evicted, 3);
        assert_eq!((world.count("images").await, world.files().len()), (0, 0));
    })
    .await;
}
