//! Every kind of value comes back exactly as it went in, or is refused on both databases.

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, ErrorKind, FromValue, Json, Repo, Row, Sql, Statement, Value};
use mainstay_testkit::TestDatabase;

use crate::support::{ddl, kind, scalar};

on_every_database!(
    scalars_come_back,
    null_is_null_in_every_column,
    json_comes_back_as_the_same_document,
    arrays_select,
    what_one_cannot_hold_both_refuse,
    a_value_of_another_type_is_refused,
    defaults_and_casts_have_the_same_type,
);

async fn open(db: &TestDatabase) -> Repo {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[(
            "CREATE TABLE kinds (id INTEGER PRIMARY KEY, flag INTEGER, whole INTEGER, real REAL, words TEXT, \
             octets BLOB, doc TEXT, moment INTEGER) STRICT",
            "CREATE TABLE kinds (id bigserial PRIMARY KEY, flag boolean, whole bigint, real double precision, \
             words text, octets bytea, doc jsonb, moment timestamptz)",
        )],
    )
    .await;
    repo
}

fn insert(column: &str, value: impl Into<Value>) -> Statement {
    let sql = format!("INSERT INTO kinds ({column}) VALUES ($1) RETURNING id, {column}");
    Statement::new(Sql::dynamic(sql.clone(), sql)).bind(value.into())
}

