//! Several callers' writes in one transaction: begun, run and committed without waiting in between where nothing has to
//! be looked at before the commit.
//!
//! The group is an optimism: if one member fails, nothing of the group is there, and the committer runs the members again
//! without it. That is why a member is data, never a closure that ran already.

use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::error::Fault;
use super::session::Desk;
use super::statement::{Bound, Sent};
use super::types::Encoded;
use super::writer::{Job, Work};
use crate::batch::{Batch, Expect, Written, condition_failed};
use crate::error::{Error, Result};
use crate::operation::RequestId;
use crate::statement::{Dialect, Param, Statement};
use crate::value::Value;

/// How a group is run.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// What begins the transaction.
    pub(super) begin: String,
    /// A single statement may go without a transaction around it.
    pub(super) autocommit: bool,
    /// Equal statements may become one.
    pub(super) merge: bool,
    /// A statement that takes longer is cancelled, so that it does not hold others up.
    pub(super) stall: Option<Duration>,
}

/// What came of a group.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is committed; the results in the order of the jobs.
    Done(Vec<Result<Vec<Written>>>),
    /// Nothing is there, and this member is the cause.
    Member { at: usize, error: Error, stalled: bool, stale: bool },
    /// Nothing is there, and no single member is known as the cause. `merged`: statements had been merged.
    Group { error: Error, merged: bool, stale: bool },
    /// The connection is gone. `unknown`: the commit may have happened.
    Lost { error: Error, unknown: bool },
}

impl Verdict {
    /// Whether a job that runs alone may be run once more.
    pub(super) const fn may_run_again(&self, reused: bool) -> bool {
        match self {
            Self::Done(_) => false,
            Self::Member { stale, .. } | Self::Group { stale, .. } => *stale,
            Self::Lost { unknown, .. } => reused && !*unknown,
        }
    }

    /// The result of a job that ran alone.
    pub(super) fn into_result(self, request_id: RequestId) -> Result<Vec<Written>> {
        match self {
            Self::Done(mut results) => results.pop().unwrap_or_else(|| Ok(Vec::new())),
            Self::Member { error, .. } | Self::Group { error, .. } => Err(error),
            Self::Lost { error, unknown: false } => Err(error),
            Self::Lost { error, unknown: true } => Err(lost_commit(request_id, error)),
        }
    }
}

/// The error of a write whose commit was sent and not answered.
pub(super) fn lost_commit(request_id: RequestId, source: Error) -> Error {
    Error::unknown(request_id, format!("the connection was lost while committing ({})", source.message()))
        .with_source(source)
}

fn committed_unread(request_id: RequestId, source: Error) -> Error {
    Error::unknown(
        request_id,
        format!("the write is committed, and what it returned is lost: {}", source.message()),
    )
    .with_source(source)
}

/// A part of the transaction.
#[derive(Debug)]
enum Unit {
    /// Several members' equal statements as one.
    Merged { bound: Bound, members: Vec<usize> },
    /// One member, all of whose parameters are known.
    Flat { at: usize, bounds: Vec<Bound> },
    /// One member whose statements are prepared and bound in turn: it refers back, or creates what it uses.
    Staged { at: usize },
}

/// Who failed, and how.
struct Failure {
    at: Option<usize>,
    fault: Fault,
}

/// Runs jobs, all or nothing.
pub(super) async fn run(desk: &Desk, jobs: &[Job], order: &Order) -> Verdict {
    if let ([job], true, false) = (jobs, order.autocommit, desk.link.pooler)
        && let Work::One(statement) = &job.work
    {
        return autocommit(desk, job, statement, order).await;
    }
    let run = Run { desk, jobs, order, merged: false, commit_sent: false };
    if desk.link.pooler { run.behind_pooler().await } else { run.pipelined().await }
}

/// One statement without a transaction around it: one round trip.
async fn autocommit(desk: &Desk, job: &Job, statement: &Statement, order: &Order) -> Verdict {
    let run = Run { desk, jobs: &[], order, merged: false, commit_sent: false };
    let bound = match desk.bind(statement, &[]).await {
        Ok(bound) => bound,
        Err(fault) => return run.failed(Failure { at: Some(0), fault }),
    };
    let limit = patience(std::slice::from_ref(job), order);
    match Sent::send(desk.execute(&bound)).await.answer_by(desk, limit).await {
        Ok(written) => Verdict::Done(vec![Ok(vec![written])]),
        Err(Fault::Unreadable(error)) => {
            Verdict::Done(vec![Err(committed_unread(job.call.request_id, error))])
        }
        Err(fault) => Run { commit_sent: true, ..run }.failed(Failure { at: Some(0), fault }),
    }
}

