//! Publishing: what is durable, what is adopted, what is refused, what is left behind.

use std::io::Cursor;

use mainstay_images::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, bring, commit, digest, put, spec};

#[tokio::test]
async fn an_image_is_published_and_read_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta one", "delta two"]).await;
        assert_eq!(image.chain.depth(), 3);
        assert_eq!(image.size_bytes, 4 + 9 + 9);
        assert_eq!(image.chain_id, Some(image.digest));
        assert_eq!(world.images.image(&image.id.into()).await.unwrap(), image);
        assert_eq!(world.images.chain_sizes(image.id).await.unwrap(), [4, 9, 9]);
        assert_eq!(world.count("images_intents").await, 0);
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 22);
        let files = world.images.locate(image.id).await.unwrap();
        for (file, text) in files.iter().zip(["base", "delta one", "delta two"]) {
            assert_eq!(std::fs::read_to_string(world.directory.path().join(&file.path)).unwrap(), text);
        }
        assert_eq!(world.files().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_same_again_is_adopted_and_gives_the_stored_rows() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let first = world.publish(&node, &["base", "delta"]).await;
        let ingest = node.ingest();
        assert!(put(&ingest, BlobKind::Base, "base").await && put(&ingest, BlobKind::Delta, "delta").await);
        let mut again = NewImage::chain(vec![digest("base"), digest("delta")]);
        again.label = Some("another label".into());
        let second = commit(&ingest, again).await;
        assert_eq!((second.id, second.label, second.created_at), (first.id, None, first.created_at));
        assert_eq!(world.files().len(), 2);
        assert_eq!(world.count("images_layers").await, 2);
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 9);
    })
    .await;
}

#[tokio::test]
async fn a_stream_whose_digest_is_not_known_is_named_by_what_it_holds() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let staged = ingest.put(spec(BlobKind::Base), Cursor::new(b"disk".to_vec())).await.unwrap();
        assert_eq!((staged.digest, staged.size_bytes, staged.adopted), (digest("disk"), 4, false));
        commit(&ingest, NewImage::chain(vec![staged.digest])).await;
        let mut writer = node.ingest().writer(spec(BlobKind::Base)).await.unwrap();
        writer.write("di").await.unwrap();
        writer.write("sk").await.unwrap();
        assert!(writer.finish().await.unwrap().adopted);
        assert_eq!(world.files().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn other_octets_than_were_told_are_refused_and_nothing_stays() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        for (told, size, came) in
            [("right", 5, "wrong"), ("right", 4, "right"), ("right", 6, "right"), ("right", 5, "righ")]
        {
            let spec = WriterSpec::known(digest(told), size, BlobKind::Base, "t/t");
            let error = ingest.put(spec, Cursor::new(came.to_owned().into_bytes())).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Corrupt, "{came} {size}");
        }
        ingest.abort().await.unwrap();
        assert_eq!(world.files(), [""; 0]);
        assert_eq!(world.count("images_intents").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_landed_without_an_image_is_found_by_the_next_ingest() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        bring(&ingest, &["base"]).await;
        ingest.land().await.unwrap();
        ingest.land().await.unwrap();
        ingest.abort().await.unwrap();
        assert_eq!(world.count("images_intents").await, 0);
        let ingest = node.ingest();
        assert!(put(&ingest, BlobKind::Base, "base").await);
        commit(&ingest, NewImage::chain(vec![digest("base")])).await;
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 4);
    })
    .await;
}

#[tokio::test]
async fn two_that_publish_the_same_at_once_share_one_file() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let (one, two) = (node.ingest(), node.ingest());
        bring(&one, &["base"]).await;
        bring(&two, &["base"]).await;
        assert_eq!(world.files().len(), 2);
        let first = commit(&one, NewImage::chain(vec![digest("base")])).await;
        let second = commit(&two, NewImage::chain(vec![digest("base")])).await;
        assert_eq!(first.id, second.id);
        assert_eq!(world.files().len(), 1);
        assert!(world.path_of(&digest("base")).await.exists());
        assert_eq!(world.number("SELECT bytes AS n FROM images_store").await, 4);
    })
    .await;
}

