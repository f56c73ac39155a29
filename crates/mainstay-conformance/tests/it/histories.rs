//! Random histories of batches: a plain model, SQLite and PostgreSQL come to the same outcomes and the same rows.
//!
//! In the second test several histories run at once on one table, each on ids of its own: whatever the database commits
//! together, each must come out as if it were alone.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use mainstay_repo::{Batch, ConstraintKind, Error, ErrorKind, Expect, Repo, Statement};
use mainstay_testkit::{SqliteFile, TestDatabase};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{create_kv, soon};

/// How many ids a history uses: few, so that they meet.
const IDS: i64 = 6;

/// One statement, before it is known on whose ids.
#[derive(Debug, Clone)]
enum Op {
    Insert {
        id: i64,
        n: i64,
        tag: Option<u8>,
    },
    Upsert {
        id: i64,
        n: i64,
    },
    Add {
        id: i64,
        by: i64,
        expect: Expect,
    },
    AddToAll {
        by: i64,
        expect: Expect,
    },
    Delete {
        id: i64,
        expect: Expect,
    },
    /// Takes `n` from what an earlier statement returned.
    Copy {
        id: i64,
        from: usize,
    },
    Read {
        id: i64,
        expect: Expect,
    },
    Broken,
}

/// What a batch came to, as far as both databases and the model must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    To(Vec<u64>),
    Conflict(String),
    Check,
    NotMet(usize),
    Invalid,
}

type Rows = BTreeMap<i64, (i64, Option<u8>)>;

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..IDS;
    let expect = || {
        prop_oneof![
            3 => Just(Expect::Any),
            3 => Just(Expect::ONE),
            1 => Just(Expect::NONE),
            1 => (0_u64..3).prop_map(Expect::AtLeast),
            1 => (0_u64..3).prop_map(Expect::AtMost),
        ]
    };
    let tag = proptest::option::of(0_u8..4);
    prop_oneof![
        6 => (id(), 0_i64..5, tag).prop_map(|(id, n, tag)| Op::Insert { id, n, tag }),
        4 => (id(), -1_i64..5).prop_map(|(id, n)| Op::Upsert { id, n }),
        4 => (id(), -2_i64..4, expect()).prop_map(|(id, by, expect)| Op::Add { id, by, expect }),
        1 => (-1_i64..2, expect()).prop_map(|(by, expect)| Op::AddToAll { by, expect }),
        3 => (id(), expect()).prop_map(|(id, expect)| Op::Delete { id, expect }),
        3 => (id(), any::<usize>()).prop_map(|(id, from)| Op::Copy { id, from }),
        2 => (id(), expect()).prop_map(|(id, expect)| Op::Read { id, expect }),
        1 => Just(Op::Broken),
    ]
}

fn history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    proptest::collection::vec(proptest::collection::vec(op(), 1..6), 1..16)
}

/// The batch on ids from `base` on, and with tags of their own.
fn batch(ops: &[Op], base: i64) -> Batch {
    let mut batch = Batch::new("history");
    let mut places = Vec::new();
    for op in ops {
        let place = match op {
            Op::Insert { id, n, tag } => batch.push(
                Statement::new("INSERT INTO kv (id, n, tag) VALUES ($1, $2, $3) RETURNING n")
                    .bind(base + id)
                    .bind(*n)
                    .bind(tag.map(|tag| format!("{base}/{tag}"))),
            ),
            Op::Upsert { id, n } => batch.push(
                Statement::new(
                    "INSERT INTO kv (id, n) VALUES ($1, $2) \
                     ON CONFLICT (id) DO UPDATE SET n = kv.n + excluded.n RETURNING n",
                )
                .bind(base + id)
                .bind(*n),
            ),
            Op::Add { id, by, expect } => batch.expect(
                *expect,
                Statement::new("UPDATE kv SET n = n + $1 WHERE id = $2 RETURNING n")
                    .bind(*by)
                    .bind(base + id),
            ),
            Op::AddToAll { by, expect } => batch.expect(
                *expect,
                Statement::new("UPDATE kv SET n = n + $1 WHERE id >= $2 AND id < $3")
                    .bind(*by)
                    .bind(base)
                    .bind(base + IDS),
            ),
            Op::Delete { id, expect } => batch
                .expect(*expect, Statement::new("DELETE FROM kv WHERE id = $1 RETURNING n").bind(base + id)),
            Op::Read { id, expect } => {
                batch.expect(*expect, Statement::new("SELECT n FROM kv WHERE id = $1").bind(base + id))
            }
            Op::Copy { id, from } => {
                let statement =
                    Statement::new("INSERT INTO kv (id, n) VALUES ($1, $2) RETURNING n").bind(base + id);
                batch.push(match places.len() {
                    0 => statement.bind(0_i64),
                    count => {
                        let earlier: mainstay_repo::StatementRef = places[from % count];
                        statement.bind(earlier.column("n"))
                    }
                })
            }
            Op::Broken => batch.push(Statement::new("UPDATE no_such_table SET n = 1")),
        };
        places.push(place);
    }
    batch
}

