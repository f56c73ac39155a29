//! The pages about runs in a real browser, while the host application works.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_testkit::{TestDatabase, environment};
use mainstay_workflow::{Definition, Done, Handlers, Node, StartRequest, Status, StepContext, Workflow};
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
    pictures(&mut browser, "run");
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
    for (key, state) in [("charge", "undone"), ("reserve", "ended")] {
        assert_eq!(browser.evaluate(&step(key, state)), true, "{key}");
    }
    pictures(browser, "cancelled");
    every_page_fits(browser, &url);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    host.wait_for(next, Status::Cancelled);
}

/// Sixty steps: ten lanes of five between a fan and a join, one of which waits, and a tail with a branch that is not taken.
fn sixty() -> (Workflow, Handlers) {
    let lane = |lane: usize, at: usize| format!("lane{lane}_{at}");
    let firsts: Vec<String> = (0..10).map(|number| lane(number, 0)).collect();
    let fan = firsts.iter().map(String::as_str).collect::<Vec<_>>();
    let mut flow = Definition::new("sixty", 1).node(Node::task("fan", ["ok"]).on("ok", fan));
    for number in 0..10 {
        for at in 0..5 {
            let next = if at == 4 { "meet".to_owned() } else { lane(number, at + 1) };
            let node = if (number, at) == (3, 2) {
                Node::wait(&lane(3, 2)).signal("go", "gone").on("gone", [&*next])
            } else {
                Node::task(&lane(number, at), ["ok"]).on("ok", [&*next]).handler("work")
            };
            flow = flow.node(node);
        }
    }
    let choose =
        Node::task("choose", ["short", "long"]).on("short", ["a_step_whose_name_is_longer_than_most"]);
    let flow = flow
        .node(Node::task("meet", ["ok"]).on("ok", ["choose"]).handler("work"))
        .node(choose.on("long", ["tail0"]))
        .node(
            Node::task("a_step_whose_name_is_longer_than_most", ["ok"]).on("ok", ["tail4"]).handler("work"),
        );
    let tail = |at: usize| {
        let next = if at == 4 { "end".to_owned() } else { format!("tail{}", at + 1) };
        Node::task(&format!("tail{at}"), ["ok"]).on("ok", [&*next]).handler("work")
    };
    let flow = (0..5).map(tail).fold(flow, Definition::node).done("end").build().unwrap();
    assert_eq!(flow.graph().nodes.len(), 60);
    let ok = |event: &'static str| move |_: StepContext| async move { Ok(Done::event(event)) };
    (flow, Handlers::new().handler("fan", ok("ok")).handler("work", ok("ok")).handler("choose", ok("short")))
}

#[test]
fn browser_shows_a_run_of_sixty_steps() {
    let database = TestDatabase::sqlite();
    let (flow, handlers) = sixty();
    let host = Host::with(database.url(), flow, handlers);
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev", "--database", database.url()]);
    let run = host.begin(StartRequest::new("sixty", json!({ "order_id": 1 })));
    host.wait_for(run, Status::Waiting);
    let mut browser = Chromium::start();
    browser.open(&server.setup_link.clone().unwrap());
    browser.wait_until("document.querySelector('#name') !== null");
    fill(&mut browser, "#name", "Ada");
    browser.click("form button");
    browser.wait_until("document.querySelector('nav a[href=\"/runs\"]') !== null");
    let page = format!("{}/runs/{run}", browser.evaluate("location.origin").as_str().unwrap());
    browser.open(&page);
    browser.wait_until("document.querySelectorAll('[data-step]').length === 60");
    fits(&mut browser);
    // No two boxes lie on each other, and each name is within its box.
    let overlaps = "(() => { const b = [...document.querySelectorAll('[data-step]')].map((s) => s.querySelector('rect').getBoundingClientRect()); \
        return b.flatMap((one, at) => b.slice(at + 1).filter((other) => one.left < other.right - 1 && other.left < one.right - 1 \
        && one.top < other.bottom - 1 && other.top < one.bottom - 1)).length; })()";
    assert_eq!(browser.evaluate(overlaps), 0);
    let outside = "[...document.querySelectorAll('[data-step]')].filter((s) => { const r = s.querySelector('rect').getBoundingClientRect(); \
        return [...s.querySelectorAll('text')].some((t) => { const b = t.getBoundingClientRect(); \
        return b.left < r.left - 1 || b.right > r.right + 1; }); }).map((s) => s.dataset.step).join()";
    assert_eq!(browser.evaluate(outside), "");
    pictures(&mut browser, "sixty");
    browser.open(&format!("{page}/history"));
    browser.wait_until("location.pathname.endsWith('/history') && document.querySelector('.foot') !== null");
    fits(&mut browser);
    pictures(&mut browser, "sixty-history");
    browser.open(&page.replace(&format!("/{run}"), "?where=context.initial.order_id%3D1&status=waiting"));
    browser.wait_until("document.querySelector('[aria-label=Runs] tbody a') !== null");
    pictures(&mut browser, "sixty-list");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    host.stop();
}

/// Pictures of a page for somebody to look at, where they are asked for.
fn pictures(browser: &mut Chromium, name: &str) {
    let Some(directory) = environment::pictures() else { return };
    for (width, theme) in [(1180, "light"), (1180, "dark"), (360, "light")] {
        browser.look(width, 1_600, theme);
        let picture = STANDARD.decode(browser.screenshot()).unwrap();
        std::fs::write(directory.join(format!("{name}-{width}-{theme}.png")), picture).unwrap();
    }
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
        pictures(browser, &path.trim_start_matches('/').replace('/', "-"));
    }
}
