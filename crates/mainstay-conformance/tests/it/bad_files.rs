//! SQLite files and disks that are not as they should be: typed errors that say what, why and how to mend it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use mainstay_conformance::linked;
use mainstay_repo::{Error, ErrorKind, Limits, Repo, RepoOptions, Statement, Target, TransactionLimits};
use mainstay_testkit::{SmallDisk, SqliteFile};

use crate::support::{all_kv, check_error, create_kv, ddl, kind, put, scalar, soon};

async fn refused(url: &str) -> Error {
    soon(Repo::connect(url)).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_place_that_is_not_there() {
    let file = SqliteFile::create();
    let missing = format!("sqlite://{}/no/such/place/test.db", file.directory().display());
    check_error(
        &refused(&missing).await,
        &ErrorKind::Configuration,
        &["no/such/place", "does not exist", "mkdir -p"],
    );
    let directory = format!("sqlite://{}", file.directory().display());
    check_error(&refused(&directory).await, &ErrorKind::Configuration, &["is a directory", "name a file"]);
    let absent = format!("{}?create=false", file.url());
    check_error(
        &refused(&absent).await,
        &ErrorKind::Configuration,
        &["test.db", "does not exist", "create=false"],
    );
    assert!(!file.path().exists(), "nothing was made");
    assert!(!file.directory().join("no").exists());
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    for content in [
        b"hello".to_vec(),
        b"this is not a database\n".repeat(1_000),
        vec![0xff; 8_192],
        b"SQLite format 4\0".repeat(300),
    ] {
        let file = SqliteFile::create();
        fs::write(file.path(), &content).unwrap();
        check_error(&refused(file.url()).await, &ErrorKind::Corrupt, &["test.db", "not a", "restore"]);
        assert_eq!(fs::read(file.path()).unwrap(), content, "the file is left as it was");
    }
    let file = SqliteFile::create();
    fs::write(file.path(), b"").unwrap();
    create_kv(&Repo::connect(file.url()).await.unwrap()).await;
}

#[tokio::test]
async fn a_file_that_another_writes() {
    let file = SqliteFile::create();
    let transaction = TransactionLimits { idle: Duration::from_secs(30), total: Duration::from_secs(30) };
    let limits = Limits { transaction, ..Limits::DEFAULT };
    let other = RepoOptions::new(file.url()).unwrap().with_limits(limits).connect().await.unwrap();
    create_kv(&other).await;
    let impatient = format!("{}?busy_timeout_ms=100", file.url());
    let repo = Repo::connect(&impatient).await.unwrap();
    let mut holding = other.begin().await.unwrap();
    holding.write(put(1, 1)).await.unwrap();

    check_error(&refused(&impatient).await, &ErrorKind::Busy, &["test.db", "another process", "wait"]);
    let error = soon(repo.write(put(2, 2))).await.unwrap_err();
    check_error(&error, &ErrorKind::Busy, &["another process"]);
    assert!(error.is_retryable());
    assert_eq!(kind(&soon(repo.begin()).await.map(drop).unwrap_err()), ErrorKind::Busy);
    assert_eq!(all_kv(&repo).await, [], "reads go on");

    holding.commit().await.unwrap();
    soon(repo.write(put(2, 2))).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 1), (2, 2)]);
    assert_eq!(all_kv(&other).await, [(1, 1), (2, 2)]);
}

