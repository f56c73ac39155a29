//! The graph: what a workflow is, as data. Every front door makes one of these; everything else reads it.
//!
//! A [`Graph`] says nothing about whether it is right; [`Workflow`](crate::definition::Workflow) is a graph that passed all checks.

mod fingerprint;
mod index;
mod name;
mod node;
mod retry;
mod unique;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use fingerprint::Fingerprint;
pub use index::{Edge, Index};
pub use name::{EventName, HandlerName, SignalName, StepKey};
pub(crate) use name::{NAME_LIMIT, is_well_formed};
pub use node::{Arrival, Expiry, Join, Kind, Mode, Need, Node, Presence, Route};
pub use retry::{Backoff, Retry};
pub use retry::{millis, noise};
pub use unique::{KeyError, Scope, Unique};

/// The version of the stored form that this crate writes.
pub const FORMAT: u32 = 1;

/// One version of one workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The version of this form; [`FORMAT`].
    pub format: u32,
    /// The workflow's name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// Where a run begins.
    pub start: StepKey,
    /// The steps.
    pub nodes: Vec<Node>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What the host wants to remember with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// Its business key.
    pub unique: Unique,
    /// How long a run may take as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Graph {
    /// The order that is the same for all ways to write the same workflow down: steps by key, routes by event, targets by key.
    pub fn normalise(&mut self) {
        self.nodes.sort_by(|a, b| a.key.cmp(&b.key));
        for node in &mut self.nodes {
            node.routes.sort_by(|a, b| a.event.cmp(&b.event));
            for route in &mut node.routes {
                route.targets.sort();
            }
        }
    }

    /// The canonical text: JSON in normal order with sorted members and no spaces. Equal workflows have equal texts.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut graph = self.clone();
        graph.normalise();
        fingerprint::canonical(&graph)
    }

    /// What a run is pinned to: it changes when anything in the graph does.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.canonical())
    }
}
