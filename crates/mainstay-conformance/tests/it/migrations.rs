//! The laws of migrations: down undoes up, concurrent starts apply each version once, and every problem has its name.

use futures_util::future::join_all;
use mainstay_repo::{
    Component, Direction, ErrorKind, Migration, MigrationProblem, Repo, Script, Sql, Statement, Target,
};
use mainstay_testkit::TestDatabase;

use crate::support::{check_error, scalar, soon};

on_every_database!(
    down_undoes_up,
    a_second_run_does_nothing,
    ten_start_at_once,
    ten_move_up_and_down_at_once,
    components_do_not_touch_each_other,
    a_plan_changes_nothing,
    a_changed_text_is_refused,
    a_gap_is_refused,
    a_future_version_is_refused,
    unknown_targets_and_no_way_down,
    a_failed_script_is_undone_and_named,
    a_script_may_not_end_its_transaction,
    what_is_pending_is_said,
    a_database_of_a_newer_program_is_not_opened,
);

const fn step(version: u32, name: &'static str, up: &'static str, down: &'static str) -> Migration {
    let script = Script::reversible(up, down);
    Migration { version, name, sqlite: script, postgres: script }
}

const SHOP: Component = Component {
    name: "shop",
    migrations: &[
        step(
            1,
            "items",
            "CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL)",
            "DROP TABLE items",
        ),
        step(
            2,
            "orders",
            "CREATE TABLE orders (id integer PRIMARY KEY, item integer REFERENCES items (id)); \
             CREATE INDEX orders_by_item ON orders (item); CREATE UNIQUE INDEX items_by_name ON items (name)",
            "DROP INDEX items_by_name; DROP TABLE orders",
        ),
        step(
            3,
            "price; with a 'quote' and a semicolon",
            "ALTER TABLE items ADD COLUMN price integer NOT NULL DEFAULT 0; \
             INSERT INTO items (id, name) VALUES (1, 'a;b''c')",
            "DELETE FROM items; ALTER TABLE items DROP COLUMN price",
        ),
        step(4, "view", "CREATE VIEW cheap AS SELECT id FROM items WHERE price < 10", "DROP VIEW cheap"),
    ],
};

/// Every column, index and view that is not the migrator's own.
async fn shape(repo: &Repo) -> Vec<String> {
    let sql = Sql::per_dialect(
        "SELECT m.type || ' ' || m.name || '.' || p.name || ' ' || p.type || ' ' || p.\"notnull\" || ' ' || p.pk AS line \
         FROM sqlite_schema m, pragma_table_info(m.name) p \
         WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'mainstay%' AND m.name NOT LIKE 'sqlite%' \
         UNION ALL SELECT 'index ' || name || ' on ' || tbl_name FROM sqlite_schema \
         WHERE type = 'index' AND tbl_name NOT LIKE 'mainstay%' ORDER BY line",
        "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line \
         FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE 'mainstay%' \
         UNION ALL SELECT 'index ' || indexname || ' on ' || tablename FROM pg_indexes \
         WHERE schemaname = current_schema() AND tablename NOT LIKE 'mainstay%' ORDER BY line",
    );
    repo.read(Statement::new(sql)).await.unwrap().iter().map(|row| row.get("line").unwrap()).collect()
}

fn problem(error: &mainstay_repo::Error) -> MigrationProblem {
    match error.kind() {
        ErrorKind::Migration(problem) => problem.clone(),
        other => panic!("{other:?} {error}"),
    }
}

fn shop() -> String {
    "shop".to_owned()
}

