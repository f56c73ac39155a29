//! Mistakes that image stores of the field made, each as a test that ours does not make it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_images::files::DiskFiles;
use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome, Param, Row, Value};
use mainstay_testkit::for_each_database;

use crate::plans::everything_before;
use crate::support::{World, bring, commit, digest, options, put};

async fn collect(world: &World) -> CollectReport {
    world.images.collect("collector", &CollectOptions::default()).await.unwrap()
}

#[tokio::test]
async fn d01_leases_are_not_decoration_and_damaged_layers_are_not_handed_out() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        node.acquire("vm", image.id).await.unwrap();
        assert_eq!(world.images.remove(&image.id.into()).await.unwrap_err().kind(), &ErrorKind::InUse);
        // Every collection takes away what ended.
        world.expire_all().await;
        assert_eq!(collect(&world).await.leases_reaped, 1);
        world.meddle("UPDATE images_blobs SET state = 2 WHERE kind = 0").await;
        assert_eq!(world.images.locate(image.id).await.unwrap_err().kind(), &ErrorKind::Incomplete);
    })
    .await;
}

#[tokio::test]
async fn d02_a_crash_between_the_file_and_its_row_leaks_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let ingest = node.ingest();
        bring(&ingest, &["never committed"]).await;
        let mut writer = node.ingest().writer(crate::support::spec(BlobKind::Base)).await.unwrap();
        writer.write("never finished").await.unwrap();
        assert_eq!(world.files().len(), 2);
        // The process is gone: it renews nothing and cleans nothing up.
        world.expire_all().await;
        assert_eq!(collect(&world).await.orphans_removed, 2);
        assert_eq!(world.files(), [""; 0]);
        drop((ingest, writer));
    })
    .await;
}

#[tokio::test]
async fn d03_a_publication_that_fails_does_not_take_the_file_of_one_that_succeeds() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let (failing, good) = (node.ingest(), node.ingest());
        bring(&failing, &["same"]).await;
        bring(&good, &["same"]).await;
        let image = commit(&good, NewImage::chain(vec![digest("same")])).await;
        let mut wrong = NewImage::chain(vec![digest("same")]);
        wrong.kind = ImageKind::Index;
        let set = CommitSet { images: vec![wrong], ..CommitSet::default() };
        assert_eq!(failing.commit(set).await.unwrap_err().kind(), &ErrorKind::Conflict);
        failing.abort().await.unwrap();
        let file = world.images.locate(image.id).await.unwrap().remove(0);
        assert!(world.directory.path().join(file.path).exists());
    })
    .await;
}

#[tokio::test]
async fn d04_a_file_that_was_cut_short_is_not_adopted_but_replaced() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["complete"]).await;
        let cut = world.path_of(&digest("complete")).await;
        std::fs::write(&cut, "comp").unwrap();
        let ingest = node.ingest();
        assert!(!put(&ingest, BlobKind::Base, "complete").await);
        let again = commit(&ingest, NewImage::chain(vec![digest("complete")])).await;
        assert_eq!(again.id, image.id);
        let whole = world.path_of(&digest("complete")).await;
        assert_ne!(whole, cut);
        assert_eq!(std::fs::read_to_string(whole).unwrap(), "complete");
        assert_eq!(collect(&world).await.orphans_removed, 1);
        assert!(!cut.exists());
    })
    .await;
}

/// The order in which the disk is told to do things.
#[derive(Debug)]
struct Traced(DiskFiles, Arc<std::sync::Mutex<Vec<String>>>);

struct TracedFile(Box<dyn files::StagedFile>, String, Arc<std::sync::Mutex<Vec<String>>>);

impl std::io::Write for TracedFile {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl files::StagedFile for TracedFile {
    fn sync(&mut self) -> std::io::Result<()> {
        self.2.lock().unwrap().push(format!("sync {}", self.1));
        self.0.sync()
    }
}

impl files::Files for Traced {
    fn create(&self, path: &str) -> std::io::Result<Box<dyn files::StagedFile>> {
        self.1.lock().unwrap().push(format!("create {path}"));
        Ok(Box::new(TracedFile(self.0.create(path)?, path.to_owned(), Arc::clone(&self.1))))
    }

