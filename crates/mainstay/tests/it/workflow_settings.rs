//! What moves runs, on the command line beside a host application: schedules, queues, pauses, who did what, and what undoing the tables
//! waits for.

use mainstay_repo::{Repo, Sql, Statement};
use mainstay_testkit::{PostgresDatabase, TestDatabase};
use mainstay_workflow::Status;
use serde_json::{Value, json};

use crate::support::host::Host;
use crate::support::server::{json as document, run};

#[track_caller]
fn refused(args: &[&str], code: i32, parts: &[&str]) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{args:?}: {text:?} should contain {parts:?}");
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
        let output = run(&self.args(args));
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], code: i32, parts: &[&str]) {
        refused(&self.args(args), code, parts);
    }
}

#[test]
fn e2e_an_operator_sets_what_moves_runs_on_sqlite() {
    sets(&TestDatabase::sqlite());
}

#[test]
fn e2e_an_operator_sets_what_moves_runs_on_postgres() {
    sets(&TestDatabase::postgres());
}

fn sets(database: &TestDatabase) {
    let on = On(database.url());
    let host = Host::start(database.url());
    let run = host.order(17, json!({ "order_id": 123 }));
    host.wait_for(run, Status::Waiting);
    let run = run.to_string();
    schedules(&on, &host);
    on.refuses(&["queue", "set", "mail", "--concurrency", "0"], 2, &["concurrency of 0", "pause the queue"]);
    on.json(&["queue", "set", "mail", "--paused"]);
    assert!(on.text(&["queue", "list"]).contains("mail   paused"), "{}", on.text(&["queue", "list"]));
    on.refuses(
        &["signal", &run, "aproved"],
        1,
        &["waits for no signal \"aproved\"", "it waits for approved"],
    );
    on.refuses(&["list", "--status", "bogus"], 2, &["bogus", "--status", "running", "cancelled"]);
    let nodes = on.json(&["nodes"]);
    assert_eq!((&nodes["nodes"][0]["name"], &nodes["nodes"][0]["dead_at"]), (&json!("shop"), &Value::Null));
    on.json(&["pause", "--all"]);
    on.json(&["resume", "--all"]);
    on.json(&["cancel", &run, "--reason", "a test"]);
    acts(&on, &run);
    undoing_waits(database.url(), host);
}

fn schedules(on: &On<'_>, host: &Host) {
    let add = ["schedule", "add", "nightly", "--cron", "30 2 * * * Europe/Berlin", "--workflow", "order"];
    on.refuses(&add, 2, &["orderid", "--key"]);
    on.refuses(&[&add[..5], &["--workflow", "nothing"]].concat(), 1, &["nothing"]);
    on.refuses(&[&add[..], &["--key", "n", "--version", "9"]].concat(), 1, &["version 9"]);
    on.refuses(
        &["schedule", "add", "x", "--cron", "daily", "--workflow", "order"],
        2,
        &["not a cron expression"],
    );
    let set = [&add[..], &["--key", "n", "--input", "{\"stock\": false}", "--catch-up", "skip"]].concat();
    let kept = on.json(&set)["schedules"][0].clone();
    let of = |name: &str| kept[name].clone();
    assert_eq!(
        (of("schedule"), of("workflow"), of("paused")),
        (json!("nightly"), json!("order"), json!(false))
    );
    assert!(of("next_at").is_string() && of("last_at").is_null(), "{kept}");
    assert_eq!((&kept["plan"]["catch_up"], &kept["plan"]["key"]), (&json!("skip"), &json!("n")));
    assert!(on.text(&["schedule", "ls"]).contains("30 2 * * * Europe/Berlin"));
    assert_eq!(on.json(&["schedule", "pause", "nightly"])["schedules"][0]["paused"], true);
    let begun = on.json(&["schedule", "trigger", "nightly"])["run"].as_str().unwrap().to_owned();
    host.wait_for(begun.parse().unwrap(), Status::Completed);
    assert_eq!(on.json(&["schedule", "resume", "nightly"])["schedules"][0]["paused"], false);
    for verb in ["pause", "resume", "trigger", "rm"] {
        on.refuses(&["schedule", verb, "weekly"], 1, &["weekly", "schedule ls"]);
    }
    assert_eq!(on.json(&["schedule", "rm", "nightly"])["schedules"], json!([]));
}

