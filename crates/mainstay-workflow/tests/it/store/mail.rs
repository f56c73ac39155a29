//! Letters to runs: kept until a commit has read them, told apart by their sender, bounded.

use mainstay_repo::Statement;
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

/// O8: a signal before the wait is kept, and wakes nobody twice.
#[tokio::test]
async fn o08_a_signal_before_the_wait_is_kept() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let run = head.meta.run;
        assert_eq!(world.send(world.signal(run, None, json!("early"))).await, Sent::Accepted);
        assert_eq!(world.wake().await, [run]);
        assert!(world.wake().await.is_empty());
        let mut head = world.read_mail(run).await;
        assert_eq!(head.state.mailbox().len(), 1);
        assert_eq!(world.next_due().await, None);
        for (step, event) in [("check", "good"), ("charge", "paid"), ("pack", "packed"), ("meet", "met")] {
            head = world.go(&head, step, event).await;
        }
        assert_eq!(head.state.status(), Status::Completed);
        assert_eq!(world.count("SELECT count(*) FROM wf_mail").await, 0);
        let (_, records) = world.store.histories(&[run]).await.unwrap().remove(0);
        assert_eq!(plan::context(&records)["steps"]["hear"], json!("early"));
    })
    .await;
}

#[tokio::test]
async fn a_letter_nobody_took_care_of_wakes_again() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.waiting().await.meta.run;
        let mut letter = world.signal(run, None, json!(1));
        letter.due = world.now().saturating_add(SECOND);
        world.send(letter).await;
        assert!(world.wake().await.is_empty(), "its sender's own node has the first turn");
        assert_eq!(world.store.mail(&[run]).await.unwrap().len(), 1, "which sees it at once");
        world.clock.advance(SECOND);
        assert_eq!(world.wake().await, [run]);
        world.clock.advance(30 * SECOND);
        assert_eq!(world.wake().await, [run]);
        assert_eq!(world.read_mail(run).await.state.status(), Status::Completed);
        world.clock.advance(60 * SECOND);
        assert!(world.wake().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_senders_repetition_changes_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.begin().await.meta.run;
        let other = world.begin().await.meta.run;
        let letters = ["a", "b", "a"].map(|sender| world.signal(run, Some(sender), json!(sender)));
        let sent = world.store.send(letters.to_vec()).await.unwrap();
        assert_eq!(sent, [Sent::Accepted, Sent::Accepted, Sent::Duplicate]);
        assert_eq!(world.send(world.signal(other, Some("a"), json!(1))).await, Sent::Accepted);
        let mut head = world.read_mail(run).await;
        assert_eq!(head.state.mailbox().len(), 2);
        assert_eq!(
            world.send(world.signal(run, Some("a"), json!(1))).await,
            Sent::Duplicate,
            "though it was read"
        );
        for (step, event) in [("check", "good"), ("charge", "paid"), ("pack", "packed"), ("meet", "met")] {
            head = world.go(&head, step, event).await;
        }
        assert_eq!(head.state.status(), Status::Completed);
        assert_eq!(
            world.send(world.signal(run, Some("a"), json!(1))).await,
            Sent::Duplicate,
            "though it was taken"
        );
        assert_eq!(world.send(world.signal(run, Some("c"), json!(1))).await, Sent::Ended);
    })
    .await;
}

#[tokio::test]
async fn a_mailbox_has_a_bound_that_commands_do_not_share() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.waiting().await.meta.run;
        let letter = |at: u32| world.signal(run, None, json!(at));
        let sent = world.store.send((0..MAX_MAILBOX).map(letter).collect()).await.unwrap();
        assert!(sent.iter().all(|sent| *sent == Sent::Accepted));
        assert_eq!(world.send(letter(0)).await, Sent::Full);
        let pause = world.letter(run, None, Message::Pause);
        assert_eq!(world.send(pause).await, Sent::Accepted);
        // Read, but not taken by a wait: they still count.
        let loaded = world.store.load(&[run]).await.unwrap().remove(0);
        assert_eq!(loaded.mail.len(), MAX_MAILBOX as usize + 1);
        assert!(matches!(loaded.mail.last().unwrap().message, Message::Pause));
        let (head, mail) = loaded.into_head(&world.flow).unwrap();
        let first = &mail[0];
        let mut commit = Commit::new(&head, world.now());
        commit.read(first);
        commit.push(&world.flow, world.moved(&head, first.message.clone().into_input())).unwrap();
        assert_eq!(world.commit(commit).await.state.status(), Status::Completed);
        world.store.settle(&[], &mail[1..]).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM wf_mail").await, 0);

        let head = world.begin().await;
        let run = head.meta.run;
        let letter = |at: u32| world.signal(run, None, json!(at));
        world.store.send((0..3).map(letter).collect()).await.unwrap();
        assert_eq!(world.read_mail(run).await.state.mailbox().len(), 3);
        let sent = world.store.send((3..MAX_MAILBOX + 1).map(letter).collect()).await.unwrap();
        assert_eq!(sent.iter().filter(|sent| **sent == Sent::Full).count(), 1);
    })
    .await;
}

