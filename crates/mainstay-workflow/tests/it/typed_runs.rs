//! Typed workflows as they run, in memory: what functions are given, and what becomes of what they return.

use std::sync::{Arc, Mutex};

use mainstay_workflow::plan::Fact;
use mainstay_workflow::testing::TestKit;
use mainstay_workflow::typed::{Chosen, TypedWorkflow};
use mainstay_workflow::{Events, RunId, Status, StepContext, StepError, step, workflow};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    id: String,
    parcels: Vec<u32>,
}

#[derive(Debug, Events)]
enum Price {
    Priced(u32),
    Free,
}

#[derive(Debug, Events)]
enum Sorted {
    Out(usize),
    Odd,
}

#[derive(Debug, Events)]
enum Said {
    Said(String),
}

#[derive(Debug)]
enum Lane {
    Fast,
    Slow,
}

/// What undoing was given, shared with the test.
#[derive(Default, Clone)]
struct Undone(Arc<Mutex<Vec<Option<u32>>>>);

#[step]
fn price(_cx: &StepContext, order: &Order) -> Result<Price, StepError> {
    match order.id.as_str() {
        "broken" => Err(StepError::fatal("no scales")),
        "free" => Ok(Price::Free),
        _ => Ok(Price::Priced(10 * u32::try_from(order.parcels.len()).unwrap())),
    }
}

#[step]
async fn unprice(cx: &StepContext, price: Option<&u32>) -> Result<(), StepError> {
    cx.state::<Undone>()?.0.lock().unwrap().push(price.copied());
    Ok(())
}

#[step]
fn parcels(_cx: &StepContext, order: &Order, price: &u32) -> Result<Vec<(u32, u32)>, StepError> {
    Ok(order.parcels.iter().map(|parcel| (*parcel, *price)).collect())
}

#[step]
async fn label(_cx: &StepContext, parcel: &(u32, u32), order: &Order) -> Result<String, StepError> {
    Ok(format!("{}/{} for {}", order.id, parcel.0, parcel.1))
}

#[step]
fn sort(
    _cx: &StepContext,
    labels: &[String],
    approved: Option<&String>,
) -> Result<Chosen<Sorted, Lane>, StepError> {
    let out =
        Sorted::Out(labels.iter().filter(|label| label.starts_with("a/") && label.ends_with("0")).count());
    Ok(match (labels, approved.map(String::as_str)) {
        ([], _) => Sorted::Odd.into(),
        (_, Some("both")) => Chosen::new(out, [Lane::Fast, Lane::Slow]),
        (_, Some("astray")) => Chosen::new(Sorted::Odd, [Lane::Slow]),
        _ => Chosen::new(out, [Lane::Slow]),
    })
}

#[step]
fn stamp_this(_cx: &StepContext, order: &Order, labels: &[String]) -> Result<Order, StepError> {
    Ok(Order { id: format!("{}{}", order.id, labels.len()), parcels: Vec::new() })
}

#[step]
fn stamp(cx: &StepContext, order: &Order) -> Result<Said, StepError> {
    Ok(Said::Said(format!("stamped {} under {:?}", order.id, cx.key())))
}

#[step]
fn note(
    _cx: &StepContext,
    order: &Order,
    price: Option<&Price>,
    number: Option<&u32>,
    sorted: Option<&Sorted>,
    stamped: Option<&String>,
) -> Result<Said, StepError> {
    if order.id == "lost" {
        return Err(StepError::fatal("nobody writes to them"));
    }
    Ok(Said::Said(format!("{price:?} {number:?} {sorted:?} {stamped:?}")))
}

workflow! {
    struct Post = "post" version 1;
    input Order;
    unique letter = |order| &order.id;
    step stamp(input) { Said -> end; }
    done end;
}