/// One statement on the model: how many rows, and what its first row returned.
fn apply(op: &Op, rows: &mut Rows, returned: &[Option<i64>]) -> Result<(u64, Option<i64>, Expect), Came> {
    let insert = |rows: &mut Rows, id: i64, n: i64, tag: Option<u8>| {
        if n < 0 {
            return Err(Came::Check);
        }
        if rows.contains_key(&id) {
            return Err(Came::Conflict("kv_pkey".to_owned()));
        }
        if tag.is_some() && rows.values().any(|(_, other)| *other == tag) {
            return Err(Came::Conflict("kv_tag_key".to_owned()));
        }
        rows.insert(id, (n, tag));
        Ok((1, Some(n), Expect::Any))
    };
    match op {
        Op::Insert { id, n, tag } => insert(rows, *id, *n, *tag),
        Op::Upsert { id, n } if *n < 0 => {
            let _ = (id, n);
            Err(Came::Check)
        }
        Op::Upsert { id, n } => match rows.get_mut(id) {
            None => insert(rows, *id, *n, None),
            Some((stored, _)) => {
                *stored += n;
                Ok((1, Some(*stored), Expect::Any))
            }
        },
        Op::Add { id, by, expect } => match rows.get_mut(id) {
            Some((n, _)) if *n + by < 0 => Err(Came::Check),
            Some((n, _)) => {
                *n += by;
                Ok((1, Some(*n), *expect))
            }
            None => Ok((0, None, *expect)),
        },
        Op::AddToAll { by, expect } => {
            if rows.values().any(|(n, _)| n + by < 0) {
                return Err(Came::Check);
            }
            rows.values_mut().for_each(|(n, _)| *n += by);
            Ok((u64::try_from(rows.len()).unwrap(), None, *expect))
        }
        Op::Delete { id, expect } => {
            let gone = rows.remove(id);
            Ok((u64::from(gone.is_some()), gone.map(|(n, _)| n), *expect))
        }
        Op::Read { id, expect } => {
            let found = rows.get(id).map(|(n, _)| *n);
            Ok((u64::from(found.is_some()), found, *expect))
        }
        Op::Copy { id, from } => match returned.len() {
            0 => insert(rows, *id, 0, None),
            count => match returned[from % count] {
                Some(n) => insert(rows, *id, n, None),
                None => Err(Came::Invalid),
            },
        },
        Op::Broken => Err(Came::Invalid),
    }
}

/// A batch on the model: all of it or nothing.
fn model(ops: &[Op], rows: &mut Rows) -> Came {
    let mut after = rows.clone();
    let (mut affected, mut returned) = (Vec::new(), Vec::new());
    for (index, op) in ops.iter().enumerate() {
        match apply(op, &mut after, &returned) {
            Err(came) => return came,
            Ok((count, _, expect)) if !expect.is_met_by(count) => return Came::NotMet(index),
            Ok((count, value, _)) => {
                affected.push(count);
                returned.push(value);
            }
        }
    }
    *rows = after;
    Came::To(affected)
}

