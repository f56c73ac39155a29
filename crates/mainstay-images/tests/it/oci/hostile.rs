//! Images that nobody should take: each is refused for its own reason, and leaves nothing in the store.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use mainstay_images::oci::document::Descriptor;
use mainstay_images::oci::limits::{
    MAX_ARCHIVE_ENTRIES, MAX_EXTENDED_HEADER, MAX_LAYERS, MAX_PATH, MAX_RATIO, MAX_ZSTD_WINDOW_LOG,
    RATIO_FLOOR,
};
use mainstay_images::oci::refusal::{ArchiveRefusal, EntryRefusal, Limit};
use mainstay_images::oci::{Container, Error, Import, Limits, Oci, Refusal, Select, media};
use mainstay_images::{
    BlobKind, CollectOptions, CommitSet, Digest, ErrorKind, ImageKind, NewImage, Node, WriterSpec,
};
use mainstay_testkit::{Random, TestDatabase, for_each_database};
use serde_json::json;
use tar::EntryType;

use super::handmade::{Handmade, entry, file, gzip, layer, replace};
use super::registry::options;
use super::server::reference;
use super::shelf::Shelf;
use crate::support::World;

/// The ways on which content comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Directory,
    Archive,
    Registry,
}

const EVERY_WAY: [Way; 3] = [Way::Directory, Way::Archive, Way::Registry];
/// A registry says of a tag neither digest nor size before it sends what that stands for.
const LAYOUTS: [Way; 2] = [Way::Directory, Way::Archive];

/// Blobs of this size and more are recorded by a pull before its end.
const LARGE: usize = 2 * 1024 * 1024;

struct Shop {
    world: World,
    oci: Oci,
}

impl Shop {
    /// A store that keeps what nothing uses for a while: what is gone here went because it was refused.
    async fn new() -> Self {
        let world =
            World::with(&TestDatabase::sqlite(), |options| options.grace = Duration::from_secs(600)).await;
        let oci = Oci::new(world.node().await);
        Self { world, oci }
    }

    async fn accepts(&self, layout: &Path) {
        self.oci.import(layout, &Import::only()).await.unwrap();
    }

    /// Refused on every way, for one reason.
    async fn refuses(&self, made: &Handmade, expected: &Refusal) {
        self.refuses_with(made, |found| found == expected, &format!("{expected:?}")).await;
    }

    async fn refuses_with(&self, made: &Handmade, is_it: impl Fn(&Refusal) -> bool, what: &str) {
        self.refuses_by(&self.oci, &EVERY_WAY, made, is_it, what).await;
    }

    async fn refuses_by(
        &self,
        oci: &Oci,
        ways: &[Way],
        made: &Handmade,
        is_it: impl Fn(&Refusal) -> bool,
        what: &str,
    ) {
        for way in ways {
            let outcome = match way {
                Way::Directory => oci.import(made.layout(), &Import::only()).await,
                Way::Archive => oci.import(made.archive(|_| {}), &Import::only()).await,
                Way::Registry => {
                    let shelf = Shelf::start(made.layout()).await;
                    let from = reference(shelf.address, "team/app:1");
                    oci.pull(&from, &Select::All, Some("pulled"), &options()).await
                }
            };
            let error = outcome.expect_err(what);
            self.refused(&error, &is_it, &format!("{what}, {way:?}")).await;
        }
    }

    /// Refused where it lies.
    async fn refuses_at(&self, layout: &Path, is_it: impl Fn(&Refusal) -> bool, what: &str) {
        let error = self.oci.import(layout, &Import::only()).await.expect_err(what);
        self.refused(&error, is_it, what).await;
    }

    async fn refuses_archive(&self, archive: &Path, expected: &Refusal) {
        self.refuses_at(archive, |found| found == expected, &format!("{expected:?}")).await;
    }

