//! Two publishers, a user and a collector of the real code, interleaved step by step; every step must be one that the model can take, and
//! lead where the model leads.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mainstay_images::gc::CollectOptions;
use mainstay_images::{Digest, Images, Step, Verify};
use mainstay_model::check::Model as _;
use mainstay_model::images::rules::OnTombstone;
use mainstay_model::images::state::{Party as ModelParty, Row, State};
use mainstay_model::images::{Rules, Setup, Step as ModelStep};
use mainstay_testkit::{Random, TestDatabase, environment};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::steps::{Party, Word, list_of};
use super::world::{A, Facts, RowState, World, collect, join, publish, publish_by, remove};

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

/// The same with a lease holder, and collectors that evict.
const LEASED: Setup = Setup { holders: 1, evicts: true, ..SETUP };

type Work = Pin<Box<dyn Future<Output = mainstay_images::Result<()>> + Send>>;

/// What a party of a schedule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher(u8),
    /// The first publisher, who then leases what it published, renews and gives it back.
    Holder,
    Collector,
    /// A collector that lets go of what nobody claims.
    Evictor,
    User,
}

const ROLES: [Role; 4] = [Role::Publisher(0), Role::Publisher(1), Role::Collector, Role::User];
const LEASING: [Role; 4] = [Role::Holder, Role::Publisher(1), Role::Evictor, Role::User];

