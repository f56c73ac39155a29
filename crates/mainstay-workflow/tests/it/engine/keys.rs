//! Which runs exclude each other.

use mainstay_workflow::{
    Definition, ErrorKind, Handlers, Node, Outcome, Scope, StartRequest, Unique, Workflow,
};
use serde_json::{Value, json};

use super::{on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p08_p17_o07_of_many_starts_with_one_key_one_wins() {
    on_each(async |builder, _| {
        let flow = Definition::new("keyed", 1)
            .unique(Unique { key: "order".to_owned(), scope: Scope::Workflow })
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let engine = builder.workflow(flow, Handlers::new()).start().await.unwrap();
        let request = || StartRequest::new("keyed", Value::Null).key("a17");
        let starts = (0..50).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.start(request()).await })
        });
        let mut won = Vec::new();
        let mut lost = Vec::new();
        for task in starts.collect::<Vec<_>>() {
            match soon(task).await.unwrap() {
                Ok(run) => won.push(run),
                Err(error) => match error.kind() {
                    ErrorKind::AlreadyRunning { run } => lost.push(*run),
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!((won.len(), lost.len()), (1, 49));
        assert!(lost.iter().all(|run| *run == won[0]));
        soon(engine.signal(won[0], "go", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(won[0])).await.unwrap().outcome, Outcome::Completed);
        // P17, O7: an ended run keeps its history, its key is free.
        assert_ne!(engine.start(request()).await.unwrap(), won[0]);
        soon(engine.stop()).await;
    })
    .await;
}

fn held(name: &str, version: u32, scope: Scope) -> Workflow {
    Definition::new(name, version)
        .unique(Unique { key: "order".to_owned(), scope })
        .node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_p16_runs_under_one_key_do_not_touch_each_other() {
    on_each(async |builder, _| {
        let none = Handlers::new;
        let builder = builder
            .workflow(held("one", 1, Scope::Workflow), none())
            .workflow(held("two", 1, Scope::Workflow), none());
        let builder = builder
            .workflow(held("both", 1, Scope::Version), none())
            .workflow(held("both", 2, Scope::Version), none());
        let builder = builder
            .workflow(held("umbrella", 1, Scope::Workflow), none())
            .workflow(held("umbrella", 2, Scope::Workflow), none());
        let builder = builder
            .current("umbrella", 1)
            .resolver("umbrella", |request| request.input()["beta"].as_bool()?.then_some(2));
        let engine = builder.start().await.unwrap();
        let start = async |name: &str, version: Option<u32>, input: Value| {
            let request = StartRequest::new(name, input).key("7");
            engine.start(version.map_or(request.clone(), |version| request.version(version))).await
        };
        let mut runs = Vec::new();
        for (name, version) in [("one", None), ("two", None), ("both", Some(1)), ("both", Some(2))] {
            runs.push(start(name, version, Value::Null).await.unwrap());
        }
        for run in &runs {
            engine.signal(*run, "go", Value::Null).await.unwrap();
            assert_eq!(soon(engine.wait(*run)).await.unwrap().outcome, Outcome::Completed);
        }
        // An umbrella's versions share the key; the explicit version comes before the resolver, and that before the current one.
        for (version, input, chosen) in
            [(None, json!({}), 1), (None, json!({"beta": true}), 2), (Some(1), json!({"beta": true}), 1)]
        {
            let run = start("umbrella", version, input).await.unwrap();
            assert_eq!(engine.control().show(run).await.unwrap().summary.version, chosen);
            let taken = start("umbrella", Some(2), Value::Null).await.unwrap_err();
            assert_eq!(taken.kind(), &ErrorKind::AlreadyRunning { run });
            engine.cancel(run, "next").await.unwrap();
            soon(engine.wait(run)).await.unwrap();
        }
        assert_eq!(
            start("umbrella", Some(3), Value::Null).await.unwrap_err().kind(),
            &ErrorKind::UnknownVersion
        );
        soon(engine.stop()).await;
    })
    .await;
}
