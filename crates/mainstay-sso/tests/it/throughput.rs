//! How fast logins are: run by hand with `--release -- --ignored --nocapture throughput`.

use std::sync::Arc;
use std::time::Instant;

use mainstay_testkit::TestDatabase;

use crate::support::World;

const CALLERS: usize = 64;
const LOGINS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres()] {
        let world = Arc::new(World::new(&database).await);
        let connection = world.enabled().await;
        let began = Instant::now();
        let starts = (0..CALLERS).map(|_| {
            let (world, connection) = (Arc::clone(&world), connection.clone());
            tokio::spawn(async move {
                let mut all = Vec::with_capacity(LOGINS);
                for _ in 0..LOGINS {
                    all.push(world.start(&connection).await);
                }
                all
            })
        });
        let mut work = Vec::new();
        for task in starts.collect::<Vec<_>>() {
            work.push(task.await.unwrap());
        }
        let starting = began.elapsed();
        let work: Vec<Vec<_>> = work
            .into_iter()
            .map(|all| all.into_iter().map(|started| (world.answer(&started), started)).collect())
            .collect();
        let began = Instant::now();
        let tasks: Vec<_> = work
            .into_iter()
            .map(|all| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    for (response, started) in all {
                        world.finish(&started, &response).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let finishing = began.elapsed();
        let total = (CALLERS * LOGINS) as f64;
        println!(
            "{:?}: {:.0} starts/s, {:.0} logins/s",
            world.repo.dialect(),
            total / starting.as_secs_f64(),
            total / finishing.as_secs_f64()
        );
    }
}
