//! What is too large is refused with one error on both databases, and what is at the limit is kept.

use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::{Value, json};

use super::support::{World, body};

/// A JSON text of so many bytes.
fn text(bytes: usize) -> Value {
    Value::from("x".repeat(bytes - 2))
}

#[track_caller]
fn too_large<T: std::fmt::Debug>(result: Result<T>, limit: usize) {
    let error = result.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TooLarge { size, limit: most, .. } if (*size, *most) == (limit + 1, limit)),
        "{error:?}"
    );
    assert!(error.to_string().contains("the most is"), "{error}");
}

#[tokio::test]
async fn starts_are_kept_at_their_limits_and_refused_beyond() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut full = world.start_with(text(MAX_INPUT_BYTES));
        full.attributes = text(MAX_ATTRIBUTES_BYTES);
        full.telemetry = text(MAX_TELEMETRY_BYTES);
        full.business_key = Some("k".repeat(MAX_KEY_BYTES));
        full.lane.queue = "q".repeat(MAX_NAME_BYTES).into();
        full.lane.fairness = Some("f".repeat(MAX_NAME_BYTES).into());
        let run = world.begin_with(full.clone()).await.meta.run;
        let (loaded, records) = world.store.load_with_history(&[run]).await.unwrap().remove(0);
        assert_eq!(loaded.meta.telemetry, full.telemetry);
        assert_eq!(plan::context(&records)["initial"], text(MAX_INPUT_BYTES));

        let refuse = async |change: &dyn Fn(&mut Start), limit: usize| {
            let mut start = full.clone();
            change(&mut start);
            too_large(
                world.store.start(&world.flow, vec![world.start_with(Value::Null), start]).await,
                limit,
            );
        };
        refuse(&|start| start.attributes = text(MAX_ATTRIBUTES_BYTES + 1), MAX_ATTRIBUTES_BYTES).await;
        refuse(&|start| start.telemetry = text(MAX_TELEMETRY_BYTES + 1), MAX_TELEMETRY_BYTES).await;
        refuse(&|start| start.business_key = Some("k".repeat(MAX_KEY_BYTES + 1)), MAX_KEY_BYTES).await;
        refuse(&|start| start.lane.queue = "q".repeat(MAX_NAME_BYTES + 1).into(), MAX_NAME_BYTES).await;
        let large = world.start_with(text(MAX_INPUT_BYTES + 1));
        too_large(world.store.start(&world.flow, vec![large]).await, MAX_INPUT_BYTES);
        assert_eq!(world.count("SELECT count(*) FROM wf_runs").await, 1);
    })
    .await;
}

#[tokio::test]
async fn results_and_signals_are_kept_at_their_limits_and_refused_beyond() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let head = world.begin().await;
        let input = Input::Succeeded {
            attempt: body("check", 1),
            event: "good".into(),
            targets: vec![],
            output: text(MAX_OUTPUT_BYTES + 1),
        };
        let mut commit = Commit::new(&head, world.now());
        too_large(commit.push(&world.flow, world.moved(&head, input)), MAX_OUTPUT_BYTES);
        world.commit(world.step(&head, "check", "good", text(MAX_OUTPUT_BYTES))).await;
        let run = head.meta.run;
        assert_eq!(world.send(world.signal(run, None, text(MAX_SIGNAL_BYTES))).await, Sent::Accepted);
        let letter = world.signal(run, None, text(MAX_SIGNAL_BYTES + 1));
        too_large(world.store.send(vec![letter]).await, MAX_SIGNAL_BYTES);
        let sender = "s".repeat(MAX_NAME_BYTES + 1);
        too_large(world.store.send(vec![world.signal(run, Some(&sender), json!(1))]).await, MAX_NAME_BYTES);
        let name = "n".repeat(MAX_NAMESPACE_BYTES);
        assert!(Store::open(&world.repo, &name).await.is_ok());
        too_large(Store::open(&world.repo, &format!("{name}n")).await, MAX_NAMESPACE_BYTES);
    })
    .await;
}

/// O5, O5b: whatever JSON can say comes back as it was, and no text becomes code.
#[tokio::test]
async fn o05_any_json_round_trips() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let odd = json!({
            "": null, "Elixir.Foo": [[], {}, [[1.5, -1, 0, true]]], "a\u{0}b".replace('\u{0}', "_"): "\u{1F600}\\u0041\"'%_",
            "at": "2026-01-01T00:00:00Z", "big": 9_007_199_254_740_993_i64, "small": 1e-7, "min": i64::MIN,
        });
        let head = world.begin_with(world.start_with(odd.clone())).await;
        let after = world.commit(world.step(&head, "check", "good", odd.clone())).await;
        assert_eq!(world.load(head.meta.run).await.state, after.state);
        let (_, records) = world.store.histories(&[head.meta.run]).await.unwrap().remove(0);
        let context = plan::context(&records);
        assert_eq!((&context["initial"], &context["steps"]["check"]), (&odd, &odd));
        // PostgreSQL cannot search by NUL, so neither database takes it in an input; a result may have it.
        let nul = json!({"text": "a\u{0}b"});
        let refused = world.store.start(&world.flow, vec![world.start_with(nul.clone())]).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Database(mainstay_repo::ErrorKind::InvalidInput)), "{refused:?}");
        world.commit(world.step(&after, "charge", "paid", nul.clone())).await;
        let (_, records) = world.store.histories(&[head.meta.run]).await.unwrap().remove(0);
        assert_eq!(plan::context(&records)["steps"]["charge"], nul);
    })
    .await;
}
