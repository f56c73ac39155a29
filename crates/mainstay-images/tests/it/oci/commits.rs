//! Layers laid on images: what is committed here, the field's own programs take.

use std::fs::File;
use std::path::Path;

use mainstay_images::oci::limits::RATIO_FLOOR;
use mainstay_images::oci::refusal::{EntryRefusal, Limit};
use mainstay_images::oci::{
    Commit, Container, ErrorKind, Import, LayerContent, Oci, Platform, Refusal, flatten::Flatten,
};
use mainstay_images::{
    BlobKind, CollectOptions, Derive, ErrorKind as StoreErrorKind, ImageKind, ImageRef, RefExpect, WriterSpec,
};
use mainstay_testkit::{TestDatabase, for_each_database};

use super::handmade::{entry, layer};
use super::tools::{Sample, assert_same, blob, read_json, run, skopeo};
use crate::support::World;

fn archive(path: &Path) -> LayerContent {
    LayerContent::Archive(Box::new(File::open(path).unwrap()))
}

/// A directory that changes `app`: a file more, one replaced, one taken away.
fn change(at: &Path) -> std::path::PathBuf {
    let directory = at.join("change");
    for sub in ["etc", "srv/data"] {
        std::fs::create_dir_all(directory.join(sub)).unwrap();
    }
    std::fs::write(directory.join("srv/data/new"), "new").unwrap();
    std::fs::write(directory.join("etc/issue"), "changed").unwrap();
    std::fs::write(directory.join("etc/.wh.new"), "").unwrap();
    directory
}

#[tokio::test]
async fn import_fork_commit_export_gives_what_skopeo_and_umoci_take() {
    let sample = Sample::new();
    let at = sample.at();
    let directory = change(at);
    for_each_database(async |database| {
        let world = World::new(database).await;
        let oci = Oci::new(world.node().await);
        oci.import(&sample.layout, &Import::tagged("app").named("team/app:1")).await.unwrap();
        let parent = world.images.image(&"team/app:1".parse().unwrap()).await.unwrap();
        let fork = world.images.fork(&parent.digest.into(), "team/mine:1").await.unwrap();
        let commit = || {
            let content = LayerContent::Directory(directory.clone());
            Commit::over("team/mine:1".parse().unwrap(), content)
                .named("team/mine:1", RefExpect::Version(fork.version))
                .base_name("registry.example/team/app:1".parse().unwrap())
                .created("2026-01-02T03:04:05Z".parse().unwrap())
                .created_by("a hand")
                .author("A. Person")
                .comment("why")
        };
        let made = oci.commit(commit()).await.unwrap();
        assert_eq!((made.kind, made.parent, made.chain.depth()), (ImageKind::Chain, Some(parent.id), 5));
        assert_eq!(world.images.reference("team/mine:1").await.unwrap().image, made.id);
        assert_eq!(world.images.reference("team/app:1").await.unwrap().image, parent.id);

        let out = tempfile::tempdir_in(at).unwrap();
        let name: ImageRef = "team/mine:1".parse().unwrap();
        oci.export(&name, out.path().join("out"), Container::Directory).await.unwrap();
        oci.export(&name, out.path().join("out.tar"), Container::Archive).await.unwrap();
        for image in ["oci:out:1", "oci-archive:out.tar:1"] {
            let told: serde_json::Value =
                serde_json::from_str(&skopeo(out.path(), &["inspect", image])).unwrap();
            assert_eq!(told["Digest"], format!("sha256:{}", made.digest), "{image}");
            assert_eq!(told["Layers"].as_array().unwrap().len(), 5);
            assert_eq!(told["Created"], "2026-01-02T03:04:05Z");
        }
        let raw = skopeo(out.path(), &["inspect", "--raw", "oci:out:1"]);
        let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
        let base = &manifest["annotations"]["org.opencontainers.image.base.digest"];
        assert_eq!(base, &format!("sha256:{}", parent.digest));
        assert_eq!(
            manifest["annotations"]["org.opencontainers.image.base.name"],
            "registry.example/team/app:1"
        );
        let config: serde_json::Value =
            serde_json::from_str(&skopeo(out.path(), &["inspect", "--config", "oci:out:1"])).unwrap();
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/sh"]), "the parent's words stay");
        let last = config["history"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["created_by"], &last["author"], &last["comment"]),
            (&"a hand".into(), &"A. Person".into(), &"why".into())
        );

        // umoci unpacks the parent's tree with the change in it.
        run(at, "umoci", &["unpack", "--rootless", "--image", "L:app", "expected"]);
        let expected = at.join("expected/rootfs");
        std::fs::write(expected.join("etc/issue"), "changed").unwrap();
        std::fs::remove_dir_all(expected.join("etc/new")).unwrap();
        std::fs::create_dir_all(expected.join("srv/data")).unwrap();
        std::fs::write(expected.join("srv/data/new"), "new").unwrap();
        run(out.path(), "umoci", &["unpack", "--rootless", "--image", "out:1", "found"]);
        assert_same(&expected, &out.path().join("found/rootfs"));
        std::fs::remove_dir_all(at.join("expected")).unwrap();

        // The same layer over the same parent is the same image; the name has moved on meanwhile.
        let moved = oci.commit(commit()).await.unwrap_err();
        assert_eq!(moved.kind(), &ErrorKind::Store);
        let again = Commit::over(parent.digest.into(), LayerContent::Directory(directory.clone()))
            .base_name("registry.example/team/app:1".parse().unwrap())
            .created("2026-01-02T03:04:05Z".parse().unwrap())
            .created_by("a hand")
            .author("A. Person")
            .comment("why");
        assert_eq!(oci.commit(again).await.unwrap().id, made.id);
        assert_eq!(world.count("images_leases").await + world.count("images_intents").await, 0);

        // What was exported comes back as the same image.
        let other = World::new(&TestDatabase::sqlite()).await;
        let images =
            Oci::new(other.node().await).import(out.path().join("out"), &Import::only()).await.unwrap();
        assert_eq!(images[0].digest, made.digest);
    })
    .await;
}

