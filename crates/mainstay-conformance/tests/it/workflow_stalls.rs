//! Nodes that stand still for longer than their leases, as a process does that is stopped, or its machine: others take over, and what the first
//! ones answer late is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_repo::{Repo, Statement};
use mainstay_testkit::{PostgresDatabase, Random, pause};
use mainstay_workflow::store::Store;
use mainstay_workflow::{Fact, Fault, RunId};

use crate::support::soon;
use crate::workflows::{
    Told, ended, ended_of, kills, lines_of, numbers, prepare, settle, survived, worker_of,
};

/// A node that stands still for longer than its lease: another one takes over, and what the first one answers late is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_a_lease_of_a_node_that_stands_still() {
    let database = PostgresDatabase::create();
    let url = database.url();
    prepare(url).await;
    // Its handlers take long, so that many are under way when it stops.
    let slow = worker_of("trip", url, 20, 400, None);
    slow.wait_until("started runs", |lines| lines.len() > 20);
    pause(Duration::from_millis(150));
    let repo = soon(Repo::connect(url)).await.unwrap();
    let store = soon(Store::open(&repo, "default")).await.unwrap();
    let first = soon(store.nodes()).await.unwrap()[0].node;
    slow.signal("STOP");
    let other = worker_of("trip", url, 0, 0, None);
    soon(async {
        while lost(&repo, &store).await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let (before, said) = (ended_of(&slow), slow.lines_so_far());
    slow.signal("CONT");
    // It finds out that it was given up, begins another life, and goes on.
    slow.wait_until("ended runs in its second life", |lines| ended(lines) > before + 20);
    let nodes = soon(store.nodes()).await.unwrap();
    assert!(nodes.iter().all(|node| node.node != first || node.dead_at.is_some()), "its first life is over");
    assert_eq!(
        nodes.iter().filter(|node| node.dead_at.is_none()).count(),
        2,
        "it has another one: {nodes:?}"
    );
    let mut told = Told::default();
    let lines = slow.kill();
    told.hear(&lines);
    told.hear(&other.kill());
    let late = refused_as_lost(&store, &lines[said..]).await;
    assert!(late > 0, "of what it answered late, something was refused");
    println!("{late} late answers were refused");
    soon(repo.close()).await;
    settle(url, &told, 2).await;
}

/// One of two nodes after the other stands still, for less than its lease or for more, while the other one works on. In the end the same two
/// nodes end everything themselves: nobody comes who takes over what they may not know of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_leases_of_two_nodes_that_stand_still_by_turns() {
    let database = PostgresDatabase::create();
    let url = database.url();
    let mut random = Random::from_environment("crash_of_leases_of_two_nodes_that_stand_still_by_turns");
    prepare(url).await;
    let rests = tempfile::tempdir().unwrap();
    let rest = rests.path().join("rest");
    let nodes = [(); 2].map(|()| worker_of("trip", url, 20, 150, Some(&rest)));
    let rounds = kills(6, 400);
    for round in 0..rounds {
        let which = usize::try_from(random.below(2)).unwrap();
        // Long enough for handlers to be under way again.
        pause(Duration::from_millis(300 + random.below(300)));
        let before = ended_of(&nodes[which]);
        nodes[which].signal("STOP");
        // A lease lasts for a second: twice for longer in any case, else perhaps.
        pause(Duration::from_millis(if round < 2 { 2_500 } else { 400 + random.below(2_600) }));
        nodes[which].signal("CONT");
        nodes[which].wait_until("ended runs after it stood still", |lines| ended(lines) > before);
    }
    std::fs::write(&rest, "").unwrap();
    let mut told = Told::default();
    for node in &nodes {
        node.wait_until("its rest", |lines| lines.iter().any(|line| line == "resting"));
        told.hear(&lines_of(node));
    }
    survived(url, &told).await;
    let repo = soon(Repo::connect(url)).await.unwrap();
    let store = soon(Store::open(&repo, "default")).await.unwrap();
    let mut late = 0;
    for node in nodes {
        late += refused_as_lost(&store, &node.kill()).await;
    }
    assert!(late > 0, "of what was answered late, something was refused");
    let lost = lost(&repo, &store).await;
    println!(
        "{rounds} times a node stood still: {lost} attempts were counted as lost, {late} late answers were refused"
    );
    soon(repo.close()).await;
    settle(url, &told, 2).await;
}

/// How many moves were refused because the attempts that they answered had been counted as lost: another node's commit of that stands in the
/// place in the history where they belonged, and nothing stands in a history twice.
async fn refused_as_lost(store: &Store, lines: &[String]) -> usize {
    let refused: BTreeSet<(RunId, u64)> = lines
        .iter()
        .filter_map(|line| {
            let (run, seq) = line.strip_prefix("refused ")?.split_once(' ')?;
            Some((run.parse().unwrap(), seq.parse().unwrap()))
        })
        .collect();
    let runs: BTreeSet<RunId> = refused.iter().map(|(run, _)| *run).collect();
    let runs: Vec<RunId> = runs.into_iter().collect();
    let mut late = 0;
    for (run, history) in soon(store.histories(&runs)).await.unwrap() {
        late += history
            .iter()
            .filter(|record| refused.contains(&(run, record.seq)) && is_lost(&record.fact))
            .count();
        let (mut answered, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for record in &history {
            match &record.fact {
                Fact::AttemptFailed { attempt, .. } => {
                    assert!(answered.insert(attempt.to_string()), "{attempt} of {run} was answered twice");
                }
                Fact::Ended { step, .. } => {
                    assert!(ended.insert(step.to_string()), "{step} of {run} ended twice")
                }
                Fact::ItemSucceeded { step, item, .. } => {
                    assert!(
                        ended.insert(format!("{step} {item}")),
                        "item {item} of {step} of {run} ended twice"
                    );
                }
                _ => {}
            }
        }
    }
    late
}

fn is_lost(fact: &Fact) -> bool {
    matches!(fact, Fact::AttemptFailed { fault: Fault::Lost, .. })
}

/// How many attempts were counted as lost.
async fn lost(repo: &Repo, store: &Store) -> usize {
    let runs = soon(repo.read(Statement::new("SELECT id FROM wf_runs"))).await.unwrap();
    let histories = soon(store.histories(&numbers(&runs))).await.unwrap();
    let records = histories.iter().flat_map(|(_, history)| history);
    records.filter(|record| is_lost(&record.fact)).count()
}
