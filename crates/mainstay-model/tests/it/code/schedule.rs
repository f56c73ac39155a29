//! Two publishers, a user and a collector of the real code, interleaved step by step; every step must be one that the model can take, and
//! lead where the model leads.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mainstay_images::{Digest, Images, Step};
use mainstay_model::check::Model as _;
use mainstay_model::images::rules::OnTombstone;
use mainstay_model::images::state::{Party as ModelParty, Row, State};
use mainstay_model::images::{Rules, Setup, Step as ModelStep};
use mainstay_testkit::{Random, TestDatabase, environment};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::steps::{Party, Word, list_of};
use super::world::{A, Facts, RowState, World, collect, publish, remove};

/// The model of what is run here: one blob, two publishers, enough collectors to stand for one that works on several files at once.
const SETUP: Setup = Setup {
    rules: Rules::A2,
    publishers: &[0, 0],
    collectors: 3,
    incarnations: 6,
    crashes: false,
    is_strict: true,
    ..Setup::SMALL
};

type Work = Pin<Box<dyn Future<Output = mainstay_images::Result<()>> + Send>>;

/// What a party of a schedule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher(u8),
    Collector,
    User,
}

const ROLES: [Role; 4] = [Role::Publisher(0), Role::Publisher(1), Role::Collector, Role::User];

fn work(role: Role, images: Images) -> Work {
    match role {
        Role::Publisher(number) => Box::pin(async move {
            publish(&images, ["first", "second"][usize::from(number)], &[A]).await.map(|_| ())
        }),
        Role::Collector => Box::pin(async move { collect(&images).await }),
        Role::User => Box::pin(async move {
            let all = images.images(None, 10).await?;
            match all.first() {
                // Somebody else may publish or need it again in the meantime; that is the point.
                Some(image) => remove(&images, image).await.or(Ok(())),
                None => Ok(()),
            }
        }),
    }
}

/// What can be seen of a state from outside, by which code and model are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    /// 0 absent, 1 present, 2 deleting, 3 damaged.
    row: u8,
    /// Whether the row's file is there.
    has_file: bool,
    /// How many files of the blob there are.
    files: usize,
    has_image: bool,
}

fn seen_in_code(facts: &Facts) -> Seen {
    let digest = Digest::of(A);
    let (row, inc) = match facts.rows.get(&digest) {
        None => (0, None),
        Some(RowState::Present(inc)) => (1, Some(*inc)),
        Some(RowState::Deleting(inc)) => (2, Some(*inc)),
        Some(RowState::Damaged(inc)) => (3, Some(*inc)),
    };
    Seen {
        row,
        has_file: inc.is_some_and(|inc| facts.files.contains(&(digest, inc))),
        files: facts.files.len(),
        has_image: !facts.images.is_empty(),
    }
}

fn seen_in_model(state: &State) -> Seen {
    let row = state.rows[0];
    Seen {
        row: match row {
            Row::Absent => 0,
            Row::Present(_) => 1,
            Row::Deleting(_) => 2,
            Row::Damaged(_) => 3,
        },
        has_file: row.incarnation().is_some_and(|inc| state.files[0][usize::from(inc)].is_there),
        files: state.files[0].iter().filter(|file| file.is_there).count(),
        has_image: state.images[0],
    }
}

/// All states of the model in which the code may be.
struct Follower {
    setup: Setup,
    states: Vec<State>,
}

impl Follower {
    fn new(setup: Setup) -> Self {
        Self { setup, states: vec![setup.initial()] }
    }

    /// The code has taken a step, and this is what can be seen now.
    fn follow(&mut self, role: Role, step: Step, seen: Seen) -> Result<(), String> {
        let reached = match role {
            Role::Publisher(place) => self
                .taken(|party, name| party == ModelParty::Publisher(place) && name.as_str() == step.as_str()),
            Role::User => {
                let mut reached = self.taken(|party, _| party == ModelParty::User);
                // It may find the image claimed, or gone.
                reached.extend(self.states.iter().copied());
                reached
            }
            Role::Collector => self.collected(step),
        };
        let mut keys = BTreeSet::new();
        let mut fitting = reached;
        fitting.retain(|state| seen_in_model(state) == seen && keys.insert(self.setup.key(state)));
        if fitting.is_empty() {
            let could: BTreeSet<Seen> = self.states.iter().map(seen_in_model).collect();
            return Err(format!("{role:?} took {step} and came to {seen:?}; the model was at {could:?}"));
        }
        self.states = fitting;
        Ok(())
    }

    fn taken(&self, is_it: impl Fn(ModelParty, ModelStep) -> bool) -> Vec<State> {
        let mut reached = Vec::new();
        for state in &self.states {
            let mut successors = Vec::new();
            self.setup.successors(state, &mut successors);
            let fitting = successors.into_iter().filter(|(action, _)| is_it(action.party, action.step));
            reached.extend(fitting.map(|(_, after)| after));
        }
        reached
    }

    /// A step of the collector is one transaction or one call for all files at once: in the model, any number of collectors take it. That a
    /// file is nobody's is remembered by the code for as long as a collection lasts, and nobody can tell.
    fn collected(&self, step: Step) -> Vec<State> {
        let mut all = self.states.clone();
        let mut last = Self { setup: self.setup, states: self.states.clone() };
        for _ in 0..self.setup.collectors {
            let next = last.taken(|party, name| {
                matches!(party, ModelParty::Collector(_)) && name.as_str() == step.as_str()
                    || name.as_str() == step.as_str() && name == ModelStep::IntentExpire
            });
            all.extend(next.iter().copied());
            last = Self { setup: self.setup, states: next };
        }
        all
    }
}