async fn down_undoes_up(db: &TestDatabase) {
    let repo = db.repo().await;
    let migrator = repo.migrator();
    let mut shapes = vec![shape(&repo).await];
    for version in 1..=4 {
        assert_eq!(migrator.migrate(&SHOP, Target::Version(version)).await.unwrap(), 1);
        assert_eq!(migrator.migrated_version(&SHOP).await.unwrap(), version);
        shapes.push(shape(&repo).await);
    }
    assert!(shapes.windows(2).all(|pair| pair[0] != pair[1]), "each version changes the schema: {shapes:?}");
    for from in 0..=4_u32 {
        for to in 0..=4_u32 {
            migrator.migrate(&SHOP, Target::Version(from)).await.unwrap();
            let steps = migrator.migrate(&SHOP, Target::Version(to)).await.unwrap();
            assert_eq!(steps, usize::try_from(from.abs_diff(to)).unwrap());
            assert_eq!(shape(&repo).await, shapes[usize::try_from(to).unwrap()], "from {from} to {to}");
        }
    }
    assert_eq!(migrator.down(&SHOP, 1).await.unwrap(), 3);
    assert_eq!(migrator.down(&SHOP, 2).await.unwrap(), 0, "down never goes up");
    assert_eq!(migrator.down(&SHOP, 0).await.unwrap(), 1);
    assert_eq!(shape(&repo).await, shapes[0]);
}

async fn a_second_run_does_nothing(db: &TestDatabase) {
    let repo = db.repo().await;
    assert_eq!(repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap(), 4);
    assert_eq!(repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap(), 0);
    let status = repo.migrator().status(&SHOP).await.unwrap();
    assert_eq!((status.component, status.migrated, status.latest, status.applied.len()), ("shop", 4, 4, 4));
    for (applied, migration) in status.applied.iter().zip(SHOP.migrations) {
        assert_eq!((applied.version, applied.name.as_str()), (migration.version, migration.name));
        assert_eq!(applied.checksum, migration.script(repo.dialect()).checksum());
        assert!(applied.applied_by.contains("process"), "{}", applied.applied_by);
        assert!(applied.applied_at.as_unix_seconds() > 1_700_000_000);
    }
    repo.migrator().require_latest(&SHOP).await.unwrap();
    assert_eq!(scalar::<String>(&repo, Statement::new("SELECT name FROM items")).await, "a;b'c");
    drop(repo);
    assert_eq!(db.repo().await.migrator().migrate(&SHOP, Target::Latest).await.unwrap(), 0);
}

async fn ten_start_at_once(db: &TestDatabase) {
    let starts = (0..10).map(|_| {
        let options = db.options();
        tokio::spawn(async move {
            let repo = options.connect().await.unwrap();
            let taken = repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap();
            (taken, repo)
        })
    });
    let mut taken = 0;
    let mut repos = Vec::new();
    for result in soon(join_all(starts)).await {
        let (steps, repo) = result.unwrap();
        taken += steps;
        repos.push(repo);
    }
    assert_eq!(taken, 4, "each version is applied once");
    for repo in repos {
        assert_eq!(repo.migrator().migrated_version(&SHOP).await.unwrap(), 4);
    }
}

async fn ten_move_up_and_down_at_once(db: &TestDatabase) {
    let repo = db.repo().await;
    let moves = (0..10_u32).map(|number| {
        let migrator = repo.migrator();
        tokio::spawn(async move { migrator.migrate(&SHOP, Target::Version(number % 5)).await })
    });
    for result in soon(join_all(moves)).await {
        result.unwrap().unwrap();
    }
    let status = repo.migrator().status(&SHOP).await.unwrap();
    let versions: Vec<u32> = status.applied.iter().map(|applied| applied.version).collect();
    assert_eq!(versions, (1..=status.migrated).collect::<Vec<_>>());
    repo.migrator().down(&SHOP, 0).await.unwrap();
    assert_eq!(shape(&repo).await, [""; 0]);
}

async fn components_do_not_touch_each_other(db: &TestDatabase) {
    const NOTES: Component = Component {
        name: "notes",
        migrations: &[step(1, "notes", "CREATE TABLE notes (id integer)", "DROP TABLE notes")],
    };
    let repo = db.repo().await;
    repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap();
    assert_eq!(repo.migrator().migrated_version(&NOTES).await.unwrap(), 0);
    repo.migrator().migrate(&NOTES, Target::Latest).await.unwrap();
    repo.migrator().down(&SHOP, 0).await.unwrap();
    assert_eq!(repo.migrator().migrated_version(&NOTES).await.unwrap(), 1);
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT count(*) FROM notes")).await, 0);
}

