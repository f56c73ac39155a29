//! A namespace in a database, a clock that stands still, and a run's moves in a word.

#![allow(unreachable_pub, missing_debug_implementations, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock as _, FixedClock, Timestamp};
use mainstay_repo::{Repo, Row, Sql, Statement, Target};
use mainstay_testkit::TestDatabase;
use mainstay_workflow::plan::Transition;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

pub const SECOND: Duration = Duration::from_secs(1);

pub struct World {
    pub repo: Repo,
    pub store: Store,
    pub flow: Workflow,
    pub definition: DefinitionId,
    pub node: NodeId,
    pub clock: Arc<FixedClock>,
}

/// Two steps in parallel that meet, then a wait with a time-out.
pub fn flow() -> Workflow {
    Definition::new("order", 1)
        .tag("sales")
        .node(Node::task("check", ["good", "bad"]).on("good", ["charge", "pack"]).on("bad", ["end"]))
        .node(Node::task("charge", ["paid"]).on("paid", ["meet"]))
        .node(Node::task("pack", ["packed"]).on("packed", ["meet"]))
        .node(Node::task("meet", ["met"]).on("met", ["hear"]))
        .node(
            Node::wait("hear")
                .signal("answer", "got")
                .expires(60 * SECOND, "late")
                .on("got", ["end"])
                .on("late", ["end"]),
        )
        .done("end")
        .build()
        .unwrap()
}

pub fn body(step: &str, number: u32) -> Attempt {
    Attempt { step: step.into(), part: Part::Body, number }
}

impl World {
    pub async fn new(database: &TestDatabase) -> Self {
        Self::of(database, flow()).await
    }

    pub async fn of(database: &TestDatabase, flow: Workflow) -> Self {
        let repo = database.repo().await;
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        Self::on(repo, "tests", flow).await
    }

