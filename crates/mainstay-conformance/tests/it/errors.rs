//! Errors are the same on every database: kind, constraint's name, and a text that a person can use.

use mainstay_repo::{Batch, ConstraintKind, ErrorKind, Repo, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{ddl, kind, scalar};

on_every_database!(
    unique_violations_have_the_same_name,
    constraints_are_told_apart,
    foreign_keys_in_both_directions,
    what_does_not_parse_is_invalid,
    a_wrong_number_of_parameters_is_invalid,
    the_same_errors_in_batches_and_transactions,
    an_error_leaves_nothing_behind,
);

async fn open(db: &TestDatabase) -> Repo {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[
            (
                "CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT NOT NULL, \
                 email TEXT UNIQUE, code TEXT, size INTEGER NOT NULL DEFAULT 1 CONSTRAINT size_sane CHECK (size BETWEEN 1 AND 9), \
                 UNIQUE (name, region)) STRICT",
                "CREATE TABLE teams (id bigint PRIMARY KEY, name text NOT NULL, region text NOT NULL, \
                 email text UNIQUE, code text, size bigint NOT NULL DEFAULT 1 CONSTRAINT size_sane CHECK (size BETWEEN 1 AND 9), \
                 UNIQUE (name, region))",
            ),
            ("CREATE UNIQUE INDEX teams_by_code ON teams (code)", "CREATE UNIQUE INDEX teams_by_code ON teams (code)"),
            (
                "CREATE UNIQUE INDEX teams_by_lower_name ON teams (lower(name)) WHERE region = 'lower'",
                "CREATE UNIQUE INDEX teams_by_lower_name ON teams (lower(name)) WHERE region = 'lower'",
            ),
            (
                "CREATE TABLE members (team INTEGER NOT NULL REFERENCES teams (id), nick TEXT NOT NULL, \
                 PRIMARY KEY (team, nick)) STRICT",
                "CREATE TABLE members (team bigint NOT NULL REFERENCES teams (id), nick text NOT NULL, \
                 PRIMARY KEY (team, nick))",
            ),
            (
                "CREATE TABLE guests (team INTEGER NOT NULL REFERENCES teams (id) ON DELETE RESTRICT) STRICT",
                "CREATE TABLE guests (team bigint NOT NULL REFERENCES teams (id) ON DELETE RESTRICT)",
            ),
        ],
    )
    .await;
    repo.write(team(1, "red", "north")).await.unwrap();
    repo.write(Statement::new("UPDATE teams SET email = 'e', code = 'c' WHERE id = 1")).await.unwrap();
    repo.write(Statement::new("INSERT INTO members (team, nick) VALUES (1, 'ada')")).await.unwrap();
    repo
}

fn team(id: i64, name: &str, region: &str) -> Statement {
    Statement::new("INSERT INTO teams (id, name, region) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(name)
        .bind(region)
}

async fn unique_violations_have_the_same_name(db: &TestDatabase) {
    let repo = open(db).await;
    repo.write(team(2, "Blue", "lower")).await.unwrap();
    for (statement, name) in [
        (team(1, "other", "south"), "teams_pkey"),
        (team(3, "red", "north"), "teams_name_region_key"),
        (team(3, "blue", "lower"), "teams_by_lower_name"),
        (Statement::new("UPDATE teams SET email = 'e'"), "teams_email_key"),
        (Statement::new("UPDATE teams SET code = 'c'"), "teams_by_code"),
        (Statement::new("INSERT INTO members (team, nick) VALUES (1, 'ada')"), "members_pkey"),
    ] {
        let error = repo.write(statement).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Conflict { constraint: name.to_owned() }, "{error}");
        assert!(error.is_conflict() && error.conflict() == Some(name) && !error.is_retryable());
        assert!(error.to_string().contains(name), "{error}");
    }
}