/// Who goes next: the choices so far decide, then a default.
trait Choice {
    fn choose(&mut self, ready: &[usize], last: Option<usize>) -> usize;
}

struct AtRandom(Random);

impl Choice for AtRandom {
    fn choose(&mut self, ready: &[usize], _: Option<usize>) -> usize {
        let place = self.0.below(ready.len() as u64);
        ready[usize::try_from(place).unwrap()]
    }
}

/// Each goes as far as it can; before some steps, another one is let.
struct Switching {
    /// The step's number, and by how many places the turn moves.
    switches: Vec<(usize, usize)>,
    step: usize,
}

impl Choice for Switching {
    fn choose(&mut self, ready: &[usize], last: Option<usize>) -> usize {
        let stay = last.and_then(|last| ready.iter().position(|party| *party == last)).unwrap_or(0);
        let moves = self.switches.iter().find(|(at, _)| *at == self.step).map_or(0, |(_, moves)| *moves);
        self.step += 1;
        ready[(stay + moves) % ready.len()]
    }
}

/// Runs all parties under a schedule; says how many steps there were.
async fn run(setup: Setup, order: [usize; 4], choice: &mut dyn Choice, context: &str) -> usize {
    let database = TestDatabase::sqlite();
    let world = World::new(&database).await;
    let (says, mut hears) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for (number, role) in ROLES.into_iter().enumerate() {
        let steps = Arc::new(Party { number, says: says.clone() });
        let images = world.open_with(steps).await.unwrap();
        let says = says.clone();
        let work = work(role, images);
        tasks.spawn(async move {
            let outcome = work.await;
            says.send(Word::Ended).ok();
            (number, outcome)
        });
    }
    let mut waiting: [Option<(Step, oneshot::Sender<()>)>; 4] = Default::default();
    let mut follower = Follower::new(setup);
    let mut trace = Vec::new();
    let mut running = ROLES.len();
    let mut lists = 0;
    let mut left = ROLES.len();
    let mut last: Option<usize> = None;
    loop {
        while running > 0 {
            match hears.recv().await.unwrap() {
                Word::Before(number, step, answer) => {
                    lists += usize::from(step == Step::SweepList);
                    let is_sweep = matches!(step, Step::SweepList | Step::SweepCheck | Step::SweepUnlink);
                    if is_sweep && lists != list_of(A) {
                        // The blob is not there, so nobody can tell when this happens.
                        answer.send(()).unwrap();
                        continue;
                    }
                    waiting[number] = Some((step, answer));
                }
                Word::Ended => left -= 1,
            }
            running -= 1;
        }
        if let Some((role, step)) = trace.last().copied() {
            let facts = world.check_safe(&format!("{context}: {trace:?}")).await;
            if let Err(problem) = follower.follow(role, step, seen_in_code(&facts)) {
                panic!("{context}: {problem}\nafter {trace:?}");
            }
        }
        if left == 0 {
            break;
        }
        let ready: Vec<usize> = order.into_iter().filter(|party| waiting[*party].is_some()).collect();
        let next = choice.choose(&ready, last);
        let (step, answer) = waiting[next].take().unwrap();
        trace.push((ROLES[next], step));
        last = Some(next);
        running = 1;
        answer.send(()).unwrap();
    }
    while let Some(ended) = tasks.join_next().await {
        let (number, outcome) = ended.unwrap();
        assert!(outcome.is_ok(), "{context}: {:?} failed: {outcome:?} in {trace:?}", ROLES[number]);
    }
    assert!(
        trace.contains(&(Role::Collector, Step::SweepCheck)),
        "{context}: no sweep was followed: {trace:?}"
    );
    world.check_drains(&format!("{context}: {trace:?}")).await;
    trace.len()
}

#[tokio::test]
async fn one_switch_at_each_step_is_a_run_of_the_model() {
    for order in [[0, 3, 2, 1], [0, 3, 1, 2], [0, 1, 3, 2]] {
        let length = run(SETUP, order, &mut Switching { switches: Vec::new(), step: 0 }, "no switch").await;
        for at in 1..length {
            for moves in 1..3 {
                let switches = vec![(at, moves)];
                let context = format!("{order:?}, {switches:?}");
                run(SETUP, order, &mut Switching { switches, step: 0 }, &context).await;
            }
        }
    }
}

#[tokio::test]
async fn schedules_at_random_are_runs_of_the_model_and_of_no_crash() {
    let mut seeds = Random::from_environment("schedules");
    let runs = if environment::soaks() { 5_000 } else { 60 };
    for _ in 0..runs {
        let seed = seeds.next_u64();
        run(SETUP, [0, 1, 2, 3], &mut AtRandom(Random::seeded(seed)), &format!("seed {seed}")).await;
    }
}

/// The comparison can fail: the code does not follow the protocol that locks.
#[tokio::test]
#[should_panic(expected = "the model was at")]
async fn another_protocol_is_found_out() {
    let other = Setup { rules: Rules::A3B, ..SETUP };
    run(other, [0, 3, 2, 1], &mut Switching { switches: Vec::new(), step: 0 }, "another protocol").await;
}

/// The comparison can fail: the code announces what it publishes.
#[tokio::test]
#[should_panic(expected = "the model was at")]
async fn a_step_that_the_model_has_not_is_found_out() {
    let rules = Rules { on_tombstone: OnTombstone::Waits, intents: false, ..Rules::A2 };
    run(
        Setup { rules, ..SETUP },
        [0, 3, 2, 1],
        &mut Switching { switches: Vec::new(), step: 0 },
        "no intents",
    )
    .await;
}
