//! `mainstay workflow …` and `/api/v1/runs…` beside a host application on the same database.

use std::path::{Path, PathBuf};

use mainstay_testkit::{TestDatabase, golden};
use mainstay_workflow::Status;
use serde_json::{Value, json};

use crate::support::browser::{Answer, Browser};
use crate::support::host::Host;
use crate::support::html::Form;
use crate::support::server::{Server, json as document, mainstay, run};

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name)
}

/// The document without what differs from one run to the next.
fn stable(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("run_") => {
            json!(["run_…", text.get(17..).unwrap_or_default()].concat())
        }
        Value::String(text) if text.len() > 19 && text.as_bytes()[10] == b'T' && text.ends_with('Z') => {
            json!("TIME")
        }
        Value::Array(all) => all.iter().map(stable).collect(),
        // Each database writes a document in its own way, PostgreSQL with spaces.
        Value::Object(all) => all
            .iter()
            .map(|(name, value)| {
                let is_size = name == "context_bytes" && value.is_u64();
                (name.clone(), if is_size { json!("SIZE") } else { stable(value) })
            })
            .collect(),
        other => other.clone(),
    }
}

fn check_golden(name: &str, value: &Value) {
    golden::check(golden_file(name), &(serde_json::to_string_pretty(&stable(value)).unwrap() + "\n"));
}

#[track_caller]
fn refused(args: &[&str], code: i32, in_error: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(in_error), "{args:?}: {text:?} should contain {in_error:?}");
}

fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command on the database.
struct On<'a>(&'a str);

impl On<'_> {
    fn args<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        [&["workflow"], args, &["--database", self.0]].concat()
    }

    fn json(&self, args: &[&str]) -> Value {
        document(&self.args(args))
    }

    fn text(&self, args: &[&str]) -> String {
        printed(&self.args(args))
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], code: i32, in_error: &str) {
        refused(&self.args(args), code, in_error);
    }
}

#[test]
fn e2e_an_operator_sees_and_steers_runs_beside_their_host_on_sqlite() {
    operates(&TestDatabase::sqlite());
}

#[test]
fn e2e_an_operator_sees_and_steers_runs_beside_their_host_on_postgres() {
    operates(&TestDatabase::postgres());
}

fn operates(database: &TestDatabase) {
    let on = On(database.url());
    let host = Host::start(database.url());
    let first = host.order(17, json!({ "order_id": 123, "stock": true }));
    let second = host.order(18, json!({ "order_id": 124, "stock": false }));
    host.wait_for(first, Status::Waiting);
    host.wait_for(second, Status::Completed);
    let (first, second) = (first.to_string(), second.to_string());

    looks(&on, &first);
    searches(&on, &first, &second);
    is_told_what_is_wrong(&on, &first, &second);
    draws(&on, &first);
    steers(&on, &host, &first);
    holds_back(&on, &host);
    host.stop();
}

