//! What whoever looks after a store is told, and what it mends by itself.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_images::*;
use mainstay_repo::Dialect;
use mainstay_testkit::for_each_database;

use crate::support::{EndsBefore, Meddling, World, digest};

/// A process that ends in the middle of a collection.
#[derive(Debug)]
struct EndsAtSweep;

#[async_trait]
impl Steps for EndsAtSweep {
    async fn before(&self, step: Step) -> Result<()> {
        if step == Step::SweepList {
            // So that the turn is not given back, as it would be by a process that goes on.
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_collector_that_was_killed_on_this_machine_does_not_keep_others_waiting() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let images = world.reopened(|options| options.steps = Arc::new(EndsAtSweep)).await;
        let collecting =
            tokio::spawn(async move { images.collect("killed", &CollectOptions::default()).await });
        mainstay_testkit::eventually("it is the collector", async || {
            world.number("SELECT COUNT(holder) AS n FROM images_collector").await == 1
        })
        .await;
        // It stands still: one that is dropped gives its turn back.
        let collect = async || world.images.collect("other", &CollectOptions::default()).await;
        // Its process is this one, and lives.
        assert_eq!(*collect().await.unwrap_err().kind(), ErrorKind::Conflict);
        // A process that never was, elsewhere: nothing is known of it.
        world.meddle("UPDATE images_collector SET process = '4194305 1'").await;
        world.meddle("UPDATE images_collector SET place = 'elsewhere ' || place").await;
        assert_eq!(*collect().await.unwrap_err().kind(), ErrorKind::Conflict);
        // Here it is gone; but collecting that is off stays off, whoever is gone.
        world.meddle("UPDATE images_collector SET place = substr(place, 11)").await;
        world.images.pause_collecting(std::time::Duration::from_secs(60)).await.unwrap();
        assert_eq!(*collect().await.unwrap_err().kind(), ErrorKind::CollectingOff);
        world.meddle("UPDATE images_collector SET off_until = 0").await;
        collect().await.unwrap();
        assert_eq!(world.number("SELECT COUNT(process) AS n FROM images_collector").await, 0);
        collecting.abort();
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_a_program_of_before_took_is_not_ended_by_a_process_that_was_left_standing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let images = world.reopened(|options| options.steps = Arc::new(EndsAtSweep)).await;
        let collecting =
            tokio::spawn(async move { images.collect("killed", &CollectOptions::default()).await });
        mainstay_testkit::eventually("it is the collector", async || {
            world.number("SELECT COUNT(holder) AS n FROM images_collector").await == 1
        })
        .await;
        // It stands still: one that is dropped gives its turn back.
        world.meddle("UPDATE images_collector SET process = '4194305 1'").await;
        // What a program that knows of no processes writes when it is elected in the next minute.
        world.meddle("UPDATE images_collector SET holder = 'before', token = token + 1").await;
        let collect = async || world.images.collect("other", &CollectOptions::default()).await;
        let error = collect().await.unwrap_err();
        assert!(*error.kind() == ErrorKind::Conflict && error.message().contains("before"), "{error}");
        // Once its turn has run out, the next one's process belongs to the next one's turn.
        world.meddle("UPDATE images_collector SET until = 0").await;
        collect().await.unwrap();
        collecting.abort();
    })
    .await;
}

