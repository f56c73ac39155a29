//! The pages about images in a real browser, and what their forms do.

use mainstay_testkit::TestDatabase;

use crate::e2e_chromium::fits;
use crate::images::{Store, sample, terminate};
use crate::support::chromium::Chromium;

/// A store with an image that `umoci` made, a disk and what was made of it.
fn furnished(database: &TestDatabase) -> (Store<'_>, String) {
    let store = Store::new(database);
    let layout = sample(store.at());
    store.json(&["import", layout.to_str().unwrap(), "--tag", "app", "--name", "team/app:1"]);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk".repeat(400)).unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "golden/disk"]);
    std::fs::write(&disk, "changes".repeat(100)).unwrap();
    let vm = store.json(&["commit", disk.to_str().unwrap(), "--parent", "golden/disk", "--name", "vm/7"]);
    let vm = vm["image"]["digest"].as_str().unwrap().to_owned();
    (store, vm)
}

/// Somebody who may do everything, at the list of images.
fn administrator(store: &Store<'_>) -> Chromium {
    let mut browser = Chromium::start();
    browser.open(&store.server.path("/images"));
    browser.wait_until("location.pathname === '/login'");
    browser.open(&store.server.setup_link.clone().unwrap());
    browser.wait_until("document.querySelector('#name') !== null");
    browser.evaluate("document.querySelector('#name').value = 'Ada'; 1");
    browser.click("form button");
    browser.wait_until("document.querySelector('nav a[href=\"/images\"]') !== null");
    browser.click("nav a[href=\"/images\"]");
    browser.wait_until("location.pathname === '/images'");
    browser
}

fn shows(browser: &mut Chromium, told: &[&str]) {
    for told in told {
        browser.wait_until(&format!("document.body.innerText.includes({})", serde_json::json!(told)));
    }
}

/// Opens a form, types into its fields, and sends it.
fn send(browser: &mut Chromium, action: &str, fields: &[(&str, &str)]) {
    let form = format!("document.querySelector('form[action$=\"{action}\"]')");
    browser.wait_until(&format!("{form} !== null"));
    for (name, value) in fields {
        browser.evaluate(&format!("{form}.querySelector('[name={name}]').value = '{value}'; 1"));
    }
    browser.evaluate(&format!("window.sent = true; {form}.requestSubmit(); 1"));
    browser.wait_until("window.sent === undefined && document.readyState === 'complete'");
}

