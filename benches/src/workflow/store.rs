//! The store alone: what a runner costs nothing of. Many runs of five steps, group after group; the processor's time is counted besides the
//! clock's, because the machine is shared.

use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Repo, Target};
use mainstay_workflow::plan::Transition;
use mainstay_workflow::store::{
    COMPONENT, Claim, Commit, Committed, Head, Lane, Start, Started, Store, Takeover, TaskKey,
};
use mainstay_workflow::{Attempt, Definition, Input, Node, NodeId, Part, Workflow, start, transition};
use serde_json::Value;

const STEPS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// How many runs go together.
const GROUP: usize = 256;

fn flow() -> Workflow {
    let mut definition = Definition::new("bench", 1);
    for (place, step) in STEPS.iter().enumerate() {
        let next = STEPS.get(place + 1).copied().unwrap_or("end");
        definition = definition.node(Node::task(step, ["ok"]).on("ok", [next]));
    }
    definition.done("end").build().expect("a sound graph")
}

/// The processor's seconds of this process so far.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(0.0))
        .collect();
    (fields[11] + fields[12]) / 100.0
}

struct Bench {
    store: Store,
    flow: Workflow,
    node: NodeId,
    definition: mainstay_workflow::DefinitionId,
}

impl Bench {
    async fn new(repo: &Repo) -> Self {
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
        let store = Store::open(repo, "bench").await.expect("opened");
        let flow = flow();
        let definition = store.define(&flow, SystemClock.now()).await.expect("defined");
        let node = store.join("bench", Takeover::Everyone).await.expect("joined");
        Self { store, flow, node, definition }
    }

    async fn begin(&self, lease: bool) -> Vec<Head> {
        let now = SystemClock.now();
        let begin = |seed| Start {
            definition: self.definition,
            business_key: None,
            token: None,
            transition: start(&self.flow, Value::Null, seed, now).expect("a start"),
            lane: Lane::default(),
            queues: Vec::new(),
            attributes: Value::Null,
            telemetry: Value::Null,
            parent: None,
            consumes: None,
            lease: lease.then_some(self.node),
            now,
        };
        let started =
            self.store.start(&self.flow, (0..GROUP as u64).map(begin).collect()).await.expect("started");
        started
            .into_iter()
            .map(|started| match started {
                Started::New(head) => head,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// One step of each run.
    async fn step(&self, heads: &mut Vec<Head>, step: &str, lease: bool) {
        let now = SystemClock.now();
        let attempt = Attempt { step: step.into(), part: Part::Body, number: 1 };
        let commits = heads.iter().map(|head| {
            let moved: Transition =
                transition(&self.flow, &head.state, Input::succeeded(&attempt, "ok"), now).expect("a step");
            let mut commit = Commit::new(head, now);
            commit.done(attempt.clone());
            if lease {
                commit.lease(self.node);
            }
            commit.push(&self.flow, moved).expect("small");
            commit
        });
        let committed = self.store.commit(commits.collect()).await.expect("committed");
        *heads = committed
            .into_iter()
            .map(|committed| match committed {
                Committed::Done(head) => head,
                Committed::Stale => panic!("nobody else is there"),
            })
            .collect();
    }

    async fn claim(&self) -> Vec<TaskKey> {
        let most = u32::try_from(GROUP).expect("small");
        let claim = Claim {
            node: self.node,
            now: SystemClock.now(),
            queues: &[(Lane::DEFAULT_QUEUE, most)],
            definitions: &[self.definition],
        };
        self.store.claim(&claim).await.expect("claimed").into_iter().map(|task| task.key).collect()
    }
}

/// Runs, steps and claims a second, and the processor's time of each.
pub async fn run(repo: &Repo, database: &str, target: f64, time: Duration, json: bool) {
    let bench = Bench::new(repo).await;
    for lease in [true, false] {
        let (begun, used) = (Instant::now(), processor());
        let (mut runs, mut claims) = (0_usize, 0_usize);
        let (mut starting, mut stepping, mut claiming) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        while begun.elapsed() < time {
            let at = Instant::now();
            let mut heads = bench.begin(lease).await;
            starting += at.elapsed();
            for step in STEPS {
                if !lease {
                    let at = Instant::now();
                    claims += bench.claim().await.len();
                    claiming += at.elapsed();
                }
                let at = Instant::now();
                bench.step(&mut heads, step, lease).await;
                stepping += at.elapsed();
            }
            runs += heads.len();
        }
        let per = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
        let steps = runs * STEPS.len();
        let kind = if lease { "fused" } else { "claimed" };
        let micros = (processor() - used) * 1e6 / steps as f64;
        let rate = |name: &str, rate: f64| {
            Row::rate(format!("workflow_store_{database}_{kind}_{name}"), rate, "target for steps", target)
                .print(json);
        };
        rate("steps", per(steps, begun.elapsed()));
        rate("starts", per(runs, starting));
        rate("commits", per(steps, stepping));
        if claims > 0 {
            rate("claims", per(claims, claiming));
        }
        let name = format!("workflow_store_{database}_{kind}_cpu");
        Row::less(name, "us", micros, "one core at the target", 1e6 / target).print(json);
    }
}
