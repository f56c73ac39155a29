//! The pipeline: order, refusal, retry, answers, the switch, deadlines; a commit is seen once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_repo::middleware::{
    Deadline, Middleware, Next, Observe, ReadOnlyMode, Retry, SlowLog, async_trait,
};
use mainstay_repo::{Action, Batch, Error, ErrorKind, Operation, Outcome, Payload, Result, Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, check_error, create_kv, kind, put, soon};

on_every_database!(
    each_sees_every_operation_in_order,
    one_may_refuse_change_or_answer,
    retry_repeats_what_did_nothing,
    a_commit_is_never_retried,
    a_refused_commit_undoes_the_transaction,
    the_read_only_switch,
    the_deadline_is_a_ceiling,
    the_shipped_ones_together,
);

type Seen = Arc<Mutex<Vec<String>>>;

/// Writes down what passes, on the way in and out.
struct Recorder(&'static str, Seen);

#[async_trait]
impl Middleware for Recorder {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        let line = format!(
            "{} {} {} {:?} {:?} #{}",
            self.0,
            operation.component(),
            operation.action().as_str(),
            operation.name(),
            operation.table(),
            operation.attempt()
        );
        self.1.lock().unwrap().push(line);
        let result = next.run(operation).await;
        self.1.lock().unwrap().push(format!("{} {}", self.0, if result.is_ok() { "ok" } else { "error" }));
        result
    }
}

/// Fails the first so many operations of an action without running them.
struct FailFirst(Action, AtomicU32, ErrorKind);

#[async_trait]
impl Middleware for FailFirst {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        let fails = operation.action() == self.0
            && self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(Error::new(self.2.clone(), "made up")) } else { next.run(operation).await }
    }
}

fn fail_first(action: Action, times: u32, kind: ErrorKind) -> FailFirst {
    FailFirst(action, AtomicU32::new(times), kind)
}

async fn each_sees_every_operation_in_order(db: &TestDatabase) {
    let seen = Seen::default();
    let (outer, inner) = (Recorder("outer", Arc::clone(&seen)), Recorder("inner", Arc::clone(&seen)));
    let repo = db.options().with(outer).with(inner).connect().await.unwrap();
    create_kv(&repo).await;
    seen.lock().unwrap().clear();
    let repo = repo.for_component("shop");
    repo.read(Statement::new("SELECT n FROM kv").named("find").on_table("kv")).await.unwrap();
    repo.write(put(1, 1)).await.unwrap();
    repo.write(put(1, 1)).await.unwrap_err();
    let mut batch = Batch::new("two");
    batch.push(put(2, 2));
    batch.push(put(3, 3).on_table("kv"));
    repo.batch(batch).await.unwrap();
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(4, 4)).await.unwrap();
    tx.commit().await.unwrap();
    drop(repo.begin().await.unwrap());
    let mut expected = Vec::new();
    for (what, result) in [
        ("read Some(\"find\") Some(\"kv\")", "ok"),
        ("write None None", "ok"),
        ("write None None", "error"),
        ("batch Some(\"two\") Some(\"kv\")", "ok"),
        ("begin None None", "ok"),
        ("commit None None", "ok"),
        ("begin None None", "ok"),
    ] {
        expected.push(format!("outer shop {what} #1"));
        expected.push(format!("inner shop {what} #1"));
        expected.push(format!("inner {result}"));
        expected.push(format!("outer {result}"));
    }
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Refuses deletes, doubles what is written to `kv`, and answers reads of `answer` itself.
struct Meddler;

#[async_trait]
impl Middleware for Meddler {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        if operation
            .statements()
            .any(|statement| statement.sql().text(mainstay_repo::Dialect::Sqlite).contains("DELETE"))
        {
            return Err(Error::new(ErrorKind::PermissionDenied, "deletes are not allowed here"));
        }
        if operation.name() == Some("answer") {
            return Ok(Outcome::Rows(vec![Vec::new()]));
        }
        if operation.name() == Some("double") {
            return next.run(operation.with_payload(Payload::Write(put(1, 84)))).await;
        }
        next.run(operation).await
    }
}

async fn one_may_refuse_change_or_answer(db: &TestDatabase) {
    let repo = db.options().with(Meddler).connect().await.unwrap();
    create_kv(&repo).await;
    repo.write(put(1, 42).named("double")).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 84)]);
    let error = repo.write(Statement::new("DELETE FROM kv")).await.unwrap_err();
    check_error(&error, &ErrorKind::PermissionDenied, &["not allowed"]);
    let mut batch = Batch::new("with a delete");
    batch.push(put(2, 2));
    batch.push(Statement::new("DELETE FROM kv"));
    assert_eq!(kind(&repo.batch(batch).await.unwrap_err()), ErrorKind::PermissionDenied);
    assert_eq!(repo.read(Statement::new("SELECT n FROM kv").named("answer")).await.unwrap().len(), 0);
    assert_eq!(all_kv(&repo).await, [(1, 84)]);
}