/// Runs the writer as a user without rights, and returns its complaint.
fn complaint_of_a_stranger(file: &SqliteFile) -> String {
    let program = file.directory().join("crash-writer");
    fs::copy(env!("CARGO_BIN_EXE_crash-writer"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.args([file.url(), "stranger", "1"]).current_dir("/");
    if fs::metadata(file.directory()).unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_file_that_may_not_be_written() {
    let file = SqliteFile::create();
    let repo = Repo::connect(file.url()).await.unwrap();
    create_kv(&repo).await;
    soon(repo.close()).await;
    for mode in [0o444, 0o000] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(file.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        let told = complaint_of_a_stranger(&file);
        for word in ["PermissionDenied", "test.db", "this user"] {
            assert!(told.contains(word), "{word:?} is not said with mode {mode:o}: {told}");
        }
        fs::set_permissions(file.directory(), fs::Permissions::from_mode(0o555)).unwrap();
        assert!(complaint_without_copy(&file).contains("PermissionDenied"));
        fs::set_permissions(file.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The program is there already; the directory cannot be written any more.
fn complaint_without_copy(file: &SqliteFile) -> String {
    let mut command = Command::new(file.directory().join("crash-writer"));
    command.args([file.url(), "stranger", "1"]).current_dir("/");
    if fs::metadata(file.directory()).unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    String::from_utf8(command.output().unwrap().stderr).unwrap()
}

#[tokio::test]
async fn a_damaged_page() {
    let file = SqliteFile::create();
    let repo = Repo::connect(file.url()).await.unwrap();
    ddl(&repo, &[("CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT", "")]).await;
    for id in 0..400_i64 {
        let add =
            Statement::new("INSERT INTO pages (id, body) VALUES ($1, $2)").bind(id).bind("x".repeat(1_500));
        repo.write(add).await.unwrap();
    }
    soon(repo.close()).await;
    let mut bytes = fs::read(file.path()).unwrap();
    assert!(
        bytes.len() > 400_000,
        "the log was moved into the file when it was closed: {} octets",
        bytes.len()
    );
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 8 * 4_096].fill(0xa5);
    fs::write(file.path(), &bytes).unwrap();

    let repo = Repo::connect(file.url()).await.unwrap();
    let read = Statement::new("SELECT sum(length(body)) AS n FROM pages");
    let error = soon(repo.read(read)).await.unwrap_err();
    check_error(&error, &ErrorKind::Corrupt, &["damaged", "restore"]);
    assert!(!error.is_retryable());
    let write = Statement::new("UPDATE pages SET body = body || 'y'");
    assert_eq!(kind(&soon(repo.write(write)).await.unwrap_err()), ErrorKind::Corrupt);
    assert_eq!(scalar::<i64>(&repo, Statement::new("SELECT 1")).await, 1);
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "says why nothing was tested")]
async fn a_full_disk() {
    let Some(disk) = SmallDisk::mount(3 * 1024 * 1024) else {
        eprintln!("this user may not mount; a_file_that_may_not_grow tests the same by a limit");
        return;
    };
    fs::write(disk.path().join("ballast"), vec![1; 1024 * 1024]).unwrap();
    let repo = Repo::connect(&format!("sqlite://{}/test.db", disk.path().display())).await.unwrap();
    repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    let mut kept = 0;
    let error = loop {
        match soon(repo.batch(linked::pair(&format!("{kept:05}"), 20_000))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 10_000, "the disk does not fill");
    };
    check_error(&error, &ErrorKind::StorageFull, &["full", "nothing was written", "free space"]);
    assert_eq!(soon(repo.read(linked::whole_pairs())).await.unwrap().len(), kept);
    fs::remove_file(disk.path().join("ballast")).unwrap();
    soon(repo.batch(linked::pair("after", 20_000))).await.unwrap();
    let counts: mainstay_repo::Row = repo.read_one(linked::counts()).await.unwrap();
    let kept = i64::try_from(kept).unwrap() + 1;
    for column in ["heads", "tails", "pairs"] {
        assert_eq!(counts.get::<i64>(column).unwrap(), kept, "{column}");
    }
    assert!(repo.read(linked::damage()).await.unwrap().is_empty());
    soon(repo.close()).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow() {
    let file = SqliteFile::create();
    let repo = Repo::connect(file.url()).await.unwrap();
    repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    soon(repo.close()).await;
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 600; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_crash-writer"),
    ]);
    command.args([file.url(), "limited", "4"]);
    let victim = mainstay_testkit::Victim::spawn(command);
    let fails = |lines: &[String]| lines.iter().filter(|line| line.starts_with("err ")).count() >= 12;
    victim.wait_until("errors of a file that may not grow", fails);
    let lines = victim.kill();
    let repo = Repo::connect(file.url()).await.unwrap();
    let stored = repo.read(linked::whole_pairs()).await.unwrap();
    let stored: Vec<String> = stored.iter().map(|row| row.get("id").unwrap()).collect();
    for line in &lines {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["ack", id] => {
                assert!(stored.iter().any(|stored| stored == id), "{id} was acknowledged and is not there")
            }
            // The limit was met while committing: it may be there.
            ["err", _, "Unknown", ..] => {}
            ["err", id, kind] => {
                assert!(["StorageFull", "Unavailable"].contains(kind), "{id} {kind}");
                assert!(!stored.iter().any(|stored| stored == id), "{id} was refused and is there");
            }
            other => assert_eq!(other, ["ready"]),
        }
    }
    assert!(repo.read(linked::damage()).await.unwrap().is_empty());
}
