//! The workflow. Read it from the end: the graph says what an order goes through, the functions above it what each step does.

use mainstay_repo::{Batch, Repo, Transaction};
use mainstay_workflow::{Events, StepContext, StepError, step, workflow};
use serde::{Deserialize, Serialize};

use crate::store;

/// What a run is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number; two orders with the same one are never under way at a time.
    pub id: u32,
    /// What is bought.
    pub item: String,
    /// The price.
    pub cents: u32,
    /// Who pays. The bank declines cards that begin with 4000.
    pub card: String,
    /// Where it goes. The carrier does not find `nowhere`.
    pub address: String,
}

/// Another card, when the first one was declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card(pub String);

/// What the bank says to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The bank's number.
    pub number: String,
}

/// A parcel that is ready to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// What is on its label.
    pub label: String,
}

/// How a reservation can end.
#[derive(Debug, Events)]
pub enum Stock {
    /// The item is put aside.
    Reserved,
    /// There is none left.
    SoldOut,
}

/// How a payment can end.
#[derive(Debug, Events)]
pub enum Payment {
    /// The money is there; later steps can read the receipt.
    Paid(Receipt),
    /// The bank does not want to.
    Declined,
}

/// How bookkeeping can end.
#[derive(Debug, Events)]
pub enum Books {
    /// It is written down.
    Booked,
}

/// How packing can end.
#[derive(Debug, Events)]
pub enum Packing {
    /// It is packed.
    Packed(Parcel),
}

/// How the way to the customer can end.
#[derive(Debug, Events)]
pub enum Delivery {
    /// It arrived.
    Delivered,
}

/// How a letter can end.
#[derive(Debug, Events)]
pub enum Letter {
    /// It is written.
    Written,
}

/// Looks, then writes: it works in a transaction, which commits together with the end of the step. All orders for an item want the same
/// row, and PostgreSQL lets one of those that come together go first and the others try again: soon, and often.
#[step(tx, retry = 100 linear 5ms..500ms)]
pub async fn reserve(_cx: &StepContext, tx: &mut Transaction, order: &Order) -> Result<Stock, StepError> {
    let there = store::reserve(tx, order.id, &order.item).await?;
    Ok(if there { Stock::Reserved } else { Stock::SoldOut })
}

/// Undoes [`reserve`]. It may run twice, so it is written to do no harm then.
#[step]
pub async fn put_back(cx: &StepContext, order: &Order) -> Result<(), StepError> {
    Ok(store::put_back(&*cx.state::<Repo>()?, order.id).await?)
}

/// Speaks to somebody outside of the database: it may run more than once, and says by a key that it does.
#[step(retry = 5 exponential 100ms..5s, timeout = 30s)]
pub async fn charge(cx: &StepContext, order: &Order) -> Result<Payment, StepError> {
    pay(cx, order, &order.card).await
}

/// Charges the card that came with the signal.
#[step(retry = 5 exponential 100ms..5s, timeout = 30s)]
pub async fn charge_other(cx: &StepContext, order: &Order, card: &Card) -> Result<Payment, StepError> {
    pay(cx, order, &card.0).await
}

async fn pay(cx: &StepContext, order: &Order, card: &str) -> Result<Payment, StepError> {
    // The same for every attempt at this step of this run: by it the bank tells repetitions.
    let key = cx.idempotency_key();
    let paid = store::bank_charge(&*cx.state::<Repo>()?, &key, order.id, card, order.cents).await?;
    Ok(if paid { Payment::Paid(Receipt { number: key }) } else { Payment::Declined })
}

/// Undoes a payment: returns whatever was taken for the order.
#[step]
pub async fn give_back(cx: &StepContext, order: &Order) -> Result<(), StepError> {
    Ok(store::bank_return(&*cx.state::<Repo>()?, order.id).await?)
}

/// Returns its statement instead of running it: it commits together with the end of the step, and with the ends of other runs' steps.
/// The ledger has no key that would refuse a second line: that there is exactly one is what `tx` promises.
#[step(tx)]
pub fn book(
    _cx: &StepContext,
    order: &Order,
    first: Option<&Receipt>,
    other: Option<&Receipt>,
) -> Result<(Books, Batch), StepError> {
    let Some(receipt) = first.or(other) else {
        return Err(StepError::fatal("nothing was paid"));
    };
    Ok((Books::Booked, store::ledger_line(order.id, order.cents, &receipt.number)))
}

/// Undoes [`book`].
#[step]
pub async fn strike(cx: &StepContext, order: &Order) -> Result<(), StepError> {
    Ok(store::ledger_strike(&*cx.state::<Repo>()?, order.id).await?)
}

/// Needs nothing but what it is given.
#[step]
pub fn pack(_cx: &StepContext, order: &Order) -> Result<Packing, StepError> {
    Ok(Packing::Packed(Parcel { label: format!("{} to {}", order.item, order.address) }))
}

/// Fails for good when nobody lives there: then the run fails, and what was done is undone, the last first.
#[step]
pub async fn deliver(cx: &StepContext, order: &Order, parcel: &Parcel) -> Result<Delivery, StepError> {
    if order.address == "nowhere" {
        return Err(StepError::fatal(format!("nobody takes {:?}", parcel.label)));
    }
    store::letter(&*cx.state::<Repo>()?, order.id, "it is there").await?;
    Ok(Delivery::Delivered)
}

/// Three ways lead here; it happens once.
#[step]
pub async fn apologise(cx: &StepContext, order: &Order) -> Result<Letter, StepError> {
    store::letter(&*cx.state::<Repo>()?, order.id, "we are sorry").await?;
    Ok(Letter::Written)
}

workflow! {
    /// An order, from the shelf to the door.
    pub struct OrderFlow = "order" version 1;
    input Order;
    unique orderid = |order| order.id;
    tags "shop";
    deadline 30d;

    step reserve(input) {
        undo put_back(input);
        Reserved -> charge;
        SoldOut -> apologise;
    }
    step charge(input) {
        undo give_back(input);
        Paid -> book;
        Declined -> other_card;
    }
    wait other_card {
        signal card(Card) => Given -> charge_other;
        after 3d => Expired -> apologise;
    }
    step charge_other(input, other_card.Given) {
        undo give_back(input);
        Paid -> book;
        Declined -> apologise;
    }
    step book(input, charge.Paid?, charge_other.Paid?) {
        undo strike(input);
        Booked -> pack & dry;
    }
    step pack(input) { Packed -> deliver; }
    timer dry 1s { Passed -> deliver; }
    step deliver(input, pack.Packed) { Delivered -> end; }
    step apologise(input) { Written -> end; }
    done end;
}