#[tokio::test]
async fn what_scrubs_find_is_remembered_with_what_became_of_it() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        assert!(world.images.scrubs(10).await.unwrap().is_empty());
        world.images.scrub(&ScrubOptions::default()).await.unwrap();
        std::fs::write(world.path_of(&digest("base")).await, "wrong").unwrap();
        std::fs::remove_file(world.path_of(&digest("delta")).await).unwrap();
        let part = ScrubOptions { most_blobs: Some(1), ..ScrubOptions::default() };
        let half = world.images.scrub(&part).await.unwrap();
        assert_eq!((half.ended_at, world.images.scrubs(10).await.unwrap().len()), (None, 1));
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        let passes = world.images.scrubs(10).await.unwrap();
        assert_eq!((passes.len(), &passes[0], passes[1].damaged), (2, &report, 0));
        assert_eq!((report.checked, report.damaged), (2, 2));

        let told = async || {
            let mut found = world.images.findings(None, 10).await.unwrap();
            found.sort_by_key(|finding| finding.digest != digest("base"));
            let told = |finding: &Finding| (finding.fault, finding.state, finding.size_bytes);
            [told(&found[0]), told(&found[1])]
        };
        let open = FindingState::Open;
        assert_eq!(told().await, [(Fault::Wrong, open, 4), (Fault::Missing, open, 5)]);
        world.publish(&node, &["base"]).await;
        assert_eq!(told().await, [(Fault::Wrong, FindingState::Repaired, 4), (Fault::Missing, open, 5)]);
        world.images.remove(&image.id.into()).await.unwrap();
        world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert_eq!(told().await[1].1, FindingState::Removed);
        let newest = world.images.findings(None, 1).await.unwrap().remove(0);
        assert_eq!(world.images.findings(Some(newest.id), 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_scrub_that_is_killed_counts_each_blob_once_when_it_goes_on() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let crash_points = [
            ("images.blob_damage", 1),
            ("images.blob_damage", 2),
            ("images.scrub_advance", 1),
            ("images.scrub_end", 1),
        ];
        for (statement, time) in crash_points {
            world.publish(&node, &["base", "delta", "other"]).await;
            std::fs::write(world.path_of(&digest("base")).await, "wrong").unwrap();
            std::fs::remove_file(world.path_of(&digest("delta")).await).unwrap();
            let killed = EndsBefore::new(statement, time);
            let images = world.meddled(database, killed.clone()).await;
            let anew = ScrubOptions { restart: true, ..ScrubOptions::default() };
            killed.run(async move { images.scrub(&anew).await }).await;
            let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
            let counted = (report.checked, report.damaged, report.bytes);
            assert_eq!(counted, (3, 2, 14), "{statement} {time}");
            assert!(report.ended_at.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn findings_and_passes_are_forgotten_beyond_their_limits() {
    let database = mainstay_testkit::TestDatabase::sqlite();
    let world = World::new(&database).await;
    let node = world.node().await;
    world.publish(&node, &["base"]).await;
    world
        .meddle(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000) \
             INSERT INTO images_findings (found_at, digest, inc, size, what) SELECT 0, zeroblob(32), 1, 1, 1 FROM n",
        )
        .await;
    world
        .meddle(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200) \
             INSERT INTO images_scrub_runs (started_at, ended_at, checked, bytes, damaged) SELECT 0, 0, 0, 0, 0 FROM n",
        )
        .await;
    std::fs::remove_file(world.path_of(&digest("base")).await).unwrap();
    world.images.scrub(&ScrubOptions::default()).await.unwrap();
    assert_eq!(world.count("images_findings").await, 10_000);
    assert_eq!(world.count("images_scrub_runs").await, 200);
    assert_eq!(world.images.findings(None, 1).await.unwrap()[0].digest, digest("base"));
    assert_eq!(world.images.scrubs(1).await.unwrap()[0].damaged, 1);
}

/// A database from an old backup beside a directory that went on: numbers are given again before anybody noticed.
#[tokio::test]
async fn a_file_is_never_replaced_by_one_whose_number_was_given_twice() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let kept = world.path_of(&digest("base")).await;
        for table in ["images_gc_queue", "images_layers", "images", "images_blobs", "images_intents"] {
            world.meddle(&format!("DELETE FROM {table}")).await;
        }
        let again = match world.repo.dialect() {
            Dialect::Sqlite => "DELETE FROM sqlite_sequence WHERE name = 'images_intents'",
            _ => "ALTER SEQUENCE images_intents_inc_seq RESTART",
        };
        world.meddle(again).await;
        let before = std::fs::metadata(&kept).unwrap().modified().unwrap();
        let ingest = node.ingest();
        let spec = WriterSpec::known(digest("base"), 4, BlobKind::Base, "t/t");
        let error = ingest.put(spec, &b"base"[..]).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Stale, "{error}");
        assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), before, "nothing was replaced");
        drop(ingest);

        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let other = world.path_of(&digest("base")).await;
        assert_ne!(other, kept);
        let off = world.images.collect("c", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(*off.kind(), ErrorKind::CollectingOff);
        world.meddle("UPDATE images_collector SET off_until = 0").await;
        let report = world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert!(report.orphans_removed >= 1 && !kept.exists() && other.exists(), "{report:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pass_that_another_began_anew_is_left_to_the_other() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["base", "delta"]).await;
        for statement in ["images.scrub_advance", "images.scrub_end"] {
            let anew =
                "UPDATE images_scrub SET started_at = started_at + 1, checked = 0, bytes = 0, cursor = NULL";
            let images = world.meddled(database, Meddling::new(&world, statement, anew)).await;
            let report =
                images.scrub(&ScrubOptions { restart: true, ..ScrubOptions::default() }).await.unwrap();
            assert_eq!((report.ended_at, report.checked, report.bytes), (None, 0, 0), "{statement}");
            assert!(world.images.scrubs(10).await.unwrap().is_empty(), "{statement}");
        }
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!((report.checked, world.images.scrubs(10).await.unwrap()), (2, vec![report]));
    })
    .await;
}

