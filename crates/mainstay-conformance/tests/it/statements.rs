//! Single statements: placeholders, counts, `RETURNING`, what is refused.

use mainstay_repo::{ErrorKind, Row, Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, check_error, create_kv, kind, n_of, put, scalar};

on_every_database!(
    placeholders_are_bound_by_number,
    counts_of_rows,
    returning_gives_the_stored_row_on_upsert,
    a_read_that_writes_is_refused,
    a_write_that_reads_returns_rows,
    control_of_transactions_is_refused,
    several_statements_in_one_are_refused,
    a_statement_goes_on_after_the_table_changes,
    many_columns_and_rows,
);

async fn placeholders_are_bound_by_number(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let swapped = Statement::new("INSERT INTO kv (n, id) VALUES ($2, $1)").bind(1_i64).bind(2_i64);
    repo.write(swapped).await.unwrap();
    assert_eq!(n_of(&repo, 1).await, Some(2));
    let twice = Statement::new("INSERT INTO kv (id, n) VALUES ($1, $1)").bind(3_i64);
    repo.write(twice).await.unwrap();
    assert_eq!(n_of(&repo, 3).await, Some(3));
    let eleven = "SELECT CAST($11 AS bigint) - CAST($1 AS bigint) + 0 * (CAST($2 AS bigint) + CAST($3 AS bigint) \
                  + CAST($4 AS bigint) + CAST($5 AS bigint) + CAST($6 AS bigint) + CAST($7 AS bigint) \
                  + CAST($8 AS bigint) + CAST($9 AS bigint) + CAST($10 AS bigint)) AS x";
    assert_eq!(scalar::<i64>(&repo, Statement::new(eleven).bind_all(1..=11_i64)).await, 10);
    let quoted = "SELECT '$2 ? :x' AS text, CAST($1 AS text) AS bound -- $3\n /* $4 */";
    let row: Row = repo.read_one(Statement::new(quoted).bind("b")).await.unwrap();
    assert_eq!(row.get::<String>("text").unwrap(), "$2 ? :x");
    assert_eq!(row.get::<String>("bound").unwrap(), "b");
}

async fn counts_of_rows(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let affected = async |sql: &'static str| repo.write(Statement::new(sql)).await.unwrap().rows_affected();
    assert_eq!(affected("INSERT INTO kv (id, n) VALUES (1, 1), (2, 2), (3, 3)").await, 3);
    assert_eq!(affected("UPDATE kv SET n = n WHERE id > 1").await, 2);
    assert_eq!(affected("UPDATE kv SET n = 0 WHERE id = 99").await, 0);
    assert_eq!(affected("INSERT INTO kv (id, n) VALUES (1, 9) ON CONFLICT DO NOTHING").await, 0);
    assert_eq!(affected("DELETE FROM kv WHERE id = 1").await, 1);
    assert_eq!(affected("DELETE FROM kv").await, 2);
    let returning = Statement::new("INSERT INTO kv (id, n) VALUES (1, 1), (2, 2) RETURNING id");
    let written = repo.write(returning).await.unwrap();
    assert_eq!((written.rows_affected(), written.rows().len()), (2, 2));
}

async fn returning_gives_the_stored_row_on_upsert(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let upsert = |n: i64| {
        Statement::new(
            "INSERT INTO kv (id, n) VALUES (7, $1) ON CONFLICT (id) DO UPDATE SET n = kv.n + excluded.n RETURNING id, n",
        )
        .bind(n)
    };
    for (n, stored) in [(5, 5), (6, 11), (0, 11)] {
        let written = repo.write(upsert(n)).await.unwrap();
        assert_eq!(written.rows_affected(), 1);
        let row = written.into_row().unwrap();
        assert_eq!((row.get::<i64>("id").unwrap(), row.get::<i64>("n").unwrap()), (7, stored));
    }
}

