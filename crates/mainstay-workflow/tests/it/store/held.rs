//! What a life keeps from the others for a while is theirs when that life is over, at once and as it was.

use mainstay_repo::Statement;
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

/// How a life ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It was silent for too long.
    Buried,
    /// Another process has the database now.
    Replaced,
    /// It stopped in order.
    Left,
}

impl World {
    /// A run with a timer that is due, one with a letter that is, and one whose letter is for later.
    async fn due(&self) -> [RunId; 3] {
        let timed = self.waiting().await.meta.run;
        self.clock.advance(61 * SECOND);
        let told = self.begin().await.meta.run;
        self.send(self.signal(told, Some("a"), json!(1))).await;
        let later = self.begin().await.meta.run;
        let mut letter = self.signal(later, None, json!(1));
        letter.due = self.now().saturating_add(SECOND);
        self.send(letter).await;
        [timed, told, later]
    }

    async fn ends(&self, node: NodeId, end: End) {
        match end {
            End::Buried => {
                self.silence(node, 60).await;
                assert_eq!(self.store.bury(10 * SECOND).await.unwrap(), 1);
            }
            End::Replaced => drop(self.store.join("next", Takeover::Everyone).await.unwrap()),
            End::Left => self.store.leave(node).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn what_a_dead_life_held_is_due_at_once() {
    for end in [End::Buried, End::Replaced, End::Left] {
        for_each_database(async |database| {
            let world = World::new(database).await;
            let [timed, told, later] = world.due().await;
            let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
            let wake = async |node| {
                let now = world.now();
                world.store.wake(node, now, 30 * SECOND, 9, &[world.definition]).await.unwrap()
            };
            assert_eq!(wake(dying).await, [timed, told]);
            assert_eq!(wake(world.node).await, [], "they are held");
            world.ends(dying, end).await;
            assert_eq!(wake(world.node).await, [timed, told], "{end:?}");
            world.clock.advance(SECOND);
            assert_eq!(wake(world.node).await, [later], "{end:?}: not before its time");
        })
        .await;
    }
}

/// What was read while it was held is not told again, and a timer that was set anew stands for its own time.
#[tokio::test]
async fn what_was_taken_care_of_does_not_come_back() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let [timed, told, _] = world.due().await;
        let dying = world.store.join("two", Takeover::Nobody).await.unwrap();
        let woken = world.store.wake(dying, world.now(), 30 * SECOND, 9, &[world.definition]).await.unwrap();
        assert_eq!(woken, [timed, told]);
        assert_eq!(world.read_mail(told).await.state.mailbox().len(), 1);
        let head = world.load(timed).await;
        assert!(world.commit(world.commit_of(&head, Input::Tick)).await.state.is_ended());
        world.ends(dying, End::Buried).await;
        assert_eq!(world.wake().await, []);
        assert_eq!(world.next_due().await, Some(world.now().saturating_add(SECOND)), "the later letter");

        let head = world.waiting().await;
        let dying = world.store.join("three", Takeover::Nobody).await.unwrap();
        world.clock.advance(61 * SECOND);
        world.store.wake(dying, world.now(), 30 * SECOND, 9, &[world.definition]).await.unwrap();
        world.commit(world.commit_of(&head, Input::Pause)).await;
        let timer = "SELECT count(*) FROM wf_timers WHERE held_by IS NOT NULL";
        let held = world.count(timer).await;
        world.repo.write(Statement::new("DELETE FROM wf_mail")).await.unwrap();
        world.ends(dying, End::Buried).await;
        assert_eq!((held, world.count(timer).await), (0, 0));
    })
    .await;
}