async fn retry_repeats_what_did_nothing(db: &TestDatabase) {
    for (failure, times, good) in [
        (ErrorKind::Busy, 3, true),
        (ErrorKind::Unavailable, 3, true),
        (ErrorKind::Busy, 4, false),
        (ErrorKind::Timeout, 1, false),
        (ErrorKind::InvalidInput, 1, false),
    ] {
        let seen = Seen::default();
        let repo = db
            .options()
            .with(Retry::new(4, Duration::from_millis(1)))
            .with(Recorder("inner", Arc::clone(&seen)))
            .with(fail_first(Action::Read, times, failure.clone()))
            .connect()
            .await
            .unwrap();
        let result = repo.read(Statement::new("SELECT 1 AS one")).await;
        assert_eq!(result.is_ok(), good, "{failure:?} {times} {result:?}");
        let attempts = seen.lock().unwrap().iter().filter(|line| line.contains(" #")).count();
        let retried = matches!(failure, ErrorKind::Busy | ErrorKind::Unavailable);
        assert_eq!(attempts, if retried { 4 } else { 1 });
        let last = format!("inner host read None None #{attempts}");
        assert!(seen.lock().unwrap().contains(&last));
    }
}

async fn a_commit_is_never_retried(db: &TestDatabase) {
    let seen = Seen::default();
    let repo = db
        .options()
        .with(Retry::new(5, Duration::from_millis(1)))
        .with(Recorder("inner", Arc::clone(&seen)))
        .with(fail_first(Action::Commit, 1, ErrorKind::Busy))
        .connect()
        .await
        .unwrap();
    create_kv(&repo).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    assert_eq!(kind(&tx.commit().await.unwrap_err()), ErrorKind::Busy);
    let commits = seen.lock().unwrap().iter().filter(|line| line.contains("commit")).count();
    assert_eq!(commits, 1);
    assert_eq!(all_kv(&repo).await, []);
}

async fn a_refused_commit_undoes_the_transaction(db: &TestDatabase) {
    let refusal = fail_first(Action::Commit, 1, ErrorKind::ReadOnly);
    let repo = db.options().with(refusal).connect().await.unwrap();
    create_kv(&repo).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    assert_eq!(kind(&tx.commit().await.unwrap_err()), ErrorKind::ReadOnly);
    soon(repo.write(put(1, 2))).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 2)]);
}

async fn the_read_only_switch(db: &TestDatabase) {
    let switch = ReadOnlyMode::new();
    let repo = db.options().with(switch.clone()).connect().await.unwrap();
    create_kv(&repo).await;
    repo.write(put(1, 1)).await.unwrap();
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(2, 2)).await.unwrap();
    switch.set(true);
    assert!(switch.is_on());
    let error = repo.write(put(3, 3)).await.unwrap_err();
    check_error(&error, &ErrorKind::ReadOnly, &["read-only mode", "operator"]);
    let mut batch = Batch::new("refused");
    batch.push(put(3, 3));
    assert_eq!(kind(&repo.batch(batch).await.unwrap_err()), ErrorKind::ReadOnly);
    assert_eq!(kind(&repo.begin().await.unwrap_err()), ErrorKind::ReadOnly);
    assert_eq!(kind(&tx.commit().await.unwrap_err()), ErrorKind::ReadOnly);
    assert_eq!(all_kv(&repo).await, [(1, 1)]);
    switch.set(false);
    repo.write(put(4, 4)).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 1), (4, 4)]);
}

async fn the_deadline_is_a_ceiling(db: &TestDatabase) {
    let repo = db.options().with(Deadline::after(Duration::from_millis(150))).connect().await.unwrap();
    let slow = Sql::per_dialect(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000000000) SELECT count(*) AS n FROM c",
        "SELECT count(*) AS n FROM pg_sleep(60)",
    );
    let patient = repo.clone().within(Duration::from_secs(600));
    let error = soon(patient.read(Statement::new(slow))).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout);
    let hurried = repo.within(Duration::ZERO);
    assert_eq!(kind(&hurried.read(Statement::new("SELECT 1 AS one")).await.unwrap_err()), ErrorKind::Timeout);
}

async fn the_shipped_ones_together(db: &TestDatabase) {
    let repo = db
        .options()
        .with(Observe)
        .with(SlowLog::over(Duration::ZERO))
        .with(Deadline::after(Duration::from_secs(30)))
        .with(ReadOnlyMode::new())
        .with(Retry::default())
        .with(fail_first(Action::Batch, 2, ErrorKind::Busy))
        .connect()
        .await
        .unwrap();
    create_kv(&repo).await;
    let mut batch = Batch::new("together");
    batch.push(put(1, 1));
    repo.batch(batch).await.unwrap();
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(2, 2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 1), (2, 2)]);
}