#[tokio::test]
async fn archives_of_every_compression_are_laid_on_nothing_and_on_each_other() {
    let sample = Sample::new();
    let at = sample.at();
    change(at);
    run(at, "tar", &["-C", "change", "-cf", "change.tar", "."]);
    run(at, "gzip", &["-nk", "change.tar"]);
    run(at, "zstd", &["-qk", "change.tar"]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let arm = Platform { variant: Some("v8".to_owned()), ..Platform::new("linux", "arm64") };
    let mut made =
        oci.commit(Commit::first(arm, archive(&at.join("change.tar"))).labelled("first")).await.unwrap();
    assert_eq!((made.parent, made.label.as_deref()), (None, Some("first")));
    for file in ["change.tar.gz", "change.tar.zst"] {
        made = oci.commit(Commit::over(made.id.into(), archive(&at.join(file)))).await.unwrap();
    }
    oci.export(&made.id.into(), at.join("out"), Container::Directory).await.unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(&skopeo(at, &["inspect", "--raw", "oci:out"])).unwrap();
    let types: Vec<&str> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap())
        .collect();
    let name = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(types, [name.to_owned(), format!("{name}+gzip"), format!("{name}+zstd")]);
    let config: serde_json::Value =
        serde_json::from_str(&skopeo(at, &["inspect", "--config", "oci:out"])).unwrap();
    assert_eq!((&config["architecture"], &config["variant"]), (&"arm64".into(), &"v8".into()));
    let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert!(ids.iter().all(|id| id == &ids[0]), "one content, however it is compressed: {ids:?}");
    // The kept octets are those that came.
    let gzip = mainstay_images::Digest::of(&std::fs::read(at.join("change.tar.gz")).unwrap());
    assert!(at.join("out/blobs/sha256").join(gzip.to_string()).exists());
}

#[tokio::test]
async fn a_parent_for_several_platforms_wants_a_choice() {
    let sample = Sample::new();
    let directory = change(sample.at());
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(&sample.layout, &Import::tagged("multi").named("multi")).await.unwrap();
    let multi: ImageRef = "multi".parse().unwrap();
    let commit = || Commit::over(multi.clone(), LayerContent::Directory(directory.clone()));
    let error = oci.commit(commit()).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Invalid && error.to_string().contains("choose one"), "{error}");
    let error = oci.commit(commit().platform(Platform::new("linux", "riscv64"))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::OtherPlatform);
    // Nor is an image alone taken for what it is not.
    let base: ImageRef = sample.listed("base").digest.0.into();
    let commit_alone = Commit::over(base, LayerContent::Directory(directory.clone()));
    let error = oci.commit(commit_alone.platform(Platform::new("plan9", "mips"))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::OtherPlatform);
    let made = oci.commit(commit().platform(Platform::new("linux", "arm64"))).await.unwrap();
    let parent = world.images.image(&made.parent.unwrap().into()).await.unwrap();
    assert_eq!(parent.digest, sample.listed("base").digest.0);
    assert_eq!(world.count("images_leases").await + world.count("images_intents").await, 0);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let sample = Sample::new();
    let at = sample.at();
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let parent = oci.import(&sample.layout, &Import::tagged("base").named("base")).await.unwrap().remove(0);
    let before = world.files();
    let device = layer(|tar| entry(tar, tar::EntryType::Char, "dev/null", "", b""));
    let over = |octets: Vec<u8>| {
        Commit::over(parent.id.into(), LayerContent::Archive(Box::new(std::io::Cursor::new(octets))))
    };
    let error = oci.commit(over(device)).await.unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::Entry { why: EntryRefusal::Device, .. })), "{error}");
    for broken in [b"no archive".to_vec(), vec![0x1f, 0x8b, 8, 0], vec![7; 1024]] {
        assert!(oci.commit(over(broken)).await.unwrap_err().refusal().is_some());
    }
    // As an import refuses it, although how long it is compressed is known only in the end.
    let zeros = usize::try_from(2 * RATIO_FLOOR).unwrap();
    let bomb = layer(|tar| entry(tar, tar::EntryType::Regular, "zeros", "", &vec![0; zeros]));
    let error = oci.commit(over(zstd::encode_all(&bomb[..], 19).unwrap())).await.unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::Limit { what: Limit::Ratio, .. })), "{error}");
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let failing = Commit::over(parent.id.into(), LayerContent::Archive(Box::new(Failing)));
    let error = oci.commit(failing).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Io(std::io::ErrorKind::PermissionDenied));
    let absent = Commit::over(parent.id.into(), LayerContent::Directory(at.join("absent")));
    assert_eq!(oci.commit(absent).await.unwrap_err().kind(), &ErrorKind::Io(std::io::ErrorKind::NotFound));
    let taken =
        Commit::over(parent.id.into(), LayerContent::Directory(change(at))).named("base", RefExpect::Absent);
    let error = oci.commit(taken).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<mainstay_images::Error>().unwrap();
    assert_eq!(*source.kind(), StoreErrorKind::Conflict);
    world.images.collect("c", &CollectOptions::default()).await.unwrap();
    assert_eq!(world.files(), before);
    assert_eq!(world.count("images_leases").await + world.count("images_intents").await, 0);
}

