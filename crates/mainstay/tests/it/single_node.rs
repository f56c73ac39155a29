//! Servers of one cluster on SQLite files of their own: the second one does not start, or ends the first.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mainstay_repo::{Limits, Repo, RepoOptions, Sql, Statement, TransactionLimits};
use mainstay_testkit::{TestDatabase, pause};

use crate::dev_sign_in::{answered, sign_in};
use crate::lifecycle::half_a_login;
use crate::support::browser::Browser;
use crate::support::server::{Server, free_port, mainstay, run};

/// How soon a node that joins stops the writes of one that runs, on a machine with much else to do: it is asked four times a second.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What a test waits for at most: as long as it takes on a machine that does much else, or that holds processes up.
const PATIENCE: Duration = Duration::from_secs(300);

fn names_the_ways_out(text: &str, peer: &str) {
    for said in ["another node of the cluster", peer, "PostgreSQL", "LiteFS"] {
        assert!(text.contains(said), "{said} is missing in {text}");
    }
}

/// Runs a server that must not start, on a directory of its own.
fn refused(directory: &Path, peers: &str) -> String {
    let mut serve = mainstay();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--standbys", peers, "--data"]).arg(directory);
    let mut serve = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = serve.try_wait().unwrap() {
            break Some(status);
        }
        if started.elapsed() > Duration::from_secs(60) {
            serve.kill().unwrap();
            serve.wait().unwrap();
            break None;
        }
        pause(Duration::from_millis(20));
    };
    let mut text = String::new();
    serve.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "it should not serve: {text}");
    text
}

/// How many tables and indexes a SQLite file has.
fn tables(file: &Path) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let repo = Repo::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        let count = Statement::new(Sql::new("SELECT count(*) AS tables FROM sqlite_master"));
        let rows = repo.read(count).await.unwrap();
        repo.close().await;
        rows[0].get("tables").unwrap()
    })
}

#[test]
fn a_start_beside_a_peer_with_a_file_of_its_own_is_refused_before_anything_is_written() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The first one is to name the second as well: one that is refused is not one that joins.
    let second = format!("127.0.0.1:{}", free_port());
    let server = Server::in_directory(one.path(), &["--dev", "--standbys", &format!("http://{second}")]);
    let mut alice = Browser::default();
    sign_in(&mut alice, &server, "alice");
    names_the_ways_out(&refused(two.path(), &server.url), &server.url);
    assert_eq!(tables(&two.path().join("mainstay.db")), 0, "something was written");
    let data = two.path().to_str().unwrap();
    let output = run(&["serve", "--listen", &second, "--data", data, "--standbys", &server.url]);
    assert_eq!(output.status.code(), Some(1));
    names_the_ways_out(&String::from_utf8(output.stderr).unwrap(), &server.url);
    // It asks every second; this is long enough for it to have asked again.
    pause(Duration::from_secs(2));
    assert_eq!(alice.get(&server.path("/api/v1/me")).status, 200);
    server.terminate();
    assert!(server.wait().success(), "nobody else ended it");
}

#[test]
fn a_peer_that_joins_stops_writes_at_once_and_ends_the_server() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listen = format!("127.0.0.1:{}", free_port());
    let second = format!("127.0.0.1:{}", free_port());
    let peer = format!("http://{second}");
    // A node that finds itself in the list is not a second one.
    let peers = format!("http://{listen},{peer}");
    let (data, log) = (one.path().join("data"), one.path().join("errors"));
    // Whoever is held up meanwhile is not cut off: what is tested is that writes are refused, not how fast.
    let args = [
        "--dev",
        "--listen",
        &listen,
        "--data",
        data.to_str().unwrap(),
        "--standbys",
        &peers,
        "--drain-timeout",
        "10m",
        "--request-timeout",
        "10m",
    ];
    let server = Server::start_with(&args, Stdio::from(File::create(&log).unwrap()));
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    sign_in(&mut alice, &server, "alice");
    let form = answered(&mut bob, &server, "bob", "");
    let (mut stream, rest) = half_a_login(&server, &bob, &form);

    let other = two.path().join("data");
    let other = Server::start(&["--listen", &second, "--data", other.to_str().unwrap()]);
    let started = Instant::now();
    while TcpStream::connect(&listen).is_ok() {
        assert!(started.elapsed() < AT_ONCE, "the server does not see its peer at once");
        pause(Duration::from_millis(20));
    }
    // A request that was under way is answered, and writes nothing.
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && !answer.contains("mainstay-insecure=st_"), "{answer}");
    assert_eq!(server.wait().code(), Some(1));
    names_the_ways_out(&std::fs::read_to_string(&log).unwrap(), &peer);

    // It ended cleanly: without the peer it goes on where it was, and the login that was not written still can be.
    other.kill();
    let server = Server::start(&args);
    assert_eq!(alice.get(&server.path("/api/v1/me")).status, 200);
    assert_eq!(form.submit(&mut bob).status, 303);
}

