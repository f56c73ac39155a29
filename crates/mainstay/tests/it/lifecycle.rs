//! Starting, ending, and being killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use mainstay_server::{Loaded, Sources};
use mainstay_testkit::{PrivateCluster, TestDatabase, pause};

use crate::dev_sign_in::{answered, refusal, sign_in};
use crate::support::browser::{Browser, encode};
use crate::support::server::{Server, free_port, json, mainstay, run};

#[test]
fn the_first_start_makes_what_it_needs_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[]);
    let mode =
        |path: &str| std::fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data"), 0o700);
    assert!(directory.path().join("data/mainstay.db").exists());
    assert!(!directory.path().join("data/dev-idp.json").exists());
    assert!(server.setup_link.clone().unwrap().contains("/setup/setup_"));
    let page = Browser::default().get(&server.path("/login"));
    assert!(page.body.contains("No identity provider is connected yet"), "{page:?}");
}

#[test]
fn a_kill_loses_no_session_and_no_login_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["--dev", "--listen", &listen, "--data", data.to_str().unwrap()];
    let server = Server::start(&args);
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    sign_in(&mut alice, &server, "alice");
    let form = answered(&mut bob, &server, "bob", "");
    server.kill();

    let server = Server::start(&args);
    assert_eq!(alice.get(&server.path("/api/v1/me")).status, 200, "a session outlives the process");
    let done = form.submit(&mut bob);
    assert_eq!(done.status, 303, "a login outlives the process: {done:?}");
    assert!(bob.follow(done).body.contains("Bob Sample"));
}

#[test]
fn a_request_that_runs_is_finished_and_the_port_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let mut browser = Browser::default();
    let form = answered(&mut browser, &server, "alice", "");
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();

    // A login whose body has not arrived when the server is told to end.
    let body: Vec<String> =
        form.fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let body = body.join("&");
    let (first, second) = body.split_at(body.len() / 2);
    let path = form.action.strip_prefix(&server.url).unwrap();
    let cookie = browser.cookie("127.0.0.1", "mainstay-login-insecure").unwrap();
    let mut stream = TcpStream::connect(&authority).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nCookie: mainstay-login-insecure={cookie}\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    pause(Duration::from_millis(200));
    server.terminate();
    pause(Duration::from_millis(300));
    assert!(TcpStream::connect(&authority).is_err(), "nobody new gets in");
    stream.write_all(second.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("mainstay-insecure=st_"), "{answer}");
    assert!(server.wait().success());
}

#[test]
fn an_idle_server_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[]);
    // A connection that is kept open without a request holds nobody up.
    let idle = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    server.terminate();
    assert!(server.wait().success());
    drop(idle);
}

#[test]
fn a_request_that_never_ends_is_cut_off_after_the_drain_time() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--drain-timeout", "1s"]);
    let authority = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(stream, "POST /logout HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nform").unwrap();
    pause(Duration::from_millis(100));
    server.terminate();
    assert_eq!(server.wait().code(), Some(3));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[]);
    let listen = server.url.strip_prefix("http://").unwrap();
    let other = directory.path().join("other");
    let output = run(&["serve", "--listen", listen, "--data", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(listen) && text.contains("--listen"), "{text}");
    assert!(!other.exists(), "nothing was made");
}

#[test]
fn a_second_server_on_the_same_file_is_refused_before_it_writes() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let mut browser = Browser::default();
    sign_in(&mut browser, &server, "alice");
    let data = directory.path().join("data");
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(data.join("mainstay.db"), &link).unwrap();
    let url = format!("sqlite://{}", link.display());
    for place in [["--data", data.to_str().unwrap()], ["--database", &url]] {
        let output = run(&[["serve", "--listen", "127.0.0.1:0"].as_slice(), &place].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("another server runs on"), "{text}");
    }
    // Without --dev the second one would have ended alice's session.
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 200);
    let list = run(&["sso", "connection", "list", "--data", data.to_str().unwrap()]);
    assert!(list.status.success(), "commands may use the file meanwhile: {list:?}");
    let down = ["migrate", "down", "--component", "sso", "--to", "0", "--confirm", "sso", "--data"];
    let down = [down.as_slice(), &[data.to_str().unwrap()]].concat();
    let refused = run(&down);
    assert_eq!(refused.status.code(), Some(1), "it would take the server's tables away: {refused:?}");
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 200);
    server.kill();
    drop(Server::in_directory(directory.path(), &[]));
    assert!(run(&down).status.success());
}

#[test]
fn nodes_that_start_together_agree_to_end_a_development_connection() {
    let database = TestDatabase::postgres();
    let directory = tempfile::tempdir().unwrap();
    Server::in_directory(directory.path(), &["--dev", "--database", database.url()]).kill();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Server::in_directory(directory.path(), &["--database", database.url()]));
        }
    });
    let list = json(&["sso", "connection", "list", "--database", database.url()]);
    assert_eq!(list["connections"][0]["status"], "disabled");
}

#[test]
fn the_development_provider_does_not_listen_on_a_network() {
    let output = run(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--allow-dev-on-network"), "{text}");
}

#[test]
fn log_lines_are_json_when_asked_and_hold_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let log = directory.path().join("log");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = mainstay();
    command.args([
        "serve",
        "--json",
        "--listen",
        &listen,
        "--data",
        data.to_str().unwrap(),
        "--log-format",
        "json",
    ]);
    command.stdout(std::process::Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let url = format!("http://{listen}");
    while TcpStream::connect(&listen).is_err() {
        pause(Duration::from_millis(20));
    }
    Browser::default().get(&format!("{url}/setup/setup_{}", "A".repeat(43)));
    pause(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = lines.iter().find(|line| line["message"] == "request").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(request["route"], "/setup/{token}");
    assert!(!text.contains("AAAAAAAA"), "{text}");
}

#[test]
fn a_database_that_is_away_is_told_and_comes_back() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let directory = tempfile::tempdir().unwrap();
    let args = ["--dev", "--database", database.url(), "--request-timeout", "3s"];
    let server = Server::in_directory(directory.path(), &args);
    let mut browser = Browser::default();
    sign_in(&mut browser, &server, "alice");
    assert_eq!(browser.get(&server.path("/readyz")).status, 200);

    cluster.kill();
    let ready = browser.get(&server.path("/readyz"));
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true), "{ready:?}");
    let page = browser.get(&server.path("/"));
    assert_eq!((page.status, refusal(&page)), (503, "unavailable"), "{page:?}");
    assert_eq!(browser.get(&server.path("/healthz")).status, 200, "the process itself is well");

    cluster.resume();
    let started = Instant::now();
    while browser.get(&server.path("/readyz")).status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "the server does not find its database again");
        pause(Duration::from_millis(50));
    }
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 200, "and the session is still there");
}

#[test]
fn a_host_runs_the_server_in_its_own_process() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let flags = vec![("data", data), ("listen", "127.0.0.1:0".to_owned())];
    let config = Loaded::from_sources(&Sources { flags, ..Sources::default() }).into_config().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.block_on(mainstay_server::Server::start(&config)).unwrap();
    let url = server.started().url.clone();
    let running = runtime.spawn(server.run(async move { drop(ended.await) }));
    assert_eq!(Browser::default().get(&format!("{url}/healthz")).status, 200);
    end.send(()).unwrap();
    assert!(runtime.block_on(running).unwrap(), "every request ended");
}
