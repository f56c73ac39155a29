//! What `mainstay doctor` finds of images, each with what mends it and the exit code that scripts act on; and what `/readyz` says.

use std::path::Path;

use mainstay_repo::{Repo, Sql, Statement};
use mainstay_testkit::TestDatabase;
use serde_json::Value;

use crate::images::Store;
use crate::support::browser::Browser;
use crate::support::server::{Server, mainstay, run};

/// The findings of images, with the exit code.
fn doctor(args: &[&str]) -> (i32, Vec<Value>) {
    let output = mainstay().args(["doctor", "--json"]).args(args).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let all = report["findings"].as_array().unwrap().clone();
    let of_images = all.into_iter().filter(|finding| finding["check"] == "images").collect();
    (output.status.code().unwrap(), of_images)
}

fn of(store: &Store<'_>, more: &[&str]) -> (i32, Vec<Value>) {
    let args = [&["--database", store.database, "--images", &store.images], more].concat();
    doctor(&args)
}

#[track_caller]
fn finds(findings: &[Value], verdict: &str, says: &str, mend: &str) {
    let found = findings.iter().find(|finding| finding["message"].as_str().unwrap().contains(says));
    let found = found.unwrap_or_else(|| panic!("{says} is not found: {findings:?}"));
    assert_eq!(found["verdict"], verdict, "{found}");
    assert!(mend.is_empty() || found["mend"].as_str().unwrap().contains(mend), "{found}");
}

/// What no command does.
fn meddle(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let repo = Repo::connect(url).await.unwrap();
        repo.write(Statement::new(Sql::dynamic(sql.to_owned(), sql.to_owned()))).await.unwrap();
        repo.close().await;
    });
}

#[test]
fn doctor_looks_at_images_on_sqlite() {
    looks(&TestDatabase::sqlite());
}

#[test]
fn doctor_looks_at_images_on_postgres() {
    looks(&TestDatabase::postgres());
}

fn looks(database: &TestDatabase) {
    let store = Store::new(database);
    let disk = store.at().join("disk");
    std::fs::write(&disk, vec![7; 100_000]).unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "disk"]);
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 0, "{findings:?}");
    finds(&findings, "good", "is this database's store imgs_", "");
    finds(&findings, "warning", "never collected", "mainstay images gc");
    finds(&findings, "warning", "nothing was read again yet", "mainstay images scrub");
    store.json(&["gc", "--full"]);
    store.json(&["scrub"]);
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 0);
    assert!(findings.iter().all(|finding| finding["verdict"] == "good"), "{findings:?}");

    // A quota is near from nine tenths on.
    let (_, findings) = of(&store, &["--images-quota", "111112"]);
    finds(&findings, "good", "of a quota of", "");
    let (_, findings) = of(&store, &["--images-quota", "111111"]);
    finds(&findings, "warning", "what does not fit is refused", "gc --evict");

    // What a crash leaves: an unfinished file, a blob half removed, a holder that is over.
    std::fs::write(Path::new(&store.images).join("tmp/9999"), "half").unwrap();
    meddle(store.database, "UPDATE images_blobs SET state = 1");
    meddle(store.database, "INSERT INTO images_holders (name, live, expires_at) VALUES ('killed', 1, 1000)");
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 0, "none of it keeps the server from working: {findings:?}");
    for says in ["1 unfinished file(s)", "1 blob(s) are half removed", "1 holder(s) ended"] {
        finds(&findings, "warning", says, "mainstay images gc");
    }
    assert!(Path::new(&store.images).join("tmp/9999").exists(), "it only looked");
    meddle(store.database, "UPDATE images_blobs SET state = 2");
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 4, "{findings:?}");
    finds(&findings, "bad", "1 blob(s) are damaged or missing: sha256:", "import or pull");

    let marker = Path::new(&store.images).join("mainstay-images");
    let own = std::fs::read_to_string(&marker).unwrap();
    std::fs::write(&marker, "imgs_another\n").unwrap();
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 1, "{findings:?}");
    finds(&findings, "bad", "belongs to the store imgs_another, and this database to imgs_", "migrate down");
    std::fs::remove_file(&marker).unwrap();
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 3, "{findings:?}");
    finds(&findings, "bad", "has no marker", "mount the medium");
    assert!(!marker.exists(), "it only looked");
    // In the directory that nobody asked for by name it is worth a word, and keeps nobody away.
    let elsewhere = store.at().join("elsewhere");
    let (exit, findings) = doctor(&["--database", store.database, "--data", elsewhere.to_str().unwrap()]);
    assert_eq!(exit, 0, "{findings:?}");
    finds(&findings, "warning", "the server starts and keeps no images", "--images");
    std::fs::write(&marker, own).unwrap();
}

#[test]
fn a_server_without_the_directory_of_its_databases_images_says_so_everywhere() {
    let database = TestDatabase::postgres();
    let store = Store::new(&database);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let data = directory.path().join("data");
    let args = ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--database", database.url()];
    let second = Server::start_with(&args, std::fs::File::create(&log).unwrap().into());
    let ready = Browser::default().get(&second.path("/readyz"));
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.body.starts_with("ready\nimages: this server keeps none"), "{}", ready.body);
    let first = Browser::default().get(&store.server.path("/readyz"));
    assert_eq!(first.body, "ready\n");
    let log = std::fs::read_to_string(&log).unwrap();
    let line = log.lines().find(|line| line.contains("keeps no images")).unwrap_or_else(|| panic!("{log}"));
    // No field stands behind a flag as if it were its value.
    assert!(line.contains("give --images the directory where they lie"), "{line}");
    let page = crate::workflows::administrator(&store.server).get(&store.server.path("/images"));
    assert_eq!(page.status, 200);
}

#[test]
fn after_the_tables_were_taken_away_the_old_directory_is_told_apart_with_what_to_do() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let Store { server, .. } = &store;
    server.terminate();
    let place = ["--database", store.database];
    let migrate = |args: &[&str]| {
        let output = run(&[&["migrate"], args, &place[..]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let down = ["migrate", "down", "--component", "images", "--to", "0", "--confirm", "images"];
    // The server has to be gone before its tables may go.
    let gone = std::time::Instant::now();
    while !run(&[&down[..], &place].concat()).status.success() {
        assert!(gone.elapsed() < std::time::Duration::from_secs(60), "the tables cannot be taken away");
        mainstay_testkit::pause(std::time::Duration::from_millis(50));
    }
    migrate(&["up"]);
    store.refuses(&["ls"], 3, "move the directory away, make an empty one in its place");
    let (exit, findings) = of(&store, &[]);
    assert_eq!(exit, 1, "{findings:?}");
    finds(&findings, "bad", "this database to imgs_", "restore the database from its backup");
    // The remedy, as it is told.
    std::fs::rename(&store.images, store.at().join("old")).unwrap();
    std::fs::create_dir(&store.images).unwrap();
    assert_eq!(store.json(&["ls"])["images"], Value::Array(Vec::new()));
}
