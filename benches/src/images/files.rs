//! Hashing, publishing and collecting.

use std::io::{Cursor, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mainstay_benches::Row;
use mainstay_images::{
    BlobKind, CollectOptions, CommitSet, Digest, Hasher, Heartbeat, NewImage, Node, WriterSpec,
};
use mainstay_repo::{Repo, Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::Scale;
use crate::store::{middle, open, settle};

/// Octets of a small blob.
const SMALL: usize = 4096;
/// Publishers at once.
const PUBLISHERS: usize = 64;
/// Blobs of one image.
const LAYERS: usize = 20;
/// Octets a second that the design asks of one core.
const HASH_TARGET: f64 = 1.5e9;
/// A second of one core for the collection of a million blobs, five in all.
const COLLECT_TARGET: f64 = 5.0;

/// SHA-256 as an ingest computes it.
pub fn hash(json: bool) {
    let chunk = vec![0x5a_u8; 1024 * 1024];
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let (began, mut hasher) = (Instant::now(), Hasher::new());
        for _ in 0..512 {
            hasher.update(&chunk);
        }
        std::hint::black_box(hasher.finish());
        best = best.max(512.0 * chunk.len() as f64 / began.elapsed().as_secs_f64());
    }
    let row = Row { unit: "B/s", ..Row::rate("hash_one_core", best, "target", HASH_TARGET) };
    row.print(json);
}

/// Small blobs, each durable, in images of 20: beside what the disk gives for a file, its name and a directory. Ours and the
/// bare files take turns, because the disk's own rate changes.
pub async fn publish(name: &str, database: &TestDatabase, scale: Scale, json: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let (repo, images) = open(database, directory.path()).await;
    let node = images.join_with("bench", Heartbeat::Host).await.expect("a holder");
    let (mut ours, mut one, mut many) = <(Vec<f64>, Vec<f64>, Vec<f64>)>::default();
    // All files stay until the end: ext4 is slow to make files where many were removed just before.
    let mut kept = Vec::new();
    for round in 0..scale.rounds {
        settle();
        let (rate, files) = on_disk(scale.published, 1);
        one.push(rate);
        kept.push(files);
        settle();
        ours.push(published(&node, scale.published, round).await);
        settle();
        let (rate, files) = on_disk(scale.published, PUBLISHERS);
        many.push(rate);
        kept.push(files);
    }
    let (ours, name) = (middle(ours), format!("publish_4KiB_{name}_{PUBLISHERS}"));
    Row::rate(&name, ours, "bare files, one at a time", middle(one)).print(json);
    Row::rate(&name, ours, format!("bare files, {PUBLISHERS} threads"), middle(many)).print(json);
    repo.close().await;
}

/// A small blob that no other round has.
fn small(n: usize, round: usize) -> (Digest, Vec<u8>) {
    let mut content = vec![0_u8; SMALL];
    content[..8].copy_from_slice(&n.to_be_bytes());
    content[8..16].copy_from_slice(&round.to_be_bytes());
    (Digest::of(&content), content)
}

/// So many blobs that no other round has, a second.
async fn published(node: &Node, count: usize, round: usize) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (node, next) = (node.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(LAYERS, Ordering::Relaxed);
                    if first >= count {
                        return;
                    }
                    let ingest = node.ingest();
                    let known: Vec<_> = (first..first + LAYERS).map(|n| small(n, round)).collect();
                    // As a pull does, which knows its blobs from the manifest.
                    let expected: Vec<_> = known.iter().map(|(digest, _)| (*digest, SMALL as u64)).collect();
                    ingest.expect(&expected).await.expect("announced");
                    let mut layers = Vec::with_capacity(LAYERS);
                    for (digest, content) in known {
                        let spec = WriterSpec::known(digest, SMALL as u64, BlobKind::Layer, "t/t");
                        layers.push(ingest.put(spec, Cursor::new(content)).await.expect("published").digest);
                    }
                    let set = CommitSet { images: vec![NewImage::chain(layers)], ..CommitSet::default() };
                    ingest.commit(set).await.expect("committed");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Files with content and name made durable, a second: no database, no hash. And where they are.
fn on_disk(count: usize, threads: usize) -> (f64, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    for shard in 0..=u8::MAX {
        std::fs::create_dir(directory.path().join(format!("{shard:02x}"))).expect("a directory");
    }
    let content = vec![1_u8; SMALL];
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (root, content) = (directory.path(), &content);
            scope.spawn(move || {
                for n in (thread..count).step_by(threads) {
                    let shard = root.join(format!("{:02x}", n * 37 % 256));
                    let (staged, named) = (root.join(format!("tmp{n}")), shard.join(n.to_string()));
                    let mut file = std::fs::File::create(&staged).expect("a file");
                    file.write_all(content).expect("written");
                    file.sync_all().expect("synced");
                    std::fs::rename(&staged, &named).expect("named");
                    std::fs::File::open(&shard).expect("opened").sync_all().expect("synced");
                }
            });
        }
    });
    (count as f64 / began.elapsed().as_secs_f64(), directory)
}