/// Until when to wait for the next answer.
fn patience(jobs: &[Job], order: &Order) -> Instant {
    let now = Instant::now();
    let stall = order.stall.map(|stall| now + stall);
    jobs.iter().map(Job::limit).chain(stall).min().unwrap_or(now)
}

struct Run<'a> {
    desk: &'a Desk,
    jobs: &'a [Job],
    order: &'a Order,
    merged: bool,
    commit_sent: bool,
}

type Results = Vec<Result<Vec<Written>>>;

impl Run<'_> {
    fn failed(&self, Failure { at, fault }: Failure) -> Verdict {
        let stalled = fault.sqlstate() == Some("57014") && self.desk.is_tainted();
        let stale = fault.is_stale_plan();
        if stale {
            self.desk.statements.clear();
        }
        let unknown = match &fault {
            Fault::Lost { certain, .. } => self.commit_sent && !certain,
            Fault::Silent => self.commit_sent,
            _ => false,
        };
        let lost = !fault.leaves_connection();
        let error = fault.into_error(&self.desk.link.place);
        match at {
            _ if lost => Verdict::Lost { error, unknown },
            Some(at) => Verdict::Member { at, error, stalled, stale },
            None => Verdict::Group { error, merged: self.merged, stale },
        }
    }

    /// The usual way: all is prepared before, and goes out in one packet.
    async fn pipelined(mut self) -> Verdict {
        let units = match self.plan().await {
            Ok(units) => units,
            Err(failure) => return self.failed(failure),
        };
        let desk = self.desk;
        // Conditions, merged counts and back references must be looked at before the commit.
        let look = units.iter().any(|unit| self.needs_look(unit));
        let begun = Sent::send(desk.simple(&self.order.begin)).await;
        let sent = send_all(desk, &units).await;
        let committed = if look { None } else { Some(Sent::send(desk.simple("COMMIT")).await) };
        self.commit_sent = committed.is_some();
        if let Err(fault) = begun.answer_by(desk, patience(self.jobs, self.order)).await {
            return self.failed(Failure { at: None, fault });
        }
        let collected = self.collect(&units, sent).await;
        match (collected, committed) {
            (Ok(results), None) => self.commit(results).await,
            (Ok(results), Some(committed)) => match committed.answer().await {
                Ok(()) => Verdict::Done(results),
                Err(fault) => self.commit_failed(fault),
            },
            (Err(failure), committed) => {
                if failure.fault.leaves_connection() {
                    // After an error the commit that was sent rolls back, and says so last of all.
                    let _ended = match committed {
                        Some(committed) => committed.answer().await,
                        None => desk.simple("ROLLBACK").await,
                    };
                }
                self.failed(failure)
            }
        }
    }

    /// Behind a pooler a prepared statement lives no longer than its transaction.
    async fn behind_pooler(mut self) -> Verdict {
        let desk = self.desk;
        if let Err(fault) = desk.simple(&self.order.begin).await {
            return self.failed(Failure { at: None, fault });
        }
        let collected = match self.plan().await {
            Ok(units) => {
                let sent = send_all(desk, &units).await;
                self.collect(&units, sent).await
            }
            Err(failure) => Err(failure),
        };
        desk.statements.clear();
        match collected {
            Ok(results) => self.commit(results).await,
            Err(failure) => {
                if failure.fault.leaves_connection() {
                    let _ended = desk.simple("ROLLBACK").await;
                }
                self.failed(failure)
            }
        }
    }

    async fn commit(mut self, results: Results) -> Verdict {
        self.commit_sent = true;
        match self.desk.simple("COMMIT").await {
            Ok(()) => Verdict::Done(results),
            Err(fault) => self.commit_failed(fault),
        }
    }

    /// A refused commit rolled back; one that was not answered may have happened, whatever the server said last.
    fn commit_failed(&self, fault: Fault) -> Verdict {
        if fault.leaves_connection() {
            return self.failed(Failure { at: None, fault });
        }
        Verdict::Lost { error: fault.into_error(&self.desk.link.place), unknown: true }
    }

    fn needs_look(&self, unit: &Unit) -> bool {
        match unit {
            Unit::Merged { .. } | Unit::Staged { .. } => true,
            Unit::Flat { at, .. } => self
                .batch(*at)
                .is_some_and(|batch| batch.steps().iter().any(|step| step.expect != Expect::Any)),
        }
    }

    fn batch(&self, at: usize) -> Option<&Batch> {
        match &self.jobs.get(at)?.work {
            Work::Batch(batch) => Some(batch),
            Work::One(_) => None,
        }
    }

    /// Prepares what can be prepared, merges what can be merged, and puts rows in an order in which two committers lock
    /// them alike.
    async fn plan(&mut self) -> std::result::Result<Vec<Unit>, Failure> {
        let mut singles: Vec<(usize, &Statement)> = Vec::new();
        let mut units = Vec::new();
        for (at, job) in self.jobs.iter().enumerate() {
            match &job.work {
                Work::One(statement) => singles.push((at, statement)),
                Work::Batch(batch) => units.push(plan_batch(self.desk, at, batch).await?),
            }
        }
        // Staged members wait for answers, so they come last.
        units.sort_by_key(|unit| matches!(unit, Unit::Staged { .. }));
        singles.sort_by(|(_, one), (_, other)| lock_order(one, other));
        let mut planned = Vec::with_capacity(singles.len() + units.len());
        for chunk in singles.chunk_by(|(_, one), (_, other)| is_same_text(one, other)) {
            match self.plan_merged(chunk).await? {
                Some(unit) => {
                    self.merged = true;
                    planned.push(unit);
                }
                None => {
                    for (at, statement) in chunk {
                        let bound = self.desk.bind(statement, &[]).await;
                        let bound = bound.map_err(|fault| Failure { at: Some(*at), fault })?;
                        planned.push(Unit::Flat { at: *at, bounds: vec![bound] });
                    }
                }
            }
        }
        planned.extend(units);
        Ok(planned)
    }

    async fn plan_merged(&self, chunk: &[(usize, &Statement)]) -> std::result::Result<Option<Unit>, Failure> {
        let Some(bulk) = chunk.first().and_then(|(_, statement)| statement.sql().bulk()) else {
            return Ok(None);
        };
        if !self.order.merge || chunk.len() < 2 {
            return Ok(None);
        }
        let rows: Option<Vec<Vec<&Value>>> = chunk.iter().map(|(_, statement)| scalars(statement)).collect();
        let Some(rows) = rows else { return Ok(None) };
        let prepared = match self.desk.prepare(bulk).await {
            Ok(prepared) => prepared,
            Err(fault) if fault.leaves_connection() && !self.desk.link.pooler => {
                let error = fault.into_error(&self.desk.link.place);
                tracing::warn!(%error, bulk, "the bulk text of a mergeable statement is refused; it runs unmerged");
                return Ok(None);
            }
            Err(fault) => return Err(Failure { at: None, fault }),
        };
        // A value that does not fit is found again, and its owner with it, when each is bound alone.
        let Ok(encoded) = Encoded::transposed(&rows, prepared.statement.params()) else { return Ok(None) };
        let members = chunk.iter().map(|(at, _)| *at).collect();
        Ok(Some(Unit::Merged { bound: Bound { prepared, encoded }, members }))
    }

    /// Waits for what was sent, and runs what had to wait.
    async fn collect(
        &self,
        units: &[Unit],
        sent: Vec<Vec<Sent<'_, Written>>>,
    ) -> std::result::Result<Results, Failure> {
        let mut results: Results = self.jobs.iter().map(|_| Ok(Vec::new())).collect();
        let mut put = |at: usize, result| {
            if let Some(place) = results.get_mut(at) {
                *place = result;
            }
        };
        for (unit, sent) in units.iter().zip(sent) {
            match unit {
                Unit::Merged { members, .. } => {
                    self.collect_merged(members.len(), sent).await?;
                    for at in members {
                        put(*at, Ok(vec![Written::new(1, Vec::new())]));
                    }
                }
                Unit::Flat { at, .. } => put(*at, self.collect_flat(*at, sent).await?),
                Unit::Staged { at } => {
                    let Some(batch) = self.batch(*at) else { continue };
                    let limit = patience(self.jobs, self.order);
                    let done = run_staged(self.desk, batch, limit).await;
                    put(*at, Ok(done.map_err(|fault| Failure { at: Some(*at), fault })?));
                }
            }
        }
        Ok(results)
    }

    async fn collect_merged(
        &self,
        members: usize,
        sent: Vec<Sent<'_, Written>>,
    ) -> std::result::Result<(), Failure> {
        for sent in sent {
            let answer = sent.answer_by(self.desk, patience(self.jobs, self.order)).await;
            let written = answer.map_err(|fault| Failure { at: None, fault })?;
            if usize::try_from(written.rows_affected()) != Ok(members) {
                let fault = Fault::Unfit(Error::invalid_input(format!(
                    "{members} merged statements affected {} rows",
                    written.rows_affected()
                )));
                return Err(Failure { at: None, fault });
            }
        }
        Ok(())
    }

    async fn collect_flat(
        &self,
        at: usize,
        sent: Vec<Sent<'_, Written>>,
    ) -> std::result::Result<Result<Vec<Written>>, Failure> {
        let mut result = Ok(Vec::with_capacity(sent.len()));
        for (index, sent) in sent.into_iter().enumerate() {
            let answer = sent.answer_by(self.desk, patience(self.jobs, self.order)).await;
            let written = match (answer, self.jobs.get(at)) {
                (Ok(written), _) => written,
                // The commit is under way: the others' work stands, and so does this one's.
                (Err(Fault::Unreadable(error)), Some(job)) if self.commit_sent => {
                    result = Err(committed_unread(job.call.request_id, error));
                    continue;
                }
                (Err(fault), _) => return Err(Failure { at: Some(at), fault }),
            };
            if let Some(batch) = self.batch(at) {
                check_step(batch, index, &written).map_err(|fault| Failure { at: Some(at), fault })?;
            }
            if let Ok(done) = &mut result {
                done.push(written);
            }
        }
        Ok(result)
    }
}