    /// A namespace of a database that has the tables.
    pub async fn on(repo: Repo, namespace: &str, flow: Workflow) -> Self {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_790_000_000).unwrap()));
        let store = Store::open(&repo, namespace).await.unwrap();
        let definition = store.define(&flow, clock.now()).await.unwrap();
        let node = store.join("one", Takeover::Nobody).await.unwrap();
        Self { repo, store, flow, definition, node, clock }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn start_with(&self, input: Value) -> Start {
        let transition = start(&self.flow, input, 7, self.now()).unwrap();
        Start {
            definition: self.definition,
            business_key: None,
            token: None,
            transition,
            lane: Lane::default(),
            queues: Vec::new(),
            attributes: Value::Null,
            telemetry: Value::Null,
            parent: None,
            consumes: None,
            lease: None,
            now: self.now(),
        }
    }

    /// A start with a business key that is unique for its workflow.
    pub fn keyed(&self, value: &str) -> Start {
        let mut start = self.start_with(json!({"order": value}));
        start.business_key = Some(format!("orderid::{value}"));
        start.token = Some(format!("w::order::orderid::{value}"));
        start
    }

    pub async fn started(&self, start: Start) -> Started {
        self.store.start(&self.flow, vec![start]).await.unwrap().remove(0)
    }

    pub async fn begin(&self) -> Head {
        self.begin_with(self.start_with(json!({"order": 123}))).await
    }

    pub async fn begin_with(&self, start: Start) -> Head {
        new(self.started(start).await)
    }

    /// The run as the database has it.
    pub async fn load(&self, run: RunId) -> Head {
        let loaded = self.store.load(&[run]).await.unwrap().remove(0);
        loaded.head(&self.flow).unwrap()
    }

    /// What follows from an input, unwritten.
    pub fn moved(&self, head: &Head, input: Input) -> Transition {
        transition(&self.flow, &head.state, input, self.now()).unwrap()
    }

    pub fn commit_of(&self, head: &Head, input: Input) -> Commit {
        let mut commit = Commit::new(head, self.now());
        commit.push(&self.flow, self.moved(head, input)).unwrap();
        commit
    }

    /// The commit of a step that ended well.
    pub fn step(&self, head: &Head, step: &str, event: &str, output: Value) -> Commit {
        let attempt = body(step, 1);
        let input =
            Input::Succeeded { attempt: attempt.clone(), event: event.into(), targets: Vec::new(), output };
        let mut commit = self.commit_of(head, input);
        commit.done(attempt);
        commit
    }

    pub async fn commit(&self, commit: Commit) -> Head {
        done(self.store.commit(vec![commit]).await.unwrap().remove(0))
    }

    pub async fn go(&self, head: &Head, step: &str, event: &str) -> Head {
        self.commit(self.step(head, step, event, Value::Null)).await
    }

    /// A run that waits for its signal.
    pub async fn waiting(&self) -> Head {
        let mut head = self.begin().await;
        for (step, event) in [("check", "good"), ("charge", "paid"), ("pack", "packed"), ("meet", "met")] {
            head = self.go(&head, step, event).await;
        }
        assert_eq!(head.state.status(), Status::Waiting);
        head
    }

    pub async fn claim(&self, node: NodeId, queue: &str, count: u32) -> Vec<Claimed> {
        let queues = [(queue, count)];
        let definitions = [self.definition];
        let claim = Claim { node, now: self.now(), queues: &queues, definitions: &definitions };
        self.store.claim(&claim).await.unwrap()
    }

    pub async fn claim_steps(&self, count: u32) -> Vec<String> {
        steps(&self.claim(self.node, "default", count).await)
    }

    pub fn letter(&self, run: RunId, sender: Option<&str>, message: Message) -> Letter {
        Letter { run, sender: sender.map(Into::into), message, now: self.now(), due: self.now() }
    }

    pub fn signal(&self, run: RunId, sender: Option<&str>, payload: Value) -> Letter {
        self.letter(run, sender, Message::Signal { signal: "answer".into(), payload })
    }

    pub async fn send(&self, letter: Letter) -> Sent {
        self.store.send(vec![letter]).await.unwrap().remove(0)
    }

    /// Reads all mail of a run and commits what follows.
    pub async fn read_mail(&self, run: RunId) -> Head {
        let loaded = self.store.load(&[run]).await.unwrap().remove(0);
        let (head, mail) = loaded.into_head(&self.flow).unwrap();
        let mut commit = Commit::new(&head, self.now());
        let mut state = head.state.clone();
        for letter in mail {
            let moved =
                transition(&self.flow, &state, letter.message.clone().into_input(), self.now()).unwrap();
            state = moved.state.clone();
            commit.read(&letter);
            commit.push(&self.flow, moved).unwrap();
        }
        self.commit(commit).await
    }

    pub async fn wake(&self) -> Vec<RunId> {
        self.store.wake(self.node, self.now(), 30 * SECOND, 100, &[self.definition]).await.unwrap()
    }

    pub async fn next_due(&self) -> Option<Timestamp> {
        let after = Timestamp::from_unix_seconds(0).unwrap();
        self.store.next_due(after, &[self.definition]).await.unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        let row: Row = self.repo.read_one(Statement::new(sql)).await.unwrap();
        row.get_at(0).unwrap()
    }

    pub async fn tasks(&self) -> i64 {
        self.count("SELECT count(*) FROM wf_tasks").await
    }

    /// Lets a node have been silent for so long.
    pub async fn silence(&self, node: NodeId, seconds: i64) {
        let id = format!("{node:?}").replace("NodeId(", "").replace(')', "");
        let sqlite = format!("UPDATE wf_nodes SET seen_at = seen_at - {seconds} * 1000000 WHERE id = {id}");
        let postgres = format!(
            "UPDATE wf_nodes SET seen_at = seen_at - {seconds} * interval '1 second' WHERE id = {id}"
        );
        self.repo.write(Statement::new(Sql::dynamic(sqlite, postgres))).await.unwrap();
    }
}

#[track_caller]
pub fn new(started: Started) -> Head {
    match started {
        Started::New(head) => head,
        other => panic!("not a new run: {other:?}"),
    }
}

#[track_caller]
pub fn done(committed: Committed) -> Head {
    match committed {
        Committed::Done(head) => head,
        Committed::Stale => panic!("stale"),
    }
}

pub fn steps(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|task| task.key.attempt.step.to_string()).collect()
}
