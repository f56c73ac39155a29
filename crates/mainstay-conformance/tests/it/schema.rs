//! Tables in a named schema, where a database has schemas: migrations, statements and the migrations table live there.

use mainstay_conformance::linked;
use mainstay_repo::{Capability, Repo, Target, Topology as _};
use mainstay_testkit::{PostgresDatabase, TestDatabase};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_prefix_is_really_used() {
    let database = PostgresDatabase::create();
    let mut urls = vec![database.url().to_owned()];
    // One schema is there already; the other is made when it is first opened.
    assert!(database.query("CREATE SCHEMA jobs").is_empty());
    for schema in ["jobs", "billing"] {
        urls.push(format!("{}?schema={schema}", database.url()));
    }
    for (number, url) in (1_u32..).zip(&urls) {
        let repo = Repo::connect(url).await.unwrap();
        assert!(repo.has(Capability::SchemaPrefix));
        assert_eq!(repo.migrator().migrated_version(&linked::COMPONENT).await.unwrap(), 0, "{url}");
        repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
        for id in 0..number {
            repo.batch(linked::pair(&id.to_string(), 10)).await.unwrap();
        }
        let mut tx = repo.begin().await.unwrap();
        tx.batch(linked::pair("tx", 10)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            repo.read(linked::whole_pairs()).await.unwrap().len(),
            usize::try_from(number).unwrap() + 1
        );
    }
    for (schema, pairs) in [("public", "2"), ("jobs", "3"), ("billing", "4")] {
        assert_eq!(database.query(&format!("SELECT count(*) FROM {schema}.heads")), [pairs]);
        assert_eq!(database.query(&format!("SELECT count(*) FROM {schema}.mainstay_migrations")), ["1"]);
    }
    let repo = Repo::connect(&urls[1]).await.unwrap();
    repo.migrator().down(&linked::COMPONENT, 0).await.unwrap();
    let left = "SELECT schemaname FROM pg_tables WHERE tablename = 'heads' ORDER BY 1";
    assert_eq!(database.query(left), ["billing", "public"]);
}

#[tokio::test]
async fn a_database_without_schemas_says_so() {
    assert!(!TestDatabase::sqlite().repo().await.has(Capability::SchemaPrefix));
}
