//! The plans of the statements that many wait for, as golden files, and the shape of the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use mainstay_images::*;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Dialect, Operation, Outcome, Row, Sql, Statement, Target};
use mainstay_testkit::{TestDatabase, for_each_database, golden};

use crate::support::{World, options};

/// Remembers one statement of each name.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<BTreeMap<String, Statement>>>);

#[async_trait]
impl Middleware for Watch {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        for statement in operation.statements() {
            if let Some(name) = statement.name() {
                self.0.lock().unwrap().insert(name.to_owned(), statement.clone());
            }
        }
        next.run(operation).await
    }
}

/// Reports and single rows may read a table; nothing that is done for each image, blob or lease may.
const MAY_SCAN: [&str; 10] = [
    "images.intent_all",
    "images.intent_announced",
    "images.store_fits",
    "images.store_compare",
    "images.store_recount",
    "images.holder_expired",
    "images.holder_supersede_all",
    "images.image_count",
    "images.queue_count",
    "images.numbers_skip",
];

/// What is done for each image, blob, lease and publication: its plan over full tables is written down.
const HOT: [&str; 34] = [
    "images.blob_damaged_of",
    "images.blob_deleting",
    "images.blob_forget",
    "images.blob_land",
    "images.blob_look",
    "images.blob_page",
    "images.blob_tombstone",
    "images.blob_tombstone_lock",
    "images.blob_unused",
    "images.blob_users",
    "images.chain",
    "images.chains",
    "images.holder_renew",
    "images.image_by_chain_id",
    "images.image_by_digest",
    "images.image_by_id",
    "images.image_by_name",
    "images.image_insert",
    "images.intent_finish",
    "images.intent_insert",
    "images.intent_of_digest",
    "images.intent_of_holder",
    "images.layer_add",
    "images.layer_users",
    "images.lease_acquire",
    "images.lease_confirm",
    "images.lease_counts",
    "images.lease_of_holder",
    "images.lease_of_image",
    "images.lease_release",
    "images.queue_due",
    "images.queue_put",
    "images.ref_of_image",
    "images.ref_of_images",
];

/// Tables of a store in use: what the planner of PostgreSQL decides on small ones says nothing.
const FILL: [&str; 10] = [
    "INSERT INTO images_blobs (digest, kind, media_type, size, state, inc, first_inc, created_at) \
     SELECT sha256(CAST('b' || n AS bytea)), 2, 'fill', 1, 0, n, n, 0 FROM generate_series(1000001, 1020000) n",
    "INSERT INTO images (digest, chain_id, kind, media_type, depth, chain, size, pinned, created_at, last_used_at) \
     SELECT sha256(CAST('i' || n AS bytea)), sha256(CAST('c' || n AS bytea)), 0, 'fill', 1, \
     decode(repeat('00', 40), 'hex'), 1, 0, 0, 0 FROM generate_series(1, 5000) n",
    "INSERT INTO images_layers (image_id, position, kind, blob_id) SELECT i.id, 0, 2, (SELECT MIN(id) FROM images_blobs \
     WHERE media_type = 'fill') + i.id FROM images i WHERE media_type = 'fill'",
    "INSERT INTO images_attachments (image_id, role, blob_id) SELECT i.id, 'manifest', (SELECT MIN(id) FROM images_blobs \
     WHERE media_type = 'fill') + 8000 + i.id FROM images i WHERE media_type = 'fill'",
    "INSERT INTO images_refs (name, image_id, version, updated_at) SELECT 'fill' || id, id, 1, 0 FROM images \
     WHERE media_type = 'fill'",
    "INSERT INTO images_holders (name, live, expires_at) SELECT 'fill' || n, 1, 9000000000000000 FROM generate_series(1, 500) n",
    "INSERT INTO images_leases (holder_id, key, image_id, since) SELECT h.id, 'k' || i.id, i.id, 0 FROM images i \
     JOIN images_holders h ON h.name = 'fill' || (1 + i.id % 500) WHERE i.media_type = 'fill'",
    "INSERT INTO images_intents (holder_id, digest, size, created_at) SELECT h.id, sha256(CAST(h.name || n AS bytea)), 1, 0 \
     FROM images_holders h, generate_series(1, 8) n WHERE h.name LIKE 'fill%'",
    "INSERT INTO images_gc_queue (blob_id, review_after) SELECT id, 0 FROM images_blobs WHERE media_type = 'fill' AND id % 9 = 0",
    "ANALYZE",
];

/// One statement of each name that a store sends while everything is done with it once.
async fn everything(database: &TestDatabase) -> (World, BTreeMap<String, Statement>) {
    let watch = Watch::default();
    let world = everything_before(database, watch.clone()).await;
    let mut statements = watch.0.lock().unwrap().clone();
    // Only a collection that takes long sends it.
    statements.remove("images.collector_extend");
    (world, statements)
}

