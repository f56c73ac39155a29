//! Commands about runs: begin them, tell them something, remove them.

use mainstay_core::Timestamp;
use mainstay_repo::Repo;
use serde_json::{Value, json};

use super::{Control, delivered, missing, read};
use crate::action::Action;
use crate::definition::Workflow;
use crate::engine::StartRequest;
use crate::engine::birth::{Prepared, prepare};
use crate::engine::queues::Queues;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Kind, StepKey};
use crate::id::RunId;
use crate::plan::{Fact, Record, Status, fork};
use crate::store::{ImportReport, Lane, Letter, Message, NewAct, Start, Started};

impl Control {
    /// Starts a run of a workflow that was registered here: of the version that is asked for, or of the one that is current where the
    /// host works. (A resolver is the host's: it is not asked.)
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyRunning`], [`ErrorKind::BadKey`]; as [`Control::workflow`]; as [`Store::start`](crate::store::Store::start);
    /// [`ErrorKind::Forbidden`].
    pub async fn start(&self, request: StartRequest) -> Result<RunId> {
        self.may(Action::Start)?;
        let detail = json!({"version": request.version, "key": request.key});
        let act = NewAct::new(Action::Start, &request.workflow.clone(), detail);
        self.begin(request, act).await
    }

    pub(super) async fn begin(&self, request: StartRequest, act: NewAct) -> Result<RunId> {
        let now = self.clock.now();
        let definition = self.definition(&request.workflow, request.version).await?;
        let flow = read(&definition)?;
        let seed = u64::try_from(self.store.next_run_id(now).get()).unwrap_or_default();
        let Prepared { token, key, transition } = prepare(&flow, &request, seed, now)?;
        let queues = Queues::kept(&definition.queues).of_effects(&flow, &transition.effects);
        let start = Start {
            definition: definition.id,
            business_key: key,
            token,
            transition,
            lane: Lane {
                priority: request.priority,
                fairness: request.fairness.as_deref().map(Into::into),
                ..Lane::default()
            },
            queues,
            attributes: request.attributes,
            telemetry: request.telemetry,
            parent: None,
            consumes: None,
            lease: None,
            now,
        };
        self.told(began(self.store.start_as(&flow, start, act).await?))
    }

    /// Does a failed or cancelled run again, as a new run with the same business key: what ended and was not undone stays done.
    ///
    /// # Errors
    /// As [`Control::fork`]; [`ErrorKind::Ended`] when it completed.
    pub async fn retry(&self, run: RunId) -> Result<RunId> {
        self.may(Action::Retry)?;
        self.again(run, &[], Action::Retry).await
    }

    /// Does an ended run again from a step, as a new run with the same business key: what does not come after the step stays done.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Active`]: the run has not ended; [`ErrorKind::Refused`]: it never came to the step;
    /// [`ErrorKind::AlreadyRunning`]: another run has its key; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn fork(&self, run: RunId, from: &StepKey) -> Result<RunId> {
        self.may(Action::Fork)?;
        self.again(run, std::slice::from_ref(from), Action::Fork).await
    }

    async fn again(&self, run: RunId, from: &[StepKey], action: Action) -> Result<RunId> {
        let now = self.clock.now();
        let context = self.store.get(run).await?;
        let Some((loaded, history)) = self.store.load_with_history(&[run]).await?.pop() else {
            let text = format!("{run} came from elsewhere; nobody here has its steps");
            return Err(Error::new(ErrorKind::NotFound, text).with_help("start a new run with its input"));
        };
        if context.summary.ended_at.is_none() {
            let text = format!("{run} has not ended; only an ended run is done again");
            return Err(Error::new(ErrorKind::Active, text).with_help("cancel it, or wait for its end"));
        }
        if from.is_empty() && context.summary.status == Status::Completed {
            let text = format!("{run} completed; there is nothing of it to do again");
            return Err(Error::new(ErrorKind::Ended, text)
                .with_help("fork it from the step that is to be done again"));
        }
        let meta = loaded.meta;
        let definition = self.store.definition(meta.definition).await?.ok_or_else(|| missing(run))?;
        if !definition.is_registered {
            let (name, version) = (&definition.name, definition.version);
            let text = format!(
                "{name} v{version} has another content than {run} is pinned to: nobody would go on with a run of that"
            );
            return Err(Error::new(ErrorKind::OtherGraph, text).with_help("start a new run with its input"));
        }
        let flow = read(&definition)?;
        let seed = u64::try_from(self.store.next_run_id(now).get()).unwrap_or_default();
        from.iter().try_for_each(|step| has(&flow, step))?;
        let transition = fork(&flow, &history, from, seed, now)?;
        let untold = untold(context.context, &history);
        let queues = Queues::kept(&definition.queues).of_effects(&flow, &transition.effects);
        let detail = json!({"of": run.to_string(), "from": from});
        let act = NewAct::new(action, &meta.workflow, detail);
        let start = Start {
            definition: meta.definition,
            business_key: meta.business_key,
            token: meta.token,
            transition,
            lane: meta.lane,
            queues,
            attributes: untold,
            telemetry: meta.telemetry,
            parent: None,
            consumes: None,
            lease: None,
            now,
        };
        self.told(began(self.store.start_as(&flow, start, act).await?))
    }

    /// Sends a run a signal. With a sender's own identifier a repetition changes nothing, and the answer is false.
    ///
    /// A name that no step of the run's version waits for is refused: a run keeps its version, so nothing would ever take the signal.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ended`], [`ErrorKind::UnknownSignal`], [`ErrorKind::MailboxFull`], [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn signal(
        &self,
        run: RunId,
        signal: &str,
        payload: Value,
        sender: Option<&str>,
    ) -> Result<bool> {
        self.may(Action::Signal)?;
        if let Some(definition) = self.store.definition_of(run).await? {
            known(&read(&definition)?, signal)?;
        }
        let act = NewAct::of_run(Action::Signal, run, json!({"signal": signal, "sender": sender}));
        let message = Message::Signal { signal: signal.into(), payload };
        self.send(run, sender, message, act).await
    }

    /// Sends a run a signal that reaches it at an instant, not before; otherwise as [`Control::signal`].
    ///
    /// # Errors
    /// As [`Control::signal`].
    pub async fn signal_at(
        &self,
        run: RunId,
        at: Timestamp,
        signal: &str,
        payload: Value,
        sender: Option<&str>,
    ) -> Result<bool> {
        self.may(Action::Signal)?;
        if let Some(definition) = self.store.definition_of(run).await? {
            known(&read(&definition)?, signal)?;
        }
        let detail = json!({"signal": signal, "sender": sender, "at": at.to_string()});
        let act = NewAct::of_run(Action::Signal, run, detail);
        let message = Message::Scheduled { at, signal: signal.into(), payload };
        self.send(run, sender, message, act).await
    }

    /// Stops a run and undoes what it did.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ended`]; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<()> {
        self.may(Action::Cancel)?;
        let reason = match self.caller.as_ref().map(|caller| &caller.actor) {
            None => reason.to_owned(),
            Some(actor) if reason.trim().is_empty() => format!("by {actor}"),
            Some(actor) => format!("{} (by {actor})", reason.trim()),
        };
        let act = NewAct::of_run(Action::Cancel, run, json!({"reason": reason}));
        self.send(run, None, Message::Cancel { reason }, act).await.map(drop)
    }

    /// Lets a run begin nothing new.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    pub async fn pause(&self, run: RunId) -> Result<()> {
        self.may(Action::Pause)?;
        let act = NewAct::of_run(Action::Pause, run, json!({}));
        self.send(run, None, Message::Pause, act).await.map(drop)
    }

    /// Lets a run go on.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    pub async fn resume(&self, run: RunId) -> Result<()> {
        self.may(Action::Resume)?;
        let act = NewAct::of_run(Action::Resume, run, json!({}));
        self.send(run, None, Message::Resume, act).await.map(drop)
    }

    async fn send(&self, run: RunId, sender: Option<&str>, message: Message, act: NewAct) -> Result<bool> {
        let now = self.clock.now();
        let due = match &message {
            Message::Scheduled { at, .. } => *at,
            _ => now,
        };
        let letter = Letter { run, sender: sender.map(str::to_owned), message, now, due };
        self.told(delivered(run, self.store.send_as(&letter, &act).await?))
    }

    /// Removes an ended run; says whether it was there.
    ///
    /// # Errors
    /// As [`Store::delete`](crate::store::Store::delete); [`ErrorKind::Forbidden`].
    pub async fn delete(&self, run: RunId) -> Result<bool> {
        self.may(Action::Delete)?;
        self.store.delete(run).await
    }

    /// Removes a portion of what ended before an instant; says how many.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn prune(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        self.may(Action::Prune)?;
        self.store.prune(ended_before, limit).await
    }

    /// Brings over the table `workflow_instances` of another database.
    ///
    /// # Errors
    /// As [`Store::import`](crate::store::Store::import); [`ErrorKind::Forbidden`].
    pub async fn import(&self, source: &Repo, after: Option<&str>) -> Result<ImportReport> {
        self.may(Action::Import)?;
        self.store.require()?;
        let detail = json!({"from": source.describe(), "after": after});
        self.store.note(&NewAct::new(Action::Import, "", detail)).await?;
        self.store.import(source, after, self.clock.now()).await
    }
}