    fn open(&self, path: &str) -> std::io::Result<Box<dyn files::ReadFile>> {
        self.0.open(path)
    }

    fn size(&self, path: &str) -> std::io::Result<u64> {
        self.0.size(path)
    }

    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.1.lock().unwrap().push(format!("rename {from}"));
        self.0.rename(from, to)
    }

    fn unlink(&self, path: &str) -> std::io::Result<()> {
        self.0.unlink(path)
    }

    fn list(&self, directory: &str) -> std::io::Result<Vec<String>> {
        self.0.list(directory)
    }

    fn create_dir(&self, directory: &str) -> std::io::Result<()> {
        self.0.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> std::io::Result<()> {
        self.1.lock().unwrap().push(format!("sync {directory}"));
        self.0.sync_dir(directory)
    }

    fn space(&self) -> std::io::Result<files::Space> {
        self.0.space()
    }
}

/// Notes when a blob's row is asked for.
#[derive(Clone)]
struct Rows(Arc<std::sync::Mutex<Vec<String>>>);

#[mainstay_repo::middleware::async_trait]
impl mainstay_repo::middleware::Middleware for Rows {
    async fn process(
        &self,
        operation: mainstay_repo::Operation,
        next: mainstay_repo::middleware::Next<'_>,
    ) -> mainstay_repo::Result<mainstay_repo::Outcome> {
        if operation.statements().any(|statement| statement.name() == Some("images.blob_land")) {
            self.0.lock().unwrap().push("row".to_owned());
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn d05_file_and_directory_are_durable_before_the_row() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let trace = Arc::new(std::sync::Mutex::new(Vec::new()));
        let files = Arc::new(Traced(DiskFiles::new(world.directory.path()), Arc::clone(&trace)));
        let repo = database.options().with(Rows(Arc::clone(&trace))).connect().await.unwrap();
        let images = Images::open(repo, files, options()).await.unwrap();
        let node = images.join_with("node", Heartbeat::Host).await.unwrap();
        let ingest = node.ingest();
        put(&ingest, BlobKind::Base, "x").await;
        assert_eq!(world.count("images_blobs").await, 0);
        commit(&ingest, NewImage::chain(vec![digest("x")])).await;
        let hex = digest("x").to_string();
        let told = trace.lock().unwrap().clone();
        let staged = told[0].strip_prefix("create ").unwrap();
        let wanted = [
            format!("create {staged}"),
            format!("sync {staged}"),
            format!("rename {staged}"),
            format!("sync blobs/{}", &hex[..2]),
            "row".to_owned(),
        ];
        assert_eq!(told, wanted);
    })
    .await;
}

#[tokio::test]
async fn d06_a_medium_that_is_not_mounted_is_no_reason_to_delete() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let gone = world.publish(&node, &["gone"]).await;
        world.images.remove(&gone.id.into()).await.unwrap();
        let away = world.directory.path().with_extension("away");
        std::fs::rename(world.directory.path(), &away).unwrap();
        std::fs::create_dir(world.directory.path()).unwrap();
        for directory in ["blobs", "tmp", "quarantine"] {
            std::fs::create_dir(world.directory.path().join(directory)).unwrap();
        }
        let error = world.images.collect("c", &CollectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Medium, "{error}");
        assert_eq!(node.ingest().has(&digest("base"), 4).await.unwrap_err().kind(), &ErrorKind::Medium);
        let opened = world.images.open_blob(&digest("base"), Verify::Size).await;
        assert_eq!(opened.unwrap_err().kind(), &ErrorKind::Medium);
        let files = Arc::new(DiskFiles::new(world.directory.path()));
        let again = Images::open(world.repo.clone(), files, options()).await;
        assert_eq!(again.unwrap_err().kind(), &ErrorKind::Medium);
        assert_eq!(world.count("images_blobs").await, 2);
        assert_eq!(world.number("SELECT COUNT(*) AS n FROM images_blobs WHERE state = 0").await, 2);
        std::fs::remove_dir_all(world.directory.path()).unwrap();
        std::fs::rename(&away, world.directory.path()).unwrap();
        assert_eq!(collect(&world).await.blobs_removed, 1);
        world.images.locate(image.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn d06_a_directory_of_another_store_is_refused() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        std::fs::write(world.directory.path().join("mainstay-images"), "another\n").unwrap();
        let files = Arc::new(DiskFiles::new(world.directory.path()));
        let error = Images::open(world.repo.clone(), files, options()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Medium);
        assert!(error.message().contains("another"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn d07_deleting_an_image_never_takes_a_claim_with_it_not_even_by_hand() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        node.acquire("vm", image.id).await.unwrap();
        for sql in ["DELETE FROM images", "DELETE FROM images_blobs", "DELETE FROM images_holders"] {
            let by_hand = world.repo.write(mainstay_repo::Statement::new(mainstay_repo::Sql::new(sql))).await;
            assert!(
                matches!(by_hand.unwrap_err().kind(), mainstay_repo::ErrorKind::Constraint { .. }),
                "{sql}"
            );
        }
        assert_eq!(world.count("images_leases").await, 1);
    })
    .await;
}

#[tokio::test]
async fn d08_a_holder_that_lost_its_lease_is_told_and_fenced() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let (one, two) = (world.publish(&node, &["one"]).await, world.publish(&node, &["two"]).await);
        let first = node.acquire("vm", one.id).await.unwrap();
        assert_eq!(node.acquire("vm", two.id).await.unwrap().lease().image, two.id);
        assert!(first.confirm().await.unwrap_err().is_stale());
        world.expire_all().await;
        collect(&world).await;
        assert!(node.renew().await.unwrap_err().is_stale());
        assert!(node.acquire("vm", two.id).await.unwrap_err().is_stale());
        let late = node.ingest().has(&digest("three"), 5).await.unwrap_err();
        assert!(late.is_stale());
    })
    .await;
}

