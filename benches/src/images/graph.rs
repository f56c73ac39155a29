//! Chains and leases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_benches::{Row, load};
use mainstay_images::files::DiskFiles;
use mainstay_images::{COMPONENT, Digest, Heartbeat, ImageId, Images, ImagesOptions};
use mainstay_repo::{Batch, Repo, Sql, Statement, Target};
use mainstay_testkit::TestDatabase;

use crate::Scale;
use crate::plain::{self, DEPTH, LEASES};

/// Nodes that renew at once.
const NODES: usize = 64;
/// Images that are resolved in one call.
const MANY: usize = 256;

/// Chains a second on SQLite and on PostgreSQL that the design asks for.
fn resolve_target(database: &str) -> f64 {
    if database == "sqlite" { 300_000.0 } else { 60_000.0 }
}

async fn open(database: &TestDatabase, directory: &tempfile::TempDir) -> (Repo, Images) {
    let repo = database.repo().await;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("the tables");
    repo.migrator().migrate(&plain::COMPONENT, Target::Latest).await.expect("the tables");
    let images = reopen(&repo, directory).await;
    (repo, images)
}

/// The same store with nothing remembered.
async fn reopen(repo: &Repo, directory: &tempfile::TempDir) -> Images {
    let files = Arc::new(DiskFiles::new(directory.path()));
    Images::open(repo.clone(), files, ImagesOptions::default()).await.expect("a store")
}

/// Images of 20 layers, in both designs.
async fn fill(repo: &Repo, images: usize) -> Vec<(ImageId, String)> {
    let mut ids = Vec::with_capacity(images);
    let mut batch = Batch::new("bench.blobs");
    for n in 0..DEPTH {
        let digest = Digest::of(&n.to_be_bytes()).to_string();
        let insert = Sql::new("INSERT INTO plain_blobs (id, state, size) VALUES ($1, 'present', 1048576)");
        batch.push(Statement::new(insert).bind(digest));
    }
    repo.batch(batch).await.expect("blobs");
    for first in (0..images).step_by(250) {
        let mut batch = Batch::new("bench.images");
        let mut made = Vec::new();
        for n in first..(first + 250).min(images) {
            let id = Digest::of(format!("image {n}").as_bytes());
            let mut chain = Vec::new();
            batch.push(Statement::new(Sql::new("INSERT INTO plain_images (id) VALUES ($1)")).bind_text(id));
            for position in 0..DEPTH {
                let blob = Digest::of(&position.to_be_bytes());
                chain.extend_from_slice(blob.as_bytes());
                chain.extend_from_slice(&1_048_576_u64.to_be_bytes());
                let insert =
                    Sql::new("INSERT INTO plain_layers (image_id, position, blob_id) VALUES ($1, $2, $3)");
                batch.push(Statement::new(insert).bind_text(id).bind(position as i64).bind_text(blob));
            }
            let insert = Sql::new(
                "INSERT INTO images (digest, chain_id, kind, media_type, depth, chain, size, pinned, created_at, \
                 last_used_at) VALUES ($1, $1, 0, 't/t', 20, $2, 20971520, 0, 0, 0) RETURNING id",
            );
            let place = batch.push(Statement::new(insert).bind(id.as_bytes().as_slice()).bind(chain));
            made.push((place, id.to_string()));
        }
        let outcome = repo.batch(batch).await.expect("images");
        for (place, digest) in made {
            let row = &outcome.get(place).expect("a result").rows()[0];
            ids.push((ImageId::new(row.get("id").expect("an id")), digest));
        }
    }
    // Both designs are planned with what the database can know of them.
    repo.write(Statement::new(Sql::new("ANALYZE"))).await.expect("statistics");
    ids
}

/// Chains of 20 layers: one client that comes back to its images, one that never does, and many at once.
pub async fn resolve(name: &str, database: &TestDatabase, scale: Scale, json: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let (repo, images) = open(database, &directory).await;
    let ids = Arc::new(fill(&repo, scale.images).await);
    let plain = {
        let (repo, ids) = (repo.clone(), Arc::clone(&ids));
        load(1, scale.time, move |_| {
            let (repo, ids) = (repo.clone(), Arc::clone(&ids));
            move |random| {
                let (repo, ids) = (repo.clone(), Arc::clone(&ids));
                async move {
                    let (_, digest) = &ids[random as usize % ids.len()];
                    let statement = Statement::new(plain::RESOLVE).bind(digest);
                    let rows = repo.read(statement).await.expect("a chain");
                    assert_eq!(rows.len(), DEPTH);
                }
            }
        })
        .await
        .rate
    };
    let remembered = one_client(&images, &ids, scale).await;
    Row::rate(format!("resolve_chain_20_{name}"), remembered, "text keys, join", plain).print(json);
    Row::rate(format!("resolve_chain_20_{name}"), remembered, "target", resolve_target(name)).print(json);
    let read = from_rows(&repo, &directory, &ids, scale).await;
    Row::rate(format!("resolve_chain_20_{name}_from_rows"), read, "text keys, join", plain).print(json);
    let (mut took, mut resolved) = (Duration::ZERO, 0);
    while took < scale.time {
        let images = reopen(&repo, &directory).await;
        let began = Instant::now();
        for page in ids.chunks(MANY) {
            let page: Vec<ImageId> = page.iter().map(|(id, _)| *id).collect();
            resolved += images.resolve_chains(&page).await.expect("chains").len();
        }
        took += began.elapsed();
    }
    let many = resolved as f64 / took.as_secs_f64();
    Row::rate(format!("resolve_chain_20_{name}_from_rows_{MANY}"), many, "text keys, join", plain)
        .print(json);
    repo.close().await;
}