    async fn refused(&self, error: &Error, is_it: impl Fn(&Refusal) -> bool, what: &str) {
        let found = error.refusal().unwrap_or_else(|| panic!("{what}: {error:?}"));
        assert!(is_it(found), "{what}: {found:?}");
        if what.ends_with("Registry") {
            // What a pull recorded before its end waits for the next collection, and for no grace.
            self.world.images.collect("test", &CollectOptions::default()).await.unwrap();
        }
        assert_eq!(self.world.files(), Vec::<String>::new(), "{what}");
        for table in
            ["images_blobs", "images_intents", "images", "images_refs", "images_leases", "images_gc_queue"]
        {
            assert_eq!(self.world.count(table).await, 0, "{what}: {table}");
        }
        assert_eq!(self.world.number("SELECT bytes AS n FROM images_store").await, 0, "{what}");
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
        self.refuses(&made, &expected).await;
    }
}

/// Octets that do not compress.
fn noise(size: usize) -> Vec<u8> {
    let mut random = Random::seeded(11);
    (0..size / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect()
}

#[tokio::test]
async fn of_what_is_refused_no_large_blob_is_left() {
    let shop = Shop::new().await;
    // The good layers come before the bad one, or are there when it is found out; it is large itself, too.
    let good = |name: &str| layer(|tar| file(tar, name, &noise(LARGE)));
    let bad = |size: usize| {
        layer(|tar| {
            file(tar, "noise", &noise(size));
            file(tar, "../escape", b"x");
        })
    };
    for size in [0, LARGE] {
        let mut made = Handmade::new();
        made.image(&[good("a"), good("b"), good("c"), good("d"), bad(size)]);
        let expected = Refusal::Entry { path: "../escape".to_owned(), why: EntryRefusal::Traversal };
        shop.refuses(&made, &expected).await;
    }
    // A large blob with other octets than its name says.
    let mut made = Handmade::new();
    let layers = made.image(&[good("a"), good("b")]);
    let mut octets = good("b");
    octets[LARGE / 2] ^= 1;
    replace(&made.path(&layers[1].digest.0), &octets);
    let expected = Refusal::DiffId { expected: layers[1].digest.0, found: Digest::of(&octets) };
    shop.refuses(&made, &expected).await;
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
    shop.refuses(&made, &expected).await;
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
    shop.refuses(&made, &Refusal::DiffId { expected: promised, found: id }).await;

    // The right size, other octets.
    let mut made = Handmade::new();
    let layers = made.image(std::slice::from_ref(&honest));
    let mut changed = honest.clone();
    changed[512] ^= 1;
    replace(&made.path(&layers[0].digest.0), &changed);
    shop.refuses(&made, &Refusal::DiffId { expected: id, found: Digest::of(&changed) }).await;

    // Compressed, and damaged where the decoder sees nothing wrong.
    let mut made = Handmade::new();
    let mut octets = gzip(&honest);
    let stored = made.add(media::LAYER_GZIP, &octets);
    made.image_of(&[(stored.clone(), id)]);
    octets[4] ^= 1;
    replace(&made.path(&stored.digest.0), &octets);
    shop.refuses(&made, &Refusal::WrongContent { expected: stored.digest.0 }).await;

    for (length, what) in [(honest.len() - 1, "shorter"), (honest.len() + 1, "longer")] {
        let mut made = Handmade::new();
        let layers = made.image(std::slice::from_ref(&honest));
        let mut changed = honest.clone();
        changed.resize(length, 0);
        replace(&made.path(&layers[0].digest.0), &changed);
        let (digest, expected, found) = (layers[0].digest.0, honest.len() as u64, length as u64);
        shop.refuses_with(
            &made,
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
    shop.refuses_with(&made, is_it, "a layer that is cut off").await;

    let mut made = Handmade::new();
    let cut_off = honest[..515].to_vec();
    made.image(&[cut_off]);
    shop.refuses(&made, &Refusal::Archive { why: ArchiveRefusal::CutOff }).await;
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
    shop.refuses_with(&made, by_ratio, "a bomb").await;

    let mut limits = Limits::default();
    limits.layer = 1024;
    let strict = shop.oci.clone().with_limits(limits);
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", &[7; 1024]))]);
    let by_size = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Layer, limit: 1024 };
    shop.refuses_by(&strict, &EVERY_WAY, &made, by_size, "a large layer").await;

    let mut limits = Limits::default();
    limits.layer_entries = 3;
    let strict = shop.oci.clone().with_limits(limits);
    let entries = |count: usize| layer(|tar| (0..count).for_each(|at| file(tar, &at.to_string(), b"")));
    let mut made = Handmade::new();
    made.image(&[entries(4)]);
    let by_count = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Entries, limit: 3 };
    shop.refuses_by(&strict, &EVERY_WAY, &made, by_count, "many entries").await;
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
    let is_it = |refusal: &Refusal| *refusal == Refusal::SizeMismatch { digest, expected, found };
    shop.refuses_by(&shop.oci, &LAYOUTS, &made, is_it, "another size").await;

    let mut made = Handmade::new();
    made.entries = vec![made.add(media::MANIFEST, b"{")];
    made.list();
    let malformed = |refusal: &Refusal| matches!(refusal, Refusal::Document { what: "manifest", .. });
    shop.refuses_with(&made, malformed, "no JSON").await;

    let mut made = Handmade::new();
    let both = json!({"manifests": [], "config": {}, "layers": []});
    made.entries = vec![made.add_json(media::INDEX, &both)];
    made.list();
    shop.refuses_with(&made, malformed, "an index that is a manifest").await;

    let mut made = Handmade::new();
    let mut nested = made.add_json(media::INDEX, &json!({"manifests": []}));
    for _ in 0..4 {
        nested = made.add_json(media::INDEX, &json!({"manifests": [nested]}));
    }
    made.entries = vec![nested];
    made.list();
    shop.refuses(&made, &Refusal::Limit { what: Limit::IndexDepth, limit: 4 }).await;

    let mut made = Handmade::new();
    let index = format!("{{\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    made.entries = vec![made.add(media::INDEX, index.as_bytes())];
    made.list();
    let too_large = Refusal::Limit { what: Limit::Document, limit: 4 * 1024 * 1024 };
    shop.refuses_by(&shop.oci, &LAYOUTS, &made, |found| *found == too_large, "a large index").await;
    // Below another, a registry's has a size that is known before.
    let inner = made.entries[0].clone();
    made.entries = vec![made.add_json(media::INDEX, &json!({"manifests": [inner]}))];
    made.list();
    shop.refuses(&made, &too_large).await;

    let layers =
        |count: usize| (0..count).map(|at| layer(|tar| file(tar, &at.to_string(), b""))).collect::<Vec<_>>();
    let mut made = Handmade::new();
    made.image(&layers(MAX_LAYERS + 1));
    shop.refuses(&made, &Refusal::TooManyLayers { found: MAX_LAYERS + 1 }).await;
    let mut made = Handmade::new();
    made.image(&layers(MAX_LAYERS));
    shop.accepts(&made.layout()).await;
}

#[tokio::test]
async fn an_image_that_is_listed_as_something_else_is_refused_and_comes_in_from_who_lists_it_rightly() {
    let shop = Shop::new().await;
    let mut honest = Handmade::new();
    honest.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let manifest = honest.entries[0].clone();
    let index = honest.add_json(media::INDEX, &json!({"schemaVersion": 2, "manifests": [manifest]}));
    let octets = |listed: &Descriptor| std::fs::read(honest.path(&listed.digest.0)).unwrap();
    // Kept as what the list says, its digest would stand for something without layers from then on.
    let malformed = |refusal: &Refusal| matches!(refusal, Refusal::Document { what: "manifest", .. });
    for listed in [&manifest, &index] {
        for lie in ["application/x-other", "", media::LAYER, media::CONFIG] {
            let mut made = Handmade::new();
            let entry = made.add(lie, &octets(listed));
            made.entries = vec![made.add_json(media::INDEX, &json!({"manifests": [entry]}))];
            made.list();
            shop.refuses_with(&made, malformed, &format!("an image listed as {lie:?}")).await;
        }
    }
    shop.accepts(&honest.layout()).await;
}

#[tokio::test]
async fn what_was_kept_as_an_artefact_becomes_the_image_that_it_is() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (node, mut made) = (world.node().await, Handmade::new());
        made.image(&[layer(|tar| file(tar, "a", b"content"))]);
        let manifest = made.entries[0].digest.0;
        let octets = std::fs::read(made.path(&manifest)).unwrap();
        // As whoever lists it by another type would have it kept.
        let keep = async |more: Option<&[u8]>| {
            let ingest = node.ingest();
            let mut attachments = Vec::new();
            for (role, octets) in [("manifest", Some(&octets[..])), ("more", more)] {
                let Some(octets) = octets else { continue };
                let spec = WriterSpec::new(BlobKind::Document, "application/x");
                let staged = ingest.put(spec, std::io::Cursor::new(octets.to_vec())).await.unwrap();
                attachments.push((role.to_owned(), staged.digest));
            }
            let kind = ImageKind::Artifact;
            let image = NewImage { digest: Some(manifest), kind, attachments, ..NewImage::chain(Vec::new()) };
            let set = CommitSet { images: vec![image], refs: Vec::new(), guard: None };
            ingest.commit(set).await.unwrap().images.remove(0)
        };
        let oci = Oci::new(node.clone());
        // What has more than itself was understood by somebody.
        let understood = keep(Some(b"more")).await;
        let error = oci.import(made.layout(), &Import::only()).await.unwrap_err();
        assert!(error.to_string().contains("of another kind"), "{error}");
        world.images.remove(&understood.id.into()).await.unwrap();

        let kept = keep(None).await;
        assert_eq!(world.images.resolve_chain(kept.id).await.unwrap().depth(), 0);
        let image = oci.import(made.layout(), &Import::only().named("app")).await.unwrap().remove(0);
        assert_eq!(
            (image.id, image.kind, image.media_type.as_str()),
            (kept.id, ImageKind::Chain, media::MANIFEST)
        );
        assert_eq!(world.images.resolve_chain(kept.id).await.unwrap().depth(), 1);
        let out = made.directory.path().join("out");
        oci.export(&"app".parse().unwrap(), &out, Container::Directory).await.unwrap();
        super::tools::assert_same(&made.layout().join("blobs"), &out.join("blobs"));
        // The artefact does not come back.
        assert_eq!(keep_error(&world, &node, manifest).await, ErrorKind::Conflict);
    })
    .await;
}