/// Whoever reads a pass by several calls begins it with the first, and no other whatever happens between two of them.
#[tokio::test]
async fn what_reads_a_pass_by_several_calls_stops_with_it() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["a", "b", "c"]).await;
        let one = ScrubOptions { most_blobs: Some(1), ..ScrubOptions::default() };
        let begun = world.images.scrub(&one).await.unwrap();
        let ours = ScrubOptions { pass: begun.started_at, ..one };
        assert_eq!(world.images.scrub(&ours).await.unwrap().checked, 2, "it goes on");
        // Another ends the pass.
        let ended = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!((ended.started_at, ended.checked, ended.ended_at.is_some()), (begun.started_at, 3, true));
        assert_eq!(world.images.scrub(&ours).await.unwrap(), ended);
        // Another begins one anew, and is at its first blob.
        let other = world.images.scrub(&ScrubOptions { restart: true, ..one }).await.unwrap();
        assert_eq!(world.images.scrub(&ours).await.unwrap(), other);
        assert_eq!(world.images.scrubs(10).await.unwrap(), [ended]);
    })
    .await;
}

#[tokio::test]
async fn a_list_tells_of_each_image_what_is_damaged_who_leases_it_and_its_names() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let whole = world.publish(&node, &["well"]).await;
        let (one, both) =
            (world.publish(&node, &["base"]).await, world.publish(&node, &["base", "delta"]).await);
        let asked = [whole.id, one.id, both.id];
        assert_eq!(world.images.damaged_count().await.unwrap(), 0);
        assert!(world.images.overview(&asked).await.unwrap().is_empty());
        for name in ["b", "a"] {
            world.images.tag(&one.id.into(), name).await.unwrap();
        }
        for key in ["1", "2"] {
            node.acquire(key, both.id).await.unwrap();
        }
        for lost in ["base", "delta"] {
            std::fs::remove_file(world.path_of(&digest(lost)).await).unwrap();
        }
        world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!(world.images.damaged_count().await.unwrap(), 2);
        let mut lost = vec![digest("base"), digest("delta")];
        lost.sort_unstable();
        let seen = world.images.overview(&asked).await.unwrap();
        let told = |image: ImageId| {
            let Overview { names, leases, damaged, .. } = seen[&image].clone();
            (names, leases, damaged)
        };
        assert_eq!((seen.len(), told(both.id)), (2, (vec![], 2, lost)));
        assert_eq!(told(one.id), (vec!["a".to_owned(), "b".to_owned()], 0, vec![digest("base")]));
        let many = vec![one.id; MAX_PAGE as usize + 1];
        assert_eq!(world.images.overview(&many[1..]).await.unwrap().len(), 1);
        let refused = world.images.overview(&many).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Invalid { field: "images" });
    })
    .await;
}

