//! Starting, ending, and being killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use mainstay_repo::{Sql, Statement};
use mainstay_server::{Loaded, Sources};
use mainstay_testkit::{PrivateCluster, TestDatabase, pause};

use crate::dev_sign_in::{answered, refusal, sign_in};
use crate::support::browser::{Browser, encode};
use crate::support::html::Form;
use crate::support::server::{Server, free_port, json, mainstay, run};

#[test]
fn the_first_start_makes_what_it_needs_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[]);
    let mode =
        |path: &str| std::fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data"), 0o700);
    for file in ["mainstay.db", "mainstay.db-wal", "mainstay.db-shm", "mainstay.db.server"] {
        assert_eq!(mode(&format!("data/{file}")), 0o600, "{file}");
    }
    assert!(!directory.path().join("data/dev-idp.json").exists());
    assert!(server.setup_link.clone().unwrap().contains("/setup/setup_"));
    let page = Browser::default().get(&server.path("/login"));
    assert!(page.body.contains("No identity provider is connected yet"), "{page:?}");
}

#[test]
fn a_database_is_its_owners_whatever_the_umask() {
    for umask in ["000", "022", "277"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("own.db");
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        let up = || {
            let url = format!("sqlite://{}", file.display());
            let script = format!("umask {umask}; exec \"$0\" migrate up --database \"$1\"");
            let program = mainstay().get_program().to_owned();
            let sh = std::process::Command::new("sh").arg("-c").arg(script).arg(program).arg(url).status();
            assert!(sh.unwrap().success(), "umask {umask}");
        };
        up();
        assert_eq!(mode(), 0o600, "umask {umask}");
        // Somebody lets a group read it: that is theirs to decide, and the doctor says so.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        up();
        assert_eq!(mode(), 0o640);
        let report = json(&["doctor", "--database", &format!("sqlite://{}", file.display())]);
        assert!(report.to_string().contains("chmod 600"), "{report}");
    }
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

/// Sends a login without the end of its body, which is given back.
pub(crate) fn half_a_login(server: &Server, browser: &Browser, form: &Form) -> (TcpStream, String) {
    let authority = server.url.strip_prefix("http://").unwrap();
    let body: Vec<String> =
        form.fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let body = body.join("&");
    let (first, second) = body.split_at(body.len() / 2);
    let path = form.action.strip_prefix(&server.url).unwrap();
    let cookie = browser.cookie("127.0.0.1", "mainstay-login-insecure").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nCookie: mainstay-login-insecure={cookie}\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    (stream, second.to_owned())
}

#[test]
fn a_request_that_runs_is_finished_and_the_port_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let mut browser = Browser::default();
    let form = answered(&mut browser, &server, "alice", "");
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();
    let (mut stream, rest) = half_a_login(&server, &browser, &form);
    pause(Duration::from_millis(200));
    server.terminate();
    pause(Duration::from_millis(300));
    assert!(TcpStream::connect(&authority).is_err(), "nobody new gets in");
    stream.write_all(rest.as_bytes()).unwrap();
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

/// The configuration of a server on a database, for what is called in this process.
fn config(database: &TestDatabase) -> mainstay_server::Config {
    let flags = vec![("database", database.url().to_owned())];
    Loaded::from_sources(&Sources { flags, ..Sources::default() }).into_config().unwrap()
}

#[test]
fn tables_are_not_taken_from_servers_that_share_postgres() {
    let database = TestDatabase::postgres();
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let repo = runtime.block_on(database.repo());
    let change = |sql: &'static str| {
        runtime.block_on(repo.write(Statement::new(Sql::new(sql)))).unwrap().rows_affected()
    };
    let down = || {
        let down = ["migrate", "down", "--component", "sso", "--to", "0", "--confirm", "sso", "--database"];
        let output = run(&[down.as_slice(), &[database.url()]].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let server = Server::in_directory(directory.path(), &["--database", database.url()]);
    let (code, text) = down();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("1 server(s) run") && text.contains(&server.url), "{text}");

    // Forgotten, as after a long time without its database, it makes itself known again.
    assert_eq!(change("DELETE FROM server_nodes"), 1);
    let started = Instant::now();
    while change("UPDATE server_nodes SET place = place") == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "the server stays forgotten");
        pause(Duration::from_millis(50));
    }
    assert_eq!(down().0, Some(1));

    // One that ends says so; one that is killed is forgotten after a while.
    server.kill();
    assert_eq!(down().0, Some(1), "nobody knows yet that it is dead");
    assert_eq!(change("UPDATE server_nodes SET seen_at = seen_at - interval '31 seconds'"), 1);
    assert_eq!(down(), (Some(0), String::new()));
    let server = Server::in_directory(directory.path(), &["--database", database.url()]);
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(down(), (Some(0), String::new()));
}

