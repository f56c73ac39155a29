//! What moves runs, by the HTTP interface and by the console's forms, which need no script.

use mainstay_testkit::TestDatabase;
use mainstay_workflow::Status;
use serde_json::{Value, json};

use crate::support::browser::{Answer, Browser};
use crate::support::host::Host;
use crate::support::server::{Server, json as command_json};
use crate::workflows::{administrator, read};

struct World {
    // Fields are dropped in order: the server before its database.
    server: Server,
    host: Host,
    _directory: tempfile::TempDir,
    database: TestDatabase,
}

impl World {
    fn new() -> Self {
        let database = TestDatabase::sqlite();
        let host = Host::start(database.url());
        let directory = tempfile::tempdir().unwrap();
        let server = Server::in_directory(directory.path(), &["--dev", "--database", database.url()]);
        Self { server, host, _directory: directory, database }
    }
}

/// A browser with what a program's changes need.
fn program(world: &World) -> Browser {
    let mut browser = administrator(&world.server);
    let token =
        read(&browser.get(&world.server.path("/api/v1/me")))["form_token"].as_str().unwrap().to_owned();
    browser.extra = vec![("x-mainstay-form-token".to_owned(), token)];
    browser
}

#[test]
fn programs_set_what_moves_runs() {
    let world = World::new();
    let mut browser = program(&world);
    let openapi = read(&browser.get(&world.server.path("/api/v1/openapi.json")));
    let mut call = |method: &str, path: &str, body: &Value| -> Answer {
        browser.send(
            method,
            &world.server.path(path),
            &[("Content-Type", "application/json")],
            &body.to_string(),
        )
    };
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let described = |schema: &str, list: &str, answer: &Value| {
        let item = &openapi["components"]["schemas"][schema]["properties"][list]["items"];
        assert_eq!(names(&item["properties"]), names(&answer[list][0]), "{schema}");
    };

    let limits = json!({ "concurrency": 3, "rate": 100, "rate_seconds": 60 });
    assert_eq!(read(&call("PUT", "/api/v1/queues/mail", &limits))["changed"], true);
    let queues = read(&call("GET", "/api/v1/queues", &Value::Null));
    described("Queues", "queues", &queues);
    assert_eq!((&queues["queues"][0]["queue"], &queues["queues"][0]["rate"]), (&json!("mail"), &json!(100)));
    for (body, part) in [
        (json!({ "concurrency": 0 }), "pause the queue"),
        (json!({ "rate": 1 }), "rate_seconds"),
        (json!({ "rate": 1, "rate_seconds": -1.0 }), "not negative"),
        (json!({ "speed": 1 }), "speed"),
    ] {
        let refused = call("PUT", "/api/v1/queues/mail", &body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(read(&refused)["detail"].as_str().unwrap().contains(part), "{refused:?}");
    }
    assert_eq!(call("DELETE", "/api/v1/queues/mail", &Value::Null).status, 200);
    assert_eq!(call("DELETE", "/api/v1/queues/mail", &Value::Null).status, 404);

    let nightly =
        json!({ "workflow": "order", "cron": "0 2 * * *", "key": "n", "input": { "stock": false } });
    assert_eq!(call("PUT", "/api/v1/schedules/nightly", &nightly).status, 200);
    let schedules = read(&call("GET", "/api/v1/schedules", &Value::Null));
    described("Schedules", "schedules", &schedules);
    assert_eq!(call("POST", "/api/v1/schedules/nightly/pause", &Value::Null).status, 200);
    assert_eq!(read(&call("GET", "/api/v1/schedules", &Value::Null))["schedules"][0]["paused"], true);
    assert_eq!(call("POST", "/api/v1/schedules/nightly/resume", &Value::Null).status, 200);
    let begun = call("POST", "/api/v1/schedules/nightly/trigger", &Value::Null);
    let run = read(&begun)["run"].as_str().unwrap().to_owned();
    assert_eq!((begun.status, begun.header("location")), (201, Some(format!("/api/v1/runs/{run}").as_str())));
    world.host.wait_for(run.parse().unwrap(), Status::Completed);
    assert_eq!(call("POST", "/api/v1/schedules/nightly/explode", &Value::Null).status, 404);
    assert_eq!(call("DELETE", "/api/v1/schedules/nightly", &Value::Null).status, 200);
    assert_eq!(call("POST", "/api/v1/schedules/nightly/pause", &Value::Null).status, 404);

    let nodes = read(&call("GET", "/api/v1/nodes", &Value::Null));
    described("Nodes", "nodes", &nodes);
    assert_eq!(nodes["nodes"][0]["name"], "shop");
    assert_eq!(read(&call("POST", "/api/v1/workflows/order/pause", &Value::Null))["changed"], true);
    let pauses = read(&call("GET", "/api/v1/pauses", &Value::Null));
    described("Pauses", "pauses", &pauses);
    assert_eq!(pauses["pauses"][0]["workflow"], "order");
    assert_eq!(read(&call("POST", "/api/v1/workflows/order/resume", &Value::Null))["changed"], true);
    assert_eq!(read(&call("POST", "/api/v1/workflows/order/resume", &Value::Null))["changed"], false);
    assert_eq!(call("POST", "/api/v1/namespace/pause", &Value::Null).status, 200);
    assert_eq!(read(&call("GET", "/api/v1/pauses", &Value::Null))["pauses"][0]["workflow"], Value::Null);
    assert_eq!(call("POST", "/api/v1/namespace/resume", &Value::Null).status, 200);

    assert_eq!(call("POST", &format!("/api/v1/runs/{run}/fork"), &json!({ "from": "tell" })).status, 201);
    let unknown = call("POST", &format!("/api/v1/runs/{run}/signals"), &json!({ "signal": "aproved" }));
    assert_eq!(unknown.status, 422);
    assert!(read(&unknown)["detail"].as_str().unwrap().contains("it waits for approved"), "{unknown:?}");
    assert_eq!(read(&call("DELETE", &format!("/api/v1/runs/{run}"), &Value::Null))["changed"], true);
    assert_eq!(call("DELETE", &format!("/api/v1/runs/{run}"), &Value::Null).status, 404);
    let old = json!({ "ended_before": "2020-01-01T00:00:00Z" });
    assert_eq!(read(&call("POST", "/api/v1/runs/prune", &old)), json!({ "removed": 0, "more": false }));
    assert_eq!(call("POST", "/api/v1/runs/prune", &json!({ "ended_before": "then" })).status, 400);
    let acts = read(&call("GET", &format!("/api/v1/acts?run={run}"), &Value::Null));
    described("Acts", "acts", &acts);
    let done: Vec<&str> =
        acts["acts"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(done, ["run.delete", "schedule.trigger"]);
    assert_eq!(acts["acts"][0]["actor"], "setup:Ada Lovelace");
}

/// A form of a page, by a text that only this form has.
fn fields(page: &Answer, with: &str) -> Vec<(String, String)> {
    let form = page.body.split("<form").find(|form| form.split("</form>").next().unwrap().contains(with));
    let form =
        form.unwrap_or_else(|| panic!("no form with {with} in {page:?}")).split("</form>").next().unwrap();
    assert!(form.contains("action=\"/operate\""), "{form}");
    let value = |tag: &str, name: &str| {
        let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(tag[start..].split('"').next().unwrap().to_owned())
    };
    let inputs = form.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap());
    inputs.filter_map(|tag| Some((value(tag, "name")?, value(tag, "value").unwrap_or_default()))).collect()
}

fn submit(world: &World, browser: &mut Browser, page: &str, with: &str, typed: &[(&str, &str)]) -> Answer {
    let page = browser.get(&world.server.path(page));
    assert_eq!(page.status, 200, "{page:?}");
    let mut fields = fields(&page, with);
    fields.retain(|(name, _)| name != "paused" && typed.iter().all(|(other, _)| other != name));
    fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let pairs: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(&world.server.path("/operate"), &pairs)
}

#[test]
fn people_set_what_moves_runs_without_a_script() {
    let world = World::new();
    let mut browser = administrator(&world.server);
    let mut go = |page: &str, with: &str, typed: &[(&str, &str)], shown: &str| {
        let answered = submit(&world, &mut browser, page, with, typed);
        assert_eq!(answered.status, 303, "{with}: {answered:?}");
        let page = browser.follow(answered);
        assert!(page.body.contains(shown), "{with}: {shown} is missing in {page:?}");
        page.url
    };
    let limited = "That holds from the next claim on.";
    go("/queues", "value=\"queue.set\"", &[("queue", "mail"), ("concurrency", "3")], limited);
    let change =
        [("queue", "mail"), ("concurrency", ""), ("rate", "5"), ("rate_seconds", "60"), ("paused", "true")];
    go("/queues", "value=\"mail\"", &change, "5 in 60 s");
    go("/queues", "value=\"queue.remove\"", &[("confirm", "mail")], "no limits any more");
    let start = [("input", "{\"order_id\": 7}"), ("key", "a7")];
    let url = go("/workflows/order", "value=\"run.start\"", &start, "The run began.");
    let run = url.split("/runs/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    world.host.wait_for(run.parse().unwrap(), Status::Waiting);
    let page = format!("/runs/{run}");
    go(&page, "value=\"run.pause\"", &[], "The run is told to pause.");
    world.host.wait_for(run.parse().unwrap(), Status::Paused);
    go(&page, "value=\"run.resume\"", &[], "The run is told to go on.");
    world.host.wait_for(run.parse().unwrap(), Status::Waiting);
    let later = [("signal", "approved"), ("at", "2999-01-01T00:00")];
    go(&page, "value=\"run.signal\"", &later, "2999-01-01");
    let signal = [("signal", "approved"), ("payload", "{\"by\": \"ada\"}")];
    go(&page, "value=\"run.signal\"", &signal, "The signal is in the run");
    world.host.wait_for(run.parse().unwrap(), Status::Completed);
    go(&page, "value=\"run.fork\"", &[("from", "ship"), ("confirm", "again")], "This is the new run.");
    go(&page, "value=\"run.delete\"", &[("confirm", "remove")], "The run and its history are removed.");
    let nightly = [
        ("schedule", "nightly"),
        ("workflow", "order"),
        ("cron", "0 2 * * *"),
        ("catch_up", "skip"),
        ("key", "n"),
        ("input", "{\"stock\": false}"),
    ];
    go("/schedules", "value=\"schedule.set\"", &nightly, "The schedule is kept");
    go("/schedules", "value=\"schedule.pause\"", &[], "held back");
    go("/schedules", "value=\"schedule.resume\"", &[], "goes on");
    go("/schedules", "value=\"schedule.trigger\"", &[], "The run began.");
    go("/schedules", "value=\"schedule.remove\"", &[("confirm", "nightly")], "No run begins by itself.");
    go("/workflows", "value=\"order\"", &[], "It is held back");
    go("/workflows", "value=\"workflow.resume\"", &[], "It goes on");
    go("/workflows", "confirm-all", &[("confirm", "everything")], "Everything is held back");
    go("/workflows", "value=\"workflow.resume\"", &[], "Pause everything");
    let old = [("before", "2020-01-01"), ("confirm", "default")];
    go("/workflows", "value=\"runs.prune\"", &old, "0 ended runs are removed.");
    let told = browser.get(&world.server.path("/acts"));
    for words in
        ["setup:Ada Lovelace", "held a workflow back", "removed a run", "signal: approved", "nightly"]
    {
        assert!(told.body.contains(words), "{words} is missing in {told:?}");
    }
    assert!(browser.get(&world.server.path("/nodes")).body.contains("alive"));
    are_checked(&world, &mut browser);
}

fn are_checked(world: &World, browser: &mut Browser) {
    for (typed, status) in [
        (&[("confirm", "yes")][..], 400),
        (&[("confirm", "")], 400),
        (&[("confirm", "everything"), ("form_token", "AAAA")], 403),
        (&[("confirm", "everything"), ("action", "runs.import")], 400),
    ] {
        let answered = submit(world, browser, "/workflows", "confirm-all", typed);
        assert_eq!(answered.status, status, "{typed:?}: {answered:?}");
    }
    let pauses = read(&browser.get(&world.server.path("/api/v1/pauses")));
    assert_eq!(pauses["pauses"], json!([]), "nothing was done");
    let mut nobody = Browser::default();
    let mut alice = Browser::default();
    crate::dev_sign_in::sign_in(&mut alice, &world.server, "alice");
    for path in ["/workflows", "/workflows/order", "/queues", "/schedules", "/nodes", "/acts"] {
        assert_eq!(nobody.get(&world.server.path(path)).location(), world.server.path("/login"), "{path}");
        assert_eq!(alice.get(&world.server.path(path)).status, 403, "{path}");
    }
    for path in ["/api/v1/queues", "/api/v1/schedules", "/api/v1/nodes", "/api/v1/pauses", "/api/v1/acts"] {
        assert_eq!(nobody.get(&world.server.path(path)).status, 401, "{path}");
        assert_eq!(alice.get(&world.server.path(path)).status, 403, "{path}");
    }
    assert_eq!(browser.get(&world.server.path("/livez")).body, "ok\n");
}

/// Every path and method that the description tells of, with something in each place that a caller fills.
fn described_routes(server: &Server) -> Vec<(String, String)> {
    let openapi = read(&Browser::default().get(&server.path("/api/v1/openapi.json")));
    let mut routes = Vec::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase(), path.clone()));
        }
    }
    routes
}

