//! Images that nobody should take: each is refused for its own reason, and leaves nothing in the store.

use std::path::Path;

use mainstay_images::Digest;
use mainstay_images::oci::document::Descriptor;
use mainstay_images::oci::limits::{MAX_LAYERS, RATIO_FLOOR};
use mainstay_images::oci::refusal::{ArchiveRefusal, EntryRefusal, Limit};
use mainstay_images::oci::{Import, Limits, Oci, Refusal, media};
use mainstay_testkit::TestDatabase;
use serde_json::json;
use tar::EntryType;

use super::handmade::{Handmade, entry, file, gzip, layer, replace};
use crate::support::World;

struct Shop {
    world: World,
    oci: Oci,
}

impl Shop {
    async fn new() -> Self {
        let world = World::new(&TestDatabase::sqlite()).await;
        let oci = Oci::new(world.node().await);
        Self { world, oci }
    }

    async fn accepts(&self, layout: &Path) {
        self.oci.import(layout, &Import::only()).await.unwrap();
    }

    async fn refuses(&self, layout: &Path, expected: &Refusal) {
        self.refuses_with(&self.oci, layout, |found| found == expected, &format!("{expected:?}")).await;
    }

    async fn refuses_with(&self, oci: &Oci, layout: &Path, is_it: impl Fn(&Refusal) -> bool, what: &str) {
        let error = oci.import(layout, &Import::only()).await.expect_err(what);
        let found = error.refusal().unwrap_or_else(|| panic!("{what}: {error:?}"));
        assert!(is_it(found), "{what}: {found:?}");
        assert_eq!(self.world.files(), Vec::<String>::new(), "{what}");
        for table in ["images_blobs", "images_intents", "images"] {
            assert_eq!(self.world.count(table).await, 0, "{what}: {table}");
        }
    }

    async fn refuses_entry(
        &self,
        path: &str,
        why: EntryRefusal,
        build: impl FnOnce(&mut tar::Builder<Vec<u8>>),
    ) {
        let mut made = Handmade::new();
        made.image(&[layer(build)]);
        let expected = Refusal::Entry { path: path.to_owned(), why };
        self.refuses(&made.layout(), &expected).await;
    }
}

#[tokio::test]
async fn layers_with_hostile_entries_are_refused() {
    let shop = Shop::new().await;
    let traversal = EntryRefusal::Traversal;
    shop.refuses_entry("../escape", traversal, |tar| file(tar, "../escape", b"x")).await;
    shop.refuses_entry("a/../../b", traversal, |tar| file(tar, "a/../../b", b"x")).await;
    shop.refuses_entry("/etc/passwd", EntryRefusal::Absolute, |tar| file(tar, "/etc/passwd", b"x")).await;
    shop.refuses_entry("l", EntryRefusal::LinkTarget, |tar| {
        entry(tar, EntryType::Link, "l", "../../etc/passwd", b"")
    })
    .await;
    shop.refuses_entry("l", EntryRefusal::LinkTarget, |tar| {
        entry(tar, EntryType::Link, "l", "/etc/passwd", b"")
    })
    .await;
    for kind in [EntryType::Block, EntryType::Char] {
        shop.refuses_entry("sda", EntryRefusal::Device, |tar| entry(tar, kind, "sda", "", b"")).await;
    }
    shop.refuses_entry("./a", EntryRefusal::Duplicate, |tar| {
        file(tar, "a", b"one");
        file(tar, "./a", b"two");
    })
    .await;
    shop.refuses_entry("a/.wh..", EntryRefusal::Whiteout, |tar| file(tar, "a/.wh..", b"")).await;
}

#[tokio::test]
async fn a_large_layer_that_is_good_goes_with_the_one_that_is_refused() {
    let shop = Shop::new().await;
    let mut random = mainstay_testkit::Random::seeded(3);
    let large: Vec<u8> = (0..256 * 1024).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "large", &large)), layer(|tar| file(tar, "../escape", b"x"))]);
    let expected = Refusal::Entry { path: "../escape".to_owned(), why: EntryRefusal::Traversal };
    shop.refuses(&made.layout(), &expected).await;
}

