//! `mainstay images pull | push` against Debian's `docker-registry`, with and without a password.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay_testkit::{TestDatabase, Victim, pause};
use serde_json::json;
use tempfile::TempDir;

use crate::images::{Store, sample, tool};
use crate::support::server::mainstay;

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);
const USER: &str = "tester";
const PASSWORD: &str = "secret-of-the-test";
/// The hash is bcrypt of the password.
const HTPASSWD: &str = "tester:$2y$04$sSuoPLJTcjUPcVyL1lxguOrXfD6SSMupvMY8SWynuKypG8WpMYEIO\n";

struct Registry {
    address: SocketAddr,
    _directory: TempDir,
    _process: Victim,
}

impl Registry {
    fn start(asks_for_a_password: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        // Free a moment ago; nobody else asks for this very one.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let auth = if asks_for_a_password {
            std::fs::write(at("htpasswd"), HTPASSWD).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", at("htpasswd"))
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n  secret: test\n{auth}",
            at("blobs")
        );
        std::fs::write(at("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command
            .args(["serve", &at("config.yml")])
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap());
        let process = Victim::spawn(command);
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < PATIENCE, "{}", std::fs::read_to_string(at("log")).unwrap());
            pause(Duration::from_millis(20));
        }
        Self { address, _directory: directory, _process: process }
    }
}

/// What `skopeo` says that a reference of the registry is.
fn digest_of(at: &Path, registry: &Registry, reference: &str, more: &[&str]) -> String {
    let reference = format!("docker://{}/{reference}", registry.address);
    let args =
        [&["inspect", "--tls-verify=false", "--format", "{{.Digest}}"], more, &[reference.as_str()]].concat();
    tool(at, "skopeo", &args).trim().to_owned()
}

#[test]
fn e2e_an_image_goes_to_a_registry_and_comes_back_on_sqlite() {
    goes_and_comes(&TestDatabase::sqlite());
}

#[test]
fn e2e_an_image_goes_to_a_registry_and_comes_back_on_postgres() {
    goes_and_comes(&TestDatabase::postgres());
}

fn goes_and_comes(database: &TestDatabase) {
    let store = Store::new(database);
    let registry = Registry::start(false);
    sample(store.at());
    let theirs = format!("docker://{}/field/app:1", registry.address);
    tool(
        store.at(),
        "skopeo",
        &["copy", "--insecure-policy", "--dest-tls-verify=false", "oci:L:app", &theirs],
    );
    let digest = digest_of(store.at(), &registry, "field/app:1", &[]);

    let reference = format!("{}/field/app:1", registry.address);
    let pulled = store.json(&["pull", &reference, "--plain-http"]);
    assert_eq!(
        (&pulled["images"][0]["digest"], &pulled["images"][0]["names"]),
        (&digest.as_str().into(), &json!([reference]))
    );
    // What is there is not fetched again, and may have another name.
    store.json(&["pull", &reference, "--plain-http", "--name", "app"]);
    assert_eq!(store.json(&["ls"])["images"].as_array().map(Vec::len), Some(1));
    let to = format!("{}/ours/app:2", registry.address);
    let pushed = store.json(&["push", "app", &to, "--plain-http", "--mount-from", "field/app"]);
    assert_eq!(pushed["digest"], digest.as_str());
    assert_eq!(digest_of(store.at(), &registry, "ours/app:2", &[]), digest);

    store.refuses(&["pull", &format!("{}/field/none:1", registry.address), "--plain-http"], 1, "none");
    store.refuses(&["pull", &reference, "--plain-http", "--platform", "linux"], 2, "linux/amd64");
    // A registry that is not there may come back.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    store.refuses(&["push", "app", &format!("{nobody}/a:1"), "--plain-http"], 3, "");
    // It ends as every image does, and comes back whole.
    store.json(&["rm", "app", "--names"]);
    let collected = store.json(&["gc", "--full"]);
    assert_eq!((collected["blobs_removed"].as_u64(), store.blobs().len()), (Some(4), 0));
    store.json(&["pull", &reference, "--plain-http", "--name", "back"]);
    assert_eq!(store.json(&["inspect", "back"])["digest"], digest.as_str());
}