/// Chains a second that one client resolves again and again.
async fn one_client(images: &Images, ids: &[(ImageId, String)], scale: Scale) -> f64 {
    let (began, mut resolved) = (Instant::now(), 0_u32);
    while began.elapsed() < scale.time {
        for (id, _) in ids {
            let chain = images.resolve_chain(*id).await.expect("a chain");
            assert_eq!(chain.depth(), DEPTH);
            resolved += 1;
        }
    }
    f64::from(resolved) / began.elapsed().as_secs_f64()
}

/// Chains a second that one client resolves of a store that remembers none of them.
async fn from_rows(
    repo: &Repo,
    directory: &tempfile::TempDir,
    ids: &[(ImageId, String)],
    scale: Scale,
) -> f64 {
    let (mut took, mut resolved) = (Duration::ZERO, 0_u32);
    while took < scale.time {
        let images = reopen(repo, directory).await;
        let began = Instant::now();
        for (id, _) in ids {
            let chain = images.resolve_chain(*id).await.expect("a chain");
            assert_eq!(chain.depth(), DEPTH);
            resolved += 1;
        }
        took += began.elapsed();
    }
    f64::from(resolved) / took.as_secs_f64()
}

/// Heartbeats of 64 nodes with 200 leases each; figures are leases renewed a second.
pub async fn renew(name: &str, database: &TestDatabase, scale: Scale, json: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let (repo, images) = open(database, &directory).await;
    let mut nodes = Vec::new();
    for n in 0..NODES {
        nodes.push(images.join_with(&format!("node-{n}"), Heartbeat::Host).await.expect("a holder"));
        let mut batch = Batch::new("bench.leases");
        for vm in 0..LEASES {
            let insert = Sql::new(
                "INSERT INTO plain_leases (node_id, vm_id, image_id, expires_at) VALUES ($1, $2, 'image', $3)",
            );
            batch.push(
                Statement::new(insert).bind(format!("node-{n}")).bind(format!("vm-{vm}")).bind(vm as i64),
            );
        }
        repo.batch(batch).await.expect("leases");
    }
    let nodes = Arc::new(nodes);
    let ours = load(NODES, scale.time, |caller| {
        let nodes = Arc::clone(&nodes);
        move |_| {
            let nodes = Arc::clone(&nodes);
            async move { nodes[caller].renew().await.expect("renewed") }
        }
    })
    .await;
    let plain = load(NODES, scale.time, |caller| {
        let repo = repo.clone();
        move |_| {
            let repo = repo.clone();
            async move {
                let statement = Statement::new(plain::RENEW).bind(format!("node-{caller}"));
                repo.write(statement).await.expect("renewed");
            }
        }
    })
    .await;
    let leases = LEASES as f64;
    Row::rate(
        format!("lease_renew_{name}_200_a_node"),
        ours.rate * leases,
        "row a lease, index",
        plain.rate * leases,
    )
    .print(json);
    if name == "sqlite" {
        Row::rate(format!("lease_renew_{name}_200_a_node"), ours.rate * leases, "target", 10_000_000.0)
            .print(json);
    } else {
        let ours = hot(&repo, "images_holders").await;
        let name = "lease_renew_postgres_hot";
        let plain = hot(&repo, "plain_leases").await;
        Row { unit: "%", ..Row::rate(name, ours, "row a lease, index", plain) }.print(json);
        Row { unit: "%", ..Row::rate(name, ours, "target", 95.0) }.print(json);
    }
    repo.close().await;
}

/// Which share of a table's updates touched no index, in percent.
async fn hot(repo: &Repo, table: &str) -> f64 {
    // The statistics are written behind the commits.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let statement = Statement::new(Sql::new(
        "SELECT CAST(n_tup_upd AS double precision) AS updated, CAST(n_tup_hot_upd AS double precision) AS hot \
         FROM pg_stat_user_tables WHERE relname = $1",
    ))
    .bind(table);
    let row: mainstay_repo::Row = repo.read_one(statement).await.expect("statistics");
    let (updated, hot): (f64, f64) =
        (row.get("updated").expect("a number"), row.get("hot").expect("a number"));
    (hot / updated.max(1.0) * 100.0).max(0.01)
}
