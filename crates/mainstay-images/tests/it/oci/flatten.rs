//! One disk of all layers: what `umoci` unpacks is what is in it, and it is the same wherever it is made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mainstay_images::ImageRef;
use mainstay_images::oci::flatten::{Flatten, Ownership};
use mainstay_images::oci::refusal::{EntryRefusal, Limit};
use mainstay_images::oci::{ErrorKind, Import, Limits, Oci, Refusal};
use mainstay_testkit::TestDatabase;
use tar::EntryType;

use super::handmade::{Handmade, entry, file, layer};
use super::tools::{Sample, assert_same, run, skopeo};
use crate::support::World;

fn extract(at: &Path, image: &str, to: &str) {
    run(at, "fsck.erofs", &[&format!("--extract={to}"), image]);
}

#[tokio::test]
async fn the_disk_holds_what_umoci_unpacks() {
    let sample = Sample::new();
    let at = sample.at();
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let app: ImageRef = "app".parse().unwrap();
    let made = oci.flatten(&app, at.join("app.erofs"), &Flatten::default()).await.unwrap();
    assert_eq!(made.size, std::fs::metadata(at.join("app.erofs")).unwrap().len());

    run(at, "umoci", &["unpack", "--rootless", "--image", "L:app", "expected"]);
    extract(at, "app.erofs", "found");
    assert_same(&at.join("expected/rootfs"), &at.join("found"));
    let mode = std::fs::metadata(at.join("found/bin/tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert!(!at.join("found/etc/motd").exists() && at.join("found/etc/issue").exists());
    assert_eq!(std::fs::read(at.join("found/etc/old/c")).unwrap(), b"fresh");
    assert!(!at.join("found/etc/old/a").exists());

    // From another store, and from layers in another compression: the same disk.
    let zstd = ["copy", "--dest-compress", "--dest-compress-format", "zstd", "oci:L:app", "oci:Z:app"];
    skopeo(at, &zstd);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(at.join("Z"), &Import::only().named("app")).await.unwrap();
    let again = oci.flatten(&app, at.join("again.erofs"), &Flatten::default()).await.unwrap();
    assert_eq!(made, again);
    let exists = oci.flatten(&app, at.join("again.erofs"), &Flatten::default()).await.unwrap_err();
    assert_eq!(exists.kind(), &ErrorKind::Exists);
    assert_eq!(world.count("images_leases").await, 0);
}

/// An access list that everything inherits that is made below a directory.
fn inherit_access_list(directory: &Path) {
    let entry = |tag: u16, rights: u16, id: u32| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let (nobody, user) = (u32::MAX, 1234);
    let entries = [
        entry(1, 7, nobody),
        entry(2, 4, user),
        entry(4, 5, nobody),
        entry(0x10, 7, nobody),
        entry(0x20, 5, nobody),
    ];
    let list = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    rustix::fs::setxattr(directory, "system.posix_acl_default", &list, rustix::fs::XattrFlags::empty())
        .unwrap();
}

#[tokio::test]
async fn what_the_machine_gives_all_files_does_not_come_into_the_disk() {
    let mut made = Handmade::new();
    made.image(&[layer(|tar| {
        entry(tar, EntryType::Directory, "d", "", b"");
        file(tar, "d/f", b"content");
    })]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(made.layout(), &Import::only().named("app")).await.unwrap();
    let at = made.directory.path();
    let (plain, labelled) = (at.join("plain"), at.join("labelled"));
    for directory in [&plain, &labelled] {
        std::fs::create_dir(directory).unwrap();
    }
    inherit_access_list(&labelled);
    let mut options = Flatten::default();
    let mut digests = Vec::new();
    for scratch in [plain, labelled] {
        options.scratch = Some(scratch.clone());
        let to = scratch.join("app.erofs");
        digests.push(oci.flatten(&"app".parse().unwrap(), to, &options).await.unwrap().digest);
    }
    assert_eq!(digests[0], digests[1]);
    // Where they cannot be taken away, the program that makes the disk is told to leave them out.
    let told = at.join("told");
    let script = at.join("mkfs");
    std::fs::write(&script, format!("#!/bin/sh\necho \"$@\" > {}\nexit 1\n", told.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    options.program = script;
    oci.flatten(&"app".parse().unwrap(), at.join("none.erofs"), &options).await.unwrap_err();
    assert!(std::fs::read_to_string(told).unwrap().contains(" -x-1 "));
}

#[tokio::test]
async fn the_memory_for_a_tree_ends_at_its_limit() {
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "d/name", b"content"))]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(made.layout(), &Import::only().named("app")).await.unwrap();
    let flatten = async |tree: u64| {
        let mut limits = Limits::default();
        limits.tree = tree;
        let to = made.directory.path().join(format!("{tree}.erofs"));
        oci.clone().with_limits(limits).flatten(&"app".parse().unwrap(), to, &Flatten::default()).await
    };
    // One entry, six octets of path, one directory on it.
    let needed = 256 + 6 + 24;
    flatten(needed).await.unwrap();
    let limit = Refusal::Limit { what: Limit::Tree, limit: needed - 1 };
    assert_eq!(flatten(needed - 1).await.unwrap_err().refusal(), Some(&limit));
}

#[tokio::test]
async fn links_of_a_layer_do_not_lead_out_while_it_is_flattened() {
    let mut made = Handmade::new();
    let outside = made.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let lower = layer(|tar| {
        entry(tar, EntryType::Directory, "d", "", b"");
        entry(tar, EntryType::Symlink, "out", target, b"");
        entry(tar, EntryType::Symlink, "up", "../../../../d", b"");
        file(tar, "f", b"file");
    });
    let upper = layer(|tar| {
        file(tar, "out/escaped", b"x");
        file(tar, "up/inside", b"y");
        entry(tar, EntryType::Link, "g", "f", b"");
        entry(tar, EntryType::Fifo, "pipe", "", b"");
    });
    made.image(&[lower, upper]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(made.layout(), &Import::only().named("app")).await.unwrap();
    let at = made.directory.path();
    oci.flatten(&"app".parse().unwrap(), at.join("app.erofs"), &Flatten::default()).await.unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "it was written through a link");
    extract(at, "app.erofs", "found");
    let found = at.join("found");
    // Below the image's own root, where the link leads there.
    assert_eq!(std::fs::read(found.join(target.trim_start_matches('/')).join("escaped")).unwrap(), b"x");
    assert_eq!(std::fs::read(found.join("d/inside")).unwrap(), b"y");
    assert_eq!(std::fs::read(found.join("g")).unwrap(), b"file");
    assert_eq!(std::fs::read_link(found.join("up")).unwrap(), Path::new("../../../../d"));
}

#[tokio::test]
async fn what_cannot_be_flattened_is_refused_and_leaves_nothing() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let node = world.node().await;
    let oci = Oci::new(node.clone());
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"file")), layer(|tar| file(tar, "a/b", b"below a file"))]);
    oci.import(made.layout(), &Import::only().named("app")).await.unwrap();
    let (at, app): (_, ImageRef) = (made.directory.path(), "app".parse().unwrap());
    let scratch = at.join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let mut options = Flatten::default();
    options.scratch = Some(scratch.clone());
    let error = oci.flatten(&app, at.join("app.erofs"), &options).await.unwrap_err();
    let expected = Refusal::Entry { path: "a/b".to_owned(), why: EntryRefusal::ParentNotDirectory };
    assert_eq!(error.refusal(), Some(&expected));

    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"file"))]);
    oci.import(made.layout(), &Import::only().named("good")).await.unwrap();
    let good: ImageRef = "good".parse().unwrap();
    for (program, expected) in [("no-such-mkfs", ErrorKind::MissingTool), ("false", ErrorKind::Tool)] {
        options.program = program.into();
        let error = oci.flatten(&good, at.join("app.erofs"), &options).await.unwrap_err();
        assert_eq!(error.kind(), &expected, "{error}");
    }
    let before = std::fs::read_dir(at).unwrap().count();
    assert_eq!((before, std::fs::read_dir(&scratch).unwrap().count()), (2, 0));

    let sample = Sample::new();
    let images = oci.import(&sample.layout, &Import::all().named("all")).await.unwrap();
    let error =
        oci.flatten(&images[0].digest.into(), at.join("app.erofs"), &Flatten::default()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    let chain = world.publish(&node, &["raw disk"]).await;
    let raw = oci.flatten(&chain.digest.into(), at.join("app.erofs"), &Flatten::default()).await.unwrap_err();
    assert_eq!(raw.kind(), &ErrorKind::Invalid);
}

