//! How much a node does at a time, and how long it waits for what.

use std::time::Duration;

use crate::engine::queues::Queues;
use crate::engine::trace::Traces;

/// A node's limits. The defaults fit a process with a few cores.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What the node is called in the list of nodes.
    pub(crate) name: String,
    /// How many handlers run at a time.
    pub(crate) slots: usize,
    /// How many attempts are leased at a time, running ones included.
    pub(crate) backlog: usize,
    /// How many runs are remembered while nothing of them runs here.
    pub(crate) cache: usize,
    /// How many commits are on their way at a time.
    pub(crate) flights: usize,
    /// How many runs are moved by one commit.
    pub(crate) batch: usize,
    /// Between these, evenly drawn, lies the pause before the database is asked for work that other nodes made.
    pub(crate) poll: (Duration, Duration),
    /// How often the node says that it is alive.
    pub(crate) beat: Duration,
    /// After how long a silence other nodes take over its work.
    pub(crate) ttl: Duration,
    /// How long a handler may take to stop once it is told to; then it is dropped.
    pub(crate) grace: Duration,
    /// The queues of handlers.
    pub(crate) queues: Queues,
    /// How long an ended run is kept; for ever when there is none.
    pub(crate) retention: Option<Duration>,
    /// How long what named callers did is kept; for ever when there is none.
    pub(crate) acts_retention: Option<Duration>,
    /// How the host's traces reach over runs.
    pub(crate) traces: Traces,
}

impl Config {
    pub(crate) fn new() -> Self {
        Self {
            name: "node".to_owned(),
            slots: 256,
            backlog: 2_048,
            cache: 10_000,
            flights: 2,
            batch: 512,
            poll: (Duration::from_millis(100), Duration::from_millis(500)),
            beat: Duration::from_secs(1),
            // With a beat until the next look, and the take-over itself, a dead node's work is in live hands within ten seconds.
            ttl: Duration::from_secs(8),
            grace: Duration::from_secs(5),
            queues: Queues::default(),
            retention: None,
            acts_retention: None,
            traces: Traces::default(),
        }
    }
}
