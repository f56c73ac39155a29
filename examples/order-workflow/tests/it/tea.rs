//! The first program of the book, killed in each of its steps.

use std::process::Command;

use mainstay_repo::{Repo, Row, Statement};
use mainstay_testkit::{TestDatabase, Victim, for_each_database};

fn tea(db: &TestDatabase) -> Victim {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tea"));
    command.arg(db.url());
    Victim::spawn(command)
}

fn says(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_tea_leaves_one_cup() {
    for_each_database(async |db| {
        // On PostgreSQL each death costs the ten seconds after which another process takes over.
        let deaths = ["the water is on the stove", "the leaves are in the pot"];
        let spared = usize::from(db.url().starts_with("postgres"));
        for step in deaths.into_iter().skip(spared) {
            let program = tea(db);
            program.wait_until(step, |lines| says(lines, step));
            program.kill();
        }
        let program = tea(db);
        program.wait_until("the end", |lines| says(lines, "cups so far"));
        let lines = program.kill();
        assert!(says(&lines, "goes on"), "it is the run of the first program: {lines:?}");
        assert!(!says(&lines, "stove"), "the water is not boiled again: {lines:?}");
        assert!(says(&lines, "completed, cups so far: 1"), "{lines:?}");
        let repo = Repo::connect(db.url()).await.unwrap();
        let runs: Row = repo.read_one(Statement::new("SELECT count(*) AS runs FROM wf_runs")).await.unwrap();
        assert_eq!(runs.get::<i64>("runs").unwrap(), 1);
        repo.close().await;
    })
    .await;
}
