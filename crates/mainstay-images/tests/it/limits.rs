//! Each limit, at it and one beyond.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome};
use mainstay_testkit::for_each_database;

use crate::support::{World, commit, digest, options, put};

#[tokio::test]
async fn a_chain_at_its_deepest_is_published_resolved_and_leased() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        put(&ingest, BlobKind::Layer, "same").await;
        // A blob may lie at several places.
        let deepest = commit(&ingest, NewImage::chain(vec![digest("same"); MAX_DEPTH])).await;
        assert_eq!(deepest.size_bytes, 4);
        assert_eq!(world.images.chain_sizes(deepest.id).await.unwrap(), [4; MAX_DEPTH]);
        node.acquire("vm", deepest.id).await.unwrap();
        let set = CommitSet {
            images: vec![NewImage::chain(vec![digest("same"); MAX_DEPTH + 1])],
            ..CommitSet::default()
        };
        let error = node.ingest().commit(set).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid { field: "layers" });
    })
    .await;
}

#[tokio::test]
async fn attachments_names_and_texts_at_their_limits() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        put(&ingest, BlobKind::Document, "manifest").await;
        let image = |count: usize| NewImage {
            digest: Some(digest("manifest")),
            kind: ImageKind::Artifact,
            media_type: "t/t".into(),
            layers: Vec::new(),
            attachments: (0..count).map(|n| (format!("{n:0255}"), digest("manifest"))).collect(),
            parent: None,
            label: Some("l".repeat(MAX_TEXT_BYTES)),
        };
        let too_many = CommitSet { images: vec![image(MAX_ATTACHMENTS + 1)], ..CommitSet::default() };
        let error = ingest.commit(too_many).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid { field: "attachments" });
        let stored = commit(&ingest, image(MAX_ATTACHMENTS)).await;
        assert_eq!(world.images.attachments(stored.id).await.unwrap().len(), MAX_ATTACHMENTS);
        let name = "n".repeat(MAX_NAME_BYTES);
        world.images.tag(&stored.id.into(), &name).await.unwrap();
        let error = world.images.tag(&stored.id.into(), &format!("{name}n")).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid { field: "name" });
        let key = "k".repeat(MAX_TEXT_BYTES);
        node.acquire(&key, stored.id).await.unwrap();
        let error = node.acquire(&format!("{key}k"), stored.id).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid { field: "key" });
    })
    .await;
}

#[tokio::test]
async fn what_is_no_media_type_is_refused_before_anything_is_written() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let longest = format!("{0}/{0}", "x".repeat(MAX_MEDIA_NAME_BYTES));
        let refused = &ErrorKind::Invalid { field: "media_type" };
        for wrong in ["a disk", "text/plain; charset=utf-8", "", &format!("{longest}x")] {
            let spec = WriterSpec::new(BlobKind::Base, wrong);
            assert_eq!(
                ingest.put(spec.clone(), &b"base"[..]).await.unwrap_err().kind(),
                refused,
                "{wrong:?}"
            );
            assert_eq!(ingest.writer(spec).await.unwrap_err().kind(), refused, "{wrong:?}");
        }
        assert_eq!((world.files().len(), world.count("images_intents").await), (0, 0));
        ingest.put(WriterSpec::new(BlobKind::Base, longest.clone()), &b"base"[..]).await.unwrap();
        let image = |media_type: String| NewImage { media_type, ..NewImage::chain(vec![digest("base")]) };
        let set = CommitSet { images: vec![image(format!("x{longest}"))], ..CommitSet::default() };
        assert_eq!(ingest.commit(set).await.unwrap_err().kind(), refused);
        assert_eq!(commit(&ingest, image(longest.clone())).await.media_type, longest);
        assert_eq!(world.images.blob(&digest("base")).await.unwrap().media_type, longest);
    })
    .await;
}

#[tokio::test]
async fn the_quota_is_met_exactly_and_not_by_one_octet_more() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.policy.max_bytes = Some(8)).await;
        let node = world.node().await;
        let (one, two) = (node.ingest(), node.ingest());
        assert!(!one.has(&digest("12345"), 5).await.unwrap());
        // What is only intended counts already.
        assert_eq!(two.has(&digest("9876"), 4).await.unwrap_err().kind(), &ErrorKind::NoSpace);
        assert!(!two.has(&digest("987"), 3).await.unwrap());
        put(&one, BlobKind::Base, "12345").await;
        let last = put(&two, BlobKind::Base, "987");
        assert!(!last.await);
        commit(&one, NewImage::chain(vec![digest("12345")])).await;
        commit(&two, NewImage::chain(vec![digest("987")])).await;
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 8);
    })
    .await;
}