/// Stores a value; reads it from what `RETURNING` gave, by a read of its own, and inside a transaction.
async fn check<T>(repo: &Repo, column: &'static str, value: T)
where
    T: FromValue + Into<Value> + PartialEq + std::fmt::Debug + Clone,
{
    let returned = repo.write(insert(column, value.clone())).await.unwrap().into_row().unwrap();
    let shown = format!("{value:?}");
    let shown = shown.get(..80).unwrap_or("…");
    assert_eq!(returned.get::<T>(column).unwrap(), value, "RETURNING {column} {shown}");
    let id: i64 = returned.get("id").unwrap();
    let sql = format!("SELECT {column} FROM kinds WHERE id = $1");
    let find = Statement::new(Sql::dynamic(sql.clone(), sql)).bind(id);
    assert_eq!(scalar::<T>(repo, find.clone()).await, value, "SELECT {column} {shown}");
    let mut tx = repo.begin().await.unwrap();
    let row: Row = tx.read_one(find).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(row.get::<T>(column).unwrap(), value, "in a transaction {column} {shown}");
}

async fn scalars_come_back(db: &TestDatabase) {
    let repo = open(db).await;
    for flag in [true, false] {
        check(&repo, "flag", flag).await;
    }
    for whole in [0, 1, -1, i64::MAX, i64::MIN, i64::from(i32::MAX) + 1, 1 << 53, (1 << 53) + 1] {
        check(&repo, "whole", whole).await;
    }
    let limits =
        [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, f64::EPSILON, f64::INFINITY, f64::NEG_INFINITY];
    for real in limits.into_iter().chain([0.0, 0.1, -1.5, 1.0, 1e15, 9_007_199_254_740_993.0, 0.1 + 0.2]) {
        check(&repo, "real", real).await;
    }
    let long = "ü".repeat(600_000);
    for words in [
        "",
        " ",
        "a'b\"c;--\\n",
        "\u{1}\n\r\t",
        "日本語 🦀 e\u{301} \u{10ffff}",
        "$1 ?1 :x @y %s",
        "NULL",
        &long,
    ] {
        check(&repo, "words", words.to_owned()).await;
    }
    for octets in [Vec::new(), vec![0], (0..=255).collect::<Vec<u8>>(), vec![0xff; 1_200_000]] {
        check(&repo, "octets", octets).await;
    }
    let fraction = Timestamp::from_unix_micros(1_750_000_000_123_456).unwrap();
    let before = Timestamp::from_unix_micros(-1).unwrap();
    for moment in [Timestamp::UNIX_EPOCH, Timestamp::MIN, Timestamp::MAX, fraction, before] {
        check(&repo, "moment", moment).await;
    }
}

async fn null_is_null_in_every_column(db: &TestDatabase) {
    let repo = open(db).await;
    for column in ["flag", "whole", "real", "words", "octets", "doc", "moment"] {
        let row = repo.write(insert(column, Value::Null)).await.unwrap().into_row().unwrap();
        assert_eq!(row.value(column), Some(&Value::Null), "{column}");
        assert_eq!(row.get::<Option<i64>>(column).unwrap(), None);
    }
    let none: Option<String> = None;
    let row = repo.write(insert("words", none)).await.unwrap().into_row().unwrap();
    assert!(row.get::<String>("words").is_err(), "null is not the empty text");
}

async fn json_comes_back_as_the_same_document(db: &TestDatabase) {
    let repo = open(db).await;
    for text in [
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        r#"{"b":1,"a":{"c":[1,2.5,null,true,"x"]}}"#,
        r#"{"big":9223372036854775807,"small":-9223372036854775808}"#,
        r#"{"text":"日本語 🦀 \" \\ \n \\u0000"}"#,
        r#"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"#,
    ] {
        let json = Json::from_text(text).unwrap();
        let row = repo.write(insert("doc", json)).await.unwrap().into_row().unwrap();
        let stored: serde_json::Value = row.get::<Json>("doc").unwrap().to().unwrap();
        assert_eq!(stored, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}

async fn arrays_select(db: &TestDatabase) {
    let repo = open(db).await;
    for (whole, words) in [(1, "one"), (2, "it's"), (3, "日本 \"quoted\" {braces}, comma\\")] {
        let add = Statement::new("INSERT INTO kinds (whole, words) VALUES ($1, $2)").bind(whole).bind(words);
        repo.write(add).await.unwrap();
    }
    let by_whole = Sql::per_dialect(
        "SELECT whole FROM kinds WHERE whole IN (SELECT value FROM json_each($1)) ORDER BY whole",
        "SELECT whole FROM kinds WHERE whole = ANY($1) ORDER BY whole",
    );
    let by_words = Sql::per_dialect(
        "SELECT whole FROM kinds WHERE words IN (SELECT value FROM json_each($1)) ORDER BY whole",
        "SELECT whole FROM kinds WHERE words = ANY($1) ORDER BY whole",
    );
    let found = async |sql: &Sql, array: Value| -> Vec<i64> {
        let rows = repo.read(Statement::new(sql.clone()).bind(array)).await.unwrap();
        rows.iter().map(|row| row.get("whole").unwrap()).collect()
    };
    assert_eq!(found(&by_whole, Value::from(vec![3_i64, 1, 99])).await, [1, 3]);
    assert_eq!(found(&by_whole, Value::from((-50_000..3_i64).collect::<Vec<_>>())).await, [1, 2]);
    assert_eq!(found(&by_whole, Value::Array(Vec::new())).await, [0_i64; 0]);
    assert_eq!(found(&by_words, Value::Array(Vec::new())).await, [0_i64; 0]);
    let words = ["it's", "日本 \"quoted\" {braces}, comma\\", "NULL"].map(str::to_owned).to_vec();
    assert_eq!(found(&by_words, Value::from(words)).await, [2, 3]);
}

async fn what_one_cannot_hold_both_refuse(db: &TestDatabase) {
    let repo = open(db).await;
    let nul_json = Json::from_text(r#"{"a":"\u0000"}"#).unwrap();
    for (column, value) in [
        ("real", Value::Float(f64::NAN)),
        ("real", Value::Float(-0.0)),
        ("words", Value::from("a\0b")),
        ("doc", Value::Json(nul_json)),
        ("words", Value::from(vec!["\0".to_owned()])),
    ] {
        let error = repo.write(insert(column, value.clone())).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::InvalidInput, "{value:?}");
        assert!(error.help().is_some(), "{error}");
        let mut batch = Batch::new("refused");
        batch.push(insert("whole", 1_i64));
        batch.push(insert(column, value.clone()));
        assert_eq!(kind(&repo.batch(batch).await.unwrap_err()), ErrorKind::InvalidInput);
        let mut tx = repo.begin().await.unwrap();
        assert_eq!(kind(&tx.write(insert(column, value)).await.unwrap_err()), ErrorKind::InvalidInput);
        tx.rollback().await.unwrap();
    }
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT count(*) FROM kinds")).await, 0);
}

async fn a_value_of_another_type_is_refused(db: &TestDatabase) {
    let repo = open(db).await;
    for (column, value) in [
        ("whole", Value::from("seven")),
        ("whole", Value::from(1.5)),
        ("whole", Value::from(vec![1_u8])),
        ("octets", Value::from("text")),
        ("octets", Value::from(1_i64)),
        ("words", Value::from(vec![0xff_u8])),
        ("real", Value::from("a")),
    ] {
        let error = repo.write(insert(column, value.clone())).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::InvalidInput, "{column} {value:?}: {error}");
    }
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT count(*) FROM kinds")).await, 0);
    repo.write(insert("whole", 1_i64)).await.unwrap();
}

async fn defaults_and_casts_have_the_same_type(db: &TestDatabase) {
    let repo = open(db).await;
    let row: Row = repo
        .read_one(
            Statement::new(
                "SELECT count(*) AS n, max(whole) AS most, 1 AS one, 'x' AS x, NULL AS absent, \
             CAST($1 AS bigint) AS eight, coalesce(CAST($2 AS text), '') AS words FROM kinds",
            )
            .bind(8_i64)
            .bind("w"),
        )
        .await
        .unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 0);
    assert_eq!(row.get::<Option<i64>>("most").unwrap(), None);
    assert_eq!(row.get::<i32>("one").unwrap(), 1);
    assert_eq!(row.get::<String>("x").unwrap(), "x");
    assert_eq!(row.get::<Option<String>>("absent").unwrap(), None);
    assert_eq!(row.get::<i64>("eight").unwrap(), 8);
    assert_eq!(row.get::<String>("words").unwrap(), "w");
}
