//! Random lives of a few runs and two nodes, on the store and on the model of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_repo::Target;
use mainstay_testkit::TestDatabase;
use mainstay_workflow::plan::Transition;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::model::{Due, Model, Run, Step, Unread, answer, read};
use super::support::{SECOND, World};

/// How long a woken run is left alone.
const HOLD: Duration = Duration::from_secs(30);
/// Longer than any case takes: only who is made silent is given up.
const TTL: Duration = Duration::from_secs(100_000);

/// What happens next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Move {
    Start {
        key: Option<u8>,
        lease: Option<u8>,
    },
    Claim {
        node: u8,
        count: u8,
    },
    Answer {
        node: u8,
        which: u8,
        choice: u8,
        lease: bool,
        is_cached: bool,
    },
    Send {
        run: u8,
        sender: Option<u8>,
        what: u8,
    },
    /// A node is given what is due, and reads it or never comes to that.
    Wake {
        node: u8,
        lease: bool,
        reads: bool,
    },
    Wait {
        seconds: u8,
    },
    Release {
        node: u8,
        which: u8,
    },
    Leave {
        node: u8,
    },
    /// A node is given up, and what it had stays in its hands.
    Fall {
        node: u8,
    },
    /// A node takes over what is in dead hands.
    Inherit {
        node: u8,
    },
    /// One who was given up does not know it yet, and leases to itself.
    Late {
        node: u8,
        which: u8,
        choice: u8,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let lease = || prop::option::weighted(0.7, any::<u8>());
    let one = prop_oneof![
        3 => (prop::option::of(0..3_u8), lease()).prop_map(|(key, lease)| Move::Start { key, lease }),
        4 => (any::<u8>(), 1..4_u8).prop_map(|(node, count)| Move::Claim { node, count }),
        12 => (any::<u8>(), any::<u8>(), any::<u8>(), prop::bool::weighted(0.8), any::<bool>()).prop_map(
            |(node, which, choice, lease, is_cached)| Move::Answer { node, which, choice, lease, is_cached }),
        4 => (any::<u8>(), prop::option::of(0..3_u8), any::<u8>()).prop_map(|(run, sender, what)| Move::Send { run, sender, what }),
        4 => (any::<u8>(), any::<bool>(), prop::bool::weighted(0.7)).prop_map(|(node, lease, reads)| Move::Wake { node, lease, reads }),
        2 => (1..60_u8).prop_map(|seconds| Move::Wait { seconds }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(node, which)| Move::Release { node, which }),
        1 => any::<u8>().prop_map(|node| Move::Leave { node }),
        2 => any::<u8>().prop_map(|node| Move::Fall { node }),
        2 => any::<u8>().prop_map(|node| Move::Inherit { node }),
        2 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(node, which, choice)| Move::Late { node, which, choice }),
    ];
    prop::collection::vec(one, 1..60)
}