async fn a_plan_changes_nothing(db: &TestDatabase) {
    let repo = db.repo().await;
    let plan = repo.migrator().plan(&SHOP, Target::Version(2)).await.unwrap();
    let told: Vec<_> = plan.iter().map(|step| (step.version, step.direction, step.sql)).collect();
    let up = |at: usize| SHOP.migrations[at].script(repo.dialect()).up;
    assert_eq!(told, [(1, Direction::Up, up(0)), (2, Direction::Up, up(1))]);
    assert_eq!(shape(&repo).await, [""; 0]);
    assert_eq!(repo.migrator().migrated_version(&SHOP).await.unwrap(), 0);
    repo.migrator().migrate(&SHOP, Target::Version(2)).await.unwrap();
    let plan = repo.migrator().plan(&SHOP, Target::DownTo(0)).await.unwrap();
    let told: Vec<_> = plan.iter().map(|step| (step.version, step.direction)).collect();
    assert_eq!(told, [(2, Direction::Down), (1, Direction::Down)]);
    assert_eq!(repo.migrator().migrated_version(&SHOP).await.unwrap(), 2);
}

async fn a_changed_text_is_refused(db: &TestDatabase) {
    const CHANGED: Component = Component {
        name: "shop",
        migrations: &[step(1, "items", "CREATE TABLE items (id integer PRIMARY KEY)", "DROP TABLE items")],
    };
    let repo = db.repo().await;
    repo.migrator().migrate(&CHANGED, Target::Latest).await.unwrap();
    let before = shape(&repo).await;
    for target in [Target::Latest, Target::Version(1), Target::DownTo(0)] {
        let error = repo.migrator().migrate(&SHOP, target).await.unwrap_err();
        let expected = MigrationProblem::ChecksumChanged { component: shop(), version: 1 };
        check_error(
            &error,
            &ErrorKind::Migration(expected),
            &["items", "another text", "checksum", "new migration"],
        );
    }
    assert_eq!(shape(&repo).await, before);
}

async fn a_gap_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap();
    let lose = "DELETE FROM mainstay_migrations WHERE component = 'shop' AND version = 2";
    assert_eq!(repo.write(Statement::new(lose)).await.unwrap().rows_affected(), 1);
    let error = repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap_err();
    let expected = MigrationProblem::Gap { component: shop(), version: 2 };
    check_error(&error, &ErrorKind::Migration(expected), &["lacks", "missing", "restore"]);
}

async fn a_future_version_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap();
    let older = Component { name: "shop", migrations: &SHOP.migrations[..2] };
    for error in [
        repo.migrator().migrate(&older, Target::Latest).await.unwrap_err(),
        repo.migrator().require_latest(&older).await.unwrap_err(),
    ] {
        let expected = MigrationProblem::FutureVersion { component: shop(), version: 3 };
        check_error(&error, &ErrorKind::Migration(expected), &["price", "up to 2", "newer program"]);
    }
}

async fn unknown_targets_and_no_way_down(db: &TestDatabase) {
    const ONE_WAY: Component = Component {
        name: "one-way",
        migrations: &[
            step(1, "one", "CREATE TABLE one (id integer)", "DROP TABLE one"),
            Migration {
                version: 2,
                name: "two",
                sqlite: Script::irreversible("DROP TABLE one"),
                postgres: Script::irreversible("DROP TABLE one"),
            },
            step(3, "three", "CREATE TABLE three (id integer)", "DROP TABLE three"),
        ],
    };
    let repo = db.repo().await;
    let migrator = repo.migrator();
    for target in [Target::Version(4), Target::DownTo(5)] {
        let error = migrator.migrate(&ONE_WAY, target).await.unwrap_err();
        assert!(matches!(problem(&error), MigrationProblem::UnknownTarget { .. }), "{error}");
    }
    migrator.migrate(&ONE_WAY, Target::Latest).await.unwrap();
    let error = migrator.down(&ONE_WAY, 0).await.unwrap_err();
    let expected = MigrationProblem::Irreversible { component: "one-way".to_owned(), version: 2 };
    check_error(&error, &ErrorKind::Migration(expected), &["two", "no way down", "backup"]);
    assert_eq!(migrator.migrated_version(&ONE_WAY).await.unwrap(), 3, "nothing was undone");
    assert_eq!(migrator.down(&ONE_WAY, 2).await.unwrap(), 1);
}