workflow! {
    struct Parcels = "parcels" version 1;
    input Order;
    unique id = |order| &order.id;

    step price(input) {
        undo unprice(price.Priced?);
        Priced -> labels & approval;
        Free -> note;
        failed Broken -> note;
    }
    map labels: parcels(input, price.Priced) each label(item, input) {
        limit 2;
        Mapped -> sort;
    }
    wait approval {
        signal approve(String) => Approved -> sort;
        signal skip => Skipped -> sort;
        after 3d => Late -> sort;
    }
    step sort(labels, approval.Approved?) {
        Out -> some Lane { Fast: express, Slow: slow };
        Odd -> note;
    }
    child express: Post with stamp_this(input, labels) { Completed -> note; }
    timer slow 1h { Passed -> note; }
    step note(input, price?, price.Priced?, sort?, express?) { Said -> end; }
    done end;
}

fn kit() -> TestKit {
    kit_with(Undone::default())
}

fn kit_with(undone: Undone) -> TestKit {
    TestKit::builder().register::<Parcels>().register::<Post>().state(undone).build().unwrap()
}

fn begin(kit: &mut TestKit, id: &str, parcels: &[u32]) -> RunId {
    kit.start(Parcels::request(&Order { id: id.to_owned(), parcels: parcels.to_vec() }).unwrap()).unwrap()
}

/// An order and what is approved in, what the last step saw out.
async fn check(id: &str, parcels: &[u32], approved: Option<&str>, expected: &str) {
    let mut kit = kit();
    let run = begin(&mut kit, id, parcels);
    if let Some(approved) = approved {
        let signal = Parcels::approve(&approved.to_owned()).unwrap();
        kit.signal(run, signal.name(), signal.payload().clone()).unwrap();
    }
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    assert_eq!(kit.output(run).unwrap(), json!(expected));
}

#[tokio::test]
async fn functions_are_given_what_earlier_ones_said() {
    let all = "Some(Priced(20)) Some(20) Some(Out(2)) Some(\"stamped a2 under Some(\\\"letter::a2\\\")\")";
    check("a", &[1, 2], Some("both"), all).await;
    check("a", &[7], Some("yes"), "Some(Priced(10)) Some(10) Some(Out(1)) None").await;
}

#[tokio::test]
async fn what_did_not_happen_is_not_there() {
    check("free", &[1], None, "Some(Free) None None None").await;
    check("a", &[1], None, "Some(Priced(10)) Some(10) Some(Out(1)) None").await;
    // The event for a step that failed is not one of its own.
    check("broken", &[1], None, "None None None None").await;
}

#[tokio::test]
async fn a_list_without_items_has_ended() {
    check("a", &[], Some("yes"), "Some(Priced(0)) Some(0) Some(Odd) None").await;
}

#[tokio::test]
async fn what_undoes_a_step_is_given_what_it_said() {
    let undone = Undone::default();
    let mut kit = kit_with(undone.clone());
    let run = begin(&mut kit, "lost", &[1]);
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Failed);
    assert_eq!(*undone.0.lock().unwrap(), [Some(10)]);
}

#[tokio::test]
async fn a_step_that_chooses_where_it_has_no_choice_fails() {
    let mut kit = kit();
    let run = begin(&mut kit, "a", &[1]);
    let signal = Parcels::approve(&"astray".to_owned()).unwrap();
    kit.signal(run, signal.name(), signal.payload().clone()).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Failed);
    let failed = kit.history(run).unwrap().iter().find_map(|record| match &record.fact {
        Fact::Failed { step, fault } => Some(format!("{step}: {fault}")),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("sort: Odd leaves no choice of steps, but some were chosen"));
}

#[tokio::test]
async fn a_result_that_was_stored_in_another_form_is_told_and_not_tried_again() {
    // A run whose input is of an older form than the code that takes it up.
    let mut kit = kit();
    let request = mainstay_workflow::StartRequest::new("parcels", json!({"id": 7})).key("7");
    let run = kit.start(request).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Failed);
    assert_eq!(kit.attempts("price"), 1);
}
