//! The typed front door: the same graph as the builder's, and handlers that read and say what their types say.

use std::time::Duration;

use mainstay_repo::{Batch, Statement};
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::typed::{Chosen, Transaction, TypedVersion, TypedWorkflow};
use mainstay_workflow::{
    Definition, Events, Join, Need, Node, Retry, Scope, StepContext, StepError, Unique, WorkflowSource, step,
    versions, workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: String,
    parcels: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    number: String,
}

#[derive(Debug, Events)]
enum Charged {
    Paid(Receipt),
    Declined,
}

#[derive(Debug, Events)]
enum Packed {
    Done(u32),
}

#[derive(Debug, Events)]
enum Booked {
    Done,
}

#[derive(Debug, Events)]
enum Sorted {
    Out,
    Odd,
}

/// Where parcels go.
#[derive(Debug, Clone, Copy)]
enum Lane {
    Fast,
    Slow,
}

mod steps {
    use super::*;

    #[step(retry = 3 linear 1s..1min, timeout = 30s, queue = "bank")]
    pub(super) async fn charge(_cx: &StepContext, order: &Order) -> Result<Charged, StepError> {
        Ok(if order.parcels.is_empty() {
            Charged::Declined
        } else {
            Charged::Paid(Receipt { number: order.id.clone() })
        })
    }