async fn a_failed_script_is_undone_and_named(db: &TestDatabase) {
    const BROKEN: Component = Component {
        name: "broken",
        migrations: &[
            step(1, "fine", "CREATE TABLE fine (id integer PRIMARY KEY)", "DROP TABLE fine"),
            step(
                2,
                "half",
                "CREATE TABLE half (id integer); CREATE TABLE fine (id integer)",
                "DROP TABLE half",
            ),
            step(3, "never", "CREATE TABLE never (id integer)", "DROP TABLE no_such_table"),
        ],
    };
    const MENDED: Component = Component {
        name: "broken",
        migrations: &[
            BROKEN.migrations[0],
            step(2, "half", "CREATE TABLE half (id integer)", "DROP TABLE half"),
            BROKEN.migrations[2],
        ],
    };
    let repo = db.repo().await;
    let migrator = repo.migrator();
    for _ in 0..2 {
        let error = migrator.migrate(&BROKEN, Target::Latest).await.unwrap_err();
        let expected = MigrationProblem::Failed { component: "broken".to_owned(), version: 2 };
        check_error(&error, &ErrorKind::Migration(expected), &["2 (half)", "broken", "rolled back", "fine"]);
        assert_eq!(migrator.migrated_version(&BROKEN).await.unwrap(), 1);
        assert!(!shape(&repo).await.iter().any(|line| line.contains("half") || line.contains("never")));
    }
    assert_eq!(migrator.migrate(&MENDED, Target::Latest).await.unwrap(), 2);
    let error = migrator.down(&MENDED, 0).await.unwrap_err();
    assert_eq!(problem(&error), MigrationProblem::Failed { component: "broken".to_owned(), version: 3 });
    assert_eq!(migrator.migrated_version(&MENDED).await.unwrap(), 3);
    assert!(shape(&repo).await.iter().any(|line| line.contains("never")));
}

async fn a_script_may_not_end_its_transaction(db: &TestDatabase) {
    const SNEAKY: Component = Component {
        name: "sneaky",
        migrations: &[step(
            1,
            "sneaky",
            "CREATE TABLE a (id integer); COMMIT; CREATE TABLE b (id integer)",
            "DROP TABLE a",
        )],
    };
    let repo = db.repo().await;
    let error = repo.migrator().migrate(&SNEAKY, Target::Latest).await.unwrap_err();
    assert_eq!(problem(&error), MigrationProblem::Failed { component: "sneaky".to_owned(), version: 1 });
    assert_eq!(repo.migrator().migrated_version(&SNEAKY).await.unwrap(), 0);
    soon(repo.migrator().migrate(&SHOP, Target::Latest)).await.unwrap();
}

async fn what_is_pending_is_said(db: &TestDatabase) {
    let repo = db.repo().await;
    repo.migrator().migrate(&SHOP, Target::Version(2)).await.unwrap();
    let error = repo.migrator().require_latest(&SHOP).await.unwrap_err();
    let expected = MigrationProblem::Pending { component: shop(), version: 3 };
    check_error(
        &error,
        &ErrorKind::Migration(expected),
        &["shop", "lack migration 3", "price", "migrate up"],
    );
    assert_eq!(repo.migrator().migrated_version(&SHOP).await.unwrap(), 2, "asking changes nothing");
}

async fn a_database_of_a_newer_program_is_not_opened(db: &TestDatabase) {
    let repo = db.repo().await;
    repo.migrator().migrate(&SHOP, Target::Latest).await.unwrap();
    let newer = "INSERT INTO mainstay_migrations (component, version, name, checksum, applied_at, applied_by) \
                 VALUES ('mainstay-repo', 99, 'the future', '', $1, 'test')";
    repo.write(Statement::new(newer).bind(mainstay_core::Timestamp::UNIX_EPOCH)).await.unwrap();
    soon(repo.close()).await;
    let error = soon(Repo::connect(db.url())).await.map(drop).unwrap_err();
    let expected = MigrationProblem::FutureVersion { component: "mainstay-repo".to_owned(), version: 99 };
    check_error(&error, &ErrorKind::Migration(expected), &["99", "newer program"]);
}
