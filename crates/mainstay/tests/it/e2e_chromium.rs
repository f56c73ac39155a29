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

/// What is wrong with how a page lies in its window, as texts.
const MISPLACED: &str = r"(() => {
  const wrong = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) wrong.push('the page scrolls sideways');
  for (const box of document.querySelectorAll('.scroll'))
    if (box.scrollWidth > box.clientWidth) wrong.push('a table scrolls sideways');
  for (const one of document.querySelectorAll('a.button, a.choice, button, input:not([type=hidden]), select')) {
    const { width, height } = one.getBoundingClientRect();
    if (width < 24 || height < 24) wrong.push('too small to be touched: ' + one.outerHTML.slice(0, 80));
  }
  for (const cell of document.querySelectorAll('td, dd, h1, .name'))
    if (cell.scrollWidth > cell.clientWidth + 1 && getComputedStyle(cell).display !== 'inline')
      wrong.push('cut off: ' + cell.innerText.slice(0, 40));
  return JSON.stringify(wrong);
})()";

#[track_caller]
pub(crate) fn fits(browser: &mut Chromium) {
    for theme in ["light", "dark"] {
        for (width, height) in [(360, 740), (1180, 760)] {
            browser.look(width, height, theme);
            let wrong = browser.evaluate(MISPLACED);
            let page = browser.evaluate("location.pathname");
            assert_eq!(wrong, "[]", "{page} at {width} pixels, {theme}");
        }
    }
}

#[test]
fn e2e_chromium_shows_every_page_on_a_telephone_and_on_a_desk() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = ["--data", data.to_str().unwrap()];
    let file = crate::cli::metadata(directory.path());
    json(&[["migrate", "up"].as_slice(), &data].concat());
    let long = format!("{} und Söhne", "Donaudampfschifffahrtsgesellschaft".repeat(3));
    for (name, organization) in [(long.as_str(), "o".repeat(60).as_str()), ("Acme", "acme")] {
        let add = ["sso", "connection", "add", "--enable", "--name", name, "--organization", organization];
        json(&[add.as_slice(), &["--metadata", file.to_str().unwrap()], &data].concat());
    }
    let server = Server::start(&[["--dev", "--listen", "127.0.0.1:0"].as_slice(), &data].concat());
    let mut browser = Chromium::start();
    for path in ["/login", "/nothing", "/setup/setup_x"] {
        browser.open(&server.path(path));
        browser.wait_until("document.querySelector('.foot') !== null");
        fits(&mut browser);
    }
    let link = server.setup_link.clone().unwrap();
    browser.open(&link);
    browser.wait_until("document.querySelector('#name') !== null");
    fits(&mut browser);
    browser.evaluate(&format!("document.querySelector('#name').value = {:?}; 1", "Ada".repeat(40)));
    browser.click("form button");
    browser.wait_until(SIGNED_IN);
    fits(&mut browser);
    let rows = "document.querySelectorAll('[role=table] [role=row]').length";
    assert_eq!(browser.evaluate(rows), 4, "a head and three connections");
    browser.open(&link);
    browser.wait_until("document.body.innerText.includes('It was used before')");
    fits(&mut browser);

    browser.open(&server.path("/login"));
    browser.click("li:last-child a.choice");
    browser.wait_until("location.pathname === '/dev/idp/sso'");
    fits(&mut browser);
    browser.click("#alice");
    browser.wait_until(SIGNED_IN);
    fits(&mut browser);
    // That a page has another status than 200 is what was asked for.
    let complaints = browser.complaints();
    let blocked: Vec<&String> = complaints.iter().filter(|it| !it.contains("with a status of 40")).collect();
    assert_eq!(blocked, Vec::<&String>::new());
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
