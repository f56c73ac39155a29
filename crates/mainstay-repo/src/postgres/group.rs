//! Several callers' writes in one transaction: begun, run and committed without waiting in between where nothing has to
//! be looked at before the commit.
//!
//! The group is an optimism: if one member fails, nothing of the group is there, and the committer runs the members again
//! without it. That is why a member is data, never a closure that ran already.

use std::time::Duration;

use tokio::time::Instant;

use super::error::Fault;
use super::plan::{self, Failure, Unit, refers_back};
use super::session::Desk;
use super::statement::Sent;
use super::writer::{Job, Work};
use crate::batch::{Batch, Expect, Written, condition_failed};
use crate::error::{Error, Result};
use crate::operation::RequestId;
use crate::statement::{Dialect, Statement};

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

    async fn plan(&mut self) -> std::result::Result<Vec<Unit>, Failure> {
        let units = plan::plan(self.desk, self.jobs, self.order.merge).await?;
        self.merged = units.iter().any(|unit| matches!(unit, Unit::Merged { .. }));
        Ok(units)
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
