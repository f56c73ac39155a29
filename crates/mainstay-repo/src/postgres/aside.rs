//! Writes that must not hold the committers up: low-priority ones, and those that wait for somebody's lock.
//!
//! Each runs in a transaction of its own on a pooled session; only a few at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::group::{self, Order, Verdict};
use super::pool::Pool;
use super::writer::Job;
use crate::batch::Written;
use crate::error::{Error, Result};

/// The most that run at a time.
const SLOTS: usize = 4;

/// Where writes run that would hold others up.
#[derive(Debug)]
pub(super) struct Aside {
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
}

impl Aside {
    /// Uses at most half of the pool's sessions.
    pub(super) fn new(pool: Arc<Pool>, pool_size: usize) -> Self {
        Self { pool, slots: Arc::new(Semaphore::new(SLOTS.min(pool_size.div_ceil(2)))) }
    }

    /// Starts a job that was not started before, when there is a place; `cap` ends each of its statements.
    pub(super) async fn submit(self: &Arc<Self>, job: Job, cap: Option<Duration>) -> Result<()> {
        let slot = timeout_at(job.call.deadline, Arc::clone(&self.slots).acquire_owned())
            .await
            .map_err(|_elapsed| Error::not_started_in_time())?
            .map_err(|_closed| Error::closed())?;
        if job.ticket.start() {
            tokio::spawn(Arc::clone(self).run(job, cap, slot));
        }
        Ok(())
    }

    /// Takes over a job that was started by a committer and waits there for a lock.
    pub(super) fn take_over(self: &Arc<Self>, job: Job) {
        let aside = Arc::clone(self);
        tokio::spawn(async move {
            match timeout_at(job.limit(), Arc::clone(&aside.slots).acquire_owned()).await {
                Ok(Ok(slot)) => aside.run(job, None, slot).await,
                Ok(Err(_closed)) => job.finish(Err(Error::closed())),
                Err(_elapsed) => job.finish(Err(Error::not_started_in_time())),
            }
        });
    }

    async fn run(self: Arc<Self>, job: Job, cap: Option<Duration>, _slot: OwnedSemaphorePermit) {
        let result = self.attempt(&job, cap).await;
        job.finish(result);
    }

    async fn attempt(&self, job: &Job, cap: Option<Duration>) -> Result<Vec<Written>> {
        let order = Order {
            begin: self.pool.link.begin_group(std::slice::from_ref(job), cap),
            autocommit: false,
            merge: false,
            stall: None,
        };
        let mut again = true;
        loop {
            let mut lent = self.pool.lend(job.limit()).await?;
            let session = &mut lent.session;
            let verdict =
                session.wire.drive(group::run(&session.desk, std::slice::from_ref(job), &order)).await;
            let repeat = again && verdict.may_run_again(lent.reused);
            if !matches!(verdict, Verdict::Lost { .. }) {
                lent.give_back().await;
            }
            if !repeat {
                return verdict.into_result(job.call.request_id);
            }
            again = false;
        }
    }
}