#[tokio::test]
async fn layers_that_are_not_what_they_promise_are_refused() {
    let shop = Shop::new().await;
    let honest = layer(|tar| file(tar, "a", b"content"));
    let id = Digest::of(&honest);

    let mut made = Handmade::new();
    let stored = made.add(media::LAYER_GZIP, &gzip(&honest));
    let promised = Digest::of(b"something else");
    made.image_of(&[(stored.clone(), promised)]);
    shop.refuses(&made.layout(), &Refusal::DiffId { expected: promised, found: id }).await;

    // The right size, other octets.
    let mut made = Handmade::new();
    let layers = made.image(std::slice::from_ref(&honest));
    let mut changed = honest.clone();
    changed[512] ^= 1;
    replace(&made.path(&layers[0].digest.0), &changed);
    shop.refuses(&made.layout(), &Refusal::DiffId { expected: id, found: Digest::of(&changed) }).await;

    // Compressed, and damaged where the decoder sees nothing wrong.
    let mut made = Handmade::new();
    let mut octets = gzip(&honest);
    let stored = made.add(media::LAYER_GZIP, &octets);
    made.image_of(&[(stored.clone(), id)]);
    octets[4] ^= 1;
    replace(&made.path(&stored.digest.0), &octets);
    shop.refuses(&made.layout(), &Refusal::WrongContent { expected: stored.digest.0 }).await;

    for (length, what) in [(honest.len() - 1, "shorter"), (honest.len() + 1, "longer")] {
        let mut made = Handmade::new();
        let layers = made.image(std::slice::from_ref(&honest));
        let mut changed = honest.clone();
        changed.resize(length, 0);
        replace(&made.path(&layers[0].digest.0), &changed);
        let (digest, expected, found) = (layers[0].digest.0, honest.len() as u64, length as u64);
        shop.refuses_with(
            &shop.oci,
            &made.layout(),
            |refusal| *refusal == Refusal::SizeMismatch { digest, expected, found },
            what,
        )
        .await;
    }

    let mut made = Handmade::new();
    let cut = gzip(&honest);
    let cut = made.add(media::LAYER_GZIP, &cut[..cut.len() - 4]);
    made.image_of(&[(cut, id)]);
    let is_it = |refusal: &Refusal| matches!(refusal, Refusal::Compression { .. });
    shop.refuses_with(&shop.oci, &made.layout(), is_it, "a layer that is cut off").await;

    let mut made = Handmade::new();
    let cut_off = honest[..515].to_vec();
    made.image(&[cut_off]);
    shop.refuses(&made.layout(), &Refusal::Archive { why: ArchiveRefusal::CutOff }).await;
}

#[tokio::test]
async fn bombs_are_refused_before_they_fill_anything() {
    let shop = Shop::new().await;
    let zeros = usize::try_from(2 * RATIO_FLOOR).unwrap();
    let bomb = layer(|tar| file(tar, "zeros", &vec![0; zeros]));
    let id = Digest::of(&bomb);
    let mut made = Handmade::new();
    let stored = made.add(media::LAYER_ZSTD, &zstd::encode_all(&bomb[..], 19).unwrap());
    assert!(stored.size * 1_100 < RATIO_FLOOR, "{} octets are no bomb", stored.size);
    made.image_of(&[(stored, id)]);
    let by_ratio = |refusal: &Refusal| matches!(refusal, Refusal::Limit { what: Limit::Ratio, .. });
    shop.refuses_with(&shop.oci, &made.layout(), by_ratio, "a bomb").await;

    let mut limits = Limits::default();
    limits.layer = 1024;
    let strict = shop.oci.clone().with_limits(limits);
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", &[7; 1024]))]);
    let by_size = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Layer, limit: 1024 };
    shop.refuses_with(&strict, &made.layout(), by_size, "a large layer").await;

    let mut limits = Limits::default();
    limits.layer_entries = 3;
    let strict = shop.oci.clone().with_limits(limits);
    let entries = |count: usize| layer(|tar| (0..count).for_each(|at| file(tar, &at.to_string(), b"")));
    let mut made = Handmade::new();
    made.image(&[entries(4)]);
    let by_count = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Entries, limit: 3 };
    shop.refuses_with(&strict, &made.layout(), by_count, "many entries").await;
    let mut made = Handmade::new();
    made.image(&[entries(3)]);
    strict.import(made.layout(), &Import::only()).await.unwrap();
}

