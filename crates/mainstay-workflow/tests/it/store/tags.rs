//! Runs are found by the tags of the workflow that they are pinned to.

use mainstay_core::{Cursor, PageSize};
use mainstay_repo::Target;
use mainstay_testkit::for_each_database;
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::Value;

use super::support::World;

impl World {
    async fn tagged_run(&self, name: &str, version: u32, tags: &[&str]) -> RunId {
        let flow = tags.iter().fold(Definition::new(name, version), |flow, tag| flow.tag(tag));
        let flow = flow.node(Node::task("a", ["ok"]).on("ok", ["end"])).done("end").build().unwrap();
        let mut start = self.start_with(Value::Null);
        start.definition = self.store.define(&flow, self.now()).await.unwrap();
        start.transition = start_of(&flow, self);
        match self.store.start(&flow, vec![start]).await.unwrap().remove(0) {
            Started::New(head) => head.meta.run,
            other => panic!("{other:?}"),
        }
    }

    async fn tagged(&self, filter: &Filter, order: Order) -> Vec<RunId> {
        let page = self.store.list(filter, order, PageSize::DEFAULT, None).await.unwrap();
        page.items.iter().map(|run| run.run).collect()
    }
}

fn start_of(flow: &Workflow, world: &World) -> Transition {
    mainstay_workflow::start(flow, Value::Null, 1, world.now()).unwrap()
}

#[tokio::test]
async fn runs_are_found_by_the_tags_of_their_workflow() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let plain = world.tagged_run("plain", 1, &[]).await;
        let old = world.tagged_run("orders", 1, &["sales"]).await;
        let new = world.tagged_run("orders", 2, &["sales", "eu"]).await;
        let later = world.tagged_run("orders", 3, &[]).await;
        let mail = world.tagged_run("mail", 1, &["eu", "sale", "it's"]).await;
        let f = Filter::new;
        let cases = [
            (f().tag("sales"), vec![old, new]),
            (f().tag("eu"), vec![new, mail]),
            (f().tag("eu").tag("sales"), vec![new]),
            (f().tag("it's"), vec![mail]),
            (f().tag("eu").tag("nobody has it"), vec![]),
            (f().tag("SALES"), vec![]),
            (f().tag("sales").workflow("orders").workflow_version(1), vec![old]),
            (f().tag("eu").workflow_family("ord"), vec![new]),
            (f().tag("sales").status(Status::Failed), vec![]),
            (f().tag("sales").status(Status::Running), vec![old, new]),
            (f().tag("sales").id(&new.to_string()), vec![new]),
            (f().tag("sales").id(&later.to_string()), vec![]),
            (f(), vec![plain, old, new, later, mail]),
        ];
        for (filter, expected) in cases {
            assert_eq!(world.tagged(&filter, Order::Oldest).await, expected, "{filter:?}");
            let mut newest = expected;
            newest.reverse();
            assert_eq!(world.tagged(&filter, Order::Newest).await, newest, "{filter:?}");
        }
        let parsed = Filter::parse([("tag", "eu"), ("tag", "sales")]).unwrap();
        assert_eq!(parsed, f().tag("eu").tag("sales"), "each of them has to hold");
    })
    .await;
}

/// Pages follow one another over several workflows with a tag; and a tag that very many workflows have is found too.
#[tokio::test]
async fn pages_go_over_all_workflows_with_a_tag() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut all = Vec::new();
        for round in 0..3 {
            for workflow in ["a", "b", "c"] {
                all.push(world.tagged_run(workflow, 1, &["t"]).await);
                world.tagged_run("other", round + 1, &[]).await;
            }
        }
        let read = async |expected: &[RunId]| {
            let (mut found, mut after): (Vec<RunId>, Option<Cursor>) = (Vec::new(), None);
            loop {
                let filter = Filter::new().tag("t");
                let size = PageSize::clamped(2);
                let page = world.store.list(&filter, Order::Oldest, size, after.as_ref()).await.unwrap();
                found.extend(page.items.iter().map(|run| run.run));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected);
        };
        read(&all).await;
        for many in 0..40 {
            all.push(world.tagged_run(&format!("many{many}"), 1, &["t"]).await);
        }
        read(&all).await;
    })
    .await;
}

/// Definitions that were kept before there were tags to look up are found by them all the same.
#[tokio::test]
async fn tags_of_earlier_definitions_are_known_after_the_migration() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let run = world.tagged_run("orders", 1, &["sales", "ä \"b\""]).await;
        world.tagged_run("plain", 1, &[]).await;
        let migrator = world.repo.migrator();
        migrator.down(&COMPONENT, 2).await.unwrap();
        migrator.migrate(&COMPONENT, Target::Latest).await.unwrap();
        for tag in ["sales", "ä \"b\""] {
            assert_eq!(world.tagged(&Filter::new().tag(tag), Order::Newest).await, [run], "{tag}");
        }
    })
    .await;
}