#[test]
fn browser_shows_images_what_is_shared_who_uses_them_and_what_a_collection_would_do() {
    let database = TestDatabase::sqlite();
    let (store, vm) = furnished(&database);
    let (mut holder, _lease) = store.hold("vm/7");
    store.json(&["gc"]);
    let mut browser = administrator(&store);
    fits(&mut browser);
    shows(&mut browser, &["team/app:1", "golden/disk", "shared by several", "What each one takes"]);

    browser.click("nav.tabs a[href=\"/images/lineage\"]");
    browser.wait_until("location.pathname === '/images/lineage'");
    fits(&mut browser);
    assert_eq!(browser.evaluate("document.querySelectorAll('.mainstay-lineage rect').length"), 3);
    // The picture's colours are those of the page: in the dark its text is light.
    let ink = "getComputedStyle(document.querySelector('.mainstay-lineage text')).fill";
    browser.look(1180, 760, "light");
    assert_eq!(browser.evaluate(ink), "rgb(28, 32, 36)");
    browser.look(1180, 760, "dark");
    assert_eq!(browser.evaluate(ink), "rgb(237, 238, 240)");
    shows(&mut browser, &["Made from", "golden/disk"]);

    browser.click("nav.tabs a[href=\"/images/leases\"]");
    browser.wait_until("location.pathname === '/images/leases'");
    fits(&mut browser);
    shows(&mut browser, &["vm-1", "live", "Take away what it holds…"]);

    browser.click("nav.tabs a[href=\"/images/care\"]");
    browser.wait_until("location.pathname === '/images/care'");
    fits(&mut browser);
    shows(&mut browser, &["It would remove nothing.", "Past collections", "cli:tester"]);
    browser.click("nav.tabs a[href=\"/images/scrub\"]");
    browser.wait_until("location.pathname === '/images/scrub'");
    fits(&mut browser);
    shows(
        &mut browser,
        &[
            "Nothing was read again yet.",
            "No blob was found missing or wrong.",
            "None was read to its end yet.",
        ],
    );

    browser.open(&store.server.path(&format!("/images/{vm}")));
    browser.wait_until("document.querySelector('h1')?.innerText === 'vm/7'");
    fits(&mut browser);
    // The base is shared with the image that it came from, the change is its own; the style is our own sheet's.
    let classes =
        "[...document.querySelectorAll('.share rect')].map((rect) => rect.getAttribute('class')).join()";
    assert_eq!(browser.evaluate(classes), "shared,own");
    assert_ne!(
        browser.evaluate("getComputedStyle(document.querySelector('.share .own')).fill"),
        "rgb(0, 0, 0)"
    );
    shows(&mut browser, &["2 images", "this image alone", "leased it for", "What was done with it"]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    terminate(&mut holder);
}

#[test]
fn browser_tags_forks_pins_and_removes_images_and_asks_before_what_cannot_be_undone() {
    let database = TestDatabase::sqlite();
    let (store, vm) = furnished(&database);
    let mut browser = administrator(&store);
    let page = store.server.path(&format!("/images/{vm}"));
    browser.open(&page);
    send(&mut browser, "/tag", &[("name", "vm/stable")]);
    shows(&mut browser, &["The name points at this image now.", "vm/stable"]);
    send(&mut browser, "/fork", &[("name", "mine")]);
    shows(&mut browser, &["The new name begins at this image."]);
    send(&mut browser, "/untag", &[("name", "vm/stable")]);
    shows(&mut browser, &["The name was removed. The image stays."]);
    send(&mut browser, "/pin", &[]);
    shows(&mut browser, &["The image is pinned", "Take the pin away"]);
    assert_eq!(store.json(&["inspect", "mine"])["pinned"], true);

    // The word is asked for in the page, and again where it is done.
    let form = "document.querySelector('form[action$=\"/remove\"]')";
    browser.evaluate(&format!("{form}.querySelector('[name=confirm]').value = 'yes'; {form}.submit(); 1"));
    browser.wait_until("document.body.innerText.includes('type remove to confirm it')");
    browser.open(&page);
    send(&mut browser, "/remove", &[("confirm", "remove")]);
    shows(&mut browser, &["it is pinned"]);
    browser.open(&page);
    send(&mut browser, "/unpin", &[]);
    send(&mut browser, "/remove", &[("confirm", "remove")]);
    shows(&mut browser, &["The image was removed."]);
    assert_eq!(store.names(), ["team/app:1", "golden/disk"]);

    browser.open(&store.server.path("/images/care?full=true"));
    shows(&mut browser, &["1 blob(s) that no image uses go"]);
    send(&mut browser, "/collect", &[("confirm", "collect")]);
    shows(&mut browser, &["The collection goes on in the background."]);
    let mut collected = false;
    for _ in 0..600 {
        browser.open(&store.server.path("/images/care"));
        // Who collected stands there by name, and says on being asked which of their collections it was.
        let by = "document.querySelector('td[title^=\"setup:Ada use_\"]')?.innerText === 'setup:Ada'";
        collected = browser.evaluate(by) == true;
        if collected {
            break;
        }
        mainstay_testkit::pause(std::time::Duration::from_millis(100));
    }
    assert!(collected, "{}", browser.text());
    browser.open(&store.server.path("/images/scrub"));
    send(&mut browser, "/scrub", &[]);
    shows(&mut browser, &["Everything is read again in the background."]);

    // A holder is ended by its word.
    let (mut holder, _lease) = store.hold("golden/disk");
    browser.open(&store.server.path("/images/leases"));
    send(&mut browser, "/revoke", &[("confirm", "revoke")]);
    shows(&mut browser, &["may not renew any more", "may not renew"]);
    assert_eq!(holder.wait().unwrap().code(), Some(3), "it notices at its heartbeat");
    let acts = store.json(&["acts"]);
    let what: Vec<&str> =
        acts["acts"].as_array().unwrap().iter().rev().map(|act| act["action"].as_str().unwrap()).collect();
    let ours = ["tag", "fork", "untag", "pin", "unpin", "remove", "collect", "scrub", "revoke"];
    assert_eq!(what[3..], ours, "{acts}");
    // What was refused above, and nothing else.
    let refused = browser.complaints();
    assert!(
        refused.iter().all(|line| line.contains("status of 400") || line.contains("status of 409")),
        "{refused:?}"
    );
}