#[test]
fn a_second_node_that_is_configured_keeps_a_server_from_starting_whether_it_answers_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let (listen, silent) =
        (format!("127.0.0.1:{}", free_port()), format!("http://127.0.0.1:{}", free_port()));
    let own = format!("http://{listen}");
    let data = directory.path().to_str().unwrap();
    let both = format!("{own},{silent}");
    let output = run(&["serve", "--listen", &listen, "--data", data, "--peers", &both]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for said in ["a second node of the cluster is configured", &silent, "PostgreSQL", "LiteFS", "standbys"] {
        assert!(text.contains(said), "{said} is missing in {text}");
    }
    assert_eq!(tables(&directory.path().join("mainstay.db")), 0, "something was written");
    // A list that names this node alone names no second one.
    let server = Server::start(&["--listen", &listen, "--data", data, "--peers", &own]);
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn a_process_that_holds_the_file_for_writing_keeps_a_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Its tables are there, so the start has next to nothing to write.
    let server = Server::in_directory(directory.path(), &[]);
    server.terminate();
    assert!(server.wait().success());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = format!("sqlite://{}", data.join("mainstay.db").display());
    let (repo, held) = runtime.block_on(async {
        let transaction = TransactionLimits { idle: PATIENCE, total: PATIENCE };
        let options = RepoOptions::new(&url).unwrap().with_limits(Limits { transaction, ..Limits::DEFAULT });
        let repo = options.connect().await.unwrap();
        let held = repo.begin().await.unwrap();
        (repo, held)
    });
    let output = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--request-timeout",
        "2s",
    ]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    for said in ["mainstay.db", "another process holds the database's write lock", "fuser"] {
        assert!(text.contains(said), "{said} is missing in {text}");
    }
    drop(held);
    runtime.block_on(repo.close());
    let server = Server::in_directory(directory.path(), &[]);
    server.terminate();
    assert!(server.wait().success(), "when it is given back the server starts");
}

#[test]
fn of_two_that_start_at_once_never_both_go_on() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let places = [format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port())];
    let peers = format!("http://{},http://{}", places[0], places[1]);
    let mut servers = [(&places[0], one.path()), (&places[1], two.path())].map(|(listen, data)| {
        let mut serve = mainstay();
        serve.args(["serve", "--log", "warn", "--listen", listen, "--standbys", &peers, "--data"]).arg(data);
        serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let started = Instant::now();
    let ended = loop {
        let ended = servers.each_mut().map(|server| server.try_wait().unwrap());
        if ended.iter().any(Option::is_some) {
            break ended;
        }
        assert!(started.elapsed() < PATIENCE, "both go on");
        pause(Duration::from_millis(20));
    };
    for server in &mut servers {
        let _ = server.kill();
        server.wait().unwrap();
    }
    assert!(ended.iter().flatten().all(|status| status.code() == Some(1)), "{ended:?}");
}

/// A machine that stands still, a disk that does: what was written may go on in a moment.
#[test]
fn a_node_that_stands_still_is_not_taken_for_one_that_is_gone() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::in_directory(one.path(), &[]);
    server.signal("-STOP");
    let text = refused(two.path(), &server.url);
    assert!(text.contains(&server.url) && text.contains("the connection is taken"), "{text}");
    assert_eq!(tables(&two.path().join("mainstay.db")), 0, "something was written");
    server.signal("-CONT");
    names_the_ways_out(&refused(two.path(), &server.url), &server.url);
    server.terminate();
    assert!(server.wait().success());
}

