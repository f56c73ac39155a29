//! Orders on both databases, with workers that are killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is how they fail")]

mod book;
mod changing;
mod readme;
mod tea;

use std::process::Command;

use mainstay_repo::Repo;
use mainstay_testkit::{Random, TestDatabase, Victim, environment, eventually, for_each_database, golden};
use mainstay_workflow::plan::Outcome;
use mainstay_workflow::typed::{TypedVersion as _, TypedWorkflow as _};
use mainstay_workflow::{Engine, ErrorKind, RunId, render};
use order_workflow::flow::{Card, Letter, Order, OrderFlow, Payment};
use order_workflow::{engine, open, store};

const GOOD: &str = "5100-1";
const BAD: &str = "4000-1";

fn order(id: u32, card: &str, address: &str) -> Order {
    Order { id, item: "book".to_owned(), cents: 990, card: card.to_owned(), address: address.to_owned() }
}

async fn shop(db: &TestDatabase, pieces: u32) -> Repo {
    let repo = open(db.url()).await.unwrap();
    store::deliver_stock(&repo, "book", pieces).await.unwrap();
    repo
}

async fn begin(engine: &Engine, order: Order) -> RunId {
    OrderFlow::start(engine, &order).await.unwrap()
}

async fn end(engine: &Engine, run: RunId) -> Outcome {
    engine.wait(run).await.unwrap().outcome
}

#[test]
fn the_picture_in_the_documentation_is_that_of_the_workflow() {
    let flow = OrderFlow::version().workflow.unwrap();
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/order-workflow.svg");
    golden::check(file, &render::svg(&flow, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_go_their_ways() {
    for_each_database(async |db| {
        let repo = shop(db, 3).await;
        let engine = engine(&repo).start().await.unwrap();
        let plain = begin(&engine, order(1, GOOD, "here")).await;
        let declined = begin(&engine, order(2, BAD, "here")).await;
        let lost = begin(&engine, order(3, GOOD, "nowhere")).await;
        let twice = OrderFlow::start(&engine, &order(2, GOOD, "here")).await.unwrap_err();
        assert!(twice.to_string().contains(&declined.to_string()), "{twice}");

        // The signal may come before the run waits for it.
        OrderFlow::card(&Card(GOOD.to_owned())).unwrap().send(&engine, declined).await.unwrap();
        assert_eq!(end(&engine, plain).await, Outcome::Completed);
        assert_eq!(end(&engine, declined).await, Outcome::Completed);
        assert_eq!(end(&engine, lost).await, Outcome::Failed);
        // A host asks a run in the types of its steps.
        for (run, is_paid) in [(plain, true), (declined, false)] {
            let said = OrderFlow::said(&engine, run).await.unwrap();
            let payment = said.event::<Payment>("charge").unwrap().unwrap();
            assert_eq!(matches!(payment, Payment::Paid(_)), is_paid, "{payment:?}");
            assert!(said.input::<Order>().unwrap().id > 0);
            assert!(said.event::<Letter>("apologise").unwrap().is_none(), "it did not come there");
        }
        let unknown = OrderFlow::said(&engine, "run_0000000000001".parse().unwrap()).await.unwrap_err();
        assert_eq!(unknown.kind(), &ErrorKind::NotFound);
        // The third one's piece, payment and line are taken back.
        assert_eq!(store::books(&repo).await.unwrap(), [1, 2, 2, 2]);

        let last = begin(&engine, order(4, GOOD, "here")).await;
        assert_eq!(end(&engine, last).await, Outcome::Completed);
        let sold_out = begin(&engine, order(5, GOOD, "here")).await;
        assert_eq!(end(&engine, sold_out).await, Outcome::Completed);
        assert_eq!(
            store::books(&repo).await.unwrap(),
            [0, 3, 3, 4],
            "the fifth customer gets a letter and no book"
        );
        engine.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_orders_survive_workers_that_are_killed() {
    // Fewer kills than a step may lose workers, because each may hit the same steps.
    let (rounds, orders, kills) = if environment::soaks() { (20, 400, 8) } else { (1, 40, 4) };
    for _ in 0..rounds {
        for_each_database(async |db| crash_round(db, orders, kills).await).await;
    }
}

/// Workers are killed while they are at it; others go on. Each order is paid, booked and delivered once.
async fn crash_round(db: &TestDatabase, orders: u32, kills: u32) {
    let repo = shop(db, orders).await;
    let client = engine(&repo).without_workers().start().await.unwrap();
    let mut runs = Vec::new();
    for id in 0..orders {
        let run = begin(&client, order(id, if id % 2 == 0 { GOOD } else { BAD }, "here")).await;
        if id % 2 == 1 {
            OrderFlow::card(&Card(GOOD.to_owned())).unwrap().send(&client, run).await.unwrap();
        }
        runs.push(run);
    }
    let mut random = Random::from_environment("crash_orders");
    for _ in 0..kills {
        let before = progress(&repo).await;
        let worker = worker(db);
        // Once it has done something; where exactly it is then is left to chance.
        let more = 1 + i64::try_from(random.below(u64::from(orders * 2 / kills))).unwrap();
        let enough = (before + more).min(i64::from(orders) * 3);
        eventually("the worker has done something", async || progress(&repo).await >= enough).await;
        worker.kill();
    }
    let worker = worker(db);
    for run in runs {
        let ended = client.wait(run).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Completed, "{run}: {}", ended.reason);
    }
    worker.kill();
    let orders = i64::from(orders);
    assert_eq!(store::books(&repo).await.unwrap(), [0, orders, orders, orders]);
    repo.close().await;
}

fn worker(db: &TestDatabase) -> Victim {
    let mut command = Command::new(env!("CARGO_BIN_EXE_order-workflow"));
    command.args([db.url(), "work"]);
    Victim::spawn(command)
}

/// How much has been done, by what can be seen of it.
async fn progress(repo: &Repo) -> i64 {
    let [_, lines, payments, letters] = store::books(repo).await.unwrap();
    lines + payments + letters
}
