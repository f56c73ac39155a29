//! Keys take turns, however many tasks one of them has.

use mainstay_testkit::for_each_database;
use serde_json::{Value, json};

use super::support::World;

impl World {
    async fn crowd(&self, key: &str, count: usize) {
        for _ in 0..count {
            let mut start = self.start_with(json!({"key": key}));
            start.lane.fairness = Some(key.into());
            start.telemetry = Value::from(key);
            self.begin_with(start).await;
        }
    }

    /// Whose tasks come next.
    async fn turns(&self, count: u32) -> String {
        let mut turns = String::new();
        for task in self.claim(self.node, "default", count).await {
            let loaded = self.store.load(&[task.key.run]).await.unwrap().remove(0);
            turns.push_str(loaded.meta.telemetry.as_str().unwrap());
        }
        turns
    }
}

#[tokio::test]
async fn one_that_comes_later_does_not_wait_for_a_crowd() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.crowd("a", 6).await;
        world.crowd("b", 2).await;
        let turns = world.turns(4).await;
        let count = |key| turns.matches(key).count();
        assert_eq!((count("a"), count("b")), (2, 2), "{turns}");
        // One that was not there has no claim to the turns it missed.
        world.crowd("c", 4).await;
        let turns = world.turns(4).await;
        let count = |key| turns.matches(key).count();
        assert_eq!((count("a"), count("c")), (2, 2), "{turns}");
        assert_eq!(world.turns(9).await.len(), 4);
        // Turns that are over are not remembered for ever.
        assert_eq!(world.count("SELECT count(*) FROM wf_fairness WHERE fairness <> ''").await, 3);
        assert_eq!(world.store.prune(world.now(), 9).await.unwrap(), 0);
        assert_eq!(world.count("SELECT count(*) FROM wf_fairness WHERE fairness <> ''").await, 0);
    })
    .await;
}
