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
const MAY_SCAN: [&str; 8] = [
    "images.intent_all",
    "images.store_fits",
    "images.store_recount",
    "images.holder_expired",
    "images.holder_list",
    "images.holder_supersede_all",
    "images.queue_count",
    "images.numbers_skip",
];

#[tokio::test]
async fn statements_that_many_wait_for_use_an_index() {
    let database = TestDatabase::sqlite();
    let watch = Watch::default();
    let world = World::new(&database).await;
    let repo = database.options().with(watch.clone()).connect().await.unwrap();
    let files = Arc::new(files::DiskFiles::new(world.directory.path()));
    let images = Images::open(repo, files, options()).await.unwrap();
    let world = World { images, ..world };
    let node = world.node().await;
    let base = world.publish(&node, &["base"]).await;
    let child = world.publish(&node, &["base", "delta"]).await;
    world.images.tag(&base.id.into(), "app").await.unwrap();
    world.images.fork(&base.digest.into(), "mine").await.unwrap();
    world.images.image(&"app".parse().unwrap()).await.unwrap();
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
    world.expire_all().await;
    world.images.collect("c", &CollectOptions::default()).await.unwrap();

    let statements = watch.0.lock().unwrap().clone();
    let mut plans = String::new();
    for (name, statement) in statements {
        // Only a collection that takes long sends it.
        if name == "images.collector_extend" {
            continue;
        }
        let text = format!("EXPLAIN QUERY PLAN {}", statement.sql().text(Dialect::Sqlite));
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
        let _ = writeln!(plans, "{name}");
        for step in steps {
            let detail: String = step.get("detail").unwrap();
            let _ = writeln!(plans, "  {detail}");
            let scans = detail.starts_with("SCAN images") && !detail.contains("USING");
            assert!(!scans || MAY_SCAN.contains(&name.as_str()), "{name}: {detail}");
        }
    }
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plans.txt"), &plans);
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