async fn send_all<'a>(desk: &'a Desk, units: &'a [Unit]) -> Vec<Vec<Sent<'a, Written>>> {
    let mut all = Vec::with_capacity(units.len());
    for unit in units {
        let bounds = match unit {
            Unit::Merged { bound, .. } => std::slice::from_ref(bound),
            Unit::Flat { bounds, .. } => bounds.as_slice(),
            Unit::Staged { .. } => &[],
        };
        let mut sent = Vec::with_capacity(bounds.len());
        for bound in bounds {
            sent.push(Sent::send(desk.execute(bound)).await);
        }
        all.push(sent);
    }
    all
}

async fn plan_batch(desk: &Desk, at: usize, batch: &Batch) -> std::result::Result<Unit, Failure> {
    // Behind a pooler a text that does not parse would abort the transaction before those that come first.
    if desk.link.pooler || batch.steps().iter().any(|step| refers_back(&step.statement)) {
        return Ok(Unit::Staged { at });
    }
    let mut bounds = Vec::with_capacity(batch.steps().len());
    for step in batch.steps() {
        match desk.bind(&step.statement, &[]).await {
            Ok(bound) => bounds.push(bound),
            // An earlier statement of the batch may create its table, or not meet its condition, which counts first.
            Err(fault) if fault.leaves_connection() => return Ok(Unit::Staged { at }),
            Err(fault) => return Err(Failure { at: Some(at), fault }),
        }
    }
    Ok(Unit::Flat { at, bounds })
}