#[tokio::test]
async fn documents_that_lie_are_refused() {
    let shop = Shop::new().await;
    let base = layer(|tar| file(tar, "a", b"content"));

    let mut made = Handmade::new();
    made.image(std::slice::from_ref(&base));
    let listed = made.entries[0].clone();
    made.entries = vec![Descriptor::new(media::MANIFEST, listed.digest.0, listed.size + 1)];
    made.list();
    let (digest, expected, found) = (listed.digest.0, listed.size + 1, listed.size);
    shop.refuses(&made.layout(), &Refusal::SizeMismatch { digest, expected, found }).await;

    let mut made = Handmade::new();
    made.entries = vec![made.add(media::MANIFEST, b"{")];
    made.list();
    let malformed = |refusal: &Refusal| matches!(refusal, Refusal::Document { what: "manifest", .. });
    shop.refuses_with(&shop.oci, &made.layout(), malformed, "no JSON").await;

    let mut made = Handmade::new();
    let both = json!({"manifests": [], "config": {}, "layers": []});
    made.entries = vec![made.add_json(media::INDEX, &both)];
    made.list();
    shop.refuses_with(&shop.oci, &made.layout(), malformed, "an index that is a manifest").await;

    let mut made = Handmade::new();
    let mut nested = made.add_json(media::INDEX, &json!({"manifests": []}));
    for _ in 0..4 {
        nested = made.add_json(media::INDEX, &json!({"manifests": [nested]}));
    }
    made.entries = vec![nested];
    made.list();
    shop.refuses(&made.layout(), &Refusal::Limit { what: Limit::IndexDepth, limit: 4 }).await;

    let mut made = Handmade::new();
    let index = format!("{{\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    made.entries = vec![made.add(media::INDEX, index.as_bytes())];
    made.list();
    shop.refuses(&made.layout(), &Refusal::Limit { what: Limit::Document, limit: 4 * 1024 * 1024 }).await;

    let layers =
        |count: usize| (0..count).map(|at| layer(|tar| file(tar, &at.to_string(), b""))).collect::<Vec<_>>();
    let mut made = Handmade::new();
    made.image(&layers(MAX_LAYERS + 1));
    shop.refuses(&made.layout(), &Refusal::TooManyLayers { found: MAX_LAYERS + 1 }).await;
    let mut made = Handmade::new();
    made.image(&layers(MAX_LAYERS));
    shop.accepts(&made.layout()).await;
}

#[tokio::test]
async fn what_is_no_layout_is_refused() {
    let shop = Shop::new().await;
    let no_layout = |refusal: &Refusal| matches!(refusal, Refusal::NotALayout { .. });
    let made = Handmade::new();
    std::fs::remove_file(made.layout().join("oci-layout")).unwrap();
    shop.refuses_with(&shop.oci, &made.layout(), no_layout, "no marker").await;
    replace(&made.layout().join("oci-layout"), br#"{"imageLayoutVersion":"2.0.0"}"#);
    shop.refuses_with(&shop.oci, &made.layout(), no_layout, "version 2").await;
    let empty = Handmade::new();
    shop.refuses(&empty.layout(), &Refusal::Ambiguous { name: "any name".to_owned(), found: 0 }).await;

    // Content of the layout lies behind a link that leads out.
    let mut made = Handmade::new();
    let layers = made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let path = made.path(&layers[0].digest.0);
    let outside = made.directory.path().join("outside");
    std::fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    shop.refuses_with(&shop.oci, &made.layout(), no_layout, "a link").await;

    // A pipe would never end.
    std::fs::remove_file(&path).unwrap();
    super::tools::run(made.directory.path(), "mkfifo", &[path.to_str().unwrap()]);
    shop.refuses_with(&shop.oci, &made.layout(), no_layout, "a pipe").await;
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    let shop = Shop::new().await;
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let entry_refused = |path: &str, why| Refusal::Entry { path: path.to_owned(), why };

    let archive = made.archive(|tar| file(tar, "../escape", b"x"));
    shop.refuses(&archive, &entry_refused("../escape", EntryRefusal::Traversal)).await;
    let archive = made.archive(|tar| file(tar, "index.json", b"{}"));
    shop.refuses(&archive, &entry_refused("index.json", EntryRefusal::Duplicate)).await;
    for kind in [EntryType::Link, EntryType::Symlink] {
        let archive = made.archive(|tar| entry(tar, kind, "blobs/sha256/x", "/etc/passwd", b""));
        shop.refuses(&archive, &entry_refused("blobs/sha256/x", EntryRefusal::Link)).await;
    }
    let archive = made.archive(|tar| entry(tar, EntryType::Char, "null", "", b""));
    shop.refuses(&archive, &entry_refused("null", EntryRefusal::Device)).await;

    let archive = made.archive(|_| {});
    let whole = std::fs::read(&archive).unwrap();
    replace(&archive, &whole[..whole.len() - 1024 - 700]);
    shop.refuses(&archive, &Refusal::Archive { why: ArchiveRefusal::CutOff }).await;
    replace(&archive, &gzip(&whole));
    shop.refuses(&archive, &Refusal::Archive { why: ArchiveRefusal::Checksum }).await;
    replace(&archive, &whole);
    shop.accepts(&archive).await;
}
