//! What another engine left in its table comes over, as far as it can, and the report says what did not.

use mainstay_core::{PageSize, Timestamp};
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome, Repo, Row, Sql, Statement};
use mainstay_testkit::{TestDatabase, for_each_database};
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

use super::support::World;

async fn run(repo: &Repo, text: &str) {
    repo.write(Statement::new(Sql::dynamic(text.to_owned(), text.to_owned()))).await.unwrap();
}

/// The table as the third version of its migrations leaves it.
async fn source() -> (TestDatabase, Repo) {
    let database = TestDatabase::postgres();
    let repo = database.repo().await;
    run(
        &repo,
        "CREATE TABLE workflow_instances (id varchar(255) PRIMARY KEY, workflow varchar(255) NOT NULL, \
         status varchar(255) NOT NULL DEFAULT 'pending', workflow_version integer NOT NULL DEFAULT 1, \
         state jsonb NOT NULL DEFAULT '{}', inserted_at timestamp(0) NOT NULL, updated_at timestamp(0) NOT NULL)",
    )
    .await;
    (database, repo)
}

async fn add(repo: &Repo, id: &str, status: &str, version: i64, state: Value) {
    let insert = Statement::new(
        "INSERT INTO workflow_instances (id, workflow, status, workflow_version, state, inserted_at, updated_at) \
         VALUES ($1, 'Elixir.MyApp.OrderWorkflow', $2, $3, $4, '2026-01-02 03:04:05', '2026-01-02 03:04:06')",
    );
    let state = mainstay_repo::Json::encode(&state).unwrap();
    repo.write(insert.bind(id).bind(status).bind(version).bind(state)).await.unwrap();
}

fn state(order: i64) -> Value {
    json!({
        "context": {"initial": {"order_id": order}, "steps": {"check": {"ok": true}}},
        "current_step": null, "active_steps": ["Elixir.MyApp.Ship"], "completed_steps": ["Elixir.MyApp.Check"],
        "step_configs": {}, "execution_history": [], "runtime_metadata": {"tenant": "a"},
    })
}