/// Somebody of the built-in identity provider, with what a program's changes need.
fn signed_in(server: &Server, name: &str) -> Browser {
    let mut browser = Browser::default();
    crate::dev_sign_in::sign_in(&mut browser, server, name);
    let me = read(&browser.get(&server.path("/api/v1/me")));
    browser.extra = vec![("x-mainstay-form-token".to_owned(), me["form_token"].as_str().unwrap().to_owned())];
    browser
}

/// Appoints somebody as an administrator who may look.
fn may_look(world: &World, name: &str, everywhere: bool) {
    let database = world.database.url();
    let list = command_json(&["sso", "connection", "list", "--database", database]);
    let connection = list["connections"][0]["id"].as_str().unwrap();
    let mut grant = vec!["sso", "administrator", "grant", connection, "--name-id", name, "--role", "read"];
    grant.extend(everywhere.then_some("--global"));
    grant.extend(["--cause", "a test", "--database", database]);
    command_json(&grant);
}

#[test]
fn no_route_serves_somebody_who_may_not() {
    let world = World::new();
    let mut nobody = Browser::default();
    // Alice is a user, then she administrates her organization, then she may look everywhere.
    let mut alice = signed_in(&world.server, "alice");
    let open = ["/api/v1/openapi.json", "/api/v1/me"];
    let kind = [("Content-Type", "application/json")];
    let mut routes = described_routes(&world.server);
    routes.retain(|(_, path)| path.starts_with("/api/v1/") && !open.contains(&path.as_str()));
    assert!(routes.len() > 50, "{routes:?}");
    for (method, path) in &routes {
        let url = world.server.path(path);
        assert_eq!(nobody.send(method, &url, &kind, "{}").status, 401, "{method} {path}");
        assert_eq!(alice.send(method, &url, &kind, "{}").status, 403, "{method} {path}");
    }
    may_look(&world, "alice@example.test", false);
    for (method, path) in &routes {
        let refused = alice.send(method, &world.server.path(path), &kind, "{}");
        assert_eq!(refused.status, 403, "{method} {path} for an organization's administrator");
    }
    may_look(&world, "alice@example.test", true);
    for (method, path) in &routes {
        let status = alice.send(method, &world.server.path(path), &kind, "{}").status;
        // What is asked for may be malformed or missing, and is looked at first; nothing of it is ever done.
        let as_it_should =
            if method == "GET" { matches!(status, 200 | 404) } else { matches!(status, 400..=422) };
        assert!(as_it_should, "{method} {path} for somebody who may look: {status}");
    }
    for path in ["/api/v1/workflows/order/runs", "/api/v1/workflows/order/pause", "/api/v1/namespace/pause"] {
        assert_eq!(alice.send("POST", &world.server.path(path), &kind, "{}").status, 403, "{path}");
    }
    let acts = read(&alice.get(&world.server.path("/api/v1/acts")));
    assert_eq!(acts["acts"], json!([]), "nothing was done");
}

