//! Batches: all or nothing, conditions with their place, back references, limits.

use mainstay_repo::{Batch, ErrorKind, Expect, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, check_error, create_kv, ddl, kind, n_of, put};

on_every_database!(
    all_of_it_happens,
    a_failure_anywhere_undoes_everything,
    conditions_name_their_statement,
    conditions_count_what_a_read_returns,
    back_references_carry_values,
    a_back_reference_to_nothing_is_refused,
    limits_and_the_empty_batch,
    a_large_batch,
    a_batch_is_data,
);

async fn all_of_it_happens(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let mut batch = Batch::new("all");
    let first = batch.push(put(1, 10));
    let update =
        batch.expect(Expect::ONE, Statement::new("UPDATE kv SET n = n + 1 WHERE id = 1 RETURNING n"));
    let read = batch.push(Statement::new("SELECT id, n FROM kv"));
    let delete = batch.push(Statement::new("DELETE FROM kv WHERE id = 99"));
    let outcome = repo.batch(batch).await.unwrap();
    let affected = |at| outcome.get(at).unwrap().rows_affected();
    assert_eq!([affected(first), affected(update), affected(read), affected(delete)], [1, 1, 1, 0]);
    assert_eq!(outcome.get(update).unwrap().rows()[0].get::<i64>("n").unwrap(), 11);
    assert_eq!(
        outcome.get(read).unwrap().rows()[0].get::<i64>("n").unwrap(),
        11,
        "a batch sees its own writes"
    );
    assert_eq!(outcome.written().len(), 4);
    assert_eq!(all_kv(&repo).await, [(1, 11)]);
}

async fn a_failure_anywhere_undoes_everything(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(0, 0)).await.unwrap();
    for failing in 0..6 {
        for bad in
            [put(0, 1), put(50, -1), Statement::new("UPDATE no_such_table SET n = 1"), put(7, 7).bind(1_i64)]
        {
            let mut batch = Batch::new("middle");
            for place in 0..6_i64 {
                if place == failing {
                    batch.push(bad.clone());
                } else {
                    batch.push(put(place + 1, place));
                }
            }
            repo.batch(batch).await.unwrap_err();
            assert_eq!(all_kv(&repo).await, [(0, 0)]);
        }
    }
}

async fn conditions_name_their_statement(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 1)).await.unwrap();
    repo.write(put(2, 2)).await.unwrap();
    let touch = |sql: &'static str| Statement::new(sql);
    for (expect, sql, met) in [
        (Expect::ONE, "UPDATE kv SET n = 9 WHERE id = 1", true),
        (Expect::ONE, "UPDATE kv SET n = 9", false),
        (Expect::ONE, "UPDATE kv SET n = 9 WHERE id = 99", false),
        (Expect::NONE, "DELETE FROM kv WHERE id = 99", true),
        (Expect::NONE, "DELETE FROM kv WHERE id = 1", false),
        (Expect::AtLeast(4), "UPDATE kv SET n = 9", true),
        (Expect::AtLeast(5), "UPDATE kv SET n = 9", false),
        (Expect::AtMost(1), "UPDATE kv SET n = 9 WHERE id = 1", true),
        (Expect::AtMost(1), "UPDATE kv SET n = 9", false),
        (Expect::ONE, "INSERT INTO kv (id, n) VALUES (1, 1) ON CONFLICT DO NOTHING", false),
        (Expect::ONE, "UPDATE kv SET n = 9 WHERE id = 2 RETURNING id", true),
    ] {
        let mut batch = Batch::new("conditions");
        batch.push(put(10, 10));
        batch.push(put(11, 11));
        let conditional = batch.expect(expect, touch(sql));
        batch.push(touch("DELETE FROM kv WHERE id > 9"));
        let result = repo.batch(batch).await;
        assert_eq!(result.is_ok(), met, "{expect:?} {sql} {result:?}");
        if let Err(error) = result {
            check_error(
                &error,
                &ErrorKind::ConditionFailed { index: 2 },
                &["statement 2", "conditions", "rolled back"],
            );
            assert_eq!(error.condition_failed(), Some(conditional.index()));
        }
        repo.write(touch("DELETE FROM kv")).await.unwrap();
        repo.write(put(1, 1)).await.unwrap();
        repo.write(put(2, 2)).await.unwrap();
    }
}