/// Runs a batch in an open transaction that is somebody's own: all at once where nothing has to be found out before.
pub(super) async fn run_batch(
    desk: &Desk,
    batch: &Batch,
    limit: Instant,
) -> std::result::Result<Vec<Written>, Fault> {
    // A text that does not parse would abort the transaction, so only known ones are bound ahead.
    let known = |statement: &Statement| {
        desk.statements.knows(statement.sql().text(Dialect::Postgres)) && !refers_back(statement)
    };
    if !batch.steps().iter().all(|step| known(&step.statement)) {
        return run_staged(desk, batch, limit).await;
    }
    let mut bounds = Vec::with_capacity(batch.steps().len());
    for step in batch.steps() {
        bounds.push(desk.bind(&step.statement, &[]).await?);
    }
    let mut sent = Vec::with_capacity(bounds.len());
    for bound in &bounds {
        sent.push(Sent::send(desk.execute(bound)).await);
    }
    let mut done = Vec::with_capacity(sent.len());
    for (index, sent) in sent.into_iter().enumerate() {
        let written = sent.answer_by(desk, limit).await?;
        check_step(batch, index, &written)?;
        done.push(written);
    }
    Ok(done)
}

fn refers_back(statement: &Statement) -> bool {
    statement.params().iter().any(|param| matches!(param, Param::Back(_)))
}

