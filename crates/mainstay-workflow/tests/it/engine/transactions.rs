//! Steps and starts that commit with the host's own writes.

use mainstay_repo::{Batch, Expect, Repo, Row, Statement};
use mainstay_workflow::{
    Definition, Done, ErrorKind, Handlers, Node, Outcome, Retry, StartRequest, StepError,
};
use serde_json::{Value, json};

use super::{chain, noop, on_each, soon};

const ACCOUNTS: &str =
    "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))";

async fn balance(repo: &Repo) -> i64 {
    let row: Row = repo.read_one(Statement::new("SELECT balance FROM accounts WHERE id = 1")).await.unwrap();
    row.get("balance").unwrap()
}

async fn accounts(repo: &Repo) {
    repo.write(Statement::new(ACCOUNTS)).await.unwrap();
    repo.write(Statement::new("INSERT INTO accounts VALUES (1, 10)")).await.unwrap();
}

fn take(amount: i64) -> Statement {
    Statement::new("UPDATE accounts SET balance = balance - $1 WHERE id = 1 AND balance >= $1").bind(amount)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tx_steps_statements_commit_with_its_result_and_fail_alone() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let node = Node::tx("take", ["ok"]).retry(Retry::never()).on("ok", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().handler("take", async |cx| {
            let mut batch = Batch::new("take");
            batch.expect(Expect::ONE, take(cx.input().as_i64().unwrap_or(0)));
            Ok(Done::event("ok").batch(batch))
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        // Ten can take one each; the others fail by the condition, together with nobody.
        let runs = (0..25).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("take", json!(1))).await.unwrap();
                engine.wait(run).await.unwrap().outcome
            })
        });
        let mut completed = 0;
        for task in runs.collect::<Vec<_>>() {
            completed += usize::from(soon(task).await.unwrap() == Outcome::Completed);
        }
        assert_eq!((completed, balance(&repo).await), (10, 0));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interactive_tx_step_looks_before_it_writes() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let node = Node::tx("take", ["ok", "empty"]).on("ok", ["end"]).on("empty", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().tx("take", |cx, tx| {
            Box::pin(async move {
                let amount = cx.input().as_i64().unwrap_or(0);
                // FOR UPDATE is PostgreSQL's; SQLite has one writer anyway.
                let row: Row = tx
                    .read_one(Statement::new(
                        "UPDATE accounts SET balance = balance WHERE id = 1 RETURNING balance",
                    ))
                    .await?;
                let balance: i64 = row.get("balance")?;
                if balance < amount {
                    return Done::event("empty").output(&balance);
                }
                tx.write(take(amount)).await?;
                if amount == 7 {
                    return Err(StepError::fatal("seven is not given out"));
                }
                Done::event("ok").output(&(balance - amount))
            })
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        for (amount, outcome, left) in [
            (4, Outcome::Completed, 6),
            (3, Outcome::Completed, 3),
            (7, Outcome::Completed, 3),
            (3, Outcome::Completed, 0),
        ] {
            let run = engine.start(StartRequest::new("take", json!(amount))).await.unwrap();
            let ended = soon(engine.wait(run)).await.unwrap();
            assert_eq!((ended.outcome, balance(&repo).await), (outcome, left), "{amount} {ended:?}");
        }
        repo.write(Statement::new("UPDATE accounts SET balance = 10 WHERE id = 1")).await.unwrap();
        let run = engine.start(StartRequest::new("take", json!(7))).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, balance(&repo).await), (Outcome::Failed, 10), "rolled back");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_and_the_hosts_own_write_are_both_there_or_neither() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        let engine = builder
            .workflow(chain("chain", 2, |step| Node::task(step, ["ok"])), noop(2))
            .start()
            .await
            .unwrap();
        let mut tx = repo.begin().await.unwrap();
        tx.write(take(1)).await.unwrap();
        let lost = engine.start_in(&mut tx, StartRequest::new("chain", Value::Null)).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(engine.ended(lost).await.unwrap_err().kind(), &ErrorKind::NotFound);
        let mut tx = repo.begin().await.unwrap();
        tx.write(take(1)).await.unwrap();
        let run = engine.start_in(&mut tx, StartRequest::new("chain", Value::Null)).await.unwrap();
        tx.commit().await.unwrap();
        engine.nudge().unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(balance(&repo).await, 9);
        soon(engine.stop()).await;
    })
    .await;
}

/// Many transactions want one row: those that lose are tried again, and no attempt is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_are_in_each_others_way_are_no_fault_of_their_steps() {
    on_each(async |builder, repo| {
        accounts(&repo).await;
        repo.write(Statement::new("UPDATE accounts SET balance = 1000 WHERE id = 1")).await.unwrap();
        let node = Node::tx("take", ["ok"]).retry(Retry::never()).on("ok", ["end"]);
        let flow = Definition::new("take", 1).node(node).done("end").build().unwrap();
        let handlers = Handlers::new().tx("take", |_cx, tx| {
            Box::pin(async move {
                let row: Row =
                    tx.read_one(Statement::new("SELECT balance FROM accounts WHERE id = 1")).await?;
                let left: i64 = row.get::<i64>("balance")? - 1;
                tx.write(Statement::new("UPDATE accounts SET balance = $1 WHERE id = 1").bind(left)).await?;
                Ok("ok".into())
            })
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let runs = (0..20).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("take", Value::Null)).await.unwrap();
                engine.wait(run).await.unwrap()
            })
        });
        for task in runs.collect::<Vec<_>>() {
            let ended = soon(task).await.unwrap();
            assert_eq!(ended.outcome, Outcome::Completed, "{ended:?}");
        }
        assert_eq!(balance(&repo).await, 980, "none overwrote another's");
        soon(engine.stop()).await;
    })
    .await;
}