fn work(role: Role, images: Images) -> Work {
    match role {
        Role::Publisher(number) => Box::pin(async move {
            publish(&images, ["first", "second"][usize::from(number)], &[A]).await.map(|_| ())
        }),
        Role::Holder => Box::pin(async move {
            let node = join(&images, "first").await?;
            let image = publish_by(&node, &[A]).await?;
            // It may be gone or going by now.
            let Ok(held) = node.acquire("vm", image.id).await else { return Ok(()) };
            node.renew().await?;
            held.confirm().await?;
            let mut reader = images.open_blob(&Digest::of(A), Verify::Content).await?;
            let read = tokio::task::spawn_blocking(move || std::io::copy(&mut reader, &mut std::io::sink()));
            read.await.unwrap().unwrap();
            held.release().await
        }),
        Role::Collector => Box::pin(async move { collect(&images).await }),
        Role::Evictor => Box::pin(async move {
            let options = CollectOptions { full: true, evict: true, ..CollectOptions::default() };
            images.collect("collector", &options).await.map(|_| ())
        }),
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
    is_leased: bool,
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
        is_leased: !facts.leased.is_empty(),
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
        is_leased: state.holders[0].lease.is_some(),
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
            Role::Publisher(place) => self.published(place, step),
            Role::Holder => match step {
                // It may be refused: the image is gone, or its blob is going.
                Step::LeaseAcquire => {
                    let mut reached = self.held(&[ModelStep::LeaseAcquire]);
                    reached.extend(self.states.iter().copied());
                    reached
                }
                // The database's clock is none of the model's: there, time ends at any moment.
                Step::LeaseRenew => self.states.clone(),
                // Whoever gives a lease back has stopped using the image.
                Step::LeaseRelease => self.held(&[ModelStep::LeaseStop, ModelStep::LeaseExpire]),
                _ => self.published(0, step),
            },
            Role::User => {
                let mut reached = self.taken(|party, _| party == ModelParty::User);
                // It may find the image claimed, or gone.
                reached.extend(self.states.iter().copied());
                reached
            }
            Role::Collector | Role::Evictor => self.collected(step),
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

    fn published(&self, place: u8, step: Step) -> Vec<State> {
        self.taken(|party, name| party == ModelParty::Publisher(place) && name.as_str() == step.as_str())
    }

    /// Steps of the holder, one after the other.
    fn held(&self, steps: &[ModelStep]) -> Vec<State> {
        let mut last = Self { setup: self.setup, states: self.states.clone() };
        for step in steps {
            let states = last.taken(|party, name| party == ModelParty::Holder(0) && name == *step);
            last = Self { setup: self.setup, states };
        }
        last.states
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
async fn run(
    database: &TestDatabase,
    (setup, roles): (Setup, [Role; 4]),
    order: [usize; 4],
    choice: &mut dyn Choice,
    context: &str,
) -> usize {
    let world = World::new(database).await;
    let (says, mut hears) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for (number, role) in roles.into_iter().enumerate() {
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
    let mut running = roles.len();
    let mut lists = 0;
    let mut left = roles.len();
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
        trace.push((roles[next], step));
        last = Some(next);
        running = 1;
        answer.send(()).unwrap();
    }
    while let Some(ended) = tasks.join_next().await {
        let (number, outcome) = ended.unwrap();
        assert!(outcome.is_ok(), "{context}: {:?} failed: {outcome:?} in {trace:?}", roles[number]);
    }
    assert!(trace.contains(&(roles[2], Step::SweepCheck)), "{context}: no sweep was followed: {trace:?}");
    world.check_drains(&format!("{context}: {trace:?}")).await;
    trace.len()
}

/// Nobody is interrupted; then somebody is at each step in turn, by each of so many others.
async fn one_switch_at_each_step(
    database: &TestDatabase,
    what: (Setup, [Role; 4]),
    order: [usize; 4],
    others: usize,
) {
    let mut none = Switching { switches: Vec::new(), step: 0 };
    let length = run(database, what, order, &mut none, "no switch").await;
    for at in 1..length {
        for moves in 1..=others {
            // With one other only, each has its turn.
            let switches = vec![(at, if others == 1 { 1 + at % 2 } else { moves })];
            let context = format!("{order:?}, {switches:?}");
            run(database, what, order, &mut Switching { switches, step: 0 }, &context).await;
        }
    }
}

async fn at_random(database: &TestDatabase, what: (Setup, [Role; 4]), name: &str, runs: u32) {
    let mut seeds = Random::from_environment(name);
    let runs = if environment::soaks() { 5_000 } else { runs };
    for _ in 0..runs {
        let seed = seeds.next_u64();
        let context = format!("seed {seed}");
        run(database, what, [0, 1, 2, 3], &mut AtRandom(Random::seeded(seed)), &context).await;
    }
}

#[tokio::test]
async fn one_switch_at_each_step_is_a_run_of_the_model() {
    let database = TestDatabase::sqlite();
    for order in [[0, 3, 2, 1], [0, 3, 1, 2], [0, 1, 3, 2]] {
        one_switch_at_each_step(&database, (SETUP, ROLES), order, 2).await;
    }
}

#[tokio::test]
async fn one_switch_at_each_step_of_leases_and_eviction_is_a_run_of_the_model() {
    let database = TestDatabase::sqlite();
    for order in [[0, 2, 1, 3], [0, 3, 2, 1]] {
        one_switch_at_each_step(&database, (LEASED, LEASING), order, 2).await;
    }
}

#[tokio::test]
async fn one_switch_at_each_step_on_postgres_is_a_run_of_the_model() {
    let database = TestDatabase::postgres();
    one_switch_at_each_step(&database, (SETUP, ROLES), [0, 3, 2, 1], 1).await;
    one_switch_at_each_step(&database, (LEASED, LEASING), [0, 2, 1, 3], 1).await;
}

#[tokio::test]
async fn schedules_at_random_are_runs_of_the_model_and_of_no_crash() {
    at_random(&TestDatabase::sqlite(), (SETUP, ROLES), "schedules", 60).await;
}

#[tokio::test]
async fn schedules_at_random_of_leases_and_eviction_are_runs_of_the_model_and_of_no_crash() {
    at_random(&TestDatabase::sqlite(), (LEASED, LEASING), "schedules with leases", 40).await;
}

#[tokio::test]
async fn schedules_at_random_on_postgres_are_runs_of_the_model_and_of_no_crash() {
    let database = TestDatabase::postgres();
    at_random(&database, (SETUP, ROLES), "schedules on PostgreSQL", 10).await;
    at_random(&database, (LEASED, LEASING), "schedules with leases on PostgreSQL", 10).await;
}

/// The comparison can fail: the code does not follow the protocol that locks.
#[tokio::test]
#[should_panic(expected = "the model was at")]
async fn another_protocol_is_found_out() {
    let other = Setup { rules: Rules::A3B, ..SETUP };
    let mut none = Switching { switches: Vec::new(), step: 0 };
    run(&TestDatabase::sqlite(), (other, ROLES), [0, 3, 2, 1], &mut none, "another protocol").await;
}

/// The comparison can fail: the code announces what it publishes.
#[tokio::test]
#[should_panic(expected = "the model was at")]
async fn a_step_that_the_model_has_not_is_found_out() {
    let rules = Rules { on_tombstone: OnTombstone::Waits, intents: false, ..Rules::A2 };
    let mut none = Switching { switches: Vec::new(), step: 0 };
    let setup = Setup { rules, ..SETUP };
    run(&TestDatabase::sqlite(), (setup, ROLES), [0, 3, 2, 1], &mut none, "no intents").await;
}

/// The comparison can fail: the code leases, and this model has nobody who does.
#[tokio::test]
#[should_panic(expected = "the model was at")]
async fn a_lease_that_the_model_has_not_is_found_out() {
    let mut none = Switching { switches: Vec::new(), step: 0 };
    run(&TestDatabase::sqlite(), (SETUP, LEASING), [0, 2, 1, 3], &mut none, "no holder").await;
}