/// Runs a batch in an open transaction, one statement after the other, each bound when its turn comes.
async fn run_staged(desk: &Desk, batch: &Batch, limit: Instant) -> std::result::Result<Vec<Written>, Fault> {
    let mut done = Vec::with_capacity(batch.steps().len());
    for (index, step) in batch.steps().iter().enumerate() {
        let bound = Sent::send(desk.bind(&step.statement, &done)).await.answer_by(desk, limit).await?;
        let written = Sent::send(desk.execute(&bound)).await.answer_by(desk, limit).await?;
        check_step(batch, index, &written)?;
        done.push(written);
    }
    Ok(done)
}

fn check_step(batch: &Batch, index: usize, written: &Written) -> std::result::Result<(), Fault> {
    let Some(step) = batch.steps().get(index) else { return Ok(()) };
    if step.expect.is_met_by(written.rows_affected()) {
        return Ok(());
    }
    Err(Fault::Unfit(condition_failed(batch.name(), index, step.expect, written.rows_affected())))
}

/// The values of a statement that can be merged: no lists, which would need lists of lists.
fn scalars(statement: &Statement) -> Option<Vec<&Value>> {
    statement
        .params()
        .iter()
        .map(|param| match param {
            Param::Value(Value::Array(_)) | Param::Back(_) => None,
            Param::Value(value) => Some(value),
        })
        .collect()
}

fn is_same_text(one: &Statement, other: &Statement) -> bool {
    one.sql().text(Dialect::Postgres) == other.sql().text(Dialect::Postgres)
        && one.sql().bulk() == other.sql().bulk()
}

/// Equal statements together, and their rows by key: two groups that lock the same rows lock them in the same order.
fn lock_order(one: &Statement, other: &Statement) -> Ordering {
    let text = |statement: &Statement| {
        (statement.sql().text(Dialect::Postgres).as_ptr(), statement.sql().bulk().is_some())
    };
    let texts = one.sql().text(Dialect::Postgres).cmp(other.sql().text(Dialect::Postgres));
    let texts = if text(one) == text(other) { Ordering::Equal } else { texts };
    texts.then_with(|| one.sql().bulk().cmp(&other.sql().bulk())).then_with(|| {
        let mut places = one.params().iter().zip(other.params());
        places.find_map(|(a, b)| compare(a, b)).unwrap_or(Ordering::Equal)
    })
}

/// How two keys differ, if they do and it can be said.
fn compare(one: &Param, other: &Param) -> Option<Ordering> {
    let order = match (one, other) {
        (Param::Value(Value::Text(a)), Param::Value(Value::Text(b))) => a.cmp(b),
        (Param::Value(Value::Int(a)), Param::Value(Value::Int(b))) => a.cmp(b),
        _ => return None,
    };
    (order != Ordering::Equal).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Sql;

    #[test]
    fn rows_are_locked_in_the_order_of_their_keys() {
        let row = |id: i64, tenant: &str| {
            Statement::new("UPDATE t SET a = 1 WHERE b = $1 AND c = $2").bind(tenant).bind(id)
        };
        let mut rows = [row(2, "b"), row(1, "b"), row(3, "a")];
        rows.sort_by(lock_order);
        assert_eq!(rows, [row(3, "a"), row(1, "b"), row(2, "b")]);
    }

    #[test]
    fn equal_statements_come_together() {
        let merge = || Statement::new(Sql::mergeable("a", "a", "bulk"));
        let mut mixed = [Statement::new("b"), merge(), Statement::new("a"), merge()];
        mixed.sort_by(lock_order);
        let chunks: Vec<usize> = mixed.chunk_by(is_same_text).map(<[Statement]>::len).collect();
        assert_eq!(chunks, [1, 2, 1]);
    }

    #[test]
    fn lists_are_not_merged() {
        assert!(scalars(&Statement::new("x").bind(1_i64).bind("a")).is_some());
        assert!(scalars(&Statement::new("x").bind(vec![1_i64])).is_none());
    }
}