fn classify(error: &Error) -> Came {
    match error.kind() {
        ErrorKind::Conflict { constraint } => Came::Conflict(constraint.clone()),
        ErrorKind::Constraint { constraint: ConstraintKind::Check, .. } => Came::Check,
        ErrorKind::ConditionFailed { index } => Came::NotMet(*index),
        ErrorKind::InvalidInput => Came::Invalid,
        other => panic!("{other:?}: {error:?}"),
    }
}

/// Runs a history on ids from `base` on, and compares every outcome and the rows at the end with the model.
async fn check(repo: &Repo, history: &[Vec<Op>], base: i64) -> Result<(), String> {
    let mut rows = Rows::new();
    for (number, ops) in history.iter().enumerate() {
        let expected = model(ops, &mut rows);
        let came = match soon(repo.batch(batch(ops, base))).await {
            Ok(outcome) => {
                Came::To(outcome.written().iter().map(mainstay_repo::Written::rows_affected).collect())
            }
            Err(error) => classify(&error),
        };
        if came != expected {
            return Err(format!(
                "batch {number} {ops:?}: the model came to {expected:?}, the database to {came:?}"
            ));
        }
    }
    let find = Statement::new("SELECT id, n, tag FROM kv WHERE id >= $1 AND id < $2 ORDER BY id");
    let stored = repo.read(find.bind(base).bind(base + IDS)).await.unwrap();
    let stored: Vec<(i64, i64, Option<String>)> = stored
        .iter()
        .map(|row| (row.get("id").unwrap(), row.get("n").unwrap(), row.get("tag").unwrap()))
        .collect();
    let expected: Vec<(i64, i64, Option<String>)> =
        rows.iter().map(|(id, (n, tag))| (base + id, *n, tag.map(|tag| format!("{base}/{tag}")))).collect();
    if stored == expected {
        Ok(())
    } else {
        Err(format!("the model holds {expected:?}, the database {stored:?}"))
    }
}

fn cases() -> u32 {
    if mainstay_testkit::environment::soaks() { 5_000 } else { 120 }
}

fn run<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    cases: u32,
    test: impl Fn(&T) -> Result<(), String>,
) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |value| test(&value).map_err(TestCaseError::fail));
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_history_is_the_same_on_the_model_and_both_databases() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let databases = [TestDatabase::sqlite(), TestDatabase::postgres()];
    let repos = databases.each_ref().map(|db| {
        runtime.block_on(async {
            let repo = db.repo().await;
            create_kv(&repo).await;
            repo
        })
    });
    run(history(), cases(), |history| {
        repos.iter().try_for_each(|repo| {
            runtime.block_on(async {
                repo.write(Statement::new("DELETE FROM kv")).await.unwrap();
                check(repo, history, 0).await.map_err(|problem| format!("{}: {problem}", repo.describe()))
            })
        })
    });
}

fn concurrent(db: &TestDatabase) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let repo = runtime.block_on(async {
        let repo = db.repo().await;
        create_kv(&repo).await;
        repo
    });
    let histories = proptest::collection::vec(history(), 12);
    run(histories, cases() / 4, |histories| {
        runtime.block_on(async {
            repo.write(Statement::new("DELETE FROM kv")).await.unwrap();
            let tasks = (0_i64..).zip(histories.clone()).map(|(number, history)| {
                let repo = repo.clone();
                tokio::spawn(async move { check(&repo, &history, number * 1_000).await })
            });
            join_all(tasks).await.into_iter().try_for_each(|result| result.unwrap())
        })
    });
}

#[test]
fn histories_at_once_do_not_touch_each_other_on_sqlite() {
    let file = SqliteFile::create();
    concurrent(&TestDatabase::Sqlite(file));
}

#[test]
fn histories_at_once_do_not_touch_each_other_on_postgres() {
    concurrent(&TestDatabase::postgres());
}