/// A collection over many blobs of which one in a hundred is garbage; the plain one asks the disk for each, as it must to find
/// what is missing, and deletes nothing. Then one that looks at every blob again, with nothing left to remove.
pub async fn collect(database: &TestDatabase, scale: Scale, json: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let (repo, images) = open(database, directory.path()).await;
    many(&repo, directory.path(), scale.blobs).await;
    settle();
    let plain = stat_each(&repo, directory.path()).await;
    let before = peak_memory();
    let began = Instant::now();
    let report = images.collect("bench", &CollectOptions::default()).await.expect("collected");
    let took = began.elapsed().as_secs_f64();
    assert_eq!(report.blobs_removed as usize, scale.blobs / 100);
    let name = format!("collect_{}_blobs", scale.blobs);
    let target = COLLECT_TARGET * scale.blobs as f64 / 1e6;
    Row::less(&name, "s", took, "stat each, deletes nothing", plain).print(json);
    Row::less(&name, "s", took, "target", target).print(json);
    let began = Instant::now();
    let full = CollectOptions { full: true, ..CollectOptions::default() };
    let report = images.collect("bench", &full).await.expect("collected");
    assert_eq!(report.blobs_removed, 0);
    let name = format!("collect_{}_blobs_full", scale.blobs);
    let took = began.elapsed().as_secs_f64();
    Row::less(&name, "s", took, "stat each, deletes nothing", plain).print(json);
    let name = format!("collect_{}_blobs_peak_memory", scale.blobs);
    Row::less(name, "MB", peak_memory(), "the process before it", before).print(json);
    repo.close().await;
}

/// The most memory that the process ever had, in megabytes.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// Rows and files of blobs; all but one in a hundred are attached to an image.
async fn many(repo: &Repo, root: &std::path::Path, blobs: usize) {
    let write = async |text: String| {
        repo.write(Statement::new(Sql::dynamic(text.clone(), text))).await.expect("written");
    };
    write(
        "INSERT INTO images (digest, chain_id, kind, media_type, depth, chain, size, pinned, created_at, last_used_at) \
         VALUES (zeroblob(32), NULL, 2, 't/t', 0, zeroblob(0), 0, 0, 0, 0)"
            .into(),
    )
    .await;
    for first in (0..blobs).step_by(5_000) {
        let mut batch = mainstay_repo::Batch::new("bench.blobs");
        for n in first..(first + 5_000).min(blobs) {
            let digest = Digest::of(&n.to_be_bytes());
            let insert = Sql::new(
                "INSERT INTO images_blobs (id, digest, kind, media_type, size, state, inc, first_inc, created_at) \
                 VALUES ($1, $2, 3, 't/t', 1, 0, $1, $1, 0)",
            );
            let id = n as i64 + 1;
            batch.push(Statement::new(insert).bind(id).bind(digest.as_bytes().as_slice()));
            let hex = digest.to_string();
            std::fs::File::create(root.join(format!("blobs/{}/{hex}.{id}", &hex[..2]))).expect("a file");
        }
        repo.batch(batch).await.expect("blobs");
    }
    write(
        "INSERT INTO images_attachments (image_id, role, blob_id) SELECT 1, CAST(id AS TEXT), id FROM images_blobs \
         WHERE id % 100 <> 0"
            .into(),
    )
    .await;
    write("INSERT INTO images_gc_queue (blob_id, review_after) SELECT id, 0 FROM images_blobs WHERE id % 100 = 0".into())
        .await;
    write(format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('images_intents', {})", blobs + 1)).await;
}

/// Pages of 200 rows, one look at the disk for each blob, and a delete with a guard for each page; no pauses.
async fn stat_each(repo: &Repo, root: &std::path::Path) -> f64 {
    let began = Instant::now();
    let mut after = 0_i64;
    loop {
        let page = Statement::new(Sql::new(
            "SELECT id, digest, inc FROM images_blobs WHERE id > $1 AND state = 0 ORDER BY id LIMIT 200",
        ))
        .bind(after);
        let rows = repo.read(page).await.expect("a page");
        let Some(last) = rows.last() else { return began.elapsed().as_secs_f64() };
        after = last.get("id").expect("an id");
        for row in &rows {
            let digest =
                Digest::from_slice(&row.get::<Vec<u8>>("digest").expect("octets")).expect("a digest");
            let hex = digest.to_string();
            let inc: i64 = row.get("inc").expect("a number");
            std::fs::metadata(root.join(format!("blobs/{}/{hex}.{inc}", &hex[..2]))).expect("a file");
        }
        let unused = Statement::new(Sql::new(
            "SELECT id FROM images_blobs b WHERE id > $1 - 200 AND id <= $1 AND NOT EXISTS \
             (SELECT 1 FROM images_attachments a WHERE a.blob_id = b.id)",
        ))
        .bind(after);
        repo.read(unused).await.expect("a page");
    }
}