/// Straight stretches before and behind a fork, one of whose branches waits and then works beside the other.
fn flow() -> Workflow {
    Definition::new("random", 1)
        .node(Node::task("first", ["ok"]).on("ok", ["fork"]).compensate("undo"))
        .node(
            Node::task("fork", ["ok", "both"])
                .on("ok", ["meet"])
                .on("both", ["work", "hear"])
                .retry(Retry::attempts(3)),
        )
        .node(Node::task("work", ["ok"]).on("ok", ["more"]).retry(Retry::attempts(2)))
        .node(Node::task("more", ["ok"]).on("ok", ["meet"]))
        .node(
            Node::wait("hear")
                .signal("answer", "got")
                .expires(40 * SECOND, "late")
                .on("got", ["heed"])
                .on("late", ["meet"]),
        )
        .node(Node::task("heed", ["ok"]).on("ok", ["meet"]))
        .node(Node::task("meet", ["ok"]).on("ok", ["last"]).compensate("undo"))
        .node(Node::task("last", ["ok"]).on("ok", ["end"]).on_failure("broken", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// Both sides.
struct Pair {
    world: World,
    model: Model,
    nodes: [NodeId; 2],
    /// Those who were given up.
    fallen: Vec<NodeId>,
    /// Runs as they once were, to commit on.
    cache: BTreeMap<RunId, Head>,
}

fn pick<T: Clone>(from: impl IntoIterator<Item = T>, which: u8) -> Option<T> {
    let all: Vec<T> = from.into_iter().collect();
    (!all.is_empty()).then(|| all[usize::from(which) % all.len()].clone())
}

impl Pair {
    async fn new(repo: &mainstay_repo::Repo, namespace: &str) -> Self {
        let world = World::on(repo.clone(), namespace, flow()).await;
        let nodes = [world.node, world.store.join("two", Takeover::Nobody).await.unwrap()];
        Self { world, model: Model::default(), nodes, fallen: Vec::new(), cache: BTreeMap::new() }
    }

    fn node(&self, which: u8) -> NodeId {
        self.nodes[usize::from(which) % 2]
    }

    async fn make(&mut self, next: &Move) {
        match *next {
            Move::Start { key, lease } => self.start(key, lease.map(|node| self.node(node))).await,
            Move::Claim { node, count } => self.claim(self.node(node), u32::from(count)).await,
            Move::Answer { node, which, choice, lease, is_cached } => {
                self.answer(self.node(node), which, choice, lease, is_cached).await;
            }
            Move::Send { run, sender, what } => self.send(run, sender, what).await,
            Move::Wake { node, lease, reads } => self.wake(self.node(node), lease, reads).await,
            Move::Wait { seconds } => self.world.clock.advance(SECOND * u32::from(seconds)),
            Move::Release { node, which } => self.release(self.node(node), which).await,
            Move::Leave { node } => self.leave(usize::from(node) % 2).await,
            Move::Fall { node } => self.fall(usize::from(node) % 2).await,
            Move::Inherit { node } => self.inherit(self.node(node)).await,
            Move::Late { node, which, choice } => self.late(node, which, choice).await,
        }
        self.compare().await;
    }

    async fn start(&mut self, key: Option<u8>, lease: Option<NodeId>) {
        let mut start = self.world.start_with(json!({ "key": key }));
        start.lease = lease;
        start.token = key.map(|key| format!("w::{key}"));
        let (first, token, lease) = (start.transition.clone(), start.token.clone(), start.lease);
        let active = token.as_deref().and_then(|token| self.model.active(token));
        match (self.world.started(start).await, active) {
            (Started::New(head), None) => {
                let run = Run::new(&self.world.flow, first, token, lease, self.world.now());
                self.model.runs.insert(head.meta.run, run);
                self.cache.insert(head.meta.run, head);
            }
            (Started::AlreadyActive(run), Some(active)) => assert_eq!(run, active),
            (started, active) => panic!("{started:?}, and active is {active:?}"),
        }
    }

    /// What a task that was got is: of a baton the run says which attempt it stands for.
    async fn resolve(&self, key: &TaskKey) -> (RunId, Attempt) {
        let attempt =
            if key.is_baton() { self.world.load(key.run).await.baton.unwrap() } else { key.attempt.clone() };
        (key.run, attempt)
    }

    async fn claim(&mut self, node: NodeId, count: u32) {
        let ready = self.model.claimable(self.world.now());
        let claimed = self.world.claim(node, "default", count).await;
        // What was taken back begins nothing: all of it comes, and so many of the others as were asked for.
        let revoked =
            ready.iter().filter(|(run, attempt)| self.model.runs[run].tasks[attempt].is_revoked).count();
        let others = (ready.len() - revoked).min(usize::try_from(count).unwrap());
        assert_eq!(claimed.len(), revoked + others, "of {ready:?}");
        for task in claimed {
            let key = self.resolve(&task.key).await;
            assert!(ready.contains(&key), "{key:?} is not among {ready:?}");
            let of_model = self.model.task(key.0, &key.1);
            of_model.holder = Some(node);
            assert_eq!(task.fate == Fate::Revoked, of_model.is_revoked);
        }
    }

    async fn answer(&mut self, node: NodeId, which: u8, choice: u8, lease: bool, is_cached: bool) {
        let Some((id, attempt)) = pick(self.model.held(node), which) else { return };
        let run = self.model.runs.get_mut(&id).unwrap();
        let now = self.world.now();
        let input = answer(&attempt, &run.tasks[&attempt], choice);
        let head = if is_cached { self.cache[&id].clone() } else { self.world.load(id).await };
        let is_current = head.state.seq == run.state.seq;
        let Ok(moved) = transition(&self.world.flow, &head.state, input, now) else {
            if is_current {
                // The run does not want it: only the task is over.
                self.world.store.settle(&[TaskKey { run: id, attempt: attempt.clone() }], &[]).await.unwrap();
                run.tasks.remove(&attempt);
            }
            return;
        };
        let mut commit = Commit::new(&head, now);
        commit.done(attempt.clone());
        let lease = lease.then_some(node);
        lease.into_iter().for_each(|node| commit.lease(node));
        commit.push(&self.world.flow, moved.clone()).unwrap();
        match self.world.store.commit(vec![commit]).await.unwrap().remove(0) {
            Committed::Done(head) => {
                assert!(is_current, "a commit on an older state was taken");
                self.cache.insert(id, head);
                run.keep(
                    &self.world.flow,
                    Step { moves: vec![moved], answered: Some(&attempt), letters: 0, lease, now },
                );
            }
            Committed::Stale => assert!(!is_current, "a commit on the state as it is was refused"),
        }
    }

    async fn send(&mut self, run: u8, sender: Option<u8>, what: u8) {
        let Some(id) = pick(self.model.runs.keys().copied(), run) else { return };
        let message = match what % 8 {
            0 => Message::Cancel { reason: "random".to_owned() },
            1 => Message::Pause,
            2 | 3 => Message::Resume,
            _ => Message::Signal { signal: "answer".into(), payload: json!(what) },
        };
        let sender = sender.map(|sender| format!("s{sender}"));
        let (sent, now) = (
            self.world.send(self.world.letter(id, sender.as_deref(), message.clone())).await,
            self.world.now(),
        );
        let run = self.model.runs.get_mut(&id).unwrap();
        let is_known = sender.as_ref().is_some_and(|sender| run.senders.contains(sender));
        match (is_known, run.state.is_ended()) {
            (true, _) => assert_eq!(sent, Sent::Duplicate),
            (_, true) => assert_eq!(sent, Sent::Ended),
            _ => {
                assert_eq!(sent, Sent::Accepted);
                run.senders.extend(sender);
                run.mail.push(Unread { message, due: Due::new(now) });
            }
        }
    }

    /// Woken runs read their mail, all of it, or are left to the node.
    async fn wake(&mut self, node: NodeId, lease: bool, reads: bool) {
        let lease = lease.then_some(node);
        let now = self.world.now();
        let woken: BTreeSet<RunId> = self
            .world
            .store
            .wake(node, now, HOLD, 100, &[self.world.definition])
            .await
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(woken, self.model.wake(node, now, HOLD));
        for id in woken.into_iter().filter(|_| reads) {
            let loaded = self.world.store.load(&[id]).await.unwrap().remove(0);
            let (head, mail) = loaded.into_head(&self.world.flow).unwrap();
            let messages: Vec<Message> = mail.iter().map(|letter| letter.message.clone()).collect();
            let moves = read(&self.world.flow, &head.state, &messages, now);
            let kept: Vec<Transition> = moves.iter().flatten().cloned().collect();
            let run = self.model.runs.get_mut(&id).unwrap();
            if kept.is_empty() {
                self.world.store.settle(&[], &mail).await.unwrap();
                run.mail.clear();
                continue;
            }
            let mut commit = Commit::new(&head, now);
            lease.into_iter().for_each(|node| commit.lease(node));
            for (at, moved) in moves.into_iter().enumerate() {
                mail.get(at).into_iter().for_each(|letter| commit.read(letter));
                moved.into_iter().for_each(|moved| commit.push(&self.world.flow, moved).unwrap());
            }
            // The cache stays behind: who commits on it next has to lose.
            self.world.commit(commit).await;
            run.keep(&self.world.flow, Step { moves: kept, answered: None, letters: mail.len(), lease, now });
        }
    }

    async fn release(&mut self, node: NodeId, which: u8) {
        let Some((run, attempt)) = pick(self.model.held(node), which) else { return };
        let now = self.world.now();
        let is_baton = self.world.load(run).await.baton.as_ref() == Some(&attempt);
        let key = if is_baton { TaskKey::baton(run) } else { TaskKey { run, attempt: attempt.clone() } };
        self.world.store.release(node, &[key], now).await.unwrap();
        let task = self.model.task(run, &attempt);
        (task.holder, task.ready_at, task.is_delayed) = (None, now, true);
    }

    async fn leave(&mut self, which: usize) {
        let node = self.nodes[which];
        self.world.store.leave(node).await.unwrap();
        self.model.pass_on(node, None);
        self.model.free(node);
        self.nodes[which] = self.world.store.join("again", Takeover::Nobody).await.unwrap();
    }

    /// A node falls silent; another life begins in its place.
    async fn fall(&mut self, which: usize) {
        let dead = self.nodes[which];
        self.world.silence(dead, 200_000).await;
        assert_eq!(self.world.store.bury(TTL).await.unwrap(), 1);
        self.model.free(dead);
        self.fallen.push(dead);
        self.nodes[which] = self.world.store.join("reborn", Takeover::Nobody).await.unwrap();
    }

    /// What is in dead hands goes to an heir, also what came into them after they were forgotten.
    async fn inherit(&mut self, heir: NodeId) {
        let held: BTreeSet<_> = self.fallen.iter().flat_map(|dead| self.model.held(*dead)).collect();
        let taken = self.world.store.take_over(heir, 1_000, &[self.world.definition]).await.unwrap();
        let mut found = BTreeSet::new();
        for task in taken {
            assert_eq!(task.fate, Fate::Lost);
            found.insert(self.resolve(&task.key).await);
        }
        assert_eq!(found, held);
        for dead in &self.fallen {
            self.model.pass_on(*dead, Some(heir));
        }
    }

    /// What a node sent before it found out that it was given up: the next step of what it has, or a start.
    async fn late(&mut self, node: u8, which: u8, choice: u8) {
        let Some(node) = pick(self.fallen.iter().copied(), node) else { return };
        if self.model.held(node).is_empty() {
            return self.start(None, Some(node)).await;
        }
        self.answer(node, which, choice, true, false).await;
    }

    /// Whatever can be seen.
    async fn compare(&self) {
        let ids: Vec<RunId> = self.model.runs.keys().copied().collect();
        for (loaded, history) in self.world.store.load_with_history(&ids).await.unwrap() {
            let run = &self.model.runs[&loaded.meta.run];
            let (head, mail) = loaded.into_head(&self.world.flow).unwrap();
            assert_eq!(head.state, run.state);
            assert_eq!(history, run.history);
            let unread: Vec<&Message> = run.mail.iter().map(|letter| &letter.message).collect();
            assert_eq!(mail.iter().map(|letter| &letter.message).collect::<Vec<_>>(), unread);
            let ended = self.world.store.ended(head.meta.run).await.unwrap();
            let outcome = ended.map(|ended| ended.outcome);
            match &run.state.stage {
                plan::Stage::Ended { outcome: of_model, .. } => assert_eq!(outcome, Some(*of_model)),
                _ => assert_eq!(outcome, None),
            }
        }
        for node in self.nodes.into_iter().chain(self.fallen.iter().copied()) {
            let mut held = BTreeSet::new();
            for key in self.world.store.leased(node).await.unwrap() {
                assert!(held.insert(self.resolve(&key).await), "one attempt has two tasks");
            }
            assert_eq!(held, self.model.held(node));
            let revoked = self.world.store.beat(node).await.unwrap().revoked;
            let of_model = self
                .model
                .held(node)
                .into_iter()
                .filter(|(run, attempt)| self.model.runs[run].tasks[attempt].is_revoked);
            assert_eq!(
                revoked.into_iter().map(|key| (key.run, key.attempt)).collect::<BTreeSet<_>>(),
                of_model.collect::<BTreeSet<_>>()
            );
        }
        assert_eq!(self.world.next_due().await, self.model.next_due());
    }
}

fn lives(database: &TestDatabase, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let repo = runtime.block_on(async {
        let repo = database.repo().await;
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        repo
    });
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    });
    let place = std::cell::Cell::new(0);
    let outcome = runner.run(&moves(), |moves| {
        place.set(place.get() + 1);
        runtime.block_on(async {
            let mut pair = Pair::new(&repo, &format!("case {}", place.get())).await;
            for next in &moves {
                pair.make(next).await;
            }
        });
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn the_store_is_what_its_model_says_on_sqlite() {
    lives(&TestDatabase::sqlite(), 96);
}

#[test]
fn the_store_is_what_its_model_says_on_postgres() {
    lives(&TestDatabase::postgres(), 12);
}