async fn conditions_count_what_a_read_returns(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 5)).await.unwrap();
    let guarded = |n: i64| {
        let mut batch = Batch::new("guard");
        batch.expect(Expect::ONE, Statement::new("SELECT id FROM kv WHERE id = 1 AND n = $1").bind(n));
        batch.push(Statement::new("UPDATE kv SET n = n + 1 WHERE id = 1"));
        batch
    };
    assert_eq!(repo.batch(guarded(4)).await.unwrap_err().condition_failed(), Some(0));
    repo.batch(guarded(5)).await.unwrap();
    assert_eq!(n_of(&repo, 1).await, Some(6));
}

async fn back_references_carry_values(db: &TestDatabase) {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[
            (
                "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, at INTEGER, flag INTEGER) STRICT",
                "CREATE TABLE orders (id bigserial PRIMARY KEY, item text NOT NULL, at timestamptz, flag boolean)",
            ),
            (
                "CREATE TABLE parcels (order_id INTEGER NOT NULL REFERENCES orders (id), item TEXT, at INTEGER, flag INTEGER) STRICT",
                "CREATE TABLE parcels (order_id bigint NOT NULL REFERENCES orders (id), item text, at timestamptz, flag boolean)",
            ),
        ],
    )
    .await;
    for item in ["tea", "日本", ""] {
        let mut batch = Batch::new("order");
        let order = batch.push(
            Statement::new(
                "INSERT INTO orders (item, at, flag) VALUES ($1, $2, $3) RETURNING id, item, at, flag",
            )
            .bind(item)
            .bind(mainstay_core::Timestamp::UNIX_EPOCH)
            .bind(true),
        );
        let parcel = batch.push(
            Statement::new("INSERT INTO parcels (order_id, item, at, flag) VALUES ($1, $2, $3, $4) RETURNING order_id, item")
                .bind(order.column("id"))
                .bind(order.column("item"))
                .bind(order.column("at"))
                .bind(order.column("flag")),
        );
        batch.push(
            Statement::new("UPDATE orders SET item = item WHERE id = $1").bind(parcel.column("order_id")),
        );
        let outcome = repo.batch(batch).await.unwrap();
        let parcel = &outcome.get(parcel).unwrap().rows()[0];
        let order = &outcome.get(order).unwrap().rows()[0];
        assert_eq!(parcel.get::<i64>("order_id").unwrap(), order.get::<i64>("id").unwrap());
        assert_eq!(parcel.get::<String>("item").unwrap(), item);
    }
    let same =
        "SELECT o.id FROM orders o JOIN parcels p ON p.order_id = o.id AND p.at = o.at AND p.flag = o.flag";
    assert_eq!(repo.read(Statement::new(same)).await.unwrap().len(), 3);
}