async fn a_read_that_writes_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    for sql in [
        "INSERT INTO kv (id, n) VALUES (1, 1)",
        "INSERT INTO kv (id, n) VALUES (1, 1) RETURNING id",
        "DELETE FROM kv",
        "CREATE TABLE other (id integer)",
        "DROP TABLE kv",
    ] {
        let error = repo.read(Statement::new(sql)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::ReadOnly, "{sql}: {error}");
        assert!(error.help().is_some(), "{error}");
        let many = vec![Statement::new("SELECT 1 AS one"), Statement::new(sql)];
        assert_eq!(kind(&repo.read_many(many).await.unwrap_err()), ErrorKind::ReadOnly, "{sql}");
    }
    assert_eq!(all_kv(&repo).await, []);
    let sneaky = "WITH gone AS (DELETE FROM kv RETURNING id) SELECT id FROM gone";
    assert!(repo.read(Statement::new(sneaky)).await.is_err());
}

async fn a_write_that_reads_returns_rows(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 5)).await.unwrap();
    let written = repo.write(Statement::new("SELECT id, n FROM kv")).await.unwrap();
    assert_eq!((written.rows_affected(), written.rows().len()), (1, 1));
    assert_eq!(written.rows()[0].get::<i64>("n").unwrap(), 5);
}

async fn control_of_transactions_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    for sql in ["BEGIN", "COMMIT", " rollback", "-- x\nCommit", "/* x */ END", "SAVEPOINT a", "RELEASE a"] {
        let error = repo.write(Statement::new(sql)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::InvalidInput, "{sql}: {error}");
        assert!(repo.read(Statement::new(sql)).await.is_err(), "{sql}");
        let mut tx = repo.begin().await.unwrap();
        tx.write(put(1, 1)).await.unwrap();
        assert!(tx.write(Statement::new(sql)).await.is_err(), "{sql}");
        drop(tx);
    }
    repo.write(put(2, 2)).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(2, 2)]);
}

async fn several_statements_in_one_are_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let two = "INSERT INTO kv (id, n) VALUES (1, 1); INSERT INTO kv (id, n) VALUES (2, 2)";
    let error = repo.write(Statement::new(two)).await.unwrap_err();
    check_error(&error, &ErrorKind::InvalidInput, &["statement"]);
    assert!(repo.read(Statement::new("SELECT 1; DROP TABLE kv")).await.is_err());
    assert_eq!(all_kv(&repo).await, []);
    repo.write(Statement::new("INSERT INTO kv (id, n) VALUES (1, 1);")).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 1)]);
}

async fn a_statement_goes_on_after_the_table_changes(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 1)).await.unwrap();
    let all = || Statement::new("SELECT * FROM kv");
    for _ in 0..20 {
        assert_eq!(repo.read_one::<Row>(all()).await.unwrap().columns().count(), 3);
    }
    repo.write(Statement::new("ALTER TABLE kv ADD COLUMN extra text")).await.unwrap();
    for _ in 0..20 {
        let row = repo.read_one::<Row>(all()).await.unwrap();
        assert_eq!(row.columns().collect::<Vec<_>>(), ["id", "n", "tag", "extra"]);
        repo.write(Statement::new("UPDATE kv SET n = n + 1 RETURNING *")).await.unwrap();
    }
    assert_eq!(n_of(&repo, 1).await, Some(21));
}

async fn many_columns_and_rows(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let numbers = Sql::per_dialect(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) \
         INSERT INTO kv (id, n) SELECT i, i FROM c",
        "INSERT INTO kv (id, n) SELECT i, i FROM generate_series(1, 20000) i",
    );
    assert_eq!(repo.write(Statement::new(numbers)).await.unwrap().rows_affected(), 20_000);
    assert_eq!(all_kv(&repo).await.len(), 20_000);
    let columns: Vec<String> = (0..500).map(|i| format!("{i} AS c{i}")).collect();
    let sql = format!("SELECT {}", columns.join(", "));
    let row: Row = repo.read_one(Statement::new(Sql::dynamic(sql.clone(), sql))).await.unwrap();
    assert_eq!(row.get::<i64>("c499").unwrap(), 499);
    let most = (1..=Statement::MAX_PARAMS).map(|i| format!("(${i})")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT count(*) AS n FROM (VALUES {most}) AS v");
    let statement = Statement::new(Sql::dynamic(sql.clone(), sql)).bind_all(vec!["x"; Statement::MAX_PARAMS]);
    assert_eq!(scalar::<i64>(&repo, statement).await, i64::try_from(Statement::MAX_PARAMS).unwrap());
}