async fn constraints_are_told_apart(db: &TestDatabase) {
    let repo = open(db).await;
    for (sql, constraint, name) in [
        ("UPDATE teams SET size = 10", ConstraintKind::Check, "size_sane"),
        (
            "INSERT INTO teams (id, name, region, size) VALUES (5, 'x', 'y', 0)",
            ConstraintKind::Check,
            "size_sane",
        ),
        ("UPDATE teams SET name = NULL", ConstraintKind::NotNull, "name"),
        ("INSERT INTO teams (id, region) VALUES (5, 'y')", ConstraintKind::NotNull, "name"),
    ] {
        let error = repo.write(Statement::new(sql)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Constraint { constraint, name: Some(name.to_owned()) }, "{sql}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

async fn foreign_keys_in_both_directions(db: &TestDatabase) {
    let repo = open(db).await;
    repo.write(team(4, "green", "east")).await.unwrap();
    repo.write(Statement::new("INSERT INTO guests (team) VALUES (4)")).await.unwrap();
    for sql in [
        "INSERT INTO members (team, nick) VALUES (9, 'bob')",
        "DELETE FROM teams WHERE id = 1",
        "DELETE FROM teams WHERE id = 4",
    ] {
        let error = repo.write(Statement::new(sql)).await.unwrap_err();
        let is_foreign_key =
            matches!(error.kind(), ErrorKind::Constraint { constraint: ConstraintKind::ForeignKey, .. });
        assert!(is_foreign_key, "{sql}: {error:?}");
    }
}

async fn what_does_not_parse_is_invalid(db: &TestDatabase) {
    let repo = open(db).await;
    for sql in [
        "",
        "   ",
        "-- nothing",
        "SELEC 1",
        "SELECT FROM WHERE",
        "SELECT * FROM no_such_table",
        "SELECT no_such_column FROM teams",
        "SELECT no_such_function(1)",
        "INSERT INTO teams (id, nothing) VALUES (1, 2)",
        "SELECT 'unterminated",
        "INSERT INTO teams (id) VALUES (1, 2)",
    ] {
        for error in
            [repo.read(Statement::new(sql)).await.map(drop), repo.write(Statement::new(sql)).await.map(drop)]
        {
            let error = error.expect_err(sql);
            assert_eq!(kind(&error), ErrorKind::InvalidInput, "{sql:?}: {error:?}");
        }
    }
    let error = repo.read(Statement::new("SELECT * FROM no_such_table")).await.unwrap_err();
    assert!(error.to_string().contains("no_such_table"), "{error}");
}

async fn a_wrong_number_of_parameters_is_invalid(db: &TestDatabase) {
    let repo = open(db).await;
    let find = || Statement::new("SELECT id FROM teams WHERE id = $1 AND name = $2");
    for statement in [find(), find().bind(1_i64), find().bind(1_i64).bind("red").bind("more")] {
        let given = statement.params().len();
        for error in [repo.read(statement.clone()).await.map(drop), repo.write(statement).await.map(drop)] {
            let error = error.expect_err("a wrong number");
            assert_eq!(kind(&error), ErrorKind::InvalidInput, "{given}: {error:?}");
            assert!(error.to_string().contains("parameter"), "{error}");
        }
    }
    assert_eq!(repo.read(find().bind(1_i64).bind("red")).await.unwrap().len(), 1);
}

async fn the_same_errors_in_batches_and_transactions(db: &TestDatabase) {
    let repo = open(db).await;
    let conflict = ErrorKind::Conflict { constraint: "teams_pkey".to_owned() };
    for (statement, expected) in [
        (team(1, "a", "b"), conflict),
        (Statement::new("SELECT nonsense FROM teams"), ErrorKind::InvalidInput),
        (team(7, "a", "b").bind(1_i64), ErrorKind::InvalidInput),
    ] {
        let mut batch = Batch::new("errors");
        batch.push(team(6, "six", "six"));
        batch.push(statement.clone());
        assert_eq!(kind(&repo.batch(batch.clone()).await.unwrap_err()), expected);
        let mut tx = repo.begin().await.unwrap();
        assert_eq!(kind(&tx.write(statement).await.unwrap_err()), expected);
        tx.rollback().await.unwrap();
        let mut tx = repo.begin().await.unwrap();
        assert_eq!(kind(&tx.batch(batch).await.unwrap_err()), expected);
        tx.rollback().await.unwrap();
    }
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT count(*) FROM teams")).await, 1);
}

async fn an_error_leaves_nothing_behind(db: &TestDatabase) {
    let repo = open(db).await;
    for round in 0..50_i64 {
        let many = Statement::new("INSERT INTO teams (id, name, region) VALUES ($1, 'n', $2), ($1, 'm', $2)")
            .bind(100 + round)
            .bind("r");
        assert!(repo.write(many).await.unwrap_err().is_conflict());
        repo.write(team(200 + round, "t", &round.to_string())).await.unwrap();
    }
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT count(*) FROM teams")).await, 51);
}