/// The attributes that a run began with before histories told of them.
fn untold(mut context: Value, history: &[Record]) -> Value {
    let Some(Value::Object(mut attributes)) = context.get_mut("attributes").map(Value::take) else {
        return Value::Null;
    };
    for record in history {
        if let Fact::Noted { attributes: told, .. } = &record.fact {
            attributes.retain(|name, _| !told.contains_key(name));
        }
    }
    if attributes.is_empty() { Value::Null } else { Value::Object(attributes) }
}

/// Refuses a step that a workflow does not have.
fn has(flow: &Workflow, step: &StepKey) -> Result<()> {
    if flow.index().node(step).is_some() {
        return Ok(());
    }
    let graph = flow.graph();
    let steps: Vec<&str> = graph.nodes.iter().map(|node| node.key.as_str()).collect();
    let text = format!("{} v{} has no step {:?}", graph.name, graph.version, step.as_str());
    Err(Error::new(ErrorKind::InvalidInput, text).with_help(format!("it has {}", steps.join(", "))))
}

/// Refuses a signal that no step of a workflow waits for.
fn known(flow: &Workflow, signal: &str) -> Result<()> {
    let graph = flow.graph();
    let waits = graph.nodes.iter().filter_map(|node| match &node.kind {
        Kind::Wait { signals, .. } => Some(signals),
        _ => None,
    });
    let mut names: Vec<&str> = waits.flatten().map(|arrival| arrival.signal.as_str()).collect();
    if names.contains(&signal) {
        return Ok(());
    }
    names.sort_unstable();
    names.dedup();
    let (name, version) = (&graph.name, graph.version);
    let error = Error::new(
        ErrorKind::UnknownSignal,
        format!("{name} v{version} waits for no signal {signal:?}, so nothing would ever take it"),
    );
    Err(match names.as_slice() {
        [] => error.with_help("no step of it waits for a signal"),
        names => error.with_help(format!("it waits for {}", names.join(", "))),
    })
}

fn began(started: Started) -> Result<RunId> {
    match started {
        Started::New(head) => Ok(head.meta.run),
        Started::AlreadyActive(run) => {
            let text = format!("{run} is active under the same business key");
            Err(Error::new(ErrorKind::AlreadyRunning { run }, text)
                .with_help("wait for its end, or cancel it"))
        }
        Started::Withdrawn => Err(Error::internal("a start got no answer")),
    }
}
