//! Reads: on a pooled session that only reads; one statement is one round trip, several see one snapshot.
//!
//! A caller who leaves, or whose deadline passes, drops the session in the middle of the statement: it is thrown away and
//! the server is asked to cancel.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::error::Fault;
use super::pool::Pool;
use super::session::{Begin, Desk};
use super::statement::{Bound, Sent};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Call, Priority};
use crate::row::Row;
use crate::statement::Statement;

/// Runs statements on one snapshot.
pub(super) async fn read(pool: &Arc<Pool>, statements: &[Statement], call: &Call) -> Result<Vec<Vec<Row>>> {
    let mut again = true;
    loop {
        let mut lent = pool.lend(call.deadline).await?;
        let session = &mut lent.session;
        let work = run(&session.desk, statements, call.priority);
        let Ok(outcome) = timeout_at(call.deadline, session.wire.drive(work)).await else {
            return Err(Error::new(ErrorKind::Timeout, "the deadline passed while the read was running")
                .with_help("narrow the query, add an index, or allow more time"));
        };
        let fault = match outcome {
            Ok(rows) => {
                lent.give_back().await;
                return Ok(rows);
            }
            Err(fault) => fault,
        };
        // A read may always be repeated: on a session that died in the pool, or when a table changed its shape.
        let stale = fault.is_stale_plan();
        let repeat = again && (stale || (!fault.leaves_connection() && lent.reused));
        if fault.leaves_connection() {
            if stale {
                lent.session.desk.statements.clear();
            }
            lent.give_back().await;
        }
        if !repeat {
            return Err(fault.into_error(&pool.link.place));
        }
        again = false;
    }
}

async fn run(desk: &Desk, statements: &[Statement], priority: Priority) -> Result<Vec<Vec<Row>>, Fault> {
    let cap = match priority {
        Priority::Low { cap } => Some(cap),
        Priority::Normal => None,
    };
    match statements {
        [] => Ok(Vec::new()),
        [statement] if cap.is_none() && !desk.link.pooler => {
            let bound = desk.bind(statement, &[]).await?;
            Ok(vec![desk.execute(&bound).await?.into_rows()])
        }
        [_] => in_transaction(desk, statements, &desk.link.begin(Begin::Read, cap)).await,
        _ => in_transaction(desk, statements, &desk.link.begin(Begin::Snapshot, cap)).await,
    }
}

async fn in_transaction(desk: &Desk, statements: &[Statement], begin: &str) -> Result<Vec<Vec<Row>>, Fault> {
    if desk.link.pooler {
        desk.simple(begin).await?;
        let outcome = match bind_all(desk, statements).await {
            Ok(bound) => execute_all(desk, &bound).await,
            Err(fault) => Err(fault),
        };
        // The statements live on a server connection that the next transaction may not get.
        desk.statements.clear();
        desk.simple("COMMIT").await?;
        return outcome;
    }
    let bound = bind_all(desk, statements).await?;
    let begun = Sent::send(desk.simple(begin)).await;
    let mut sent = Vec::with_capacity(bound.len());
    for bound in &bound {
        sent.push(Sent::send(desk.execute(bound)).await);
    }
    let ended = Sent::send(desk.simple("COMMIT")).await;
    begun.answer().await?;
    let outcome = collect(sent).await;
    ended.answer().await?;
    outcome
}

async fn bind_all(desk: &Desk, statements: &[Statement]) -> Result<Vec<Bound>, Fault> {
    let mut bound = Vec::with_capacity(statements.len());
    for statement in statements {
        bound.push(desk.bind(statement, &[]).await?);
    }
    Ok(bound)
}

async fn execute_all(desk: &Desk, bound: &[Bound]) -> Result<Vec<Vec<Row>>, Fault> {
    let mut sent = Vec::with_capacity(bound.len());
    for bound in bound {
        sent.push(Sent::send(desk.execute(bound)).await);
    }
    collect(sent).await
}

/// Waits for all answers; the first error counts, those after it only say that the transaction is aborted.
async fn collect(sent: Vec<Sent<'_, crate::batch::Written>>) -> Result<Vec<Vec<Row>>, Fault> {
    let mut outcome = Ok(Vec::with_capacity(sent.len()));
    for sent in sent {
        let answer = sent.answer().await;
        if let Ok(rows) = &mut outcome {
            match answer {
                Ok(written) => rows.push(written.into_rows()),
                Err(fault) => outcome = Err(fault),
            }
        }
    }
    outcome
}
