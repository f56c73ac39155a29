//! What can be wrong with a graph, each with the step that it is about.

use std::fmt;

use crate::graph::{EventName, NAME_LIMIT, StepKey};

/// One thing that is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// The stored form is of another version.
    UnknownFormat {
        /// Its version.
        format: u32,
    },
    /// A name is empty, too long, or has spaces around it or control characters in it.
    BadName {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The version is 0.
    BadVersion,
    /// The business key is not made of lower-case letters and digits, or it is missing.
    BadUniqueKey {
        /// The key.
        key: String,
    },
    /// There is no such step to begin with.
    NoStart {
        /// The step.
        step: StepKey,
    },
    /// Two steps have the same key, and so the same place for their output.
    DuplicateKey {
        /// The key.
        step: StepKey,
    },
    /// A route is given to a step that is not there (yet).
    UnknownSource {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A join is given to a step that is not there (yet).
    UnknownJoin {
        /// The step.
        step: StepKey,
    },
    /// A route leads to a step that is not there.
    UnknownTarget {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
        /// Where it leads.
        target: StepKey,
    },
    /// A route leads nowhere.
    NoTargets {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A route names a target twice.
    RepeatedTarget {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
        /// The target.
        target: StepKey,
    },
    /// An event has two routes.
    RoutedTwice {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A declared event leads nowhere.
    NotRouted {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A routed event is not declared.
    NotDeclared {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A step that nothing steers chooses its targets at run time.
    CannotChoose {
        /// The step.
        step: StepKey,
        /// The event.
        event: EventName,
    },
    /// A step waits for no signal.
    WaitsForNothing {
        /// The step.
        step: StepKey,
    },
    /// A wait names a signal twice.
    RepeatedSignal {
        /// The step.
        step: StepKey,
        /// The signal.
        signal: String,
    },
    /// A number must be at least 1.
    Zero {
        /// The step, or nothing for the workflow itself.
        step: Option<StepKey>,
        /// The number.
        what: &'static str,
    },
    /// The step runs no code of the host, so it cannot have this.
    NotForThisKind {
        /// The step.
        step: StepKey,
        /// What it has.
        what: &'static str,
    },
    /// A child has a time-out of an attempt, which nothing would keep.
    TimeoutOfChild {
        /// The step.
        step: StepKey,
    },
    /// Steps lead in a circle.
    Cycle {
        /// The steps, in order.
        steps: Vec<StepKey>,
    },
    /// No path leads from the start to the step.
    Unreachable {
        /// The step.
        step: StepKey,
    },
    /// A path ends in a step that is not a done step.
    LeafNotDone {
        /// The step.
        step: StepKey,
    },
    /// Parallel branches have no step in common, except where they end.
    NoConvergence {
        /// Where they part.
        step: StepKey,
        /// The event.
        event: EventName,
        /// The branches.
        targets: Vec<StepKey>,
    },
    /// A join wants more edges than can be taken in one run.
    JoinUnsatisfiable {
        /// The step.
        step: StepKey,
        /// How many it wants.
        needs: u32,
        /// How many edges lead to it.
        incoming: usize,
        /// How many of them can be taken in one run.
        possible: usize,
    },
    /// A step reads the output of a step that is not there.
    ReadsUnknown {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
    },
    /// A step reads the output of a step that has none.
    ReadsNothing {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
    },
    /// A step reads the output of a step that comes later, or never before it.
    ReadsLater {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
    },
    /// A step reads what another says with an event that it does not have, or with which it says nothing.
    ReadsUndeclared {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
        /// The event.
        event: EventName,
    },
    /// A step needs what another says with an event, but that can end with another one on a path.
    MayEndOtherwise {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
        /// The event.
        event: EventName,
    },
    /// A step needs an output that is not there on every path.
    MayBeMissing {
        /// The step.
        step: StepKey,
        /// What it reads.
        reads: StepKey,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { format } => {
                write!(f, "the graph is stored in format {format}, which this program does not know")
            }
            Self::BadName { what, name } => write!(
                f,
                "{name:?} is no name for a {what}: 1 to {NAME_LIMIT} bytes, no space around it, no control characters"
            ),
            Self::BadVersion => f.write_str("the version must be at least 1"),
            Self::BadUniqueKey { key } => {
                write!(f, "{key:?} is no business key: it has lower-case letters and digits")
            }
            Self::NoStart { step } => write!(f, "there is no step {step} to start with"),
            Self::DuplicateKey { step } => write!(f, "there is more than one step {step}"),
            Self::UnknownSource { step, event } => {
                write!(f, "{event} is routed for the step {step}, which is not there")
            }
            Self::UnknownJoin { step } => write!(f, "a join is set for the step {step}, which is not there"),
            Self::ReadsUnknown { step, reads } => write!(f, "{step} reads {reads}, which is not there"),
            Self::ReadsNothing { step, reads } => write!(f, "{step} reads {reads}, which has no output"),
            Self::ReadsLater { step, reads } => {
                write!(f, "{step} reads {reads}, which never ends before {step} begins")
            }
            Self::MayBeMissing { step, reads } => write!(
                f,
                "{step} needs the output of {reads}, which does not run on every path to {step}; read it as optional"
            ),
            Self::ReadsUndeclared { step, reads, event } => {
                write!(
                    f,
                    "{step} reads what {reads} says with {event}, but it says nothing with such an event"
                )
            }
            Self::MayEndOtherwise { step, reads, event } => write!(
                f,
                "{step} needs what {reads} says with {event}, but {reads} does not end so on every path to {step}; \
                 read it as optional"
            ),
            other => other.fmt_edges(f),
        }
    }
}

impl Problem {
    /// The problems of events, routes and structure.
    fn fmt_edges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTarget { step, event, target } => {
                write!(f, "{step}: {event} leads to {target}, which is not there")
            }
            Self::NoTargets { step, event } => write!(f, "{step}: the route of {event} has no target"),
            Self::RepeatedTarget { step, event, target } => {
                write!(f, "{step}: {event} leads to {target} twice")
            }
            Self::RoutedTwice { step, event } => write!(f, "{step}: {event} has two routes"),
            Self::NotRouted { step, event } => write!(f, "{step} declares {event}, which leads nowhere"),
            Self::NotDeclared { step, event } => {
                write!(f, "{step} routes {event}, which it does not declare")
            }
            Self::CannotChoose { step, event } => {
                write!(
                    f,
                    "{step}: {event} chooses its targets at run time, but the step runs no code that could"
                )
            }
            Self::WaitsForNothing { step } => write!(f, "{step} waits for no signal"),
            Self::RepeatedSignal { step, signal } => write!(f, "{step} waits for {signal} twice"),
            Self::Zero { step: Some(step), what } => write!(f, "{step}: {what} must be at least 1"),
            Self::Zero { step: None, what } => write!(f, "{what} must be at least 1"),
            Self::NotForThisKind { step, what } => write!(f, "{step} runs no code, so it has no {what}"),
            Self::TimeoutOfChild { step } => write!(
                f,
                "{step} is a child and has no time-out of an attempt; give its workflow a deadline, and route its failure"
            ),
            Self::Cycle { steps } => {
                let names: Vec<&str> = steps.iter().chain(steps.first()).map(StepKey::as_str).collect();
                write!(f, "the steps lead in a circle: {}", names.join(" -> "))
            }
            Self::Unreachable { step } => write!(f, "no path leads to {step}"),
            Self::LeafNotDone { step } => write!(f, "{step} leads nowhere, but is no done step"),
            Self::NoConvergence { step, event, targets } => {
                let names: Vec<&str> = targets.iter().map(StepKey::as_str).collect();
                write!(f, "{step}: the branches of {event} ({}) never come together", names.join(", "))
            }
            Self::JoinUnsatisfiable { step, needs, incoming, possible } => write!(
                f,
                "{step} waits for {needs} of {incoming} edges, but only {possible} can be taken in one run"
            ),
            _ => Ok(()),
        }
    }
}

/// Everything that is wrong with a graph. Displayed, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "\n" })?;
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