#[tokio::test]
async fn instances_come_over_once_however_often_they_are_imported() {
    let (_database, source) = source().await;
    for (at, status) in ["completed", "failed", "cancelled", "waiting"].into_iter().enumerate() {
        add(&source, &format!("orderid::a{at}"), status, 2, state(i64::try_from(at).unwrap())).await;
    }
    for_each_database(async |database| {
        let world = World::new(database).await;
        let report = world.store.import(&source, None, world.now()).await.unwrap();
        assert_eq!((report.imported, report.unfinished, report.refused), (4, 1, 0), "{report:?}");
        assert!(report.notes[0].text.contains("Elixir.MyApp.Ship") && report.notes[0].imported);
        let page = async |filter: &Filter| {
            world.store.list(filter, Order::Oldest, PageSize::DEFAULT, None).await.unwrap().items
        };
        let runs = page(&Filter::new()).await;
        let statuses: Vec<Status> = runs.iter().map(|run| run.status).collect();
        assert_eq!(statuses, [Status::Completed, Status::Failed, Status::Cancelled, Status::Paused]);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = &runs[0];
        assert_eq!(first.workflow, "Elixir.MyApp.OrderWorkflow");
        assert_eq!((first.version, first.key.as_deref(), first.managed), (2, Some("orderid::a0"), false));
        assert_eq!(
            (first.created_at, first.ended_at),
            (at("2026-01-02T03:04:05Z"), Some(at("2026-01-02T03:04:06Z")))
        );
        let stored = world.store.get(first.run).await.unwrap();
        assert_eq!(stored.context["initial"], json!({"order_id": 0}));
        assert_eq!(stored.context["steps"], json!({"check": {"ok": true}}));
        assert_eq!(stored.context["attributes"]["imported"]["runtime_metadata"], json!({"tenant": "a"}));
        let found = page(&Filter::new().context("context.initial.order_id", json!(3)).unwrap()).await;
        assert_eq!(found.len(), 1);
        assert_eq!(page(&Filter::new().workflow_family("Elixir.MyApp.")).await.len(), 4);
        // No engine takes up what it has no code for, and nobody's key is blocked.
        assert!(world.claim(world.node, "default", 9).await.is_empty());
        world.begin_with(world.keyed("a3")).await;
        assert!(world.store.load(&[found[0].run]).await.unwrap().is_empty());

        let again = world.store.import(&source, None, world.now()).await.unwrap();
        assert_eq!((again.imported, &again.notes), (4, &report.notes));
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 5);
        let rest = world.store.import(&source, Some("orderid::a1"), world.now()).await.unwrap();
        assert_eq!((rest.imported, rest.last.as_deref()), (2, Some("orderid::a3")));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_come_over_is_named_and_holds_up_nobody() {
    let (_database, source) = source().await;
    let large = json!({"context": {"initial": "x".repeat(MAX_INPUT_BYTES)}});
    add(&source, "a::status", "sleeping", 1, state(1)).await;
    add(&source, "b::version", "completed", 0, state(1)).await;
    add(&source, "c::state", "completed", 1, json!([])).await;
    add(&source, "d::large", "completed", 1, large).await;
    add(&source, "e::steps", "completed", 1, json!({"context": {"steps": []}})).await;
    add(&source, "f::bare", "completed", 1, json!({})).await;
    add(&source, "g::control\u{7}", "completed", 1, state(1)).await;
    for_each_database(async |database| {
        let world = World::new(database).await;
        let report = world.store.import(&source, None, world.now()).await.unwrap();
        assert_eq!((report.imported, report.refused), (1, 6), "{report:?}");
        let notes: Vec<(&str, &str)> =
            report.notes.iter().map(|note| (note.id.as_str(), note.text.as_str())).collect();
        for (note, word) in
            notes.iter().zip(["sleeping", "version", "state", "the most is", "steps", "control"])
        {
            assert!(note.1.contains(word), "{note:?} {word}");
        }
        let error = world.store.import(&world.repo, None, world.now()).await.unwrap_err();
        let expected = match world.repo.dialect() {
            mainstay_repo::Dialect::Sqlite => ErrorKind::InvalidInput,
            _ => ErrorKind::NotFound,
        };
        assert_eq!(*error.kind(), expected, "there is no such table");
        if world.repo.dialect() == mainstay_repo::Dialect::Postgres {
            let where_ = format!("in the schema \"public\" of {}", world.repo.describe());
            assert!(error.message().ends_with(&where_), "{error}");
            run(&world.repo, "CREATE SCHEMA theirs").await;
            run(&world.repo, "CREATE TABLE theirs.workflow_instances (id text)").await;
            let error = world.store.import(&world.repo, None, world.now()).await.unwrap_err();
            assert!(error.help().unwrap().contains("schema theirs: "), "{error}");
        }
    })
    .await;
}

/// The first version of the table had UUIDs and no version; pages follow one another.
#[tokio::test]
async fn an_old_table_of_several_pages_comes_over() {
    let database = TestDatabase::postgres();
    let source = database.repo().await;
    run(
        &source,
        "CREATE TABLE workflow_instances (id uuid PRIMARY KEY, workflow varchar(255) NOT NULL, status varchar(255) NOT NULL, \
         state jsonb NOT NULL, inserted_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)",
    )
    .await;
    let count = IMPORT_PAGE + 1;
    run(
        &source,
        &format!(
            "INSERT INTO workflow_instances SELECT lpad(n::text, 32, '0')::uuid, 'W', 'completed', \
             jsonb_build_object('context', jsonb_build_object('initial', n)), now(), now() FROM generate_series(1, {count}) AS n"
        ),
    )
    .await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let report = world.store.import(&source, None, world.now()).await.unwrap();
    assert_eq!(report.imported, u64::from(count));
    assert_eq!(world.count("SELECT count(*) FROM wf_runs WHERE version = 1").await, i64::from(count));
}

/// Remembers the statements that read the table.
#[derive(Clone, Default)]
struct Reads(std::sync::Arc<std::sync::Mutex<Vec<Statement>>>);

#[async_trait]
impl Middleware for Reads {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        let reads =
            operation.statements().filter(|statement| statement.name() == Some("workflow.import_read"));
        self.0.lock().unwrap().extend(reads.cloned());
        next.run(operation).await
    }
}

/// However large the table is, a page costs its own instances.
#[tokio::test]
async fn a_page_is_read_along_the_key() {
    for (kind, id) in [("varchar(255)", "'orderid::' || n"), ("uuid", "lpad(n::text, 32, '0')::uuid")] {
        let database = TestDatabase::postgres();
        let reads = Reads::default();
        let source = database.options().with(reads.clone()).connect().await.unwrap();
        let table = format!(
            "CREATE TABLE workflow_instances (id {kind} PRIMARY KEY, workflow text, status text, state jsonb NOT NULL, \
             inserted_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)"
        );
        run(&source, &table).await;
        let fill = format!(
            "INSERT INTO workflow_instances SELECT {id}, 'W', 'sleeping', '{{}}', now(), now() FROM generate_series(1, 10000) AS n"
        );
        run(&source, &fill).await;
        run(&source, "ANALYZE workflow_instances").await;
        let world = World::new(&TestDatabase::sqlite()).await;
        let mut report = ImportReport::default();
        for _ in 0..2 {
            assert!(world.store.import_page(&source, &mut report, world.now()).await.unwrap());
        }
        // None of them is one of that engine's, so nothing is written.
        assert_eq!(report.refused, 2 * u64::from(IMPORT_PAGE));
        let read = std::mem::take(&mut *reads.0.lock().unwrap());
        assert_eq!(read.len(), 2);
        for read in read {
            let text = format!("EXPLAIN (COSTS OFF) {}", read.sql().text(mainstay_repo::Dialect::Postgres));
            let explain = Statement::new(Sql::dynamic(text.clone(), text)).bind_all(read.params().to_vec());
            let plan: Vec<Row> = source.read(explain).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get_at(0).unwrap()).collect();
            let plan = plan.join("\n");
            assert!(
                plan.contains("Index Scan using workflow_instances_pkey") && !plan.contains("Sort"),
                "{kind}: {plan}"
            );
        }
    }
}