    #[step]
    pub(super) fn refund(_cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[step]
async fn pack(_cx: &StepContext, order: &Order) -> Result<Packed, StepError> {
    Ok(Packed::Done(u32::try_from(order.parcels.len()).unwrap()))
}

#[step(tx)]
async fn book(
    _cx: &StepContext,
    tx: &mut Transaction,
    receipt: &Receipt,
    packed: Option<&Packed>,
    approval: Option<&String>,
) -> Result<Booked, StepError> {
    let _ = (packed, approval);
    tx.write(Statement::new("INSERT INTO booking (receipt) VALUES (?)").bind(receipt.number.as_str()))
        .await?;
    Ok(Booked::Done)
}

#[step(tx)]
fn note(_cx: &StepContext, order: &Order) -> Result<(Booked, Batch), StepError> {
    let mut batch = Batch::new("note");
    batch.push(Statement::new("INSERT INTO note (id) VALUES (?)").bind(order.id.as_str()));
    Ok((Booked::Done, batch))
}

#[step]
fn parcels(_cx: &StepContext, order: &Order) -> Result<Vec<u32>, StepError> {
    Ok(order.parcels.clone())
}

#[step(timeout = 5s)]
fn label(_cx: &StepContext, parcel: &u32, order: &Order) -> Result<String, StepError> {
    Ok(format!("{}/{parcel}", order.id))
}

#[step]
fn sort(_cx: &StepContext, labels: &[String]) -> Result<Chosen<Sorted, Lane>, StepError> {
    Ok(if labels.is_empty() {
        Sorted::Odd.into()
    } else {
        Chosen::new(Sorted::Out, [Lane::Fast, Lane::Slow])
    })
}

workflow! {
    /// Everything that the grammar has.
    struct Everything = "everything" version 3;
    input Order;
    unique orderid per version = |order| order.id.clone();
    tags "sales", "eu";
    metadata { "team": "shop", "limits": { "eu": 3, "strict": true } };
    deadline 7d;

    step steps::charge(input) {
        retry 5 exponential 1s..60s;
        timeout 10s;
        undo steps::refund(charge.Paid?);
        Paid -> pack & approval;
        Declined -> cool;
        failed Broken -> cool;
    }
    step pack(input) { Done -> booking; }
    wait approval {
        signal approve(String) => Approved -> booking;
        signal skip => Skipped -> booking;
        after 3d => Late -> booking;
    }
    step booking: book(charge.Paid, pack?, approval.Approved?) {
        join 2;
        Done -> labels;
    }
    map labels: parcels(input) each label(item, input) {
        limit 4;
        Mapped -> sort;
        failed Unlabelled -> cool;
    }
    step sort(labels) {
        Out -> some Lane { Fast: express, Slow: cool };
        Odd -> cool;
    }
    child express: Everything with again(input) { join any; Completed -> written; failed Lost -> written; }
    timer cool 2h { Passed -> written; }
    step written: note(input) { retry never; Done -> end; }
    done end;
}

#[step]
fn again(_cx: &StepContext, order: &Order) -> Result<Order, StepError> {
    Ok(order.clone())
}

fn by_hand() -> Definition {
    let exponential =
        Retry { backoff: Backoff::Exponential, base_ms: 1_000, max_ms: 60_000, ..Retry::attempts(5) };
    Definition::new("everything", 3)
        .unique(Unique { key: "orderid".to_owned(), scope: Scope::Version })
        .tag("eu")
        .tag("sales")
        .metadata("team", json!("shop"))
        .metadata("limits", json!({"strict": true, "eu": 3}))
        .deadline(Duration::from_secs(7 * 86_400))
        .node(
            Node::task("charge", ["Paid", "Declined"])
                .on("Paid", ["pack", "approval"])
                .on("Declined", ["cool"])
                .on_failure("Broken", ["cool"])
                .retry(exponential)
                .timeout(Duration::from_secs(10))
                .queue("bank")
                .compensate("charge/undo"),
        )
        .node(Node::task("pack", ["Done"]).on("Done", ["booking"]))
        .node(
            Node::wait("approval")
                .signal("approve", "Approved")
                .signal("skip", "Skipped")
                .expires(Duration::from_secs(3 * 86_400), "Late")
                .on("Approved", ["booking"])
                .on("Skipped", ["booking"])
                .on("Late", ["booking"]),
        )
        .node(
            Node::tx("booking", ["Done"])
                .join(Join::AtLeast(2))
                .reads_after("charge", "Paid")
                .reads_if_any("pack")
                .reads_if_any("approval")
                .on("Done", ["labels"]),
        )
        .node(
            Node::map("labels", "labels/items", "labels/item")
                .mapped("Mapped")
                .limit(4)
                .need(Need::All)
                .timeout(Duration::from_secs(5))
                .on("Mapped", ["sort"])
                .on_failure("Unlabelled", ["cool"]),
        )
        .node(
            Node::task("sort", ["Out", "Odd"])
                .reads("labels")
                .choose_some("Out", ["express", "cool"])
                .on("Odd", ["cool"]),
        )
        .node(
            Node::child("express", "everything")
                .completed("Completed")
                .join(Join::Any)
                .on("Completed", ["written"])
                .on_failure("Lost", ["written"]),
        )
        .node(Node::timer("cool", Duration::from_secs(7_200), "Passed").on("Passed", ["written"]))
        .node(Node::tx("written", ["Done"]).retry(Retry::never()).on("Done", ["end"]))
        .done("end")
}

#[test]
fn both_front_doors_give_the_same_graph() {
    let version = Everything::version();
    let typed = version.workflow.unwrap();
    assert_eq!(typed.graph().canonical(), by_hand().build().unwrap().graph().canonical());
    let names = [
        "booking",
        "charge",
        "charge/undo",
        "express",
        "labels/item",
        "labels/items",
        "pack",
        "sort",
        "written",
    ];
    assert_eq!(version.handlers.names().collect::<Vec<_>>(), names);
}

#[test]
fn the_policies_of_a_step_are_those_of_its_function_unless_the_workflow_says_otherwise() {
    workflow! {
        struct Plain = "plain" version 1;
        input Order;
        step steps::charge(input) { Paid -> end; Declined -> end; }
        done end;
    }
    workflow! {
        struct Said = "plain" version 1;
        input Order;
        step steps::charge(input) {
            Paid -> end; Declined -> end; retry 4 constant 2s jitter 7 losses 3; timeout 1min; queue "smtp";
        }
        done end;
    }
    let typed = Plain::version().workflow.unwrap();
    let retry = Retry { backoff: Backoff::Linear, base_ms: 1_000, max_ms: 60_000, ..Retry::attempts(3) };
    let node = Node::task("charge", ["Paid", "Declined"]).on("Paid", ["end"]).on("Declined", ["end"]);
    let by_hand = Definition::new("plain", 1)
        .node(node.clone().retry(retry).timeout(Duration::from_secs(30)).queue("bank"))
        .done("end");
    assert_eq!(typed.graph().canonical(), by_hand.build().unwrap().graph().canonical());
    let pause = Duration::from_secs(2);
    let retry = Retry::attempts(4).with_backoff(Backoff::Constant, pause, pause).jitter(7).losses(3);
    let node = node.retry(retry).timeout(Duration::from_secs(60)).queue("smtp");
    let by_hand = Definition::new("plain", 1).node(node).done("end").build().unwrap();
    assert_eq!(Said::version().workflow.unwrap().graph().canonical(), by_hand.graph().canonical());
}

#[test]
fn a_start_has_the_business_key_and_the_input() {
    let order = Order { id: "a17".to_owned(), parcels: vec![1, 2] };
    let request = Everything::request(&order).unwrap();
    assert_eq!(request.workflow(), "everything");
    assert_eq!(request.input(), &json!({"id": "a17", "parcels": [1, 2]}));
    assert_eq!(
        request.clone(),
        mainstay_workflow::StartRequest::new("everything", request.input().clone()).key("a17")
    );
}

#[test]
fn signals_carry_what_the_waits_read() {
    let approve = Everything::approve(&"yes".to_owned()).unwrap();
    assert_eq!((approve.name(), approve.payload()), ("approve", &json!("yes")));
    assert_eq!(Everything::skip().payload(), &json!(null));
}

#[test]
fn an_umbrella_has_all_its_versions() {
    workflow! {
        struct First = "mail" version 1;
        input Order;
        step pack(input) { Done -> end; }
        done end;
    }
    workflow! {
        struct Second = "mail" version 2;
        input Order;
        unique orderid = |order| order.id.as_str();
        step pack(input) { Done -> rest; }
        timer rest 1min { Passed -> end; }
        done end;
    }
    versions! {
        /// Mail.
        struct Mail = "mail" { 1 => First, 2 => Second } current 1
    }
    let versions = Mail::versions().into_iter().map(|version| version.workflow.unwrap().graph().version);
    assert_eq!(versions.collect::<Vec<_>>(), [1, 2]);
    assert_eq!((Mail::current(), Mail::NAME), (Some(1), "mail"));
    assert_eq!(
        Mail::key(&Order { id: "a".to_owned(), parcels: Vec::new() }),
        None,
        "the current version decides"
    );
}

#[tokio::test]
async fn a_step_stays_a_function() {
    // It can be named and called like any other; what it needs is in its arguments.
    let charge = steps::charge;
    let _: &dyn Fn(&'static StepContext, &'static Order) -> _ = &charge;
}