#[tokio::test]
async fn d09_a_chain_with_a_gap_without_a_base_or_with_a_base_inside_cannot_be_stored() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        let ingest = node.ingest();
        bring(&ingest, &["base", "delta"]).await;
        put(&ingest, BlobKind::Base, "second base").await;
        for layers in [
            vec![digest("delta")],
            vec![digest("delta"), digest("base")],
            vec![digest("base"), digest("second base")],
            vec![],
        ] {
            let set = CommitSet { images: vec![NewImage::chain(layers)], ..CommitSet::default() };
            let error = ingest.commit(set).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Invalid { field: "layers" });
        }
        // Nor by hand: the tables hold the rules.
        let base = world.images.blob(&digest("base")).await.unwrap().id;
        let delta = world.images.blob(&digest("delta")).await.unwrap().id;
        let id = image.id;
        for row in [
            format!("{id}, 3, 2, 1, {delta}"),
            format!("{id}, 2, 1, 0, {base}"),
            format!("{id}, 2, 1, 0, {delta}"),
            format!("{id}, 2, 1, 3, {delta}"),
            format!("{id}, 2, NULL, 1, {delta}"),
            format!("{id}, 2, 0, 1, {delta}"),
            format!("{id}, 128, 127, 1, {delta}"),
        ] {
            let sql = format!(
                "INSERT INTO images_layers (image_id, position, below, kind, blob_id) VALUES ({row})"
            );
            let by_hand = mainstay_repo::Sql::dynamic(sql.clone(), sql);
            let error = world.repo.write(mainstay_repo::Statement::new(by_hand)).await.unwrap_err();
            assert!(matches!(error.kind(), mainstay_repo::ErrorKind::Constraint { .. }), "{row}: {error:?}");
        }
        let hole = mainstay_repo::Sql::new("DELETE FROM images_layers WHERE position = 0");
        assert!(world.repo.write(mainstay_repo::Statement::new(hole)).await.is_err());
        let whole = world.meddle("DELETE FROM images_layers").await;
        assert_eq!(whole, 2);
    })
    .await;
}

