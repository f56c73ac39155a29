//! Queues and their limits, which hold across all nodes and can be changed at any time. A queue that nobody limited has no row.

use std::time::Duration;

use mainstay_repo::{Row, Statement};

use serde_json::json;

use super::definitions::MAX_COUNTED;
use super::limits::{MAX_NAME_BYTES, check_name};
use super::{NewAct, Store};
use crate::action::Action;
use crate::error::{Error, ErrorKind, Result};

/// What holds for a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueLimits {
    /// How many of its tasks may be in workers' hands at a time, at least 1; any number when none.
    pub concurrency: Option<u32>,
    /// How fast its tasks may be claimed; as fast as they can when none.
    pub rate: Option<Rate>,
    /// Whether none is claimed.
    pub paused: bool,
}

/// So many in such a time. Up to so many may come at once after a quiet time; then they are spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time; at most a day, and at least a microsecond for each.
    pub per: Duration,
}

/// A queue with limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What holds for it.
    pub limits: QueueLimits,
    /// How many of its tasks can be claimed; more than [`MAX_COUNTED`] stands for any number above it.
    pub ready: u64,
    /// How many are in workers' hands.
    pub leased: u64,
}

/// The longest time of a [`Rate`].
pub const MAX_RATE_PERIOD: Duration = Duration::from_secs(86_400);

/// What is in hands is as much as the nodes hold, which their own limits bound.
const QUEUES: &str = "WITH RECURSIVE r (name) AS (SELECT min(queue) FROM wf_tasks WHERE namespace_id = $1 AND state = 1 \
        UNION ALL SELECT (SELECT min(t.queue) FROM wf_tasks t WHERE t.namespace_id = $1 AND t.state = 1 AND t.queue > r.name) \
        FROM r WHERE r.name IS NOT NULL), \
    l (name, leased) AS (SELECT queue, count(*) FROM wf_tasks WHERE namespace_id = $1 AND state = 2 GROUP BY queue) \
    SELECT n.name, q.concurrency, q.rate, q.period, COALESCE(q.paused, false) AS paused, COALESCE(l.leased, 0) AS leased, \
        (SELECT count(*) FROM (SELECT 1 FROM wf_tasks t WHERE t.namespace_id = $1 AND t.queue = n.name AND t.state = 1 LIMIT $2) AS few) \
        AS ready \
    FROM (SELECT name FROM wf_queues WHERE namespace_id = $1 UNION SELECT name FROM r WHERE name IS NOT NULL UNION SELECT name FROM l) AS n \
    LEFT JOIN wf_queues q ON q.namespace_id = $1 AND q.name = n.name LEFT JOIN l ON l.name = n.name ORDER BY n.name";

impl Store {
    /// Sets what holds for a queue, from the next claim on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::TooLarge`]; [`ErrorKind::Database`].
    pub async fn queue_set(&self, name: &str, limits: QueueLimits) -> Result<()> {
        self.require()?;
        check_name("queue", name, MAX_NAME_BYTES)?;
        if limits.concurrency == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a concurrency of 0 would begin no step of the queue",
            )
            .with_help("pause the queue for that; leave the concurrency out for any number"));
        }
        let (rate, period) = match limits.rate {
            Some(Rate { count, per }) => {
                let micros = i64::try_from(per.as_micros()).unwrap_or(i64::MAX);
                if count == 0 || per > MAX_RATE_PERIOD || micros < i64::from(count) {
                    let text = format!("a rate of {count} in {per:?} is not possible");
                    return Err(Error::new(ErrorKind::InvalidInput, text)
                        .with_help("it has at least one in at most a day, and at most one a microsecond; pause the queue for none"));
                }
                (Some(i64::from(count)), Some(micros))
            }
            None => (None, None),
        };
        let statement = Statement::new(
            "INSERT INTO wf_queues (namespace_id, name, concurrency, rate, period, paused) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (namespace_id, name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, \
             period = excluded.period, paused = excluded.paused",
        );
        let statement = statement.named("workflow.queue_set").bind(self.namespace).bind(name);
        let statement = statement.bind(limits.concurrency).bind(rate).bind(period).bind(limits.paused);
        let rate = limits.rate.map(|rate| json!({"count": rate.count, "seconds": rate.per.as_secs_f64()}));
        let detail = json!({"concurrency": limits.concurrency, "rate": rate, "paused": limits.paused});
        self.change(statement, &NewAct::new(Action::QueueSet, name, detail)).await.map(drop)
    }

    /// Holds a queue back, from the next claim on, or lets it go on; its limits stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] to let go on what has no limits and is not held back; [`ErrorKind::InvalidInput`], [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Database`].
    pub async fn queue_pause(&self, name: &str, paused: bool) -> Result<()> {
        self.require()?;
        check_name("queue", name, MAX_NAME_BYTES)?;
        let statement = if paused {
            "INSERT INTO wf_queues (namespace_id, name, paused) VALUES ($1, $2, $3) \
             ON CONFLICT (namespace_id, name) DO UPDATE SET paused = excluded.paused WHERE wf_queues.paused <> excluded.paused"
        } else {
            "UPDATE wf_queues SET paused = $3 WHERE namespace_id = $1 AND name = $2 AND paused <> $3"
        };
        let statement = Statement::new(statement).named("workflow.queue_pause");
        let statement = statement.bind(self.namespace).bind(name).bind(paused);
        let act = NewAct::new(Action::QueueSet, name, json!({"paused": paused}));
        if self.change(statement, &act).await? {
            return Ok(());
        }
        let kept = Statement::new("SELECT name FROM wf_queues WHERE namespace_id = $1 AND name = $2");
        let kept = kept.named("workflow.queue_kept").bind(self.namespace).bind(name);
        if self.repo.read_optional::<Row>(kept).await?.is_some() {
            // It is so already.
            return Ok(());
        }
        let text = format!("the queue {name:?} has no limits and is not held back");
        Err(Error::new(ErrorKind::NotFound, text).with_help("list the queues: those are shown that are"))
    }

    /// Takes all limits from a queue. Says whether it had any.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn queue_remove(&self, name: &str) -> Result<bool> {
        let statement = Statement::new("DELETE FROM wf_queues WHERE namespace_id = $1 AND name = $2");
        let statement = statement.named("workflow.queue_remove").bind(self.namespace).bind(name);
        self.change(statement, &NewAct::new(Action::QueueRemove, name, json!({}))).await
    }

    /// The queues that have limits, or tasks that can be claimed or are in workers' hands. However many tasks stand in them: the names are
    /// found one by one along the index, and no more than [`MAX_COUNTED`] + 1 of a queue's are counted, which stands for more.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn queues(&self) -> Result<Vec<Queue>> {
        let statement = Statement::new(QUEUES).named("workflow.queues").bind(self.namespace);
        let rows = self.repo.read(statement.bind(MAX_COUNTED + 1)).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Queue> {
    let rate = match (row.get::<Option<u32>>("rate")?, row.get::<Option<u64>>("period")?) {
        (Some(count), Some(micros)) => Some(Rate { count, per: Duration::from_micros(micros) }),
        _ => None,
    };
    Ok(Queue {
        name: row.get("name")?,
        limits: QueueLimits { concurrency: row.get("concurrency")?, rate, paused: row.get("paused")? },
        ready: row.get("ready")?,
        leased: row.get("leased")?,
    })
}
