//! What an operator reads afterwards: whose request it was, once, and no secret.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mainstay_testkit::pause;
use serde_json::Value;

use crate::support::browser::{Answer, Browser};
use crate::support::server::{free_port, mainstay};

/// A server whose log goes to a file, as JSON.
struct Logged {
    directory: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Logged {
    fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let data = directory.path().join("data");
        let mut command = mainstay();
        command.args(["serve", "--json", "--log-format", "json", "--listen", &listen]).args(args);
        command.args(["--data", data.to_str().unwrap()]);
        command.stdout(Stdio::null()).stderr(File::create(log_file(directory.path())).unwrap());
        let server = Self { directory, child: command.spawn().unwrap(), url: format!("http://{listen}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(&listen).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not start");
            pause(Duration::from_millis(20));
        }
        server
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(log_file(self.directory.path())).unwrap()
    }

    /// The lines of one request, once the last of them is there.
    fn lines_of(&self, answer: &Answer) -> Vec<Value> {
        let request = answer.header("x-request-id").unwrap();
        let started = Instant::now();
        loop {
            let text = self.text();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines: Vec<Value> = lines.filter(|line| line.to_string().contains(request)).collect();
            if lines.iter().any(|line| line["message"] == "request") {
                return lines;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{request} was not logged: {text}");
            pause(Duration::from_millis(20));
        }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(directory: &Path) -> std::path::PathBuf {
    directory.join("log")
}

#[test]
fn log_lines_are_json_when_asked_and_hold_no_secret() {
    let server = Logged::start(&[]);
    let answer = Browser::default().get(&server.path(&format!("/setup/setup_{}", "A".repeat(43))));
    let lines = server.lines_of(&answer);
    assert_eq!(lines[0]["route"], "/setup/{token}");
    assert!(!server.text().contains("AAAAAAAA"), "{}", server.text());
}

#[test]
fn that_another_node_looked_is_no_news() {
    let server = Logged::start(&[]);
    Browser::default().get(&server.path("/nodez"));
    let after = Browser::default().get(&server.path("/login"));
    assert_eq!(server.lines_of(&after).last().unwrap()["route"], "/login");
    assert!(!server.text().contains("/nodez"), "{}", server.text());
}

#[test]
fn a_refused_login_is_logged_once_with_its_client_and_request() {
    let refused = |server: &Logged, forwarded: Option<&str>| {
        let mut browser = Browser::default();
        browser.extra =
            forwarded.map(|it| ("X-Forwarded-For".to_owned(), it.to_owned())).into_iter().collect();
        let page = browser.get(&server.path("/login"));
        let start = page.body.find("/saml/conn_").unwrap();
        let acs = page.body[start..].split('"').next().unwrap().replace("/login", "/acs");
        // An answer that is none: refused, traced.
        let answer = browser.post(&server.path(&acs), &[("SAMLResponse", "QQ=="), ("bounced", "1")]);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        let lines = server.lines_of(&answer);
        let refusals: Vec<&Value> =
            lines.iter().filter(|line| line.to_string().contains("refused")).collect();
        let [line] = refusals.as_slice() else { panic!("once and not {}: {lines:?}", refusals.len()) };
        assert_eq!(line["message"], "login refused", "{line}");
        assert!(
            line["code"].is_string() && line["connection"].is_string() && line["trace"].is_string(),
            "{line}"
        );
        assert_eq!(line["span"]["request"], answer.header("x-request-id").unwrap(), "{line}");
        line["span"]["client"].as_str().unwrap().to_owned()
    };
    let server = Logged::start(&["--dev"]);
    assert_eq!(refused(&server, None), "127.0.0.1");
    assert_eq!(refused(&server, Some("192.0.2.7")), "127.0.0.1", "nobody chooses the address of the log");
    let behind = Logged::start(&["--dev", "--trusted-proxies", "127.0.0.1"]);
    assert_eq!(refused(&behind, Some("203.0.113.9, 2001:db8::7")), "2001:db8::7");
}
