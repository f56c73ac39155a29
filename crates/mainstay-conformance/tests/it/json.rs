//! Search in JSON columns: the same rows on both databases, and an index that serves it.

use mainstay_repo::json::JsonField;
use mainstay_repo::{Dialect, ErrorKind, Json, Repo, Sql, Statement, Value};
use mainstay_testkit::{TestDatabase, golden};

use crate::support::{ddl, kind};

on_every_database!(
    equality_means_the_same,
    types_and_places_do_not_mix,
    what_is_no_path_or_value_is_refused,
    the_index_is_used,
);

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

async fn the_index_is_used(db: &TestDatabase) {
    let repo = open(db).await;
    let field = JsonField::new("doc", &["a", "b"]).unwrap();
    let index = field.index_ddl(repo.dialect(), "docs_by_b", "docs").unwrap();
    repo.write(Statement::new(Sql::dynamic(index.clone(), index))).await.unwrap();
    assert_eq!(found(&repo, &["a", "b"], Value::from("x")).await, [5]);
    fill(&repo).await;
    let mut plans = String::new();
    for (value, id) in
        [(Value::from("y777"), 777), (Value::from(20_500_i64), 20_500), (Value::from(40_500.5), 40_500)]
    {
        assert_eq!(found(&repo, &["a", "b"], value.clone()).await, [id]);
        let condition = field.equals(value.clone(), 1).unwrap();
        let plan = plan_of(&repo, &condition.sqlite, &condition.postgres, condition.value).await;
        assert!(plan.contains("docs_by_b"), "the index does not serve the search: {plan}");
        plans.push_str(&format!("-- {}\n{plan}\n", value.kind()));
    }
    let name = match repo.dialect() {
        Dialect::Postgres => "postgres",
        _ => "sqlite",
    };
    golden::check(format!("tests/golden/json-plan-{name}.txt"), &plans);
}

/// As many documents as make an index worth while, a third of each type.
async fn fill(repo: &Repo) {
    let many = Sql::per_dialect(
        "WITH RECURSIVE c(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM c WHERE i < 60000) \
         INSERT INTO docs (id, doc) SELECT i, json_object('a', json_object('b', \
         CASE WHEN i < 20000 THEN 'y' || i WHEN i < 40000 THEN i ELSE i + 0.5 END)) FROM c",
        "INSERT INTO docs (id, doc) SELECT i, jsonb_build_object('a', jsonb_build_object('b', \
         CASE WHEN i < 20000 THEN to_jsonb('y' || i) WHEN i < 40000 THEN to_jsonb(i) ELSE to_jsonb(i + 0.5) END)) \
         FROM generate_series(100, 60000) i",
    );
    repo.write(Statement::new(many)).await.unwrap();
    ddl(repo, &[("ANALYZE docs", "ANALYZE docs")]).await;
}

/// How the database finds the rows of a condition, a line a step.
async fn plan_of(repo: &Repo, sqlite: &str, postgres: &str, value: Value) -> String {
    let plan = Sql::dynamic(
        format!("EXPLAIN QUERY PLAN SELECT id FROM docs WHERE {sqlite}"),
        format!("EXPLAIN (COSTS OFF) SELECT id FROM docs WHERE {postgres}"),
    );
    let rows = repo.read(Statement::new(plan).bind(value)).await.unwrap();
    let column = match repo.dialect() {
        Dialect::Postgres => "QUERY PLAN",
        _ => "detail",
    };
    let lines: Vec<String> = rows.iter().map(|row| row.get(column).unwrap()).collect();
    lines.join("\n")
}

/// Every value finds the documents with the same value, of the same type, at the same path, and no others.
async fn types_and_places_do_not_mix(db: &TestDatabase) {
    let repo = open(db).await;
    repo.write(Statement::new("DELETE FROM docs")).await.unwrap();
    let texts =
        ["1", "\"1\"", "true", "\"true\"", "0", "\"\"", "false", "null", "1.5", "\"1.5\"", "-1", "[1]", "{}"];
    let values = [
        (Value::from(1_i64), "1"),
        (Value::from("1"), "\"1\""),
        (Value::from(true), "true"),
        (Value::from("true"), "\"true\""),
        (Value::from(0_i64), "0"),
        (Value::from(0.0), "0"),
        (Value::from(""), "\"\""),
        (Value::from(false), "false"),
        (Value::from(1.5), "1.5"),
        (Value::from("1.5"), "\"1.5\""),
        (Value::from(-1_i64), "-1"),
        (Value::from(-1.0), "-1"),
        (Value::from("null"), "no document"),
        (Value::from(i64::MAX), "no document"),
        (Value::from(f64::MAX), "no document"),
    ];
    let places = [
        (&["k"][..], "{\"k\": *}"),
        (&["o", "k"], "{\"o\": {\"k\": *}}"),
        (&["k", "k"], "{\"k\": {\"k\": *}}"),
    ];
    let mut written = Vec::new();
    for (place, around) in places {
        for text in texts {
            let id = i64::try_from(written.len()).unwrap();
            let document = Json::from_text(around.replace('*', text)).unwrap();
            let add = Statement::new("INSERT INTO docs (id, doc) VALUES ($1, $2)");
            repo.write(add.bind(id).bind(document)).await.unwrap();
            written.push((place, text));
        }
    }
    for (path, _) in places.iter().chain(&[(&["o"][..], ""), (&["missing", "k"], "")]) {
        for (value, text) in &values {
            let same = |(place, its): &(&[&str], &str)| place == path && its == text;
            let expected: Vec<i64> =
                (0_i64..).zip(&written).filter(|(_, document)| same(document)).map(|(id, _)| id).collect();
            assert_eq!(found(&repo, path, value.clone()).await, expected, "{path:?} {value:?}");
        }
    }
}