#[tokio::test]
async fn a_layer_derived_without_documents_gets_them_when_it_is_given_out() {
    let sample = Sample::new();
    let at = sample.at();
    change(at);
    run(at, "tar", &["-C", "change", "-czf", "change.tar.gz", "."]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let node = world.node().await;
    let oci = Oci::new(node.clone());
    let parent = oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap().remove(0);
    let ingest = node.ingest();
    let spec = WriterSpec::new(BlobKind::Layer, "application/vnd.oci.image.layer.v1.tar+gzip");
    let staged = ingest.put(spec, File::open(at.join("change.tar.gz")).unwrap()).await.unwrap();
    let name = Some(("mine".to_owned(), RefExpect::Any));
    let derive = Derive { parent: parent.id, delta: staged.digest, label: None, name, guard: None };
    ingest.derive(derive).await.unwrap();
    let mine: ImageRef = "mine".parse().unwrap();
    oci.export(&mine, at.join("one"), Container::Directory).await.unwrap();
    oci.export(&mine, at.join("two"), Container::Directory).await.unwrap();
    assert_same(&at.join("one"), &at.join("two"));
    run(at, "umoci", &["unpack", "--rootless", "--image", "one:mine", "found"]);
    assert_eq!(std::fs::read(at.join("found/rootfs/etc/issue")).unwrap(), b"changed");
    assert!(!at.join("found/rootfs/etc/new").exists());
    // A commit of the same layer over the same parent has the same documents.
    let made = oci.commit(Commit::over(parent.id.into(), archive(&at.join("change.tar.gz")))).await.unwrap();
    let index: serde_json::Value = read_json(&at.join("one/index.json"));
    assert_eq!(index["manifests"][0]["digest"], format!("sha256:{}", made.digest));
    oci.flatten(&mine, at.join("mine.erofs"), &Flatten::default()).await.unwrap();
    run(at, "fsck.erofs", &["--extract=disk", "mine.erofs"]);
    assert_same(&at.join("found/rootfs"), &at.join("disk"));
}

#[tokio::test]
async fn a_chain_of_disks_goes_out_as_an_artefact_and_comes_back_as_the_chain() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let node = world.node().await;
    let image = world.publish(&node, &["base", "delta", "more"]).await;
    let at = tempfile::tempdir().unwrap();
    let out = at.path().join("out");
    Oci::new(node).export(&image.id.into(), &out, Container::Directory).await.unwrap();
    skopeo(at.path(), &["inspect", "--raw", "oci:out"]);
    let index: serde_json::Value = read_json(&out.join("index.json"));
    let root: mainstay_images::oci::document::Descriptor =
        serde_json::from_value(index["manifests"][0].clone()).unwrap();
    let manifest: serde_json::Value = read_json(&blob(&out, &root));
    assert_eq!(manifest["artifactType"], "application/vnd.mainstay.image.chain");

    let other = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(other.node().await);
    let back = oci.import(&out, &Import::only()).await.unwrap().remove(0);
    assert_eq!((back.kind, &back.chain), (ImageKind::Chain, &image.chain));
    let again = at.path().join("again");
    oci.export(&back.id.into(), &again, Container::Directory).await.unwrap();
    assert_same(&out, &again);
    // A chain from the time when any text was taken for a media type.
    world.meddle("UPDATE images_blobs SET media_type = 'a disk'").await;
    let old = at.path().join("old");
    Oci::new(world.node().await).export(&image.id.into(), &old, Container::Directory).await.unwrap();
    assert_same(&out, &old);
    let error = oci
        .commit(Commit::over(back.id.into(), LayerContent::Directory(at.path().join("again"))))
        .await
        .unwrap_err();
    assert!(error.kind() == &ErrorKind::Invalid && error.to_string().contains("Ingest::derive"), "{error}");
}