/// What is said to who brings an image's document as an artefact.
async fn keep_error(world: &World, node: &Node, manifest: Digest) -> ErrorKind {
    let ingest = node.ingest();
    let size = world.images.blob(&manifest).await.unwrap().size_bytes;
    assert!(ingest.has(&manifest, size).await.unwrap());
    let attachments = vec![("manifest".to_owned(), manifest)];
    let kind = ImageKind::Artifact;
    let image = NewImage { digest: Some(manifest), kind, attachments, ..NewImage::chain(Vec::new()) };
    let set = CommitSet { images: vec![image], refs: Vec::new(), guard: None };
    ingest.commit(set).await.unwrap_err().kind().clone()
}

/// A document of the same size, with other octets and of the same form.
fn exchange(made: &Handmade, digest: &Digest) -> Refusal {
    let octets = std::fs::read(made.path(digest)).unwrap();
    // The last brace changes places with the space that every document of these ends in.
    let text = String::from_utf8(octets).unwrap();
    let inner = text.strip_suffix("} ").unwrap();
    let changed = format!("{inner} }}");
    replace(&made.path(digest), changed.as_bytes());
    Refusal::DigestMismatch { expected: *digest, found: Digest::of(changed.as_bytes()) }
}

#[tokio::test]
async fn documents_that_were_exchanged_are_refused() {
    let shop = Shop::new().await;
    let base = layer(|tar| file(tar, "a", b"content"));
    // Each reads well and names what is there: nothing but its digest tells.
    let mut made = Handmade::new();
    made.image(std::slice::from_ref(&base));
    let manifest = made.entries[0].clone();
    let config = made.config_of(&manifest);
    let inner = made.add_json(media::INDEX, &json!({"manifests": [manifest]}));
    made.entries = vec![made.add_json(media::INDEX, &json!({"manifests": [inner]}))];
    made.list();
    for digest in [manifest.digest.0, config.digest.0, inner.digest.0] {
        let honest = std::fs::read(made.path(&digest)).unwrap();
        let expected = exchange(&made, &digest);
        shop.refuses(&made, &expected).await;
        replace(&made.path(&digest), &honest);
    }
    // The list of a layout says what an image's digest is; a registry may say so of what it sends.
    let top = made.entries[0].digest.0;
    let expected = exchange(&made, &top);
    shop.refuses_by(&shop.oci, &LAYOUTS, &made, |found| *found == expected, "the top index").await;
}

