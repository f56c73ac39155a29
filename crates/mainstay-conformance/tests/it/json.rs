//! Search in JSON columns: the same rows on both databases, and an index that serves it.

use mainstay_repo::json::JsonField;
use mainstay_repo::{ErrorKind, Json, Repo, Sql, Statement, Value};
use mainstay_testkit::TestDatabase;

use crate::support::{ddl, kind};

on_every_database!(equality_means_the_same, what_is_no_path_or_value_is_refused, the_index_is_accepted);

const DOCUMENTS: [&str; 12] = [
    r#"{"a": 1}"#,
    r#"{"a": "1"}"#,
    r#"{"a": true}"#,
    r#"{"a": 1.5}"#,
    r#"{"a": null}"#,
    r#"{"a": {"b": "x"}}"#,
    r#"{"a": {"b": ["x"]}}"#,
    r#"{"a": "日本 'quoted' \"double\" \\"}"#,
    r#"{"a": 9007199254740993}"#,
    r#"[{"a": 1}]"#,
    r#""a""#,
    r#"{"a-b": false, "a_b": "", "A": "upper"}"#,
];

async fn open(db: &TestDatabase) -> Repo {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, doc TEXT NOT NULL) STRICT",
            "CREATE TABLE docs (id bigint PRIMARY KEY, doc jsonb NOT NULL)",
        )],
    )
    .await;
    for (id, text) in (0_i64..).zip(DOCUMENTS) {
        let add = Statement::new("INSERT INTO docs (id, doc) VALUES ($1, $2)");
        repo.write(add.bind(id).bind(Json::from_text(text).unwrap())).await.unwrap();
    }
    repo
}

async fn found(repo: &Repo, path: &[&str], value: Value) -> Vec<i64> {
    let condition = JsonField::new("doc", path).unwrap().equals(value, 1).unwrap();
    let sql = Sql::dynamic(
        format!("SELECT id FROM docs WHERE {} ORDER BY id", condition.sqlite),
        format!("SELECT id FROM docs WHERE {} ORDER BY id", condition.postgres),
    );
    let rows = repo.read(Statement::new(sql).bind(condition.value)).await.unwrap();
    rows.iter().map(|row| row.get("id").unwrap()).collect()
}

async fn equality_means_the_same(db: &TestDatabase) {
    let repo = open(db).await;
    for (path, value, ids) in [
        (&["a"][..], Value::from(1_i64), &[0_i64][..]),
        (&["a"], Value::from("1"), &[1]),
        (&["a"], Value::from(true), &[2]),
        (&["a"], Value::from(false), &[]),
        (&["a"], Value::from(0_i64), &[]),
        (&["a"], Value::from(1.5), &[3]),
        (&["a"], Value::from(1.0), &[0]),
        (&["a", "b"], Value::from("x"), &[5]),
        (&["a"], Value::from("日本 'quoted' \"double\" \\"), &[7]),
        (&["a"], Value::from(9_007_199_254_740_993_i64), &[8]),
        (&["a"], Value::from(9_007_199_254_740_992_i64), &[]),
        (&["a-b"], Value::from(false), &[11]),
        (&["a_b"], Value::from(""), &[11]),
        (&["A"], Value::from("upper"), &[11]),
        (&["missing"], Value::from("x"), &[]),
        (&["a", "b", "c"], Value::from("x"), &[]),
    ] {
        assert_eq!(found(&repo, path, value.clone()).await, ids, "{path:?} {value:?}");
    }
}

async fn what_is_no_path_or_value_is_refused(db: &TestDatabase) {
    let repo = open(db).await;
    for path in [&[][..], &[""], &["a\"b"], &["a.b"], &["$"], &["a'b"], &["x"; JsonField::MAX_DEPTH + 1]] {
        assert_eq!(kind(&JsonField::new("doc", path).unwrap_err()), ErrorKind::InvalidInput, "{path:?}");
    }
    assert_eq!(kind(&JsonField::new("doc; DROP TABLE docs", &["a"]).unwrap_err()), ErrorKind::InvalidInput);
    let field = JsonField::new("doc", &["a"]).unwrap();
    for value in [Value::Null, Value::from(vec![1_u8]), Value::from(vec![1_i64]), Value::from(f64::NAN)] {
        assert_eq!(kind(&field.equals(value.clone(), 1).unwrap_err()), ErrorKind::InvalidInput, "{value:?}");
    }
    assert!(field.index_ddl(repo.dialect(), "i; DROP TABLE docs", "docs").is_err());
    assert_eq!(found(&repo, &["a"], Value::from(1_i64)).await, [0]);
}

async fn the_index_is_accepted(db: &TestDatabase) {
    let repo = open(db).await;
    let field = JsonField::new("doc", &["a", "b"]).unwrap();
    let index = field.index_ddl(repo.dialect(), "docs_by_b", "docs").unwrap();
    repo.write(Statement::new(Sql::dynamic(index.clone(), index))).await.unwrap();
    assert_eq!(found(&repo, &["a", "b"], Value::from("x")).await, [5]);
    let many = Sql::per_dialect(
        "WITH RECURSIVE c(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) \
         INSERT INTO docs (id, doc) SELECT i, json_object('a', json_object('b', 'y' || i)) FROM c",
        "INSERT INTO docs (id, doc) SELECT i, jsonb_build_object('a', jsonb_build_object('b', 'y' || i)) \
         FROM generate_series(100, 5000) i",
    );
    repo.write(Statement::new(many)).await.unwrap();
    ddl(&repo, &[("ANALYZE docs", "ANALYZE docs")]).await;
    assert_eq!(found(&repo, &["a", "b"], Value::from("y777")).await, [777]);
    let condition = field.equals("y777", 1).unwrap();
    let plan = Sql::dynamic(
        format!("EXPLAIN QUERY PLAN SELECT id FROM docs WHERE {}", condition.sqlite),
        format!("EXPLAIN SELECT id FROM docs WHERE {}", condition.postgres),
    );
    let rows = repo.read(Statement::new(plan).bind(condition.value)).await.unwrap();
    let told = format!("{rows:?}");
    assert!(told.contains("docs_by_b"), "the index does not serve the search: {told}");
}