async fn a_back_reference_to_nothing_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let build = |sql: &'static str, column: &'static str| {
        let mut batch = Batch::new("nothing");
        batch.push(put(1, 1));
        let earlier = batch.push(Statement::new(sql));
        batch.push(Statement::new("INSERT INTO kv (id, n) VALUES (2, $1)").bind(earlier.column(column)));
        batch
    };
    for (sql, column, word) in [
        ("SELECT n FROM kv WHERE id = 99", "n", "no row"),
        ("SELECT n FROM kv", "m", "no such column"),
        ("UPDATE kv SET n = 5", "n", "no row"),
    ] {
        let error = repo.batch(build(sql, column)).await.unwrap_err();
        check_error(&error, &ErrorKind::InvalidInput, &[word, "statement 1"]);
        assert_eq!(all_kv(&repo).await, []);
    }
    let mut forward = Batch::new("forward");
    let mut other = Batch::new("other");
    other.push(put(1, 1));
    let second = other.push(put(2, 2));
    forward.push(Statement::new("INSERT INTO kv (id, n) VALUES (2, $1)").bind(second.column("id")));
    assert_eq!(kind(&repo.batch(forward).await.unwrap_err()), ErrorKind::InvalidInput);
    let alone = Statement::new("INSERT INTO kv (id, n) VALUES (2, $1)").bind(second.column("id"));
    assert_eq!(kind(&repo.write(alone.clone()).await.unwrap_err()), ErrorKind::InvalidInput);
    assert_eq!(kind(&repo.read(alone).await.unwrap_err()), ErrorKind::InvalidInput);
}

async fn limits_and_the_empty_batch(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    assert!(repo.batch(Batch::new("empty")).await.unwrap().written().is_empty());
    let of = |count: usize| {
        let mut batch = Batch::new("many");
        for _ in 0..count {
            batch.push(Statement::new("UPDATE kv SET n = n + 1 WHERE id = 1"));
        }
        batch
    };
    repo.write(put(1, 0)).await.unwrap();
    repo.batch(of(Batch::MAX_STATEMENTS)).await.unwrap();
    assert_eq!(n_of(&repo, 1).await, Some(i64::try_from(Batch::MAX_STATEMENTS).unwrap()));
    let error = repo.batch(of(Batch::MAX_STATEMENTS + 1)).await.unwrap_err();
    check_error(&error, &ErrorKind::InvalidInput, &["10001", "10000", "split"]);
    let wide = vec![0_u8; Batch::MAX_BYTES / 2 + 1];
    let mut heavy = Batch::new("heavy");
    heavy.push(Statement::new("SELECT $1").bind(wide.clone()));
    heavy.push(Statement::new("SELECT $1").bind(wide));
    assert_eq!(kind(&repo.batch(heavy).await.unwrap_err()), ErrorKind::InvalidInput);
}

async fn a_large_batch(db: &TestDatabase) {
    let repo = db.repo().await;
    ddl(&repo, &[("CREATE TABLE blobs (body BLOB) STRICT", "CREATE TABLE blobs (body bytea)")]).await;
    let mut batch = Batch::new("large");
    for byte in 0..24_u8 {
        let body = vec![byte; 1024 * 1024];
        batch.expect(Expect::ONE, Statement::new("INSERT INTO blobs (body) VALUES ($1)").bind(body));
    }
    repo.batch(batch).await.unwrap();
    let rows = repo.read(Statement::new("SELECT body FROM blobs")).await.unwrap();
    let size: usize = rows.iter().map(|row| row.get::<Vec<u8>>("body").unwrap().len()).sum();
    assert_eq!(size, 24 * 1024 * 1024);
}

async fn a_batch_is_data(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let mut batch = Batch::new("sent");
    let first =
        batch.push(Statement::new("INSERT INTO kv (id, n, tag) VALUES ($1, $2, $3) RETURNING n").bind_all([
            mainstay_repo::Value::Int(1),
            mainstay_repo::Value::Int(5),
            mainstay_repo::Value::from("日本"),
        ]));
    batch.expect(
        Expect::ONE,
        Statement::new("INSERT INTO kv (id, n) VALUES (2, $1)")
            .bind(first.column("n"))
            .named("second")
            .on_table("kv"),
    );
    batch.expect(Expect::NONE, Statement::new("SELECT id FROM kv WHERE id = 3"));
    let sent = serde_json::to_string(&batch).unwrap();
    let received: Batch = serde_json::from_str(&sent).unwrap();
    assert_eq!(received, batch);
    assert_eq!(repo.batch(received).await.unwrap().written().len(), 3);
    assert_eq!(all_kv(&repo).await, [(1, 5), (2, 5)]);
}