/// Remembers every time that a database gave out, and finds those that a statement carries and no database gave out.
#[derive(Clone, Default)]
struct Clocks(Arc<Mutex<(BTreeSet<i64>, Vec<String>)>>);

/// The microseconds of a number that may be a time of about now: seconds, milliseconds or microseconds since 1970.
fn as_time(value: &Value) -> Vec<i64> {
    let now = SystemClock.now().as_unix_micros();
    let day = 24 * 3600 * 1_000_000;
    let number = match value {
        Value::Int(number) => *number,
        Value::Timestamp(time) => time.as_unix_micros(),
        Value::Array(values) => return values.iter().flat_map(as_time).collect(),
        _ => return Vec::new(),
    };
    let scaled = [1, 1_000, 1_000_000].map(|unit| number.saturating_mul(unit));
    scaled.into_iter().filter(|micros| micros.abs_diff(now) < day).collect()
}

#[async_trait]
impl Middleware for Clocks {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        for statement in operation.statements() {
            let values = statement.params().iter().filter_map(|param| match param {
                Param::Value(value) => Some(value),
                _ => None,
            });
            let mut seen = self.0.lock().unwrap();
            let own: Vec<i64> = values.flat_map(as_time).filter(|time| !seen.0.contains(time)).collect();
            if !own.is_empty() {
                seen.1.push(format!("{:?} carries {own:?}", statement.name()));
            }
        }
        let outcome = next.run(operation).await?;
        let rows: Vec<&Row> = match &outcome {
            Outcome::Rows(rows) => rows.iter().flatten().collect(),
            Outcome::Written(written) => written.rows().iter().collect(),
            Outcome::Batch(batch) => batch.written().iter().flat_map(|written| written.rows()).collect(),
            _ => Vec::new(),
        };
        let times = rows.iter().flat_map(|row| row.values()).flat_map(as_time);
        self.0.lock().unwrap().0.extend(times);
        Ok(outcome)
    }
}

/// A clock of a node plays no part: every time that a statement carries was issued by the database.
#[tokio::test]
async fn d10_no_statement_carries_a_time_of_this_machine() {
    for_each_database(async |database| {
        let clocks = Clocks::default();
        everything_before(database, clocks.clone()).await;
        let (given, own) = clocks.0.lock().unwrap().clone();
        assert_eq!(own, Vec::<String>::new());
        assert!(given.len() > 5, "the database gave out {} times: nothing was looked at", given.len());
    })
    .await;
}

/// What is compared with such a time is in step with the database's clock.
#[tokio::test]
async fn d10_the_clock_of_a_node_decides_nothing() {
    for_each_database(async |database| {
        let world = World::with(database, |options| options.grace = Duration::from_secs(3600)).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let now = world.images.holders(None, 10).await.unwrap().remove(0).expires_at;
        for (sql, least) in [
            ("SELECT MIN(created_at) AS n FROM images_blobs", -70_i64),
            ("SELECT MIN(last_used_at) AS n FROM images", -70),
            ("SELECT MIN(review_after) AS n FROM images_gc_queue", 3_400),
        ] {
            let stored = world.number(sql).await;
            let distance = (stored - now.as_unix_micros()) / 1_000_000;
            assert!((least..least + 300).contains(&distance), "{sql}: {distance}");
        }
        world.images.remove(&image.id.into()).await.unwrap();
        // The grace is the database's too.
        assert_eq!(collect(&world).await.blobs_removed, 0);
        world.meddle("UPDATE images_gc_queue SET review_after = 1").await;
        assert_eq!(collect(&world).await.blobs_removed, 1);
    })
    .await;
}