#[test]
fn no_server_starts_while_tables_are_taken_away() {
    let database = TestDatabase::postgres();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--database", database.url()]);
    server.terminate();
    assert!(server.wait().success());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let repo = runtime.block_on(database.repo());
    let claim = runtime.block_on(mainstay_server::claim(&config(&database), &repo)).unwrap();
    let data = directory.path().join("data");
    let data = ["--data", data.to_str().unwrap()];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", database.url()];
    let output = run(&[serve.as_slice(), &data].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("being taken away"), "{text}");
    runtime.block_on(claim.release());
    drop(Server::in_directory(directory.path(), &["--database", database.url()]));
}

#[test]
fn development_servers_that_share_postgres_leave_each_other_alone() {
    let database = TestDatabase::postgres();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let args = ["--dev", "--database", database.url()];
    let first = Server::in_directory(one.path(), &args);
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    sign_in(&mut alice, &first, "alice");
    let second = Server::in_directory(two.path(), &args);
    assert!(sign_in(&mut bob, &second, "bob").body.contains("Bob Sample"));
    assert_eq!(alice.get(&first.path("/api/v1/me")).status, 200, "her session goes on");
    assert!(sign_in(&mut Browser::default(), &first, "alice").body.contains("Alice Example"));
    let page = alice.get(&first.path("/login"));
    assert_eq!(page.body.matches("Development users").count(), 1, "only one that works here: {page:?}");

    // The same URL with another key would be two providers under one name.
    let rival = tempfile::tempdir().unwrap();
    let rival = ["--data", rival.path().to_str().unwrap(), "--public-url", &first.url];
    let output = run(&[["serve", "--listen", "127.0.0.1:0"].as_slice(), &args, &rival].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("another key"), "{text}");
    assert!(sign_in(&mut Browser::default(), &first, "alice").body.contains("Alice Example"));

    // What a server left behind that no longer runs is disabled by the next start.
    second.terminate();
    assert!(second.wait().success());
    drop(Server::in_directory(
        two.path(),
        &[args.as_slice(), &["--public-url", "http://localhost:1"]].concat(),
    ));
    assert_eq!(bob.get(&first.path("/api/v1/me")).status, 401);
    assert_eq!(alice.get(&first.path("/api/v1/me")).status, 200);
}

#[test]
fn test_users_are_not_let_in_where_a_server_without_them_runs() {
    let database = TestDatabase::postgres();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--database", database.url()]);
    let data = directory.path().join("dev");
    let data = ["--data", data.to_str().unwrap()];
    let serve = ["serve", "--dev", "--listen", "127.0.0.1:0", "--database", database.url()];
    let output = run(&[serve.as_slice(), &data].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(&server.url) && text.contains("--dev"), "{text}");
    let list = json(&["sso", "connection", "list", "--database", database.url()]);
    assert_eq!(list["connections"].as_array().unwrap().len(), 0, "nothing was made");
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
    assert_eq!(runtime.block_on(running).unwrap(), mainstay_server::Ended::Drained);
}