#[test]
fn e2e_a_registry_that_asks_for_a_password_gets_it_and_no_argument_has_it() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let registry = Registry::start(true);
    let layout = sample(store.at());
    store.json(&["import", layout.to_str().unwrap(), "--tag", "app", "--name", "app"]);
    let reference = format!("{}/team/app:1", registry.address);
    let file = store.at().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let file = file.to_str().unwrap();
    store.refuses(&["push", "app", &reference, "--plain-http"], 2, "--user and --password-file");
    store.refuses(
        &["push", "app", &reference, "--plain-http", "--user", USER],
        2,
        "MAINSTAY_REGISTRY_PASSWORD",
    );
    store.json(&["push", "app", &reference, "--plain-http", "--user", USER, "--password-file", file]);
    let creds = format!("--creds={USER}:{PASSWORD}");
    let digest = digest_of(store.at(), &registry, "team/app:1", &[&creds]);
    // From the environment as well.
    let pulled = mainstay()
        .env("MAINSTAY_REGISTRY_PASSWORD", PASSWORD)
        .args(["images", "pull", &reference, "--plain-http", "--user", USER, "--name", "pulled", "--json"])
        .args(["--database", store.database, "--images", &store.images])
        .output()
        .unwrap();
    assert!(pulled.status.success(), "{pulled:?}");
    assert_eq!(store.json(&["inspect", "pulled"])["digest"], digest.as_str());
    std::fs::write(store.at().join("wrong"), "wrong").unwrap();
    let wrong = store.at().join("wrong").display().to_string();
    store.refuses(
        &["pull", &reference, "--plain-http", "--user", USER, "--password-file", &wrong],
        2,
        "--user and --password-file",
    );
}

/// A proxy that finds every host at one address; gives what it is asked, by the heads of its connections.
fn proxy(target: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut near, mut far) = (stream.unwrap(), TcpStream::connect(target).unwrap());
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut octet = [0];
                near.read_exact(&mut octet).unwrap();
                head.push(octet[0]);
            }
            far.write_all(&head).unwrap();
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let (mut back, mut answer) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut answer, &mut back)));
            std::thread::spawn(move || drop(std::io::copy(&mut near, &mut far)));
        }
    });
    (address, asked)
}

#[test]
fn a_registry_is_reached_through_the_proxy_of_the_environment() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let registry = Registry::start(false);
    let layout = sample(store.at());
    store.json(&["import", layout.to_str().unwrap(), "--tag", "app", "--name", "app"]);
    store.json(&["push", "app", &format!("{}/team/app:1", registry.address), "--plain-http"]);
    let (address, asked) = proxy(registry.address);
    let pull = |variables: &[(&str, &str)]| {
        mainstay()
            .envs(variables.iter().copied())
            .args([
                "images",
                "pull",
                "registry.test:5000/team/app:1",
                "--plain-http",
                "--name",
                "pulled",
                "--json",
            ])
            .args(["--database", store.database, "--images", &store.images])
            .output()
            .unwrap()
    };
    let url = format!("http://user:proxy-secret@{address}");
    let pulled = pull(&[("http_proxy", &url)]);
    assert!(pulled.status.success(), "{pulled:?}");
    let heads = asked.lock().unwrap().clone();
    assert!(
        heads.iter().all(|head| head.starts_with("GET http://registry.test:5000/v2/team/app/")),
        "{heads:?}"
    );
    assert!(!heads.is_empty());
    // What is no proxy is refused, and its password is told to nobody.
    let refused = pull(&[("HTTP_PROXY", "socks5://user:proxy-secret@127.0.0.1:1")]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("HTTP_PROXY"), "{refused:?}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn progress_is_shown_to_people_at_a_terminal_and_to_nobody_else() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let layout = sample(store.at());
    let binary = env!("CARGO_BIN_EXE_mainstay");
    let import = format!(
        "{binary} images import {} --tag app --database {} --images {}",
        layout.display(),
        store.database,
        store.images
    );
    let piped = Command::new("sh").args(["-c", &import]).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
    // `script` gives the command a terminal of its own.
    let shown = |command: &str| {
        let output =
            Command::new("script").args(["-qec", command, "/dev/null"]).env("TERM", "xterm").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let terminal = shown(&import);
    assert!(terminal.contains("importing"), "{terminal:?}");
    assert!(!shown(&format!("{import} --json")).contains("importing"), "a program asked");
}