#[tokio::test]
async fn d11_rot_is_seen_set_aside_and_repaired_by_the_next_publication() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base", "delta"]).await;
        let rotten = world.path_of(&digest("delta")).await;
        // As long as before: a look at the size does not see it.
        std::fs::write(&rotten, "delta".replace('l', "1")).unwrap();
        world.images.open_blob(&digest("delta"), Verify::Size).await.unwrap();
        let report = world.images.scrub(&ScrubOptions::default()).await.unwrap();
        assert_eq!((report.checked, report.damaged), (2, 1));
        assert!(report.ended_at.is_some());
        assert!(!rotten.exists());
        assert!(world.files().iter().any(|file| file.contains("quarantine")));
        let damaged = world.images.damaged_blobs().await.unwrap();
        assert_eq!(damaged.iter().map(|blob| blob.digest).collect::<Vec<_>>(), [digest("delta")]);
        assert_eq!(node.acquire("vm", image.id).await.unwrap_err().kind(), &ErrorKind::Incomplete);

        let ingest = node.ingest();
        assert!(!put(&ingest, BlobKind::Delta, "delta").await);
        ingest.land().await.unwrap();
        assert_eq!(world.images.scrub(&ScrubOptions::default()).await.unwrap().damaged, 0);
        node.acquire("vm", image.id).await.unwrap();
        // What was set aside goes once it was replaced.
        assert_eq!(collect(&world).await.orphans_removed, 1);

        let wrong = world.path_of(&digest("base")).await;
        std::fs::write(&wrong, "vase").unwrap();
        let error = world.images.open_blob(&digest("base"), Verify::Content).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Corrupt);
        assert_eq!(world.images.damaged_blobs().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn d11_a_missing_file_is_told_and_repaired() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        std::fs::remove_file(world.path_of(&digest("base")).await).unwrap();
        assert_eq!(world.images.plan(&CollectOptions::default()).await.unwrap().missing, [digest("base")]);
        assert_eq!(collect(&world).await.missing, [digest("base")]);
        assert_eq!(collect(&world).await.missing, []);
        let opened = world.images.open_blob(&digest("base"), Verify::Size).await;
        assert_eq!(opened.unwrap_err().kind(), &ErrorKind::Incomplete);
        world.publish(&node, &["base"]).await;
        node.acquire("vm", image.id).await.unwrap();
        let mut text = String::new();
        let mut reader = world.images.open_blob(&digest("base"), Verify::Content).await.unwrap();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "base");
    })
    .await;
}

#[tokio::test]
async fn d12_two_stores_on_one_directory_are_kept_apart() {
    // Two databases that believe in the same directory is the danger of a second node with a file of its own.
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        world.publish(&node, &["base"]).await;
        let other = mainstay_testkit::TestDatabase::sqlite();
        let repo = crate::support::migrated(&other).await;
        let files = Arc::new(DiskFiles::new(world.directory.path()));
        let error = Images::open(repo, files, options()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Medium);
        assert_eq!(world.files().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn d13_every_write_gives_the_stored_row() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let first = world.publish(&node, &["base"]).await;
        let again = world.publish(&node, &["base"]).await;
        assert_eq!((first.id, first.created_at), (again.id, again.created_at));
        let one = world.images.tag(&first.id.into(), "n").await.unwrap();
        let two = world.images.tag(&first.id.into(), "n").await.unwrap();
        assert_eq!(world.images.reference("n").await.unwrap(), two);
        assert_eq!((one.version, two.version), (1, 2));
        let lease = node.acquire("vm", first.id).await.unwrap();
        assert_eq!(world.images.leases(None, 9).await.unwrap()[0].lease, *lease.lease());
        let pinned = world.images.pin(&first.id.into(), true).await.unwrap();
        assert_eq!(world.images.image(&first.id.into()).await.unwrap(), pinned);
        let labelled = world.images.label(&first.id.into(), Some("l")).await.unwrap();
        assert_eq!(world.images.image(&first.digest.into()).await.unwrap(), labelled);
        // The same store, opened again, is the stored one.
        assert_eq!(world.reopened(|_| {}).await.store_id(), world.images.store_id());
    })
    .await;
}