fn acts(on: &On<'_>, cancelled: &str) {
    let all = on.json(&["acts", "--limit", "3"]);
    let of = |page: &Value| -> Vec<String> {
        let acts = page["acts"].as_array().unwrap().iter();
        acts.map(|act| format!("{} {}", act["actor"].as_str().unwrap(), act["action"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(
        of(&all),
        ["cli:tester run.cancel", "cli:tester workflow.resume", "cli:tester workflow.pause"]
    );
    let next = on.json(&["acts", "--limit", "1", "--after", all["next"].as_str().unwrap()]);
    assert_eq!(of(&next), ["cli:tester queue.set"]);
    let one = on.json(&["acts", "--run", "orderid::a17"]);
    assert_eq!(one["acts"][0]["run"], cancelled);
    assert_eq!(one["acts"].as_array().unwrap().len(), 1, "what was refused is no act: {one}");
    let text = on.text(&["acts"]);
    assert!(text.contains("reason: a test (by cli:tester)"), "{text}");
}

/// The host is a process of its own that works on the tables, and no server.
fn undoing_waits(url: &str, host: Host) {
    let down = [
        "migrate",
        "down",
        "--component",
        "workflow",
        "--to",
        "0",
        "--confirm",
        "workflow",
        "--database",
        url,
    ];
    refused(&down, 1, &["shop in the namespace default", "heard of", "end all of them"]);
    assert_eq!(
        document(&["workflow", "nodes", "--database", url])["nodes"][0]["name"],
        "shop",
        "still there"
    );
    host.stop();
    document(&down);
    refused(&["workflow", "list", "--database", url], 1, &["mainstay migrate up"]);
}

#[test]
fn e2e_instances_of_another_engine_come_over_on_sqlite() {
    imports(&TestDatabase::sqlite());
}

#[test]
fn e2e_instances_of_another_engine_come_over_on_postgres() {
    imports(&TestDatabase::postgres());
}

/// The table as the third version of its migrations leaves it.
const TABLE: &str = "CREATE TABLE workflow_instances (id varchar(255) PRIMARY KEY, workflow varchar(255) NOT NULL, \
    status varchar(255) NOT NULL DEFAULT 'pending', workflow_version integer NOT NULL DEFAULT 1, \
    state jsonb NOT NULL DEFAULT '{}', inserted_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL)";
const FILL: &str = "INSERT INTO workflow_instances (id, workflow, status, workflow_version, state, inserted_at, updated_at) \
    SELECT 'orderid::a' || n, 'Elixir.MyApp.OrderWorkflow', CASE WHEN n % 5 = 0 THEN 'waiting' ELSE 'completed' END, 2, \
        jsonb_build_object('context', jsonb_build_object('initial', jsonb_build_object('order_id', n), 'steps', '{}'::jsonb), \
            'active_steps', '[]'::jsonb, 'completed_steps', '[]'::jsonb), \
        timestamp '2026-01-02 03:04:05', timestamp '2026-01-02 03:04:06' FROM generate_series(1, 250) AS n";

fn imports(database: &TestDatabase) {
    let on = On(database.url());
    document(&["migrate", "up", "--component", "workflow", "--database", database.url()]);
    let source = PostgresDatabase::create();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let write = |sql: &'static str| {
        runtime.block_on(async {
            let repo = Repo::connect(source.url()).await.unwrap();
            repo.write(Statement::new(Sql::new(sql))).await.unwrap();
            repo.close().await;
        });
    };
    let import = ["import", "--from", source.url()];
    on.refuses(&import, 1, &["no table workflow_instances in the schema \"public\" of", "name the database"]);
    write(TABLE);
    write(FILL);
    write("INSERT INTO workflow_instances VALUES ('z::bad', 'W', 'sleeping', 1, '{}', now(), now())");
    let report = on.json(&import);
    assert_eq!(
        (&report["imported"], &report["unfinished"], &report["refused"], &report["last"]),
        (&json!(250), &json!(50), &json!(1), &json!("z::bad"))
    );
    assert_eq!(on.json(&import)["imported"], 250, "a second time replaces them");
    let found = on.json(&["list", "--where", "context.initial.order_id=17"]);
    assert_eq!(
        (&found["runs"][0]["key"], &found["runs"][0]["managed"]),
        (&json!("orderid::a17"), &json!(false))
    );
    assert_eq!(found["runs"].as_array().unwrap().len(), 1);
    let act = on.json(&["acts"])["acts"][0].clone();
    assert_eq!((&act["action"], &act["actor"]), (&json!("runs.import"), &json!("cli:tester")));
    on.refuses(&["import", "--from", "sqlite:///nowhere.db"], 2, &["postgres://"]);
}

#[test]
fn graphs_are_drawn_in_every_form_on_both_databases() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres()] {
        let on = On(database.url());
        let host = Host::start(database.url());
        let run = host.order(17, json!({ "order_id": 123 }));
        host.wait_for(run, Status::Waiting);
        for what in ["order", &run.to_string()] {
            for (form, begins) in [("text", ""), ("svg", "<svg"), ("dot", "digraph")] {
                let drawn = on.text(&["graph", what, "--format", form]);
                assert!(drawn.starts_with(begins) && drawn.contains("approve"), "{what} {form}: {drawn}");
                let document = on.json(&["graph", what, "--format", form]);
                assert_eq!(document["format"], form, "{document}");
            }
        }
        host.stop();
    }
}