#[test]
fn who_looks_on_costs_nothing_while_nothing_happens() {
    let world = World::new();
    let mut browser = administrator(&world.server);
    let run = world.host.order(17, json!({ "order_id": 17 }));
    world.host.wait_for(run, Status::Waiting);
    let url = world.server.path(&format!("/runs/{run}/live"));
    let first = browser.get(&url);
    let tag = first.header("etag").unwrap().to_owned();
    let mut again = |tag: &str| browser.send("GET", &url, &[("If-None-Match", tag)], "");
    assert_eq!((again(&tag).status, again(&tag).body.as_str()), (304, ""));
    // What was asked of it is seen before a node has read it.
    let later = ["workflow", "signal", &run.to_string(), "approved", "--at", "2999-01-01T00:00:00Z"];
    command_json(&[&later[..], &["--database", world.database.url()]].concat());
    let asked = again(&tag);
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains("2999-01-01"), "{asked:?}");
    let tag = asked.header("etag").unwrap().to_owned();
    assert_eq!(again(&tag).status, 304);
    let signal = ["workflow", "signal", &run.to_string(), "approved"];
    command_json(&[&signal[..], &["--database", world.database.url()]].concat());
    world.host.wait_for(run, Status::Completed);
    assert!(again(&tag).body.contains("completed"));
}