/// An ingest, a lease and a collection can be used from a task on any thread; that this compiles is the test.
#[tokio::test]
async fn what_is_awaited_can_be_sent() {
    let world = World::new(&mainstay_testkit::TestDatabase::sqlite()).await;
    let node = world.node().await;
    let task = async move {
        let ingest = node.ingest();
        let staged = ingest.put(spec(BlobKind::Base), Cursor::new(b"base".to_vec())).await?;
        ingest.land().await?;
        let set = CommitSet { images: vec![NewImage::chain(vec![staged.digest])], ..CommitSet::default() };
        let image = ingest.commit(set).await?.images.remove(0);
        node.with_image("vm", image.id, async |held| held.confirm().await).await??;
        node.images().collect("c", &CollectOptions::default()).await?;
        node.images().scrub(&ScrubOptions::default()).await?;
        node.leave().await
    };
    tokio::spawn(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn names_move_only_as_expected() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let base = world.publish(&node, &["base"]).await;
        let name = world.images.tag(&base.digest.into(), "app:1").await.unwrap();
        assert_eq!((name.image, name.version), (base.id, 1));
        let taken = world.images.fork(&base.digest.into(), "app:1").await.unwrap_err();
        assert_eq!(taken.kind(), &ErrorKind::Conflict);
        let fork = world.images.fork(&base.digest.into(), "mine").await.unwrap();
        assert_eq!(fork.forked_from, Some(base.digest));

        let ingest = node.ingest();
        put(&ingest, BlobKind::Delta, "change").await;
        let derive = Derive {
            parent: base.id,
            delta: digest("change"),
            label: None,
            name: Some(("mine".into(), RefExpect::Version(fork.version))),
            guard: None,
        };
        let made = ingest.derive(derive.clone()).await.unwrap();
        assert_eq!(made.images[0].parent, Some(base.id));
        assert_eq!((made.refs[0].image, made.refs[0].version), (made.images[0].id, 2));
        assert_eq!(world.images.children(base.id).await.unwrap(), made.images);
        assert_eq!(world.images.parents(made.images[0].id).await.unwrap()[0].id, base.id);

        // The version was read before the move: nothing is made.
        let ingest = node.ingest();
        put(&ingest, BlobKind::Delta, "another").await;
        let late = ingest.derive(Derive { delta: digest("another"), ..derive }).await.unwrap_err();
        assert_eq!(late.kind(), &ErrorKind::Conflict);
        assert_eq!(world.count("images").await, 2);
        ingest.abort().await.unwrap();

        let gone = world.images.untag("mine").await.unwrap();
        assert_eq!(gone.version, 2);
        assert_eq!(world.images.untag("mine").await.unwrap_err().kind(), &ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn what_is_expected_is_announced_at_once_and_found_later() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.policy.max_bytes = Some(20)).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let ingest = node.ingest();
        let (base, delta) = ((digest("base"), 4), (digest("delta"), 5));
        ingest.expect(&[base, delta, delta]).await.unwrap();
        assert_eq!(world.count("images_intents").await, 2);
        ingest.expect(&[base, delta]).await.unwrap();
        assert!(put(&ingest, BlobKind::Base, "base").await, "the store has it");
        assert!(!put(&ingest, BlobKind::Delta, "delta").await);
        assert_eq!(world.count("images_intents").await, 2, "no other was needed");
        let made = commit(&ingest, NewImage::chain(vec![base.0, delta.0])).await;
        assert_eq!((made.chain.depth(), world.count("images_intents").await), (2, 0));

        // All must fit together; none is written then.
        let ingest = node.ingest();
        let more = |text: &str| (digest(text), 6);
        let error = ingest.expect(&[more("one"), more("two")]).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NoSpace, "{error}");
        ingest.expect(&[more("one")]).await.unwrap();
        ingest.abort().await.unwrap();
        assert_eq!(world.count("images_intents").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_another_published_since_it_was_announced_is_found_and_not_brought_again() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.policy.max_bytes = Some(27)).await;
        let node = world.node().await;
        let ingest = node.ingest();
        let (base, delta) = ((digest("base"), 4), (digest("delta"), 5));
        ingest.expect(&[base, delta]).await.unwrap();
        assert!(!ingest.has(&base.0, base.1).await.unwrap() && !ingest.has(&delta.0, delta.1).await.unwrap());
        world.publish(&node, &["base", "delta"]).await;
        assert_eq!(ingest.has(&base.0, 3).await.unwrap_err().kind(), &ErrorKind::Corrupt);
        assert!(ingest.has(&base.0, base.1).await.unwrap());
        assert_eq!(
            world.number("SELECT CAST(SUM(size) AS bigint) AS n FROM images_intents").await,
            5,
            "it needs no room"
        );
        // A row without a file is no reason to leave it out: a new file takes its place.
        std::fs::remove_file(world.path_of(&delta.0).await).unwrap();
        assert!(!ingest.has(&delta.0, delta.1).await.unwrap());
        assert!(!put(&ingest, BlobKind::Delta, "delta").await);
        assert!(ingest.has(&delta.0, delta.1).await.unwrap());
        commit(&ingest, NewImage::chain(vec![base.0, delta.0])).await;
        assert_eq!((world.files().len(), world.count("images_intents").await), (2, 0));
        assert_eq!(std::fs::read_to_string(world.path_of(&delta.0).await).unwrap(), "delta");

        // What was announced and published keeps its file from a collection, as what is adopted does.
        let ingest = node.ingest();
        let late = (digest("late"), 4);
        ingest.expect(&[late]).await.unwrap();
        let image = world.publish(&node, &["late"]).await;
        assert!(ingest.has(&late.0, late.1).await.unwrap());
        world.images.remove(&image.id.into()).await.unwrap();
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        commit(&ingest, NewImage::chain(vec![late.0])).await;
        world.path_of(&late.0).await.metadata().unwrap();
        // Of a holder that is gone nothing is kept, and it is told.
        let ingest = node.ingest();
        ingest.expect(&[(digest("gone"), 4)]).await.unwrap();
        world.publish(&world.node().await, &["gone"]).await;
        assert!(ingest.has(&digest("gone"), 4).await.unwrap_err().is_stale());
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_an_image_never_changes() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let attached = async |text: &str| {
            let ingest = node.ingest();
            bring(&ingest, &["base"]).await;
            put(&ingest, BlobKind::Document, text).await;
            let attachments = vec![("note".to_owned(), digest(text))];
            let image = NewImage { attachments, ..NewImage::chain(vec![digest("base")]) };
            ingest.commit(CommitSet { images: vec![image], ..CommitSet::default() }).await
        };
        let first = attached("one").await.unwrap().images.remove(0);
        assert_eq!(attached("one").await.unwrap().images.remove(0).id, first.id, "the same again");
        let error = attached("other").await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
        assert!(error.message().contains("\"note\""), "{error}");
        let kept = world.images.attachments(first.id).await.unwrap();
        assert_eq!(kept.iter().map(|it| it.digest).collect::<Vec<_>>(), [digest("one")]);
    })
    .await;
}