#[tokio::test]
async fn a_registry_that_names_another_digest_than_what_it_sends_is_refused() {
    let shop = Shop::new().await;
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let top = made.entries[0].digest.0;
    let honest = std::fs::read(made.path(&top)).unwrap();
    let shelf = Shelf::start(made.layout()).await;
    let pull = async |rest: &str| {
        let from = reference(shelf.address, rest);
        shop.oci.pull(&from, &Select::All, Some("pulled"), &options()).await
    };
    let other = Digest::of(b"another");
    *shelf.says.lock().unwrap() = Some(format!("sha256:{other}"));
    let lies = Refusal::DigestMismatch { expected: other, found: top };
    shop.refused(&pull("team/app:1").await.unwrap_err(), |found| *found == lies, "the answer's header").await;
    // Who asks by digest believes no header.
    replace(&made.path(&other), &honest);
    let asked = pull(&format!("team/app@sha256:{other}")).await.unwrap_err();
    shop.refused(&asked, |found| *found == lies, "asked by digest").await;
    *shelf.says.lock().unwrap() = Some(format!("sha256:{top}"));
    assert_eq!(pull("team/app:1").await.unwrap()[0].digest, top);
}

#[tokio::test]
async fn layers_that_want_too_much_memory_are_refused() {
    let shop = Shop::new().await;
    // A gzip bomb cannot reach the ratio: deflate ends below it. What ends it is the size.
    let zeros = usize::try_from(2 * RATIO_FLOOR).unwrap();
    let bomb = layer(|tar| file(tar, "zeros", &vec![0; zeros]));
    let mut made = Handmade::new();
    let stored = made.add(media::LAYER_GZIP, &gzip(&bomb));
    assert!(stored.size * MAX_RATIO > 2 * RATIO_FLOOR, "deflate reaches the ratio");
    made.image_of(&[(stored, Digest::of(&bomb))]);
    let mut limits = Limits::default();
    limits.layer = RATIO_FLOOR;
    let strict = shop.oci.clone().with_limits(limits.clone());
    let by_size = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Layer, limit: RATIO_FLOOR };
    shop.refuses_by(&strict, &EVERY_WAY, &made, by_size, "a gzip bomb").await;
    limits.layer = 4 * RATIO_FLOOR;
    limits.ratio = 100;
    let strict = shop.oci.clone().with_limits(limits);
    let by_ratio = |refusal: &Refusal| *refusal == Refusal::Limit { what: Limit::Ratio, limit: 100 };
    shop.refuses_by(&strict, &EVERY_WAY, &made, by_ratio, "a gzip bomb by its ratio").await;

    // A frame that wants a window of 256 MiB for a few octets.
    let honest = layer(|tar| file(tar, "a", b"content"));
    let frame = |log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&honest).unwrap();
        encoder.finish().unwrap()
    };
    let mut made = Handmade::new();
    let stored = made.add(media::LAYER_ZSTD, &frame(MAX_ZSTD_WINDOW_LOG + 1));
    made.image_of(&[(stored, Digest::of(&honest))]);
    let is_it = |refusal: &Refusal| matches!(refusal, Refusal::Compression { .. });
    shop.refuses_with(&made, is_it, "a large window").await;

    // A name of 2 MiB, in each of the two forms, and attributes of that size.
    let long = "n".repeat(2 * 1024 * 1024);
    let record = format!("2097174 comment={long}{}\n", "n".repeat(2_097_174 - 2_097_152 - 17));
    assert_eq!(record.len(), 2_097_174);
    let too_long = Refusal::Limit { what: Limit::ExtendedHeader, limit: MAX_EXTENDED_HEADER };
    for (kind, content) in [
        (EntryType::GNULongName, long.as_bytes()),
        (EntryType::GNULongLink, long.as_bytes()),
        (EntryType::XHeader, record.as_bytes()),
        (EntryType::XGlobalHeader, record.as_bytes()),
    ] {
        let mut made = Handmade::new();
        made.image(&[layer(|tar| {
            entry(tar, kind, "long", "", content);
            file(tar, "a", b"x");
        })]);
        shop.refuses_with(&made, |found| *found == too_long, &format!("{kind:?}")).await;
    }
    // Within the limit of headers it is the path that is too long.
    let mut made = Handmade::new();
    made.image(&[layer(|tar| {
        entry(tar, EntryType::GNULongName, "long", "", &b"d/".repeat(MAX_PATH / 2 + 1));
        file(tar, "a", b"x");
    })]);
    let too_long = |found: &Refusal| matches!(found, Refusal::Entry { why: EntryRefusal::PathTooLong, .. });
    shop.refuses_with(&made, too_long, "a long path").await;
}

