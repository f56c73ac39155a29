//! A real browser signs in: with the mouse, with the keyboard, and across sites.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_testkit::environment;

use crate::support::chromium::Chromium;
use crate::support::server::{Server, free_port, json};
use crate::support::simplesamlphp::{PASSWORD, SimpleSamlPhp, USER};

const SIGNED_IN: &str = "document.querySelector('form[action=\"/logout\"]') !== null";

/// Keeps a picture for the documents, when golden files are refreshed.
fn keep(browser: &mut Chromium, name: &str) {
    let picture = STANDARD.decode(browser.screenshot()).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "not a picture");
    if environment::refreshes_golden() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name), picture).unwrap();
    }
}

#[test]
fn e2e_chromium_signs_alice_in_through_the_development_provider() {
    let directory = tempfile::Builder::new().prefix("mainstay-").tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let mut browser = Chromium::start();
    browser.look(1180, 720, "light");
    browser.open(&server.path("/"));
    browser.wait_until("location.pathname === '/login'");
    keep(&mut browser, "sign-in.png");
    browser.click("a.choice");
    browser.wait_until("location.pathname === '/dev/idp/sso'");
    browser.click("#alice");
    browser.wait_until(SIGNED_IN);
    let text = browser.text();
    for part in ["Alice Example", "alice@example.test", "Development users", "SQLite", "Position"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(browser.evaluate("location.pathname"), "/");
    assert_eq!(browser.evaluate("document.cookie"), "", "no script sees a cookie");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.look(1180, 1060, "light");
    keep(&mut browser, "signed-in.png");
    browser.look(1180, 1060, "dark");
    keep(&mut browser, "signed-in-dark.png");
    browser.look(390, 844, "light");
    let fits = browser.evaluate("document.documentElement.scrollWidth <= 390");
    assert_eq!(fits, true, "a telephone scrolls in one direction only");

    browser.click("form[action=\"/logout\"] button");
    browser.wait_until("location.pathname === '/login'");
    browser.open(&server.path("/"));
    browser.wait_until("location.pathname === '/login'");
}

#[test]
fn e2e_chromium_signs_bob_in_with_the_keyboard_alone() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let mut browser = Chromium::start();
    browser.open(&server.path("/login"));
    browser.wait_until("location.pathname === '/login'");
    browser.tab_until("document.activeElement.matches('a.choice')");
    let ring = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(ring, "solid", "it shows where the keyboard is");
    browser.press("Enter");
    browser.wait_until("location.pathname === '/dev/idp/sso'");
    browser.tab_until("document.activeElement.id === 'bob'");
    browser.press("Enter");
    browser.wait_until(SIGNED_IN);
    assert!(browser.text().contains("Bob Sample"));
}

/// `localhost` and `127.0.0.1` are two sites: the browser keeps the login cookie back, and our own page fetches it.
#[test]
fn e2e_chromium_signs_in_across_sites_through_simplesamlphp() {
    let provider = SimpleSamlPhp::start("localhost");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let settings = ["--data", data.to_str().unwrap(), "--public-url", &url];
    json(&[&["migrate", "up"], settings.as_slice()].concat());
    provider.connect(&settings);
    let server = Server::start(&[settings.as_slice(), &["--listen", &listen]].concat());

    let mut browser = Chromium::start();
    browser.open(&server.path("/login"));
    browser.click("a.choice");
    browser.wait_until("document.querySelector('#password') !== null");
    let fill = format!(
        "document.querySelector('#username').value = {USER:?}; document.querySelector('#password').value = {PASSWORD:?}; \
         document.querySelector('form[name=f]').submit(); 1"
    );
    browser.evaluate(&fill);
    browser.wait_until(SIGNED_IN);
    let text = browser.text();
    assert!(text.contains("Alice Example") && text.contains("SimpleSAMLphp"), "{text}");
    let metrics = crate::support::browser::Browser::default().get(&server.path("/metrics")).body;
    let posts = "route=\"/saml/{connection}/acs\",status=\"200\"} 1";
    assert!(metrics.contains(posts), "the first post was bounced: {metrics}");
}