/// Migrations, a large directory, a slow disk: the start takes long after the others were asked.
#[test]
fn a_node_whose_start_takes_long_keeps_another_from_starting() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = one.path().join("data");
    let server = Server::in_directory(one.path(), &[]);
    server.terminate();
    assert!(server.wait().success());
    // Whoever opens the store reads this first, and waits for as long as nobody writes it.
    let (marker, held) = (data.join("images/mainstay-images"), data.join("held"));
    let text = std::fs::read_to_string(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&held).status().unwrap();
    assert!(made.success());
    std::fs::hard_link(&held, &marker).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let (url, second) = (format!("http://{listen}"), format!("http://127.0.0.1:{}", free_port()));
    let mut first = mainstay();
    first.args(["serve", "--log", "warn", "--listen", &listen, "--standbys", &second, "--data"]).arg(&data);
    first.stdout(Stdio::null());
    let mut first = first.spawn().unwrap();
    let is = |stage: &str| {
        let told =
            TcpStream::connect(&listen).is_ok().then(|| Browser::default().get(&format!("{url}/nodez")));
        told.is_some_and(|told| told.body.contains(stage))
    };
    let until = |stage: &str| {
        let started = Instant::now();
        while !is(stage) {
            assert!(started.elapsed() < PATIENCE, "it is not {stage}");
            pause(Duration::from_millis(20));
        }
    };
    until("starting");
    // Longer than the others are asked.
    pause(Duration::from_secs(3));
    assert!(is("starting"), "it tells so for as long as its start takes");
    names_the_ways_out(&refused(two.path(), &url), &url);
    assert_eq!(tables(&two.path().join("mainstay.db")), 0, "something was written");
    let ready = data.join("ready");
    std::fs::write(&ready, &text).unwrap();
    std::fs::rename(&ready, &marker).unwrap();
    std::fs::write(&held, &text).unwrap();
    until("serving");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_command_writes_nothing_beside_another_node() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::in_directory(one.path(), &[]);
    let disk = one.path().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    let command = |data: &Path, args: &[&str], others: &str| {
        let mut command = mainstay();
        command.env("MAINSTAY_STANDBYS", others).args(args).arg("--data").arg(data);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let commit = ["images", "commit", disk.to_str().unwrap()];
    let (code, text) = command(two.path(), &["migrate", "up"], &server.url);
    assert_eq!(code, Some(1), "{text}");
    names_the_ways_out(&text, &server.url);
    assert_eq!(tables(&two.path().join("mainstay.db")), 0, "something was written");
    // On the file of a server that guards it, the server alone asks.
    let own = one.path().join("data");
    assert_eq!(command(&own, &commit, &server.url).0, Some(0));
    server.signal("-STOP");
    let (code, text) = command(two.path(), &["migrate", "up"], &server.url);
    assert!(code == Some(1) && text.contains("the connection is taken"), "{text}");
    server.signal("-CONT");
    let url = server.url.clone();
    server.terminate();
    assert!(server.wait().success());
    for args in [&["migrate", "up"][..], &commit] {
        let (code, text) = command(two.path(), args, &url);
        assert_eq!(code, Some(0), "nobody else runs: {text}");
    }
    let server = Server::in_directory(one.path(), &[]);
    let (code, text) = command(two.path(), &["migrate", "status"], &server.url);
    assert_eq!(code, Some(0), "whoever only looks may: {text}");
    let (code, text) = command(two.path(), &commit, &server.url);
    assert_eq!(code, Some(1), "{text}");
    names_the_ways_out(&text, &server.url);
}

#[test]
fn what_answers_for_a_peer_and_is_no_node_keeps_the_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let text = refused(directory.path(), &url);
    assert!(text.contains(&url) && text.contains("502") && text.contains("proxy"), "{text}");
    assert!(proxy.join().unwrap().starts_with("GET /nodez HTTP/1.1\r\n"));
    assert_eq!(tables(&directory.path().join("mainstay.db")), 0, "something was written");
}

#[test]
fn on_postgres_nobody_asks() {
    let database = TestDatabase::postgres();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let first = Server::in_directory(one.path(), &["--database", database.url(), "--peers", &silent]);
    let peers = format!("{silent},{}", first.url);
    let second = Server::in_directory(two.path(), &["--database", database.url(), "--peers", &peers]);
    let told = |server: &Server| Browser::default().get(&server.path("/nodez")).body;
    let (one, two) = (told(&first), told(&second));
    assert!(one.contains("\"mainstay.node/1\"") && one != two, "{one} {two}");
    assert!(!one.contains("postgres"), "{one}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody asked");
    for server in [first, second] {
        server.terminate();
        assert!(server.wait().success());
    }
}
