//! What the tests share: the macro that runs each on both databases, and short ways to say common things.

use std::time::Duration;

use mainstay_repo::{Dialect, Error, ErrorKind, FromValue, Repo, Row, Sql, Statement};

/// Declares each function of the room as a test on every database, and on PostgreSQL behind PgBouncer in transaction mode.
macro_rules! on_every_database {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&mainstay_testkit::TestDatabase::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&mainstay_testkit::TestDatabase::postgres()).await;
            })+
        }

        mod pooled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&mainstay_testkit::TestDatabase::pooled()).await;
            })+
        }
    };
}

/// No test may wait for ever: longer than this is a hang.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// Ends a future that hangs.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("it hangs")
}

/// Runs the schema's statements; an empty text is a statement that a database does not need.
pub(crate) async fn ddl(repo: &Repo, statements: &[(&'static str, &'static str)]) {
    for (sqlite, postgres) in statements {
        let text = match repo.dialect() {
            Dialect::Postgres => postgres,
            _ => sqlite,
        };
        if !text.is_empty() {
            repo.write(Statement::new(Sql::new(text))).await.unwrap();
        }
    }
}

/// Makes the table that most tests use: `kv (id, n, tag)` with a key, a check and a unique tag.
pub(crate) async fn create_kv(repo: &Repo) {
    ddl(
        repo,
        &[(
            "CREATE TABLE kv (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CONSTRAINT n_not_negative CHECK (n >= 0), \
             tag TEXT UNIQUE) STRICT",
            "CREATE TABLE kv (id bigint PRIMARY KEY, n bigint NOT NULL CONSTRAINT n_not_negative CHECK (n >= 0), \
             tag text UNIQUE)",
        )],
    )
    .await;
}

/// `INSERT INTO kv`.
pub(crate) fn put(id: i64, n: i64) -> Statement {
    Statement::new("INSERT INTO kv (id, n) VALUES ($1, $2)").bind(id).bind(n)
}

/// The only value of the only row.
pub(crate) async fn scalar<T: FromValue>(repo: &Repo, statement: Statement) -> T {
    repo.read_one::<Row>(statement).await.unwrap().get_at(0).unwrap()
}

/// `SELECT n FROM kv` of one id.
pub(crate) async fn n_of(repo: &Repo, id: i64) -> Option<i64> {
    let row =
        repo.read_optional::<Row>(Statement::new("SELECT n FROM kv WHERE id = $1").bind(id)).await.unwrap();
    row.map(|row| row.get("n").unwrap())
}

/// All of `kv` as `(id, n)`, in order.
pub(crate) async fn all_kv(repo: &Repo) -> Vec<(i64, i64)> {
    let rows = repo.read(Statement::new("SELECT id, n FROM kv ORDER BY id")).await.unwrap();
    rows.iter().map(|row| (row.get("id").unwrap(), row.get("n").unwrap())).collect()
}

/// The error's kind, and that its text says something.
pub(crate) fn kind(error: &Error) -> ErrorKind {
    assert!(!error.message().is_empty());
    error.kind().clone()
}

/// That an error is of a kind and that its text says the words.
pub(crate) fn check_error(error: &Error, expected: &ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), expected, "{error:?}");
    for word in words {
        assert!(text.to_lowercase().contains(&word.to_lowercase()), "{word:?} is not said in: {text}");
    }
}
