//! No statement of a login, of a request or of pruning reads a whole table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Dialect, Operation, Outcome, Result as RepoResult, Row, Sql, Statement};
use mainstay_sso::ConnectionFilter;
use mainstay_testkit::TestDatabase;

use crate::support::{World, refusal};

/// Remembers one statement of each name.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<BTreeMap<String, Statement>>>);

#[async_trait]
impl Middleware for Watch {
    async fn process(&self, operation: Operation, next: Next<'_>) -> RepoResult<Outcome> {
        for statement in operation.statements() {
            if let Some(name) = statement.name() {
                self.0.lock().unwrap().insert(name.to_owned(), statement.clone());
            }
        }
        next.run(operation).await
    }
}

#[tokio::test]
async fn every_statement_that_many_wait_for_uses_an_index() {
    let database = TestDatabase::sqlite();
    let watch = Watch::default();
    drop(World::new(&database).await);
    let repo = database.options().with(watch.clone()).connect().await.unwrap();
    let world = World::on(repo, |_| {});
    let connection = world.enabled().await;
    let started = world.start(&connection).await;
    let response = world.answer(&started);
    let signed_in = world.finish(&started, &response).await.unwrap();
    refusal(world.finish(&started, &response).await);
    world.age("sso_sessions", &["idle_expires_at"], 70).await;
    world.sso.session(&signed_in.token).await.unwrap().unwrap();
    world.sso.session_revoke(&signed_in.token).await.unwrap();
    world.sso.session_revoke_by_index(&world.scope, &world.cause, connection.id, "i").await.unwrap();
    world.sso.prune().await.unwrap();
    let filter = ConnectionFilter { named: Some("Example".into()), ..ConnectionFilter::default() };
    let size = mainstay_core::PageSize::clamped(12);
    world.sso.connection_list(&world.scope, &filter, size, None).await.unwrap();

    let statements = watch.0.lock().unwrap().clone();
    assert!(statements.len() >= 20, "{:?}", statements.keys());
    for (name, statement) in statements {
        // Setup tokens are a handful, and so are the certificates of one connection.
        if matches!(name.as_str(), "sso.prune_setup_tokens" | "sso.certificate_list") {
            continue;
        }
        let text = format!("EXPLAIN QUERY PLAN {}", statement.sql().text(Dialect::Sqlite));
        let explain = Statement::new(Sql::dynamic(text.clone(), text)).bind_all(statement.params().to_vec());
        let plan: Vec<Row> = world.repo.write(explain).await.unwrap().into_rows();
        for step in plan {
            let detail: String = step.get("detail").unwrap();
            let harmless = detail.contains("USING") || !detail.starts_with("SCAN") || detail == "SCAN t";
            assert!(harmless || detail.contains("CONSTANT ROW"), "{name}: {detail}");
            assert!(!detail.contains("TEMP B-TREE"), "{name}: {detail}");
        }
    }
}