#[tokio::test]
async fn the_floor_is_kept_before_anything_is_written() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let free = world.images.space().await.unwrap().free_bytes;
        let strict = world.reopened(|options| options.policy.min_free_bytes = free * 2).await;
        let node = strict.join_with("node", Heartbeat::Host).await.unwrap();
        let error = node.ingest().has(&digest("x"), 1).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NoSpace);
        assert_eq!(world.count("images_intents").await, 0);
        let few = world.reopened(|options| options.policy.min_free_inodes = u64::MAX).await;
        let node = few.join_with("node", Heartbeat::Host).await.unwrap();
        assert_eq!(node.ingest().has(&digest("x"), 1).await.unwrap_err().kind(), &ErrorKind::NoSpace);
    })
    .await;
}

#[tokio::test]
async fn past_collections_are_remembered_up_to_a_limit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world
            .meddle(
                "INSERT INTO images_gc_runs (holder, started_at, ended_at, report) \
                 SELECT 'c', 1, 1, '{}' FROM (SELECT 1 UNION ALL SELECT 2) a, \
                 (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) b, \
                 (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) c, \
                 (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) d",
            )
            .await;
        assert_eq!(world.images.collections(MAX_PAGE).await.unwrap().len(), 250);
        world.images.collect("c", &CollectOptions { skip_sweep: true, ..Default::default() }).await.unwrap();
        assert_eq!(world.images.collections(MAX_PAGE).await.unwrap().len(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_scrub_goes_on_from_where_it_was_left() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["a", "b", "c", "d", "e"]).await;
        let two = ScrubOptions { most_blobs: Some(2), ..ScrubOptions::default() };
        for checked in [2, 4, 5] {
            let report = world.images.scrub(&two).await.unwrap();
            assert_eq!(report.checked, checked);
            assert_eq!(report.ended_at.is_some(), checked == 5);
        }
        assert_eq!(world.images.scrub_report().await.unwrap().bytes, 5);
        assert_eq!(world.images.scrub(&two).await.unwrap().checked, 2, "a new pass");
        let anew = ScrubOptions { restart: true, ..ScrubOptions::default() };
        assert_eq!(world.images.scrub(&anew).await.unwrap().checked, 5);
    })
    .await;
}

/// How many statements of a name each transaction holds that holds any.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<BTreeMap<&'static str, Vec<usize>>>>);

#[async_trait]
impl Middleware for Sizes {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        for name in ["images.intent_insert", "images.blob_land"] {
            let count = operation.statements().filter(|statement| statement.name() == Some(name)).count();
            if count > 0 {
                self.0.lock().unwrap().entry(name).or_default().push(count);
            }
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn many_blobs_are_announced_and_recorded_in_transactions_of_a_size() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let sizes = Sizes::default();
        let repo = database.options().with(sizes.clone()).connect().await.unwrap();
        let files = Arc::new(files::DiskFiles::new(world.directory.path()));
        let images = Images::open(repo, files, options()).await.unwrap();
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        // At the limit of one transaction of rows, and one more; so many times that of announcements, and one more.
        for (store, count) in [("a", 500), ("b", 501)] {
            let ingest = node.ingest();
            let texts: Vec<String> = (0..count).map(|at| format!("{store}{at}")).collect();
            let blobs: Vec<_> = texts.iter().map(|text| (digest(text), text.len() as u64)).collect();
            ingest.expect(&blobs).await.unwrap();
            for text in &texts {
                put(&ingest, BlobKind::Base, text).await;
            }
            commit(&ingest, NewImage::chain(vec![digest(&texts[0])])).await;
            let seen = std::mem::take(&mut *sizes.0.lock().unwrap());
            let full = |most: usize| [vec![most; count / most], vec![count % most]].concat();
            let wanted = |most| full(most).into_iter().filter(|size| *size > 0).collect::<Vec<_>>();
            assert_eq!(seen["images.intent_insert"], wanted(250));
            assert_eq!(seen["images.blob_land"], wanted(500));
        }
        assert_eq!((world.count("images_blobs").await, world.count("images_intents").await), (1_001, 0));
    })
    .await;
}

#[tokio::test]
async fn a_marker_is_at_most_256_octets_long() {
    let database = mainstay_testkit::TestDatabase::sqlite();
    let world = World::new(&database).await;
    let marker = world.directory.path().join("mainstay-images");
    let id = std::fs::read_to_string(&marker).unwrap();
    std::fs::write(&marker, format!("{id:<256}")).unwrap();
    world.images.probe().await.unwrap();
    std::fs::write(&marker, format!("{id:<257}")).unwrap();
    let error = world.images.probe().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Medium);
    assert!(error.message().contains("longer than 256 octets"), "{error}");
}
