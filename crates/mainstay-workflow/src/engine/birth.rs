//! From a request to the first transition of a run. No I/O.

use std::sync::Arc;

use mainstay_core::Timestamp;
use serde_json::Value;

use super::StartRequest;
use super::registry::{Registered, Registry};
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Scope;
use crate::id::RunId;
use crate::plan::{Attempt, Opening, Transition, begin};

/// A run that is about to begin.
pub(crate) struct Birth {
    pub(crate) registered: Arc<Registered>,
    /// What goes into the unique index of active runs.
    pub(crate) token: Option<String>,
    /// The business key, `key::value`.
    pub(crate) key: Option<String>,
    pub(crate) transition: Transition,
    pub(crate) request: StartRequest,
    /// The attempt of another run that this one is a child of.
    pub(crate) parent: Option<(RunId, Attempt)>,
    /// Where the start was asked for.
    pub(crate) span: tracing::Span,
}

impl Birth {
    /// `seed` is any number: the noise of the run's pauses comes of it. Resolves the version, checks the business key, and makes the first transition.
    pub(crate) fn new(registry: &Registry, request: StartRequest, seed: u64, now: Timestamp) -> Result<Self> {
        let registered = Arc::clone(registry.resolve(&request)?);
        let Prepared { token, key, transition } = prepare(&registered.flow, &request, seed, now)?;
        Ok(Self { registered, token, key, transition, request, parent: None, span: tracing::Span::current() })
    }
}

/// What a request makes of a workflow.
pub(crate) struct Prepared {
    pub(crate) token: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) transition: Transition,
}

/// Checks the request and the business key, and makes the first transition.
pub(crate) fn prepare(
    flow: &Workflow,
    request: &StartRequest,
    seed: u64,
    now: Timestamp,
) -> Result<Prepared> {
    let graph = flow.graph();
    for (what, value) in [("attributes", &request.attributes), ("telemetry metadata", &request.telemetry)] {
        if !matches!(value, Value::Null | Value::Object(_)) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the {what} of a run are an object, or nothing"),
            )
            .with_help("for example {\"tenant\": \"t1\"}"));
        }
    }
    let unique = &graph.unique;
    let token = match &request.key {
        Some(value) => unique
            .token(&graph.name, graph.version, value)
            .map_err(|error| Error::new(ErrorKind::BadKey, error.to_string()).with_source(error))?,
        None if unique.scope == Scope::None => None,
        None => {
            let text = format!(
                "{} has the business key {:?}, and the start gives no value for it",
                graph.name, unique.key
            );
            return Err(Error::new(ErrorKind::BadKey, text)
                .with_help("give the value: StartRequest::key in a program, --key on the command line"));
        }
    };
    let key = request.key.as_ref().map(|value| match unique.key.as_str() {
        "" => value.clone(),
        key => format!("{key}::{value}"),
    });
    let attributes = request.attributes.as_object().cloned().unwrap_or_default();
    let opening = Opening { attributes, paused: request.paused };
    let transition = begin(flow, request.input.clone(), seed, now, opening)?;
    Ok(Prepared { token, key, transition })
}
