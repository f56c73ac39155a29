//! The pages about runs in a real browser, while the host application works.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_testkit::{TestDatabase, environment};
use mainstay_workflow::Status;
use serde_json::json;

use crate::e2e_chromium::fits;
use crate::support::chromium::Chromium;
use crate::support::host::Host;
use crate::support::server::Server;

const STATE: &str = "document.querySelector('#facts .tag').innerText";

fn keep(browser: &mut Chromium, name: &str) {
    let picture = STANDARD.decode(browser.screenshot()).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "not a picture");
    if environment::refreshes_golden() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        std::fs::write(docs.join(name), picture).unwrap();
    }
}

fn fill(browser: &mut Chromium, field: &str, value: &str) {
    browser.evaluate(&format!("document.querySelector({field:?}).value = {value:?}; 1"));
}

#[test]
fn browser_follows_a_run_and_steers_it() {
    let database = TestDatabase::sqlite();
    let host = Host::start(database.url());
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev", "--database", database.url()]);
    let run = host.order(17, json!({ "order_id": 123 }));
    let other = host.order(18, json!({ "order_id": 124, "stock": false }));
    host.wait_for(run, Status::Waiting);
    host.wait_for(other, Status::Completed);

    let mut browser = Chromium::start();
    browser.open(&server.setup_link.clone().unwrap());
    browser.wait_until("document.querySelector('#name') !== null");
    fill(&mut browser, "#name", "Ada");
    browser.click("form button");
    browser.wait_until("document.querySelector('nav a[href=\"/runs\"]') !== null");
    browser.click("nav a[href=\"/runs\"]");
    browser.wait_until("location.pathname === '/runs'");
    fits(&mut browser);
    fill(&mut browser, "#where", "context.initial.order_id=123");
    browser.click("form[role=search] button");
    browser.wait_until("location.search.includes('order_id')");
    let found = "[...document.querySelectorAll('[aria-label=Runs] tbody a')].map((a) => a.innerText).join()";
    assert_eq!(browser.evaluate(found), run.to_string());
    browser.click("[aria-label=Runs] tbody a");
    browser.wait_until("location.pathname.startsWith('/runs/run_')");
    fits(&mut browser);
    let step = |key: &str, state: &str| {
        format!("document.querySelector('[data-step={key}]').classList.contains('{state}')")
    };
    for (key, state) in [("reserve", "ended"), ("approve", "waiting"), ("tell", "idle")] {
        assert_eq!(browser.evaluate(&step(key, state)), true, "{key}");
    }
    // The text of the picture is painted by our own stylesheet.
    let painted = "getComputedStyle(document.querySelector('[data-step=reserve] rect')).fill";
    assert_ne!(browser.evaluate(painted), "rgb(0, 0, 0)");
    browser.look(1180, 1180, "light");
    keep(&mut browser, "book/src/run.png");

    steers(&mut browser, &host, run, &step);
    host.stop();
}

fn steers(
    browser: &mut Chromium,
    host: &Host,
    run: mainstay_workflow::RunId,
    step: &dyn Fn(&str, &str) -> String,
) {
    // A form that somebody fills in stays as it is while the page goes on.
    browser.evaluate("window.same = true");
    browser.click("#actions details summary");
    fill(browser, "#payload", "{\"by\": \"ada\"}");
    browser.click("#actions details form button");
    browser.wait_until("location.search.includes('done=run.signal') && window.same === undefined");
    // From here on nothing is loaded again: the script shows what the host does.
    browser.evaluate("window.same = true");
    browser.wait_until(&format!("{STATE} === 'completed'"));
    assert_eq!(browser.evaluate("window.same"), true, "the page was not loaded again");
    assert_eq!(browser.evaluate(&step("ship", "ended")), true);
    assert_eq!(
        browser.evaluate("document.querySelector('#actions input[value=\"run.fork\"]') !== null"),
        true
    );
    host.wait_for(run, Status::Completed);

    browser.click("#timeline a");
    browser.wait_until("location.pathname.endsWith('/history')");
    fits(browser);
    assert!(browser.text().contains("the signal approved came"));

    let next = host.order(19, json!({ "order_id": 125 }));
    host.wait_for(next, Status::Waiting);
    let url = browser.evaluate("location.origin").as_str().unwrap().to_owned();
    browser.open(&format!("{url}/runs/{next}"));
    browser.wait_until("document.querySelector('#actions input[value=\"run.cancel\"]') !== null");
    browser.click("#actions details:last-of-type summary");
    fill(browser, "#reason", "a test");
    fill(browser, "#confirm-cancel", "yes");
    browser.click("#actions form:has([value='run.cancel']) button");
    let refused = "document.querySelector('#confirm-cancel:invalid') !== null && location.pathname.startsWith('/runs/run_')";
    browser.wait_until(refused);
    fits(browser);
    fill(browser, "#confirm-cancel", "cancel");
    browser.click("#actions form:has([value='run.cancel']) button");
    browser.wait_until(&format!("location.search.includes('done=run.cancel') && {STATE} === 'cancelled'"));
    assert!(browser.text().contains("a test (by setup:Ada)"), "{}", browser.text());
    every_page_fits(browser, &url);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    host.wait_for(next, Status::Cancelled);
}

/// The other pages, with every form open, in light and dark, on a telephone and on a desk.
fn every_page_fits(browser: &mut Chromium, url: &str) {
    let kept = [
        ("queue.set", "/queues", "#queue-new", "mail"),
        ("schedule.set", "/schedules", "#schedule", "a-schedule-whose-name-is-longer-than-most"),
    ];
    for (action, path, field, name) in kept {
        browser.open(&format!("{url}{path}"));
        browser.wait_until(&format!(
            "location.pathname === {path:?} && document.querySelector({field:?}) !== null"
        ));
        fill(browser, field, name);
        if action == "schedule.set" {
            fill(browser, "#cron", "30 2 * * MON-FRI Europe/Berlin");
            fill(browser, "#key", "n");
        } else {
            fill(browser, "#concurrency-new", "3");
        }
        browser.click(&format!("form:has([value='{action}']):last-of-type button"));
        browser.wait_until(&format!("location.search.includes('done={action}')"));
    }
    for path in ["/workflows", "/workflows/order", "/queues", "/schedules", "/nodes", "/acts"] {
        browser.open(&format!("{url}{path}"));
        browser.wait_until(&format!(
            "location.pathname === {path:?} && document.querySelector('.foot') !== null"
        ));
        browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; }); 1");
        fits(browser);
        if let Some(directory) = environment::pictures() {
            for (width, theme) in [(1180, "light"), (1180, "dark"), (360, "light")] {
                browser.look(width, 900, theme);
                let picture = STANDARD.decode(browser.screenshot()).unwrap();
                let name = format!("{}-{width}-{theme}.png", path.trim_start_matches('/').replace('/', "-"));
                std::fs::write(directory.join(name), picture).unwrap();
            }
        }
    }
}