/// Each goes into the history whole: who sends them without end is told, whatever else waits in the mail.
#[tokio::test]
async fn commands_have_a_bound_of_their_own() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.waiting().await.meta.run;
        let letter = |at: u32| {
            let which = [Message::Cancel { reason: at.to_string() }, Message::Pause, Message::Resume];
            world.letter(run, None, which[at as usize % 3].clone())
        };
        world.send(world.signal(run, None, json!({"is": "pause"}))).await;
        let sent = world.store.send((0..MAX_COMMANDS).map(letter).collect()).await.unwrap();
        assert!(sent.iter().all(|sent| *sent == Sent::Accepted), "{sent:?}");
        for at in 0..3 {
            assert_eq!(world.send(letter(at)).await, Sent::TooManyCommands);
        }
        let refused =
            Control::of(world.store.clone(), std::sync::Arc::clone(&world.clock) as _).pause(run).await;
        let refused = refused.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::MailboxFull);
        assert!(refused.to_string().contains("100 cancels, pauses and resumes"), "{refused}");
        assert_eq!(world.send(world.signal(run, None, json!(1))).await, Sent::Accepted);
        // Once they are read they count no more.
        let mail = world.store.load(&[run]).await.unwrap().remove(0).mail;
        world.store.settle(&[], &mail[..2]).await.unwrap();
        assert_eq!(world.send(letter(1)).await, Sent::Accepted);
        assert_eq!(world.send(letter(1)).await, Sent::TooManyCommands);
    })
    .await;
}

#[tokio::test]
async fn a_letter_in_a_transaction_shares_its_fate() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.waiting().await.meta.run;
        let letter = world.signal(run, Some("x"), json!(1));
        let mut tx = world.repo.begin().await.unwrap();
        assert_eq!(world.store.send_in(&mut tx, &letter).await.unwrap(), Sent::Accepted);
        assert_eq!(world.store.send_in(&mut tx, &letter).await.unwrap(), Sent::Duplicate);
        tx.rollback().await.unwrap();
        assert!(world.wake().await.is_empty());
        let mut tx = world.repo.begin().await.unwrap();
        tx.write(Statement::new("CREATE TABLE host (id bigint)")).await.unwrap();
        world.store.send_in(&mut tx, &letter).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.wake().await, [run]);
        assert_eq!(world.read_mail(run).await.state.status(), Status::Completed);
    })
    .await;
}

/// P6: a cancel goes to the run, not around it; what comes later finds an ended run.
#[tokio::test]
async fn p06_a_cancel_is_a_letter_like_any_other() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.waiting().await.meta.run;
        world.send(world.letter(run, None, Message::Cancel { reason: "enough".into() })).await;
        assert_eq!(world.read_mail(run).await.state.status(), Status::Cancelled);
        assert_eq!(world.send(world.signal(run, None, json!(1))).await, Sent::Ended);
        let nowhere: RunId = "run_0000000000001".parse().unwrap();
        assert_eq!(world.send(world.signal(nowhere, None, json!(1))).await, Sent::NotFound);
    })
    .await;
}

/// Each node is given what wakes the runs that it can move: nothing else, and of that at most so much, the earliest first.
#[tokio::test]
async fn a_node_is_woken_for_its_own_definitions() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (now, hold) = (world.now(), 30 * SECOND);
        let other = Definition::new("other", 1)
            .node(Node::timer("rest", 61 * SECOND, "over").on("over", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let foreign = world.store.define(&other, now).await.unwrap();
        let start = Start {
            definition: foreign,
            transition: mainstay_workflow::start(&other, json!(1), 7, now).unwrap(),
            ..world.start_with(json!(1))
        };
        let rests =
            super::support::new(world.store.start(&other, vec![start]).await.unwrap().remove(0)).meta.run;
        let waits = [world.waiting().await.meta.run, world.waiting().await.meta.run];
        let third = world.begin().await.meta.run;
        world.clock.advance(59 * SECOND);
        world.send(world.signal(third, None, json!(1))).await;
        let (mine, all) = ([world.definition], [world.definition, foreign]);
        let next = async |after, definitions: &[DefinitionId]| {
            world.store.next_due(after, definitions).await.unwrap()
        };
        assert_eq!(next(now, &[foreign]).await, Some(now.saturating_add(61 * SECOND)));
        assert_eq!(next(now, &mine).await, Some(world.now()));
        assert_eq!(
            next(world.now(), &mine).await,
            Some(now.saturating_add(60 * SECOND)),
            "after what is due"
        );
        assert_eq!(next(now, &[]).await, None);
        world.clock.advance(2 * SECOND);
        let wake = async |limit, definitions: &[DefinitionId]| {
            world.store.wake(world.node, world.now(), hold, limit, definitions).await.unwrap()
        };
        assert_eq!(wake(9, &[]).await, []);
        assert_eq!(wake(9, &[foreign]).await, [rests]);
        let mut expected = vec![waits[0], waits[1], third];
        expected.sort_unstable();
        assert_eq!(wake(9, &mine).await, expected);
        assert_eq!(wake(9, &all).await, [], "they are held");
        world.clock.advance(hold);
        assert_eq!(wake(2, &all).await.len(), 3, "two timers and a letter");
        assert_eq!(wake(2, &all).await, [rests], "which was the latest");
    })
    .await;
}

/// The end of a child is told to a parent that is open, and to nobody else.
#[tokio::test]
async fn a_child_tells_its_end_to_a_parent_that_has_not_ended() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        for (is_open, letters) in [(false, 0), (true, 1)] {
            let parent = world.begin().await;
            let attempt = super::support::body("check", 1);
            let start = Start {
                parent: Some(Parent { run: parent.meta.run, attempt }),
                ..world.start_with(json!(1))
            };
            let child = world.begin_with(start).await;
            if !is_open {
                world.go(&parent, "check", "bad").await;
                assert!(world.store.delete(parent.meta.run).await.unwrap());
            }
            assert_eq!(world.go(&child, "check", "bad").await.state.status(), Status::Completed);
            assert_eq!(
                world.count("SELECT count(*) FROM wf_mail").await,
                letters,
                "the parent is open: {is_open}"
            );
        }
    })
    .await;
}