/// Everything that is done with a store, once, before somebody's eyes.
pub async fn everything_before(database: &TestDatabase, watch: impl Middleware + Clone + 'static) -> World {
    let world = World::new(database).await;
    let repo = database.options().with(watch).connect().await.unwrap();
    let files = Arc::new(files::DiskFiles::new(world.directory.path()));
    let images = Images::open(repo, files, options()).await.unwrap();
    let world = World { images, ..world };
    let node = world.node().await;
    let base = world.publish(&node, &["base"]).await;
    let child = world.publish(&node, &["base", "delta"]).await;
    world.images.tag(&base.id.into(), "app").await.unwrap();
    world.images.fork(&base.digest.into(), "mine").await.unwrap();
    world.images.image(&"app".parse().unwrap()).await.unwrap();
    world.images.image(&base.id.into()).await.unwrap();
    world.images.children(base.id).await.unwrap();
    world.images.references_of(base.id).await.unwrap();
    world.images.resolve_chains(&[ImageId::new(77)]).await.unwrap();
    world.images.resolve_chain(base.id).await.unwrap();
    world.images.locate(child.id).await.unwrap();
    let held = node.acquire("vm", child.id).await.unwrap();
    held.confirm().await.unwrap();
    node.renew().await.unwrap();
    world.images.explain(&base.id.into()).await.unwrap();
    world.images.explain_blob(&crate::support::digest("base")).await.unwrap();
    held.release().await.unwrap();
    world.images.remove(&child.id.into()).await.unwrap();
    world.images.collect("c", &CollectOptions { full: true, ..CollectOptions::default() }).await.unwrap();
    world.images.scrub(&ScrubOptions::default()).await.unwrap();
    world.images.usage().await.unwrap();
    world.images.overview(&[base.id]).await.unwrap();
    world.images.layer_users(base.id, 10).await.unwrap();
    world.images.image_count(10).await.unwrap();
    world.images.damaged_count().await.unwrap();
    world.images.holders(None, 10).await.unwrap();
    world.expire_all().await;
    world.images.collect("c", &CollectOptions::default()).await.unwrap();
    world
}

async fn plan(world: &World, statement: &Statement) -> Vec<String> {
    let dialect = world.repo.dialect();
    let (word, column) = match dialect {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        _ => ("EXPLAIN (COSTS OFF)", "QUERY PLAN"),
    };
    let text = format!("{word} {}", statement.sql().text(dialect));
    let params: Vec<_> = statement
        .params()
        .iter()
        .map(|param| match param {
            mainstay_repo::Param::Value(value) => value.clone(),
            _ => mainstay_repo::Value::Int(1),
        })
        .collect();
    let explain = Statement::new(Sql::dynamic(text.clone(), text)).bind_all(params);
    let steps: Vec<Row> = world.repo.write(explain).await.unwrap().into_rows();
    steps.iter().map(|step| without_nonce(step.get(column).unwrap())).collect()
}

/// A step without the random value of a holder's life that PostgreSQL writes into it.
fn without_nonce(step: String) -> String {
    let Some((before, rest)) = step.split_once("nonce = '") else { return step };
    let (_, after) = rest.split_once('\'').unwrap();
    format!("{before}nonce = '…'{after}")
}

fn write_down(plans: &mut String, name: &str, steps: &[String]) {
    let _ = writeln!(plans, "{name}");
    for step in steps {
        let _ = writeln!(plans, "  {step}");
    }
}

#[tokio::test]
async fn statements_that_many_wait_for_use_an_index() {
    let database = TestDatabase::sqlite();
    let (world, statements) = everything(&database).await;
    let mut plans = String::new();
    for (name, statement) in statements {
        let steps = plan(&world, &statement).await;
        write_down(&mut plans, &name, &steps);
        for step in steps {
            let scans = step.starts_with("SCAN images") && !step.contains("USING");
            assert!(!scans || MAY_SCAN.contains(&name.as_str()), "{name}: {step}");
        }
    }
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plans.txt"), &plans);
}

/// The same over full tables of PostgreSQL, whose planner would rather read small ones whole.
#[tokio::test]
async fn what_is_done_for_each_uses_an_index_of_full_tables() {
    let database = TestDatabase::postgres();
    let (world, statements) = everything(&database).await;
    for statement in FILL {
        world.meddle(statement).await;
    }
    let mut plans = String::new();
    for name in HOT {
        let statement = statements.get(name).unwrap_or_else(|| panic!("{name} was not sent"));
        let steps = plan(&world, statement).await;
        assert!(!steps.iter().any(|step| step.contains("Seq Scan on images")), "{name}: {steps:#?}");
        write_down(&mut plans, name, &steps);
    }
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plans.postgres.txt"), &plans);
}

#[tokio::test]
async fn the_tables_come_and_go() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let base = world.publish(&node, &["base"]).await;
        world.publish(&node, &["base", "delta"]).await;
        world.images.tag(&base.id.into(), "app").await.unwrap();
        node.acquire("vm", base.id).await.unwrap();
        let migrator = world.repo.migrator();
        migrator.migrate(&COMPONENT, Target::Version(0)).await.unwrap();
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        let migrated = World::new(database).await;
        let node = migrated.node().await;
        migrated.publish(&node, &["base"]).await;
    })
    .await;
}
