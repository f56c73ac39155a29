//! Takes orders and works on them; see the README.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]

use std::error::Error;
use std::process::ExitCode;

use mainstay_workflow::RunId;
use mainstay_workflow::typed::TypedWorkflow as _;
use order_workflow::flow::{Card, Order, OrderFlow, Payment};
use order_workflow::{engine, open, store};

const USAGE: &str = "usage: order-workflow DATABASE_URL COMMAND
  stock ITEM PIECES                   puts pieces on the shelf
  work                                works on orders until it is stopped
  order ID ITEM CENTS CARD ADDRESS    takes an order and prints its run
  card RUN CARD                       names another card
  paid RUN                            says what the bank said to the first card
  wait RUN                            waits for the end of a run
  books                               says what is on the shelf, in the ledger, at the bank and in the mail";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, command @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let repo = open(url).await?;
    match command {
        ["stock", item, pieces] => store::deliver_stock(&repo, item, pieces.parse()?).await?,
        ["work"] => {
            let engine = engine(&repo).start().await?;
            tokio::signal::ctrl_c().await?;
            engine.stop().await;
        }
        ["order", id, item, cents, card, address] => {
            let order = Order {
                id: id.parse()?,
                item: (*item).to_owned(),
                cents: cents.parse()?,
                card: (*card).to_owned(),
                address: (*address).to_owned(),
            };
            let engine = engine(&repo).without_workers().start().await?;
            println!("{}", OrderFlow::start(&engine, &order).await?);
        }
        ["card", run, card] => {
            let engine = engine(&repo).without_workers().start().await?;
            let run: RunId = run.parse()?;
            OrderFlow::card(&Card((*card).to_owned()))?.send(&engine, run).await?;
        }
        ["paid", run] => {
            let engine = engine(&repo).without_workers().start().await?;
            let said = OrderFlow::said(&engine, run.parse()?).await?;
            match said.event::<Payment>("charge")? {
                Some(Payment::Paid(receipt)) => println!("the first card: paid, {}", receipt.number),
                Some(Payment::Declined) => println!("the first card: declined"),
                None => println!("the first card: not yet"),
            }
        }
        ["wait", run] => {
            let engine = engine(&repo).without_workers().start().await?;
            let ended = engine.wait(run.parse()?).await?;
            let reason = if ended.reason.is_empty() { String::new() } else { format!(": {}", ended.reason) };
            println!("{}{reason}", ended.outcome);
        }
        ["books"] => {
            let [pieces, lines, payments, letters] = store::books(&repo).await?;
            println!("{pieces} on the shelf, {lines} in the ledger, {payments} paid, {letters} letters");
        }
        _ => return Err(USAGE.into()),
    }
    repo.close().await;
    Ok(())
}
