//! How fast logins are: run by hand with `--release -- --ignored --nocapture throughput`.

use std::sync::Arc;
use std::time::Instant;

use mainstay_saml::idp::IdentityProvider;
use mainstay_testkit::TestDatabase;

use crate::support::World;

const CALLERS: usize = 64;
const LOGINS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres()] {
        let mut world = World::new(&database).await;
        let now = mainstay_core::Clock::now(&*world.clock);
        let kind = mainstay_saml::KeyKind::Rsa(2048);
        world.idp =
            IdentityProvider::generate("https://idp.test", "https://idp.test/sso", kind, now).unwrap();
        let world = Arc::new(world);
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
        let (began, used) = (Instant::now(), cpu_seconds());
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
        let used = cpu_seconds() - used;
        let total = (CALLERS * LOGINS) as f64;
        println!(
            "{:?}: {:.0} starts/s, {:.0} logins/s, {:.0} µs of CPU a login",
            world.repo.dialect(),
            total / starting.as_secs_f64(),
            total / finishing.as_secs_f64(),
            used * 1e6 / total
        );
    }
}

/// The processor time of this process so far, which the machine's other work does not change much.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