#[tokio::test]
async fn what_many_images_use_is_counted_and_explained_up_to_a_limit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let base = world.publish(&node, &["base"]).await;
        for at in 0..21 {
            world.publish(&node, &["base", &format!("delta {at}")]).await;
        }
        let users = async |most| world.images.layer_users(base.id, most).await.unwrap()[&digest("base")];
        assert_eq!((users(100).await, users(22).await, users(5).await), (22, 22, 5));
        // What attaches it uses it as well: an index has the layers of what it lists.
        let ingest = node.ingest();
        crate::support::bring(&ingest, &["list"]).await;
        crate::support::bring(&ingest, &["base"]).await;
        let attachments = vec![("blob".to_owned(), digest("base"))];
        let index = NewImage { attachments, ..NewImage::chain(vec![digest("list")]) };
        let index = crate::support::commit(&ingest, index).await;
        assert_eq!((users(100).await, users(5).await), (23, 5));
        world.images.remove(&index.id.into()).await.unwrap();
        let count = async |most| world.images.image_count(most).await.unwrap();
        assert_eq!((count(100).await, count(22).await, count(5).await), (22, 22, 5));
        let claims = world.images.explain_blob(&digest("base")).await.unwrap();
        let images = claims.iter().filter(|claim| matches!(claim, Claim::Image { .. })).count();
        assert_eq!((images, claims.last()), (20, Some(&Claim::Others { images: 2 })));
        assert_eq!(claims[20].to_string(), "2 more image(s) use it");
        let claims = world.images.explain_blob(&digest("delta 3")).await.unwrap();
        assert!(matches!(claims.as_slice(), [Claim::Image { .. }]), "{claims:?}");
    })
    .await;
}

#[tokio::test]
async fn only_what_no_image_uses_waits_for_its_time() {
    for_each_database(async |database| {
        let world =
            World::with(database, |options| options.grace = std::time::Duration::from_secs(3600)).await;
        let image = world.publish(&world.node().await, &["base", "delta"]).await;
        let collect = async || world.images.collect("c", &CollectOptions::default()).await.unwrap();
        assert!(world.count("images_gc_queue").await > 0, "what was just published is looked at again");
        assert_eq!(collect().await.waiting, 0);
        world.images.remove(&image.id.into()).await.unwrap();
        assert_eq!((collect().await.waiting, collect().await.blobs_removed), (2, 0));
    })
    .await;
}

/// The other resigns between the look at whether it may be replaced and the one at who it is.
#[tokio::test]
async fn a_collection_that_ends_this_moment_is_no_collector_without_a_name() {
    let database = mainstay_testkit::TestDatabase::sqlite();
    let world = World::new(&database).await;
    world.meddle("UPDATE images_collector SET holder = 'other', until = 9000000000000000").await;
    let resigns = "UPDATE images_collector SET holder = NULL";
    let images = world.meddled(&database, Meddling::new(&world, "images.collector_read", resigns)).await;
    let refused = images.collect("c", &CollectOptions::default()).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Conflict);
    assert!(refused.message().contains("ended this moment"), "{refused}");
    images.collect("c", &CollectOptions::default()).await.unwrap();
}

/// Notes which operations write.
#[derive(Clone, Default)]
struct Writes(Arc<std::sync::Mutex<Vec<String>>>);

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for Writes {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        if operation.action().writes() {
            self.0.lock().unwrap().push(operation.name().unwrap_or_default().to_owned());
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn who_opens_a_store_that_is_there_and_only_looks_writes_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.publish(&world.node().await, &["base"]).await;
        let writes = Writes::default();
        let images = world.meddled(database, writes.clone()).await;
        assert_eq!(images.images(None, 10).await.unwrap().len(), 1);
        assert_eq!(*writes.0.lock().unwrap(), [""; 0]);
        images.join_with("other", Heartbeat::Host).await.unwrap();
        assert_eq!(writes.0.lock().unwrap().len(), 1, "what writes is seen");
    })
    .await;
}