#[tokio::test]
async fn a_link_that_leads_out_is_kept_and_never_followed() {
    let shop = Shop::new().await;
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let through = |tar: &mut tar::Builder<Vec<u8>>| file(tar, "way/planted", b"x");
    let out = |tar: &mut tar::Builder<Vec<u8>>| entry(tar, EntryType::Symlink, "way", target, b"");
    // In one layer, in the next one, and up instead of from the root.
    let up = |tar: &mut tar::Builder<Vec<u8>>| entry(tar, EntryType::Symlink, "way", "../../..", b"");
    for layers in [
        vec![layer(|tar| {
            out(tar);
            through(tar);
        })],
        vec![layer(out), layer(through)],
        vec![layer(up), layer(through)],
    ] {
        let mut made = Handmade::new();
        made.image(&layers);
        let image = shop.oci.import(made.layout(), &Import::only()).await.unwrap().remove(0);
        // It is kept octet for octet, and no entry of it was ever a path of this machine.
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        let back = made.directory.path().join("back");
        shop.oci.export(&image.digest.into(), &back, Container::Directory).await.unwrap();
        super::tools::assert_same(&made.layout().join("blobs"), &back.join("blobs"));
    }
}

#[tokio::test]
async fn what_is_no_layout_is_refused() {
    let shop = Shop::new().await;
    let no_layout = |refusal: &Refusal| matches!(refusal, Refusal::NotALayout { .. });
    let made = Handmade::new();
    std::fs::remove_file(made.layout().join("oci-layout")).unwrap();
    shop.refuses_at(&made.layout(), no_layout, "no marker").await;
    let marker = |size: usize| format!("{:<size$}", r#"{"imageLayoutVersion":"1.0.0"}"#).into_bytes();
    replace(&made.layout().join("oci-layout"), &marker(4097));
    shop.refuses_at(&made.layout(), no_layout, "a marker that is too large").await;
    let mut honest = Handmade::new();
    honest.image(&[layer(|tar| file(tar, "a", b"content"))]);
    replace(&honest.layout().join("oci-layout"), &marker(4096));
    Shop::new().await.accepts(&honest.layout()).await;
    replace(&made.layout().join("oci-layout"), br#"{"imageLayoutVersion":"2.0.0"}"#);
    shop.refuses_at(&made.layout(), no_layout, "version 2").await;
    let empty = Handmade::new();
    let nothing = Refusal::Ambiguous { name: None, found: 0, listed: Vec::new() };
    shop.refuses_at(&empty.layout(), |found| *found == nothing, "an empty list").await;

    // Content of the layout lies behind a link that leads out.
    let mut made = Handmade::new();
    let layers = made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let path = made.path(&layers[0].digest.0);
    let outside = made.directory.path().join("outside");
    std::fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    shop.refuses_at(&made.layout(), no_layout, "a link").await;

    // A pipe would never end.
    std::fs::remove_file(&path).unwrap();
    super::tools::run(made.directory.path(), "mkfifo", &[path.to_str().unwrap()]);
    shop.refuses_at(&made.layout(), no_layout, "a pipe").await;
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    let shop = Shop::new().await;
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let entry_refused = |path: &str, why| Refusal::Entry { path: path.to_owned(), why };

    let archive = made.archive(|tar| file(tar, "../escape", b"x"));
    shop.refuses_archive(&archive, &entry_refused("../escape", EntryRefusal::Traversal)).await;
    let archive = made.archive(|tar| file(tar, "index.json", b"{}"));
    shop.refuses_archive(&archive, &entry_refused("index.json", EntryRefusal::Duplicate)).await;
    for kind in [EntryType::Link, EntryType::Symlink] {
        let archive = made.archive(|tar| entry(tar, kind, "blobs/sha256/x", "/etc/passwd", b""));
        shop.refuses_archive(&archive, &entry_refused("blobs/sha256/x", EntryRefusal::Link)).await;
    }
    let archive = made.archive(|tar| entry(tar, EntryType::Char, "null", "", b""));
    shop.refuses_archive(&archive, &entry_refused("null", EntryRefusal::Device)).await;

    let archive = made.archive(|_| {});
    let whole = std::fs::read(&archive).unwrap();
    replace(&archive, &whole[..whole.len() - 1024 - 700]);
    shop.refuses_archive(&archive, &Refusal::Archive { why: ArchiveRefusal::CutOff }).await;
    replace(&archive, &gzip(&whole));
    shop.refuses_archive(&archive, &Refusal::Archive { why: ArchiveRefusal::Checksum }).await;
    replace(&archive, &whole);
    shop.accepts(&archive).await;
}

#[tokio::test]
async fn an_archive_has_so_many_entries_and_no_more() {
    let shop = Shop::new().await;
    let mut made = Handmade::new();
    made.image(&[layer(|tar| file(tar, "a", b"content"))]);
    let own = std::fs::File::open(made.archive(|_| {})).unwrap();
    let own = tar::Archive::new(own).entries().unwrap().count();
    let most = usize::try_from(MAX_ARCHIVE_ENTRIES).unwrap();
    let filled = |more: usize| {
        move |tar: &mut tar::Builder<Vec<u8>>| {
            (0..more).for_each(|at| file(tar, &format!("filler/{at}"), b""));
        }
    };
    let archive = made.archive(filled(most - own + 1));
    let too_many = Refusal::Limit { what: Limit::Entries, limit: MAX_ARCHIVE_ENTRIES };
    shop.refuses_archive(&archive, &too_many).await;
    let archive = made.archive(filled(most - own));
    shop.accepts(&archive).await;
}