fn looks(on: &On<'_>, first: &str) {
    check_golden("workflow-list.json", &on.json(&["list", "--oldest"]));
    check_golden("workflow-show.json", &on.json(&["show", first]));
    check_golden("workflow-workflows.json", &on.json(&["workflows"]));
    assert_eq!(on.json(&["nodes"])["nodes"][0]["name"], "shop");
    let text = on.text(&["show", "orderid::a17"]);
    for part in [first, "order v2", "waiting", "waits for    approved (in approve)", "\"order_id\": 123"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // Page by page it is the whole.
    let whole = on.json(&["history", first]);
    let mut pages = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = on.json(&[&["history", first, "--limit", "4"], after.as_slice()].concat());
        pages.extend(page["history"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = vec!["--after", String::leak(next.to_owned())];
    }
    assert_eq!(Value::Array(pages), whole["history"]);
    assert_eq!(whole["history"][0]["text"], "the run began, of order v2");
    let text = on.text(&["history", first]);
    assert!(text.contains("charge#1 failed: the bank is away"), "{text}");
    assert!(text.contains("charge ended by paid, on to approve"), "{text}");
}

fn searches(on: &On<'_>, first: &str, second: &str) {
    let found = |args: &[&str]| -> Vec<String> {
        let list = on.json(&[&["list"], args].concat());
        list["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    for (args, expected) in [
        (&[][..], vec![second, first]),
        (&["--oldest"], vec![first, second]),
        (&["--status", "waiting"], vec![first]),
        (&["--status", "waiting,completed"], vec![second, first]),
        (&["--status", "failed"], vec![]),
        (&["--workflow", "order"], vec![second, first]),
        (&["--workflow", "orde"], vec![]),
        (&["--family", "orde"], vec![second, first]),
        (&["--family", "%"], vec![]),
        (&["--tag", "sales"], vec![second, first]),
        (&["--tag", "sales", "--tag", "none"], vec![]),
        (&["--version", "2"], vec![second, first]),
        (&["--version", "1"], vec![]),
        (&["--id", first], vec![first]),
        (&["--id", "orderid::a18"], vec![second]),
        (&["--where", "context.initial.order_id=123"], vec![first]),
        (&["--where", "context.initial.order_id=\"123\""], vec![]),
        (
            &["--where", "context.initial.order_id=124", "--where", "context.initial.stock=false"],
            vec![second],
        ),
        (&["--until", "2025-01-01T00:00:00Z"], vec![]),
        (&["--since", "2025-01-01T00:00:00Z"], vec![second, first]),
        (&["--parent", first], vec![]),
    ] {
        assert_eq!(found(args), expected, "{args:?}");
    }
    let page = on.json(&["list", "--limit", "1"]);
    assert_eq!(page["runs"][0]["run"], second);
    let next = page["next"].as_str().unwrap();
    let last = on.json(&["list", "--limit", "1", "--after", next]);
    assert_eq!((&last["runs"][0]["run"], &last["next"]), (&json!(first), &Value::Null));
}

fn is_told_what_is_wrong(on: &On<'_>, first: &str, second: &str) {
    for (args, code, in_error) in [
        (&["list", "--namespace", "elsewhere"][..], 1, "there is no namespace \"elsewhere\""),
        (&["list", "--limit", "0"], 2, "1..=1000"),
        (&["list", "--limit", "1001"], 2, "1..=1000"),
        (&["list", "--since", "yesterday"], 2, "mend: for example 2026-11-21T14:00:00Z"),
        (&["list", "--parent", "orderid::a17"], 2, "mend: it reads run_ followed by 13 characters"),
        (&["list", "--id", "run_x"], 2, "mend: mainstay workflow list"),
        (&["list", "--where", "context.initial.=1"], 2, "mend: a path is context.initial.KEY"),
        (&["history", first, "--after", "x"], 2, "mend: give the `next` of the page before"),
        (&["acts", "--after", "x"], 2, "mend: give the `next` of the page before"),
        (&["graph", "order", "--version", "9"], 1, "mend: it has 2;"),
        (&["start", "order", "--key", "a99", "--attributes", "[1]"], 2, "mend: for example {\"tenant\""),
        (&["cancel", first, "--reason", ""], 2, "--reason"),
        (&["queue", "set", "mail"], 2, "--concurrency"),
        (&["queue", "resume", "mail"], 1, "has no limits and is not held back"),
        (&["schedule", "add", "x", "--cron", "0 0 31 2 *", "--workflow", "order"], 2, "never comes"),
    ] {
        on.refuses(args, code, in_error);
    }
    // A program is told the same as a document, also of arguments that cannot be read.
    for (args, exit) in
        [(&["list", "--status", "pending"][..], "usage"), (&["show", first, "--limt"], "usage")]
    {
        let output = run(&[on.args(args), vec!["--json"]].concat());
        let told: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&told["schema"], &told["exit"]), (&json!("mainstay.error/1"), &json!(exit)), "{args:?}");
        assert!(!told["message"].as_str().unwrap().is_empty() && told["help"].is_string(), "{told}");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    on.refuses(&["list", "--status", "pending"], 2, "pending");
    on.refuses(&["list", "--where", "order_id"], 2, "--where context.initial.order_id=123");
    on.refuses(&["list", "--where", "context.steps.a=1"], 2, "context.initial");
    on.refuses(&["list", "--after", "nonsense"], 2, "cursor");
    on.refuses(&["show", "run_x"], 2, "mainstay workflow list");
    on.refuses(&["show", "run_0000000000001"], 1, "run_0000000000001");
    on.refuses(&["show", "orderid::none"], 1, "--namespace");
    on.refuses(&["start", "nothing"], 1, "nothing");
    on.refuses(&["start", "order", "--version", "9"], 1, "version 9");
    on.refuses(&["start", "order", "--input", "{"], 2, "no JSON");
    on.refuses(&["start", "order", "--key", "a17"], 1, first);
    on.refuses(&["start", "order"], 2, "orderid");
    on.refuses(&["signal", second, "approved"], 1, "has ended");
    on.refuses(&["pause"], 2, "Usage");
    on.refuses(&["pause", first, "--all"], 2, "cannot be used with");
    on.refuses(&["prune", "--ended-before", "2030-01-01T00:00:00Z"], 1, "--confirm default");
    on.refuses(&["prune", first, "--confirm", "default"], 1, first);
    on.refuses(&["queue", "set", "mail", "--rate", "fast"], 2, "100/60");
    on.refuses(&["queue", "remove", "mail"], 1, "queue list");
    let empty = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}/no.db", empty.path().display());
    refused(&["workflow", "list", "--database", &file], 1, "there is no database");
}

fn draws(on: &On<'_>, first: &str) {
    let text = on.text(&["graph", first]);
    assert!(text.contains("approve") && text.contains("waiting"), "{text}");
    let svg = on.text(&["graph", "orderid::a17", "--format", "svg"]);
    assert!(svg.starts_with("<svg") && svg.contains("data-step=\"approve\""), "{svg}");
    let dot = on.text(&["graph", "order", "--format", "dot"]);
    assert!(dot.starts_with("digraph"), "{dot}");
    let drawn = on.json(&["graph", "order", "--version", "2"]);
    assert_eq!(
        (&drawn["version"], &drawn["run"], &drawn["format"]),
        (&json!(2), &Value::Null, &json!("text"))
    );
}

fn steers(on: &On<'_>, host: &Host, first: &str) {
    let id = first.parse().unwrap();
    on.json(&["pause", first]);
    host.wait_for(id, Status::Paused);
    on.json(&["resume", first]);
    host.wait_for(id, Status::Waiting);
    on.refuses(&["signal", first, "approved", "--at", "tomorrow"], 2, "2026-11-21T14:00:00Z");
    let later = ["signal", first, "approved", "--at", "2999-01-01T00:00:00Z"];
    assert_eq!(on.json(&later)["at"], "2999-01-01T00:00:00Z");
    let shown = on.json(&["show", first])["run"].clone();
    assert_eq!(shown["scheduled"], json!([{ "at": "2999-01-01T00:00:00Z", "signal": "approved" }]));
    assert_eq!(shown["status"], "waiting", "it is not there yet");
    let signal = ["signal", first, "approved", "--payload", "{\"by\": \"ada\"}", "--sender", "desk-1"];
    assert_eq!(on.json(&signal)["accepted"], true);
    host.wait_for(id, Status::Completed);
    on.refuses(&["signal", first, "approved"], 1, "has ended");

    let started = on.json(&["start", "order", "--input", "{\"order_id\": 125}", "--key", "a19"]);
    let run = started["run"].as_str().unwrap().to_owned();
    let id = run.parse().unwrap();
    host.wait_for(id, Status::Waiting);
    on.json(&["cancel", "orderid::a19", "--reason", "changed their mind"]);
    host.wait_for(id, Status::Cancelled);
    let shown = on.json(&["show", &run])["run"].clone();
    let reason = shown["reason"].as_str().unwrap();
    assert_eq!(reason, "changed their mind (by cli:tester)");
    let text = on.text(&["history", &run]);
    assert!(text.contains("charge was undone"), "{text}");
    let undone = |step: &&Value| step["undone"] == true;
    let undone: Vec<&Value> = shown["steps"].as_array().unwrap().iter().filter(undone).collect();
    assert_eq!(undone.iter().map(|step| &step["step"]).collect::<Vec<_>>(), ["charge"], "{shown}");
    let shown = on.text(&["show", &run]);
    let charge: Vec<&str> =
        shown.lines().find(|line| line.starts_with("charge")).unwrap().split_whitespace().collect();
    assert_eq!(charge, ["charge", "task", "ended", "paid", "undone"]);
    let acts = on.text(&["acts", "--run", first]);
    assert!(acts.contains("at: 2999-01-01T00:00:00Z"), "{acts}");

    again(on, host, &run);
    assert_eq!(on.json(&["prune", &run, "--confirm", "default"])["removed"], 1);
    on.refuses(&["show", &run], 1, &run);
}

/// A run that was cancelled is done again as a new one, and a run that completed from one of its steps.
fn again(on: &On<'_>, host: &Host, cancelled: &str) {
    let retried = on.json(&["retry", cancelled]);
    assert_eq!(retried["of"], cancelled);
    let run = retried["run"].as_str().unwrap().to_owned();
    host.wait_for(run.parse().unwrap(), Status::Waiting);
    on.refuses(&["retry", &run], 1, &run);
    on.refuses(&["retry", cancelled], 1, &run);
    on.json(&["signal", &run, "approved"]);
    host.wait_for(run.parse().unwrap(), Status::Completed);
    on.refuses(
        &["fork", &run, "--from", "nowhere"],
        2,
        "mend: it has approve, charge, end, pack, reserve, ship, tell",
    );
    on.refuses(&["fork", &run, "--from", "tell"], 1, "did not come to tell");
    let forked = on.json(&["fork", &run, "--from", "ship"])["run"].as_str().unwrap().to_owned();
    host.wait_for(forked.parse().unwrap(), Status::Completed);
    let text = on.text(&["history", &forked]);
    assert!(text.contains("ship ended by sent"), "{text}");
    assert_eq!(on.json(&["schedule", "list"])["schedules"], json!([]));
    on.refuses(&["schedule", "remove", "nightly"], 1, "schedule ls");
}

fn holds_back(on: &On<'_>, host: &Host) {
    on.json(&["pause", "--workflow", "order"]);
    assert_eq!(on.json(&["workflows"])["workflows"][0]["paused"], true);
    // Nodes know of it within about a second.
    mainstay_testkit::pause(std::time::Duration::from_secs(2));
    let held = host.order(20, json!({ "stock": false }));
    let shown = on.text(&["show", &held.to_string()]);
    assert!(shown.contains("held back    the workflow order as a whole"), "{shown}");
    on.json(&["resume", "--workflow", "order"]);
    host.wait_for(held, Status::Completed);
    let set = on.json(&["queue", "set", "mail", "--concurrency", "3", "--rate", "100/60"]);
    check_golden("workflow-queue.json", &set);
    assert!(on.text(&["queue", "list"]).contains("100 in 60 s"));
    // Held back in the night, it has its limits in the morning.
    let held = on.json(&["queue", "pause", "mail"])["queues"][0].clone();
    assert_eq!(
        (&held["paused"], &held["concurrency"], &held["rate"]),
        (&json!(true), &json!(3), &json!(100))
    );
    on.json(&["queue", "pause", "mail"]);
    let open = on.json(&["queue", "resume", "mail"])["queues"][0].clone();
    assert_eq!(on.json(&["queue", "resume", "mail"])["queues"][0], open, "nothing to do is no error");
    let acts = on.json(&["acts", "--limit", "3"]);
    let paused = |act: &Value| act["detail"]["paused"].clone();
    let acts: Vec<Value> = acts["acts"].as_array().unwrap().iter().map(paused).collect();
    assert_eq!(acts, [json!(false), json!(true), json!(false)], "what changed nothing leaves no act");
    assert_eq!(open, set["queues"][0]);
    assert_eq!(on.json(&["queue", "remove", "mail"])["queues"], json!([]));
    assert_eq!(on.text(&["queue", "list"]), "no queue has limits or tasks\n");
    on.json(&["pause", "--all"]);
    let warned = |args: &[&str]| String::from_utf8(run(&on.args(args)).stderr).unwrap();
    assert!(warned(&["resume", "--workflow", "order"]).contains("mainstay workflow resume --all"));
    on.json(&["resume", "--all"]);
    assert!(warned(&["pause", "--workflow", "ordre"]).contains("no workflow \"ordre\" was ever registered"));
    on.json(&["resume", "--workflow", "ordre"]);
}

/// A command ends as soon as it has printed; what it tells the nodes must be out by then.
#[test]
fn a_node_hears_of_a_command_on_postgres() {
    let database = TestDatabase::postgres();
    let on = On(database.url());
    let host = Host::told_only(database.url());
    for id in 0..5 {
        let run = host.order(id, json!({ "order_id": id }));
        host.wait_for(run, Status::Waiting);
        on.json(&["signal", &run.to_string(), "approved"]);
        host.wait_for(run, Status::Completed);
    }
    host.stop();
}

#[test]
fn help_of_workflows_is_the_committed_text() {
    for (args, name) in [(&[][..], "help-workflow.txt"), (&["list"], "help-workflow-list.txt")] {
        let output =
            mainstay().arg("workflow").args(args).arg("--help").env("COLUMNS", "100").output().unwrap();
        golden::check(golden_file(name), &String::from_utf8(output.stdout).unwrap());
    }
}

/// Uses the setup link up: an administrator of all organizations.
pub(crate) fn administrator(server: &Server) -> Browser {
    let mut browser = Browser::default();
    let link = server.setup_link.clone().unwrap();
    let mut form = Form::of(&browser.get(&link)).with("name", "Ada Lovelace");
    form.action = link;
    form.submit(&mut browser);
    browser
}

/// The document that was answered.
pub(crate) fn read(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[test]
fn programs_see_and_steer_runs_of_a_session_that_may() {
    let database = TestDatabase::sqlite();
    let host = Host::start(database.url());
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev", "--database", database.url()]);
    let first = host.order(17, json!({ "order_id": 123 }));
    host.wait_for(first, Status::Waiting);

    only_administrators_may(&server, &first.to_string());
    let mut browser = administrator(&server);
    let token = read(&browser.get(&server.path("/api/v1/me")))["form_token"].as_str().unwrap().to_owned();
    programs_look(&server, &mut browser, &first.to_string());
    programs_are_checked(&server, &mut browser, &first.to_string(), &token);

    browser.extra = vec![("x-mainstay-form-token".to_owned(), token)];
    let kind = [("Content-Type", "application/json")];
    let mut post =
        |path: &str, body: &Value| browser.send("POST", &server.path(path), &kind, &body.to_string());
    let begun = post("/api/v1/workflows/order/runs", &json!({ "input": { "order_id": 7 }, "key": "a7" }));
    let run = read(&begun)["run"].as_str().unwrap().to_owned();
    assert_eq!((begun.status, begun.header("location")), (201, Some(format!("/api/v1/runs/{run}").as_str())));
    let again = post("/api/v1/workflows/order/runs", &json!({ "key": "a7" }));
    assert_eq!(
        (again.status, &read(&again)["type"]),
        (409, &json!("https://mainstay.invalid/problems/conflict"))
    );
    assert!(read(&again)["detail"].as_str().unwrap().contains(&run));
    let id = run.parse().unwrap();
    host.wait_for(id, Status::Waiting);
    assert_eq!(post(&format!("/api/v1/runs/{run}/pause"), &Value::Null).status, 202);
    host.wait_for(id, Status::Paused);
    assert_eq!(post(&format!("/api/v1/runs/{run}/resume"), &Value::Null).status, 202);
    host.wait_for(id, Status::Waiting);
    let later = json!({ "signal": "approved", "at": "2999-01-01T00:00:00Z" });
    assert_eq!(read(&post(&format!("/api/v1/runs/{run}/signals"), &later))["accepted"], true);
    let never = json!({ "signal": "approved", "at": "soon" });
    assert_eq!(post(&format!("/api/v1/runs/{run}/signals"), &never).status, 400);
    let signal = json!({ "signal": "approved", "payload": true, "sender": "x" });
    assert_eq!(read(&post(&format!("/api/v1/runs/{run}/signals"), &signal))["accepted"], true);
    host.wait_for(id, Status::Completed);
    let cancel = json!({ "reason": "a test" });
    assert_eq!(post(&format!("/api/v1/runs/{run}/cancel"), &cancel).status, 409, "it has ended");
    assert_eq!(post(&format!("/api/v1/runs/{first}/cancel"), &cancel).status, 202);
    host.wait_for(first, Status::Cancelled);
    for (body, status) in [(json!({ "signal": 1 }), 400), (json!({ "signal": "a", "to": "b" }), 400)] {
        assert_eq!(post(&format!("/api/v1/runs/{run}/signals"), &body).status, status, "{body}");
    }
}

fn only_administrators_may(server: &Server, run: &str) {
    let mut nobody = Browser::default();
    let mut alice = Browser::default();
    crate::dev_sign_in::sign_in(&mut alice, server, "alice");
    for path in ["/api/v1/runs", "/api/v1/workflows", &format!("/api/v1/runs/{run}/graph")] {
        assert_eq!(nobody.get(&server.path(path)).status, 401, "{path}");
        let refused = alice.get(&server.path(path));
        assert_eq!(refused.status, 403, "{path}");
        assert!(read(&refused)["detail"].as_str().unwrap().contains("administrator grant --global"));
    }
    assert_eq!(nobody.get(&server.path("/runs")).location(), server.path("/login"));
    assert_eq!(alice.get(&server.path("/runs")).status, 403);
}

fn programs_look(server: &Server, browser: &mut Browser, run: &str) {
    let mut get = |path: &str| browser.get(&server.path(path));
    let openapi = read(&get("/api/v1/openapi.json"));
    // The description and the answers have the same fields.
    let mut check = |path: &str, schema: &str| {
        let answer = read(&get(path));
        let described = &openapi["components"]["schemas"][schema]["properties"];
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(described), names(&answer), "{path}");
        answer
    };
    let found = check("/api/v1/runs?where=context.initial.order_id%3D123&status=waiting", "Runs");
    assert_eq!(found["runs"][0]["run"], run);
    let shown = check(&format!("/api/v1/runs/{run}"), "Run");
    assert_eq!(shown["awaits"][0]["signals"], json!(["approved"]));
    check(&format!("/api/v1/runs/{run}/history?limit=3"), "History");
    check("/api/v1/workflows", "Workflows");
    check("/api/v1/workflows/order?version=2", "Workflow");
    for (format, kind) in [("svg", "image/svg+xml"), ("dot", "text/vnd.graphviz; charset=utf-8")] {
        for path in [format!("/api/v1/runs/{run}/graph"), "/api/v1/workflows/order/graph".to_owned()] {
            let picture = get(&format!("{path}?format={format}"));
            assert_eq!((picture.status, picture.header("content-type")), (200, Some(kind)), "{path}");
            // By itself in a browser it is black boxes if its own colours are refused.
            let policy = picture.header("content-security-policy").unwrap();
            assert!(policy.contains("style-src 'unsafe-inline'") && !policy.contains("script"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
    }
    for (path, status) in [
        ("/api/v1/runs?staus=running", 400),
        ("/api/v1/runs?where=order_id", 400),
        ("/api/v1/runs/run_0000000000001", 404),
        ("/api/v1/runs/x", 404),
        ("/api/v1/workflows/nothing", 404),
    ] {
        let problem = get(path);
        assert_eq!(problem.status, status, "{path}");
        assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{path}");
    }
    assert_eq!(read(&get("/api/v1/runs?namespace=elsewhere"))["runs"], json!([]));
}

/// Another site's page can make a browser send its cookie, and neither the token nor the right origin.
fn programs_are_checked(server: &Server, browser: &mut Browser, run: &str, token: &str) {
    let path = server.path(&format!("/api/v1/runs/{run}/cancel"));
    let token = ("x-mainstay-form-token", token);
    let json = ("Content-Type", "application/json");
    let body = "{\"reason\": \"theirs\"}";
    for (headers, code, status) in [
        (vec![json], "stale-form", 403),
        (vec![json, ("x-mainstay-form-token", "AAAA")], "stale-form", 403),
        (vec![json, token, ("Origin", "https://evil.example")], "foreign-origin", 403),
        (vec![token, ("Content-Type", "text/plain")], "unsupported-type", 415),
    ] {
        let refused = browser.send("POST", &path, &headers, body);
        assert_eq!(refused.status, status, "{headers:?}");
        assert_eq!(
            read(&refused)["type"],
            format!("https://mainstay.invalid/problems/{code}"),
            "{headers:?}"
        );
    }
    let shown = read(&browser.get(&server.path(&format!("/api/v1/runs/{run}"))));
    assert_eq!(shown["status"], "waiting", "nothing was done");
}