#[tokio::test]
async fn owners_are_kept_where_that_is_allowed() {
    let mut made = Handmade::new();
    let owned = layer(|tar| {
        let mut header = tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_mode(0o4750);
        header.set_uid(1234);
        header.set_gid(5678);
        header.set_size(4);
        header.set_mtime(0);
        header.set_cksum();
        tar.append(&header, &b"file"[..]).unwrap();
    });
    made.image(&[owned]);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(made.layout(), &Import::only().named("app")).await.unwrap();
    let at = made.directory.path();
    let mut options = Flatten::default();
    options.ownership = Ownership::Keep;
    let flattened = oci.flatten(&"app".parse().unwrap(), at.join("app.erofs"), &options).await;
    if run(at, "id", &["-u"]).trim() != "0" {
        assert_eq!(flattened.unwrap_err().kind(), &ErrorKind::NeedsPrivilege);
        return;
    }
    flattened.unwrap();
    let told = run(at, "dump.erofs", &["--path=/a", "app.erofs"]);
    assert!(told.contains("Uid: 1234   Gid: 5678"), "{told}");
    // The program does not show the set-user-id bit, so it is read where the format has it: the inode's second field.
    let number = told.split("NID: ").nth(1).unwrap().split_whitespace().next().unwrap();
    let image = std::fs::read(at.join("app.erofs")).unwrap();
    let start = u32::from_le_bytes(image[1024 + 40..1024 + 44].try_into().unwrap());
    let inode = start as usize * 4096 + number.parse::<usize>().unwrap() * 32;
    let mode = u16::from_le_bytes([image[inode + 4], image[inode + 5]]);
    assert_eq!(mode, 0o10_4750);
}
